"""Compiled multilayer perceptrons for scikit-learn users."""

from cmlp._checkpoint import Checkpoint
from cmlp._classifier import MLPClassifier
from cmlp._from_sklearn import from_sklearn
from cmlp._fuse import fuse
from cmlp._hidden_layers import HiddenLayers
from cmlp._network import Network
from cmlp._persistence import read
from cmlp._plots import LossCurveDisplay
from cmlp._regressor import MLPRegressor
from cmlp._skl2onnx import register_when_imported
from cmlp._skops import TRUSTED_TYPES
from cmlp._substitute import patch_sklearn, unpatch_sklearn
from cmlp._tabular_estimators import TabularMLPClassifier, TabularMLPRegressor
from cmlp._typing import Path
from cmlp._version import __version__

__all__ = [
    "TRUSTED_TYPES",
    "Checkpoint",
    "HiddenLayers",
    "LossCurveDisplay",
    "MLPClassifier",
    "MLPRegressor",
    "Network",
    "TabularMLPClassifier",
    "TabularMLPRegressor",
    "__version__",
    "from_sklearn",
    "fuse",
    "load",
    "patch_sklearn",
    "unpatch_sklearn",
]

register_when_imported()


def load(
    path: Path,
) -> MLPClassifier | MLPRegressor | TabularMLPClassifier | TabularMLPRegressor:
    """Read an estimator from a model file that its ``save`` wrote.

    Safe for files from anywhere: nothing in the file is executed, and what does not fit is
    refused before an estimator is returned.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    est : MLPClassifier, MLPRegressor, TabularMLPClassifier or TabularMLPRegressor

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If the file is not a model file, is damaged, or is of a later format version.
    """
    kinds = (MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor)
    return read(path, {kind.__name__: kind for kind in kinds})[0]
