"""``cmlp.fuse``: a pipeline as one network that takes the raw row.

What a step becomes is in ``_affine_steps``; here is what is around the steps.
"""

import warnings
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from cmlp import _sklearn_form
from cmlp._affine_steps import Layer, fold_before, fold_behind, is_identity
from cmlp._classifier import MLPClassifier
from cmlp._from_sklearn import from_sklearn
from cmlp._parameters import Parameters
from cmlp._persistence import parameters_of
from cmlp._regressor import MLPRegressor
from cmlp._training import weights_shown

#: Cancellation times the rounding of a dtype from which on a fused network is warned of.
LIMITS = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-4}


def fuse(pipeline: Any, *, dtype: str | None = None) -> MLPClassifier | MLPRegressor:
    """A fitted pipeline as one network: affine steps are folded into its weights.

    The result takes the raw row, with the names of its columns, and is an estimator like any
    other: for :func:`cmlp.load`, ``to_sklearn`` and whatever else takes one. Folded are
    StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PCA, IncrementalPCA, TruncatedSVD,
    every selection of columns (SelectKBest, VarianceThreshold, RFE, ...), FunctionTransformer
    without a function, "passthrough", and Pipelines and ColumnTransformers of these before the
    network; behind it the scalers among them, as the transformer of a TransformedTargetRegressor.
    Searches and FrozenEstimators are seen through.

    All is computed in float64. Predictions agree with the pipeline's to about 1e-12 of their size
    in float64, 1e-4 in float32, unless a warning says how much less. They do for columns within a
    thousand of their scales from zero, a hundred in float32: a shift that the pipeline subtracts
    first becomes one that cancels within the layer.

    Parameters
    ----------
    pipeline : estimator
        A fitted Pipeline, TransformedTargetRegressor, ... with an MLPClassifier or MLPRegressor
        in it, of cmlp or of scikit-learn.
    dtype : {'float32', 'float64'}, default=None
        Of the fused weights; None is that of the network.

    Returns
    -------
    est : MLPClassifier or MLPRegressor
        A copy, with the records of the fit (``loss_curve_``, ``n_iter_``, ...). What a training
        would go on with is left out, as it is of other columns: ``partial_fit`` begins with fresh
        moments, on the raw columns and the raw target, with the penalty on the fused weights.
        Rows are numbers, columns that are dropped included; the columns of a DataFrame have the
        order of fit. One target gives predictions of shape (n_samples,).

    Raises
    ------
    NotFittedError
        If it, or a step, is not fitted.
    TypeError
        If it does not end in one multilayer perceptron.
    ValueError
        If a step cannot be folded, with its name and class; if the network has ``n_members``,
        ``encodings`` or dropout of its input; if weights are beyond the dtype.

    Warns
    -----
    UserWarning
        If the first layer cancels so much that digits of the predictions are lost.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from cmlp import MLPRegressor, fuse
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> reg = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs")
    >>> pipe = make_pipeline(StandardScaler(), reg).fit(X, X.sum(axis=1))
    >>> np.allclose(fuse(pipe).predict(X), pipe.predict(X))
    True
    """
    if dtype not in (None, "float32", "float64"):
        raise ValueError(f"dtype must be 'float32', 'float64' or None, got {dtype!r}.")
    steps, target_steps, inner = parts_of(pipeline)
    network = copy_of(inner, pipeline)
    parameters = parameters_of(network)
    check_foldable(network, steps, target_steps)
    wide = parameters.astype(np.float64)
    coefs, intercepts = list(wide.coefs), list(wide.intercepts)
    layer = fold_before(Layer(coefs[0], intercepts[0]), steps)
    coefs[0], intercepts[0] = layer.coef, layer.intercept
    last = Layer(coefs[-1], intercepts[-1])
    for step in reversed(target_steps):
        last = fold_behind(last, step)
    coefs[-1], intercepts[-1] = last.coef, last.intercept
    if not network.fit_intercept and any(intercept.any() for intercept in intercepts):
        raise ValueError("fuse cannot hold fit_intercept=False where steps shift their columns.")
    new_dtype = np.dtype(dtype or parameters.dtype)
    check_cancellation(layer, new_dtype)
    show(network, as_parameters(coefs, intercepts, new_dtype))
    if network.dtype is not None:
        network.dtype = new_dtype.name
    vars(network).pop("feature_names_in_", None)
    names = names_of(steps, inner)
    if names is not None:
        network.feature_names_in_ = names.copy()
    return network


def parts_of(pipeline):
    """Steps before the network, transformers of the target, outermost first, and the network."""
    steps, target_steps, inner, prefix = [], [], pipeline, ""
    while True:
        if isinstance(inner, Pipeline):
            check_is_fitted(inner)
            steps += [(prefix + name, step) for name, step in inner.steps[:-1]]
            prefix, inner = f"{prefix}{inner.steps[-1][0]}__", inner.steps[-1][1]
        elif isinstance(inner, TransformedTargetRegressor):
            check_is_fitted(inner)
            target_steps.append(inner.transformer_)
            inner = inner.regressor_
        elif isinstance(inner, FrozenEstimator):
            inner = inner.estimator
        elif hasattr(inner, "best_estimator_"):
            inner = inner.best_estimator_
        else:
            return steps, target_steps, inner


def copy_of(network, pipeline):
    """A copy of the network that a pipeline ends in, as cmlp's."""
    kinds = tuple(_sklearn_form.KINDS.values())
    if not isinstance(network, kinds):  # cmlp's are virtual subclasses of theirs
        raise TypeError(
            "fuse takes a fitted pipeline that ends in an MLPClassifier or MLPRegressor, got a"
            f" {type(pipeline).__name__} that ends in {short_name(network)}."
        )
    check_is_fitted(network, "coefs_")
    if isinstance(network, MLPClassifier | MLPRegressor):
        return deepcopy(network)
    return from_sklearn(network)


def short_name(step):
    return repr(step) if isinstance(step, str) or step is None else f"a {type(step).__name__}"


def check_foldable(network, steps, target_steps):
    """Raise ValueError if nothing can be folded into the network, whatever the steps."""
    if all(is_identity(step) for _, step in steps):
        steps = []
    found = {}
    if steps and network.n_members > 1:
        found["n_members"] = network.n_members
    if steps and network.encodings is not None:
        found["encodings"] = network.encodings
    dropout = network.dropout
    if steps and np.ndim(dropout) and dropout[0]:  # of other columns than were dropped
        found["dropout"] = dropout
    if target_steps and network.out_activation_ != "identity":
        found["out_activation_"] = network.out_activation_
    if target_steps and hasattr(network, "quantiles_"):
        found["quantile"] = network.quantiles_.tolist()
    _sklearn_form.refuse("fuse cannot fold steps into a network with {}.", found)


def check_cancellation(layer, dtype):
    """Warn if what a step shifts and the layer takes back leaves few digits."""
    error = layer.cancelled * float(np.finfo(dtype).eps)
    if error > LIMITS[dtype]:
        hint = "" if dtype == np.float64 else " fuse(..., dtype='float64') keeps more."
        warnings.warn(
            f"The step {layer.by!r} takes columns that lie far from zero to near it. In one"
            f" network that difference cancels, which leaves an error of about {error:.0e} in the"
            f" units of its first layer ({dtype}).{hint}",
            stacklevel=3,
        )


def as_parameters(coefs, intercepts, dtype):
    """The Parameters of the given dtype.

    Raises
    ------
    ValueError
        If numbers do not fit it.
    """
    with np.errstate(over="ignore", under="ignore"):
        parameters = Parameters.from_lists(coefs, intercepts, dtype)
    largest = np.abs(coefs[0]).max(axis=1)
    vanish = (largest > 0) & (largest < np.finfo(dtype).tiny)
    if not np.isfinite(parameters.vector).all() or vanish.any():
        raise ValueError(
            f"Fused weights are beyond {dtype}: scales of the columns are too small or too large."
            + (" fuse(..., dtype='float64') may hold them." if dtype != np.float64 else "")
        )
    return parameters


def show(network, parameters):
    """Have the network show the parameters; a training would begin anew."""
    attributes = vars(network)
    for name in ("_optimizer", "_dropout_state", "_parameters"):
        attributes.pop(name, None)
    attributes.update(weights_shown(parameters), t_=0, _incremental=False)
    attributes["n_features_in_"] = parameters.units[0]
    if "loss_curve_" in attributes:
        attributes["_no_improvement_count"] = 0
        if attributes["best_loss_"] is not None:
            attributes["best_loss_"] = np.inf


def names_of(steps, network):
    """The names of the columns that the first step was fitted to, or None."""
    for _, step in steps:
        if is_identity(step):
            continue  # it may not have looked at them
        if isinstance(step, Pipeline):
            return names_of(step.steps[:-1], step.steps[-1][1])
        return getattr(step, "feature_names_in_", None)
    return getattr(network, "feature_names_in_", None)
