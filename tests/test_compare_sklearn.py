"""The oracle grid: the same calls on cmlp's and on scikit-learn's estimators, the same results.

Differences that are meant have their tests in test_differences.py.
"""

import contextlib
import inspect
import io
import itertools
import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import neural_network
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import cmlp

#: Relative tolerances: float64 sgd and adam after 50 epochs, lbfgs after 50 iterations, float32
#: after one epoch.
RTOL, RTOL_LBFGS, RTOL_FLOAT32 = 1e-9, 1e-6, 1e-5
#: Constructor parameters that only cmlp has.
ADDED = {"MLPClassifier": {"fit_intercept"}, "MLPRegressor": {"fit_intercept", "out_activation"}}
SOLVERS = ["sgd", "adam", "lbfgs"]
ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
TASKS = ["binary", "multiclass", "multilabel", "one-class", "regression-1", "regression-3"]
TASKS += ["poisson"]


@pytest.fixture(autouse=True)
def one_thread():
    """scikit-learn's matrix products add up in another order on several threads."""
    with threadpool_limits(1):
        yield


# Data, calls and what comes of them


def make_data(task, n=60, seed=0):
    """X of five features and y, as small as a task can be learnt from."""
    rng = np.random.RandomState(seed)
    if task == "multilabel":
        X, y = make_multilabel_classification(n, 5, n_classes=3, random_state=seed)
    elif task in ("binary", "multiclass", "one-class"):
        n_classes = {"binary": 2, "multiclass": 4, "one-class": 2}[task]
        X, y = make_classification(
            n, 5, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=seed
        )
        y = np.ones_like(y) if task == "one-class" else y
    else:
        n_targets = 3 if task == "regression-3" else 1
        X, y = make_regression(n, 5, n_targets=n_targets, noise=3.0, random_state=seed)
        y = y / y.std()
        y = rng.poisson(np.exp(y / 2)).astype(float) if task == "poisson" else y
    return StandardScaler().fit_transform(X), y


def make_pair(task, **params):
    """The same estimator of cmlp's and of scikit-learn's."""
    params = {"hidden_layer_sizes": (6,), "random_state": 3, **params}
    name = "MLPRegressor" if task.startswith(("regression", "poisson")) else "MLPClassifier"
    if task == "poisson":
        params["loss"] = "poisson"
    return getattr(cmlp, name)(**params), getattr(neural_network, name)(**params)


def in_format(X, layout):
    """X as a C or Fortran ordered array, or as a sparse matrix."""
    if layout == "C":
        return np.ascontiguousarray(X)
    if layout == "F":
        return np.asfortranarray(X)
    X = np.where(np.abs(X) < 0.7, 0, X)
    return {"CSR": sp.csr_matrix, "CSC": sp.csc_array}[layout](X)


@dataclass
class Outcome:
    """What a call showed: its result, exception, warnings and output."""

    result: object = None
    error: tuple | None = None
    warned: list = field(default_factory=list)
    printed: str = ""


def call(function, *args, **kwargs):
    outcome = Outcome()
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        try:
            outcome.result = function(*args, **kwargs)
        except Exception as error:
            outcome.error = (type(error), str(error))
    # NumPy warns of every overflow inside scikit-learn's arithmetic, compiled code does not
    outcome.warned = [
        (w.category, str(w.message))
        for w in caught
        if w.category is not RuntimeWarning or "encountered in log" in str(w.message)
    ]
    outcome.printed = printed.getvalue()
    return outcome


def both(pair, method, *args, **kwargs):
    """Call a method of both estimators; what can be seen of the two calls must be equal."""
    ours, theirs = (call(lambda est=est: getattr(est, method)(*args, **kwargs)) for est in pair)
    assert ours.error == theirs.error
    assert ours.warned == theirs.warned
    assert ours.printed == theirs.printed
    return ours.result, theirs.result


def assert_close(ours, theirs, rtol):
    """Equal type, dtype and shape; values within rtol of the largest, NaN where it is NaN."""
    assert type(ours) is type(theirs)
    if sp.issparse(theirs):
        assert ours.format == theirs.format
        ours, theirs = ours.toarray(), theirs.toarray()
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if theirs.dtype.kind != "f":
        np.testing.assert_array_equal(ours, theirs)
        return
    finite = np.abs(theirs[np.isfinite(theirs)])
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * finite.max(initial=0))


def public(est):
    return {name: value for name, value in vars(est).items() if not name.startswith("_")}


def assert_same_model(pair, X, rtol):
    """The same public attributes, of the same types, and predictions, within rtol."""
    ours, theirs = map(public, pair)
    added = ADDED[type(pair[0]).__name__]
    assert set(ours) - added == set(theirs)
    assert all(name in ours for name in added)
    for name in set(theirs) - set(pair[1].get_params()):
        value, expected = ours[name], theirs[name]
        assert type(value) is type(expected), name
        if isinstance(expected, list):
            assert len(value) == len(expected), name
            for one, expected_one in zip(value, expected, strict=True):
                assert_close(one, expected_one, rtol)
        elif isinstance(expected, np.ndarray | np.floating | float):
            assert_close(value, expected, rtol)
        else:
            assert value == expected, name
    assert_same_predictions(pair, X, rtol)


def assert_same_predictions(pair, X, rtol):
    for method in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(pair[1], method):
            assert_close(*both(pair, method, X), rtol)


def check_fit(task, X, y, rtol=None, sample_weight=None, **params):
    """Fit both and compare all that can be seen."""
    if rtol is None:
        rtol = RTOL_LBFGS if params.get("solver") == "lbfgs" else RTOL
    pair = make_pair(task, **params)
    both(pair, "fit", X, y, sample_weight=sample_weight)
    assert_same_model(pair, X, rtol)
    return pair


# The grid


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_solver_activation_task(solver, activation, task):
    X, y = make_data(task)
    check_fit(task, X, y, solver=solver, activation=activation, max_iter=50, batch_size=16)
