"""Files that quote the results: ``python -m benchmarks.report FILE ...``.

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

from benchmarks import plots, tables
from benchmarks.blocks import BLOCKS, SOURCES

BLOCK = re.compile(
    r"(?P<begin><!-- benchmark:(?P<name>[\w-]+) -->\n).*?(?P<end><!-- /benchmark:(?P=name) -->)",
    re.DOTALL,
)


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
    parser.add_argument(
        "--results", type=Path, default=tables.RESULTS / "results.json", metavar="FILE"
    )
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
        print(f"drawn: {', '.join(map(str, plots.of_results(record, arguments.plots)))}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
