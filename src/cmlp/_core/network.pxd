# The passes through the layers: forward, backward, the gradient of a batch. Layers and rows are
# known here; the formulas of activations, losses and optimizers are not.

from cython cimport floating
from libc.string cimport memcpy, memset
from cmlp._core.activations cimport activate, activation_backward
from cmlp._core.batch cimport (
    gather_targets, gather_weights, gather_x, sparse_affine, sparse_coef_gradient)
from cmlp._core.linalg cimport (
    column_sums, dot, gemm, gemm_pack_size, gemm_tn_narrow, gemv, gemv_t, ger, panel_width)
from cmlp._core.losses cimport SOFTMAX, loss_sum, output_delta, softmax
from cmlp._core.types cimport Layer, Net, Plan, Source


cdef inline bint is_narrow(const Layer* layer, size_t itemsize) noexcept nogil:
    """Whether the gradient of the layer is better computed transposed: see gemm_tn_narrow."""
    cdef Py_ssize_t width = panel_width(itemsize)
    return layer.fan_out < width and layer.fan_in >= width


cdef inline Plan plan_workspace(const Net* net, Py_ssize_t rows, size_t itemsize) noexcept nogil:
    """Where everything lies in the workspace for up to `rows` samples at once."""
    cdef Plan plan
    cdef Py_ssize_t l, pack = 0
    cdef const Layer* layer
    plan.rows = rows
    plan.x = 0
    plan.y = plan.x + rows * net.n_features
    plan.weight = plan.y + rows * net.n_outputs
    plan.a = plan.weight + rows
    plan.z = plan.a + rows * net.n_units
    plan.delta = plan.z + (rows * net.n_units if net.any_needs_z else 0)
    if not net.any_needs_z:
        plan.z = -1
    plan.pack = plan.delta + 2 * rows * net.widest
    for l in range(net.n_layers):
        layer = &net.layers[l]
        # forward, delta, gradient
        pack = max(pack, gemm_pack_size(layer.fan_out, layer.fan_in, itemsize))
        pack = max(pack, gemm_pack_size(layer.fan_in, layer.fan_out, itemsize))
        pack = max(pack, gemm_pack_size(layer.fan_out, rows, itemsize))
        if is_narrow(layer, itemsize):
            pack = max(pack, gemm_pack_size(layer.fan_in, rows, itemsize)
                       + layer.fan_in * layer.fan_out)
    plan.size = plan.pack + pack
    return plan


cdef inline Py_ssize_t output_offset(
    const Net* net, const Plan* plan, Py_ssize_t l,
) noexcept nogil:
    """Where the activations (rows, fan_out) of layer l start in the workspace."""
    return plan.a + plan.rows * net.layers[l].units_before


cdef inline Py_ssize_t z_offset(const Net* net, const Plan* plan, Py_ssize_t l) noexcept nogil:
    """The same for z; -1 where the activation does not need it."""
    if not net.layers[l].needs_z:
        return -1
    return plan.z + plan.rows * net.layers[l].units_before


cdef inline void apply_activation(
    int activation, Py_ssize_t rows, Py_ssize_t n, floating[::1] values, Py_ssize_t at,
) noexcept nogil:
    if activation == SOFTMAX:
        softmax(rows, n, values, at)
    else:
        activate(activation, values, at, rows * n)


cdef inline void forward(
    const Net* net, const Plan* plan, const Source* source, const Py_ssize_t* order,
    Py_ssize_t start, Py_ssize_t rows, const floating[::1] params, floating[::1] work,
) noexcept nogil:
    """Activations of every layer for samples start..start+rows of the order, at most plan.rows."""
    cdef Py_ssize_t l, bias, z, a_row, a_col
    cdef const Layer* layer
    cdef const floating* a
    cdef bint is_sparse
    for l in range(net.n_layers):
        layer = &net.layers[l]
        bias = layer.intercept if net.fit_intercept else -1
        z = output_offset(net, plan, l)
        is_sparse = l == 0 and source.sparse
        if is_sparse:
            sparse_affine(source, order, start, rows, layer.fan_out, params, layer.coef,
                          params, bias, work, z)
        else:
            a = layer_input(net, plan, source, order, start, rows, l, work, &a_row, &a_col)
            if rows == 1:
                gemv(layer.fan_out, layer.fan_in, a, a_col, params, layer.coef,
                     params, bias, work, z)
            else:
                gemm(rows, layer.fan_out, layer.fan_in, a, a_row, a_col, params, layer.coef,
                     False, work, z, False, params, bias, work, plan.pack)
        if layer.needs_z:
            memcpy(&work[z_offset(net, plan, l)], &work[z],
                   rows * layer.fan_out * sizeof(floating))
        apply_activation(layer.activation, rows, layer.fan_out, work, z)


cdef inline const floating* layer_input(
    const Net* net, const Plan* plan, const Source* source, const Py_ssize_t* order,
    Py_ssize_t start, Py_ssize_t rows, Py_ssize_t l, floating[::1] work,
    Py_ssize_t* a_row, Py_ssize_t* a_col,
) noexcept nogil:
    """The dense input of layer l and its strides. Rows of X are gathered by the forward pass of
    layer 0 where an order is given, and read in place where there is none."""
    if l > 0:
        a_row[0] = net.layers[l].fan_in
        a_col[0] = 1
        return &work[output_offset(net, plan, l - 1)]
    if order is NULL:
        a_row[0] = source.x_row
        a_col[0] = source.x_col
        return <const floating*>source.x + start * source.x_row
    if rows == 1:
        a_row[0] = source.x_row
        a_col[0] = source.x_col
        return <const floating*>source.x + order[start] * source.x_row
    a_row[0] = net.n_features
    a_col[0] = 1
    return &work[plan.x]


cdef inline void backward(
    const Net* net, const Plan* plan, const Source* source, const Py_ssize_t* order,
    Py_ssize_t start, Py_ssize_t rows, const floating[::1] params, floating[::1] grads,
    floating[::1] work, bint accumulate,
) noexcept nogil:
    """From the output delta in the first delta buffer to grads = [grads +] A.T delta.

    The weight gradient of a layer is the outer product of its input and its delta, summed over
    the samples: one ger for a single sample, one gemm for a batch.
    """
    cdef Py_ssize_t l, a_row, a_col, n_in, n_out
    cdef Py_ssize_t delta = plan.delta, previous = plan.delta + plan.rows * net.widest
    cdef const Layer* layer
    cdef const floating* a
    for l in range(net.n_layers - 1, -1, -1):
        layer = &net.layers[l]
        n_in = layer.fan_in
        n_out = layer.fan_out
        if l == 0 and source.sparse:
            if not accumulate:
                memset(&grads[layer.coef], 0, n_in * n_out * sizeof(floating))
            sparse_coef_gradient(source, order, start, rows, n_out, work, delta,
                                 grads, layer.coef)
        else:
            a = layer_input(net, plan, source, order, start, rows, l, work, &a_row, &a_col)
            if rows == 1:
                ger(n_in, n_out, a, a_col, work, delta, grads, layer.coef, accumulate)
            elif l > 0 and is_narrow(layer, sizeof(floating)):
                gemm_tn_narrow(n_in, n_out, rows, work, output_offset(net, plan, l - 1),
                               work, delta, grads, layer.coef, accumulate, work, plan.pack)
            else:
                gemm(n_in, n_out, rows, a, a_col, a_row, work, delta, False,
                     grads, layer.coef, accumulate, grads, -1, work, plan.pack)
        if net.fit_intercept:
            column_sums(rows, n_out, work, delta, grads, layer.intercept, accumulate)
        if l > 0:
            if rows == 1:
                gemv_t(n_out, n_in, work, delta, params, layer.coef, work, previous)
            else:
                gemm(rows, n_in, n_out, &work[delta], n_out, 1, params, layer.coef, True,
                     work, previous, False, params, -1, work, plan.pack)
            activation_backward(
                net.layers[l - 1].activation, work, z_offset(net, plan, l - 1),
                work, output_offset(net, plan, l - 1), work, previous, rows * n_in)
            delta, previous = previous, delta


cdef inline double batch_gradient(
    const Net* net, const Plan* plan, const Source* source, const Py_ssize_t* order,
    Py_ssize_t start, Py_ssize_t count, const floating[::1] params, floating[::1] grads,
    floating[::1] work,
) noexcept nogil:
    """Data part of a batch: grads = sum_i w_i dL_i/dparams; returns sum_i w_i L_i.

    Neither divided by the weight of the batch nor penalised: such sums can be added up over
    threads or processes before finish_gradient. Batches larger than the workspace are cut.
    """
    cdef Py_ssize_t at, rows, last = net.n_layers - 1
    cdef Py_ssize_t p = output_offset(net, plan, last)
    cdef Py_ssize_t z = z_offset(net, plan, last)
    cdef Py_ssize_t weight = -1 if source.weight is NULL else plan.weight
    cdef double loss = 0
    at = start
    while at < start + count:
        rows = min(plan.rows, start + count - at)
        if order is not NULL and not source.sparse and rows > 1:
            gather_x(source, order, at, rows, work, plan.x)
        gather_targets(source, order, at, rows, work, plan.y)
        if weight >= 0:
            gather_weights(source, order, at, rows, work, weight)
        forward(net, plan, source, order, at, rows, params, work)
        loss += loss_sum(net.loss, rows, net.n_outputs, work, plan.y, work, p, work, weight)
        output_delta(net.loss, net.canonical, net.layers[last].activation, rows, net.n_outputs,
                     work, plan.y, work, z, work, p, work, weight, work, plan.delta)
        backward(net, plan, source, order, at, rows, params, grads, work, at > start)
        at += rows
    return loss


cdef inline double finish_gradient(
    const Net* net, double alpha, double weight, const floating[::1] params,
    floating[::1] grads,
) noexcept nogil:
    """grads = (grads + alpha W) / weight, biases unpenalised; returns alpha/2 sum W^2."""
    cdef Py_ssize_t i
    cdef floating a = <floating>alpha
    cdef floating scale = <floating>(1 / weight)
    for i in range(net.n_coefs):
        grads[i] = (grads[i] + a * params[i]) * scale
    for i in range(net.n_coefs, net.n_params if net.fit_intercept else net.n_coefs):
        grads[i] *= scale
    return alpha / 2 * <double>dot(&params[0], &params[0], net.n_coefs)
