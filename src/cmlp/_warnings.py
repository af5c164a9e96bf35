"""Warnings that filters take for scikit-learn's and that point at the caller's line. No texts."""

import sys
import warnings

#: What scikit-learn's own warnings of its MLP are filtered by.
MODULE = "sklearn.neural_network._multilayer_perceptron"
#: Packages between the caller's line and a fit; joblib is how scikit-learn runs several.
INSIDE = {"cmlp", "sklearn", "joblib"}


def warn(message, category=UserWarning):
    """Issue a warning of the module of scikit-learn's MLP, at the line that called for the fit.

    ``filterwarnings(..., module="sklearn")`` applies to it, and Python's rules of how often a
    place is shown are those of the line of the first frame outside cmlp, scikit-learn and joblib.
    """
    frame = innermost = sys._getframe(1)
    while frame is not None and package(frame) in INSIDE:
        frame = frame.f_back
    frame = frame or innermost
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=MODULE,
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def package(frame):
    """Name of the package whose code a frame runs."""
    return str(frame.f_globals.get("__name__")).partition(".")[0]
