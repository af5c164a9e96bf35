# Matrices as kernels take them: made from an address, turned, cut. Shapes only, no arithmetic on
# elements. A kernel that is given matrices takes at least one address of elements too, by which
# the compiler knows the dtype: Cython has no way to name the element of a fused struct.

from cython cimport floating
from libc.stdint cimport int32_t, int64_t

cdef extern from "matrix.h" nogil:
    ctypedef struct Matrix "cmlp_matrix":
        void* data             # NULL: there is no such matrix
        Py_ssize_t rows
        Py_ssize_t cols
        Py_ssize_t row_stride  # in elements
        Py_ssize_t col_stride
    bint CHECKS "CMLP_CHECKS"  # whether this build looks at shapes again:
    void require "CMLP_REQUIRE"(bint fits, const char* message)
    const char* A_UNFIT "CMLP_A_UNFIT"
    const char* B_UNFIT "CMLP_B_UNFIT"
    const char* A_GAPS "CMLP_A_GAPS"
    const char* B_GAPS "CMLP_B_GAPS"
    const char* C_GAPS "CMLP_C_GAPS"
    const char* A_ROW_GAPS "CMLP_A_ROW_GAPS"
    const char* B_ROW_GAPS "CMLP_B_ROW_GAPS"
    const char* C_ROW_GAPS "CMLP_C_ROW_GAPS"


cdef inline Matrix strided(
    const floating* data, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t row_stride,
    Py_ssize_t col_stride,
) noexcept nogil:
    cdef Matrix m
    m.data = <void*>data
    m.rows = rows
    m.cols = cols
    m.row_stride = row_stride
    m.col_stride = col_stride
    return m


cdef inline Matrix matrix(
    const floating* data, Py_ssize_t rows, Py_ssize_t cols,
) noexcept nogil:
    """Rows without gaps, one after another."""
    return strided(data, rows, cols, cols, 1)


cdef inline Matrix transposed(Matrix m) noexcept nogil:
    cdef Matrix t = m
    t.rows, t.cols = m.cols, m.rows
    t.row_stride, t.col_stride = m.col_stride, m.row_stride
    return t


cdef inline Matrix part(
    Matrix m, Py_ssize_t i, Py_ssize_t j, Py_ssize_t rows, Py_ssize_t cols, size_t itemsize,
) noexcept nogil:
    """The (rows, cols) block of M whose first element is that at (i, j)."""
    cdef Matrix p = m
    p.data = <char*>m.data + (i * m.row_stride + j * m.col_stride) * <Py_ssize_t>itemsize
    p.rows = rows
    p.cols = cols
    return p


cdef inline bint fits(Matrix m, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    return m.rows == rows and m.cols == cols


cdef inline bint has_no_gaps(Matrix m) noexcept nogil:
    """Whether rows are contiguous and follow one another."""
    return m.col_stride == 1 and (m.row_stride == m.cols or m.rows == 1)


cdef inline const floating* onwards(const floating* row, Py_ssize_t n) noexcept nogil:
    """What follows the first n elements of a row, if there is one."""
    if row is NULL:           # as one expression it would lose the const
        return NULL
    return row + n


# The workspace, of one dtype, holds other numbers too: its elements as these.
cdef inline double* as_double(floating* at) noexcept nogil:
    return <double*>at


cdef inline int32_t* as_int32(floating* at) noexcept nogil:
    return <int32_t*>at


cdef inline int64_t* as_int64(floating* at) noexcept nogil:
    return <int64_t*>at
