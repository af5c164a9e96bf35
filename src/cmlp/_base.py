"""Base class of both estimators: constraints, and the methods in which they differ.

Fitting is in `_fitting`, predicting in `_predicting`, files and pickles in `_persistence`.
"""

from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from cmlp._callbacks import CallbackSupportMixin
from cmlp._checkpoint import Resumed, check_resumable
from cmlp._core import engine
from cmlp._fitting import FittingMixin
from cmlp._optimizers import LEARNING_RATES, OPTIMIZERS
from cmlp._persistence import PersistenceMixin, read
from cmlp._predicting import PredictingMixin
from cmlp._typing import FloatArray
from cmlp._validation import Names, SequenceOf, validate_parameters

HIDDEN_ACTIVATIONS = {name for name, row in engine.ACTIVATIONS.items() if row["hidden"]}


class BaseMultilayerPerceptron(
    FittingMixin, PredictingMixin, PersistenceMixin, CallbackSupportMixin, BaseEstimator, ABC
):
    """Base class of MLPClassifier and MLPRegressor."""

    coefs_: list[FloatArray]
    intercepts_: list[FloatArray]
    input_weights_: list[FloatArray]
    loss_: float
    best_loss_: float | None
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    validation_loss_curve_: list[float] | None
    best_validation_score_: float | None
    best_iter_: int | None
    n_iter_: int
    t_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    _parameter_constraints: dict[str, list[Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [Names(HIDDEN_ACTIVATIONS), SequenceOf(HIDDEN_ACTIVATIONS)],
        "solver": [Names({"lbfgs", *OPTIMIZERS})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "encodings": [None, list, tuple],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Names(set(LEARNING_RATES))],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "warmup_fraction": [Interval(Real, 0, 1, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "partial_fit_reshuffle": ["boolean"],
        "partial_fit_loss_curve": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "scoring": [Names({"loss", *get_scorer_names()}), callable, None],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [None, Interval(Real, 0, None, closed="left")],
        "max_grad_norm": [None, Interval(Real, 0, None, closed="neither")],
        "ema_decay": [None, Interval(Real, 0, 1, closed="left")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_time": [None, Interval(Real, 0, None, closed="neither")],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "fit_intercept": ["boolean"],
        "n_jobs": [Integral, None],
        "dtype": [Names({"float32", "float64"}), None],
    }

    def _validate_params(self):
        validate_parameters(self, super()._validate_params)

    # What the two estimators answer differently

    @abstractmethod
    def _validate_input(self, X, y, incremental, reset):
        """Validated X, and y as a 2-D array in the form that the loss needs."""

    def _learn_classes(self, y, classes):
        """The ``classes`` of a partial_fit, where there are any."""

    @abstractmethod
    def _choose_out_activation(self):
        """Name of the output activation, for a first fit."""

    def _note_targets(self):
        """Set the attributes that follow from the targets, besides those of the architecture."""

    def _output_groups(self):
        """How many outputs each softmax has, as a tuple; None for one or none."""
        return None

    @abstractmethod
    def _validate_held_out(self, X, y):
        """Validated X, y and targets of the validation data of a fit."""

    @abstractmethod
    def _from_outputs(self, out):
        """Labels or values for output activations."""

    @abstractmethod
    def _from_targets(self, targets):
        """Labels or values for y in the form that the loss needs."""

    @abstractmethod
    def _score_outputs(self, out, y, sample_weight=None):
        """The score that early stopping watches; NaN if predictions are not finite."""

    @abstractmethod
    def _check_loaded(self):
        """Raise ValueError unless the labels and outputs of a model file fit each other."""

    def _weigh_samples(self, targets, sample_weight):
        """The sample weights, times what else weighs samples."""
        return sample_weight

    # Conventions

    def _check_solver(self):
        if self.solver not in OPTIMIZERS:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers."
                f" {self.solver} is not stochastic."
            )
        return True

    def _read_checkpoint(self, path):
        """The Resumed of a checkpoint file, if it fits this estimator."""
        check_resumable(self)
        kinds = [*BaseMultilayerPerceptron.__subclasses__(), type(self)]
        loaded, parts = read(path, {kind.__name__: kind for kind in kinds})
        return Resumed(self, loaded, parts.get("training"), path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
