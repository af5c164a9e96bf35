"""What `run` recorded as blocks of Markdown, by name. No files, no timing."""

from benchmarks import machine, peak, tables, work
from benchmarks.cases import CMLP, REFERENCE

#: of the rate at the next smaller size: less is a cliff
CLIFF = 0.75


def training_block(record):
    """A line per network: cmlp's time, and how many times as long the others take."""
    results = record["training"]
    lines = {}
    for result in results:
        lines.setdefault((result["problem"], result["description"]), {})[result["dtype"]] = result
    dtypes = list(dict.fromkeys(result["dtype"] for result in results))
    others = [name for name in (REFERENCE, "numpy") if name in tables.systems_of(results)]
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
            cells.append(tables.number(result["us"].get(CMLP)))
            cells += [tables.number(tables.speedup(result, other), 2) or "-" for other in others]
            if dtype == "float32":
                best = tables.best_rival(result)
                cells.append(f"{tables.number(best[0], 2)} ({best[1]})" if best else "-")
        rows.append(cells)
    return tables.table(columns, rows, 2)


def rivals_block(record):
    """float32 training: the times of every system."""
    results = tables.of_dtype(record["training"], "float32")
    systems = tables.systems_of(results)
    rows = [
        [
            result["problem"],
            tables.number(result["mflop"]),
            *(tables.number(result["us"].get(name)) or "-" for name in systems),
        ]
        for result in results
    ]
    return tables.table(["case", "MFLOP per step", *(f"{name}, µs" for name in systems)], rows, 1)


def limits_block(record):
    """What part of the core's multiply-add peak cmlp reaches."""
    limits = record["limits"]
    rows = [
        [
            result["problem"],
            result["dtype"],
            tables.number(result["mflop"]),
            tables.number(result["flop_per_byte"]),
            tables.number(work.gflops(result, CMLP)),
            tables.percent(work.peak_fraction(result, CMLP, limits)),
            tables.percent(work.peak_fraction(result, REFERENCE, limits)),
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
    return f"{peak.as_text(limits)}\n\n{tables.table(columns, rows, 2)}"


def calls_block(record):
    """Predictions and fixed costs: the times of every system."""
    results = record["calls"]
    systems = tables.systems_of(results)
    rows = [
        [
            result["description"],
            result["dtype"],
            *(tables.number(result["us"].get(name)) or "-" for name in systems),
            *(tables.number(tables.speedup(result, name), 2) or "-" for name in systems[1:]),
        ]
        for result in results
    ]
    columns = [
        "call",
        "dtype",
        *(f"{name}, µs" for name in systems),
        *(f"vs {name}" for name in systems[1:]),
    ]
    return tables.table(columns, rows, 2)


def threads_cell(result, system):
    """Milliseconds on one core, on two, and the gain; marked where cmlp loses by the second."""
    one, two = (result["us"][cores].get(system) for cores in ("1", "2"))
    if not one or not two:
        return "-"
    mark = " **slower**" if system == CMLP and two > tables.SLOWER * one else ""
    return f"{tables.number(one / 1e3)} / {tables.number(two / 1e3)} = {one / two:.2f}{mark}"


def threads_table(results):
    """Milliseconds on one core and on two, of every system, and the gain."""
    systems = tables.systems_of([{"us": result["us"]["1"]} for result in results])
    rows = [
        [
            result["problem"],
            result["description"],
            result["dtype"],
            *(threads_cell(result, name) for name in systems),
        ]
        for result in results
    ]
    return tables.table(["case", "work", "dtype", *(f"{name}, ms" for name in systems)], rows, 3)


def threads_block(record):
    return threads_table(record["threads"])


def machine_block(record):
    return f"{machine.as_text(record['machine'])}\n{peak.as_text(record['limits'])}"


def noise_block(record):
    """How far the median of cmlp's times is above the least."""
    results = record["training"] + record["calls"]
    found = sorted(result["noise"][CMLP] for result in results if CMLP in result["noise"])
    middle, worst = (tables.percent(found[i]) for i in (len(found) // 2, -1))
    return (
        f"The median of cmlp's times is above the least by {middle} in"
        f" the middle case, {worst} in the worst."
    )


def verdicts(results):
    """One text per result: where cmlp is slower, and where its rate drops; or nothing."""
    texts, before = [], None
    for result in results:
        rate = work.gflops(result, CMLP)
        ours = result["us"].get(CMLP)
        slower = [
            name
            for name, theirs in result["us"].items()
            if name != CMLP and ours and theirs and ours > tables.SLOWER * theirs
        ]
        text = f"**slower than {', '.join(slower)}**" if slower else ""
        if before and rate and rate < CLIFF * before:
            text = f"{text} cliff: {rate / before:.0%} of the rate before".strip()
        texts.append(text)
        before = rate
    return texts


def sweep_table(label, results):
    systems = tables.systems_of(results)
    rows = [
        [
            str(result["size"]),
            *(tables.number(result["us"].get(name)) for name in systems),
            *(tables.number(tables.speedup(result, name), 2) for name in systems[1:]),
            tables.number(work.gflops(result, CMLP)),
            verdict,
        ]
        for result, verdict in zip(results, verdicts(results), strict=True)
    ]
    columns = [
        label,
        *(f"{name}, µs" for name in systems),
        *(f"vs {name}" for name in systems[1:]),
        f"{CMLP}, GFLOP/s",
        "",
    ]
    return tables.table(columns, rows, 0)


def slower_anywhere(sweeps):
    found = [verdict for sweep in sweeps for verdict in verdicts(sweep["results"])]
    return any("slower" in verdict for verdict in found)


def growth_tables(sweeps):
    """All sweeps as Markdown."""
    return "\n\n".join(
        f"{sweep['network']}, {sweep['dtype']}; time of a step by"
        f" {sweep['title']}:\n\n{sweep_table(sweep['label'], sweep['results'])}"
        for sweep in sweeps
    )


def growth_block(record):
    return growth_tables(record["growth"])


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
