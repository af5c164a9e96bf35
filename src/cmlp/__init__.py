"""Compiled multilayer perceptrons for scikit-learn users."""

from cmlp._classifier import MLPClassifier
from cmlp._network import Network
from cmlp._plots import LossCurveDisplay
from cmlp._regressor import MLPRegressor

__all__ = ["LossCurveDisplay", "MLPClassifier", "MLPRegressor", "Network"]
__version__ = "0.1.0"
