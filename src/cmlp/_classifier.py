"""MLPClassifier: its signature and documentation, labels, probabilities. No maths."""

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions

from cmlp._base import BaseMultilayerPerceptron
from cmlp._checkpoint import Checkpoint
from cmlp._class_weight import BALANCED_NEEDS_ALL
from cmlp._docs import ESTIMATOR, FIT, PARTIAL_FIT, documented_with
from cmlp._exports import NetworkExportMixin
from cmlp._inspection import InspectionMixin
from cmlp._labelling import LabellingMixin
from cmlp._labels import (
    as_array,
    columns_of,
    is_multioutput,
)
from cmlp._losses import loss_names
from cmlp._sklearn_names import SklearnNamesMixin
from cmlp._typing import (
    ArrayLike,
    Labels,
    Layers,
    MatrixLike,
    Path,
    Probabilities,
)
from cmlp._validation import (
    Names,
    available_if,
    fit_context,
)


@documented_with(ESTIMATOR)
class MLPClassifier(
    ClassifierMixin,
    InspectionMixin,
    NetworkExportMixin,
    SklearnNamesMixin,
    LabellingMixin,
    BaseMultilayerPerceptron,
):
    """Multilayer perceptron classifier, a drop-in for scikit-learn's on a compiled engine.

    Minimises the log-loss: softmax over the classes, or one logistic output for two classes and
    for each label of a multilabel problem. y may have several columns of classes: each then has a
    softmax of its own, and the loss is the sum of theirs. Parameters, attributes, random draws and
    results are those of :class:`sklearn.neural_network.MLPClassifier`; the keywords that
    scikit-learn does not have are added.

    Parameters
    ----------
    loss : {'focal', 'log_loss', 'squared_error'}, default='log_loss'
        Of the probability p given to the class y of a sample: 'log_loss' is -log(p); 'focal'
        is -(1 - p)**focal_gamma log(p) (Lin et al. 2017), which lets go of samples that are
        already easy; 'squared_error' is half the squared distance between all probabilities and
        the indicator of y, ``brier_score_loss(..., scale_by_half=True)``, bounded and so less
        impressed by wrong labels. The losses of the labels of a multilabel problem add up.
    label_smoothing : float, default=0.0
        The share e of each target that is spread evenly over the n classes, in [0, 1):
        y (1 - e) + e / n for softmax (Szegedy et al. 2016), y (1 - e) + e / 2 for two classes
        and for each label of a multilabel problem. ``loss_`` is that of the smoothed targets.
    focal_gamma : float, default=2.0
        Exponent of the 'focal' loss, not negative; 0 makes it the log-loss.
    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the training data, stop when the
        accuracy on it (or ``scoring``) no longer improves, and keep the best weights. The split
        is stratified for two classes.
    scoring : str, callable or None, default=None
        What ``early_stopping`` watches, the higher the better: None is the accuracy, 'loss' the
        negative loss without penalty, or the name of a scorer of scikit-learn, as 'neg_log_loss',
        or a callable ``scorer(estimator, X, y)``.
    class_weight : dict, list of dict, 'balanced' or None, default=None
        Weights of the classes, {label: weight}, by which the sample weights are multiplied; a
        label not named weighs 1. For y of several columns a list with a dict for each (for
        multilabel y {0: weight, 1: weight}); the weights of the columns are multiplied. 'balanced'
        is n_samples / (n_classes * np.bincount(y)); partial_fit, which sees a part of y, does not
        take it.
    ... : parameters of both estimators
        Documented in ``cmlp/_docs.py`` and by ``help(MLPClassifier)``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,), or list of such arrays
        Class labels; a list with those of each column if y has several columns of classes.
    validation_scores_ : list of float or None
        Accuracy, or what ``scoring`` asks for, on the held-out data after each epoch, with early
        stopping or ``X_val``.
    ... : attributes of both estimators

    See Also
    --------
    MLPRegressor : The same for regression.

    References
    ----------
    Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016. Lin et
    al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import train_test_split
    >>> from cmlp import MLPClassifier
    >>> X, y = make_classification(n_samples=100, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=1)
    >>> clf = MLPClassifier(random_state=1, max_iter=300).fit(X_train, y_train)
    >>> clf.predict_proba(X_test[:1]).round(3)
    array([[0.038, 0.962]])
    >>> clf.predict(X_test[:5])
    array([1, 0, 1, 0, 1])
    >>> clf.score(X_test, y_test)
    0.88
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseMultilayerPerceptron._parameter_constraints,
        "loss": [Names(loss_names("classifier"))],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "focal_gamma": [Interval(Real, 0, None, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    def __init__(
        self,
        hidden_layer_sizes: ArrayLike | int = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        loss: str = "log_loss",
        label_smoothing: float = 0.0,
        focal_gamma: float = 2.0,
        solver: str = "adam",
        alpha: float = 0.0001,
        dropout: float | ArrayLike = 0.0,
        n_members: int = 1,
        encodings: Sequence[Sequence[Any]] | None = None,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        warmup_fraction: float = 0.0,
        max_iter: int = 200,
        shuffle: bool = True,
        partial_fit_reshuffle: bool = False,
        partial_fit_loss_curve: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        scoring: str | Callable[..., float] | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | None = None,
        max_grad_norm: float | None = None,
        ema_decay: float | None = None,
        n_iter_no_change: float = 10,
        max_time: float | None = None,
        max_fun: int = 15000,
        fit_intercept: bool = True,
        class_weight: dict[Any, Any] | list[dict[Any, Any]] | str | None = None,
        n_jobs: int | None = None,
        dtype: str | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma
        self.solver = solver
        self.alpha = alpha
        self.dropout = dropout
        self.n_members = n_members
        self.encodings = encodings
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.warmup_fraction = warmup_fraction
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.partial_fit_reshuffle = partial_fit_reshuffle
        self.partial_fit_loss_curve = partial_fit_loss_curve
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.scoring = scoring
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.ema_decay = ema_decay
        self.n_iter_no_change = n_iter_no_change
        self.max_time = max_time
        self.max_fun = max_fun
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.dtype = dtype

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
        coefs_init: Layers | None = None,
        intercepts_init: Layers | None = None,
        checkpoint: Checkpoint | None = None,
        resume_from: Path | None = None,
    ) -> Self:
        """Fit the network to X and y.

        Parameters
        ----------
        y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_columns)
            Class labels, a multilabel indicator (zeros and ones or booleans, dense or sparse),
            or several columns of class labels (all other values, even if they are but two).
        y_val : array-like, as y with n_val rows, default=None
            Their labels, all of them among those of y.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights, in the score and in the loss. ``class_weight`` does not
            apply to them.
        ... : see ``cmlp/_docs.py``

        Returns
        -------
        self : MLPClassifier
        """
        return self._fit_or_restore(
            X,
            y,
            sample_weight,
            coefs_init=coefs_init,
            intercepts_init=intercepts_init,
            validation_data=(X_val, y_val, sample_weight_val),
            checkpoint=checkpoint,
            resume_from=resume_from,
        )

    @available_if(lambda est: est._check_solver())
    @fit_context
    @documented_with(PARTIAL_FIT)
    def partial_fit(
        self,
        X: MatrixLike,
        y: MatrixLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Continue training with one epoch over X and y.

        Parameters
        ----------
        y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_columns)
        classes : array-like of shape (n_classes,), or list of such arrays, default=None
            All classes that will ever come; needed in the first call only. For several columns a
            list with those of each, or one array-like for all of them. Of a multilabel indicator
            they are the numbers of its columns, as in scikit-learn.

        Returns
        -------
        self : MLPClassifier
        """
        if self.class_weight == "balanced":
            raise ValueError(BALANCED_NEEDS_ALL)
        return self._fit_or_restore(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X: MatrixLike) -> Labels:
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_columns)
        """
        parameters = vars(self).get("_parameters")
        predictor = None if parameters is None else parameters.predictor
        if predictor is not None:
            binarizer = self._label_binarizer
            if binarizer.y_type_ == ("binary" if self.n_outputs_ == 1 else "multiclass"):
                labels = predictor.labels(vars(self), X, binarizer.classes_)
                if labels is not None:
                    return labels
        self._check_is_fitted()
        return self._from_outputs(self._forward(X))

    def predict_proba(self, X: MatrixLike) -> Probabilities:
        """Predict the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes), or list of such arrays
            In the order of ``classes_``; rows sum to 1, except for multilabel problems. A list
            with those of each column if y has several columns of classes.
        """
        parameters = vars(self).get("_parameters")
        predictor = None if parameters is None else parameters.predictor
        if predictor is not None:
            p = predictor.probabilities(vars(self), X)
            if p is not None:
                return self._by_column(p) if type(self.classes_) is list else p
        self._check_is_fitted()
        p = self._forward(X)
        if type(self.classes_) is list:
            return self._by_column(p)
        if p.shape[1] == 1:
            both = np.empty((len(p), 2), dtype=p.dtype)
            np.subtract(1, p[:, 0], out=both[:, 0])
            both[:, 1] = p[:, 0]
            return both
        return p

    def predict_log_proba(self, X: MatrixLike) -> Probabilities:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes), or list of such arrays
        """
        p = self.predict_proba(X)
        if type(p) is list:
            return [np.log(of_column, out=of_column) for of_column in p]
        return np.log(p, out=p)

    def score(self, X: MatrixLike, y: MatrixLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy of the predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_columns)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        accuracy : float
            Where y has several columns, the share of samples that are right in all of them.
        """
        labels = as_array(y)
        if type(vars(self).get("classes_")) is list or is_multioutput(labels):
            return exact_accuracy(labels, self.predict(X), sample_weight)
        # whatever is no matrix is scikit-learn's to read, or to refuse
        return super().score(X, labels if labels.ndim == 2 else y, sample_weight)

    def _from_outputs(self, out):
        return self._label_binarizer.inverse_transform(
            out.ravel() if self.n_outputs_ == 1 else out
        )

    def _from_targets(self, targets):
        return self._label_binarizer.inverse_transform(targets)

    def _score_outputs(self, out, y, sample_weight=None):
        accuracy = exact_accuracy if type(self.classes_) is list else accuracy_score
        return self._score_with(accuracy, out, y, sample_weight)

    def _by_column(self, p):
        """The probabilities of all columns of y as a list."""
        return [np.ascontiguousarray(of_column) for of_column in self._label_binarizer.split(p)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags


def exact_accuracy(y, prediction, sample_weight=None):
    """The share of samples, or of their weight, whose labels are right in every column."""
    check_consistent_length(y, prediction, sample_weight)
    y, prediction = (a.toarray() if sp.issparse(a) else np.asarray(a) for a in (y, prediction))
    columns_of(y)  # raises where there are no labels
    if y.shape != prediction.shape:
        raise ValueError(f"y has the shape {y.shape}, the predictions {prediction.shape}.")
    right = (y == prediction).all(axis=1)
    return float(np.average(right, weights=sample_weight))
