"""The adapter of PyTorch, eager, written as fast as its users could: the fused optimizers, no
DataLoader, tensors permuted once an epoch, losses read once an epoch.

Two differences of arithmetic, hence a loose `LOSS_TOLERANCE`: torch's Adam adds epsilon to the
corrected root of the second moment, scikit-learn's to the uncorrected one; and the penalty's share
of the loss (not of the gradient) is computed once an epoch.
"""

import time

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import machine
from benchmarks.problems import ALPHA, SEED
from benchmarks.runners import lbfgs, padded_rows

SYSTEM = "PyTorch"
DISTRIBUTION = "torch"
LOSS_TOLERANCE = 2e-2

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid}


def scores(activation, params, X):
    """What the output layer computes before its activation; weights are (fan_out, fan_in)."""
    weights, biases = params
    A = X
    for i, (W, b) in enumerate(zip(weights, biases, strict=True)):
        if i == 0 and isinstance(X, tuple):  # places and values of the non-zeros of sparse rows
            Z = F.embedding_bag(X[0], W, per_sample_weights=X[1], mode="sum") + b
        else:
            Z = F.linear(A, W, b)
        A = ACTIVATIONS[activation](Z) if i < len(weights) - 1 else Z
    return A


#: means over the batch
LOSSES = {
    "softmax": F.cross_entropy,
    "logistic": F.binary_cross_entropy_with_logits,
    "identity": lambda Z, Y: 0.5 * F.mse_loss(Z, Y),
}


def penalty(weights):
    return 0.5 * ALPHA * sum(float((W * W).sum()) for W in map(torch.detach, weights))


def tensors(problem):
    """X, or its non-zeros if sparse, and y: classes where torch wants classes."""
    X = padded_rows(problem.X) if problem.is_sparse else (problem.X,)
    y = problem.y if problem.output == "softmax" else problem.targets()
    return [torch.from_numpy(array) for array in (*X, y)]


def initial_params(problem, random_state):
    """Weights (fan_out, fan_in), but those of sparse rows, an embedding, (fan_in, fan_out)."""
    coefs, intercepts = problem.initial_weights(random_state)
    weights = [
        torch.from_numpy(W if i == 0 and problem.is_sparse else np.ascontiguousarray(W.T))
        for i, W in enumerate(coefs)
    ]
    return weights, [torch.from_numpy(b) for b in intercepts]


def batches(data, order, batch_size):
    """The minibatches of one epoch: (x, y) each, x a tuple for sparse data."""
    order = torch.from_numpy(order)
    for *x, y in zip(*(array[order].split(batch_size) for array in data), strict=True):
        yield (tuple(x) if len(x) > 1 else x[0]), y


def optimizer(problem, params):
    """The fused one; the penalty, of the weights only, is its weight decay."""
    weights, biases = params
    groups = [{"params": weights, "weight_decay": ALPHA}, {"params": biases, "weight_decay": 0.0}]
    if problem.solver == "adam":
        return torch.optim.Adam(groups, lr=0.001, eps=1e-8, fused=True)
    return torch.optim.SGD(groups, lr=0.001, momentum=0.9, nesterov=True, fused=True)


class Loop:
    """Forward, backward and one optimizer step for each minibatch in the problem's order."""

    def __init__(self, problem):
        torch.set_num_threads(machine.n_threads())
        self.problem = problem
        self.activation, self.loss = problem.activation, LOSSES[problem.output]
        self.data = tensors(problem)

    def fit(self, n_epochs):
        start = time.perf_counter()
        random_state = np.random.RandomState(SEED)
        params = initial_params(self.problem, random_state)
        for tensor in (*params[0], *params[1]):
            tensor.requires_grad_()
        step = optimizer(self.problem, params)
        orders = self.problem.orders(random_state)
        for _, order in zip(range(n_epochs), orders, strict=False):
            losses = [
                self.train(params, step, x, y)
                for x, y in batches(self.data, order, self.problem.batch_size)
            ]
        n_samples, n_steps = len(order), len(losses)
        sizes = torch.full((n_steps,), self.problem.batch_size, dtype=losses[0].dtype)
        sizes[-1] += n_samples - sizes.sum()
        loss = float((torch.stack(losses) * sizes).sum()) + n_steps * penalty(params[0])
        return time.perf_counter() - start, loss / n_samples

    def train(self, params, step, x, y):
        loss = self.loss(scores(self.activation, params, x), y)
        loss.backward()
        step.param_groups[0]["weight_decay"] = ALPHA / len(y)
        step.step()
        step.zero_grad()
        return loss.detach()


class FullBatch:
    """SciPy's L-BFGS-B over torch's loss and gradient."""

    def __init__(self, problem):
        torch.set_num_threads(machine.n_threads())
        self.problem = problem
        self.X, self.y = tensors(problem)

    def value_and_grad(self, params):
        """Of the penalised loss; weights and gradients laid out as NumPy's."""
        weights = [torch.from_numpy(W).requires_grad_() for W, _ in params]
        biases = [torch.from_numpy(b).requires_grad_() for _, b in params]
        Z = scores(self.problem.activation, ([W.T for W in weights], biases), self.X)
        loss = LOSSES[self.problem.output](Z, self.y)
        loss = loss + 0.5 * ALPHA / len(self.y) * sum((W * W).sum() for W in weights)
        loss.backward()
        return loss.item(), [
            (W.grad.numpy(), b.grad.numpy()) for W, b in zip(weights, biases, strict=True)
        ]

    def fit(self, n_iterations):
        return lbfgs(self.problem, self.value_and_grad, n_iterations)


def prepare(problem):
    return (FullBatch if problem.solver == "lbfgs" else Loop)(problem)


def predictor(problem):
    torch.set_num_threads(machine.n_threads())
    params = initial_params(problem, np.random.RandomState(SEED))
    activation, output = problem.activation, problem.output

    @torch.inference_mode()
    def probabilities(X):
        Z = scores(activation, params, torch.from_numpy(X))
        if output == "softmax":
            return torch.softmax(Z, dim=1).numpy()
        P = torch.sigmoid(Z)
        return torch.cat([1 - P, P], dim=1).numpy()

    return probabilities
