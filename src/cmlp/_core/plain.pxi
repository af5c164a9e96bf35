# Plain arrays: what validation would hand back as it is, looked at in one call, and the arrays
# that short ways make of others. What is not plain is answered with no or None. Included by
# engine.pxi.
# uses: limits.pxi
# gives: finite_block, plain_source, is_plain_and_finite, indicator, views

#: The largest float64 that rounds to a finite float32.
cdef double LARGEST_ROUNDED = np.nextafter(float.fromhex("0x1.ffffffp127"), 0.0)


cdef inline bint finite_vector(
    const floating* x, Py_ssize_t n, Py_ssize_t stride, floating largest,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef int bad = 0
    if stride == 1:
        for i in range(n):
            bad |= not (-largest <= x[i] <= largest)
    else:
        for i in range(n):
            bad |= not (-largest <= x[i * stride] <= largest)
    return not bad


cdef inline bint finite_rows(
    const floating* x, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t row, Py_ssize_t col,
    bint as_float32,
) noexcept nogil:
    """Whether all x[i row + j col] are finite, also as float32 if so asked."""
    cdef Py_ssize_t i
    cdef floating largest = FLT_MAX if floating is float else DBL_MAX
    if as_float32 and floating is double:
        largest = LARGEST_ROUNDED
    if col == 1 and row == cols:
        return finite_vector(x, rows * cols, 1, largest)
    if row == 1:       # Fortran order: along the columns
        rows, cols, row, col = cols, rows, col, row
    for i in range(rows):
        if not finite_vector(x + i * row, cols, col, largest):
            return False
    return True


cdef inline bint finite_block(
    const Source* source, Py_ssize_t first, Py_ssize_t rows, const floating* tag,
) noexcept nogil:
    """Whether so many rows of dense X are finite in the dtype of the computation.

    tag is never read: no other argument tells the compiler the dtype.
    """
    cdef Py_ssize_t at = first * source.x_row
    cdef bint single = sizeof(floating) == sizeof(float)
    if single == (source.conversion != FROM_OTHER):
        return finite_rows(<const float*>source.x + at, rows, source.n_features, source.x_row,
                           source.x_col, False)
    return finite_rows(<const double*>source.x + at, rows, source.n_features, source.x_row,
                       source.x_col, single)


cdef inline bint is_plain(array) noexcept:
    """Whether it is an ndarray, of no subclass, of native and aligned float32 or float64."""
    cdef int type_num
    if not cnp.PyArray_CheckExact(array):
        return False
    type_num = cnp.PyArray_TYPE(<cnp.ndarray>array)
    return (type_num == cnp.NPY_FLOAT32 or type_num == cnp.NPY_FLOAT64) \
        and cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>array)


cdef inline bint plain_source(array, Source* source) noexcept:
    """Describe plain rows that strides in elements can describe; False if array is not such."""
    cdef cnp.ndarray rows
    cdef Py_ssize_t itemsize
    if not is_plain(array):
        return False
    rows = <cnp.ndarray>array
    if cnp.PyArray_NDIM(rows) != 2:
        return False
    itemsize = cnp.PyArray_ITEMSIZE(rows)
    memset(source, 0, sizeof(Source))
    source.n_samples = cnp.PyArray_DIM(rows, 0)
    source.n_features = cnp.PyArray_DIM(rows, 1)
    source.x = cnp.PyArray_DATA(rows)
    # the stride of a single row or column is of no use and may be anything
    if source.n_features == 1:
        source.x_col = 1
    elif cnp.PyArray_STRIDE(rows, 1) % itemsize == 0:
        source.x_col = cnp.PyArray_STRIDE(rows, 1) // itemsize
    else:
        return False
    if source.n_samples == 1:
        source.x_row = source.n_features
    elif cnp.PyArray_STRIDE(rows, 0) % itemsize == 0:
        source.x_row = cnp.PyArray_STRIDE(rows, 0) // itemsize
    else:
        return False
    return source.n_samples > 0 and source.n_features > 0


def is_plain_and_finite(array, bint as_float32=False):
    """Whether an array is a plain one of finite float32 or float64 numbers.

    as_float32: they must be finite when they are rounded to float32, too.

    Plain: of one or two dimensions, neither of them empty, of no subclass of ndarray, native,
    aligned, with strides that are multiples of the itemsize: an array that validation would
    hand back as it is, and that the engine reads in place.
    """
    cdef Source source
    cdef cnp.ndarray vector
    cdef Py_ssize_t itemsize
    cdef int type_num
    cdef bint finite
    if cnp.PyArray_CheckExact(array) and cnp.PyArray_NDIM(<cnp.ndarray>array) == 1:
        vector = <cnp.ndarray>array
        itemsize = cnp.PyArray_ITEMSIZE(vector)
        if not is_plain(array) or cnp.PyArray_DIM(vector, 0) < 1 \
                or cnp.PyArray_DIM(vector, 0) > 1 and cnp.PyArray_STRIDE(vector, 0) % itemsize:
            return False
        source.n_samples = 1
        source.n_features = cnp.PyArray_DIM(vector, 0)
        source.x = cnp.PyArray_DATA(vector)
        source.x_row = source.n_features
        source.x_col = cnp.PyArray_STRIDE(vector, 0) // itemsize
    elif not plain_source(array, &source):
        return False
    if source.n_samples * source.n_features <= PRODUCTS_WITH_GIL:
        return finite_source(&source, cnp.PyArray_TYPE(<cnp.ndarray>array), as_float32)
    type_num = cnp.PyArray_TYPE(<cnp.ndarray>array)
    with nogil:
        finite = finite_source(&source, type_num, as_float32)
    return finite


cdef bint finite_source(const Source* source, int type_num, bint as_float32) noexcept nogil:
    if type_num == cnp.NPY_FLOAT32:
        return finite_rows(<const float*>source.x, source.n_samples, source.n_features,
                           source.x_row, source.x_col, as_float32)
    return finite_rows(<const double*>source.x, source.n_samples, source.n_features,
                       source.x_row, source.x_col, as_float32)


def indicator(labels, classes):
    """Which of the sorted classes each label is, as a bool matrix (n_labels, n_classes).

    One column, for the second class, if there are but one or two. None if the labels are not all
    among the classes, or if the two are not native vectors of int64.
    """
    cdef cnp.ndarray one, other, matrix
    cdef cnp.npy_intp[2] shape
    cdef Py_ssize_t stride
    cdef bint known
    for vector in (labels, classes):
        if not cnp.PyArray_CheckExact(vector) \
                or cnp.PyArray_TYPE(<cnp.ndarray>vector) != cnp.NPY_INT64 \
                or cnp.PyArray_NDIM(<cnp.ndarray>vector) != 1 \
                or not cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>vector) \
                or cnp.PyArray_DIM(<cnp.ndarray>vector, 0) < 1:
            return None
    one, other = labels, classes
    if not cnp.PyArray_IS_C_CONTIGUOUS(other) or cnp.PyArray_STRIDE(one, 0) % sizeof(int64_t):
        return None
    stride = cnp.PyArray_STRIDE(one, 0) // <Py_ssize_t>sizeof(int64_t)
    shape[0] = cnp.PyArray_DIM(one, 0)
    shape[1] = cnp.PyArray_DIM(other, 0)
    if shape[1] == 2:
        shape[1] = 1
    matrix = cnp.PyArray_ZEROS(2, shape, cnp.NPY_BOOL, 0)
    with nogil:
        known = mark_labels(
            <const int64_t*>cnp.PyArray_DATA(one), shape[0], stride,
            <const int64_t*>cnp.PyArray_DATA(other), cnp.PyArray_DIM(other, 0),
            <uint8_t*>cnp.PyArray_DATA(matrix))
    return matrix if known else None


cdef bint mark_labels(
    const int64_t* labels, Py_ssize_t n, Py_ssize_t stride,
    const int64_t* classes, Py_ssize_t n_classes, uint8_t* matrix,
) noexcept nogil:
    """Fill the zeros of an indicator matrix; False at a label that is no class."""
    cdef Py_ssize_t i, low, high, middle
    cdef int64_t label
    for i in range(n):
        label = labels[i * stride]
        low = 0
        high = n_classes - 1
        while low < high:
            middle = (low + high) // 2
            if classes[middle] < label:
                low = middle + 1
            else:
                high = middle
        if classes[low] != label:
            return False
        if n_classes > 2:
            matrix[i * n_classes + low] = 1
        else:
            matrix[i] = low == 1
    return True


def views(cnp.ndarray vector not None, list places not None):
    """Views on a contiguous vector, one for each (start, n), (start, n, m) or (start, n, m, k)."""
    cdef list made = []
    cdef tuple place
    cdef cnp.ndarray view
    cdef cnp.npy_intp[3] shape
    cdef Py_ssize_t start
    if cnp.PyArray_NDIM(vector) != 1 or not cnp.PyArray_ISCARRAY(vector):
        raise ValueError("Not a contiguous vector.")
    for place in places:
        start = place[0]
        shape[0] = place[1]
        shape[1] = place[2] if len(place) > 2 else 1
        shape[2] = place[3] if len(place) > 3 else 1
        if len(place) > 4 or start < 0 or shape[0] < 0 or shape[1] < 1 or shape[2] < 1 \
                or shape[0] > (cnp.PyArray_DIM(vector, 0) - start) // shape[1] // shape[2]:
            raise ValueError("A view leads out of the vector.")
        view = cnp.PyArray_SimpleNewFromData(
            len(place) - 1, shape, cnp.PyArray_TYPE(vector),
            cnp.PyArray_BYTES(vector) + start * cnp.PyArray_ITEMSIZE(vector))
        cnp.set_array_base(view, vector)
        made.append(view)
    return made
