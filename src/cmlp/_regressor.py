"""MLPRegressor: its signature and documentation, losses and output activations. No maths."""

from collections.abc import Callable
from typing import Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from cmlp._base import BaseMultilayerPerceptron
from cmlp._core import engine
from cmlp._inspection import InspectionMixin
from cmlp._typing import ArrayLike, FloatArray, Layers, MatrixLike
from cmlp._validation import fit_context, validate_training_data

#: Losses and output activations that a regressor may have.
LOSSES = {name: row for name, row in engine.LOSSES.items() if row["regressor"]}
OUT_ACTIVATIONS = {
    name for name, row in engine.ACTIVATIONS.items() if row["output"] and name != "softmax"
}


class MLPRegressor(RegressorMixin, InspectionMixin, BaseMultilayerPerceptron):
    """Multilayer perceptron regressor, a drop-in for scikit-learn's on a compiled engine.

    Parameters, attributes, random draws and results are those of
    :class:`sklearn.neural_network.MLPRegressor`; ``fit_intercept``, ``out_activation``,
    ``n_jobs`` and ``dtype`` are added.

    Parameters
    ----------
    loss : {'poisson', 'squared_error'}, default='squared_error'
        Half the squared error, (p - y)**2 / 2, or half the Poisson deviance,
        y log(y / p) - y + p, for y >= 0. As in scikit-learn the squared error of several outputs
        is reported as their mean, while the gradient is that of their sum.
    hidden_layer_sizes : array-like of shape (n_layers - 2,) or int, default=(100,)
        Number of units of each hidden layer. ``()`` is a linear model.
    activation : {'identity', 'logistic', 'relu', 'tanh'}, default='relu'
        Activation of the hidden layers: f(z) = z, 1 / (1 + exp(-z)), max(0, z), tanh(z).
    solver : {'adam', 'lbfgs', 'sgd'}, default='adam'
        'adam' (Kingma & Ba 2014) and 'sgd' pass over the data in minibatches in compiled code;
        'lbfgs' is scipy's L-BFGS-B over the whole data, often the best on small data sets.
    alpha : float, default=0.0001
        Strength of the L2 penalty alpha / 2 * sum(W**2) on the weights (not the biases); it is
        divided by the number of samples, or the sum of their weights, in a batch.
    dropout : float or list of float, default=0.0
        Rate at which the outputs of hidden layers are set to zero in training; the others are
        divided by 1 - rate (Srivastava et al. 2014), so that predictions and scores use the whole
        network. A list has one rate for the input, then one for each hidden layer. Rates are in
        [0, 1) and count in steps of 1 / 65536. Not for 'lbfgs'. See ``predict_samples``.
    batch_size : int or 'auto', default='auto'
        Samples per minibatch; 'auto' is min(200, n_samples). Not used by 'lbfgs'.
    learning_rate : {'adaptive', 'constant', 'invscaling'}, default='constant'
        Schedule of 'sgd' (ignored by 'adam'): 'invscaling' is learning_rate_init /
        (t + 1)**power_t for t samples seen, 'adaptive' divides by 5 whenever patience runs out.
    learning_rate_init : float, default=0.001
        Initial step size of 'sgd' and 'adam'.
    power_t : float, default=0.5
        Exponent of 'invscaling'.
    max_iter : int, default=200
        Maximum number of epochs ('sgd', 'adam') or iterations ('lbfgs').
    shuffle : bool, default=True
        Whether samples are shuffled before each epoch.
    partial_fit_reshuffle : bool, default=False
        Whether each call of partial_fit shuffles in another order. With an integer
        ``random_state`` the calls otherwise repeat one permutation, as in scikit-learn. The orders
        follow from ``random_state`` and ``t_``.
    random_state : int, RandomState instance or None, default=None
        Source of the initial weights, of the split for early stopping and of the shuffling. The
        same integer gives the same numbers as in scikit-learn.
    tol : float, default=1e-4
        Improvement of the loss, or of the validation score, that counts as one; for 'lbfgs' the
        gradient tolerance.
    verbose : bool or int, default=False
        Whether to print the loss after each epoch or iteration.
    warm_start : bool, default=False
        Whether fit continues from the weights of the previous fit.
    momentum : float, default=0.9
        Momentum of 'sgd', between 0 and 1.
    nesterovs_momentum : bool, default=True
        Whether 'sgd' uses Nesterov's momentum.
    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the training data, stop when the
        R2 score on it (or ``scoring``) no longer improves, and keep the best weights.
    validation_fraction : float, default=0.1
        Fraction held out by ``early_stopping``, if fit is given no ``X_val``.
    scoring : str, callable or None, default=None
        What ``early_stopping`` watches, the higher the better: None is the R2 score, 'loss' the
        negative loss without penalty, or the name of a scorer of scikit-learn, as
        'neg_mean_absolute_error', or a callable ``scorer(estimator, X, y)``.
    beta_1 : float, default=0.9
        Decay of adam's mean of gradients, in [0, 1).
    beta_2 : float, default=0.999
        Decay of adam's mean of squared gradients, in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator of adam.
    n_iter_no_change : int or np.inf, default=10
        Training stops after more than this many epochs in a row without an improvement by tol.
    max_fun : int, default=15000
        Maximum number of loss evaluations of 'lbfgs'.
    fit_intercept : bool, default=True
        Whether layers have biases. If False, ``intercepts_`` are zeros and stay so.
    out_activation : {'auto', 'exp', 'identity', 'logistic', 'relu', 'tanh'}, default='auto'
        Activation of the output layer; 'auto' is 'exp' for the Poisson loss and 'identity'
        otherwise. The gradient is the derivative of the loss through it.
    n_jobs : int, default=None
        Upper limit of the threads that fit and predict share their work among; the numbers do
        not depend on it. ``None`` means as many as pay for the work, within ``OMP_NUM_THREADS``,
        the limits of threadpoolctl and the available CPUs (affinity, cgroup), and one outside the
        main thread and in child processes. ``-1`` means all available CPUs, ``-2`` all but one.
        Small networks use one thread whatever it is, a worker of joblib no more than joblib
        leaves to it.
    dtype : {'float32', 'float64'}, default=None
        The dtype to train and predict in, whatever that of X is; X is converted a minibatch at a
        time, never as a whole, with the results of ``X.astype(dtype)``. ``None`` means that of X.
        A fit that continues (``warm_start``, ``partial_fit``) converts the weights it continues
        from.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer, of the dtype of X (float32 or float64), or ``dtype``.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer.
    loss_ : float
        Loss of the last epoch or iteration, the penalty included.
    best_loss_ : float or None
        Lowest loss so far; None with early stopping. 'sgd' and 'adam' only, as are the next three.
    loss_curve_ : list of float
        Loss after each epoch.
    validation_scores_ : list of float or None
        R2 score, or what ``scoring`` asks for, on the held-out data after each epoch, with early
        stopping or ``X_val``.
    validation_loss_curve_ : list of float or None
        Mean loss, without penalty, on the same data.
    best_validation_score_ : float or None
        The best of the scores.
    best_iter_ : int or None
        Number of the epoch that had it, counted as in ``validation_scores_``, from 1.
    n_iter_ : int
        Epochs or iterations run by the last fit.
    t_ : int
        Samples seen in training.
    n_layers_ : int
        Number of layers, the input included.
    n_outputs_ : int
        Number of output units.
    out_activation_ : str
        Name of the output activation.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had them and all are strings.

    See Also
    --------
    MLPClassifier : The same for classification.
    Network : The mathematics of a fitted network: activations, gradients, Jacobians.

    References
    ----------
    Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors", Nature
    323 (1986). Kingma & Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980.
    Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, "Dropout: a simple way to prevent
    neural networks from overfitting", JMLR 15 (2014). Salmon, Moraes, Dror & Shaw, "Parallel
    random numbers: as easy as 1, 2, 3", SC 2011, whose Philox decides which units are dropped.

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

    _parameter_constraints: dict = {
        **BaseMultilayerPerceptron._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
        "out_activation": [StrOptions({"auto", *OUT_ACTIVATIONS})],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: ArrayLike | int = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        dropout: float | ArrayLike = 0.0,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        partial_fit_reshuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        scoring: str | Callable | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        fit_intercept: bool = True,
        out_activation: str = "auto",
        n_jobs: int | None = None,
        dtype: str | None = None,
    ) -> None:
        self._keep(locals())

    @fit_context
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
    ) -> Self:
        """Fit the network to X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 are kept, anything else becomes float64 (or ``dtype``).
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation data for ``early_stopping``, in place of a part of X; without it they are
            watched only: ``validation_scores_`` and ``validation_loss_curve_``. In a Pipeline the
            steps before transform them if it is made with ``transform_input=["X_val"]``. 'sgd' and
            'adam' only.
        y_val : array-like, as y with n_val rows, default=None
            Their target values.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights, in the score and in the loss.
        coefs_init, intercepts_init : list of array-like, default=None
            Initial weights and biases, one per layer, in place of random ones.

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        ValueError
            If the input does not fit, y is out of the range of the loss, or training ends in
            non-finite weights.
        """
        return self._fit(
            X,
            y,
            sample_weight,
            coefs_init=coefs_init,
            intercepts_init=intercepts_init,
            validation_data=(X_val, y_val, sample_weight_val),
        )

    @available_if(lambda est: est._check_solver())
    @fit_context
    def partial_fit(
        self, X: MatrixLike, y: MatrixLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Continue training with one epoch over X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : MLPRegressor
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: MatrixLike) -> FloatArray:
        """Predict target values.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        parameters = vars(self).get("_parameters")
        if parameters is not None and parameters.predictor is not None:
            y = parameters.predictor.values_(vars(self), X)
            if y is not None:
                return y
        self._check_is_fitted()
        return self._predict(X)

    def _from_outputs(self, out):
        return out.ravel() if out.shape[1] == 1 else out

    def _from_targets(self, targets):
        return self._from_outputs(targets)

    def _score_outputs(self, out, y, sample_weight=None):
        return self._score_with(r2_score, out, y, sample_weight)

    def _validate_held_out(self, X, y):
        X, targets = self._validate_input(X, y, incremental=False, reset=False)
        return X, self._from_targets(targets), targets

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_training_data(self, X, y, reset, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if LOSSES[self.loss]["domain"] == "non-negative":
            if np.any(y < 0):
                raise ValueError(
                    f"Some value(s) of y are out of the valid range of the loss {self.loss!r}."
                )
            if self.out_activation in ("identity", "relu", "tanh"):
                raise ValueError(
                    f"loss={self.loss!r} needs positive predictions: out_activation must be"
                    f" 'auto', 'exp' or 'logistic', got {self.out_activation!r}."
                )
        return X, y.reshape(-1, 1) if y.ndim == 1 else y

    def _targets(self, y):
        """Targets that come after fit, as the loss reads them."""
        y = check_array(y, ensure_2d=False, dtype="numeric")
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def _choose_out_activation(self):
        if self.out_activation == "auto":
            return LOSSES[self.loss]["canonical_activation"]
        return self.out_activation

    def _engine_loss(self):
        return self.loss
