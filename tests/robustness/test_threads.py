"""Threads: ``n_jobs`` and what limits it, several Python threads at once, Ctrl-C, denormals."""

import os
import signal
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import threadpoolctl
from scripts import output_of
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from cmlp import MLPClassifier, MLPRegressor, _threads
from cmlp._core import engine
from cmlp._threads import FLOPS_PER_THREAD, available_cpus, effective_n_threads

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = load_digits(return_X_y=True)
X = X / 16
LARGE = 1000 * FLOPS_PER_THREAD


def fit(seed, dtype):
    return MLPClassifier((20,), max_iter=5, random_state=seed).fit(X.astype(dtype), y)


# Several Python threads: the engine releases the GIL and keeps no state of its own


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fits_of_different_estimators(dtype):
    with ThreadPoolExecutor(4) as pool:
        concurrent = list(pool.map(lambda seed: fit(seed, dtype), range(8)))
    for seed, est in enumerate(concurrent):
        for ours, alone in zip(est.coefs_, fit(seed, dtype).coefs_, strict=True):
            np.testing.assert_array_equal(ours, alone)


def test_predictions_of_one_estimator():
    est = fit(0, np.float64)
    chunks = [X[i : i + 1 + i % 700] for i in range(0, 1000, 7)]
    expected = [est.predict_proba(chunk) for chunk in chunks]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for p, alone in zip(pool.map(est.predict_proba, chunks), expected, strict=True):
                np.testing.assert_array_equal(p, alone)


# How many threads


@pytest.fixture
def four_cpus(monkeypatch):
    """As on a machine with four CPUs, of which nothing is taken away."""
    monkeypatch.setattr(_threads, "available_cpus", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(_threads, "_limit", None)


@pytest.mark.parametrize(
    ("n_jobs", "expected"),
    [(None, 4), (1, 1), (2, 2), (4, 4), (5, 4), (-1, 4), (-2, 3), (-4, 1), (-9, 1)],
)
def test_n_jobs(four_cpus, n_jobs, expected):
    assert effective_n_threads(n_jobs, LARGE) == expected


@pytest.mark.parametrize("n_jobs", [None, 1, 3, -1])
def test_little_work_is_not_shared(four_cpus, n_jobs):
    assert effective_n_threads(n_jobs, 0) == 1
    assert effective_n_threads(n_jobs, 2 * FLOPS_PER_THREAD - 1) == 1
    assert effective_n_threads(n_jobs, 2 * FLOPS_PER_THREAD) == (1 if n_jobs == 1 else 2)


@pytest.mark.parametrize(
    ("value", "expected"), [("3", 3), ("2,1", 2), ("99", 4), ("", 4), ("0", 4), ("many", 4)]
)
def test_omp_num_threads_is_the_default(four_cpus, monkeypatch, value, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert effective_n_threads(None, LARGE) == expected
    assert effective_n_threads(4, LARGE) == 4
    assert effective_n_threads(-1, LARGE) == 4


@pytest.mark.parametrize("user_api", [None, "cmlp"])
def test_threadpoolctl_limits(four_cpus, monkeypatch, user_api):
    with threadpoolctl.threadpool_limits(2, user_api=user_api):
        assert [effective_n_threads(n, LARGE) for n in (None, 1, 3, -1)] == [2, 1, 2, 2]
        with threadpoolctl.threadpool_limits(1, user_api=user_api):
            assert effective_n_threads(-1, LARGE) == 1
        assert effective_n_threads(None, LARGE) == 2
    assert effective_n_threads(None, LARGE) == 4
    assert _threads._limit is None
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert effective_n_threads(None, LARGE) == 4
    # a limit may also be higher than the default
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with threadpoolctl.threadpool_limits(3, user_api=user_api):
        assert effective_n_threads(None, LARGE) == 3
    assert effective_n_threads(None, LARGE) == 1


def test_threadpoolctl_info(four_cpus):
    def ours():
        return [row for row in threadpoolctl.threadpool_info() if row["user_api"] == "cmlp"]

    (row,) = ours()
    assert row["num_threads"] == 4
    assert os.path.samefile(row["filepath"], engine.__file__)
    with threadpoolctl.threadpool_limits({"cmlp": 2}):
        assert ours()[0]["num_threads"] == 2


def test_outside_the_main_thread(four_cpus):
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(effective_n_threads, None, LARGE).result() == 1
        assert executor.submit(effective_n_threads, 3, LARGE).result() == 3


def threads_in_worker(n_jobs):
    _threads.available_cpus = lambda: 4
    return effective_n_threads(n_jobs, LARGE)


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [None, -1, 4])
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"backend": "threading"}, 1),
        ({"backend": "multiprocessing"}, 1),
        ({"backend": "loky", "inner_max_num_threads": 1}, 1),
        ({"backend": "loky", "inner_max_num_threads": 3}, 3),
    ],
)
def test_in_workers_of_joblib(four_cpus, config, expected, n_jobs):
    with joblib.parallel_config(**config):
        calls = (joblib.delayed(threads_in_worker)(n_jobs) for _ in range(3))
        assert joblib.Parallel(n_jobs=2)(calls) == [expected] * 3


def test_joblib_with_one_job_limits_nothing(four_cpus):
    calls = (joblib.delayed(effective_n_threads)(n, LARGE) for n in (None, 2))
    assert joblib.Parallel(n_jobs=1)(calls) == [4, 2]


def test_default_of_a_joblib_context(four_cpus):
    with joblib.parallel_config("threading", n_jobs=2):
        assert effective_n_threads(None, LARGE) == 2
        assert effective_n_threads(3, LARGE) == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_affinity_is_obeyed():
    before = os.sched_getaffinity(0)
    assert 1 <= available_cpus() <= len(before)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert available_cpus() == 1
        assert effective_n_threads(-1, LARGE) == effective_n_threads(8, LARGE) == 1
    finally:
        os.sched_setaffinity(0, before)


# The parameter


@pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])
def test_parameter(Estimator):
    est = Estimator(n_jobs=2)
    assert Estimator().get_params()["n_jobs"] is None
    assert clone(est).get_params()["n_jobs"] == 2
    for bad in (1.5, "all"):
        with pytest.raises(ValueError, match="'n_jobs' parameter"):
            Estimator(n_jobs=bad).fit(X, y)
    with pytest.raises(ValueError, match="n_jobs == 0"):
        Estimator(n_jobs=0).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_matrix])
def test_n_jobs_changes_no_bit(monkeypatch, solver, dtype, storage):
    monkeypatch.setattr(_threads, "available_cpus", lambda: 4)
    monkeypatch.setattr(_threads, "FLOPS_PER_THREAD", 1)
    used = []

    def note(function):
        def noted(n_jobs, flops):
            used.append(function(n_jobs, flops))
            return used[-1]

        return noted

    for module in ("_predicting", "_early_stopping", "_stochastic", "_lbfgs"):
        target = f"cmlp.{module}.effective_n_threads"
        monkeypatch.setattr(target, note(effective_n_threads))
    params = {"solver": solver, "max_iter": 4, "random_state": 0, "learning_rate_init": 0.01}
    data = storage(X.astype(dtype))
    alone = MLPClassifier((30, 20), n_jobs=1, **params).fit(data, y)
    expected = alone.predict_proba(data)
    assert set(used) == {1}
    for n_jobs in (2, 3, None):
        used.clear()
        est = MLPClassifier((30, 20), n_jobs=n_jobs, **params).fit(data, y)
        np.testing.assert_array_equal(est.predict_proba(data), expected)
        assert set(used) == {n_jobs or 4}
        assert est.loss_ == alone.loss_
        for ours, theirs in zip(est.coefs_, alone.coefs_, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_grid_search(monkeypatch, backend):
    monkeypatch.setattr(_threads, "FLOPS_PER_THREAD", 1)
    grid = {"alpha": [1e-4, 1e-2], "hidden_layer_sizes": [(8,), (12,)]}
    est = MLPClassifier(max_iter=3, random_state=0, n_jobs=2)
    with joblib.parallel_config(backend):
        both = [GridSearchCV(est, grid, cv=2, n_jobs=n).fit(X, y) for n in (1, 2)]
    for key in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(both[0].cv_results_[key], both[1].cv_results_[key])


# Ctrl-C

INTERRUPTED = """
import os, signal, sys, threading, time, warnings
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from cmlp import MLPClassifier, _threads
_threads.available_cpus = lambda: 4
n_jobs, batch_size = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.RandomState(0)
X = rng.uniform(-1, 1, (60_000, 200)).astype(np.float32)
y = rng.randint(3, size=len(X))
sent = []
def interrupt():
    time.sleep(1)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
est = MLPClassifier((500, 300), n_jobs=n_jobs, batch_size=batch_size, random_state=0)
est.set_params(max_iter=1).fit(X[:1000], y[:1000])
est.set_params(max_iter=10_000, warm_start=True, n_iter_no_change=10_000)
threading.Thread(target=interrupt).start()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    est.fit(X, y)
print("latency", time.perf_counter() - sent[0])
assert any("Training interrupted by user." in str(w.message) for w in caught), caught
assert all(np.isfinite(array).all() for array in est.coefs_ + est.intercepts_)
assert est.predict(X[:10]).shape == (10,)
assert np.isfinite(est.predict_proba(X[:10])).all()
for dtype in (np.float32, np.float64):
    tiny = np.finfo(dtype).tiny
    assert np.finfo(dtype).smallest_subnormal > 0
    assert np.full(9, tiny, dtype)[3] / 4 > 0
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to oneself")
@pytest.mark.parametrize(("n_jobs", "batch_size"), [(1, 200), (2, 200), (3, 60_000)])
def test_ctrl_c_within_an_epoch(n_jobs, batch_size):
    out = output_of(INTERRUPTED, n_jobs, batch_size)
    assert float(out.split()[-1]) < 20  # seconds; an epoch is longer on any slow machine


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no setitimer")
def test_signals_within_a_step_of_wide_layers(monkeypatch):
    """One step, of two pieces only; handlers run within them, and what is stopped is sound."""
    rows, targets = X[:512], y[:512]
    train_epoch, calls = engine.train_epoch, []

    def coefs_after(n_calls):
        """The weights that a step leaves that is interrupted by the n-th call of the handler."""

        def handler(*_):
            calls.append(None)
            if len(calls) == n_calls:
                raise KeyboardInterrupt

        def with_signals(*arguments):
            signal.setitimer(signal.ITIMER_REAL, 1e-3, 1e-3)
            try:
                return train_epoch(*arguments)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

        calls.clear()
        monkeypatch.setattr(engine, "train_epoch", with_signals)
        before = signal.signal(signal.SIGALRM, handler)
        try:
            est = MLPClassifier((2048, 2048), batch_size=512, max_iter=1, random_state=0, n_jobs=1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return est.fit(rows, targets).coefs_[1]
        finally:
            signal.signal(signal.SIGALRM, before)

    trained = coefs_after(0)
    n_calls = len(calls)
    assert n_calls >= 6  # at the ends of pieces there would be two
    untouched = coefs_after(1)
    assert (trained != untouched).mean() > 0.9
    # within the products of rows nothing is done yet; between slabs some of them are
    np.testing.assert_array_equal(coefs_after(3), untouched)
    partly = coefs_after(n_calls - 2)
    assert ((partly == untouched) | (partly == trained)).all()


@pytest.mark.skipif(sys.platform == "win32", reason="no pthread_kill")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_signal_within_predict(monkeypatch, n_jobs):
    """A handler runs inside a long predict, and what it raises comes out of it."""
    monkeypatch.setattr(_threads, "available_cpus", lambda: 4)
    est = fit(0, np.float32).set_params(n_jobs=n_jobs)
    rows = np.tile(X.astype(np.float32), (200, 1))

    class Stop(Exception):
        pass

    def handler(*_):
        # with the caller's floating-point state
        assert np.float32(1e-38) / np.float32(1e5) > 0
        raise Stop

    before = signal.signal(signal.SIGUSR1, handler)
    stopped = False
    try:
        main = threading.main_thread().ident
        for _ in range(50):
            timer = threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGUSR1))
            timer.start()
            try:
                est.predict_proba(rows)
                timer.join()
            except Stop:
                stopped = True
                break
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert stopped
    assert est.predict_proba(X[:5]).shape == (5, 10)


# Denormals


def makes_denormals():
    values = {np.float32: 1e-38, np.float64: 1e-308}
    return all(
        (np.full(33, value, dtype) / dtype(1000) > 0).all()
        and np.finfo(dtype).smallest_subnormal > 0
        for dtype, value in values.items()
    )


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callers_floating_point_state_is_kept(monkeypatch, solver, n_jobs):
    monkeypatch.setattr(_threads, "available_cpus", lambda: 4)
    monkeypatch.setattr(_threads, "FLOPS_PER_THREAD", 1)
    est = MLPClassifier((10,), solver=solver, max_iter=3, random_state=0, n_jobs=n_jobs)
    assert makes_denormals()
    est.fit(X, y)
    assert makes_denormals()
    est.predict(X)
    est.predict_proba(X[:1])
    assert makes_denormals()
    with pytest.raises(ValueError, match="non-finite"):
        MLPRegressor(learning_rate_init=1e30, solver="sgd", n_jobs=n_jobs).fit(X, y)
    assert makes_denormals()
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(lambda _: est.predict(X), range(2)))
        assert all(executor.map(lambda _: makes_denormals(), range(4)))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_dead_units_leave_no_denormals_in_the_optimizer(monkeypatch, n_jobs):
    """Moments of units that never fire decay for ever; at 1e-38 they end at zero.

    Where the processor cannot flush them they do no harm but to the time.
    """
    monkeypatch.setattr(_threads, "available_cpus", lambda: 4)
    monkeypatch.setattr(_threads, "FLOPS_PER_THREAD", 1)
    if not engine.FLUSHES:
        pytest.skip("no flushing here")
    rows, targets = X[:200].astype(np.float32), y[:200]
    est = MLPClassifier((20,), alpha=0, batch_size=50, beta_2=0.95, random_state=0, n_jobs=n_jobs)
    est.set_params(max_iter=2, warm_start=True).fit(rows, targets)
    est.intercepts_[0][:10] = -1000  # ten units are dead from here on
    for _ in range(600):
        est.partial_fit(rows, targets)
    state = est._optimizer.state
    tiny = np.finfo(np.float32).tiny
    assert not ((state != 0) & (np.abs(state) < tiny)).any()
    first_layer = state[:, : 64 * 20].reshape(2, 64, 20)
    assert (first_layer[:, :, :10] == 0).all()
    assert (first_layer[:, :, 10:] != 0).any()
