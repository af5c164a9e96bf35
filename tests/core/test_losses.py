"""Every loss of the engine's table: its value against NumPy and scikit-learn's private functions,
and dL/dz of the output layer for every output activation against central differences."""

import numpy as np
import pytest
import reference
from sklearn.metrics import brier_score_loss, mean_pinball_loss, mean_tweedie_deviance
from sklearn.neural_network import _base as sklearn_base

from cmlp._core import engine as loaded

PAIRS = [
    (loss, name)
    for loss in loaded.LOSSES
    for name, row in loaded.ACTIVATIONS.items()
    if row["output"]
]


def activate(engine, name, z):
    out = np.array(z)
    engine.activate(name, out)
    return out


def targets(loss, shape, rng, one_hot=False):
    """Targets inside the domain of the loss, its ends included; rows sum to 1 if one_hot."""
    if one_hot:
        y = rng.dirichlet(np.ones(shape[1]), size=shape[0])
        y[::2] = np.eye(shape[1])[rng.integers(shape[1], size=len(y[::2]))]
        return y
    domain = loaded.LOSSES[loss]["domain"]
    if domain == "real":
        return rng.normal(size=shape)
    if domain == "positive":
        return rng.gamma(2, size=shape) + 0.05
    if domain == "non-negative":
        return rng.poisson(2, size=shape) + rng.random(shape) * (rng.random(shape) < 0.5)
    y = rng.random(shape)
    y[rng.random(shape) < 0.3] = 0
    y[rng.random(shape) < 0.3] = 1
    return y


def inputs(engine, loss, activation, shape, rng):
    """z whose predictions lie well inside the domain of the loss, away from kinks at 0."""
    if activation == "softmax":
        return rng.normal(size=shape)
    z = rng.uniform(-2.5, 2.5, size=(200, *shape))
    p = activate(engine, activation, z.reshape(1, -1)).reshape(z.shape)
    domain = loaded.LOSSES[loss]["domain"]
    low, high = {"real": (-9, 9), "unit interval": (0.1, 0.9)}.get(domain, (0.1, 9))
    good = (p > low) & (p < high) & (np.abs(z) > 0.05)
    assert good.any(axis=0).all()
    return np.take_along_axis(z, good.argmax(axis=0)[None], axis=0)[0]


def predictions(loss, shape, rng):
    domain = loaded.LOSSES[loss]["domain"]
    return rng.normal(size=shape) if domain == "real" else rng.uniform(0.02, 0.98, size=shape)


def test_every_loss_is_tested():
    assert set(reference.LOSSES) == set(loaded.LOSSES)


@pytest.mark.parametrize("loss", loaded.LOSSES)
class TestValue:
    @pytest.mark.slow
    def test_numpy(self, engine, dtype, loss):
        rng = np.random.default_rng(0)
        for rows in range(1, 34):
            for n in (1, 2, 7):
                y = targets(loss, (rows, n), rng).astype(dtype)
                p = predictions(loss, (rows, n), rng).astype(dtype)
                weight = rng.random(rows).astype(dtype)
                for array in (y, p, weight):
                    array.flags.writeable = False
                value = reference.LOSSES[loss][0](y.astype(float), p.astype(float)).sum(axis=1)
                tolerance = {"rtol": 20 * np.finfo(dtype).eps, "atol": 40 * np.finfo(dtype).eps}
                np.testing.assert_allclose(engine.loss_sum(loss, y, p), value.sum(), **tolerance)
                np.testing.assert_allclose(
                    engine.loss_sum(loss, y, p, weight), weight @ value, **tolerance
                )

    @pytest.mark.slow
    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_scikit_learns_private_functions(self, engine, dtype, loss, n):
        if loss not in sklearn_base.LOSS_FUNCTIONS:
            return  # see TestMetrics
        rng = np.random.default_rng(1)
        y = targets(loss, (50, n), rng, one_hot=loss == "log_loss").astype(dtype)
        p = predictions(loss, (50, n), rng).astype(dtype)
        if loss == "log_loss":
            if n == 1:
                # scikit-learn's log_loss of one column is cmlp's binary_log_loss
                y, p = (np.hstack([1 - a, a]) for a in (y, p))
            p /= p.sum(axis=1, keepdims=True)
        weight = rng.integers(1, 4, size=50).astype(dtype)
        reported = sklearn_base.LOSS_FUNCTIONS[loss]
        per_output = n if loaded.LOSSES[loss]["mean_over_outputs"] else 1
        for weights, total in [(None, 50), (weight, weight.sum())]:
            ours = engine.loss_sum(loss, y, p, weights) / total / per_output
            np.testing.assert_allclose(
                ours, reported(y, p, weights), rtol=1e-5 if dtype == "float32" else 1e-13
            )

    def test_is_smallest_at_the_target(self, engine, dtype, loss):
        y = np.linspace(0.1, 0.9, 9, dtype=dtype).reshape(-1, 1)
        if loss in ("focal", "binary_focal"):
            y = np.ones_like(y)  # it is no proper scoring rule
        softmax = loaded.LOSSES[loss]["canonical_activation"] == "softmax"
        if softmax:
            y = np.hstack([y, 1 - y])
        best = engine.loss_sum(loss, y, y)
        for p in (y * dtype_of(y)(0.9), np.sqrt(y) * dtype_of(y)(0.98)):
            if softmax:
                p[:, 1] = 1 - p[:, 0]
            assert engine.loss_sum(loss, y, p) > best

    def test_sums_in_double(self, engine, dtype, loss):
        """A long sum of small float32 losses does not stall."""
        y = np.full((300_000, 1), 0.5, dtype=dtype)
        p = np.full((300_000, 1), 0.25, dtype=dtype)
        one = engine.loss_sum(loss, y[:1], p[:1])
        assert abs(engine.loss_sum(loss, y, p) / 300_000 / one - 1) < 1e-10

    def test_nan(self, engine, dtype, loss):
        y, p = np.ones((3, 1), dtype=dtype), np.full((3, 1), 0.5, dtype=dtype)
        p[1] = np.nan
        assert np.isnan(engine.loss_sum(loss, y, p))

    def test_misuse(self, engine, dtype, loss):
        y = np.full((4, 2), 0.5, dtype=dtype)
        for p, weight in [(y[:3], None), (y[:, :1].copy(), None), (y, y[:3, 0].copy())]:
            with pytest.raises(ValueError, match="shapes"):
                engine.loss_sum(loss, y, p, weight)
        other = y.astype("float32" if dtype == "float64" else "float64")
        with pytest.raises((ValueError, TypeError)):
            engine.loss_sum(loss, y, other)
        for p, delta, weight, z in [
            (y[:3], y.copy(), None, y),
            (y, y[:3].copy(), None, y),
            (y, y[:, :1].copy(), None, y),
            (y, y.copy(), y[:3, 0].copy(), y),
            (y, y.copy(), None, y[:3]),
        ]:
            with pytest.raises(ValueError, match="shapes"):
                engine.output_delta(loss, "tanh", y, p, delta, z, weight)
        with pytest.raises(ValueError, match="shapes"):
            engine.output_delta(loss, "tanh", y[:0], y[:0], y[:0].copy(), y[:0])


def dtype_of(array):
    return array.dtype.type


@pytest.mark.parametrize(("loss", "activation"), PAIRS)
class TestDelta:
    def case(self, engine, loss, activation, shape, seed):
        rng = np.random.default_rng(seed)
        z = inputs(engine, loss, activation, shape, rng)
        y = targets(loss, shape, rng, one_hot=activation == "softmax" and loss == "log_loss")
        return y, z, activate(engine, activation, z), rng.uniform(0.5, 2, size=shape[0])

    def delta(self, engine, loss, activation, y, z, p, weight=None):
        delta, slope = np.full_like(p, np.nan), None
        if engine.ACTIVATIONS[activation]["keeps_slope"]:
            slope = np.empty_like(p)
            engine.activate(activation, z.copy(), slope)
        engine.output_delta(loss, activation, y, p, delta, slope, weight)
        return delta

    @pytest.mark.slow
    @pytest.mark.parametrize("n", [2, 5])
    def test_central_differences(self, engine, loss, activation, n):
        y, z, p, weight = self.case(engine, loss, activation, (9, n), seed=n)
        h = 1e-5
        numeric = np.empty_like(z)
        for k in range(n):
            step = np.zeros_like(z)
            step[:, k] = h
            above, below = (activate(engine, activation, z + s) for s in (step, -step))
            for i in range(9):
                row = slice(i, i + 1)
                change = engine.loss_sum(loss, y[row], above[row])
                change -= engine.loss_sum(loss, y[row], below[row])
                numeric[i, k] = change / (2 * h)
        got = self.delta(engine, loss, activation, y, z, p)
        np.testing.assert_allclose(got, numeric, rtol=1e-7, atol=1e-8)
        got = self.delta(engine, loss, activation, y, z, p, weight)
        np.testing.assert_allclose(got, numeric * weight[:, None], rtol=1e-7, atol=1e-8)

    @pytest.mark.slow
    def test_twin(self, engine, dtype, loss, activation):
        for n in range(1, 34):
            y, z, p, weight = self.case(engine, loss, activation, (3, n), seed=n)
            slope = reference.LOSSES[loss][1](y, p)
            expected = reference.ACTIVATIONS[activation][1](slope, z) * weight[:, None]
            arrays = [a.astype(dtype) for a in (y, z, p, weight)]
            for array in arrays:
                array.flags.writeable = False
            got = self.delta(engine, loss, activation, *arrays)
            scale = 1 + np.abs(slope).max()
            np.testing.assert_allclose(
                got, expected, rtol=60 * np.finfo(dtype).eps, atol=30 * scale * np.finfo(dtype).eps
            )


PARAMETERS = {
    "huber_delta": [0.01, 1.0, 30.0],
    "quantile": [0.01, 0.5, 0.9],
    "tweedie_power": [1.01, 1.3, 1.99],
    "focal_gamma": [0.0, 0.5, 1.0, 5.0],
}


@pytest.mark.parametrize("loss", [name for name, row in loaded.LOSSES.items() if row["parameter"]])
class TestParameters:
    @pytest.mark.parametrize("n", [1, 3, 700])
    def test_each_output_its_own(self, engine, dtype, loss, n):
        rng = np.random.default_rng(n)
        row = loaded.LOSSES[loss]
        parameter = np.resize(PARAMETERS[row["parameter"]], n)
        y, p = targets(loss, (5, n), rng), predictions(loss, (5, n), rng)
        value, slope = (f(y, p, parameter) for f in reference.LOSSES[loss])
        y, p = y.astype(dtype), p.astype(dtype)
        eps = np.finfo(dtype).eps
        got = engine.loss_sum(loss, y, p, None, parameter)
        np.testing.assert_allclose(got, value.sum(), rtol=40 * eps, atol=2000 * eps)
        delta = np.empty_like(p)
        engine.output_delta(loss, "identity", y, p, delta, parameter=parameter)
        atol = 60 * eps * np.abs(slope).max()
        np.testing.assert_allclose(delta, slope, rtol=60 * eps, atol=atol)

    def test_default(self, engine, dtype, loss):
        rng = np.random.default_rng(0)
        row = loaded.LOSSES[loss]
        y, p = (f(loss, (5, 3), rng).astype(dtype) for f in (targets, predictions))
        assert engine.loss_sum(loss, y, p) == engine.loss_sum(loss, y, p, None, row["default"])
        other = PARAMETERS[row["parameter"]][0]
        assert engine.loss_sum(loss, y, p) != engine.loss_sum(loss, y, p, None, other)


class TestMetrics:
    """Losses that scikit-learn knows as metrics."""

    y = np.random.default_rng(0).gamma(2, size=(60, 1))
    p = np.random.default_rng(1).gamma(2, size=(60, 1))
    weight = np.random.default_rng(2).random(60)

    def mean(self, engine, dtype, loss, y=None, p=None, parameter=None):
        arrays = (self.y if y is None else y, self.p if p is None else p, self.weight)
        y, p, weight = (array.astype(dtype) for array in arrays)
        return engine.loss_sum(loss, y, p, weight, parameter) / self.weight.sum()

    @pytest.mark.parametrize("q", [0.1, 0.5, 0.95])
    def test_pinball(self, engine, dtype, q):
        expected = mean_pinball_loss(self.y, self.p, sample_weight=self.weight, alpha=q)
        assert self.mean(engine, dtype, "quantile", parameter=q) == pytest.approx(expected, 1e-5)
        doubled = 2 * self.mean(engine, dtype, "quantile", parameter=0.5)
        assert self.mean(engine, dtype, "absolute_error") == pytest.approx(doubled, 1e-6)

    @pytest.mark.parametrize("power", [1.0, 1.1, 1.5, 1.9, 2.0, 2.5, 3.0])
    def test_deviances(self, engine, dtype, power):
        expected = mean_tweedie_deviance(self.y, self.p, sample_weight=self.weight, power=power)
        loss = {1: "poisson", 2: "gamma"}.get(power, "tweedie")
        got = 2 * self.mean(engine, dtype, loss, parameter=power)
        assert got == pytest.approx(expected, 1e-4 if dtype == "float32" else 1e-12)
        if 1 < power < 2:  # exact zeros
            y = self.y * (self.y > 1)
            expected = mean_tweedie_deviance(y, self.p, sample_weight=self.weight, power=power)
            got = 2 * self.mean(engine, dtype, loss, y=y, parameter=power)
            assert got == pytest.approx(expected, 1e-4 if dtype == "float32" else 1e-12)

    def test_brier(self, engine, dtype):
        p = np.random.default_rng(3).dirichlet(np.ones(4), size=60)
        labels = p.argsort(axis=1)[:, 2]
        y = np.eye(4)[labels]
        expected = (self.weight @ ((p - y) ** 2).sum(axis=1)) / 2 / self.weight.sum()
        assert self.mean(engine, dtype, "brier", y, p) == pytest.approx(expected, 1e-5)
        binary = labels[:, None] > 1
        expected = brier_score_loss(binary[:, 0], p[:, 0], sample_weight=self.weight)
        got = self.mean(engine, dtype, "binary_brier", binary, p[:, :1])
        assert got == pytest.approx(expected, 1e-5)

    @pytest.mark.parametrize("smoothed", [False, True])
    def test_focal_without_focus_is_the_log_loss(self, engine, dtype, smoothed):
        rng = np.random.default_rng(4)
        for focal, plain in (("focal", "log_loss"), ("binary_focal", "binary_log_loss")):
            y, p = (f(plain, (40, 3), rng).astype(dtype) for f in (targets, predictions))
            y = y * dtype_of(y)(0.9) + dtype_of(y)(0.05) if smoothed else y
            expected = engine.loss_sum(plain, y, p)
            assert engine.loss_sum(focal, y, p, None, 0.0) == pytest.approx(expected, 1e-6)


@pytest.mark.parametrize("loss", ["log_cosh", "huber", "absolute_error", "quantile"])
class TestErrors:
    """Losses of the error p - y, from the smallest to the largest."""

    def test_sizes(self, engine, dtype, loss):
        error = np.concatenate([10.0 ** np.arange(-18, 31), [0.25, 0.4999, 0.5001, 1, 2, 30]])
        error = np.concatenate([error, -error, [0.0]]).astype(dtype).astype(np.float64)
        if loss == "log_cosh":  # in long double
            e = np.abs(error.astype(np.longdouble))
            small = np.log1p(-(np.tanh(np.minimum(e, 1)) ** 2)) / -2
            large = e + np.log1p(np.exp(-2 * e)) - np.log(np.longdouble(2))
            expected = np.where(e < 0.5, small, large).astype(np.float64)
            slope = np.tanh(error)
        else:
            expected, slope = (f(np.zeros_like(error), error) for f in reference.LOSSES[loss])
        zero = np.zeros((1, 1), dtype=dtype)
        p = error.astype(dtype)
        got = [engine.loss_sum(loss, zero, value.reshape(1, 1)) for value in p]
        tiny = np.finfo(dtype).tiny
        np.testing.assert_allclose(got, expected, rtol=8 * np.finfo(dtype).eps, atol=tiny)
        delta = np.empty((len(p), 1), dtype=dtype)
        engine.output_delta(loss, "identity", np.zeros_like(delta), p.reshape(-1, 1), delta)
        np.testing.assert_allclose(delta[:, 0], slope, rtol=8 * np.finfo(dtype).eps, atol=tiny)
        assert delta[-1] == 0

    def test_nan_and_inf(self, engine, dtype, loss):
        y = np.zeros((3, 1), dtype=dtype)
        p = np.array([[np.nan], [np.inf], [-np.inf]], dtype=dtype)
        delta = np.empty_like(p)
        engine.output_delta(loss, "identity", y, p, delta)
        assert np.isnan(delta[0, 0])
        assert np.isfinite(delta[1:]).all()
        assert engine.loss_sum(loss, y[1:], p[1:]) == np.inf


@pytest.mark.parametrize("loss", ["focal", "binary_focal"])
@pytest.mark.parametrize("t", [0.0, 0.5, 1.0, 2.0, 5.0])
class TestFocalExtremes:
    def case(self, engine, dtype, loss, t, z):
        """Loss and dL/dz of the first of two classes, and the same from z, in long double."""
        z = np.asarray(z, dtype=np.longdouble)
        with np.errstate(over="ignore", divide="ignore"):
            q, p = (1 / (1 + np.exp(sign * z)) for sign in (1, -1))  # not 1 - p: cancels
            log_p = -np.log1p(np.exp(-z))
        expected = -(q**t) * log_p
        delta = q**t * (t * p * np.where(p == 0, 0, log_p) - q)
        if loss == "binary_focal":
            logits = z.astype(dtype).reshape(-1, 1)
        else:
            logits = np.column_stack([z, np.zeros_like(z)]).astype(dtype)
        activation = loaded.LOSSES[loss]["canonical_activation"]
        p = activate(engine, activation, logits)
        y = np.zeros_like(p)
        y[:, 0] = 1
        got = np.empty_like(p)
        engine.output_delta(loss, activation, y, p, got, parameter=t)
        value = [engine.loss_sum(loss, y[i : i + 1], p[i : i + 1], None, t) for i in range(len(p))]
        return np.array(value), got[:, 0], expected.astype(float), delta.astype(float)

    def test_in_the_middle(self, engine, dtype, loss, t):
        value, delta, expected, slope = self.case(engine, dtype, loss, t, np.linspace(-12, 5, 60))
        rtol = 1e-4 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(value, expected, rtol=rtol)
        np.testing.assert_allclose(delta, slope, rtol=rtol)

    def test_far_out(self, engine, dtype, loss, t):
        """A sample that is as wrong as can be still pulls with all its weight."""
        value, delta, _, slope = self.case(engine, dtype, loss, t, [-1e30, -800, -100, 100, 1e30])
        assert np.isfinite(value).all()
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(delta, slope, atol=100 * eps ** min(1, max(t, 0.5)))
        assert (delta[:3] < -0.999).all()


class TestDeviancesWithoutOverflow:
    """Means whose exponential left the range of the dtype, in training that went astray."""

    @pytest.mark.parametrize(
        ("loss", "t"), [("poisson", None), ("gamma", None), ("tweedie", 1.5), ("tweedie", 3.0)]
    )
    def test_no_nan(self, engine, dtype, loss, t):
        z = np.array([-1e4, -200, -90, -80, 80, 90, 200, 1e4], dtype=dtype).reshape(-1, 1)
        with np.errstate(over="ignore"):
            p = activate(engine, "exp", z)
        for target in (1e-30, 1e-3, 1.0, 1e3, 1e30):
            y = np.full_like(p, target)
            for i in range(len(p)):
                value = engine.loss_sum(loss, y[i : i + 1], p[i : i + 1], None, t)
                assert value >= -1e-5 * max(target, 1 / target)  # not NaN
            delta = np.empty_like(p)
            engine.output_delta(loss, "exp", y, p, delta, parameter=t)
            assert not np.isnan(delta).any()
            assert (delta[:1] <= 0).all()
            assert (delta[-1:] >= 0).all()

    def test_gamma_far_from_its_target(self, engine, dtype):
        y, z = np.ones((4, 1), dtype=dtype), np.array([[-80], [-60], [60], [80]], dtype=dtype)
        p = activate(engine, "exp", z)
        expected = z + np.exp(-z.astype(float)) - 1
        for i in range(4):
            got = engine.loss_sum("gamma", y[i : i + 1], p[i : i + 1])
            assert got == pytest.approx(expected[i, 0], 1e-5)
        delta = np.empty_like(p)
        engine.output_delta("gamma", "exp", y, p, delta)
        np.testing.assert_allclose(delta, 1 - np.exp(-z.astype(float)), rtol=1e-5)


@pytest.mark.parametrize("loss", ["log_loss", "binary_log_loss"])
class TestExtremeProbabilities:
    """Probabilities of exactly 0 and 1, and targets that say the opposite."""

    y = [[1, 0], [0, 1], [1, 0], [0, 1], [0.5, 0.5]]
    p = [[0, 1], [0, 1], [1, 0], [1, 0], [0, 1]]

    def test_value_is_finite_and_scikit_learns(self, engine, dtype, loss):
        y, p = np.array(self.y, dtype=dtype), np.array(self.p, dtype=dtype)
        ours = engine.loss_sum(loss, y, p) / len(y)
        assert np.isfinite(ours)
        theirs = sklearn_base.LOSS_FUNCTIONS[loss](y, p)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5 if dtype == "float32" else 1e-12)

    def test_delta_is_finite(self, engine, dtype, loss):
        y, p = np.array(self.y, dtype=dtype), np.array(self.p, dtype=dtype)
        for activation in ("softmax", "logistic"):
            delta = np.full_like(p, np.nan)
            engine.output_delta(loss, activation, y, p, delta)
            assert np.isfinite(delta).all()
        canonical = loaded.LOSSES[loss]["canonical_activation"]
        engine.output_delta(loss, canonical, y, p, delta)
        np.testing.assert_array_equal(delta, p - y)


def test_poisson_of_zero_counts(engine, dtype):
    y, p = np.zeros((4, 1), dtype=dtype), np.array([[0], [1e-30], [1], [7]], dtype=dtype)
    np.testing.assert_allclose(engine.loss_sum("poisson", y, p), 8, rtol=1e-6)
    delta = np.empty_like(p)
    engine.output_delta("poisson", "exp", y, p, delta)
    np.testing.assert_array_equal(delta, p)


def test_unknown_loss(engine, dtype):
    with pytest.raises(KeyError):
        engine.loss_sum("no such", np.ones((1, 1), dtype=dtype), np.ones((1, 1), dtype=dtype))
