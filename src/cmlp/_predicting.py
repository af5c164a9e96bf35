"""Outputs of a fitted network for rows: the short way for plain ones, and scikit-learn's.

No labels (`_classifier`), no training.
"""

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import check_is_fitted

from cmlp._architecture import Architecture, hidden_activations
from cmlp._arrays import accept_X
from cmlp._core import engine
from cmlp._losses import Loss
from cmlp._parameters import Parameters, float_type
from cmlp._threads import effective_n_threads, flops_per_sample
from cmlp._validation import validate_rows

#: Of a network that only predicts.
NO_LOSS = Loss("squared_error")


class PredictingMixin:
    """Methods of an estimator that predict with its ``coefs_`` and ``intercepts_``."""

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
        weights = self.coefs_, self.intercepts_
        input_weights = vars(self).get("input_weights_", ())
        if parameters is None or not parameters.holds(*weights, input_weights):
            parameters = Parameters.from_lists(*weights, input_weights=input_weights)
            if parameters.units[-1] != getattr(self, "n_outputs_", parameters.units[-1]):
                raise ValueError(
                    f"coefs_ have {parameters.units[-1]} outputs, n_outputs_ is {self.n_outputs_}."
                )
        else:
            self._prepare_predictor(parameters)
        return parameters

    def _layout(self, parameters, dropout=()):
        """The engine's description of the network, for predictions."""
        hidden = hidden_activations(self.activation, len(parameters.coefs) - 1)
        architecture = Architecture(
            parameters.units,
            (*hidden, self.out_activation_),
            self._output_groups(),
            dropout=dropout,
            inputs=parameters.inputs(
                self.encodings, getattr(self, "n_features_in_", parameters.units[0])
            ),
        )
        return parameters.layout(architecture, NO_LOSS)

    def _outputs(self, X, parameters, layout, n_draws=1, seed=None):
        """Output activations for validated X, ``(n_draws * n_samples, n_outputs)``.

        With a seed, each of the draws drops units at the rates of the layout.
        """
        dtype = np.dtype(self.dtype or float_type(X, parameters.vector))
        if parameters.input_shapes and sp.issparse(X):
            raise TypeError("Encodings and members need dense X, got a sparse one.")
        X = accept_X(X, dtype)
        parameters = parameters.astype(dtype)
        out = np.empty((n_draws * X.shape[0], parameters.units[-1]), dtype=dtype)
        dataset = engine.Dataset(X, dtype=dtype)
        flops = len(out) * flops_per_sample(X, parameters.units, False, parameters.n_members)
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
        if self.encodings is not None:
            names += ("encodings",)
        values = {name: attributes[name] for name in names if name in attributes}
        if type(values.get("activation")) is list:
            values["activation"] = list(values["activation"])  # the owner may change its own
        predictor = None
        lists = {"coefs_": parameters.coefs, "intercepts_": parameters.intercepts}
        if parameters.input_shapes:
            lists["input_weights_"] = parameters.input_weights
        if (
            (self.dtype is None or self.dtype == parameters.dtype)
            and len(values) == len(names)
            and not any(hasattr(type(self), name) for name in names)  # properties of a subclass
            and values["n_outputs_"] == parameters.units[-1]
        ):
            predictor = engine.Predictor(
                self._layout(parameters),
                parameters.vector,
                lists,
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
