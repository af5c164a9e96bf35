"""The named problems: data of fixed seed, network, batch size and number of epochs.

Nothing is timed here, and no system is known by name.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_digits

SEED = 0
ALPHA = 1e-4  # scikit-learn's default penalty
DATA_VARIABLE = "CMLP_DATA"


class DataMissing(Exception):
    """A problem on real data that are not on this machine."""


@dataclass(frozen=True)
class Problem:
    """Data, a network and how to train it; every system does exactly this work.

    Parameters
    ----------
    name : str
    data : callable
        Without arguments; returns X, dense or CSR, and y, labels 0, 1, ... or real numbers.
    kind : "classifier" or "regressor"
    batch_size : int or None
        None: all samples ("lbfgs").
    epochs : tuple (few, many)
        The time of a step is the difference between two such fits, divided by the steps.
    parameters : dict
        Of the estimator, by scikit-learn's names.
    slow : bool
        Left out of a quick run, and timed less often in a whole one.
    drift : dict
        dtype -> relative difference of the final loss that another order of summation leads to.
    X, y : arrays
        Set by `load`.
    """

    name: str
    data: Callable
    kind: str
    batch_size: int | None
    epochs: tuple
    parameters: dict = field(default_factory=dict)
    slow: bool = False
    drift: dict = field(default_factory=dict)
    X: np.ndarray | sp.csr_matrix | None = None
    y: np.ndarray | None = None

    def load(self, dtype, n_samples=None):
        """This problem with its data, or the first samples of them, in the given dtype."""
        X, y = (of[:n_samples] for of in self.data())
        if self.kind == "regressor":
            y = y.astype(dtype)
        return replace(self, X=X.astype(dtype), y=y)

    @property
    def dtype(self):
        return self.X.dtype

    @property
    def hidden_layer_sizes(self):
        return self.parameters.get("hidden_layer_sizes", (100,))

    @property
    def activation(self):
        return self.parameters.get("activation", "relu")

    @property
    def solver(self):
        return self.parameters.get("solver", "adam")

    @property
    def is_sparse(self):
        return sp.issparse(self.X)

    @property
    def output(self):
        """The activation of the output layer: two classes are one logistic unit."""
        if self.kind == "regressor":
            return "identity"
        return "logistic" if self.y.max() == 1 else "softmax"

    @property
    def units(self):
        """Number of features, hidden layer sizes, number of outputs."""
        return [self.X.shape[1], *self.hidden_layer_sizes, self.targets().shape[1]]

    @property
    def network(self):
        """The units by layer, as a user counts them: two classes are two outputs."""
        outputs = 2 if self.output == "logistic" else self.units[-1]
        return "-".join(map(str, [*self.units[:-1], outputs]))

    @property
    def description(self):
        batch = "full batch" if self.batch_size is None else f"batch {self.batch_size}"
        return f"{self.network} {self.activation}, {self.solver}, {batch}"

    def steps(self, n_epochs):
        """Number of weight updates in so many epochs, or of iterations of "lbfgs"."""
        if self.batch_size is None:
            return n_epochs
        return n_epochs * math.ceil(self.X.shape[0] / self.batch_size)

    def targets(self):
        """y as a 2-D array of X's dtype: one-hot columns, one for two classes."""
        if self.kind == "regressor":
            return self.y.reshape(len(self.y), -1)
        one_hot = np.eye(self.y.max() + 1, dtype=self.dtype)[self.y]
        return one_hot[:, 1:] if one_hot.shape[1] == 2 else one_hot

    def initial_weights(self, random_state):
        """Weights and biases as scikit-learn draws them: (coefs, intercepts), two lists."""
        coefs, intercepts = [], []
        for fan_in, fan_out in pairwise(self.units):
            bound = math.sqrt((2 if self.activation == "logistic" else 6) / (fan_in + fan_out))
            coefs.append(random_state.uniform(-bound, bound, (fan_in, fan_out)))
            intercepts.append(random_state.uniform(-bound, bound, fan_out))
        return [[a.astype(self.dtype) for a in arrays] for arrays in (coefs, intercepts)]

    def orders(self, random_state):
        """The order of the samples in each epoch, without end, as scikit-learn draws it."""
        order = np.arange(self.X.shape[0])
        while True:
            order = order[random_state.permutation(len(order))]
            yield order


def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def mnist():
    """The 60 000 training images of MNIST, from mnist/mnist.npz in the folder of real data."""
    folder = os.environ.get(DATA_VARIABLE)
    if folder is None:
        raise DataMissing(f"{DATA_VARIABLE} does not say in which folder mnist/mnist.npz is")
    path = Path(folder) / "mnist" / "mnist.npz"
    if not path.exists():
        raise DataMissing(f"no {path}")
    with np.load(path) as arrays:
        return arrays["X_train"].reshape(-1, 784) / 255, arrays["y_train"].astype(int)


def labels(rng, scores):
    """Classes that a network can learn, but not perfectly: the largest of noisy scores."""
    scores = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    return np.argmax(scores + 0.3 * rng.normal(size=scores.shape), axis=1)


def synthetic_classes(n_samples, n_features, n_classes):
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(n_samples, n_features))
    W = rng.normal(size=(n_features, n_classes))
    return X, labels(rng, np.abs(X) @ W)


def synthetic_values(n_samples, n_features):
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(n_samples, n_features))
    w = rng.normal(size=n_features)
    return X, np.sin(X @ w) + 0.1 * rng.normal(size=n_samples)


def synthetic_sparse(n_samples, n_features, density, n_classes):
    rng = np.random.default_rng(SEED)
    X = sp.random(n_samples, n_features, density, format="csr", random_state=rng)
    W = rng.normal(size=(n_features, n_classes))
    return X, labels(rng, X @ W)


def _hidden(*sizes, **others):
    return {"hidden_layer_sizes": sizes, **others}


def _online(*sizes):
    return _hidden(*sizes, solver="sgd", momentum=0.9, nesterovs_momentum=True)


_20_2 = partial(synthetic_classes, 4000, 20, 2)
_20_3 = partial(synthetic_classes, 4000, 20, 3)
_784_10 = partial(synthetic_classes, 10000, 784, 10)

_ALL = [
    Problem("digits", digits, "classifier", 200, (1, 41)),
    Problem("digits-batch-1", digits, "classifier", 1, (1, 2), _hidden(50)),
    Problem("default-shape", _20_2, "classifier", 200, (1, 21)),
    Problem("deep-batch-32", _20_2, "classifier", 32, (1, 4), _hidden(64, 64, 64)),
    Problem("tanh", _20_3, "classifier", 200, (1, 11), _hidden(100, 50, activation="tanh")),
    Problem(
        "logistic", _20_3, "classifier", 200, (1, 11), _hidden(100, 50, activation="logistic")
    ),
    Problem("regression", partial(synthetic_values, 20640, 8), "regressor", 200, (1, 5)),
    Problem(
        "online", partial(synthetic_classes, 1000, 20, 2), "classifier", 1, (1, 4), _online(100)
    ),
    Problem("mnist-shape", _784_10, "classifier", 200, (1, 3)),
    Problem(
        "online-wide",
        partial(synthetic_classes, 500, 784, 10),
        "classifier",
        1,
        (1, 3),
        _online(100),
    ),
    Problem("mnist", mnist, "classifier", 200, (1, 2), slow=True),
    Problem("wide", _784_10, "classifier", 512, (1, 2), _hidden(1024, 1024), slow=True),
    Problem(
        "sparse",
        partial(synthetic_sparse, 20000, 5000, 0.005, 2),
        "classifier",
        200,
        (1, 2),
        _hidden(50),
    ),
    Problem(
        "lbfgs",
        digits,
        "classifier",
        None,
        (10, 100),
        {"solver": "lbfgs"},
        drift={"float32": 0.2, "float64": 1e-3},  # the loss is 1e-4 by then, and still falling
    ),
]

#: name -> Problem, without data until `Problem.load`
PROBLEMS = {problem.name: problem for problem in _ALL}

_TO_PREDICT = [
    Problem("predict", partial(synthetic_classes, 4096, 20, 2), "classifier", 200, (1, 1)),
    Problem("predict-784", partial(synthetic_classes, 4096, 784, 10), "classifier", 200, (1, 1)),
    Problem(
        "predict-wide",
        partial(synthetic_classes, 4096, 784, 10),
        "classifier",
        200,
        (1, 1),
        _hidden(1024, 1024),
    ),
]

#: name -> Problem, whose network predicts with its initial weights; not trained
TO_PREDICT = {problem.name: problem for problem in _TO_PREDICT}
