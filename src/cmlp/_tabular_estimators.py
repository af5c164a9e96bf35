"""TabularMLPClassifier and TabularMLPRegressor: signatures, documentation, labels and scales.

What both do with a table and its networks is in ``_tabular``.
"""

from collections.abc import Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y

from cmlp._classifier import MLPClassifier
from cmlp._docs import documented_with
from cmlp._labels import as_array, as_indicator
from cmlp._regressor import MLPRegressor
from cmlp._tabular import BaseTabularMLP, check_given
from cmlp._tabular_docs import FIT, TABULAR
from cmlp._typing import ArrayLike, Labels, MatrixLike, Probabilities
from cmlp._validation import fit_context

#: Losses of the regressor whose predictions are positive: y keeps its zero.
POSITIVE = ("poisson", "gamma", "tweedie")


@documented_with(TABULAR)
class TabularMLPClassifier(ClassifierMixin, BaseTabularMLP):
    """Multilayer perceptron classifier for raw tables, strong at its defaults.

    Parameters
    ----------
    loss : {'log_loss', 'focal', 'brier'}, default='log_loss'
        As of :class:`MLPClassifier`.
    label_smoothing : float, default=0.0
        As of :class:`MLPClassifier`. Better labels may cost worse probabilities.
    class_weight : dict, 'balanced' or None, default=None
        As of :class:`MLPClassifier`.
    learning_rate_init : float, default=0.002
        The learning rate of AdamW to begin with; it falls to zero with a cosine.
    ... : parameters of both estimators

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; a list of them where y has several columns of classes.
    ... : attributes of both estimators

    See Also
    --------
    TabularMLPRegressor : The same for regression.
    MLPClassifier : One network, on numbers, with scikit-learn's settings.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from cmlp import TabularMLPClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> clf = TabularMLPClassifier(random_state=0).fit(X_train, y_train)
    >>> bool(clf.score(X_test, y_test) > 0.93)
    True
    """

    classes_: Any

    _network_kind = MLPClassifier

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseTabularMLP._parameter_constraints,
        **{
            name: MLPClassifier._parameter_constraints[name]
            for name in ("loss", "label_smoothing", "class_weight")
        },
    }

    def __init__(
        self,
        hidden_layer_sizes: ArrayLike | int | str = "auto",
        activation: str | Sequence[str] = "silu",
        *,
        loss: str = "log_loss",
        label_smoothing: float = 0.0,
        class_weight: dict[Any, Any] | list[dict[Any, Any]] | str | None = None,
        n_members: int = 4,
        n_folds: int = 5,
        validation_fraction: float = 0.15,
        categorical_features: str | ArrayLike | None = "from_dtype",
        n_bins: int = 48,
        embedding: int = 6,
        step_embedding: int = 4,
        max_one_hot: int = 8,
        dropout: float | ArrayLike = 0.1,
        weight_decay: float = 3e-4,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.002,
        beta_2: float = 0.999,
        max_grad_norm: float | None = 1.0,
        max_iter: int | str = "auto",
        n_iter_no_change: int | str = "auto",
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        n_jobs: int | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.n_members = n_members
        self.n_folds = n_folds
        self.validation_fraction = validation_fraction
        self.categorical_features = categorical_features
        self.n_bins = n_bins
        self.embedding = embedding
        self.step_embedding = step_embedding
        self.max_one_hot = max_one_hot
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.beta_2 = beta_2
        self.max_grad_norm = max_grad_norm
        self.max_iter = max_iter
        self.n_iter_no_change = n_iter_no_change
        self.time_limit = time_limit
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs

    @fit_context
    @documented_with(FIT)
    def fit(
        self,
        X: MatrixLike,
        y: MatrixLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: MatrixLike | None = None,
        y_val: MatrixLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Encode the table and fit the networks.

        Parameters
        ----------
        y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_columns)
            Class labels, a multilabel indicator, or several columns of class labels.
        ... : see ``cmlp/_tabular_docs.py``

        Returns
        -------
        self : TabularMLPClassifier
        """
        y = self._labels(y)
        if X_val is not None and y_val is not None:
            y_val = self._labels(y_val)
        held_out = X_val, y_val, sample_weight_val
        return self._fit_table(X, y, sample_weight, held_out, "classifier")

    def predict(self, X: MatrixLike) -> Labels:
        """Predict class labels.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            With the columns of fit; their order does not matter where they have names.

        Returns
        -------
        y : ndarray of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_columns)

        Raises
        ------
        NotFittedError
            Before fit.
        ValueError, TypeError
            If a column of fit is missing, or one of numbers holds something else.
        """
        p = self.predict_proba(X)
        if isinstance(p, list):
            columns = [
                classes[one.argmax(axis=1)] for classes, one in zip(self.classes_, p, strict=True)
            ]
            return np.stack(columns, axis=1)
        if self._is_multilabel():
            return (p > 0.5).astype(int)
        return self.classes_[p.argmax(axis=1)]

    def predict_proba(self, X: MatrixLike) -> Probabilities:
        """Predict the probability of each class.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes), or list of such arrays
            The mean over members and networks, in the order of ``classes_``.

        Raises
        ------
        NotFittedError
            Before fit.
        ValueError, TypeError
            If a column of fit is missing, or one of numbers holds something else.
        """
        return self._mean_of_networks(X, "predict_proba")

    def _learnt(self, encoder, networks, scales):
        classes = networks[0]._label_binarizer.classes_
        return {**super()._learnt(encoder, networks, scales), "classes_": classes}

    def _is_multilabel(self):
        return self.estimators_[0]._label_binarizer.y_type_.startswith("multilabel")

    def _labels(self, y):
        """Labels as an array of one or two dimensions."""
        check_given(self, y)
        y = as_array(y)
        if sp.issparse(y):
            y = as_indicator(y)
        elif y.ndim != 2 or y.shape[1] < 2:
            y = _check_y(y, estimator=self)
        check_classification_targets(y)
        return y

    def _strata(self, y):
        return np.unique(y, return_inverse=True)[1] if y.ndim == 1 else None

    def _new_network(self, **params):
        return MLPClassifier(
            loss=self.loss,
            label_smoothing=self.label_smoothing,
            class_weight=self.class_weight,
            **params,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@documented_with(TABULAR)
class TabularMLPRegressor(RegressorMixin, BaseTabularMLP):
    """Multilayer perceptron regressor for raw tables, strong at its defaults.

    Parameters
    ----------
    loss : {'squared_error', 'absolute_error', 'huber', 'log_cosh', 'quantile', 'poisson', \
'gamma', 'tweedie'}, default='squared_error'
        As of :class:`MLPRegressor`. y is standardised before; for the last three divided by its
        mean.
    quantile : float, default=0.5
        That which 'quantile' predicts.
    huber_delta : float, default=1.35
        In units of the standardised y.
    tweedie_power : float, default=1.5
        As of :class:`MLPRegressor`.
    learning_rate_init : float, default=0.004
        The learning rate of AdamW to begin with; it falls to zero with a cosine.
    ... : parameters of both estimators

    See Also
    --------
    TabularMLPClassifier : The same for classification.
    MLPRegressor : One network, on numbers, with scikit-learn's settings.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from cmlp import TabularMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> reg = TabularMLPRegressor(random_state=0, max_iter=20).fit(X, y)
    >>> bool(reg.score(X, y) > 0.4)
    True
    """

    _network_kind = MLPRegressor
    _scale_names = ("shift", "scale")

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseTabularMLP._parameter_constraints,
        **{
            name: MLPRegressor._parameter_constraints[name]
            for name in ("loss", "huber_delta", "tweedie_power")
        },
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        hidden_layer_sizes: ArrayLike | int | str = "auto",
        activation: str | Sequence[str] = "silu",
        *,
        loss: str = "squared_error",
        quantile: float = 0.5,
        huber_delta: float = 1.35,
        tweedie_power: float = 1.5,
        n_members: int = 4,
        n_folds: int = 5,
        validation_fraction: float = 0.15,
        categorical_features: str | ArrayLike | None = "from_dtype",
        n_bins: int = 48,
        embedding: int = 6,
        step_embedding: int = 4,
        max_one_hot: int = 8,
        dropout: float | ArrayLike = 0.1,
        weight_decay: float = 3e-4,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.004,
        beta_2: float = 0.999,
        max_grad_norm: float | None = 1.0,
        max_iter: int | str = "auto",
        n_iter_no_change: int | str = "auto",
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        n_jobs: int | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.quantile = quantile
        self.huber_delta = huber_delta
        self.tweedie_power = tweedie_power
        self.n_members = n_members
        self.n_folds = n_folds
        self.validation_fraction = validation_fraction
        self.categorical_features = categorical_features
        self.n_bins = n_bins
        self.embedding = embedding
        self.step_embedding = step_embedding
        self.max_one_hot = max_one_hot
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.beta_2 = beta_2
        self.max_grad_norm = max_grad_norm
        self.max_iter = max_iter
        self.n_iter_no_change = n_iter_no_change
        self.time_limit = time_limit
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs

    @fit_context
    @documented_with(FIT)
    def fit(
        self,
        X: MatrixLike,
        y: MatrixLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: MatrixLike | None = None,
        y_val: MatrixLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Encode the table and fit the networks.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values.
        ... : see ``cmlp/_tabular_docs.py``

        Returns
        -------
        self : TabularMLPRegressor
        """
        y = self._values(y)
        if X_val is not None and y_val is not None:
            y_val = self._values(y_val)
        held_out = X_val, y_val, sample_weight_val
        return self._fit_table(X, y, sample_weight, held_out, "regressor")

    def predict(self, X: MatrixLike) -> Any:
        """Predict values.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            With the columns of fit; their order does not matter where they have names.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            float64.

        Raises
        ------
        NotFittedError
            Before fit.
        ValueError, TypeError
            If a column of fit is missing, or one of numbers holds something else.
        """
        out = self._mean_of_networks(X, "predict")
        # NumPy before 2 would let a scalar scale stay float32
        return np.multiply(out, self._scales["scale"], dtype=np.float64) + self._scales["shift"]

    def _values(self, y):
        check_given(self, y)
        y = _check_y(y, multi_output=True, y_numeric=True, estimator=self)
        y = y.astype(np.float64, copy=False)
        return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _learn_scales(self, y):
        """Shift and scale of each column of y; networks learn (y - shift) / scale."""
        largest = np.abs(y).max(axis=0)
        largest = np.where(largest > 0, largest, 1.0)  # squares do not overflow
        if self.loss in POSITIVE:
            scale = largest * (np.abs(y) / largest).mean(axis=0)
            shift = np.zeros_like(scale)
        else:
            shift = largest * (y / largest).mean(axis=0)
            scale = largest * (y / largest).std(axis=0)
        return {"shift": np.asarray(shift), "scale": np.where(scale > 0, scale, 1.0)}

    def _scaled(self, y, scales):
        return (y - scales["shift"]) / scales["scale"]

    def _strata(self, y):
        return None

    def _new_network(self, **params):
        return MLPRegressor(
            loss=self.loss,
            quantile=self.quantile,
            huber_delta=self.huber_delta,
            tweedie_power=self.tweedie_power,
            **params,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
