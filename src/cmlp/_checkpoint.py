"""Checkpoints: what the state of a fit is between two epochs, and whether another may take it on.

No file here (``_files`` writes, ``_base`` asks it to), no training.
"""

import os
import zlib
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp

from cmlp._attributes import OF_EPOCHS
from cmlp._core import engine
from cmlp._optimizers import OPTIMIZERS
from cmlp._schedules import SCHEDULES
from cmlp._typing import Path

#: Parameters that may be others when a fit is resumed: they change no number.
FREE = {"max_iter", "verbose", "n_jobs", "warm_start", "max_fun"}
FREE |= {"partial_fit_reshuffle", "partial_fit_loss_curve"}
#: Fitted attributes that change from epoch to epoch, besides the weights.
CHANGING = ("n_iter_", "t_", "loss_", *OF_EPOCHS)
CHUNK = 1 << 20


class Checkpoint:
    """Write the state of a fit to a file every few epochs, so that a later fit can go on with it.

    Give it to ``fit(X, y, checkpoint=...)``, or, with scikit-learn 1.9 or later, to
    ``set_callbacks``. After a crash, ``fit(X, y, resume_from=path)`` with the same parameters and
    data continues with the next epoch and ends with the same numbers, to the bit on the same
    kind of processor, as a fit that was never interrupted.

    The file is a model file as well: ``cmlp.load(path)`` is the model after that epoch. It is
    written beside its place, flushed to the disk and renamed, so that there is a whole one at any
    moment. Fits at the same time, as in a grid search, want files of their own.

    Parameters
    ----------
    path : str or path-like
    every : int, default=1
        Epochs from one checkpoint to the next.

    Raises
    ------
    ValueError
        By fit, if the solver is 'lbfgs', whose state scipy keeps to itself, or if ``cmlp.load``
        would refuse an attribute that was set, and by partial_fit (a pickle of the estimator is
        all that it needs to go on).
    TypeError
        By fit, if a parameter is one that a model file cannot hold, such as a callable scoring.
    OSError
        By fit, before the first epoch if the folder cannot be written to, or after the epoch
        whose checkpoint fails. The checkpoint before is kept, and the model is that of the epoch.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from cmlp import Checkpoint, MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> path = os.path.join(tempfile.mkdtemp(), "iris.checkpoint")
    >>> mlp = MLPClassifier(max_iter=300, random_state=0, tol=1e-3)
    >>> mlp = mlp.fit(X, y, checkpoint=Checkpoint(path, every=20))
    >>> again = MLPClassifier(max_iter=300, random_state=0, tol=1e-3)
    >>> again = again.fit(X, y, resume_from=path)
    >>> again.loss_curve_ == mlp.loss_curve_
    True
    """

    path: str
    every: int

    def __init__(self, path: Path, every: int = 1) -> None:
        if isinstance(every, bool) or not isinstance(every, Integral) or every < 1:
            raise ValueError(f"every must be an int of at least 1, got {every!r}.")
        self.path = os.fsdecode(path)
        self.every = int(every)

    def __repr__(self) -> str:
        return f"Checkpoint({self.path!r}, every={self.every})"

    def check(self, est: Any) -> None:
        """Whether this fit will be able to write checkpoints, before it takes a night."""
        if not hasattr(est, "_write_checkpoint"):
            raise TypeError(
                "Checkpoint is a callback of MLPClassifier and MLPRegressor: set it on them, not"
                f" on {type(est).__name__}."
            )
        check_resumable(est)
        est._check_writable(self.path)

    def epoch_ends(self, est: Any) -> None:
        """Write, if it is time to."""
        if est.n_iter_ % self.every == 0:
            est._write_checkpoint(self.path)

    # scikit-learn's callback protocol

    def setup(self, estimator: Any, context: Any) -> None:
        self.check(estimator)
        if context.task_name == "partial_fit":
            raise ValueError("Checkpoint is for fit, not for partial_fit: pickle the estimator.")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        if context.task_name == "epoch":
            self.epoch_ends(estimator)

    def teardown(self, estimator: Any, context: Any) -> None:
        pass


def check_resumable(est):
    if est.solver not in OPTIMIZERS:
        raise ValueError(
            f"solver={est.solver!r} can neither write checkpoints nor resume from them: scipy"
            " keeps its state to itself. Use a stochastic solver."
        )


class Training:
    """The state of a fit between two epochs, as far as it is not in fitted attributes.

    Parameters
    ----------
    data : dict of str to array, sparse matrix or None
        What is trained on, and watched.
    checkpoint : Checkpoint or None
        That of fit's keyword; one that is a callback calls by itself.
    resumed : Resumed or None
        What to go on with.
    """

    def __init__(self, data, checkpoint=None, resumed=None):
        self.data = data
        self.checkpoint = checkpoint
        self.resumed = resumed
        self.dtype = None  # of the weights that the fit ends with

    def begin(self, est, vector, trained, order, held_out, validation, random_state):
        """Keep what a fit works on, and fill it with what it is resumed from.

        Parameters
        ----------
        vector, trained : ndarray of shape (n_params,)
            The weights that predict, and those that are trained (often the same).
        order : ndarray of intp or None
            The samples in the order of the last epoch.
        held_out : ndarray of intp or None
            The samples held out of the training data.
        validation : Validation or None
        random_state : RandomState or None
            What shuffles.
        """
        self.optimizer = est._optimizer
        self.vector, self.trained = vector, trained
        self.order, self.held_out = order, held_out
        self.best_vector = validation.best_vector if est.early_stopping else None
        self.random_state = random_state
        if self.resumed is not None:
            self.resumed.fill(self)

    @cached_property
    def described(self):
        """dtype, shape and a checksum of each array, as text; None for None."""
        return {name: None if a is None else description(a) for name, a in self.data.items()}

    @property
    def usable(self):
        """Whether there are finite weights to write."""
        return engine.is_plain_and_finite(self.trained) and engine.is_plain_and_finite(self.vector)

    def state(self):
        """What a file holds besides the estimator."""
        return {
            "data": self.described,
            "dtype": self.dtype.name,
            "random_state": self.random_state,
            "optimizer": self.optimizer.snapshot(),
            **{name: value for name, value in self.arrays().items() if value is not None},
        }

    def arrays(self):
        """The arrays that training changes in place, besides the weights that predict."""
        return {
            "trained": None if self.trained is self.vector else self.trained,
            "order": self.order,
            "held_out": self.held_out,
            "best_vector": self.best_vector,
        }


class Resumed:
    """A checkpoint as it was read, for a fit that goes on with it.

    Parameters
    ----------
    est : estimator
        That of the fit.
    loaded : estimator
        As it was after the epoch.
    state : dict or None
        ``Training.state()``
    path : str or path-like
        For messages.

    Raises
    ------
    ValueError
        If it is not a checkpoint, or one of an estimator with other parameters.
    """

    def __init__(self, est, loaded, state, path):
        self.loaded, self.state, self.path = loaded, state, os.fsdecode(path)
        if state is None:
            raise ValueError(
                f"{self.path} is a model without the state of its training: save has"
                " written it, not a Checkpoint."
            )
        if type(loaded) is not type(est):
            self.refuse("the estimator", type(loaded).__name__, type(est).__name__)
        for name in est.get_params(deep=False):
            theirs, ours = getattr(loaded, name), getattr(est, name)
            if name not in FREE and not same(theirs, ours):
                self.refuse(name, repr(theirs), repr(ours))
        # a plan is of max_iter epochs
        planned = est.learning_rate in SCHEDULES or est.warmup_fraction
        if planned and loaded.max_iter != est.max_iter:
            self.refuse(
                "max_iter, which the learning rate follows,", loaded.max_iter, est.max_iter
            )
        for name in CHANGING:
            self.check(hasattr(loaded, name), name)
        self.check(loaded.n_iter_ > 0, "n_iter_")
        if loaded.n_iter_ > est.max_iter:
            raise ValueError(
                f"{self.path} is a checkpoint after epoch {loaded.n_iter_}, which is more"
                f" than max_iter={est.max_iter}."
            )
        self.check(str(state.get("dtype")) in ("float32", "float64"), "dtype")
        self.dtype = np.dtype(str(state["dtype"]))
        generator = state.get("random_state")
        self.check(isinstance(generator, np.random.RandomState | None), "random_state")

    def refuse(self, name, theirs, ours):
        raise ValueError(
            f"{self.path} is a checkpoint of another fit: {name} was {theirs}, it is {ours}."
        )

    def check(self, condition, name):
        if not condition:
            raise ValueError(f"{self.path} is a damaged checkpoint: {name} is wrong.")

    def check_data(self, est, training, units):
        """Whether X, y and the rest are those of the fit that wrote it."""
        data = training.data
        theirs, ours = self.state.get("data"), training.described
        self.check(isinstance(theirs, dict) and theirs.keys() == ours.keys(), "data")
        self.check(all(isinstance(text, str | None) for text in theirs.values()), "data")
        for name, value in ours.items():
            if theirs[name] != value:
                one, other = (str(text).rpartition(" crc32 ")[0] for text in (theirs[name], value))
                if one == other:
                    raise ValueError(
                        f"{self.path} is a checkpoint of another fit: the values of"
                        f" {name} have changed."
                    )
                self.refuse(name, theirs[name] and one, value and other)
        classes = getattr(est, "classes_", None)
        if not same(getattr(self.loaded, "classes_", None), classes):
            self.refuse("classes_", self.loaded.classes_, classes)
        self.check(self.loaded._parameters.units == tuple(units), "coefs_")
        validates = est.early_stopping or data["X_val"] is not None
        for name in ("validation_scores_", "validation_loss_curve_"):
            self.check(not validates or getattr(self.loaded, name) is not None, name)
        self.check((self.loaded.best_loss_ is None) == est.early_stopping, "best_loss_")
        n_samples = data["X"].shape[0]
        order, held_out = self.rows()
        splits = est.early_stopping and data["X_val"] is None
        self.check((held_out is not None) == splits, "held_out")
        self.check((order is not None) == (splits or (est.shuffle and n_samples > 1)), "order")
        if order is not None:
            self.check(self.state.get("random_state") is not None, "random_state")
            every = order if held_out is None else np.concatenate([order, held_out])
            self.check(np.array_equal(np.sort(every), np.arange(n_samples)), "order")

    def rows(self):
        """The samples in the order of the last epoch, and those that are held out, or None."""
        rows = []
        for name in ("order", "held_out"):
            array = self.state.get(name)
            if array is not None:
                self.check(getattr(array, "ndim", 0) == 1 and array.dtype.kind == "i", name)
                array = array.astype(np.intp)
            rows.append(array)
        return rows

    def random_state(self, seed):
        """What shuffles, as it was: the instance that is the estimator's parameter, or another."""
        saved = self.state.get("random_state")
        if saved is not None and isinstance(seed, np.random.RandomState):
            seed.set_state(saved.get_state())
            return seed
        return saved

    def set_attributes(self, est):
        """What the estimator had after the epoch."""
        attributes = {name: getattr(self.loaded, name) for name in CHANGING}
        dropout = vars(self.loaded).get("_dropout_state")
        drops = est._dropout_rates(est.n_layers_ - 2)
        self.check(dropout is not None or not drops, "_dropout_state")
        if dropout is not None:
            attributes["_dropout_state"] = dropout
        vars(est).update(attributes)

    def fill(self, training):
        """Bring what a fit works on to where it was."""
        self.put(training.vector, self.loaded._parameters.vector, "coefs_")
        for name, array in training.arrays().items():
            saved = self.state.get(name)
            self.check((array is None) == (saved is None), name)
            if array is not None:
                self.put(array, saved, name)
        self.check(isinstance(self.state.get("optimizer"), dict), "the state of the optimizer")
        try:
            training.optimizer.restore(self.state["optimizer"])
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
            self.check(False, "the state of the optimizer")

    def put(self, array, saved, name):
        fits = isinstance(saved, np.ndarray) and saved.shape == array.shape
        self.check(fits and saved.dtype == array.dtype, name)
        self.check(saved.dtype.kind != "f" or np.isfinite(saved).all(), name)
        array[...] = saved


def same(one, other):
    """Whether two parameters, or sets of classes, mean the same; any two RandomStates do."""
    if isinstance(one, np.random.RandomState) or isinstance(other, np.random.RandomState):
        return type(one) is type(other)
    if isinstance(one, (list, tuple, np.ndarray)):
        if not isinstance(other, (list, tuple, np.ndarray)) or len(one) != len(other):
            return False
        return all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(np.all(one == other))


def description(array):
    """What tells an array, or a sparse matrix, from others."""
    if not sp.issparse(array):
        return f"{array.dtype.name} {array.shape} crc32 {checksum(array):08x}"
    crc = 0
    for part in (array.data, array.indices, array.indptr):
        crc = checksum(part if part is array.data else part.astype(np.int64), crc)
    return f"{array.dtype.name} {array.shape} {array.format} crc32 {crc:08x}"


def checksum(array, crc=0):
    """Of the values in the order of C, without a copy of the whole."""
    n_rows = max(1, CHUNK * len(array) // max(1, array.nbytes))
    for first in range(0, len(array), n_rows):
        crc = zlib.crc32(np.ascontiguousarray(array[first : first + n_rows]), crc)
    return crc
