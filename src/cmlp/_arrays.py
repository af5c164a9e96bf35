"""Arrays as the engine reads them: dtype, strides, alignment. Knows no estimator."""

from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from scipy.special import xlogy

from cmlp._core import engine

BEFORE_NUMPY_2 = np.lib.NumpyVersion(np.__version__) < "2.0.0"
#: Below what no float type has to round a number to infinity.
LARGE = float(np.finfo(np.float16).max)


def as_engine_input(X, dtype):
    """X as the engine reads it: the given dtype, native and aligned, dense or CSR."""
    if type(X) is np.ndarray and X.dtype == dtype and X.flags.carray:
        return X
    if sp.issparse(X):
        if X.format != "csr" or X.dtype != dtype:  # else the engine looks itself
            engine.check_conversion(X)
        X = X.tocsr().astype(dtype, copy=False)
        if not all(array.flags.aligned for array in (X.data, X.indices, X.indptr)):
            X = X.copy()
        return X
    X = X.astype(dtype, copy=False)
    if not X.flags.aligned or any(stride % X.itemsize for stride in X.strides):
        X = np.array(X, order="C")
    return X


def accept_X(X, dtype):
    """X for a Dataset that computes in the given dtype: unchanged if it is float32 or float64.

    The engine converts each row of those as it reads it; others are converted as a whole.
    """
    if type(X) is np.ndarray and X.dtype == dtype and X.flags.carray:
        return X
    is_read = X.dtype == dtype or X.dtype in (np.float32, np.float64)
    return as_engine_input(X, X.dtype if is_read else dtype)


def as_training_input(X, y, sample_weight, dtype, weight_name="sample_weight"):
    """X, y and the weights as the engine reads them; y of a classifier stays bool.

    Errors call the weights by the given name.

    Raises
    ------
    ValueError
        If y or weights overflow the dtype, or all weights are zero in it.
    """
    if y.dtype.kind != "b":
        if y.dtype != dtype:
            with np.errstate(over="ignore"):
                y = y.astype(dtype)
        if not engine.is_plain_and_finite(y) and not np.isfinite(y).all():
            raise ValueError(f"Input y contains infinity or a value too large for {y.dtype!r}.")
    if not y.flags.carray:  # what is only not to be written to stays as it is
        y = np.require(y, requirements=["C", "A"])
    if sample_weight is not None:
        with np.errstate(over="ignore"):
            sample_weight = np.require(sample_weight, dtype, ["C", "A"])
        if not np.isfinite(sample_weight).all():
            raise ValueError(
                f"Input {weight_name} contains infinity or a value too large for"
                f" {sample_weight.dtype!r}."
            )
        if not sample_weight.any():
            raise ValueError("Sample weights must contain at least one non-zero number.")
    return accept_X(X, dtype), y, sample_weight


@lru_cache
def loss_type(dtype, weight_dtype, other):
    """The type of a loss that is computed from arrays of these dtypes, weight_dtype if any."""
    if other == "of xlogy":
        other = xlogy(np.ones(1, bool), np.ones(1, dtype)).dtype  # depends on scipy
    return np.result_type(*[d for d in (dtype, weight_dtype, other) if d is not None]).type


def reported_loss(loss, kind):
    """A loss as a number of the given type, infinite if it overflows."""
    if kind is np.float64 or abs(loss) < LARGE:
        return kind(loss)
    with np.errstate(over="ignore"):
        return kind(loss)
