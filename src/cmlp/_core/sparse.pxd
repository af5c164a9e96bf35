# Rows of X without their zeros: how they are compressed, turned into columns, and multiplied.
# CSR comes so and is read in place; dense rows with many zeros are compressed batch by batch,
# which changes no bit of any finite result.
#
# Both products of a layer with such rows are the same kernel, sums of rows of a dense matrix:
# Z[i] = sum_j x_ij B[j] over the non-zeros of row i, G[j] = sum_i x_ij D[i] of column j.

from cython cimport floating
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset
from cmlp._core.batch cimport convert_from, gather_x, sample
from cmlp._core.sparse_plan cimport block_width, index_at, is_copied
from cmlp._core.types cimport AS_IS, Compressed, Source, SparsePlan

cdef extern from "sparse.h" nogil:
    int SPILL "CMLP_SPILL"
    void prefetch "CMLP_PREFETCH"(const void*)
    void cmlp_combine_f32(
        int, Py_ssize_t, const int64_t*, const int64_t*, Py_ssize_t, const float*,
        const int32_t*, const float*, Py_ssize_t, float*, Py_ssize_t, const float*, int)
    void cmlp_combine_f64(
        int, Py_ssize_t, const int64_t*, const int64_t*, Py_ssize_t, const double*,
        const int32_t*, const double*, Py_ssize_t, double*, Py_ssize_t, const double*, int)
    void cmlp_combine_f32_wide(
        int, Py_ssize_t, const int64_t*, const int64_t*, Py_ssize_t, const float*,
        const int64_t*, const float*, Py_ssize_t, float*, Py_ssize_t, const float*, int)
    void cmlp_combine_f64_wide(
        int, Py_ssize_t, const int64_t*, const int64_t*, Py_ssize_t, const double*,
        const int64_t*, const double*, Py_ssize_t, double*, Py_ssize_t, const double*, int)
    int32_t cmlp_compress_f32(const float*, int32_t, int32_t, float*, int32_t*)
    int32_t cmlp_compress_f64(const double*, int32_t, int32_t, double*, int32_t*)

ctypedef fused column_index:
    int32_t
    int64_t

cdef enum:
    ROWS_AHEAD = 1             # dense rows asked for before they are compressed, and
    LINES_AHEAD = 4            # cache lines of a row of X asked for before it is needed
    LINE_BYTES = 64


cdef inline Compressed compressed_rows(
    const SparsePlan* plan, const Source* source, floating[::1] work,
) noexcept nogil:
    """The rows that `compress` has found: in the workspace, or in CSR itself."""
    cdef Compressed x
    x.pieces = plan.row_pieces
    x.begins = <const int64_t*>&work[plan.begins]
    x.ends = <const int64_t*>&work[plan.ends]
    x.wide = source.sparse and source.wide_indices
    if is_copied(source):
        x.values = &work[plan.values]
        x.indices = &work[plan.indices]
    else:
        x.values = source.x
        x.indices = source.indices
    return x


cdef inline void compress(
    const SparsePlan* plan, const Source* source, const Py_ssize_t* order, Py_ssize_t start,
    Py_ssize_t first, Py_ssize_t last, floating[::1] work, Py_ssize_t gathered,
) noexcept nogil:
    """Find the entries of rows first..last of the samples that begin at start.

    gathered: where dense rows to be converted may go, (rows, n_features).
    """
    cdef Source rows
    if source.sparse and source.conversion != AS_IS:
        copy_entries(plan, source, order, start, first, last, work)
    elif source.sparse:
        locate(plan, source, order, start, first, last, work)
    elif source.conversion != AS_IS:
        gather_x(source, order, start + first, last - first, work,
                 gathered + first * source.n_features)
        rows = source[0]
        rows.conversion = AS_IS
        rows.x = &work[gathered]
        rows.x_row = source.n_features
        rows.x_col = 1
        drop_zeros(plan, &rows, NULL, 0, first, last, work)
    else:
        drop_zeros(plan, source, order, start, first, last, work)


cdef inline void copy_entries(
    const SparsePlan* plan, const Source* source, const Py_ssize_t* order, Py_ssize_t start,
    Py_ssize_t first, Py_ssize_t last, floating[::1] work,
) noexcept nogil:
    """Convert what CSR holds, behind the entries of the rows before, whoever copies those."""
    cdef floating* values = &work[plan.values]
    cdef char* indices = <char*>&work[plan.indices]
    cdef int64_t* begins = <int64_t*>&work[plan.begins]
    cdef int64_t* ends = <int64_t*>&work[plan.ends]
    cdef bint wide = source.wide_indices
    cdef Py_ssize_t i, row, begin, count, at = 0, index_bytes = 8 if wide else 4
    if order is NULL:
        at = index_at(source.indptr, wide, start + first) - index_at(source.indptr, wide, start)
    else:
        for i in range(first):
            row = sample(order, start + i)
            at += index_at(source.indptr, wide, row + 1) - index_at(source.indptr, wide, row)
    for i in range(first, last):
        row = sample(order, start + i)
        begin = index_at(source.indptr, wide, row)
        count = index_at(source.indptr, wide, row + 1) - begin
        begins[i] = at
        ends[i] = at + count
        if count == 0:  # where there are none at all, nothing may be read
            continue
        convert_from(source, begin, 1, count, values + at)
        memcpy(indices + at * index_bytes, <const char*>source.indices + begin * index_bytes,
               count * index_bytes)
        at += count


cdef inline void locate(
    const SparsePlan* plan, const Source* source, const Py_ssize_t* order, Py_ssize_t start,
    Py_ssize_t first, Py_ssize_t last, floating[::1] work,
) noexcept nogil:
    """Where rows begin and end in CSR; they are asked for at once."""
    cdef int64_t* begins = <int64_t*>&work[plan.begins]
    cdef int64_t* ends = <int64_t*>&work[plan.ends]
    cdef bint wide = source.wide_indices
    cdef Py_ssize_t i, row, index_bytes = 8 if wide else 4
    for i in range(first, last):
        row = sample(order, start + i)
        begins[i] = index_at(source.indptr, wide, row)
        ends[i] = index_at(source.indptr, wide, row + 1)
        if order is not NULL:
            ask_for(<const char*>source.x + begins[i] * <Py_ssize_t>sizeof(floating),
                    (ends[i] - begins[i]) * <Py_ssize_t>sizeof(floating))
            ask_for(<const char*>source.indices + begins[i] * index_bytes,
                    (ends[i] - begins[i]) * index_bytes)


cdef inline void ask_for(const char* at, Py_ssize_t n_bytes) noexcept nogil:
    """Prefetch the beginning of an array: the hardware follows on by itself."""
    cdef Py_ssize_t i
    for i in range(min(<Py_ssize_t>LINES_AHEAD, n_bytes // LINE_BYTES + 1)):
        prefetch(at + i * LINE_BYTES)


cdef inline void drop_zeros(
    const SparsePlan* plan, const Source* source, const Py_ssize_t* order, Py_ssize_t start,
    Py_ssize_t first, Py_ssize_t last, floating[::1] work,
) noexcept nogil:
    """Copy what is not zero. Each row has its place, so that threads can share the rows."""
    cdef floating* values = &work[plan.values]
    cdef int32_t* indices = <int32_t*>&work[plan.indices]
    cdef int64_t* begins = <int64_t*>&work[plan.begins]
    cdef int64_t* ends = <int64_t*>&work[plan.ends]
    cdef int32_t n = <int32_t>source.n_features, n_pieces = <int32_t>plan.row_pieces
    cdef int32_t width = (n + n_pieces - 1) // n_pieces
    cdef int32_t j, stop
    cdef Py_ssize_t i, at, piece, stride = source.x_col
    cdef const floating* row
    for i in range(first, last):
        if i + ROWS_AHEAD < last:
            ask_for(<const char*>(<const floating*>source.x
                                  + sample(order, start + i + ROWS_AHEAD) * source.x_row),
                    LINES_AHEAD * LINE_BYTES)
        row = <const floating*>source.x + sample(order, start + i) * source.x_row
        at = i * (source.n_features + SPILL)
        for piece in range(i * n_pieces, (i + 1) * n_pieces):
            begins[piece] = at
            j = <int32_t>(piece - i * n_pieces) * width
            stop = min(n, j + width)
            if stride == 1:
                if floating is float:
                    at += cmlp_compress_f32(row + j, stop - j, j, values + at, indices + at)
                else:
                    at += cmlp_compress_f64(row + j, stop - j, j, values + at, indices + at)
            else:
                while j < stop:
                    values[at] = row[j * stride]
                    indices[at] = j
                    at += row[j * stride] != 0
                    j += 1
            ends[piece] = at


cdef inline void count_columns(
    const column_index* indices, Py_ssize_t n_entries, Py_ssize_t first, Py_ssize_t n,
    int32_t* counts,
) noexcept nogil:
    """counts[j] += entries in column first + j, for n columns"""
    cdef Py_ssize_t t, j
    for t in range(n_entries):
        j = indices[t] - first
        if 0 <= j < n:
            counts[j] += 1


cdef inline void deal_out(
    const column_index* indices, const floating* values, Py_ssize_t n_entries, int32_t row,
    Py_ssize_t first, Py_ssize_t n, int32_t* next, floating* to_values, int32_t* to_rows,
) noexcept nogil:
    """Put the entries of a row where the next one of their columns goes."""
    cdef Py_ssize_t t, j
    cdef int32_t at
    for t in range(n_entries):
        j = indices[t] - first
        if 0 <= j < n:
            at = next[j]
            next[j] = at + 1
            to_values[at] = values[t]
            to_rows[at] = row


cdef inline Compressed transpose(
    const SparsePlan* plan, const Compressed* x, Py_ssize_t rows, Py_ssize_t first,
    Py_ssize_t last, floating[::1] work, Py_ssize_t own,
) noexcept nogil:
    """The entries of all rows by columns, first..last of them: a counting sort, which keeps the
    order of the rows."""
    cdef Compressed columns
    cdef floating* values = &work[own + plan.column_values]
    cdef int32_t* indices = <int32_t*>&work[own + plan.column_indices]
    cdef int64_t* starts = <int64_t*>&work[own + plan.column_starts]
    cdef int32_t* next = <int32_t*>&work[own + plan.column_next]
    cdef const floating* from_values = <const floating*>x.values
    cdef const int32_t* short_indices = <const int32_t*>x.indices
    cdef const int64_t* wide_indices = <const int64_t*>x.indices
    cdef int32_t count, total = 0
    cdef Py_ssize_t i, j, piece, at, n_entries, n = last - first
    cdef Py_ssize_t n_pieces = plan.column_pieces, height = (rows + n_pieces - 1) // n_pieces
    columns.values = values
    columns.indices = indices
    columns.wide = False
    columns.begins = starts
    columns.ends = starts + 1
    columns.pieces = n_pieces
    memset(next, 0, n * sizeof(int32_t))
    for i in range(rows):
        at = x.begins[i * x.pieces]            # the pieces of a row follow one another
        n_entries = x.ends[(i + 1) * x.pieces - 1] - at
        if x.wide:
            count_columns(wide_indices + at, n_entries, first, n, next)
        else:
            count_columns(short_indices + at, n_entries, first, n, next)
    for j in range(n):
        count = next[j]
        next[j] = total
        total += count
    for piece in range(n_pieces):
        for j in range(n):
            starts[j * n_pieces + piece] = next[j]
        for i in range(min(rows, piece * height), min(rows, (piece + 1) * height)):
            at = x.begins[i * x.pieces]
            n_entries = x.ends[(i + 1) * x.pieces - 1] - at
            if x.wide:
                deal_out(wide_indices + at, from_values + at, n_entries, <int32_t>i, first, n,
                         next, values, indices)
            else:
                deal_out(short_indices + at, from_values + at, n_entries, <int32_t>i, first, n,
                         next, values, indices)
    starts[n * n_pieces] = total
    return columns


cdef inline void combine(
    const Compressed* x, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t n,
    const floating* b, Py_ssize_t ldb, floating* out, Py_ssize_t ldout, const floating* start,
    bint accumulate,
) noexcept nogil:
    """out (rows, n) = X B [+ start, a row] [+ out] for rows first.. of X; n fits in registers."""
    cdef Py_ssize_t piece, at = first * x.pieces
    cdef bint add
    for piece in range(x.pieces):
        add = accumulate or piece > 0
        if floating is float:
            if x.wide:
                cmlp_combine_f32_wide(
                    <int>n, rows, x.begins + at, x.ends + at, x.pieces, <const float*>x.values,
                    <const int64_t*>x.indices, b, ldb, out, ldout, start, add)
            else:
                cmlp_combine_f32(
                    <int>n, rows, x.begins + at, x.ends + at, x.pieces, <const float*>x.values,
                    <const int32_t*>x.indices, b, ldb, out, ldout, start, add)
        else:
            if x.wide:
                cmlp_combine_f64_wide(
                    <int>n, rows, x.begins + at, x.ends + at, x.pieces, <const double*>x.values,
                    <const int64_t*>x.indices, b, ldb, out, ldout, start, add)
            else:
                cmlp_combine_f64(
                    <int>n, rows, x.begins + at, x.ends + at, x.pieces, <const double*>x.values,
                    <const int32_t*>x.indices, b, ldb, out, ldout, start, add)
        at += 1


cdef inline void pack_block(
    const floating[::1] b, Py_ssize_t b0, Py_ssize_t ldb, Py_ssize_t k, Py_ssize_t n,
    floating[::1] pack, Py_ssize_t at, Py_ssize_t width,
) noexcept nogil:
    """pack (k, width) = the block B (k, n) of a wider matrix; what is beyond n is not read."""
    cdef Py_ssize_t i
    for i in range(k):
        memcpy(&pack[at + i * width], &b[b0 + i * ldb], n * sizeof(floating))


cdef inline void sparse_affine(
    const SparsePlan* plan, const Compressed* x, Py_ssize_t first, Py_ssize_t rows,
    Py_ssize_t k, Py_ssize_t n, const floating[::1] b, Py_ssize_t b0,
    const floating[::1] bias, Py_ssize_t bias0, floating[::1] z, Py_ssize_t z0,
    floating[::1] work, Py_ssize_t own,
) noexcept nogil:
    """Z (rows, n) = X B [+ bias] for rows first.. of X and B (k, n). bias0 < 0: no bias."""
    cdef Py_ssize_t width = block_width(n, sizeof(floating)), j = 0, cols, ldb = n
    cdef const floating* block
    while j < n:
        cols = min(width, n - j)
        block = &b[b0 + j]
        if plan.packs_b:
            pack_block(b, b0 + j, n, k, cols, work, own + plan.pack, width)
            block = &work[own + plan.pack]
            ldb = width
        combine(x, first, rows, cols, block, ldb, &z[z0 + j], n,
                &bias[bias0 + j] if bias0 >= 0 else NULL, False)
        j += width


cdef inline void pack_delta(
    const SparsePlan* plan, Py_ssize_t rows, Py_ssize_t n,
    const floating[::1] delta, Py_ssize_t d0, floating[::1] work, Py_ssize_t own,
) noexcept nogil:
    """D (rows, n) in blocks of columns with aligned rows, for the gradients of several slabs."""
    cdef Py_ssize_t width = block_width(n, sizeof(floating)), j = 0
    while j < n:
        pack_block(delta, d0 + j, n, rows, min(width, n - j), work, own + plan.pack + j * rows,
                   width)
        j += width


cdef inline void sparse_coef_gradient(
    const SparsePlan* plan, const Compressed* columns, Py_ssize_t first, Py_ssize_t count,
    Py_ssize_t rows, Py_ssize_t n, floating[::1] grad, Py_ssize_t g0, bint accumulate,
    floating[::1] work, Py_ssize_t own,
) noexcept nogil:
    """G (count, n) = X.T D [+ G] for columns first.. of those transposed, and D (rows, n) packed
    by pack_delta."""
    cdef Py_ssize_t width = block_width(n, sizeof(floating)), j = 0
    while j < n:
        combine(columns, first, count, min(width, n - j), &work[own + plan.pack + j * rows],
                width, &grad[g0 + j], n, <const floating*>NULL, accumulate)
        j += width
