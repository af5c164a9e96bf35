"""hidden_layer and input_gradient of the estimators: against Network, scikit-learn's own networks
and central differences."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import NotFittedError

from cmlp import MLPClassifier, MLPRegressor, Network

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TASKS = ["binary", "multiclass", "multilabel", "regression-1", "regression-2", "poisson"]


def make(task, dtype="float64", **params):
    """A fitted estimator and its data."""
    params = {"hidden_layer_sizes": (7, 5), "activation": "tanh", "random_state": 0, **params}
    params["max_iter"] = 15
    if task.startswith("regression") or task == "poisson":
        X, y = make_regression(
            60, 6, n_targets=int(task[-1]) if "-" in task else 1, random_state=0
        )
        y = y / y.std()
        if task == "poisson":
            params["loss"], y = "poisson", np.round(np.abs(y))
        cls = MLPRegressor
    elif task == "multilabel":
        X, y = make_multilabel_classification(60, 6, n_classes=3, random_state=0)
        X, cls = X / 10, MLPClassifier
    else:
        n_classes = 2 if task == "binary" else 3
        X, y = make_classification(
            60, 6, n_informative=5, n_redundant=0, n_classes=n_classes, random_state=0
        )
        y, cls = np.array(["a", "b", "c"])[y], MLPClassifier
    X = X.astype(dtype)
    return cls(**params).fit(X, y), X, y


# hidden_layer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("task", ["multiclass", "regression-1"])
def test_hidden_layer(task, activation, dtype):
    est, X, _ = make(task, dtype, activation=activation)
    activations = Network.from_estimator(est).forward(X)
    rtol = 1e-5 if dtype == "float32" else 1e-12
    for layer, expected in ((0, 1), (1, 2), (-1, 2), (-2, 1)):
        found = est.hidden_layer(X, layer=layer)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, activations[expected], rtol=rtol, atol=rtol)
        np.testing.assert_allclose(
            est.hidden_layer(sp.csr_matrix(X), layer=layer), found, rtol=rtol, atol=rtol
        )
    np.testing.assert_array_equal(est.hidden_layer(X), est.hidden_layer(X, -1))


def test_replaced_weights_are_seen():
    est, X, _ = make("multiclass")
    est.coefs_ = [np.zeros_like(coef) for coef in est.coefs_]
    np.testing.assert_allclose(est.hidden_layer(X), np.tile(np.tanh(est.intercepts_[1]), (60, 1)))


def test_bad_layers():
    est, X, y = make("multiclass")
    for layer in (2, -3, 10):
        with pytest.raises(ValueError, match="layer must be between -2 and 1"):
            est.hidden_layer(X, layer=layer)
    with pytest.raises(TypeError):
        est.hidden_layer(X, layer=0.5)
    with pytest.raises(ValueError, match="features"):
        est.hidden_layer(X[:, 1:])
    linear = MLPClassifier((), max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="no hidden layer"):
        linear.hidden_layer(X)
    for method in ("hidden_layer", "input_gradient"):
        with pytest.raises(NotFittedError):
            getattr(MLPClassifier(), method)(X)


# input_gradient


def differences(f, X, step=1e-5):
    """Central differences of f, (n, ...), with respect to the features of its own row."""
    slopes = []
    for j in range(X.shape[1]):
        shift = np.zeros_like(X)
        shift[:, j] = step
        slopes.append((f(X + shift) - f(X - shift)) / (2 * step))
    return np.stack(slopes, axis=-1)


def losses(est, X, y):
    """The loss of each sample, the sum over outputs."""
    if isinstance(est, MLPRegressor):
        p = est.predict(X).reshape(len(X), -1)
        y = np.asarray(y).reshape(len(X), -1)
        if est.loss == "poisson":
            return (p - y * np.log(p)).sum(axis=1)  # but for what does not depend on p
        return ((p - y) ** 2 / 2).sum(axis=1)
    p = est.predict_proba(X)
    if np.ndim(y) == 2:
        return -(np.log(p) * y + np.log(1 - p) * (1 - y)).sum(axis=1)
    return -np.log(p[np.arange(len(X)), np.searchsorted(est.classes_, y)])


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("task", TASKS)
def test_gradient_of_the_loss(task, activation):
    est, X, y = make(task, activation=activation)
    gradient = est.input_gradient(X, y)
    assert gradient.shape == X.shape
    expected = differences(lambda rows: losses(est, rows, y), X)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("task", TASKS)
def test_gradient_of_the_prediction(task):
    est, X, _ = make(task)
    gradient = est.input_gradient(X)
    if isinstance(est, MLPRegressor):
        expected = differences(est.predict, X)
        assert gradient.shape == ((60, 2, 6) if task == "regression-2" else (60, 6))
    else:
        winner = est.predict(X)
        expected = differences(lambda rows: -losses(est, rows, winner), X)
        assert gradient.shape == (60, 6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", TASKS)
def test_gradient_of_sparse_rows(task, dtype):
    est, X, y = make(task, dtype)
    rtol = 1e-3 if dtype == "float32" else 1e-10
    for arguments in ((), (y,)):
        dense = est.input_gradient(X, *arguments)
        sparse = est.input_gradient(sp.csr_matrix(X), *arguments)
        assert type(sparse) is np.ndarray
        assert sparse.dtype == dense.dtype == dtype
        np.testing.assert_allclose(sparse, dense, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("task", TASKS)
def test_gradient_in_the_dtype_of_predictions(task):
    est, X, y = make(task, dtype="float64")
    expected = [est.input_gradient(X), est.input_gradient(X, y)]
    est = clone(est).set_params(dtype="float32").fit(X, y)
    for rows in (X, sp.csr_matrix(X)):
        for found, values in zip(
            (est.input_gradient(rows), est.input_gradient(rows, y)), expected, strict=True
        ):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, values, rtol=0.05, atol=0.01)


def test_gradient_of_other_losses():
    """With y of the loss of the fit, without y of the logarithm of the probability."""
    X, y = make("multiclass")[1:]
    for params in ({"loss": "focal", "focal_gamma": 3.0}, {"loss": "squared_error"}):
        est = MLPClassifier((7, 5), "tanh", random_state=0, max_iter=15, **params).fit(X, y)
        index = np.arange(len(X)), np.searchsorted(est.classes_, y)

        def loss(rows, est=est, index=index):
            p = est.predict_proba(rows)
            if est.loss == "focal":
                return -((1 - p[index]) ** 3) * np.log(p[index])
            onehot = np.zeros_like(p)
            onehot[index] = 1
            return ((p - onehot) ** 2).sum(axis=1) / 2

        np.testing.assert_allclose(
            est.input_gradient(X, y), differences(loss, X), rtol=1e-5, atol=1e-7
        )
        winner = est.predict(X)
        expected = differences(lambda rows, est=est, w=winner: -losses(est, rows, w), X)
        np.testing.assert_allclose(est.input_gradient(X), expected, rtol=1e-5, atol=1e-7)


def test_gradient_misuse():
    est, X, y = make("multiclass")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        est.input_gradient(X, y[1:])
    with pytest.raises(ValueError, match="previously unseen labels"):
        est.input_gradient(X, np.full(len(X), "z"))
    with pytest.raises(ValueError, match="features"):
        est.input_gradient(X[:, 1:])
    est, X, y = make("regression-2")
    with pytest.raises(ValueError, match="y has the shape"):
        est.input_gradient(X, y[:, 0])
