"""The entry points that train and predict, whole networks at a time, against the NumPy twin."""

from itertools import accumulate, pairwise

import numpy as np
import pytest
import reference
import scipy.sparse as sp

from cmlp._core import engine as loaded
from cmlp._optimizers import OPTIMIZERS

CHUNK_ROWS = 1024  # of engine.pxi: larger batches are cut
TOLERANCE = {"float32": {"rtol": 2e-4, "atol": 2e-5}, "float64": {"rtol": 1e-10, "atol": 1e-12}}
#: values of hyper-parameters, and of those of some optimizers in particular
VALUES = {
    "learning_rate": 0.01,
    "momentum": 0.9,
    "nesterov": 1.0,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
    "weight_decay": 0.1,
}
OWN_VALUES = {
    "sgd": {"learning_rate": 0.05},
    "rmsprop": {"learning_rate": 0.003, "momentum": 0.5, "beta_2": 0.9},
    "adagrad": {"learning_rate": 0.05},
    "schedule_free_adamw": {"learning_rate": 0.02},
}


def hyper_of(name):
    """The vector of hyper-parameters of an optimizer at its first step."""
    values = VALUES | OWN_VALUES.get(name, {}) | OPTIMIZERS[name].counters
    return [values[hyper] for hyper in loaded.OPTIMIZERS[name][2]]


HYPER = {name: hyper_of(name) for name in loaded.OPTIMIZERS}
CANONICAL = {loss: row["canonical_activation"] for loss, row in loaded.LOSSES.items()}


def start_state(optimizer, n_rows, params):
    """Zeros; the schedule-free optimizer has two more copies of the parameters."""
    state = np.zeros((n_rows, len(params)), dtype=params.dtype)
    if optimizer == "schedule_free_adamw":
        state[:2] = params
    return state


def starts(units):
    """Where weights and biases start in the parameter vector."""
    sizes = [a * b for a, b in pairwise(units)]
    coef_starts = list(accumulate(sizes, initial=0))
    intercept_starts = list(accumulate(units[1:], initial=coef_starts[-1]))
    return coef_starts[:-1], intercept_starts[:-1]


class Problem:
    """A network, its twin and data, in the given dtype."""

    def __init__(
        self,
        engine,
        dtype,
        units=(7, 5, 4, 3),
        activations=("tanh", "logistic", "identity"),
        loss="squared_error",
        n_samples=40,
        fit_intercept=True,
        weighted=False,
        storage="dense",
        indicator=False,
        seed=0,
        groups=(),
        loss_parameter=None,
    ):
        rng = np.random.default_rng(seed)
        self.engine, self.dtype = engine, dtype
        self.twin = reference.Twin(units, activations, loss, fit_intercept, groups, loss_parameter)
        self.layout = engine.Layout(
            units,
            *starts(units),
            activations,
            loss,
            fit_intercept,
            groups or None,
            loss_parameter=loss_parameter,
        )
        n_coefs = sum(a * b for a, b in pairwise(units))
        self.params = rng.normal(size=n_coefs + sum(units[1:]), scale=0.5).astype(dtype)
        if not fit_intercept:
            self.params[n_coefs:] = 0
        X = rng.normal(size=(n_samples, units[0])).astype(dtype)
        X[rng.random(X.shape) < (0.95 if storage == "mostly zeros" else 0.3)] = 0
        y = rng.normal(size=(n_samples, units[-1]))
        if loaded.LOSSES[loss]["domain"] == "non-negative":
            y = rng.poisson(2, size=y.shape)
        elif loaded.LOSSES[loss]["domain"] == "positive":
            y = rng.gamma(2, size=y.shape)
        elif loaded.LOSSES[loss]["canonical_activation"] == "softmax":
            y = reference.by_group(
                lambda own: np.eye(own.shape[1])[own.argmax(axis=1)], groups or units[-1:], y
            )
        elif loaded.LOSSES[loss]["domain"] == "unit interval":
            y = y > 0
        self.dense = X
        self.y = y.astype(bool if indicator else dtype)
        self.weight = rng.integers(0, 4, size=n_samples).astype(dtype) if weighted else None
        self.X = {
            "dense": lambda: X,
            "fortran": lambda: np.asfortranarray(X),
            "negative": lambda: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
            "csr": lambda: sp.csr_matrix(X),
            "mostly zeros": lambda: X,
            "csr64": lambda: self.long_indices(sp.csr_matrix(X)),
        }[storage]()
        for array in (X, self.y, self.weight):
            if array is not None:
                array.flags.writeable = False
        self.data = engine.Dataset(self.X, self.y, self.weight)

    @staticmethod
    def long_indices(X):
        X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
        return X

    def guarded_work(self, rows):
        """A workspace with sentinels behind its end, filled with NaN."""
        size = self.layout.workspace(rows, self.dtype, data=self.data).size
        buffer = np.full(size + 64, np.nan, dtype=self.dtype)
        buffer[size:] = 7
        return buffer[:size], buffer[size:]

    def gradient(self, alpha=0.0):
        params = self.params.copy()
        params.flags.writeable = False
        grads = np.full_like(params, np.nan)
        work, sentinels = self.guarded_work(len(self.dense))
        loss = self.engine.loss_and_gradient(self.layout, self.data, alpha, params, grads, work)
        assert (sentinels == 7).all()
        return loss, grads

    def check_gradient(self, alpha=0.0):
        loss, grads = self.gradient(alpha)
        expected, gradient = self.twin.loss_and_gradient(
            self.params, self.dense, self.y, self.weight, alpha
        )
        tolerance = TOLERANCE[self.dtype]
        np.testing.assert_allclose(loss, expected, rtol=tolerance["rtol"])
        np.testing.assert_allclose(grads, gradient, **tolerance)

    def check_predict(self):
        out = np.full(self.y.shape, np.nan, dtype=self.dtype)
        work, sentinels = self.guarded_work(len(self.dense))
        data = self.engine.Dataset(self.X)
        self.engine.predict(self.layout, data, self.params, work, out)
        assert (sentinels == 7).all()
        expected = self.twin.forward(self.params, self.dense)[1][-1]
        np.testing.assert_allclose(out, expected, **TOLERANCE[self.dtype])

    def epoch_arguments(self, optimizer, batch_size, order, alpha):
        slots = self.engine.OPTIMIZERS[optimizer][1]
        return {
            "layout": self.layout,
            "data": self.data,
            "order": order,
            "batch_size": batch_size,
            "optimizer": optimizer,
            "hyper": np.array(HYPER[optimizer]),
            "alpha": alpha,
            "params": self.params.copy(),
            "grads": np.full_like(self.params, np.nan),
            "state": start_state(optimizer, slots, self.params),
            "work": self.guarded_work(batch_size)[0],
        }

    def check_epochs(self, optimizer, batch_size, orders=(None, None), alpha=0.1):
        arguments = self.epoch_arguments(optimizer, batch_size, None, alpha)
        work, sentinels = self.guarded_work(batch_size)
        arguments["work"] = work
        expected = self.params.astype(np.float64)
        twins_optimizer = reference.OPTIMIZERS[optimizer](*HYPER[optimizer])
        for order in orders:
            arguments["order"] = order
            loss = self.engine.train_epoch(*arguments.values())
            twins_order = np.arange(len(self.dense)) if order is None else order
            twins_loss, expected = self.twin.train_epoch(
                expected,
                twins_optimizer,
                self.dense.astype(np.float64),
                self.y,
                self.weight,
                twins_order,
                batch_size,
                alpha,
            )
            np.testing.assert_allclose(loss, twins_loss, rtol=TOLERANCE[self.dtype]["rtol"])
        if not self.twin.fit_intercept:
            expected = expected * (np.arange(len(expected)) < self.n_coefs())
        tolerance = dict(TOLERANCE[self.dtype])
        if self.dtype == "float32":
            tolerance["atol"] = 1e-3
        np.testing.assert_allclose(arguments["params"], expected, **tolerance)
        assert (sentinels == 7).all()
        return arguments["params"]

    def n_coefs(self):
        return sum(a * b for a, b in pairwise(self.twin.units))


STORAGES = ["dense", "fortran", "negative", "csr", "csr64"]


class TestLossAndGradient:
    @pytest.mark.slow
    @pytest.mark.parametrize("storage", STORAGES)
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("fit_intercept", [False, True])
    @pytest.mark.parametrize("loss", loaded.LOSSES)
    def test_losses(self, engine, dtype, loss, storage, weighted, fit_intercept):
        problem = Problem(
            engine,
            dtype,
            activations=("tanh", "logistic", CANONICAL[loss]),
            loss=loss,
            storage=storage,
            weighted=weighted,
            fit_intercept=fit_intercept,
        )
        problem.check_gradient()
        problem.check_gradient(alpha=0.7)
        problem.check_predict()

    @pytest.mark.parametrize(
        ("loss", "parameter"),
        [
            ("huber", (0.01, 0.3, 40)),
            ("quantile", (0.05, 0.5, 0.999)),
            ("tweedie", 1.01),
            ("tweedie", 1.9),
            ("focal", 0.0),
            ("focal", 5.0),
            ("binary_focal", (0.0, 0.5, 3.0)),
        ],
    )
    def test_parameters_of_losses(self, engine, dtype, loss, parameter):
        """One for all outputs or one for each; more elements than a strip."""
        problem = Problem(
            engine,
            dtype,
            activations=("tanh", "logistic", CANONICAL[loss]),
            loss=loss,
            loss_parameter=parameter,
            n_samples=700,
            weighted=True,
        )
        problem.check_gradient(alpha=0.7)

    def test_parameters_that_do_not_fit(self, engine, dtype):
        for parameter in ((0.1, 0.9), (), (0.1,) * 4):
            with pytest.raises(ValueError, match="parameters of the loss do not fit 3 outputs"):
                Problem(engine, dtype, loss="quantile", loss_parameter=parameter)

    @pytest.mark.parametrize("loss", ["log_loss", "binary_log_loss", "focal", "brier"])
    def test_smoothed_labels(self, engine, dtype, loss):
        """An indicator is smoothed as it is gathered; floats are taken as they are."""
        problem = Problem(
            engine,
            dtype,
            activations=("tanh", "logistic", CANONICAL[loss]),
            loss=loss,
            indicator=True,
            weighted=True,
        )
        smoothed = problem.y * 0.8 + 0.2 / 3
        problem.data = engine.Dataset(
            problem.X, problem.y, problem.weight, y_scale=0.8, y_shift=0.2 / 3
        )
        problem.y = smoothed
        problem.check_gradient(alpha=0.7)
        floats = smoothed.astype(dtype)
        problem.data = engine.Dataset(problem.X, floats, problem.weight, y_scale=0.3, y_shift=0.2)
        problem.check_gradient(alpha=0.7)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "name", [name for name, row in loaded.ACTIVATIONS.items() if row["hidden"]]
    )
    @pytest.mark.parametrize("hidden", [(), (6,), (6, 5), (6, 5, 4)])
    def test_depths(self, engine, dtype, name, hidden):
        problem = Problem(
            engine, dtype, (7, *hidden, 2), (*[name] * len(hidden), "identity"), weighted=True
        )
        problem.check_gradient(alpha=0.1)
        problem.check_predict()

    @pytest.mark.parametrize(
        "name", [name for name, row in loaded.ACTIVATIONS.items() if row["output"]]
    )
    def test_output_activations(self, engine, dtype, name):
        """The true derivative through them, not only that of the canonical pairs."""
        problem = Problem(engine, dtype, activations=("tanh", "relu", name), weighted=True)
        problem.check_gradient()
        problem.check_predict()

    @pytest.mark.parametrize("n_samples", [1, 2, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS + 7])
    @pytest.mark.parametrize("storage", ["dense", "negative", "csr"])
    def test_chunks(self, engine, dtype, storage, n_samples):
        problem = Problem(engine, dtype, storage=storage, n_samples=n_samples, weighted=True)
        if n_samples == 1:
            problem = Problem(engine, dtype, storage=storage, n_samples=n_samples)
        problem.check_gradient(alpha=0.3)
        problem.check_predict()

    @pytest.mark.slow
    def test_wide_layers(self, engine, dtype):
        """Wider than the blocks of the matrix product."""
        problem = Problem(
            engine, dtype, (300, 530, 200, 2), ("relu", "tanh", "identity"), n_samples=130
        )
        problem.params *= problem.params.dtype.type(0.1)
        problem.check_gradient()
        problem.check_predict()

    def test_odd_sizes(self, engine, dtype):
        for n in range(1, 34):
            problem = Problem(
                engine, dtype, (n, 34 - n, n + 1), ("tanh", "softmax"), "log_loss", n_samples=n
            )
            problem.check_gradient()
            problem.check_predict()

    @pytest.mark.slow
    @pytest.mark.parametrize("groups", [(3, 4), (1, 2, 1, 3), (7,), (2, 33), (1, 1)])
    @pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
    def test_groups_of_softmaxes(self, engine, dtype, loss, groups):
        """Also through a loss whose pair with softmax is not canonical."""
        for hidden in ((), (6,)):
            problem = Problem(
                engine,
                dtype,
                (7, *hidden, sum(groups)),
                (*["tanh"] * len(hidden), "softmax"),
                loss,
                groups=groups,
                weighted=True,
            )
            problem.check_gradient(alpha=0.3)
            problem.check_predict()
            problem.check_epochs("sgd", 1)
            problem.check_epochs("adam", 16)

    @pytest.mark.parametrize("loss", ["log_loss", "binary_log_loss"])
    @pytest.mark.parametrize("indicator", [False, True])
    def test_bool_and_float_targets(self, engine, dtype, loss, indicator):
        problem = Problem(
            engine,
            dtype,
            activations=("relu", "tanh", CANONICAL[loss]),
            loss=loss,
            indicator=indicator,
        )
        problem.check_gradient()

    def test_a_batch_is_the_sum_of_its_samples(self, engine, dtype):
        problem = Problem(engine, dtype, n_samples=9)
        loss, grads = problem.gradient()
        losses, sums = [], np.zeros(len(grads))
        work = problem.layout.workspace(1, dtype, data=problem.data)
        for i in range(9):
            data = engine.Dataset(problem.dense[i : i + 1], problem.y[i : i + 1])
            one = np.empty_like(grads)
            losses.append(
                engine.loss_and_gradient(problem.layout, data, 0.0, problem.params, one, work)
            )
            sums += one
        np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)
        np.testing.assert_allclose(grads, sums / 9, **TOLERANCE[dtype])

    def test_parameters_may_lie_in_any_order(self, engine, dtype):
        """Layout is told where each layer starts."""
        problem = Problem(engine, dtype, (4, 3, 2), ("tanh", "identity"))
        _, grads = problem.gradient()
        coefs, intercepts = problem.twin.unpack(problem.params)
        swapped = np.concatenate([a.ravel() for a in [*coefs[::-1], *intercepts[::-1]]])
        swapped = swapped.astype(dtype)
        layout = engine.Layout(
            (4, 3, 2), [6, 0], [20, 18], ("tanh", "identity"), "squared_error", True
        )
        other = np.empty_like(swapped)
        work = layout.workspace(40, dtype)
        engine.loss_and_gradient(layout, problem.data, 0.0, swapped, other, work)
        expected = np.concatenate([grads[12:18], grads[:12], grads[21:], grads[18:21]])
        np.testing.assert_array_equal(other, expected)

    def test_weights_that_sum_to_zero(self, engine, dtype):
        problem = Problem(engine, dtype)
        data = engine.Dataset(problem.dense, problem.y, np.zeros(40, dtype=dtype))
        grads = problem.params.copy()
        work = problem.layout.workspace(40, dtype, data=problem.data)
        with pytest.raises(ValueError, match="sum to zero"):
            engine.loss_and_gradient(problem.layout, data, 0.0, problem.params, grads, work)


class TestTrainEpoch:
    @pytest.mark.slow
    @pytest.mark.parametrize("optimizer", loaded.OPTIMIZERS)
    @pytest.mark.parametrize("storage", STORAGES)
    @pytest.mark.parametrize("batch_size", [1, 7, 13, 40, 100])
    def test_storage_and_batches(self, engine, dtype, storage, batch_size, optimizer):
        """Batches of one, ragged last batches (40 = 5 x 7 + 5 = 3 x 13 + 1), all at once."""
        problem = Problem(engine, dtype, storage=storage)
        rng = np.random.default_rng(0)
        orders = [None, rng.permutation(40), rng.integers(40, size=23)]
        problem.check_epochs(optimizer, batch_size, orders)

    @pytest.mark.slow
    @pytest.mark.parametrize("loss", loaded.LOSSES)
    @pytest.mark.parametrize("fit_intercept", [False, True])
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("optimizer", loaded.OPTIMIZERS)
    def test_losses(self, engine, dtype, loss, fit_intercept, weighted, optimizer):
        problem = Problem(
            engine,
            dtype,
            activations=("tanh", "logistic", CANONICAL[loss]),
            loss=loss,
            fit_intercept=fit_intercept,
            weighted=weighted,
            indicator=loaded.LOSSES[loss]["domain"] == "unit interval",
        )
        params = problem.check_epochs(optimizer, 8, [None, np.arange(40)[::-1].copy()])
        assert params[problem.n_coefs() :].any() == fit_intercept

    @pytest.mark.parametrize("storage", ["dense", "csr"])
    @pytest.mark.parametrize("order", ["own", "shuffled"])
    def test_batches_larger_than_a_chunk(self, engine, dtype, storage, order):
        n = 2 * CHUNK_ROWS + 3
        problem = Problem(engine, dtype, storage=storage, n_samples=n, weighted=True)
        permutation = np.random.default_rng(0).permutation(n)
        orders = [None if order == "own" else permutation] * 2
        for batch_size in (CHUNK_ROWS + 1, 2 * CHUNK_ROWS, n):
            problem.check_epochs("sgd", batch_size, orders)

    @pytest.mark.slow
    @pytest.mark.parametrize("n_threads", [2, 3, 7])
    @pytest.mark.parametrize("storage", ["dense", "csr", "mostly zeros"])
    @pytest.mark.parametrize(
        ("units", "batch_size"),
        [((7, 5, 4, 3), 9), ((100, 60, 3), 200), ((30, 200, 250, 10), 64), ((5, 40, 2), 1500)],
    )
    def test_threads_change_no_bit(self, engine, dtype, units, batch_size, storage, n_threads):
        problem = Problem(
            engine,
            dtype,
            units,
            ("tanh", "logistic", "identity")[1 - len(units) :],
            storage=storage,
            n_samples=1600,
            weighted=True,
        )
        order = np.random.default_rng(0).permutation(1600)
        arguments = problem.epoch_arguments("adam", batch_size, order, 0.1)
        again = problem.epoch_arguments("adam", batch_size, order, 0.1)
        again["work"] = problem.layout.workspace(batch_size, dtype, n_threads, data=problem.data)
        for _ in range(2):
            loss = engine.train_epoch(*arguments.values())
            assert engine.train_epoch(*again.values(), n_threads) == loss
        np.testing.assert_array_equal(arguments["params"], again["params"])
        np.testing.assert_array_equal(arguments["state"], again["state"])
        assert arguments["hyper"][-1] == again["hyper"][-1]

        grads, again = np.empty((2, len(problem.params)), dtype)
        first = problem.layout, problem.data, 0.1, problem.params
        work = problem.layout.workspace(1600, dtype, data=problem.data)
        loss = engine.loss_and_gradient(*first, grads, work)
        work = problem.layout.workspace(1600, dtype, n_threads, data=problem.data)
        assert engine.loss_and_gradient(*first, again, work, n_threads) == loss
        np.testing.assert_array_equal(grads, again)

        out, again = np.empty((2, 1600, units[-1]), dtype)
        data = engine.Dataset(problem.X)
        for n, p in ((1, out), (n_threads, again)):
            work = problem.layout.workspace(1600, dtype, n, per_thread=True, data=problem.data)
            engine.predict(problem.layout, data, problem.params, work, p, n)
        np.testing.assert_array_equal(out, again)
        for rows in (1, 2, 700):
            data = engine.Dataset(problem.X[:rows])
            work = problem.layout.workspace(rows, dtype, data=data)
            engine.predict(problem.layout, data, problem.params, work, again[:rows])
        np.testing.assert_array_equal(out, again)

    def test_batches_without_weight_are_passed_over(self, engine, dtype):
        problem = Problem(engine, dtype)
        weight = np.ones(40, dtype=dtype)
        weight[10:20] = 0
        problem.weight = weight
        problem.data = engine.Dataset(problem.dense, problem.y, weight)
        problem.check_epochs("adam", 10)
        problem.check_epochs("sgd", 1)

    def test_one_layer_and_one_of_everything(self, engine, dtype):
        Problem(engine, dtype, (1, 1), ("identity",), n_samples=1).check_epochs("sgd", 1)
        Problem(engine, dtype, (1, 1, 1), ("relu", "identity"), n_samples=5).check_epochs(
            "adam", 2
        )

    def test_adam_goes_on_counting(self, engine, dtype):
        problem = Problem(engine, dtype)
        arguments = problem.epoch_arguments("adam", 7, None, 0.0)
        for epoch in (1, 2):
            engine.train_epoch(*arguments.values())
            assert arguments["hyper"][-1] == 6 * epoch

    def test_a_larger_workspace_will_do(self, engine, dtype):
        problem = Problem(engine, dtype)
        exact = problem.epoch_arguments("sgd", 7, None, 0.1)
        large = problem.epoch_arguments("sgd", 7, None, 0.1)
        large["work"] = problem.layout.workspace(100, dtype, data=problem.data)
        for arguments in (exact, large):
            engine.train_epoch(*arguments.values())
        np.testing.assert_array_equal(exact["params"], large["params"])

    def test_not_finite_input_gives_a_not_finite_loss(self, engine, dtype):
        problem = Problem(engine, dtype)
        X = problem.dense.copy()
        X[3, 2] = np.nan
        arguments = problem.epoch_arguments("sgd", 7, None, 0.1)
        arguments["data"] = engine.Dataset(X, problem.y)
        assert np.isnan(engine.train_epoch(*arguments.values()))


class TestLayout:
    def layout(self, engine, **changes):
        arguments = {
            "units": (4, 3, 2),
            "coef_starts": [0, 12],
            "intercept_starts": [18, 21],
            "activations": ["relu", "softmax"],
            "loss": "log_loss",
            "fit_intercept": True,
        }
        return engine.Layout(**(arguments | changes))

    @pytest.mark.parametrize("groups", [(), (3, 5), (3, 0), (3, 2, -1), (1,), (2.0, 2)])
    def test_groups(self, engine, groups):
        with pytest.raises((ValueError, TypeError)):
            engine.Layout((2, 4), [0], [8], ["softmax"], "log_loss", True, groups)
        with pytest.raises(ValueError, match="do not make a softmax output layer"):
            engine.Layout((2, 4), [0], [8], ["identity"], "squared_error", True, (2, 2))

    def test_keeps_its_units(self, engine):
        assert self.layout(engine).units == (4, 3, 2)
        assert self.layout(engine, units=[np.int64(4), 3, 2]).units == (4, 3, 2)

    @pytest.mark.parametrize(
        "changes",
        [
            {"units": (4, 0, 2)},
            {"units": (0, 3, 2)},
            {"units": (4, 3, -2)},
            {"units": (4,)},
            {"units": ()},
            {"units": (4, 3)},
            {"units": (4, 3.5, 2)},
            {"units": ("4", 3, 2)},
            {"units": None},
            {"units": (2**31, 2**31, 2**31)},
            {"units": (2**32, 2**32, 2**32)},
            {"units": (2**63, 2**63, 2)},
            {"units": (np.int64(2**32), np.int64(2**32), 2)},
            {"coef_starts": [0]},
            {"coef_starts": [0, 13]},
            {"coef_starts": [-1, 12]},
            {"coef_starts": [0, 2**70]},
            {"intercept_starts": [18]},
            {"intercept_starts": [17, 21]},
            {"intercept_starts": [18, 22]},
            {"intercept_starts": [18, -1]},
            {"activations": ["relu"]},
            {"activations": ["softmax", "identity"]},
            {"activations": ["relu", "relu", "softmax"]},
        ],
        ids=str,
    )
    def test_misuse(self, engine, changes):
        with pytest.raises((ValueError, TypeError)):
            self.layout(engine, **changes)

    @pytest.mark.parametrize(
        "changes", [{"activations": ["relu", "no such"]}, {"loss": "no such"}]
    )
    def test_unknown_names(self, engine, changes):
        with pytest.raises(ValueError, match="There is no activation or loss 'no such'"):
            self.layout(engine, **changes)

    def test_workspace(self, engine, dtype):
        layout = self.layout(engine)
        sizes = [layout.workspace(rows, dtype).size for rows in (1, 2, 100, CHUNK_ROWS)]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[2] < sizes[3]
        assert layout.workspace(10**9, dtype).size == sizes[-1]
        assert layout.workspace(0, dtype).size == sizes[0]
        for _ in range(20):
            work = layout.workspace(3, dtype)
            assert work.dtype == dtype
            assert work.ctypes.data % 64 == 0


class TestConversion:
    """X of the other dtype than that of the computation: the bits of a converted X."""

    @pytest.mark.slow
    @pytest.mark.parametrize("storage", [*STORAGES, "mostly zeros"])
    @pytest.mark.parametrize("batch_size", [1, 16, 1500])
    def test_bits_of_converted_rows(self, engine, dtype, storage, batch_size):
        rng = np.random.default_rng(0)
        other = "float64" if dtype == "float32" else "float32"
        for units in ((7, 5, 3), (300, 520, 2)):
            problem = Problem(
                engine, other, units, ("tanh", "identity"), storage=storage, n_samples=60
            )
            X, y = problem.X, problem.y.astype(dtype)
            weight = rng.integers(0, 3, size=60).astype(dtype)
            params = problem.params.astype(dtype)
            order = rng.permutation(np.arange(1500) % 60 if batch_size == 1500 else 60)
            outcomes = []
            for rows, to in ((X, np.dtype(dtype)), (X.astype(dtype), None)):
                data = engine.Dataset(rows, y, weight, to)
                assert data.dtype == dtype
                work = problem.layout.workspace(batch_size, dtype, data=data)
                grads = np.empty_like(params)
                trained, state = params.copy(), np.zeros((1, len(params)), dtype=dtype)
                if not (batch_size == 1500 and "csr" in storage):  # a row twice in a batch
                    engine.train_epoch(
                        problem.layout, data, order, batch_size, "sgd", np.array(HYPER["sgd"]),
                        0.1, trained, grads, state, work,
                    )  # fmt: skip
                work = problem.layout.workspace(60, dtype, data=data)
                loss = engine.loss_and_gradient(problem.layout, data, 0.1, params, grads, work)
                out = np.empty_like(y)
                engine.predict(problem.layout, data, params, work, out)
                outcomes.append((trained, loss, grads, out))
            for one, expected in zip(*outcomes, strict=True):
                np.testing.assert_array_equal(one, expected)

    def test_rounded(self, engine):
        """float64 rows count as what they are in float32."""
        problem = Problem(engine, "float64")
        single = problem.dense.astype(np.float32)
        for X in (problem.dense, sp.csr_matrix(problem.dense), np.asfortranarray(problem.dense)):
            out, expected = np.empty_like(problem.y), np.empty_like(problem.y)
            for rows, to in ((X, out), (single.astype(np.float64), expected)):
                data = engine.Dataset(rows, dtype=np.dtype(np.float64), rounded=True)
                work = problem.layout.workspace(40, "float64", data=data)
                engine.predict(problem.layout, data, problem.params, work, to)
            np.testing.assert_array_equal(out, expected)

    def test_misuse(self, engine, dtype):
        other = "float64" if dtype == "float32" else "float32"
        X, y = np.ones((3, 2), dtype=dtype), np.ones((3, 1), dtype=dtype)
        for wrong in (np.dtype(int), np.dtype("float16")):
            with pytest.raises(TypeError, match="must be in float32 or float64"):
                engine.Dataset(X, dtype=wrong)
        with pytest.raises(TypeError, match="y must be bool or have the dtype"):
            engine.Dataset(X, y, dtype=np.dtype(other))
        with pytest.raises(ValueError, match="sample_weight must have"):
            engine.Dataset(X, y.astype(other), y[:, 0].copy(), np.dtype(other))


def test_tables_agree_between_variants(engine):
    for table in ("ACTIVATIONS", "LOSSES", "OPTIMIZERS"):
        assert getattr(engine, table) == getattr(loaded, table)
    assert engine.vector_bytes in (16, 32, 64)


def test_twin_knows_every_row():
    """A new activation or loss comes with its formula in the twin."""
    assert set(loaded.ACTIVATIONS) == set(reference.ACTIVATIONS)
    assert set(loaded.LOSSES) == set(reference.LOSSES)
