"""What a step may do besides its rule, against the NumPy twin: a learning rate for each minibatch,
gradients that are clipped, weights that are averaged."""

import numpy as np
import pytest
import reference
from test_engine import HYPER, TOLERANCE, Problem

from cmlp._core import engine as loaded

OPTIMIZERS = list(loaded.OPTIMIZERS)
N, BATCH = 40, 7
N_BATCHES = 6
DECAY = 0.8


class Recorder:
    """A twin's optimizer with a rate per step and clipping, which averages what comes of it."""

    def __init__(self, name, rates=None, max_norm=np.inf):
        self.optimizer = reference.OPTIMIZERS[name](*HYPER[name])
        self.rates = iter(()) if rates is None else iter(rates)
        self.max_norm, self.norms, self.weights = max_norm, [], []

    def update(self, grad, params):
        self.optimizer.n_coefs = self.n_coefs
        self.optimizer.learning_rate = next(self.rates, self.optimizer.learning_rate)
        norm = np.linalg.norm(grad)
        self.norms.append(norm)
        if norm > self.max_norm:
            grad = grad * (self.max_norm / norm)
        update = self.optimizer.update(grad, params)
        self.weights.append(params + update)
        return update

    def average(self):
        """The weights of each step, the last ones counting most."""
        return np.average(
            self.weights, axis=0, weights=DECAY ** np.arange(len(self.weights))[::-1]
        )


def make(engine, dtype, optimizer, batch_size=BATCH, n_samples=N, units=(5, 9, 3), **kwargs):
    problem = Problem(
        engine, dtype, units, ("tanh", "identity"), weighted=True, n_samples=n_samples, **kwargs
    )
    return problem, problem.epoch_arguments(optimizer, batch_size, None, 0.1)


def average_too(arguments):
    arguments["state"] = np.vstack([arguments["state"], arguments["params"]])
    return np.array([DECAY, 0.0])


def check(problem, arguments, recorder, epochs=2, rates=None, max_norm=0.0, averaging=None):
    expected = problem.params.astype(np.float64)
    for epoch in range(epochs):
        part = None if rates is None else rates[epoch * N_BATCHES : (epoch + 1) * N_BATCHES]
        loss = problem.engine.train_epoch(
            **arguments, rates=part, max_grad_norm=max_norm, averaging=averaging
        )
        expected_loss, expected = problem.twin.train_epoch(
            expected,
            recorder,
            problem.dense.astype(np.float64),
            problem.y,
            problem.weight,
            np.arange(len(problem.dense)),
            arguments["batch_size"],
            arguments["alpha"],
        )
        np.testing.assert_allclose(loss, expected_loss, rtol=TOLERANCE[problem.dtype]["rtol"])
    tolerance = dict(TOLERANCE[problem.dtype])
    if problem.dtype == "float32":
        tolerance["atol"] = 1e-3
    np.testing.assert_allclose(arguments["params"], expected, **tolerance)
    if averaging is not None:
        assert averaging[1] == len(recorder.weights)
        np.testing.assert_allclose(arguments["state"][-1], recorder.average(), **tolerance)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
class TestSteps:
    def test_rates(self, engine, dtype, optimizer):
        problem, arguments = make(engine, dtype, optimizer)
        rates = HYPER[optimizer][0] * np.linspace(2, 0, 2 * N_BATCHES)
        check(problem, arguments, Recorder(optimizer, rates), rates=rates)

    @pytest.mark.parametrize("batch_size", [1, BATCH, N])
    def test_average(self, engine, dtype, optimizer, batch_size):
        problem, arguments = make(engine, dtype, optimizer, batch_size)
        check(problem, arguments, Recorder(optimizer), averaging=average_too(arguments))

    @pytest.mark.parametrize("max_norm", [0.5, 3.0, 1e6])
    def test_clipping(self, engine, dtype, optimizer, max_norm):
        problem, arguments = make(engine, dtype, optimizer)
        recorder = Recorder(optimizer, max_norm=max_norm)
        check(problem, arguments, recorder, max_norm=max_norm)
        clipped = np.sum(np.array(recorder.norms) > max_norm)
        assert clipped == 0 if max_norm == 1e6 else clipped > 0

    @pytest.mark.slow
    def test_all_at_once(self, engine, dtype, optimizer):
        """In batches of more rows than are held at once, and blocks of more than one."""
        problem, arguments = make(engine, dtype, optimizer, 1500, 1700, (5, 900, 3))
        rates = HYPER[optimizer][0] * np.array([1.0, 0.1])
        recorder = Recorder(optimizer, rates, max_norm=0.5)
        averaging = average_too(arguments)
        check(problem, arguments, recorder, 1, rates, 0.5, averaging)
        assert max(recorder.norms) > 0.5

    def test_no_thread_changes_a_bit(self, engine, dtype, optimizer):
        results = []
        for n_threads in (1, 2, 3):
            _, arguments = make(engine, dtype, optimizer, 300, 700, (20, 90, 3))
            averaging = average_too(arguments)
            arguments["work"] = _.layout.workspace(300, dtype, n_threads, data=_.data)
            loss = engine.train_epoch(
                **arguments,
                n_threads=n_threads,
                rates=np.array([0.01, 0.02, 0.005]),
                max_grad_norm=0.3,
                averaging=averaging,
            )
            results.append(np.append(arguments["params"], [loss, *arguments["state"].ravel()]))
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])

    def test_a_long_enough_norm_changes_nothing(self, engine, dtype, optimizer):
        """But for rounding: the gradient is then summed in another place, by other machine code,
        and a compiler fuses multiply and add as it likes in each."""
        results = []
        for max_norm in (0.0, 1e30):
            _, arguments = make(engine, dtype, optimizer)
            loss = engine.train_epoch(**arguments, max_grad_norm=max_norm)
            results.append(np.append(arguments["params"], loss))
        # a number is what is left of larger ones: its rounding errors are of their size
        atol = np.finfo(dtype).eps * np.abs(results[0]).max()
        rtol = 1e-6 if dtype == "float32" else 1e-14
        np.testing.assert_allclose(*results, rtol=rtol, atol=atol)

    def test_biases_that_are_not_trained(self, engine, dtype, optimizer):
        problem, arguments = make(engine, dtype, optimizer, fit_intercept=False)
        start = arguments["params"][problem.n_coefs() :].copy()
        averaging = average_too(arguments)
        engine.train_epoch(**arguments, max_grad_norm=0.5, averaging=averaging)
        for vector in (arguments["params"], arguments["state"][-1]):
            np.testing.assert_array_equal(vector[problem.n_coefs() :], start)
            assert np.isfinite(vector).all()

    def test_batches_without_weight_are_no_steps(self, engine, dtype, optimizer):
        problem, arguments = make(engine, dtype, optimizer, 10)
        weight = problem.weight.copy()
        weight[10:20] = 0
        data = engine.Dataset(problem.X, problem.y.astype(dtype), weight)
        others = np.r_[0:10, 20:40]
        rates = np.array([0.01, 0.5, 0.02, 0.03])
        results = []
        for order, given in ((None, rates), (others, rates[[0, 2, 3]])):
            _, arguments = make(engine, dtype, optimizer, 10)
            arguments.update(data=data, order=order)
            averaging = average_too(arguments)
            engine.train_epoch(**arguments, rates=given, max_grad_norm=1.0, averaging=averaging)
            assert averaging[1] == 3
            results.append(np.append(arguments["params"], arguments["state"].ravel()))
        np.testing.assert_array_equal(*results)

    def test_misuse(self, engine, dtype, optimizer):
        _, arguments = make(engine, dtype, optimizer)
        for wrong in (
            {"rates": np.ones(N_BATCHES - 1)},
            {"averaging": np.array([0.9, 0.0])},  # without a row for it
            {"max_grad_norm": 1.0, "grads": None},
        ):
            with pytest.raises(ValueError, match="do not fit"):
                engine.train_epoch(**{**arguments, **wrong})
        arguments["state"] = np.vstack([arguments["state"], arguments["params"]])
        for averaging in (None, np.array([0.9]), np.ones(3)):
            with pytest.raises(ValueError, match="do not fit"):
                engine.train_epoch(**arguments, averaging=averaging)


def test_a_gradient_whose_squares_overflow_is_clipped(engine):
    problem, arguments = make(engine, "float32", "sgd")
    arguments["data"] = engine.Dataset(problem.X, np.full_like(problem.y, 1e25, dtype="float32"))
    arguments.update(hyper=np.array([1.0, 0.0, 0.0]), batch_size=N)
    arguments["work"] = problem.layout.workspace(N, "float32", data=problem.data)
    before = arguments["params"].copy()
    engine.train_epoch(**arguments, max_grad_norm=2.0)
    step = np.linalg.norm((arguments["params"] - before).astype(np.float64))
    np.testing.assert_allclose(step, 2, rtol=1e-5)
