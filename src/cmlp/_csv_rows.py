"""Rows of a CSV file as numbers and categories, a block at a time. No estimators, no options."""

import csv
import io
import math
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

#: Cells that are missing values, as pandas reads them, unless a category is called so.
MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
    | {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
BOOLEANS = {"true": 1.0, "false": 0.0}


@dataclass
class Columns:
    """Columns that a model reads: how many, their names if it knows them, and of which kind.

    Attributes
    ----------
    n : int
    names : list of str or None
    levels : dict of int to dict
        Of each column of categories, its levels by their text.
    unread : set of int
        Columns of which nothing is made.
    allows_missing : bool
    """

    n: int
    names: list[str] | None = None
    levels: dict[int, dict[str, Any]] = field(default_factory=dict)
    unread: set[int] = field(default_factory=set)
    allows_missing: bool = False


def levels_by_text(levels):
    """Levels of a category by what a CSV file has for them."""
    by_text = {}
    for level in levels:
        by_text[str(level)] = level
        if isinstance(level, bool):
            by_text[str(level).lower()] = level
    return by_text


@contextmanager
def open_csv(path):
    """A text file in UTF-8, whatever the locale; '-' is the standard input."""
    if path == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8-sig", newline="")
        yield sys.stdin
        return
    with open(path, encoding="utf-8-sig", newline="") as file:
        yield file


class CsvRows:
    """Rows of an open file.

    Parameters
    ----------
    file : text file
    name : str
        What errors call it.
    columns : Columns
    delimiter : str
    header : bool or None
        Whether the first row has names; None: it has if the model knows names, or if one of its
        cells, in a column of numbers, is none.

    Raises
    ------
    ValueError
        If the header does not have the columns of the model, or there is no row.
    """

    def __init__(self, file, name, columns, delimiter=",", header=None):
        self.name, self.columns = name, columns
        self.reader = csv.reader(file, delimiter=delimiter, strict=True)
        self.rows = self._rows()
        first = next(self.rows, None)
        if first is None:
            raise ValueError(f"{name} is empty.")
        line, cells = first
        if header is None:
            header = self._is_header(cells)
        self.labels = [f"column {j + 1}" for j in range(len(cells))]
        self.width = len(cells)
        if header:
            self.labels = [f"column {cell!r}" for cell in cells]
        if header and columns.names is not None:
            self.places = self._places(cells)
        elif self.width != columns.n:
            raise ValueError(
                f"{name} has {self.width} columns, the model reads {columns.n}"
                + ("." if columns.names is None else f": {', '.join(columns.names)}.")
            )
        else:
            self.places = list(range(columns.n))
        self.first = [] if header else [(line, cells)]

    def _rows(self):
        """Rows with their line numbers, without empty ones."""
        try:
            for cells in self.reader:
                if cells:
                    yield self.reader.line_num, cells
        except csv.Error as error:
            raise ValueError(f"{self.name}, line {self.reader.line_num}: {error}.") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.name} is no text in UTF-8: {error.reason}.") from error

    def _is_header(self, cells):
        columns = self.columns
        if columns.names is not None:
            return True
        numeric = [
            j for j in range(columns.n) if j not in columns.levels | dict.fromkeys(columns.unread)
        ]
        if not numeric:
            raise ValueError(
                f"Whether {self.name} begins with names cannot be told: --header or --no-header."
            )
        return any(
            as_number(cells[j]) is None and cells[j].strip() not in MISSING
            for j in numeric
            if j < len(cells)
        )

    def _places(self, cells):
        names = self.columns.names
        cells = [cell if cell in names else cell.strip() for cell in cells]
        missing = [name for name in names if name not in cells]
        if missing:
            more = ", ..." if len(missing) > 5 else ""
            raise ValueError(
                f"{self.name} has no column {', '.join(map(repr, missing[:5]))}{more}, which the"
                f" model reads.{hint_for(cells)}"
            )
        twice = [name for name in names if cells.count(name) > 1]
        if twice:
            raise ValueError(f"{self.name} has several columns {twice[0]!r}.")
        return [cells.index(name) for name in names]

    def blocks(self, size):
        """Arrays of at most so many rows: of float64, or of objects if there are categories.

        Raises
        ------
        ValueError
            If a row has another number of cells, or one of them is not what the model reads.
        """
        while block := [*self.first, *islice(self.rows, size - len(self.first))]:
            self.first = []
            yield self._array(block)

    def _array(self, block):
        columns = self.columns
        for line, cells in block:
            if len(cells) != self.width:
                raise ValueError(
                    f"{self.name}, line {line} has {len(cells)} cells, the first one {self.width}."
                )
        out = np.empty((len(block), columns.n), dtype=object if columns.levels else np.float64)
        for j, place in enumerate(self.places):
            if j in columns.unread:
                out[:, j] = np.nan
            elif j in columns.levels:
                out[:, j] = [self._level(cells[place], columns.levels[j]) for _, cells in block]
            else:
                out[:, j] = self._numbers(block, place)
        return out

    def _level(self, cell, levels):
        """A level of a category; None where it is missing, the text where it is unknown."""
        level = levels.get(cell)
        if level is None:
            text = cell.strip()
            if text in MISSING:
                return None
            number = as_number(text)
            # as 3 and 3.0, of which both are the level
            level = levels.get(text, next((one for one in levels.values() if one == number), text))
        return level

    def _numbers(self, block, place):
        texts = [cells[place] for _, cells in block]
        with suppress(ValueError):
            numbers = [float(text) for text in texts]
            # underscores, which Python reads in numbers, are an error, as is what is not finite
            if not any("_" in text for text in texts) and all(map(math.isfinite, numbers)):
                return numbers
        return [self._number(line, cells[place], place) for line, cells in block]

    def _number(self, line, cell, place):
        number = as_number(cell)
        if number is None and cell.strip() in MISSING and self.columns.allows_missing:
            return np.nan
        if number is not None and math.isinf(number):
            raise ValueError(f"{self.name}, line {line}: {self.labels[place]} is infinite.")
        if number is None:
            what = "is missing" if cell.strip() in MISSING else f"is no number: {cell[:40]!r}"
            raise ValueError(f"{self.name}, line {line}: {self.labels[place]} {what}.")
        return number


def hint_for(cells):
    """A hint for a row that is no header with the names of a model."""
    if all(as_number(cell) is not None for cell in cells):
        return " Is --no-header meant?"
    found = [mark for mark in (";", "\t", "|") if any(mark in cell for cell in cells)]
    return f" Is --delimiter {found[0]!r} meant?" if found else ""


def as_number(cell):
    """A cell as a float, None if it is none or NaN; true and false are 1 and 0."""
    try:
        number = float(cell)
        return None if "_" in cell or math.isnan(number) else number
    except ValueError:
        return BOOLEANS.get(cell.strip().lower())
