# The entry points of the engine: what Python calls once per epoch, per L-BFGS evaluation or per
# predict. Arguments are checked here, before any memory is touched; no arithmetic.
# uses: dataset.pxi, layout.pxi, limits.pxi, online.pxi, predict.pxi, train.pxi
# gives: check_call, set_key, train_epoch, predict, mean_loss

from operator import index
from threading import get_ident, main_thread

import numpy as np

cimport numpy as cnp
from cython cimport floating
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.pyport cimport PY_SSIZE_T_MAX
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_release_lock, PyThread_type_lock)
from libc.float cimport DBL_MAX, FLT_MAX, FLT_MIN
from libc.stdint cimport (
    INT32_MAX, UINT32_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t)
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cmlp._core.activations cimport (
    N_ACTIVATIONS, ON_HIDDEN, ON_OUTPUT, activation_table)
from cmlp._core.batch cimport gather_targets, gather_weights, gather_x, total_weight
from cmlp._core.dropout cimport drops_input, take_input
from cmlp._core.inputs cimport (
    N_ENCODINGS, PLACED, builds_inputs, encoding_table, inputs_gradient, prepare_inputs)
from cmlp._core.linalg cimport ROWS, VECTOR_BYTES, gemm_pack_size
from cmlp._core.losses cimport (
    FOR_CLASSIFIER, FOR_REGRESSOR, N_LOSSES, REPEATED, SOFTMAX, loss_sum as sum_of_losses,
    loss_table)
from cmlp._core.network cimport (
    build_inputs, count_slabs, finish_gradient, forward, gathers_x, output_offset,
    plan_workspace, rows_phase, samples_at_once, shift, slabs_phase, GradientUse)
from cmlp._core.optimizers cimport (
    LEARNING_RATE, N_OPTIMIZERS, ONLINE, ONLINE_LINEAR, Step, begin_step, clip_scale, end_step,
    finish_block, optimizer_step, optimizer_table, sum_of_squares)
from cmlp._core cimport online as _online
from cmlp._core cimport online_blocks as _blocks
from cmlp._core cimport online_plan as _online_plan
from cmlp._core.fpenv cimport (
    FLUSHES as CAN_FLUSH, flush_denormals, fp_restore, fp_state, keep_denormals)
from cmlp._core.pool cimport pool_run
from cmlp._core.stop cimport raise_flag, raised, stop_flag, watch_begin, watch_end
from cmlp._core.sparse_plan cimport density, entries, most_entries
from cmlp._core.types cimport (
    ABSENT, AS_IS, Batch, DropoutPlan, Encoding, FROM_OTHER, Layer, Loss, Net, Plan, ROUNDED,
    Source)

cnp.import_array()

include "limits.pxi"
include "layout.pxi"
include "dataset.pxi"
include "interrupt.pxi"
include "update.pxi"
include "train.pxi"
include "gradient.pxi"
include "predict.pxi"
include "plain.pxi"
include "predictor.pxi"
include "online.pxi"
include "shuffle.pxi"


cdef int check_call(
    Layout layout, Dataset data, params, work, const Plan* plan, bint with_targets,
) except -1:
    """Every shape that the kernels rely on."""
    if data.source.sparse and builds_inputs(&layout.net):
        raise ValueError("Encodings and members need dense X.")
    if data.source.n_features != layout.net.n_features:
        raise ValueError(
            f"X has {data.source.n_features} features, the network {layout.net.n_features}.")
    if with_targets and data.source.n_outputs != layout.net.n_outputs:
        raise ValueError(
            f"y has {data.source.n_outputs} columns, the network {layout.net.n_outputs} outputs.")
    if params.dtype != data.dtype or params.size != layout.net.n_params:
        raise ValueError("The parameter vector does not fit the network or the dtype of X.")
    if work.size < plan.size:
        raise ValueError("The workspace is too small.")
    return 0


cdef int set_key(DropoutPlan* plan, seed, epoch) except -1:
    """Drop units from now on: those that the seed of 64 bits and the epoch decide."""
    cdef uint64_t bits = seed
    plan.used = True
    plan.key.key[0] = <uint32_t>bits
    plan.key.key[1] = <uint32_t>(bits >> 32)
    plan.key.epoch = epoch & UINT32_MAX
    return 0


def train_epoch(
    Layout layout not None, Dataset data not None, const Py_ssize_t[::1] order,
    Py_ssize_t batch_size, str optimizer, double[::1] hyper, double alpha,
    floating[::1] params, floating[::1] grads, floating[:, ::1] state, floating[::1] work,
    int n_threads=1, dropout=None, const double[::1] rates=None, double max_grad_norm=0,
    double[::1] averaging=None,
):
    """Pass once over the samples in minibatches, updating params and state in place.

    Parameters
    ----------
    order : array of shape (n,) or None
        The samples of the epoch, by index; None for all in their own order.
    hyper : array
        The optimizer's hyper-parameters as OPTIMIZERS names them; t and the like are advanced.
    grads : array of shape (n_params,) or None
        Scratch, needed for batches of more than CHUNK_ROWS rows, for max_grad_norm and where
        encodings or members are trained.
    n_threads : int
        How many threads share the work; the numbers do not depend on it.
    dropout : tuple (seed, epoch), default=None
        What decides which units are dropped, at the rates of the layout; None drops none.
    rates : array of shape (n_batches,) or None
        The learning rate of each minibatch, in place of that of hyper.
    max_grad_norm : float
        Gradients, the penalty included, that are longer are shortened to it; 0: none is.
    averaging : array (decay, t) or None
        The last row of state becomes the average of the weights after t steps so far, and those
        now made, in which a step counts decay times as much as the next; t is advanced.

    Returns
    -------
    loss : float
        sum over batches of (loss of the batch, with its penalty) x (rows of the batch),
        divided by the rows of the epoch. Batches whose weights sum to zero are passed over.

    Raises
    ------
    KeyboardInterrupt
        Between two minibatches or, where one takes long, within it: its update may then be made
        for some of the weights only, each of which is as before or after the step.
    """
    cdef Py_ssize_t n = data.source.n_samples if order is None else order.shape[0]
    cdef Training run = Training(layout, data)
    cdef double loss_scale = 1
    if batch_size < 1 or n < 1:
        raise ValueError("There must be samples, and at least one in a batch.")
    run.step_by(optimizer, hyper, alpha, max_grad_norm, averaging, state.shape[0], state.shape[1])
    if run.steps_apart:
        run.squares = np.zeros(2 * run.n_blocks())
    run.plan_for(batch_size, n_threads, sizeof(floating))
    check_call(layout, data, np.asarray(params), np.asarray(work), &run.plan, True)
    if run.to_grads if grads is None else grads.shape[0] != layout.net.n_params:
        raise ValueError("grads do not fit the network.")
    if rates is not None:
        if rates.shape[0] * batch_size < n:
            raise ValueError("rates do not fit the epoch.")
        run.rates = &rates[0]
    run.take(order, 0, n, batch_size)
    if dropout is not None:
        seed, epoch = dropout
        set_key(&run.plan.dropout, seed, epoch)
    elif rates is None and averaging is None and not run.steps_apart and trains_online(
            &data.source, batch_size, run.optimizer, optimizer, &hyper[0]):
        # scikit-learn reports squared error as a mean over outputs but differentiates the sum
        if loss_table[layout.net.loss.id].mean_over_outputs:
            loss_scale = 1.0 / layout.net.n_outputs
        return online_epoch(&layout.net, &data.source, run.order, n, run.optimizer, hyper, alpha,
                            loss_scale, params, state) / n
    run.hold(params, grads, state, work)
    run.run()
    return run.total / n


def predict(
    Layout layout not None, Dataset data not None, const floating[::1] params, floating[::1] work,
    floating[:, ::1] out, int n_threads=1, seed=None,
):
    """out (n_samples, n_outputs) = the output activations, a block of rows at a time.

    The numbers of a row do not depend on the other rows, nor on n_threads. With a seed, some units
    are dropped at the rates of the layout, and out of (n_draws n_samples, n_outputs) has one draw
    after another.
    """
    cdef Net* net = &layout.net
    cdef Source* source = &data.source
    cdef Prediction run
    cdef fp_state before
    cdef Py_ssize_t draw, n_draws = 1
    n_threads = max(1, n_threads)
    cdef Plan plan = plan_workspace(
        net, source, samples_at_once(net, source.n_samples, PREDICT_ROWS), 1, sizeof(floating))
    plan.size *= n_threads                    # a workspace each
    check_call(layout, data, np.asarray(params), np.asarray(work), &plan, False)
    if seed is not None:
        set_key(&plan.dropout, seed, 0)
        plan.dropout.saved = ABSENT               # for derivatives only
        n_draws = out.shape[0] // source.n_samples
    if out.shape[0] != n_draws * source.n_samples or n_draws < 1 or n_draws > UINT32_MAX \
            or out.shape[1] != net.n_outputs:
        raise ValueError("out must be of shape (n_samples, n_outputs).")
    if n_threads == 1 \
            and 2.0 * out.shape[0] * net.n_members * net.n_coefs < FLOPS_PER_SIGNAL_CHECK:
        with nogil:
            before = flush_denormals()
            for draw in range(n_draws):
                plan.dropout.key.epoch = <uint32_t>draw
                predict_rows(net, source, &plan, 0, source.n_samples, params, work, 0,
                             &out[draw * source.n_samples, 0], False)
            fp_restore(before)
        return
    run = Prediction(layout, data)
    run.plan = plan
    run.hold(params, work, out)
    run.run(n_threads, n_draws)


def mean_loss(
    Layout layout not None, Dataset data not None, const floating[:, ::1] out not None,
):
    """The mean loss, without penalty, of the given outputs for the targets of the data.

    Parameters
    ----------
    out : array of shape (n_samples, n_outputs)
        Output activations, as predict writes them.

    Returns
    -------
    loss : float
        Weighted by the sample weights of the data; NaN if these sum to zero.
    """
    cdef Net* net = &layout.net
    cdef Source* source = &data.source
    cdef Py_ssize_t n = source.n_samples, k = net.n_outputs, at = 0, rows
    cdef Py_ssize_t block = min(n, <Py_ssize_t>CHUNK_ROWS)
    cdef floating* weights = NULL
    cdef double total = 0, weight
    if source.y is NULL or source.n_outputs != k or out.shape[0] != n or out.shape[1] != k \
            or out.itemsize != data.dtype.itemsize:
        raise ValueError("out and y must be of shape (n_samples, n_outputs) and of one dtype.")
    cdef const floating[::1] p = np.asarray(out).reshape(-1)
    cdef floating[::1] work = aligned_vector(block * (k + 1), np.asarray(out).dtype)
    if source.weight is not NULL:
        weights = &work[block * k]
    with nogil:
        weight = total_weight(source, NULL, 0, n, <floating*>NULL)
        while at < n:
            rows = min(block, n - at)
            gather_targets(source, NULL, at, rows, &work[0])
            if weights is not NULL:
                gather_weights(source, NULL, at, rows, 1, weights)
            total += sum_of_losses(&net.loss, rows, k, &work[0], &p[at * k], weights)
            at += rows
    if weight == 0:
        return np.nan
    # a division by outputs is scikit-learn's squared error
    if loss_table[net.loss.id].mean_over_outputs:
        total /= k
    return total / weight
