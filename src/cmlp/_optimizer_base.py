"""Base class of the optimizers: hyper-parameters, learning rate, state, averages of the weights.

No arithmetic on weights: the update rules are in ``_core/optimizers.pxd``.
"""

from operator import attrgetter

import numpy as np

from cmlp._core import engine
from cmlp._schedules import SCHEDULES, factors

#: weight_decay=None, of the solvers that have it
DEFAULT_WEIGHT_DECAY = 0.01
#: what ``configure`` reads
parameters_of = attrgetter(
    *("learning_rate", "learning_rate_init", "power_t", "warmup_fraction", "max_iter"),
    *("momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon"),
    *("weight_decay", "max_grad_norm", "ema_decay"),
)


class Optimizer:
    """State and hyper-parameters of one optimizer.

    Parameters
    ----------
    est : estimator
        Its parameters are read here and again by ``configure``.
    n_params : int
    dtype : dtype

    Attributes
    ----------
    name : str
        Its entry in the engine's table of optimizers.
    state : ndarray of shape (n_rows, n_params)
        What the update rule keeps of the past, as many vectors as the engine's table says, and
        the average of the weights if ``ema_decay`` asks for one.
    rate : float
        The current learning rate, before the factors of a planned schedule.
    epochs : int
        Epochs of the plan of the schedule that are done.
    averaging : ndarray (decay, t) or None
        What the engine needs for the average of the weights, and how many steps are in it.
    trained : ndarray of shape (n_params,) or None
        The weights that are trained where others predict.
    """

    name: str
    #: entries of the hyper-parameter vector that the engine advances, as they begin
    counters: dict[str, float] = {}
    #: the row of the state with the weights that predict, if those that are trained do not
    predicting: int | None = None
    #: the parameters as they were read last
    parameters: tuple | None = None
    #: the vector that ``hyper`` brings up to date
    _hyper: np.ndarray | None = None

    def __init_subclass__(cls):
        names = ("rate", *engine.OPTIMIZERS[cls.name][2][1:])
        cls.hyper_values = attrgetter(*names)
        cls.counter_places = [(name, names.index(name)) for name in cls.counters]

    def __init__(self, est, n_params, dtype):
        n_slots = engine.OPTIMIZERS[self.name][1]
        self.learning_rate_init = est.learning_rate_init
        self.lr_schedule = est.learning_rate
        self.rate = float(est.learning_rate_init)
        self.state = np.zeros((n_slots, n_params), dtype=dtype)
        self.epochs = 0
        self.averaging = self.trained = None
        vars(self).update(self.counters)
        self.configure(est)

    def __setstate__(self, state):
        """Fill in fields that older pickles lack with values that reproduce their behaviour."""
        vars(self).update(averaging=None, trained=None, epochs=0)
        if "rate" not in state:
            rate = state.pop("learning_rate", state["learning_rate_init"])
            vars(self).update(rate=float(rate), lr_schedule="constant")
        vars(self).update(state)
        if "_hyper" not in state:
            self.parameters = None  # configure makes it

    def configure(self, est):
        """Read the estimator's parameters, which may have changed since the last call."""
        parameters = parameters_of(est)
        if parameters == self.parameters:
            return
        for name in engine.OPTIMIZERS[self.name][2][1:]:
            if name not in self.counters:
                setattr(self, name, self._parameter(est, name))
        init = est.learning_rate_init
        if init != self.learning_rate_init or est.learning_rate != self.lr_schedule:
            self._change_rate(init, est.learning_rate)
        self.learning_rate_init, self.lr_schedule = init, est.learning_rate
        self.power_t = est.power_t
        self.max_iter, self.warmup_fraction = est.max_iter, est.warmup_fraction
        self.max_grad_norm = float(est.max_grad_norm or 0)
        self._average(est.ema_decay)
        # an error of what is no number comes here, before it is trained with
        self._hyper = np.array(self.hyper_values(self), dtype=np.float64, ndmin=1)
        self.parameters = parameters

    def _parameter(self, est, name):
        if name == "weight_decay":
            return DEFAULT_WEIGHT_DECAY if est.weight_decay is None else est.weight_decay
        return getattr(est, name)

    def _change_rate(self, init, schedule):
        self.rate = float(init)

    @property
    def learning_rate(self):
        """The step size, as scikit-learn's optimizers call it."""
        return self.rate

    @property
    def hyper(self):
        """The vector of hyper-parameters that the compiled update rule reads."""
        hyper = self._hyper
        hyper[0] = self.rate
        for name, place in self.counter_places:
            hyper[place] = getattr(self, name)
        return hyper

    def rates(self, n_batches):
        """The learning rates of the next epoch's minibatches; None: the current one for all.

        A plan is of ``max_iter`` epochs. Calls of partial_fit are its epochs, and a schedule
        that is over begins anew.
        """
        planned = self.lr_schedule in SCHEDULES
        if not planned and not self.warmup_fraction:
            return None
        epoch = self.epochs % self.max_iter if planned else self.epochs
        factor = factors(
            self.lr_schedule,
            epoch * n_batches,
            n_batches,
            self.max_iter * n_batches,
            self.warmup_fraction,
        )
        return None if factor is None else self.rate * factor

    def after_epoch(self, hyper):
        """Take over what the engine has advanced."""
        for name, place in self.counter_places:
            setattr(self, name, float(hyper[place]))

    def iteration_ends(self, t, n_bad, patience, verbose=False):
        """Adapt the learning rate after an epoch.

        Parameters
        ----------
        t : int
            Samples seen so far.
        n_bad : int
            Epochs in a row without an improvement.
        patience : int or np.inf
            How many of them end the training.
        """
        self.epochs += 1
        if self.lr_schedule != "plateau":
            return
        n_allowed = 5 if patience == np.inf else patience // 2
        if n_bad and n_bad % (n_allowed + 1) == 0:
            self.rate /= 5.0
            if verbose:
                print(f"No improvement for {n_bad} epochs. Setting learning rate to {self.rate:f}")

    def trigger_stopping(self, msg, verbose):
        """Say whether training stops now that it no longer improves; print why if verbose."""
        if verbose:
            print(msg + " Stopping.")
        return True

    # Checkpoints

    def snapshot(self):
        """All that training changes, by name, but for the weights."""
        names = ("state", "rate", "epochs", "averaging", *self.counters)
        return {"name": self.name, **{name: getattr(self, name) for name in names}}

    def restore(self, snapshot):
        """Bring an optimizer of the same parameters to where another was.

        Raises
        ------
        TypeError, KeyError, ValueError
            If the snapshot is not that of such an optimizer.
        """
        numbers = {name: float(snapshot[name]) for name in ("rate", *self.counters)}
        epochs = int(snapshot["epochs"])
        arrays = {name: snapshot[name] for name in ("state", "averaging")}
        for name, saved in arrays.items():
            array = getattr(self, name)
            if (array is None) != (saved is None) or (
                array is not None and (saved.shape != array.shape or saved.dtype != array.dtype)
            ):
                raise ValueError(f"{name} does not fit")
        if (
            snapshot["name"] != self.name
            or epochs < 0
            or not all(0 <= number < np.inf for number in numbers.values())
        ):
            raise ValueError("not of this optimizer")
        vars(self).update(numbers, epochs=epochs)
        for name, saved in arrays.items():
            if saved is not None:
                getattr(self, name)[...] = saved

    # Weights that predict and weights that are trained

    @property
    def averaged_weights(self):
        """The weights that predict, a row of the state; None: those that are trained."""
        if self.averaging is not None:
            return self.state[-1]
        return None if self.predicting is None else self.state[self.predicting]

    def _average(self, decay):
        """Have the state a row for the average of the weights if there is to be one."""
        if not decay:
            if self.averaging is not None:
                self.state = self.state[:-1].copy()
            self.averaging = None
        elif self.averaging is None:
            self.averaging = np.array([decay, 0.0])
            self.state = np.vstack([self.state, np.full_like(self.state[:1], np.nan)])
        else:
            self.averaging[0] = decay

    def begin(self, vector, previous=None):
        """The weights to train, given those that predict.

        They are those that were trained last if these are what came of them, else the given
        ones, with which the average begins anew.

        Parameters
        ----------
        vector : ndarray of shape (n_params,)
        previous : Optimizer or None
            That of the fit before.
        """
        if self.state.dtype != vector.dtype or not self.state.flags.c_contiguous:
            self.state = np.ascontiguousarray(self.state, dtype=vector.dtype)
        if self.averaged_weights is None:
            self.trained = None
            return vector
        for optimizer in (self, previous):
            if optimizer is not None and optimizer.left_off_at(vector):
                if optimizer is self:
                    return self.trained
                vector = optimizer.trained
        self.trained = vector.copy()
        self._restart_average()
        return self.trained

    def left_off_at(self, vector):
        """Whether these are the weights that predict, and others were trained."""
        return (
            self.trained is not None
            and self.trained.dtype == vector.dtype
            and self.averaged_weights is not None
            and np.array_equal(self.averaged_weights, vector)
        )

    def _restart_average(self):
        self.averaging[1] = 0
        self.state[-1] = self.trained
