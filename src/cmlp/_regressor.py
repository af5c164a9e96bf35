"""MLPRegressor: its signature and documentation, losses and output activations. No maths."""

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, Options

from cmlp._base import BaseMultilayerPerceptron
from cmlp._checkpoint import Checkpoint
from cmlp._core import engine
from cmlp._docs import ESTIMATOR, FIT, PARTIAL_FIT, documented_with
from cmlp._exports import NetworkExportMixin
from cmlp._inspection import InspectionMixin
from cmlp._losses import (
    check_targets,
    in_order,
    loss_names,
    parameter_of,
    positive_activations,
    quantile_score,
    regressor_loss,
)
from cmlp._sklearn_names import SklearnNamesMixin
from cmlp._typing import (
    ArrayLike,
    FloatArray,
    Layers,
    MatrixLike,
    Path,
)
from cmlp._validation import (
    Names,
    available_if,
    fit_context,
    ravel_column,
    validate_training_data,
)

#: Output activations that a regressor may have.
OUT_ACTIVATIONS = {
    name for name, row in engine.ACTIVATIONS.items() if row["output"] and name != "softmax"
}


@documented_with(ESTIMATOR)
class MLPRegressor(
    RegressorMixin,
    InspectionMixin,
    NetworkExportMixin,
    SklearnNamesMixin,
    BaseMultilayerPerceptron,
):
    """Multilayer perceptron regressor, a drop-in for scikit-learn's on a compiled engine.

    Parameters, attributes, random draws and results are those of
    :class:`sklearn.neural_network.MLPRegressor`; the keywords that scikit-learn does not
    have are added.

    Parameters
    ----------
    loss : {'absolute_error', 'gamma', 'huber', 'log_cosh', 'poisson', 'quantile', \
'squared_error', 'tweedie'}, default='squared_error'
        Of a prediction p and a target y, with e = p - y:

        - 'squared_error': e**2 / 2. As in scikit-learn that of several outputs is reported as
          their mean, while the gradient is that of their sum. All other losses are reported as
          the sum over outputs, whose gradient they have;
        - 'absolute_error': abs(e), which estimates the median;
        - 'huber': e**2 / 2 up to abs(e) = huber_delta, from there on the tangent (Huber 1964);
        - 'log_cosh': log(cosh(e)), the same without a threshold: e**2 / 2 near 0,
          abs(e) - log(2) far away;
        - 'quantile': the pinball loss, max(quantile * (y - p), (quantile - 1) * (y - p)) (Koenker
          & Bassett 1978);
        - 'poisson', 'gamma': half the deviances y log(y / p) - y + p for y >= 0 and
          log(p / y) + y / p - 1 for y > 0;
        - 'tweedie': half the Tweedie deviance of tweedie_power.

        Where the loss has a kink, at e = 0, its derivative is taken as 0.
    huber_delta : float, default=1.35
        Error, in units of y, from which on 'huber' is linear; positive. 1.35, as in
        HuberRegressor, is 95 % efficient for normal errors of unit variance: scale y, or set it
        to 1.35 times the spread of the errors.
    quantile : float or list of float, default=0.5
        The quantile that 'quantile' predicts, between 0 and 1; 0.5 is the median. A list makes
        one network that predicts several: ``predict`` has a last axis for them, in the order of
        the list, and they do not cross, because they are sorted.
    tweedie_power : float, default=1.5
        Power of the variance function of 'tweedie': 0 (normal: the squared error), 1 (Poisson),
        between 1 and 2 (compound Poisson gamma: y >= 0 with exact zeros), 2 (gamma), or more
        (3: inverse Gaussian), for y > 0.
    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the training data, stop when the
        score on it (R2, or ``scoring``) no longer improves, and keep the best weights.
    scoring : str, callable or None, default=None
        What ``early_stopping`` watches, the higher the better: None is ``score``, 'loss' the
        negative loss without penalty, or the name of a scorer of scikit-learn, as
        'neg_mean_absolute_error', or a callable ``scorer(estimator, X, y)``.
    out_activation : {'auto', 'exp', 'identity', 'logistic', 'relu', 'tanh'}, default='auto'
        Activation of the output layer; 'auto' is 'exp' for the losses 'poisson', 'gamma' and
        'tweedie' (of power 1 or more), which need positive predictions, and 'identity' otherwise.
        The gradient is the derivative of the loss through it.
    ... : parameters of both estimators
        Documented in ``cmlp/_docs.py`` and by ``help(MLPRegressor)``.

    Attributes
    ----------
    quantiles_ : ndarray of shape (n_quantiles,)
        The quantiles that are predicted, if ``quantile`` is a list (and used).
    ... : attributes of both estimators

    See Also
    --------
    MLPClassifier : The same for classification.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964). Koenker &
    Bassett, "Regression quantiles", Econometrica 46 (1978). Jorgensen, "The theory of dispersion
    models", 1997.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.model_selection import train_test_split
    >>> from cmlp import MLPRegressor
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1)
    >>> regr = MLPRegressor(random_state=1, max_iter=2000, tol=0.1)
    >>> regr.fit(X_train, y_train)
    MLPRegressor(max_iter=2000, random_state=1, tol=0.1)
    >>> regr.predict(X_test[:2]).round(1)
    array([  29. , -290.8])
    >>> round(regr.score(X_test, y_test), 2)
    0.98
    """

    quantiles_: FloatArray

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseMultilayerPerceptron._parameter_constraints,
        "loss": [Names(loss_names("regressor"))],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
        "quantile": [Interval(Real, 0, 1, closed="neither"), "array-like"],
        "tweedie_power": [Options(Real, {0}), Interval(Real, 1, None, closed="left")],
        "out_activation": [Names({"auto", *OUT_ACTIVATIONS})],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: ArrayLike | int = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        huber_delta: float = 1.35,
        quantile: float | ArrayLike = 0.5,
        tweedie_power: float = 1.5,
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
        out_activation: str = "auto",
        n_jobs: int | None = None,
        dtype: str | None = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.huber_delta = huber_delta
        self.quantile = quantile
        self.tweedie_power = tweedie_power
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
        self.out_activation = out_activation
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
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target values.
        y_val : array-like, as y with n_val rows, default=None
            Their target values.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights, in the score and in the loss.
        ... : see ``cmlp/_docs.py``

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        ValueError
            If the input does not fit, y is out of the range of the loss, training ends in
            non-finite weights, or ``resume_from`` is a checkpoint of another fit.
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
        self, X: MatrixLike, y: MatrixLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Continue training with one epoch over X and y.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        self : MLPRegressor
        """
        return self._fit_or_restore(X, y, sample_weight, incremental=True)

    def predict(self, X: MatrixLike) -> FloatArray:
        """Predict target values.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            With a last axis (n_quantiles,) if ``quantile`` is a list.
        """
        parameters = vars(self).get("_parameters")
        predictor = None if parameters is None else parameters.predictor
        if predictor is not None:
            y = predictor.values_(vars(self), X)
            if y is not None:
                return y
        self._check_is_fitted()
        return self._from_outputs(self._forward(X))

    def _from_outputs(self, out):
        quantiles = getattr(self, "quantiles_", None)
        if quantiles is not None:
            out = in_order(out.reshape(len(out), -1, len(quantiles)), quantiles)
            return out[:, 0] if out.shape[1] == 1 else out
        return out.ravel() if out.shape[1] == 1 else out

    def _from_targets(self, targets):
        several = self._several_quantiles()
        if several is not None:
            targets = targets[:, :: len(several)]
        return targets.ravel() if targets.shape[1] == 1 else targets

    def _several_quantiles(self):
        """The quantiles to train, if there is a list of them."""
        parameter = parameter_of(self) if self.loss == "quantile" else None
        return parameter if isinstance(parameter, tuple) else None

    def _score_outputs(self, out, y, sample_weight=None):
        quantiles = getattr(self, "quantiles_", None)
        if quantiles is None:
            return self._score_with(r2_score, out, y, sample_weight)

        def score(y, predictions, sample_weight):
            return quantile_score(y, predictions, quantiles, sample_weight)

        return self._score_with(score, out, y, sample_weight)

    def _validate_held_out(self, X, y):
        X, targets = self._validate_input(X, y, incremental=False, reset=False)
        return X, self._from_targets(targets), targets

    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """R2 of the predictions, for a list of quantiles the mean of their D2 pinball scores.

        Both are at most 1, and 0 for the best constant: the mean of y, its quantile
        (:func:`sklearn.metrics.d2_pinball_score`).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float
        """
        if not hasattr(self, "quantiles_"):
            return super().score(X, y, sample_weight)
        return quantile_score(y, self.predict(X), self.quantiles_, sample_weight)

    def _prepare_predictor(self, parameters):
        if not hasattr(self, "quantiles_"):  # they are sorted after the engine
            super()._prepare_predictor(parameters)

    def _validate_input(self, X, y, incremental, reset):
        parameter = parameter_of(self)
        loss = regressor_loss(self.loss, parameter)
        X, y = validate_training_data(self, X, y, reset, y_numeric=True)
        if sp.issparse(y):
            raise TypeError(
                "Sparse data was passed for y, but dense data is required. Use '.toarray()' to"
                " convert to a dense numpy array."
            )
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y must be an array of real numbers, got one of dtype {y.dtype}.")
        if y.ndim == 2 and y.shape[1] == 1:
            y = ravel_column(y)
        check_targets(self.loss, loss, parameter, y)
        if engine.LOSSES[loss]["domain"] in ("non-negative", "positive"):
            positive = ["auto", *positive_activations()]
            if self.out_activation not in positive:
                raise ValueError(
                    f"loss={self.loss!r} needs positive predictions: out_activation must be one"
                    f" of {positive}, got {self.out_activation!r}."
                )
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        if isinstance(parameter, tuple):
            y = np.repeat(y, len(parameter), axis=1)  # each target learns each quantile
        return X, y

    def _note_targets(self):
        vars(self).pop("quantiles_", None)
        if self._several_quantiles() is not None:
            self.quantiles_ = np.array(self._several_quantiles())

    def _targets(self, y):
        """Targets for values given after fit, in the form that the loss needs."""
        y = check_array(y, ensure_2d=False, dtype="numeric")
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        quantiles = self._several_quantiles()
        return y if quantiles is None else np.repeat(y, len(quantiles), axis=1)

    def _choose_out_activation(self):
        if self.out_activation == "auto":
            loss = regressor_loss(self.loss, self.tweedie_power)
            return engine.LOSSES[loss]["canonical_activation"]
        return self.out_activation

    def _check_loaded(self):
        if self.out_activation_ not in OUT_ACTIVATIONS:
            raise ValueError(
                f"out_activation_ must be one of {sorted(OUT_ACTIVATIONS)}, got"
                f" {self.out_activation_!r}"
            )
        quantiles = getattr(self, "quantiles_", np.ones(1))
        if quantiles.ndim != 1 or not len(quantiles) or self.n_outputs_ % len(quantiles):
            raise ValueError(f"quantiles_ do not fit {self.n_outputs_} outputs")
