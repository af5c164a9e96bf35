"""Compiled multilayer perceptrons for scikit-learn users."""

from cmlp._classifier import MLPClassifier
from cmlp._regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
__version__ = "0.1.0"
