"""Nodes and constants of an ONNX graph as they are written. No networks.

onnx is imported when a graph is begun.
"""

import importlib

import numpy as np
from sklearn.utils.fixes import parse_version

from cmlp._formulas import Algebra, Term

#: The first version of the package whose writer is tested.
MIN_ONNX = "1.14"
#: Operators that all runtimes since 2020 have (ONNX 1.8), and the layout of their files.
OPSET, OPSET_ML, IR_VERSION = 13, 2, 7
OPERATORS = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "maximum": "Max",
    "minimum": "Min",
    "negative": "Neg",
    "absolute": "Abs",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "relu": "Relu",
    "erf": "Erf",
}


def import_onnx():
    """The package onnx.

    Raises
    ------
    ImportError
        If it is not installed, or too old.
    """
    advice = f"to_onnx needs onnx {MIN_ONNX} or newer: pip install 'onnx>={MIN_ONNX}'"
    try:
        onnx = importlib.import_module("onnx")
        importlib.import_module("onnx.helper")
    except ImportError as error:
        raise ImportError(f"{advice} ({error}).") from error
    if parse_version(onnx.__version__) < parse_version(MIN_ONNX):
        raise ImportError(f"{advice} (there is onnx {onnx.__version__}).")
    return onnx


class OnnxGraph(Algebra):
    """An ONNX graph: Terms are names of its tensors.

    Parameters
    ----------
    dtype : numpy.dtype, float32 or float64
        Of the network's arithmetic.
    """

    def __init__(self, dtype):
        self.onnx = import_onnx()
        self.dtype = dtype
        # runtimes have it in float only
        self.has_erf = dtype == np.float32
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.uses_ml = False
        self._numbers = {}
        self._n_names = 0

    def apply(self, operation, *terms):
        terms = [one if isinstance(one, Term) else self.number(one) for one in terms]
        if operation == "if_negative":
            z, below, above = terms
            return self.node("Where", self.node("Less", z, self.number(0.0)), below, above)
        return self.node(OPERATORS[operation], *terms)

    def node(self, operator, *terms, **attributes):
        """The result of an operator, its first output."""
        return self.node_with_outputs(operator, 1, *terms, **attributes)[0]

    def node_with_outputs(self, operator, n_outputs, *terms, **attributes):
        """The results of an operator."""
        names = [self._new_name(operator.lower()) for _ in range(n_outputs)]
        given = [term.name for term in terms]
        self.nodes.append(self.onnx.helper.make_node(operator, given, names, **attributes))
        return [Term(self, name) for name in names]

    def number(self, value, dtype=None):
        """A float as a constant."""
        value = np.asarray(value, dtype=dtype or self.dtype)
        key = value.dtype.char, float(value)
        if key not in self._numbers:
            self._numbers[key] = self.constant(value)
        return self._numbers[key]

    def constant(self, array, name="constant"):
        """An array of bool, int, float or str as a constant."""
        name = self._new_name(name)
        array = np.asarray(array)
        if array.dtype.kind == "U":
            strings = [one.encode() for one in array.ravel().tolist()]
            kind = self.onnx.TensorProto.STRING
            tensor = self.onnx.helper.make_tensor(name, kind, array.shape, strings)
        else:
            tensor = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
            if not array.ndim:  # which ascontiguousarray would make a vector of
                tensor = self.onnx.numpy_helper.from_array(array, name)
        self.initializers.append(tensor)
        return Term(self, name)

    def input(self, name, dtype, shape):
        """An input of so many columns, as many rows as there are."""
        self.inputs.append(self._described(name, dtype, shape))
        return Term(self, name)

    def output(self, term, name, dtype, shape):
        """Have the term as an output of the given name."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [term.name], [name]))
        self.outputs.append(self._described(name, dtype, shape))

    def cast(self, term, dtype):
        """The term in another dtype."""
        return self.node("Cast", term, to=self._element_type(np.dtype(dtype)))

    def columns(self, term, columns, n_columns):
        """Some columns of a matrix, or itself if they are all."""
        if np.array_equal(columns, np.arange(n_columns)):
            return term
        return self.node("Gather", term, self.constant(np.asarray(columns, np.int64)), axis=1)

    def reshape(self, term, *shape):
        """The term in another shape, 0 for a size that stays, -1 for what is left."""
        return self.node("Reshape", term, self.constant(np.array(shape, np.int64), "shape"))

    def split(self, term, sizes):
        """The last axis in parts of the given sizes."""
        if len(sizes) == 1:
            return [term]
        parts = self.constant(np.array(sizes, np.int64), "sizes")
        return self.node_with_outputs("Split", len(sizes), term, parts, axis=-1)

    def model(self, name, metadata):
        """The onnx.ModelProto.

        Parameters
        ----------
        metadata : dict of str to str
            "producer" and "version" among them are fields of their own.
        """
        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", OPSET)]
        if self.uses_ml:
            opsets.append(helper.make_opsetid("ai.onnx.ml", OPSET_ML))
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=IR_VERSION,
            producer_name="cmlp",
            producer_version=metadata["cmlp_version"],
        )
        helper.set_model_props(model, metadata)
        return model

    def _new_name(self, name):
        self._n_names += 1
        return f"cmlp.{name}_{self._n_names}"

    def _element_type(self, dtype):
        if dtype.kind == "U":
            return self.onnx.TensorProto.STRING
        return self.onnx.helper.np_dtype_to_tensor_dtype(dtype)

    def _described(self, name, dtype, shape):
        kind = self._element_type(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, ["N", *shape])
