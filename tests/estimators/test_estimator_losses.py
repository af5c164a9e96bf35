"""Losses and their parameters in the estimators: solutions against scikit-learn's linear models,
domains, several quantiles, label smoothing, and that they work wherever estimators do."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import xlogy
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import QuantileRegressor, TweedieRegressor
from sklearn.metrics import brier_score_loss, d2_pinball_score, mean_pinball_loss, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from cmlp import MLPClassifier, MLPRegressor, Network
from cmlp._core import engine
from cmlp._losses import loss_row

REGRESSOR_LOSSES = sorted({row["loss"] for row in engine.LOSSES.values() if row["regressor"]})
CLASSIFIER_LOSSES = sorted({row["loss"] for row in engine.LOSSES.values() if row["classifier"]})
POSITIVE = ("gamma", "poisson", "tweedie")
QUANTILES = [0.9, 0.1, 0.5]  # not in order

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), y / 100


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def linear(**parameters):
    """A regressor without hidden layers, trained to the end."""
    defaults = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 0, "tol": 1e-9}
    defaults |= {"max_iter": 5000, "max_fun": 50000, "random_state": 0}
    return MLPRegressor(**(defaults | parameters))


class TestSolutions:
    """Networks without hidden layers against scikit-learn's linear models."""

    @pytest.mark.slow
    @pytest.mark.parametrize("power", [0, 1, 1.5, 1.9, 2, 3])
    def test_tweedie(self, diabetes, power):
        X, y = diabetes
        alpha = 0.1
        theirs = TweedieRegressor(power=power, alpha=alpha, tol=1e-8, max_iter=5000).fit(X, y)
        # scikit-learn's penalty is alpha / 2 w^2 beside the mean of the losses
        ours = linear(loss="tweedie", tweedie_power=power, alpha=alpha * len(y)).fit(X, y)
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4)

    @pytest.mark.slow
    @pytest.mark.parametrize("weighted", [False, True])
    def test_huber(self, diabetes, weighted):
        """Against scipy's minimum of the formula, and a least-squares fit thrown off by one y."""
        X, y = diabetes
        y = y.copy()
        y[3] = 1000
        weight = np.random.default_rng(0).integers(1, 3, len(y)) if weighted else np.ones(len(y))

        def mean_loss(w):
            e = np.abs(X @ w[1:] + w[0] - y)
            losses = np.where(e <= 0.3, e**2 / 2, 0.3 * (e - 0.15))
            g = np.clip(X @ w[1:] + w[0] - y, -0.3, 0.3) * weight
            return weight @ losses, np.append(g.sum(), X.T @ g)

        best = minimize(mean_loss, np.zeros(11), jac=True, options={"gtol": 1e-7})
        ours = linear(loss="huber", huber_delta=0.3).fit(X, y, sample_weight=weight)
        assert ours.loss_ == pytest.approx(best.fun / weight.sum(), rel=1e-8)
        np.testing.assert_allclose(ours.coefs_[0][:, 0], best.x[1:], atol=2e-4)
        clean = linear(loss="squared_error").fit(np.delete(X, 3, 0), np.delete(y, 3))
        thrown_off = linear(loss="squared_error").fit(X, y)
        others = np.delete(X, 3, 0)
        off = [np.abs(e.predict(others) - clean.predict(others)).max() for e in (ours, thrown_off)]
        assert 10 * off[0] < off[1]

    @pytest.mark.parametrize("loss", ["log_cosh", "absolute_error"])
    def test_nearly_least_squares_and_median(self, diabetes, loss):
        X, y = diabetes
        if loss == "absolute_error":
            ours = linear(loss=loss, solver="adam", learning_rate_init=0.003, max_iter=300, tol=0)
            ours.fit(X, y)
            best = QuantileRegressor(quantile=0.5, alpha=0).fit(X, y)
            limit = 1.03 * np.abs(best.predict(X) - y).mean()
            assert np.abs(ours.predict(X) - y).mean() < limit
        else:
            best = minimize(lambda w: np.log(np.cosh(X @ w[1:] + w[0] - y)).mean(), np.zeros(11))
            assert linear(loss=loss).fit(X, y).loss_ == pytest.approx(best.fun, rel=1e-6)

    @pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
    def test_quantile(self, diabetes, quantile):
        X, y = diabetes
        best = QuantileRegressor(quantile=quantile, alpha=0).fit(X, y)
        ours = linear(loss="quantile", quantile=quantile, solver="adam",
                      learning_rate_init=0.003, max_iter=300, tol=0).fit(X, y)  # fmt: skip
        losses = [mean_pinball_loss(y, e.predict(X), alpha=quantile) for e in (ours, best)]
        assert losses[0] < 1.03 * losses[1]
        assert abs(np.mean(y < ours.predict(X)) - quantile) < 0.05

    @pytest.mark.slow
    @pytest.mark.parametrize("loss", REGRESSOR_LOSSES)
    def test_lbfgs_improves(self, diabetes, loss):
        X, y = diabetes
        start = MLPRegressor(loss, (10,), solver="lbfgs", max_iter=1, random_state=0).fit(X, y)
        end = MLPRegressor(loss, (10,), solver="lbfgs", max_iter=30, random_state=0).fit(X, y)
        assert end.loss_ < 0.9 * start.loss_


class TestReportedLoss:
    @pytest.mark.slow
    @pytest.mark.parametrize("loss", REGRESSOR_LOSSES)
    @pytest.mark.parametrize("n_targets", [1, 3])
    def test_regressor(self, diabetes, loss, n_targets):
        """loss_ is the mean over samples of the sum over outputs, and Network's to the digit."""
        X, y = diabetes
        y = np.column_stack([y, y**2, y + 1])[:, :n_targets]
        parameters = {"huber_delta": 0.2, "quantile": 0.8, "tweedie_power": 1.2}
        est = MLPRegressor(loss, (5,), solver="lbfgs", max_iter=5, random_state=0, **parameters)
        est.fit(X, y)
        net = Network.from_estimator(est)
        result = net.loss_and_gradients(X, y)
        n = n_targets if loss == "squared_error" else 1
        penalty = 1e-4 / 2 * sum((c**2).sum() for c in est.coefs_) / len(y)
        assert est.loss_ == pytest.approx((result.loss - penalty) / n + penalty, rel=1e-10)
        if loss == "quantile":
            p = est.predict(X).reshape(y.shape)
            pinball = mean_pinball_loss(y, p, alpha=0.8, multioutput="raw_values").sum()
            assert est.loss_ - penalty == pytest.approx(pinball, rel=1e-10)

    @pytest.mark.slow
    @pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
    @pytest.mark.parametrize("kind", ["multiclass", "binary", "multilabel"])
    @pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
    def test_classifier(self, iris, loss, kind, label_smoothing):
        X, y = iris
        if kind == "binary":
            y = (y == 1).astype(int)
        elif kind == "multilabel":
            y = np.column_stack([y == 0, y > 0, y < 2]).astype(int)
        est = MLPClassifier((5,), loss=loss, label_smoothing=label_smoothing, focal_gamma=1.5,
                            solver="lbfgs", max_iter=4, alpha=0, random_state=0)  # fmt: skip
        est.fit(X, y)
        p = est._forward(X)
        n = 3 if kind == "multiclass" else 2
        indicator = np.eye(3)[y] if kind == "multiclass" else y.reshape(len(y), -1)
        t = indicator * (1 - label_smoothing) + label_smoothing / n
        cases = [(t, p)] if kind == "multiclass" else [(t, p), (1 - t, 1 - p)]
        expected = 0
        for share, q in cases:
            expected += {
                "log_loss": -xlogy(share, q),
                "focal": -((1 - q) ** 1.5) * xlogy(share, q),
                "squared_error": (share - q) ** 2 / 2,
            }[loss].sum(axis=1)
        assert est.loss_ == pytest.approx(expected.mean(), rel=1e-9)
        result = Network.from_estimator(est).loss_and_gradients(X, indicator)
        assert est.loss_ == pytest.approx(result.loss, rel=1e-12)
        if loss == "squared_error" and kind == "binary" and not label_smoothing:
            assert est.loss_ == pytest.approx(brier_score_loss(y, p[:, 0]), rel=1e-9)


class TestDomains:
    @pytest.mark.parametrize(
        ("loss", "power", "bad", "good"),
        [
            ("poisson", 1.5, -0.1, 0.0),
            ("gamma", 1.5, 0.0, 1e-3),
            ("tweedie", 1, -0.1, 0.0),
            ("tweedie", 1.5, -0.1, 0.0),
            ("tweedie", 2, 0.0, 1e-3),
            ("tweedie", 3, 0.0, 1e-3),
            ("tweedie", 0, None, -5.0),
            ("quantile", 1.5, None, -5.0),
        ],
    )
    def test_targets(self, diabetes, loss, power, bad, good):
        X, y = diabetes[0][:40], diabetes[1][:40].copy()
        est = MLPRegressor(loss, (3,), tweedie_power=power, max_iter=2, random_state=0)
        y[7] = good
        est.fit(X, y)
        if bad is not None:
            y[7] = bad
            message = f"Some value.s. of y are out of the valid range of the loss '{loss}'"
            for fit in (est.fit, est.partial_fit):
                with pytest.raises(ValueError, match=message):
                    fit(X, y)

    @pytest.mark.parametrize("loss", POSITIVE)
    def test_predictions_are_positive(self, diabetes, loss):
        X, y = diabetes
        est = MLPRegressor(loss, (5,), max_iter=5, random_state=0).fit(X, y)
        assert est.out_activation_ == "exp"
        assert (est.predict(X) > 0).all()
        est.set_params(out_activation="logistic").fit(X, y)
        for name in ("identity", "relu", "tanh"):
            with pytest.raises(ValueError, match="needs positive predictions"):
                est.set_params(out_activation=name).fit(X, y)

    @pytest.mark.parametrize(
        ("est", "name", "values"),
        [
            (MLPRegressor(), "huber_delta", [0, -1, np.inf, np.nan, "a"]),
            (MLPRegressor(), "tweedie_power", [0.5, -1, np.inf, None]),
            (MLPRegressor(loss="quantile"), "quantile",
             [0, 1, 1.5, [0.1, 1.0], [], [[0.1]], [np.nan], None]),
            (MLPClassifier(), "label_smoothing", [1, -0.1, np.nan]),
            (MLPClassifier(), "focal_gamma", [-0.1, np.inf]),
            (MLPClassifier(), "loss", ["brier", "squared", "poisson"]),
            (MLPRegressor(), "loss", ["log_loss", "focal", "brier"]),
        ],
    )  # fmt: skip
    def test_parameters(self, est, name, values):
        X, y = np.eye(4), np.array([0, 1, 1, 0])
        for value in values:
            with pytest.raises(ValueError, match=f"{name}.* must be"):
                clone(est).set_params(**{name: value}).fit(X, y)


class TestSeveralQuantiles:
    def fit(self, X, y, **parameters):
        defaults = {"quantile": QUANTILES, "max_iter": 150, "learning_rate_init": 0.01}
        est = MLPRegressor("quantile", (10,), random_state=0, **(defaults | parameters))
        return est.fit(X, y)

    def test_order_and_shapes(self, diabetes):
        X, y = diabetes
        est = self.fit(X, y)
        assert est.n_outputs_ == 3
        np.testing.assert_array_equal(est.quantiles_, QUANTILES)
        p = est.predict(X)
        assert p.shape == (len(X), 3)
        assert (p[:, 1] <= p[:, 2]).all()
        assert (p[:, 2] <= p[:, 0]).all()
        # some do cross before they are sorted, at least in the beginning
        begun = self.fit(X, y, max_iter=1)
        raw = Network.from_estimator(begun).forward(X)[-1]
        assert (np.diff(raw[:, [1, 2, 0]], axis=1) < 0).any()
        np.testing.assert_allclose(np.sort(raw), begun.predict(X)[:, [1, 2, 0]], rtol=1e-12)
        covered = np.mean((p[:, 1] < y) & (y < p[:, 0]))
        assert abs(covered - 0.8) < 0.06
        assert est.predict(X[:1]).shape == (1, 3)

        one = self.fit(X, y, quantile=[0.5], max_iter=3)
        assert one.predict(X).shape == (len(X), 1)
        alone = self.fit(X, y, quantile=0.5, max_iter=3)
        np.testing.assert_array_equal(alone.predict(X), one.predict(X)[:, 0])
        assert not hasattr(alone, "quantiles_")

    def test_several_targets(self, diabetes):
        X, y = diabetes
        Y = np.column_stack([y, -y])
        est = self.fit(X, Y)
        p = est.predict(X)
        assert p.shape == (len(X), 2, 3)
        for k in range(2):
            assert (np.diff(p[:, k][:, [1, 2, 0]]) >= 0).all()
            expected = [d2_pinball_score(Y[:, k], p[:, k, i], alpha=q)
                        for i, q in enumerate(QUANTILES)]  # fmt: skip
            assert min(expected) > 0.1
        scores = [d2_pinball_score(Y, p[..., i], alpha=q) for i, q in enumerate(QUANTILES)]
        assert est.score(X, Y) == pytest.approx(np.mean(scores), rel=1e-12)

    def test_score(self, diabetes):
        X, y = diabetes
        weight = np.random.default_rng(0).random(len(y))
        est = self.fit(X, y)
        p = est.predict(X)
        scores = [d2_pinball_score(y, p[:, i], alpha=q, sample_weight=weight)
                  for i, q in enumerate(QUANTILES)]  # fmt: skip
        assert est.score(X, y, weight) == pytest.approx(np.mean(scores), rel=1e-12)
        one = self.fit(X, y, quantile=0.3)
        assert one.score(X, y) == r2_score(y, one.predict(X))

    @pytest.mark.parametrize("n_targets", [1, 2])
    def test_early_stopping(self, diabetes, n_targets):
        X, y = diabetes
        Y = np.column_stack([y, -y])[:, :n_targets]
        est = self.fit(X, Y[:, 0] if n_targets == 1 else Y, early_stopping=True)
        assert est.best_validation_score_ == max(est.validation_scores_)
        assert 0.1 < est.best_validation_score_ < 0.6

    @pytest.mark.parametrize("n_targets", [1, 2])
    def test_validation_data(self, diabetes, n_targets):
        """Its loss is that of training, its score that of the estimator."""
        X, y = diabetes
        Y = np.column_stack([y, -y])[:, :n_targets]
        Y = Y[:, 0] if n_targets == 1 else Y
        est = MLPRegressor("quantile", (5,), quantile=QUANTILES, max_iter=3, random_state=0)
        est.set_params(early_stopping=True).fit(X[:300], Y[:300], X_val=X[300:], y_val=Y[300:])
        best = est.best_iter_ - 1
        assert est.validation_scores_[best] == pytest.approx(est.score(X[300:], Y[300:]))
        p = est.predict(X[300:]).reshape(len(X) - 300, -1, 3)
        raw = Network.from_estimator(est).forward(X[300:])[-1].reshape(p.shape)
        losses = [mean_pinball_loss(Y[300:], raw[..., i].reshape(Y[300:].shape), alpha=q)
                  for i, q in enumerate(QUANTILES)]  # fmt: skip
        assert est.validation_loss_curve_[best] == pytest.approx(sum(losses) * n_targets)

    def test_refits(self, diabetes):
        """The attribute follows the parameter; a failed continuation leaves the model usable."""
        X, y = diabetes
        est = self.fit(X, y, max_iter=2, warm_start=True)
        before = est.predict(X)
        with pytest.raises(ValueError, match="same layer sizes"):
            est.set_params(quantile=0.5).fit(X, y)
        np.testing.assert_array_equal(est.predict(X), before)
        est.set_params(quantile=(0.2, 0.4, 0.6)).fit(X, y)
        np.testing.assert_array_equal(est.quantiles_, [0.2, 0.4, 0.6])
        est.set_params(loss="squared_error", warm_start=False).fit(X, y)
        assert not hasattr(est, "quantiles_")
        assert est.predict(X).shape == y.shape
        est.set_params(loss="quantile", quantile=[0.1, 0.9])  # not fitted yet
        assert est.predict(X).shape == y.shape
        copy = pickle.loads(pickle.dumps(est.fit(X, y)))
        np.testing.assert_array_equal(copy.predict(X), est.predict(X))


def estimators():
    for loss in REGRESSOR_LOSSES:
        yield MLPRegressor(loss, (6,), huber_delta=0.3, quantile=0.8, tweedie_power=1.3)
    yield MLPRegressor("quantile", (6,), quantile=QUANTILES)
    for loss in CLASSIFIER_LOSSES:
        yield MLPClassifier((6,), loss=loss, label_smoothing=0.1, focal_gamma=1.0)


@pytest.mark.parametrize("est", list(estimators()), ids=lambda est: est.loss)
class TestEverywhere:
    def data(self, est, request):
        name = "iris" if isinstance(est, MLPClassifier) else "diabetes"
        return request.getfixturevalue(name)

    def test_weights_are_repetitions_and_sparse_is_dense(self, est, request):
        X, y = self.data(est, request)
        times = np.random.default_rng(0).integers(0, 3, len(y))
        est = clone(est).set_params(solver="lbfgs", max_iter=3, random_state=0)
        fits = [
            clone(est).fit(X, y, sample_weight=times),
            clone(est).fit(np.repeat(X, times, axis=0), np.repeat(y, times)),
            clone(est).fit(sp.csr_matrix(X), y, sample_weight=times),
        ]
        for other in fits[1:]:
            assert other.loss_ == pytest.approx(fits[0].loss_, rel=1e-9)
            assert np.allclose(other.predict(X), fits[0].predict(X), rtol=1e-6, atol=1e-8)

    def test_dtypes_threads_and_online(self, est, request):
        X, y = self.data(est, request)
        est = clone(est).set_params(max_iter=3, random_state=0)
        double = clone(est).fit(X, y)
        single = clone(est).fit(X.astype(np.float32), y)
        assert single.coefs_[0].dtype == np.float32
        np.testing.assert_allclose(single.loss_curve_, double.loss_curve_, rtol=1e-4)
        threads = clone(est).set_params(n_jobs=2).fit(X, y)
        np.testing.assert_array_equal(threads.coefs_[0], double.coefs_[0])
        # batches of one: another path; and sparse X, which does not take it
        est.set_params(batch_size=1, solver="sgd", max_iter=2)
        one, other = clone(est).fit(X, y), clone(est).fit(sp.csr_matrix(X), y)
        np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-9)
        np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], rtol=1e-6, atol=1e-9)

    def test_continuation_pickle_and_search(self, est, request):
        X, y = self.data(est, request)
        est = clone(est).set_params(random_state=0, shuffle=False)
        whole = clone(est).set_params(max_iter=3).fit(X, y)
        parts = clone(est)
        for _ in range(3):
            parts.partial_fit(X, y, **({"classes": [0, 1, 2]} if y.dtype == int else {}))
        np.testing.assert_allclose(parts.coefs_[0], whole.coefs_[0], rtol=1e-12)
        np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-12)
        warm = clone(est).set_params(max_iter=1, warm_start=True).fit(X, y)
        assert warm.fit(X, y).loss_curve_[1] < warm.loss_curve_[0]
        copy = pickle.loads(pickle.dumps(whole))
        np.testing.assert_array_equal(copy.predict(X), whole.predict(X))
        name = "focal_gamma" if y.dtype == int else "huber_delta"
        search = GridSearchCV(est.set_params(max_iter=2), {name: [0.5, 2.0]}, cv=2).fit(X, y)
        assert np.isfinite(search.best_score_)

    def test_early_stopping(self, est, request):
        X, y = self.data(est, request)
        est = clone(est).set_params(max_iter=4, random_state=0, early_stopping=True)
        assert np.isfinite(est.fit(X, y).validation_scores_).all()


def test_defaults_of_unused_parameters_change_nothing(diabetes, iris):
    X, y = diabetes
    plain = MLPRegressor(max_iter=3, random_state=0).fit(X, y)
    other = MLPRegressor(
        max_iter=3, random_state=0, huber_delta=5, quantile=[0.1], tweedie_power=3
    )
    np.testing.assert_array_equal(plain.coefs_[0], other.fit(X, y).coefs_[0])
    X, y = iris
    plain = MLPClassifier(max_iter=3, random_state=0).fit(X, y)
    other = MLPClassifier(max_iter=3, random_state=0, focal_gamma=5).fit(X, y)
    np.testing.assert_array_equal(plain.coefs_[0], other.coefs_[0])


def test_label_smoothing_bounds_confidence():
    """Trained to the end, the probability of the label is 1 - e + e / n where classes separate."""
    X, y = load_iris(return_X_y=True)
    X, y = scale(X)[:100], y[:100]
    for labels, n in [(y, 2), (np.where(np.arange(100) < 25, 2, y), 3)]:
        est = MLPClassifier((20,), label_smoothing=0.2, alpha=0, solver="lbfgs", max_iter=3000,
                            tol=1e-7, random_state=0).fit(np.eye(100), labels)  # fmt: skip
        p = est.predict_proba(np.eye(100))[np.arange(100), labels]
        np.testing.assert_allclose(p, 0.8 + 0.2 / n, atol=0.01)


def test_validation_loss_is_of_smoothed_labels(iris):
    X, y = iris
    est = MLPClassifier((5,), label_smoothing=0.3, max_iter=3, early_stopping=True, random_state=0)
    est.fit(X, y, X_val=X[::3], y_val=y[::3])
    net = Network.from_estimator(est)
    expected = net.loss_and_gradients(X[::3], np.eye(3)[y[::3]]).loss
    penalty = 1e-4 / 2 * sum((c**2).sum() for c in est.coefs_) / len(y[::3])
    got = est.validation_loss_curve_[est.best_iter_ - 1]
    assert got == pytest.approx(expected - penalty, rel=1e-9)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
def test_a_softmax_for_each_column(iris, loss, label_smoothing):
    """Losses add up over the columns of y, and the gradient is that of the sum."""
    X, y = iris
    columns = np.stack([y, np.digitize(X[:, 1], [-0.5, 0.5])], axis=1)
    est = MLPClassifier((), loss=loss, label_smoothing=label_smoothing, focal_gamma=1.5, alpha=0,
                        solver="lbfgs", max_iter=8, random_state=0)  # fmt: skip
    est.fit(X, columns)
    parts = []
    for column, part in zip(columns.T, (slice(0, 3), slice(3, 6)), strict=True):
        net = Network([est.coefs_[0][:, part]], [est.intercepts_[0][part]],
                      out_activation="softmax", loss=loss_row(est, est.out_activation_)[0],
                      loss_parameter=loss_row(est, est.out_activation_)[1],
                      label_smoothing=label_smoothing)  # fmt: skip
        parts.append(net.loss_and_gradients(X, np.eye(3)[column]))
    assert est.loss_ == pytest.approx(sum(part.loss for part in parts), rel=1e-10)
    indicator = np.hstack([np.eye(3)[column] for column in columns.T])
    whole = Network.from_estimator(est).loss_and_gradients(X, indicator)
    assert whole.loss == pytest.approx(est.loss_, rel=1e-10)
    expected = np.hstack([part.coef_grads[0] for part in parts])
    np.testing.assert_allclose(whole.coef_grads[0], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("binary", [False, True])
def test_saliency_is_of_the_prediction_whatever_was_trained(iris, binary):
    """Without y, input_gradient is that of log p, without focus or smoothing."""
    X, y = iris
    y = (y > 0).astype(int) if binary else y
    est = MLPClassifier((5,), loss="focal", label_smoothing=0.3, max_iter=5, random_state=0)
    got = est.fit(X, y).input_gradient(X[:9])
    k, step = est.predict(X[:9]), 1e-6
    for j in range(X.shape[1]):
        shift = step * np.eye(X.shape[1])[j]
        above, below = (est.predict_log_proba(X[:9] + s)[range(9), k] for s in (shift, -shift))
        np.testing.assert_allclose(got[:, j], (above - below) / (2 * step), rtol=1e-5, atol=1e-8)


def test_focal_loss_lets_go_of_easy_samples():
    """The larger gamma, the less a sample pulls that is already likely."""
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    confidence = []
    for gamma in (0, 2, 5):
        est = MLPClassifier((10,), loss="focal", focal_gamma=gamma, max_iter=40, random_state=0)
        est.fit(X, y)
        assert est.score(X, y) > 0.85
        confidence.append(est.predict_proba(X).max(axis=1).mean())
    assert confidence[0] > confidence[1] > confidence[2]
