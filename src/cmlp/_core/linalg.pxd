# Dense linear algebra on row-major matrices in flat arrays: gemm, gemv, sums. Blocking,
# packing and the choice of a kernel are here; register tiles are in tile.h.
#
# C = A B: A may have any strides, as it may be the caller's X; the elements of a row of B or, of
# one that is transposed, those of a column follow one another, and so do those of rows of C.

from cython cimport floating
from libc.string cimport memcpy
from cmlp._core.matrix cimport (
    A_GAPS, A_ROW_GAPS, A_UNFIT, B_GAPS, B_ROW_GAPS, B_UNFIT, C_GAPS, C_ROW_GAPS, Matrix, fits,
    has_no_gaps, matrix, onwards, part, require, transposed)
from cmlp._core.stop cimport product_stopped

cdef extern from "tile.h" nogil:
    int ROWS "CMLP_ROWS"
    int VECTOR_BYTES "CMLP_VECTOR_BYTES"
    bint MASKED "CMLP_MASKED"
    ctypedef struct Tile "cmlp_tile":
        int rows
        int cols
        Py_ssize_t depth
        const void* a
        Py_ssize_t a_row
        Py_ssize_t a_col
        const void* b
        Py_ssize_t b_row
        void* c
        Py_ssize_t c_row
        bint accumulate
        const void* bias
        int finish
        const void* outputs
    void cmlp_tile_f32(const Tile* tile)
    void cmlp_tile_f64(const Tile* tile)
    float cmlp_dot_f32(const float* x, const float* y, Py_ssize_t n)
    double cmlp_dot_f64(const double* x, const double* y, Py_ssize_t n)
    void cmlp_row_dots_f32(
        Py_ssize_t rows, Py_ssize_t n, const float* x, Py_ssize_t x_row, const float* y,
        float bias, float* out, Py_ssize_t step)
    void cmlp_row_dots_f64(
        Py_ssize_t rows, Py_ssize_t n, const double* x, Py_ssize_t x_row, const double* y,
        double bias, double* out, Py_ssize_t step)

cdef enum:
    PANEL_BYTES = 16384        # of a packed panel: half of a 32 KiB L1 cache
    COLUMN_BLOCK = 512         # columns packed at once: the block stays in L2
    ROW_BLOCK = 120            # rows of the left operand per block; a multiple of 6 and 8
    PACK_WIDTH = 192           # pack B from this many columns on (measured: strided rows alias)
    ALIGNED = 16               # elements: offsets are multiples of 64 bytes in any dtype
    NARROW_ROWS = 16           # of affine_narrow that are taken from cache for each column
    PLAIN = -1                 # a product that is put through no activation

# What a product is put through before it is stored, see tile.h.
cdef struct Finish:
    int activation             # of those that is_in_tiles, or PLAIN
    const void* outputs        # laid out as C: C is multiplied by the derivative; NULL: C = f(C)


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


cdef inline void pack_panel(Matrix b, floating* panel) noexcept nogil:
    """Copy B, or what is transposed in memory, into a zero-padded panel."""
    cdef Py_ssize_t width = panel_width(sizeof(floating))
    cdef const floating* data = <const floating*>b.data
    cdef Py_ssize_t p, j, rows = b.rows, cols = b.cols, ld = b.row_stride
    if b.col_stride == 1 and cols == width:
        for p in range(rows):
            memcpy(panel + p * width, data + p * ld, 2 * VECTOR_BYTES)
        return
    if b.col_stride == 1:
        for p in range(rows):
            for j in range(cols):
                panel[p * width + j] = data[p * ld + j]
    else:
        ld = b.col_stride
        for j in range(cols):
            for p in range(rows):
                panel[p * width + j] = data[j * ld + p]
    for p in range(rows):
        for j in range(cols, width):
            panel[p * width + j] = 0


cdef inline bint packs_panel(Py_ssize_t cols, size_t itemsize) noexcept nogil:
    """Whether a panel of so many columns must be packed: without masked loads, see tile.h."""
    return not MASKED and cols % (panel_width(itemsize) // 2) != 0


cdef inline Finish plain() noexcept nogil:
    """A product that is stored as it is."""
    return finished(PLAIN, NULL)


cdef inline Finish finished(int activation, const void* outputs) noexcept nogil:
    cdef Finish finish
    finish.activation = activation
    finish.outputs = outputs
    return finish


cdef inline void gemm_block(
    Matrix a, Matrix b, Matrix c, bint accumulate, const floating* bias, Finish finish,
    const floating* pack, bint packed,
) noexcept nogil:
    """C = f(A B [+ C] [+ bias]), tile by tile; one panel of B stays in L1.

    packed: all of B is in pack, panel by panel, and is not read itself. Else those of its panels
    are there that packs_panel.
    """
    cdef Py_ssize_t width = panel_width(sizeof(floating))
    cdef Py_ssize_t i, j = 0
    cdef Tile tile
    tile.depth = a.cols
    tile.a_row = a.row_stride
    tile.a_col = a.col_stride
    tile.c_row = c.row_stride
    tile.accumulate = accumulate
    tile.finish = finish.activation
    tile.outputs = NULL
    while j < c.cols:
        tile.cols = <int>min(width, c.cols - j)
        if packed or packs_panel(tile.cols, sizeof(floating)):
            tile.b = pack + j * a.cols
            tile.b_row = width
        else:
            tile.b = <const floating*>b.data + j
            tile.b_row = b.row_stride
        tile.bias = onwards(bias, j)
        i = 0
        while i < c.rows:
            tile.rows = <int>min(<Py_ssize_t>ROWS, c.rows - i)
            tile.a = <const floating*>a.data + i * a.row_stride
            tile.c = <floating*>c.data + i * c.row_stride + j
            if finish.outputs is not NULL:
                tile.outputs = <const floating*>finish.outputs + i * c.row_stride + j
            if floating is float:
                cmlp_tile_f32(&tile)
            else:
                cmlp_tile_f64(&tile)
            i += ROWS
        j += width


cdef inline void gemm(
    Matrix a, Matrix b, Matrix c, bint accumulate, const floating* bias, floating* pack,
    Finish finish,
) noexcept nogil:
    """C = f(A B [+ C] [+ bias]), or C = A B * f'(z) where finish has outputs.

    bias: a row, or NULL. pack: room for gemm_pack_size(n, k) elements. If its job is stopped it
    returns early.
    """
    cdef Py_ssize_t max_depth = panel_depth(sizeof(floating))
    cdef bint packed = b.col_stride != 1 or (c.cols >= PACK_WIDTH and c.rows >= 4 * ROWS)
    cdef Py_ssize_t i, j = 0, p, rows, cols, depth
    cdef Matrix block
    cdef bint last
    require(fits(a, c.rows, b.rows), A_UNFIT)
    require(b.cols == c.cols, B_UNFIT)
    require(b.col_stride == 1 or b.row_stride == 1, B_GAPS)
    require(c.col_stride == 1, C_GAPS)
    while j < c.cols:
        if j > 0 and product_stopped(2 * c.rows * COLUMN_BLOCK * a.cols):
            return
        cols = min(<Py_ssize_t>COLUMN_BLOCK, c.cols - j)
        p = 0
        while p < a.cols:
            depth = min(max_depth, a.cols - p)
            last = p + depth == a.cols
            block = part(b, p, j, depth, cols, sizeof(floating))
            pack_panels(block, packed, pack)
            i = 0
            while i < c.rows:
                rows = min(<Py_ssize_t>ROW_BLOCK, c.rows - i)
                gemm_block(
                    part(a, i, p, rows, depth, sizeof(floating)), block,
                    part(c, i, j, rows, cols, sizeof(floating)),
                    accumulate or p > 0, onwards(bias, j) if p == 0 else NULL,
                    finished(finish.activation if last else PLAIN,
                             onwards(<const floating*>finish.outputs, i * c.row_stride + j)),
                    pack, packed)
                i += ROW_BLOCK
            p += max_depth
        j += COLUMN_BLOCK


cdef inline void pack_panels(Matrix b, bint all_of_them, floating* pack) noexcept nogil:
    """The panels of a block of B, or those that packs_panel, each where it belongs."""
    cdef Py_ssize_t width = panel_width(sizeof(floating)), j = 0, cols
    while j < b.cols:
        cols = min(width, b.cols - j)
        if all_of_them or packs_panel(cols, sizeof(floating)):
            pack_panel(part(b, 0, j, b.rows, cols, sizeof(floating)), pack + j * b.rows)
        j += width


cdef inline Py_ssize_t packed_size(Py_ssize_t n, Py_ssize_t k, size_t itemsize) noexcept nogil:
    """Elements of a packed copy of B (k, n)."""
    cdef Py_ssize_t width = panel_width(itemsize)
    return (n + width - 1) // width * width * k


cdef inline void pack_matrix(Matrix b, floating* pack) noexcept nogil:
    """A packed copy of all of B (k, n), for several gemm_packed: packed_size(n, k) elements."""
    cdef Py_ssize_t max_depth = panel_depth(sizeof(floating))
    cdef Py_ssize_t p = 0
    while p < b.rows:
        pack_panels(part(b, p, 0, min(max_depth, b.rows - p), b.cols, sizeof(floating)), True,
                    pack + packed_size(b.cols, p, sizeof(floating)))
        p += max_depth


cdef inline void gemm_packed(
    Matrix a, const floating* packed_b, Matrix c, bint accumulate, Finish finish,
) noexcept nogil:
    """The same as gemm with B from pack_matrix and without bias; the same bits."""
    cdef Py_ssize_t max_depth = panel_depth(sizeof(floating))
    cdef Py_ssize_t i = 0, p, rows, depth
    require(a.rows == c.rows, A_UNFIT)
    require(c.col_stride == 1, C_GAPS)
    while i < c.rows:
        rows = min(<Py_ssize_t>ROW_BLOCK, c.rows - i)
        p = 0
        while p < a.cols:
            depth = min(max_depth, a.cols - p)
            gemm_block(
                part(a, i, p, rows, depth, sizeof(floating)), matrix(packed_b, depth, c.cols),
                part(c, i, 0, rows, c.cols, sizeof(floating)), accumulate or p > 0,
                <const floating*>NULL,
                finished(finish.activation if p + depth == a.cols else PLAIN,
                         onwards(<const floating*>finish.outputs, i * c.row_stride)),
                packed_b + packed_size(c.cols, p, sizeof(floating)), True)
            p += max_depth
        i += ROW_BLOCK


cdef inline void gemm_narrow(
    Matrix a, Matrix b, Matrix c, bint accumulate, floating* pack,
) noexcept nogil:
    """C = A B [+ C] for A that is transposed in memory, and C narrower than a tile.

    Computed as C.T = B.T A.T, whose rows fill the vectors, and transposed. pack: room for
    gemm_pack_size(m, k) + m n elements.
    """
    cdef Py_ssize_t i, j, m = c.rows, n = c.cols
    cdef floating* out = <floating*>c.data
    cdef floating* t = pack + gemm_pack_size(m, a.cols, sizeof(floating))
    require(has_no_gaps(c), C_ROW_GAPS)
    if accumulate:
        for i in range(m):
            for j in range(n):
                t[j * m + i] = out[i * n + j]
    gemm(transposed(b), transposed(a), matrix(t, n, m), accumulate, <const floating*>NULL, pack,
         plain())
    for i in range(m):
        for j in range(n):
            out[i * n + j] = t[j * m + i]


cdef inline void affine_narrow(
    Matrix a, Matrix b, Matrix c, const floating* bias, floating* pack,
) noexcept nogil:
    """C (m, n) = A (m, k) B (k, n) [+ bias] by dot products, for n so small that a tile would be
    mostly empty. pack: room for n k elements; bias: a row, or NULL."""
    cdef Py_ssize_t i = 0, j, p, rows, n = c.cols, k = a.cols
    cdef const floating* x = <const floating*>a.data
    cdef const floating* weights = <const floating*>b.data
    cdef floating* out = <floating*>c.data
    cdef floating start
    require(fits(a, c.rows, b.rows), A_UNFIT)
    require(b.cols == n, B_UNFIT)
    require(a.col_stride == 1, A_GAPS)
    require(has_no_gaps(b), B_ROW_GAPS)
    require(has_no_gaps(c), C_ROW_GAPS)
    for j in range(n):
        for p in range(k):
            pack[j * k + p] = weights[p * n + j]
    while i < c.rows:
        rows = min(<Py_ssize_t>NARROW_ROWS, c.rows - i)
        for j in range(n):
            start = bias[j] if bias is not NULL else 0
            if floating is float:
                cmlp_row_dots_f32(rows, k, x + i * a.row_stride, a.row_stride, pack + j * k,
                                  start, out + i * n + j, n)
            else:
                cmlp_row_dots_f64(rows, k, x + i * a.row_stride, a.row_stride, pack + j * k,
                                  start, out + i * n + j, n)
        i += NARROW_ROWS


cdef inline void gemv(
    const floating* x, Py_ssize_t x_stride, Matrix b, const floating* bias, floating* z,
) noexcept nogil:
    """z (n,) = x (k,) B (k, n) [+ bias], by rows of B, four at a time; zeros in x are skipped.

    The same chain of multiply-adds as in a tile: the same bits as a row of gemm.
    """
    cdef Py_ssize_t i, j, n = b.cols, k = b.rows
    cdef floating x0, x1, x2, x3
    cdef const floating* row
    require(has_no_gaps(b), B_ROW_GAPS)
    for j in range(n):
        z[j] = bias[j] if bias is not NULL else 0
    for i in range(0, k - 3, 4):
        x0 = x[i * x_stride]
        x1 = x[(i + 1) * x_stride]
        x2 = x[(i + 2) * x_stride]
        x3 = x[(i + 3) * x_stride]
        if x0 == 0 and x1 == 0 and x2 == 0 and x3 == 0:
            continue
        row = <const floating*>b.data + i * n
        for j in range(n):
            z[j] = (((z[j] + x0 * row[j]) + x1 * row[n + j]) + x2 * row[2 * n + j]
                    ) + x3 * row[3 * n + j]
    for i in range(k - k % 4, k):
        x0 = x[i * x_stride]
        row = <const floating*>b.data + i * n
        for j in range(n):
            z[j] += x0 * row[j]


cdef inline void column_sums(Matrix a, floating* out, bint accumulate) noexcept nogil:
    """out (n,) = sum over the rows of A (m, n) [+ out]: the bias gradient."""
    cdef Py_ssize_t i, j, m = a.rows, n = a.cols
    cdef const floating* row
    require(has_no_gaps(a), A_ROW_GAPS)
    if not accumulate:
        for j in range(n):
            out[j] = 0
    for i in range(0, m - 3, 4):
        row = <const floating*>a.data + i * n
        for j in range(n):
            out[j] += (row[j] + row[n + j]) + (row[2 * n + j] + row[3 * n + j])
    for i in range(m - m % 4, m):
        row = <const floating*>a.data + i * n
        for j in range(n):
            out[j] += row[j]
