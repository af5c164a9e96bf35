"""Every misuse of the entry points that train and predict raises before memory is touched."""

import numpy as np
import pytest
import scipy.sparse as sp
from test_engine import Problem


def short(array):
    return array[..., :-1].copy()


def long(array):
    return np.concatenate([array, array[..., :1]], axis=-1)


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def strided(array):
    return np.repeat(array, 2, axis=-1)[..., ::2]


def swapped(array):
    return array.astype("float32" if array.dtype == np.float64 else "float64")


class TestMisuse:
    """Nothing is written before the arguments have been checked."""

    @pytest.fixture
    def problem(self, engine, dtype):
        return Problem(engine, dtype)

    def raises(self, function, arguments, written, expected=(ValueError, TypeError)):
        before = [np.array(arguments[name], copy=True) for name in written]
        with pytest.raises(expected):
            function(*arguments.values())
        for name, old in zip(written, before, strict=True):
            np.testing.assert_array_equal(arguments[name], old)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "change"),
        [
            *[(name, change) for name in ("params", "grads", "state") for change in (short, long)],
            *[
                (name, change)
                for name in ("params", "grads", "state", "work")
                for change in (frozen, strided, swapped)
            ],
            ("work", short),
            ("hyper", short),
            ("hyper", long),
            ("hyper", frozen),
            ("hyper", lambda a: a.astype(np.float32)),
            ("state", lambda a: a[:0]),
            ("state", lambda a: np.vstack([a, a])),
            ("state", np.ravel),
            ("params", lambda a: a.reshape(1, -1)),
            *[
                (name, lambda a: None)
                for name in (
                    "layout",
                    "data",
                    "hyper",
                    "params",
                    "state",
                    "work",
                )
            ],
            ("batch_size", lambda a: 0),
            ("batch_size", lambda a: -1),
            ("batch_size", lambda a: 1.5),
            ("order", lambda a: np.array([0, 40])),
            ("order", lambda a: np.array([-1, 0])),
            ("order", lambda a: np.array([0, 2**62])),
            ("order", lambda a: np.array([0, -(2**62)])),
            ("order", lambda a: np.empty(0, dtype=np.intp)),
            ("order", lambda a: np.arange(40, dtype=np.int16)),
            ("order", lambda a: np.arange(40.0)),
            ("order", lambda a: np.arange(40)[::2]),
            ("order", lambda a: np.arange(40).reshape(1, -1)),
            ("order", lambda a: list(range(40))),
        ],
    )
    def test_train_epoch(self, engine, problem, name, change):
        arguments = problem.epoch_arguments("adam", 8, None, 0.1)
        arguments[name] = change(arguments[name])
        self.raises(
            engine.train_epoch, arguments, [n for n in ("params", "state", "hyper") if n != name]
        )

    @pytest.mark.parametrize("storage", ["csr", "dense"])
    def test_without_gradients_where_they_are_needed(self, engine, dtype, storage):
        problem = Problem(engine, dtype, storage=storage, n_samples=1500)
        arguments = problem.epoch_arguments("adam", 1500, None, 0.1)
        arguments["grads"] = None
        self.raises(engine.train_epoch, arguments, ["params", "state", "hyper"])

    def test_a_workspace_for_smaller_batches(self, engine, dtype, problem):
        arguments = problem.epoch_arguments("sgd", 8, None, 0.1)
        arguments["batch_size"] = 9
        self.raises(engine.train_epoch, arguments, ["params", "state"])

    def test_unknown_optimizer(self, engine, dtype, problem):
        arguments = problem.epoch_arguments("sgd", 8, None, 0.1)
        for name in ("no such", None):
            arguments["optimizer"] = name
            self.raises(engine.train_epoch, arguments, ["params", "state"], KeyError)

    def data(self, problem, which):
        X, y = problem.dense, problem.y
        engine = problem.engine
        return {
            "no targets": lambda: engine.Dataset(X),
            "fewer features": lambda: engine.Dataset(X[:, :-1], y),
            "more features": lambda: engine.Dataset(np.hstack([X, X]), y),
            "fewer outputs": lambda: engine.Dataset(X, y[:, :-1].copy()),
            "more outputs": lambda: engine.Dataset(X, np.hstack([y, y])),
            "other dtype": lambda: engine.Dataset(swapped(X), swapped(y)),
            "sparse with fewer features": lambda: engine.Dataset(sp.csr_matrix(X[:, :-1]), y),
        }[which]()

    DATA = [
        "no targets",
        "fewer features",
        "more features",
        "fewer outputs",
        "more outputs",
        "other dtype",
        "sparse with fewer features",
    ]

    @pytest.mark.parametrize("which", DATA)
    def test_data_that_does_not_fit(self, engine, dtype, problem, which):
        arguments = problem.epoch_arguments("sgd", 8, None, 0.1)
        arguments["data"] = data = self.data(problem, which)
        self.raises(engine.train_epoch, arguments, ["params", "state"])
        grads = np.zeros_like(problem.params)
        work = problem.layout.workspace(40, dtype, data=problem.data)
        with pytest.raises(ValueError, match=r"columns|features|dtype"):
            engine.loss_and_gradient(problem.layout, data, 0.0, problem.params, grads, work)
        assert not grads.any()
        if which in ("fewer features", "more features", "other dtype"):
            out = np.zeros((40, 3), dtype=dtype)
            with pytest.raises(ValueError, match=r"features|dtype"):
                engine.predict(problem.layout, data, problem.params, work, out)
            assert not out.any()

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            *[(name, change) for name in ("params", "grads") for change in (short, long, strided)],
            *[(name, swapped) for name in ("params", "grads", "work")],
            ("grads", frozen),
            ("work", frozen),
            ("work", short),
            *[(name, lambda a: None) for name in ("layout", "data", "params", "grads", "work")],
        ],
    )
    def test_loss_and_gradient(self, engine, dtype, problem, name, change):
        arguments = {
            "layout": problem.layout,
            "data": problem.data,
            "alpha": 0.1,
            "params": problem.params,
            "grads": np.zeros_like(problem.params),
            "work": problem.guarded_work(40)[0],
        }
        arguments[name] = change(arguments[name])
        self.raises(engine.loss_and_gradient, arguments, [n for n in ("grads",) if n != name])

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            *[("params", change) for change in (short, long, strided, swapped)],
            *[("work", change) for change in (short, frozen, swapped)],
            *[("out", change) for change in (short, long, frozen, strided, swapped)],
            ("out", lambda a: a[1:]),
            ("out", lambda a: np.vstack([a, a])),
            ("out", np.ravel),
            ("out", np.asfortranarray),
            *[(name, lambda a: None) for name in ("layout", "data", "params", "work", "out")],
        ],
    )
    def test_predict(self, engine, dtype, problem, name, change):
        arguments = {
            "layout": problem.layout,
            "data": problem.data,
            "params": problem.params,
            "work": problem.guarded_work(40)[0],
            "out": np.zeros((40, 3), dtype=dtype),
        }
        arguments[name] = change(arguments[name])
        self.raises(engine.predict, arguments, [n for n in ("out",) if n != name])

    @pytest.mark.parametrize(
        "y",
        [
            lambda y: y[:-1],
            lambda y: y[:, 0].copy(),
            lambda y: y[:, :0],
            lambda y: y[:, :0].astype(bool),
            lambda y: np.asfortranarray(y),
            lambda y: y[:, ::2],
            swapped,
            lambda y: y.astype(int),
            lambda y: y.astype(y.dtype.newbyteorder()),
            lambda y: np.frombuffer(b"\0" + y.tobytes(), y.dtype, y.size, 1).reshape(y.shape),
        ],
    )
    def test_targets(self, engine, dtype, problem, y):
        with pytest.raises((ValueError, TypeError)):
            engine.Dataset(problem.dense, y(problem.y))

    @pytest.mark.parametrize(
        "weight",
        [
            lambda w: w[:-1],
            lambda w: w.reshape(-1, 1),
            swapped,
            lambda w: w.astype(int),
            lambda w: np.repeat(w, 2)[::2],
            lambda w: np.frombuffer(b"\0" + w.tobytes(), w.dtype, w.size, 1),
        ],
    )
    def test_weights(self, engine, dtype, problem, weight):
        with pytest.raises((ValueError, TypeError)):
            engine.Dataset(problem.dense, problem.y, weight(np.ones(40, dtype=dtype)))
