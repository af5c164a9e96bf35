# One entry point per kernel, over typed memoryviews: for cmlp.Network, which composes them in
# Python. Training does not come through here; kernels that only tests call are in testing.pxi.
# uses: checks.pxi, dataset.pxi, layout.pxi
# gives: gemm, column_sums, affine, coef_gradient, activate, activation_backward, loss_sum,
#   output_delta

from cmlp._core cimport activations as _activations
from cmlp._core cimport batch as _batch
from cmlp._core cimport linalg as _linalg
from cmlp._core cimport losses as _losses
from cmlp._core cimport network as _network
from cmlp._core cimport sparse as _sparse
from cmlp._core cimport sparse_plan as _sparse_plan
from cmlp._core.matrix cimport Matrix, matrix, strided, transposed
from cmlp._core.types cimport Compressed, SparsePlan

include "checks.pxi"


def gemm(
    const floating[:, :] a, const floating[:, ::1] b, floating[:, ::1] c,
    const floating[::1] bias=None, bint trans_b=False, bint accumulate=False,
):
    """c = a @ b (or b.T) [+ bias] [+ c]; a may have any strides."""
    cdef Py_ssize_t m = a.shape[0], k = a.shape[1], n = c.shape[1]
    check_shapes(m > 0 and n > 0 and k > 0 and c.shape[0] == m
                 and b.shape[0] == (n if trans_b else k) and b.shape[1] == (k if trans_b else n)
                 and (bias is None or bias.shape[0] == n))
    check_strides(np.asarray(a))
    dtype = np.asarray(c).dtype
    cdef floating[::1] pack = np.empty(
        _linalg.gemm_pack_size(n, k, sizeof(floating)), dtype=dtype)
    cdef Matrix left = strided(
        &a[0, 0], m, k, a.strides[0] // <Py_ssize_t>sizeof(floating),
        a.strides[1] // <Py_ssize_t>sizeof(floating))
    cdef Matrix right = matrix(&b[0, 0], b.shape[0], b.shape[1])
    cdef const floating* bias_at = row_or_null(bias)
    with nogil:
        _linalg.gemm(left, transposed(right) if trans_b else right, matrix(&c[0, 0], m, n),
                     accumulate, bias_at, &pack[0], _linalg.plain())


def column_sums(const floating[:, ::1] a, floating[::1] out, bint accumulate=False):
    """out = a.sum(axis=0) [+ out]"""
    check_shapes(out.shape[0] == a.shape[1])
    if a.shape[0] == 0:
        if not accumulate:
            out[:] = 0
        return
    with nogil:
        _linalg.column_sums(matrix(&a[0, 0], a.shape[0], a.shape[1]), &out[0], accumulate)


def affine(
    Dataset data not None, const floating[:, ::1] coef, const floating[::1] intercept,
    floating[:, ::1] out, const Py_ssize_t[::1] order=None, bint skip_zeros=False,
):
    """out = X[order] @ coef [+ intercept], X dense or sparse."""
    cdef Py_ssize_t rows = data.source.n_samples if order is None else order.shape[0]
    cdef Py_ssize_t n = coef.shape[1], k = coef.shape[0]
    check_shapes(rows > 0 and out.shape[0] == rows and out.shape[1] == n > 0
                 and k == data.source.n_features
                 and (intercept is None or intercept.shape[0] == n))
    check_dtype(data, np.asarray(out).dtype)
    check_order(data, order)
    cdef const Py_ssize_t* order_at = address(order)
    cdef Matrix coefs = matrix(&coef[0, 0], k, n), outputs = matrix(&out[0, 0], rows, n)
    cdef const floating* bias_at = row_or_null(intercept)
    cdef Py_ssize_t pack = _linalg.gemm_pack_size(n, k, sizeof(floating))
    cdef Source source = source_of(data, order, skip_zeros)
    cdef SparsePlan plan = _sparse_plan.plan_sparse(&source, rows, n, sizeof(floating), 0)
    cdef Compressed x
    cdef floating[::1] work = np.empty(
        (plan.end + plan.thread_scratch_size if plan.used else pack) + rows * k,
        dtype=data.dtype)
    with nogil:
        if plan.used:
            _sparse.compress(&plan, &source, order_at, 0, 0, rows, work,
                             plan.end + plan.thread_scratch_size)
            x = _sparse.compressed_rows(&plan, &source, work)
            _sparse.sparse_affine(&plan, &x, 0, coefs, bias_at, outputs, &work[plan.end])
        else:
            _batch.gather_x(&source, order_at, 0, rows, &work[pack])
            _linalg.gemm(matrix(&work[pack], rows, k), coefs, outputs, False, bias_at, &work[0],
                         _linalg.plain())


def coef_gradient(
    Dataset data not None, const floating[:, ::1] delta, floating[:, ::1] grad,
    const Py_ssize_t[::1] order=None, bint skip_zeros=False, bint accumulate=False,
    Py_ssize_t slab=0, Py_ssize_t share=0,
):
    """grad = X[order].T @ delta [+ grad], X dense or sparse: outer products summed over samples.

    slab, share: where X is sparse or its zeros are skipped, so many rows of grad are computed at
    once, and so many columns of X found at once, a multiple of slab.
    """
    cdef Py_ssize_t rows = data.source.n_samples if order is None else order.shape[0]
    cdef Py_ssize_t n = delta.shape[1], k = data.source.n_features, first = 0
    check_shapes(rows > 0 and delta.shape[0] == rows and grad.shape[0] == k
                 and grad.shape[1] == n > 0 and slab >= 0)
    check_dtype(data, np.asarray(grad).dtype)
    check_order(data, order)
    cdef const Py_ssize_t* order_at = address(order)
    cdef Matrix deltas = matrix(&delta[0, 0], rows, n)
    cdef Py_ssize_t pack = _linalg.gemm_pack_size(n, rows, sizeof(floating))
    cdef Source source = source_of(data, order, skip_zeros)
    cdef SparsePlan plan = _sparse_plan.plan_sparse(&source, rows, n, sizeof(floating), 0)
    cdef Compressed x, columns
    cdef floating[::1] work = np.empty(
        (plan.end + plan.thread_scratch_size if plan.used else pack) + rows * k,
        dtype=data.dtype)
    slab = slab or k
    share = share or (k + slab - 1) // slab * slab
    check_shapes(share % slab == 0)
    with nogil:
        if plan.used:
            _sparse.compress(&plan, &source, order_at, 0, 0, rows, work,
                             plan.end + plan.thread_scratch_size)
            x = _sparse.compressed_rows(&plan, &source, work)
            _sparse.pack_delta(&plan, deltas, &work[plan.end])
            while first < k:
                if first % share == 0:
                    columns = _sparse.transpose(
                        &plan, &x, rows, first, min(k, first + share), &work[plan.end])
                _sparse.sparse_coef_gradient(
                    &plan, &columns, first % share, rows,
                    matrix(&grad[first, 0], min(slab, k - first), n), accumulate,
                    &work[plan.end])
                first += slab
        else:
            _batch.gather_x(&source, order_at, 0, rows, &work[pack])
            _linalg.gemm(
                transposed(matrix(&work[pack], rows, k)), deltas, matrix(&grad[0, 0], k, n),
                accumulate, <const floating*>NULL, &work[0], _linalg.plain())


cdef Source source_of(Dataset data, const Py_ssize_t[::1] order, bint skip_zeros):
    """What the dataset reads, with room for rows that occur more than once in the order."""
    cdef Source source = data.source
    if not source.sparse:
        source.density = 0 if skip_zeros else 1
    elif order is not None:
        source.n_entries = max(source.n_entries, order.shape[0] * source.row_entries)
    return source


cdef const Py_ssize_t[::1] ends_of(group_sizes, Py_ssize_t n_outputs):
    """Where each softmax ends, for sizes that make n_outputs."""
    if group_sizes is None:
        return None
    sizes = list(map(index, group_sizes))
    check_shapes(min(sizes, default=0) > 0 and sum(sizes) == n_outputs)
    return np.cumsum(sizes, dtype=np.intp)


cdef const Py_ssize_t* address(const Py_ssize_t[::1] indices) noexcept:
    if indices is None:       # as one expression it would lose the const
        return NULL
    return &indices[0]


def activate(
    str activation, floating[:, ::1] z, floating[:, ::1] slope=None, group_sizes=None,
):
    """z = f(z) in place, softmax included (of each of the groups of outputs, if given).

    slope = f'(z), of any activation but softmax.
    """
    cdef int which = ACTIVATIONS[activation]["id"]
    check_shapes(slope is None or which != SOFTMAX and slope.shape[0] == z.shape[0]
                 and slope.shape[1] == z.shape[1])
    if not z.size:
        return
    cdef const Py_ssize_t[::1] ends = ends_of(group_sizes, z.shape[1])
    cdef const Py_ssize_t* group_ends = address(ends)
    cdef floating* values = &z[0, 0]
    cdef floating* slopes = NULL if slope is None else &slope[0, 0]
    with nogil:
        if slopes is not NULL:
            _activations.activate_with_slope(which, values, slopes, z.shape[0] * z.shape[1])
        else:
            _network.apply_activation(which, z.shape[0], z.shape[1], group_ends, values)


def activation_backward(
    str activation, const floating[:, ::1] a, floating[:, ::1] delta,
    const floating[:, ::1] slope=None, group_sizes=None,
):
    """delta *= f'(z) in place (softmax: times its Jacobian).

    From the output a, or from the slope that activate wrote, where an activation keeps it.
    """
    row = ACTIVATIONS[activation]
    cdef int which = row["id"]
    check_shapes(a.shape[0] == delta.shape[0] and a.shape[1] == delta.shape[1])
    check_shapes(not row["keeps_slope"] if slope is None else
                 slope.shape[0] == a.shape[0] and slope.shape[1] == a.shape[1])
    if not a.size:
        return
    cdef const Py_ssize_t[::1] ends = ends_of(group_sizes, a.shape[1])
    cdef const Py_ssize_t* group_ends = address(ends)
    cdef const floating* slopes = matrix_or_null(slope)
    with nogil:
        _losses.output_backward(which, a.shape[0], a.shape[1], group_ends, &a[0, 0], slopes,
                                &delta[0, 0])


def loss_sum(
    str loss, const floating[:, ::1] y, const floating[:, ::1] p, const floating[::1] weight=None,
    parameter=None,
):
    """sum_i w_i sum_j L(y_ij, p_ij)"""
    cdef LossRow row = LossRow(loss, "", y.shape[1], parameter)
    check_shapes(y.shape[0] == p.shape[0] and y.shape[1] == p.shape[1]
                 and (weight is None or weight.shape[0] == y.shape[0]))
    if not y.size:
        return 0.0
    return _losses.loss_sum(&row.loss, y.shape[0], y.shape[1], &y[0, 0], &p[0, 0],
                            row_or_null(weight))


def output_delta(
    str loss, str activation, const floating[:, ::1] y, const floating[:, ::1] p,
    floating[:, ::1] delta, const floating[:, ::1] slope=None, const floating[::1] weight=None,
    group_sizes=None, parameter=None,
):
    """delta = w dL/dz of the output layer, for any pair of loss and output activation."""
    cdef LossRow row = LossRow(loss, activation, y.shape[1], parameter)
    cdef int output = ACTIVATIONS[activation]["id"]
    check_shapes(y.shape[0] == p.shape[0] == delta.shape[0] and y.shape[0] > 0
                 and y.shape[1] == p.shape[1] == delta.shape[1] and y.shape[1] > 0
                 and (weight is None or weight.shape[0] == y.shape[0]))
    check_shapes(not ACTIVATIONS[activation]["keeps_slope"] if slope is None else
                 slope.shape[0] == y.shape[0] and slope.shape[1] == y.shape[1])
    cdef const Py_ssize_t[::1] ends = ends_of(group_sizes, y.shape[1])
    cdef const Py_ssize_t* group_ends = address(ends)
    cdef const floating* slopes = matrix_or_null(slope)
    cdef const floating* weights = row_or_null(weight)
    with nogil:
        _losses.output_delta(&row.loss, output, y.shape[0], y.shape[1], group_ends, &y[0, 0],
                             &p[0, 0], slopes, weights, &delta[0, 0])


cdef int check_dtype(Dataset data, dtype) except -1:
    if data.dtype != dtype:
        raise ValueError(f"X is {data.dtype}, the other arguments are {dtype}.")
    return 0


cdef int check_order(Dataset data, const Py_ssize_t[::1] order) except -1:
    if order is not None and (np.min(order) < 0 or np.max(order) >= data.source.n_samples):
        raise ValueError("order has indices out of bounds.")
    return 0


cdef const floating* matrix_or_null(const floating[:, ::1] a) noexcept:
    if a is None:             # as one expression it would lose the const
        return NULL
    return &a[0, 0]
