"""The NumPy twin of the engine: the same mathematics in plain float64 NumPy, written from the
formulas and sharing no code with cmlp. Nothing here is fast; nothing here is a test."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import ndtr


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def logistic(z):
    return 1 / (1 + np.exp(-z))


def softplus(z):
    return np.logaddexp(0, z)


def density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


SELU, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


# name: f(z), and what turns dL/da into dL/dz
ACTIVATIONS = {
    "identity": (lambda z: z, lambda g, z: g),
    "logistic": (logistic, lambda g, z: g * logistic(z) * logistic(-z)),
    "tanh": (np.tanh, lambda g, z: g / np.cosh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda g, z: g * (z > 0)),
    "exp": (np.exp, lambda g, z: g * np.exp(z)),
    "leaky_relu": (
        lambda z: np.where(z > 0, z, 0.01 * z),
        lambda g, z: g * np.where(z > 0, 1, 0.01),
    ),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda g, z: g * np.exp(np.minimum(z, 0)),
    ),
    "selu": (
        lambda z: SELU * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0))),
        lambda g, z: g * SELU * np.where(z > 0, 1, SELU_ALPHA * np.exp(np.minimum(z, 0))),
    ),
    "gelu": (lambda z: z * ndtr(z), lambda g, z: g * (ndtr(z) + z * density(z))),
    "silu": (
        lambda z: z * logistic(z),
        lambda g, z: g * logistic(z) * (1 + z * logistic(-z)),
    ),
    "mish": (
        lambda z: z * np.tanh(softplus(z)),
        lambda g, z: g * (np.tanh(softplus(z)) + z * logistic(z) / np.cosh(softplus(z)) ** 2),
    ),
    "softplus": (softplus, lambda g, z: g * logistic(z)),
    "hard_swish": (
        lambda z: z * np.clip(z + 3, 0, 6) / 6,
        lambda g, z: g * np.where(z > 3, 1, np.where(z < -3, 0, z / 3 + 0.5)),
    ),
    "softmax": (
        softmax,
        lambda g, z: softmax(z) * (g - (g * softmax(z)).sum(axis=1, keepdims=True)),
    ),
}


def xlogy(x, y):
    return x * np.log(np.where(x == 0, 1, y))


def clip(p):
    """Keep probabilities away from 0 and 1, where a log-loss is infinite."""
    eps = np.finfo(p.dtype).eps
    return np.clip(p, eps, 1 - eps)


def power_deviance(y, p, t):
    """Half the Tweedie deviance of a power that is not 0, 1 or 2 (Jorgensen 1997)."""
    return y ** (2 - t) / ((1 - t) * (2 - t)) - y * p ** (1 - t) / (1 - t) + p ** (2 - t) / (2 - t)


def focal_slope(p, t):
    """The derivative of -(1 - p)^t log(p)."""
    return t * (1 - p) ** (t - 1) * np.log(p) - (1 - p) ** t / p


# name: L(y, p) of each output, and dL/dp; t is the parameter of those that have one
LOSSES = {
    "squared_error": (lambda y, p: (p - y) ** 2 / 2, lambda y, p: p - y),
    "poisson": (lambda y, p: xlogy(y, y / p) - y + p, lambda y, p: 1 - y / p),
    "log_loss": (lambda y, p: -xlogy(y, clip(p)), lambda y, p: -y / clip(p)),
    "binary_log_loss": (
        lambda y, p: -xlogy(y, clip(p)) - xlogy(1 - y, 1 - clip(p)),
        lambda y, p: (1 - y) / (1 - clip(p)) - y / clip(p),
    ),
    "absolute_error": (lambda y, p: np.abs(p - y), lambda y, p: np.sign(p - y)),
    "huber": (
        lambda y, p, t=1.35: np.where(
            np.abs(p - y) <= t, (p - y) ** 2 / 2, t * (np.abs(p - y) - t / 2)
        ),
        lambda y, p, t=1.35: np.where(np.abs(p - y) <= t, p - y, t * np.sign(p - y)),
    ),
    "log_cosh": (lambda y, p: np.log(np.cosh(p - y)), lambda y, p: np.tanh(p - y)),
    "quantile": (
        lambda y, p, t=0.5: np.where(y > p, t * (y - p), (1 - t) * (p - y)),
        lambda y, p, t=0.5: np.where(y > p, -t, np.where(y < p, 1 - t, 0)),
    ),
    "gamma": (lambda y, p: np.log(p / y) + y / p - 1, lambda y, p: 1 / p - y / p**2),
    "tweedie": (
        lambda y, p, t=1.5: power_deviance(y, p, t),
        lambda y, p, t=1.5: p ** (1 - t) - y * p ** (-t),
    ),
    "focal": (
        lambda y, p, t=2.0: -y * (1 - clip(p)) ** t * np.log(clip(p)),
        lambda y, p, t=2.0: y * focal_slope(clip(p), t),
    ),
    "binary_focal": (
        lambda y, p, t=2.0: (
            -y * (1 - clip(p)) ** t * np.log(clip(p))
            - (1 - y) * clip(p) ** t * np.log(1 - clip(p))
        ),
        lambda y, p, t=2.0: y * focal_slope(clip(p), t) - (1 - y) * focal_slope(1 - clip(p), t),
    ),
    "brier": (lambda y, p: (p - y) ** 2 / 2, lambda y, p: p - y),
    "binary_brier": (lambda y, p: (p - y) ** 2, lambda y, p: 2 * (p - y)),
}


def by_group(function, sizes, *arrays):
    """The function of each group of columns by itself, side by side."""
    ends = np.cumsum(sizes)[:-1]
    groups = zip(*(np.split(array, ends, axis=1) for array in arrays), strict=True)
    return np.hstack([function(*group) for group in groups])


def philox4x32(counter, key, rounds=10):
    """Philox4x32 (Salmon et al. 2011): counter (4, n), key (2,) -> words (4, n), all uint32."""
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint64) for c in counter)
    k0, k1 = (int(k) for k in key)
    for _ in range(rounds):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        high = np.uint64(32)
        c0, c2 = p1 >> high ^ c1 ^ np.uint64(k0), p0 >> high ^ c3 ^ np.uint64(k1)
        c1, c3 = p1 & np.uint64(2**32 - 1), p0 & np.uint64(2**32 - 1)
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.array([c0, c1, c2, c3], dtype=np.uint32)


def dropout_draws(seed, epoch, layer, elements):
    """16 bits for each element: of a word of the block that its group of 64 and its place name."""
    elements = np.asarray(elements, dtype=np.uint64)
    group, place = (part.astype(object) for part in np.divmod(elements, np.uint64(64)))
    block = (group * 8 + place // 4 % 8).astype(np.uint64)
    same = np.ones_like(block)
    counter = [
        block & np.uint64(2**32 - 1),
        block >> np.uint64(32),
        same * np.uint64(epoch),
        same * np.uint64(layer),
    ]
    words = philox4x32(counter, (seed % 2**32, seed >> 32))
    word = (place // 32 * 2 + place % 4 // 2).astype(int)
    chosen = words[word, np.arange(len(elements))]
    return (chosen >> (16 * (place % 2)).astype(np.uint32) & np.uint32(0xFFFF)).astype(np.uint16)


def dropout_masks(rates, units, seed, epoch, positions):
    """What the input and the hidden layers of the samples at these positions are multiplied by."""
    masks = []
    for layer, (rate, width) in enumerate(zip(rates, units, strict=False)):
        threshold = min(65535, round(65536 * rate))
        elements = (np.asarray(positions)[:, None] * width + np.arange(width)).ravel()
        kept = dropout_draws(seed, epoch, layer, elements) >= threshold
        masks.append(kept.reshape(-1, width) / (1 - threshold / 65536))
    return masks


@dataclass
class Twin:
    """A network whose parameters come as one vector: all weights, then all biases.

    groups: how many outputs each softmax of the output layer has; () for one over all.
    """

    units: tuple
    activations: tuple
    loss: str = "squared_error"
    fit_intercept: bool = True
    groups: tuple = ()
    loss_parameter: object = None

    def activation(self, layer):
        """f, and what turns dL/da into dL/dz, of a layer."""
        f, backward = ACTIVATIONS[self.activations[layer]]
        if not self.groups or self.activations[layer] != "softmax":
            return f, backward
        return (
            lambda z: by_group(f, self.groups, z),
            lambda g, z: by_group(backward, self.groups, g, z),
        )

    def unpack(self, vector):
        """Lists of weights and biases (zeros in a network without)."""
        coefs, intercepts, at = [], [], 0
        for fan_in, fan_out in pairwise(self.units):
            coefs.append(vector[at : at + fan_in * fan_out].reshape(fan_in, fan_out))
            at += fan_in * fan_out
        for fan_out in self.units[1:]:
            intercepts.append(vector[at : at + fan_out] * self.fit_intercept)
            at += fan_out
        return coefs, intercepts

    def forward(self, vector, X, masks=None):
        """z of every layer, and the input followed by the activations of every layer.

        masks: what the input and the hidden layers are multiplied by.
        """
        masks = masks or [1.0] * len(self.activations)
        zs, outputs = [], [np.asarray(X, dtype=np.float64) * masks[0]]
        coefs, intercepts = self.unpack(np.asarray(vector, dtype=np.float64))
        for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
            zs.append(outputs[-1] @ coef + intercept)
            outputs.append(self.activation(layer)[0](zs[-1]))
            if len(zs) < len(coefs):
                outputs[-1] = outputs[-1] * masks[len(zs)]
        return zs, outputs

    def loss_and_gradient(self, vector, X, y, weight=None, alpha=0.0, masks=None):
        """The penalised loss of a batch as an estimator reports it, and its gradient.

        Both are sums over the samples divided by the sum of their weights; the squared error of
        several outputs is reported as their mean (its gradient is that of their sum).
        """
        vector = np.asarray(vector, dtype=np.float64)
        weight = np.ones(len(X)) if weight is None else np.asarray(weight, dtype=np.float64)
        y = np.asarray(y, dtype=np.float64)
        coefs, _ = self.unpack(vector)
        zs, outputs = self.forward(vector, X, masks)
        value, slope = LOSSES[self.loss]
        parameter = () if self.loss_parameter is None else (np.array(self.loss_parameter),)
        loss = weight @ value(y, outputs[-1], *parameter).sum(axis=1)
        if self.loss == "squared_error":
            loss /= self.units[-1]
        loss += alpha / 2 * sum((coef**2).sum() for coef in coefs)

        coef_grads, intercept_grads = [], []
        back = slope(y, outputs[-1], *parameter) * weight[:, None]
        for layer in range(len(coefs) - 1, -1, -1):
            delta = self.activation(layer)[1](back, zs[layer])
            coef_grads.insert(0, (outputs[layer].T @ delta + alpha * coefs[layer]).ravel())
            intercept_grads.insert(0, delta.sum(axis=0) * self.fit_intercept)
            back = delta @ coefs[layer].T
            if masks is not None:
                back = back * masks[layer]
        grad = np.concatenate(coef_grads + intercept_grads)
        return loss / weight.sum(), grad / weight.sum()

    def train_epoch(self, vector, optimizer, X, y, weight, order, batch_size, alpha, dropout=None):
        """One epoch over the samples in the given order; returns its loss and the new vector.

        Batches without weight are passed over. dropout: (rates, seed, epoch).
        Decoupled weight decay is of the weights only.
        """
        optimizer.n_coefs = sum(a * b for a, b in pairwise(self.units))
        total = 0.0
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch_weight = None if weight is None else weight[rows]
            if batch_weight is not None and batch_weight.sum() == 0:
                continue
            masks = None
            if dropout is not None:
                rates, seed, epoch = dropout
                positions = np.arange(start, start + len(rows))
                masks = dropout_masks(rates, self.units[:-1], seed, epoch, positions)
            loss, grad = self.loss_and_gradient(
                vector, X[rows], y[rows], batch_weight, alpha, masks
            )
            vector = vector + optimizer.update(grad, vector)
            total += loss * len(rows)
        return total / len(order), vector


class Optimizer:
    """One step at a time: update(gradient, parameters) is to be added to the parameters."""

    n_coefs = None  # how many parameters decay, the first ones; None: all

    def decayed(self, params):
        return np.where(np.arange(len(params)) < (self.n_coefs or len(params)), params, 0)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, classical or Nesterov's."""

    def __init__(self, learning_rate=0.1, momentum=0.9, nesterov=True):
        self.learning_rate, self.momentum, self.nesterov = learning_rate, momentum, nesterov
        self.velocity = 0.0

    def update(self, grad, params=None):
        self.velocity = self.momentum * self.velocity - self.learning_rate * grad
        if self.nesterov:
            return self.momentum * self.velocity - self.learning_rate * grad
        return self.velocity


class Adam(Optimizer):
    """Adam with the bias correction in the step size, so that epsilon is not corrected."""

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.learning_rate, self.epsilon = learning_rate, epsilon
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.m = self.v = 0.0
        self.t = 0

    def update(self, grad, params=None):
        self.t += 1
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * grad
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * grad**2
        correction = np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        return -self.learning_rate * correction * self.m / (np.sqrt(self.v) + self.epsilon)


class AdamW(Adam):
    """Adam as in its paper, the weights multiplied by 1 - learning_rate weight_decay."""

    def __init__(self, *hyper, weight_decay=0.01):
        super().__init__(*hyper)
        self.weight_decay = weight_decay

    def update(self, grad, params=None):
        self.t += 1
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * grad
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * grad**2
        m, v = self.m / (1 - self.beta_1**self.t), self.v / (1 - self.beta_2**self.t)
        step = m / (np.sqrt(v) + self.epsilon)
        return -self.learning_rate * (step + self.weight_decay * self.decayed(params))


class NAdam(Adam):
    """Adam with Nesterov momentum."""

    product = 1.0

    def momentum(self, t):
        return self.beta_1 * (1 - 0.96 ** (0.004 * t) / 2)

    def update(self, grad, params=None):
        self.t += 1
        mu, next_mu = self.momentum(self.t), self.momentum(self.t + 1)
        self.product *= mu
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * grad
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * grad**2
        m = next_mu * self.m / (1 - self.product * next_mu) + (1 - mu) * grad / (1 - self.product)
        return (
            -self.learning_rate * m / (np.sqrt(self.v / (1 - self.beta_2**self.t)) + self.epsilon)
        )


class RMSprop(Optimizer):
    """The gradient divided by the root of its decaying mean square, and momentum."""

    def __init__(self, learning_rate=0.001, momentum=0.9, beta_2=0.99, epsilon=1e-8):
        self.learning_rate, self.momentum = learning_rate, momentum
        self.beta_2, self.epsilon = beta_2, epsilon
        self.v = self.buffer = 0.0

    def update(self, grad, params=None):
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * grad**2
        self.buffer = self.momentum * self.buffer + grad / (np.sqrt(self.v) + self.epsilon)
        return -self.learning_rate * self.buffer


class Adagrad(Optimizer):
    """The gradient divided by the root of the sum of its squares."""

    def __init__(self, learning_rate=0.01, epsilon=1e-8):
        self.learning_rate, self.epsilon, self.v = learning_rate, epsilon, 0.0

    def update(self, grad, params=None):
        self.v = self.v + grad**2
        return -self.learning_rate * grad / (np.sqrt(self.v) + self.epsilon)


class ScheduleFreeAdamW(AdamW):
    """Algorithm 1 of Defazio et al. 2024; the parameters are y."""

    z = x = None
    weight_sum = 0.0

    def update(self, grad, params=None):
        if self.z is None:
            self.z = self.x = params
        self.t += 1
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * grad**2
        rate = self.learning_rate * np.sqrt(1 - self.beta_2**self.t)
        step = grad / (np.sqrt(self.v) + self.epsilon)
        self.z = self.z - rate * step - rate * self.weight_decay * self.decayed(params)
        self.weight_sum += rate**2
        c = rate**2 / self.weight_sum
        self.x = (1 - c) * self.x + c * self.z
        return (1 - self.beta_1) * self.z + self.beta_1 * self.x - params


class Lion(Optimizer):
    """Steps of the size of the learning rate, by the sign of a momentum that has g in it."""

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.99, weight_decay=0.0):
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.beta_1, self.beta_2, self.m = beta_1, beta_2, 0.0

    def update(self, grad, params=None):
        step = np.sign(self.beta_1 * self.m + (1 - self.beta_1) * grad)
        self.m = self.beta_2 * self.m + (1 - self.beta_2) * grad
        return -self.learning_rate * (step + self.weight_decay * self.decayed(params))


def _adam_like(cls):
    return lambda rate, beta_1, beta_2, epsilon, t, *rest: cls(rate, beta_1, beta_2, epsilon)


def _with_decay(cls):
    return lambda rate, beta_1, beta_2, epsilon, t, weight_decay, *rest: cls(
        rate, beta_1, beta_2, epsilon, weight_decay=weight_decay
    )


#: name in the engine's table -> twin made from the hyper-parameters that the engine takes
OPTIMIZERS = {
    "sgd": SGD,
    "adam": _adam_like(Adam),
    "adamw": _with_decay(AdamW),
    "nadam": _adam_like(NAdam),
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "schedule_free_adamw": _with_decay(ScheduleFreeAdamW),
    "lion": Lion,
}
