"""Methods of the estimators by which a fitted model leaves cmlp, each form a module."""

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from cmlp import _sklearn_form
from cmlp._c_form import c_source, write_c
from cmlp._c_text import check_name
from cmlp._deviation import Deviation, deviation, with_quantized_weights
from cmlp._exported import exported
from cmlp._inspection import hidden_layer_index
from cmlp._onnx_form import onnx_model, write_onnx
from cmlp._quantized import check_quantize
from cmlp._typing import MatrixLike, Path

if TYPE_CHECKING:
    from onnx import ModelProto
else:
    ModelProto = Any


class ExportMixin:
    """Methods of a fitted estimator that make other forms of it."""

    def to_onnx(
        self,
        path: Path | None = None,
        *,
        dtype: str | None = None,
        hidden_layer: int | None = None,
    ) -> ModelProto:
        """ONNX model of this fitted estimator, for ONNX Runtime and other runtimes.

        Needs the package onnx 1.14 or newer, ``pip install "cmlp[onnx]"``. The model is of opset
        13 and IR version 7, of 2020. docs/deployment.md has its inputs and outputs.

        Parameters
        ----------
        path : str or path-like, default=None
            A file to write the model to; it appears whole or not at all.
        dtype : {'float32', 'float64'}, default=None
            Of the model's input, arithmetic and output. None: that of the weights, or the
            parameter ``dtype``.
        hidden_layer : int, default=None
            Which hidden layer, from 0, -1 being the last, is an output ``hidden_layer`` of shape
            (N, n_units) besides the predictions.

        Returns
        -------
        model : onnx.ModelProto
            Input ``X`` of shape (N, n_features), N being any number of rows. Outputs of a
            classifier: ``label`` of shape (N,), or (N, n_labels), and ``probabilities`` of shape
            (N, n_classes); ``label_0``, ``probabilities_0``, ``label_1``, ... for several columns
            of classes. Of a regressor: ``variable`` of shape (N, n_outputs), (N, n_quantiles) or
            (N, n_targets, n_quantiles).

        Raises
        ------
        NotFittedError
            Before fit.
        ImportError
            If onnx is not installed or too old.
        ValueError
            If there is no such dtype or layer, or ONNX cannot hold a part of the model, which is
            named.
        OSError
            If the file cannot be written. What was there before is still there.
        """
        prediction = exported(self, dtype)
        if hidden_layer is not None:
            if prediction.table is not None or has_inputs(prediction):
                raise ValueError(
                    f"to_onnx cannot hold hidden_layer={hidden_layer} of a network with"
                    " n_members or encodings."
                )
            n_hidden = len(prediction.networks[0].layers) - 1
            hidden_layer = hidden_layer_index(hidden_layer, n_hidden)
        model = onnx_model(prediction, hidden_layer)
        if path is not None:
            write_onnx(path, model)
        return model

    def to_c(
        self,
        path: Path,
        name: str = "model",
        dtype: str | None = None,
        quantize: str | None = None,
    ) -> None:
        """Write this fitted estimator as one C99 file, which needs no heap and no other file.

        Its function ``void name(const double x[n_features], double y[n])`` writes the
        probabilities of a classifier or the values of a regressor for one row, its function
        ``name_label`` tells the label. A comment in the file has the shapes and the meaning of
        each number. Compilers of C99 and C++ take it; docs/deployment.md has sizes and times.

        Parameters
        ----------
        path : str or path-like
            The file; it appears whole or not at all.
        name : str, default="model"
            Of the function; all other names begin with it.
        dtype : {'float32', 'float64'}, default=None
            float or double. None: that of the weights, or the parameter ``dtype``.
        quantize : {'int8'}, default=None
            Whether weights are 8-bit integers with a scale for each unit, a quarter or an eighth
            of their bytes; ``quantization_error`` says what that costs.

        Raises
        ------
        NotFittedError
            Before fit.
        TypeError, ValueError
            If the name is none that C and C++ allow, there is no such dtype or quantize, or C
            cannot hold a part of the model, which is named.
        OSError
            If the file cannot be written. What was there before is still there.
        """
        check_name(name)
        check_quantize(quantize)
        write_c(path, c_source(exported(self, dtype), name, quantize))

    def quantization_error(self, X: MatrixLike, quantize: str = "int8") -> Deviation:
        """Difference that integer weights of :meth:`to_c` make to the predictions for X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows as they will come, best of data that fit has not seen.
        quantize : {'int8'}, default='int8'

        Returns
        -------
        deviation : Deviation
            Absolute differences of probabilities, or of predictions of a regressor, float:
            ``largest`` and ``mean``; and ``labels_changed``, the share of rows with another
            label, None of a regressor.

        Raises
        ------
        NotFittedError
            Before fit.
        ValueError
            If there is no such quantize, or X is refused by ``predict``.
        """
        check_quantize(quantize)
        if quantize is None:
            raise ValueError("quantize must be 'int8', got None.")
        check_is_fitted(self)
        return deviation(self, with_quantized_weights(self), X)


class NetworkExportMixin(ExportMixin):
    """Methods of a fitted network, which scikit-learn has too, that make other forms of it."""

    def to_sklearn(self, *, predict_only: bool = False) -> Any:
        """This estimator as scikit-learn's of the same name.

        It has copies of weights, labels, parameters and records of the fit, and predicts the same
        up to the rounding of another order of sums. Where partial_fit has trained this one last,
        that of the result goes on with the state of the optimizer, else, as with a pickle, with
        fresh moments; ``warm_start`` goes on with the weights. ``n_jobs``, ``dtype`` and
        ``partial_fit_loss_curve``, which change no weight, are left out: with
        ``dtype='float32'`` weights are float32, and scikit-learn computes in the wider of their
        dtype and that of X.

        Parameters
        ----------
        predict_only : bool, default=False
            Whether to leave out what only training knows: the state of an optimizer, and
            parameters that scikit-learn does not have (``dropout``, ``class_weight``, other
            solvers and losses, ...). The result has scikit-learn's defaults in their place, and
            the loss of its output activation.

        Returns
        -------
        est : sklearn.neural_network.MLPClassifier or MLPRegressor

        Raises
        ------
        NotFittedError
            Before fit.
        TypeError
            If a subclass overrides a method.
        ValueError
            If scikit-learn cannot hold the network, with the names of what it cannot: another
            activation or one per layer, several quantiles, several columns of classes,
            ``n_members``, ``encodings``; without ``predict_only`` also parameters of training.

        See Also
        --------
        cmlp.from_sklearn : The way back.

        Examples
        --------
        >>> import numpy as np
        >>> from cmlp import MLPRegressor
        >>> X = np.arange(20.0).reshape(10, 2)
        >>> reg = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", random_state=0)
        >>> reg = reg.fit(X, X.sum(axis=1))
        >>> reg.to_sklearn()
        MLPRegressor(hidden_layer_sizes=(4,), random_state=0, solver='lbfgs')
        """
        return _sklearn_form.to_sklearn(self, predict_only)


def has_inputs(prediction):
    """Whether inputs of the first layer are more than the columns of X."""
    return any(network.runs or network.factors is not None for network in prediction.networks)
