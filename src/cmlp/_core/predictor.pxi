# The shortest ways from arrays to the engine: rows to outputs or labels in one call. What a fast
# way is not made for it answers with None, before anything was done. Included by engine.pxi.

cdef extern from "numpy/arrayobject.h":
    # with pointers: the last array may be NULL
    object take "PyArray_TakeFrom"(PyObject*, PyObject*, int, PyObject*, cnp.NPY_CLIPMODE)

cdef enum:
    PRODUCTS_WITH_GIL = 200_000       # about 10 us: less is not worth letting go of the GIL
    PRODUCTS_HERE = 4_000_000         # more may be worth threads, which predict() starts
    KEPT_WORKSPACE_BYTES = 65_536     # what a Predictor keeps from one call to the next


cdef inline bint finite_vector(
    const floating* x, Py_ssize_t n, Py_ssize_t stride,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef int bad = 0
    cdef floating largest = FLT_MAX if floating is float else DBL_MAX
    if stride == 1:
        for i in range(n):
            bad |= not (-largest <= x[i] <= largest)
    else:
        for i in range(n):
            bad |= not (-largest <= x[i * stride] <= largest)
    return not bad


cdef inline bint finite_rows(
    const floating* x, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t row, Py_ssize_t col,
) noexcept nogil:
    """Whether all x[i row + j col] are finite."""
    cdef Py_ssize_t i
    if col == 1 and row == cols:
        return finite_vector(x, rows * cols, 1)
    if row == 1:       # Fortran order: along the columns
        rows, cols, row, col = cols, rows, col, row
    for i in range(rows):
        if not finite_vector(x + i * row, cols, col):
            return False
    return True


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


def is_plain_and_finite(array):
    """Whether an array is a plain one of finite float32 or float64 numbers.

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
        return finite_source(&source, cnp.PyArray_TYPE(<cnp.ndarray>array))
    type_num = cnp.PyArray_TYPE(<cnp.ndarray>array)
    with nogil:
        finite = finite_source(&source, type_num)
    return finite


cdef bint finite_source(const Source* source, int type_num) noexcept nogil:
    if type_num == cnp.NPY_FLOAT32:
        return finite_rows(<const float*>source.x, source.n_samples, source.n_features,
                           source.x_row, source.x_col)
    return finite_rows(<const double*>source.x, source.n_samples, source.n_features,
                       source.x_row, source.x_col)


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
    """Views on a contiguous vector, one for each (start, n) or (start, n_rows, n_columns)."""
    cdef list made = []
    cdef tuple place
    cdef cnp.ndarray view
    cdef cnp.npy_intp[2] shape
    cdef Py_ssize_t start
    if cnp.PyArray_NDIM(vector) != 1 or not cnp.PyArray_ISCARRAY(vector):
        raise ValueError("Not a contiguous vector.")
    for place in places:
        start = place[0]
        shape[0] = place[1]
        shape[1] = place[2] if len(place) == 3 else 1
        if start < 0 or shape[0] < 0 or shape[1] < 1 \
                or shape[0] > (cnp.PyArray_DIM(vector, 0) - start) // shape[1]:
            raise ValueError("A view leads out of the vector.")
        view = cnp.PyArray_SimpleNewFromData(
            len(place) - 1, shape, cnp.PyArray_TYPE(vector),
            cnp.PyArray_BYTES(vector) + start * cnp.PyArray_ITEMSIZE(vector))
        cnp.set_array_base(view, vector)
        made.append(view)
    return made


cdef bint predict_flushed(
    const Net* net, const Source* source, const Plan* plan, const floating[::1] params,
    floating[::1] work, floating* out,
) noexcept nogil:
    """All rows by this thread, denormals as zero; False if not all rows are finite."""
    cdef fp_state before = flush_denormals()
    cdef bint finite = predict_rows(
        net, source, plan, 0, source.n_samples, params, work, 0, out, True)
    fp_restore(before)
    return finite


cdef class Predictor:
    """A network that predicts for its owner, as long as the owner does not change.

    Every method takes the attributes of the owner and X, and returns None if the attributes are
    no longer those that the predictor was made for, or if X is not a plain array of finite
    numbers of the dtype of the vector: the owner then validates X and finds its own way. Threads
    may share a predictor.

    Parameters
    ----------
    layout : Layout
    vector : ndarray of shape (n_params,)
        The parameters; changes in place are seen.
    lists : dict of str to list
        Attributes that must be lists of these very items.
    values : dict of str to object
        Attributes that must be equal to these.
    absent : tuple of str
        Attributes that must not be there.
    """

    cdef Layout layout
    cdef int type_num
    cdef const float[::1] params32
    cdef const double[::1] params64
    cdef float[::1] work32
    cdef double[::1] work64
    cdef Py_ssize_t kept_rows            # the kept workspace is one for up to so many
    cdef PyThread_type_lock kept_in_use
    cdef list lists
    cdef list values
    cdef tuple absent

    def __cinit__(self, Layout layout not None, vector, dict lists, dict values, tuple absent):
        cdef Py_ssize_t itemsize = vector.dtype.itemsize
        cdef Source dense
        if vector.size != layout.net.n_params:
            raise ValueError("The parameter vector does not fit the network.")
        self.layout = layout
        self.lists = [(name, tuple(items)) for name, items in lists.items()]
        self.values = list(values.items())
        self.absent = absent
        self.kept_rows = 1
        memset(&dense, 0, sizeof(dense))
        dense.density = 1
        while self.kept_rows < PREDICT_ROWS and itemsize * plan_workspace(
                &layout.net, &dense, 2 * self.kept_rows, 1, itemsize).size <= KEPT_WORKSPACE_BYTES:
            self.kept_rows *= 2
        work = layout.workspace(self.kept_rows, vector.dtype)
        if vector.dtype == np.float32:
            self.type_num = cnp.NPY_FLOAT32
            self.params32, self.work32 = vector, work
        else:
            self.type_num = cnp.NPY_FLOAT64
            self.params64, self.work64 = vector, work
        self.kept_in_use = PyThread_allocate_lock()
        if self.kept_in_use is NULL:
            raise MemoryError()

    def __dealloc__(self):
        if self.kept_in_use is not NULL:
            PyThread_free_lock(self.kept_in_use)

    cpdef bint applies(self, dict attributes):
        """Whether the owner still is what the predictor was made for."""
        cdef tuple items
        cdef list present
        cdef Py_ssize_t i
        for name, items in self.lists:
            found = attributes.get(name)
            if type(found) is not list:
                return False
            present = <list>found
            if len(present) != len(items):
                return False
            for i in range(len(items)):
                if present[i] is not items[i]:
                    return False
        for name, value in self.values:
            found = attributes.get(name)
            if found is not value and (type(found) is not type(value) or found != value):
                return False
        for name in self.absent:
            if name in attributes:
                return False
        return True

    cdef cnp.ndarray run(self, dict attributes, X, int ndim, Py_ssize_t columns):
        """The outputs, at the start of a new array of so many dimensions and columns, or None."""
        cdef Source source
        cdef cnp.npy_intp[2] shape
        cdef cnp.ndarray out
        cdef bint done
        if not plain_source(X, &source) or cnp.PyArray_TYPE(<cnp.ndarray>X) != self.type_num \
                or source.n_features != self.layout.net.n_features \
                or source.n_samples * self.layout.net.n_coefs > PRODUCTS_HERE \
                or not self.applies(attributes):
            return None
        shape[0] = source.n_samples
        shape[1] = columns
        out = cnp.PyArray_EMPTY(ndim, shape, self.type_num, 0)
        if self.type_num == cnp.NPY_FLOAT32:
            done = self.fill(&source, self.params32, self.work32, <float*>cnp.PyArray_DATA(out))
        else:
            done = self.fill(&source, self.params64, self.work64, <double*>cnp.PyArray_DATA(out))
        return out if done else None

    cdef bint fill(
        self, Source* source, const floating[::1] params, floating[::1] kept, floating* out,
    ) except *:
        cdef Net* net = &self.layout.net
        cdef Py_ssize_t n = source.n_samples
        count_zeros(source, sizeof(floating))
        cdef Plan plan = plan_workspace(
            net, source, max(1, min(n, <Py_ssize_t>PREDICT_ROWS)), 1, sizeof(floating))
        cdef bint done
        cdef bint use_kept = plan.size <= kept.shape[0] \
            and PyThread_acquire_lock(self.kept_in_use, NOWAIT_LOCK)
        cdef floating[::1] work
        if use_kept:
            if n * net.n_coefs <= PRODUCTS_WITH_GIL:
                done = predict_flushed(net, source, &plan, params, kept, out)
            else:
                with nogil:
                    done = predict_flushed(net, source, &plan, params, kept, out)
            PyThread_release_lock(self.kept_in_use)
        else:
            work = aligned_vector(
                plan.size, np.dtype(np.float32 if floating is float else np.float64))
            with nogil:
                done = predict_flushed(net, source, &plan, params, work, out)
        return done

    def outputs(self, dict attributes not None, X):
        """The output activations (n_samples, n_outputs)."""
        return self.run(attributes, X, 2, self.layout.net.n_outputs)

    def values_(self, dict attributes not None, X):
        """The output activations, (n_samples,) if there is one output."""
        cdef Py_ssize_t n_outputs = self.layout.net.n_outputs
        return self.run(attributes, X, 1 if n_outputs == 1 else 2, n_outputs)

    def probabilities(self, dict attributes not None, X):
        """The output activations, with their complement in front if there is one output."""
        cdef Py_ssize_t n_outputs = self.layout.net.n_outputs
        cdef cnp.ndarray out = self.run(attributes, X, 2, 2 if n_outputs == 1 else n_outputs)
        if out is None or n_outputs > 1:
            return out
        if self.type_num == cnp.NPY_FLOAT32:
            add_complement(<float*>cnp.PyArray_DATA(out), cnp.PyArray_DIM(out, 0))
        else:
            add_complement(<double*>cnp.PyArray_DATA(out), cnp.PyArray_DIM(out, 0))
        return out

    def labels(self, dict attributes not None, X, classes):
        """The class of the largest output, or for one output that of output > 0.5, (n_samples,).

        None also if classes are not a vector, or for one output not two.
        """
        cdef Py_ssize_t n_outputs = self.layout.net.n_outputs
        cdef cnp.ndarray out, chosen
        cdef cnp.npy_intp n_samples, n_classes = 2 if n_outputs == 1 else n_outputs
        if not cnp.PyArray_CheckExact(classes) or cnp.PyArray_NDIM(<cnp.ndarray>classes) != 1 \
                or cnp.PyArray_DIM(<cnp.ndarray>classes, 0) != n_classes:
            return None
        out = self.run(attributes, X, 2, n_outputs)
        if out is None:
            return None
        n_samples = cnp.PyArray_DIM(out, 0)
        chosen = cnp.PyArray_EMPTY(1, &n_samples, cnp.NPY_INTP, 0)
        if self.type_num == cnp.NPY_FLOAT32:
            choose(<float*>cnp.PyArray_DATA(out), n_samples, n_outputs,
                   <cnp.npy_intp*>cnp.PyArray_DATA(chosen))
        else:
            choose(<double*>cnp.PyArray_DATA(out), n_samples, n_outputs,
                   <cnp.npy_intp*>cnp.PyArray_DATA(chosen))
        return take(<PyObject*>classes, <PyObject*>chosen, 0, NULL, cnp.NPY_CLIP)


cdef inline void add_complement(floating* p, Py_ssize_t n) noexcept nogil:
    """From n numbers p to n pairs (1 - p, p), in place."""
    cdef Py_ssize_t i
    cdef floating value
    for i in range(n - 1, -1, -1):
        value = p[i]
        p[2 * i] = 1 - value
        p[2 * i + 1] = value


cdef inline void choose(
    const floating* p, Py_ssize_t rows, Py_ssize_t cols, cnp.npy_intp* chosen,
) noexcept nogil:
    """The first largest of each row, a NaN being the largest; of one column, whether > 0.5."""
    cdef Py_ssize_t i, j, best
    cdef const floating* row
    for i in range(rows):
        row = p + i * cols
        best = 0
        if cols == 1:
            best = row[0] > 0.5
        for j in range(1, cols):
            if row[best] != row[best]:
                break
            if not (row[j] <= row[best]):
                best = j
        chosen[i] = best
