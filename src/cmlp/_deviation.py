"""Predictions beside those of a copy of the estimator with 8-bit weights. No forms of a model."""

from copy import copy
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin

from cmlp._quantized import quantized


class Deviation(NamedTuple):
    """Result of ``quantization_error``."""

    largest: float
    mean: float
    labels_changed: float | None


def with_quantized_weights(est):
    """A copy of a fitted estimator whose weights are those of 8-bit integers."""
    other = copy(est)
    if hasattr(est, "estimators_"):
        other.estimators_ = [with_quantized_weights(network) for network in est.estimators_]
    else:
        other.coefs_ = [quantized(np.asarray(coef)).weights() for coef in est.coefs_]
    return other


def deviation(est, other, X):
    """The Deviation of the predictions of another estimator."""
    classifies = isinstance(est, ClassifierMixin)
    method = "predict_proba" if classifies else "predict"
    one, two = (getattr(model, method)(X) for model in (est, other))
    if isinstance(one, list):
        one, two = np.hstack(one), np.hstack(two)
    differences = np.abs(np.subtract(one, two, dtype=np.float64))
    changed = None
    if classifies:
        labels, others = est.predict(X), other.predict(X)
        if sp.issparse(labels):
            labels, others = labels.toarray(), others.toarray()
        changed = float(np.mean((labels != others).reshape(len(labels), -1).any(axis=1)))
    return Deviation(float(differences.max()), float(differences.mean()), changed)
