"""exp, tanh, logistic and log of the engine, and the activations made of these and of expm1, log1p
and the normal distribution, in units in the last place, over every magnitude.

The suite takes every 4093rd float32 and random float64. All 2^32 float32 of every variant this
machine runs, or of those that are named, in 20 minutes each:
``PYTHONPATH=tests python tests/core/test_vecmath.py``.
"""

import sys
from collections import defaultdict

import numpy as np
import pytest
import reference
from engines import kernels_beside
from sanitized import SANITIZED
from scipy.special import erfc

FUNCTIONS = ["exp", "tanh", "logistic", "log"]
ACTIVATIONS = ["elu", "selu", "gelu", "silu", "mish", "softplus", "hard_swish"]
#: The largest error in units in the last place, over all variants; between the checks of a
#: sanitizer gcc fuses fewer products with their sums.
ULPS = defaultdict(lambda: 5, identity=0, relu=0, leaky_relu=1)
ULPS.update(dict.fromkeys([*FUNCTIONS, "elu"], 2.1 if SANITIZED else 2))
ULPS.update(dict.fromkeys(["selu", "silu", "softplus", "hard_swish"], 3))


def slack(name, x):
    """What is allowed beyond: z times a function that is not normal is as inexact as that."""
    if name not in ACTIVATIONS:
        return np.zeros_like(x)
    return np.fmin(np.abs(x), 1000) * np.finfo(x.dtype).smallest_subnormal


def evaluate(engine, name, x):
    """The engine's function at every element of x."""
    out = np.array(x, ndmin=2)
    if name == "log":
        kernels_beside(engine).log(out)
    else:
        engine.activate(name, out)
    return out.reshape(np.shape(x))


def exact(name, x):
    """The same in NumPy, in the precision of x."""
    with np.errstate(all="ignore"):
        e = np.exp(-np.abs(x))
        if name == "logistic":
            return np.where(x < 0, e, 1) / (1 + e)
        if name == "silu":
            return np.where(x < 0, np.maximum(x, -1e4) * e, x) / (1 + e)
        if name == "mish":
            top = np.where(x < 0, e * (e + 2), 1 + 2 * e)
            return (
                np.where(x < 0, np.maximum(x, -1e4), x)
                * top
                / (top + 2 * np.where(x < 0, 1, e * e))
            )
        if name == "softplus":
            return np.maximum(x, 0) + np.log1p(e)
        if name == "gelu":
            return np.maximum(x, -1e4) * erfc(-x / np.sqrt(2)) / 2
        if name == "hard_swish":
            return np.where(x < -3, 0, x * np.clip(x + 3, 0, 6) / 6)
        if name in ACTIVATIONS:
            return reference.ACTIVATIONS[name][0](x)
        return getattr(np, name)(x)


def worst_error(got, target, slack):
    """Largest distance, less the slack, in units in the last place of got's dtype, and where.

    Infinite where one is infinite or NaN and the other is not, or a sign is lost.
    """
    with np.errstate(all="ignore"):
        nearest = target.astype(got.dtype)
        ulp = np.spacing(np.abs(nearest)).astype(target.dtype)
        # spacing is that above a number: a target below a power of two has half of it
        half = np.abs(target) < np.abs(nearest).astype(target.dtype)
        half &= np.frexp(nearest)[0].__abs__() == 0.5
        half &= np.abs(nearest) > np.finfo(got.dtype).tiny
        ulp = np.where(half, ulp / 2, ulp)
        errors = np.maximum(np.abs(got.astype(target.dtype) - target) - slack, 0) / ulp
    special = ~np.isfinite(nearest) | ~np.isfinite(got)
    same = (got == nearest) | (np.isnan(got) & np.isnan(nearest))
    errors[special] = np.where(same[special], 0, np.inf)
    lost = (np.signbit(got) != np.signbit(nearest)) & ~np.isnan(nearest)
    errors[lost & (np.abs(nearest) >= slack)] = np.inf
    at = int(np.argmax(errors))
    return float(errors[at]), at


def float32_of_bits(bits):
    return bits.astype(np.uint32).view(np.float32)


def check_float32(engine, name, bits):
    x = float32_of_bits(bits)
    with np.errstate(invalid="ignore"):  # signalling NaN
        target = exact(name, x.astype(np.float64))
    error, at = worst_error(evaluate(engine, name, x), target, slack(name, x))
    return error, x[at]


@pytest.mark.parametrize("name", FUNCTIONS + ACTIVATIONS)
class TestAccuracy:
    @pytest.mark.slow
    def test_float32_of_every_magnitude(self, engine, name):
        error, x = check_float32(engine, name, np.arange(0, 2**32, 4093, dtype=np.int64))
        assert error <= ULPS[name], x

    @pytest.mark.slow
    def test_float32_where_it_is_hardest(self, engine, name):
        """All numbers of some intervals: around 1/4, where tanh cancels, and around 1."""
        for low in (0.2, 0.98, 2):
            first = int(np.float32(low).view(np.uint32))
            for sign in (0, 2**31):
                bits = sign + first + np.arange(300_000, dtype=np.int64)
                error, x = check_float32(engine, name, bits)
                assert error <= ULPS[name], x

    @pytest.mark.slow
    @pytest.mark.skipif(
        np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than double here"
    )
    def test_float64(self, engine, name):
        if name in ("gelu", "selu"):
            return  # no function, no constants of that precision: see test_activations.py
        rng = np.random.default_rng(0)
        x = np.concatenate(
            [
                rng.uniform(-40, 40, 200_000),
                rng.uniform(-1, 1, 200_000),
                rng.uniform(-750, 712, 200_000),
                np.exp(rng.uniform(-744, 709, 200_000)) * rng.choice([-1, 1], 200_000),
                np.linspace(0.7, 1.42, 200_001),
            ]
        )
        if name == "log":
            x = np.abs(x)
        target = exact(name, x.astype(np.longdouble))
        error, at = worst_error(evaluate(engine, name, x), target, slack(name, x))
        assert error <= ULPS[name], x[at]


def test_log_where_it_is_exact_or_undefined(engine, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([0.0, -0.0, 1, np.inf, -np.inf, -1, -tiny, np.nan], dtype=dtype)
    expected = np.array([-np.inf, -np.inf, 0, np.inf] + 4 * [np.nan], dtype=dtype)
    np.testing.assert_array_equal(evaluate(engine, "log", x), expected)
    assert evaluate(engine, "log", np.array([tiny], dtype=dtype))[0] == np.log(tiny)


def test_log_of_every_length(engine, dtype):
    x = np.random.default_rng(0).uniform(0.1, 9, 40).astype(dtype)
    whole = evaluate(engine, "log", x)
    for n in range(34):
        np.testing.assert_array_equal(evaluate(engine, "log", x[:n]), whole[:n])


@pytest.mark.parametrize("name", FUNCTIONS + ACTIVATIONS)
def test_an_element_does_not_see_its_neighbours(engine, dtype, name):
    """Numbers that leave the normal range take another path through exp, with all their lanes."""
    x = np.random.default_rng(0).uniform(0.1, 3, 64).astype(dtype)
    alone = evaluate(engine, name, x)
    for odd in (np.inf, np.nan, 1000, -1000, 0):
        among = x.copy()
        among[::3] = odd
        kept = np.arange(64) % 3 != 0
        np.testing.assert_array_equal(evaluate(engine, name, among)[kept], alone[kept])


def main(variants):
    from importlib import import_module

    from cmlp._core import _cpu

    block = 2**22
    for variant in variants or _cpu.supported():
        engine = import_module(f"cmlp._core._engine_{variant}")
        for name in FUNCTIONS + ACTIVATIONS:
            found = [
                check_float32(engine, name, start + np.arange(block, dtype=np.int64))
                for start in range(0, 2**32, block)
            ]
            error, x = max(found, key=lambda pair: pair[0])
            print(f"{variant:9} {name:9} float32 {error:.3f} ulp at {x!r}", flush=True)
            assert error <= ULPS[name]


if __name__ == "__main__":
    main(sys.argv[1:])
