"""Save the state of a fit after an epoch, and check whether a later fit may resume from it.

No file here (the estimator writes it), no training.
"""

import os
import zlib
from collections.abc import Callable
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp

from cmlp._core import engine
from cmlp._optimizers import OPTIMIZERS
from cmlp._parameters import Parameters
from cmlp._run import Listener
from cmlp._schedules import SCHEDULES
from cmlp._training import RESUMED
from cmlp._typing import Path

#: Parameters that may be others when a fit is resumed: they change no number.
FREE = {"max_iter", "verbose", "n_jobs", "warm_start", "max_fun"}
FREE |= {"partial_fit_reshuffle", "partial_fit_loss_curve"}
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

    def epoch_ends(self, n_iter: int, write: Callable[[str], None]) -> None:
        """Write the file if an epoch is due.

        Parameters
        ----------
        n_iter : int
            Epochs that have ended.
        write : callable(path)
            What writes the estimator and the state of its fit.
        """
        if n_iter % self.every == 0:
            write(self.path)

    # scikit-learn's callback protocol

    def setup(self, estimator: Any, context: Any) -> None:
        if not hasattr(estimator, "hidden_layer"):
            raise TypeError(
                "Checkpoint is a callback of MLPClassifier and MLPRegressor: set it on them, not"
                f" on {type(estimator).__name__}."
            )
        if context.task_name == "partial_fit":
            raise ValueError("Checkpoint is for fit, not for partial_fit: pickle the estimator.")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Nothing: CheckpointWriter, which knows the state of the fit, comes after callbacks."""

    def teardown(self, estimator: Any, context: Any) -> None:
        pass


def check_resumable(est):
    if est.solver not in OPTIMIZERS:
        raise ValueError(
            f"solver={est.solver!r} can neither write checkpoints nor resume from them: scipy"
            " keeps its state to itself. Use a stochastic solver."
        )


class CheckpointWriter(Listener):
    """Writes the state of a fit to the files of its checkpoints.

    Parameters
    ----------
    checkpoints : list of Checkpoint
    data : FitData
    write : callable(path, training)
        What writes the estimator, and a dict besides, to a model file.
    """

    __slots__ = ("checkpoints", "data", "write")

    def __init__(self, checkpoints, data, write):
        self.checkpoints, self.data, self.write = checkpoints, data, write

    def step_ends(self, run):
        state = run.state
        if not run.is_finite or not engine.is_plain_and_finite(state.parameters.vector):
            return

        def write(path):
            about = {"data": self.data.described, "dtype": run.problem.dtype.name}
            self.write(path, training={**about, **state.unshown()})

        for checkpoint in self.checkpoints:
            checkpoint.epoch_ends(state.n_iter, write)


class FitData:
    """Training and validation data of a fit.

    Parameters
    ----------
    samples : Samples
        As they were validated.
    held_out : HeldOut or None
        The validation data.
    """

    def __init__(self, samples, held_out):
        X_val, y_val, weight_val = (None, None, None) if held_out is None else held_out[:3]
        self.arrays = {**samples._asdict(), "X_val": X_val, "y_val": y_val}
        self.arrays["sample_weight_val"] = weight_val

    @cached_property
    def described(self):
        """dtype, shape and a checksum of each array, as text; None for None."""
        return {name: None if a is None else description(a) for name, a in self.arrays.items()}


class Resumed:
    """A checkpoint as it was read, for a fit that goes on with it.

    Parameters
    ----------
    est : estimator
        That of the fit.
    loaded : estimator
        As it was after the epoch.
    state : dict or None
        What CheckpointWriter wrote.
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
        for name in RESUMED.values():
            self.check(hasattr(loaded, name), name)
        self.check(loaded.n_iter_ > 0, "n_iter_")
        if loaded.n_iter_ > est.max_iter:
            raise ValueError(
                f"{self.path} is a checkpoint after epoch {loaded.n_iter_}, which is more"
                f" than max_iter={est.max_iter}."
            )
        self.parameters = Parameters.from_lists(
            *(loaded.coefs_, loaded.intercepts_, None, getattr(loaded, "input_weights_", ()))
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

    def check_data(self, est, data, architecture):
        """Raise ValueError unless X, y and the rest are those of the fit that wrote the file.

        Parameters
        ----------
        data : FitData
        architecture : Architecture
        """
        theirs, ours = self.state.get("data"), data.described
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
        self.check(self.parameters.fit(architecture), "coefs_")
        X, X_val = data.arrays["X"], data.arrays["X_val"]
        validates = est.early_stopping or X_val is not None
        for name in ("validation_scores_", "validation_loss_curve_"):
            self.check(not validates or getattr(self.loaded, name) is not None, name)
        self.check((self.loaded.best_loss_ is None) == est.early_stopping, "best_loss_")
        n_samples = X.shape[0]
        order, held_out = self.rows()
        splits = est.early_stopping and X_val is None
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
        """The RandomState that shuffles, as it was; if ``seed`` is one, the seed itself."""
        saved = self.state.get("random_state")
        if saved is not None and isinstance(seed, np.random.RandomState):
            seed.set_state(saved.get_state())
            return seed
        return saved

    def show(self, state, architecture):
        """Give the state of a fit what the estimator showed after the epoch."""
        for name, attribute in RESUMED.items():
            setattr(state, name, getattr(self.loaded, attribute))
        state.dropout = getattr(self.loaded, "_dropout_state", None)
        self.check(state.dropout is not None or not architecture.dropout, "_dropout_state")

    def fill(self, state):
        """Bring the arrays and the optimizer of the state to where they were."""
        self.put(state.parameters.vector, self.parameters.vector, "coefs_")
        for name, array in state.arrays().items():
            saved = self.state.get(name)
            self.check((array is None) == (saved is None), name)
            if array is not None:
                self.put(array, saved, name)
        self.check(isinstance(self.state.get("optimizer"), dict), "the state of the optimizer")
        try:
            state.optimizer.restore(self.state["optimizer"])
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
    """Text that tells an array, or a sparse matrix, from others."""
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
