"""The oracle grid: the same calls on cmlp's and on scikit-learn's estimators, the same results.

Differences that are meant have their tests in test_differences.py.
"""

import contextlib
import inspect
import io
import re
import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn import neural_network
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version
from threadpoolctl import threadpool_limits

import cmlp

#: Relative tolerances: float64 sgd and adam after 50 epochs, lbfgs after 50 iterations, float32
#: after one epoch.
RTOL, RTOL_LBFGS, RTOL_FLOAT32 = 1e-9, 1e-6, 1e-5
#: Constructor parameters that only cmlp has.
ADDED = {
    name: set(inspect.signature(getattr(cmlp, name)).parameters)
    - set(inspect.signature(getattr(neural_network, name)).parameters)
    for name in ("MLPClassifier", "MLPRegressor")
}
#: Fitted attributes that only cmlp has.
ADDED_ATTRIBUTES = {"validation_loss_curve_", "best_iter_"}
OLD_SKLEARN = parse_version(sklearn.__version__) < parse_version("1.9.0")
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


def classes_for(task, y):
    """What partial_fit needs besides X and y."""
    if task == "multilabel":
        return {"classes": np.arange(y.shape[1])}
    return {} if task.startswith(("regression", "poisson")) else {"classes": np.unique(y)}


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
            # the sets of allowed names are printed in any order, and cmlp's may be larger
            text = re.sub(r"a str among \{.*?\}", "a str among {...}", str(error))
            text = text.replace(" or a list or tuple of them, one per hidden layer", "")
            outcome.error = (type(error), text)
    # NumPy warns of every overflow inside scikit-learn's arithmetic, compiled code does not;
    # scikit-learn 1.7 passes options to scipy that newer ones deprecate
    outcome.warned = [
        (w.category, str(w.message))
        for w in caught
        if "encountered in log" in str(w.message)
        or w.category not in (RuntimeWarning, DeprecationWarning)
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
    assert set(ours) - added - ADDED_ATTRIBUTES == set(theirs) - added
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


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_solver_activation_task(solver, activation, task):
    X, y = make_data(task)
    params = {"batch_size": 16, "max_iter": 50}
    if solver == "lbfgs":
        # Away from saturated probabilities, whose logarithms tell more than 1e-6 of the weights,
        # and from the end, where the line search (which with many outputs is given the gradient
        # of another loss) decides on rounding errors.
        params["alpha"] = 1e-4 if task.startswith("regression") else 0.1
        params["max_iter"] = 20 if task == "regression-3" else 50
    check_fit(task, X, y, solver=solver, activation=activation, **params)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["multiclass", "regression-3"])
@pytest.mark.parametrize("batch_size", [1, 7, "auto", 1000])
@pytest.mark.parametrize("solver", SOLVERS)
def test_batch_size(solver, batch_size, task):
    X, y = make_data(task, n=23 if batch_size == 1 else 60)
    # without much of a penalty lbfgs runs towards infinite weights, and rounding grows on the way
    params = {"alpha": 0.1} if solver == "lbfgs" and task == "multiclass" else {}
    params |= {"solver": solver, "batch_size": batch_size, "activation": "tanh"}
    check_fit(task, X, y, max_iter=50, **params)


@pytest.mark.parametrize("task", ["binary", "poisson"])
def test_auto_batch_size_of_more_than_200_samples(task):
    X, y = make_data(task, n=431)
    check_fit(task, X, y, max_iter=20)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["C", "F", "CSR", "CSC"])
@pytest.mark.parametrize("dtype", [np.float64, np.int64])
@pytest.mark.parametrize("solver", SOLVERS)
def test_layout_of_X(solver, dtype, layout):
    X, y = make_data("multiclass")
    X = in_format(X if dtype == np.float64 else (3 * X).astype(dtype), layout)
    check_fit("multiclass", X, y, solver=solver, max_iter=30, batch_size=16)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("weights", ["float", "with zeros", "integer", "scalar", "negative"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_sample_weight(solver, weights, task):
    X, y = make_data(task)
    sample_weight = {
        "float": np.linspace(0.1, 2, len(X)),
        "with zeros": np.arange(len(X)) % 3 + 0.0,
        "integer": np.arange(len(X)) % 4 + 1,
        "scalar": 0.5,
        "negative": np.linspace(-0.02, 2, len(X)),
    }[weights]
    params = {"alpha": 0.1, "max_iter": 30, "batch_size": 16}
    check_fit(task, X, y, sample_weight=sample_weight, solver=solver, **params)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (5,), 5, (7, 3), [7, 3], np.array([3, 2])])
@pytest.mark.parametrize("solver", SOLVERS)
def test_hidden_layer_sizes(solver, hidden_layer_sizes):
    X, y = make_data("multiclass")
    check_fit(
        "multiclass", X, y, solver=solver, hidden_layer_sizes=hidden_layer_sizes, max_iter=20
    )


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_early_stopping(solver, task, weighted):
    X, y = make_data(task)
    params = {"validation_fraction": 0.25, "n_iter_no_change": 8, "learning_rate_init": 0.01}
    check_fit(
        task,
        X,
        y,
        sample_weight=np.linspace(0.5, 2, len(X)) if weighted else None,
        solver=solver,
        early_stopping=True,
        max_iter=50,
        batch_size=16,
        verbose=True,
        **params,
    )


def test_early_stopping_stops_where_scikit_learn_stops():
    X, y = make_data("binary", n=200)
    for solver in ("sgd", "adam"):
        ours, _ = check_fit(
            "binary", X, y, solver=solver, early_stopping=True, learning_rate_init=0.05
        )
        assert 10 < ours.n_iter_ < 200


@pytest.mark.slow
@pytest.mark.parametrize("nesterovs_momentum", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_sgd_schedule_and_momentum(learning_rate, momentum, nesterovs_momentum):
    X, y = make_data("multiclass")
    params = {"power_t": 0.3, "tol": 0.01, "n_iter_no_change": 2, "learning_rate_init": 0.02}
    check_fit(
        "multiclass",
        X,
        y,
        solver="sgd",
        learning_rate=learning_rate,
        momentum=momentum,
        nesterovs_momentum=nesterovs_momentum,
        batch_size=16,
        max_iter=50,
        verbose=True,
        **params,
    )


@pytest.mark.parametrize(
    "params", [{"beta_1": 0.0}, {"beta_2": 0.5}, {"epsilon": 0.1}, {"learning_rate": "adaptive"}]
)
def test_adam(params):
    X, y = make_data("multilabel")
    check_fit("multilabel", X, y, batch_size=16, max_iter=50, learning_rate_init=0.01, **params)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("n_iter_no_change", [1, 5, np.inf])
def test_patience(solver, n_iter_no_change):
    X, y = make_data("regression-1")
    params = {"n_iter_no_change": n_iter_no_change, "tol": 1e-3, "learning_rate_init": 0.05}
    ours, _ = check_fit("regression-1", X, y, solver=solver, max_iter=60, verbose=True, **params)
    assert (ours.n_iter_ == 60) == (n_iter_no_change == np.inf)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_without_shuffling(solver):
    X, y = make_data("binary")
    check_fit("binary", X, y, solver=solver, shuffle=False, batch_size=7, max_iter=50)


@pytest.mark.parametrize("verbose", [True, 1, 2])
@pytest.mark.parametrize("task", ["binary", "regression-3"])
def test_verbose(task, verbose):
    X, y = make_data(task)
    params = {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.05}
    pair = make_pair(task, verbose=verbose, max_iter=80, **params)
    both(pair, "fit", X, y)
    printed = call(pair[0].fit, X, y).printed
    assert "Setting learning rate to" in printed
    assert "Iteration 1, loss =" in printed


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["string", "object", "bool", "float", "negative", "list"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "one-class"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_labels(task, labels, early_stopping):
    X, y = make_data(task)
    if labels == "bool":
        y = y > 1 if task == "multiclass" else y.astype(bool)
    else:
        y = {
            "string": lambda: np.array(["ham", "spam", "egg", "bacon"])[y],
            "object": lambda: np.array(["ham", "spam", "egg", "bacon"], dtype=object)[y],
            "float": lambda: y.astype(float),
            "negative": lambda: 2 * y - 1,
            "list": lambda: y.tolist(),
        }[labels]()
    if early_stopping and labels in ("string", "object") and OLD_SKLEARN:
        # scikit-learn's fails on them before 1.9
        ours, _ = make_pair(task, max_iter=12, early_stopping=True)
        assert call(ours.fit, X, y).error is None
        assert set(ours.predict(X)) <= set(y)
        return
    check_fit(task, X, y, max_iter=12, early_stopping=early_stopping)


@pytest.mark.parametrize("solver", SOLVERS)
def test_sparse_multilabel_targets(solver):
    X, y = make_data("multilabel")
    ours, _ = check_fit("multilabel", X, sp.csr_matrix(y), solver=solver, max_iter=20)
    assert sp.issparse(ours.predict(X))


@pytest.mark.parametrize("task", ["binary", "regression-1"])
def test_column_vector_y(task):
    X, y = make_data(task)
    check_fit(task, X, y[:, None], max_iter=5)


# Several calls in a row


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start(solver, task):
    X, y = make_data(task)
    params = {"alpha": 0.1, "max_iter": 8, "batch_size": 16}
    pair = make_pair(task, solver=solver, warm_start=True, **params)
    for _ in range(3):
        both(pair, "fit", X, y)
        assert_same_model(pair, X, RTOL_LBFGS if solver == "lbfgs" else RTOL)


@pytest.mark.parametrize("task", ["multiclass", "regression-1"])
@pytest.mark.parametrize("warm_start", [False, True])
def test_fit_with_another_solver_each_time(task, warm_start):
    X, y = make_data(task)
    pair = make_pair(task, warm_start=warm_start, max_iter=5, alpha=0.1)
    # scikit-learn fails where a warm start goes from lbfgs to another solver for the first time
    for solver in ("sgd", "lbfgs", "sgd", "adam", "lbfgs"):
        for est in pair:
            est.set_params(solver=solver)
        both(pair, "fit", X, y)
        # leftovers of an earlier stochastic fit are attributes of a later lbfgs one
        assert_same_model(pair, X, RTOL_LBFGS)


def test_warm_start_after_convergence_stops_at_once():
    X, y = make_data("binary")
    pair = make_pair("binary", warm_start=True, tol=0.1, n_iter_no_change=2, max_iter=50)
    for _ in range(2):
        both(pair, "fit", X, y)
        assert_same_model(pair, X, RTOL)
    assert pair[0].n_iter_ == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_warm_start_keeps_the_dtype_of_the_weights(dtype):
    X, y = make_data("multiclass")
    other = np.float32 if dtype == np.float64 else np.float64
    pair = make_pair("multiclass", warm_start=True, max_iter=2)
    both(pair, "fit", X.astype(dtype), y)
    both(pair, "fit", X.astype(other), y)
    assert pair[0].coefs_[0].dtype == dtype
    assert_same_model(pair, X, RTOL_FLOAT32)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit(solver, task, weighted):
    X, y = make_data(task)
    pair = make_pair(task, solver=solver, learning_rate="invscaling", batch_size=7, verbose=True)
    for start in (0, 10, 30, 10):
        part = slice(start, start + 20)
        sample_weight = np.linspace(0.5, 2, 20) if weighted else None
        both(
            pair,
            "partial_fit",
            X[part],
            y[part],
            sample_weight=sample_weight,
            **classes_for(task, y),
        )
        assert_same_model(pair, X, RTOL)


@pytest.mark.parametrize("task", ["binary", "regression-3"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_fit_and_partial_fit_in_turn(solver, task):
    X, y = make_data(task)
    pair = make_pair(task, solver=solver, max_iter=6, batch_size=16)
    for method in ("fit", "partial_fit", "partial_fit", "fit", "partial_fit"):
        both(pair, method, X, y)
        assert_same_model(pair, X, RTOL)


@pytest.mark.parametrize("solver", SOLVERS)
def test_injected_weights(solver):
    """Weights that a user put into the lists are those of the next predict and fit."""
    X, y = make_data("multiclass")
    pair = make_pair("multiclass", solver=solver, warm_start=True, max_iter=5, alpha=0.1)
    both(pair, "fit", X, y)
    for est in pair:
        est.coefs_[0] = est.coefs_[0] * 0.5
        est.intercepts_[1] += 1.0
    assert_same_model(pair, X, RTOL_LBFGS)
    both(pair, "fit", X, y)
    assert_same_model(pair, X, RTOL_LBFGS)


# Random numbers


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_initial_weights_are_identical(activation, dtype):
    X, y = make_data("multiclass")
    params = {"learning_rate_init": 1e-300, "max_iter": 1, "hidden_layer_sizes": (7, 3)}
    pair = make_pair("multiclass", solver="sgd", activation=activation, **params)
    both(pair, "fit", X.astype(dtype), y)
    for ours, theirs in zip(*(est.coefs_ + est.intercepts_ for est in pair), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_random_state_instance_and_global_seed(solver, early_stopping):
    X, y = make_data("binary")
    params = {"solver": solver, "early_stopping": early_stopping, "max_iter": 5, "alpha": 0.1}
    generators = [np.random.RandomState(5), np.random.RandomState(5)]
    pair = make_pair("binary", random_state=None, **params)
    for est, generator in zip(pair, generators, strict=True):
        est.set_params(random_state=generator)
    for _ in range(2):
        both(pair, "fit", X, y)
        assert_same_model(pair, X, RTOL_LBFGS)
    states = [generator.get_state() for generator in generators]
    np.testing.assert_array_equal(states[0][1], states[1][1])
    assert states[0][2:] == states[1][2:]

    pair = make_pair("binary", random_state=None, **params)
    state = np.random.get_state()  # noqa: NPY002
    after = []
    try:
        for est in pair:
            np.random.seed(11)  # noqa: NPY002
            call(est.fit, X, y)
            after.append(np.random.random_sample())  # noqa: NPY002
    finally:
        np.random.set_state(state)  # noqa: NPY002
    assert after[0] == after[1]
    assert_same_model(pair, X, RTOL_LBFGS)


# float32


def float32_data(task):
    X, y = make_data(task)
    return X.astype(np.float32), y.astype(np.float32) if y.dtype == np.float64 else y


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [16, "auto"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_float32_after_one_epoch(solver, task, batch_size, weighted):
    X, y = float32_data(task)
    sample_weight = np.linspace(0.5, 2, len(X), dtype=np.float32) if weighted else None
    ours, _ = check_fit(
        task,
        X,
        y,
        rtol=RTOL_FLOAT32,
        sample_weight=sample_weight,
        solver=solver,
        max_iter=1,
        batch_size=batch_size,
        activation="tanh",
    )
    assert ours.coefs_[0].dtype == np.float32


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_float32_loss_after_30_epochs(solver, task, activation):
    X, y = float32_data(task)
    pair = make_pair(task, solver=solver, activation=activation, max_iter=30, batch_size=16)
    both(pair, "fit", X, y)
    ours, theirs = pair
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0.01)


@pytest.mark.parametrize("of_y", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("of_weight", [None, np.float32, np.float64])
@pytest.mark.parametrize("batch_size", ["auto", 16])
def test_dtype_of_the_loss(of_y, of_weight, batch_size):
    X, y = make_data("regression-1")
    sample_weight = None if of_weight is None else np.ones(len(X), dtype=of_weight)
    params = {"max_iter": 1, "batch_size": batch_size, "activation": "tanh"}
    X, y = X.astype(np.float32), y.astype(of_y)
    check_fit("regression-1", X, y, rtol=RTOL_FLOAT32, sample_weight=sample_weight, **params)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression-1"])
@pytest.mark.parametrize("of_model", [np.float32, np.float64])
@pytest.mark.parametrize("of_X", [np.float16, np.float32, np.float64, np.int32, np.int64, bool])
@pytest.mark.parametrize("sparse", [False, True])
def test_dtype_of_predictions(sparse, of_X, of_model, task):
    if sparse and of_X == np.float16:
        of_X = np.uint8  # scipy has no sparse float16
    X, y = make_data(task)
    pair = make_pair(task, max_iter=1, activation="tanh")
    both(pair, "fit", X.astype(of_model), y)
    X = (2 * np.abs(X)).astype(of_X)
    X = sp.csr_matrix(X) if sparse else X
    if not sparse and of_X == np.float16:
        # scikit-learn multiplies float16 by float32 in float32, too
        assert pair[1].predict(X[:1]).dtype == pair[0].predict(X[:1]).dtype
    assert_same_predictions(pair, X, RTOL_FLOAT32)


# The surface


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_constructor(name):
    ours = inspect.signature(getattr(cmlp, name)).parameters.values()
    theirs = inspect.signature(getattr(neural_network, name)).parameters.values()
    shared = [p.replace(annotation=p.empty) for p in ours if p.name not in ADDED[name]]
    assert shared == list(theirs)  # the same order, kinds and defaults
    added = [p for p in ours if p.name in ADDED[name]]
    assert all(p.kind is p.KEYWORD_ONLY for p in added)
    documented = inspect.getdoc(getattr(cmlp, name))
    assert all(f"\n{p.name} : " in documented for p in added)

    ours, theirs = getattr(cmlp, name)(), getattr(neural_network, name)()
    assert ours.get_params().items() >= theirs.get_params().items()
    assert list(inspect.signature(ours.fit).parameters)[:3] == ["X", "y", "sample_weight"]
    for method in ("partial_fit", "predict", "score"):
        assert (
            inspect.signature(getattr(ours, method)).parameters.keys()
            == inspect.signature(getattr(theirs, method)).parameters.keys()
        )


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_public_methods_and_tags(name):
    ours, theirs = getattr(cmlp, name)(), getattr(neural_network, name)()
    methods = [{m for m in dir(est) if not m.startswith("_")} for est in (ours, theirs)]
    assert methods[0] >= methods[1]
    assert all(getattr(ours, method).__doc__ for method in methods[0] - methods[1] - ADDED[name])
    tags = ours.__sklearn_tags__()
    expected = theirs.__sklearn_tags__()
    if name == "MLPClassifier":  # scikit-learn's refuses several columns of classes
        expected.target_tags.multi_output = True
    assert tags == expected


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", TASKS)
def test_score(task, solver):
    X, y = make_data(task)
    pair = make_pair(task, solver=solver, max_iter=5)
    both(pair, "fit", X, y)
    for sample_weight in (None, np.linspace(0.5, 2, len(X))):
        assert_close(*both(pair, "score", X, y, sample_weight=sample_weight), RTOL_LBFGS)


def test_log_of_zero_probability():
    X, y = make_data("multiclass")
    pair = make_pair("multiclass", max_iter=1)
    both(pair, "fit", X, y)
    assert np.isneginf(both(pair, "predict_log_proba", 1e5 * X)[0]).any()


BAD_PARAMS = [
    {"hidden_layer_sizes": -1},
    {"hidden_layer_sizes": 0},
    {"hidden_layer_sizes": (5, 0)},
    {"hidden_layer_sizes": (5, -2)},
    {"hidden_layer_sizes": 2.5},
    {"hidden_layer_sizes": (2.5,)},
    {"hidden_layer_sizes": "10"},
    {"activation": "no such"},
    {"solver": "adamax"},
    {"alpha": -1e-3},
    {"batch_size": 0},
    {"batch_size": "all"},
    {"batch_size": 2.5},
    {"learning_rate": "linear"},
    {"learning_rate_init": 0},
    {"power_t": -1},
    {"max_iter": 0},
    {"max_iter": 1.5},
    {"shuffle": "yes"},
    {"random_state": "seed"},
    {"random_state": -1},
    {"tol": -1},
    {"verbose": -1},
    {"warm_start": "no"},
    {"momentum": 2},
    {"nesterovs_momentum": 1.5},
    {"early_stopping": "yes"},
    {"validation_fraction": 1.0},
    {"validation_fraction": 0.01, "early_stopping": True},
    {"beta_1": 1.0},
    {"beta_2": -0.5},
    {"epsilon": 0},
    {"n_iter_no_change": 0},
    {"n_iter_no_change": 1.5},
    {"max_fun": 0},
    {"random_state": np.random.default_rng(0)},
]


def named(params):
    return ", ".join(f"{name}={value}" for name, value in params.items())[:50]


@pytest.mark.parametrize("params", BAD_PARAMS, ids=named)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("task", ["binary", "regression-1"])
def test_bad_parameter(task, method, params):
    if params.get("solver") == "adamax" and method == "partial_fit":
        task = "binary"  # the regressor's has no partial_fit for such a solver: test_differences
    X, y = make_data(task)
    pair = make_pair(task, **params)
    kwargs = classes_for(task, y) if method == "partial_fit" else {}
    ours, theirs = (call(lambda e=est: getattr(e, method)(X, y, **kwargs)) for est in pair)
    assert theirs.error is not None
    assert ours.error == theirs.error


BAD_CALLS = {
    "1-D X": lambda X, y: ("fit", X[:, 0], y),
    "3-D X": lambda X, y: ("fit", X[:, :, None], y),
    "NaN in X": lambda X, y: ("fit", np.where(X > 1, np.nan, X), y),
    "infinity in X": lambda X, y: ("fit", np.where(X > 1, np.inf, X), y),
    "no rows": lambda X, y: ("fit", X[:0], y[:0]),
    "no columns": lambda X, y: ("fit", X[:, :0], y),
    "strings in X": lambda X, y: ("fit", np.full(X.shape, "a"), y),
    "complex X": lambda X, y: ("fit", X + 1j, y),
    "no y": lambda X, y: ("fit", X, None),
    "NaN in y": lambda X, y: ("fit", X, np.where(np.arange(len(y)) > 2, np.nan, y)),
    "infinity in y": lambda X, y: ("fit", X, np.where(np.arange(len(y)) > 2, np.inf, y)),
    "short y": lambda X, y: ("fit", X, y[:-1]),
    "3-D y": lambda X, y: ("fit", X, np.ones((len(X), 2, 2))),
    "multiclass-multioutput y": lambda X, y: ("fit", X, np.arange(2 * len(X)).reshape(-1, 2)),
    "ragged y": lambda X, y: ("fit", X, [[1, 2]] * 3 + [[1]] * (len(X) - 3)),
    "short sample_weight": lambda X, y: ("fit", X, y, np.ones(3)),
    "2-D sample_weight": lambda X, y: ("fit", X, y, np.ones((len(X), 2))),
    "NaN in sample_weight": lambda X, y: ("fit", X, y, np.full(len(X), np.nan)),
    "zero sample_weight": lambda X, y: ("fit", X, y, np.zeros(len(X))),
    "text as sample_weight": lambda X, y: ("fit", X, y, "balanced"),
    "unfitted predict": lambda X, y: ("predict", X),
    "unfitted score": lambda X, y: ("score", X, y),
    "partial_fit, 1-D X": lambda X, y: ("partial_fit", X[:, 0], y),
}


@pytest.mark.parametrize("bad", BAD_CALLS)
@pytest.mark.parametrize("task", ["multiclass", "regression-1"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_bad_call(solver, task, bad):
    X, y = make_data(task)
    method, *args = BAD_CALLS[bad](X, y)
    if solver == "lbfgs" and method == "partial_fit":
        method = "fit"  # the regressor's differs on purpose
    pair = make_pair(task, solver=solver, max_iter=2)
    ours, theirs = (call(getattr(est, method), *args) for est in pair)
    if bad == "zero sample_weight" and OLD_SKLEARN:  # another error, or NaN, before 1.9
        assert ours.error[0] is ValueError
        return
    # many targets are right for a regressor, and several columns of classes for our classifier
    assert theirs.error is not None or bad == "multiclass-multioutput y"
    assert ours.error == (None if bad == "multiclass-multioutput y" else theirs.error)


BAD_CALLS_AFTER_FIT = {
    "predict, fewer features": lambda X, y: ("predict", X[:, :-1]),
    "predict, more features": lambda X, y: ("predict", np.hstack([X, X])),
    "predict, NaN": lambda X, y: ("predict", np.full_like(X, np.nan)),
    "predict, no rows": lambda X, y: ("predict", X[:0]),
    "predict, 1-D": lambda X, y: ("predict", X[0]),
    "predict, strings": lambda X, y: ("predict", np.full(X.shape, "a")),
    "partial_fit, fewer features": lambda X, y: ("partial_fit", X[:, :-1], y),
    "partial_fit, short y": lambda X, y: ("partial_fit", X, y[:-1]),
    "partial_fit, no rows": lambda X, y: ("partial_fit", X[:0], y[:0]),
}


@pytest.mark.parametrize("bad", BAD_CALLS_AFTER_FIT)
@pytest.mark.parametrize("task", ["multiclass", "regression-1"])
def test_bad_call_after_fit(task, bad):
    X, y = make_data(task)
    method, *args = BAD_CALLS_AFTER_FIT[bad](X, y)
    pair = make_pair(task, max_iter=2)
    both(pair, "fit", X, y)
    ours, theirs = (call(getattr(est, method), *args) for est in pair)
    assert theirs.error is not None
    assert ours.error == theirs.error


def test_classes_must_be_given_and_stay_the_same():
    X, y = make_data("multiclass")
    pair = make_pair("multiclass")
    for kwargs in ({}, {"classes": [0, 1, 2, 3]}, {"classes": [0, 1]}, {}):
        both(pair, "partial_fit", X, y, **kwargs)
    both(pair, "partial_fit", X, y + 1)
    for est in pair:
        est.set_params(warm_start=True)
    both(pair, "fit", X[y < 3], y[y < 3])
    both(pair, "fit", X, y + 1)
    both(pair, "partial_fit", X[y < 3], y[y < 3])


def test_partial_fit_of_lbfgs_classifier_is_no_attribute():
    ours, theirs = make_pair("binary", solver="lbfgs")
    assert not hasattr(ours, "partial_fit")
    outcomes = [call(getattr, est, "partial_fit") for est in (ours, theirs)]
    assert outcomes[0].error[0] is outcomes[1].error[0] is AttributeError


def test_partial_fit_with_early_stopping():
    X, y = make_data("multiclass")
    pair = make_pair("multiclass", early_stopping=True)
    both(pair, "partial_fit", X, y, classes=[0, 1, 2, 3])  # equal errors
    pair = make_pair("multiclass", early_stopping=True)
    both(pair, "partial_fit", X, y, classes=[0, 1])  # equal errors: that of the classes


def test_divergence_is_the_same_error():
    X, y = make_data("regression-1")
    pair = make_pair("regression-1", solver="sgd", learning_rate_init=1e3, max_iter=50)
    outcomes = [call(est.fit, X, y) for est in pair]
    (ours, our_text), (theirs, their_text) = (outcome.error for outcome in outcomes)
    assert ours is theirs is ValueError
    assert our_text.startswith(their_text)  # and goes on: when, and what to try


# A sample of the whole product


GRID = {
    "solver": ["sgd", "sgd", "adam", "adam", "lbfgs"],
    "activation": ACTIVATIONS,
    "hidden_layer_sizes": [(), (5,), (7, 3)],
    "batch_size": [7, "auto", 16, 1000],
    "learning_rate": ["constant", "invscaling", "adaptive"],
    "learning_rate_init": [0.001, 0.01],
    "max_iter": [1, 5, 20],
    "shuffle": [True, True, False],
    "tol": [0.0, 1e-4, 1e-2, 0.1],
    "verbose": [False, True],
    "warm_start": [False, True],
    "momentum": [0.0, 0.5, 0.9],
    "nesterovs_momentum": [True, False],
    "early_stopping": [False, False, True],
    "validation_fraction": [0.1, 0.3],
    "n_iter_no_change": [1, 3, np.inf],
    "alpha": [0.0, 1e-4, 1.0],
    "beta_1": [0.9, 0.0],
    "epsilon": [1e-8, 0.1],
}
CALLS = [["fit"], ["fit", "fit"], ["partial_fit"] * 3, ["fit", "partial_fit", "fit"]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_sampled(seed):
    rng = np.random.RandomState(seed)
    params = {name: values[rng.randint(len(values))] for name, values in GRID.items()}
    task = TASKS[rng.randint(len(TASKS))]
    X, y = make_data(task, n=[23, 60][rng.randint(2)])
    X = in_format(X, ["C", "F", "CSR", "CSC"][rng.randint(4)])
    sample_weight = [None, np.linspace(0.1, 2, X.shape[0])][rng.randint(2)]
    calls = CALLS[rng.randint(len(CALLS))]
    if params["solver"] == "lbfgs":
        calls = [name for name in calls if name == "fit"] or ["fit"]
        params["verbose"] = False  # scikit-learn's prints nothing
    if params["early_stopping"]:
        calls = ["fit"]  # partial_fit is an error, and warm_start differs on purpose
    pair = make_pair(task, **params)
    for name in calls:
        kwargs = classes_for(task, y) if name == "partial_fit" else {}
        both(pair, name, X, y, sample_weight=sample_weight, **kwargs)
        assert_same_model(pair, X, RTOL_LBFGS if params["solver"] == "lbfgs" else RTOL)
