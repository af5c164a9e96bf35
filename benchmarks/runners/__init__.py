"""What an adapter is, how adapters are found, and the one that scikit-learn's API needs.

Every module of this package is the adapter of one system:

- ``DISTRIBUTION``: the name of the package that is measured, as ``pip`` knows it;
- ``prepare(problem)``: an object whose ``fit(n_epochs)`` trains from the problem's initial weights
  and returns ``(seconds, final loss)``, or None if the system cannot do this problem. What is
  paid once whatever the data (compiling) belongs in ``prepare``.

A module that cannot be imported is a system that is not installed: it is left out.
"""

import time
import warnings
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.problems import SEED


def installed(report=print):
    """Distribution name -> adapter module, of every system that can be imported here."""
    adapters = {}
    for module in iter_modules(__path__):
        try:
            adapter = import_module(f"{__name__}.{module.name}")
        except ImportError as error:
            report(f"{module.name} is left out: {error}")
            continue
        adapters[adapter.DISTRIBUTION] = adapter
    return adapters


class EstimatorRun:
    """Trains the estimators of a module that names them as scikit-learn does."""

    def __init__(self, module, problem):
        self.problem = problem
        self.estimator_class = {
            "classifier": module.MLPClassifier,
            "regressor": module.MLPRegressor,
        }[problem.kind]

    def fit(self, n_epochs):
        estimator = self.estimator_class(
            **self.problem.parameters,
            batch_size=self.problem.batch_size or "auto",
            max_iter=n_epochs,
            tol=0,
            n_iter_no_change=np.inf,
            random_state=SEED,
        )
        with warnings.catch_warnings():
            # max_iter is reached on purpose: every system runs the same number of epochs
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = time.perf_counter()
            estimator.fit(self.problem.X, self.problem.y)
            seconds = time.perf_counter() - start
        if estimator.n_iter_ != n_epochs:
            raise RuntimeError(
                f"{self.problem.name}: {self.estimator_class.__module__} stopped after"
                f" {estimator.n_iter_} of {n_epochs} epochs"
            )
        return seconds, float(estimator.loss_)
