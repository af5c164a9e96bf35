"""Fits in other processes: fork, spawn, forkserver, loky; joblib's read-only memory maps.

Nothing may hang, and every process computes the same bits. The pool alone: core/test_pool.py.
"""

import multiprocessing
import os
import signal
import textwrap
import threading
import warnings
from concurrent import futures

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from joblib.externals.loky import ProcessPoolExecutor
from scripts import run
from sklearn.base import clone
from sklearn.datasets import load_digits

from cmlp import MLPClassifier, MLPRegressor, _threads

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]
TIMEOUT = 120  # a hang, not a slow machine
X, y = load_digits(return_X_y=True)
X, y = X[:400] / 16, y[:400]


def fit(n_jobs, solver="adam"):
    """Weights after training by so many threads, and whether these were so many."""
    before = _threads.available_cpus, _threads.FLOPS_PER_THREAD
    _threads.available_cpus, _threads.FLOPS_PER_THREAD = lambda: 4, 1
    try:
        est = MLPClassifier((30, 20), solver=solver, max_iter=4, random_state=0, n_jobs=n_jobs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            est.fit(X, y).partial_fit(X, y) if solver == "adam" else est.fit(X, y)
        n_threads = _threads.effective_n_threads(n_jobs, 10)
        return est._parameters.vector, est.predict_proba(X), n_threads
    finally:
        _threads.available_cpus, _threads.FLOPS_PER_THREAD = before


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_fit_here_then_in_a_child(method):
    expected = {n_jobs: fit(n_jobs) for n_jobs in (1, 2)}
    assert [expected[n][2] for n in (1, 2)] == [1, 2]
    with multiprocessing.get_context(method).Pool(1) as pool:
        for n_jobs in (2, 1, 2):
            assert_same(pool.apply_async(fit, (n_jobs,)).get(TIMEOUT), expected[n_jobs])
    assert_same(fit(2), expected[2])


@pytest.mark.slow
def test_fit_here_then_in_a_worker_of_loky():
    expected = {n_jobs: fit(n_jobs) for n_jobs in (1, 2)}
    executor = ProcessPoolExecutor(1)
    try:
        for n_jobs in (2, 1, 2):
            assert_same(executor.submit(fit, n_jobs).result(TIMEOUT), expected[n_jobs])
    except BaseException:
        executor.shutdown(kill_workers=True)  # one that hangs
        raise
    # not killed: where neither psutil nor pgrep is, loky fails to, and this process never ends
    executor.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_fork_while_other_threads_fit_and_predict(monkeypatch, solver):
    """A child has none of these threads, and need not wait for what they held."""
    monkeypatch.setattr(_threads, "available_cpus", lambda: 4)
    monkeypatch.setattr(_threads, "FLOPS_PER_THREAD", 1)
    expected = fit(2, solver)
    est = MLPClassifier((300,), max_iter=1, random_state=0, n_jobs=2).fit(X, y)
    p = est.predict_proba(X)
    stop = threading.Event()

    def work(function):
        while not stop.is_set():
            function()

    jobs = [
        lambda: est.predict_proba(X),
        lambda: est.predict_proba(X[:40]),
        clone(est).set_params(max_iter=50).fit,
    ]
    jobs[2] = lambda fit=jobs[2]: fit(X, y)
    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    assert_same(fit(2, solver), expected)
                    assert_same([est.predict_proba(X)], [p])
                    code = 0
                finally:
                    os._exit(code)
            deadline = threading.Timer(TIMEOUT, os.kill, (pid, signal.SIGKILL))
            deadline.start()
            status = os.waitpid(pid, 0)[1]
            deadline.cancel()
            assert status == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


# Memory maps


@pytest.fixture
def mapped(tmp_path):
    """A function that gives an array back as joblib does to its workers: mapped, read-only."""

    def map_it(data):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.joblib"
        joblib.dump(data, path)
        return joblib.load(path, mmap_mode="r")

    return map_it


@pytest.mark.parametrize("storage", [np.asarray, np.asfortranarray, sp.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_read_only_memory_maps(mapped, solver, dtype, storage):
    data, weights = storage(X.astype(dtype)), np.linspace(0.5, 2, len(X))
    ours = [mapped(array) for array in (data, y, weights)]
    maps = [ours[0].data if sp.issparse(data) else ours[0], *ours[1:]]
    assert all(isinstance(a, np.memmap) and not a.flags.writeable for a in maps)
    params = {"hidden_layer_sizes": (20,), "max_iter": 3, "random_state": 0, "solver": solver}
    for Estimator in (MLPClassifier, MLPRegressor):
        for early_stopping in {False, solver == "adam"}:
            params["early_stopping"] = early_stopping
            pair = [Estimator(**params).fit(*a) for a in ((data, y, weights), ours)]
            if solver != "lbfgs" and not early_stopping:
                pair[0].partial_fit(data, y, weights)
                pair[1].partial_fit(*ours)
            assert_same(pair[1].coefs_, pair[0].coefs_)
            assert_same([pair[1].predict(ours[0])], [pair[0].predict(data)])
            assert type(pair[1].predict(ours[0])) is np.ndarray


def fit_mapped(data, targets, est):
    assert isinstance(data, np.memmap)
    assert not data.flags.writeable
    return est.fit(data, targets).partial_fit(data, targets).predict_proba(data)


@pytest.mark.slow
def test_memory_maps_that_joblib_makes():
    est = MLPClassifier((20,), max_iter=3, random_state=0)
    expected = clone(est).fit(X, y).partial_fit(X, y).predict_proba(X)
    parallel = joblib.Parallel(n_jobs=2, max_nbytes=1000)
    for p in parallel(joblib.delayed(fit_mapped)(X, y, est) for _ in range(2)):
        np.testing.assert_array_equal(p, expected)


# Executors, and threads within processes


def fit_in_two_threads(n_jobs):
    with futures.ThreadPoolExecutor(2) as executor:
        return list(executor.map(fit, [n_jobs, n_jobs]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", sorted({"fork", "spawn"} & {*multiprocessing.get_all_start_methods()})
)
def test_an_executor_while_this_process_fits(method):
    """Its workers fit in threads of their own, which share out work in turn."""
    expected = {n_jobs: fit(n_jobs) for n_jobs in (1, 2)}
    stop = threading.Event()

    def keep_fitting():
        while not stop.is_set():
            MLPClassifier((300,), max_iter=1, random_state=0, n_jobs=2).fit(X, y)

    thread = threading.Thread(target=keep_fitting)
    thread.start()
    try:
        context = multiprocessing.get_context(method)
        with futures.ProcessPoolExecutor(1, mp_context=context) as executor:
            for n_jobs in (1, 2):
                for one in executor.submit(fit_in_two_threads, n_jobs).result(TIMEOUT):
                    assert_same(one[:2], expected[n_jobs][:2])
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
def test_threads_within_workers_of_loky():
    expected = fit(2)
    found = joblib.Parallel(2)(joblib.delayed(fit_in_two_threads)(2) for _ in range(2))
    for one in (one for of_worker in found for one in of_worker):
        assert_same(one[:2], expected[:2])


# The end of the interpreter

WORK = """
import atexit, sys, threading, time, warnings
import numpy as np
from cmlp import MLPClassifier, _threads
warnings.simplefilter("ignore")
_threads.available_cpus, _threads.FLOPS_PER_THREAD = lambda: 4, 1
X = np.random.RandomState(0).uniform(-1, 1, (5000, 50))
y = np.arange(5000) % 3

def make(**params):
    params = {"max_iter": 10**6, "max_fun": 10**6, "n_iter_no_change": np.inf, **params}
    return MLPClassifier((90, 90), n_jobs=2, random_state=0, **params)

def started(*functions):
    for function in functions:
        threading.Thread(target=function, daemon=True).start()
    time.sleep(0.1)
"""
ENDS = {
    "fits and predicts go on": """
        est = make(max_iter=1).fit(X[:300], y[:300])
        predicts = lambda: [est.predict(X) for _ in iter(int, 1)]
        fits = lambda: make().fit(X, y), lambda: make(solver="lbfgs", tol=0).fit(X, y)
        started(*fits, predicts, predicts)
        print("left")
    """,
    "a fit at exit": """
        atexit.register(lambda: print("left" if make(max_iter=1).fit(X, y).loss_ > 0 else ""))
        make(max_iter=1).fit(X, y)
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
def test_the_interpreter_ends(how):
    """Neither a crash nor a hang, whatever daemon threads are doing."""
    done = run(WORK + textwrap.dedent(ENDS[how]))
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "left", "")
