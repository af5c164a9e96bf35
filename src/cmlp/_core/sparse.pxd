# Rows of X without their zeros: how they are compressed, turned into columns, and multiplied.
# CSR comes so and is read in place; dense rows with many zeros are compressed batch by batch,
# which changes no bit of any finite result.
#
# Both products of a layer with such rows are the same kernel, sums of rows of a dense matrix:
# Z[i] = sum_j x_ij B[j] over the non-zeros of row i, G[j] = sum_i x_ij D[i] of column j.

from cython cimport floating
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset
from cmlp._core.batch cimport (
    LINE_BYTES, LINES_AHEAD, convert_from, gather_x, prefetch_start, sample)
from cmlp._core.matrix cimport (
    B_UNFIT, Matrix, as_int32, as_int64, onwards, part, require, strided)
from cmlp._core.sparse_plan cimport block_width, index_at, is_copied, row_length
from cmlp._core.types cimport AS_IS, Compressed, Source, SparsePlan

cdef extern from "sparse.h" nogil:
    int SPILL "CMLP_SPILL"
    void cmlp_combine_f32(
        const Compressed* rows, Py_ssize_t segment, const Matrix* b, const Matrix* out,
        const float* start, int accumulate)
    void cmlp_combine_f64(
        const Compressed* rows, Py_ssize_t segment, const Matrix* b, const Matrix* out,
        const double* start, int accumulate)
    void cmlp_combine_f32_wide(
        const Compressed* rows, Py_ssize_t segment, const Matrix* b, const Matrix* out,
        const float* start, int accumulate)
    void cmlp_combine_f64_wide(
        const Compressed* rows, Py_ssize_t segment, const Matrix* b, const Matrix* out,
        const double* start, int accumulate)
    int32_t cmlp_compress_f32(
        const float* row, int32_t n, int32_t first, float* values, int32_t* indices)
    int32_t cmlp_compress_f64(
        const double* row, int32_t n, int32_t first, double* values, int32_t* indices)

ctypedef fused column_index:
    int32_t
    int64_t


cdef inline Compressed compressed_rows(
    const SparsePlan* plan, const Source* source, floating[::1] work,
) noexcept nogil:
    """The rows that `compress` has found: in the workspace, or in CSR itself."""
    cdef Compressed x
    x.segments = plan.row_segments
    x.begins = as_int64(&work[plan.begins])
    x.ends = as_int64(&work[plan.ends])
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
        copy_entries(source, order, start, first, last,
                     entries_before(source, order, start, first), as_int64(&work[plan.begins]),
                     as_int64(&work[plan.ends]), &work[plan.values], &work[plan.indices])
    elif source.sparse:
        locate(plan, source, order, start, first, last, work)
    elif source.conversion != AS_IS:
        gather_x(source, order, start + first, last - first,
                 &work[gathered + first * source.n_features])
        rows = source[0]
        rows.conversion = AS_IS
        rows.x = &work[gathered]
        rows.x_row = source.n_features
        rows.x_col = 1
        drop_zeros(plan, &rows, NULL, 0, first, last, work)
    else:
        drop_zeros(plan, source, order, start, first, last, work)


cdef inline Py_ssize_t entries_before(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t row,
) noexcept nogil:
    """How many entries of CSR the rows before this one of the samples that begin at start have."""
    cdef Py_ssize_t i, total = 0
    if order is NULL:
        return index_at(source.indptr, source.wide_indices, start + row) \
            - index_at(source.indptr, source.wide_indices, start)
    for i in range(start, start + row):
        total += row_length(source, sample(order, i))
    return total


cdef inline void copy_entries(
    const Source* source, const Py_ssize_t* order, Py_ssize_t start, Py_ssize_t first,
    Py_ssize_t last, Py_ssize_t at, int64_t* begins, int64_t* ends, floating* values,
    void* indices,
) noexcept nogil:
    """Copy what CSR holds of rows first..last, converted if need be, behind the `at` entries of
    the rows before, whoever copies those."""
    cdef Py_ssize_t i, row, begin, count, index_bytes = 8 if source.wide_indices else 4
    for i in range(first, last):
        row = sample(order, start + i)
        begin = index_at(source.indptr, source.wide_indices, row)
        count = row_length(source, row)
        begins[i] = at
        ends[i] = at + count
        if count == 0:  # where there are none at all, nothing may be read
            continue
        if source.conversion == AS_IS:
            memcpy(values + at, <const floating*>source.x + begin, count * sizeof(floating))
        else:
            convert_from(source, begin, 1, count, values + at)
        memcpy(<char*>indices + at * index_bytes,
               <const char*>source.indices + begin * index_bytes, count * index_bytes)
        at += count


cdef inline void locate(
    const SparsePlan* plan, const Source* source, const Py_ssize_t* order, Py_ssize_t start,
    Py_ssize_t first, Py_ssize_t last, floating[::1] work,
) noexcept nogil:
    """Where rows begin and end in CSR; they are asked for at once."""
    cdef int64_t* begins = as_int64(&work[plan.begins])
    cdef int64_t* ends = as_int64(&work[plan.ends])
    cdef bint wide = source.wide_indices
    cdef Py_ssize_t i, row, count, index_bytes = 8 if wide else 4
    for i in range(first, last):
        row = sample(order, start + i)
        begins[i] = index_at(source.indptr, wide, row)
        ends[i] = index_at(source.indptr, wide, row + 1)
        if order is not NULL:
            count = ends[i] - begins[i]
            prefetch_start(<const floating*>source.x + begins[i],
                           count * <Py_ssize_t>sizeof(floating) // LINE_BYTES + 1)
            prefetch_start(<const char*>source.indices + begins[i] * index_bytes,
                           count * index_bytes // LINE_BYTES + 1)


cdef inline void drop_zeros(
    const SparsePlan* plan, const Source* source, const Py_ssize_t* order, Py_ssize_t start,
    Py_ssize_t first, Py_ssize_t last, floating[::1] work,
) noexcept nogil:
    """Copy what is not zero. Each row has its place, so that threads can share the rows."""
    cdef floating* values = &work[plan.values]
    cdef int32_t* indices = as_int32(&work[plan.indices])
    cdef int64_t* begins = as_int64(&work[plan.begins])
    cdef int64_t* ends = as_int64(&work[plan.ends])
    cdef int32_t n = <int32_t>source.n_features, n_segments = <int32_t>plan.row_segments
    cdef int32_t width = (n + n_segments - 1) // n_segments
    cdef int32_t j, stop
    cdef Py_ssize_t i, at, segment, stride = source.x_col
    cdef const floating* row
    for i in range(first, last):
        if i + 1 < last:
            prefetch_start(<const floating*>source.x
                           + sample(order, start + i + 1) * source.x_row, LINES_AHEAD)
        row = <const floating*>source.x + sample(order, start + i) * source.x_row
        at = i * (source.n_features + SPILL)
        for segment in range(i * n_segments, (i + 1) * n_segments):
            begins[segment] = at
            j = <int32_t>(segment - i * n_segments) * width
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
            ends[segment] = at


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
    Py_ssize_t last, floating* scratch,
) noexcept nogil:
    """The entries of all rows by columns, first..last of them: a counting sort, which keeps the
    order of the rows."""
    cdef Compressed columns
    cdef floating* values = scratch + plan.column_values
    cdef int32_t* indices = as_int32(scratch + plan.column_indices)
    cdef int64_t* starts = as_int64(scratch + plan.column_starts)
    cdef int32_t* next = as_int32(scratch + plan.column_next)
    cdef const floating* from_values = <const floating*>x.values
    cdef const int32_t* short_indices = <const int32_t*>x.indices
    cdef const int64_t* wide_indices = <const int64_t*>x.indices
    cdef int32_t count, total = 0
    cdef Py_ssize_t i, j, segment, at, n_entries, n = last - first
    cdef Py_ssize_t n_segments = plan.column_segments
    cdef Py_ssize_t height = (rows + n_segments - 1) // n_segments
    columns.values = values
    columns.indices = indices
    columns.wide = False
    columns.begins = starts
    columns.ends = starts + 1
    columns.segments = n_segments
    memset(next, 0, n * sizeof(int32_t))
    for i in range(rows):
        at = x.begins[i * x.segments]            # the segments of a row follow one another
        n_entries = x.ends[(i + 1) * x.segments - 1] - at
        if x.wide:
            count_columns(wide_indices + at, n_entries, first, n, next)
        else:
            count_columns(short_indices + at, n_entries, first, n, next)
    for j in range(n):
        count = next[j]
        next[j] = total
        total += count
    for segment in range(n_segments):
        for j in range(n):
            starts[j * n_segments + segment] = next[j]
        for i in range(min(rows, segment * height), min(rows, (segment + 1) * height)):
            at = x.begins[i * x.segments]
            n_entries = x.ends[(i + 1) * x.segments - 1] - at
            if x.wide:
                deal_out(wide_indices + at, from_values + at, n_entries, <int32_t>i, first, n,
                         next, values, indices)
            else:
                deal_out(short_indices + at, from_values + at, n_entries, <int32_t>i, first, n,
                         next, values, indices)
    starts[n * n_segments] = total
    return columns


cdef inline void combine(
    const Compressed* x, Py_ssize_t first, Matrix b, Matrix out, const floating* start,
    bint accumulate,
) noexcept nogil:
    """out = X B [+ start, a row] [+ out] for rows first.. of X; a row of out fits in registers."""
    cdef Py_ssize_t segment, at = first * x.segments
    cdef bint add
    for segment in range(x.segments):
        add = accumulate or segment > 0
        if floating is float:
            if x.wide:
                cmlp_combine_f32_wide(x, at + segment, &b, &out, start, add)
            else:
                cmlp_combine_f32(x, at + segment, &b, &out, start, add)
        else:
            if x.wide:
                cmlp_combine_f64_wide(x, at + segment, &b, &out, start, add)
            else:
                cmlp_combine_f64(x, at + segment, &b, &out, start, add)


cdef inline Matrix pack_columns(Matrix b, floating* pack, Py_ssize_t width) noexcept nogil:
    """A copy of B whose rows are `width` apart; what is beyond its columns is not read."""
    cdef Py_ssize_t i
    for i in range(b.rows):
        memcpy(pack + i * width, <const floating*>b.data + i * b.row_stride,
               b.cols * sizeof(floating))
    return strided(pack, b.rows, b.cols, width, 1)


cdef inline void sparse_affine(
    const SparsePlan* plan, const Compressed* x, Py_ssize_t first, Matrix b,
    const floating* bias, Matrix z, floating* scratch,
) noexcept nogil:
    """Z (rows, n) = X B [+ bias, a row] for rows first.. of X and B (k, n)."""
    cdef Py_ssize_t n = z.cols, width = block_width(n, sizeof(floating)), j = 0, cols
    cdef Matrix columns
    require(b.cols == n, B_UNFIT)
    while j < n:
        cols = min(width, n - j)
        columns = part(b, 0, j, b.rows, cols, sizeof(floating))
        if plan.packs_b:
            columns = pack_columns(columns, scratch + plan.pack, width)
        combine(x, first, columns, part(z, 0, j, z.rows, cols, sizeof(floating)),
                onwards(bias, j), False)
        j += width


cdef inline void pack_delta(
    const SparsePlan* plan, Matrix delta, floating* scratch,
) noexcept nogil:
    """D (rows, n) in blocks of columns with aligned rows, for the gradients of several slabs."""
    cdef Py_ssize_t n = delta.cols, width = block_width(n, sizeof(floating)), j = 0
    while j < n:
        pack_columns(part(delta, 0, j, delta.rows, min(width, n - j), sizeof(floating)),
                     scratch + plan.pack + j * delta.rows, width)
        j += width


cdef inline void sparse_coef_gradient(
    const SparsePlan* plan, const Compressed* columns, Py_ssize_t first, Py_ssize_t rows,
    Matrix grad, bint accumulate, floating* scratch,
) noexcept nogil:
    """G (count, n) = X.T D [+ G] for columns first.. of those transposed, and D (rows, n) packed
    by pack_delta."""
    cdef Py_ssize_t n = grad.cols, width = block_width(n, sizeof(floating)), j = 0, cols
    while j < n:
        cols = min(width, n - j)
        combine(columns, first, strided(scratch + plan.pack + j * rows, rows, cols, width, 1),
                part(grad, 0, j, grad.rows, cols, sizeof(floating)), <const floating*>NULL,
                accumulate)
        j += width
