"""The plots of the results. No timing here; matplotlib is optional."""

from benchmarks import tables, work
from benchmarks.cases import CMLP

COLORS = {"float32": "#1b9e77", "float64": "#7570b3"}
SYSTEM_COLORS = {
    "cmlp": "#1b9e77",
    "scikit-learn": "#e6862a",
    "JAX": "#7570b3",
    "numpy": "#999999",
    "PyTorch": "#d95f5f",
    "torch.compile": "#a6761d",
    "ONNX Runtime": "#4a7fb5",
}
MARKERS = {"cmlp": "o", "scikit-learn": "s", "JAX": "^"}
BAR_HEIGHT = 0.38
LEFT = {"x": 0.01, "ha": "left", "fontsize": 12}
EMPTY = {"va": "center", "fontsize": 8, "color": "0.5"}


def pyplot():
    """matplotlib's pyplot without a display, or None, with a message, if it is not installed."""
    try:
        import matplotlib
    except ImportError:
        print("No plot: matplotlib is not installed (pip install matplotlib).")
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def of_results(record, folder):
    """All plots of one run; returns the paths of the files written."""
    paths = []
    training = record.get("training", [])
    for results, file, unit in (
        (training, "speedup.png", "training step"),
        (record.get("calls", []), "calls.png", "call"),
    ):
        rivals = [name for name in tables.systems_of(results) if name != CMLP]
        speedups = {
            rival: [tables.speedup(result, rival) for result in results] for rival in rivals
        }
        if speedups:
            cpu = record["machine"]["cpu"]
            paths += speedup_bars(results, speedups, cpu, folder / file, unit)
    if training and record["limits"]:
        paths += roofline(training, record["limits"], folder / "roofline.png")
    if record.get("growth"):
        paths += growth(record["growth"], folder / "growth.png", record["machine"]["cpu"])
    return paths


def speedup_bars(results, speedups, cpu, path, unit="training step"):
    """One panel per rival: how many times cmlp's time it takes, on a log axis.

    Parameters
    ----------
    results : list of dict
        Of `run.measure`: problem, description and dtype are read.
    speedups : dict
        Rival -> list of ratios as long as ``results``; None where there is no number.
    cpu : str
        Its name goes into the title.
    path : Path
        Of the file to write.
    unit : str
        What is timed.

    Returns
    -------
    paths : list of Path
        Of the files written: none without matplotlib.
    """
    plt = pyplot()
    if plt is None:
        return []
    problems = list(dict.fromkeys(result["problem"] for result in results))
    descriptions = {result["problem"]: result["description"] for result in results}
    figure, axes = plt.subplots(
        1,
        len(speedups),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(3.4 + 2.6 * len(speedups), 1.4 + 0.62 * len(problems)),
        layout="constrained",
    )
    for axis, (rival, ratios) in zip(axes[0], speedups.items(), strict=True):
        draw_panel(axis, problems, results, ratios)
        axis.set_title(f"against {rival}", fontsize=11)
    axes[0, 0].set_yticks(
        range(len(problems)), [f"{name}\n{descriptions[name]}" for name in problems], fontsize=8
    )
    axes[0, 0].invert_yaxis()
    handles = {
        label: handle
        for axis in axes[0]
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=2)
    figure.suptitle(f"How many times faster is cmlp per {unit}?\n{cpu}, one thread", **LEFT)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return [path]


def draw_panel(axis, problems, results, ratios):
    """The bars of one rival: a group per problem, a bar per dtype, the number at its end."""
    dtypes = list(dict.fromkeys(result["dtype"] for result in results))
    for i, dtype in enumerate(dtypes):
        bars = [
            (problems.index(result["problem"]) + (i - (len(dtypes) - 1) / 2) * BAR_HEIGHT, ratio)
            for result, ratio in zip(results, ratios, strict=True)
            if result["dtype"] == dtype and ratio is not None
        ]
        if not bars:
            continue
        positions, values = zip(*bars, strict=True)
        # bars start at 1, "as fast": to the left of it cmlp is slower
        drawn = axis.barh(
            positions,
            [value - 1 for value in values],
            left=1,
            height=BAR_HEIGHT,
            color=COLORS[dtype],
            label=dtype,
        )
        axis.bar_label(drawn, [f"{value:.3g}x" for value in values], padding=3, fontsize=8)
    for position, problem in enumerate(problems):
        of_problem = zip(results, ratios, strict=True)
        if all(ratio is None for result, ratio in of_problem if result["problem"] == problem):
            axis.text(1.05, position, "no number", **EMPTY)
    axis.set_xscale("log")
    axis.margins(x=0.18, y=0.02)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.xaxis.set_major_formatter("{x:g}x")
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)


def roofline(results, limits, path):
    """What each training case reaches, under the limits of the core: a panel per dtype.

    Below the slopes a case that streams its weights from that level of memory cannot be; cases to
    the left of a slope's bend are bound by memory, those to the right by arithmetic.
    """
    plt = pyplot()
    if plt is None:
        return []
    dtypes = list(limits["gflops"])
    figure, axes = plt.subplots(
        1, len(dtypes), sharey=True, squeeze=False, figsize=(13, 5.6), layout="constrained"
    )
    for axis, dtype in zip(axes[0], dtypes, strict=True):
        draw_roofline(axis, tables.of_dtype(results, dtype), limits, dtype)
    figure.canvas.draw()  # the labels need to know where the points are
    for axis, dtype in zip(axes[0], dtypes, strict=True):
        label_points(axis, tables.of_dtype(results, dtype))
    axes[0, 0].set_ylabel("GFLOP/s of the products alone")
    axes[0, 0].legend(loc="lower right", fontsize=8, frameon=False)
    figure.suptitle("What a training step reaches of the core's limits", **LEFT)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return [path]


def draw_roofline(axis, results, limits, dtype):
    peak_gflops = limits["gflops"][dtype]
    span = [result["flop_per_byte"] for result in results] or [1.0]
    left, right = min(span) / 4, max(span) * 4
    for level, gb_s in limits["read_gb_s"].items():
        bend = peak_gflops / gb_s
        ends = [left, min(max(bend, left), right)]
        axis.plot(ends, [min(gb_s * x, peak_gflops) for x in ends], color="0.6", linewidth=0.9)
        axis.annotate(
            f"{level} {gb_s:.0f} GB/s",
            (left * 1.1, min(gb_s * left * 1.1, peak_gflops)),
            fontsize=7,
            color="0.4",
            va="bottom",
        )
    axis.axhline(peak_gflops, color="black", linewidth=1)
    axis.annotate(
        f"multiply-add peak, {peak_gflops:.0f} GFLOP/s ({limits['simd']})",
        (right, peak_gflops),
        fontsize=8,
        ha="right",
        va="bottom",
    )
    axis.set(xscale="log", yscale="log", title=dtype, xlim=(left, right))
    for name in MARKERS:
        points = [
            (result["flop_per_byte"], work.gflops(result, name))
            for result in results
            if work.gflops(result, name)
        ]
        axis.scatter(
            *(zip(*points, strict=True) if points else ([], [])),
            marker=MARKERS[name],
            color=SYSTEM_COLORS[name],
            s=26,
            label=name,
            zorder=3,
        )
    axis.set_xlabel("FLOP per byte of data, weights and optimizer state")
    axis.grid(color="0.93")
    axis.set_axisbelow(True)


def label_points(axis, results):
    """Name each point of cmlp, where no earlier name is; the figure must be laid out already."""
    points = [
        (result["flop_per_byte"], work.gflops(result, CMLP), result["problem"])
        for result in results
        if work.gflops(result, CMLP)
    ]
    height, width, taken = 10, 4.6, []
    for x, y, name in sorted(points):
        at_x, at_y = axis.transData.transform((x, y)) * 72 / axis.figure.dpi
        places = [(dx, dy) for dy in (0, 9, -9, 18, -18, 27, -27, 36) for dx in (6, -6)]
        boxes = [
            (at_x + dx - (width * len(name) if dx < 0 else 0), at_y + dy) for dx, dy in places
        ]
        free = [
            i
            for i, (left, bottom) in enumerate(boxes)
            if not any(
                left < other_left + other_width
                and other_left < left + width * len(name)
                and abs(bottom - other_bottom) < height - 1
                for other_left, other_bottom, other_width in taken
            )
        ]
        chosen = free[0] if free else 0
        taken.append((*boxes[chosen], width * len(name)))
        dx, dy = places[chosen]
        axis.annotate(
            name,
            (x, y),
            xytext=(dx, dy),
            textcoords="offset points",
            fontsize=7,
            ha="left" if dx > 0 else "right",
            va="center",
            arrowprops={"arrowstyle": "-", "color": "0.7", "linewidth": 0.5} if dy else None,
        )


def growth(sweeps, path, machine_name):
    """Time per step against a size: a panel per sweep, a line per system, both axes log.

    Parameters
    ----------
    sweeps : list of dict
        Of `growth.measure_all`.
    """
    plt = pyplot()
    if plt is None:
        return []
    figure, axes = plt.subplots(
        1, len(sweeps), squeeze=False, figsize=(6.3 * len(sweeps), 4.8), layout="constrained"
    )
    for axis, sweep in zip(axes[0], sweeps, strict=True):
        results = sweep["results"]
        for name in tables.systems_of(results):
            points = [(r["size"], r["us"][name]) for r in results if r["us"].get(name)]
            if not points:
                continue
            axis.plot(
                *zip(*points, strict=True),
                marker=MARKERS.get(name, "."),
                color=SYSTEM_COLORS.get(name),
                label=name,
            )
        axis.set_xscale("log", base=2)
        axis.set(yscale="log", xlabel=sweep["label"], ylabel="µs per training step")
        axis.set_title(f"{sweep['title']}, {sweep['dtype']}")
        axis.set_xticks([result["size"] for result in results])
        axis.xaxis.set_major_formatter("{x:g}")
        axis.grid(color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False)
    figure.suptitle(f"How a training step grows: {machine_name}, one core", **LEFT)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return [path]
