"""The adapter of torch.compile: forward, backward and optimizer of a minibatch in one graph.

The graph is written functionally, so that one compiled call is one step; with an eager optimizer
behind a compiled loss it is slower. Compiling is not timed.
"""

import time

import numpy as np
import torch

from benchmarks import machine
from benchmarks.problems import ALPHA, SEED
from benchmarks.runners import torch_eager
from benchmarks.runners.torch_eager import LOSSES, batches, initial_params, penalty, scores

SYSTEM = "torch.compile"
DISTRIBUTION = torch_eager.DISTRIBUTION
LOSS_TOLERANCE = torch_eager.LOSS_TOLERANCE


def adam(param, grad, state, rate):
    m, v = state
    m.mul_(0.9).add_(grad, alpha=1 - 0.9)
    v.mul_(0.999).addcmul_(grad, grad, value=1 - 0.999)
    param.sub_(rate * m / (v.sqrt() + 1e-8))


def nesterov(param, grad, state, rate):
    (velocity,) = state
    velocity.mul_(0.9).sub_(rate * grad)
    param.add_(0.9 * velocity - rate * grad)


#: step, and the number of state arrays
STEPS = {"adam": (adam, 2), "sgd": (nesterov, 1)}


def rates(solver, first, n_steps):
    """The learning rates of the next steps, Adam's with its correction of the bias."""
    t = torch.arange(first + 1, first + n_steps + 1, dtype=torch.float64)
    if solver == "adam":
        return 0.001 * torch.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return torch.full_like(t, 0.001)


def compiled_step(problem):
    """A function of weights, biases, states, rate and batch: one step in place; the loss."""
    activation, loss_function = problem.activation, LOSSES[problem.output]
    update, _ = STEPS[problem.solver]

    def step(weights, biases, states, rate, x, y):
        def loss_of(params):
            return loss_function(scores(activation, params, x), y)

        (w_grads, b_grads), loss = torch.func.grad_and_value(loss_of)((weights, biases))
        penalty_rate = ALPHA / y.shape[0]
        w_grads = [g + penalty_rate * W for g, W in zip(w_grads, weights, strict=True)]
        for param, grad, state in zip(
            (*weights, *biases), (*w_grads, *b_grads), states, strict=True
        ):
            update(param, grad, state, rate)
        return loss

    return torch.compile(step, dynamic=False, fullgraph=True)


class CompiledLoop:
    """One compiled call for each minibatch in the problem's order."""

    def __init__(self, problem):
        torch.set_num_threads(machine.n_threads())
        torch.compiler.reset()  # graphs of other problems count against a limit
        self.problem = problem
        self.data = torch_eager.tensors(problem)
        self.step = compiled_step(problem)
        self.fit(1)

    def fit(self, n_epochs):
        start = time.perf_counter()
        random_state = np.random.RandomState(SEED)
        weights, biases = initial_params(self.problem, random_state)
        _, n_state = STEPS[self.problem.solver]
        states = [[torch.zeros_like(p) for _ in range(n_state)] for p in (*weights, *biases)]
        n_steps = self.problem.steps(1)
        orders = self.problem.orders(random_state)
        with torch.no_grad():
            for epoch, order in zip(range(n_epochs), orders, strict=False):
                of_steps = rates(self.problem.solver, epoch * n_steps, n_steps)
                loop = zip(
                    of_steps, batches(self.data, order, self.problem.batch_size), strict=True
                )
                total = 0
                for rate, (x, y) in loop:
                    total += self.step(weights, biases, states, rate, x, y) * len(y)
        loss = (float(total) + n_steps * penalty(weights)) / len(order)
        return time.perf_counter() - start, loss


def prepare(problem):
    return None if problem.solver == "lbfgs" else CompiledLoop(problem)
