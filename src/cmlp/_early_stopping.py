"""Data that a fit watches but does not train on: their loss and score, and the best weights.

What scikit-learn's early stopping does between two epochs. No training, no layer.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from cmlp._attributes import as_real, is_real
from cmlp._core import engine


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
        self.work = layout.workspace(n_samples, dtype, n_threads, each=True, data=self.dataset)
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
        return loss, self.as_score(self.scorer(est, self.held_out.rows, y, **weights))

    def as_score(self, score):
        """The number that a scorer returned, of any type that scikit-learn takes for one."""
        if is_real(score):
            return score
        number = as_real(score)
        if not is_real(number):
            raise ValueError(
                f"scoring must return a number, got {score} ({type(score)}) instead."
                f" (scorer={self.scorer})"
            )
        return number

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
    X, targets, sample_weight = (None if a is None else a[indices] for a in arrays)
    if sample_weight is not None and not (
        sample_weight.any() and np.delete(arrays[2], indices).any()
    ):
        raise ValueError(
            "Sample weights must contain at least one non-zero number, both among the samples that"
            " early stopping holds out and among the others."
        )
    if est.scoring not in (None, "loss"):
        rows = _safe_indexing(rows, indices)
    return HeldOut(X, targets, sample_weight, rows, est._from_targets(y[indices]))
