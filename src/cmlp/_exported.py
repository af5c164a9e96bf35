"""A fitted estimator's prediction as one value, from which other forms are made.

Nothing of a form: ONNX is in ``_onnx_form``, C in ``_c_form``. No arithmetic.
"""

from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from cmlp._architecture import hidden_activations
from cmlp._core import engine
from cmlp._tables import TableEncoder


class Layer(NamedTuple):
    """A layer: its weights, its biases and its activation.

    Attributes
    ----------
    weights : ndarray of shape (fan_in, fan_out), or (n_members, fan_in, fan_out) of a last layer
    biases : ndarray of shape (fan_out,) or (n_members, fan_out)
    activation : str
    """

    weights: np.ndarray
    biases: np.ndarray
    activation: str


#: Rows of a table besides one for each level.
MORE_ROWS = {"bins": 2, "steps": 1, "category": 0}


class Run(NamedTuple):
    """Inputs of the first layer that follow one another and come about in the same way.

    Attributes
    ----------
    form : {"identity", "scale", "bins", "steps", "category"}
        Of a column value x: itself, times a factor, by a table of the edges of bins between which
        values are interpolated, by a table of bins, by a table of categories.
    columns : ndarray of int of shape (n,)
    width : int
        Inputs of each column.
    levels : ndarray of int of shape (n,)
        Bins or categories of each column; else 0.
    tables : ndarray of shape (n_rows, width)
        Of all columns, one after another, each having levels + MORE_ROWS[form] rows, the last of
        bins and steps for missing values; of "scale" the factors.
    """

    form: str
    columns: np.ndarray
    width: int
    levels: np.ndarray
    tables: np.ndarray


class ExportedNetwork(NamedTuple):
    """A network, whose members' outputs are averaged.

    Attributes
    ----------
    runs : tuple of Run
        What makes the inputs; (): the columns of X are the inputs.
    factors : ndarray of shape (n_members, n_inputs) or None
        Of the inputs, for each member.
    layers : tuple of Layer
    """

    runs: tuple[Run, ...]
    factors: np.ndarray | None
    layers: tuple[Layer, ...]

    @property
    def n_members(self):
        return 1 if self.factors is None else len(self.factors)


class Exported(NamedTuple):
    """A prediction: from a row to outputs, and what these mean.

    Attributes
    ----------
    estimator : str
        Name of the class.
    dtype : numpy.dtype, float32 or float64
        Of all arithmetic but that of ``table``.
    n_features : int
    feature_names : tuple of str or None
    table : TableEncoder or None
        What makes the networks' columns of a raw row.
    networks : tuple of ExportedNetwork
        Whose outputs are averaged.
    kind : {"values", "quantiles", "binary", "multiclass", "multilabel", "columns"}
        What the outputs are: "quantiles" are sorted by target; "binary" is one probability, that
        of the second class; "columns" are the probabilities of several columns of classes.
    n_outputs : int
    classes : tuple of ndarray
        Of each column of y, as predict returns them; (): values.
    quantiles : ndarray of shape (n_quantiles,) or None
    scale, shift : ndarray of shape (n_outputs,) or None
        A value is output * scale + shift.
    """

    estimator: str
    dtype: np.dtype
    n_features: int
    feature_names: tuple[str, ...] | None
    table: TableEncoder | None
    networks: tuple[ExportedNetwork, ...]
    kind: str
    n_outputs: int
    classes: tuple[np.ndarray, ...] = ()
    quantiles: np.ndarray | None = None
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None

    @property
    def group_sizes(self):
        """How many outputs each softmax has, if that is the output activation."""
        if self.kind == "columns":
            return tuple(len(classes) for classes in self.classes)
        return (self.n_outputs,)


def exported(est, dtype=None):
    """The Exported of a fitted estimator, a network or one for tables.

    Parameters
    ----------
    dtype : {"float32", "float64"} or None
        None: that of its predictions for X of the dtype of its weights.

    Raises
    ------
    NotFittedError
        Before fit.
    ValueError
        If there is no such dtype, or weights are not finite in it.
    """
    if dtype not in (None, "float32", "float64"):
        raise ValueError(f"dtype must be None, 'float32' or 'float64', got {dtype!r}.")
    check_is_fitted(est)
    table = getattr(est, "_encoder", None)
    estimators = [est] if table is None else est.estimators_
    parameters = [one._take_parameters() for one in estimators]
    dtype = np.dtype(dtype or estimators[0].dtype or parameters[0].dtype)
    with np.errstate(over="ignore"):  # what is too large is refused
        cast = [own.astype(dtype) for own in parameters]
    networks = [network_of(one, own) for one, own in zip(estimators, cast, strict=True)]
    names = getattr(est if table is None else table, "feature_names_in_", None)
    n_columns = parameters[0].units[0] if estimators[0].encodings is None else None
    return Exported(
        type(est).__name__,
        dtype,
        getattr(est, "n_features_in_", n_columns),
        None if names is None else tuple(map(str, names)),
        table,
        tuple(networks),
        **meaning(estimators[0]),
        **scales(est, parameters[0].units[-1]),
    )


def network_of(est, parameters):
    """The ExportedNetwork of an estimator with the given Parameters."""
    arrays = [*parameters.coefs, *parameters.intercepts, *parameters.input_weights]
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(
            f"Weights of this {type(est).__name__} are not finite in {parameters.dtype.name}."
        )
    names = hidden_activations(est.activation, len(parameters.coefs) - 1)
    layers = map(Layer, parameters.coefs, parameters.intercepts, (*names, est.out_activation_))
    n_features = getattr(est, "n_features_in_", parameters.units[0])
    inputs = parameters.inputs(est.encodings, n_features)
    trained = list(parameters.input_weights)
    factors = trained.pop() if inputs.n_members > 1 else None
    return ExportedNetwork(runs_of(inputs.encodings, trained), factors, tuple(layers))


def runs_of(encodings, trained):
    """Encodings with their trained arrays as runs."""
    arrays = iter(trained)
    units = []
    for encoding in encodings:
        row = engine.ENCODINGS[encoding.kind]
        has_rows = engine.encoding_rows(encoding.kind, encoding.levels)
        weight = next(arrays) if has_rows else np.zeros((0, encoding.width))
        if encoding.kind == "piecewise_linear":  # running sums, but for the row of missing values
            weight = weight.copy()
            np.add.accumulate(weight[:-1], axis=0, out=weight[:-1])
        form = encoding.kind
        if row["placed"]:
            form = "category"
            if row["of_bins"]:
                form = "steps" if row["stepped"] else "bins"
            units.append((form, encoding.width, encoding.column, encoding.levels, weight))
            continue
        for i in range(encoding.width):
            own = weight[:, i : i + 1]
            units.append((form, 1, encoding.column + i, 0, own))
    runs = []
    for (form, width), alike in groupby(units, key=lambda unit: unit[:2]):
        _, _, columns, levels, tables = zip(*alike, strict=True)
        places = np.array(columns), width, np.array(levels)
        runs.append(Run(form, *places, np.concatenate(tables)))
    return tuple(runs)


def meaning(est) -> dict[str, Any]:
    """Fields of Exported that say what the outputs of a network are."""
    n_outputs = est.n_outputs_
    if not isinstance(est, ClassifierMixin):
        quantiles = getattr(est, "quantiles_", None)
        kind = "values" if quantiles is None else "quantiles"
        return {"kind": kind, "n_outputs": n_outputs, "quantiles": quantiles}
    binarizer = est._label_binarizer
    y_type = binarizer.y_type_
    if y_type == "multiclass-multioutput":
        kind, classes = "columns", tuple(map(plain_labels, binarizer.classes_))
    elif y_type.startswith("multilabel"):
        kind, classes = "multilabel", (np.arange(2),) * n_outputs
    else:
        kind, classes = y_type, (plain_labels(binarizer.classes_),)
    return {"kind": kind, "n_outputs": n_outputs, "classes": classes}


def plain_labels(classes):
    """Classes as an array of bool, int, float or str.

    Raises
    ------
    ValueError
        If they are something else.
    """
    if classes.dtype == object:
        classes = np.array(classes.tolist())
    if classes.dtype.kind not in "biufU":
        raise ValueError(f"classes_ of dtype {classes.dtype} are neither numbers nor strings.")
    return classes


def scales(est, n_outputs):
    """Fields of Exported by which values of an estimator for tables are scaled back."""
    if not getattr(est, "_scales", None):
        return {}
    arrays = est._scales
    return {name: np.broadcast_to(array, n_outputs) for name, array in arrays.items()}
