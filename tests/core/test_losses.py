"""Every loss of the engine's table: its value against NumPy and scikit-learn's private functions,
and dL/dz of the output layer for every output activation against central differences."""

import numpy as np
import pytest
import reference
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
    low, high = {"real": (-9, 9), "non-negative": (0.1, 9), "unit interval": (0.1, 0.9)}[domain]
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

    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_scikit_learn(self, engine, dtype, loss, n):
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
        if loss == "log_loss":
            y = np.hstack([y, 1 - y])
        best = engine.loss_sum(loss, y, y)
        for p in (y * dtype_of(y)(0.9), np.sqrt(y)):
            if loss == "log_loss":
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
        delta = np.full_like(p, np.nan)
        engine.output_delta(loss, activation, y, p, delta, z, weight)
        return delta

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
