"""The cases: what is timed, on which systems, as actions for `benchmarks.timing`.

Four kinds: training steps, predictions, the fixed costs of a call, and many small fits at once.
"""

import time
import warnings
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from benchmarks import machine, work
from benchmarks.problems import PROBLEMS, TO_PREDICT, synthetic_classes
from benchmarks.runners import estimator, fit_quietly

CMLP, REFERENCE = "cmlp", "scikit-learn"
#: largest relative difference of the final loss from the reference's
LOSS_TOLERANCE = {"float32": 1e-2, "float64": 1e-6}
#: largest difference of a probability
PROBABILITY_TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
MANY_ROWS = 4096
#: a case that takes seconds gets so many turns at most
SLOW_TURNS = 3
#: calls in one piece: enough for the clock to see them
CALLS_OF_ONE_ROW = 100


@dataclass
class Case:
    """One thing to time.

    Parameters
    ----------
    kind, name, description, dtype : str
    unit : str
        What the microseconds are of.
    n_units : int
        Units in the long piece of an action beyond those in the short one.
    actions : dict
        System -> action.
    facts : dict
        What else goes into the record.
    """

    kind: str
    name: str
    description: str
    dtype: str
    unit: str
    n_units: int
    actions: dict
    facts: dict = field(default_factory=dict)

    def record(self):
        """What identifies the case in the results."""
        return {
            "kind": self.kind,
            "problem": self.name,
            "description": self.description,
            "dtype": self.dtype,
            "unit": self.unit,
            **self.facts,
        }


class TwoFits:
    """The action of a training case: a fit of few epochs and one of many; keeps the loss."""

    def __init__(self, run, epochs):
        self.run, self.epochs, self.loss = run, epochs, None

    def __call__(self):
        few, many = self.epochs
        short, _ = self.run.fit(few)
        long, self.loss = self.run.fit(many)
        return short, long


def repeated(call, n_calls):
    """The action that makes a call n times; the short piece is none at all."""
    start = time.perf_counter()
    for _ in range(n_calls):
        call()
    return 0.0, time.perf_counter() - start


def training_case(problem, adapters):
    """A training step of a loaded problem, on every system that can do it."""
    runs = {
        name: adapter.prepare(problem)
        for name, adapter in adapters.items()
        if hasattr(adapter, "prepare")
    }
    few, many = problem.epochs
    return Case(
        "training",
        problem.name,
        problem.description,
        str(problem.dtype),
        "step",
        problem.steps(many) - problem.steps(few),
        {name: TwoFits(run, problem.epochs) for name, run in runs.items() if run is not None},
        work.describe(problem),
    )


def losses(case, problem, dtype, adapters):
    """Final losses, and whether they are the reference's; after at least one turn."""
    loss = {name: action.loss for name, action in case.actions.items()}
    expected = loss.get(REFERENCE)
    return {
        "loss": loss,
        "same_loss": {
            name: expected is None
            or abs(value - expected)
            <= loss_tolerance(problem, dtype, adapters[name]) * abs(expected)
            for name, value in loss.items()
        },
    }


def loss_tolerance(problem, dtype, adapter):
    """Relative; larger for systems of another arithmetic."""
    tolerance = getattr(adapter, "LOSS_TOLERANCE", LOSS_TOLERANCE[dtype])
    return max(tolerance, problem.drift.get(dtype, 0))


def predict_case(name, dtype, n_rows, adapters):
    """predict_proba of one row or of many, by the same weights on every system."""
    problem = TO_PREDICT[name].load(dtype)
    X = np.ascontiguousarray(problem.X[:n_rows])
    predictors = {
        system: adapter.predictor(problem)
        for system, adapter in adapters.items()
        if hasattr(adapter, "predictor")
    }
    probabilities = {system: predict(X) for system, predict in predictors.items()}
    expected = probabilities.get(REFERENCE)
    for system, found in probabilities.items():
        if expected is not None:
            np.testing.assert_allclose(
                found, expected, rtol=0, atol=PROBABILITY_TOLERANCE[dtype], err_msg=system
            )
    n_calls = CALLS_OF_ONE_ROW if n_rows == 1 else 1
    return Case(
        "predict",
        f"{name}-{n_rows}",
        f"{problem.network}, {n_rows} row{'s' * (n_rows > 1)}",
        dtype,
        "call",
        n_calls,
        {
            system: partial(repeated, partial(predict, X), n_calls)
            for system, predict in predictors.items()
        },
    )


def estimator_modules(adapters):
    return {
        name: adapter.estimators
        for name, adapter in adapters.items()
        if hasattr(adapter, "estimators")
    }


def fit_iris_case(dtype, adapters):
    """What a fit costs before it does anything: one epoch on 150 rows."""
    X, y = load_iris(return_X_y=True)
    X = X.astype(dtype)

    def call(module):
        fit_quietly(module.MLPClassifier(max_iter=1, random_state=0), X, y)

    modules = estimator_modules(adapters)
    actions = {name: partial(repeated, partial(call, of), 5) for name, of in modules.items()}
    return Case("fixed", "fit-iris", "fit on iris, max_iter=1", dtype, "call", 5, actions)


def partial_fit_case(dtype, adapters):
    """What a row costs that comes alone: partial_fit of 20-100-2."""
    X, y = synthetic_classes(200, 20, 2)
    X = X.astype(dtype)

    def action(module):
        found = module.MLPClassifier(random_state=0).partial_fit(X, y, classes=[0, 1])
        return partial(repeated, lambda: found.partial_fit(X[:1], y[:1]), 20)

    actions = {name: action(of) for name, of in estimator_modules(adapters).items()}
    return Case("fixed", "partial-fit", "partial_fit of one row", dtype, "call", 20, actions)


def grid_case(dtype, adapters):
    """64 small fits by GridSearchCV in as many of joblib's threads as this process has cores."""
    problem = PROBLEMS["digits"].load(dtype)
    grid = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [5e-4, 1e-3, 2e-3, 4e-3]}

    def call(module):
        # n_jobs of the estimator is left alone: it has to see by itself that it is in a worker
        found = estimator(module, problem, max_iter=40)
        if "n_jobs" in found.get_params():
            found.set_params(n_jobs=None)
        search = GridSearchCV(found, grid, cv=4, refit=False, n_jobs=machine.n_threads())
        with parallel_config("threading"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            search.fit(problem.X, problem.y)

    actions = {
        name: partial(repeated, partial(call, of), 1)
        for name, of in estimator_modules(adapters).items()
    }
    text = "64 fits by GridSearchCV, digits 64-100-10, 40 epochs, threads of joblib"
    return Case("grid", "grid-search", text, dtype, "search", 1, actions)


FIXED = {"fit-iris": fit_iris_case, "partial-fit": partial_fit_case, "grid-search": grid_case}
CALLS = [
    *(f"{name}-{n_rows}" for n_rows in (1, MANY_ROWS) for name in TO_PREDICT),
    "fit-iris",
    "partial-fit",
]
NAMES = [*PROBLEMS, *CALLS, "grid-search"]


def turns_of(name, turns, slow_turns=SLOW_TURNS):
    """How many turns a case gets where the others get so many."""
    slow = name == "grid-search" or (name in PROBLEMS and PROBLEMS[name].slow)
    return min(turns, slow_turns) if slow else turns


def make(name, dtype, adapters, n_samples=None):
    """The named case on the given systems; training on the first samples only, if so asked.

    Raises
    ------
    DataMissing
        If it is on real data that are not here.
    """
    if name in PROBLEMS:
        return training_case(PROBLEMS[name].load(dtype, n_samples), adapters)
    if name in FIXED:
        return FIXED[name](dtype, adapters)
    problem, n_rows = name.rsplit("-", 1)
    return predict_case(problem, dtype, int(n_rows), adapters)
