"""A raw table as the numbers that a network reads: which columns become of it, and how they enter.

What one column becomes is in ``_table_numbers`` and ``_table_categories``. No training.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from cmlp._architecture import Encoding
from cmlp._core import engine
from cmlp._table_bins import ThresholdTree
from cmlp._table_categories import Category, check_category, learn_category
from cmlp._table_columns import (
    ArrayTable,
    categorical_columns,
    check_infinity,
    is_dataframe,
    read_table,
)
from cmlp._table_numbers import BLOCK, NumberEncoder, check_numbers, learn_numbers


class Settings(NamedTuple):
    """Choices of how a table is encoded.

    Attributes
    ----------
    categorical_features : 'from_dtype', array-like of bool, int or str, or None
        As in scikit-learn's HistGradientBoostingClassifier, except that columns of strings of a
        DataFrame are categories by their dtype, too.
    n_bins : int
        Of a numeric feature, at most; 0: none.
    embedding : int
        Inputs of the first layer for a numeric feature with bins.
    step_embedding : int
        ... and as many more if its values repeat, which are constant within each bin.
    max_one_hot : int
        Categories with more levels are embedded.
    """

    categorical_features: Any = "from_dtype"
    n_bins: int = 48
    embedding: int = 6
    step_embedding: int = 4
    max_one_hot: int = 8


class TableEncoder:
    """Tables of numbers, booleans and categories as matrices of numbers.

    Parameters
    ----------
    estimator_name : str
        The estimator in scikit-learn's messages.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of str or None
    has_own_names : bool
        Whether X in fit had these names.
    numbers : NumberEncoder
        Of the first columns of the encoded matrix.
    categories : tuple of Category
        Of the other columns.
    embedding, step_embedding : int
        See Settings.
    encodings : tuple of Encoding
        One for each column, in their order, then those that read a column again.
    n_columns : int
        How many these are.
    """

    def __init__(self, estimator_name="TableEncoder"):
        self.estimator_name = estimator_name

    def fit(
        self,
        X,
        targets,
        *,
        sample_weight=None,
        task=None,
        random_state=None,
        feature_names=None,
        **settings,
    ):
        """Learn scales, bins and categories.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Missing values are NaN, None or what the DataFrame has for them.
        targets : array-like of shape (n_samples,) or (n_samples, n_outputs), or None
            Bins tell these apart.
        sample_weight : array-like of shape (n_samples,), optional
            Rows without weight are not learned from.
        task : {'classifier', 'regressor'} or None
            What the targets are; None: bins hold equal shares of the samples.
        random_state : int, RandomState or None
            Draws the rows for the bins, where the table is large.
        feature_names : array-like of str, optional
            Of an X that has none of its own.
        **settings
            See Settings.

        Returns
        -------
        self : TableEncoder

        Raises
        ------
        ValueError, TypeError
            Those of scikit-learn, or if a column is neither numbers nor categories.
        """
        settings = Settings(**settings)
        table = self._table_to_learn(X, feature_names)
        is_category = categorical_columns(table, settings.categorical_features)
        sources = np.flatnonzero(~is_category).tolist()
        rows = slice(None)
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight, dtype=np.float64)
            rows = np.flatnonzero(sample_weight > 0)
            sample_weight = sample_weight[rows]
        tree = None
        if task is not None and targets is not None:
            targets = np.asarray(targets)[rows]
            tree = ThresholdTree(targets, sample_weight, task, len(sources), random_state)
        numbers = learn_numbers(table, sources, rows, settings.n_bins, tree)
        categories = []
        for source in np.flatnonzero(is_category).tolist():
            codes, levels = table.levels(source)
            categories.append(learn_category(source, codes[rows], levels, settings.max_one_hot))
        widths = settings.embedding, settings.step_embedding
        self._hold(numbers, [one for one in categories if one is not None], *widths)
        return self

    def transform(self, X, dtype=np.float32):
        """The encoded matrix of shape (n_samples, n_columns).

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Columns of a DataFrame are found by their names.
        dtype : {float32, float64}

        Raises
        ------
        ValueError, TypeError
            Those of scikit-learn, or if a column of numbers holds something else.
        """
        is_plain = self._is_plain(X)
        is_finite = is_plain and engine.is_plain_and_finite(X)
        is_plain = is_finite or (is_plain and not np.isinf(X).any())
        table = ArrayTable(X) if is_plain else self._table(X)
        out = np.empty((table.n_rows, self.n_columns), dtype)
        self._write_numbers(table.matrix(self._sources), out, is_finite)
        end = self.numbers.n_columns
        for category in self.categories:
            start, end = end, end + category.n_columns
            category.write(*table.levels(category.source), out[:, start:end])
        out[:, end:] = 0
        return out

    def state(self):
        """All that is learned, as dicts and lists of arrays, numbers and strings."""
        names = self.feature_names_in_
        return {
            "estimator_name": self.estimator_name,
            "n_features": self.n_features_in_,
            "names": None if names is None else names.tolist(),
            "has_own_names": self.has_own_names,
            "numbers": self.numbers.state(),
            "categories": [category._asdict() for category in self.categories],
            "embedding": self.embedding,
            "step_embedding": self.step_embedding,
        }

    @classmethod
    def from_state(cls, state):
        """The encoder with what ``state`` returned."""
        self, names = cls(state["estimator_name"]), state["names"]
        self.n_features_in_ = state["n_features"]
        self.feature_names_in_ = None if names is None else np.array(names, dtype=object)
        self.has_own_names = state["has_own_names"]
        categories = [Category(**category) for category in state["categories"]]
        widths = state["embedding"], state["step_embedding"]
        self._hold(NumberEncoder(**state["numbers"]), categories, *widths)
        return self

    def __reduce__(self):
        if not hasattr(self, "encodings"):
            return TableEncoder, (self.estimator_name,)
        return TableEncoder.from_state, (self.state(),)

    def _hold(self, numbers, categories, embedding, step_embedding):
        """Keep what was learned, and what follows from it."""
        self.numbers, self.categories = numbers, tuple(categories)
        self.embedding, self.step_embedding = embedding, step_embedding
        kinds = [("identity", 1, 0)] * len(numbers.sources)
        kinds += [("piecewise_linear", embedding, bins) for bins in numbers.n_bins.tolist()]
        kinds += [("identity", 1, 0)] * len(numbers.indicated)
        for category in categories:
            if category.one_hot:
                kinds += [("identity", 1, 0)] * category.n_levels
            else:
                kinds.append(("category", category.width, category.n_levels))
        # a network has an input, if only a zero
        kinds = kinds or [("identity", 1, 0)]
        self.encodings = tuple(
            Encoding(kind, column, width, levels)
            for column, (kind, width, levels) in enumerate(kinds)
        )
        if step_embedding:
            self.encodings += tuple(
                Encoding(
                    *("piecewise_constant", len(numbers.sources) + position),
                    *(step_embedding, int(numbers.n_bins[position])),
                )
                for position in numbers.stepped.tolist()
            )
        self.n_columns = len(kinds)
        is_all = np.array_equal(numbers.sources, np.arange(self.n_features_in_))
        self._sources = None if is_all else numbers.sources

    def _write_numbers(self, X, out, is_finite):
        """Write the columns of numbers, block by block, X having the columns that they read."""
        out = out[:, : self.numbers.n_columns]
        for start in range(0, len(X), BLOCK):
            # without the first dimension, NumPy takes half the time for a row
            rows = slice(start, start + BLOCK) if len(X) > 1 else 0
            self.numbers.write(X[rows].astype(np.float64, copy=False), out[rows], is_finite)

    def _is_plain(self, X):
        """Whether X is an array of numbers as expected, of which nothing is to be said."""
        return (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype.char in "fd"
            and X.shape[1] == self.n_features_in_
            and len(X) > 0
            and not self.has_own_names
        )

    def _table_to_learn(self, X, feature_names):
        """X as a table, after it was validated; the names and number of columns are kept."""
        seen = stand_in(self.estimator_name)
        table = read_table(validated(seen, X, reset=True))
        self.n_features_in_ = table.n_columns
        names = getattr(seen, "feature_names_in_", None)
        if names is None and is_dataframe(X) and all(isinstance(name, str) for name in X.columns):
            names = np.array(X.columns, dtype=object)
        self.has_own_names = names is not None
        if names is None and feature_names is not None:
            names = np.asarray(feature_names, dtype=object)
        self.feature_names_in_ = names
        if names is not None:
            table.names = names.tolist()
        return table

    def _table(self, X):
        """X as a table with the columns of fit, after it was validated."""
        names = self.feature_names_in_
        expected = stand_in(self.estimator_name)
        expected.n_features_in_ = self.n_features_in_
        if names is not None and is_dataframe(X):
            X = in_order(X, names.tolist())
            check_shape(expected, X)
        else:
            if self.has_own_names:
                expected.feature_names_in_ = names
            X = validated(expected, X, reset=False)
        table = read_table(X)
        if names is not None:
            table.names = names.tolist()
        return table


def check_state(state):
    """Raise ValueError unless a dict can be what ``TableEncoder.state`` returned."""
    n_features, names = state["n_features"], state["names"]
    widths = state["embedding"], state["step_embedding"]
    if not all(type(number) is int and number < 2**31 for number in (n_features, *widths)):
        raise ValueError("n_features and widths of embeddings must be int")
    if n_features < 1 or widths[0] < 1 or widths[1] < 0:
        raise ValueError("n_features and widths of embeddings are out of range")
    if not (isinstance(state["estimator_name"], str) and type(state["has_own_names"]) is bool):
        raise ValueError("estimator_name must be a str, has_own_names a bool")
    is_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if names is not None and not (is_names and len(names) == n_features):
        raise ValueError("names must be None or one str for each feature")
    if names is None and state["has_own_names"]:
        raise ValueError("names are missing")
    check_numbers(state["numbers"], n_features)
    if not isinstance(state["categories"], list):
        raise ValueError("categories must be a list")
    for category in state["categories"]:
        check_category(category, n_features)


@lru_cache(maxsize=16)
def class_named(name):
    return type(name, (BaseEstimator,), {})


def stand_in(name):
    """An estimator of that name, for scikit-learn to know what is expected, and to speak of."""
    return class_named(name)()


def in_order(X, names):
    """The DataFrame X with columns of the given names, in their order.

    Not by scikit-learn, which insists on the order, and before 1.8 finds no names in polars 2.

    Raises
    ------
    ValueError
        scikit-learn's, if X has others.
    """
    columns = list(X.columns)
    if columns == names:
        return X
    unseen, missing = set(columns) - set(names), set(names) - set(columns)
    if not unseen and not missing and len(columns) == len(names) == len(set(names)):
        return X[names]
    message = "The feature names should match those that were passed during fit.\n"
    for words, wrong in (
        ("Feature names unseen at fit time:\n", sorted(map(str, unseen))),
        ("Feature names seen at fit time, yet now missing:\n", sorted(missing)),
    ):
        lines = [f"- {name}\n" for name in wrong[:5]] + ["- ...\n"] * (len(wrong) > 5)
        message += words * bool(wrong) + "".join(lines)
    raise ValueError(message)


def check_shape(estimator, X):
    """Raise scikit-learn's ValueError if a DataFrame has too few rows, or too few columns."""
    check_array(np.broadcast_to(np.int8(0), X.shape), estimator=estimator, input_name="X")


def validated(estimator, X, reset):
    """X, a DataFrame or else an array, after scikit-learn's checks of all but its numbers."""
    kwargs = {"reset": reset, "dtype": None, "ensure_all_finite": False}
    if is_dataframe(X):
        check_shape(estimator, X)
        return validate_data(estimator, X, skip_check_array=True, **kwargs)
    X = validate_data(estimator, X, **kwargs)
    if X.dtype.kind == "f":
        check_infinity(X, "X", type(estimator).__name__)
    return X
