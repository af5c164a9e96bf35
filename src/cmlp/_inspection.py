"""The inside of a fitted estimator: hidden units, gradients, samples of dropout.

Methods of both estimators, over what ``_base`` predicts with and over ``Network``. No training.
"""

from numbers import Integral
from operator import index

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length, check_random_state, check_scalar

from cmlp._architecture import Architecture, dropout_rates, hidden_activations
from cmlp._arrays import as_engine_input
from cmlp._network import Network
from cmlp._parameters import Parameters
from cmlp._predicting import NO_LOSS
from cmlp._stochastic import draw_seed
from cmlp._typing import ArrayLike, FloatArray, MatrixLike, Probabilities
from cmlp._validation import validate_rows


class InspectionMixin:
    """Methods of a fitted network besides predicting."""

    def hidden_layer(self, X: MatrixLike, layer: int = -1) -> FloatArray:
        """Activations of a hidden layer: the features that the network has learnt.

        Later layers are not computed. :class:`HiddenLayers` is the same as a transformer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        layer : int, default=-1
            Which hidden layer, from 0; -1 is the last.

        Returns
        -------
        H : ndarray of shape (n_samples, n_units)
            Of the dtype of predictions.

        Raises
        ------
        ValueError
            If there is no such hidden layer.
        """
        self._check_is_fitted()
        X = validate_rows(self, X)
        parameters = self._take_parameters()
        n_hidden = len(parameters.coefs) - 1
        n_layers = hidden_layer_index(layer, n_hidden) + 1
        refuse_inputs(parameters, "Hidden layers as features")
        names = hidden_activations(self.activation, n_hidden)[:n_layers]
        parameters = Parameters.from_lists(
            parameters.coefs[:n_layers], parameters.intercepts[:n_layers]
        )
        architecture = Architecture(parameters.units, tuple(names))
        return self._outputs(X, parameters, parameters.layout(architecture, NO_LOSS))

    def input_gradient(self, X: MatrixLike, y: ArrayLike | None = None) -> FloatArray:
        """Derivatives with respect to the input: which features matter where (saliency).

        With y, the gradient of the loss of each sample, without the L2 penalty; of several outputs
        it is that of the sum, which fit descends. Without y: of a classifier, the gradient of the
        logarithm of the probability of the predicted class (multilabel: of the predicted set of
        labels), which, unlike that of the probability, does not vanish with the probability; of a
        regressor, the derivatives of the prediction. Simonyan, Vedaldi & Zisserman, "Deep inside
        convolutional networks", arXiv:1312.6034.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Labels or target values, as in fit.

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_features)
            Of a regressor with several outputs and without y, (n_samples, n_outputs, n_features).
            Dense, whatever X is.

        Raises
        ------
        ValueError
            If y does not fit X and the network.
        """
        self._check_is_fitted()
        X = validate_rows(self, X)
        # which checks that they are those of this estimator
        refuse_inputs(self._take_parameters(), "Gradients by the input")
        if self.dtype is not None:  # the result is as large as a copy of X
            X = as_engine_input(X, np.dtype(self.dtype))
        network = Network.from_estimator(self)
        classifies = isinstance(self, ClassifierMixin)
        if y is None and not classifies:
            jacobian = network.input_jacobian(X)
            return jacobian[:, 0] if jacobian.shape[1] == 1 else jacobian
        sign = 1
        if y is None:
            # log p of the prediction is the log-loss with its sign changed
            parameters = self._take_parameters()
            y = self._from_outputs(self._outputs(X, parameters, self._layout(parameters)))
            sign = -1
            network.loss = "log_loss" if self.out_activation_ == "softmax" else "binary_log_loss"
            network.label_smoothing = 0.0
            network.loss_parameter = None
        check_consistent_length(X, y)
        return sign * network.loss_and_gradients(X, self._targets(y), reduction="sum").X_grad

    def predict_samples(
        self,
        X: MatrixLike,
        n_samples: int,
        random_state: int | np.random.RandomState | None = None,
    ) -> Probabilities:
        """Predictions of networks drawn by dropout (Monte Carlo dropout).

        Each sample drops units of its own at the rates of ``dropout``; their mean is a prediction,
        their spread says how sure it is. Gal & Ghahramani, "Dropout as a Bayesian approximation:
        representing model uncertainty in deep learning", ICML 2016.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
        n_samples : int
            How many networks are drawn.
        random_state : int, RandomState instance or None, default=None
            Decides which units are dropped. The same integer gives the same samples, a larger
            n_samples more of them; each row of X has draws of its own.

        Returns
        -------
        samples : ndarray of shape (n_samples, n_rows, n_outputs)
            Of a regressor with several quantiles, each as ``predict`` gives them.
            Of a classifier the probabilities, with the columns of ``predict_proba``; a list of
            such arrays where y has several columns of classes.

        Raises
        ------
        ValueError
            If the estimator has no dropout.
        """
        self._check_is_fitted()
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        X = validate_rows(self, X)
        parameters = self._take_parameters()
        rates = dropout_rates(self.dropout, len(parameters.coefs) - 1)
        if not rates:
            raise ValueError(
                f"predict_samples draws from dropout, and there is none: dropout={self.dropout}."
            )
        seed = draw_seed(check_random_state(random_state))
        layout = self._layout(parameters, dropout=rates)
        p = self._outputs(X, parameters, layout, n_samples, seed)
        if "quantiles_" in vars(self):
            p = self._from_outputs(p)  # in order, as predict has them
            return p.reshape(n_samples, -1, *p.shape[1:])
        p = p.reshape(n_samples, -1, p.shape[1])
        if isinstance(self, ClassifierMixin) and p.shape[2] == 1:
            return np.concatenate([1 - p, p], axis=2)
        if type(vars(self).get("classes_")) is list:
            ends = np.cumsum([len(classes) for classes in self.classes_])
            return np.split(p, ends[:-1], axis=2)
        return p


def refuse_inputs(parameters, what):
    """Raise ValueError for what is there of networks only whose inputs are the columns of X."""
    if parameters.input_shapes:
        raise ValueError(f"{what} are not available with encodings or members.")


def hidden_layer_index(layer, n_hidden):
    """Position from 0 of a hidden layer, which may be counted from the end.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    if not n_hidden:
        raise ValueError("The network has no hidden layer.")
    if not -n_hidden <= index(layer) < n_hidden:
        raise ValueError(
            f"layer must be between {-n_hidden} and {n_hidden - 1} in a network with"
            f" {n_hidden} hidden layer(s), got {layer}."
        )
    return index(layer) % n_hidden
