"""The parameter activation: every name of the table, one per hidden layer, initial weights, and
what predict makes of changes. The functions themselves are tested in core/test_activations.py."""

import pickle

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor as Theirs
from sklearn.preprocessing import scale
from sklearn.utils._param_validation import InvalidParameterError

from benchmarks import kernels
from cmlp import MLPClassifier, MLPRegressor, Network
from cmlp._core import engine

HIDDEN = [name for name, row in engine.ACTIVATIONS.items() if row["hidden"]]
ADDED = [name for name in HIDDEN if name not in ("identity", "logistic", "tanh", "relu")]
MIXED = ["gelu", "tanh", "selu"]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X[:120]), scale(y[:120])


def regressor(activation, hidden=(9, 5), **params):
    params = {"random_state": 0, "max_iter": 8, "learning_rate_init": 0.01} | params
    return MLPRegressor(hidden_layer_sizes=hidden, activation=activation, **params)


def forward(est, X):
    """The network of an estimator in NumPy."""
    names = est.activation
    n_hidden = len(est.coefs_) - 1
    names = [names] * n_hidden if isinstance(names, str) else names
    for name, coef, intercept in zip(
        [*names, est.out_activation_], est.coefs_, est.intercepts_, strict=True
    ):
        X = reference.ACTIVATIONS[name][0](X @ coef.astype(float) + intercept)
    return X


def test_every_row_is_allowed_and_in_the_benchmark():
    """What else a row needs: test_floors.py (documentation), test_network.py (gradients)."""
    assert len(HIDDEN) >= 12
    for cls in (MLPClassifier, MLPRegressor):
        names, lists = cls._parameter_constraints["activation"]
        assert names.options == lists.options == set(HIDDEN)
    assert set(kernels.FUNCTIONS) == set(engine.ACTIVATIONS) - {"softmax"}


@pytest.mark.parametrize("name", HIDDEN)
def test_benchmark_formula(name):
    z = np.random.default_rng(0).normal(size=(20, 30), scale=3)
    got = z.copy()
    engine.activate(name, got)
    np.testing.assert_allclose(got, kernels.FUNCTIONS[name](z), rtol=1e-12, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("activation", [*ADDED, MIXED])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_fit_and_predict(activation, dtype, form, diabetes):
    X, y = diabetes
    X = np.where(np.abs(X) < 0.8, 0, X).astype(dtype) if form == "sparse" else X.astype(dtype)
    given = sp.csr_matrix(X) if form == "sparse" else X
    hidden = (9, 3, 17) if isinstance(activation, list) else (9, 3)
    weight = np.random.default_rng(1).uniform(0.2, 2, len(y))
    losses = []
    for solver in ("adam", "sgd", "lbfgs"):
        est = regressor(activation, hidden, solver=solver, max_iter=15).fit(given, y, weight)
        assert est.coefs_[0].dtype == est.predict(given).dtype == dtype
        rtol = 1e-4 if dtype == np.float32 else 1e-10
        expected = forward(est, X.astype(float)).ravel()
        for _ in range(2):
            np.testing.assert_allclose(est.predict(given), expected, rtol=rtol, atol=rtol)
        losses.append(est.loss_)
        start = regressor(activation, hidden, solver=solver, max_iter=1).fit(given, y, weight)
        assert est.loss_ < start.loss_
    result = Network.from_estimator(est).loss_and_gradients(X, y[:, None], weight)
    assert result.loss == pytest.approx(losses[-1], rel=1e-4)


@pytest.mark.parametrize("activation", [*ADDED, MIXED])
def test_the_same_by_other_ways(activation, diabetes):
    """Threads, copies, pickles and continued training change no bit."""
    X, y = diabetes
    hidden = (9, 3, 17) if isinstance(activation, list) else (9, 3)
    params = {"batch_size": 30, "shuffle": False}
    est = regressor(activation, hidden, n_jobs=1, **params).fit(X, y)
    for other in (
        regressor(activation, hidden, n_jobs=2, **params).fit(X, y),
        clone(est).fit(X, y),
        pickle.loads(pickle.dumps(est)),
    ):
        np.testing.assert_array_equal(other.predict(X), est.predict(X))
    warm = regressor(activation, hidden, warm_start=True, **params).set_params(max_iter=1)
    for _ in range(3):
        warm.fit(X, y)
    assert warm.loss_ < warm.loss_curve_[0]
    online = regressor(activation, hidden, batch_size=1, solver="sgd", learning_rate_init=1e-3)
    for _ in range(5):
        online.partial_fit(X, y)
    assert online.loss_ < online.loss_curve_[0]
    np.testing.assert_allclose(online.predict(X), forward(online, X).ravel(), rtol=1e-10)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_one_per_layer_is_the_name_where_all_are_the_same(solver, diabetes):
    X, y = diabetes
    for name in ("relu", "logistic", "gelu"):
        one = regressor(name, solver=solver).fit(X, y)
        for names in ([name, name], (name, name)):
            other = regressor(names, solver=solver).fit(X, y)
            np.testing.assert_array_equal(other.predict(X), one.predict(X))


@pytest.mark.parametrize("name", ["identity", "logistic", "tanh", "relu"])
def test_initial_weights_of_scikit_learn(name, diabetes):
    X, y = diabetes
    params = {"hidden_layer_sizes": (9, 5), "activation": name, "random_state": 3, "max_iter": 1}
    params |= {"solver": "sgd", "learning_rate_init": 1e-300}
    ours, theirs = (cls(**params).fit(X, y) for cls in (MLPRegressor, Theirs))
    params["activation"] = [name, name]
    listed = MLPRegressor(**params).fit(X, y)
    for which in ("coefs_", "intercepts_"):
        for a, b, c in zip(*(getattr(e, which) for e in (ours, theirs, listed)), strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)


def test_initial_weights_of_each_layer(diabetes):
    X, y = diabetes
    est = regressor(
        ["silu", "logistic", "selu"], (300, 200, 400), solver="sgd", learning_rate_init=1e-300
    ).fit(X, y)
    units = [10, 300, 200, 400, 1]
    factors = [8.4322834 / 10, 2 / (300 + 200), 3 / 200, 3 / 400]
    for layer, factor in enumerate(factors):
        assert est.coefs_[layer].shape == (units[layer], units[layer + 1])
        assert np.sqrt(factor) * 0.97 < np.abs(est.coefs_[layer]).max() <= np.sqrt(factor)
        assert np.abs(est.intercepts_[layer]).max() <= np.sqrt(factor)
    linear = regressor([], (), solver="sgd", learning_rate_init=1e-300).fit(X, y)
    assert np.abs(linear.coefs_[0]).max() <= np.sqrt(6 / 11)


def test_grid_search(diabetes):
    X, y = load_iris(return_X_y=True)
    grid = {"activation": ["relu", ["gelu", "tanh"], ("mish", "mish")]}
    search = GridSearchCV(
        MLPClassifier((6, 4), max_iter=30, random_state=0, learning_rate_init=0.02), grid, cv=2
    ).fit(scale(X), y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > 0.8


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(
    "activation", [["relu", "no such"], ["relu", None], "no such", [["relu"]], 3, {"relu": 1}]
)
def test_unknown_names(cls, activation):
    message = (
        f"The 'activation' parameter of {cls.__name__} must be a str among \\{{.*'gelu'.*\\}} or a"
        " list or tuple of them, one per hidden layer. Got .* instead."
    )
    with pytest.raises(InvalidParameterError, match=message):
        cls((3, 3), activation=activation).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("activation", [[], ["relu"], ("relu", "tanh", "tanh")])
def test_wrong_number(activation, diabetes):
    with pytest.raises(ValueError, match="activation must have one entry per hidden layer"):
        regressor(activation).fit(*diabetes)
    with pytest.raises(ValueError, match="activation must have one entry per hidden layer"):
        regressor(activation).partial_fit(*diabetes)
    est = regressor("relu").fit(*diabetes).set_params(activation=activation)
    with pytest.raises(ValueError, match="for 2 hidden layers"):
        est.predict(diabetes[0])


def test_changes_are_seen_by_predict(diabetes):
    X, y = diabetes
    est = regressor(["relu", "tanh"]).fit(X, y)

    def changed(change):
        before = [est.predict(X) for _ in range(2)][1]
        change()
        for rows in (X, X, X[:1], X[:1]):
            expected = forward(est, rows).ravel()
            np.testing.assert_allclose(est.predict(rows), expected, rtol=1e-10, atol=1e-12)
        assert not np.array_equal(before, est.predict(X))

    def in_place():
        est.activation[1] = "softplus"

    changed(in_place)
    changed(lambda: est.set_params(activation=["relu", "mish"]))
    changed(lambda: est.set_params(activation=("gelu", "mish")))
    changed(lambda: est.set_params(activation="elu"))
    est.set_params(activation=["elu", "elu"])
    np.testing.assert_allclose(est.predict(X), forward(est, X).ravel(), rtol=1e-10)
    est.activation.append("elu")
    with pytest.raises(ValueError, match="one entry per hidden layer"):
        est.predict(X)


def test_parameters_are_kept_as_they_are():
    names = ["relu", "tanh"]
    est = MLPClassifier((3, 3), names)
    assert est.activation is names
    copied = clone(est)
    assert copied.activation == names
    assert copied.activation is not names
    assert "activation=['relu', 'tanh']" in repr(est)
