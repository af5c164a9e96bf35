"""The data of a fit: a problem, which stays, and a state, which moves. No loop, no estimator.

A `TrainingState` is what a checkpoint holds and what partial_fit goes on with; its fields are the
only list of the fitted attributes that training changes.
"""

from copy import copy, deepcopy
from dataclasses import dataclass, field, fields
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import numpy as np

from cmlp._architecture import Architecture
from cmlp._attributes import COUNT, LAYERS, REAL, WORDS, Kind, list_of, or_none
from cmlp._core import engine
from cmlp._losses import Loss
from cmlp._optimizer_base import Optimizer
from cmlp._parameters import Parameters


class Samples(NamedTuple):
    """Rows with their targets and weights."""

    X: Any
    y: Any
    sample_weight: Any = None


class HeldOut(NamedTuple):
    """Validation data, as the engine and as scorers read them."""

    X: Any  # of the dtype of the computation, dense or CSR
    targets: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None
    original: Any  # X as the caller of fit gave it, with the names of its columns
    y: Any  # labels or values


class Problem(NamedTuple):
    """Constants of a fit: network, loss and data.

    A tuple and no frozen dataclass, which takes three times as long to make.

    Attributes
    ----------
    architecture : Architecture
    loss : Loss
    layout : engine.Layout
        Both, as the engine reads them.
    dataset : engine.Dataset
        All samples, as the engine reads them.
    arrays : Samples
        What the dataset is made of.
    original : tuple (X, y)
        X as the caller of fit gave it, for scorers, and y as targets in their own dtype.
    held_out : HeldOut or None
        The validation data given to fit.
    dtype : dtype
        Of the weights that the fit ends with.
    loss_type : type
        What scikit-learn's arithmetic would make the reported loss.
    flops : int
        Work of a sample in one pass forward and back.
    """

    architecture: Architecture
    loss: Loss
    layout: engine.Layout
    dataset: engine.Dataset
    arrays: Samples
    original: tuple[Any, np.ndarray]
    held_out: HeldOut | None
    dtype: np.dtype
    loss_type: type
    flops: int


def shown(attribute: str, default: Any, kind: Kind | None = None, **about: bool) -> Any:
    """A field of the state that is an attribute of the estimator.

    Parameters
    ----------
    default : object
        What it is before training; list: an empty one.
    kind : Kind, default=None
        What it may be in a model file; None: it is in none.
    **about : bool
        "of_epochs": fits by 'lbfgs' are without it. "newer": older versions, and scikit-learn,
        are without it. "optional": it is no attribute where it is None.
    """
    metadata = {"attribute": attribute, "kind": kind, **about}
    if default is list:
        return field(default_factory=list, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(slots=True)
class TrainingState:
    """All that moves during a fit.

    What an epoch adds to a curve, and weights that are the best so far, wait in fields named
    ``new_...`` until the state is published: the curves are the very lists that the estimator
    shows.

    Attributes
    ----------
    parameters : Parameters
        The weights that predict; ``coefs`` and ``intercepts`` are lists of its views.
    dropout : tuple (seed, epoch) or None
        What decides which units the next epoch drops.
    trained : ndarray of shape (n_params,)
        The weights that are trained: ``parameters.vector``, or another vector.
    random_state : RandomState or None
        What shuffles.
    order : ndarray of intp or None
        The samples that are trained on, in the order of the last epoch; None: as they come.
    held_out : ndarray of intp or None
        The samples that early stopping holds out of the training data.
    best_vector : ndarray of shape (n_params,) or None
        The weights of the best validation score, with early stopping.
    """

    n_iter: int = shown("n_iter_", 0, COUNT)
    t: int = shown("t_", 0, COUNT)
    loss: float = shown("loss_", np.nan, REAL)
    parameters: Parameters | None = shown("_parameters", None)
    coefs: list = shown("coefs_", list, LAYERS)
    intercepts: list = shown("intercepts_", list, LAYERS)
    incremental: bool = shown("_incremental", False)
    loss_curve: list = shown("loss_curve_", list, list_of(REAL), of_epochs=True)
    no_improvement_count: int = shown("_no_improvement_count", 0, COUNT, of_epochs=True)
    best_loss: float | None = shown("best_loss_", np.inf, or_none(REAL), of_epochs=True)
    validation_scores: list | None = shown(
        "validation_scores_", None, or_none(list_of(REAL)), of_epochs=True
    )
    validation_loss_curve: list | None = shown(
        "validation_loss_curve_", None, or_none(list_of(REAL)), of_epochs=True, newer=True
    )
    best_validation_score: float | None = shown(
        "best_validation_score_", None, or_none(REAL), of_epochs=True
    )
    best_iter: int | None = shown("best_iter_", None, or_none(COUNT), of_epochs=True, newer=True)
    dropout: tuple | None = shown("_dropout_state", None, or_none(WORDS), optional=True)
    input_weights: list | None = shown("input_weights_", None, or_none(LAYERS), optional=True)
    optimizer: Optimizer | None = shown("_optimizer", None, optional=True)

    stochastic: bool = True
    trained: np.ndarray | None = None
    random_state: np.random.RandomState | None = None
    order: np.ndarray | None = None
    held_out: np.ndarray | None = None
    best_vector: np.ndarray | None = None

    new_losses: list | tuple = ()
    new_scores: list | tuple = ()
    new_validation_losses: list | tuple = ()
    new_best_vector: np.ndarray | None = None

    @classmethod
    def after(cls, attributes):
        """The state that a fit goes on with, given the attributes of an estimator as a dict.

        Without a loss curve, as after a fit by 'lbfgs', the history of epochs begins.
        """
        try:
            state = cls(*of_stochastic_attributes(attributes))
        except KeyError:  # after another solver, or what a user has made
            state = cls()
            for name, attribute in (SHOWN if "loss_curve_" in attributes else ALWAYS).items():
                if attribute in attributes:
                    setattr(state, name, attributes[attribute])
        state.dropout = attributes.get("_dropout_state")
        state.optimizer = attributes.get("_optimizer")
        return state

    def use(self, parameters):
        """Have the parameters for the weights that predict."""
        self.parameters = parameters
        self.coefs, self.intercepts = list(parameters.coefs), list(parameters.intercepts)
        self.input_weights = list(parameters.input_weights) or None

    def watch(self, early_stopping, validates):
        """Have the curves of a fit that stops early, or watches validation data."""
        if early_stopping or validates:
            if self.validation_scores is None:
                self.validation_scores = []
                self.best_validation_score = -np.inf
            if self.validation_loss_curve is None:
                self.validation_loss_curve = []
        if early_stopping:
            self.best_loss = None
        elif self.best_loss is None:
            self.best_loss = np.inf

    def record(self, loss, n_samples, keeps_curve):
        """Count an epoch and its loss."""
        self.n_iter += 1
        self.loss = loss
        self.t += n_samples
        if not keeps_curve:
            self.loss_curve = []
        self.new_losses = [loss]

    def attributes(self):
        """The attributes of the estimator that show the state.

        Returns
        -------
        attributes : dict of str to object
        """
        if self.stochastic:
            attributes = dict(zip(NAMES_OF_STOCHASTIC, of_stochastic(self)))  # noqa: B905 - takes longer
        else:
            attributes = dict(zip(ALWAYS.values(), always(self), strict=True))
        if self.input_weights is not None:
            attributes["input_weights_"] = self.input_weights
        if not self.stochastic:
            return attributes
        if self.optimizer is not None:
            attributes["_optimizer"] = self.optimizer
        if self.dropout is not None:
            attributes["_dropout_state"] = self.dropout
        return attributes

    def publish(self, update):
        """Show the state on the estimator: all of it, or nothing if Ctrl-C comes first.

        Parameters
        ----------
        update : callable
            ``dict.update`` of the estimator's attributes.
        """
        attributes = self.attributes()
        # Ctrl-C is noticed at calls, of which there is none before the last, and that is C
        losses, self.new_losses = self.new_losses, ()
        self.loss_curve += losses
        if self.new_scores:
            self.validation_scores += self.new_scores
            self.validation_loss_curve += self.new_validation_losses
            self.new_scores = self.new_validation_losses = ()
        if self.new_best_vector is not None:
            self.best_vector[...] = self.new_best_vector
            self.new_best_vector = None
        update(attributes)

    def snapshot(self, dtype):
        """The attributes of an estimator whose fit has ended here; training changes none of them.

        Parameters
        ----------
        dtype : dtype
            Of the weights.
        """
        ended = copy(self)
        parameters = self.parameters.astype(dtype)
        ended.use(parameters.copy() if parameters is self.parameters else parameters)
        attributes = {
            name: list(value) if isinstance(value, list) else value
            for name, value in ended.attributes().items()
        }
        if self.optimizer is not None:
            optimizer = deepcopy(self.optimizer) if self.incremental else None
            attributes[SHOWN["optimizer"]] = optimizer
        return attributes

    def arrays(self):
        """The arrays that training changes in place, besides the weights that predict."""
        return {
            "trained": None if self.trained is self.parameters.vector else self.trained,
            "order": self.order,
            "held_out": self.held_out,
            "best_vector": self.best_vector,
        }

    def unshown(self):
        """The part of a checkpoint that no attribute of the estimator shows."""
        arrays = {name: array for name, array in self.arrays().items() if array is not None}
        return {
            "random_state": self.random_state,
            "optimizer": self.optimizer.snapshot(),
            **arrays,
        }


def attributes_where(condition):
    """Field -> attribute, for the fields of the state that are attributes and meet a condition."""
    return {
        row.name: row.metadata["attribute"]
        for row in fields(TrainingState)
        if row.metadata and condition(row.metadata)
    }


SHOWN = attributes_where(lambda about: True)
#: Of every fit, and of one by a stochastic solver.
ALWAYS = attributes_where(lambda about: not about.keys() & {"of_epochs", "optional"})
OF_EPOCHS = attributes_where(lambda about: "of_epochs" in about)
OF_STOCHASTIC = {**ALWAYS, **OF_EPOCHS}
always, of_stochastic = attrgetter(*ALWAYS), attrgetter(*OF_STOCHASTIC)
NAMES_OF_STOCHASTIC = tuple(OF_STOCHASTIC.values())
of_stochastic_attributes = itemgetter(*NAMES_OF_STOCHASTIC)
#: What a fit that is resumed takes over as it is.
RESUMED = {name: SHOWN[name] for name in ("n_iter", "t", "loss", *OF_EPOCHS)}
#: What each may be in a model file, by the name of the attribute.
KINDS = {
    row.metadata["attribute"]: row.metadata["kind"]
    for row in fields(TrainingState)
    if row.metadata and row.metadata["kind"] is not None
}
#: Attributes that older versions, and scikit-learn, do not have.
NEWER = set(attributes_where(lambda about: "newer" in about).values())


def weights_shown(parameters):
    """The attributes that show the weights of a network, as a dict."""
    state = TrainingState()
    state.use(parameters)
    names = ["parameters", "coefs", "intercepts"]
    if state.input_weights is not None:
        names.append("input_weights")
    return {SHOWN[name]: getattr(state, name) for name in names}
