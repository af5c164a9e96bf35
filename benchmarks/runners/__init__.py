"""What an adapter is, how adapters are found, and the one that scikit-learn's API needs.

Every module of this package is the adapter of one system:

- ``SYSTEM``: its name in the tables; ``DISTRIBUTION``: the package that is measured, as ``pip``
  knows it;
- ``prepare(problem)``: an object whose ``fit(n_epochs)`` trains from the problem's initial weights
  and returns ``(seconds, final loss)``, or None if the system cannot do this problem. What is
  paid once whatever the data (compiling) belongs in ``prepare``;
- ``predictor(problem)``: a function of X, class probabilities by the problem's initial weights;
- ``estimators``: a module with ``MLPClassifier`` and ``MLPRegressor``;
- ``LOSS_TOLERANCE``: how far its loss may be from the reference's, if its arithmetic differs.

What a system does not have is left out; a module that cannot be imported is a system that is not
installed. Every system may use `machine.n_threads` threads.
"""

import inspect
import math
import time
import warnings
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from benchmarks import machine
from benchmarks.problems import SEED


def installed(report=print, systems=None):
    """System's name -> adapter module, of every system, or of those named, that is installed."""
    adapters = {}
    for module in iter_modules(__path__):
        try:
            adapter = import_module(f"{__name__}.{module.name}")
        except ImportError as error:
            report(f"{module.name} is left out: {error}")
            continue
        if systems is None or adapter.SYSTEM in systems:
            adapters[adapter.SYSTEM] = adapter
    return adapters


def padded_rows(X):
    """CSR rows as two dense arrays, places and values of the non-zeros, zeros at the end.

    The form in which PyTorch and JAX are fastest on very sparse data: a weighted sum of rows of
    the weights, an embedding. Neither multiplies CSR minibatches well.
    """
    lengths = np.diff(X.indptr)
    filled = np.arange(lengths.max()) < lengths[:, None]
    places = np.zeros(filled.shape, np.int32)
    values = np.zeros(filled.shape, X.dtype)
    places[filled], values[filled] = X.indices, X.data
    return places, values


def lbfgs(problem, value_and_grad, n_iterations):
    """(seconds, loss) of SciPy's L-BFGS-B, called as scikit-learn calls it.

    ``value_and_grad`` takes and returns a list of (weights, biases) of the problem's dtype.
    """
    start = time.perf_counter()
    pairs = zip(*problem.initial_weights(np.random.RandomState(SEED)), strict=True)
    shapes = [array.shape for pair in pairs for array in pair]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    pairs = zip(*problem.initial_weights(np.random.RandomState(SEED)), strict=True)

    def unpack(flat):
        flat = flat.astype(problem.dtype)
        arrays = [a.reshape(s) for a, s in zip(np.split(flat, ends[:-1]), shapes, strict=True)]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def pack(pairs):
        return np.concatenate([np.ravel(array) for pair in pairs for array in pair])

    def objective(flat):
        value, grads = value_and_grad(unpack(flat))
        return float(value), pack(grads).astype(np.float64)

    result = minimize(
        objective,
        pack(pairs).astype(np.float64),
        method="L-BFGS-B",
        jac=True,
        options={"maxfun": 15000, "maxiter": n_iterations, "gtol": 0},
    )
    return time.perf_counter() - start, float(result.fun)


def estimator(module, problem, **parameters):
    """An estimator for the problem, with as many threads as everybody if it can be told."""
    estimator_class = {"classifier": module.MLPClassifier, "regressor": module.MLPRegressor}
    found = estimator_class[problem.kind](
        **problem.parameters,
        batch_size=problem.batch_size or "auto",
        tol=0,
        n_iter_no_change=np.inf,
        random_state=SEED,
    ).set_params(**parameters)
    if "n_jobs" in inspect.signature(type(found)).parameters:
        found.set_params(n_jobs=machine.n_threads())
    return found


def fit_quietly(found, X, y):
    """Fit; max_iter is reached on purpose: every system runs the same number of epochs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return found.fit(X, y)


class EstimatorRun:
    """Trains the estimators of a module that names them as scikit-learn does."""

    def __init__(self, module, problem):
        self.module, self.problem = module, problem

    def fit(self, n_epochs):
        problem = self.problem
        found = estimator(self.module, problem, max_iter=n_epochs)
        start = time.perf_counter()
        fit_quietly(found, problem.X, problem.y)
        seconds = time.perf_counter() - start
        if found.n_iter_ != n_epochs:
            raise RuntimeError(
                f"{problem.name}: {type(found).__module__} stopped after"
                f" {found.n_iter_} of {n_epochs} epochs"
            )
        return seconds, float(found.loss_)


def estimator_predictor(module, problem):
    """predict_proba of an estimator that keeps its initial weights: the learning rate is 0."""
    found = estimator(module, problem, max_iter=1, solver="sgd", learning_rate_init=1e-300)
    rows = slice(0, problem.batch_size)
    return fit_quietly(found, problem.X[rows], problem.y[rows]).predict_proba
