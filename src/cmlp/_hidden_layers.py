"""HiddenLayers: the hidden layer of a network as a transformer. No arithmetic, no training."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MetaEstimatorMixin,
    TransformerMixin,
    clone,
    is_classifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from cmlp._architecture import layer_sizes
from cmlp._inspection import hidden_layer_index
from cmlp._labels import as_array, columns_of, is_multioutput
from cmlp._typing import ArrayLike, FloatArray, MatrixLike, _fit_context
from cmlp._validation import available_if


def can_partial_fit(self):
    """Whether the estimator has ``partial_fit``, or its AttributeError."""
    getattr(self.estimator, "partial_fit")  # noqa: B009
    return True


def classes_in(y):
    """Labels of y, as a list of those of each column if there are several columns of classes."""
    y = as_array(y)
    return (
        [np.unique(column) for column in columns_of(y)] if is_multioutput(y) else unique_labels(y)
    )


class HiddenLayers(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, MetaEstimatorMixin, BaseEstimator
):
    """Transformer that gives the activations of a hidden layer of a network.

    Trains a clone of an MLPClassifier or MLPRegressor and transforms X into what that network's
    hidden layer makes of it, as features for the next step of a pipeline. A network that is
    fitted already, and is to stay as it is, comes in a :class:`sklearn.frozen.FrozenEstimator`.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor of cmlp
        The network, fitted or not; it is cloned, and the clone is fitted, unless it is frozen.
    layer : int, default=-1
        Which hidden layer, from 0; -1 is the last.

    Attributes
    ----------
    estimator_ : MLPClassifier or MLPRegressor
        The fitted network.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had them and all are strings.

    See Also
    --------
    MLPClassifier.hidden_layer : The same activations, of a fitted classifier.
    MLPRegressor.hidden_layer : The same activations, of a fitted regressor.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from cmlp import HiddenLayers, MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier((8,), solver="lbfgs", random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), HiddenLayers(network), LogisticRegression())
    >>> bool(pipeline.fit(X, y).score(X, y) > 0.95)
    True
    >>> pipeline[:-1].get_feature_names_out()[:2]
    array(['hiddenlayers0', 'hiddenlayers1'], dtype=object)
    """

    estimator_: Any

    _parameter_constraints: dict[str, list[Any]] = {
        "estimator": [HasMethods(["fit", "hidden_layer"])],
        "layer": [Integral],
    }

    def __init__(self, estimator: Any, layer: int = -1) -> None:
        self.estimator = estimator
        self.layer = layer

    @_fit_context(prefer_skip_nested_validation=False)  # the network's are its own to validate
    def fit(self, X: MatrixLike, y: ArrayLike | None = None, **fit_params: Any) -> Self:
        """Fit a clone of the network; one that is frozen stays as it is.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What the network learns to predict.
        **fit_params : dict
            Passed to the network's ``fit``, by metadata routing where it is enabled.

        Returns
        -------
        self : HiddenLayers

        Raises
        ------
        ValueError
            If there is no such hidden layer, or as the network's ``fit``.
        """
        return self._fit_clone("fit", X, y, fit_params)

    @available_if(can_partial_fit)
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: MatrixLike, y: ArrayLike | None = None, **fit_params: Any) -> Self:
        """Train the network with one epoch over X and y; the first call makes the clone.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        **fit_params : dict
            Passed to the network's ``partial_fit``, by metadata routing where it is enabled. The
            ``classes`` of a classifier are those of the first y, unless the first call has them.

        Returns
        -------
        self : HiddenLayers

        Raises
        ------
        ValueError
            If there is no such hidden layer, or as the network's ``partial_fit``.
        """
        if isinstance(self.estimator, FrozenEstimator):  # which would train what it wraps
            return self._fit_clone("fit", X, y, {})
        return self._fit_clone("partial_fit", X, y, fit_params)

    def _fit_clone(self, method, X, y, params):
        estimator = getattr(self, "estimator_", None)
        # a frozen one, of before, would train what it wraps
        continues = method == "partial_fit" and not isinstance(estimator, FrozenEstimator | None)
        estimator = estimator if continues else clone(self.estimator)
        estimator._validate_params()
        hidden_layer_index(self.layer, len(layer_sizes(estimator.hidden_layer_sizes)))
        if get_config()["enable_metadata_routing"]:
            params = process_routing(self, method, **params).estimator[method]
        if method == "partial_fit" and not continues and is_classifier(estimator):
            params = {"classes": None if y is None else classes_in(y), **params}
        getattr(estimator, method)(X, y, **params)
        self.estimator_ = estimator
        return self

    def transform(self, X: MatrixLike) -> FloatArray:
        """Activations of the hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        H : ndarray of shape (n_samples, n_units)
            Dense, of the dtype of the network's predictions; a DataFrame after
            ``set_output(transform="pandas")``.

        Raises
        ------
        NotFittedError
            Before fit.
        ValueError
            If X has other features than in fit, or there is no such layer.
        """
        check_is_fitted(self)
        return self.estimator_.hidden_layer(X, self.layer)

    @property
    def n_features_in_(self) -> int:
        return self._of_estimator("n_features_in_")

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        return self._of_estimator("feature_names_in_")

    def _of_estimator(self, name):
        if not hasattr(self, "estimator_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.estimator_, name)

    @property
    def _n_features_out(self):
        coefs = self.estimator_.coefs_
        return coefs[hidden_layer_index(self.layer, len(coefs) - 1)].shape[1]

    def get_metadata_routing(self) -> Any:
        """Routing of metadata to the network.

        Returns
        -------
        routing : MetadataRouter
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        mapping.add(caller="partial_fit", callee="partial_fit")
        return MetadataRouter(owner=self).add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        of_network = get_tags(self.estimator)
        tags.input_tags = of_network.input_tags
        tags.target_tags = of_network.target_tags
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
