# When rows of X go without their zeros, in how many segments, and where they lie in the workspace:
# integers only. What is done with them is in sparse.pxd.

from cython cimport floating
from libc.stdint cimport INT32_MAX, int32_t, int64_t
from libc.string cimport memset
from cmlp._core.batch cimport sample
from cmlp._core.linalg cimport VECTOR_BYTES, aligned
from cmlp._core.types cimport AS_IS, Source, SparsePlan

cdef extern from "sparse.h" nogil:
    int SUMS "CMLP_SUMS"
    int SPILL "CMLP_SPILL"

cdef enum:
    # dense rows are compressed up to MAX_PERCENT of non-zeros, up to half of that where a row of
    # weights has HALF_BYTES: below, the work on an entry itself counts (see docs/performance.md)
    MAX_PERCENT = 40
    HALF_BYTES = 80            # with vectors of 64 bytes
    HALF_BYTES_NARROW = 200    # with others, for which rows are compressed one by one
    SAMPLED_ROWS = 64          # of dense X, in which zeros are counted
    FEWEST_ROWS = 16           # of dense X, for counting to pay
    SEGMENT_BYTES = 49152        # of the dense matrix that one pass reads: about L1
    SEGMENT_TERMS = 8            # non-zeros of a row in one: with fewer, sums in memory dominate
    PACK_WIDTH = 192           # B is packed from this many columns on: its strided rows alias
    PACK_USES = 4              # and if each of its rows is used so many times


cdef inline Py_ssize_t index_at(
    const void* indices, bint wide, Py_ssize_t i,
) noexcept nogil:
    return (<const int64_t*>indices)[i] if wide else (<const int32_t*>indices)[i]


cdef inline Py_ssize_t row_length(const Source* source, Py_ssize_t row) noexcept nogil:
    """Entries of a row of CSR."""
    return index_at(source.indptr, source.wide_indices, row + 1) \
        - index_at(source.indptr, source.wide_indices, row)


cdef inline Py_ssize_t lanes(size_t itemsize) noexcept nogil:
    return <Py_ssize_t>(VECTOR_BYTES // itemsize)


cdef inline Py_ssize_t padded(Py_ssize_t n, size_t itemsize) noexcept nogil:
    """n rounded up to whole vectors."""
    return (n + lanes(itemsize) - 1) // lanes(itemsize) * lanes(itemsize)


cdef inline Py_ssize_t block_width(Py_ssize_t n, size_t itemsize) noexcept nogil:
    """Columns that are summed at once: n in blocks of about the same number of vectors."""
    cdef Py_ssize_t vectors = padded(n, itemsize) // lanes(itemsize)
    cdef Py_ssize_t blocks = (vectors + SUMS - 1) // SUMS
    return (vectors + blocks - 1) // blocks * lanes(itemsize)


cdef inline double density(const Source* source, floating* tag) noexcept nogil:
    """The share of non-zeros in dense X, by a sample of its rows; 1 if there are few.

    tag is never read: no other argument tells the compiler the dtype.
    """
    cdef Py_ssize_t i, j, count = 0, rows = min(source.n_samples // 4, <Py_ssize_t>SAMPLED_ROWS)
    cdef const floating* row
    if source.n_samples < FEWEST_ROWS:
        return 1
    for i in range(rows):
        row = <const floating*>source.x + i * (source.n_samples // rows) * source.x_row
        for j in range(source.n_features):
            count += row[j * source.x_col] != 0
    return <double>count / <double>(rows * source.n_features)


cdef inline bint drops_zeros(
    const Source* source, Py_ssize_t rows, Py_ssize_t n, size_t itemsize,
) noexcept nogil:
    """Whether batches of so many rows are compressed for a first layer of n units."""
    cdef double row_bytes = <double>n * <double>itemsize
    cdef double half = HALF_BYTES if VECTOR_BYTES == 64 else HALF_BYTES_NARROW
    if source.sparse:
        return True
    return (rows > 1 and 100 * source.density <= MAX_PERCENT * row_bytes / (row_bytes + half)
            and rows * (source.n_features + SPILL) <= INT32_MAX)


cdef inline Py_ssize_t entries(const Source* source, Py_ssize_t rows) noexcept nogil:
    """At most so many in a batch of so many rows, none of them twice."""
    if source.sparse:
        return min(source.n_entries, rows * source.row_entries)
    return rows * (source.n_features + SPILL)


cdef inline Py_ssize_t most_entries(
    const Source* source, const Py_ssize_t* order, Py_ssize_t n, Py_ssize_t batch_size,
    Py_ssize_t rows,
) noexcept nogil:
    """Of CSR, in the batches of the order or in so many rows of one."""
    cdef Py_ssize_t i, total = 0, most = 0
    for i in range(n):
        if i % batch_size % rows == 0:
            total = 0
        total += row_length(source, sample(order, i))
        most = max(most, total)
    return most


cdef inline Py_ssize_t segments(
    Py_ssize_t k, Py_ssize_t n, double terms, size_t itemsize,
) noexcept nogil:
    """Into how many segments of rows B (k, n) is cut, so that each stays in L1.

    terms: rows of B in one sum of the result, on average.
    """
    cdef Py_ssize_t bytes = k * block_width(n, itemsize) * <Py_ssize_t>itemsize
    cdef Py_ssize_t wanted = (bytes + SEGMENT_BYTES - 1) // SEGMENT_BYTES
    return max(1, min(wanted, <Py_ssize_t>(terms / SEGMENT_TERMS)))


cdef inline bint is_copied(const Source* source) noexcept nogil:
    """Whether entries are copied to the workspace; CSR of the right dtype is read in place."""
    return not source.sparse or source.conversion != AS_IS


cdef inline SparsePlan plan_sparse(
    const Source* source, Py_ssize_t rows, Py_ssize_t n, size_t itemsize, Py_ssize_t at,
) noexcept nogil:
    """Where compressed rows lie in the workspace, from `at` on, and what each thread has.

    rows: of a batch at most; n: units of the first layer.
    """
    cdef SparsePlan plan
    cdef Py_ssize_t k = source.n_features, width = block_width(n, itemsize)
    # elements of the workspace that n int32 and n int64 take
    cdef Py_ssize_t shorts = <Py_ssize_t>itemsize // 4, room, mean
    cdef double longs = 8.0 / <double>itemsize
    memset(&plan, 0, sizeof(plan))
    plan.end = at
    if not drops_zeros(source, rows, n, itemsize):
        return plan
    plan.used = True
    room = entries(source, rows)
    if source.sparse:
        mean = <Py_ssize_t>(<double>source.n_entries / <double>source.n_samples * <double>rows)
        plan.row_segments = 1              # its rows need not be sorted by columns
    else:
        mean = <Py_ssize_t>(source.density * <double>(rows * k))
        plan.row_segments = segments(k, n, source.density * <double>k, itemsize)
    plan.column_segments = segments(rows, n, <double>mean / <double>k, itemsize)
    plan.packs_b = n >= PACK_WIDTH and mean >= PACK_USES * k

    plan.begins = at
    plan.ends = plan.begins + aligned(<Py_ssize_t>(longs * rows * plan.row_segments) + 1)
    plan.values = plan.ends + aligned(<Py_ssize_t>(longs * rows * plan.row_segments) + 1)
    plan.end = plan.values
    if is_copied(source):
        plan.indices = plan.values + aligned(room)
        plan.end = plan.indices + aligned(
            room * (2 if source.sparse and source.wide_indices else 1) // shorts + 1)

    plan.column_starts = 0
    plan.column_next = aligned(<Py_ssize_t>(longs * (k * plan.column_segments + 1)) + 1)
    plan.column_values = plan.column_next + aligned(k // shorts + 1)
    plan.column_indices = plan.column_values + aligned(room)
    plan.pack = plan.column_indices + aligned(room // shorts + 1)
    plan.thread_scratch_size = plan.pack + aligned(max(
        rows * width * ((n + width - 1) // width), k * width if plan.packs_b else 0))
    return plan
