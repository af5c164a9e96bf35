"""The mathematics in the open: activations, gradients and Jacobians of a network.

The same compiled kernels as in training, one call each, composed in Python. No training, no
labels, no input validation beyond shapes and dtypes.
"""

from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator

from cmlp._architecture import Architecture
from cmlp._arrays import as_engine_input
from cmlp._core import engine
from cmlp._losses import Loss, loss_row, regressor_loss
from cmlp._parameters import Parameters, float_type
from cmlp._typing import ArrayLike, FloatArray, Layers, MatrixLike
from cmlp._wrappers import network_in


class LossAndGradients(NamedTuple):
    """Result of :meth:`Network.loss_and_gradients`."""

    loss: float
    coef_grads: list[FloatArray]
    intercept_grads: list[FloatArray]
    X_grad: FloatArray


class Jacobian(NamedTuple):
    """Result of :meth:`Network.jacobian`."""

    coef_jacobians: list[FloatArray]
    intercept_jacobians: list[FloatArray]


class Network:
    r"""A multilayer perceptron as a function of its input and of its weights.

    Layer :math:`l` computes :math:`z_l = a_{l-1} W_l + b_l` and :math:`a_l = f_l(z_l)`, with
    :math:`a_0 = X`. With :math:`\delta_l = \partial C / \partial z_l`, the gradient of a weight
    is the product of what enters and what comes back,
    :math:`\partial C / \partial W_l = a_{l-1}^T \delta_l` (an outer product for one sample),
    :math:`\partial C / \partial b_l = \sum \delta_l`, and
    :math:`\delta_{l-1} = (\delta_l W_l^T) \odot f_{l-1}'(z_{l-1})`.

    Parameters
    ----------
    coefs : list of array-like of shape (fan_in, fan_out)
        Weights of each layer, as ``coefs_`` of an estimator.
    intercepts : list of array-like of shape (fan_out,), default=None
        Biases of each layer; None for a network without.
    activation : str, or list of str (one per hidden layer), default="relu"
        Activation of the hidden layers.
    out_activation : str, default="identity"
        Activation of the output layer, "softmax" included.
    loss : str, default="squared_error"
        Those of the regressor: "squared_error", "absolute_error", "huber", "log_cosh", "quantile",
        "poisson", "gamma", "tweedie". Those of the classifier: "log_loss", "focal", "brier" for
        softmax, "binary_log_loss", "binary_focal", "binary_brier" for single labels; "log_loss"
        and "focal" of a logistic output are binary. Formulas and derivations: docs/losses.md.
    loss_parameter : float or array-like of shape (n_outputs,), default=None
        huber_delta, quantile, tweedie_power or focal_gamma, for all outputs or for each (the
        tweedie_power for all); None for the estimators' default.
    label_smoothing : float, default=0.0
        The loss is that of y (1 - e) + e / n, for n outputs of a softmax, or y (1 - e) + e / 2.
    alpha : float, default=0.0
        L2 penalty: alpha / 2 * sum(W**2) is added to the sum of the losses.
    group_sizes : list of int, default=None
        How many outputs each softmax of the output layer has, for targets of several columns;
        None for one over all outputs.

    Attributes
    ----------
    coefs, intercepts : list of ndarray
        The parameters, float32 if all that was given is, else float64. They may be changed in
        place, not replaced.

    Raises
    ------
    ValueError
        If shapes do not fit together or a name is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from cmlp import Network
    >>> net = Network([[[3.0, 6.0], [4.0, 5.0]], [[2.0, 3.0], [4.0, 3.0]]],
    ...               [[1.0, -6.0], [-1.0, -2.0]],
    ...               activation="logistic", out_activation="softmax", loss="log_loss")
    >>> X, y = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    >>> net.forward(X)[-1].round(8)
    array([[0.62667675, 0.37332325]])
    >>> result = net.loss_and_gradients(X, y)
    >>> round(result.loss, 8)
    0.98531062
    >>> result.coef_grads[1].round(8)
    array([[ 0.61540521, -0.61540521],
           [ 0.31333838, -0.31333838]])
    """

    def __init__(
        self,
        coefs: Layers,
        intercepts: Layers | None = None,
        *,
        activation: str | list[str] = "relu",
        out_activation: str = "identity",
        loss: str = "squared_error",
        loss_parameter: float | ArrayLike | None = None,
        label_smoothing: float = 0.0,
        alpha: float = 0.0,
        group_sizes: list[int] | None = None,
    ) -> None:
        self.fit_intercept: bool = intercepts is not None
        self._parameters = Parameters.from_lists(coefs, intercepts)
        if self.coefs[-1].ndim != 2:
            raise ValueError("coefs must be 2-D arrays: a Network has no members.")
        n_hidden = len(self.coefs) - 1
        hidden = [activation] * n_hidden if isinstance(activation, str) else list(activation)
        if len(hidden) != n_hidden:
            raise ValueError(f"{n_hidden} hidden activations are needed, got {hidden}.")
        for name in hidden:
            check_name("activation", name, activations_for("hidden"))
        check_name("out_activation", out_activation, activations_for("output"))
        check_name("loss", loss, set(engine.LOSSES))
        if loss in ("log_loss", "focal") and out_activation == "logistic":
            loss = f"binary_{loss}"
        elif np.ndim(loss_parameter) == 0:
            loss = regressor_loss(loss, loss_parameter)
        self.activations: list[str] = [*hidden, out_activation]
        self.loss: str = loss
        self.loss_parameter = loss_parameter
        self.label_smoothing = label_smoothing
        self.alpha = alpha
        self.group_sizes = group_sizes
        if group_sizes is not None:  # they are checked there
            self._parameters.layout(self.architecture, Loss(loss))

    @property
    def architecture(self) -> Architecture:
        """Layers of the network as a value: units, activations, biases."""
        return Architecture(
            self._parameters.units,
            tuple(self.activations),
            None if self.group_sizes is None else tuple(self.group_sizes),
            self.fit_intercept,
        )

    @property
    def coefs(self) -> list[FloatArray]:
        return self._parameters.coefs

    @property
    def intercepts(self) -> list[FloatArray]:
        return self._parameters.intercepts

    @classmethod
    def from_estimator(cls, est: BaseEstimator) -> Self:
        """The network of a fitted MLPClassifier or MLPRegressor, cmlp's or scikit-learn's.

        Weights are copied. Its loss is the sum over outputs, also for a squared error, so that
        loss and gradient belong together.

        Parameters
        ----------
        est : estimator
            The fitted network, or what holds one: a pipeline that ends in it, a search, a
            TransformedTargetRegressor, a FrozenEstimator, or another with an ``estimator_``. The
            network acts on X and y as they come to it: in a pipeline
            ``network.forward(pipeline[:-1].transform(X))``.

        Returns
        -------
        network : Network

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is no network and does not hold exactly one, or has encodings or members.
        """
        est = network_in(est)
        if getattr(est, "input_weights_", None) or getattr(est, "encodings", None) is not None:
            raise TypeError("A Network has no encodings and no members.")
        classes = getattr(est, "classes_", None)
        loss, parameter = loss_row(est, est.out_activation_)
        return cls(
            est.coefs_,
            est.intercepts_ if getattr(est, "fit_intercept", True) else None,
            activation=est.activation,
            out_activation=est.out_activation_,
            loss=loss,
            loss_parameter=parameter,
            label_smoothing=getattr(est, "label_smoothing", 0.0),
            alpha=est.alpha,
            group_sizes=[len(c) for c in classes] if isinstance(classes, list) else None,
        )

    def forward(self, X: MatrixLike) -> list[FloatArray | Any]:
        """Activations of every layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        activations : list of ndarray of shape (n_samples, n_units)
            X first (dense or sparse, in the dtype of the computation), the output last.
        """
        return self._forward(X)[1]

    def loss_and_gradients(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        reduction: str = "mean",
    ) -> LossAndGradients:
        """The loss and its gradient with respect to weights, biases and input.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples, n_outputs)
            Targets; one-hot for softmax.
        sample_weight : array-like of shape (n_samples,), default=None
        reduction : {"mean", "sum"}, default="mean"
            "sum": the losses of the samples, each the sum over outputs, times their weights,
            plus alpha / 2 * sum(W**2). "mean": that, divided by the sum of the weights.

        Returns
        -------
        result : LossAndGradients
            ``loss`` (float), ``coef_grads``, ``intercept_grads`` (lists of ndarray) and
            ``X_grad`` (ndarray of shape (n_samples, n_features)).

        Raises
        ------
        ValueError
            If shapes do not fit, or the weights sum to zero under "mean".
        """
        check_name("reduction", reduction, {"mean", "sum"})
        slopes, activations = self._forward(X)
        dtype = activations[-1].dtype
        y = np.ascontiguousarray(y, dtype=dtype)
        if y.shape != activations[-1].shape:
            raise ValueError(f"y has the shape {y.shape}, expected {activations[-1].shape}.")
        if self.label_smoothing:
            n_classes = 2
            if self.activations[-1] == "softmax":
                sizes = self.group_sizes or [y.shape[1]]
                n_classes = np.repeat(sizes, sizes)
            y = y * dtype.type(1 - self.label_smoothing)
            y += np.asarray(self.label_smoothing / n_classes, dtype=dtype)
        weight = None
        total = float(len(y))
        if sample_weight is not None:
            weight = np.ascontiguousarray(sample_weight, dtype=dtype)
            if weight.shape != (len(y),):
                raise ValueError(f"sample_weight has the shape {weight.shape}, not ({len(y)},).")
            total = float(weight.sum(dtype=np.float64))
        scale = 1.0
        if reduction == "mean":
            if total == 0:
                raise ValueError("Sample weights sum to zero.")
            scale = 1 / total

        coefs = self._parameters.astype(dtype).coefs
        output = activations[-1]
        delta = np.empty_like(output)
        engine.output_delta(
            self.loss,
            self.activations[-1],
            y,
            output,
            delta,
            slopes[-1],
            weight,
            self.group_sizes,
            self.loss_parameter,
        )
        deltas = self._backward(slopes, activations, delta, dtype)
        coef_grads, intercept_grads = [], []
        for layer, delta in enumerate(deltas):
            grad = np.empty_like(coefs[layer])
            engine.coef_gradient(engine.Dataset(activations[layer]), delta, grad)
            coef_grads.append((grad + dtype.type(self.alpha) * coefs[layer]) * dtype.type(scale))
            sums = np.zeros(coefs[layer].shape[1], dtype=dtype)
            if self.fit_intercept:
                engine.column_sums(delta, sums)
            intercept_grads.append(sums * dtype.type(scale))
        X_grad = times_transposed(deltas[0], coefs[0]) * dtype.type(scale)
        loss = engine.loss_sum(self.loss, y, output, weight, self.loss_parameter)
        loss += self.alpha / 2 * sum(float(np.vdot(coef, coef)) for coef in coefs)
        return LossAndGradients(loss * scale, coef_grads, intercept_grads, X_grad)

    def jacobian(self, X: MatrixLike) -> Jacobian:
        """Derivatives of the outputs with respect to every weight and bias.

        Returns
        -------
        result : Jacobian
            ``coef_jacobians``: per layer, ndarray of shape (n_samples, n_outputs, fan_in,
            fan_out); ``intercept_jacobians``: (n_samples, n_outputs, fan_out).
        """
        activations, deltas = self._output_deltas(X)
        coef_jacobians = []
        for a, delta in zip(activations[:-1], deltas, strict=True):
            a = a.toarray() if sp.issparse(a) else a
            coef_jacobians.append(a[:, None, :, None] * delta[:, :, None, :])
        return Jacobian(coef_jacobians, deltas)

    def input_jacobian(self, X: MatrixLike) -> FloatArray:
        """Derivatives of the outputs with respect to the input.

        Returns
        -------
        jacobian : ndarray of shape (n_samples, n_outputs, n_features)
        """
        _, deltas = self._output_deltas(X)
        first = deltas[0]
        flat = first.reshape(-1, first.shape[2])
        coef = self._parameters.astype(first.dtype).coefs[0]
        return times_transposed(flat, coef).reshape(*first.shape[:2], coef.shape[0])

    def _forward(self, X):
        """f'(z) and activations of every layer; None where f'(z) is found from the activation."""
        X = X if sp.issparse(X) else np.asarray(X)
        if X.ndim != 2 or X.shape[1] != self.coefs[0].shape[0]:
            raise ValueError(f"X has the shape {X.shape}, expected (n, {self.coefs[0].shape[0]}).")
        dtype = float_type(X, self._parameters.vector)
        parameters = self._parameters.astype(dtype)
        slopes, activations = [], [as_engine_input(X, dtype)]
        for layer, name in enumerate(self.activations):
            coef = parameters.coefs[layer]
            intercept = parameters.intercepts[layer] if self.fit_intercept else None
            a = np.empty((X.shape[0], coef.shape[1]), dtype=dtype)
            engine.affine(engine.Dataset(activations[-1]), coef, intercept, a)
            slopes.append(np.empty_like(a) if engine.ACTIVATIONS[name]["keeps_slope"] else None)
            groups = self.group_sizes if name == "softmax" else None
            engine.activate(name, a, slopes[-1], groups)
            activations.append(a)
        return slopes, activations

    def _backward(self, slopes, activations, delta, dtype):
        """dC/dz of every layer, given dC/dz of the output layer."""
        coefs = self._parameters.astype(dtype).coefs
        deltas = [delta]
        for layer in range(len(coefs) - 1, 0, -1):
            delta = times_transposed(deltas[0], coefs[layer])
            engine.activation_backward(
                self.activations[layer - 1], activations[layer], delta, slopes[layer - 1]
            )
            deltas.insert(0, delta)
        return deltas

    def _output_deltas(self, X):
        """Activations, and per layer d output / dz of shape (n_samples, n_outputs, fan_out)."""
        slopes, activations = self._forward(X)
        output = activations[-1]
        per_output = []
        for k in range(output.shape[1]):
            delta = np.zeros_like(output)
            delta[:, k] = 1
            engine.activation_backward(
                self.activations[-1], output, delta, slopes[-1], self.group_sizes
            )
            per_output.append(self._backward(slopes, activations, delta, output.dtype))
        return activations, [np.stack(d, axis=1) for d in zip(*per_output, strict=True)]


def times_transposed(delta, coef):
    """delta @ coef.T, what a layer passes back to its input."""
    out = np.empty((delta.shape[0], coef.shape[0]), dtype=delta.dtype)
    engine.gemm(np.ascontiguousarray(delta), coef, out, trans_b=True)
    return out


def check_name(parameter, name, known):
    if name not in known:
        raise ValueError(f"{parameter} must be one of {sorted(known)}, got {name!r}.")


def activations_for(place):
    """Names of the activations that may stand on a "hidden" or the "output" layer."""
    return {name for name, row in engine.ACTIVATIONS.items() if row[place]}
