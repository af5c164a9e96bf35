"""Categories as codes: which levels have their own, which share one. No tables, no numbers."""

from typing import NamedTuple

import numpy as np

#: Levels with a code of their own, so that a table of embeddings of 16 floats is below a megabyte.
MAX_LEVELS = 10_000
#: Numbers of an embedding, at most.
MAX_WIDTH = 16


class Category(NamedTuple):
    """A categorical feature as codes.

    Attributes
    ----------
    source : int
        The column of the table.
    codes : dict of str, bool, int or float to int
        The levels with a code of their own, the most frequent first.
    missing : int
        Code of missing values.
    unknown : int
        Code of all other levels; -1: none. It is that of the rare ones in fit. Where there were
        none, it is the code of the most frequent level, unless levels have columns of their own.
    n_levels : int
        How many codes there are.
    one_hot : bool
        Whether each level has a column, or all share one.
    """

    source: int
    codes: dict[str | bool | int | float, int]
    missing: int
    unknown: int
    n_levels: int
    one_hot: bool

    @property
    def n_columns(self):
        return self.n_levels if self.one_hot else 1

    @property
    def width(self):
        """Numbers of an embedding: a rule of thumb of fastai's."""
        return min(MAX_WIDTH, round(1.6 * self.n_levels**0.56))

    def write(self, codes, levels, out):
        """Write the columns of this feature.

        Parameters
        ----------
        codes : ndarray of int of shape (n_samples,)
            Positions in levels, -1 of missing values.
        levels : list
        out : ndarray of shape (n_samples, n_columns)
        """
        own = [self.codes.get(level, self.unknown) for level in levels]
        codes = np.array([*own, self.missing], dtype=np.intp)[codes]
        if self.one_hot:
            np.equal(codes[:, None], np.arange(self.n_levels), out=out, casting="unsafe")
        else:
            out[:, 0] = codes


def learn_category(source, codes, levels, max_one_hot):
    """A Category of the given codes, or None if there is but one.

    Parameters
    ----------
    source : int
    codes : ndarray of int of shape (n_samples,)
        Positions in levels, -1 of missing values.
    levels : list
        In any order; those that no sample has do not count.
    max_one_hot : int
        With more levels, missing values being one, they share a column, and those of one sample
        share a code.
    """
    counts = np.bincount(codes + 1, minlength=len(levels) + 1)
    n_missing, counts = counts[0], counts[1:]
    kinds = [type(level).__name__ for level in levels]  # only levels of one type compare
    by_count = sorted(zip((-counts).tolist(), kinds, levels, strict=True))
    kept = [level for count, _, level in by_count if count < 0]
    n_seen = len(kept)
    one_hot = n_seen + bool(n_missing) <= max_one_hot
    if not one_hot:
        kept = [level for count, _, level in by_count if count < -1][:MAX_LEVELS]
    has_rare = len(kept) < n_seen
    n_levels = len(kept) + bool(n_missing) + has_rare
    if n_levels < 2:
        return None
    unknown = n_levels - 1 if has_rare else -1 if one_hot else 0
    missing = len(kept) if n_missing else unknown
    own = {level: code for code, level in enumerate(kept)}
    return Category(source, own, missing, unknown, n_levels, one_hot)


def check_category(state, n_features):
    """Raise ValueError unless a dict can be the fields of a Category."""
    if not isinstance(state, dict) or state.keys() != set(Category._fields):
        raise ValueError(f"a category must have {list(Category._fields)}")
    codes, n_levels = state["codes"], state["n_levels"]
    if not isinstance(codes, dict) or type(state["one_hot"]) is not bool:
        raise ValueError("codes must be a dict, one_hot a bool")
    numbers = [state["source"], n_levels, state["missing"], state["unknown"], *codes.values()]
    if not all(type(number) is int for number in numbers):
        raise ValueError("codes of categories must be int")
    if not (0 <= state["source"] < n_features and 0 < n_levels < 2**31):
        raise ValueError("source or n_levels is out of range")
    if not all(-1 <= code < n_levels for code in (state["missing"], state["unknown"])):
        raise ValueError("missing or unknown is out of range")
    if not all(0 <= code < n_levels for code in codes.values()):
        raise ValueError("codes are out of range")
