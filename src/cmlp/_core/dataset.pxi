# Dataset: the arrays of one fit or predict, checked once and handed to the kernels as addresses
# and strides. Included by engine.pxi, which imports.
# uses: limits.pxi, plain.pxi
# gives: Dataset, check_bounds, check_compressed, check_conversion, count_zeros

cdef class Dataset:
    """The samples of one fit or predict, as the kernels read them. Nothing is copied.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), any strides, or CSR
        float32 or float64.
    y : ndarray of shape (n_samples, n_outputs), C-contiguous, dtype or bool, optional
    sample_weight : ndarray of shape (n_samples,), C-contiguous, dtype, optional
    dtype : np.dtype, float32 or float64, optional
        Of the computation; that of X if not given. Rows of X are converted as they are gathered.
    rounded : bool
        Whether float64 X counts as rounded to float32.
    y_scale, y_shift : float
        What is learnt of a bool y is y_scale * y + y_shift: smoothed labels.
    """

    cdef Source source
    cdef tuple owners            # the arrays whose addresses the source holds
    cdef readonly object dtype

    def __cinit__(
        self, X, y=None, sample_weight=None, dtype=None, bint rounded=False,
        double y_scale=1, double y_shift=0,
    ):
        self.dtype = X.dtype if dtype is None else dtype
        self.owners = (X, y, sample_weight)
        if not plain_source(X, &self.source):
            self.set_source(X)
        if self.dtype != X.dtype:
            if self.dtype not in (np.float32, np.float64):
                raise TypeError(f"The computation must be in float32 or float64, not {dtype}.")
            self.source.conversion = FROM_OTHER
        elif rounded and X.dtype == np.float64:
            self.source.conversion = ROUNDED
        if not self.source.sparse:
            count_zeros(&self.source, X.dtype.itemsize)
        self.source.y_scale = y_scale
        self.source.y_shift = y_shift
        if y is not None:
            self.set_targets(y)
        if sample_weight is not None:
            if sample_weight.dtype != self.dtype or sample_weight.shape != (X.shape[0],):
                raise ValueError("sample_weight must have one entry per row and the dtype of X.")
            self.source.weight = vector_address(sample_weight)

    def __len__(self):
        return self.source.n_samples

    cdef set_source(self, X):
        """What is not a plain array, or an error that says what X is instead."""
        if X.dtype not in (np.float32, np.float64):
            raise TypeError(f"X must be float32 or float64, got {X.dtype}.")
        if X.ndim != 2 or min(X.shape) < 1:
            raise ValueError(f"X must have rows and columns, got the shape {X.shape}.")
        if hasattr(X, "indptr"):
            if X.format != "csr":
                raise TypeError(f"X must be dense or CSR, got {X.format}.")
            self.source.n_samples, self.source.n_features = X.shape
            self.set_csr(X)
        elif not plain_source(np.asarray(X), &self.source):
            raise ValueError("X must be aligned, its strides multiples of its itemsize.")

    cdef set_csr(self, X):
        cdef const int32_t[::1] short_indices, short_indptr
        cdef const int64_t[::1] long_indices, long_indptr
        data, indices, indptr = X.data, X.indices, X.indptr
        if indices.dtype != indptr.dtype or indices.dtype not in (np.int32, np.int64):
            indices, indptr = indices.astype(np.int64), indptr.astype(np.int64)
        check_compressed(X.shape[0], X.shape[1], data, indices, indptr)
        self.owners += (data, indices, indptr)
        self.source.sparse = True
        self.source.n_entries = indptr[X.shape[0]] - indptr[0]
        self.source.row_entries = np.diff(indptr).max()
        if entries(&self.source, CHUNK_ROWS) > INT32_MAX:
            raise ValueError("The rows of the sparse matrix X have too many entries.")
        self.source.wide_indices = indices.dtype == np.int64
        self.source.x = vector_address(data)
        if self.source.wide_indices:
            long_indices, long_indptr = indices, indptr
            self.source.indices = &long_indices[0] if indices.size else NULL
            self.source.indptr = &long_indptr[0]
        else:
            short_indices, short_indptr = indices, indptr
            self.source.indices = &short_indices[0] if indices.size else NULL
            self.source.indptr = &short_indptr[0]

    cdef set_targets(self, y):
        cdef cnp.ndarray targets = np.asarray(y)
        if targets.ndim != 2 or targets.shape[0] != self.source.n_samples \
                or targets.shape[1] < 1 or not cnp.PyArray_IS_C_CONTIGUOUS(targets):
            raise ValueError("y must be C-contiguous and of shape (n_samples, n_outputs).")
        self.source.n_outputs = targets.shape[1]
        self.source.y_is_indicator = cnp.PyArray_TYPE(targets) == cnp.NPY_BOOL
        if not self.source.y_is_indicator and targets.dtype != self.dtype:
            raise TypeError("y must be bool or have the dtype of X.")
        if not cnp.PyArray_ISALIGNED(targets):
            raise ValueError("Arrays must be aligned.")
        self.source.y = cnp.PyArray_DATA(targets)


def check_compressed(n_rows, n_columns, data, indices, indptr):
    """Raise a ValueError if the arrays of a CSR matrix lead out of themselves or of its shape."""
    # compared, as differences may wrap around
    if indptr.size != n_rows + 1 or indptr[0] < 0 or (indptr[1:] < indptr[:n_rows]).any() \
            or indptr[indptr.size - 1] > min(data.size, indices.size):
        raise ValueError("The sparse matrix X has an invalid indptr.")
    check_bounds(indices, n_columns)


def check_bounds(indices, n):
    """Raise a ValueError if indices of a sparse matrix are not of 0..n-1."""
    if indices.size and (indices.min() < 0 or indices.max() >= n):
        raise ValueError("The sparse matrix X has indices out of bounds.")


def check_conversion(X):
    """Raise a ValueError if scipy, which does not look, would leave the arrays of X where it
    converts them to CSR or to another dtype."""
    if X.ndim != 2:
        return
    rows, columns = X.shape
    if X.format == "csr":
        check_compressed(rows, columns, X.data, X.indices, X.indptr)
    elif X.format == "csc":       # the CSR of the transpose
        check_compressed(columns, rows, X.data, X.indices, X.indptr)
    elif X.format == "bsr":       # CSR of blocks
        n, m = X.data.shape[1:]
        check_compressed(rows // n, columns // m, X.data[:, 0, 0], X.indices, X.indptr)
    elif X.format == "coo":
        if not X.row.size == X.col.size == X.data.size:
            raise ValueError("The sparse matrix X has arrays of different lengths.")
        check_bounds(X.row, X.shape[0])
        check_bounds(X.col, X.shape[1])


cdef const void* vector_address(array) except? NULL:
    """Address of a contiguous float32 or float64 vector; the memoryview checks what it is."""
    cdef const float[::1] x32
    cdef const double[::1] x64
    if not array.flags.aligned:
        raise ValueError("Arrays must be aligned.")
    if not array.size:
        return NULL
    if array.dtype == np.float32:
        x32 = array
        return &x32[0]
    x64 = array
    return &x64[0]


cdef inline void count_zeros(Source* source, size_t itemsize) noexcept nogil:
    """Note how many numbers of dense X are zero, which decides how its rows are multiplied."""
    if source.n_samples == 1:
        source.density = 1       # one row is multiplied as it is
    elif itemsize == sizeof(float):
        source.density = density(source, <float*>NULL)
    else:
        source.density = density(source, <double*>NULL)
