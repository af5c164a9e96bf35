"""The adapter of JAX: a whole epoch in one compiled call, `lax.scan` over the minibatches.

The arithmetic is scikit-learn's, the epsilon of Adam and the penalty included; only the penalty's
share of the loss is computed once an epoch, which saves JAX a pass over the weights per step.
"""

import time
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp

from benchmarks.problems import ALPHA, SEED
from benchmarks.runners import lbfgs, padded_rows

jax.config.update("jax_enable_x64", True)  # or float64 would silently become float32

SYSTEM = "JAX"
DISTRIBUTION = "jax"
#: largest relative difference of the final loss
LOSS_TOLERANCE = 1e-2

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "logistic": jax.nn.sigmoid}


def first_product(X, W):
    """X @ W; of sparse rows, given as the places and the values of their non-zeros, a sum."""
    if isinstance(X, tuple):
        places, values = X
        return jnp.einsum("nk,nkh->nh", values, W[places])
    return X @ W


def scores(activation, params, X):
    """What the output layer computes before its activation."""
    for i, (W, b) in enumerate(params):
        Z = (first_product(X, W) if i == 0 else A @ W) + b  # noqa: F821
        A = ACTIVATIONS[activation](Z) if i < len(params) - 1 else Z
    return A


def softmax_loss(Z, Y):
    return (jax.nn.logsumexp(Z, axis=1) - (Z * Y).sum(axis=1)).sum()


def logistic_loss(Z, Y):
    return (jax.nn.softplus(Z) - Y * Z).sum()


def squared_error(Z, Y):
    return 0.5 * ((Z - Y) ** 2).sum()


LOSSES = {"softmax": softmax_loss, "logistic": logistic_loss, "identity": squared_error}


def adam(params, grads, state):
    """One step; the state is the number of steps and two moments of each array."""
    t, ms, vs = state
    t = t + 1
    rate = 0.001 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    ms = jax.tree.map(lambda m, g: 0.9 * m + (1 - 0.9) * g, ms, grads)
    vs = jax.tree.map(lambda v, g: 0.999 * v + (1 - 0.999) * g * g, vs, grads)
    params = jax.tree.map(
        lambda p, m, v: p - rate.astype(p.dtype) * m / (jnp.sqrt(v) + 1e-8), params, ms, vs
    )
    return params, (t, ms, vs)


def nesterov(params, grads, velocities):
    velocities = jax.tree.map(lambda v, g: 0.9 * v - 0.001 * g, velocities, grads)
    params = jax.tree.map(lambda p, v, g: p + 0.9 * v - 0.001 * g, params, velocities, grads)
    return params, velocities


def initial_state(solver, params):
    zeros = partial(jax.tree.map, jnp.zeros_like, params)
    return (jnp.zeros((), jnp.float64), zeros(), zeros()) if solver == "adam" else zeros()


STEPS = {"adam": adam, "sgd": nesterov}


def penalty(params):
    return 0.5 * ALPHA * sum((W * W).sum() for W, _ in params)


def train_epoch(activation, output, solver, batch_size, carry, X, Y, order):
    """All minibatches of one epoch, the short last one after the scan: (carry, loss)."""

    def step(carry, batch):
        params, state = carry
        x, y = jax.tree.map(lambda array: array[batch], (X, Y))
        n = len(batch)
        loss, grads = jax.value_and_grad(
            lambda params: LOSSES[output](scores(activation, params, x), y)
        )(params)
        grads = [
            ((dW + ALPHA * W) / n, db / n) for (dW, db), (W, _) in zip(grads, params, strict=True)
        ]
        return STEPS[solver](params, grads, state), loss

    n_full, n_last = divmod(len(order), batch_size)
    blocks = order[: n_full * batch_size].reshape(n_full, batch_size)
    carry, losses = jax.lax.scan(step, carry, blocks)
    total, n_steps = losses.sum(), n_full
    if n_last:
        carry, last = step(carry, order[-n_last:])
        total, n_steps = total + last, n_steps + 1
    return carry, (total + n_steps * penalty(carry[0])) / len(order)


class Scan:
    """A compiled epoch; the state is donated, so that XLA updates it in place."""

    def __init__(self, problem):
        self.problem = problem
        X = padded_rows(problem.X) if problem.is_sparse else problem.X
        self.data = jax.device_put((X, problem.targets()))
        self.train_epoch = jax.jit(
            partial(
                train_epoch,
                problem.activation,
                problem.output,
                problem.solver,
                problem.batch_size,
            ),
            donate_argnums=0,
        )
        self.fit(1)

    def fit(self, n_epochs):
        start = time.perf_counter()
        random_state = np.random.RandomState(SEED)
        params = jax.device_put(
            list(zip(*self.problem.initial_weights(random_state), strict=True))
        )
        carry = params, initial_state(self.problem.solver, params)
        orders = self.problem.orders(random_state)
        for _, order in zip(range(n_epochs), orders, strict=False):
            carry, loss = self.train_epoch(carry, *self.data, order.astype(np.int32))
        loss = float(loss)
        return time.perf_counter() - start, loss


class FullBatch:
    """SciPy's L-BFGS-B over a compiled loss and gradient."""

    def __init__(self, problem):
        self.problem = problem
        X, Y = jax.device_put((problem.X, problem.targets()))

        def objective(params):
            loss = LOSSES[problem.output](scores(problem.activation, params, X), Y)
            return (loss + penalty(params)) / len(Y)

        self.value_and_grad = jax.jit(jax.value_and_grad(objective))
        self.fit(1)

    def fit(self, n_iterations):
        return lbfgs(self.problem, self.value_and_grad, n_iterations)


def prepare(problem):
    return (FullBatch if problem.solver == "lbfgs" else Scan)(problem)


def predictor(problem):
    """predict_proba, compiled with the weights as constants."""
    coefs, intercepts = problem.initial_weights(np.random.RandomState(SEED))
    params = jax.device_put(list(zip(coefs, intercepts, strict=True)))
    activation, output = problem.activation, problem.output

    def probabilities(X):
        Z = scores(activation, params, X)
        if output == "softmax":
            return jax.nn.softmax(Z)
        P = jax.nn.sigmoid(Z)
        return jnp.concatenate([1 - P, P], axis=1)

    compiled = jax.jit(probabilities)
    return lambda X: np.asarray(compiled(X))
