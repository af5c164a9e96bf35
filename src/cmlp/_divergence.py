"""Loss or weights that are not finite: when training is over for them, and what is said.

No training, no layer.
"""

from math import isnan

from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning

from cmlp._core import engine
from cmlp._run import Listener
from cmlp._warnings import warn

#: scikit-learn's words, with which the error begins.
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and"
    " need to be preprocessed."
)

#: Of a fit with early stopping that has nothing to choose by.
NO_SCORE = (
    "No validation score was finite: the weights are those before training. X or y, or their"
    " validation data, may be too large."
)


def diverged(loss, vector):
    """Whether there is nothing left to train: a NaN loss, or weights that are not finite.

    A loss that is infinite while the weights are finite may come down again.
    """
    return isnan(loss) or not engine.is_plain_and_finite(vector)


class DivergenceGuard(Listener):
    """Ends the training of what is no longer finite, with an error unless better weights are kept.

    Raises
    ------
    ValueError
        Without early stopping, which has the best finite weights to go back to.
    """

    __slots__ = ()

    def step_ends(self, run):
        if run.is_finite:
            return False
        rate = float(run.learning_rates[-1])
        error, warning = divergence_error(run, rate), divergence_warning(run, rate)
        run.state.optimizer = None  # its state would spoil finite weights
        if not run.est.early_stopping:
            raise error
        warn(warning, ConvergenceWarning)
        return True


def advice(est):
    """A sentence on how to avoid the divergence."""
    data = "X" if isinstance(est, ClassifierMixin) else "X and y"
    if est.solver == "lbfgs":
        return f"Scale {data}, or try another solver."
    clip = " or set max_grad_norm" if est.max_grad_norm is None else ""
    return f"Scale {data}, lower learning_rate_init{clip}."


def moment(run, learning_rate):
    """The epoch or iteration that the fit is at, and its learning rate."""
    state = run.state
    if not state.stochastic:
        return f"iteration {state.n_iter}"
    epoch = f"epoch {state.n_iter}"
    if state.incremental:  # each call is one
        epoch = f"epoch {state.optimizer.epochs} of partial_fit"
    return epoch if learning_rate is None else f"{epoch} with a learning rate of {learning_rate:g}"


def divergence_error(run, learning_rate=None):
    """The ValueError to raise.

    Parameters
    ----------
    run : TrainingRun
        Its state is that after the last step.
    learning_rate : float or None
        That of the last step; none for 'lbfgs'.
    """
    when = moment(run, learning_rate)
    return ValueError(
        f"{NON_FINITE} Training stopped after {when}, loss {run.state.loss:g}. {advice(run.est)}"
    )


def divergence_warning(run, learning_rate):
    """The text of the warning of a fit that has better weights to fall back on."""
    return (
        f"The loss or the weights are not finite after {moment(run, learning_rate)}: training"
        f" stops, and the best finite weights are kept. {advice(run.est)}"
    )
