# From samples to a minibatch: rows gathered by index, and the two products with sparse rows.
# The only file that knows how X, y and the weights are stored.

from cython cimport floating
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy
from cmlp._core.linalg cimport axpy
from cmlp._core.types cimport Source

cdef extern from "tile.h" nogil:
    void prefetch "CMLP_PREFETCH"(const void*)

cdef enum:
    # rows of X asked for before they are copied, and cache lines of each: the hardware follows
    # on by itself (measured: 3 % of a step on digits, 7 % with 784 features, in float64)
    ROWS_AHEAD = 6
    LINES_AHEAD = 4
    LINE_BYTES = 64


cdef inline Py_ssize_t sample(const Py_ssize_t* order, Py_ssize_t i) noexcept nogil:
    """The i-th sample of the epoch; order is NULL where samples come in their own order."""
    return i if order is NULL else order[i]


cdef inline void gather_x(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t rows,
    floating[::1] work, Py_ssize_t at,
) noexcept nogil:
    """work (rows, n_features) = dense rows of X"""
    cdef Py_ssize_t i, j, n = source.n_features, stride = source.x_col
    cdef const floating* row
    cdef const char* ahead
    for i in range(rows):
        if i + ROWS_AHEAD < rows:
            ahead = <const char*>(<const floating*>source.x
                                  + sample(order, start + i + ROWS_AHEAD) * source.x_row)
            for j in range(LINES_AHEAD):
                prefetch(ahead + j * LINE_BYTES)
        row = <const floating*>source.x + sample(order, start + i) * source.x_row
        if stride == 1:
            memcpy(&work[at + i * n], row, n * sizeof(floating))
        else:
            for j in range(n):
                work[at + i * n + j] = row[j * stride]


cdef inline void gather_targets(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t rows,
    floating[::1] work, Py_ssize_t at,
) noexcept nogil:
    """work (rows, n_outputs) = rows of y"""
    cdef Py_ssize_t i, j, row, n = source.n_outputs
    for i in range(rows):
        row = sample(order, start + i) * n
        if source.y_is_indicator:
            for j in range(n):
                work[at + i * n + j] = (<const uint8_t*>source.y)[row + j]
        else:
            memcpy(&work[at + i * n], <const floating*>source.y + row, n * sizeof(floating))


cdef inline void gather_weights(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t rows,
    floating[::1] work, Py_ssize_t at,
) noexcept nogil:
    """work (rows,) = sample weights"""
    cdef Py_ssize_t i
    for i in range(rows):
        work[at + i] = (<const floating*>source.weight)[sample(order, start + i)]


cdef inline double total_weight(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t count,
    floating* tag,
) noexcept nogil:
    """The weight of a batch: the sum of its sample weights, or its number of rows.

    tag is never read: no other argument tells the compiler the dtype.
    """
    cdef Py_ssize_t i
    cdef double total = 0
    if source.weight is NULL:
        return <double>count
    for i in range(start, start + count):
        total += (<const floating*>source.weight)[sample(order, i)]
    return total


cdef inline Py_ssize_t index_at(
    const void* indices, bint wide, Py_ssize_t i,
) noexcept nogil:
    return (<const int64_t*>indices)[i] if wide else (<const int32_t*>indices)[i]


cdef inline void sparse_affine(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t rows,
    Py_ssize_t n, const floating[::1] b, Py_ssize_t b0,
    const floating[::1] bias, Py_ssize_t bias0, floating[::1] z, Py_ssize_t z0,
) noexcept nogil:
    """Z (rows, n) = X B [+ bias] for CSR rows: one axpy for each stored value."""
    cdef Py_ssize_t i, j, k, row
    cdef bint wide = source.wide_indices
    for i in range(rows):
        row = sample(order, start + i)
        for j in range(n):
            z[z0 + i * n + j] = bias[bias0 + j] if bias0 >= 0 else 0
        for k in range(index_at(source.indptr, wide, row), index_at(source.indptr, wide, row + 1)):
            j = index_at(source.indices, wide, k)
            axpy(n, (<const floating*>source.x)[k], b, b0 + j * n, z, z0 + i * n)


cdef inline void sparse_coef_gradient(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t rows,
    Py_ssize_t n, const floating[::1] delta, Py_ssize_t d0, floating[::1] grad, Py_ssize_t g0,
) noexcept nogil:
    """G (n_features, n) += X.T D for CSR rows."""
    cdef Py_ssize_t i, j, k, row
    cdef bint wide = source.wide_indices
    for i in range(rows):
        row = sample(order, start + i)
        for k in range(index_at(source.indptr, wide, row), index_at(source.indptr, wide, row + 1)):
            j = index_at(source.indices, wide, k)
            axpy(n, (<const floating*>source.x)[k], delta, d0 + i * n, grad, g0 + j * n)
