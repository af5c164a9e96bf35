"""Every activation of the engine's table against its own formula, which mpmath evaluates, and its
derivative against that of the formula. A new row of the table is covered by itself."""

from functools import cache

import mpmath
import numpy as np
import pytest
from test_vecmath import ULPS, slack

from cmlp._core import engine as loaded

ELEMENTWISE = [name for name in loaded.ACTIVATIONS if name != "softmax"]
FORMULA_NAMES = {
    name: getattr(mpmath, name)
    for name in ("erf", "erfc", "exp", "expm1", "log1p", "sqrt", "tanh")
}
EXTREMES = [0, 5e-324, 1e-310, 2.3e-308, 1e-45, 1e-38, 1e-30, 1e-8, 0.5, 1, 2, 9.1, 20, 50, 88.5]
EXTREMES += [89.5, 103.5, 120, 300, 700, 709.7, 709.8, 744, 745.1, 747, 1e4, 1e30, 1e300, np.inf]


def formula(name):
    """The formula of the table as a function of an mpmath number."""
    code = compile(loaded.ACTIVATIONS[name]["formula"], name, "eval")

    def evaluate(z):
        names = {
            "max": lambda a, b: mpmath.mpf(b if b >= a else a),
            "min": lambda a, b: mpmath.mpf(b if b <= a else a),
            **FORMULA_NAMES,
        }
        return eval(code, names, {"z": z})

    return evaluate


@cache
def limits(name):
    """f(-inf), f(inf), f'(-inf), f'(0), f'(inf); at a kink in 0 the slope on its left."""
    f = formula(name)
    with mpmath.workdps(60):
        values = [float(f(mpmath.mpf(z))) for z in (-1e5, 1e5)]
        slopes = [float(mpmath.diff(f, mpmath.mpf(z), direction=-1)) for z in (-1e5, 0, 1e5)]
    return *(np.copysign(np.inf, v) if abs(v) > 100 else v for v in values), *slopes


@cache
def grid(dtype):
    """Points over the whole range: dense where functions bend, and everything extreme."""
    rng = np.random.default_rng(0)
    points = np.concatenate(
        [
            np.linspace(-25, 25, 1201),
            np.linspace(-110, 95, 411),
            np.linspace(-760, 715, 591),
            rng.normal(size=300),
            np.exp(rng.uniform(-700, 0, 200)) * rng.choice([-1, 1], 200),
            EXTREMES,
            np.negative(EXTREMES),
        ]
    )
    with np.errstate(over="ignore"):
        return points.astype(dtype)


@cache
def exact(name, dtype):
    """The formula at the grid, with 60 digits."""
    low, high, _, _, rise = limits(name)

    def value(z):
        if np.isinf(z):
            return mpmath.mpf(low if z < 0 else high)
        try:
            return formula(name)(mpmath.mpf(z))
        except OverflowError:  # beyond mpmath's erfc
            return mpmath.mpf(low) if z < 0 else z * mpmath.mpf(rise)

    with mpmath.workdps(60):
        return [value(float(z)) for z in grid(dtype)]


@cache
def exact_slope(name, dtype):
    """The derivative of the formula at a part of the grid: finite, and not at a kink."""
    f = formula(name)

    def is_kink(z):
        left, right = (mpmath.diff(f, z, direction=side) for side in (-1, 1))
        return abs(left - right) > 1e-6

    points = [float(z) for z in grid(dtype)[::7] if 1e-20 < abs(z) < 1e4]
    points = [z for z in points if not (z.is_integer() and is_kink(z))]
    with mpmath.workdps(60):
        return np.array(points), [
            mpmath.diff(formula(name), mpmath.mpf(z), h=1e-24) for z in points
        ]


def rounded(value, dtype):
    """An mpmath number in the given dtype."""
    with np.errstate(over="ignore"):
        return np.dtype(dtype).type(float(value))


def ulp_errors(got, reference, slack):
    """Distance of each value from the exact one, less the slack, in units in the last place."""
    errors = []
    with mpmath.workdps(60):
        for value, target, free in zip(got, reference, slack, strict=True):
            nearest = rounded(target, value.dtype)
            if not np.isfinite(nearest) or not np.isfinite(value):
                errors.append(0.0 if value == nearest else np.inf)
                continue
            error = abs(mpmath.mpf(float(value)) - target) - mpmath.mpf(float(free))
            errors.append(float(max(error, 0) / float(np.spacing(abs(nearest)))))
    return np.array(errors)


def activate(engine, name, z):
    out = np.array(z, ndmin=2)
    engine.activate(name, out)
    return out.reshape(np.shape(z))


def backward(engine, name, z, delta):
    """delta * f'(z)"""
    a = np.array(z, ndmin=2)
    out = np.array(delta, dtype=a.dtype, ndmin=2)
    slope = np.empty_like(a) if engine.ACTIVATIONS[name]["keeps_slope"] else None
    engine.activate(name, a, slope)
    engine.activation_backward(name, a, out, slope)
    return out.reshape(np.shape(delta))


@pytest.mark.parametrize("name", ELEMENTWISE)
class TestElementwise:
    @pytest.mark.slow
    def test_accuracy(self, engine, dtype, name):
        z = grid(dtype)
        errors = ulp_errors(activate(engine, name, z), exact(name, dtype), slack(name, z))
        worst = errors.argmax()
        assert errors[worst] <= ULPS[name], (z[worst], errors[worst])

    def test_nan(self, engine, dtype, name):
        z = np.array([0, np.nan, 1, np.nan], dtype=dtype)
        np.testing.assert_array_equal(np.isnan(activate(engine, name, z)), np.isnan(z))

    @pytest.mark.slow
    def test_every_length(self, engine, dtype, name):
        """Vectorised body and remainder give the same."""
        z = np.random.default_rng(1).normal(size=40, scale=3).astype(dtype)
        whole = activate(engine, name, z)
        ones = [activate(engine, name, z[i : i + 1])[0] for i in range(40)]
        np.testing.assert_allclose(whole, ones, rtol=8 * np.finfo(dtype).eps)
        for n in range(1, 34):
            buffer = np.full(n + 2, 7, dtype=dtype)
            buffer[1:-1] = z[:n]
            engine.activate(name, buffer[1:-1].reshape(1, n))
            np.testing.assert_allclose(buffer[1:-1], whole[:n], rtol=8 * np.finfo(dtype).eps)
            assert buffer[0] == buffer[-1] == 7
            delta = np.full(n + 2, 7, dtype=dtype)
            delta[1:-1] = 1
            buffer[1:-1] = z[:n]
            slope = np.full(n + 2, 7, dtype=dtype)
            rows = buffer[1:-1].reshape(n, 1), slope[1:-1].reshape(n, 1)
            engine.activate(name, *rows)
            np.testing.assert_allclose(buffer[1:-1], whole[:n], rtol=8 * np.finfo(dtype).eps)
            engine.activation_backward(name, rows[0], delta[1:-1].reshape(n, 1), rows[1])
            expected = backward(engine, name, z, np.ones(40))[:n]
            np.testing.assert_allclose(delta[1:-1], expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(slope[1:-1], expected, rtol=1e-5, atol=1e-6)
            for array in (buffer, slope, delta):
                assert array[0] == array[-1] == 7

    @pytest.mark.slow
    def test_the_last_lanes_have_the_bits_of_the_others(self, engine, dtype, name):
        """Results do not depend on where rows are cut, that is on the number of threads."""
        z = np.random.default_rng(3).normal(size=(1, 1200), scale=3).astype(dtype)
        whole, slopes = z.copy(), np.empty_like(z)
        engine.activate(name, whole, slopes)
        delta = np.ones_like(z)
        engine.activation_backward(name, whole, delta, slopes)
        for n in (1, 3, 5):
            for first in range(0, 1200, n):
                at = slice(first, first + n)
                a, slope, d = z[:, at].copy(), np.empty((1, n), dtype), np.ones((1, n), dtype)
                engine.activate(name, a, slope)
                engine.activation_backward(name, a, d, slope)
                np.testing.assert_array_equal(a, whole[:, at])
                np.testing.assert_array_equal(slope, slopes[:, at])
                np.testing.assert_array_equal(d, delta[:, at])

    @pytest.mark.slow
    def test_slope_of_the_formula(self, engine, dtype, name):
        points, slopes = exact_slope(name, dtype)
        delta = np.random.default_rng(2).normal(size=len(points)).astype(dtype)
        got = backward(engine, name, points.astype(dtype), delta)
        expected = np.array(
            [rounded(slope * float(d), dtype) for slope, d in zip(slopes, delta, strict=True)]
        )
        # the slope comes from the rounded output: 1 - a loses what the rounding of a took
        np.testing.assert_allclose(
            got, expected, rtol=20 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps
        )

    def test_slope_by_central_differences(self, engine, name):
        z = np.linspace(-4, 4, 97) + 0.013
        h = 1e-6
        numeric = (activate(engine, name, z + h) - activate(engine, name, z - h)) / (2 * h)
        got = backward(engine, name, z, np.ones_like(z))
        np.testing.assert_allclose(got, numeric, rtol=1e-8, atol=1e-8)

    def test_slope_at_the_extremes(self, engine, dtype, name):
        """Without overflow, and where the slope is kept, exact however small it is."""
        low, high, slope_low, slope_zero, slope_high = limits(name)
        large = [1e30, np.inf]
        if np.isfinite(high):
            np.testing.assert_array_equal(activate(engine, name, np.array(large, dtype)), high)
        else:
            np.testing.assert_allclose(
                activate(engine, name, np.array(large, dtype)) / np.array([1e30, 1], dtype),
                [slope_high, np.inf],
                rtol=1e-6,
            )
        if np.isfinite(low):
            got = activate(engine, name, np.negative(large).astype(dtype))
            np.testing.assert_array_equal(got, np.dtype(dtype).type(low))
        z = np.array([-np.inf, -1e30, -1e-30, 0, 1e-30, 1e30, np.inf], dtype=dtype)
        kinks = ("relu", "leaky_relu", "selu")
        above = slope_high if name in kinks else slope_zero
        expected = [slope_low] * 2 + [slope_zero] * 2 + [above] + [slope_high] * 2
        eps = np.finfo(dtype).eps
        got = backward(engine, name, z, np.ones(7))
        np.testing.assert_allclose(got, expected, rtol=4 * eps)
        points = [-50.0, 50.0]
        with mpmath.workdps(80):
            expected = [
                rounded(mpmath.diff(formula(name), mpmath.mpf(z), h=1e-30), dtype) for z in points
            ]
        tiny = np.finfo(dtype).tiny if engine.ACTIVATIONS[name]["keeps_slope"] else eps
        got = backward(engine, name, np.array(points, dtype), np.ones(len(points)))
        np.testing.assert_allclose(got, expected, rtol=20 * eps, atol=tiny)
        if engine.ACTIVATIONS[name]["keeps_slope"]:
            assert np.isnan(backward(engine, name, np.array([np.nan], dtype), [1.0]))

    def test_slope_of_a_zero_delta(self, engine, dtype, name):
        z = np.linspace(-30, 30, 33).astype(dtype)
        np.testing.assert_array_equal(backward(engine, name, z, np.zeros(33)), 0)

    def test_read_only_output_and_shapes(self, engine, dtype, name):
        a, delta = np.full((3, 5), 0.5, dtype=dtype), np.ones((3, 5), dtype=dtype)
        a.flags.writeable = False
        engine.activation_backward(name, a, delta, a)
        with pytest.raises(ValueError, match="read-only"):
            engine.activate(name, a)
        for shape in [(5, 3), (3, 4), (15, 1)]:
            with pytest.raises(ValueError, match="shapes"):
                engine.activation_backward(name, a, np.ones(shape, dtype=dtype), a)
            with pytest.raises(ValueError, match="shapes"):
                engine.activation_backward(name, a, delta, np.ones(shape, dtype=dtype))

    def test_the_slope_is_asked_for_where_it_is_kept(self, engine, dtype, name):
        a, delta = np.full((3, 5), 0.5, dtype=dtype), np.ones((3, 5), dtype=dtype)
        if engine.ACTIVATIONS[name]["keeps_slope"]:
            with pytest.raises(ValueError, match="shapes"):
                engine.activation_backward(name, a, delta)
        else:
            expected = delta.copy()
            engine.activation_backward(name, a, expected, np.full_like(a, np.nan))
            engine.activation_backward(name, a, delta)
            np.testing.assert_array_equal(delta, expected)

    def test_nothing_to_do(self, engine, dtype, name):
        for shape in [(0, 3), (3, 0)]:
            engine.activate(name, *np.empty((2, *shape), dtype=dtype))
            empty = np.empty(shape, dtype=dtype)
            engine.activation_backward(name, empty, empty.copy(), empty)


def test_vecmath_is_monotonic_and_bounded(engine, dtype):
    """Neighbours may not swap by more than rounding; probabilities stay in [0, 1]."""
    z = np.sort(grid(dtype))
    for name in ("exp", "tanh", "logistic"):
        a = activate(engine, name, z).astype(np.float64)
        finite = np.isfinite(a)
        margin = ULPS[name] * np.spacing(np.abs(a[finite]).astype(dtype))
        assert (np.diff(a[finite]) >= -margin[1:]).all()
    assert (np.abs(activate(engine, "tanh", z)) <= 1).all()
    assert (activate(engine, "logistic", z) >= 0).all()
    assert (activate(engine, "logistic", z) <= 1).all()


def test_vecmath_is_exact_where_it_can_be(engine, dtype):
    ends = np.array([-np.inf, np.inf, 0.0, -0.0], dtype=dtype)
    np.testing.assert_array_equal(activate(engine, "exp", ends), [0, np.inf, 1, 1])
    np.testing.assert_array_equal(activate(engine, "tanh", ends), [-1, 1, 0, 0])
    np.testing.assert_array_equal(activate(engine, "logistic", ends), [0, 1, 0.5, 0.5])
    np.testing.assert_array_equal(activate(engine, "relu", ends), [0, np.inf, 0, 0])
    np.testing.assert_array_equal(np.signbit(activate(engine, "tanh", ends)), np.signbit(ends))
    z = grid(dtype)
    np.testing.assert_array_equal(activate(engine, "tanh", -z), -activate(engine, "tanh", z))


def test_relu_has_slope_zero_at_zero(engine, dtype):
    """As in scikit-learn, which asks whether the output is 0."""
    z = np.array([-1, -0.0, 0, 1e-45], dtype=dtype)
    np.testing.assert_array_equal(backward(engine, "relu", z, [3, 3, 3, 3]), [0, 0, 0, 3])


class TestSoftmax:
    def rows(self, seed, shape, dtype, scale=3):
        return np.random.default_rng(seed).normal(size=shape, scale=scale).astype(dtype)

    def test_values(self, engine, dtype):
        for n in [*range(1, 34), 1000]:
            z = self.rows(n, (7, n), dtype)
            expected = np.exp(z.astype(np.float64) - z.max(axis=1, keepdims=True))
            expected /= expected.sum(axis=1, keepdims=True)
            p = activate(engine, "softmax", z)
            np.testing.assert_allclose(p, expected, rtol=(n + 30) * np.finfo(dtype).eps)
            np.testing.assert_allclose(p.sum(axis=1), 1, rtol=(n + 4) * np.finfo(dtype).eps)

    def test_no_overflow(self, engine, dtype):
        big = 3e38 if dtype == "float32" else 1e308
        z = np.array(
            [[big, big], [-big, -big], [big, 0], [1e4, 1e4 - 1], [-np.inf, 0]], dtype=dtype
        )
        e = np.exp(-1)
        expected = [[0.5, 0.5], [0.5, 0.5], [1, 0], [1 / (1 + e), e / (1 + e)], [0, 1]]
        p = activate(engine, "softmax", z)
        np.testing.assert_allclose(p, expected, rtol=8 * np.finfo(dtype).eps)

    def test_nan_spoils_its_row_only(self, engine, dtype):
        z = np.array([[1, 2], [np.nan, 0], [0, np.nan], [3, 4]], dtype=dtype)
        p = activate(engine, "softmax", z)
        np.testing.assert_array_equal(np.isnan(p), [[0, 0], [1, 1], [1, 1], [0, 0]])

    def test_shift(self, engine, dtype):
        z = np.round(self.rows(0, (9, 6), dtype) * 8) / 8
        p = activate(engine, "softmax", z)
        for shift in (-64, 16, 1024):  # exact in both dtypes
            np.testing.assert_array_equal(activate(engine, "softmax", z + dtype_of(z)(shift)), p)

    def test_jacobian(self, engine, dtype):
        for n in range(1, 34):
            z, delta = self.rows(n, (5, n), dtype), self.rows(n + 1, (5, n), dtype, scale=1)
            p = activate(engine, "softmax", z).astype(np.float64)
            jacobians = p[:, :, None] * (np.eye(n) - p[:, None, :])  # symmetric
            expected = np.einsum("ikm,im->ik", jacobians, delta)
            got = backward(engine, "softmax", z, delta)
            np.testing.assert_allclose(got, expected, rtol=0, atol=(n + 20) * np.finfo(dtype).eps)

    def test_jacobian_by_central_differences(self, engine):
        z = self.rows(0, (4, 6), "float64", scale=1)
        h = 1e-6
        for m in range(6):
            step = np.zeros((4, 6))
            step[:, m] = h
            numeric = activate(engine, "softmax", z + step) - activate(engine, "softmax", z - step)
            pick = np.zeros((4, 6))
            pick[:, m] = 1
            got = backward(engine, "softmax", z, pick)
            np.testing.assert_allclose(got, numeric / (2 * h), rtol=1e-8, atol=1e-9)


def dtype_of(array):
    return array.dtype.type


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_initial_weights_keep_the_mean_square(name):
    """f = 3 / E[f(z)^2] for a standard normal z, by integration of the formula; the activations
    of scikit-learn have its factors."""
    row = loaded.ACTIVATIONS[name]
    if row["init_fan"] == "both":
        assert name in ("identity", "logistic", "tanh", "relu", "exp")
        assert row["init_factor"] == (2 if name == "logistic" else 6)
        return
    f = formula(name)
    ends = [-14, -6, -3, -1, 0, 1, 3, 6, 14]
    mean_square = mpmath.quad(lambda z: f(z) ** 2 * mpmath.npdf(z), ends)
    assert row["init_factor"] == pytest.approx(float(3 / mean_square), rel=1e-7)


def test_unknown_activation(engine, dtype):
    with pytest.raises(KeyError):
        engine.activate("no such", np.ones((1, 1), dtype=dtype))
