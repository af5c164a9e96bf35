"""How many threads a fit or predict uses: ``n_jobs`` and what the surroundings allow; whole fits
in threads of their own.

The pool itself is in the engine; the numbers that it computes do not depend on the answer.
"""

import multiprocessing
import os
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import pairwise

import joblib
import scipy.sparse as sp
import threadpoolctl
from joblib.parallel import get_active_backend

from cmlp._core import engine
from cmlp._warnings import warn

#: Work of one thread between two meetings below which a further one may not pay (measured).
FLOPS_PER_THREAD = 4_000_000

#: Seconds between two looks at signals; some systems wake no thread that waits for others.
POLL = 0.1

#: What threadpoolctl set, if anything.
_limit = None


@lru_cache(maxsize=64)
def _joblib_cpu_count(n_affine):
    # reads the cgroup files; once for each size of the affinity mask, which may change
    return max(1, min(joblib.cpu_count(), n_affine))


def available_cpus():
    """CPUs of this process, by affinity, cgroup and ``LOKY_MAX_CPU_COUNT``."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13; obeys PYTHON_CPU_COUNT
        n_affine = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        n_affine = len(os.sched_getaffinity(0))
    else:
        n_affine = os.cpu_count()
    return _joblib_cpu_count(n_affine or 1)


def openmp_threads():
    """``OMP_NUM_THREADS``, of nested levels the first; None if unset or not a number."""
    value = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(value) if value.isdecimal() and int(value) > 0 else None


def flops_per_sample(X, units, training, n_members=1):
    """Multiplications and additions of the products: two a weight forward, six in training."""
    inputs = X.nnz / X.shape[0] if sp.issparse(X) else units[0]
    return n_members * flops_of_products(inputs, units, training)


@lru_cache
def flops_of_products(inputs, units, training):
    """Multiplications and additions for a row of so many entries, given all units as a tuple."""
    n_weights = inputs * units[1] + sum(a * b for a, b in pairwise(units[1:]))
    return int((6 if training else 2) * n_weights)


def effective_n_threads(n_jobs, flops):
    """Threads for a piece of work.

    Parameters
    ----------
    n_jobs : int or None
        As the estimators document it.
    flops : int
        Operations between two meetings of the threads: of a minibatch, or of a whole predict.

    Returns
    -------
    n_threads : int
        At least 1.

    Raises
    ------
    ValueError
        If n_jobs is 0.
    """
    if n_jobs == 0:
        raise ValueError("n_jobs == 0 has no meaning")
    worthwhile = flops // FLOPS_PER_THREAD
    if n_jobs == 1 or worthwhile < 2:
        return 1
    cpus = available_cpus()
    backend, context_n_jobs = get_active_backend()
    in_main_thread = threading.get_ident() == threading.main_thread().ident
    is_worker = getattr(backend, "nesting_level", 0) > 0
    if n_jobs is None:
        n_jobs = context_n_jobs
        is_worker = is_worker or not in_main_thread or multiprocessing.parent_process() is not None
    if n_jobs is None:
        n_threads = _limit or openmp_threads() or cpus
    else:
        n_threads = n_jobs if n_jobs > 0 else cpus + 1 + n_jobs
    if is_worker:
        # loky sets the variable to each worker's share of the CPUs
        n_threads = min(n_threads, (openmp_threads() or 1) if in_main_thread else 1)
    return max(1, min(n_threads, cpus, _limit or cpus, worthwhile))


def run_all(function, items, n_threads, stop):
    """Call a function of each item in threads, so that Ctrl-C arrives here.

    Parameters
    ----------
    stop : callable
        Makes the calls end soon: after a first Ctrl-C, and after an error, which is raised.
    """
    begin = threading.Event()

    def call(item):
        begin.wait()
        function(item)

    with ThreadPoolExecutor(n_threads) as pool:
        calls = []
        try:
            calls += [pool.submit(call, item) for item in items]
            try:
                begin.set()  # not before, or Ctrl-C could find some calls without the others
                wait_for(calls)
            except KeyboardInterrupt:
                stop()
                warn("Training interrupted by user.")
                wait_for(calls)
        except BaseException:
            stop()
            for one in calls:
                one.cancel()
            begin.set()
            raise


def wait_for(calls):
    """Have all calls end, or raise the error of one that has one."""
    running = calls
    while running:
        ended, running = wait(running, POLL, FIRST_EXCEPTION)
        for call in ended:
            call.result()


class CmlpController(threadpoolctl.LibController):
    """``threadpoolctl.threadpool_limits`` and ``threadpool_info`` for the pool of the engine."""

    user_api = "cmlp"
    internal_api = "cmlp"
    filename_prefixes = (os.path.basename(engine.__file__).lower(),)

    def get_num_threads(self):
        """The limit, or without one what is used by default."""
        return _limit or openmp_threads() or available_cpus()

    def set_num_threads(self, num_threads):
        """Limit every fit and predict of the process; the default number removes the limit."""
        global _limit
        default = openmp_threads() or available_cpus()
        _limit = None if num_threads == default else max(1, num_threads)

    def get_version(self):
        return None


threadpoolctl.register(CmlpController)
