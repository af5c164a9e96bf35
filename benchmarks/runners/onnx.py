"""The adapter of ONNX Runtime, which predicts only.

The graph is the plainest possible, one Gemm per layer: what skl2onnx makes of a scikit-learn
estimator has more nodes (labels, casts) and is slower.
"""

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper

from benchmarks import machine
from benchmarks.problems import SEED

SYSTEM = "ONNX Runtime"
DISTRIBUTION = "onnxruntime"

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}
TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
OPSET, IR_VERSION = 17, 8


def graph(problem):
    """X -> P, the class probabilities."""
    coefs, intercepts = problem.initial_weights(np.random.RandomState(SEED))
    nodes, constants, last = [], [], "X"
    for i, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
        constants += [numpy_helper.from_array(W, f"W{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [last, f"W{i}", f"b{i}"], [f"Z{i}"]))
        last = f"Z{i}"
        if i < len(coefs) - 1:
            nodes.append(helper.make_node(ACTIVATIONS[problem.activation], [last], [f"A{i}"]))
            last = f"A{i}"
    if problem.output == "softmax":
        nodes.append(helper.make_node("Softmax", [last], ["P"], axis=1))
    else:
        constants.append(numpy_helper.from_array(np.ones(1, problem.dtype), "one"))
        nodes += [
            helper.make_node("Sigmoid", [last], ["P1"]),
            helper.make_node("Sub", ["one", "P1"], ["P0"]),
            helper.make_node("Concat", ["P0", "P1"], ["P"], axis=1),
        ]
    kind = TYPES[str(problem.dtype)]
    X = helper.make_tensor_value_info("X", kind, [None, problem.units[0]])
    P = helper.make_tensor_value_info("P", kind, [None, max(2, problem.units[-1])])
    return helper.make_graph(nodes, problem.name, [X], [P], constants)


def predictor(problem):
    model = helper.make_model(graph(problem), opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = machine.n_threads()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda X: session.run(["P"], {"X": X})[0]
