"""Types of the public signatures. Nothing else."""

from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

try:
    from scipy.sparse import sparray
except ImportError:  # scipy before 1.11
    sparray = sp.spmatrix

FloatArray: TypeAlias = NDArray[np.floating]
#: Dense or sparse, DataFrames included (they are array-like)
MatrixLike: TypeAlias = ArrayLike | sp.spmatrix | sparray
#: Weights or biases, one array per layer
Layers: TypeAlias = list[ArrayLike]

__all__ = ["ArrayLike", "FloatArray", "Layers", "MatrixLike"]
