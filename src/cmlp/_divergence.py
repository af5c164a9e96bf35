"""Loss or weights that are not finite: when training is over for them, and what is said.

No training, no layer.
"""

from math import isnan

from sklearn.base import is_classifier

from cmlp._core import engine

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


def advice(est):
    """What to try, in a sentence."""
    data = "X" if is_classifier(est) else "X and y"
    if est.solver == "lbfgs":
        return f"Scale {data}, or try another solver."
    clip = " or set max_grad_norm" if est.max_grad_norm is None else ""
    return f"Scale {data}, lower learning_rate_init{clip}."


def moment(est, learning_rate):
    """The epoch or iteration that the fit is at, and its learning rate."""
    if est.solver == "lbfgs":
        return f"iteration {est.n_iter_}"
    epoch = f"epoch {est.n_iter_}"
    if est._incremental:  # each call is one
        epoch = f"epoch {est._optimizer.epochs} of partial_fit"
    return epoch if learning_rate is None else f"{epoch} with a learning rate of {learning_rate:g}"


def divergence_error(est, learning_rate=None):
    """The ValueError to raise.

    Parameters
    ----------
    est : estimator
        Its ``n_iter_``, ``loss_`` and ``loss_curve_`` are up to date.
    learning_rate : float or None
        That of the last step; none for 'lbfgs'.
    """
    loss = f", loss {est.loss_:g}" if hasattr(est, "loss_") else ""
    return ValueError(
        f"{NON_FINITE} Training stopped after {moment(est, learning_rate)}{loss}. {advice(est)}"
    )


def divergence_warning(est, learning_rate):
    """The same of a fit that has better weights to fall back on."""
    return (
        f"The loss or the weights are not finite after {moment(est, learning_rate)}: training"
        f" stops, and the best finite weights are kept. {advice(est)}"
    )
