"""The loop over epochs of the stochastic solvers: what is decided once per epoch.

Shuffling, one compiled pass over the samples, patience, early stopping, interruption. Knows no
layer and no formula.
"""

import warnings
from math import isinf, isnan

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from cmlp._core import engine
from cmlp._optimizers import OPTIMIZERS
from cmlp._threads import effective_n_threads

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and"
    " need to be preprocessed."
)


class Validation:
    """The held-out part of the training data, and the best weights seen on it.

    Parameters
    ----------
    indices : ndarray of int
        The samples held out.
    """

    def __init__(self, est, arrays, indices, vector):
        X, y, sample_weight = arrays
        self.X = X[indices]
        self.y = y[indices]
        if is_classifier(est):
            self.y = est._label_binarizer.inverse_transform(self.y)
        self.sample_weight = None if sample_weight is None else sample_weight[indices]
        self.best_vector = vector.copy()

    def update(self, est, vector):
        """Score the current weights and keep them if they are the best; count if they are not."""
        score = np.nan  # of weights that are not finite, although a classifier has labels for them
        if np.isfinite(vector).all():
            score = est._score(self.X, self.y, self.sample_weight)
        est.validation_scores_.append(score)
        if est.verbose:
            print(f"Validation score: {score:f}")
        if score < est.best_validation_score_ + est.tol:
            est._no_improvement_count += 1
        else:
            est._no_improvement_count = 0
        if score > est.best_validation_score_:
            est.best_validation_score_ = score
            self.best_vector[...] = vector


def split(est, y, random_state):
    """Indices of the samples to train on and to hold out, by scikit-learn's own draws.

    Only binary targets are stratified, as in scikit-learn.
    """
    stratify = y if is_classifier(est) and est.n_outputs_ == 1 else None
    train, held_out = train_test_split(
        np.arange(len(y), dtype=np.intp),
        random_state=random_state,
        test_size=est.validation_fraction,
        stratify=stratify,
    )
    if len(held_out) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of"
            " your dataset."
        )
    return train, held_out


def clip_batch_size(est, n_samples):
    if est.batch_size == "auto":
        return min(200, n_samples)
    if est.batch_size > n_samples:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=2,
        )
    return int(np.clip(est.batch_size, 1, n_samples))


def count_improvement(est):
    """Patience on the training loss."""
    if est.loss_ > est.best_loss_ - est.tol:
        est._no_improvement_count += 1
    else:
        est._no_improvement_count = 0
    if est.loss_ < est.best_loss_:
        est.best_loss_ = est.loss_


def diverged(loss, vector):
    """Whether there is nothing left to train: a NaN loss, or an infinite one of such weights."""
    return isnan(loss) or (isinf(loss) and not np.isfinite(vector).all())


def out_of_patience(est):
    """Whether to stop for want of improvement (the adaptive schedule may go on, slower)."""
    if est._no_improvement_count <= est.n_iter_no_change:
        return False
    what = "Validation score" if est.early_stopping else "Training loss"
    msg = (
        f"{what} did not improve more than tol={est.tol:f} for {est.n_iter_no_change:.0f}"
        " consecutive epochs."
    )
    if est._optimizer.trigger_stopping(msg, est.verbose):
        return True
    est._no_improvement_count = 0
    return False


def fit_stochastic(
    est, parameters, layout, dataset, flops, arrays, random_state, loss_type, incremental
):
    """Train ``parameters.vector`` in place, for one epoch if incremental.

    Parameters
    ----------
    dataset : engine.Dataset
        All samples.
    arrays : tuple (X, y, sample_weight)
        The same samples, for early stopping.
    flops : int
        Work of a sample in one epoch.
    loss_type : type
        What scikit-learn's arithmetic would make the reported loss.

    Raises
    ------
    ValueError
        If the loss or the weights are no longer finite (with early stopping: a
        ConvergenceWarning, and the best finite weights are kept).
    """
    vector = parameters.vector
    optimizer = getattr(est, "_optimizer", None)
    if not incremental or optimizer is None or optimizer.state.shape[1] != len(vector):
        optimizer = OPTIMIZERS[est.solver](est, len(vector), vector.dtype)
    state = optimizer.state
    if state.dtype != vector.dtype or not state.flags.c_contiguous:
        optimizer.state = np.ascontiguousarray(state, dtype=vector.dtype)
    est._optimizer = optimizer

    order, validation = None, None
    n_samples = len(dataset)
    if est.early_stopping:
        order, held_out = split(est, arrays[1], random_state)
        validation = Validation(est, arrays, held_out, vector)
        n_samples = len(order)
    elif est.shuffle and n_samples > 1:
        order = np.arange(n_samples, dtype=np.intp)
    batch_size = clip_batch_size(est, n_samples)
    grads = layout.gradient(batch_size, vector.dtype)
    n_threads = effective_n_threads(est.n_jobs, flops * batch_size)
    work = layout.workspace(batch_size, vector.dtype, n_threads, data=dataset)

    try:
        est.n_iter_ = 0
        while est.n_iter_ < est.max_iter:
            if est.shuffle and order is not None:
                engine.shuffle(random_state, order)  # the permutations compose over the epochs
            hyper = optimizer.hyper
            try:
                loss = engine.train_epoch(
                    layout,
                    dataset,
                    order,
                    batch_size,
                    optimizer.name,
                    hyper,
                    float(est.alpha),
                    vector,
                    grads,
                    optimizer.state,
                    work,
                    n_threads,
                )
            finally:
                optimizer.after_epoch(hyper)
            est.n_iter_ += 1
            est.loss_ = loss_type(loss)
            est.t_ += n_samples
            est.loss_curve_.append(est.loss_)
            if est.verbose:
                print(f"Iteration {est.n_iter_}, loss = {est.loss_:.8f}")
            if validation is not None:
                validation.update(est, vector)
            else:
                count_improvement(est)
            optimizer.iteration_ends(est.t_)
            if diverged(loss, vector):
                if validation is None:
                    raise ValueError(NON_FINITE)
                warnings.warn(
                    f"The loss is not finite after epoch {est.n_iter_}: training stops, and the"
                    " best finite weights are kept. Scale the data or lower"
                    " learning_rate_init.",
                    ConvergenceWarning,
                    stacklevel=2,
                )
                break
            if out_of_patience(est) or incremental:
                break
            if est.n_iter_ == est.max_iter:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({est.max_iter:d}) reached and"
                    " the optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=2,
                )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=2)

    if validation is not None:
        vector[...] = validation.best_vector
