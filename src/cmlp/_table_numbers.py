"""Numeric features as columns that a network reads: scaled values, places in bins, indicators.

No categories, and no tables but the columns of one.
"""

import numpy as np

from cmlp._table_bins import TINY, bin_edges, is_two_valued, repeats, robust_scale
from cmlp._table_columns import BOOLEAN

#: Scaled values stay below 3 in absolute value: f(z) = z / sqrt(1 + (z / 3)^2).
BEND = 1 / 3
#: Of a scaled value, whose square is finite; f is 3 long before.
LARGE = 1e100
#: Rows that are encoded at once, so that intermediate results stay in cache.
BLOCK = 2048
#: Up to so many rows, all edges are compared: a search would be a call for each feature.
FEW = 16


class NumberEncoder:
    """Numeric and boolean features as columns: first all scaled, then places in bins, indicators.

    Parameters
    ----------
    sources : ndarray of int of shape (n_numbers,)
        The columns of the table.
    center, factor, bend, fill : ndarray of float64 of shape (n_numbers,)
        A value x becomes z = (x - center) * factor, and that z / sqrt(1 + (z * bend)^2); a missing
        one becomes fill.
    binned : ndarray of int of shape (n_binned,)
        Positions in sources of the features that have bins.
    n_bins : ndarray of int of shape (n_binned,)
    stepped : ndarray of int of shape (n_stepped,)
        Positions in binned of the features whose values repeat.
    edges : ndarray of float64 of shape (sum(n_bins + 1),)
        One feature's after another's, increasing.
    indicated : ndarray of int of shape (n_indicated,)
        Positions in sources of the features with a column that says whether they are missing.
    """

    FIELDS = ("sources", "center", "factor", "bend", "fill", "binned", "n_bins", "stepped")
    FIELDS = (*FIELDS, "edges", "indicated")

    def __init__(
        self, sources, center, factor, bend, fill, binned, n_bins, stepped, edges, indicated
    ):
        self.sources, self.indicated = sources, indicated
        self.center, self.factor, self.bend, self.fill = center, factor, bend, fill
        self.binned, self.n_bins, self.stepped, self.edges = binned, n_bins, stepped, edges
        self.n_columns = len(sources) + len(binned) + len(indicated)
        # what write reads, of each bin: where it starts and 1 over its width
        ends = np.cumsum(n_bins + 1)
        own = [edges[end - bins - 1 : end] for end, bins in zip(ends, n_bins, strict=True)]
        self.inner = [one[1:-1] for one in own]
        most = 1 + max(map(len, self.inner), default=0)
        padded = np.full((len(own), most), np.inf)  # so that there is an edge above each number
        for row, one in zip(padded, self.inner, strict=True):
            row[: len(one)] = one
        self.padded = padded.ravel()
        self.repeated = np.repeat(np.arange(len(own)), most)
        starts, widths = (np.concatenate([edges[:0], *parts]) for parts in bins_of(own))
        self.starts, self.per_width = starts, 1 / np.maximum(widths, TINY)
        self.first_bin = np.cumsum(n_bins) - n_bins
        self.no_bin = n_bins + 1.0
        self.all_binned = len(binned) == len(sources)

    def __reduce__(self):
        return NumberEncoder, tuple(self.state().values())

    def state(self):
        """The parameters of the constructor, by name."""
        return {name: getattr(self, name) for name in self.FIELDS}

    def write(self, x, out, is_finite):
        """Write the columns for rows of numbers, or for one.

        Parameters
        ----------
        x : ndarray of float64 of shape (n_samples, n_numbers) or (n_numbers,)
            The columns that sources says, missing values NaN.
        out : ndarray of shape (n_samples, n_columns) or (n_columns,)
        is_finite : bool
            Whether surely none is missing.
        """
        n, end = len(self.sources), len(self.sources) + len(self.binned)
        with np.errstate(over="ignore"):
            z = x - self.center
            z *= self.factor
            np.minimum(z, LARGE, out=z)
            np.maximum(z, -LARGE, out=z)
            length = z * self.bend
            length *= length
            length += 1
            np.sqrt(length, out=length)
            z /= length
            out[..., :n] = z
            if end > n:
                out[..., n:end] = self.places(x if self.all_binned else x[..., self.binned])
        if is_finite:
            out[..., end:] = 0
            return
        missing = np.isnan(x)
        cast = {"casting": "same_kind"}
        np.copyto(out[..., :n], self.fill, where=missing, **cast)
        np.copyto(out[..., n:end], self.no_bin, where=missing[..., self.binned], **cast)
        out[..., end:] = missing[..., self.indicated]

    def places(self, x):
        """The bin of each number plus how far in it lies; anything for NaN."""
        if x.ndim == 1 or len(x) <= FEW:
            is_above = x.take(self.repeated, axis=-1) >= self.padded
            bins = is_above.reshape(*x.shape, -1).argmin(axis=-1)
        else:
            bins = np.empty(x.shape, dtype=np.intp)
            for k, inner in enumerate(self.inner):
                bins[:, k] = inner.searchsorted(x[:, k], side="right")
        place = bins + self.first_bin
        fraction = x - self.starts.take(place)
        fraction *= self.per_width.take(place)
        np.minimum(fraction, 1, out=fraction)
        np.maximum(fraction, 0, out=fraction)
        fraction += bins
        return fraction


def bins_of(edges):
    """Where bins start, and their widths, as arrays of one feature each."""
    return [one[:-1] for one in edges], [np.diff(one) for one in edges]


def learn_numbers(table, sources, rows, n_bins, tree):
    """The NumberEncoder of some columns of a table; constants without missing values have none.

    Parameters
    ----------
    table : Table
    sources : iterable of int
    rows : slice or ndarray of int
        The rows to learn from.
    n_bins : int
        0: no bins.
    tree : ThresholdTree or None
        See bin_edges.
    """
    columns, binned, n_bins_of, stepped, edges, indicated = [], [], [], [], [], []
    for source in sources:
        values = table.numbers(source)[rows]
        is_missing = np.isnan(values)
        if is_missing.all():
            continue
        center, factor = robust_scale(values)
        if not factor and not is_missing.any():
            continue
        if is_missing.any():
            indicated.append(len(columns))
        if table.kind(source) == BOOLEAN:
            columns.append((source, 0, 1, 0, 0.5))
            continue
        if n_bins and not is_two_valued(values):
            if repeats(values):
                stepped.append(len(binned))
            edges.append(bin_edges(values, n_bins, tree))
            binned.append(len(columns))
            n_bins_of.append(len(edges[-1]) - 1)
        columns.append((source, center, factor, BEND, 0))
    table_of = np.array(columns, dtype=np.float64).reshape(-1, 5)
    return NumberEncoder(
        table_of[:, 0].astype(np.intp),
        *np.ascontiguousarray(table_of[:, 1:].T),
        *(np.array(numbers, dtype=np.intp) for numbers in (binned, n_bins_of, stepped)),
        np.concatenate(edges) if edges else np.empty(0),
        np.array(indicated, dtype=np.intp),
    )


def check_numbers(state, n_features):
    """Raise ValueError unless a dict can be what ``NumberEncoder.state`` returned."""
    if not isinstance(state, dict) or state.keys() != set(NumberEncoder.FIELDS):
        raise ValueError(f"numbers must have {list(NumberEncoder.FIELDS)}")
    positions = ("sources", "binned", "n_bins", "stepped", "indicated")
    for name, array in state.items():
        kind = "i" if name in positions else "f"
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind != kind:
            raise ValueError(f"{name} must be a vector of {'int' if kind == 'i' else 'float'}")
        if kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite")
    n_numbers, n_bins, edges = len(state["sources"]), state["n_bins"], state["edges"]
    lengths = {len(state[name]) for name in ("center", "factor", "bend", "fill")}
    if lengths != {n_numbers}:
        raise ValueError("center, factor, bend and fill must be as long as sources")
    ends = (n_features, n_numbers, len(state["binned"]), n_numbers)
    for name, end in zip(("sources", "binned", "stepped", "indicated"), ends, strict=True):
        if not ((state[name] >= 0) & (state[name] < end)).all():
            raise ValueError(f"{name} is out of range")
    if len(n_bins) != len(state["binned"]) or not ((n_bins >= 1) & (n_bins < 2**20)).all():
        raise ValueError("n_bins must be positive, one for each feature that is binned")
    if len(edges) != (n_bins + 1).sum():
        raise ValueError("edges must be one more than bins")
    starts = np.cumsum(n_bins + 1)[:-1]
    if (np.delete(np.diff(edges), starts - 1) < 0).any():
        raise ValueError("edges must be increasing")
