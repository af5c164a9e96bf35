"""What both estimators share: constraints, validation, fit and predict over arrays.

No loop over batches, no labels (``_classifier``), no solver (``_stochastic``, ``_lbfgs``).
"""

from abc import ABC, abstractmethod
from contextlib import suppress
from inspect import signature
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from cmlp._arrays import as_engine_rows, as_training_input, loss_type
from cmlp._callbacks import CallbackSupportMixin, FitTask
from cmlp._checkpoint import Checkpoint, Resumed, Training, check_resumable
from cmlp._core import engine
from cmlp._divergence import divergence_error
from cmlp._early_stopping import HeldOut
from cmlp._files import check_writable, read, write
from cmlp._lbfgs import fit_lbfgs
from cmlp._optimizers import LEARNING_RATES, OPTIMIZERS, check_solver
from cmlp._parameters import Parameters, float_type
from cmlp._stochastic import fit_stochastic
from cmlp._threads import effective_n_threads, flops_per_sample
from cmlp._typing import FloatArray, Path
from cmlp._validation import (
    Names,
    SequenceOf,
    borrow_random_state,
    give_back,
    validate_parameters,
    validate_rows,
)

FLOAT64 = np.dtype(np.float64)
#: When a np.float32 times an int was a np.float64.
BEFORE_NUMPY_2 = np.lib.NumpyVersion(np.__version__) < "2.0.0"
HIDDEN_ACTIVATIONS = {name for name, row in engine.ACTIVATIONS.items() if row["hidden"]}


class BaseMultilayerPerceptron(CallbackSupportMixin, BaseEstimator, ABC):
    """Base class of MLPClassifier and MLPRegressor."""

    coefs_: list[FloatArray]
    intercepts_: list[FloatArray]
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

    @abstractmethod
    def _engine_loss(self):
        """Name of the loss in the engine's table, and its parameter or None."""

    def _label_smoothing(self):
        """What is learnt of an indicator y is scale * y + shift."""
        return 1.0, 0.0

    def _output_groups(self):
        """How many outputs each softmax has, as a tuple; None for one or none."""
        return None

    @abstractmethod
    def _validate_held_out(self, X, y):
        """The same for the validation data of a fit."""

    @abstractmethod
    def _from_outputs(self, out):
        """Labels or values for output activations."""

    @abstractmethod
    def _from_targets(self, targets):
        """Labels or values for y in the form that the loss needs."""

    @abstractmethod
    def _score_outputs(self, out, y, sample_weight=None):
        """The score that early stopping watches; NaN if predictions are not finite."""

    def _weigh_samples(self, targets, sample_weight):
        """The sample weights, times what else weighs samples."""
        return sample_weight

    # Fit

    def _hidden_layer_sizes(self):
        sizes = self.hidden_layer_sizes
        if type(sizes) is tuple and all(type(n) is int and n > 0 for n in sizes):
            return list(sizes)
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        if any(isinstance(n, bool | np.bool_) for n in sizes):
            raise TypeError(f"an integer is required in hidden_layer_sizes, got {sizes}.")
        return sizes

    def _dropout_rates(self, n_hidden):
        """Rates of the input and of each hidden layer; () if all are zero."""
        rates = self.dropout
        if type(rates) is float and not rates:
            return ()
        if isinstance(rates, Real):
            rates = [0.0] + n_hidden * [rates]
        elif len(rates) != n_hidden + 1 or not all(
            isinstance(rate, Real) and 0 <= rate < 1 for rate in rates
        ):
            raise ValueError(
                "dropout must be a float in [0, 1), or a list of one such float for the input and"
                f" one for each of {n_hidden} hidden layers, got {rates}."
            )
        return tuple(map(float, rates)) if any(rates) else ()

    def _hidden_activations(self, n_hidden):
        """The activation of each of so many hidden layers."""
        if isinstance(self.activation, str):
            return [self.activation] * n_hidden
        if len(self.activation) != n_hidden:
            raise ValueError(
                f"activation must have one entry per hidden layer, got {self.activation} for"
                f" {n_hidden} hidden layers."
            )
        return list(self.activation)

    def _draw_parameters(self, units, dtype, random_state):
        """Random parameters; the output layer's are drawn like those of the last hidden one."""
        activations = self._hidden_activations(len(units) - 2)
        if isinstance(self.activation, str):
            activations.append(self.activation)
        else:
            activations.append(activations[-1] if activations else "identity")
        return Parameters.initialize(units, dtype, activations, random_state, self.fit_intercept)

    def _fit_or_restore(self, X, y, sample_weight=None, incremental=False, **kwargs):
        """Fit, or leave the estimator as it was if that fails before it trains anything."""
        if not (incremental and "coefs_" in vars(self)):
            self._check_overrides()
        before = dict(vars(self))
        seed = self.random_state
        drawn = seed.get_state(legacy=False) if isinstance(seed, np.random.RandomState) else None
        try:
            return self._fit_here(X, y, sample_weight, incremental, **kwargs)
        except BaseException as error:
            no_memory = isinstance(error, MemoryError) and not self._has_trained_since(before)
            if no_memory or "_has_begun" not in vars(self):
                for name in vars(self).keys() - before.keys():
                    if not name.startswith(("_skl_", "_callback_")):  # which are to be torn down
                        delattr(self, name)
                vars(self).update(before)
                if drawn is not None:
                    seed.set_state(drawn)
            raise
        finally:
            vars(self).pop("_has_begun", None)

    def _has_trained_since(self, before):
        """Whether an epoch or iteration has ended since, and so given a loss."""
        loss = vars(self).get("loss_", np.nan)
        return loss is not before.get("loss_") and not np.isnan(loss)

    def _fit_here(
        self,
        X,
        y,
        sample_weight,
        incremental,
        coefs_init=None,
        intercepts_init=None,
        validation_data=None,
        checkpoint=None,
        resume_from=None,
        classes=None,
    ):
        if incremental:
            self._learn_classes(y, classes)
        check_solver(self)
        hidden_layer_sizes = self._hidden_layer_sizes()
        self._hidden_activations(len(hidden_layer_sizes))
        if self._dropout_rates(len(hidden_layer_sizes)) and self.solver == "lbfgs":
            raise ValueError(
                "solver='lbfgs' minimises a loss without randomness: dropout must be 0, or the"
                " solver a stochastic one."
            )
        if not isinstance(checkpoint, Checkpoint | None):
            raise TypeError(f"checkpoint must be a cmlp.Checkpoint, got {checkpoint!r}.")
        resumed = None if resume_from is None else self._read_checkpoint(resume_from)
        first_pass = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        first_pass = first_pass or resumed is not None
        given = X, y, sample_weight
        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        y = y.reshape(-1, 1) if y.ndim == 1 else y  # as a subclass may return it
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        sample_weight = self._weigh_samples(y, sample_weight)
        held_out = None
        if validation_data is not None:
            held_out = self._validate_validation_data(*validation_data, n_outputs=y.shape[1])
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")

        units = [X.shape[1], *hidden_layer_sizes, y.shape[1]]
        training = None
        if checkpoint is not None or resumed is not None or "_skl_callbacks" in vars(self):
            X_val, y_val, weight_val = (None, None, None) if held_out is None else held_out[:3]
            data = {"X": X, "y": y, "sample_weight": sample_weight}
            data |= {"X_val": X_val, "y_val": y_val, "sample_weight_val": weight_val}
            training = Training(data, checkpoint, resumed)
            if resumed is not None:
                resumed.check_data(self, training, units)
        seed = self.random_state
        # one sample, of a network that has weights, is neither shuffled nor split
        reshuffle = incremental and self.partial_fit_reshuffle and not first_pass
        if resumed is not None:
            random_state = resumed.random_state(seed)
        else:
            random_state = borrow_random_state(
                seed, drawn=first_pass or len(y) > 1, stream=self.t_ if reshuffle else 0
            )
        try:
            if resumed is not None:
                parameters = Parameters(units, resumed.dtype)
                coefs_init = intercepts_init = None
            elif first_pass:
                parameters = self._draw_parameters(units, self.dtype or X.dtype, random_state)
            else:
                parameters = self._continue_from(units)
                if self.dtype is not None:
                    parameters = parameters.astype(self.dtype)
            if coefs_init is not None:
                parameters.set("coefs", coefs_init)
            if intercepts_init is not None:
                parameters.set("intercepts", intercepts_init)
                if not self.fit_intercept and any(b.any() for b in parameters.intercepts):
                    raise ValueError("fit_intercept=False allows no intercepts_init but zeros.")
            return self._train(
                parameters,
                X,
                y,
                sample_weight,
                first_pass,
                incremental,
                random_state,
                given,
                held_out,
                training,
            )
        finally:
            give_back(random_state, seed)

    def _validate_validation_data(self, X_val, y_val, sample_weight_val, n_outputs):
        """The validation data of a fit as HeldOut, or None if there are none."""
        if X_val is None and y_val is None:
            if sample_weight_val is not None:
                raise ValueError("sample_weight_val is provided, but X_val was not provided.")
            return None
        if y_val is None:
            raise ValueError("X_val is provided, but y_val was not provided.")
        if X_val is None:
            raise ValueError("y_val is provided, but X_val was not provided.")
        if self.solver not in OPTIMIZERS:
            raise ValueError(
                "X_val and y_val are only used by stochastic optimizers."
                f" {self.solver} is not stochastic."
            )
        X, y, targets = self._validate_held_out(X_val, y_val)
        if targets.shape[1] != n_outputs:
            raise ValueError(
                f"y_val asks for {targets.shape[1]} outputs of the network, y for {n_outputs}."
            )
        if sample_weight_val is not None:
            sample_weight_val = _check_sample_weight(sample_weight_val, X)
        return HeldOut(X, targets, sample_weight_val, X_val, y)

    def _train(
        self,
        parameters,
        X,
        y,
        sample_weight,
        first_pass,
        incremental,
        random_state,
        given,
        held_out,
        training,
    ):
        dtype = input_dtype = parameters.dtype
        if self.dtype is None and X.dtype != dtype:
            input_dtype = np.result_type(X.dtype, dtype)
        loss_type = self._loss_type(input_dtype, y, sample_weight)
        # L-BFGS-B runs in float64: see fit_lbfgs
        working_dtype = FLOAT64 if self.solver == "lbfgs" else input_dtype
        parameters = parameters.astype(working_dtype)
        by_class = getattr(self, "class_weight", None) is not None
        weight_name = "sample_weight * class_weight" if by_class else "sample_weight"
        X, targets, weights = as_training_input(X, y, sample_weight, working_dtype, weight_name)
        if self.solver == "lbfgs" and weights is not None:
            with np.errstate(over="ignore"):
                if weights.sum() == 0:
                    raise ValueError("Sample weights sum to zero.")
        # what a computation in float64 reads is what one in the dtype asked for would read
        rounded = self.dtype == "float32"
        if held_out is not None:
            arrays = as_training_input(*held_out[:3], working_dtype)
            held_out = HeldOut(*arrays, held_out.rows, held_out.y)
        dataset = engine.Dataset(
            X, targets, weights, working_dtype, rounded, *self._label_smoothing()
        )
        flops = flops_per_sample(X, parameters.units, training=True)

        self._start(parameters.units, first_pass, held_out is not None)
        if training is not None:
            training.dtype = dtype
            if training.resumed is not None:
                training.resumed.set_attributes(self)
        self._incremental = incremental
        self._publish(parameters)
        if training is not None and training.checkpoint is not None:
            training.checkpoint.check(self)
        dropout = self._dropout_rates(len(parameters.coefs) - 1)
        layout = self._layout(parameters, self.fit_intercept, dropout, *self._engine_loss())
        task = None
        try:
            if training is not None:
                self._training = training
            if "_skl_callbacks" in vars(self):
                task = FitTask(self, parameters, dtype, *given, incremental)
            if self.solver == "lbfgs":
                fit_lbfgs(self, parameters, layout, dataset, flops, loss_type, task)
            else:
                fit_stochastic(
                    self,
                    parameters,
                    layout,
                    dataset,
                    flops,
                    (X, targets, weights),
                    random_state,
                    loss_type,
                    incremental,
                    first_pass,
                    (given[0], y),
                    held_out,
                    task,
                    training,
                )
        finally:
            if training is not None:
                del self._training
            if parameters.dtype != dtype:
                with np.errstate(over="ignore"):  # an error below
                    self._publish(parameters.astype(dtype))
        if not engine.is_plain_and_finite(self._parameters.vector):
            error = divergence_error(self)
            vars(self).pop("_optimizer", None)
            raise error
        if task is not None:
            task.close()
        return self

    def _loss_type(self, dtype, y, sample_weight):
        """What scikit-learn's arithmetic makes the loss of predictions of the given dtype."""
        if self.solver in OPTIMIZERS and (self.batch_size != "auto" or BEFORE_NUMPY_2):
            return np.float64  # the loss of a batch times its rows, which are an np.int64
        weight_dtype = None if sample_weight is None else sample_weight.dtype
        if not isinstance(self, ClassifierMixin):
            return loss_type(dtype, weight_dtype, y.dtype)
        if self._choose_out_activation() == "softmax":
            return loss_type(dtype, weight_dtype, "of xlogy")
        return loss_type(dtype, weight_dtype, np.float64)  # of 1 - y, an integer

    def _continue_from(self, units):
        """A copy of the weights of the previous fit, whoever made them."""
        parameters = getattr(self, "_parameters", None)
        if parameters is not None and parameters.holds(self.coefs_, self.intercepts_):
            parameters = parameters.copy()
        else:
            parameters = Parameters.from_lists(self.coefs_, self.intercepts_)
        if parameters.units != tuple(units):
            raise ValueError(
                "Training can only be continued with the same layer sizes as before. The weights"
                f" are those of a network with the layers {list(parameters.units)}, X, y and"
                f" hidden_layer_sizes ask for {units}."
            )
        out_activation = self._choose_out_activation()
        if getattr(self, "out_activation_", out_activation) != out_activation:
            keep = ""
            if hasattr(self, "out_activation"):  # the parameter
                keep = f"; to keep it, set out_activation={self.out_activation_!r}"
            raise ValueError(
                "Training can only be continued with the same output activation as before. It was"
                f" {self.out_activation_!r}, the parameters ask for {out_activation!r}. To change"
                f" it, fit without warm_start{keep}."
            )
        if not self.fit_intercept:
            for intercept in parameters.intercepts:
                intercept[...] = 0
        return parameters

    def _start(self, units, first_pass, with_validation_data):
        """Set the attributes that a fit starts from; those of a previous one go on."""
        if first_pass:
            self.n_iter_ = 0
            self.t_ = 0
            self.loss_ = np.nan  # until an epoch has ended
            self.out_activation_ = self._choose_out_activation()
            vars(self).pop("_dropout_state", None)
        self.n_outputs_ = units[-1]
        self.n_layers_ = len(units)
        if self.solver not in OPTIMIZERS:
            return
        if first_pass or not hasattr(self, "loss_curve_"):
            self.loss_curve_ = []
            self._no_improvement_count = 0
            self.best_loss_ = np.inf
            self.validation_scores_ = None
            self.validation_loss_curve_ = None
            self.best_validation_score_ = None
            self.best_iter_ = None
        if self.early_stopping or with_validation_data:
            if self.validation_scores_ is None:
                self.validation_scores_ = []
                self.best_validation_score_ = -np.inf
            if getattr(self, "validation_loss_curve_", None) is None:
                self.validation_loss_curve_ = []
        if self.early_stopping:
            self.best_loss_ = None
        elif self.best_loss_ is None:
            self.best_loss_ = np.inf

    def _layout(
        self,
        parameters,
        fit_intercept=True,
        dropout=(),
        loss="squared_error",
        loss_parameter=None,
    ):
        """The engine's description of the network; which loss it has is of no use in predict."""
        hidden = self._hidden_activations(len(parameters.coefs) - 1)
        return parameters.layout(
            [*hidden, self.out_activation_],
            loss,
            fit_intercept,
            self._output_groups(),
            dropout,
            loss_parameter,
        )

    def _publish(self, parameters):
        """Make the parameters the fitted attributes: lists of views on one vector."""
        coefs, intercepts = list(parameters.coefs), list(parameters.intercepts)
        # no call in these lines, so that Ctrl-C finds all of them done or none
        self._parameters = parameters
        self.coefs_ = coefs
        self.intercepts_ = intercepts

    def _check_solver(self):
        if self.solver not in OPTIMIZERS:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers."
                f" {self.solver} is not stochastic."
            )
        return True

    # Predict

    def _forward(self, X):
        """Output activations for X.

        Returns
        -------
        out : ndarray of shape (n_samples, n_outputs)
            Of the dtype that NumPy gives a product of X and the weights.
        """
        parameters = vars(self).get("_parameters")
        predictor = None if parameters is None else parameters.predictor
        if predictor is not None:
            out = predictor.outputs(vars(self), X)
            if out is not None:
                return out
        X = validate_rows(self, X)
        parameters = self._take_parameters()
        return self._outputs(X, parameters, self._layout(parameters))

    def _take_parameters(self):
        """The weights in one vector, as they are now, and checked."""
        parameters = vars(self).get("_parameters")
        if parameters is None or not parameters.holds(self.coefs_, self.intercepts_):
            parameters = Parameters.from_lists(self.coefs_, self.intercepts_)
            if parameters.units[-1] != getattr(self, "n_outputs_", parameters.units[-1]):
                raise ValueError(
                    f"coefs_ have {parameters.units[-1]} outputs, n_outputs_ is {self.n_outputs_}."
                )
        else:
            self._prepare_predictor(parameters)
        return parameters

    def _outputs(self, X, parameters, layout, n_draws=1, seed=None):
        """Output activations for validated X, ``(n_draws * n_samples, n_outputs)``.

        With a seed, each of the draws drops units at the rates of the layout.
        """
        dtype = np.dtype(self.dtype or float_type(X, parameters.vector))
        X = as_engine_rows(X, dtype)
        parameters = parameters.astype(dtype)
        out = np.empty((n_draws * X.shape[0], parameters.units[-1]), dtype=dtype)
        dataset = engine.Dataset(X, dtype=dtype)
        flops = len(out) * flops_per_sample(X, parameters.units, training=False)
        n_threads = effective_n_threads(self.n_jobs, flops)
        work = layout.workspace(X.shape[0], dtype, n_threads, per_thread=True, data=dataset)
        engine.predict(layout, dataset, parameters.vector, work, out, n_threads, seed)
        return out

    def _prepare_predictor(self, parameters):
        """Give the parameters the short way for plain rows, or none if an attribute is missing.

        It is the parameters' and not an attribute, so that predict changes no attribute.
        """
        attributes = vars(self)
        predictor = parameters.predictor
        if predictor is not None and predictor.applies(attributes):
            return
        names = ("activation", "dtype", "out_activation_", "n_features_in_", "n_outputs_")
        values = {name: attributes[name] for name in names if name in attributes}
        if type(values.get("activation")) is list:
            values["activation"] = list(values["activation"])  # the owner may change its own
        predictor = None
        if (
            (self.dtype is None or self.dtype == parameters.dtype)
            and len(values) == len(names)
            and not any(hasattr(type(self), name) for name in names)  # properties of a subclass
            and values["n_outputs_"] == parameters.units[-1]
        ):
            predictor = engine.Predictor(
                self._layout(parameters),
                parameters.vector,
                {"coefs_": parameters.coefs, "intercepts_": parameters.intercepts},
                values,
                ("feature_names_in_",),
                converts=self.dtype is not None,
            )
        parameters.predictor = predictor  # once: other threads predict meanwhile

    def _check_is_fitted(self):
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)

    def _score_with(self, score_function, out, y, sample_weight):
        prediction = self._from_outputs(out)
        if np.issubdtype(prediction.dtype, np.floating) and not np.isfinite(prediction).all():
            return np.nan
        with np.errstate(all="ignore"):  # a NaN is the answer where squares overflow
            return score_function(y, prediction, sample_weight=sample_weight)

    # Files

    def save(self, path: Path) -> None:
        """Write this estimator to a model file, which :func:`cmlp.load` reads.

        A safetensors file with JSON metadata: no pickle, readable in any language
        (``docs/format.md``), and by every later version. The file appears whole or not at all.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        TypeError
            If a parameter or a fitted attribute is something that a file cannot hold, such as a
            function, or the estimator is of a subclass, which ``cmlp.load`` would not know.
        ValueError
            If ``cmlp.load`` would refuse what was set: an attribute that does not fit the others,
            a parameter that fit would not take.
        OSError
            If the file cannot be written. What was there before is still there.
        """
        if type(self).__module__.partition(".")[0] != "cmlp":
            raise TypeError(f"{type(self).__name__} is not cmlp's: use pickle, or save its parts.")
        write(path, self)

    def _check_writable(self, path):
        """Raise if no checkpoint of the fit that has begun can be written there."""
        check_writable(path, self)

    def _write_checkpoint(self, path):
        """Write the state of the fit that runs to a file, unless its weights are not finite."""
        if self._training.usable:
            write(path, self, training=self._training.state())

    def _read_checkpoint(self, path):
        check_resumable(self)
        kinds = [*BaseMultilayerPerceptron.__subclasses__(), type(self)]
        loaded, parts = read(path, {kind.__name__: kind for kind in kinds})
        return Resumed(self, loaded, parts.get("training"), path)

    @abstractmethod
    def _check_loaded(self):
        """Raise ValueError unless the labels and outputs of a model file fit each other."""

    # Conventions

    def __getstate__(self) -> dict[str, Any]:
        """Without the cached vector, and without the optimizer unless training will need it.

        That is in partial_fit, and where it holds the weights that are trained.
        """
        state = dict(super().__getstate__())
        for name in (
            "_parameters",
            "_training",
            "_has_begun",
            "_callback_fit_ctx",
            "_skl_callbacks_to_teardown",
        ):
            state.pop(name, None)
        optimizer = state.get("_optimizer")
        if optimizer is not None and optimizer.trained is None and not state.get("_incremental"):
            del state["_optimizer"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """With the weights in one vector again, unless they are mapped from a file or mixed.

        Parameters that are newer than the pickle have their defaults.
        """
        newer = {*self._get_param_names()} - state.keys()
        if newer:
            defaults = signature(type(self).__init__).parameters
            state = {**{name: defaults[name].default for name in newer}, **state}
        super().__setstate__(state)
        arrays = [*state.get("coefs_", ()), *state.get("intercepts_", ())]
        if arrays and all(type(array) is np.ndarray for array in arrays):
            dtypes = {array.dtype for array in arrays}
            if len(dtypes) == 1 and dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}:
                # shapes that do not fit are predict's to complain about
                with suppress(ValueError):
                    self._publish(Parameters.from_lists(self.coefs_, self.intercepts_))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
