# From samples to a minibatch: rows gathered by index, from X, y and weights as the caller stores
# them (types.pxd: Source). Rows without their zeros: sparse.pxd.

from cython cimport floating
from libc.stdint cimport uint8_t
from libc.string cimport memcpy
from cmlp._core.types cimport AS_IS, ROUNDED, Source

cdef extern from "tile.h" nogil:
    void prefetch "CMLP_PREFETCH"(const void* address)

ctypedef fused element:         # of X, whatever the dtype of the computation
    float
    double

cdef enum:
    # rows of X asked for before they are copied, and cache lines of each: the hardware follows
    # on by itself (measured: 3 % of a step on digits, 7 % with 784 features, in float64)
    ROWS_AHEAD = 6
    LINES_AHEAD = 4
    LINE_BYTES = 64


cdef inline void prefetch_start(const void* at, Py_ssize_t n_lines) noexcept nogil:
    """Prefetch the beginning of an array of so many cache lines."""
    cdef Py_ssize_t i
    for i in range(min(<Py_ssize_t>LINES_AHEAD, n_lines)):
        prefetch(<const char*>at + i * LINE_BYTES)


cdef inline Py_ssize_t sample(const Py_ssize_t* order, Py_ssize_t i) noexcept nogil:
    """The i-th sample of the epoch; order is NULL where samples come in their own order."""
    return i if order is NULL else order[i]


cdef inline void convert(
    const element* x, Py_ssize_t stride, Py_ssize_t n, bint rounded, floating* out,
) noexcept nogil:
    """out = n numbers x, in the dtype of out; rounded to float32 before if so asked"""
    cdef Py_ssize_t i
    if rounded:
        for i in range(n):
            out[i] = <floating><float>x[i * stride]
    elif stride == 1:
        for i in range(n):
            out[i] = <floating>x[i]
    else:
        for i in range(n):
            out[i] = <floating>x[i * stride]


cdef inline void convert_from(
    const Source* source, Py_ssize_t at, Py_ssize_t stride, Py_ssize_t n, floating* out,
) noexcept nogil:
    """out = n numbers from element `at` of an X that is not of the dtype of the computation"""
    if source.conversion == ROUNDED:
        convert(<const double*>source.x + at, stride, n, True, out)
    elif floating is float:
        convert(<const double*>source.x + at, stride, n, False, out)
    else:
        convert(<const float*>source.x + at, stride, n, False, out)


cdef inline const floating* dense_row(
    const Source* source, Py_ssize_t row, floating* room, Py_ssize_t* stride,
) noexcept nogil:
    """A row of dense X and its stride: in place, or converted in the room given"""
    if source.conversion == AS_IS:
        stride[0] = source.x_col
        return <const floating*>source.x + row * source.x_row
    stride[0] = 1
    convert_from(source, row * source.x_row, source.x_col, source.n_features, room)
    return room


cdef inline void gather_x(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t rows,
    floating* out,
) noexcept nogil:
    """out (rows, n_features) = dense rows of X"""
    cdef Py_ssize_t i, j, n = source.n_features, stride = source.x_col
    cdef Py_ssize_t row_lines = (n * <Py_ssize_t>sizeof(floating) + LINE_BYTES - 1) // LINE_BYTES
    cdef const floating* row
    if source.conversion != AS_IS:
        for i in range(rows):
            convert_from(source, sample(order, start + i) * source.x_row, stride, n, out + i * n)
        return
    for i in range(rows):
        if i + ROWS_AHEAD < rows:
            prefetch_start(<const floating*>source.x
                           + sample(order, start + i + ROWS_AHEAD) * source.x_row, row_lines)
        row = <const floating*>source.x + sample(order, start + i) * source.x_row
        if stride == 1 and row_lines <= LINES_AHEAD:
            for j in range(n):   # cheaper than the call of memcpy
                out[i * n + j] = row[j]
        elif stride == 1:
            memcpy(out + i * n, row, n * sizeof(floating))
        else:
            for j in range(n):
                out[i * n + j] = row[j * stride]


cdef inline void gather_targets(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t rows,
    floating* out,
) noexcept nogil:
    """out (rows, n_outputs) = rows of y; an indicator is smoothed."""
    cdef Py_ssize_t i, j, row, n = source.n_outputs
    cdef floating scale = <floating>source.y_scale, shift = <floating>source.y_shift
    for i in range(rows):
        row = sample(order, start + i) * n
        if source.y_is_indicator:
            for j in range(n):
                out[i * n + j] = (<const uint8_t*>source.y)[row + j] * scale + shift
        else:
            memcpy(out + i * n, <const floating*>source.y + row, n * sizeof(floating))


cdef inline void gather_weights(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t rows,
    double share, floating* out,
) noexcept nogil:
    """out (rows,) = a share of the sample weights, which are 1 if there are none"""
    cdef Py_ssize_t i
    cdef floating by = <floating>share
    for i in range(rows):
        out[i] = by
        if source.weight is not NULL:
            out[i] *= (<const floating*>source.weight)[sample(order, start + i)]


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
