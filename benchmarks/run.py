"""Times whole fits of all systems side by side: ``python benchmarks/run.py [--quick]``.

Prints a Markdown table and writes JSON and a plot. Exit status 1 if the final losses differ: times
of systems that do not do the same work say nothing.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import machine, plots, runners
from benchmarks.problems import PROBLEMS

CMLP, REFERENCE = "cmlp", "scikit-learn"
DTYPES = ("float32", "float64")
#: largest relative difference of the final loss from the reference's
LOSS_TOLERANCE = {"float32": 1e-2, "float64": 1e-6}
REPEATS, QUICK_REPEATS = 7, 3


def seconds_and_losses(runs, n_epochs, repeats):
    """The least seconds of each system for each number of epochs, and its loss after the most.

    The systems take turns, so that a disturbance of the machine hits them all.
    """
    seconds = {name: dict.fromkeys(n_epochs, np.inf) for name in runs}
    losses = {}
    for _ in range(repeats):
        for name, run in runs.items():
            for n in n_epochs:
                elapsed, losses[name] = run.fit(n)
                seconds[name][n] = min(seconds[name][n], elapsed)
    return seconds, losses


def measure(problem, adapters, repeats):
    """Time one loaded problem on all systems.

    Returns
    -------
    result : dict
        With the microseconds per step, the final loss and whether it is the reference's, each by
        system. A time lost in noise is None.
    """
    runs = {name: adapter.prepare(problem) for name, adapter in adapters.items()}
    runs = {name: run for name, run in runs.items() if run is not None}
    few, many = problem.epochs
    seconds, losses = seconds_and_losses(runs, (few, many), repeats)
    n_steps = problem.steps(many) - problem.steps(few)
    us = {name: 1e6 * (of[many] - of[few]) / n_steps for name, of in seconds.items()}
    dtype = str(problem.dtype)
    return {
        "problem": problem.name,
        "description": problem.description,
        "dtype": dtype,
        "steps": n_steps,
        "us_per_step": {name: value if value > 0 else None for name, value in us.items()},
        "loss": losses,
        "same_loss": {
            name: bool(np.isclose(loss, losses[REFERENCE], rtol=LOSS_TOLERANCE[dtype], atol=0))
            for name, loss in losses.items()
        },
    }


def speedup(result, system):
    """Time of a system over time of cmlp, or None."""
    theirs, ours = (result["us_per_step"].get(name) for name in (system, CMLP))
    return theirs / ours if theirs and ours else None


def number(value, form):
    return "" if value is None else format(value, form)


def table_header(systems):
    rivals = [name for name in systems if name != CMLP]
    columns = [
        "problem",
        "network",
        "dtype",
        *(f"{name} us/step" for name in systems),
        *(f"{name} / {CMLP}" for name in rivals),
        *(f"loss {name}" for name in systems),
    ]
    rules = ["---"] * 3 + ["---:"] * (len(columns) - 3)
    return f"{table_row(columns)}\n{table_row(rules)}"


def table_row(cells):
    return f"| {' | '.join(cells)} |"


def result_row(result, systems):
    rivals = [name for name in systems if name != CMLP]
    loss, same = result["loss"], result["same_loss"]
    return table_row(
        [
            result["problem"],
            result["description"],
            result["dtype"],
            *(number(result["us_per_step"].get(name), ".1f") for name in systems),
            *(number(speedup(result, name), ".1f") for name in rivals),
            *(
                number(loss.get(name), ".7g") + ("" if same.get(name, True) else " **differs**")
                for name in systems
            ),
        ]
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats: under two minutes")
    parser.add_argument(
        "--problems",
        type=lambda names: names.split(","),
        help=f"names, separated by commas, of: {', '.join(PROBLEMS)}; default: all",
    )
    parser.add_argument("--dtype", choices=DTYPES, action="append", help="default: both")
    parser.add_argument("--repeats", type=int, help=f"default: {REPEATS}")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent / "results",
        metavar="DIR",
        help="where results.json and speedup.png go; default: benchmarks/results",
    )
    arguments = parser.parse_args()
    if arguments.problems is None:
        arguments.problems = [n for n, p in PROBLEMS.items() if not (arguments.quick and p.slow)]
    unknown = set(arguments.problems) - set(PROBLEMS)
    if unknown:
        parser.error(f"unknown problems: {', '.join(sorted(unknown))}")
    arguments.repeats = arguments.repeats or (QUICK_REPEATS if arguments.quick else REPEATS)
    return arguments


def main():
    arguments = parse_arguments()
    machine.pin_to_one_core()
    adapters = runners.installed(report=lambda text: print(text, file=sys.stderr))
    systems = list(adapters)
    description = machine.describe(systems)
    print(f"{machine.as_text(description)}\n\n{table_header(systems)}", flush=True)
    results = []
    for name in arguments.problems:
        for dtype in arguments.dtype or DTYPES:
            problem = PROBLEMS[name].load(dtype)
            repeats = min(arguments.repeats, QUICK_REPEATS) if problem.slow else arguments.repeats
            results.append(measure(problem, adapters, repeats))
            print(result_row(results[-1], systems), flush=True)

    arguments.output.mkdir(parents=True, exist_ok=True)
    record = {"machine": description, "repeats": arguments.repeats, "results": results}
    json_path = arguments.output / "results.json"
    json_path.write_text(json.dumps(record, indent=1) + "\n")
    rivals = [system for system in systems if system != CMLP]
    speedups = {rival: [speedup(result, rival) for result in results] for rival in rivals}
    plotted = plots.speedup_bars(results, speedups, description["cpu"], arguments.output)
    written = [json_path, *plotted]
    print(f"\nWritten: {', '.join(map(str, written))}")
    return 0 if all(all(result["same_loss"].values()) for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
