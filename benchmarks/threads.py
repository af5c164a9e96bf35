"""Two threads against one: the same cases in a process on two cores and in one on one core.

``python -m benchmarks.threads`` prints the table; ``run.py`` includes it.
"""

from contextlib import ExitStack

from benchmarks import blocks, cases, timing
from benchmarks.machine import available_cpus
from benchmarks.worker import Worker

N_CORES = 2
NAMES = [
    "wide",
    "mnist-shape",
    "default-shape",
    "predict-4096",
    "predict-784-4096",
    "predict-wide-4096",
    "grid-search",
]


#: a few steps of a network that takes long say as much as an epoch of them
SAMPLES = {"wide": 2048}
SLOW_TURNS = 2


def measure(name, dtype, workers, turns, seconds):
    """Time one case in all workers, which take turns.

    Parameters
    ----------
    workers : dict
        Number of cores, as a string, -> `Worker`.

    Returns
    -------
    result : dict
        The record of the case, and ``us``: number of cores -> system -> microseconds.
    """
    prepared = {
        cores: worker.prepare(name, dtype, SAMPLES.get(name)) for cores, worker in workers.items()
    }
    first = next(iter(prepared.values()))
    pairs = {cores: {system: [] for system in first["systems"]} for cores in workers}
    for _ in range(turns):
        for system in first["systems"]:
            for cores, worker in workers.items():
                pairs[cores][system] += worker.turn(system, seconds)
    return {
        **first["record"],
        "us": {cores: timing.summary(of, first["n_units"])["us"] for cores, of in pairs.items()},
    }


def measure_all(names, dtypes, cpus, turns, seconds, systems=None, report=print):
    """The results of `measure` for all names and dtypes; none where there are no two cores."""
    if cpus is not None and len(cpus) < N_CORES:
        report(f"two threads are left out: {len(cpus)} core")
        return
    with ExitStack() as stack:
        workers = {
            str(n): stack.enter_context(Worker(n, cpus, systems=systems)) for n in (1, N_CORES)
        }
        for name in names:
            for dtype in dtypes:
                report(f"{name} {dtype} on one core and on {N_CORES}")
                chosen = turns if name in SAMPLES else cases.turns_of(name, turns, SLOW_TURNS)
                yield measure(name, dtype, workers, chosen, seconds)


def main():
    results = list(
        measure_all(NAMES, ("float32", "float64"), available_cpus(), turns=5, seconds=0.2)
    )
    print(blocks.threads_table(results))


if __name__ == "__main__":
    main()
