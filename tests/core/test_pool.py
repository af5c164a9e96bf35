"""The pool of threads and the floating-point environment, without any network."""

import multiprocessing
import os
import signal
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from engines import kernels_beside
from scripts import output_of, run

VALUES = np.random.RandomState(0).uniform(-1, 1, 6400)
BLOCKS = 64
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
may_fork = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def sum_is_right(kernels, n_threads, n_phases=2):
    """Whether all totals are those of one thread, bit by bit; in other processes too."""
    totals, ranks, n_run = kernels.pool_sum(VALUES, BLOCKS, n_threads, n_phases)
    expected, _, _ = kernels.pool_sum(VALUES, BLOCKS, 1, n_phases)
    return (
        1 <= n_run <= n_threads
        and (totals == expected[0]).all()
        and set(ranks) <= set(range(n_run))
    )


def sum_is_right_in_loaded_engine(n_threads):
    from cmlp._core import engine

    return sum_is_right(kernels_beside(engine), n_threads, n_phases=10)


def threads_of(kernels, n_threads):
    return kernels.pool_sum(VALUES, BLOCKS, n_threads)[2]


@pytest.mark.parametrize("n_threads", [1, 2, 3, 4, 9])
def test_totals_do_not_depend_on_the_threads(kernels, n_threads):
    totals, _, n_run = kernels.pool_sum(VALUES, BLOCKS, n_threads)
    assert n_run == n_threads
    np.testing.assert_allclose(totals, VALUES.sum(), rtol=1e-12)
    assert sum_is_right(kernels, n_threads)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_share_the_pieces(kernels, n_threads):
    values = np.ones(BLOCKS * 10_000)
    deadline = time.monotonic() + 60
    seen = set()
    while seen != set(range(n_threads)) and time.monotonic() < deadline:
        seen |= set(kernels.pool_sum(values, BLOCKS, n_threads, 20)[1])
    assert seen == set(range(n_threads))


@pytest.mark.parametrize("n_threads", [2, 3, 4])
def test_many_phases_and_many_jobs(kernels, n_threads):
    assert sum_is_right(kernels, n_threads, n_phases=6000)
    for _ in range(300):
        assert sum_is_right(kernels, n_threads)


def test_phases_of_one_piece_and_no_phase(kernels):
    for n_phases in range(0, 40, 2):
        totals, _, n_run = kernels.pool_sum(VALUES, 1, 3, n_phases)
        assert n_run == 3
        if n_phases:
            np.testing.assert_allclose(totals, (n_phases - 1) * VALUES.sum(), rtol=1e-12)


def test_number_of_threads_may_change(kernels):
    for n_threads in [4, 1, 2, 7, 2, 3, 1, 4]:
        assert sum_is_right(kernels, n_threads, n_phases=20)


def test_more_threads_than_the_pool_holds(kernels):
    assert 1 <= threads_of(kernels, 10_000) <= 128
    assert sum_is_right(kernels, 10_000, n_phases=20)


def test_several_callers_at_once(kernels):
    with ThreadPoolExecutor(6) as executor:
        results = executor.map(lambda i: sum_is_right(kernels, 2 + i % 3, 100), range(60))
        assert all(results)


def run_until_called(kernels, function, while_waiting=False):
    """Run a job until rank 0 took a piece of it, or waited, and called the function once."""
    results = []

    def once():
        if not results:
            results.append(None)
            results[0] = function()

    while not results:
        calls = (None, once) if while_waiting else (once, None)
        n_run = kernels.pool_sum(VALUES, BLOCKS, 2, 200, *calls)[2]
    return n_run, results[0]


def test_rank_0_looks_up_while_it_waits(kernels):
    """Or a signal would not be noticed before the others are done."""
    assert run_until_called(kernels, lambda: True, while_waiting=True) == (2, True)


@pytest.mark.parametrize("while_waiting", [False, True])
def test_a_second_caller_runs_alone(kernels, while_waiting):
    def in_another_thread():
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(threads_of, kernels, 2).result()

    assert run_until_called(kernels, in_another_thread, while_waiting) == (2, 1)
    assert threads_of(kernels, 2) == 2


@pytest.mark.parametrize("while_waiting", [False, True])
def test_a_job_within_a_job_runs_alone(kernels, while_waiting):
    assert run_until_called(kernels, lambda: threads_of(kernels, 2), while_waiting) == (2, 1)
    assert threads_of(kernels, 2) == 2


def in_fork(function, timeout=60):
    """Exit code of a forked child that calls the function; 0 if it returned something true."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            code = 0 if function() else 1
        finally:
            os._exit(code)
    deadline = threading.Timer(timeout, os.kill, (pid, signal.SIGKILL))
    deadline.start()
    try:
        return os.waitpid(pid, 0)[1]
    finally:
        deadline.cancel()


@needs_fork
@may_fork
def test_after_fork(kernels):
    assert sum_is_right(kernels, 3)
    assert in_fork(lambda: threads_of(kernels, 3) == 3) == 0
    assert in_fork(lambda: sum_is_right(kernels, 4, n_phases=200)) == 0

    def grandchild():
        return in_fork(lambda: sum_is_right(kernels, 2)) == 0

    assert in_fork(lambda: sum_is_right(kernels, 2) and grandchild()) == 0
    assert threads_of(kernels, 3) == 3


@pytest.mark.slow
@needs_fork
@may_fork
def test_fork_while_another_thread_runs_a_job(kernels):
    running, stop = threading.Event(), threading.Event()

    def work():
        while not stop.is_set():
            kernels.pool_sum(VALUES, BLOCKS, 2, 40, running.set)

    thread = threading.Thread(target=work)
    thread.start()
    running.wait()
    try:
        for _ in range(10):
            assert in_fork(lambda: sum_is_right(kernels, 3, n_phases=20)) == 0
    finally:
        stop.set()
        thread.join()
    assert threads_of(kernels, 2) == 2


@pytest.mark.parametrize("while_waiting", [False, True])
@needs_fork
@may_fork
def test_fork_within_a_job(kernels, while_waiting):
    """As by a signal handler: the job of the child ends, and says that it is worth nothing."""
    parent = os.getpid()

    def fork():
        pid = os.fork()
        # in the child the pool belongs to the job that lost its threads
        if pid == 0 and threads_of(kernels, 2) != 1:
            os._exit(3)
        return pid

    n_run, child = run_until_called(kernels, fork, while_waiting)
    if os.getpid() != parent:
        try:
            again = threads_of(kernels, 2)
        finally:
            os._exit(0 if (n_run, again) == (0, 2) else 1)
    assert n_run == 2
    assert os.waitpid(child, 0)[1] == 0


@needs_fork
@may_fork
def test_fork_of_another_thread_in_a_fork_within_a_job(kernels):
    """There the job without threads is nobody's: the next one is a job like any other."""

    def works():
        return threads_of(kernels, 2) == 2 and sum_is_right(kernels, 2, n_phases=20)

    def fork():
        pid = os.fork()
        if pid == 0:
            code = 3
            try:
                with ThreadPoolExecutor(1) as executor:
                    code = int(executor.submit(in_fork, works).result() != 0)
            finally:
                os._exit(code)
        return pid

    n_run, child = run_until_called(kernels, fork)
    assert n_run == 2
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()]
)
@may_fork
def test_multiprocessing(method):
    assert sum_is_right_in_loaded_engine(2)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert all(pool.map(sum_is_right_in_loaded_engine, [2, 3, 4, 1]))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_joblib(backend):
    assert sum_is_right_in_loaded_engine(2)
    calls = (joblib.delayed(sum_is_right_in_loaded_engine)(n) for n in [2, 3, 4, 1])
    assert all(joblib.Parallel(2, backend=backend)(calls))


def run_script(kernels, script):
    """Exit code and output of a new interpreter."""
    name = kernels.__name__
    head = f"import importlib\nimport numpy as np\nkernels = importlib.import_module({name!r})\n"
    done = run(head + textwrap.dedent(script))
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.slow
def test_exit_with_idle_workers(kernels):
    code, out, err = run_script(kernels, "print(kernels.pool_sum(np.ones(64), 64, 4)[2])")
    assert (code, out, err) == (0, "4", "")


@pytest.mark.slow
def test_exit_while_a_daemon_thread_runs_a_job(kernels):
    code, out, err = run_script(
        kernels,
        """
        import threading
        started = threading.Event()
        arguments = (np.ones(64), 64, 2, 2_000_000_000, started.set)
        threading.Thread(target=kernels.pool_sum, args=arguments, daemon=True).start()
        started.wait()
        print("bye")
        """,
    )
    assert (code, out) == (0, "bye"), err


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signal masks here")
def test_signals_go_to_python(kernels):
    """Workers block all signals but those of faults, and the mask of the caller is as it was."""
    code, _, err = run_script(
        kernels,
        """
        import pathlib, signal, time
        tasks = pathlib.Path("/proc/self/task")
        before = set(tasks.iterdir()) if tasks.exists() else set()
        kernels.pool_sum(np.ones(64), 64, 3)
        workers = set(tasks.iterdir()) - before if tasks.exists() else set()
        fault, deadline = 1 << signal.SIGSEGV - 1, time.monotonic() + 60
        while True:  # until they run: before, the system has blocked all
            lines = [line for worker in workers for line in (worker / "status").open()]
            masks = [int(line.split()[1], 16) for line in lines if line.startswith("SigBlk")]
            if not any(mask & fault for mask in masks) or time.monotonic() > deadline:
                break
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            assert all(mask & 1 << number - 1 for mask in masks), masks
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE):
            assert not any(mask & 1 << number - 1 for mask in masks), masks
        assert len(masks) >= 2 or not tasks.exists(), masks  # a sanitizer has its own
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        """,
    )
    assert code == 0, err


# The floating-point environment

DENORMALS = {np.float32: 1e-40, np.float64: 1e-310}


def makes_denormals():
    """Whether arithmetic in the calling thread keeps denormals, in both dtypes."""
    return all(
        (np.full(64, value, dtype) * np.full(64, 1.5, dtype) > 0).all()
        and np.finfo(dtype).smallest_subnormal > 0
        for dtype, value in DENORMALS.items()
    )


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_denormals_are_flushed_inside_and_only_there(engine, kernels, n_threads):
    kept = []
    assert makes_denormals()
    while not kept:
        totals, _, n_run = kernels.pool_sum(
            np.full(64, 1e-310), 64, n_threads, 200, lambda: kept.append(makes_denormals())
        )
        assert n_run == n_threads
        if engine.FLUSHES:
            np.testing.assert_array_equal(totals, 0)
    assert all(kept)
    assert makes_denormals()
    with ThreadPoolExecutor(2) as executor:
        assert all(executor.map(lambda _: makes_denormals(), range(4)))


@pytest.mark.slow
def test_finfo_after_import_does_not_warn():
    script = """
    import warnings; warnings.simplefilter("error")
    import numpy as np, cmlp
    for dtype in (np.float32, np.float64):
        assert np.finfo(dtype).smallest_subnormal > 0
    """
    output_of(script)
