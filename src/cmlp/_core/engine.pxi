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

include "layout.pxi"
include "dataset.pxi"


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
