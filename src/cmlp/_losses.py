"""Losses by their users' names: row in the engine's table, parameter, domain of y.

Also what becomes of several quantiles. No formulas, no training.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import d2_pinball_score

from cmlp._core import engine

#: Name of the parameter of each loss, as its user calls it.
PARAMETERS = {row["loss"]: row["parameter"] for row in engine.LOSSES.values()}
#: Name of the row of each loss of a classifier and its output activation.
CLASSIFIER_ROWS = {
    (row["loss"], row["canonical_activation"]): name
    for name, row in engine.LOSSES.items()
    if row["classifier"]
}
#: Losses of the powers that the formula for other powers does not cover.
TWEEDIE = {0: "squared_error", 1: "poisson", 2: "gamma"}


class Loss(NamedTuple):
    """A loss as a value: row in the engine's table, parameter, scale and shift of the targets.

    Attributes
    ----------
    row : str
    parameter : float, tuple of float (one per output) or None
    target_scale, target_shift : float
        What is learnt of an indicator y is target_scale * y + target_shift.
    """

    row: str
    parameter: float | tuple[float, ...] | None = None
    target_scale: float = 1.0
    target_shift: float = 0.0


def loss_of(est, architecture):
    """The Loss that the parameters of an estimator ask for, given an Architecture.

    Raises
    ------
    ValueError
        If there is no such loss, or label smoothing does not fit the classes.
    """
    row, parameter = loss_row(est, architecture.activations[-1])
    smoothing = float(getattr(est, "label_smoothing", 0.0))
    if not smoothing:
        return Loss(row, parameter)
    sizes = {2}
    if architecture.activations[-1] == "softmax":
        sizes = set(architecture.group_sizes or architecture.units[-1:])
    if len(sizes) > 1:
        raise ValueError("label_smoothing needs columns of y with equal numbers of classes.")
    return Loss(row, parameter, 1 - smoothing, smoothing / max(sizes))


def loss_row(est, out_activation):
    """Name of an MLP's loss in the engine's table, and its parameter; cmlp's or scikit-learn's."""
    parameter = parameter_of(est)
    if isinstance(est, ClassifierMixin):
        return CLASSIFIER_ROWS[est.loss, out_activation], parameter
    return regressor_loss(est.loss, parameter), parameter


def loss_names(estimator):
    """The losses of a "regressor" or a "classifier", as their users call them."""
    return {row["loss"] for row in engine.LOSSES.values() if row[estimator]}


def regressor_loss(loss, parameter):
    """Name of the row of a regressor's loss."""
    return TWEEDIE.get(parameter, loss) if loss == "tweedie" else loss


def parameter_of(est):
    """The parameter of the loss of an estimator, as the engine takes it, or None.

    Raises
    ------
    ValueError
        If one of several quantiles is not between 0 and 1, or there is no such loss, which a
        partial_fit, whose parameters are not validated, is the first to see.
    """
    if est.loss not in PARAMETERS:
        raise ValueError(f"There is no loss {est.loss!r}.")
    name = PARAMETERS[est.loss]
    if name is None:
        return None
    parameter = getattr(est, name)
    if not np.ndim(parameter):
        return float(parameter)
    quantiles = np.asarray(parameter, dtype=np.float64)
    if quantiles.ndim != 1 or not quantiles.size or not np.all((quantiles > 0) & (quantiles < 1)):
        raise ValueError(
            f"quantile must be a float in (0, 1) or a list of such floats, got {parameter!r}."
        )
    return tuple(quantiles.tolist())


def check_targets(loss, row, parameter, y):
    """Raise scikit-learn's ValueError if some y are out of the range of the loss.

    Parameters
    ----------
    loss : str
        As the user calls it.
    row : str
        Its name in the engine's table.
    """
    domain = engine.LOSSES[row]["domain"]
    if row == "tweedie" and parameter > 2:
        domain = "positive"
    if (domain == "non-negative" and np.any(y < 0)) or (domain == "positive" and np.any(y <= 0)):
        raise ValueError(f"Some value(s) of y are out of the valid range of the loss {loss!r}.")


@lru_cache
def positive_activations():
    """Output activations, without softmax, all of whose values are positive."""
    names = []
    for name, row in engine.ACTIVATIONS.items():
        z = np.linspace(-8, 8, 65).reshape(-1, 1)
        engine.activate(name, z)
        if row["output"] and name != "softmax" and z.min() > 0:
            names.append(name)
    return sorted(names)


# Several quantiles


def in_order(predictions, quantiles):
    """Predictions (..., n_quantiles) sorted so that a larger quantile is nowhere smaller.

    Chernozhukov, Fernandez-Val & Galichon, "Quantile and probability curves without crossing",
    Econometrica 78 (2010): sorted curves are nowhere further from the true ones.
    """
    sorted_predictions = np.empty_like(predictions)
    sorted_predictions[..., np.argsort(quantiles, kind="stable")] = np.sort(predictions, axis=-1)
    return sorted_predictions


def quantile_score(y, predictions, quantiles, sample_weight=None):
    """The mean of ``d2_pinball_score`` over quantiles (and targets).

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    predictions : ndarray of shape (n_samples, [n_targets,] n_quantiles)
    """
    return float(
        np.mean(
            [
                d2_pinball_score(y, predictions[..., i], sample_weight=sample_weight, alpha=alpha)
                for i, alpha in enumerate(quantiles)
            ]
        )
    )
