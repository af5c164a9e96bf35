"""Tables of the results, and the files that quote them: ``python benchmarks/report.py FILE ...``.

Whatever stands in a Markdown file between ``<!-- benchmark:NAME -->`` and
``<!-- /benchmark:NAME -->`` is replaced by the block of that name, so that no number is typed;
blocks of parts that were not measured are left alone.
With ``--check`` nothing is written, and the exit status is 1 if something would be.
"""

import argparse
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import machine, peak, work
from benchmarks.cases import CMLP, REFERENCE

BLOCK = re.compile(
    r"(?P<begin><!-- benchmark:(?P<name>[\w-]+) -->\n).*?(?P<end><!-- /benchmark:(?P=name) -->)",
    re.DOTALL,
)
#: of an own arithmetic, and faster than scikit-learn's: cmlp has to beat the best of them
RIVALS = ("PyTorch", "torch.compile", "JAX")
#: of another time: less than that much longer is noise
SLOWER = 1.02
RESULTS = Path(__file__).parent / "results"


def table(columns, rows, n_text):
    """Markdown, the first ``n_text`` columns as text, the others as numbers."""
    rules = ["---"] * n_text + ["---:"] * (len(columns) - n_text)
    return "\n".join(row(cells) for cells in (columns, rules, *rows))


def row(cells):
    return f"| {' | '.join(cells)} |"


def number(value, digits=3):
    """With so many significant digits, thousands separated; nothing for None."""
    if value is None:
        return ""
    if value >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}".rstrip(".")


def percent(value):
    return "" if value is None else f"{value:.0%}"


def speedup(result, system):
    """Time of a system over time of cmlp, or None."""
    theirs, ours = (result["us"].get(name) for name in (system, CMLP))
    return theirs / ours if theirs and ours else None


def best_rival(result):
    """(ratio, system) of the fastest of RIVALS, or None."""
    ratios = [(speedup(result, name), name) for name in RIVALS]
    return min((pair for pair in ratios if pair[0]), default=None)


def of_dtype(results, dtype):
    return [result for result in results if result["dtype"] == dtype]


def systems_of(results):
    """All systems that have a number, cmlp first."""
    found = dict.fromkeys(name for result in results for name in result["us"])
    return sorted(found, key=lambda name: name != CMLP)


def training_block(record):
    """A line per network: cmlp's time, and how many times as long the others take."""
    results = record["training"]
    lines = {}
    for result in results:
        lines.setdefault((result["problem"], result["description"]), {})[result["dtype"]] = result
    dtypes = list(dict.fromkeys(result["dtype"] for result in results))
    others = [name for name in (REFERENCE, "numpy") if name in systems_of(results)]
    columns = ["case", "network"]
    for dtype in dtypes:
        columns += [f"{dtype}: µs per step", *(f"vs {name}" for name in others)]
        if dtype == "float32":
            columns.append("vs the best of PyTorch, torch.compile and JAX")
    rows = []
    for (name, description), by_dtype in lines.items():
        cells = [name, description]
        for dtype in dtypes:
            result = by_dtype.get(dtype, {"us": {}})
            cells.append(number(result["us"].get(CMLP)))
            cells += [number(speedup(result, other), 2) or "-" for other in others]
            if dtype == "float32":
                best = best_rival(result)
                cells.append(f"{number(best[0], 2)} ({best[1]})" if best else "-")
        rows.append(cells)
    return table(columns, rows, 2)


def rivals_block(record):
    """float32 training: the times of every system."""
    results = of_dtype(record["training"], "float32")
    systems = systems_of(results)
    rows = [
        [
            result["problem"],
            number(result["mflop"]),
            *(number(result["us"].get(name)) or "-" for name in systems),
        ]
        for result in results
    ]
    return table(["case", "MFLOP per step", *(f"{name}, µs" for name in systems)], rows, 1)


def limits_block(record):
    """What part of the core's multiply-add peak cmlp reaches."""
    limits = record["limits"]
    rows = [
        [
            result["problem"],
            result["dtype"],
            number(result["mflop"]),
            number(result["flop_per_byte"]),
            number(work.gflops(result, CMLP)),
            percent(work.peak_fraction(result, CMLP, limits)),
            percent(work.peak_fraction(result, REFERENCE, limits)),
        ]
        for result in record["training"]
    ]
    columns = [
        "case",
        "dtype",
        "MFLOP per step",
        "FLOP per byte",
        "GFLOP/s",
        "of the peak",
        f"{REFERENCE} of the peak",
    ]
    return f"{peak.as_text(limits)}\n\n{table(columns, rows, 2)}"


def calls_block(record):
    """Predictions and fixed costs: the times of every system."""
    results = record["calls"]
    systems = systems_of(results)
    rows = [
        [
            result["description"],
            result["dtype"],
            *(number(result["us"].get(name)) or "-" for name in systems),
            *(number(speedup(result, name), 2) or "-" for name in systems[1:]),
        ]
        for result in results
    ]
    columns = [
        "call",
        "dtype",
        *(f"{name}, µs" for name in systems),
        *(f"vs {name}" for name in systems[1:]),
    ]
    return table(columns, rows, 2)


def threads_cell(result, system):
    """Milliseconds on one core, on two, and the gain; marked where cmlp loses by the second."""
    one, two = (result["us"][cores].get(system) for cores in ("1", "2"))
    if not one or not two:
        return "-"
    mark = " **slower**" if system == CMLP and two > SLOWER * one else ""
    return f"{number(one / 1e3)} / {number(two / 1e3)} = {one / two:.2f}{mark}"


def threads_table(results):
    """Milliseconds on one core and on two, of every system, and the gain."""
    systems = systems_of([{"us": result["us"]["1"]} for result in results])
    rows = [
        [
            result["problem"],
            result["description"],
            result["dtype"],
            *(threads_cell(result, name) for name in systems),
        ]
        for result in results
    ]
    return table(["case", "work", "dtype", *(f"{name}, ms" for name in systems)], rows, 3)


def threads_block(record):
    return threads_table(record["threads"])


def machine_block(record):
    return f"{machine.as_text(record['machine'])}\n{peak.as_text(record['limits'])}"


def noise_block(record):
    """How far the median of cmlp's times is above the least."""
    results = record["training"] + record["calls"]
    found = sorted(result["noise"][CMLP] for result in results if CMLP in result["noise"])
    return (
        f"The median of cmlp's times is above the least by {percent(found[len(found) // 2])} in"
        f" the middle case, {percent(found[-1])} in the worst."
    )


def growth_block(record):
    from benchmarks import growth

    return growth.tables(record["growth"])


#: name -> the text of the block, made of what run.py recorded
BLOCKS = {
    "machine": machine_block,
    "training": training_block,
    "rivals": rivals_block,
    "limits": limits_block,
    "calls": calls_block,
    "threads": threads_block,
    "noise": noise_block,
    "growth": growth_block,
}
#: name -> what it is made of; without it the block in a file stays as it is
SOURCES = {"rivals": ["training"], "limits": ["limits", "training"], "noise": ["training"]}


def fill(text, blocks):
    """The text with every marked block replaced.

    Parameters
    ----------
    blocks : callable
        Name -> text, or None: the block is left as it is.
    """

    def filled(match):
        block = blocks(match["name"])
        return match[0] if block is None else f"{match['begin']}{block}\n{match['end']}"

    return BLOCK.sub(filled, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="Markdown files with marked blocks")
    parser.add_argument("--results", type=Path, default=RESULTS / "results.json", metavar="FILE")
    parser.add_argument("--check", action="store_true", help="only say what would change")
    parser.add_argument(
        "--plots", type=Path, metavar="DIR", help="draw the plots of the results there"
    )
    arguments = parser.parse_args()
    record = json.loads(arguments.results.read_text())

    def block(name):
        if name not in BLOCKS:
            parser.error(f"unknown block {name!r}; there are: {', '.join(BLOCKS)}")
        if not all(record.get(source) for source in SOURCES.get(name, [name])):
            return None
        return BLOCKS[name](record)

    stale = False
    for path in arguments.files:
        before = path.read_text(encoding="utf-8")
        after = fill(before, block)
        if after == before:
            continue
        stale = True
        print(f"{path}: {'out of date' if arguments.check else 'filled'}")
        if not arguments.check:
            path.write_text(after, encoding="utf-8")
    if arguments.plots:
        from benchmarks import plots

        print(f"drawn: {', '.join(map(str, plots.of_results(record, arguments.plots)))}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
