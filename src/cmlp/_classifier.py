"""MLPClassifier: its signature and documentation, labels, probabilities. No maths."""

from collections.abc import Callable, Sequence
from numbers import Real
from os import PathLike
from typing import Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    unique_labels,
)

from cmlp._base import BaseMultilayerPerceptron
from cmlp._checkpoint import Checkpoint
from cmlp._class_weight import BALANCED_NEEDS_ALL, weigh_classes
from cmlp._inspection import InspectionMixin
from cmlp._labels import (
    MultioutputBinarizer,
    as_array,
    as_before,
    as_indicator,
    check_labels,
    classes_of_columns,
    columns_of,
    is_list_of_classes,
    is_multioutput,
    validatable,
)
from cmlp._losses import CLASSIFIER_ROWS, loss_names, parameter_of
from cmlp._sklearn_names import SklearnNamesMixin
from cmlp._typing import ArrayLike, FloatArray, Layers, MatrixLike
from cmlp._validation import (
    Names,
    are_classes,
    fit_context,
    fit_label_binarizer,
    indicator,
    ravel_column,
    validate_training_data,
)


class MLPClassifier(ClassifierMixin, InspectionMixin, SklearnNamesMixin, BaseMultilayerPerceptron):
    """Multilayer perceptron classifier, a drop-in for scikit-learn's on a compiled engine.

    Minimises the log-loss: softmax over the classes, or one logistic output for two classes and
    for each label of a multilabel problem. y may have several columns of classes: each then has a
    softmax of its own, and the loss is the sum of theirs. Parameters, attributes, random draws and
    results are those of :class:`sklearn.neural_network.MLPClassifier`; the keywords that
    scikit-learn does not have are added.

    Parameters
    ----------
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
        accuracy on it (or ``scoring``) no longer improves, and keep the best weights. The split
        is stratified for two classes.
    validation_fraction : float, default=0.1
        Fraction held out by ``early_stopping``, if fit is given no ``X_val``.
    scoring : str, callable or None, default=None
        What ``early_stopping`` watches, the higher the better: None is the accuracy, 'loss' the
        negative loss without penalty, or the name of a scorer of scikit-learn, as 'neg_log_loss',
        or a callable ``scorer(estimator, X, y)``.
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
    class_weight : dict, list of dict, 'balanced' or None, default=None
        Weights of the classes, {label: weight}, by which the sample weights are multiplied; a
        label not named weighs 1. For y of several columns a list with a dict for each (for
        multilabel y {0: weight, 1: weight}); the weights of the columns are multiplied. 'balanced'
        is n_samples / (n_classes * np.bincount(y)); partial_fit, which sees a part of y, does not
        take it.
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
    classes_ : ndarray of shape (n_classes,), or list of such arrays
        Class labels; a list with those of each column if y has several columns of classes.
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
        Accuracy, or what ``scoring`` asks for, on the held-out data after each epoch, with early
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
    MLPRegressor : The same for regression.
    Network : The mathematics of a fitted network: activations, gradients, Jacobians.

    References
    ----------
    Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors", Nature
    323 (1986). Kingma & Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980.
    Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, "Dropout: a simple way to prevent
    neural networks from overfitting", JMLR 15 (2014). Salmon, Moraes, Dror & Shaw, "Parallel
    random numbers: as easy as 1, 2, 3", SC 2011, whose Philox decides which units are dropped.
    Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016. Lin et
    al., "Focal loss for dense object detection", ICCV 2017.
    Loshchilov & Hutter, "Decoupled weight decay regularization", arXiv:1711.05101, and "SGDR:
    stochastic gradient descent with warm restarts", arXiv:1608.03983. Dozat, "Incorporating
    Nesterov momentum into Adam", ICLR workshop 2016. Tieleman & Hinton, "Lecture 6.5 - rmsprop",
    Coursera 2012. Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", JMLR 12 (2011). Defazio et al., "The road less scheduled",
    arXiv:2405.15682. Smith & Topin, "Super-convergence", arXiv:1708.07120. Pascanu, Mikolov &
    Bengio, "On the difficulty of training recurrent neural networks", arXiv:1211.5063.

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

    _parameter_constraints: dict = {
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
        class_weight: dict | list | str | None = None,
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
        y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_columns)
            Class labels, a multilabel indicator (zeros and ones or booleans, dense or sparse),
            or several columns of class labels (all other values, even if they are but two).
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation data for ``early_stopping``, in place of a part of X; without it they are
            watched only: ``validation_scores_`` and ``validation_loss_curve_``. In a Pipeline the
            steps before transform them if it is made with ``transform_input=["X_val"]``. 'sgd' and
            'adam' only.
        y_val : array-like, as y with n_val rows, default=None
            Their labels, all of them among those of y.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights, in the score and in the loss. ``class_weight`` does not
            apply to them.
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
        self : MLPClassifier

        Raises
        ------
        ValueError
            If the input does not fit, training ends in non-finite weights, or ``resume_from`` is a
            checkpoint of another fit.
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
        self,
        X: MatrixLike,
        y: MatrixLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Continue training with one epoch over X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_columns)
        sample_weight : array-like of shape (n_samples,), default=None
        classes : array-like of shape (n_classes,), or list of such arrays, default=None
            All classes that will ever come; needed in the first call only. For several columns a
            list with those of each, or one array-like for all of them. Of a multilabel indicator
            they are the numbers of its columns, as in scikit-learn.

        Returns
        -------
        self : MLPClassifier

        Notes
        -----
        Each call adds one entry to ``loss_curve_``, unless ``partial_fit_loss_curve=False``;
        nothing else grows.
        """
        if self.class_weight == "balanced":
            raise ValueError(BALANCED_NEEDS_ALL)
        return self._fit_or_restore(X, y, sample_weight, incremental=True, classes=classes)

    def _learn_classes(self, y, classes):
        known = vars(self).get("classes_")
        if type(known) is list:
            self._check_column_classes(known, classes)
        elif known is not None and (classes is None or are_classes(classes, known)):
            pass  # what a stream of calls comes with
        elif known is None and (columns := classes_of_columns(classes, y)) is not None:
            self._label_binarizer = MultioutputBinarizer.from_classes(columns)
            self.classes_ = self._label_binarizer.classes_
        elif _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            y = as_array(y)
            if y.ndim == 2 and y.shape[1] > 1:
                self._label_binarizer.fit(as_indicator(y))
            else:
                self._label_binarizer.fit(classes)
                self.classes_ = self._label_binarizer.classes_

    def predict(self, X: MatrixLike) -> np.ndarray | sp.csr_matrix:
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

    def predict_proba(self, X: MatrixLike) -> FloatArray:
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

    def predict_log_proba(self, X: MatrixLike) -> FloatArray:
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

    def _weigh_samples(self, targets, sample_weight):
        if self.class_weight is None:
            return sample_weight
        classes = self.classes_
        if type(classes) is list:
            columns = [own.argmax(axis=1) for own in self._label_binarizer.split(targets)]
            positions = np.stack(columns, axis=1)
        elif self._label_binarizer.y_type_.startswith("multilabel"):
            classes, positions = None, targets.astype(np.intp)
        elif targets.shape[1] == 1:
            positions = targets[:, 0].astype(np.intp)
        else:
            positions = targets.argmax(axis=1)
        return weigh_classes(self.class_weight, classes, positions, sample_weight)

    def _validate_held_out(self, X, y):
        X, y = validate_training_data(self, X, validatable(y), reset=False)
        if y.ndim == 2 and y.shape[1] == 1:
            y = ravel_column(y)
        if type(self.classes_) is list:
            unseen = self._label_binarizer.unknown(y)
            if any(labels.size for labels in unseen):
                raise ValueError(
                    f"y_val contains previously unseen labels in its columns: {unseen}"
                )
            return X, y, self._label_binarizer.transform(y)
        y = as_before(self._label_binarizer, y)
        unseen = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unseen):
            raise ValueError(f"y_val contains previously unseen labels: {unseen.tolist()}")
        targets = indicator(self._label_binarizer, y)
        if targets is None:
            targets = self._label_binarizer.transform(y).astype(bool)
        return X, y, targets

    def _by_column(self, p):
        """The probabilities of all columns of y as a list."""
        return [np.ascontiguousarray(of_column) for of_column in self._label_binarizer.split(p)]

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_training_data(self, X, validatable(y), reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = ravel_column(y)
        binarizer = getattr(self, "_label_binarizer", None)
        # a resumed fit has the classes of its checkpoint
        continues = hasattr(self, "classes_") and (incremental or (self.warm_start and not reset))
        # a small part of several columns of classes may look like a multilabel indicator
        if (continues and type(self.classes_) is list) or (not continues and is_multioutput(y)):
            return X, self._column_targets(y, continues)
        if continues:
            y = as_before(binarizer, y)
        elif y.ndim == 2:
            y = as_indicator(y)
        if not continues:
            binarizer = self._label_binarizer = fit_label_binarizer(y)
            self.classes_ = binarizer.classes_
        elif self.warm_start or self.classes_ is not binarizer.classes_:
            self._check_classes(unique_labels(y))
        targets = indicator(binarizer, y)
        if targets is None:
            if incremental:
                self._check_classes(unique_labels(y))
            # bool: a sixty-fourth of a float64 matrix of indicators, and no upcast of float32
            targets = binarizer.transform(y).astype(bool)
        return X, targets

    def _check_column_classes(self, known, classes):
        """Raise unless the ``classes`` of a further partial_fit are those of the columns."""
        if classes is None:
            return
        columns = classes if is_list_of_classes(classes) else [classes] * len(known)
        given = MultioutputBinarizer.from_classes(columns).classes_
        if [c.tolist() for c in given] != [c.tolist() for c in known]:
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was:"
                f" {known!r}"
            )

    def _column_targets(self, y, continues):
        """Indicators of the classes of each column of y, which may follow that of before."""
        if not continues:
            self._label_binarizer = MultioutputBinarizer.from_targets(y)
            self.classes_ = self._label_binarizer.classes_
        binarizer = self._label_binarizer
        unknown = binarizer.unknown(y)
        if any(labels.size for labels in unknown):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}."
                f" 'y' has, in addition, {unknown} in its columns."
            )
        targets = binarizer.transform(y)
        if continues and self.warm_start and not targets.any(axis=0).all():
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the"
                f" previous call to fit. Previously got {self.classes_}, `y` lacks some."
            )
        return targets

    def _check_classes(self, classes):
        """Whether y may follow the y of the previous call."""
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the"
                    f" previous call to fit. Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}."
                f" 'y' has {classes}."
            )

    def _targets(self, y):
        """Labels that come after fit, as the loss reads them."""
        if type(self.classes_) is list:
            unknown = self._label_binarizer.unknown(y)
            if any(labels.size for labels in unknown):
                raise ValueError(f"y contains previously unseen labels in its columns: {unknown}")
            return self._label_binarizer.transform(y)
        if self._label_binarizer.y_type_ in ("binary", "multiclass"):
            y = ravel_column(y)
        else:
            y = as_before(self._label_binarizer, as_array(y))
        unknown = np.setdiff1d(unique_labels(y), self.classes_)
        if unknown.size:
            raise ValueError(f"y contains previously unseen labels: {unknown}")
        return self._label_binarizer.transform(y)

    def _choose_out_activation(self):
        return "softmax" if self._label_binarizer.y_type_.startswith("multiclass") else "logistic"

    def _output_groups(self):
        if type(vars(self).get("classes_")) is not list:
            return None
        return tuple(len(classes) for classes in self.classes_)

    def _engine_loss(self):
        parameter = parameter_of(self)
        return CLASSIFIER_ROWS[self.loss, self.out_activation_], parameter

    def _label_smoothing(self):
        smoothing = float(self.label_smoothing)
        sizes = {2}
        if self._choose_out_activation() == "softmax":
            sizes = set(self._output_groups() or [len(self.classes_)])
        if smoothing and len(sizes) > 1:
            raise ValueError("label_smoothing needs columns of y with equal numbers of classes.")
        n_classes = max(sizes)
        return 1 - smoothing, smoothing / n_classes

    def _check_loaded(self):
        binarizer = vars(self).get("_label_binarizer")
        columns = check_labels(binarizer, vars(self).get("classes_"))
        self.classes_ = binarizer.classes_  # one array, and the one that predict reads
        n_outputs = 1 if binarizer.y_type_ == "binary" else sum(map(len, columns))
        if self.n_outputs_ != n_outputs:
            raise ValueError(f"n_outputs_ is {self.n_outputs_}, classes_ need {n_outputs}")
        if self.out_activation_ != self._choose_out_activation():
            raise ValueError(
                f"out_activation_ must be {self._choose_out_activation()!r} for these labels, got"
                f" {self.out_activation_!r}"
            )

    def __sklearn_tags__(self):
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
