"""The docstrings of the estimators: complete and in order, however they are put together."""

import inspect
import subprocess
import sys

import pytest

from cmlp import MLPClassifier, MLPRegressor
from cmlp._docs import ESTIMATOR, FIT, documented_with, split_entries, split_sections

ESTIMATORS = [MLPClassifier, MLPRegressor]
DOCUMENTED = [
    *ESTIMATORS,
    *(getattr(est, name) for est in ESTIMATORS for name in ("fit", "partial_fit")),
]
SHARED = """
Parameters
----------
b : int
    Shared b.
c, d : int
    Shared c and d.

Attributes
----------
b_ : int

References
----------
Shared (1999).
"""


@documented_with(SHARED)
class Documented:
    """The subject.

    Parameters
    ----------
    a : int
        Own a.
    b : float
        Own b.

        Its second paragraph.
    ... : shared parameters

    Attributes
    ----------
    a_ : int

    References
    ----------
    Own (2001).

    Examples
    --------
    >>> 1
    """

    def __init__(self, b, a, c, d):
        pass


def test_own_entries_replace_shared_ones_and_parameters_follow_the_signature():
    assert inspect.getdoc(Documented) == inspect.cleandoc("""The subject.

    Parameters
    ----------
    b : float
        Own b.

        Its second paragraph.
    a : int
        Own a.
    c, d : int
        Shared c and d.

    Attributes
    ----------
    a_ : int
    b_ : int

    References
    ----------
    Shared (1999).
    Own (2001).

    Examples
    --------
    >>> 1
    """)


def test_a_documented_parameter_must_exist():
    with pytest.raises(ValueError, match="'d' is not in list"):

        @documented_with(SHARED)
        def function(b, c):
            """Summary.

            Parameters
            ----------
            d : int
            """


@pytest.mark.parametrize("documented", DOCUMENTED, ids=lambda documented: documented.__qualname__)
def test_every_parameter_is_documented_in_order(documented):
    text = split_sections(inspect.getdoc(documented))["Parameters"]
    # one entry for both, as ever
    names = [name for name in inspect.signature(documented).parameters if name != "self"]
    if "coefs_init" in names:
        names.remove("intercepts_init")
        assert "coefs_init, intercepts_init : " in text
    assert list(split_entries(text)) == names


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_shared_text_is_there_whole(estimator):
    for documented, shared in ((estimator, ESTIMATOR), (estimator.fit, FIT)):
        sections = split_sections(inspect.getdoc(documented))
        for title, text in split_sections(shared).items():
            entries = split_entries(sections[title])
            for name, entry in split_entries(text).items():
                if title == "References":
                    assert entry in sections[title]
                elif name not in own_entries(documented, title):
                    assert entries[name] == entry


def own_entries(documented, title):
    """Names of the entries of the docstring in the source."""
    source = inspect.cleandoc(inspect.getsource(documented).split('"""')[1])
    return split_entries(split_sections(source).get(title, ""))


def test_no_entry_is_written_twice():
    own = [
        [own_entries(est, title) for title in ("Parameters", "Attributes")] for est in ESTIMATORS
    ]
    for of_classifier, of_regressor in zip(*own, strict=True):
        for name in of_classifier.keys() & of_regressor.keys() - {"..."}:
            assert of_classifier[name] != of_regressor[name], name


@pytest.mark.slow
def test_without_docstrings():
    program = """
from cmlp import MLPClassifier, MLPRegressor
assert MLPClassifier.__doc__ is MLPRegressor.fit.__doc__ is None
assert MLPRegressor(max_iter=2).fit([[0.0], [1.0]], [0.0, 1.0]).n_iter_ == 2
"""
    subprocess.run([sys.executable, "-OO", "-W", "ignore", "-c", program], check=True)
