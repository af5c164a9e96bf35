"""The examples in docstrings: cmlp's own, and what scikit-learn's MLP docstrings print."""

import contextlib
import doctest
import io
import re

import pytest
from sklearn import neural_network

import cmlp

NUMBER = re.compile(r"-?\d+\.?\d*")
NAMES = ["MLPClassifier", "MLPRegressor"]


@pytest.mark.parametrize("name", [*NAMES, "Network", "Checkpoint", "from_sklearn", "fuse"])
def test_own_docstring(name):
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(cmlp, name), name)
    assert test.examples
    output = io.StringIO()
    result = doctest.DocTestRunner().run(test, out=output.write)
    assert result.failed == 0, output.getvalue()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_docstring(name):
    """Every example of scikit-learn's prints, with cmlp's class, the numbers it shows."""
    text = getattr(neural_network, name).__doc__
    text = text.replace("from sklearn.neural_network import", "from cmlp import")
    examples = doctest.DocTestParser().get_examples(text)
    namespace = {}
    compared = 0
    for example in examples:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(example.source, "<docstring>", "single"), namespace)
        if example.want:
            assert_same_text(printed.getvalue(), example.want)
            compared += 1
    assert namespace[name] is getattr(cmlp, name)
    assert compared >= 3


def assert_same_text(got, want):
    """Equal but for spaces, line breaks and digits beyond those shown."""
    assert skeleton(got) == skeleton(want)
    numbers = list(zip(NUMBER.findall(got), NUMBER.findall(want), strict=True))
    for one, shown in numbers:
        decimals = len(shown.partition(".")[2])
        # digits are rounded, or cut off before an ellipsis
        assert abs(float(one) - float(shown)) <= 10.0**-decimals, (got, want)


def skeleton(text):
    return re.sub(r"\s|\.\.\.", "", NUMBER.sub("#", text))
