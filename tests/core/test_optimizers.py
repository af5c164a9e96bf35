"""One step of every optimizer, again and again, against the NumPy twin, scikit-learn's own and
PyTorch's."""

import numpy as np
import pytest
import reference
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from test_engine import HYPER, start_state

from cmlp._core import engine

STEPS = 25

# what is tested: optimizer, its hyper-parameters
CASES = {f"{name} as elsewhere": (name, hyper) for name, hyper in HYPER.items()} | {
    "sgd": ("sgd", [0.1, 0.0, 0.0]),
    "momentum": ("sgd", [0.1, 0.9, 0.0]),
    "nesterov": ("sgd", [0.1, 0.9, 1.0]),
    "nesterov without momentum": ("sgd", [0.3, 0.0, 1.0]),
    "momentum of 1": ("sgd", [0.01, 1.0, 1.0]),
    "adam": ("adam", [0.001, 0.9, 0.999, 1e-8, 0.0]),
    "adam with other values": ("adam", [0.1, 0.5, 0.8, 1e-3, 0.0]),
    "adam without memory": ("adam", [0.01, 0.0, 0.0, 1e-8, 0.0]),
    "adamw": ("adamw", [0.001, 0.9, 0.999, 1e-8, 0.0, 0.01]),
    "adamw with other values": ("adamw", [0.1, 0.5, 0.8, 1e-3, 0.0, 0.5]),
    "adamw without decay": ("adamw", [0.01, 0.9, 0.99, 1e-4, 0.0, 0.0]),
    "nadam": ("nadam", [0.002, 0.9, 0.999, 1e-8, 0.0, 1.0]),
    "nadam with other values": ("nadam", [0.1, 0.5, 0.8, 1e-3, 0.0, 1.0]),
    "rmsprop": ("rmsprop", [0.01, 0.0, 0.99, 1e-8]),
    "rmsprop with momentum": ("rmsprop", [0.001, 0.9, 0.999, 1e-3]),
    "adagrad": ("adagrad", [0.01, 1e-10]),
    "adagrad with other values": ("adagrad", [0.5, 1e-3]),
    "schedule_free_adamw": ("schedule_free_adamw", [0.0025, 0.9, 0.999, 1e-8, 0.0, 0.01, 0.0]),
    "schedule_free_adamw with other values": (
        "schedule_free_adamw",
        [0.1, 0.5, 0.8, 1e-3, 0.0, 0.5, 0.0],
    ),
}


def twin(name, hyper):
    return reference.OPTIMIZERS[name](*hyper)


def scikit_learns(name, hyper, params):
    if name == "sgd":
        rate, momentum, nesterov = hyper
        return SGDOptimizer(params, rate, momentum=momentum, nesterov=bool(nesterov))
    return AdamOptimizer(params, *hyper[:4])


def start(name, hyper, n, dtype):
    params = np.random.default_rng(n).normal(size=n).astype(dtype)
    return params, start_state(name, engine.OPTIMIZERS[name][1], params), np.array(hyper)


def gradient(t, n, dtype):
    """Of very different sizes, zeros among them."""
    rng = np.random.default_rng(1000 + t)
    grad = rng.normal(size=n) * 10.0 ** rng.integers(-6, 4, size=n)
    grad[::5] = 0
    return grad.astype(dtype)


def test_every_optimizer_is_tested():
    assert {name for name, _ in CASES.values()} == set(engine.OPTIMIZERS)


@pytest.mark.parametrize(("name", "hyper"), CASES.values(), ids=CASES)
class TestStep:
    @pytest.mark.slow
    def test_twin(self, kernels, dtype, name, hyper):
        for n in range(1, 34):
            params, state, vector = start(name, hyper, n, dtype)
            expected, optimizer = params.astype(np.float64), twin(name, hyper)
            travelled = np.abs(expected)
            for t in range(STEPS):
                grad = gradient(t, n, dtype)
                grad.flags.writeable = False
                kernels.step(name, vector, params, grad, state)
                update = optimizer.update(grad.astype(np.float64), expected)
                expected = expected + update
                travelled += np.abs(update)
                error = np.abs(params - expected)
                assert (error <= 40 * np.finfo(dtype).eps * travelled).all(), (n, t)

    def test_scikit_learn(self, kernels, dtype, name, hyper):
        if name not in ("sgd", "adam"):
            pytest.skip("not one of scikit-learn's")
        n = 33
        params, state, vector = start(name, hyper, n, dtype)
        theirs = [params[:20].copy().reshape(4, 5), params[20:].copy()]
        optimizer = scikit_learns(name, hyper, theirs)
        for t in range(STEPS):
            grad = gradient(t, n, dtype)
            kernels.step(name, vector, params, grad, state)
            optimizer.update_params(theirs, [grad[:20].reshape(4, 5), grad[20:]])
            flat = np.concatenate([a.ravel() for a in theirs])
            assert flat.dtype == dtype
            tolerance = 3e-5 if dtype == "float32" else 1e-13
            np.testing.assert_allclose(params, flat, rtol=tolerance, atol=tolerance)

    def test_a_zero_gradient_moves_nothing_at_rest(self, kernels, dtype, name, hyper):
        params, state, vector = start(name, hyper, 9, dtype)
        before = params.copy()
        kernels.step(name, vector, params, np.zeros(9, dtype=dtype), state)
        decay = dict(zip(engine.OPTIMIZERS[name][2], hyper, strict=True)).get("weight_decay", 0)
        rate = hyper[0] * (np.sqrt(1 - hyper[2]) if name == "schedule_free_adamw" else 1)
        np.testing.assert_allclose(params, before * (1 - rate * decay), rtol=1e-6)
        if not decay:
            np.testing.assert_array_equal(params, before)
            np.testing.assert_array_equal(state, 0)

    def test_nan_stays_where_it_is(self, kernels, dtype, name, hyper):
        params, state, vector = start(name, hyper, 9, dtype)
        grad = np.ones(9, dtype=dtype)
        grad[4] = np.nan
        kernels.step(name, vector, params, grad, state)
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(params)), [4])

    @pytest.mark.slow
    def test_neighbours_untouched(self, kernels, dtype, name, hyper):
        n_slots = engine.OPTIMIZERS[name][1]
        for n in range(1, 34):
            buffer = np.full(n + 2, 7, dtype=dtype)
            states = np.full(n_slots * n + 2, 7, dtype=dtype)
            states[1:-1] = start_state(name, n_slots, buffer[1:-1]).ravel()
            grad = np.ones(n, dtype=dtype)
            kernels.step(
                name, np.array(hyper), buffer[1:-1], grad, states[1:-1].reshape(n_slots, n)
            )
            assert buffer[0] == buffer[-1] == states[0] == states[-1] == 7
            assert (buffer[1:-1] < 7).all()

    def test_misuse(self, kernels, dtype, name, hyper):
        params, state, vector = start(name, hyper, 9, dtype)
        grad = params.copy()
        other = params.astype("float32" if dtype == "float64" else "float64")
        frozen = params.copy()
        frozen.flags.writeable = False
        for arguments in [
            (vector[:-1], params, grad, state),
            (np.append(vector, 1), params, grad, state),
            (vector, params, grad[:-1], state),
            (vector, params[:-1], grad, state),
            (vector, params, grad, state[:, :-1].copy()),
            (vector, params, grad, np.vstack([state, state[:1]])),
            (vector, params, grad, state[:0]),
            (None, params, grad, state),
            (vector, params, other, state),
            (vector, frozen, grad, state),
            (vector, params[::2], grad[:5], state[:, :5].copy()),
            (vector.astype(np.float32), params, grad, state),
        ]:
            before = params.copy()
            with pytest.raises((ValueError, TypeError)):
                kernels.step(name, *arguments)
            np.testing.assert_array_equal(params, before)


def test_adam_counts_its_steps(kernels, dtype):
    params, state, hyper = start(*CASES["adam"], 3, dtype)
    t = engine.OPTIMIZERS["adam"][2].index("t")
    for steps in range(1, 5):
        kernels.step("adam", hyper, params, np.ones(3, dtype=dtype), state)
        assert hyper[t] == steps
    np.testing.assert_array_equal(np.delete(hyper, t), np.delete(CASES["adam"][1], t))


def test_adams_first_step_is_the_learning_rate(kernels, dtype):
    """Whatever the size of the gradient, if epsilon is small beside it."""
    params, state, hyper = start(*CASES["adam"], 4, dtype)
    before = params.astype(np.float64)
    grad = np.array([1e4, -1, 30, -0.1], dtype=dtype)
    kernels.step("adam", hyper, params, grad, state)
    np.testing.assert_allclose(before - params, 1e-3 * np.sign(grad), rtol=1e-3)


def test_unknown_optimizer(kernels, dtype):
    params, state, hyper = start(*CASES["sgd"], 3, dtype)
    with pytest.raises(KeyError):
        kernels.step("no such", hyper, params, params.copy(), state)


def torch_optimizer(torch, name, hyper, param):
    """The same optimizer in PyTorch, or None; epsilon is not where scikit-learn's Adam has it."""
    hyper = dict(zip(engine.OPTIMIZERS[name][2], hyper, strict=True))
    rate, betas = hyper["learning_rate"], (hyper.get("beta_1"), hyper.get("beta_2"))
    epsilon = hyper.get("epsilon")
    if name == "adamw":
        return torch.optim.AdamW([param], rate, betas, epsilon, weight_decay=hyper["weight_decay"])
    if name == "nadam":
        return torch.optim.NAdam([param], rate, betas, epsilon)
    if name == "rmsprop":
        return torch.optim.RMSprop(
            [param], rate, alpha=betas[1], eps=epsilon, momentum=hyper["momentum"]
        )
    if name == "adagrad":
        return torch.optim.Adagrad([param], rate, eps=epsilon)
    if name == "sgd":
        return torch.optim.SGD(
            [param],
            rate,
            momentum=hyper["momentum"],
            nesterov=bool(hyper["nesterov"] and hyper["momentum"]),
        )
    return None


@pytest.mark.parametrize(("name", "hyper"), CASES.values(), ids=CASES)
def test_torch(kernels, dtype, name, hyper):
    torch = pytest.importorskip("torch")
    params, state, vector = start(name, hyper, 33, dtype)
    param = torch.nn.Parameter(torch.from_numpy(params.copy()))
    optimizer = torch_optimizer(torch, name, hyper, param)
    if optimizer is None:
        pytest.skip("not one of PyTorch's")
    for t in range(STEPS):
        grad = gradient(t, 33, dtype)
        kernels.step(name, vector, params, grad, state)
        param.grad = torch.from_numpy(grad)
        optimizer.step()
        tolerance = 1e-4 if dtype == "float32" else 1e-12
        if name == "nadam":  # whose product of momenta is a float32 there
            tolerance = max(tolerance, 1e-6)
        np.testing.assert_allclose(
            params, param.detach().numpy(), rtol=tolerance, atol=tolerance, err_msg=f"step {t}"
        )


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_schedule_free_adamw_as_its_authors_write_it(kernels, weight_decay):
    """They keep y and z, and work out x when it is asked for."""
    rate, beta_1, beta_2, epsilon = 0.02, 0.9, 0.99, 1e-8
    hyper = [rate, beta_1, beta_2, epsilon, 0.0, weight_decay, 0.0]
    params, state, vector = start("schedule_free_adamw", hyper, 33, "float64")
    y, z, v, weight_sum = params.copy(), params.copy(), 0.0, 0.0
    for k in range(STEPS):
        grad = gradient(k, 33, "float64")
        kernels.step("schedule_free_adamw", vector, params, grad, state)
        lr = rate * np.sqrt(1 - beta_2 ** (k + 1))
        weight_sum += lr**2
        c = lr**2 / weight_sum
        v = beta_2 * v + (1 - beta_2) * grad**2
        normalized = grad / (np.sqrt(v) + epsilon) + weight_decay * y
        y = y + c * (z - y) + lr * (beta_1 * (1 - c) - 1) * normalized
        z = z - lr * normalized
        x = y + (1 - 1 / beta_1) * (z - y)
        np.testing.assert_allclose(params, y, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(state[1], x, rtol=1e-11, atol=1e-11)
