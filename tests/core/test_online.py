"""Training one sample at a time, which has kernels of its own, against the NumPy twin and against
the engine's own steps on minibatches."""

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from test_engine import CANONICAL, TOLERANCE, Problem

from cmlp._core import engine as loaded

RULES = ["momentum", "nesterov", "adam"]
WIDTHS = [1, 2, 3, 7, 8, 15, 16, 17, 33, 100]
HIDDEN = [name for name, row in loaded.ACTIVATIONS.items() if row["hidden"]]
OUTPUT = [name for name, row in loaded.ACTIVATIONS.items() if row["output"]]


def check(
    problem, rule, alpha=0.1, orders=None, tolerance=None, learning_rate=0.002, momentum=0.9
):
    """Epochs of the engine on batches of one against the twin: loss, parameters, state."""
    n = len(problem.dense)
    if orders is None:
        orders = [None, np.random.default_rng(1).permutation(n)]
    optimizer = "adam" if rule == "adam" else "sgd"
    arguments = problem.epoch_arguments(optimizer, 1, None, alpha)
    # a small learning rate: training that diverges multiplies the errors too
    arguments["hyper"][0] = learning_rate
    if rule == "adam":
        twins = reference.Adam(*arguments["hyper"][:4])
    else:
        arguments["hyper"][1:] = momentum, rule == "nesterov"
        twins = reference.SGD(learning_rate, momentum, rule == "nesterov")
    expected = problem.params.astype(np.float64)
    kept = np.ones(len(expected), dtype=bool)
    if not problem.twin.fit_intercept:
        kept[problem.n_coefs() :] = False
    tolerance = tolerance or TOLERANCE[problem.dtype]
    for order in orders:
        arguments["order"] = order
        loss = problem.engine.train_epoch(*arguments.values())
        expected_loss, expected = problem.twin.train_epoch(
            expected,
            twins,
            problem.dense.astype(np.float64),
            problem.y,
            problem.weight,
            np.arange(n) if order is None else order,
            1,
            alpha,
        )
        np.testing.assert_allclose(loss, expected_loss, rtol=max(tolerance["rtol"], 1e-10))
        np.testing.assert_allclose(arguments["params"], expected * kept, **tolerance)
    first = twins.m if rule == "adam" else twins.velocity
    np.testing.assert_allclose(arguments["state"][0], first * kept, **tolerance)
    if rule == "adam":
        np.testing.assert_allclose(arguments["state"][1], twins.v * kept, **tolerance)
        assert arguments["hyper"][4] == twins.t


def tolerance_of(dtype):
    # errors of float32 grow from step to step
    return {"rtol": 2e-3, "atol": 2e-3} if dtype == "float32" else TOLERANCE[dtype]


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("n_outputs", [1, 3, 10, 20])
@pytest.mark.parametrize("width", WIDTHS)
def test_widths(engine, dtype, width, n_outputs, alpha, rule):
    for n_features in (1, 5, 20):
        problem = Problem(
            engine, dtype, (n_features, width, n_outputs), ("relu", "identity"), n_samples=12
        )
        problem.params /= 2
        check(problem, rule, alpha, tolerance=tolerance_of(dtype))


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "hidden", [(), (5,), (4, 9), (17, 4), (33, 33), (3, 20, 3), (20, 3, 20), (6, 6, 6, 6)]
)
@pytest.mark.parametrize("n_outputs", [1, 2, 9, 30])
def test_depths(engine, dtype, hidden, n_outputs, rule):
    activations = (*["tanh", "logistic", "relu", "identity"][: len(hidden)], "logistic")
    problem = Problem(
        engine, dtype, (7, *hidden, n_outputs), activations, "binary_log_loss", n_samples=15
    )
    problem.params /= 2
    check(problem, rule, tolerance=tolerance_of(dtype))


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("activation", HIDDEN)
@pytest.mark.parametrize("width", [3, 16, 19])
def test_activations(engine, dtype, width, activation, rule):
    """Padded entries stay zero whatever f(0) is."""
    problem = Problem(
        engine, dtype, (6, width, width + 2, 4), (activation, activation, "identity"), n_samples=15
    )
    problem.params /= 2
    check(problem, rule, tolerance=tolerance_of(dtype))


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("activation", OUTPUT)
@pytest.mark.parametrize("n_outputs", [1, 3, 17])
def test_output_activations(engine, dtype, n_outputs, activation, rule):
    """Pairs of loss and output activation that are not canonical."""
    problem = Problem(
        engine, dtype, (6, 9, n_outputs), ("tanh", activation), n_samples=15, weighted=True
    )
    problem.params /= 4
    check(problem, rule, tolerance=tolerance_of(dtype))


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("loss", loaded.LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("units", [(5, 3), (5, 8, 3), (5, 3, 8, 3)])
def test_losses(engine, dtype, units, fit_intercept, weighted, loss, rule):
    problem = Problem(
        engine,
        dtype,
        units,
        (*["tanh"] * (len(units) - 2), CANONICAL[loss]),
        loss,
        n_samples=15,
        fit_intercept=fit_intercept,
        weighted=weighted,
        indicator=loaded.LOSSES[loss]["domain"] == "unit interval",
    )
    problem.params /= 4
    check(problem, rule, tolerance=tolerance_of(dtype))


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("storage", ["dense", "fortran", "negative"])
@pytest.mark.parametrize("units", [(7, 1), (7, 2), (7, 20), (7, 5, 2)])
def test_strides_and_orders(engine, dtype, units, storage, rule):
    activations = (*["relu"] * (len(units) - 2), "identity")
    problem = Problem(engine, dtype, units, activations, storage=storage)
    problem.params /= 4
    rng = np.random.default_rng(0)
    orders = [None, rng.permutation(40), rng.integers(40, size=23), np.array([3])]
    check(problem, rule, orders=orders, tolerance=tolerance_of(dtype))


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize(
    "units", [(150, 110, 3), (70, 150, 140, 2), (9000, 5), (9000, 1), (40, 30000, 1)]
)
def test_layers_too_large_to_copy(engine, dtype, units, fit_intercept, rule):
    activations = (*["relu"] * (len(units) - 2), "identity")
    problem = Problem(engine, dtype, units, activations, n_samples=6, fit_intercept=fit_intercept)
    problem.params *= problem.params.dtype.type(0.02)
    orders = [None, np.array([4, 2, 5])]
    if rule == "adam":  # which divides by the size of the gradient, so that errors show
        problem.params[: problem.n_coefs()] += problem.params.dtype.type(0.001)
    check(problem, rule, 0.01, orders, tolerance=tolerance_of(dtype))


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["momentum", "nesterov"])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_samples", [8, 9, 32, 33, 70])
@pytest.mark.parametrize("units", [(300, 123, 2), (1100, 33), (131, 256, 7)])
def test_blocks_of_samples(engine, dtype, units, n_samples, weighted, alpha, rule):
    """Of which the engine makes matrix products, in a large first layer."""
    activations = (*["tanh"] * (len(units) - 2), "identity")
    problem = Problem(
        engine, dtype, units, activations, n_samples=n_samples, weighted=weighted, seed=n_samples
    )
    problem.params *= problem.params.dtype.type(0.1)
    rng = np.random.default_rng(0)
    orders = [None, rng.permutation(n_samples), rng.integers(n_samples, size=n_samples)]
    check(problem, rule, alpha, orders, tolerance_of(dtype), learning_rate=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["fortran", "negative"])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_blocks_of_strided_samples(engine, dtype, storage, fit_intercept, momentum):
    problem = Problem(
        engine,
        dtype,
        (300, 123, 2),
        ("relu", "identity"),
        n_samples=50,
        storage=storage,
        fit_intercept=fit_intercept,
    )
    problem.params *= problem.params.dtype.type(0.1)
    check(
        problem,
        "nesterov",
        tolerance=tolerance_of(dtype),
        learning_rate=2e-4 * (1 - momentum),
        momentum=momentum,
    )


@pytest.mark.parametrize("zero", ["first", "last", "middle", "all", "all but one"])
def test_samples_without_weight(engine, dtype, zero):
    problem = Problem(engine, dtype, weighted=True)
    weight = np.ones(40, dtype=dtype) * problem.params.dtype.type(1.5)
    chosen = {
        "first": slice(0, 4),
        "last": slice(36, 40),
        "middle": slice(10, 30),
        "all": slice(0, 40),
        "all but one": np.arange(40) != 17,
    }[zero]
    weight[chosen] = 0
    problem.weight = weight
    problem.data = engine.Dataset(problem.X, problem.y, weight)
    check(problem, "nesterov", tolerance=tolerance_of(dtype))
    if zero == "all":
        arguments = problem.epoch_arguments("adam", 1, None, 0.1)
        assert engine.train_epoch(*arguments.values()) == 0
        np.testing.assert_array_equal(arguments["params"], problem.params)
        assert arguments["hyper"][4] == 0


@pytest.mark.parametrize("optimizer", loaded.OPTIMIZERS)
@pytest.mark.parametrize("units", [(7, 5, 3), (7, 40, 30, 3)])
def test_sparse_input_takes_the_same_steps(engine, dtype, units, optimizer):
    """Which go through the kernels of minibatches."""
    results = []
    for storage in ("dense", "csr"):
        problem = Problem(
            engine, dtype, units, (*["tanh"] * (len(units) - 2), "identity"), storage=storage
        )
        assert sp.issparse(problem.X) == (storage == "csr")
        arguments = problem.epoch_arguments(optimizer, 1, None, 0.1)
        arguments["hyper"][0] = 0.002
        loss = engine.train_epoch(*arguments.values())
        results.append((loss, arguments["params"], arguments["state"]))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, **tolerance_of(dtype))


def test_deterministic(engine, dtype):
    results = []
    for _ in range(2):
        problem = Problem(engine, dtype, (20, 33, 3), ("relu", "identity"))
        arguments = problem.epoch_arguments("sgd", 1, None, 0.1)
        arguments["hyper"][0] = 0.002
        loss = engine.train_epoch(*arguments.values())
        results.append(np.append(arguments["params"], loss))
    np.testing.assert_array_equal(*results)


def test_an_epoch_in_two_halves(engine, dtype):
    """Nothing of an epoch is left behind in the engine."""
    problem = Problem(engine, dtype, (20, 33, 3), ("relu", "identity"))
    for optimizer in loaded.OPTIMIZERS:
        whole = problem.epoch_arguments(optimizer, 1, np.arange(40), 0.1)
        halves = problem.epoch_arguments(optimizer, 1, None, 0.1)
        whole["hyper"][0] = halves["hyper"][0] = 0.002
        engine.train_epoch(*whole.values())
        for half in (np.arange(20), np.arange(20, 40)):
            halves["order"] = half
            engine.train_epoch(*halves.values())
        np.testing.assert_allclose(whole["params"], halves["params"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(whole["state"], halves["state"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 1e-300, 1e-42, 1e-30])
def test_adam_with_a_small_epsilon(engine, dtype, epsilon):
    """A gradient of exactly zero with an epsilon that may round to zero; no padding spoils it."""
    problem = Problem(engine, dtype, (3, 5, 2), ("identity", "identity"), n_samples=8)
    problem.params /= 4
    arguments = problem.epoch_arguments("adam", 1, None, 0.1)
    arguments["hyper"][3] = epsilon
    assert np.isfinite(engine.train_epoch(*arguments.values()))
    assert np.isfinite(arguments["params"]).all()


@pytest.mark.parametrize("optimizer", loaded.OPTIMIZERS)
def test_denormals_are_flushed_inside_and_only_there(engine, dtype, optimizer):
    """The moments of dead units would become denormal, and slow."""
    problem = Problem(engine, dtype, (3, 5, 2), ("relu", "identity"), n_samples=8)
    tiny = np.finfo(dtype).smallest_normal
    arguments = problem.epoch_arguments(optimizer, 1, None, 0.0)
    rows = {"adagrad": [], "schedule_free_adamw": [2]}  # all others have rows that decay only
    rows = rows.get(optimizer, slice(None))
    arguments["state"][rows] = tiny
    arguments["params"][:15] = 0
    arguments["params"][25:30] = -1  # the hidden units never answer, their gradients are zero
    if optimizer == "schedule_free_adamw":
        arguments["state"][:2] = arguments["params"]
    engine.train_epoch(*arguments.values())
    state = np.abs(arguments["state"][rows, :15])
    assert (state < tiny).all()
    assert (state == 0).all() == engine.FLUSHES
    assert (arguments["state"].dtype.type(tiny) / np.arange(2, 5, dtype=dtype) > 0).all()
