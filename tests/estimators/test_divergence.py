"""Training whose loss or weights leave the finite numbers: when it stops, what it says and keeps.

That scikit-learn stops later is in test_differences.py.
"""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from cmlp import MLPClassifier, MLPRegressor, _fitting
from cmlp._divergence import NO_SCORE, NON_FINITE, diverged
from cmlp._optimizers import OPTIMIZERS

STOCHASTIC = sorted(OPTIMIZERS)


@pytest.fixture
def data():
    X = np.random.RandomState(0).randn(40, 5)
    return X, X[:, 0]


def regressor(**params):
    params = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 30, **params}
    return MLPRegressor(**params)


def message_of(call, *args):
    """The text of its ValueError, which begins as scikit-learn's; nothing else is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(ValueError, match=r"^Solver produced") as error:
            call(*args)
    text = str(error.value)
    assert text.startswith(NON_FINITE + " ")
    return text


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", STOCHASTIC)
def test_stops_at_the_epoch_and_names_it(solver, dtype, data):
    X, y = (array.astype(dtype) for array in data)
    rate = 1e300 if dtype == np.float64 else 1e30
    est = regressor(solver=solver, learning_rate_init=rate, batch_size=20)
    text = message_of(est.fit, X, y)
    assert est.n_iter_ < 10
    assert len(est.loss_curve_) == est.n_iter_
    assert f"after epoch {est.n_iter_} with a learning rate of {rate:g}" in text
    assert "Scale X and y, lower learning_rate_init or set max_grad_norm." in text
    finite = np.isfinite(est.loss_) and all(np.isfinite(w).all() for w in est.coefs_)
    assert not finite or not all(np.isfinite(b).all() for b in est.intercepts_)


@pytest.mark.parametrize("solver", STOCHASTIC)
def test_the_epoch_before_was_finite(solver, data):
    """It is not told too late: as many epochs less end well."""
    params = {"solver": solver, "learning_rate_init": 1e300, "batch_size": 20}
    est = regressor(**params)
    message_of(est.fit, *data)
    if est.n_iter_ > 1:
        before = regressor(**{**params, "max_iter": est.n_iter_ - 1})
        with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
            before.fit(*data)
        assert not np.isnan(before.loss_)


def test_weights_that_overflow_in_the_last_step_of_an_epoch(data):
    """The loss is that of the weights before, and finite."""
    X, y = data
    est = regressor(solver="sgd", learning_rate_init=1e308, batch_size=40, max_iter=10)
    text = message_of(est.fit, 100 * X, 100 * y)
    assert est.n_iter_ == 1
    assert np.isfinite(est.loss_)
    assert f"after epoch 1 with a learning rate of 1e+308, loss {est.loss_:g}." in text


def test_the_learning_rate_is_that_of_the_schedule(data):
    params = {"learning_rate": "cosine", "warmup_fraction": 0.5, "solver": "sgd"}
    est = regressor(learning_rate_init=1e200, batch_size=40, max_iter=20, **params)
    text = message_of(est.fit, *data)
    rate = 1e200 * est.n_iter_ / 10  # a step per epoch, ten of them to warm up
    assert f"learning rate of {rate:g}," in text


def test_no_advice_to_do_what_is_done(data):
    est = regressor(solver="sgd", learning_rate_init=1e308, max_grad_norm=1e3)
    assert "max_grad_norm" not in message_of(est.fit, *data)
    X, y = data
    est = MLPClassifier(hidden_layer_sizes=(8, 8), solver="sgd", learning_rate_init=1e300)
    assert "Scale X, lower" in message_of(est.fit, X, y > 0)


@pytest.mark.parametrize("keeps_curve", [True, False])
@pytest.mark.parametrize("solver", STOCHASTIC)
def test_partial_fit_counts_its_calls(solver, keeps_curve, data):
    est = regressor(solver=solver, partial_fit_loss_curve=keeps_curve)
    for _ in range(3):
        est.partial_fit(*data)
    est.set_params(learning_rate_init=1e300)
    n_calls = 3

    def calls():
        nonlocal n_calls
        for _ in range(10):
            n_calls += 1
            est.partial_fit(*data)

    text = message_of(calls)
    assert f"after epoch {n_calls} of partial_fit with" in text


@pytest.mark.parametrize("scale", [1e160, 1e300])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_lbfgs_where_the_loss_is_not_finite(dtype, scale, data):
    X, y = data
    with np.errstate(over="ignore"):
        X = (scale * X if dtype == np.float64 else 1e30 * X).astype(dtype)
    y = y if dtype == np.float64 else (1e38 * y).astype(np.float64) * 1e150
    est = regressor(solver="lbfgs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        text = message_of(est.fit, X, y)
    assert f"after iteration {est.n_iter_}, loss nan. Scale X and y, or try another" in text


def test_lbfgs_whose_weights_overflow_float32(data, monkeypatch):
    """They are computed in float64; what is looked at in the end is what the estimator has."""

    def lbfgs(run):
        run.state.n_iter, run.state.loss = 7, np.float64(1)
        run.state.parameters.vector[...] = 1e300

    monkeypatch.setattr(_fitting, "lbfgs", lbfgs)
    X, y = data
    regressor(solver="lbfgs").fit(X, y)
    est = regressor(solver="lbfgs")
    assert "after iteration 7, loss 1." in message_of(est.fit, X.astype(np.float32), y)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", STOCHASTIC)
def test_early_stopping_keeps_the_best_finite_weights(solver, dtype, data):
    X, y = (array.astype(dtype) for array in data)
    rate = 1e300 if dtype == np.float64 else 1e30
    est = regressor(solver=solver, early_stopping=True, learning_rate_init=rate)
    with pytest.warns(ConvergenceWarning) as caught:
        est.fit(X, y)
    text, *more = (str(warning.message) for warning in caught)
    assert "best finite weights are kept" in text
    assert f"not finite after epoch {est.n_iter_} with a learning rate of {rate:g}:" in text
    assert "lower learning_rate_init" in text
    assert more == [NO_SCORE] * (est.best_validation_score_ == -np.inf)
    assert est.n_iter_ < 10
    assert all(np.isfinite(w).all() for w in est.coefs_ + est.intercepts_)
    assert est.coefs_[0].dtype == dtype


class Explode:
    """A callback with which the epoch after the n-th diverges."""

    def __init__(self, n):
        self.n = n

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch" and estimator.n_iter_ == self.n:
            estimator._optimizer.rate = 1e300

    def on_fit_task_end(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("params", [{}, {"ema_decay": 0.5}, {"solver": "schedule_free_adamw"}])
def test_the_best_weights_are_those_of_the_best_score(params, given, data):
    """Of a fit that gets better, and then diverges; partial_fit goes on from them."""
    pytest.importorskip("sklearn.callback")
    X, y = data
    validation = {"X_val": X[::3], "y_val": y[::3]} if given else {}
    est = regressor(early_stopping=True, learning_rate_init=0.05, batch_size=10, **params)
    est.set_params(max_iter=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole = clone(est).fit(X, y, **validation)
    est.set_callbacks(Explode(8)).set_params(max_iter=30)
    with pytest.warns(ConvergenceWarning, match="after epoch (9|10) with a learning rate of 1e"):
        est.fit(X, y, **validation)
    est.set_callbacks()
    assert est.best_validation_score_ == whole.best_validation_score_ > whole.validation_scores_[0]
    for one, other in zip(est.coefs_, whole.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    if given:
        assert est.score(X[::3], y[::3]) == est.best_validation_score_
    est.set_params(early_stopping=False, learning_rate_init=1e-3).partial_fit(X, y)
    again = whole.set_params(early_stopping=False, learning_rate_init=1e-3)
    del again._optimizer
    np.testing.assert_array_equal(again.partial_fit(X, y).coefs_[0], est.coefs_[0])


def test_early_stopping_from_weights_that_are_not_finite(data):
    est = regressor(early_stopping=True, max_iter=3)
    coefs = [np.full((5, 8), np.nan), np.zeros((8, 1))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.raises(ValueError, match=r"^Solver produced non-finite .* epoch 1, loss nan"):
            est.fit(*data, coefs_init=coefs)


def test_what_is_divergence():
    finite = np.ones(9)
    assert not diverged(1.0, finite)
    assert not diverged(np.inf, finite)
    assert diverged(np.nan, finite)
    for value in (np.nan, np.inf, -np.inf):
        vector = finite.copy()
        vector[7] = value
        assert diverged(1.0, vector)
        assert diverged(1.0, vector.astype(np.float32))


def test_an_infinite_loss_of_finite_weights_may_come_down(data):
    """As in scikit-learn, which trains on."""
    X, y = data
    params = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 5e-3, "alpha": 0.0}
    est = regressor(hidden_layer_sizes=(), **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        est.fit(10 * X, 10 * y, coefs_init=[np.full((5, 1), 1e153)])
    assert est.loss_curve_[0] == np.inf
    assert np.isfinite(est.loss_curve_[-1])


# What is left


def test_a_new_fit_after_an_error_starts_afresh(data):
    est = regressor(solver="sgd", learning_rate_init=1e300)
    message_of(est.fit, *data)
    est.set_params(learning_rate_init=1e-3, max_iter=3, max_fun=3)
    for solver in ("sgd", "lbfgs"):
        est.set_params(solver=solver)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            again = regressor(**est.get_params()).fit(*data)
            est.fit(*data)
        np.testing.assert_array_equal(est.coefs_[0], again.coefs_[0])
        assert est.loss_ == again.loss_


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_weights_that_are_not_finite_are_not_trained_on(method, data):
    """A warm start and partial_fit say it again, until other weights are set or a fit begins."""
    est = regressor(solver="sgd", learning_rate_init=1e300)
    message_of(est.fit, *data)
    est.set_params(learning_rate_init=1e-3, warm_start=True, max_iter=2)
    for _ in range(2):
        message_of(getattr(est, method), *data)
    assert est.loss_curve_[0] < np.inf
    for array in est.coefs_ + est.intercepts_:
        array[...] = 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        getattr(est, method)(*data)
    assert np.isfinite(est.predict(data[0])).all()


def test_class_weights(data):
    """The weights that diverge may be those of a class; what overflows is not trained on."""
    X, y = data[0], data[1] > 0
    params = {"hidden_layer_sizes": (8,), "random_state": 0, "solver": "sgd", "max_iter": 30}
    est = MLPClassifier(**params, class_weight={False: 1e-300, True: 1.0}, activation="identity")
    est.set_params(learning_rate_init=1e300)
    text = message_of(est.fit, X, y)
    assert f"after epoch {est.n_iter_} with a learning rate of 1e+300" in text
    for kind, weight in ((np.float64, 1e200), (np.float32, 1e30)):
        est = MLPClassifier(**params, class_weight={False: 1.0, True: weight})
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            with pytest.raises(ValueError, match=f"Input sample_weight .*{kind.__name__}"):
                est.fit(X.astype(kind), y, np.full(len(X), weight, kind))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_early_stopping_without_a_score_says_so(data):
    """Where every score is NaN the first weights are kept, as by scikit-learn, which is silent."""
    X, y = data
    est = regressor(early_stopping=True, max_iter=3)
    with pytest.warns(ConvergenceWarning, match="No validation score was finite") as caught:
        est.fit(X, 1e200 * y)
    assert not any(issubclass(warning.category, RuntimeWarning) for warning in caught)
    assert np.isnan(est.validation_scores_).all()
    first = regressor(learning_rate_init=1e-300, max_iter=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first.fit(X, y)
        np.testing.assert_array_equal(est.coefs_[0], first.coefs_[0])
        est.fit(X, y)
    assert not any("score" in str(warning.message) for warning in caught)


def test_callbacks_see_no_weights_that_are_not_finite(data):
    pytest.importorskip("sklearn.callback")
    seen, torn_down = [], []

    class Watch:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(
            self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
        ):
            seen.append(fitted_estimator)

        def teardown(self, estimator, context):
            torn_down.append(context)

    est = regressor(solver="sgd", learning_rate_init=1e300).set_callbacks(Watch())
    message_of(est.fit, *data)
    assert len(torn_down) == 1
    assert len(seen) == est.n_iter_
    assert seen[-1] is None
    for copy in seen[:-1]:
        assert all(np.isfinite(coef).all() for coef in copy.coefs_)
