# The engine as Python calls it: the one description of all variants, whose stubs import this.
# `make types` compares it with the compiled modules; names that only the engine uses are in
# tests/house/type_checks/stubtest_allowlist.txt. No documentation, which is in the .pxi files.

from collections.abc import Sequence
from typing import Any, Final, Literal, Self, TypeAlias, TypedDict, final

import numpy as np
from numpy.typing import NDArray

from cmlp._typing import SparseMatrix

# in one call all of one dtype
_Floats: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
_Doubles: TypeAlias = NDArray[np.float64]
_Indices: TypeAlias = NDArray[np.intp]

class _Activation(TypedDict):
    id: int
    hidden: bool
    output: bool
    keeps_slope: bool
    init_factor: float
    init_fan: Literal["in", "both"]
    formula: str

class _Encoding(TypedDict):
    id: int
    placed: bool
    of_bins: bool
    stepped: bool
    rows: int
    rows_per_level: int
    formula: str

class _Loss(TypedDict):
    id: int
    loss: str
    regressor: bool
    classifier: bool
    residual: bool
    mean_over_outputs: bool
    canonical_activation: str
    domain: Literal["real", "non-negative", "positive", "unit interval"]
    parameter: str | None
    default: float

ACTIVATIONS: Final[dict[str, _Activation]]
LOSSES: Final[dict[str, _Loss]]
# id, number of state vectors, names of the hyper-parameters
OPTIMIZERS: Final[dict[str, tuple[int, int, tuple[str, ...]]]]
ENCODINGS: Final[dict[str, _Encoding]]
FLUSHES: Final[bool]
vector_bytes: Final[int]

@final
class Dataset:
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __new__(
        cls,
        X: NDArray[np.floating[Any]] | SparseMatrix,
        y: NDArray[Any] | None = None,
        sample_weight: _Floats | None = None,
        dtype: np.dtype[Any] | None = None,
        rounded: bool = False,
        y_scale: float = 1,
        y_shift: float = 0,
    ) -> Self: ...
    def __len__(self) -> int: ...

def encoding_rows(kind: str, levels: int) -> int: ...

@final
class Layout:
    @property
    def units(self) -> tuple[int, ...]: ...
    def __new__(
        cls,
        units: Sequence[int],
        coef_starts: Sequence[int],
        intercept_starts: Sequence[int],
        activations: Sequence[str],
        loss: str,
        fit_intercept: bool,
        group_sizes: tuple[int, ...] | None = None,
        dropout: Sequence[float] = (),
        loss_parameter: Any = None,
        encodings: Sequence[Sequence[Any]] = (),
        n_members: int = 1,
        n_features: int | None = None,
    ) -> Self: ...
    def workspace(
        self,
        batch_size: int,
        dtype: np.dtype[Any] | type[np.floating[Any]],
        n_threads: int = 1,
        per_thread: bool = False,
        data: Dataset | None = None,
    ) -> _Floats: ...
    def gradient(
        self, batch_size: int, dtype: np.dtype[Any] | type[np.floating[Any]]
    ) -> _Floats | None: ...

# Entry points

def train_epoch(
    layout: Layout,
    data: Dataset,
    order: _Indices | None,
    batch_size: int,
    optimizer: str,
    hyper: _Doubles,
    alpha: float,
    params: _Floats,
    grads: _Floats | None,
    state: _Floats,
    work: _Floats,
    n_threads: int = 1,
    dropout: tuple[int, int] | None = None,
    rates: _Doubles | None = None,
    max_grad_norm: float = 0,
    averaging: _Doubles | None = None,
) -> float: ...
def batch_gradient(
    layout: Layout,
    data: Dataset,
    order: _Indices | None,
    start: int,
    stop: int,
    params: _Floats,
    grads: _Floats,
    work: _Floats,
    n_threads: int = 1,
    dropout: tuple[int, int] | None = None,
) -> tuple[float, float]: ...
def apply_gradient(
    layout: Layout,
    optimizer: str,
    hyper: _Doubles,
    alpha: float,
    weight: float,
    params: _Floats,
    grads: _Floats,
    state: _Floats,
    max_grad_norm: float = 0,
    averaging: _Doubles | None = None,
    n_threads: int = 1,
) -> float: ...
def loss_and_gradient(
    layout: Layout,
    data: Dataset,
    alpha: float,
    params: _Floats,
    grads: _Floats,
    work: _Floats,
    n_threads: int = 1,
) -> float: ...
def predict(
    layout: Layout,
    data: Dataset,
    params: _Floats,
    work: _Floats,
    out: _Floats,
    n_threads: int = 1,
    seed: int | None = None,
) -> None: ...
def mean_loss(layout: Layout, data: Dataset, out: _Floats) -> float: ...
def shuffle(random_state: np.random.RandomState, order: _Indices) -> None: ...

@final
class Predictor:
    def __new__(
        cls,
        layout: Layout,
        vector: _Floats,
        lists: dict[str, list[_Floats]],
        values: dict[str, Any],
        absent: tuple[str, ...],
        converts: bool = False,
    ) -> Self: ...
    def applies(self, attributes: dict[str, Any]) -> bool: ...
    def outputs(self, attributes: dict[str, Any], X: Any) -> _Floats | None: ...
    def values_(self, attributes: dict[str, Any], X: Any) -> _Floats | None: ...
    def probabilities(self, attributes: dict[str, Any], X: Any) -> _Floats | None: ...
    def labels(
        self, attributes: dict[str, Any], X: Any, classes: NDArray[Any]
    ) -> NDArray[Any] | None: ...

# Plain arrays

def is_plain_and_finite(array: Any, as_float32: bool = False) -> bool: ...
def indicator(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.bool_] | None: ...
def views(vector: _Floats, places: list[tuple[int, ...]]) -> list[_Floats]: ...

# Kernels, for Network

def gemm(
    a: _Floats,
    b: _Floats,
    c: _Floats,
    bias: _Floats | None = None,
    trans_b: bool = False,
    accumulate: bool = False,
) -> None: ...
def column_sums(a: _Floats, out: _Floats, accumulate: bool = False) -> None: ...
def affine(
    data: Dataset,
    coef: _Floats,
    intercept: _Floats | None,
    out: _Floats,
    order: _Indices | None = None,
    skip_zeros: bool = False,
) -> None: ...
def coef_gradient(
    data: Dataset,
    delta: _Floats,
    grad: _Floats,
    order: _Indices | None = None,
    skip_zeros: bool = False,
    accumulate: bool = False,
    slab: int = 0,
    share: int = 0,
) -> None: ...
def activate(
    activation: str,
    z: _Floats,
    slope: _Floats | None = None,
    group_sizes: Sequence[int] | None = None,
) -> None: ...
def activation_backward(
    activation: str,
    a: _Floats,
    delta: _Floats,
    slope: _Floats | None = None,
    group_sizes: Sequence[int] | None = None,
) -> None: ...
def loss_sum(
    loss: str, y: _Floats, p: _Floats, weight: _Floats | None = None, parameter: Any = None
) -> float: ...
def output_delta(
    loss: str,
    activation: str,
    y: _Floats,
    p: _Floats,
    delta: _Floats,
    slope: _Floats | None = None,
    weight: _Floats | None = None,
    group_sizes: Sequence[int] | None = None,
    parameter: Any = None,
) -> None: ...
