"""The adapter of pure NumPy: the training loop that a user would write by hand.

No generality and no validation, but the same arithmetic as scikit-learn's, the penalty included.
"""

import time

import numpy as np
from scipy.special import expit

from benchmarks.problems import ALPHA, SEED

SYSTEM = DISTRIBUTION = "numpy"


def relu(Z):
    return np.maximum(Z, 0, out=Z)


def softmax(Z):
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    return P / P.sum(axis=1, keepdims=True)


def log_loss(P, Y):
    eps = np.finfo(P.dtype).eps
    return -(Y * np.log(np.clip(P, eps, 1 - eps))).sum() / len(Y)


def binary_log_loss(P, Y):
    return log_loss(P, Y) + log_loss(1 - P, 1 - Y)


def squared_error(P, Y):
    return 0.5 * ((P - Y) ** 2).mean()


#: name -> activation, and its derivative from the activation's output
ACTIVATIONS = {
    "relu": (relu, lambda A: A > 0),
    "tanh": (np.tanh, lambda A: 1 - A * A),
    "logistic": (expit, lambda A: A * (1 - A)),
}


class Adam:
    def __init__(self, params, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.params = params
        self.learning_rate, self.epsilon = learning_rate, epsilon
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.ms = [np.zeros_like(p) for p in params]
        self.vs = [np.zeros_like(p) for p in params]
        self.t = 0

    def step(self, grads):
        self.t += 1
        correction = (1 - self.beta_2**self.t) ** 0.5 / (1 - self.beta_1**self.t)
        for p, g, m, v in zip(self.params, grads, self.ms, self.vs, strict=True):
            m *= self.beta_1
            m += (1 - self.beta_1) * g
            v *= self.beta_2
            v += (1 - self.beta_2) * g * g
            p -= self.learning_rate * correction * m / (np.sqrt(v) + self.epsilon)


class NesterovSGD:
    def __init__(self, params, learning_rate=0.001, momentum=0.9):
        self.params = params
        self.learning_rate, self.momentum = learning_rate, momentum
        self.velocities = [np.zeros_like(p) for p in params]

    def step(self, grads):
        for p, g, velocity in zip(self.params, grads, self.velocities, strict=True):
            velocity *= self.momentum
            velocity -= self.learning_rate * g
            p += self.momentum * velocity - self.learning_rate * g


OPTIMIZERS = {"adam": Adam, "sgd": NesterovSGD}


class Network:
    """A multilayer perceptron: forward, backward, and nothing else."""

    def __init__(self, problem, random_state):
        self.coefs, self.intercepts = problem.initial_weights(random_state)
        self.activation, self.derivative = ACTIVATIONS[problem.activation]
        if problem.kind == "regressor":
            self.output, self.loss = (lambda Z: Z), squared_error
        elif len(self.intercepts[-1]) == 1:
            self.output, self.loss = expit, binary_log_loss
        else:
            self.output, self.loss = softmax, log_loss

    def forward(self, X):
        """The activations of all layers, X first."""
        activations = [X]
        for i, (W, b) in enumerate(zip(self.coefs, self.intercepts, strict=True), start=1):
            Z = activations[-1] @ W + b
            activations.append(self.output(Z) if i == len(self.coefs) else self.activation(Z))
        return activations

    def loss_and_gradients(self, X, Y):
        """The penalised loss, and its gradients with respect to the weights, then the biases."""
        n = len(Y)
        activations = self.forward(X)
        loss = self.loss(activations[-1], Y)
        loss += 0.5 * ALPHA * sum((W * W).sum() for W in self.coefs) / n
        delta = activations[-1] - Y
        coef_grads, intercept_grads = [], []
        for i in reversed(range(len(self.coefs))):
            coef_grads.insert(0, (activations[i].T @ delta + ALPHA * self.coefs[i]) / n)
            intercept_grads.insert(0, delta.sum(axis=0) / n)
            if i > 0:
                delta = (delta @ self.coefs[i].T) * self.derivative(activations[i])
        return loss, coef_grads + intercept_grads


class Loop:
    """Minibatches in the problem's order, one optimizer step for each."""

    def __init__(self, problem):
        self.problem = problem

    def fit(self, n_epochs):
        start = time.perf_counter()
        random_state = np.random.RandomState(SEED)
        network = Network(self.problem, random_state)
        optimizer = OPTIMIZERS[self.problem.solver](network.coefs + network.intercepts)
        X, Y = self.problem.X, self.problem.targets()
        n_samples, batch_size = X.shape[0], self.problem.batch_size
        for _, order in zip(range(n_epochs), self.problem.orders(random_state), strict=False):
            total = 0.0
            for begin in range(0, n_samples, batch_size):
                batch = order[begin : begin + batch_size]
                loss, grads = network.loss_and_gradients(X[batch], Y[batch])
                optimizer.step(grads)
                total += loss * len(batch)
        return time.perf_counter() - start, float(total / n_samples)


def prepare(problem):
    return Loop(problem) if problem.solver in OPTIMIZERS else None
