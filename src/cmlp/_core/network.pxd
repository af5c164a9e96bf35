# The passes through layers: forward, deltas, gradients and updates, for any number of threads.
# Layers and rows are known here; the formulas of activations, losses and optimizers are not.
#
# A minibatch is two phases. In the first, each thread takes rows: forward, loss, deltas of all
# layers. In the second, each takes slabs, rows of a weight matrix: their gradient over all rows
# of the batch, the penalty, the optimizer's step, while they are in cache. Every number is
# computed by one thread, in an order that does not depend on how many there are: so neither does
# the result.

from cython cimport floating
from cmlp._core.activations cimport (
    SLOPE, activate, activate_with_slope, activation_backward, is_in_tiles)
from cmlp._core.batch cimport gather_targets, gather_weights, gather_x
from cmlp._core.dropout cimport (
    drop_deltas, drop_outputs, drops_input, input_rows, plan_dropout, saved_offset, saves_outputs,
    take_input)
from cmlp._core.linalg cimport (
    PACK_WIDTH, PLAIN, ROWS, affine_narrow, aligned, column_sums, dot, gemm, gemm_finished,
    gemm_pack_size, gemm_packed, gemm_tn_narrow, gemv, pack_matrix, packed_size, panel_depth,
    panel_width)
from cmlp._core.losses cimport SOFTMAX, output_delta, row_losses, softmax
from cmlp._core.optimizers cimport Step, optimizer_step
from cmlp._core.sparse cimport (
    compress, pack_delta, sparse_affine, sparse_coef_gradient, transpose)
from cmlp._core.sparse_plan cimport plan_sparse
from cmlp._core.stop cimport stopped
from cmlp._core.types cimport AS_IS, Compressed, Layer, Net, Plan, Source

cdef enum:
    NARROW = 4                   # outputs computed as dot products up to this width
    SLAB_ELEMENTS = 4096         # of a weight matrix that are differentiated and updated at once,
    SLAB_ROWS = 48               # rows at least: a packed batch of deltas is read for each slab
    BLOCK_BYTES = 98304          # of activations and deltas that stay in cache between layers

cdef inline bint is_narrow(const Layer* layer, size_t itemsize) noexcept nogil:
    """Whether the gradient of the layer is better computed transposed: see gemm_tn_narrow."""
    cdef Py_ssize_t width = panel_width(itemsize)
    return layer.fan_out < width and layer.fan_in >= width


cdef inline Py_ssize_t slab_rows(const Net* net, Py_ssize_t l) noexcept nogil:
    """Rows of W of layer l in a slab."""
    cdef const Layer* layer = &net.layers[l]
    return min(layer.fan_in,
               max(<Py_ssize_t>SLAB_ROWS, SLAB_ELEMENTS // layer.fan_out // 24 * 24))


cdef inline Py_ssize_t count_slabs(const Net* net) noexcept nogil:
    cdef Py_ssize_t l, rows, total = 0
    for l in range(net.n_layers):
        rows = slab_rows(net, l)
        total += (net.layers[l].fan_in + rows - 1) // rows
    return total


cdef inline bint is_small(const Net* net, size_t itemsize) noexcept nogil:
    """Whether every W.T fits one packed block, and no forward product wants packing: then a
    few rows at a time go through all layers."""
    cdef Py_ssize_t l
    for l in range(net.n_layers):
        if net.layers[l].fan_out >= PACK_WIDTH or (
                l > 0 and net.layers[l].fan_in >= PACK_WIDTH):
            return False
    return True


cdef inline Plan plan_workspace(
    const Net* net, const Source* source, Py_ssize_t rows, int n_threads, size_t itemsize,
) noexcept nogil:
    """Where everything lies in the workspace for up to `rows` samples at once."""
    cdef Plan plan
    cdef Py_ssize_t l, per_row, double_items = sizeof(double) // itemsize
    cdef Py_ssize_t pack = 0, transposed = 0, slab = 0
    cdef const Layer* layer
    cdef bint small = is_small(net, itemsize)
    plan.rows = rows
    plan.x = 0
    # rows of a sparse X are never made dense
    plan.y = aligned(plan.x + (0 if source.sparse else rows * net.n_features))
    plan.weight = aligned(plan.y + rows * net.n_outputs)
    plan.a = aligned(plan.weight + rows)
    plan.slope = aligned(plan.a + rows * net.n_units)
    plan.delta = aligned(plan.slope + (rows * net.n_units if net.any_keeps_slope else 0))
    if not net.any_keeps_slope:
        plan.slope = -1
    plan.loss = aligned(plan.delta + rows * net.n_units)
    plan.penalty = aligned(plan.loss + rows * double_items)
    plan.sparse = plan_sparse(source, rows, net.layers[0].fan_out, itemsize,
                              aligned(plan.penalty + count_slabs(net) * double_items))
    plan.dropout = plan_dropout(net, source, rows, itemsize, plan.sparse.end)
    plan.own = plan.dropout.end
    for l in range(net.n_layers):
        layer = &net.layers[l]
        # forward, delta, gradient
        pack = max(pack, gemm_pack_size(layer.fan_out, layer.fan_in, itemsize))
        pack = max(pack, layer.fan_out * layer.fan_in if layer.fan_out <= NARROW else 0)
        if l > 0 and small:
            transposed += aligned(packed_size(layer.fan_in, layer.fan_out, itemsize))
        elif l > 0:
            pack = max(pack, gemm_pack_size(layer.fan_in, layer.fan_out, itemsize))
        pack = max(pack, packed_size(layer.fan_out, rows, itemsize)
                   if layer.fan_out >= PACK_WIDTH
                   else gemm_pack_size(layer.fan_out, rows, itemsize))
        if is_narrow(layer, itemsize):
            pack = max(pack, gemm_pack_size(layer.fan_in, rows, itemsize)
                       + layer.fan_in * layer.fan_out)
        slab = max(slab, slab_rows(net, l) * layer.fan_out)
    plan.pack = 0
    plan.transposed = aligned(pack) if small else -1
    plan.slab = aligned(pack) + transposed
    plan.compressed = plan.slab + aligned(slab)
    plan.own_size = plan.compressed + plan.sparse.own_size
    plan.size = plan.own + n_threads * plan.own_size
    per_row = ((0 if plan.sparse.used else net.n_features)
               + (3 if net.any_keeps_slope else 2) * net.n_units) * <Py_ssize_t>itemsize
    plan.block = rows
    if small:
        plan.block = min(rows, max(<Py_ssize_t>24, BLOCK_BYTES // per_row // 24 * 24))
    return plan


cdef inline void shift(Plan* plan, Py_ssize_t by) noexcept nogil:
    """Move the whole workspace of a forward pass, to give each thread its own."""
    plan.x += by
    plan.a += by
    if plan.slope >= 0:
        plan.slope += by
    plan.sparse.begins += by
    plan.sparse.ends += by
    plan.sparse.values += by
    plan.sparse.indices += by
    if plan.dropout.values >= 0:
        plan.dropout.values += by
        plan.dropout.indices += by
    plan.own += by


cdef inline Py_ssize_t output_offset(
    const Net* net, const Plan* plan, Py_ssize_t l, Py_ssize_t row,
) noexcept nogil:
    """Where the activations (rows, fan_out) of layer l start in the workspace, from a row on."""
    return plan.a + plan.rows * net.layers[l].units_before + row * net.layers[l].fan_out


cdef inline Py_ssize_t slope_offset(
    const Net* net, const Plan* plan, Py_ssize_t l, Py_ssize_t row,
) noexcept nogil:
    """The same for f'(z); -1 where it is not kept."""
    if not net.layers[l].keeps_slope or plan.slope < 0:
        return -1
    return plan.slope + plan.rows * net.layers[l].units_before + row * net.layers[l].fan_out


cdef inline Py_ssize_t delta_offset(
    const Net* net, const Plan* plan, Py_ssize_t l, Py_ssize_t row,
) noexcept nogil:
    """The same for the deltas."""
    return plan.delta + plan.rows * net.layers[l].units_before + row * net.layers[l].fan_out


cdef inline void apply_activation(
    int activation, Py_ssize_t rows, Py_ssize_t n, const Py_ssize_t* group_ends,
    floating[::1] values, Py_ssize_t at,
) noexcept nogil:
    if activation == SOFTMAX:
        softmax(rows, n, group_ends, values, at)
    else:
        activate(activation, values, at, rows * n)


cdef inline bint gathers_x(
    const Net* net, const Plan* plan, const Source* source, const Py_ssize_t* order,
) noexcept nogil:
    """Whether rows of dense X are copied to the workspace: in an order, to be converted, or for
    some of their numbers to be dropped. Else they are read in place."""
    return order is not NULL or source.conversion != AS_IS or drops_input(net, plan)


cdef inline const floating* layer_input(
    const Net* net, const Plan* plan, const Source* source, const Py_ssize_t* order,
    Py_ssize_t start, Py_ssize_t row, Py_ssize_t l, floating[::1] work,
    Py_ssize_t* a_row, Py_ssize_t* a_col,
) noexcept nogil:
    """The dense input of layer l from a row on, and its strides. Rows of X are read where they
    were gathered, or in place."""
    a_row[0] = net.layers[l].fan_in
    a_col[0] = 1
    if l > 0:
        return &work[output_offset(net, plan, l - 1, row)]
    if gathers_x(net, plan, source, order):
        return &work[plan.x + row * net.n_features]
    a_row[0] = source.x_row
    a_col[0] = source.x_col
    return <const floating*>source.x + (start + row) * source.x_row


cdef inline void forward(
    const Net* net, const Plan* plan, const Source* source, const Py_ssize_t* order,
    Py_ssize_t start, Py_ssize_t row, Py_ssize_t rows, const floating[::1] params,
    floating[::1] work, Py_ssize_t own,
) noexcept nogil:
    """Activations of every layer for rows row..row+rows of the samples that begin at start."""
    cdef Py_ssize_t l, bias, z, slope, a_row, a_col
    cdef int finish
    cdef const Layer* layer
    cdef const floating* a
    cdef Compressed x
    for l in range(net.n_layers):
        layer = &net.layers[l]
        bias = layer.intercept if net.fit_intercept else -1
        z = output_offset(net, plan, l, row)
        finish = PLAIN
        if l == 0 and plan.sparse.used:
            if not drops_input(net, plan):
                compress(&plan.sparse, source, order, start, row, row + rows, work, plan.x)
            x = input_rows(plan, source, work)
            sparse_affine(&plan.sparse, &x, row, rows, layer.fan_in, layer.fan_out,
                          params, layer.coef, params, bias, work, z, work, own + plan.compressed)
        elif layer.fan_out <= NARROW and l > 0:
            affine_narrow(rows, layer.fan_out, layer.fan_in,
                          work, output_offset(net, plan, l - 1, row), params, layer.coef,
                          params, bias, work, z, work, own + plan.pack)
        else:
            a = layer_input(net, plan, source, order, start, row, l, work, &a_row, &a_col)
            if rows == 1:
                gemv(layer.fan_out, layer.fan_in, a, a_col, params, layer.coef,
                     params, bias, work, z)
            else:
                finish = layer.activation if is_in_tiles(layer.activation) else PLAIN
                gemm_finished(rows, layer.fan_out, layer.fan_in, a, a_row, a_col,
                              params, layer.coef, layer.fan_out, False, work, z, False,
                              params, bias, work, own + plan.pack, finish, work, -1)
        slope = slope_offset(net, plan, l, row)
        if slope >= 0:
            activate_with_slope(layer.activation, work, z, work, slope, rows * layer.fan_out)
        elif finish == PLAIN:
            apply_activation(layer.activation, rows, layer.fan_out, net.group_ends, work, z)
        if plan.dropout.used and l < net.n_layers - 1:
            drop_outputs(net, plan, l, start + row, row, rows, work, z)


cdef inline void pack_transposed(
    const Net* net, const Plan* plan, const floating[::1] params, floating[::1] work,
    Py_ssize_t own,
) noexcept nogil:
    """W.T of every layer but the first, packed for the deltas of several blocks of rows."""
    cdef Py_ssize_t l, at = own + plan.transposed
    cdef const Layer* layer
    for l in range(1, net.n_layers):
        layer = &net.layers[l]
        pack_matrix(layer.fan_in, layer.fan_out, params, layer.coef, layer.fan_out, True, work, at)
        at += aligned(packed_size(layer.fan_in, layer.fan_out, sizeof(floating)))


cdef inline void deltas(
    const Net* net, const Plan* plan, Py_ssize_t start, Py_ssize_t row, Py_ssize_t rows,
    const floating[::1] params, floating[::1] work, Py_ssize_t own,
) noexcept nogil:
    """From the output delta down to that of the first layer: D_(l-1) = (D_l W_l.T) * f'."""
    cdef Py_ssize_t l, d, previous, a, slope, transposed = own + plan.slab
    cdef int activation, finish
    cdef const Layer* layer
    for l in range(net.n_layers - 1, 0, -1):
        layer = &net.layers[l]
        d = delta_offset(net, plan, l, row)
        previous = delta_offset(net, plan, l - 1, row)
        a = output_offset(net, plan, l - 1, row)
        if plan.dropout.used and saves_outputs(&net.layers[l - 1]):
            a = saved_offset(net, plan, l - 1, row)
        activation = net.layers[l - 1].activation
        slope = slope_offset(net, plan, l - 1, row)
        finish = activation if slope < 0 else SLOPE
        if not is_in_tiles(finish):
            finish = PLAIN
        if plan.transposed >= 0:
            transposed -= aligned(packed_size(layer.fan_in, layer.fan_out, sizeof(floating)))
            gemm_packed(rows, layer.fan_in, layer.fan_out, &work[d], layer.fan_out, 1,
                        work, transposed, work, previous, False, finish,
                        work, a if slope < 0 else slope)
        else:
            gemm_finished(rows, layer.fan_in, layer.fan_out, &work[d], layer.fan_out, 1,
                          params, layer.coef, layer.fan_out, True, work, previous, False,
                          params, -1, work, own + plan.pack, finish,
                          work, a if slope < 0 else slope)
        if finish == PLAIN:
            activation_backward(activation, work, a, work, slope, work, previous,
                                rows * layer.fan_in)
        if plan.dropout.used:
            drop_deltas(net, plan, l - 1, start + row, rows, work, previous)


cdef inline void rows_phase(
    const Net* net, const Plan* plan, const Source* source, const Py_ssize_t* order,
    Py_ssize_t start, Py_ssize_t first, Py_ssize_t last, const floating[::1] params,
    floating[::1] work, Py_ssize_t own,
) noexcept nogil:
    """Forward, loss and deltas of rows first..last of the samples that begin at start."""
    cdef Py_ssize_t p, rows, row = first, top = net.n_layers - 1
    cdef Py_ssize_t y, weight, n = net.n_outputs
    cdef double* loss = <double*>&work[plan.loss]
    if plan.transposed >= 0 and last > first:
        pack_transposed(net, plan, params, work, own)
    while row < last:
        rows = min(plan.block, last - row)
        y = plan.y + row * n
        weight = -1 if source.weight is NULL else plan.weight + row
        if drops_input(net, plan):
            take_input(net, plan, source, order, start, first, row, rows, work)
        elif gathers_x(net, plan, source, order) and not plan.sparse.used:
            gather_x(source, order, start + row, rows, work, plan.x + row * net.n_features)
        gather_targets(source, order, start + row, rows, work, y)
        if weight >= 0:
            gather_weights(source, order, start + row, rows, work, weight)
        forward(net, plan, source, order, start, row, rows, params, work, own)
        p = output_offset(net, plan, top, row)
        row_losses(&net.loss, rows, n, work, y, work, p, work, weight, &loss[row])
        output_delta(&net.loss, net.canonical, net.layers[top].activation, rows, n,
                     net.group_ends, work, y, work, p, work, slope_offset(net, plan, top, row),
                     work, weight,
                     work, delta_offset(net, plan, top, row))
        deltas(net, plan, start, row, rows, params, work, own)
        row += rows


cdef inline void slab_gradient(
    const Net* net, const Plan* plan, const Source* source, const Py_ssize_t* order,
    Py_ssize_t start, Py_ssize_t rows, Py_ssize_t l, Py_ssize_t first, Py_ssize_t count,
    const Compressed* columns, Py_ssize_t columns_first,
    floating[::1] work, Py_ssize_t own, floating[::1] grads, Py_ssize_t at, bint accumulate,
) noexcept nogil:
    """grads (count, fan_out) = [grads +] rows first..first+count of A.T D, A the input of the
    layer. Layers of PACK_WIDTH and more find D packed, compressed X its columns."""
    cdef const Layer* layer = &net.layers[l]
    cdef Py_ssize_t n = layer.fan_out, d = delta_offset(net, plan, l, 0), a_row, a_col
    cdef const floating* a
    if l == 0 and plan.sparse.used:
        sparse_coef_gradient(&plan.sparse, columns, first - columns_first, count, rows, n,
                             grads, at, accumulate, work, own + plan.compressed)
        return
    if is_narrow(layer, sizeof(floating)) and (l > 0 or gathers_x(net, plan, source, order)):
        gemm_tn_narrow(
            count, n, rows, work,
            (output_offset(net, plan, l - 1, 0) if l > 0 else plan.x) + first, layer.fan_in,
            work, d, grads, at, accumulate, work, own + plan.pack)
        return
    a = layer_input(net, plan, source, order, start, 0, l, work, &a_row, &a_col)
    if n >= PACK_WIDTH:
        gemm_packed(count, n, rows, a + first * a_col, a_col, a_row, work, own + plan.pack,
                    grads, at, accumulate, PLAIN, grads, -1)
    else:
        gemm(count, n, rows, a + first * a_col, a_col, a_row, work, d, n, False,
             grads, at, accumulate, grads, -1, work, own + plan.pack)


cdef inline void slabs_phase(
    const Net* net, const Plan* plan, const Source* source, const Py_ssize_t* order,
    Py_ssize_t start, Py_ssize_t rows, double alpha, double scale, const Step* step,
    floating[::1] params, floating[::1] grads, floating[:, ::1] state, floating[::1] work,
    Py_ssize_t own, bint accumulate, bint to_grads, int rank, int n_threads,
) noexcept nogil:
    """The gradient over a batch of this thread's share of the parameters, and with a step the
    update by scale (gradient + alpha W).

    to_grads: it is added up in the gradient vector over several calls, not formed in scratch.
    """
    cdef Py_ssize_t l, first, count, at, n, per_slab, d, slab = 0, passed = 0
    cdef Py_ssize_t share_first = net.n_coefs * rank // n_threads
    cdef Py_ssize_t share_last = net.n_coefs * (rank + 1) // n_threads
    cdef double* penalty = <double*>&work[plan.penalty]
    cdef const Layer* layer
    cdef bint packed
    cdef Compressed x, columns
    cdef Py_ssize_t columns_first = 0
    for l in range(net.n_layers):
        layer = &net.layers[l]
        n = layer.fan_out
        d = delta_offset(net, plan, l, 0)
        per_slab = slab_rows(net, l)
        packed = n < PACK_WIDTH and not (l == 0 and plan.sparse.used)
        first = 0
        while first < layer.fan_in:
            count = min(per_slab, layer.fan_in - first)
            if share_first <= passed < share_last:
                if stopped(2 * count * n * rows):
                    return
                if not packed:
                    if l == 0 and plan.sparse.used:
                        # the columns of this thread's slabs
                        columns_first = first
                        x = input_rows(plan, source, work)
                        columns = transpose(
                            &plan.sparse, &x, rows, first, min(
                                layer.fan_in, first + ((share_last - passed - 1)
                                                       // (per_slab * n) + 1) * per_slab),
                            work, own + plan.compressed)
                        pack_delta(&plan.sparse, rows, n, work, d, work, own + plan.compressed)
                    else:
                        pack_matrix(n, rows, work, d, n, False, work, own + plan.pack)
                    packed = True
                at = layer.coef + first * n
                if to_grads:
                    slab_gradient(net, plan, source, order, start, rows, l, first, count,
                                  &columns, columns_first, work, own, grads, at, accumulate)
                    if step is not NULL:
                        penalty[slab] = dot(&params[at], &params[at], count * n)
                        optimizer_step(step, count * n, alpha, scale, params, at, grads, at, state)
                else:
                    slab_gradient(net, plan, source, order, start, rows, l, first, count,
                                  &columns, columns_first, work, own, work, own + plan.slab, False)
                    penalty[slab] = dot(&params[at], &params[at], count * n)
                    optimizer_step(step, count * n, alpha, scale, params, at,
                                   work, own + plan.slab, state)
                if first == 0 and net.fit_intercept:
                    at = layer.intercept
                    if to_grads:
                        column_sums(rows, n, work, d, grads, at, accumulate)
                        if step is not NULL:
                            optimizer_step(step, n, 0, scale, params, at, grads, at, state)
                    else:
                        column_sums(rows, n, work, d, work, own + plan.slab, False)
                        optimizer_step(step, n, 0, scale, params, at, work, own + plan.slab, state)
            passed += count * n
            slab += 1
            first += count


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
