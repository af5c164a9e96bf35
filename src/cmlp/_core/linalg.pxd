# Dense linear algebra on row-major matrices in flat arrays: gemm, gemv, sums. Blocking,
# packing and the choice of a kernel are here; register tiles are in tile.h.
#
# A matrix is a flat memoryview plus the offset of its first element, so that parameters,
# gradients and the workspace each stay one allocation and the debug build checks every index.
# The left operand of gemm and gemv is an address with two strides: it may be the caller's X.

from cython cimport floating
from cmlp._core.stop cimport product_stopped

cdef extern from "tile.h" nogil:
    int ROWS "CMLP_ROWS"
    int VECTOR_BYTES "CMLP_VECTOR_BYTES"
    bint MASKED "CMLP_MASKED"
    void cmlp_tile_f32(int, int, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t,
                       const float*, Py_ssize_t, float*, Py_ssize_t, int, const float*, int,
                       const float*)
    void cmlp_tile_f64(int, int, Py_ssize_t, const double*, Py_ssize_t, Py_ssize_t,
                       const double*, Py_ssize_t, double*, Py_ssize_t, int, const double*, int,
                       const double*)
    float cmlp_dot_f32(const float*, const float*, Py_ssize_t)
    double cmlp_dot_f64(const double*, const double*, Py_ssize_t)
    void cmlp_row_dots_f32(Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, const float*,
                           float, float*, Py_ssize_t)
    void cmlp_row_dots_f64(Py_ssize_t, Py_ssize_t, const double*, Py_ssize_t, const double*,
                           double, double*, Py_ssize_t)

cdef enum:
    PANEL_BYTES = 16384        # of a packed panel: half of a 32 KiB L1 cache
    COLUMN_BLOCK = 512         # columns packed at once: the block stays in L2
    ROW_BLOCK = 120            # rows of the left operand per block; a multiple of 6 and 8
    PACK_WIDTH = 192           # pack B from this many columns on (measured: strided rows alias)
    ALIGNED = 16               # elements: offsets are multiples of 64 bytes in any dtype
    NARROW_ROWS = 16           # of affine_narrow that are taken from cache for each column
    PLAIN = -1                 # a product that is put through no activation


cdef inline Py_ssize_t aligned(Py_ssize_t n) noexcept nogil:
    """n elements rounded up to whole cache lines."""
    return (n + ALIGNED - 1) // ALIGNED * ALIGNED


cdef inline floating dot(const floating* x, const floating* y, Py_ssize_t n) noexcept nogil:
    """sum_i x_i y_i"""
    if floating is float:
        return cmlp_dot_f32(x, y, n)
    else:
        return cmlp_dot_f64(x, y, n)


cdef inline Py_ssize_t panel_width(size_t itemsize) noexcept nogil:
    """Columns of a register tile: two vectors."""
    return <Py_ssize_t>(2 * VECTOR_BYTES // itemsize)


cdef inline Py_ssize_t panel_depth(size_t itemsize) noexcept nogil:
    """Rows of B in a packed panel."""
    return <Py_ssize_t>(PANEL_BYTES // (2 * VECTOR_BYTES))


cdef inline Py_ssize_t gemm_pack_size(Py_ssize_t n, Py_ssize_t k, size_t itemsize) noexcept nogil:
    """Elements of the pack buffer that gemm needs for B of shape (k, n)."""
    cdef Py_ssize_t width = panel_width(itemsize)
    cdef Py_ssize_t columns = min(n, <Py_ssize_t>COLUMN_BLOCK)
    return (columns + width - 1) // width * width * min(k, panel_depth(itemsize))


cdef inline void pack_panel(
    const floating[::1] b, Py_ssize_t b0, Py_ssize_t ldb, bint trans_b,
    Py_ssize_t depth, Py_ssize_t cols, floating[::1] panel, Py_ssize_t at,
) noexcept nogil:
    """Copy the (depth, cols) block of B, or of B.T, at b0 into a zero-padded panel."""
    cdef Py_ssize_t width = panel_width(sizeof(floating))
    cdef Py_ssize_t p, j
    if trans_b:
        for j in range(cols):
            for p in range(depth):
                panel[at + p * width + j] = b[b0 + j * ldb + p]
    else:
        for p in range(depth):
            for j in range(cols):
                panel[at + p * width + j] = b[b0 + p * ldb + j]
    if cols < width:
        for p in range(depth):
            for j in range(cols, width):
                panel[at + p * width + j] = 0


cdef inline bint packs_panel(Py_ssize_t cols, size_t itemsize) noexcept nogil:
    """Whether a panel of so many columns must be packed: without masked loads, see tile.h."""
    return not MASKED and cols % (panel_width(itemsize) // 2) != 0


cdef inline void gemm_block(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t depth,
    const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
    const floating[::1] b, Py_ssize_t b0, Py_ssize_t ldb, bint packed,
    floating[::1] c, Py_ssize_t c0, Py_ssize_t ldc, bint accumulate,
    const floating[::1] bias, Py_ssize_t bias0,
    const floating[::1] pack, Py_ssize_t pack0,
    int finish, const floating[::1] outputs, Py_ssize_t outputs0,
) noexcept nogil:
    """C (m, n) = A (m, depth) B [+ C] [+ bias], tile by tile; one panel of B stays in L1.

    finish: see tile.h; outputs0 < 0: there are no outputs.
    """
    cdef Py_ssize_t width = panel_width(sizeof(floating))
    cdef Py_ssize_t i, j = 0, cols, panel_ld
    cdef int rows
    cdef const floating* panel
    cdef const floating* bias_at
    cdef const floating* outputs_at = NULL
    while j < n:
        cols = min(width, n - j)
        if packed or packs_panel(cols, sizeof(floating)):
            panel = &pack[pack0 + j * depth]
            panel_ld = width
        else:
            panel = &b[b0 + j]
            panel_ld = ldb
        bias_at = &bias[bias0 + j] if bias0 >= 0 else NULL
        i = 0
        while i < m:
            rows = <int>min(<Py_ssize_t>ROWS, m - i)
            if outputs0 >= 0:
                outputs_at = &outputs[outputs0 + i * ldc + j]
            if floating is float:
                cmlp_tile_f32(rows, <int>cols, depth, a + i * a_row, a_row, a_col, panel,
                              panel_ld, &c[c0 + i * ldc + j], ldc, accumulate, bias_at,
                              finish, outputs_at)
            else:
                cmlp_tile_f64(rows, <int>cols, depth, a + i * a_row, a_row, a_col, panel,
                              panel_ld, &c[c0 + i * ldc + j], ldc, accumulate, bias_at,
                              finish, outputs_at)
            i += ROWS
        j += width


cdef inline void gemm(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
    const floating[::1] b, Py_ssize_t b0, Py_ssize_t ldb, bint trans_b,
    floating[::1] c, Py_ssize_t c0, bint accumulate,
    const floating[::1] bias, Py_ssize_t bias0,
    floating[::1] pack, Py_ssize_t pack0,
) noexcept nogil:
    """C (m, n) = A (m, k) B (k, n) [+ C] [+ bias]; element (i, p) of A is a[i a_row + p a_col].

    Rows of B are ldb apart; with trans_b, B is stored as (n, k). bias0 < 0: no bias. The pack
    buffer starts at pack0 and has gemm_pack_size(n, k) elements. If its job is stopped it
    returns early.
    """
    gemm_finished(m, n, k, a, a_row, a_col, b, b0, ldb, trans_b, c, c0, accumulate, bias, bias0,
                  pack, pack0, PLAIN, c, -1)


cdef inline void gemm_finished(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
    const floating[::1] b, Py_ssize_t b0, Py_ssize_t ldb, bint trans_b,
    floating[::1] c, Py_ssize_t c0, bint accumulate,
    const floating[::1] bias, Py_ssize_t bias0,
    floating[::1] pack, Py_ssize_t pack0,
    int finish, const floating[::1] outputs, Py_ssize_t outputs0,
) noexcept nogil:
    """C = f(A B [+ C] [+ bias]), or with outputs (m, n), which are f(z), C = A B * f'(z).

    finish: the activation f, of those that is_in_tiles; PLAIN for none. outputs0 < 0: no outputs.
    """
    cdef Py_ssize_t width = panel_width(sizeof(floating))
    cdef Py_ssize_t max_depth = panel_depth(sizeof(floating))
    cdef bint packed = trans_b or (n >= PACK_WIDTH and m >= 4 * ROWS)
    cdef Py_ssize_t i0, j, j0, p0, block_cols, depth, cols, at
    j0 = 0
    while j0 < n:
        if j0 > 0 and product_stopped(2 * m * COLUMN_BLOCK * k):
            return
        block_cols = min(<Py_ssize_t>COLUMN_BLOCK, n - j0)
        p0 = 0
        while p0 < k:
            depth = min(max_depth, k - p0)
            j = 0
            while j < block_cols:
                cols = min(width, block_cols - j)
                if packed or packs_panel(cols, sizeof(floating)):
                    at = b0 + ((j0 + j) * ldb + p0 if trans_b else p0 * ldb + j0 + j)
                    pack_panel(b, at, ldb, trans_b, depth, cols, pack, pack0 + j * depth)
                j += width
            i0 = 0
            while i0 < m:
                gemm_block(
                    min(<Py_ssize_t>ROW_BLOCK, m - i0), block_cols, depth,
                    a + i0 * a_row + p0 * a_col, a_row, a_col,
                    b, b0 + p0 * ldb + j0, ldb, packed, c, c0 + i0 * n + j0, n,
                    accumulate or p0 > 0, bias, bias0 + j0 if bias0 >= 0 and p0 == 0 else -1,
                    pack, pack0, finish if p0 + depth == k else PLAIN,
                    outputs, outputs0 + i0 * n + j0 if outputs0 >= 0 else -1)
                i0 += ROW_BLOCK
            p0 += max_depth
        j0 += COLUMN_BLOCK


cdef inline Py_ssize_t packed_size(Py_ssize_t n, Py_ssize_t k, size_t itemsize) noexcept nogil:
    """Elements of a packed copy of B (k, n)."""
    cdef Py_ssize_t width = panel_width(itemsize)
    return (n + width - 1) // width * width * k


cdef inline void pack_matrix(
    Py_ssize_t n, Py_ssize_t k, const floating[::1] b, Py_ssize_t b0, Py_ssize_t ldb,
    bint trans_b, floating[::1] pack, Py_ssize_t pack0,
) noexcept nogil:
    """A packed copy of all of B (k, n), for several gemm_packed: packed_size(n, k) elements."""
    cdef Py_ssize_t width = panel_width(sizeof(floating))
    cdef Py_ssize_t max_depth = panel_depth(sizeof(floating))
    cdef Py_ssize_t j, p0 = 0, depth
    while p0 < k:
        depth = min(max_depth, k - p0)
        j = 0
        while j < n:
            pack_panel(b, b0 + (j * ldb + p0 if trans_b else p0 * ldb + j), ldb, trans_b,
                       depth, min(width, n - j), pack, pack0)
            pack0 += width * depth
            j += width
        p0 += max_depth


cdef inline void gemm_packed(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    const floating* a, Py_ssize_t a_row, Py_ssize_t a_col,
    const floating[::1] pack, Py_ssize_t pack0,
    floating[::1] c, Py_ssize_t c0, bint accumulate,
    int finish, const floating[::1] outputs, Py_ssize_t outputs0,
) noexcept nogil:
    """gemm_finished with B from pack_matrix and without bias; the same bits."""
    cdef Py_ssize_t max_depth = panel_depth(sizeof(floating))
    cdef Py_ssize_t i0 = 0, p0
    while i0 < m:
        p0 = 0
        while p0 < k:
            gemm_block(
                min(<Py_ssize_t>ROW_BLOCK, m - i0), n, min(max_depth, k - p0),
                a + i0 * a_row + p0 * a_col, a_row, a_col, pack, 0, 0, True,
                c, c0 + i0 * n, n, accumulate or p0 > 0, pack, -1,
                pack, pack0 + packed_size(n, p0, sizeof(floating)),
                finish if p0 + max_depth >= k else PLAIN,
                outputs, outputs0 + i0 * n if outputs0 >= 0 else -1)
            p0 += max_depth
        i0 += ROW_BLOCK


cdef inline void gemm_tn_narrow(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    const floating[::1] a, Py_ssize_t a0, Py_ssize_t lda, const floating[::1] b, Py_ssize_t b0,
    floating[::1] c, Py_ssize_t c0, bint accumulate, floating[::1] pack, Py_ssize_t pack0,
) noexcept nogil:
    """C (m, n) = A.T B [+ C] for A (k, m), B (k, n) and n below a tile's width.

    Computed as C.T = B.T A, whose rows fill the vectors, and transposed. Rows of A are lda
    apart. The pack buffer has gemm_pack_size(m, k) + m n elements.
    """
    cdef Py_ssize_t i, j, t0 = pack0 + gemm_pack_size(m, k, sizeof(floating))
    if accumulate:
        for i in range(m):
            for j in range(n):
                pack[t0 + j * m + i] = c[c0 + i * n + j]
    gemm(n, m, k, &b[b0], 1, n, a, a0, lda, False, pack, t0, accumulate, a, -1, pack, pack0)
    for i in range(m):
        for j in range(n):
            c[c0 + i * n + j] = pack[t0 + j * m + i]


cdef inline void affine_narrow(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const floating[::1] a, Py_ssize_t a0,
    const floating[::1] b, Py_ssize_t b0, const floating[::1] bias, Py_ssize_t bias0,
    floating[::1] c, Py_ssize_t c0, floating[::1] pack, Py_ssize_t pack0,
) noexcept nogil:
    """C (m, n) = A (m, k) B (k, n) [+ bias] by dot products, for n so small that a tile would be
    mostly empty. The pack buffer has n k elements."""
    cdef Py_ssize_t i = 0, j, p, rows
    cdef floating start
    for j in range(n):
        for p in range(k):
            pack[pack0 + j * k + p] = b[b0 + p * n + j]
    while i < m:
        rows = min(<Py_ssize_t>NARROW_ROWS, m - i)
        for j in range(n):
            start = bias[bias0 + j] if bias0 >= 0 else 0
            if floating is float:
                cmlp_row_dots_f32(rows, k, &a[a0 + i * k], k, &pack[pack0 + j * k], start,
                                  &c[c0 + i * n + j], n)
            else:
                cmlp_row_dots_f64(rows, k, &a[a0 + i * k], k, &pack[pack0 + j * k], start,
                                  &c[c0 + i * n + j], n)
        i += NARROW_ROWS


cdef inline void gemv(
    Py_ssize_t n, Py_ssize_t k, const floating* x, Py_ssize_t x_stride,
    const floating[::1] b, Py_ssize_t b0,
    const floating[::1] bias, Py_ssize_t bias0,
    floating[::1] z, Py_ssize_t z0,
) noexcept nogil:
    """z (n,) = x (k,) B (k, n) [+ bias], by rows of B, four at a time; zeros in x are skipped.

    The same chain of multiply-adds as in a tile: the same bits as a row of gemm.
    """
    cdef Py_ssize_t i, j
    cdef floating x0, x1, x2, x3
    cdef const floating* row
    cdef floating* out = &z[z0]
    for j in range(n):
        out[j] = bias[bias0 + j] if bias0 >= 0 else 0
    for i in range(0, k - 3, 4):
        x0 = x[i * x_stride]
        x1 = x[(i + 1) * x_stride]
        x2 = x[(i + 2) * x_stride]
        x3 = x[(i + 3) * x_stride]
        if x0 == 0 and x1 == 0 and x2 == 0 and x3 == 0:
            continue
        row = &b[b0 + i * n]
        for j in range(n):
            out[j] = (((out[j] + x0 * row[j]) + x1 * row[n + j]) + x2 * row[2 * n + j]
                      ) + x3 * row[3 * n + j]
    for i in range(k - k % 4, k):
        x0 = x[i * x_stride]
        row = &b[b0 + i * n]
        for j in range(n):
            out[j] += x0 * row[j]


cdef inline void column_sums(
    Py_ssize_t m, Py_ssize_t n, const floating[::1] a, Py_ssize_t a0,
    floating[::1] out, Py_ssize_t out0, bint accumulate,
) noexcept nogil:
    """out (n,) = sum over the rows of A (m, n) [+ out]: the bias gradient."""
    cdef Py_ssize_t i, j, at
    if not accumulate:
        for j in range(n):
            out[out0 + j] = 0
    for i in range(0, m - 3, 4):
        at = a0 + i * n
        for j in range(n):
            out[out0 + j] += (a[at + j] + a[at + n + j]) + (a[at + 2 * n + j] + a[at + 3 * n + j])
    for i in range(m - m % 4, m):
        for j in range(n):
            out[out0 + j] += a[a0 + i * n + j]
