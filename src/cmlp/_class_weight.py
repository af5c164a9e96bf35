"""Class weights as sample weights, by scikit-learn's own functions. No estimator, no training."""

import numpy as np
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight


def weigh_classes(class_weight, classes, y, sample_weight):
    """The sample weights, times the weight of the class of each sample.

    Parameters
    ----------
    class_weight : dict, list of dict or 'balanced'
        'balanced' counts samples, whatever they weigh, as scikit-learn's trees do.
    classes : ndarray of shape (n_classes,)
        All classes, of which y may lack some, unless 'balanced'.
    y : ndarray of shape (n_samples,) or (n_samples, n_labels)
        Labels, or a multilabel indicator; the weights of several columns are multiplied.
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    sample_weight : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If the class weights do not fit the classes or the columns of y.
    """
    if y.ndim == 1:
        if isinstance(class_weight, list):
            raise ValueError(
                "class_weight as a list of dicts is for multilabel y, one dict for each column."
            )
        weights = compute_class_weight(class_weight, classes=classes, y=y)
        weights = weights[np.searchsorted(classes, y)]
    else:
        if isinstance(class_weight, list):
            unknown = set().union(*class_weight) - {0, 1}
            if unknown:
                raise ValueError(
                    "The classes of a column of a multilabel y are 0 and 1: class_weight has"
                    f" {sorted(unknown, key=str)}."
                )
            # a column of a batch may lack a class that its dict names
            class_weight = [{0: 1, 1: 1, **weights} for weights in class_weight]
        weights = compute_sample_weight(class_weight, y.astype(np.intp))
    return product(weights, sample_weight)


def product(weights, sample_weight):
    """Of the weights of the classes and, if there are any, those of the samples."""
    if sample_weight is None:
        return weights
    with np.errstate(over="ignore"):  # who reads them says so
        return sample_weight * weights


def weigh_columns(class_weight, y, sample_weight):
    """The same for several columns of classes: the weights of the columns are multiplied.

    Parameters
    ----------
    class_weight : list of dict, one for each column, or 'balanced'
    y : ndarray of shape (n_samples, n_columns)
    """
    weights = compute_sample_weight(class_weight, y)
    return product(weights, sample_weight)


#: What partial_fit says of 'balanced': scikit-learn's words, in SGDClassifier.
BALANCED_NEEDS_ALL = (
    "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights,"
    " use compute_class_weight('balanced', classes=classes, y=y). In place of y you can use a"
    " large enough sample of the full training set target to properly estimate the class frequency"
    " distributions. Pass the resulting weights as the class_weight parameter."
)
