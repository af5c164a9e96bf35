"""The machine: one core and one thread for everybody, and what it is called. No timing here."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from threadpoolctl import threadpool_info, threadpool_limits

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


_n_threads = 1


def pin(n_cores=1, cpus=None):
    """Hold this process to so many CPUs, and all thread pools, loaded now or later, to as many.

    Must come before torch or JAX is imported: the affinity is what holds systems that ignore the
    variables, and XLA reads it once. ``cpus`` are those to choose from, the last first.
    """
    global _n_threads
    _n_threads = n_cores
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(cpus or os.sched_getaffinity(0))[-n_cores:])
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(n_cores)))
    threadpool_limits(n_cores)


def available_cpus():
    """Those that this process may run on, or None where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def n_threads():
    """The number of threads that every system is given in this process."""
    return _n_threads


def cpu_model():
    """The CPU's name, as far as the operating system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def blas():
    """The BLAS libraries loaded, with the kernels that they chose."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    names = {
        " ".join(str(pool.get(key) or "?") for key in ("internal_api", "version", "architecture"))
        for pool in pools
    }
    return ", ".join(sorted(names))


def simd():
    """The instruction set that cmlp chose."""
    from cmlp._core import variant

    return variant


def versions(distributions):
    """Name -> version, of those that are installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe(distributions):
    """What a reader needs to judge the numbers: a dict that goes into the JSON as it is."""
    return {
        "cpu": cpu_model(),
        "n_cpus": os.cpu_count(),
        "pinned": hasattr(os, "sched_setaffinity"),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "blas": blas(),
        "cmlp_simd": simd(),
        "versions": versions(dict.fromkeys(["numpy", "scipy", *distributions])),
    }


def as_text(machine):
    """The description in a few lines of Markdown."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    core = "pinned to one core" if machine["pinned"] else "not pinned to a core"
    load = machine["load_average"]
    return "\n".join(
        [
            f"- {machine['cpu']}, {machine['n_cpus']} CPUs, {core}, one thread"
            + ("" if load is None else f"; load average at the start {load:.1f}"),
            f"- {machine['system']}, Python {machine['python']}, {packages}",
            f"- BLAS of NumPy and SciPy: {machine['blas']}; cmlp runs its {machine['cmlp_simd']}"
            " engine",
        ]
    )
