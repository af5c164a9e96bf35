"""Times the kernels of the loaded engine against NumPy's: ``python -m benchmarks.kernels``.

Each result is checked before it is timed. ``CMLP_SIMD`` chooses the engine. A single step of an
optimizer takes a build with the kernels that only tests call: ``CMLP_TESTING=1``.
"""

import time
from functools import partial
from importlib import import_module
from itertools import product

import numpy as np
from scipy.special import erfc

from benchmarks import machine
from cmlp._core import engine

#: rows, fan_in, fan_out of a layer
SHAPES = [
    (200, 20, 100),
    (200, 64, 100),
    (200, 100, 10),
    (200, 100, 2),
    (200, 784, 100),
    (32, 64, 64),
    (512, 1024, 1024),
]
PRODUCTS = ("forward", "gradient", "delta")
NAMES = {name: getattr(np, name) for name in ("exp", "expm1", "log1p", "sqrt", "tanh")}
NAMES |= {"erfc": erfc, "max": np.maximum, "min": np.minimum}


def in_numpy(formula):
    """A formula of the engine's table as a function of an array."""
    code = compile(formula, formula, "eval")
    return lambda z: eval(code, NAMES, {"z": z})


#: Every row of the table: a new activation is timed without further ado.
FUNCTIONS = {
    name: in_numpy(row["formula"]) for name, row in engine.ACTIVATIONS.items() if name != "softmax"
}
REPEATS = 50


def least_seconds(function):
    """The shortest of many runs, each long enough for the clock."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def products(shape, dtype, rng):
    """The three products of a layer: (cmlp's call, NumPy's call, shape of the result) of each."""
    rows, fan_in, fan_out = shape
    a, w, d = (
        rng.standard_normal(size).astype(dtype)
        for size in ((rows, fan_in), (fan_in, fan_out), (rows, fan_out))
    )
    yield partial(engine.gemm, a, w), partial(np.matmul, a, w), d.shape
    yield partial(engine.gemm, a.T, d), partial(np.matmul, a.T, d), w.shape
    yield partial(engine.gemm, d, w, trans_b=True), partial(np.matmul, d, w.T), a.shape


def product_row(shape, dtype, rng):
    cells = []
    for ours, theirs, result_shape in products(shape, dtype, rng):
        c, expected = np.empty(result_shape, dtype), np.empty(result_shape, dtype)
        ours(c=c)
        theirs(out=expected)
        np.testing.assert_allclose(c, expected, rtol=1e-3, atol=1e-2)
        for seconds in (least_seconds(partial(ours, c=c)), least_seconds(partial(theirs, out=c))):
            cells.append(f"{2 * np.prod(shape) / seconds / 1e9:.0f}")
    return ["-".join(map(str, shape)), np.dtype(dtype).name, *cells]


def function_row(name, dtype, rng):
    z = 10 * rng.standard_normal((200, 100)).astype(dtype)
    ours, slope = z.copy(), None
    if engine.ACTIVATIONS[name]["keeps_slope"]:
        slope = np.empty_like(z)
    engine.activate(name, ours, slope)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(ours, FUNCTIONS[name](z), rtol=1e-5, atol=1e-5)

    def activate():
        np.copyto(ours, z)
        engine.activate(name, ours, slope)

    calls = activate, partial(FUNCTIONS[name], z)
    cells = [f"{1e9 * least_seconds(call) / z.size:.2f}" for call in calls]
    return [name, np.dtype(dtype).name, *cells]


def loss_row(name, dtype, rng):
    """Value and gradient of a loss through its own output activation, ten outputs."""
    row = engine.LOSSES[name]
    z = rng.standard_normal((2000, 10)).astype(dtype)
    p = z.copy()
    activation = row["canonical_activation"]
    slope = np.empty_like(z) if engine.ACTIVATIONS[activation]["keeps_slope"] else None
    engine.activate(activation, p, slope)
    y = np.eye(10, dtype=dtype)[rng.integers(10, size=2000)]
    if row["regressor"]:
        y = rng.gamma(2, size=z.shape).astype(dtype)
    delta = np.empty_like(z)
    value = partial(engine.loss_sum, name, y, p)
    gradient = partial(engine.output_delta, name, activation, y, p, delta, slope)
    gradient()
    assert np.isfinite(value())
    assert np.isfinite(delta).all()
    cells = [f"{1e9 * least_seconds(call) / z.size:.2f}" for call in (value, gradient)]
    return [name, np.dtype(dtype).name, *cells]


def optimizer_row(name, dtype, rng):
    """A step of an optimizer over as many parameters as fit the cache."""
    _, n_slots, names = engine.OPTIMIZERS[name]
    usual = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "momentum": 0.9, "t": 0.0}
    usual |= {"momentum_product": 1.0}
    hyper = np.array([1e-3 if "rate" in name else usual.get(name, 0.0) for name in names])
    params, grads = rng.standard_normal((2, 20_000)).astype(dtype)
    state = np.zeros((n_slots, params.size), dtype)
    kernels = import_module(engine.__name__.replace("._engine_", "._testing_"))
    step = partial(kernels.step, name, hyper, params, grads, state)
    seconds = least_seconds(step)
    assert np.isfinite(params).all()
    return [name, np.dtype(dtype).name, f"{1e9 * seconds / params.size:.2f}"]


def print_row(cells):
    print(f"| {' | '.join(cells)} |", flush=True)


def main():
    machine.pin()
    rng = np.random.default_rng(0)
    print(f"{machine.as_text(machine.describe([]))}\n\nGFLOP/s, a call from Python included:\n")
    columns = [f"{name} {whose}" for name in PRODUCTS for whose in ("cmlp", "NumPy")]
    print_row(["rows-in-out", "dtype", *columns])
    print_row(["---"] * 2 + ["---:"] * len(columns))
    for dtype, shape in product((np.float32, np.float64), SHAPES):
        print_row(product_row(shape, dtype, rng))
    print("\nNanoseconds per element of (200, 100), a call from Python included, and in cmlp's")
    print("a copy and, where training keeps it, the derivative:\n")
    print_row(["function", "dtype", "cmlp", "NumPy, SciPy"])
    print_row(["---"] * 2 + ["---:"] * 2)
    for dtype, name in product((np.float32, np.float64), FUNCTIONS):
        print_row(function_row(name, dtype, rng))
    print("\nNanoseconds per output of (2000, 10): the losses, each through its own activation:\n")
    print_row(["loss", "dtype", "value", "gradient"])
    print_row(["---"] * 2 + ["---:"] * 2)
    for dtype, name in product((np.float32, np.float64), engine.LOSSES):
        print_row(loss_row(name, dtype, rng))
    print("\nNanoseconds per parameter of a step of each optimizer:\n")
    print_row(["optimizer", "dtype", "step"])
    print_row(["---"] * 2 + ["---:"])
    for dtype, name in product((np.float32, np.float64), engine.OPTIMIZERS):
        print_row(optimizer_row(name, dtype, rng))


if __name__ == "__main__":
    main()
