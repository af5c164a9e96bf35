"""The way from the arguments of fit to a run: validation, initial weights, the problem.

Labels are the estimators', epochs `_stochastic`'s and `_lbfgs`'s.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import _check_sample_weight

from cmlp._architecture import (
    PLAIN,
    Architecture,
    dropout_rates,
    hidden_activations,
    layer_sizes,
    network_inputs,
)
from cmlp._arrays import BEFORE_NUMPY_2, as_training_input, loss_type
from cmlp._callbacks import SklearnCallbacks
from cmlp._checkpoint import Checkpoint, CheckpointWriter, FitData, Resumed, check_resumable
from cmlp._core import engine
from cmlp._divergence import divergence_error
from cmlp._lbfgs import lbfgs
from cmlp._listeners import TimeLimit, listen
from cmlp._losses import loss_of
from cmlp._optimizers import OPTIMIZERS, check_solver
from cmlp._parameters import Parameters
from cmlp._persistence import check_writable, write
from cmlp._rollback import Rollback
from cmlp._run import TrainingRun
from cmlp._stochastic import sgd_epochs
from cmlp._threads import flops_per_sample
from cmlp._training import HeldOut, Problem, Samples, TrainingState
from cmlp._validation import borrow_random_state, give_back, has_validation_data

FLOAT64 = np.dtype(np.float64)


@dataclass(slots=True)
class FitRequest:
    """A call of fit or partial_fit: its arguments, and what was found when they were looked at.

    Attributes
    ----------
    given : Samples
        As the caller gave them.
    incremental : bool
        Whether this is a partial_fit.
    coefs_init, intercepts_init, validation_data, checkpoint, resume_from, classes
        The arguments of the same name; of the validation data all three.
    first_pass : bool
        Whether the weights have not been trained before.
    resumed : Resumed or None
    samples : Samples
        The given ones, validated; y as a matrix in the form that the loss needs.
    held_out : HeldOut or None
        Validation data.
    architecture : Architecture
        The one that samples and parameters ask for.
    data : FitData or None
        For checkpoints.
    random_state : RandomState or None
    """

    given: Samples
    incremental: bool
    coefs_init: Any = None
    intercepts_init: Any = None
    validation_data: tuple | None = None
    checkpoint: Checkpoint | None = None
    resume_from: Any = None
    classes: Any = None
    first_pass: bool = True
    resumed: Resumed | None = None
    samples: Samples | None = None
    held_out: HeldOut | None = None
    architecture: Architecture | None = None
    data: FitData | None = None
    random_state: np.random.RandomState | None = None


class FittingMixin:
    """Methods of an estimator that make a run of a call of fit, and let it run."""

    def _fit_or_restore(self, X, y, sample_weight=None, incremental=False, **arguments):
        """Fit, or leave the estimator as it was if that fails before it trains anything."""
        if not (incremental and "coefs_" in vars(self)):
            self._check_overrides()
        request = FitRequest(Samples(X, y, sample_weight), incremental, **arguments)
        rollback = Rollback(self)
        try:
            self._fit_here(request, rollback)
        except BaseException as error:
            rollback.undo_what(error)
            raise
        return self

    def _fit_here(self, request, rollback):
        self._validate(request)
        seed = self.random_state
        request.random_state = self._take_random_state(request)
        try:
            parameters = self._initial_parameters(request)
            rollback.run = run = self._make_run(request, parameters)
            self._train(run, request)
        finally:
            give_back(request.random_state, seed)

    # What may be refused

    def _validate(self, request):
        """Look at all that the caller gave, and at the parameters that have to fit it."""
        if request.incremental:
            self._learn_classes(request.given.y, request.classes)
        sizes, activations, rates = self._check_options(request)
        if request.resume_from is not None:
            request.resumed = self._read_checkpoint(request.resume_from)
        continues = hasattr(self, "coefs_") and (self.warm_start or request.incremental)
        request.first_pass = not continues or request.resumed is not None
        self._validate_samples(request)
        if request.incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        samples = request.samples
        inputs, n_inputs = network_inputs(self.encodings, self.n_members, samples.X.shape[1])
        if inputs is not PLAIN and sp.issparse(samples.X):
            raise TypeError("Encodings and members need dense X, got a sparse one.")
        request.architecture = Architecture(
            (n_inputs, *sizes, samples.y.shape[1]),
            (*activations, self._choose_out_activation()),
            self._output_groups(),
            self.fit_intercept,
            rates,
            inputs,
        )
        if request.checkpoint or request.resumed or "_skl_callbacks" in vars(self):
            request.data = FitData(samples, request.held_out)
        if request.resumed is not None:
            request.resumed.check_data(self, request.data, request.architecture)

    def _check_options(self, request):
        """Sizes, activations and dropout of the layers, if parameters and arguments fit."""
        check_solver(self)
        sizes = layer_sizes(self.hidden_layer_sizes)
        activations = hidden_activations(self.activation, len(sizes))
        rates = dropout_rates(self.dropout, len(sizes))
        if rates and self.solver == "lbfgs":
            raise ValueError(
                "solver='lbfgs' minimises a loss without randomness: dropout must be 0, or the"
                " solver a stochastic one."
            )
        checkpoint = request.checkpoint
        if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            raise TypeError(f"checkpoint must be a cmlp.Checkpoint, got {checkpoint!r}.")
        return sizes, activations, rates

    def _validate_samples(self, request):
        X, y, sample_weight = request.given
        X, y = self._validate_input(X, y, request.incremental, reset=request.first_pass)
        y = y.reshape(-1, 1) if y.ndim == 1 else y  # as a subclass may return it
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        request.samples = Samples(X, y, self._weigh_samples(y, sample_weight))
        if request.validation_data is not None:
            request.held_out = self._validate_validation_data(
                *request.validation_data, n_outputs=y.shape[1]
            )

    def _validate_validation_data(self, X_val, y_val, sample_weight_val, n_outputs):
        """The validation data of a fit as HeldOut, or None if there are none."""
        if not has_validation_data(X_val, y_val, sample_weight_val):
            return None
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

    # What training begins with

    def _take_random_state(self, request):
        """The source of all draws of a fit, to be given back."""
        if request.resumed is not None:
            return request.resumed.random_state(self.random_state)
        # one sample, of a network that has weights, is neither shuffled nor split
        first_pass = request.first_pass
        reshuffle = request.incremental and self.partial_fit_reshuffle and not first_pass
        return borrow_random_state(
            self.random_state,
            drawn=first_pass or len(request.samples.y) > 1,
            stream=self.t_ if reshuffle else 0,
        )

    def _initial_parameters(self, request):
        """The weights to begin with, in the dtype that the fit is to end with."""
        if request.resumed is not None:
            units, inputs = request.architecture.units, request.architecture.inputs
            return Parameters(
                *(units, request.resumed.dtype, inputs.n_members, inputs.weight_shapes(units[0]))
            )
        if request.first_pass:
            parameters = self._draw_parameters(request)
        else:
            parameters = self._continue_from(request.architecture)
            if self.dtype is not None:
                parameters = parameters.astype(self.dtype)
        if request.coefs_init is not None:
            parameters.set("coefs", request.coefs_init)
        if request.intercepts_init is not None:
            parameters.set("intercepts", request.intercepts_init)
            if not self.fit_intercept and any(b.any() for b in parameters.intercepts):
                raise ValueError("fit_intercept=False allows no intercepts_init but zeros.")
        return parameters

    def _draw_parameters(self, request):
        """Random parameters; the output layer's are drawn like those of the last hidden one."""
        units, (*hidden, _) = request.architecture[:2]
        if isinstance(self.activation, str):
            output = self.activation
        else:
            output = hidden[-1] if hidden else "identity"
        return Parameters.initialize(
            units,
            self.dtype or request.samples.X.dtype,
            [*hidden, output],
            request.random_state,
            self.fit_intercept,
            request.architecture.inputs,
        )

    def _continue_from(self, architecture):
        """A copy of the weights of the previous fit, whoever made them."""
        parameters = getattr(self, "_parameters", None)
        weights = self.coefs_, self.intercepts_
        input_weights = getattr(self, "input_weights_", ())
        if parameters is not None and parameters.holds(*weights, input_weights):
            parameters = parameters.copy()
        else:
            parameters = Parameters.from_lists(*weights, input_weights=input_weights)
        if not parameters.fit(architecture):
            differs = ""
            if parameters.units == architecture.units:
                differs = ", and the same n_members and encodings"
            raise ValueError(
                "Training can only be continued with the same layer sizes as before. The weights"
                f" are those of a network with the layers {list(parameters.units)}, X, y and"
                f" hidden_layer_sizes ask for {list(architecture.units)}{differs}."
            )
        out_activation = architecture.activations[-1]
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

    # The run

    def _make_run(self, request, parameters):
        """The run of a request, with the weights to begin with in the dtype of the computation."""
        X, y, sample_weight = request.samples
        stochastic = self.solver in OPTIMIZERS
        dtype = input_dtype = parameters.dtype
        if self.dtype is None and X.dtype != dtype:
            input_dtype = np.result_type(X.dtype, dtype)
        # L-BFGS-B runs in float64: see lbfgs
        working_dtype = input_dtype if stochastic else FLOAT64
        architecture = request.architecture
        loss = loss_of(self, architecture)
        arrays = self._training_arrays(request.samples, working_dtype)
        held_out = request.held_out
        if held_out is not None:
            held_out = self._held_out_arrays(held_out, working_dtype)
        # what a computation in float64 reads is what one in the dtype asked for would read
        dataset = engine.Dataset(
            *(*arrays, working_dtype, self.dtype == "float32"),
            *(loss.target_scale, loss.target_shift),
        )
        problem = Problem(
            architecture=architecture,
            loss=loss,
            layout=parameters.layout(architecture, loss),
            dataset=dataset,
            arrays=arrays,
            original=(request.given.X, y),
            held_out=held_out,
            dtype=dtype,
            loss_type=self._loss_type(input_dtype, y, sample_weight, architecture.activations[-1]),
            flops=flops_per_sample(
                *(arrays.X, architecture.units, True, architecture.inputs.n_members)
            ),
        )
        state = self._initial_state(request)
        state.stochastic = stochastic
        state.use(parameters.astype(working_dtype))
        run = TrainingRun(
            self, problem, state, vars(self).update, self._from_targets, self._score_outputs
        )
        run.first_pass, run.resumed = request.first_pass, request.resumed
        return run

    def _training_arrays(self, samples, dtype):
        """The samples as the engine reads them."""
        if samples.sample_weight is None:
            return Samples(*as_training_input(*samples, dtype))
        by_class = getattr(self, "class_weight", None) is not None
        weight_name = "sample_weight * class_weight" if by_class else "sample_weight"
        arrays = Samples(*as_training_input(*samples, dtype, weight_name))
        if self.solver == "lbfgs":
            with np.errstate(over="ignore"):
                if arrays.sample_weight.sum() == 0:
                    raise ValueError("Sample weights sum to zero.")
        return arrays

    def _held_out_arrays(self, held_out, dtype):
        """The validation data as the engine reads them."""
        arrays = as_training_input(*held_out[:3], dtype)
        return HeldOut(*arrays, held_out.original, held_out.y)

    def _loss_type(self, dtype, y, sample_weight, out_activation):
        """Type of the loss that scikit-learn's arithmetic gives for predictions of a dtype."""
        # before NumPy 2 a np.float32 times an int was a np.float64
        if self.solver in OPTIMIZERS and (self.batch_size != "auto" or BEFORE_NUMPY_2):
            return np.float64  # the loss of a batch times its rows, which are an np.int64
        weight_dtype = None if sample_weight is None else sample_weight.dtype
        if not isinstance(self, ClassifierMixin):
            return loss_type(dtype, weight_dtype, y.dtype)
        if out_activation == "softmax":
            return loss_type(dtype, weight_dtype, "of xlogy")
        return loss_type(dtype, weight_dtype, np.float64)  # of 1 - y, an integer

    def _initial_state(self, request):
        """The state that a fit starts from: a new one, or the estimator's."""
        attributes = vars(self)
        if request.first_pass:
            state = TrainingState(optimizer=attributes.get("_optimizer"))
            attributes.pop("_dropout_state", None)
        else:
            state = TrainingState.after(attributes)
        state.incremental = request.incremental
        state.random_state = request.random_state
        if self.solver in OPTIMIZERS:
            state.watch(self.early_stopping, request.held_out is not None)
        return state

    def _train(self, run, request):
        """Let the run run, and leave the model of its end."""
        problem, state = run.problem, run.state
        vars(self).update(problem.architecture.attributes())
        self._note_targets()
        if request.resumed is not None:
            request.resumed.show(state, problem.architecture)
        own_listeners = []
        if request.checkpoint is not None or "_skl_callbacks" in vars(self):
            own_listeners += self._own_listeners(run, request)
        if self.max_time is not None:
            own_listeners.append(TimeLimit(self.max_time))
        listen(run, own_listeners)
        try:
            if state.stochastic:
                sgd_epochs(run)
            else:
                lbfgs(run)
        finally:
            if state.parameters.dtype != problem.dtype:
                with np.errstate(over="ignore"):  # an error below
                    state.use(state.parameters.astype(problem.dtype))
                run.publish()
            if state.stochastic and state.optimizer is None:
                vars(self).pop("_optimizer", None)
        if not engine.is_plain_and_finite(state.parameters.vector):
            vars(self).pop("_optimizer", None)
            raise divergence_error(run)
        run.end()

    def _own_listeners(self, run, request):
        """The listeners of what the caller asks for: checkpoints and scikit-learn's callbacks."""
        callbacks = vars(self).get("_skl_callbacks")
        run.publish()  # the files hold it, and the callbacks see it
        listeners = []
        candidates = [request.checkpoint, *(callbacks or ())]
        checkpoints = [one for one in candidates if isinstance(one, Checkpoint)]
        for checkpoint in checkpoints:
            check_resumable(self)
            check_writable(checkpoint.path, self)
        if checkpoints:
            write_both = partial(write, est=self)
            listeners.append(CheckpointWriter(checkpoints, request.data, write_both))
        if callbacks is not None:
            task = self._init_callback_context(
                task_name="partial_fit" if request.incremental else "fit",
                max_subtasks=1 if request.incremental else self.max_iter,
            )
            listeners.append(SklearnCallbacks(run, task, request.given))
        return listeners
