"""Columns of a table, whatever holds it: pandas, polars or an array. No encodings, no targets.

A column is read as float64 numbers, missing ones NaN, or as codes of its levels, missing ones -1.
"""

import sys
from decimal import Decimal
from numbers import Real

import numpy as np
from sklearn.utils import assert_all_finite

NUMBER, BOOLEAN, CATEGORY, OTHER = "number", "boolean", "category", "other"
#: Types of levels that are kept as they are; others are known by their text.
PLAIN = (str, bool, int, float)
#: Up to so many values, sorting them is slower than looking at each.
FEW = 100


def read_table(X):
    """The Table of a DataFrame or of a 2-D array."""
    kind = frame_kind(X)
    if kind is None:
        return ArrayTable(X)
    table = kind(X)
    table.names = list(X.columns)
    return table


def is_dataframe(X):
    """Whether X is a DataFrame whose columns are read one by one."""
    return frame_kind(X) is not None


def frame_kind(X):
    """The class that reads X if it is a DataFrame, whose package is then imported; else None."""
    for package, kind in (("pandas", PandasTable), ("polars", PolarsTable)):
        frame = getattr(sys.modules.get(package), "DataFrame", None)
        if frame is not None and isinstance(X, frame):
            return kind
    return None


class Table:
    """Columns of one container; the classes below know one package each.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_samples, n_features)

    Attributes
    ----------
    names : list or None
        What errors call the columns; None: by their positions.
    """

    #: Whether columns have types of their own, by which categories are told.
    is_typed = True

    def __init__(self, X):
        self.X = X
        self.names = None
        self.n_rows, self.n_columns = X.shape

    def label(self, j):
        """A column as errors call it."""
        return f"at index {j}" if self.names is None else repr(str(self.names[j]))

    def numbers(self, j):
        """A column as float64, missing values NaN.

        Raises
        ------
        ValueError
            If it holds something else, or infinity.
        """
        kind = self.kind(j)
        if kind not in (NUMBER, BOOLEAN):
            raise ValueError(
                f"Column {self.label(j)} of X is read as numbers, but holds {self.example(j)}."
                " Of categories, fit has to know: by the column's dtype or categorical_features."
            )
        values = self.as_float(j)
        check_infinity(values, f"X (column {self.label(j)})")
        return values

    def matrix(self, columns):
        """Some columns as numbers, side by side; None: all."""
        columns = range(self.n_columns) if columns is None else columns
        out = np.empty((self.n_rows, len(columns)))
        for k, j in enumerate(columns):
            out[:, k] = self.numbers(j)
        return out

    def example(self, j):
        """A value that is no number, for errors."""
        levels = self.levels(j)[1]
        strange = [level for level in levels if not isinstance(level, Real)] or levels
        return repr(strange[0])[:100] if strange else "none"

    def factorized(self, values, j):
        """Codes and levels of values, in any order of levels."""
        index = {}
        try:
            codes = np.fromiter(
                (index.setdefault(value, len(index)) for value in values), np.intp, len(values)
            )
        except TypeError as error:
            raise ValueError(
                f"Column {self.label(j)} of X holds values that are no categories: {error}."
            ) from error
        return plain_levels(codes, index)


class ArrayTable(Table):
    """Columns of an array, which are numbers unless categorical_features says otherwise."""

    is_typed = False

    def kind(self, j):
        return BOOLEAN if self.X.dtype.kind == "b" else NUMBER

    def matrix(self, columns):
        """Some columns as numbers, side by side; None: all."""
        if self.X.dtype.kind not in "fiub":
            return super().matrix(columns)
        return self.X if columns is None else self.X[:, columns]

    def as_float(self, j):
        try:
            return self.X[:, j].astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"Column {self.label(j)} of X is no number: {error}.") from error

    def levels(self, j):
        """Codes of a column's values, missing ones -1, and its levels."""
        values = self.X[:, j]
        if values.dtype.kind not in "fiub" or len(values) < FEW:
            return self.factorized(values.tolist(), j)
        distinct, codes = np.unique(values, return_inverse=True)
        return plain_levels(codes, distinct.tolist())


class PandasTable(Table):
    """Columns of a pandas DataFrame."""

    def __init__(self, X):
        super().__init__(X)
        self.dtypes = X.dtypes.tolist()  # as a column takes pandas longer than its numbers

    def column(self, j):
        return self.X.iloc[:, j]

    def kind(self, j):
        """Whether a column holds numbers, booleans, categories or something else."""
        pd = sys.modules["pandas"]
        dtype = self.dtypes[j]
        if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
            return NUMBER
        if isinstance(dtype, pd.CategoricalDtype):
            return CATEGORY
        if pd.api.types.is_bool_dtype(dtype):
            return BOOLEAN
        if pd.api.types.is_numeric_dtype(dtype):
            return OTHER if pd.api.types.is_complex_dtype(dtype) else NUMBER
        if dtype == np.dtype(object):
            return kind_of_objects(self.column(j).to_list())
        return CATEGORY if pd.api.types.is_string_dtype(dtype) else OTHER

    def numbers(self, j):
        categories = getattr(self.dtypes[j], "categories", None)
        if categories is not None and categories.dtype.kind in "iuf":
            return self.as_float(j)
        return super().numbers(j)

    def as_float(self, j):
        return self.column(j).to_numpy(dtype=np.float64, na_value=np.nan)

    def levels(self, j):
        """Codes of a column's values, missing ones -1, and its levels."""
        column = self.column(j)
        if self.n_rows < FEW:
            return self.factorized(column.tolist(), j)
        try:
            codes, levels = sys.modules["pandas"].factorize(column)
        except TypeError:  # of which the other way speaks better
            return self.factorized(column.tolist(), j)
        return plain_levels(codes, levels.tolist())


class PolarsTable(Table):
    """Columns of a polars DataFrame."""

    def column(self, j):
        return self.X.to_series(j)

    def kind(self, j):
        """Whether a column holds numbers, booleans, categories or something else."""
        pl = sys.modules["polars"]
        dtype = self.column(j).dtype
        if dtype == pl.Boolean:
            return BOOLEAN
        if dtype.is_numeric() or dtype == pl.Null:
            return NUMBER
        if dtype in (pl.String, pl.Categorical, pl.Enum):
            return CATEGORY
        return kind_of_objects(self.column(j).to_list()) if dtype == pl.Object else OTHER

    def as_float(self, j):
        column, pl = self.column(j), sys.modules["polars"]
        if column.dtype == pl.Object:
            return np.array(column.to_list(), dtype=np.float64)
        return column.cast(pl.Float64).to_numpy()

    def levels(self, j):
        """Codes of a column's values, missing ones -1, and its levels."""
        return self.factorized(self.column(j).to_list(), j)


def check_infinity(values, name, estimator_name=None):
    """Raise scikit-learn's ValueError if a value is infinite."""
    with np.errstate(invalid="ignore", over="ignore"):  # of sums by which infinities are found
        assert_all_finite(values, allow_nan=True, estimator_name=estimator_name, input_name=name)


def plain_levels(codes, levels):
    """Codes and levels, those that are missing values as -1, the others of plain types."""
    index, translation = {}, []
    for level in levels:
        if is_missing(level):
            translation.append(-1)
            continue
        if isinstance(level, np.generic):
            level = level.item()
        if isinstance(level, Decimal):
            level = float(level)
        key = level if isinstance(level, PLAIN) else str(level)
        translation.append(index.setdefault(key, len(index)))
    # -1, by which pandas says missing, is the last
    return np.array([*translation, -1], dtype=np.intp)[codes], list(index)


def is_missing(value):
    """Whether a value of a column is None, NaN, NaT or pandas's NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real | Decimal | np.generic) and bool(value != value)


def kind_of_objects(values):
    """The kind of a column of these Python objects."""
    types = {type(value) for value in values}
    types -= {kind for kind in types if kind.__name__ in ("NoneType", "NAType", "NaTType")}
    if types and types <= {bool, np.bool_}:
        return BOOLEAN
    if all(issubclass(kind, Real | Decimal | np.bool_) for kind in types):
        return NUMBER
    is_plain = all(issubclass(kind, str | Real | Decimal | np.bool_) for kind in types)
    return CATEGORY if is_plain else OTHER


def categorical_columns(table, categorical_features):
    """Whether each column is one of categories, by scikit-learn's rules and in its words.

    Parameters
    ----------
    table : Table
    categorical_features : 'from_dtype', array-like of bool, int or str, or None

    Returns
    -------
    ndarray of bool of shape (n_features,)
    """
    n = table.n_columns
    mask = np.zeros(n, dtype=bool)
    if isinstance(categorical_features, str) and categorical_features == "from_dtype":
        if table.is_typed:
            mask[:] = [table.kind(j) == CATEGORY for j in range(n)]
        return mask
    wanted = np.asarray([] if categorical_features is None else categorical_features)
    if not wanted.size:
        return mask
    kinds = {type(one) for one in wanted.tolist()} if wanted.dtype == object else {str}
    if wanted.dtype.kind not in "ibUO" or kinds != {str}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            "categorical_features must be an array-like of bool, int or str, got:"
            f" {names if wanted.dtype == object else wanted.dtype.name}."
        )
    if wanted.dtype.kind in "UO":
        mask[positions_of(wanted.tolist(), table.names)] = True
    elif wanted.dtype.kind == "i":
        if wanted.max() >= n or wanted.min() < 0:
            raise ValueError(
                "categorical_features set as integer indices must be in [0, n_features - 1]"
            )
        mask[wanted] = True
    elif wanted.shape != mask.shape:
        raise ValueError(
            "categorical_features set as a boolean mask must have shape (n_features,), got:"
            f" {wanted.shape}"
        )
    else:
        mask = wanted
    return mask


def positions_of(wanted, names):
    """Positions of the wanted names among those of all columns."""
    if names is None:
        raise ValueError(
            "categorical_features should be passed as an array of integers or as a boolean mask"
            " when the model is fitted on data without feature names."
        )
    for name in wanted:
        if name not in names:
            raise ValueError(
                f"categorical_features has an item value '{name}' which is not a valid feature"
                f" name of the training data. Observed feature names: {names}"
            )
    return [names.index(name) for name in wanted]
