"""Compares cmlp's times of two commits, or of two runs that were recorded:

``python -m benchmarks.compare main HEAD`` builds both and times them in turns on one core;
``python -m benchmarks.compare main`` takes what is installed here in place of the second;
``python -m benchmarks.compare base.json head.json`` reads what ``run.py`` wrote.

Exit status 1 if any case became slower by more than both limits.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmarks import cases, machine, problems, tables, timing
from benchmarks.cases import CMLP, REFERENCE
from benchmarks.worker import ROOT, Worker
from cmlp._core import variant

MAX_RATIO = 1.15
MAX_EXTRA_US = 0.2  # per step or call: less is noise
DTYPES = ("float32", "float64")
TURNS, SECONDS = 9, 0.1
#: a case that seems slower is timed again so many times before it counts
SECOND_LOOKS = 2


def times(path):
    """(case, dtype) -> microseconds by system."""
    record = json.loads(path.read_text())
    results = [*record["training"], *record["calls"]]
    return {(result["problem"], result["dtype"]): result["us"] for result in results}


def slower(base, head, max_ratio=MAX_RATIO):
    """Whether microseconds grew by more than both limits."""
    return head > max_ratio * base and head - base > MAX_EXTRA_US


def ratio(base, head, system):
    """Time of the head over time of the base, or None if one has no number."""
    before, after = base.get(system), head.get(system)
    return after / before if before and after else None


def print_header():
    columns = ["case", "dtype", "base us", "head us", "ratio", f"ratio of {REFERENCE}", ""]
    print(tables.table(columns, [], 2), flush=True)


def print_case(case, base, head, max_ratio=MAX_RATIO):
    """Print one case; returns its name if it became slower, else None.

    The ratio of scikit-learn, which did not change, tells how much of it is the machine.
    """
    before, after = base[CMLP], head[CMLP]
    failed = slower(before, after, max_ratio)
    reference = ratio(base, head, REFERENCE)
    cells = [
        *case,
        tables.number(before),
        tables.number(after),
        f"{after / before:.2f}",
        "" if reference is None else f"{reference:.2f}",
        "**slower**" if failed else "",
    ]
    print(tables.row(cells), flush=True)
    return " ".join(case) if failed else None


def compare(base, head, max_ratio=MAX_RATIO):
    """Print every case that both have; return the names of those that became slower."""
    print_header()
    shared = [case for case in base if case in head and ratio(base[case], head[case], CMLP)]
    names = [print_case(case, base[case], head[case], max_ratio) for case in shared]
    return [name for name in names if name]


def git(*arguments):
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def built(commit, folder):
    """cmlp of a commit, installed into a folder of its own: a path for PYTHONPATH.

    Only the instruction set that runs here is built, and nothing that only tests call.
    """
    source, target = folder / "source", folder / "installed"
    git("worktree", "add", "--detach", str(source), commit)
    try:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*command, "--target", str(target), str(source)],
            env={"CMLP_VARIANTS": variant, **os.environ, "CMLP_TESTING": "0"},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{commit} cannot be built:\n{done.stderr[-4000:]}")
        yield target
    finally:
        git("worktree", "remove", "--force", str(source))


def time_in_turns(name, dtype, workers, turns, seconds):
    """Time cmlp in one case in two workers.

    Returns
    -------
    us : list
        Microseconds of each worker; None if lost in noise.
    paired : float or None
        The median over turns of the second's time over the first's: what disturbs a turn tends
        to disturb both of its halves, while the least times may be of different moments.
    """
    n_units = [worker.prepare(name, dtype)["n_units"] for worker in workers]
    rounds = []
    for i in range(turns):
        turn = {}
        for k in (0, 1) if i % 2 == 0 else (1, 0):
            turn[k] = workers[k].turn(CMLP, seconds)
        rounds.append((turn[0], turn[1]))
    us = [
        timing.microseconds([pair for of in turns_of for pair in of], n)
        for turns_of, n in zip(zip(*rounds, strict=True), n_units, strict=True)
    ]
    by_turn = [
        [timing.microseconds(of, n) for of, n in zip(turn, n_units, strict=True)]
        for turn in rounds
    ]
    ratios = [head / base for base, head in by_turn if base and head]
    return us, statistics.median(ratios) if ratios else None


def look(name, dtype, workers, turns, seconds, max_ratio=MAX_RATIO):
    """Time one case, again if it seems slower: microseconds of both workers, or None.

    Only what is slower by its least times and by its pairs, every time, is slower.
    """
    for _ in range(1 + SECOND_LOOKS):
        us, paired = time_in_turns(name, dtype, workers, turns, seconds)
        if all(us) and not (slower(*us, max_ratio) and paired > max_ratio):
            if slower(*us, max_ratio):  # the pairs know better
                us[1] = us[0] * paired
            return us
    return us if all(us) else None


def compare_commits(base, head, names, dtypes, turns, max_ratio=MAX_RATIO, seconds=SECONDS):
    """Build both, time them in turns, print every case; return the names of the slower ones.

    Where head is None, it is the cmlp that is installed.
    """
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "base", Path(folder) / "head"]
        for path in paths:
            path.mkdir()
        installed = nullcontext() if head is None else built(head, paths[1])
        with built(base, paths[0]) as old, installed as new:
            workers = [Worker(1, machine.available_cpus(), path, [CMLP]) for path in (old, new)]
            with workers[0], workers[1]:
                for worker, path in zip(workers, (old, new), strict=True):
                    if path and not worker.where().resolve().is_relative_to(path.resolve()):
                        raise SystemExit(f"{worker.where()} is not the build in {path}")
                print_header()
                for name in names:
                    for dtype in dtypes:
                        us = look(name, dtype, workers, turns, seconds, max_ratio)
                        if us:
                            both = [{CMLP: value} for value in us]
                            failed.append(print_case((name, dtype), *both, max_ratio))
    return [name for name in failed if name]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="a commit, or a results.json")
    parser.add_argument("head", nargs="?", help="the same; default: what is installed")
    parser.add_argument(
        "--problems",
        type=lambda names: names.split(","),
        help="of two commits; default: all but the slow and the real ones",
    )
    parser.add_argument("--dtype", choices=DTYPES, action="append", help="default: both")
    parser.add_argument("--turns", type=int, default=TURNS, help=f"default: {TURNS}")
    parser.add_argument(
        "--max-ratio",
        type=float,
        default=MAX_RATIO,
        help=f"of times, beyond which a case is slower; default: {MAX_RATIO}",
    )
    arguments = parser.parse_args()
    if arguments.base.endswith(".json"):
        if arguments.head is None:
            parser.error("a results.json is compared with another")
        recorded = [times(Path(name)) for name in (arguments.base, arguments.head)]
        failed = compare(*recorded, arguments.max_ratio)
    else:
        quick = [name for name, problem in problems.PROBLEMS.items() if not problem.slow]
        failed = compare_commits(
            arguments.base,
            arguments.head,
            arguments.problems or [*quick, *cases.CALLS],
            arguments.dtype or DTYPES,
            arguments.turns,
            arguments.max_ratio,
        )
    if failed:
        print(f"\nSlower by more than {arguments.max_ratio - 1:.0%}: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
