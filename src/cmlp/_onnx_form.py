"""A fitted estimator as an ONNX model. Its prediction is read from ``_exported`` alone.

Raw rows of a table are encoded in ``_onnx_table``.
"""

import json

import numpy as np

from cmlp._exported import MORE_ROWS, Exported
from cmlp._files import replacing
from cmlp._formulas import FORMULAS
from cmlp._onnx_graph import OnnxGraph
from cmlp._onnx_table import encode_table
from cmlp._version import __version__


def onnx_model(exported: Exported, hidden_layer=None):
    """The onnx.ModelProto of a prediction.

    Parameters
    ----------
    hidden_layer : int or None
        A layer, from 0, whose activations are an output too.

    Raises
    ------
    ImportError
        If there is no onnx, or it is too old.
    ValueError
        If ONNX cannot hold it.
    """
    graph = OnnxGraph(exported.dtype)
    if exported.table is None:
        X = graph.input("X", exported.dtype, [exported.n_features])
        n_columns = exported.n_features
    else:
        X = encode_table(graph, exported)
        n_columns = exported.table.n_columns
    means, hidden = [], None
    for network in exported.networks:
        h = network_inputs(graph, network, X, n_columns)
        for i, layer in enumerate(network.layers):
            h = layer_output(graph, layer, h, exported.group_sizes, network.factors is not None)
            if i == hidden_layer:
                hidden = h, layer.weights.shape[-1]
        if network.factors is not None:
            h = graph.node("ReduceMean", h, axes=[0], keepdims=0)
        means.append(h)
    out = means[0]
    for other in means[1:]:
        out = out + other
    if len(means) > 1:
        out = out * (1 / len(means))
    write_outputs(graph, exported, out)
    if hidden is not None:
        graph.output(hidden[0], "hidden_layer", exported.dtype, [hidden[1]])
    return graph.model(exported.estimator, metadata(exported))


def write_onnx(path, model):
    """Write a model to a file, which appears whole or not at all.

    Raises
    ------
    OSError
        If the file cannot be written; what was there before is still there.
    """
    content = model.SerializeToString()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


def network_inputs(graph, network, X, n_columns):
    """Inputs (N, n_inputs) of the first layer, or (n_members, N, n_inputs)."""
    parts = [run_inputs(graph, run, X, n_columns) for run in network.runs]
    if len(parts) > 1:
        X = graph.node("Concat", *parts, axis=1)
    elif parts:
        X = parts[0]
    if network.factors is None:
        return X
    return X * graph.constant(network.factors[:, None, :], "factors")


def run_inputs(graph, run, X, n_columns):
    """Inputs (N, n * width) of a run of encodings."""
    x = graph.columns(X, run.columns, n_columns)
    n = len(run.columns)
    if run.form == "identity":
        return x
    if run.form == "scale":
        return x * graph.constant(run.tables.reshape(1, n), "scales")
    is_of_bins = run.form == "bins"
    levels = graph.constant(run.levels.astype(graph.dtype), "levels")
    last = levels if is_of_bins else levels - 1.0
    x_in = graph.minimum(graph.maximum(x, 0.0), last)
    row = graph.node("Floor", x_in)
    n_rows = run.levels + MORE_ROWS[run.form]
    first = graph.constant((np.cumsum(n_rows) - n_rows).astype(np.int64), "first")
    if run.form == "steps":
        row = graph.node("Where", graph.node("Greater", x, levels), levels, row)
    if not is_of_bins:
        table = graph.constant(run.tables, "table")
        y = graph.node("Gather", table, graph.cast(row, np.int64) + first, axis=0)
        return graph.reshape(y, 0, n * run.width)
    is_missing = graph.node("Greater", x, last)
    fraction = graph.node("Where", is_missing, graph.number(0.0), x_in - row)
    row = graph.node("Where", is_missing, last + 1.0, row)
    at = graph.cast(row, np.int64) + first
    # a row more: what follows the last one is read too, times 0
    table = graph.constant(np.pad(run.tables, ((0, 1), (0, 0))), "table")
    low = graph.node("Gather", table, at, axis=0)
    high = graph.node("Gather", table, at + graph.constant(np.int64(1)), axis=0)
    y = low + graph.reshape(fraction, 0, n, 1) * (high - low)
    return graph.reshape(y, 0, n * run.width)


def layer_output(graph, layer, h, group_sizes, has_members):
    """Activations of a layer."""
    weights, biases = graph.constant(layer.weights, "coefs"), layer.biases
    if (
        has_members or graph.dtype == np.float64
    ):  # no Gemm: some runtimes fuse it with what follows
        biases = biases[:, None] if biases.ndim == 2 else biases
        z = graph.node("MatMul", h, weights) + graph.constant(biases, "intercepts")
    else:
        z = graph.node("Gemm", h, weights, graph.constant(biases, "intercepts"))
    if layer.activation != "softmax":
        return FORMULAS[layer.activation](graph, z)
    parts = [graph.node("Softmax", one, axis=-1) for one in graph.split(z, group_sizes)]
    return parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=-1)


def write_outputs(graph, exported, out):
    """Have predictions, or labels and probabilities, as outputs."""
    dtype, n_outputs = exported.dtype, exported.n_outputs
    if exported.kind == "binary":
        both = graph.node("Concat", 1.0 - out, out, axis=1)
        code = graph.reshape(graph.cast(is_above_half(graph, out), np.int64), -1)
        classes = exported.classes[0]
        write_labels(graph, "", classes if len(classes) > 1 else classes.repeat(2), code)
        graph.output(both, "probabilities", dtype, [2])
    elif exported.kind == "multilabel":
        label = graph.cast(is_above_half(graph, out), np.int64)
        graph.output(label, "label", np.int64, [n_outputs])
        graph.output(out, "probabilities", dtype, [n_outputs])
    elif exported.kind in ("multiclass", "columns"):
        parts = graph.split(out, exported.group_sizes)
        for k, (classes, p) in enumerate(zip(exported.classes, parts, strict=True)):
            suffix = f"_{k}" if exported.kind == "columns" else ""
            write_labels(graph, suffix, classes, graph.node("ArgMax", p, axis=1, keepdims=0))
            graph.output(p, f"probabilities{suffix}", dtype, [len(classes)])
    elif exported.kind == "quantiles":
        write_quantiles(graph, exported, out)
    else:
        if exported.scale is not None:
            scale, shift = (array.astype(dtype) for array in (exported.scale, exported.shift))
            out = out * graph.constant(scale, "scale") + graph.constant(shift, "shift")
        graph.output(out, "variable", dtype, [n_outputs])


def is_above_half(graph, p):
    return graph.node("Greater", p, graph.number(0.5))


def write_labels(graph, suffix, classes, code):
    """Have the labels with the given codes as an output."""
    if classes.dtype.kind in "iu":
        if classes.max() > np.iinfo(np.int64).max:
            raise ValueError("to_onnx cannot hold classes_ beyond int64.")
        classes = classes.astype(np.int64)
    label = graph.node("Gather", graph.constant(classes, "classes"), code)
    graph.output(label, f"label{suffix}", classes.dtype, [])


def write_quantiles(graph, exported, out):
    """Have the quantiles as an output, none smaller than that of a smaller share."""
    n_quantiles = len(exported.quantiles)
    n_targets = exported.n_outputs // n_quantiles
    shape = [n_quantiles] if n_targets == 1 else [n_targets, n_quantiles]
    if n_targets > 1:
        out = graph.reshape(out, 0, *shape)
    k = graph.constant(np.array([n_quantiles], np.int64), "k")
    out = graph.node_with_outputs("TopK", 2, out, k, axis=-1, largest=0, sorted=1)[0]
    rank = np.argsort(np.argsort(exported.quantiles, kind="stable"), kind="stable")
    out = graph.node("Gather", out, graph.constant(rank.astype(np.int64), "rank"), axis=-1)
    graph.output(out, "variable", exported.dtype, shape)


def metadata(exported):
    """Metadata of a model as a dict of str, JSON where a value is no string."""
    about = {"cmlp_version": __version__, "estimator": exported.estimator}
    if exported.feature_names is not None:
        about["feature_names"] = json.dumps(exported.feature_names)
    if exported.classes and exported.kind != "multilabel":
        classes = [labels.tolist() for labels in exported.classes]
        about["classes"] = json.dumps(classes if exported.kind == "columns" else classes[0])
    if exported.quantiles is not None:
        about["quantiles"] = json.dumps(exported.quantiles.tolist())
    return about
