"""What fit and predict allocate beyond their input: parameters and batches, no (n, hidden).

tracemalloc sees every array, the workspace included; the resident set is what the system saw.
"""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sanitized import KEEPS_FREED, SANITIZED
from scripts import output_of

from cmlp import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SLOTS = {"adam": 2, "sgd": 1}
#: more parameters than anything else, or more samples
WIDE = (300, 400, (900, 700))
LONG = (20_000, 100, (50,))
DENSITY = 0.05
PREDICTED = 512  # rows at once
#: packed panels, the interpreter
SOME = 1 << 19
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
#: of the system's count, and pages of libraries that are first used
UNEVEN = 1 << 20


def samples(n_samples, n_features, dtype, storage):
    """Drawn without a temporary copy, which would raise the mark that is measured against."""
    rng = np.random.default_rng(0)
    if storage == "sparse":
        X = sp.random(n_samples, n_features, DENSITY, "csr", dtype, random_state=0)
    else:
        X = rng.standard_normal((n_samples, n_features), dtype=dtype)
    return X, rng.integers(3, size=n_samples)


def most_for_fit(est, X):
    """Bytes: parameters, slots of the optimizer, batches, and what there is of each sample."""
    n_samples, n_features = X.shape
    hidden = sum(est.hidden_layer_sizes)
    itemsize = X.dtype.itemsize
    n_params = sum(array.size for array in est.coefs_ + est.intercepts_)
    rows = est.batch_size
    # the order of the samples; an indicator of their classes or a number for their target
    of_samples = n_samples * (8 + max(est.n_outputs_, itemsize))
    vectors = 1 + SLOTS[est.solver]
    if est.early_stopping:
        vectors += 1  # the best weights
        # rows held out are arrays, because a score reads arrays; the split makes permutations
        n_held_out = round(n_samples * est.validation_fraction)
        entries = 2 * DENSITY * n_features + 1 if sp.issparse(X) else n_features
        of_samples += n_held_out * int(itemsize * entries + 16) + 4 * 8 * n_samples
        rows += min(n_held_out, PREDICTED)
    if est.batch_size > 1024:
        vectors += 1  # the gradient, summed over pieces of the batch
        rows = rows - est.batch_size + 1024
    # before there are slots, the first weights are drawn, in float64
    drawn = 8 * max(coef.size for coef in est.coefs_)
    parameters = max(vectors * n_params * itemsize, n_params * itemsize + drawn)
    return parameters + 3 * rows * itemsize * (n_features + 2 * hidden) + of_samples + SOME


def traced(call):
    """The most bytes that are allocated at a time within the call, beyond those before it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def resident(call):
    """The same for resident memory, the system's high-water mark being set back before."""
    RESET.write_text("5")
    before = high_water()
    call()
    return max(0, high_water() - before - UNEVEN)


def high_water():
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])


def check_fit(measure, Estimator, sizes, solver, dtype, storage, early_stopping, batch_size=100):
    n_samples, n_features, hidden = sizes
    X, y = samples(n_samples, n_features, dtype, storage)
    if Estimator is MLPRegressor:
        y = y.astype(dtype)

    def fit(hidden):
        est = Estimator(
            hidden_layer_sizes=hidden,
            solver=solver,
            batch_size=batch_size,
            early_stopping=early_stopping,
            max_iter=1,
            random_state=0,
            n_jobs=1,
        )
        return est.fit(X, y)

    fit((2,))  # imports and caches
    used = measure(lambda: fit(hidden))
    limit = most_for_fit(fit(hidden), X)
    assert used <= limit, f"{used / limit:.2f} of the limit"


@pytest.mark.slow
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize(
    ("Estimator", "sizes"),
    [(MLPClassifier, WIDE), (MLPClassifier, LONG), (MLPRegressor, LONG)],
    ids=["wide", "long", "long-regressor"],
)
def test_arrays_of_fit(Estimator, sizes, solver, dtype, storage, early_stopping):
    check_fit(traced, Estimator, sizes, solver, dtype, storage, early_stopping)


@pytest.mark.parametrize("batch_size", [1, 1500])
def test_arrays_of_fit_in_other_batches(batch_size):
    check_fit(traced, MLPClassifier, LONG, "sgd", np.float32, "dense", False, batch_size)


@pytest.mark.slow
@pytest.mark.skipif(SANITIZED == "address", reason=KEEPS_FREED)
@pytest.mark.skipif(not os.access(RESET, os.W_OK), reason="the high-water mark is not to be had")
@pytest.mark.parametrize(
    ("solver", "sizes", "storage"),
    [("adam", WIDE, "dense"), ("sgd", LONG, "dense"), ("adam", LONG, "sparse")],
    ids=["wide", "long", "sparse"],
)
def test_resident_memory_of_fit(solver, sizes, storage):
    """In a process of its own, which uses no freed memory again."""
    arguments = (f"{solver!r}", str(sizes), f"{storage!r}")
    code = f"import test_memory; test_memory.check_resident({', '.join(arguments)})"
    # what is freed goes back to the system at once
    output_of(code, PYTHONWARNINGS="ignore", MALLOC_MMAP_THRESHOLD_="65536")


def check_resident(solver, sizes, storage):
    for early_stopping in (False, True):
        check_fit(resident, MLPClassifier, sizes, solver, np.float64, storage, early_stopping)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_predict_has_blocks_of_rows_only(storage, dtype, method):
    n_features, hidden = 30, 2000
    X, y = samples(8 * PREDICTED, n_features, dtype, storage)
    est = MLPClassifier((hidden,), max_iter=1, batch_size=64, random_state=0, n_jobs=1)
    est.fit(X[:128], y[:128])
    predict = getattr(est, method)
    predict(X[:PREDICTED])
    used = [traced(lambda n=n: predict(X[:n])) for n in (PREDICTED, 8 * PREDICTED)]
    itemsize = np.dtype(dtype).itemsize
    more = 7 * PREDICTED
    # the outputs, the labels and what makes them, a slice of CSR; one hidden layer would be
    # 2000 numbers a row
    assert used[1] - used[0] <= more * (3 * n_features * 8)
    # and the block itself is one, with what backward would need
    assert used[0] <= 2 * PREDICTED * (n_features + 2 * hidden) * itemsize + 2 * SOME
