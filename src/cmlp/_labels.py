"""Labels of several multiclass columns: as one matrix of indicators, and back.

What scikit-learn's LabelBinarizer is for one column; and what either is after a fit, by which
files are judged. No networks, no losses.
"""

from numbers import Real

import numpy as np
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
    if labels.dtype.kind not in "biufU" or type_of_target(labels) not in ("binary", "multiclass"):
        raise ValueError(f"Unknown label type: {type_of_target(labels)} in a column of y.")
    if labels.dtype.kind == "U":
        labels = np.array(labels.tolist(), dtype=str)  # as short as the longest label
    return labels


def is_multioutput(y):
    """Whether y is of several columns of classes, at least one of which is no indicator."""
    y = np.asarray(y) if not hasattr(y, "indptr") else y
    if getattr(y, "ndim", 0) != 2 or y.shape[1] < 2 or hasattr(y, "indptr"):
        return False
    if y.dtype == object:  # columns of different kinds, as of a DataFrame
        return any(isinstance(label, str) for label in y[:1].ravel())
    return type_of_target(y) == "multiclass-multioutput"


def is_list_of_classes(classes):
    """Whether classes are given for several columns, not as one list of labels."""
    if isinstance(classes, np.ndarray) and classes.dtype != object:
        return classes.ndim == 2 and classes.shape[1] > 1
    return (
        isinstance(classes, list | tuple | np.ndarray)
        and len(classes) > 0
        and all(isinstance(labels, list | tuple | np.ndarray) for labels in classes)
    )


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
