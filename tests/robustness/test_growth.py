"""Memory over many fits and many calls of partial_fit: it does not grow.

``CMLP_FITS=500``, ``CMLP_ERRORS=1000`` and ``CMLP_PARTIAL_FITS=1000000`` make the long runs. Each
measurement has a process of its own; what one fit allocates: test_memory.py.
"""

import gc
import os
import pickle
import sys
import tracemalloc
import warnings
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sanitized import KEEPS_FREED, SANITIZED
from scripts import output_of
from sklearn.base import clone

from cmlp import MLPClassifier, MLPRegressor, _threads

N_FITS = int(os.environ.get("CMLP_FITS", "60"))
N_ERRORS = int(os.environ.get("CMLP_ERRORS", "20"))
N_PARTIAL_FITS = int(os.environ.get("CMLP_PARTIAL_FITS", "4000"))
STATUS = Path("/proc/self/status")
needs_status = pytest.mark.skipif(
    not STATUS.exists() or SANITIZED == "address",
    reason=KEEPS_FREED if SANITIZED else "no /proc here",
)
#: bytes a fit, beyond which it is a leak; and what the system's count may move at all
PER_FIT, UNEVEN = 2048, 1 << 20


def resident():
    gc.collect()
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS")]
    return 1024 * int(line.split()[1])


def run_alone(call):
    """Call a function of this module, as code, in a new process that returns freed memory."""
    out = output_of(
        f"import test_growth; test_growth.{call}",
        timeout=None,  # the long runs take what they take
        PYTHONWARNINGS="ignore",
        MALLOC_ARENA_MAX="1",
        MALLOC_MMAP_THRESHOLD_="65536",
        MALLOC_TRIM_THRESHOLD_="65536",
    )
    print(out)


def fits():
    """Functions that fit, predict and forget, for ever: the shapes come round, the kinds too."""
    rng = np.random.default_rng(0)
    kinds = [
        {"solver": "adam"},
        {"solver": "sgd", "early_stopping": True},
        {"solver": "lbfgs"},
        {"solver": "adamw", "max_grad_norm": 1.0, "ema_decay": 0.9, "dropout": 0.2},
        {"solver": "adam", "n_jobs": 2},
        {"solver": "sgd", "batch_size": 1},
        {"solver": "rmsprop", "dtype": "float32", "activation": "gelu"},
    ]
    shapes = [(40, 3, (5,)), (300, 60, (80, 50)), (700, 20, ()), (150, 8, (9, 8, 7))]
    shapes += [(90, 500, (30,)), (256, 33, (64,)), (500, 5, (17,)), (60, 2, (300,))]
    data = []
    for n, n_features, hidden in shapes:
        X = rng.standard_normal((n, n_features))
        y = rng.integers(2 + n % 3, size=n)
        data += [(X, y, hidden), (sp.csr_matrix(X * (X > 0.5)), y, hidden)]

    def one(params, X, y, hidden):
        Estimator = MLPRegressor if X.shape[1] % 2 else MLPClassifier
        params = {"hidden_layer_sizes": hidden, "n_jobs": 1, "random_state": 0, **params}
        params["max_iter"] = 2
        est = Estimator(**params).fit(X, y)
        est.predict(X)
        clone(pickle.loads(pickle.dumps(est))).fit(X[:30], y[:30]).predict(X[:1])
        if params["solver"] != "lbfgs":
            est.set_params(early_stopping=False).partial_fit(X, y)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for params, (X, y, hidden) in zip(cycle(kinds), cycle(data), strict=False):
            yield lambda params=params, given=(X, y, hidden): one(params, *given)


def check_fits(n):
    """The slope of the resident set over n fits, after half as many to warm up."""
    _threads.available_cpus, _threads.FLOPS_PER_THREAD = lambda: 4, 1
    calls = fits()
    for call in islice(calls, 112 + n // 2):  # all combinations once
        call()
    sizes = [resident()]
    for _ in range(n // 5):
        for call in islice(calls, 5):
            call()
        sizes.append(resident())
    # medians of thirds: a slope that a single page fault does not move
    third = len(sizes) // 3
    slope = (np.median(sizes[-third:]) - np.median(sizes[:third])) / (5 * (len(sizes) - third))
    print(f"{n} fits: {slope:.0f} bytes a fit, {sizes[-1] - sizes[0]} bytes in all")
    assert slope <= PER_FIT + UNEVEN / n, sizes


@pytest.mark.slow
@needs_status
def test_fits_of_varied_shapes():
    run_alone(f"check_fits({N_FITS})")


@pytest.mark.slow
def test_objects_of_fits_of_varied_shapes():
    """What Python and NumPy have allocated: a further round of the same fits leaves no array."""
    calls = fits()
    for call in islice(calls, 112):
        call()
    # NumPy keeps some small blocks for the next array
    assert left_by_another_round(list(islice(calls, 28))) < 28 * 1000


def left_by_another_round(calls, n_rounds=3):
    """Bytes allocated after the last round of calls, beyond those after the one before it.

    In the first ones Python fills its lists of free tuples and floats, which count.
    """
    left = []
    tracemalloc.start()
    try:
        for _ in range(n_rounds):
            for call in calls:
                call()
            gc.collect()
            left.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return left[-1] - left[-2]


# Calls that raise


def errors():
    """Functions that raise, by name."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 50))
    y, weight = rng.integers(3, size=200), rng.random(200)
    damaged, spoilt = sp.csr_matrix(X), X.copy()
    damaged.indices[5] = 10**6
    spoilt[3, 3] = np.nan
    est = MLPClassifier((80,), max_iter=1).fit(X, y)

    def fit(Estimator=MLPClassifier, X=X, y=y, **params):
        Estimator(**{"hidden_layer_sizes": (80,), "max_iter": 2, **params}).fit(X, y, weight)

    def interrupt(est, rows, targets, sample_weight):
        raise KeyboardInterrupt

    def other_shape():
        MLPClassifier((9,), max_iter=1, warm_start=True).fit(X, y).fit(X[:, :5], y)

    return {
        "diverged": lambda: fit(MLPRegressor, solver="sgd", learning_rate_init=1e300),
        "lbfgs diverged": lambda: fit(MLPRegressor, X * 1e300, y * 1e300, solver="lbfgs"),
        "interrupted": lambda: fit(early_stopping=True, scoring=interrupt),
        "y too short": lambda: fit(y=y[:-1]),
        "NaN": lambda: fit(X=spoilt),
        "damaged": lambda: est.predict(damaged),
        "columns": lambda: est.predict(X[:, :3]),
        "predict NaN": lambda: est.predict_proba(spoilt),
        "a parameter": lambda: fit(alpha=-1),
        "classes": lambda: MLPClassifier((8,)).partial_fit(X, y, classes=[0, 1]),
        "warm start": other_shape,
    }


def call_all(calls, n):
    for _ in range(n):
        for call in calls:
            with suppress(ValueError, KeyboardInterrupt):
                call()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_each_of_them_raises_or_is_interrupted():
    for name, call in errors().items():
        if name == "interrupted":
            with pytest.warns(UserWarning, match="interrupted"):
                call()
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with pytest.raises(ValueError, match=r"\w"):
                    call()


def check_errors(n):
    _threads.available_cpus, _threads.FLOPS_PER_THREAD = lambda: 4, 1
    calls = list(errors().values())
    call_all(calls, 20 + n // 2)
    before = resident()
    call_all(calls, n)
    grown = resident() - before
    print(f"{n} times {len(calls)} calls that raise: {grown} bytes")
    assert grown <= UNEVEN + PER_FIT * n


@pytest.mark.slow
@needs_status
def test_calls_that_raise():
    run_alone(f"check_errors({N_ERRORS})")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_objects_of_calls_that_raise():
    calls = list(errors().values())
    call_all(calls, 3)
    assert left_by_another_round([lambda: call_all(calls, 10)], n_rounds=6) < 110 * 100


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", [np.array, sp.csr_matrix])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_what_is_passed_is_not_kept(solver, form):
    """Nobody refers to X, y and the weights after a call, whether it answered or raised."""
    rng = np.random.default_rng(0)
    X, weight = form(rng.standard_normal((60, 5))), rng.random(60)
    y, values = rng.integers(3, size=60), rng.random(60)
    parts = [X.data, X.indices, X.indptr] if sp.issparse(X) else []
    passed = [X, y, values, weight, *parts]

    def counts():
        gc.collect()
        return [sys.getrefcount(one) for one in passed]

    before = counts()
    params = {"hidden_layer_sizes": (4,), "solver": solver, "max_iter": 2, "random_state": 0}
    for early_stopping, dtype in ((False, None), (True, None), (False, "float32")):
        params |= {"early_stopping": early_stopping, "dtype": dtype}
        ests = [MLPClassifier(**params).fit(X, y, weight)]
        ests += [MLPRegressor(**params).fit(X, values, weight)]
        for est in ests:
            est.predict(X)
            est.score(X, y, weight)
            est.hidden_layer(X)
        assert counts() == before
        for est in ests:
            for rows, targets in ((X[:, :3], y), (X, y[:-1]), (X * 1e308 * 10, y)):
                with pytest.raises(ValueError, match=r"\w"):
                    est.set_params(warm_start=True).fit(rows, targets, weight)
            with pytest.raises(ValueError, match="features"):
                est.predict(X[:, :3])
        del rows, targets
        assert counts() == before


# partial_fit


def data_of_stream():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 6)), np.array([0, 1, 1, 0])


def check_partial_fits(n, keeps_curve):
    X, y = data_of_stream()
    est = MLPClassifier((8,), random_state=0, partial_fit_loss_curve=keeps_curve)
    est.partial_fit(X, y, classes=[0, 1])
    for _ in range(max(1000, n // 4)):
        est.partial_fit(X, y)
    before, n_before = resident(), len(est.loss_curve_)
    for _ in range(n):
        est.partial_fit(X, y)
    grown, more = resident() - before, len(est.loss_curve_) - n_before
    print(f"{n} calls of partial_fit: {grown} bytes, of which the loss curve has {more} entries")
    assert more == (n if keeps_curve else 0)
    # an entry is a float64 object and its place in the list, which is allocated ahead
    assert grown <= UNEVEN + 56 * more


@pytest.mark.slow
@needs_status
@pytest.mark.parametrize("keeps_curve", [True, False])
def test_partial_fit_many_times(keeps_curve):
    run_alone(f"check_partial_fits({N_PARTIAL_FITS}, {keeps_curve})")


@pytest.mark.slow
def test_objects_of_partial_fits():
    X, y = data_of_stream()
    est = MLPClassifier((8,), random_state=0, partial_fit_loss_curve=False)
    est.partial_fit(X, y, classes=[0, 1])
    assert left_by_another_round(500 * [lambda: est.partial_fit(X, y)]) < 500 * 10


@pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])
def test_loss_curve_of_the_last_call(Estimator):
    """Nothing else depends on how long the curve is."""
    X, y = data_of_stream()
    whole = Estimator(hidden_layer_sizes=(8,), random_state=0)
    short = clone(whole).set_params(partial_fit_loss_curve=False)
    first = {"classes": [0, 1]} if Estimator is MLPClassifier else {}
    for est in (whole, short):
        est.partial_fit(X, y, **first)
        for _ in range(10):
            est.partial_fit(X, y)
    assert len(whole.loss_curve_) == 11
    assert short.loss_curve_ == whole.loss_curve_[-1:] == [short.loss_]
    assert short.best_loss_ == whole.best_loss_
    np.testing.assert_array_equal(short.coefs_[0], whole.coefs_[0])
    # a fit, a warm start too, has a whole curve
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for warm_start, n in ((True, 6), (False, 5)):
            short.set_params(warm_start=warm_start, max_iter=5).fit(X, y)
            assert len(short.loss_curve_) == n
    # what was one's own list is not changed
    short.partial_fit(X, y)
    curve = short.loss_curve_
    short.partial_fit(X, y)
    assert curve != short.loss_curve_
    assert len(curve) == 1
