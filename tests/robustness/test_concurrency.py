"""Many Python threads on one estimator, and on several: the same bits as one alone.

``CMLP_PREDICTS=10000`` makes the long run. That the pool of the engine is exact is not asked here.
"""

import ast
import os
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_diabetes, load_iris

import cmlp
from cmlp import MLPClassifier, MLPRegressor, _threads

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N_PREDICTS = int(os.environ.get("CMLP_PREDICTS", "400"))
N_THREADS = 8
X, y = load_iris(return_X_y=True)
REGRESSION = load_diabetes(return_X_y=True)
SRC, DOC = Path(cmlp.__file__).parent, Path(__file__).parents[2] / "docs" / "reliability.md"


@pytest.fixture
def switching():
    """Threads that take turns as often as the interpreter lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def fitted(of=np.float64, n_classes=3, **params):
    kept = y < n_classes
    est = MLPClassifier((9, 7), max_iter=3, random_state=0, **params)
    return est.fit(X[kept].astype(of), y[kept])


def regressor(**params):
    est = MLPRegressor(hidden_layer_sizes=(9,), max_iter=3, random_state=0, **params)
    return est.fit(*REGRESSION)


def calls(method, data, **kwargs):
    """Calls with the first so many rows, and with one row; each has an answer of its own."""
    sizes = [1, 2, 3, 10, 33, 64, data.shape[0]]
    return [lambda est, n=n: getattr(est, method)(data[:n], **kwargs) for n in sizes]


CASES = {
    "predict": (fitted, calls("predict", X)),
    "predict of two classes": (lambda: fitted(n_classes=2), calls("predict", X)),
    "predict_proba": (fitted, calls("predict_proba", X)),
    "predict_proba of two classes": (lambda: fitted(n_classes=2), calls("predict_proba", X)),
    "float32": (lambda: fitted(np.float32), calls("predict_proba", X.astype(np.float32))),
    "dtype": (lambda: fitted(dtype="float64"), calls("predict_proba", X.astype(np.float32))),
    "sparse": (fitted, calls("predict_proba", sp.csr_matrix(X))),
    "a list": (fitted, [lambda est, n=n: est.predict_proba(X[:n].tolist()) for n in (1, 9)]),
    "hidden_layer": (fitted, calls("hidden_layer", X)),
    "predict_samples": (
        lambda: fitted(dropout=0.3),
        calls("predict_samples", X[:40], n_samples=3, random_state=1),
    ),
    "input_gradient": (fitted, calls("input_gradient", X)),
    "regressor": (regressor, calls("predict", REGRESSION[0])),
    "quantiles": (
        lambda: regressor(loss="quantile", quantile=[0.1, 0.9]),
        calls("predict", REGRESSION[0]),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_predictions_of_one_estimator_in_all_its_ways(case, switching):
    """From the very first one, in which each thread may make the short way for the others."""
    make, some_calls = CASES[case]
    saved = pickle.dumps(make())
    alone = pickle.loads(saved)
    expected = [call(alone) for call in some_calls]
    per_thread = max(1, min(N_PREDICTS, 50) // N_THREADS)

    def predict(rank, est, barrier):
        barrier.wait(60)
        for i in range(rank, rank + per_thread):
            which = i % len(some_calls)
            np.testing.assert_array_equal(some_calls[which](est), expected[which])
        return per_thread

    done = 0
    with ThreadPoolExecutor(N_THREADS) as executor:
        while done < N_PREDICTS:
            est, barrier = pickle.loads(saved), threading.Barrier(N_THREADS)
            ranks = range(N_THREADS)
            results = executor.map(predict, ranks, [est] * N_THREADS, [barrier] * N_THREADS)
            done += sum(results)
    assert done >= N_PREDICTS


def test_short_way_that_comes_and_goes(switching):
    """It is remade where an attribute has changed; a thread in between finds one or none."""
    est = fitted()
    expected = est.predict_proba(X[:5])
    stop = threading.Event()

    def unmake():
        while not stop.is_set():
            est._parameters.predictor = None
            est.predict_proba(X[:5])

    with ThreadPoolExecutor(N_THREADS) as executor:
        unmaking = executor.submit(unmake)
        try:
            chunks = executor.map(
                lambda _: [est.predict_proba(X[:5]) for _ in range(N_PREDICTS // 7)], range(7)
            )
            for p in (p for chunk in chunks for p in chunk):
                np.testing.assert_array_equal(p, expected)
        finally:
            stop.set()
        unmaking.result(60)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_fits_while_others_predict(monkeypatch, switching, n_jobs):
    """Solvers, schedules and random states of several fits at once do not touch each other."""
    monkeypatch.setattr(_threads, "available_cpus", lambda: 4)
    monkeypatch.setattr(_threads, "FLOPS_PER_THREAD", 1)
    several = [
        {"solver": "sgd", "learning_rate": "adaptive"},
        {"solver": "adam", "dropout": 0.2},
        {"solver": "adamw", "max_grad_norm": 0.5, "ema_decay": 0.9},
        {"solver": "adam", "early_stopping": True, "batch_size": 20},
        {"solver": "lbfgs"},
        {"solver": "schedule_free_adamw", "dtype": "float32"},
    ]

    def fit(params):
        est = MLPClassifier((12, 8), max_iter=6, random_state=3, n_jobs=n_jobs, **params)
        return est.fit(X, y)._parameters.vector

    alone = [fit(params) for params in several]
    est = fitted()
    expected = est.predict_proba(X)
    stop = threading.Event()

    def predict():
        n = 0
        while not stop.is_set() or n == 0:
            np.testing.assert_array_equal(est.predict_proba(X), expected)
            n += 1
        return n

    with ThreadPoolExecutor(N_THREADS) as executor:
        predicting = [executor.submit(predict) for _ in range(2)]
        try:
            for _ in range(max(2, N_PREDICTS // 200)):
                for vector, before in zip(executor.map(fit, several), alone, strict=True):
                    np.testing.assert_array_equal(vector, before)
        finally:
            stop.set()
        assert all(done.result(60) for done in predicting)


# A free-threaded build


def state_of_module(path):
    """Names of a module's objects that may change: rebound, caches, empty containers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names
        elif isinstance(node, ast.FunctionDef) and any(
            "cache" in ast.unparse(decorator) for decorator in node.decorator_list
        ):
            yield node.name
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in ("{}", "[]", "set()"):
            yield from (target.id for target in node.targets)


@pytest.mark.slow
def test_state_of_modules_is_argued_in_the_docs():
    found = {name for path in SRC.rglob("*.py") for name in state_of_module(path)}
    assert "_random_states" in found
    text = DOC.read_text(encoding="utf-8")
    assert {name for name in found if f"`{name}`" not in text} == set()
