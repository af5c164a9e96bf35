"""skl2onnx's converters for the estimators, registered once that package is imported too.

The conversion is skl2onnx's own, of scikit-learn's MLP; what that cannot express is refused here.
"""

import importlib.util
import sys
from contextlib import suppress
from functools import wraps
from importlib.abc import MetaPathFinder

from cmlp._classifier import MLPClassifier
from cmlp._regressor import MLPRegressor

ACTIVATIONS = {"identity", "logistic", "relu", "tanh"}


class AfterImport(MetaPathFinder):
    """Finder that has a function called after the import of a package, which others find.

    Parameters
    ----------
    package : str
    function : callable
    """

    def __init__(self, package, function):
        self.package = package
        self.function = function
        self.is_asking = False

    def find_spec(self, name, path, target=None):
        if name != self.package or self.is_asking:
            return None
        self.is_asking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.is_asking = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            @wraps(execute)
            def exec_module(module):
                execute(module)
                self.function()

            spec.loader.exec_module = exec_module
        return spec


def register_when_imported():
    """Register the converters now, or as soon as skl2onnx is imported.

    Versions of it without the converters of scikit-learn's MLP are left as they are: they say
    themselves that they cannot convert an estimator.
    """
    if sys.modules.get("skl2onnx") is not None:
        register_if_possible()
    else:
        sys.meta_path.insert(0, AfterImport("skl2onnx", register_if_possible))


def register_if_possible():
    with suppress(ImportError):
        register()


def register():
    """Tell skl2onnx how the two estimators are converted."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )
    from skl2onnx.operator_converters.multilayer_perceptron import (
        convert_sklearn_mlp_classifier,
        convert_sklearn_mlp_regressor,
    )

    update_registered_converter(
        MLPClassifier,
        "CmlpMLPClassifier",
        calculate_linear_classifier_output_shapes,
        checked(convert_sklearn_mlp_classifier),
        parser=parse_classifier,
        options={
            "zipmap": [True, False, "columns"],
            "output_class_labels": [False, True],
            "nocl": [True, False],
        },
    )
    update_registered_converter(
        MLPRegressor,
        "CmlpMLPRegressor",
        calculate_linear_regressor_output_shapes,
        checked(convert_sklearn_mlp_regressor),
    )


def parse_classifier(scope, model, inputs, custom_parsers=None):
    """skl2onnx's parser of classifiers, after a look at the classes, which it reads first."""
    from skl2onnx._parse import _parse_sklearn_classifier

    check_convertible(model)
    return _parse_sklearn_classifier(scope, model, inputs, custom_parsers)


def checked(convert):
    @wraps(convert)
    def convert_or_refuse(scope, operator, container):
        check_convertible(operator.raw_operator)
        convert(scope, operator, container)

    return convert_or_refuse


def check_convertible(est):
    """Raise ValueError if skl2onnx's nodes for scikit-learn's MLP are not this network."""
    classes = getattr(est, "classes_", ())
    reason = None
    if not (isinstance(est.activation, str) and est.activation in ACTIVATIONS):
        reason = f"activation={est.activation!r} is none of scikit-learn's"
    elif est.out_activation_ not in ACTIVATIONS | {"softmax"}:
        reason = f"it has no output activation {est.out_activation_!r}"
    elif isinstance(classes, list):
        reason = "y had several columns of classes"
    elif len(classes) == 2 and est.n_outputs_ == 2:
        reason = "it takes a multilabel problem with two labels for one with two classes"
    elif hasattr(est, "quantiles_"):
        reason = "it does not keep several quantiles in order"
    if reason is not None:
        raise ValueError(
            f"skl2onnx cannot convert this {type(est).__name__}: {reason}. Its to_onnx() can."
        )
