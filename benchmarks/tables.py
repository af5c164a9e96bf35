"""Results as Markdown tables: numbers, rows, ratios. No timing, no text around them: `blocks`."""

from pathlib import Path

from benchmarks.cases import CMLP

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
