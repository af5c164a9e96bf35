"""Hyper-parameters, schedules and state of the stochastic optimizers.

No arithmetic on weights: the update rules are in ``_core/optimizers.pxd``.
"""

import numpy as np

from cmlp._core import engine


class Optimizer:
    """State and hyper-parameters of one optimizer.

    Parameters
    ----------
    n_params : int
    dtype : dtype
    learning_rate_init : float

    Attributes
    ----------
    name : str
        Its entry in the engine's table of optimizers.
    state : ndarray of shape (n_slots, n_params)
        What the update rule keeps of the past, as many vectors as the engine's table says.
    learning_rate : float
        The current learning rate.
    """

    name: str

    def __init__(self, n_params, dtype, learning_rate_init):
        n_slots = engine.OPTIMIZERS[self.name][1]
        self.learning_rate_init = learning_rate_init
        self.state = np.zeros((n_slots, n_params), dtype=dtype)

    @property
    def hyper(self):
        """The vector of hyper-parameters that the compiled update rule reads."""
        names = engine.OPTIMIZERS[self.name][2]
        return np.array([float(getattr(self, name)) for name in names])

    def after_epoch(self, hyper):
        """Take over what the engine has advanced."""

    def iteration_ends(self, t):
        """Adapt the learning rate after an epoch; t is the number of samples seen so far."""

    def trigger_stopping(self, msg, verbose):
        """Say whether training stops now that it no longer improves; print why if verbose."""
        if verbose:
            print(msg + " Stopping.")
        return True


class SGDOptimizer(Optimizer):
    """Stochastic gradient descent with (Nesterov) momentum; state: velocities."""

    name = "sgd"

    def __init__(
        self, n_params, dtype, learning_rate_init, lr_schedule, momentum, nesterov, power_t
    ):
        super().__init__(n_params, dtype, learning_rate_init)
        self.learning_rate = float(learning_rate_init)
        self.lr_schedule = lr_schedule
        self.momentum = momentum
        self.nesterov = nesterov
        self.power_t = power_t

    def iteration_ends(self, t):
        if self.lr_schedule == "invscaling":
            self.learning_rate = float(self.learning_rate_init) / (t + 1) ** self.power_t

    def trigger_stopping(self, msg, verbose):
        if self.lr_schedule != "adaptive":
            return super().trigger_stopping(msg, verbose)
        if self.learning_rate <= 1e-6:
            if verbose:
                print(msg + " Learning rate too small. Stopping.")
            return True
        self.learning_rate /= 5.0
        if verbose:
            print(msg + f" Setting learning rate to {self.learning_rate:f}")
        return False


class AdamOptimizer(Optimizer):
    """Adam; state: the decaying means of the gradient and of its square, t steps taken."""

    name = "adam"

    def __init__(self, n_params, dtype, learning_rate_init, beta_1, beta_2, epsilon):
        super().__init__(n_params, dtype, learning_rate_init)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.t = 0

    @property
    def learning_rate(self):
        """The step size of the last update, the bias correction included."""
        if self.t == 0:
            return float(self.learning_rate_init)
        return (
            self.learning_rate_init * np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        )

    def after_epoch(self, hyper):
        self.t = int(hyper[engine.OPTIMIZERS[self.name][2].index("t")])


#: solver -> optimizer made from an estimator's parameters
OPTIMIZERS = {
    "sgd": lambda est, n_params, dtype: SGDOptimizer(
        n_params,
        dtype,
        est.learning_rate_init,
        est.learning_rate,
        est.momentum,
        est.nesterovs_momentum,
        est.power_t,
    ),
    "adam": lambda est, n_params, dtype: AdamOptimizer(
        n_params, dtype, est.learning_rate_init, est.beta_1, est.beta_2, est.epsilon
    ),
}
