# The entry points of the engine: what Python calls once per epoch, per L-BFGS evaluation or per
# predict. Arguments are checked here, before any memory is touched; no arithmetic.

from operator import index

import numpy as np

from cython cimport floating
from cpython.exc cimport PyErr_CheckSignals
from cpython.pyport cimport PY_SSIZE_T_MAX
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from cmlp._core.activations cimport (
    N_ACTIVATIONS, ON_HIDDEN, ON_OUTPUT, activation_table)
from cmlp._core.batch cimport total_weight
from cmlp._core.linalg cimport VECTOR_BYTES
from cmlp._core.losses cimport (
    FOR_CLASSIFIER, FOR_REGRESSOR, N_LOSSES, SOFTMAX, loss_table)
from cmlp._core.network cimport (
    batch_gradient, finish_gradient, forward, output_offset, plan_workspace)
from cmlp._core.optimizers cimport ADAM, SGD, optimizer_step
from cmlp._core.types cimport Layer, Net, Plan, Source

cdef enum:
    CHUNK_ROWS = 512             # rows that pass through the layers together at most
    FLOPS_PER_SIGNAL_CHECK = 50_000_000   # a few ms of work between two looks at Ctrl-C

#: Bytes of a vector register in this build of the engine.
vector_bytes = VECTOR_BYTES

#: What is known of each activation, from the table in activations.h.
ACTIVATIONS = {
    activation_table[i].name.decode(): {
        "id": i,
        "hidden": bool(activation_table[i].where & ON_HIDDEN),
        "output": bool(activation_table[i].where & ON_OUTPUT),
        "needs_z": bool(activation_table[i].needs_z),
        "init_factor": activation_table[i].init_factor,
        "formula": activation_table[i].formula.decode(),
    }
    for i in range(N_ACTIVATIONS)
}
ACTIVATIONS["softmax"] = {
    "id": SOFTMAX, "hidden": False, "output": True, "needs_z": False, "init_factor": 6.0,
    "formula": "exp(z) / sum(exp(z))",
}

#: What is known of each loss, from the table in losses.h.
LOSSES = {
    loss_table[i].name.decode(): {
        "id": i,
        "regressor": bool(loss_table[i].estimator & FOR_REGRESSOR),
        "classifier": bool(loss_table[i].estimator & FOR_CLASSIFIER),
        "canonical_activation": next(
            name for name, row in ACTIVATIONS.items()
            if row["id"] == loss_table[i].canonical_activation),
        "domain": ("real", "non-negative", "unit interval")[loss_table[i].domain],
        "mean_over_outputs": bool(loss_table[i].mean_over_outputs),
    }
    for i in range(N_LOSSES)
}

#: Each optimizer: id, state vectors per parameter, entries of its hyper-parameter vector.
OPTIMIZERS = {
    "sgd": (SGD, 1, ("learning_rate", "momentum", "nesterov")),
    "adam": (ADAM, 2, ("learning_rate_init", "beta_1", "beta_2", "epsilon", "t")),
}


cdef class Layout:
    """The shape of a network, fixed for one fit or predict.

    Parameters
    ----------
    units : sequence of int
        n_features, the hidden layer sizes, n_outputs.
    coef_starts, intercept_starts : sequence of int
        Where each layer's weights and biases start in the parameter vector.
    activations : sequence of str
        One per weight layer, the output activation last.
    loss : str
    fit_intercept : bool
    """

    cdef Net net
    cdef readonly tuple units

    def __cinit__(
        self, units, coef_starts, intercept_starts, activations, loss, bint fit_intercept,
    ):
        cdef Py_ssize_t l, n_layers = len(units) - 1
        cdef Layer* layer
        units = tuple(map(index, units))     # Python integers, which do not overflow
        if n_layers < 1 or min(units) < 1:
            raise ValueError(f"units must be two or more positive integers, got {units}.")
        if not len(coef_starts) == len(intercept_starts) == len(activations) == n_layers:
            raise ValueError("One activation and one start of each kind per layer is needed.")
        n_coefs = sum(units[l] * units[l + 1] for l in range(n_layers))
        n_params = n_coefs + sum(units[1:])
        if 8 * (n_params + 6 * CHUNK_ROWS * sum(units)) > PY_SSIZE_T_MAX:
            raise ValueError(f"A network with the layers {list(units)} is too large.")
        for l in range(n_layers):
            if not (0 <= coef_starts[l] <= n_coefs - units[l] * units[l + 1]
                    and n_coefs <= intercept_starts[l] <= n_params - units[l + 1]):
                raise ValueError("Weights come first in the parameter vector, biases last.")
        self.units = units
        self.net.layers = <Layer*>calloc(n_layers, sizeof(Layer))
        if self.net.layers is NULL:
            raise MemoryError()
        self.net.n_layers = n_layers
        self.net.n_features = units[0]
        self.net.n_outputs = units[n_layers]
        self.net.fit_intercept = fit_intercept
        for l in range(n_layers):
            layer = &self.net.layers[l]
            layer.fan_in = units[l]
            layer.fan_out = units[l + 1]
            layer.coef = coef_starts[l]
            layer.intercept = intercept_starts[l]
            layer.units_before = self.net.n_units
            layer.activation = ACTIVATIONS[activations[l]]["id"]
            layer.needs_z = ACTIVATIONS[activations[l]]["needs_z"]
            if layer.activation == SOFTMAX and l < n_layers - 1:
                raise ValueError("softmax is an output activation.")
            self.net.any_needs_z |= layer.needs_z
            self.net.n_units += layer.fan_out
            self.net.widest = max(self.net.widest, layer.fan_out)
            self.net.n_coefs += layer.fan_in * layer.fan_out
        self.net.n_params = self.net.n_coefs + self.net.n_units
        self.net.loss = LOSSES[loss]["id"]
        self.net.canonical = LOSSES[loss]["canonical_activation"] == activations[n_layers - 1]

    def __dealloc__(self):
        free(self.net.layers)

    def workspace(self, Py_ssize_t batch_size, dtype):
        """An uninitialised workspace, large enough for batches of the given size.

        Returns
        -------
        work : ndarray of shape (size,) and the given dtype, aligned to 64 bytes
        """
        cdef Py_ssize_t rows = max(1, min(batch_size, <Py_ssize_t>CHUNK_ROWS))
        dtype = np.dtype(dtype)
        size = plan_workspace(&self.net, rows, dtype.itemsize).size
        raw = np.empty(size * dtype.itemsize + 64, dtype=np.uint8)
        skip = -raw.ctypes.data % 64
        return raw[skip:skip + size * dtype.itemsize].view(dtype)


cdef class Dataset:
    """The samples of one fit or predict, as the kernels read them. Nothing is copied.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), any strides, or CSR
        float32 or float64: the dtype of the computation.
    y : ndarray of shape (n_samples, n_outputs), C-contiguous, dtype of X or bool, optional
    sample_weight : ndarray of shape (n_samples,), C-contiguous, dtype of X, optional
    """

    cdef Source source
    cdef tuple owners            # the arrays whose addresses the source holds
    cdef readonly object dtype

    def __cinit__(self, X, y=None, sample_weight=None):
        self.dtype = X.dtype
        if X.dtype not in (np.float32, np.float64):
            raise TypeError(f"X must be float32 or float64, got {X.dtype}.")
        if X.ndim != 2 or min(X.shape) < 1:
            raise ValueError(f"X must have rows and columns, got the shape {X.shape}.")
        self.source.n_samples, self.source.n_features = X.shape
        self.owners = (X, y, sample_weight)
        if hasattr(X, "indptr"):
            if X.format != "csr":
                raise TypeError(f"X must be dense or CSR, got {X.format}.")
            self.set_csr(X)
        else:
            self.set_dense(X)
        if y is not None:
            self.set_targets(y)
        if sample_weight is not None:
            if sample_weight.dtype != X.dtype or sample_weight.shape != (X.shape[0],):
                raise ValueError("sample_weight must have one entry per row and the dtype of X.")
            self.source.weight = vector_address(sample_weight)

    def __len__(self):
        return self.source.n_samples

    cdef set_dense(self, X):
        cdef const float[:, :] x32
        cdef const double[:, :] x64
        if X.dtype == np.float32:
            x32 = X
            self.source.x = &x32[0, 0]
        else:
            x64 = X
            self.source.x = &x64[0, 0]
        if X.strides[0] % X.itemsize or X.strides[1] % X.itemsize or not X.flags.aligned:
            raise ValueError("X must be aligned, its strides multiples of its itemsize.")
        self.source.x_row = X.strides[0] // X.itemsize
        self.source.x_col = X.strides[1] // X.itemsize

    cdef set_csr(self, X):
        cdef const int32_t[::1] short_indices, short_indptr
        cdef const int64_t[::1] long_indices, long_indptr
        data, indices, indptr = X.data, X.indices, X.indptr
        if indices.dtype != indptr.dtype or indices.dtype not in (np.int32, np.int64):
            indices, indptr = indices.astype(np.int64), indptr.astype(np.int64)
        check_compressed(X.shape[0], X.shape[1], data, indices, indptr)
        self.owners += (data, indices, indptr)
        self.source.sparse = True
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
        cdef const uint8_t[::1] indicator
        if y.ndim != 2 or y.shape[0] != self.source.n_samples or y.shape[1] < 1 \
                or not y.flags.c_contiguous:
            raise ValueError("y must be C-contiguous and of shape (n_samples, n_outputs).")
        self.source.n_outputs = y.shape[1]
        self.source.y_is_indicator = y.dtype == np.bool_
        if self.source.y_is_indicator:
            indicator = y.view(np.uint8).reshape(-1)
            self.source.y = &indicator[0]
        elif y.dtype == self.dtype:
            self.source.y = vector_address(y.reshape(-1))
        else:
            raise TypeError("y must be bool or have the dtype of X.")


def check_compressed(n_rows, n_columns, data, indices, indptr):
    """Raise a ValueError if the arrays of a CSR matrix lead out of themselves or of its shape."""
    if indptr.size != n_rows + 1 or indptr[0] < 0 or (np.diff(indptr) < 0).any() \
            or indptr[indptr.size - 1] > min(data.size, indices.size):
        raise ValueError("The sparse matrix X has an invalid indptr.")
    if indices.size and (indices.min() < 0 or indices.max() >= n_columns):
        raise ValueError("The sparse matrix X has indices out of bounds.")


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


cdef int check_call(
    Layout layout, Dataset data, params, work, Py_ssize_t rows, bint with_targets,
) except -1:
    """Every shape that the kernels rely on."""
    if data.source.n_features != layout.net.n_features:
        raise ValueError(
            f"X has {data.source.n_features} features, the network {layout.net.n_features}.")
    if with_targets and data.source.n_outputs != layout.net.n_outputs:
        raise ValueError(
            f"y has {data.source.n_outputs} columns, the network {layout.net.n_outputs} outputs.")
    if params.dtype != data.dtype or params.size != layout.net.n_params:
        raise ValueError("The parameter vector does not fit the network or the dtype of X.")
    if work.size < plan_workspace(&layout.net, rows, params.itemsize).size:
        raise ValueError("The workspace is too small.")
    return 0


def train_epoch(
    Layout layout not None, Dataset data not None, const Py_ssize_t[::1] order,
    Py_ssize_t batch_size, str optimizer, double[::1] hyper, double alpha,
    floating[::1] params, floating[::1] grads, floating[:, ::1] state, floating[::1] work,
):
    """Pass once over the samples in minibatches, updating params and state in place.

    Parameters
    ----------
    order : array of shape (n,) or None
        The samples of the epoch, by index; None for all in their own order.
    hyper : array
        The optimizer's hyper-parameters as OPTIMIZERS names them; adam's t is advanced.
    grads : array of shape (n_params,)
        Scratch.

    Returns
    -------
    loss : float
        sum over batches of (loss of the batch, with its penalty) x (rows of the batch),
        divided by the rows of the epoch. Batches whose weights sum to zero are passed over.

    Raises
    ------
    KeyboardInterrupt
        Between two minibatches.
    """
    cdef Py_ssize_t n = data.source.n_samples if order is None else order.shape[0]
    cdef const Py_ssize_t* order_at = NULL
    cdef Net* net = &layout.net
    cdef Source* source = &data.source
    cdef Plan plan = plan_workspace(net, max(1, min(batch_size, <Py_ssize_t>CHUNK_ROWS)),
                                    sizeof(floating))
    cdef int optimizer_id = OPTIMIZERS[optimizer][0]
    cdef Py_ssize_t n_updated = net.n_params if net.fit_intercept else net.n_coefs
    cdef Py_ssize_t start, end, count, since_check = 0
    cdef double weight, loss, penalty, total = 0
    # a division by outputs is scikit-learn's squared error, its gradient a plain sum
    cdef double loss_scale = 1.0 / net.n_outputs if loss_table[net.loss].mean_over_outputs else 1.0

    check_call(layout, data, np.asarray(params), np.asarray(work), plan.rows, True)
    if batch_size < 1 or n < 1:
        raise ValueError("There must be samples, and at least one in a batch.")
    if grads.shape[0] != net.n_params or state.shape[1] != net.n_params \
            or state.shape[0] != OPTIMIZERS[optimizer][1] \
            or hyper.shape[0] != len(OPTIMIZERS[optimizer][2]):
        raise ValueError("grads, state or hyper do not fit the network and the optimizer.")
    if order is not None:
        if np.min(order) < 0 or np.max(order) >= source.n_samples:
            raise ValueError("order has indices out of bounds.")
        order_at = &order[0]

    with nogil:
        end = 0
        while end < n:
            start = end
            count = min(batch_size, n - start)
            end = start + count
            weight = total_weight(source, order_at, start, count, <floating*>NULL)
            if weight == 0:
                continue
            loss = batch_gradient(net, &plan, source, order_at, start, count,
                                  params, grads, work) * loss_scale
            penalty = finish_gradient(net, alpha, weight, params, grads)
            total += (loss + penalty) / weight * count
            optimizer_step(optimizer_id, n_updated, &hyper[0], params, grads, state)
            since_check += 6 * count * net.n_coefs + 20 * net.n_params
            if since_check > FLOPS_PER_SIGNAL_CHECK:
                since_check = 0
                with gil:
                    PyErr_CheckSignals()
    return total / n


def loss_and_gradient(
    Layout layout not None, Dataset data not None, double alpha, const floating[::1] params,
    floating[::1] grads, floating[::1] work,
):
    """The penalised loss over all samples, as an estimator reports it, and its gradient.

    The gradient is written to grads. For a squared error with several outputs the loss is the
    mean over outputs and the gradient that of the sum, as in scikit-learn.

    Returns
    -------
    loss : float

    Raises
    ------
    ValueError
        If the arrays do not fit the network, or the sample weights sum to zero.
    """
    cdef Net* net = &layout.net
    cdef Source* source = &data.source
    cdef Plan plan = plan_workspace(
        net, max(1, min(source.n_samples, <Py_ssize_t>CHUNK_ROWS)), sizeof(floating))
    cdef double weight, loss
    cdef double loss_scale = 1.0 / net.n_outputs if loss_table[net.loss].mean_over_outputs else 1.0
    check_call(layout, data, np.asarray(params), np.asarray(work), plan.rows, True)
    if grads.shape[0] != net.n_params:
        raise ValueError("grads does not fit the network.")
    with nogil:
        weight = total_weight(source, NULL, 0, source.n_samples, <floating*>NULL)
    if weight == 0:
        raise ValueError("Sample weights sum to zero.")
    with nogil:
        loss = batch_gradient(net, &plan, source, NULL, 0, source.n_samples, params, grads, work)
        loss = (loss * loss_scale + finish_gradient(net, alpha, weight, params, grads)) / weight
        if not net.fit_intercept:
            grads[net.n_coefs:] = 0
    return loss


def predict(
    Layout layout not None, Dataset data not None, const floating[::1] params, floating[::1] work,
    floating[:, ::1] out,
):
    """out (n_samples, n_outputs) = the output activations, a block of rows at a time."""
    cdef Net* net = &layout.net
    cdef Source* source = &data.source
    cdef Plan plan = plan_workspace(
        net, max(1, min(source.n_samples, <Py_ssize_t>CHUNK_ROWS)), sizeof(floating))
    cdef Py_ssize_t start, rows, last
    check_call(layout, data, np.asarray(params), np.asarray(work), plan.rows, False)
    if out.shape[0] != source.n_samples or out.shape[1] != net.n_outputs:
        raise ValueError("out must be of shape (n_samples, n_outputs).")
    last = output_offset(net, &plan, net.n_layers - 1)
    with nogil:
        start = 0
        while start < source.n_samples:
            rows = min(plan.rows, source.n_samples - start)
            forward(net, &plan, source, NULL, start, rows, params, work)
            memcpy(&out[start, 0], &work[last], rows * net.n_outputs * sizeof(floating))
            start += rows
