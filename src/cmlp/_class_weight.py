"""Class weights as sample weights, for labels of every kind. No estimator, no training."""

import sys
from numbers import Real

import numpy as np
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight


def weigh_classes(class_weight, classes, positions, sample_weight):
    """The sample weights, times the weight of the class of each sample.

    Parameters
    ----------
    class_weight : dict, list of dict or 'balanced'
        'balanced' counts samples, whatever they weigh, as scikit-learn's trees do.
    classes : ndarray, list of ndarray with those of each column, or None
        All classes, of which y may lack some, unless 'balanced'. None of a multilabel indicator.
    positions : ndarray of int of shape (n_samples,) or (n_samples, n_columns)
        Where among the classes (of the column) the label is; the weights of several columns are
        multiplied.
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    sample_weight : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If the class weights do not fit the classes or the columns of y, or are not finite.
    """
    if positions.ndim == 1:
        if isinstance(class_weight, list):
            raise ValueError(
                "class_weight as a list of dicts is for multilabel y, one dict for each column."
            )
        weights = weights_of(class_weight, classes, positions)[positions]
    elif isinstance(class_weight, list) and len(class_weight) == positions.shape[1]:
        if classes is None:
            check_multilabel(class_weight)
            classes = [np.arange(2)] * len(class_weight)
        weights = np.prod(
            [
                weights_of(own, labels, column)[column]
                for own, labels, column in zip(class_weight, classes, positions.T, strict=True)
            ],
            axis=0,
        )
    else:  # 'balanced', or scikit-learn says what is wrong
        weights = compute_sample_weight(class_weight, positions)
    if sample_weight is None:
        return weights
    with np.errstate(over="ignore"):  # who reads them says so
        return sample_weight * weights


def weights_of(class_weight, classes, positions):
    """The weight of each class of a column.

    A dict is read here: scikit-learn does not find a string of digits in it, and says of one that
    names a class too many that it lacks the others.
    """
    if not isinstance(class_weight, dict):
        return compute_class_weight(class_weight, classes=np.arange(len(classes)), y=positions)
    for label, weight in class_weight.items():
        if not isinstance(weight, Real) or not abs(weight) <= sys.float_info.max:
            raise ValueError(
                f"class_weight must be a finite number for each class, got {weight!r} for"
                f" {label!r}."
            )
    labels = classes.tolist()
    absent = [label for label in class_weight if label not in labels]
    if absent and not class_weight.keys() >= set(labels):  # else a part of y lacks a class
        raise ValueError(f"class_weight names {absent}, but the classes of y are {labels}.")
    return np.array([class_weight.get(label, 1) for label in labels], dtype=np.float64)


def check_multilabel(class_weight):
    """Raise ValueError if one of the dicts names another class than 0 and 1."""
    unknown = set().union(*class_weight) - {0, 1}
    if unknown:
        raise ValueError(
            "The classes of a column of a multilabel y are 0 and 1: class_weight has"
            f" {sorted(unknown, key=str)}."
        )


#: What partial_fit says of 'balanced': scikit-learn's words, in SGDClassifier.
BALANCED_NEEDS_ALL = (
    "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights,"
    " use compute_class_weight('balanced', classes=classes, y=y). In place of y you can use a"
    " large enough sample of the full training set target to properly estimate the class frequency"
    " distributions. Pass the resulting weights as the class_weight parameter."
)
