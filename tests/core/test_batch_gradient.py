"""Gradients apart from the steps by them: sums over given samples, and an epoch made of both calls
against the one that does both at once."""

import numpy as np
import pytest
from test_engine import CANONICAL, TOLERANCE, Problem, starts
from test_misuse import frozen, long, short, strided, swapped

from cmlp._core import engine as loaded

OPTIMIZERS = list(loaded.OPTIMIZERS)
DECAY = 0.8
DROPOUT = (12345, 3)


def make(engine, dtype, dropout=False, n_samples=40, units=(7, 9, 4, 3), **kwargs):
    kwargs.setdefault("activations", ("tanh", "relu", "identity"))
    problem = Problem(engine, dtype, units, n_samples=n_samples, **kwargs)
    if dropout:
        problem.layout = engine.Layout(
            units,
            *starts(units),
            kwargs["activations"],
            problem.twin.loss,
            problem.twin.fit_intercept,
            dropout=(0.2, *[0.4] * (len(units) - 2)),
        )
    return problem


def gradient(problem, start=0, stop=None, order=None, dropout=None, n_threads=1):
    """(grads, loss_sum, weight) of the samples order[start:stop]."""
    stop = (len(problem.dense) if order is None else len(order)) if stop is None else stop
    grads = np.full_like(problem.params, np.nan)
    params = frozen(problem.params)
    work = problem.layout.workspace(stop - start, problem.dtype, n_threads, data=problem.data)
    work[:] = np.nan
    loss, weight = problem.engine.batch_gradient(
        problem.layout,
        problem.data,
        order,
        start,
        stop,
        params,
        grads,
        work,
        n_threads=n_threads,
        dropout=dropout,
    )
    return grads, loss, weight


def epoch_in_two_calls(engine, arguments, rates=None, max_grad_norm=0.0, averaging=None, **both):
    """What train_epoch does with the same arguments, by a sum and a step for each batch."""
    layout, data, order = (arguments[name] for name in ("layout", "data", "order"))
    params, grads, hyper = (arguments[name] for name in ("params", "grads", "hyper"))
    n = len(data) if order is None else len(order)
    n_threads, total = both.get("n_threads", 1), 0.0
    for step, start in enumerate(range(0, n, arguments["batch_size"])):
        stop = min(start + arguments["batch_size"], n)
        loss, weight = engine.batch_gradient(
            layout, data, order, start, stop, params, grads, arguments["work"], **both
        )
        if weight == 0:
            assert loss == 0
            np.testing.assert_array_equal(grads, 0)
            continue
        if rates is not None:
            hyper[0] = rates[step]
        penalty = engine.apply_gradient(
            layout,
            arguments["optimizer"],
            hyper,
            arguments["alpha"],
            weight,
            params,
            grads,
            arguments["state"],
            max_grad_norm,
            averaging,
            n_threads,
        )
        total += (loss + penalty) / weight * (stop - start)
    return total / n


def check_epochs(problem, optimizer, batch_size, order=None, bits=True, **options):
    """Two epochs of train_epoch and of the two calls end at the same numbers."""
    options = {name: value for name, value in options.items() if value is not None}
    average, n_threads = options.pop("average", False), options.get("n_threads", 1)
    results = []
    for epoch in (problem.engine.train_epoch, None):
        arguments = problem.epoch_arguments(optimizer, batch_size, order, 0.1)
        arguments["work"] = problem.layout.workspace(
            batch_size, problem.dtype, n_threads, data=problem.data
        )
        if average:
            arguments["state"] = np.vstack([arguments["state"], arguments["params"]])
            options["averaging"] = np.array([DECAY, 0.0])
        for _ in range(2):
            if epoch is None:
                loss = epoch_in_two_calls(problem.engine, arguments, **options)
            else:
                loss = epoch(**arguments, **options)
        changed = (arguments["params"], arguments["state"], arguments["hyper"])
        results.append((loss, *changed, options.get("averaging", 0.0)))
    (loss, *fused), (loss_of_two, *of_two) = results
    # the squares of the weights are added up by slabs in one, by blocks in the other
    np.testing.assert_allclose(
        loss_of_two, loss, rtol=1e-5 if problem.dtype == "float32" else 1e-13
    )
    for ours, theirs in zip(of_two, fused, strict=True):
        if bits:
            np.testing.assert_array_equal(ours, theirs)
        else:
            np.testing.assert_allclose(ours, theirs, **TOLERANCE[problem.dtype])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
class TestAnEpochOfSteps:
    """To the bit, wherever train_epoch adds up the gradient of a batch too."""

    @pytest.mark.slow
    @pytest.mark.parametrize("storage", ["dense", "fortran", "mostly zeros", "csr"])
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("dropout", [None, DROPOUT])
    def test_data(self, engine, dtype, optimizer, storage, weighted, dropout):
        problem = make(engine, dtype, dropout, storage=storage, weighted=weighted)
        order = np.random.default_rng(0).permutation(40)
        check_epochs(problem, optimizer, 7, order, dropout=dropout)

    @pytest.mark.slow
    @pytest.mark.parametrize("loss", loaded.LOSSES)
    def test_losses(self, engine, dtype, optimizer, loss):
        activations = ("tanh", "logistic", CANONICAL[loss])
        problem = make(engine, dtype, activations=activations, loss=loss, weighted=True)
        check_epochs(problem, optimizer, 7)

    @pytest.mark.slow
    @pytest.mark.parametrize("max_grad_norm", [0.0, 0.5, 1e6])
    @pytest.mark.parametrize("average", [False, True])
    @pytest.mark.parametrize("dropout", [None, DROPOUT])
    def test_options(self, engine, dtype, optimizer, max_grad_norm, average, dropout):
        problem = make(engine, dtype, dropout, weighted=True)
        check_epochs(
            problem,
            optimizer,
            7,
            rates=np.linspace(0.02, 0.001, 6),
            max_grad_norm=max_grad_norm,
            average=average,
            dropout=dropout,
        )

    @pytest.mark.slow
    @pytest.mark.parametrize("max_grad_norm", [0.0, 0.5])
    @pytest.mark.parametrize("fit_intercept", [False, True])
    @pytest.mark.parametrize("n_threads", [1, 3])
    def test_large_batches(
        self, engine, dtype, optimizer, max_grad_norm, fit_intercept, n_threads
    ):
        """More rows than are held at once, and more than one block of parameters."""
        problem = make(
            engine,
            dtype,
            n_samples=1700,
            units=(30, 150, 20, 3),
            weighted=True,
            fit_intercept=fit_intercept,
        )
        problem.params *= problem.params.dtype.type(0.3)
        check_epochs(problem, optimizer, 1500, max_grad_norm=max_grad_norm, n_threads=n_threads)

    def test_batches_without_weight(self, engine, dtype, optimizer):
        problem = make(engine, dtype, weighted=True)
        weight = problem.weight.copy()
        weight[10:20] = 0
        problem.data = engine.Dataset(problem.X, problem.y, weight)
        check_epochs(problem, optimizer, 10, average=True)

    def test_one_sample_at_a_time(self, engine, dtype, optimizer):
        """Where train_epoch never forms a gradient if the row of the table says so: x d goes into
        the update as it is computed, divided by the weight before instead of after."""
        problem = make(engine, dtype, n_samples=10)
        check_epochs(problem, optimizer, 1, bits=optimizer not in ("sgd", "adam"))
        problem = make(engine, dtype, n_samples=10, storage="csr")
        check_epochs(problem, optimizer, 1)


@pytest.mark.parametrize("storage", ["dense", "csr"])
@pytest.mark.parametrize("dropout", [None, DROPOUT])
class TestSums:
    @pytest.mark.parametrize("cut", [1, 17, 39])
    def test_parts_add_up(self, engine, dtype, storage, dropout, cut):
        problem = make(engine, dtype, dropout, storage=storage, weighted=True)
        order = np.random.default_rng(1).permutation(40)
        whole = gradient(problem, order=order, dropout=dropout)
        first = gradient(problem, 0, cut, order, dropout)
        second = gradient(problem, cut, 40, order, dropout)
        for of_whole, *of_parts in zip(whole, first, second, strict=True):
            np.testing.assert_allclose(sum(of_parts), of_whole, **TOLERANCE[dtype])
        assert whole[2] == problem.weight.sum()

    @pytest.mark.parametrize("n_samples", [40, 1500])
    def test_no_thread_changes_a_bit(self, engine, dtype, storage, dropout, n_samples):
        problem = make(
            engine, dtype, dropout, n_samples, (20, 90, 30, 3), storage=storage, weighted=True
        )
        one = gradient(problem, dropout=dropout)
        for n_threads in (2, 3):
            more = gradient(problem, dropout=dropout, n_threads=n_threads)
            for ours, theirs in zip(more, one, strict=True):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("loss", loaded.LOSSES)
def test_the_twins_sums(engine, dtype, loss, fit_intercept, weighted):
    problem = make(
        engine,
        dtype,
        activations=("tanh", "logistic", CANONICAL[loss]),
        loss=loss,
        fit_intercept=fit_intercept,
        weighted=weighted,
    )
    rows = np.random.default_rng(2).permutation(40)[5:25]
    grads, loss_sum, weight = gradient(problem, 5, 25, np.random.default_rng(2).permutation(40))
    own = None if problem.weight is None else problem.weight[rows]
    expected, expected_grads = problem.twin.loss_and_gradient(
        problem.params, problem.dense[rows], problem.y[rows], own
    )
    assert weight == (20 if own is None else own.sum())
    np.testing.assert_allclose(loss_sum / weight, expected, rtol=TOLERANCE[dtype]["rtol"])
    np.testing.assert_allclose(grads / weight, expected_grads, **TOLERANCE[dtype])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_processes_make_the_step_of_one(engine, dtype, optimizer):
    """Each sums up its samples; the sums of gradients and weights are those of all."""
    problem = make(engine, dtype, weighted=True)
    alone, together = (problem.epoch_arguments(optimizer, 40, None, 0.1) for _ in range(2))
    whole = gradient(problem)
    parts = [gradient(problem, 0, 23), gradient(problem, 23, 40)]
    sums = [sum(numbers) for numbers in zip(*parts, strict=True)]
    for arguments, (grads, _, weight) in ((alone, whole), (together, sums)):
        engine.apply_gradient(
            problem.layout,
            optimizer,
            arguments["hyper"],
            0.1,
            weight,
            arguments["params"],
            np.ascontiguousarray(grads, dtype=dtype),
            arguments["state"],
        )
    assert not np.array_equal(alone["params"], problem.params)
    np.testing.assert_allclose(together["params"], alone["params"], **TOLERANCE[dtype])
    np.testing.assert_allclose(together["state"], alone["state"], **TOLERANCE[dtype])


class TestMisuse:
    @pytest.fixture
    def problem(self, engine, dtype):
        return make(engine, dtype)

    def raises(
        self,
        function,
        arguments,
        written,
        expected=(ValueError, TypeError, KeyError, OverflowError),
    ):
        before = {name: np.array(arguments[name], copy=True) for name in written}
        with pytest.raises(expected):
            function(**arguments)
        for name, old in before.items():
            np.testing.assert_array_equal(arguments[name], old)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "change"),
        [
            *[(name, change) for name in ("params", "grads") for change in (short, long, strided)],
            *[(name, swapped) for name in ("params", "grads", "work")],
            *[(name, frozen) for name in ("grads", "work")],
            ("work", short),
            *[(name, lambda a: None) for name in ("layout", "data", "params", "grads", "work")],
            *[("start", lambda a, to=to: to) for to in (-1, 20, 21, 41, 1.5)],
            *[("stop", lambda a, to=to: to) for to in (-1, 0, 5, 41, 2**62)],
            ("order", lambda a: np.array([0, 40] * 10)),
            ("order", lambda a: np.array([-1] * 20)),
            ("order", lambda a: np.empty(0, dtype=np.intp)),
            ("order", lambda a: np.arange(19)),
            ("order", lambda a: np.arange(40.0)),
            ("order", lambda a: np.arange(80)[::2]),
            ("order", lambda a: list(range(40))),
            ("dropout", lambda a: (1,)),
            ("dropout", lambda a: (-1, 0)),
        ],
    )
    def test_batch_gradient(self, engine, problem, name, change):
        arguments = {
            "layout": problem.layout,
            "data": problem.data,
            "order": np.arange(40),
            "start": 5,
            "stop": 20,
            "params": problem.params,
            "grads": np.zeros_like(problem.params),
            "work": problem.guarded_work(15)[0],
            "dropout": None,
        }
        arguments[name] = change(arguments[name])
        self.raises(engine.batch_gradient, arguments, [n for n in ("grads",) if n != name])

    def test_indices_twice_in_a_sparse_batch(self, engine, dtype):
        problem = make(engine, dtype, storage="csr", n_samples=40)
        with pytest.raises(ValueError, match="twice"):
            gradient(problem, order=np.full(40, np.diff(problem.X.indptr).argmax()))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "change"),
        [
            *[
                (name, change)
                for name in ("params", "grads", "state")
                for change in (short, long, frozen, strided, swapped)
            ],
            *[
                ("hyper", change)
                for change in (short, long, frozen, lambda a: a.astype(np.float32))
            ],
            ("state", lambda a: a[:0]),
            ("state", lambda a: np.vstack([a, a])),
            ("optimizer", lambda a: "no such"),
            *[("weight", lambda a, to=to: to) for to in (0.0, -1.0, np.nan)],
            ("averaging", lambda a: np.array([0.9, 0.0])),  # without a row for it
            *[
                (name, lambda a: None)
                for name in ("layout", "optimizer", "hyper", "params", "grads", "state")
            ],
        ],
    )
    @pytest.mark.parametrize("max_grad_norm", [0.0, 0.1])
    def test_apply_gradient(self, engine, problem, name, change, max_grad_norm):
        arguments = problem.epoch_arguments("adam", 8, None, 0.1)
        arguments = {
            "layout": problem.layout,
            "optimizer": "adam",
            "hyper": arguments["hyper"],
            "alpha": 0.1,
            "weight": 8.0,
            "params": arguments["params"],
            "grads": np.ones_like(problem.params),
            "state": arguments["state"],
            "max_grad_norm": max_grad_norm,
            "averaging": None,
        }
        arguments[name] = change(arguments[name])
        written = ("hyper", "params", "grads", "state")
        self.raises(engine.apply_gradient, arguments, [n for n in written if n != name])
