"""Labels of several multiclass columns: as one matrix of indicators, and back.

What scikit-learn's LabelBinarizer is for one column; which y has several; and what either is after
a fit, by which files are judged. No networks, no losses.
"""

from numbers import Real

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target


class MultioutputBinarizer:
    """Columns of labels to the indicators of their classes, side by side.

    Attributes
    ----------
    classes_ : list of ndarray of shape (n_classes_of_the_column,)
        The sorted labels of each column.
    y_type_ : str
        "multiclass-multioutput", as scikit-learn calls such targets.
    """

    y_type_ = "multiclass-multioutput"

    def __init__(self, classes):
        self.classes_ = classes

    @classmethod
    def from_targets(cls, y):
        """The binarizer of y of shape (n_samples, n_columns)."""
        return cls([np.unique(column) for column in columns_of(y)])

    @classmethod
    def from_classes(cls, classes):
        """The binarizer of given classes, an array-like for each column."""
        return cls([np.unique(as_column(np.asarray(labels))) for labels in classes])

    def unknown(self, y):
        """Labels of y that are not among the classes, a sorted array for each column.

        Raises
        ------
        ValueError
            If y has another number of columns.
        """
        columns = columns_of(y)
        if len(columns) != len(self.classes_):
            raise ValueError(
                f"`y` has {len(columns)} column(s), the previous call had {len(self.classes_)}."
            )
        return [
            np.array(sorted(set(column.tolist()) - set(classes.tolist())))
            for column, classes in zip(columns, self.classes_, strict=True)
        ]

    def transform(self, y):
        """Bool indicators of shape (n_samples, sum of the numbers of classes)."""
        return np.hstack(
            [
                column[:, None] == classes
                for column, classes in zip(columns_of(y), self.classes_, strict=True)
            ]
        )

    def split(self, p):
        """Columns of p, as transform orders them, for each column of y."""
        ends = np.cumsum([len(classes) for classes in self.classes_])
        return np.split(p, ends[:-1], axis=1)

    def inverse_transform(self, p):
        """The labels of the largest p, of shape (n_samples, n_columns).

        Of the dtype of the classes, or of objects where columns hold labels of different kinds.
        """
        kinds = {classes.dtype.kind for classes in self.classes_}
        dtype = object
        if len(kinds) == 1 or kinds <= set("iuf"):
            dtype = np.result_type(*self.classes_)
        y = np.empty((len(p), len(self.classes_)), dtype=dtype)
        for k, (classes, own) in enumerate(zip(self.classes_, self.split(p), strict=True)):
            y[:, k] = classes[own.argmax(axis=1)]
        return y


def columns_of(y):
    """The columns of a 2-D array, those of objects as arrays of their own dtypes."""
    if sp.issparse(y):
        raise ValueError(SPARSE_IS_INDICATOR.format("those of several columns of classes"))
    y = np.asarray(y)
    return [as_column(y[:, k]) for k in range(y.shape[1])] if y.ndim == 2 else [as_column(y)]


def as_column(labels):
    """Labels as an array that sorts: strings or numbers.

    Raises
    ------
    ValueError
        If they are neither, or both.
    """
    if labels.dtype == object:
        n_strings = sum(isinstance(label, str) for label in labels)
        if 0 < n_strings < len(labels):
            raise ValueError("The labels of a column of y must be all strings or all numbers.")
        labels = np.array(labels.tolist())
    kind = type_of_target(labels)
    if labels.dtype.kind not in "biufU":
        kind = labels.dtype
    if kind not in ("binary", "multiclass"):
        raise ValueError(f"Unknown label type: {kind} in a column of y.")
    if labels.dtype.kind == "U":
        labels = np.array(labels.tolist(), dtype=str)  # as short as the longest label
    return labels


# Which y has several columns of classes

SPARSE_IS_INDICATOR = "A sparse y is a multilabel indicator, of zeros and ones, but has {}."


def validatable(y):
    """y for scikit-learn's validation, which takes no DataFrame of categories of several kinds."""
    if (
        hasattr(y, "iloc")
        and y.ndim == 2
        and y.shape[1] > 1
        and not all(isinstance(dtype, np.dtype) for dtype in y.dtypes)
    ):
        return y.to_numpy(dtype=object, na_value=np.nan)
    return y


def as_array(y):
    """y that is not validated, as an array or sparse matrix; indicators not of objects."""
    if sp.issparse(y):
        return y
    y = np.asarray(validatable(y))
    return y.astype(int) if y.dtype == object and y.ndim == 2 and is_indicator(y) else y


def is_indicator(y):
    """Whether all values are 0 or 1, or False or True, as those of a multilabel indicator.

    Any two values make one for scikit-learn, which then learns whether they differ from zero.
    """
    y = y.tocsr().data if sp.issparse(y) else y
    if y.dtype == object:
        y = np.array(y.tolist())
    return y.dtype.kind == "b" or (
        y.dtype.kind in "iuf" and bool(np.logical_or(y == 0, y == 1).all())
    )


def is_multioutput(y):
    """Whether an array is of several columns of classes, and no indicator."""
    return not sp.issparse(y) and y.ndim == 2 and y.shape[1] > 1 and not is_indicator(y)


def as_indicator(y):
    """A multilabel indicator, of integers if it was of objects.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not is_indicator(y):
        values = y.tocsr().data if sp.issparse(y) else y
        values = f"the values {[*dict.fromkeys(values.ravel().tolist())][:9]}"
        if sp.issparse(y):
            raise ValueError(SPARSE_IS_INDICATOR.format(values))
        raise ValueError(
            "y must be a multilabel indicator, of zeros and ones, as that of the first call, but"
            f" has {values}. For columns of classes that come bit by bit, give partial_fit a list"
            " of `classes` for each column."
        )
    return y.astype(int) if y.dtype == object else y


def as_before(binarizer, y):
    """y as a LabelBinarizer takes it, of the same kind as what it was fitted to.

    It says itself what is wrong if it was fitted to one column.

    Raises
    ------
    ValueError
        If it was fitted to a multilabel indicator and y is none.
    """
    if not binarizer.y_type_.startswith("multilabel"):
        return y
    if y.ndim == 1:
        raise ValueError(
            f"`y` has 1 column, that of the first call had {len(binarizer.classes_)}: a multilabel"
            " indicator."
        )
    return as_indicator(y)


def is_list_of_classes(classes):
    """Whether classes are given for several columns, not as one list of labels."""
    if isinstance(classes, np.ndarray) and classes.dtype != object:
        return classes.ndim == 2 and classes.shape[1] > 1
    return (
        isinstance(classes, list | tuple | np.ndarray)
        and len(classes) > 0
        and all(isinstance(labels, list | tuple | np.ndarray) for labels in classes)
    )


def classes_of_columns(classes, y):
    """The ``classes`` of a first partial_fit, one array-like for each column of y.

    One list of labels is that of every column. None if y has but one, or is an indicator, whose
    classes are the numbers of its columns, as in scikit-learn.
    """
    if classes is None or is_list_of_classes(classes):
        return classes
    y = as_array(y)
    if sp.issparse(y) or y.ndim != 2 or y.shape[1] < 2:
        return None
    if is_indicator(y):  # or a part of columns of classes that has no others
        labels = set(np.unique(as_column(np.asarray(classes))).tolist())
        if labels <= {0, 1} or labels.issuperset(range(y.shape[1])):
            return None
    return [classes] * y.shape[1]


# What a fit leaves

#: What scikit-learn calls the kinds of one column of labels, or of indicators, and how many
#: classes each may have.
LABEL_TYPES = {
    "binary": range(1, 3),
    "multiclass": range(3, 2**31),
    "multilabel-indicator": range(1, 2**31),
}


def check_labels(binarizer, classes):
    """The classes of each column, as a list, if a fit can have left them and the binarizer.

    Raises
    ------
    ValueError
        If not.
    """
    columns, own, kind = classes, getattr(binarizer, "classes_", None), MultioutputBinarizer
    if type(classes) is not list:
        columns, own, kind = [classes], [own], LabelBinarizer
    if not columns or not all(map(are_sorted_labels, columns)):
        raise ValueError("classes_ must be an array of sorted labels, or a list of such arrays")
    if type(binarizer) is not kind:
        raise ValueError(f"classes_ need a {kind.__name__} as _label_binarizer")
    if type(own) is not list or len(own) != len(columns) or not all(map(are_equal, own, columns)):
        raise ValueError(
            f"classes_ are {classes}, but the labels that predict returns are"
            f" {getattr(binarizer, 'classes_', None)}"
        )
    if kind is LabelBinarizer:
        y_type = getattr(binarizer, "y_type_", None)
        if y_type not in LABEL_TYPES or len(classes) not in LABEL_TYPES[y_type]:
            raise ValueError(
                f"_label_binarizer.y_type_ is {y_type!r}, no type of {len(classes)} classes_"
            )
        as_made = (binarizer.neg_label, binarizer.pos_label, binarizer.sparse_output)
        sparse = getattr(binarizer, "sparse_input_", None)
        if (
            as_made != (0, 1, False)
            or type(sparse) is not bool
            or (sparse and not y_type.startswith("multilabel"))
        ):
            raise ValueError("_label_binarizer is not that of a fit")
    return columns


def are_equal(one, other):
    """Whether two arrays are, whatever they hold."""
    return isinstance(one, np.ndarray) and np.array_equal(one, other)


def are_sorted_labels(classes):
    """Whether these are the classes of a column."""
    if (
        not isinstance(classes, np.ndarray)
        or classes.ndim != 1
        or not classes.size
        or (classes.dtype == object and not all(isinstance(c, str | Real) for c in classes))
    ):
        return False
    try:
        return np.array_equal(np.unique(classes), classes)
    except TypeError:  # strings and numbers
        return False
