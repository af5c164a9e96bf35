"""The plots of the results. No timing here; matplotlib is optional."""

COLORS = {"float32": "#1b9e77", "float64": "#7570b3"}
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


def speedup_bars(results, speedups, cpu, folder):
    """One panel per rival: how many times cmlp's time per step it takes, on a log axis.

    Parameters
    ----------
    results : list of dict
        Of `run.measure`: problem, description and dtype are read.
    speedups : dict
        Rival -> list of ratios as long as ``results``; None where there is no number.
    cpu : str
        Its name goes into the title.
    folder : Path

    Returns
    -------
    paths : list of Path
        Of the files written: speedup.png, or nothing without matplotlib.
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
        figsize=(3.4 + 3.8 * len(speedups), 1.4 + 0.62 * len(problems)),
        layout="constrained",
    )
    for axis, (rival, ratios) in zip(axes[0], speedups.items(), strict=True):
        draw_panel(axis, problems, results, ratios)
        axis.set_title(f"against {rival}", fontsize=11)
    axes[0, 0].set_yticks(
        range(len(problems)), [f"{name}\n{descriptions[name]}" for name in problems], fontsize=8
    )
    axes[0, 0].invert_yaxis()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    figure.suptitle(f"How many times faster is cmlp per training step?\n{cpu}, one thread", **LEFT)
    path = folder / "speedup.png"
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
