"""Data that a fit watches but does not train on: their loss and score, and the best weights.

What scikit-learn's early stopping does between two epochs. No training, no layer.
"""

from math import ceil

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from cmlp._attributes import as_real, is_real
from cmlp._core import engine
from cmlp._run import Listener
from cmlp._threads import effective_n_threads, flops_per_sample
from cmlp._training import HeldOut

try:
    from sklearn.utils.extmath import _approximate_mode
except ImportError:  # then every split takes scikit-learn's way
    _approximate_mode = None


class ValidationWatch(Listener):
    """The loss and the score on held-out data after each epoch, and the best weights.

    Parameters
    ----------
    run : TrainingRun
        With weights that predict already.
    held_out : HeldOut
    """

    __slots__ = ("dataset", "held_out", "n_threads", "out", "scorer", "work")

    def __init__(self, run, held_out):
        est, problem, vector = run.est, run.problem, run.state.parameters.vector
        self.held_out = held_out
        dtype = vector.dtype
        self.dataset = engine.Dataset(
            *(held_out.X, held_out.targets, held_out.sample_weight),
            *(dtype, est.dtype == "float32"),
            *(problem.loss.target_scale, problem.loss.target_shift),
        )
        n_samples, n_outputs = held_out.targets.shape
        architecture = problem.architecture
        flops = flops_per_sample(
            *(held_out.X, architecture.units, False, architecture.inputs.n_members)
        )
        self.n_threads = effective_n_threads(est.n_jobs, flops * n_samples)
        self.out = np.empty((n_samples, n_outputs), dtype=dtype)
        self.work = problem.layout.workspace(
            n_samples, dtype, self.n_threads, per_thread=True, data=self.dataset
        )
        self.scorer = None
        if est.scoring not in (None, "loss"):
            self.scorer = check_scoring(est, est.scoring)
        if est.early_stopping:
            run.state.best_vector = vector.copy()

    def evaluate(self, run):
        """Mean loss without penalty, and score, both NaN for weights that are not finite."""
        vector, layout = run.state.parameters.vector, run.problem.layout
        if not np.isfinite(vector).all():  # a classifier has labels even for them
            return np.nan, np.nan
        engine.predict(layout, self.dataset, vector, self.work, self.out, n_threads=self.n_threads)
        loss = engine.mean_loss(layout, self.dataset, self.out)
        y, sample_weight, scoring = self.held_out.y, self.held_out.sample_weight, run.est.scoring
        if scoring is None:
            return loss, run.score_outputs(self.out, y, sample_weight)
        if scoring == "loss":
            return loss, -loss
        if not np.isfinite(loss):
            return loss, np.nan
        run.publish()  # a scorer is given the estimator
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        score = self.scorer(run.est, self.held_out.original, y, **weights)
        return loss, check_score(score, scoring)

    def start_again(self, run):
        """Score the weights that a warm start begins with, as the data may be others than then."""
        run.state.best_validation_score = -np.inf
        _, score = self.evaluate(run)
        if score > -np.inf:
            run.state.best_validation_score = score

    def step_ends(self, run):
        """Record loss and score of the current weights, and keep them if they are the best."""
        state, est = run.state, run.est
        loss, score = self.evaluate(run)
        n_scores = len(state.validation_scores) + 1
        # Ctrl-C is noticed at calls, of which there is none in these lines
        state.new_validation_losses, state.new_scores = [loss], [score]
        if est.early_stopping:
            if score < state.best_validation_score + est.tol:
                state.no_improvement_count += 1
            else:
                state.no_improvement_count = 0
        if score > state.best_validation_score:
            state.best_iter, state.best_validation_score = n_scores, score
            if est.early_stopping:
                state.new_best_vector = state.parameters.vector
        if est.verbose:
            print(f"Validation score: {score:f}")


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
    stratify = y if isinstance(est, ClassifierMixin) and y.shape[1] == 1 else None
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


def hold_out(run, indices):
    """The given samples of the training data, as HeldOut.

    Raises
    ------
    ValueError
        If they weigh nothing, or the others do.
    """
    X, targets, sample_weight = run.problem.arrays
    original, y = run.problem.original
    all_weights = sample_weight
    # take is three times as fast as an index
    X = X[indices] if sp.issparse(X) else X.take(indices, axis=0)
    targets = targets.take(indices, axis=0)
    sample_weight = None if sample_weight is None else sample_weight.take(indices)
    if sample_weight is not None and not (
        sample_weight.any() and np.delete(all_weights, indices).any()
    ):
        raise ValueError(
            "Sample weights must contain at least one non-zero number, both among the samples that"
            " early stopping holds out and among the others."
        )
    if run.est.scoring not in (None, "loss"):
        original = _safe_indexing(original, indices)
    y = run.from_targets(y.take(indices, axis=0))
    return HeldOut(X, targets, sample_weight, original, y)
