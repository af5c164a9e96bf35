"""Data that a fit watches but does not train on: their loss and score, and the best weights.

What scikit-learn's early stopping does between two epochs. No training, no layer.
"""

from math import ceil
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from cmlp._attributes import as_real, is_real
from cmlp._core import engine

try:
    from sklearn.utils.extmath import _approximate_mode
except ImportError:  # then every split takes scikit-learn's way
    _approximate_mode = None


class HeldOut(NamedTuple):
    """Validation data, as the engine and as scorers read them."""

    X: Any  # of the dtype of the computation, dense or CSR
    targets: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None
    rows: Any  # X as the caller of fit gave it, with the names of its columns
    y: Any  # labels or values


class Validation:
    """The loss and the score on held-out data after each epoch, and the best weights.

    Parameters
    ----------
    est : estimator
        Whose ``validation_scores_`` and other attributes are kept up to date.
    held_out : HeldOut
    layout : engine.Layout
    vector : ndarray of shape (n_params,)
        The weights at the start.
    n_threads : int
        For the outputs of the held-out data.
    """

    def __init__(self, est, held_out, layout, vector, n_threads):
        self.held_out = held_out
        self.layout = layout
        self.n_threads = n_threads
        dtype = vector.dtype
        arrays = held_out.X, held_out.targets, held_out.sample_weight
        self.dataset = engine.Dataset(
            *arrays, dtype, est.dtype == "float32", *est._label_smoothing()
        )
        n_samples = len(self.dataset)
        self.out = np.empty((n_samples, held_out.targets.shape[1]), dtype=dtype)
        self.work = layout.workspace(
            n_samples, dtype, n_threads, per_thread=True, data=self.dataset
        )
        self.best_vector = vector.copy()
        self.scorer = None
        if est.scoring not in (None, "loss"):
            self.scorer = check_scoring(est, est.scoring)

    def evaluate(self, est, vector):
        """Mean loss without penalty, and score, both NaN for weights that are not finite."""
        if not np.isfinite(vector).all():  # a classifier has labels even for them
            return np.nan, np.nan
        engine.predict(
            self.layout, self.dataset, vector, self.work, self.out, n_threads=self.n_threads
        )
        loss = engine.mean_loss(self.layout, self.dataset, self.out)
        y, sample_weight = self.held_out.y, self.held_out.sample_weight
        if est.scoring is None:
            return loss, est._score_outputs(self.out, y, sample_weight)
        if est.scoring == "loss":
            return loss, -loss
        if not np.isfinite(loss):
            return loss, np.nan
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        score = self.scorer(est, self.held_out.rows, y, **weights)
        return loss, check_score(score, est.scoring)

    def start_again(self, est, vector):
        """Score the weights that a warm start begins with, as the data may be others than then."""
        est.best_validation_score_ = -np.inf
        _, score = self.evaluate(est, vector)
        if score > -np.inf:
            est.best_validation_score_ = score

    def update(self, est, vector):
        """Record loss and score of the current weights, and keep them if they are the best."""
        loss, score = self.evaluate(est, vector)
        # no call in these lines, so that Ctrl-C finds all of them done or none
        est.validation_loss_curve_ += [loss]
        est.validation_scores_ += [score]
        if est.verbose:
            print(f"Validation score: {score:f}")
        if est.early_stopping:
            if score < est.best_validation_score_ + est.tol:
                est._no_improvement_count += 1
            else:
                est._no_improvement_count = 0
        if score > est.best_validation_score_:
            best_iter = len(est.validation_scores_)
            # nor in these
            self.best_vector[...] = vector
            est.best_iter_ = best_iter
            est.best_validation_score_ = score


def check_score(score, scoring):
    """The score as a number, if it is one; the words are those of scikit-learn's searches."""
    number = score if is_real(score) else as_real(score)
    if not is_real(number):
        raise ValueError(
            f"scoring must return a number, got {score} ({type(score)}) instead."
            f" (scorer={scoring})"
        )
    return number


def split(est, y, random_state):
    """Indices of the samples to train on and to hold out, by scikit-learn's own draws.

    Only binary targets are stratified, as in scikit-learn.
    """
    stratify = y if is_classifier(est) and est.n_outputs_ == 1 else None
    parts = None
    if stratify is not None:
        parts = split_two_classes(y.ravel(), est.validation_fraction, random_state)
    train, held_out = parts or train_test_split(
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


def split_two_classes(y, test_size, random_state):
    """The indices of train_test_split, stratified by the strings of a one-dimensional bool y.

    It makes a string of each sample and Python's integers of the indices, which takes twenty
    times as long as an epoch. None where it would raise, or draws are not NumPy's own.
    """
    n_test = ceil(len(y) * test_size)
    members = [np.flatnonzero(y == label) for label in (False, True)]
    members = [indices for indices in members if len(indices)]
    counts = np.array([len(indices) for indices in members])
    if (
        _approximate_mode is None
        or type(random_state) is not np.random.RandomState
        or counts.min() < 2
        or not len(counts) <= n_test <= len(y) - len(counts)
    ):
        return None
    n_train_of = _approximate_mode(counts, len(y) - n_test, random_state)
    n_test_of = _approximate_mode(counts - n_train_of, n_test, random_state)
    train, held_out = [], []
    for indices, n_first, n_second in zip(members, n_train_of, n_test_of, strict=True):
        engine.shuffle(random_state, indices)
        train.append(indices[:n_first])
        held_out.append(indices[n_first : n_first + n_second])
    parts = np.concatenate(train), np.concatenate(held_out)
    for part in parts:
        engine.shuffle(random_state, part)
    return parts


def hold_out(est, arrays, seen, indices):
    """The given samples of the training data, as HeldOut.

    Parameters
    ----------
    arrays : tuple (X, targets, sample_weight)
        All samples, as the engine reads them.
    seen : tuple (X, y)
        X as the caller of fit gave it, and y as targets in their own dtype.

    Raises
    ------
    ValueError
        If they weigh nothing, or the others do.
    """
    rows, y = seen
    X, targets, sample_weight = arrays
    # take is three times as fast as an index
    X = X[indices] if sp.issparse(X) else X.take(indices, axis=0)
    targets = targets.take(indices, axis=0)
    sample_weight = None if sample_weight is None else sample_weight.take(indices)
    if sample_weight is not None and not (
        sample_weight.any() and np.delete(arrays[2], indices).any()
    ):
        raise ValueError(
            "Sample weights must contain at least one non-zero number, both among the samples that"
            " early stopping holds out and among the others."
        )
    if est.scoring not in (None, "loss"):
        rows = _safe_indexing(rows, indices)
    return HeldOut(X, targets, sample_weight, rows, est._from_targets(y.take(indices, axis=0)))
