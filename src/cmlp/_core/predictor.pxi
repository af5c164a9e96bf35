# The shortest way from rows to outputs or labels, in one call. What it is not made for it answers
# with None, before anything was done. What a plain array is: plain.pxi. Included by engine.pxi.
# uses: dataset.pxi, layout.pxi, limits.pxi, plain.pxi, predict.pxi
# gives: Predictor

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyArrayObject:
        pass
    # with pointers: the last array may be NULL
    object take "PyArray_TakeFrom"(
        PyArrayObject* array, PyObject* indices, int axis, PyArrayObject* out,
        cnp.NPY_CLIPMODE mode)


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
    numbers of the dtype of the vector (or, if it converts, of the other): the owner then
    validates X and finds its own way. Threads may share a predictor.

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
    converts : bool
        Whether X may be float32 or float64, whatever the vector is.
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
    cdef bint converts

    def __cinit__(
        self, Layout layout not None, vector, dict lists, dict values, tuple absent,
        bint converts=False,
    ):
        cdef Py_ssize_t itemsize = vector.dtype.itemsize
        cdef Source dense
        if vector.size != layout.net.n_params:
            raise ValueError("The parameter vector does not fit the network.")
        self.layout = layout
        self.lists = [(name, tuple(items)) for name, items in lists.items()]
        self.values = list(values.items())
        self.absent = absent
        self.converts = converts
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
        if not plain_source(X, &source) \
                or source.n_features != self.layout.net.n_features \
                or source.n_samples * self.products_of_row() > PRODUCTS_HERE \
                or not self.applies(attributes):
            return None
        if cnp.PyArray_TYPE(<cnp.ndarray>X) != self.type_num:
            if not self.converts:
                return None
            source.conversion = FROM_OTHER
        count_zeros(&source, cnp.PyArray_ITEMSIZE(<cnp.ndarray>X))
        shape[0] = source.n_samples
        shape[1] = columns
        out = cnp.PyArray_EMPTY(ndim, shape, self.type_num, 0)
        if self.type_num == cnp.NPY_FLOAT32:
            done = self.fill(&source, self.params32, self.work32, <float*>cnp.PyArray_DATA(out))
        else:
            done = self.fill(&source, self.params64, self.work64, <double*>cnp.PyArray_DATA(out))
        return out if done else None

    cdef Py_ssize_t products_of_row(self):
        return self.layout.net.n_members * self.layout.net.n_coefs

    cdef bint fill(
        self, Source* source, const floating[::1] params, floating[::1] kept, floating* out,
    ) except *:
        cdef Net* net = &self.layout.net
        cdef Py_ssize_t n = source.n_samples
        cdef Plan plan = plan_workspace(
            net, source, samples_at_once(net, n, PREDICT_ROWS), 1, sizeof(floating))
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
        return take(<PyArrayObject*>classes, <PyObject*>chosen, 0, NULL, cnp.NPY_CLIP)


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
