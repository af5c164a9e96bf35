"""Listeners of a run and the order in which they see the end of a step. No solver."""

from time import monotonic

from sklearn.exceptions import ConvergenceWarning

from cmlp._callbacks import SklearnCallbacks
from cmlp._checkpoint import CheckpointWriter
from cmlp._divergence import DivergenceGuard
from cmlp._early_stopping import ValidationWatch
from cmlp._run import Listener
from cmlp._warnings import warn


class Progress(Listener):
    """Prints the loss, if the estimator is verbose."""

    __slots__ = ()

    def step_ends(self, run):
        if run.est.verbose:
            print(f"Iteration {run.state.n_iter}, loss = {run.state.loss:.8f}")


class Patience(Listener):
    """Counts the epochs without an improvement of the training loss."""

    __slots__ = ()

    def step_ends(self, run):
        state, est = run.state, run.est
        if est.early_stopping:  # which counts those of the score
            return
        if state.loss > state.best_loss - est.tol:
            state.no_improvement_count += 1
        else:
            state.no_improvement_count = 0
        if state.loss < state.best_loss:
            state.best_loss = state.loss


class RatePlan(Listener):
    """Takes the learning rate to where the epoch leaves it."""

    __slots__ = ()

    def step_ends(self, run):
        state, est = run.state, run.est
        state.optimizer.iteration_ends(
            state.t, state.no_improvement_count, est.n_iter_no_change, est.verbose
        )


class Publication(Listener):
    """Shows the estimator what the epoch has changed: those that come later see all of it."""

    __slots__ = ()

    def step_ends(self, run):
        run.publish()


class TimeLimit(Listener):
    """Ends the training after some seconds.

    Parameters
    ----------
    seconds : float
    """

    __slots__ = ("end",)

    def __init__(self, seconds):
        self.end = monotonic() + seconds

    def step_ends(self, run):
        return monotonic() >= self.end


class EpochLimit(Listener):
    """Ends the training for want of improvement, after max_iter epochs, or one of partial_fit."""

    __slots__ = ()

    def step_ends(self, run):
        if run.over:
            return True
        state, est = run.state, run.est
        if state.no_improvement_count > est.n_iter_no_change and gives_up(run):
            return True
        if state.incremental:
            return True
        if state.n_iter < est.max_iter:
            return False
        warn(
            f"Stochastic Optimizer: Maximum iterations ({est.max_iter:d}) reached and"
            " the optimization hasn't converged yet.",
            ConvergenceWarning,
        )
        return True


def gives_up(run):
    """Whether to stop for want of improvement (the adaptive schedule may go on, slower)."""
    state, est = run.state, run.est
    msg = ""
    if est.verbose:  # else nobody reads it, and a stream of partial_fit comes here each time
        what = "Validation score" if est.early_stopping else "Training loss"
        msg = (
            f"{what} did not improve more than tol={est.tol:f} for {est.n_iter_no_change:.0f}"
            " consecutive epochs."
        )
    if state.optimizer.trigger_stopping(msg, est.verbose):
        return True
    state.no_improvement_count = 0
    run.publish()
    return False


#: Who sees the end of a step, in this order: first what changes the state, then what shows it.
ORDER = (
    Progress,
    ValidationWatch,
    Patience,
    RatePlan,
    Publication,
    SklearnCallbacks,
    DivergenceGuard,
    CheckpointWriter,
    TimeLimit,
    EpochLimit,
)
#: Those that have nothing of their own: of every fit by epochs, and by iterations of 'lbfgs'.
OF_EPOCHS = tuple(kind() for kind in ORDER if not kind.__slots__)
OF_ITERATIONS = tuple(one for one in OF_EPOCHS if type(one) is Progress)


def listen(run, own_listeners=()):
    """Have the listeners of a run in their order.

    Parameters
    ----------
    own_listeners : sequence of Listener, default=()
        Those that have something of their own.
    """
    of_every = OF_EPOCHS if run.state.stochastic else OF_ITERATIONS
    if not own_listeners:
        run.listeners = of_every
        return
    run.own_listeners = own_listeners
    everyone = [*of_every, *own_listeners]
    run.listeners = sorted(everyone, key=lambda listener: ORDER.index(type(listener)))
