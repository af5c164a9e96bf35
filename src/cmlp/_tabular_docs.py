"""Documentation that TabularMLPClassifier and TabularMLPRegressor share. No code."""

TABULAR = """
Takes a raw table, as a pandas or polars DataFrame or an array: numbers, booleans, categories,
strings, missing values. Each number enters as itself, robustly scaled and smoothly clipped, and as
a trained piecewise linear function of it, with edges that a decision tree has found, and with
steps if its values repeat; categories enter as indicators or trained rows. ``n_members`` networks
share their weights, and ``n_folds`` such networks each hold out another part of the rows, by which
the epoch is chosen that they keep; the mean of all is predicted.

Parameters
----------
hidden_layer_sizes : array-like of int, int or 'auto', default='auto'
    Number of units of each hidden layer; 'auto' is (64, 64) for up to 5000 rows, else (128, 128).
activation : str, default='silu'
    As of :class:`MLPClassifier`.
n_members : int, default=4
    Networks that share all but their factors of the inputs and their last layer.
n_folds : int, default=5
    Networks, each of which holds out another part of the rows; their mean is predicted. 1: one
    network, in a fifth of the time.
validation_fraction : float, default=0.15
    Share of the rows that is held out with n_folds=1; 0: none, and the last epoch is kept.
categorical_features : 'from_dtype', array-like of bool, int or str, or None, \
default='from_dtype'
    As of :class:`~sklearn.ensemble.HistGradientBoostingClassifier`: by default columns of a
    DataFrame that hold categories or strings; all columns of an array are numbers.
n_bins : int, default=48
    Bins of a number, at most; 0: it enters as itself only.
embedding : int, default=6
    Inputs of the first layer that the piecewise linear function of a number has.
step_embedding : int, default=4
    As many more of a number whose values repeat, 8 times on average; they are constant within
    each bin, as the values of a count or a code may have nothing to do with their neighbours. 0:
    none.
max_one_hot : int, default=8
    Categories with more levels are rows of a trained table instead of indicators. Levels seen
    once, and those first seen in predict, share one.
dropout : float or list of float, default=0.1
    Of the hidden layers; a list also has that of the input, first.
weight_decay : float, default=0.0003
    Decoupled, of weights, not of encodings.
batch_size : int or 'auto', default='auto'
    Samples of a minibatch; 'auto' is a sixteenth of the rows, 32 to 256.
beta_2 : float, default=0.999
    Of AdamW.
max_grad_norm : float or None, default=1.0
    Longer gradients are shortened to it.
max_iter : int or 'auto', default='auto'
    Epochs; 'auto' is 20, or as many as make 3000 updates, at most 1000.
n_iter_no_change : int or 'auto', default='auto'
    Epochs without improvement after which training ends; 'auto' is a fifth of max_iter, at least
    8.
time_limit : float, default=None
    Seconds that fit may take; the best epoch until then is kept.
random_state : int, RandomState instance or None, default=None
    Decides what is drawn: rows held out, initial weights, order of the rows, dropout. With an
    int, the same bits for any n_jobs.
verbose : bool or int, default=False
    Whether to print the losses of each epoch.
n_jobs : int, default=None
    Threads, as of :class:`MLPClassifier`: of several networks, each is trained by one.

Attributes
----------
estimators_ : list of MLPClassifier or MLPRegressor
    The fitted networks, one for each fold, which take the encoded table.
n_iter_ : int
    Epochs of the fit that took the most.
n_features_in_ : int
    Number of features seen in fit.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features, if X had them and all are strings.

References
----------
Gorishniy, Rubachev & Babenko, "On embeddings for numerical features in tabular deep learning",
NeurIPS 2022. Gorishniy, Kotelnikov & Babenko, "TabM: advancing tabular deep learning with
parameter-efficient ensembling", ICLR 2025. Holzmuller, Grinsztajn & Steinwart, "Better by
default: strong pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024.
"""

FIT = """
Parameters
----------
X : DataFrame or array-like of shape (n_samples, n_features)
    Missing values are NaN, None or what the DataFrame has for them.
sample_weight : array-like of shape (n_samples,), default=None
X_val : DataFrame or array-like of shape (n_val, n_features), default=None
    Rows by which the epoch is chosen; then each network is trained on all of X.
y_val : array-like, default=None
    Their labels or values.
sample_weight_val : array-like of shape (n_val,), default=None
    Their weights.

Raises
------
ValueError, TypeError
    If X, y or a parameter is not what it has to be; nothing has been fitted then.
"""
