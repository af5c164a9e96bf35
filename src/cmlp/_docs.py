"""Documentation that MLPClassifier and MLPRegressor share, and how it completes their own.

What is said of one estimator only stands in that estimator's docstrings. No code of estimators.
"""

import re
from collections.abc import Callable
from inspect import cleandoc, signature
from typing import TypeVar

Documented = TypeVar("Documented", bound=Callable)

#: Sections of numpydoc, in its order, and whether they consist of named entries.
SECTIONS = {
    "": False,
    "Parameters": True,
    "Returns": True,
    "Raises": True,
    "Attributes": True,
    "See Also": True,
    "Notes": False,
    "References": False,
    "Examples": False,
}
#: Name of an entry that stands in for the shared ones, for who reads the source.
PLACEHOLDER = "..."


def documented_with(shared: str) -> Callable[[Documented], Documented]:
    """Decorator that completes the docstring of a class or function by a shared text.

    Entries of the docstring take the place of shared ones of the same name; parameters come in
    the order of the signature, other entries of the docstring before the shared ones.
    """

    def decorate(documented: Documented) -> Documented:
        if documented.__doc__ is not None:  # as it is under python -OO
            documented.__doc__ = completed(
                cleandoc(documented.__doc__), shared, list(signature(documented).parameters)
            )
        return documented

    return decorate


def completed(docstring, shared, parameters):
    """The docstring with the shared text in it, its parameters in the order given."""
    own, shared = split_sections(docstring), split_sections(shared)
    sections = []
    for title, has_entries in SECTIONS.items():
        texts = [text[title] for text in (shared, own) if title in text]
        if has_entries and len(texts) == 2:
            entries = merge_entries(*map(split_entries, texts))
            if title == "Parameters":
                entries = {name: entries[name] for name in sorted(entries, key=parameters.index)}
            texts = entries.values()
        if texts:
            heading = [title, "-" * len(title)] if title else []
            sections.append("\n".join([*heading, *texts]))
    return "\n\n".join(sections) + "\n"


def split_sections(text):
    """Texts of the sections by title; the summary is that of the title ''."""
    summary, *rest = re.split(r"^(\w[\w ]*)\n-{3,}\n", text, flags=re.MULTILINE)
    sections = {"": summary, **dict(zip(rest[::2], rest[1::2], strict=True))}
    return {title: part.strip("\n") for title, part in sections.items() if part.strip()}


def split_entries(text):
    """Entries of a section by name, where several share one by that of the first."""
    entries = re.split(r"\n(?=\S)", text)
    return {re.split("[ ,]", entry, maxsplit=1)[0]: entry.rstrip() for entry in entries}


def merge_entries(shared, own):
    """Entries of both, the shared ones in their order, with those of its own first."""
    added = {name: entry for name, entry in own.items() if name not in shared}
    entries = {**added, **shared, **own}
    entries.pop(PLACEHOLDER, None)
    return entries


ESTIMATOR = """
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
solver : {'adagrad', 'adam', 'adamw', 'lbfgs', 'lion', 'nadam', 'rmsprop', \
'schedule_free_adamw', 'sgd'}, default='adam'
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
    - 'lion' (Chen et al. 2023): steps of learning_rate_init sign(beta_1 m + (1 - beta_1) g), m
      with ``beta_2``, and weights decay as adamw's; its authors take a learning rate of a tenth
      to a third of adamw's, a weight decay as many times as large, and beta_2 = 0.99.
alpha : float, default=0.0001
    Strength of the L2 penalty alpha / 2 * sum(W**2) on the weights (not the biases); it is
    divided by the number of samples, or the sum of their weights, in a batch.
dropout : float or list of float, default=0.0
    Rate at which the outputs of hidden layers are set to zero in training; the others are
    divided by 1 - rate (Srivastava et al. 2014), so that predictions and scores use the whole
    network. A list has one rate for the input, then one for each hidden layer. Rates are in
    [0, 1) and count in steps of 1 / 65536. Not for 'lbfgs'. See ``predict_samples``.
n_members : int, default=1
    Networks that are trained at once and share all weights but those of the last layer; each
    multiplies the input by factors of its own, which begin as 1 or -1. Their mean is what is
    predicted: most of the gain of an ensemble for less than the price of as many networks
    (Gorishniy, Kotelnikov & Babenko, "TabM", ICLR 2025, there TabM-mini). X must be dense.
    ``coefs_[-1]`` and ``intercepts_[-1]`` then have an axis more, the members.
encodings : list of tuple (kind, column, width, levels), default=None
    How columns of X become the inputs of the first layer, in their order; None: they are the
    inputs. X must be dense. 'identity' (``width`` columns from ``column`` on as they are) and
    'scale' (each times a trained factor) have 0 levels. Others read one column, of places in
    a table of trained rows, of which they make ``width`` inputs: 'category' 0 to levels - 1;
    'piecewise_linear', 'linear_spline' and 'piecewise_constant' 0 to ``levels``, the number of
    bins, the fraction being the place within the bin, and missing numbers being greater. The
    first two are linear within each bin; 'piecewise_linear' trains the differences between
    edges (Gorishniy, Rubachev & Babenko, "On embeddings for numerical features in tabular deep
    learning", NeurIPS 2022), 'linear_spline' the values. Several may read the same column.
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
validation_fraction : float, default=0.1
    Fraction held out by ``early_stopping``, if fit is given no ``X_val``.
beta_1 : float, default=0.9
    Decay of the mean of gradients of 'adam', 'adamw' and 'nadam', share of x in the y of
    'schedule_free_adamw' and of the momentum in the step of 'lion'; in [0, 1).
beta_2 : float, default=0.999
    Decay of the mean of squared gradients of these and 'rmsprop', of the momentum of 'lion';
    in [0, 1).
epsilon : float, default=1e-8
    Added to the denominator of the solvers that have one.
weight_decay : float, default=None
    'adamw', 'lion' and 'schedule_free_adamw' subtract the current learning rate times weight_decay
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
max_time : float, default=None
    Seconds of training after which no epoch, or iteration of 'lbfgs', begins any more.
max_fun : int, default=15000
    Maximum number of loss evaluations of 'lbfgs'.
fit_intercept : bool, default=True
    Whether layers have biases. If False, ``intercepts_`` are zeros and stay so.
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
input_weights_ : list of ndarray of shape (n_rows, n_columns)
    What is trained of the inputs: the table of each encoding that has one, then with members
    their factors (n_members, n_inputs). Only there with ``encodings`` or ``n_members``.
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
out_activation_ : str
    Name of the output activation.
n_features_in_ : int
    Number of features seen in fit.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features, if X had them and all are strings.

See Also
--------
Network : The mathematics of a fitted network: activations, gradients, Jacobians.

References
----------
Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors", Nature
323 (1986). Kingma & Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980.
Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, "Dropout: a simple way to prevent
neural networks from overfitting", JMLR 15 (2014). Salmon, Moraes, Dror & Shaw, "Parallel
random numbers: as easy as 1, 2, 3", SC 2011, whose Philox decides which units are dropped.
Loshchilov & Hutter, "Decoupled weight decay regularization", arXiv:1711.05101, and "SGDR:
stochastic gradient descent with warm restarts", arXiv:1608.03983. Dozat, "Incorporating
Nesterov momentum into Adam", ICLR workshop 2016. Tieleman & Hinton, "Lecture 6.5 - rmsprop",
Coursera 2012. Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and
stochastic optimization", JMLR 12 (2011). Defazio et al., "The road less scheduled",
arXiv:2405.15682. Smith & Topin, "Super-convergence", arXiv:1708.07120. Pascanu, Mikolov &
Bengio, "On the difficulty of training recurrent neural networks", arXiv:1211.5063.
"""

FIT = """
Parameters
----------
X : {array-like, sparse matrix} of shape (n_samples, n_features)
    float32 and float64 are kept, anything else becomes float64 (or ``dtype``).
sample_weight : array-like of shape (n_samples,), default=None
    Weights of the samples.
X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
    Validation data for ``early_stopping``, in place of a part of X; without it they are
    watched only: ``validation_scores_`` and ``validation_loss_curve_``. In a Pipeline the
    steps before transform them if it is made with ``transform_input=["X_val"]``. Not with
    'lbfgs'.
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

Raises
------
ValueError
    If the input does not fit, training ends in non-finite weights, or ``resume_from`` is a
    checkpoint of another fit.
OSError
    If a checkpoint cannot be written or read.
"""

PARTIAL_FIT = """
Parameters
----------
X : {array-like, sparse matrix} of shape (n_samples, n_features)
sample_weight : array-like of shape (n_samples,), default=None

Notes
-----
Each call adds one entry to ``loss_curve_``, unless ``partial_fit_loss_curve=False``;
nothing else grows.
"""
