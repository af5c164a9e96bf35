"""How the time of a training step grows with the width and with the batch:
``python -m benchmarks.growth`` prints tables, marks where cmlp is slower than another system or
falls off a cliff, and writes growth.json and growth.png. Exit status 1 if it is slower anywhere.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from benchmarks import blocks, cases, machine, plots, runners, tables, timing
from benchmarks.cases import CMLP, REFERENCE
from benchmarks.problems import Problem, synthetic_classes

SYSTEMS = (CMLP, REFERENCE, "JAX")
WIDTHS = tuple(2**i for i in range(4, 12))
BATCHES = tuple(2**i for i in range(13))
N_FEATURES, N_CLASSES, BATCH, WIDTH = 64, 10, 200, 100
TURNS, SECONDS = 5, 0.1
QUICK_TURNS, QUICK_SECONDS, QUICK_STRIDE = 2, 0.02, 3


def problem(width, batch_size):
    """One hidden layer on enough rows for some steps, and enough steps for the clock."""
    n_steps = max(2, min(1000, 20000 // batch_size))
    if width > 256:
        n_steps = min(n_steps, 10)
    data = partial(synthetic_classes, n_steps * batch_size, N_FEATURES, N_CLASSES)
    parameters = {"hidden_layer_sizes": (width,)}
    name = f"width-{width}-batch-{batch_size}"
    return Problem(name, data, "classifier", batch_size, (1, 3), parameters)


#: title -> (what grows, sizes, problem of a size)
SWEEPS = {
    f"width, batch {BATCH}": ("width", WIDTHS, lambda size: problem(size, BATCH)),
    f"batch, width {WIDTH}": ("batch", BATCHES, lambda size: problem(WIDTH, size)),
}


def measure(size, sized_problem, dtype, adapters, turns, seconds):
    case = cases.training_case(sized_problem.load(dtype), adapters)
    pairs = timing.take_turns(case.actions, turns, seconds)
    return {"size": size, **case.record(), **timing.summary(pairs, case.n_units)}


def measure_all(adapters, dtype, turns, seconds, report=print, quick=False):
    """All sweeps: a list of dicts with title, label, dtype and results; if quick, of few sizes."""
    sweeps = []
    for title, (label, sizes, sized_problem) in SWEEPS.items():
        results = []
        for size in sizes[::QUICK_STRIDE] if quick else sizes:
            report(f"{label} {size}")
            results.append(measure(size, sized_problem(size), dtype, adapters, turns, seconds))
        sweeps.append(
            {
                "title": title,
                "label": label,
                "network": f"{N_FEATURES}-width-{N_CLASSES} relu, Adam",
                "dtype": dtype,
                "results": results,
            }
        )
    return sweeps


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--quick", action="store_true", help="few sizes: under a minute")
    parser.add_argument("--turns", type=int, help=f"of each system; default: {TURNS}")
    parser.add_argument("--output", type=Path, default=tables.RESULTS, metavar="DIR")
    parser.add_argument(
        "--systems", type=lambda names: names.split(","), default=SYSTEMS, metavar="NAMES"
    )
    arguments = parser.parse_args()
    machine.pin()
    adapters = runners.installed(say, tuple(arguments.systems))
    description = machine.describe(adapter.DISTRIBUTION for adapter in adapters.values())
    print(machine.as_text(description), flush=True)
    turns, seconds = (QUICK_TURNS, QUICK_SECONDS) if arguments.quick else (TURNS, SECONDS)
    sweeps = measure_all(
        adapters, arguments.dtype, arguments.turns or turns, seconds, say, arguments.quick
    )
    print(f"\n{blocks.growth_tables(sweeps)}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    json_path = arguments.output / "growth.json"
    json_path.write_text(json.dumps({"machine": description, "growth": sweeps}, indent=1) + "\n")
    plot_path = arguments.output / "growth.png"
    written = [json_path, *plots.growth(sweeps, plot_path, description["cpu"])]
    print(f"\nWritten: {', '.join(map(str, written))}")
    return 1 if blocks.slower_anywhere(sweeps) else 0


if __name__ == "__main__":
    sys.exit(main())
