"""Fits and predictions of many threads at once, and jobs of the pool: for ThreadSanitizer.

`python tests/stress.py 60` goes on for so many seconds. Every answer is compared with that of
one thread alone; races are what `make tsan` sees. Not a test of pytest.
"""

import random
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp
from engines import kernels_beside
from sklearn.exceptions import ConvergenceWarning

from cmlp import MLPClassifier, MLPRegressor, _threads
from cmlp._core import engine

N_PYTHON_THREADS = 8
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 40))
X[rng.random(X.shape) < 0.7] = 0
LABELS, TARGETS = rng.integers(4, size=300), X[:, :2] + rng.normal(size=(300, 2))
FORMS = {
    "dense": X,
    "float32": X.astype(np.float32),
    "fortran": np.asfortranarray(X),
    "sparse": sp.csr_matrix(X),
}
FITS = [
    {"solver": "sgd", "activation": "tanh", "batch_size": 60},
    {"solver": "sgd", "batch_size": 1},
    {"solver": "adam", "dropout": 0.3},
    {"solver": "adam", "early_stopping": True, "batch_size": 200},
    {"solver": "adamw", "max_grad_norm": 0.5, "ema_decay": 0.9, "activation": "gelu"},
    {"solver": "schedule_free_adamw", "activation": "logistic"},
    {"solver": "lbfgs", "max_fun": 8},
]
VALUES = rng.normal(size=6400)


def fit(Estimator, y, params, form, n_jobs, partial=False):
    sizes = {"hidden_layer_sizes": (70, 30), "n_jobs": n_jobs}
    est = Estimator(max_iter=3, random_state=0, **sizes, **params)
    data = FORMS[form]
    if partial:
        given = {"classes": np.unique(y)} if Estimator is MLPClassifier else {}
        for rows in (slice(100), slice(100, 200), slice(200, 300)):
            est.partial_fit(data[rows], y[rows], **given)
    else:
        est.fit(data, y)
    return est._parameters.vector


def fits():
    """Functions that fit: every solver, form of X and target, with 1 to 4 threads."""
    for Estimator, y in ((MLPClassifier, LABELS), (MLPRegressor, TARGETS)):
        for params in FITS:
            for form in FORMS:
                yield lambda n_jobs, what=(Estimator, y, params, form): fit(*what, n_jobs)
        for form in FORMS:
            what = (Estimator, y, FITS[2], form)
            yield lambda n_jobs, what=what: fit(*what, n_jobs, partial=True)


def predictions():
    """Functions that predict with estimators that all threads share."""
    est = MLPClassifier((70, 30), max_iter=2, random_state=0, dropout=0.2).fit(X, LABELS)
    for data in FORMS.values():
        for method in ("predict", "predict_proba", "hidden_layer", "input_gradient"):

            def predict(n_jobs, method=method, data=data):
                return getattr(est, method)(data)

            yield predict
    yield lambda n_jobs: est.predict_proba(X[:1])
    yield lambda n_jobs: est.predict_samples(X, n_samples=5, random_state=1)


def sums():
    """Functions that run a job of the pool itself, with as many threads as they are told."""
    for n_phases in (2, 40):
        yield lambda n_jobs, n=n_phases: kernels_beside(engine).pool_sum(VALUES, 64, n_jobs, n)[0]


def main(seconds):
    warnings.simplefilter("ignore", ConvergenceWarning)
    _threads.available_cpus = lambda: 4  # more than there may be: races need no cores
    _threads.FLOPS_PER_THREAD = 1
    sys.setswitchinterval(1e-5)
    work = [*fits(), *predictions(), *sums()]
    expected = [function(1) for function in work]
    end, done = time.monotonic() + seconds, [0] * N_PYTHON_THREADS
    barrier = threading.Barrier(N_PYTHON_THREADS)

    def go(rank):
        draw = random.Random(rank)
        barrier.wait()
        while time.monotonic() < end or done[rank] < 5:
            i = draw.randrange(len(work))
            np.testing.assert_array_equal(work[i](draw.randint(1, 4)), expected[i])
            done[rank] += 1

    with ThreadPoolExecutor(N_PYTHON_THREADS) as executor:
        for result in [executor.submit(go, rank) for rank in range(N_PYTHON_THREADS)]:
            result.result()
    print(f"{sum(done)} calls of {len(work)} kinds from {N_PYTHON_THREADS} threads: all exact")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
