"""scikit-learn's own test_mlp.py, as installed, run against cmlp by import substitution.

Tests that reach into private attributes are in EXCLUDED, each with one of ours in its place.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn.utils.fixes import parse_version

from cmlp import MLPClassifier, Network

#: Name of a test of scikit-learn's that is left out -> why.
EXCLUDED = {
    "test_gradient": "calls the private _loss_grad_lbfgs with buffers that cmlp does not have; "
    "replaced by test_gradient_by_central_differences",
}

THEIR_IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
OUR_IMPORT = "from cmlp import MLPClassifier, MLPRegressor\n"


def load():
    """scikit-learn's tests with cmlp's estimators in them, by name."""
    package = importlib.util.find_spec("sklearn.neural_network").submodule_search_locations[0]
    path = Path(package) / "tests" / "test_mlp.py"
    source = path.read_text(encoding="utf-8")
    assert source.count(THEIR_IMPORT) == 1, "scikit-learn imports its estimators another way"
    namespace = {"__name__": __name__, "__file__": str(path)}
    exec(compile(source.replace(THEIR_IMPORT, OUR_IMPORT), str(path), "exec"), namespace)
    return {name: test for name, test in namespace.items() if name.startswith("test_")}


THEIR_TESTS = load()
globals().update({name: test for name, test in THEIR_TESTS.items() if name not in EXCLUDED})


def n_cases(test):
    """How many cases pytest makes of a test function."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    return math.prod(len(mark.args[1]) for mark in marks)


def test_nothing_is_left_out():
    collected = {name: test for name, test in globals().items() if name in THEIR_TESTS}
    assert set(THEIR_TESTS) - set(collected) == set(EXCLUDED)
    assert all(test is THEIR_TESTS[name] for name, test in collected.items())
    assert all(test.__globals__["MLPClassifier"] is MLPClassifier for test in collected.values())
    n_excluded = sum(n_cases(THEIR_TESTS[name]) for name in EXCLUDED)
    n_collected = sum(map(n_cases, collected.values()))
    assert n_collected + n_excluded == sum(map(n_cases, THEIR_TESTS.values()))
    if parse_version("1.9.0") <= parse_version(sklearn.__version__) < parse_version("1.10.dev0"):
        assert n_collected == 59 - n_excluded


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_gradient_by_central_differences(n_labels, activation):
    """What scikit-learn's test_gradient does, through the public Network."""
    X = np.random.RandomState(42).rand(5, 10)
    y = 1 + np.mod(np.arange(5) + 1, n_labels)
    mlp = MLPClassifier(
        activation=activation,
        hidden_layer_sizes=10,
        solver="lbfgs",
        alpha=1e-5,
        max_iter=1,
        random_state=1,
    ).fit(X, y)
    targets = y[:, None] == mlp.classes_
    targets = targets[:, 1:] if n_labels == 2 else targets

    network = Network.from_estimator(mlp)
    result = network.loss_and_gradients(X, targets)
    analytical = [grad.ravel() for grad in result.coef_grads + result.intercept_grads]

    epsilon = 1e-5
    for which in ("coefs_", "intercepts_"):
        for weights in getattr(mlp, which):
            numerical = np.empty(weights.size)
            for i in range(weights.size):
                kept = weights.flat[i]
                losses = []
                for step in (epsilon, -epsilon):
                    weights.flat[i] = kept + step
                    moved = Network.from_estimator(mlp)
                    losses.append(moved.loss_and_gradients(X, targets).loss)
                weights.flat[i] = kept
                numerical[i] = (losses[0] - losses[1]) / (2 * epsilon)
            np.testing.assert_allclose(analytical.pop(0), numerical, rtol=0, atol=1e-8)
    assert not analytical
