"""Affine steps of scikit-learn's pipelines, folded into the layer that follows or precedes them.

A layer is its weights and biases in float64. No networks, no estimators of our own.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils.validation import check_is_fitted


class Layer(NamedTuple):
    """Weights and biases, and what was cancelled when steps were folded into them.

    Attributes
    ----------
    coef : ndarray of shape (n_inputs, n_outputs)
    intercept : ndarray of shape (n_outputs,)
    cancelled : float
        The largest shift of a step, as the outputs see it, in units of what they otherwise add up.
    by : str
        The step that shifts so far.
    """

    coef: np.ndarray
    intercept: np.ndarray
    cancelled: float = 0.0
    by: str = ""


def refuse(name, step, reason=""):
    """Raise the ValueError of a step that cannot be folded."""
    kind = step if isinstance(step, str) else type(step).__name__
    raise ValueError(f"fuse cannot fold the step {name!r} ({kind}){reason}.")


def fold_before(layer, steps):
    """The layer that reads what the first of some steps reads.

    Parameters
    ----------
    layer : Layer
        It reads what the last step gives.
    steps : list of tuple (name, transformer)
        As a pipeline has them; nested ones in it.

    Raises
    ------
    NotFittedError
        If one is not fitted.
    ValueError
        If one is not affine, does not fit the next, or is beyond float64.
    """
    scale = 1 + np.abs(layer.intercept) + np.abs(layer.coef).sum(axis=0)
    for name, step in reversed(steps):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            coef, shift, load = folded(name, step, layer.coef)
            intercept = layer.intercept + shift
            cancelled = float((load / scale).max(initial=0.0))
        if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
            refuse(name, step, ": its scales and those of the network are beyond float64")
        largest = (layer.cancelled, layer.by)
        if cancelled > layer.cancelled:
            largest = (cancelled, name)
        layer = Layer(coef, intercept, *largest)
    return layer


def folded(name, step, coef):
    """Weights before a step, what it adds to the biases, and magnitudes that this is a sum of."""
    step = unfrozen(step)
    if is_identity(step):
        return uncentred(coef)
    if isinstance(step, str):
        refuse(name, step)
    if isinstance(step, SelectorMixin) and all(
        getattr(type(step), method) is getattr(SelectorMixin, method)
        for method in ("transform", "_transform")
    ):
        kept = step.get_support()  # which has its own notion of what is fitted
        check_width(name, step, np.count_nonzero(kept), coef)
        before = np.zeros((len(kept), coef.shape[1]))
        before[kept] = coef
        return uncentred(before)
    check_is_fitted(step)
    if type(step) is Pipeline:
        layer = Layer(coef, np.zeros(coef.shape[1]))
        loads = np.zeros(coef.shape[1])
        for inner, inner_step in reversed(step.steps):
            more, shift, load = folded(f"{name}__{inner}", inner_step, layer.coef)
            layer = Layer(more, layer.intercept + shift)
            loads += load
        return layer.coef, layer.intercept, loads
    if type(step) is ColumnTransformer:
        return of_columns(name, step, coef)
    fold = FOLDS.get(type(step))
    if fold is None:
        refuse(name, step)
    return fold(name, step, coef)


def unfrozen(step):
    """The step itself, where a FrozenEstimator holds it."""
    while type(step) is FrozenEstimator:
        step = step.estimator
    return step


def is_identity(step):
    """Whether a step hands on what it is given."""
    step = unfrozen(step)
    return (
        step is None
        or (isinstance(step, str) and step == "passthrough")
        or (type(step) is FunctionTransformer and step.func is None)
    )


def check_width(name, step, width, coef):
    if width != len(coef):
        refuse(name, step, f": it gives {width} columns, what follows reads {len(coef)}")


def centred(coef, center):
    """Of inputs from which a center is subtracted before the weights."""
    return coef, -(center @ coef), np.abs(center) @ np.abs(coef)


def uncentred(coef):
    zeros = np.zeros(coef.shape[1])
    return coef, zeros, zeros


def of_columns(name, step, coef):
    """Of a ColumnTransformer: each part has its rows of the weights and reads its columns."""
    before = np.zeros((step.n_features_in_, coef.shape[1]))
    shifts, loads = np.zeros(coef.shape[1]), np.zeros(coef.shape[1])
    places = step.output_indices_
    check_width(name, step, max((place.stop for place in places.values()), default=0), coef)
    for part, transformer, _ in step.transformers_:
        rows = coef[places[part]]
        if not len(rows):
            continue
        weight = (step.transformer_weights or {}).get(part)
        if weight is not None:
            rows = weight * rows
        own, shift, load = folded(f"{name}__{part}", transformer, rows)
        columns = np.asarray(step._transformer_to_input_indices[part], dtype=np.intp)
        np.add.at(before, columns, own)
        shifts += shift
        loads += load
    return before, shifts, loads


# Single steps: of scalers both directions


class Scaling(NamedTuple):
    """Columns as (x - center) / scale * factor + shift; each one number or one per column."""

    center: Any = 0.0
    scale: Any = 1.0
    factor: Any = 1.0
    shift: Any = 0.0


def scaling_of(name, step, clips=True):
    """The Scaling of a scaler; None if it is none."""
    match step:
        case StandardScaler():
            center = step.mean_ if step.with_mean else 0.0
            return Scaling(center, step.scale_ if step.with_std else 1.0)
        case RobustScaler():
            center = step.center_ if step.with_centering else 0.0
            return Scaling(center, step.scale_ if step.with_scaling else 1.0)
        case MinMaxScaler():
            scaling = Scaling(factor=step.scale_, shift=step.min_)
        case MaxAbsScaler():
            scaling = Scaling(scale=step.scale_)
        case _:
            return None
    if clips and getattr(step, "clip", False):
        refuse(name, step, " with clip=True")
    return scaling


def as_column(values):
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)


def of_scaler(name, step, coef):
    scaling = scaling_of(name, step)
    check_width(name, step, step.n_features_in_, coef)
    before = coef / as_column(scaling.scale) * as_column(scaling.factor)
    center = np.broadcast_to(np.asarray(scaling.center, dtype=np.float64), len(coef))
    _, added, load = centred(before, center)
    shift = np.broadcast_to(np.asarray(scaling.shift, dtype=np.float64), len(coef))
    return before, added + shift @ coef, load + np.abs(shift) @ np.abs(coef)


def of_pca(name, step, coef):
    components = step.components_.astype(np.float64)
    check_width(name, step, len(components), coef)
    if step.whiten:
        scale = np.sqrt(step.explained_variance_)
        # as scikit-learn does in its dtype
        coef = coef / as_column(np.maximum(scale, np.finfo(scale.dtype).eps))
    return centred(components.T @ coef, step.mean_.astype(np.float64))


def of_svd(name, step, coef):
    check_width(name, step, len(step.components_), coef)
    return uncentred(step.components_.T.astype(np.float64) @ coef)


FOLDS = {
    **dict.fromkeys((StandardScaler, RobustScaler, MinMaxScaler, MaxAbsScaler), of_scaler),
    **dict.fromkeys((PCA, IncrementalPCA), of_pca),
    TruncatedSVD: of_svd,
}


def fold_behind(layer, step, name="transformer"):
    """The layer that gives what the inverse of a step makes of what the layer gives.

    Parameters
    ----------
    layer : Layer
    step : transformer
        Of the targets.

    Raises
    ------
    NotFittedError
        If it is not fitted.
    ValueError
        If it is no scaler.
    """
    step = unfrozen(step)
    if is_identity(step):
        if isinstance(step, FunctionTransformer) and step.inverse_func is not None:
            refuse(name, step, " with an inverse_func")
        return layer
    check_is_fitted(step)
    if type(step) is Pipeline:
        for inner, inner_step in reversed(step.steps):
            layer = fold_behind(layer, inner_step, f"{name}__{inner}")
        return layer
    scaling = scaling_of(name, step, clips=False) if type(step) in FOLDS else None
    if scaling is None:
        refuse(name, step)
    if step.n_features_in_ != len(layer.intercept):
        refuse(name, step, f": the network has {len(layer.intercept)} outputs")
    center, scale, factor, shift = (np.asarray(one, dtype=np.float64) for one in scaling)
    with np.errstate(over="ignore", invalid="ignore"):
        coef = layer.coef / factor * scale
        intercept = (layer.intercept - shift) / factor * scale + center
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        refuse(name, step, ": its scales and those of the network are beyond float64")
    return layer._replace(coef=coef, intercept=intercept)
