"""Compares cmlp's times of two runs: ``python benchmarks/compare.py base.json head.json``.

Exit status 1 if any case became slower by more than both limits.
"""

import argparse
import json
import sys
from pathlib import Path

CMLP, REFERENCE = "cmlp", "scikit-learn"
MAX_RATIO = 1.15
MAX_EXTRA_US = 0.2  # per step: less is noise


def times(path):
    """(problem, dtype) -> microseconds per step, by system."""
    results = json.loads(path.read_text())["results"]
    return {(result["problem"], result["dtype"]): result["us_per_step"] for result in results}


def slower(base, head):
    """Whether microseconds per step grew by more than both limits."""
    return head > MAX_RATIO * base and head - base > MAX_EXTRA_US


def ratio(base, head, system):
    """Time of the head over time of the base, or None if one has no number."""
    before, after = base.get(system), head.get(system)
    return after / before if before and after else None


def compare(base, head):
    """Print every case that both have; return the names of those that became slower.

    The ratio of scikit-learn, which did not change, tells how much of it is the machine.
    """
    print(f"| problem | dtype | base us/step | head us/step | ratio | ratio of {REFERENCE} | |")
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    failed = []
    for case in base:
        if case not in head or ratio(base[case], head[case], CMLP) is None:
            continue
        before, after = base[case][CMLP], head[case][CMLP]
        verdict = ""
        if slower(before, after):
            verdict = "**slower**"
            failed.append(" ".join(case))
        reference = ratio(base[case], head[case], REFERENCE)
        print(
            f"| {case[0]} | {case[1]} | {before:.1f} | {after:.1f} | {after / before:.2f}"
            f" | {'' if reference is None else f'{reference:.2f}'} | {verdict} |"
        )
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=Path)
    parser.add_argument("head", type=Path)
    arguments = parser.parse_args()
    failed = compare(times(arguments.base), times(arguments.head))
    if failed:
        print(f"\nSlower by more than {MAX_RATIO - 1:.0%}: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
