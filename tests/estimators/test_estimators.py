"""What cmlp's estimators have and scikit-learn's have not: parameters, initial weights, Ctrl-C."""

import itertools

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_regression

from cmlp import MLPClassifier, MLPRegressor, Network

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = ["sgd", "adam", "lbfgs"]
FUNCTIONS = {
    "identity": lambda z: z,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "exp": np.exp,
    "relu": lambda z: np.maximum(z, 0),
}
OUT_ACTIVATIONS = list(FUNCTIONS)


@pytest.fixture
def regression():
    """Targets inside (0.1, 0.9), the range of every output activation."""
    X, y = make_regression(60, 4, n_targets=2, random_state=0)
    return X, 0.5 + 0.4 * np.tanh(y / y.std(axis=0))


@pytest.fixture
def classification():
    X, y = make_classification(90, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)
    return X, y


def small(**params):
    return {"hidden_layer_sizes": (6, 4), "max_iter": 20, "random_state": 0, **params}


def softmax(z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


# fit_intercept


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_regressor_without_intercepts(activation, solver, dtype, regression):
    X, y = regression[0].astype(dtype), regression[1].astype(dtype)
    params = small(solver=solver, activation=activation, fit_intercept=False)
    est = MLPRegressor(**params).fit(X, y)
    assert [b.shape for b in est.intercepts_] == [(6,), (4,), (2,)]
    assert all(b.dtype == dtype and not b.any() for b in est.intercepts_)
    a = X
    for coef in est.coefs_[:-1]:
        a = FUNCTIONS[activation](a @ coef)
    rtol = 1e-10 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(est.predict(X), a @ est.coefs_[-1], rtol=rtol, atol=rtol)
    first = MLPRegressor(**{**params, "max_iter": 1}).fit(X, y)
    assert est.loss_ < first.loss_


@pytest.mark.parametrize("solver", SOLVERS)
def test_classifier_without_intercepts(solver, classification):
    X, y = classification
    est = MLPClassifier(**small(solver=solver, activation="tanh"), fit_intercept=False).fit(X, y)
    assert not any(b.any() for b in est.intercepts_)
    z = np.tanh(np.tanh(X @ est.coefs_[0]) @ est.coefs_[1]) @ est.coefs_[2]
    np.testing.assert_allclose(est.predict_proba(X), softmax(z), rtol=1e-10)


@pytest.mark.parametrize("how", ["partial_fit", "warm_start", "early_stopping"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_intercepts_stay_zero(solver, how, regression):
    X, y = regression
    est = MLPRegressor(
        **small(solver=solver, fit_intercept=False, batch_size=7, max_iter=5),
        warm_start=how == "warm_start",
        early_stopping=how == "early_stopping",
    )
    for _ in range(3):
        (est.partial_fit if how == "partial_fit" else est.fit)(X, y)
        assert not any(b.any() for b in est.intercepts_)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_warm_start_that_gives_up_the_intercepts(solver, regression):
    X, y = regression
    est = MLPRegressor(**small(solver=solver, max_iter=5), warm_start=True).fit(X, y)
    assert all(b.any() for b in est.intercepts_)
    est.set_params(fit_intercept=False).fit(X, y)
    assert not any(b.any() for b in est.intercepts_)


def test_without_intercepts_the_initial_weights_are_the_same(regression):
    params = small(solver="sgd", learning_rate_init=1e-300, max_iter=1)
    one = MLPRegressor(**params).fit(*regression)
    other = MLPRegressor(**params, fit_intercept=False).fit(*regression)
    for a, b in zip(one.coefs_, other.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(b.any() for b in one.intercepts_)


def test_linear_model_without_intercept_is_least_squares(regression):
    X, y = regression
    params = {"solver": "lbfgs", "alpha": 0.0, "tol": 1e-10, "random_state": 0}
    est = MLPRegressor("squared_error", (), **params, fit_intercept=False).fit(X, y[:, 0])
    expected = np.linalg.lstsq(X, y[:, 0], rcond=None)[0]
    np.testing.assert_allclose(est.coefs_[0].ravel(), expected, rtol=0.01)


@pytest.mark.parametrize("value", ["no", None, 2])
def test_bad_fit_intercept(value, regression):
    with pytest.raises(ValueError, match="'fit_intercept' parameter"):
        MLPRegressor(fit_intercept=value).fit(*regression)


# out_activation


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("out_activation", OUT_ACTIVATIONS)
def test_out_activation(out_activation, solver, regression):
    X, y = regression
    params = small(solver=solver, activation="tanh", learning_rate_init=0.01, max_iter=60)
    est = MLPRegressor(**params, out_activation=out_activation)
    est.fit(X, y)
    assert est.out_activation_ == out_activation
    a = X
    for coef, intercept in zip(est.coefs_[:-1], est.intercepts_[:-1], strict=True):
        a = np.tanh(a @ coef + intercept)
    expected = FUNCTIONS[out_activation](a @ est.coefs_[-1] + est.intercepts_[-1])
    np.testing.assert_allclose(est.predict(X), expected, rtol=1e-10, atol=1e-12)

    start = MLPRegressor(**{**params, "max_iter": 1}, out_activation=out_activation).fit(X, y)
    assert est.loss_ < 0.7 * start.loss_
    # the loss reported is the mean over the outputs
    penalty = est.alpha / 2 * sum((coef**2).sum() for coef in est.coefs_) / len(X)
    if solver == "lbfgs":
        assert est.loss_ == pytest.approx(((est.predict(X) - y) ** 2).mean() / 2 + penalty)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("out_activation", OUT_ACTIVATIONS)
def test_gradient_through_out_activation(
    out_activation, weighted, fit_intercept, loss, regression
):
    """Central differences of the loss, written out here, against the gradient of the kernels."""
    if loss == "poisson" and out_activation not in ("exp", "logistic"):
        return  # refused: see test_poisson_with_unsuitable_out_activation
    X, y = regression
    weight = np.linspace(0.1, 2, len(X)) if weighted else np.ones(len(X))
    est = MLPRegressor(
        loss,
        **small(activation="tanh", alpha=0.3, max_iter=3),
        out_activation=out_activation,
        fit_intercept=fit_intercept,
    ).fit(X, y)

    def loss_of(coefs, intercepts):
        a = X
        for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
            a = np.tanh(a @ coef + intercept)
        p = FUNCTIONS[out_activation](a @ coefs[-1] + intercepts[-1])
        losses = (p - y) ** 2 / 2 if loss == "squared_error" else y * np.log(y / p) - y + p
        penalty = 0.3 / 2 * sum((coef**2).sum() for coef in coefs)
        return (weight @ losses.sum(axis=1) + penalty) / weight.sum()

    network = Network.from_estimator(est)
    result = network.loss_and_gradients(X, y, sample_weight=weight if weighted else None)
    assert result.loss == pytest.approx(loss_of(est.coefs_, est.intercepts_), rel=1e-12)

    copies = [[w.copy() for w in weights] for weights in (est.coefs_, est.intercepts_)]
    step = 1e-6
    for which, grads in enumerate((result.coef_grads, result.intercept_grads)):
        if which == 1 and not fit_intercept:
            assert not any(grad.any() for grad in grads)
            continue
        for weights, grad in zip(copies[which], grads, strict=True):
            numerical = np.empty_like(weights)
            for i in np.ndindex(weights.shape):
                kept = weights[i]
                weights[i] = kept + step
                above = loss_of(*copies)
                weights[i] = kept - step
                numerical[i] = (above - loss_of(*copies)) / (2 * step)
                weights[i] = kept
            np.testing.assert_allclose(grad, numerical, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("out_activation", OUT_ACTIVATIONS)
def test_a_step_of_sgd_follows_that_gradient(out_activation, regression):
    X, y = regression
    params = small(activation="tanh", solver="sgd", momentum=0.0, batch_size=60, alpha=0.3)
    est = MLPRegressor(**params, out_activation=out_activation, learning_rate_init=0.1)
    est.partial_fit(X, y)
    before = [w.copy() for w in est.coefs_ + est.intercepts_]
    result = Network.from_estimator(est).loss_and_gradients(X, y)
    est.partial_fit(X, y)
    grads = result.coef_grads + result.intercept_grads
    for old, grad, new in zip(before, grads, est.coefs_ + est.intercepts_, strict=True):
        np.testing.assert_allclose(new, old - 0.1 * grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("out_activation", ["auto", "exp", "logistic"])
def test_poisson(out_activation, solver, regression):
    X, y = regression
    params = small(solver=solver, learning_rate_init=0.01, max_iter=40)
    est = MLPRegressor("poisson", **params, out_activation=out_activation).fit(X, y)
    assert est.out_activation_ == {"auto": "exp"}.get(out_activation, out_activation)
    first = MLPRegressor(
        "poisson", **{**params, "max_iter": 1}, out_activation=out_activation
    ).fit(X, y)
    assert est.loss_ < first.loss_
    assert (est.predict(X) > 0).all()


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("out_activation", ["identity", "relu", "tanh"])
def test_poisson_with_unsuitable_out_activation(out_activation, method, regression):
    est = MLPRegressor("poisson", **small(), out_activation=out_activation)
    with pytest.raises(ValueError, match="loss='poisson' needs positive predictions"):
        getattr(est, method)(*regression)
    assert not hasattr(est, "coefs_")


@pytest.mark.parametrize("value", ["softmax", "linear", None, 1])
def test_bad_out_activation(value, regression):
    with pytest.raises(ValueError, match="'out_activation' parameter"):
        MLPRegressor(out_activation=value).fit(*regression)


def test_auto_is_the_default(regression):
    est = MLPRegressor(**small()).fit(*regression)
    assert est.out_activation == "auto"
    assert est.out_activation_ == "identity"
    same = MLPRegressor(**small(), out_activation="identity").fit(*regression)
    np.testing.assert_array_equal(est.coefs_[0], same.coefs_[0])


# coefs_init, intercepts_init


def weights_for(units, seed=1):
    rng = np.random.RandomState(seed)
    coefs = [rng.normal(size=shape) / 3 for shape in itertools.pairwise(units)]
    return coefs, [rng.normal(size=n) / 3 for n in units[1:]]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_training_starts_from_the_given_weights(solver, regression):
    """One step of plain SGD, or of adam, away from them."""
    X, y = regression
    coefs, intercepts = weights_for([4, 6, 4, 2])
    params = small(solver=solver, momentum=0.0, activation="tanh", max_iter=1, batch_size=60)
    est = MLPRegressor(**params, learning_rate_init=0.01)
    est.fit(X, y, coefs_init=coefs, intercepts_init=intercepts)
    network = Network(coefs, intercepts, activation="tanh", alpha=est.alpha)
    result = network.loss_and_gradients(X, y)
    for old, grad, new in zip(
        coefs + intercepts,
        result.coef_grads + result.intercept_grads,
        est.coefs_ + est.intercepts_,
        strict=True,
    ):
        step = grad if solver == "sgd" else grad / (np.abs(grad) + 1e-8 * np.sqrt(1 / 0.001))
        rtol = 1e-10 if solver == "sgd" else 1e-5
        np.testing.assert_allclose(new, old - 0.01 * step, rtol=rtol, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["classifier", "regressor"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_of_a_fitted_model_as_start(solver, name, regression, classification):
    X, y = classification if name == "classifier" else regression
    make = MLPClassifier if name == "classifier" else MLPRegressor
    trained = make(**small(solver="lbfgs", max_iter=100)).fit(X, y)
    est = make(**small(solver=solver, max_iter=1))
    est.fit(X, y, coefs_init=trained.coefs_, intercepts_init=trained.intercepts_)
    assert est.loss_ == pytest.approx(trained.loss_, rel=0.05)
    cold = make(**small(solver=solver, max_iter=1)).fit(X, y)
    assert est.loss_ < cold.loss_ / 2
    assert not np.shares_memory(est.coefs_[0], trained.coefs_[0])


@pytest.mark.parametrize("given", ["coefs", "intercepts"])
def test_only_one_of_the_two(given, regression):
    """The other is drawn as ever, from the same random numbers."""
    X, y = regression
    coefs, intercepts = weights_for([4, 6, 4, 2])
    params = small(solver="sgd", learning_rate_init=1e-300, max_iter=1)
    drawn = MLPRegressor(**params).fit(X, y)
    est = MLPRegressor(**params)
    if given == "coefs":
        est.fit(X, y, coefs_init=coefs)
        intercepts = drawn.intercepts_
    else:
        est.fit(X, y, intercepts_init=intercepts)
        coefs = drawn.coefs_
    for a, b in zip(est.coefs_ + est.intercepts_, [*coefs, *intercepts], strict=True):
        np.testing.assert_array_equal(a, b)


def test_init_in_place_of_the_weights_of_a_warm_start(regression):
    X, y = regression
    coefs, intercepts = weights_for([4, 6, 4, 2])
    est = MLPRegressor(**small(solver="sgd", warm_start=True, max_iter=2)).fit(X, y)
    est.set_params(learning_rate_init=1e-300)
    est.fit(X, y, coefs_init=coefs, intercepts_init=intercepts)
    for a, b in zip(est.coefs_ + est.intercepts_, coefs + intercepts, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(est.loss_curve_) == 4  # it is a warm start all the same
    est.fit(X, y)  # and goes on from there
    np.testing.assert_array_equal(est.coefs_[0], coefs[0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_init_takes_the_dtype_of_X(dtype, regression):
    X, y = regression[0].astype(dtype), regression[1].astype(dtype)
    coefs, intercepts = weights_for([4, 6, 4, 2])
    est = MLPRegressor(**small(solver="sgd", learning_rate_init=1e-30, max_iter=1))
    est.fit(X, y, coefs_init=[coef.tolist() for coef in coefs], intercepts_init=intercepts)
    assert {w.dtype for w in est.coefs_ + est.intercepts_} == {np.dtype(dtype)}
    np.testing.assert_array_equal(est.coefs_[0], coefs[0].astype(dtype))


def test_init_does_not_change_the_batches(regression):
    """Weights are drawn and thrown away, so that shuffling goes on from the same state."""
    X, y = regression
    start = MLPRegressor(**small(solver="sgd", learning_rate_init=1e-300, max_iter=1)).fit(X, y)
    params = small(batch_size=7, max_iter=5)
    expected = MLPRegressor(**params).fit(X, y)
    est = MLPRegressor(**params)
    est.fit(X, y, coefs_init=start.coefs_, intercepts_init=start.intercepts_)
    np.testing.assert_array_equal(est.coefs_[0], expected.coefs_[0])
    assert est.loss_curve_ == expected.loss_curve_


def test_shapes_of_init_are_in_the_message(regression):
    coefs, intercepts = weights_for([4, 6, 3, 2])
    with pytest.raises(ValueError, match=r"\(6, 3\).*expected .*\(6, 4\)"):
        MLPRegressor(**small()).fit(*regression, coefs_init=coefs)
    with pytest.raises(ValueError, match=r"intercepts of shapes .*\(3,\)"):
        MLPRegressor(**small()).fit(*regression, intercepts_init=intercepts)


def test_intercepts_init_without_intercepts(regression):
    _, intercepts = weights_for([4, 6, 4, 2])
    est = MLPRegressor(**small(), fit_intercept=False)
    with pytest.raises(ValueError, match="no intercepts_init but zeros"):
        est.fit(*regression, intercepts_init=intercepts)
    est.fit(*regression, intercepts_init=[np.zeros(6), np.zeros(4), np.zeros(2)])
