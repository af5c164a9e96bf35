"""The stochastic optimizers by their users' names, and what a solver has to have.

What they share is in ``_optimizer_base``, their update rules in ``_core/optimizers.pxd``.
"""

import math

import numpy as np

from cmlp._core import engine
from cmlp._optimizer_base import Optimizer
from cmlp._schedules import SCHEDULES

#: learning_rate: scikit-learn's, which are sgd's alone, and those of every stochastic solver
SGD_SCHEDULES = ("constant", "invscaling", "adaptive")
LEARNING_RATES = (*SGD_SCHEDULES, *SCHEDULES, "plateau")


class SGDOptimizer(Optimizer):
    """Stochastic gradient descent with (Nesterov) momentum; state: velocities."""

    name = "sgd"

    def _parameter(self, est, name):
        return getattr(est, "nesterovs_momentum" if name == "nesterov" else name)

    def _change_rate(self, init, schedule):
        if schedule == self.lr_schedule == "invscaling":
            self.rate *= init / self.learning_rate_init
        else:
            self.rate = float(init)

    def iteration_ends(self, t, n_bad, patience, verbose=False):
        super().iteration_ends(t, n_bad, patience, verbose)
        if self.lr_schedule == "invscaling":
            # of floats: the powers of an int, as in scikit-learn, may take for ever
            try:
                self.rate = float(self.learning_rate_init) / math.pow(t + 1, self.power_t)
            except OverflowError:
                self.rate = 0.0

    def trigger_stopping(self, msg, verbose):
        if self.lr_schedule != "adaptive":
            return super().trigger_stopping(msg, verbose)
        if self.rate <= 1e-6:
            if verbose:
                print(msg + " Learning rate too small. Stopping.")
            return True
        self.rate /= 5.0
        if verbose:
            print(msg + f" Setting learning rate to {self.rate:f}")
        return False


class AdamOptimizer(Optimizer):
    """Adam; state: the decaying means of the gradient and of its square, t steps taken."""

    name = "adam"
    counters = {"t": 0.0}

    @property
    def learning_rate(self):
        """The step size of the last update, the bias correction included."""
        if self.t == 0:
            return self.rate
        return self.rate * np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)


class AdamWOptimizer(Optimizer):
    """Adam with decoupled weight decay; state as adam's."""

    name = "adamw"
    counters = {"t": 0.0}


class NAdamOptimizer(Optimizer):
    """Adam with Nesterov momentum; state as adam's, and the product of the momenta so far."""

    name = "nadam"
    counters = {"t": 0.0, "momentum_product": 1.0}


class RMSpropOptimizer(Optimizer):
    """RMSprop; state: the decaying mean of the squared gradient, the momentum."""

    name = "rmsprop"


class AdagradOptimizer(Optimizer):
    """AdaGrad; state: the sum of the squared gradients."""

    name = "adagrad"


class ScheduleFreeAdamWOptimizer(Optimizer):
    """Schedule-free AdamW; state: z, x, the decaying mean of the squared gradient."""

    name = "schedule_free_adamw"
    counters = {"t": 0.0, "weight_sum": 0.0}
    predicting = 1

    def _restart_average(self):
        self.weight_sum = 0.0
        self.state[:2] = self.trained


class LionOptimizer(Optimizer):
    """Lion; state: the momentum."""

    name = "lion"


#: solver -> its class
OPTIMIZERS = {
    optimizer.name: optimizer
    for optimizer in (
        SGDOptimizer,
        AdamOptimizer,
        AdamWOptimizer,
        NAdamOptimizer,
        RMSpropOptimizer,
        AdagradOptimizer,
        ScheduleFreeAdamWOptimizer,
        LionOptimizer,
    )
}


def has_weight_decay(solver):
    return solver in OPTIMIZERS and "weight_decay" in engine.OPTIMIZERS[solver][2]


def check_solver(est):
    """Check that the solver has every feature that the parameters ask for.

    Raises
    ------
    ValueError
        If it would have to ignore one.
    """
    if est.weight_decay and not has_weight_decay(est.solver):
        solvers = " and ".join(repr(name) for name in OPTIMIZERS if has_weight_decay(name))
        raise ValueError(
            f"weight_decay is a parameter of {solvers}, got solver={est.solver!r}, of which the"
            " penalty is alpha."
        )
    if est.solver in OPTIMIZERS:
        if est.ema_decay and OPTIMIZERS[est.solver].predicting is not None:
            raise ValueError(f"solver={est.solver!r} averages weights itself, without ema_decay.")
        return
    for name in ("max_grad_norm", "ema_decay", "warmup_fraction"):
        if getattr(est, name):
            raise ValueError(
                f"{name} is a parameter of the stochastic solvers, got solver={est.solver!r}."
            )
    if est.learning_rate not in SGD_SCHEDULES:
        raise ValueError(
            f"learning_rate={est.learning_rate!r} is a schedule of the stochastic solvers, got"
            f" solver={est.solver!r}."
        )


def ready_optimizer(est, vector, previous, incremental):
    """The optimizer to train with, and the weights to be trained.

    partial_fit goes on with that of the call before, unless solver or size are others.

    Parameters
    ----------
    vector : ndarray of shape (n_params,)
        The weights that predict.
    previous : Optimizer or None
        That of the fit before.
    incremental : bool
        Whether this is a partial_fit.

    Returns
    -------
    optimizer : Optimizer
    trained : ndarray of shape (n_params,)
        The given vector itself, unless other weights predict than are trained.
    """
    if previous is not None and previous.state.shape[1] != len(vector):
        previous = None
    optimizer = previous
    if not incremental or previous is None or previous.name != est.solver:
        optimizer = OPTIMIZERS[est.solver](est, len(vector), vector.dtype)
    else:
        optimizer.configure(est)
    return optimizer, optimizer.begin(vector, previous)
