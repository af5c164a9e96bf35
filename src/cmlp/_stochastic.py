"""The epochs of the stochastic solvers: shuffle, one compiled pass over the samples, interruption.

What comes after an epoch is in ``_listeners``. Knows no layer and no formula.
"""

from contextvars import copy_context
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from cmlp._arrays import BEFORE_NUMPY_2, reported_loss
from cmlp._core import engine
from cmlp._divergence import NO_SCORE, diverged
from cmlp._early_stopping import ValidationWatch, hold_out, split
from cmlp._listeners import EpochLimit, listen
from cmlp._optimizers import ready_optimizer
from cmlp._threads import effective_n_threads
from cmlp._warnings import warn


def sgd_epochs(run):
    """Train the weights of a run in place, for one epoch if it is incremental.

    Ctrl-C ends the training with a warning; a second one raises.

    Parameters
    ----------
    run : TrainingRun
        Its state shows the weights to begin with, and the optimizer of the fit before.

    Raises
    ------
    ValueError
        If the loss or the weights are no longer finite (with early stopping: a
        ConvergenceWarning, and the best finite weights are kept).
    """
    est, state = run.est, run.state
    numpy_errors = later_geterr()
    epoch = ready(run)
    run.begun = True
    try:
        if run.resumed is None:
            state.n_iter = 0
        if run.first_pass or not state.incremental:  # else there is a model to show
            run.publish()
        if run.resumed is not None:
            run.over = bool(EpochLimit().step_ends(run))  # the checkpoint was written just before
        while not run.over:
            run.begin_step()
            if est.shuffle and state.order is not None:
                # the permutations compose over the epochs
                engine.shuffle(state.random_state, state.order)
            loss = reported_loss(epoch(), run.problem.loss_type)
            state.record(loss, run.n_samples, est.partial_fit_loss_curve or not state.incremental)
            run.is_finite = not diverged(loss, state.trained)
            run.end_step()
        if est.early_stopping and state.best_validation_score == -np.inf:
            warn(NO_SCORE, ConvergenceWarning)
    except KeyboardInterrupt as interrupt:
        run.publish()
        if isinstance(interrupt.__context__, KeyboardInterrupt):
            raise  # the second
        np.seterr(**numpy_errors())  # which stay those of an errstate that was interrupted
        warn("Training interrupted by user.")
    except BaseException:  # a callback, a scorer, no memory
        run.publish()
        raise
    finally:
        if not state.incremental and state.optimizer is not None:
            state.optimizer.epochs = 0  # partial_fit would begin a plan of its own
        if state.best_vector is not None:
            state.parameters.vector[...] = state.best_vector


def later_geterr():
    """A function that tells what ``np.geterr()`` is now, if it comes to that."""
    if BEFORE_NUMPY_2:  # it is no context variable yet
        return partial(dict, np.geterr())
    return partial(copy_context().run, np.geterr)


def ready(run):
    """The Epoch of a run, for which all that may be refused has been looked at."""
    est, problem, state = run.est, run.problem, run.state
    held_out = problem.held_out
    if est.early_stopping and held_out is None:
        held_out = hold_out(run, separate(run))
    elif est.shuffle and run.n_samples > 1:
        state.order = np.arange(run.n_samples, dtype=np.intp)
    if problem.architecture.dropout and state.dropout is None:
        random_state = state.random_state or check_random_state(est.random_state)
        state.dropout = (draw_seed(random_state), 0)
    if held_out is not None:
        watch = ValidationWatch(run, held_out)
        if (
            est.early_stopping
            and not run.first_pass
            and (problem.held_out is not None or est.scoring is not None)
        ):
            watch.start_again(run)
        listen(run, [*run.own_listeners, watch])
    epoch = Epoch(run)
    # last, as partial_fit goes on with what is changed here
    state.optimizer, state.trained = ready_optimizer(
        est, state.parameters.vector, state.optimizer, state.incremental
    )
    if run.resumed is not None:
        run.resumed.fill(state)
    return epoch


def separate(run):
    """Split the samples for early stopping; the indices of those that are held out."""
    state = run.state
    if run.resumed is None:
        y = run.problem.original[1]
        state.order, state.held_out = split(run.est, y, state.random_state)
    else:
        state.order, state.held_out = run.resumed.rows()
    run.n_samples = len(state.order)
    for listener in run.own_listeners:
        listener.keep_rows(state.order.copy())
    return state.held_out


class Epoch:
    """One compiled pass over the samples of a run, and the memory that it takes."""

    __slots__ = ("alpha", "batch_size", "grads", "n_batches", "n_threads", "run", "work")

    def __init__(self, run):
        self.run = run
        est, problem, vector = run.est, run.problem, run.state.parameters.vector
        self.alpha = float(est.alpha)
        self.batch_size = clip_batch_size(est, run.n_samples)
        self.n_batches = -(-run.n_samples // self.batch_size)
        layout, dtype = problem.layout, vector.dtype
        if est.max_grad_norm:
            self.grads = np.empty_like(vector)  # all of a gradient has to be known
        else:
            self.grads = layout.gradient(self.batch_size, dtype)
        self.n_threads = effective_n_threads(est.n_jobs, problem.flops * self.batch_size)
        self.work = layout.workspace(self.batch_size, dtype, self.n_threads, data=problem.dataset)

    def __call__(self):
        """Train on each sample once; the mean loss."""
        state, problem = self.run.state, self.run.problem
        optimizer = state.optimizer
        hyper, rates = optimizer.hyper, optimizer.rates(self.n_batches)
        self.run.learning_rates = hyper[:1] if rates is None else rates
        drops = bool(problem.architecture.dropout)
        try:
            return engine.train_epoch(
                problem.layout,
                problem.dataset,
                state.order,
                self.batch_size,
                optimizer.name,
                hyper,
                self.alpha,
                state.trained,
                self.grads,
                optimizer.state,
                self.work,
                self.n_threads,
                state.dropout if drops else None,
                rates,
                optimizer.max_grad_norm,
                optimizer.averaging,
            )
        finally:
            optimizer.after_epoch(hyper)
            if drops:
                state.dropout = (state.dropout[0], state.dropout[1] + 1)
            if state.trained is not state.parameters.vector:
                state.parameters.vector[...] = optimizer.averaged_weights


def clip_batch_size(est, n_samples):
    """Samples per minibatch, as the parameter asks for or as many as there are."""
    if est.batch_size == "auto":
        return min(200, n_samples)
    if est.batch_size > n_samples:
        warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return int(np.clip(est.batch_size, 1, n_samples))


def draw_seed(random_state):
    """64 bits for the generator of dropout."""
    low, high = random_state.randint(0, 2**32, size=2, dtype=np.uint32)
    return int(high) << 32 | int(low)
