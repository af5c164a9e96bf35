"""Types of the public signatures, and of what scikit-learn has no types for. Nothing else."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Method = TypeVar("Method", bound=Callable[..., Any])


class SparseMatrix(Protocol):
    """A sparse matrix or array of scipy, whether or not scipy's stubs are installed."""

    def tocsr(self) -> Any: ...


FloatArray: TypeAlias = NDArray[np.floating[Any]]
#: Dense or sparse, DataFrames included (they are array-like)
MatrixLike: TypeAlias = ArrayLike | SparseMatrix
#: Weights or biases, one array per layer
Layers: TypeAlias = Sequence[ArrayLike]
Path: TypeAlias = str | PathLike[str]

# Where the type depends on the data, "| Any" stands for the rarer ones: a checker knows the usual
# type and lets the others pass.
#: Labels; sparse if those of fit were
Labels: TypeAlias = NDArray[Any] | Any
#: Class labels; a list of arrays if y has several columns of classes
Classes: TypeAlias = NDArray[Any] | Any
#: Floats; a list of arrays if y has several columns of classes
Probabilities: TypeAlias = FloatArray | Any

if TYPE_CHECKING:

    def _fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Method], Method]: ...
else:
    from sklearn.base import _fit_context

__all__ = [
    "ArrayLike",
    "Classes",
    "FloatArray",
    "Labels",
    "Layers",
    "MatrixLike",
    "Method",
    "Path",
    "Probabilities",
    "_fit_context",
]
