"""Times all systems side by side: ``python -m benchmarks.run [--quick]``.

Prints Markdown tables of training, calls, threads and growth; writes JSON and plots. Exit status 1
if the final losses differ: times of systems that do not do the same work say nothing.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks import (
    blocks,
    cases,
    growth,
    machine,
    peak,
    plots,
    problems,
    runners,
    tables,
    threads,
    timing,
    work,
)
from benchmarks.cases import CMLP, REFERENCE

DTYPES = ("float32", "float64")
#: turns, and seconds of each turn of a system
TURNS, QUICK_TURNS, SECONDS, QUICK_SECONDS = 7, 2, 0.1, 0.05
QUICK_SYSTEMS = (CMLP, REFERENCE, "numpy", "JAX", "ONNX Runtime")
QUICK_THREADS = ("mnist-shape", "predict-784-4096", "predict-wide-4096")
PARTS = ("training", "calls", "threads", "growth")


def say(text):
    print(text, file=sys.stderr, flush=True)


def measure(name, dtype, adapters, turns, seconds):
    """Time one case on all systems, in this process.

    Returns
    -------
    result : dict
        The record of the case with ``us`` and ``noise`` by system, and for training ``loss``
        and ``same_loss``. A time lost in noise is None.
    """
    case = cases.make(name, dtype, adapters)
    pairs = timing.take_turns(case.actions, turns, seconds)
    result = {**case.record(), **timing.summary(pairs, case.n_units)}
    if case.kind == "training":
        result |= cases.losses(case, problems.PROBLEMS[name], dtype, adapters)
    return result


def header(systems, with_losses):
    rivals = [name for name in systems if name != CMLP]
    columns = [
        "case",
        "what",
        "dtype",
        *(f"{name} us" for name in systems),
        *(f"{name} / {CMLP}" for name in rivals),
        "noise",
    ]
    if with_losses:
        columns += ["MFLOP", "of peak", *(f"loss {name}" for name in systems)]
    return tables.table(columns, [], 3)


def line(result, systems, limits):
    """One row of the table that is printed while the benchmark runs."""
    cells = [
        result["problem"],
        result["description"],
        result["dtype"],
        *(tables.number(result["us"].get(name)) for name in systems),
        *(tables.number(tables.speedup(result, name), 2) for name in systems if name != CMLP),
        tables.percent(result["noise"].get(CMLP)),
    ]
    if "loss" in result:
        cells += [
            tables.number(result["mflop"]),
            tables.percent(work.peak_fraction(result, CMLP, limits)),
            *(loss_cell(result, name) for name in systems),
        ]
    return tables.row(cells)


def loss_cell(result, system):
    if system not in result["loss"]:
        return ""
    mark = "" if result["same_loss"][system] else " **differs**"
    return f"{result['loss'][system]:.7g}{mark}"


def taking_part(adapters, part):
    """The systems that have cases in this part, as columns of its table."""
    wanted = {"training": ("prepare",), "calls": ("predictor", "estimators")}[part]
    return [name for name, of in adapters.items() if any(hasattr(of, what) for what in wanted)]


def print_cases(part, names, dtypes, adapters, arguments, limits):
    """Time the cases and print a row for each; returns their results."""
    systems = taking_part(adapters, part)
    results = []
    for name in names:
        turns = cases.turns_of(name, arguments.turns)
        for dtype in dtypes:
            chosen = dict(adapters)
            if arguments.quick and dtype == "float64":
                chosen.pop("JAX", None)  # compiles for a second or two
            try:
                results.append(measure(name, dtype, chosen, turns, arguments.seconds))
            except problems.DataMissing as missing:
                say(f"{name} is left out: {missing}")
                break
            if len(results) == 1:
                print(f"\n{header(systems, 'loss' in results[0])}")
            print(line(results[-1], systems, limits), flush=True)
    return results


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of all: under two minutes")
    parser.add_argument(
        "--parts",
        type=lambda names: names.split(","),
        help=f"separated by commas, of: {', '.join(PARTS)}; default: all, growth not if quick",
    )
    parser.add_argument(
        "--problems",
        type=lambda names: names.split(","),
        help=f"names, separated by commas, of: {', '.join(cases.NAMES)}; default: all",
    )
    parser.add_argument(
        "--systems",
        type=lambda names: names.split(","),
        help="names as in the table, separated by commas; default: all that are installed",
    )
    parser.add_argument("--dtype", choices=DTYPES, action="append", help="default: both")
    parser.add_argument("--turns", type=int, help=f"of each system; default: {TURNS}")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help=f"holds mnist/mnist.npz; default: the environment's {problems.DATA_VARIABLE}",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=tables.RESULTS,
        metavar="DIR",
        help="where results.json and the plots go; default: benchmarks/results",
    )
    arguments = parser.parse_args()
    if arguments.data:
        os.environ[problems.DATA_VARIABLE] = arguments.data
    unknown = set(arguments.problems or ()) - set(cases.NAMES)
    arguments.parts = arguments.parts or (PARTS[:-1] if arguments.quick else PARTS)
    unknown |= set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if arguments.systems is None and arguments.quick:
        arguments.systems = QUICK_SYSTEMS
    arguments.seconds = QUICK_SECONDS if arguments.quick else SECONDS
    arguments.turns = arguments.turns or (QUICK_TURNS if arguments.quick else TURNS)
    return arguments


def chosen_names(arguments):
    """Part -> names of its cases."""
    training = [n for n, p in problems.PROBLEMS.items() if not (arguments.quick and p.slow)]
    names = {
        "training": training,
        "calls": cases.CALLS,
        "threads": QUICK_THREADS if arguments.quick else threads.NAMES,
    }
    named = arguments.problems
    return {
        part: [n for n in of if named is None or n in named] if part in arguments.parts else []
        for part, of in names.items()
    }


def measure_growth(adapters, arguments):
    """The sweeps of `growth`, in the dtype in which they have rivals."""
    if arguments.problems or "growth" not in arguments.parts:
        return []
    chosen = {name: of for name, of in adapters.items() if name in growth.SYSTEMS}
    turns = growth.QUICK_TURNS if arguments.quick else growth.TURNS
    return growth.measure_all(
        chosen, DTYPES[0], turns, arguments.seconds, say, quick=arguments.quick
    )


def main():
    arguments = parse_arguments()
    cpus = machine.available_cpus()
    machine.pin()
    adapters = runners.installed(say, arguments.systems)
    dtypes = arguments.dtype or DTYPES
    limits = peak.measure(say)
    record = {
        "machine": machine.describe(adapter.DISTRIBUTION for adapter in adapters.values()),
        "limits": limits,
        "turns": arguments.turns,
    }
    print(blocks.machine_block(record), flush=True)
    names = chosen_names(arguments)
    for part in ("training", "calls"):
        record[part] = print_cases(part, names[part], dtypes, adapters, arguments, limits)
    record["threads"] = list(
        threads.measure_all(
            names["threads"],
            dtypes[:1] if arguments.quick else dtypes,
            cpus,
            arguments.turns,
            arguments.seconds,
            arguments.systems,
            say,
        )
    )
    if record["threads"]:
        print(f"\nOn one core and on two:\n\n{blocks.threads_block(record)}", flush=True)
    record["growth"] = measure_growth(adapters, arguments)
    if record["growth"]:
        print(f"\n{blocks.growth_block(record)}", flush=True)

    arguments.output.mkdir(parents=True, exist_ok=True)
    json_path = arguments.output / "results.json"
    json_path.write_text(json.dumps(record, indent=1) + "\n")
    written = [json_path, *plots.of_results(record, arguments.output)]
    print(f"\nWritten: {', '.join(map(str, written))}")
    same = [all(result["same_loss"].values()) for result in record["training"]]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
