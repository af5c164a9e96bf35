"""MLPRegressor: its signature and documentation, losses and output activations. No maths."""

from collections.abc import Callable, Sequence
from numbers import Real
from os import PathLike
from typing import Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, Options
from sklearn.utils.metaestimators import available_if

from cmlp._base import BaseMultilayerPerceptron
from cmlp._checkpoint import Checkpoint
from cmlp._core import engine
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
from cmlp._typing import ArrayLike, FloatArray, Layers, MatrixLike
from cmlp._validation import Names, fit_context, ravel_column, validate_training_data

#: Output activations that a regressor may have.
OUT_ACTIVATIONS = {
    name for name, row in engine.ACTIVATIONS.items() if row["output"] and name != "softmax"
}


class MLPRegressor(RegressorMixin, InspectionMixin, SklearnNamesMixin, BaseMultilayerPerceptron):
    """Multilayer perceptron regressor, a drop-in for scikit-learn's on a compiled engine.

    Parameters, attributes, random draws and results are those of
    :class:`sklearn.neural_network.MLPRegressor`; the keywords
    that scikit-learn does not have are added.

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
    hidden_layer_sizes : array-like of shape (n_layers - 2,) or int, default=(100,)
        Number of units of each hidden layer. ``()`` is a linear model.
    activation : str, or list or tuple of str (one per hidden layer), default='relu'
        Activation f of the hidden layers:

        - 'identity' z, 'logistic' 1 / (1 + exp(-z)), 'tanh' tanh(z), 'relu' max(0, z);
        - 'leaky_relu' max(z / 100, z);
        - 'elu' z, or exp(z) - 1 where z < 0 (Clevert et al. 2016);
        - 'selu' 1.0507 z, or 1.7581 (exp(z) - 1) where z < 0 (Klambauer et al. 2017);
        - 'gelu' z (1 + erf(z / sqrt(2))) / 2, not its approximation by tanh (Hendrycks & Gimpel
          2016);
        - 'silu' z / (1 + exp(-z)), also known as swish (Elfwing et al. 2018);
        - 'mish' z tanh(log(1 + exp(z))) (Misra 2019);
        - 'softplus' log(1 + exp(z)) (Dugas et al. 2001);
        - 'hard_swish' z min(max(z + 3, 0), 6) / 6 (Howard et al. 2019).

        Initial weights and biases are drawn from U(-b, b). The first four have scikit-learn's
        b = sqrt(6 / (fan_in + fan_out)), with 2 in place of 6 for 'logistic' (Glorot & Bengio
        2010). The others have b = sqrt(3 / (fan_in E[f(z)**2])), z standard normal, which keeps
        the mean square from layer to layer (He et al. 2015; for 'selu' that is Klambauer's
        variance 1 / fan_in). The output layer is drawn like the last hidden one.
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
    solver : {'adagrad', 'adam', 'adamw', 'lbfgs', 'nadam', 'rmsprop', 'schedule_free_adamw', \
'sgd'}, default='adam'
        'lbfgs' is scipy's L-BFGS-B over the whole data, often the best on small data sets. The
        others pass over the data in minibatches in compiled code. With the gradient g and
        means m of g and v of g**2, all but 'adam' as in PyTorch:

        - 'sgd': momentum, Nesterov's or the classical.
        - 'adam' (Kingma & Ba 2014): steps of learning_rate_init m / (sqrt(v) + epsilon), their
          bias corrected as in scikit-learn, which leaves epsilon as it is.
        - 'adamw' (Loshchilov & Hutter 2019): epsilon is corrected as well, and weights decay by
          ``weight_decay``, decoupled from the gradient.
        - 'nadam' (Dozat 2016): adam with Nesterov momentum, beta_1 (1 - 0.96**(0.004 t) / 2)
          in step t.
        - 'rmsprop' (Tieleman & Hinton 2012): ``momentum`` over g / (sqrt(v) + epsilon), v with
          ``beta_2``, no bias correction. ``momentum=0`` is the original; the default of 0.9
          makes steps up to ten times as long.
        - 'adagrad' (Duchi, Hazan & Singer 2011): steps of g / (sqrt(s) + epsilon), s the sum of
          all g**2; wants a larger ``learning_rate_init``, 0.01 or more.
        - 'schedule_free_adamw' (Defazio et al. 2024): trains on y = (1 - beta_1) z + beta_1 x
          and predicts with x, the average of the z that AdamW's steps without momentum make;
          needs no schedule. ``loss_`` and ``loss_curve_`` are those of y.
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
    learning_rate : {'adaptive', 'constant', 'cosine', 'exponential', 'invscaling', \
'one_cycle', 'plateau'}, default='constant'
        Schedule of the step size. Of 'sgd' only, as in scikit-learn, the others ignore it:
        'invscaling' is learning_rate_init / (t + 1)**power_t for t samples seen, 'adaptive'
        divides by 5 whenever patience runs out. Of every solver but 'lbfgs', in step k of the
        n = max_iter * (batches per epoch) that are planned, learning_rate_init times

        - 'cosine': (1 + cos(pi k / n)) / 2 (Loshchilov & Hutter 2017).
        - 'exponential': 0.01**(k / n).
        - 'one_cycle': along half a cosine from 1 / 25 up to 1 for 0.3 n steps, then down to
          1 / 250000 (Smith & Topin 2018, as PyTorch's OneCycleLR); the momentum stays.
        - 'plateau': a fifth of what it was after every n_iter_no_change // 2 + 1 epochs (6 if
          n_iter_no_change is infinite) in a row without an improvement by tol; training stops
          when n_iter_no_change runs out as ever.

        A plan begins with each fit and with the first partial_fit after it, for which a call is
        an epoch; after max_iter calls 'cosine', 'exponential' and 'one_cycle' begin anew, a warm
        restart.
    learning_rate_init : float, default=0.001
        Initial step size, that of 'one_cycle' at its peak. A new value takes effect in the next
        partial_fit or fit.
    power_t : float, default=0.5
        Exponent of 'invscaling'.
    warmup_fraction : float, default=0.0
        Fraction w of the planned steps in which the step size rises: that of step k is
        multiplied by (k + 1) / (w n), for any solver but 'lbfgs' and any ``learning_rate``. A
        'cosine' or 'exponential' fills the steps after it; for 'one_cycle' w replaces the 0.3.
    max_iter : int, default=200
        Maximum number of epochs, or iterations of 'lbfgs'. Schedules plan for as many.
    shuffle : bool, default=True
        Whether samples are shuffled before each epoch.
    partial_fit_reshuffle : bool, default=False
        Whether each call of partial_fit shuffles in another order. With an integer
        ``random_state`` the calls otherwise repeat one permutation, as in scikit-learn. The orders
        follow from ``random_state`` and ``t_``.
    partial_fit_loss_curve : bool, default=True
        Whether each call of partial_fit adds an entry to ``loss_curve_``. If False, the curve is
        the loss of the last call alone, and no number of calls takes more memory.
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
        Momentum of 'sgd' and 'rmsprop', between 0 and 1.
    nesterovs_momentum : bool, default=True
        Whether 'sgd' uses Nesterov's momentum.
    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the training data, stop when the
        score on it (R2, or ``scoring``) no longer improves, and keep the best weights.
    validation_fraction : float, default=0.1
        Fraction held out by ``early_stopping``, if fit is given no ``X_val``.
    scoring : str, callable or None, default=None
        What ``early_stopping`` watches, the higher the better: None is ``score``, 'loss' the
        negative loss without penalty, or the name of a scorer of scikit-learn, as
        'neg_mean_absolute_error', or a callable ``scorer(estimator, X, y)``.
    beta_1 : float, default=0.9
        Decay of the mean of gradients of 'adam', 'adamw' and 'nadam', share of x in the y of
        'schedule_free_adamw'; in [0, 1).
    beta_2 : float, default=0.999
        Decay of the mean of squared gradients of these and 'rmsprop', in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator of the solvers that have one.
    weight_decay : float, default=None
        'adamw' and 'schedule_free_adamw' subtract the current learning rate times weight_decay
        times W from the weights in each step (not from the biases); None is 0.01. The other
        solvers have none, and more than 0 is an error. The L2 penalty ``alpha`` is of all of
        them, and separate.
    max_grad_norm : float, default=None
        Gradients, the penalty included, whose norm over all weights and biases is larger are
        shortened to it before the step (Pascanu, Mikolov & Bengio 2013). Not with 'lbfgs'.
    ema_decay : float, default=None
        If given, in [0, 1), predictions, ``coefs_``, ``intercepts_``, validation scores and best
        weights are those of the exponential moving average over the steps of the fit, in which
        the weights of each step count ema_decay times as much as those of the next and all
        add up to one. Training, ``loss_`` and ``loss_curve_`` are of the weights themselves,
        with which partial_fit and a warm start go on, unless ``coefs_`` were changed or early
        stopping took older ones. Not with 'lbfgs' and 'schedule_free_adamw'.
    n_iter_no_change : int or np.inf, default=10
        Training stops after more than this many epochs in a row without an improvement by tol.
    max_fun : int, default=15000
        Maximum number of loss evaluations of 'lbfgs'.
    fit_intercept : bool, default=True
        Whether layers have biases. If False, ``intercepts_`` are zeros and stay so.
    out_activation : {'auto', 'exp', 'identity', 'logistic', 'relu', 'tanh'}, default='auto'
        Activation of the output layer; 'auto' is 'exp' for the losses 'poisson', 'gamma' and
        'tweedie' (of power 1 or more), which need positive predictions, and 'identity' otherwise.
        The gradient is the derivative of the loss through it.
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
        Loss of the last epoch or iteration, the penalty included; NaN if a fit was interrupted
        before the first had ended.
    best_loss_ : float or None
        Lowest loss so far; None with early stopping. Not of 'lbfgs', as are the next three.
    loss_curve_ : list of float
        Loss after each epoch.
    validation_scores_ : list of float or None
        ``score``, or what ``scoring`` asks for, on the held-out data after each epoch, with early
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
    quantiles_ : ndarray of shape (n_quantiles,)
        The quantiles that are predicted, if ``quantile`` is a list (and used).
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
    Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964). Koenker &
    Bassett, "Regression quantiles", Econometrica 46 (1978). Jorgensen, "The theory of dispersion
    models", 1997.
    Loshchilov & Hutter, "Decoupled weight decay regularization", arXiv:1711.05101, and "SGDR:
    stochastic gradient descent with warm restarts", arXiv:1608.03983. Dozat, "Incorporating
    Nesterov momentum into Adam", ICLR workshop 2016. Tieleman & Hinton, "Lecture 6.5 - rmsprop",
    Coursera 2012. Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", JMLR 12 (2011). Defazio et al., "The road less scheduled",
    arXiv:2405.15682. Smith & Topin, "Super-convergence", arXiv:1708.07120. Pascanu, Mikolov &
    Bengio, "On the difficulty of training recurrent neural networks", arXiv:1211.5063.

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
        scoring: str | Callable | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | None = None,
        max_grad_norm: float | None = None,
        ema_decay: float | None = None,
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
        checkpoint: Checkpoint | None = None,
        resume_from: str | PathLike | None = None,
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
        checkpoint : Checkpoint, default=None
            Where to write the state of the fit, and after how many epochs. Not with 'lbfgs'.
        resume_from : str or path-like, default=None
            A file that a Checkpoint wrote: the fit goes on with the next epoch and ends as the one
            that wrote it would have ended, to the bit. X, y and the rest have to be the same, and
            so have the parameters but ``verbose``, ``n_jobs`` and ``max_iter``, which may be
            larger unless the learning rate is planned for it. Initial weights are not looked at;
            a ``random_state`` that is an instance is set to what it was.

        Returns
        -------
        self : MLPRegressor

        Raises
        ------
        ValueError
            If the input does not fit, y is out of the range of the loss, training ends in
            non-finite weights, or ``resume_from`` is a checkpoint of another fit.
        OSError
            If a checkpoint cannot be written or read.
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

        Notes
        -----
        Each call adds one entry to ``loss_curve_``, unless ``partial_fit_loss_curve=False``;
        nothing else grows.
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
        loss, parameter = self._engine_loss()
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

    def _start(self, units, first_pass, with_validation_data):
        super()._start(units, first_pass, with_validation_data)
        vars(self).pop("quantiles_", None)
        if self._several_quantiles() is not None:
            self.quantiles_ = np.array(self._several_quantiles())

    def _targets(self, y):
        """Targets that come after fit, as the loss reads them."""
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

    def _engine_loss(self):
        parameter = parameter_of(self)
        return regressor_loss(self.loss, parameter), parameter
