# The passes through layers: forward, deltas, gradients and updates, for any number of threads.
# Layers and rows are known here; the formulas of activations, losses and optimizers are not.
#
# A minibatch is two phases. In the first, each thread takes rows: forward, loss, deltas of all
# layers. In the second, each takes slabs, rows of a weight matrix: their gradient over all rows
# of the batch, the penalty, the optimizer's step, while they are in cache. Every number is
# computed by one thread, in an order that does not depend on how many there are: so neither does
# the result.

from cython cimport floating
from libc.stdint cimport uint64_t
from libc.string cimport memset
from cmlp._core.activations cimport (
    SLOPE, activate, activate_with_slope, activation_backward, is_in_tiles)
from cmlp._core.batch cimport gather_targets, gather_weights, gather_x
from cmlp._core.dropout cimport (
    drop, drop_deltas, drop_outputs, drops_input, input_rows, plan_dropout, saved_offset,
    saves_outputs, take_input)
from cmlp._core.inputs cimport (
    builds_inputs, inputs_gradient, inputs_scratch, prepare_inputs, take_inputs)
from cmlp._core.linalg cimport (
    PACK_WIDTH, PLAIN, ROWS, affine_narrow, aligned, column_sums, dot, finished, gemm, gemm_narrow,
    gemm_pack_size, gemm_packed, gemv, pack_matrix, packed_size, panel_width, plain)
from cmlp._core.losses cimport SOFTMAX, output_delta, row_losses, softmax
from cmlp._core.matrix cimport Matrix, as_double, matrix, part, strided, transposed
from cmlp._core.optimizers cimport Step, optimizer_step
from cmlp._core.sparse cimport (
    compress, pack_delta, sparse_affine, sparse_coef_gradient, transpose)
from cmlp._core.sparse_plan cimport plan_sparse
from cmlp._core.stop cimport stopped
from cmlp._core.types cimport ABSENT, AS_IS, Batch, Compressed, Layer, Net, Plan, Source

cdef enum:
    DOT_PRODUCTS = 4             # outputs computed as dot products up to this width
    SLAB_ELEMENTS = 4096         # of a weight matrix that are differentiated and updated at once,
    SLAB_ROWS = 48               # rows at least: a packed batch of deltas is read for each slab
    BLOCK_BYTES = 98304          # of activations and deltas that stay in cache between layers

cdef inline bint gradient_is_transposed(const Layer* layer, size_t itemsize) noexcept nogil:
    """Whether the gradient of the layer is better computed transposed: see gemm_narrow."""
    cdef Py_ssize_t width = panel_width(itemsize)
    return layer.fan_out < width and layer.fan_in >= width


cdef inline Py_ssize_t copies(const Net* net, Py_ssize_t l) noexcept nogil:
    """Matrices of weights of layer l, one after another: the last layer is each member's own."""
    return net.n_members if l == net.n_layers - 1 else 1


cdef inline Py_ssize_t slab_rows(const Net* net, Py_ssize_t l) noexcept nogil:
    """Rows of W of layer l in a slab."""
    cdef const Layer* layer = &net.layers[l]
    return min(layer.fan_in,
               max(<Py_ssize_t>SLAB_ROWS, SLAB_ELEMENTS // layer.fan_out // 24 * 24))


cdef inline Py_ssize_t count_slabs(const Net* net) noexcept nogil:
    cdef Py_ssize_t l, rows, total = 0
    for l in range(net.n_layers):
        rows = slab_rows(net, l)
        total += (net.layers[l].fan_in + rows - 1) // rows * copies(net, l)
    return total


cdef inline bint is_small(const Net* net, size_t itemsize) noexcept nogil:
    """Whether every W.T fits one packed block, and no forward product wants packing: then a
    few rows at a time go through all layers."""
    cdef Py_ssize_t l
    if builds_inputs(net):
        return False
    for l in range(net.n_layers):
        if net.layers[l].fan_out >= PACK_WIDTH or (
                l > 0 and net.layers[l].fan_in >= PACK_WIDTH):
            return False
    return True


cdef inline Py_ssize_t samples_at_once(
    const Net* net, Py_ssize_t n, Py_ssize_t max_rows,
) noexcept nogil:
    """Of n samples, as many as make so many rows at most, or a few with many members."""
    return max(<Py_ssize_t>1, min(n, max(<Py_ssize_t>ROWS, max_rows // net.n_members)))


cdef inline Plan plan_workspace(
    const Net* net, const Source* source, Py_ssize_t samples, int n_threads, size_t itemsize,
) noexcept nogil:
    """Where everything lies in the workspace for up to so many samples at once."""
    cdef Plan plan
    cdef Source dense
    cdef Py_ssize_t rows = samples * net.n_members
    cdef Py_ssize_t l, per_row, double_items = sizeof(double) // itemsize
    cdef Py_ssize_t pack = 0, packed_transposes = 0, slab = 0
    cdef const Layer* layer
    cdef bint small = is_small(net, itemsize)
    if builds_inputs(net):       # of dense rows
        memset(&dense, 0, sizeof(dense))
        dense.density = 1
        source = &dense
    plan.samples = samples
    plan.rows = rows
    plan.x = 0
    # rows of a sparse X are never made dense
    plan.x_delta = aligned(plan.x + (0 if source.sparse else rows * net.layers[0].fan_in))
    plan.y = plan.x_delta
    if net.n_input_params > 0:
        plan.y = aligned(plan.x_delta + rows * net.layers[0].fan_in)
    else:
        plan.x_delta = ABSENT
    plan.weight = aligned(plan.y + rows * net.n_outputs)
    plan.a = aligned(plan.weight + rows)
    plan.slope = aligned(plan.a + rows * net.n_units)
    plan.delta = aligned(plan.slope + (rows * net.n_units if net.any_keeps_slope else 0))
    if not net.any_keeps_slope:
        plan.slope = ABSENT
    plan.loss = aligned(plan.delta + rows * net.n_units)
    plan.penalty = aligned(plan.loss + rows * double_items)
    plan.sparse = plan_sparse(source, rows, net.layers[0].fan_out, itemsize,
                              aligned(plan.penalty + count_slabs(net) * double_items))
    plan.dropout = plan_dropout(net, source, rows, itemsize, plan.sparse.end)
    plan.thread_scratch = plan.dropout.end
    for l in range(net.n_layers):
        layer = &net.layers[l]
        # forward, delta, gradient
        pack = max(pack, gemm_pack_size(layer.fan_out, layer.fan_in, itemsize))
        pack = max(pack, layer.fan_out * layer.fan_in if layer.fan_out <= DOT_PRODUCTS else 0)
        if l > 0 and small:
            packed_transposes += aligned(packed_size(layer.fan_in, layer.fan_out, itemsize))
        elif l > 0 or plan.x_delta != ABSENT:
            pack = max(pack, gemm_pack_size(layer.fan_in, layer.fan_out, itemsize))
        pack = max(pack, packed_size(layer.fan_out, rows, itemsize)
                   if layer.fan_out >= PACK_WIDTH
                   else gemm_pack_size(layer.fan_out, rows, itemsize))
        if gradient_is_transposed(layer, itemsize):
            pack = max(pack, gemm_pack_size(layer.fan_in, rows, itemsize)
                       + layer.fan_in * layer.fan_out)
        slab = max(slab, slab_rows(net, l) * layer.fan_out)
    plan.pack = 0
    plan.packed_transposes = aligned(pack) if small else ABSENT
    plan.slab = aligned(pack) + packed_transposes
    plan.compressed = plan.slab + aligned(slab)
    plan.inputs = plan.compressed + plan.sparse.thread_scratch_size
    plan.thread_scratch_size = plan.inputs + inputs_scratch(net, samples, itemsize)
    plan.size = plan.thread_scratch + n_threads * plan.thread_scratch_size
    per_row = ((0 if plan.sparse.used else net.layers[0].fan_in)
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
    plan.thread_scratch += by


cdef inline Py_ssize_t output_offset(
    const Net* net, const Plan* plan, Py_ssize_t l, Py_ssize_t row,
) noexcept nogil:
    """Where the activations (rows, fan_out) of layer l start in the workspace, from a row on."""
    return plan.a + plan.rows * net.layers[l].units_before + row * net.layers[l].fan_out


cdef inline Py_ssize_t slope_offset(
    const Net* net, const Plan* plan, Py_ssize_t l, Py_ssize_t row,
) noexcept nogil:
    """The same for f'(z); ABSENT where it is not kept."""
    if not net.layers[l].keeps_slope or plan.slope < 0:
        return ABSENT
    return plan.slope + plan.rows * net.layers[l].units_before + row * net.layers[l].fan_out


cdef inline Py_ssize_t delta_offset(
    const Net* net, const Plan* plan, Py_ssize_t l, Py_ssize_t row,
) noexcept nogil:
    """The same for the deltas."""
    return plan.delta + plan.rows * net.layers[l].units_before + row * net.layers[l].fan_out


cdef inline void apply_activation(
    int activation, Py_ssize_t rows, Py_ssize_t n, const Py_ssize_t* group_ends, floating* values,
) noexcept nogil:
    if activation == SOFTMAX:
        softmax(rows, n, group_ends, values)
    else:
        activate(activation, values, rows * n)


cdef inline bint gathers_x(const Batch* batch) noexcept nogil:
    """Whether the inputs of the first layer are in the workspace: made of X, or its rows in an
    order, converted, or without some of their numbers. Else they are read in place."""
    return batch.order is not NULL or batch.source.conversion != AS_IS \
        or drops_input(batch.net, batch.plan) or builds_inputs(batch.net)


cdef inline Py_ssize_t member_of(const Batch* batch, Py_ssize_t row) noexcept nogil:
    return row // batch.samples if batch.net.n_members > 1 else 0


cdef inline Py_ssize_t position(const Batch* batch, Py_ssize_t row) noexcept nogil:
    """Of a row in the epoch, each member having an epoch of its own: what dropout goes by."""
    cdef Py_ssize_t member = member_of(batch, row)
    return (member * batch.source.n_samples + batch.start
            + row - member * batch.samples)


cdef inline Matrix outputs(
    const Batch* batch, Py_ssize_t l, Py_ssize_t row, Py_ssize_t rows, floating[::1] work,
) noexcept nogil:
    """The activations of layer l for rows row.. of the batch."""
    return matrix(&work[output_offset(batch.net, batch.plan, l, row)], rows,
                  batch.net.layers[l].fan_out)


cdef inline Matrix deltas(
    const Batch* batch, Py_ssize_t l, Py_ssize_t row, Py_ssize_t rows, floating[::1] work,
) noexcept nogil:
    """dL/dz of layer l for rows row.. of the batch."""
    return matrix(&work[delta_offset(batch.net, batch.plan, l, row)], rows,
                  batch.net.layers[l].fan_out)


cdef inline floating* slopes(
    const Batch* batch, Py_ssize_t l, Py_ssize_t row, floating[::1] work,
) noexcept nogil:
    """f'(z) of layer l from a row on; NULL where it is not kept."""
    cdef Py_ssize_t at = slope_offset(batch.net, batch.plan, l, row)
    return NULL if at == ABSENT else &work[at]


cdef inline Matrix weights(
    const Net* net, Py_ssize_t l, Py_ssize_t member, const floating[::1] params,
) noexcept nogil:
    cdef const Layer* layer = &net.layers[l]
    cdef Py_ssize_t copy = member if l == net.n_layers - 1 else 0
    return matrix(&params[layer.coef + copy * layer.fan_in * layer.fan_out], layer.fan_in,
                  layer.fan_out)


cdef inline const floating* biases(
    const Net* net, Py_ssize_t l, Py_ssize_t member, const floating[::1] params,
) noexcept nogil:
    cdef Py_ssize_t copy = member if l == net.n_layers - 1 else 0
    if not net.fit_intercept:  # as one expression it would lose the const
        return NULL
    return &params[net.layers[l].intercept + copy * net.layers[l].fan_out]


cdef inline Matrix layer_input(
    const Batch* batch, Py_ssize_t l, Py_ssize_t row, Py_ssize_t rows, floating[::1] work,
) noexcept nogil:
    """The dense input of layer l for rows row.. of the batch. Rows of X are read where they were
    gathered, or in place."""
    cdef const Source* source = batch.source
    cdef Py_ssize_t fan_in = batch.net.layers[0].fan_in
    if l > 0:
        return outputs(batch, l - 1, row, rows, work)
    if gathers_x(batch):
        return matrix(&work[batch.plan.x + row * fan_in], rows, fan_in)
    return strided(<const floating*>source.x + (batch.start + row) * source.x_row, rows,
                   source.n_features, source.x_row, source.x_col)


cdef inline void forward(
    const Batch* batch, Py_ssize_t row, Py_ssize_t rows, const floating[::1] params,
    floating[::1] work, floating* scratch,
) noexcept nogil:
    """Activations of every layer for rows row.. of the batch, all of one member."""
    cdef const Net* net = batch.net
    cdef const Plan* plan = batch.plan
    cdef Py_ssize_t l, member = member_of(batch, row)
    cdef int finish
    cdef const Layer* layer
    cdef Matrix a, z, w
    cdef const floating* bias
    cdef floating* values
    cdef floating* slope
    cdef Compressed x
    for l in range(net.n_layers):
        layer = &net.layers[l]
        w = weights(net, l, member, params)
        bias = biases(net, l, member, params)
        z = outputs(batch, l, row, rows, work)
        values = <floating*>z.data
        finish = PLAIN
        if l == 0 and plan.sparse.used:
            if not drops_input(net, plan):
                compress(&plan.sparse, batch.source, batch.order, batch.start, row, row + rows,
                         work, plan.x)
            x = input_rows(plan, batch.source, work)
            sparse_affine(&plan.sparse, &x, row, w, bias, z, scratch + plan.compressed)
        elif layer.fan_out <= DOT_PRODUCTS and l > 0:
            affine_narrow(outputs(batch, l - 1, row, rows, work), w, z, bias,
                          scratch + plan.pack)
        else:
            a = layer_input(batch, l, row, rows, work)
            if rows == 1:
                gemv(<const floating*>a.data, a.col_stride, w, bias, values)
            else:
                finish = layer.activation if is_in_tiles(layer.activation) else PLAIN
                gemm(a, w, z, False, bias, scratch + plan.pack, finished(finish, NULL))
        slope = slopes(batch, l, row, work)
        if slope is not NULL:
            activate_with_slope(layer.activation, values, slope, rows * layer.fan_out)
        elif finish == PLAIN:
            apply_activation(layer.activation, rows, layer.fan_out, net.group_ends, values)
        if plan.dropout.used and l < net.n_layers - 1:
            drop_outputs(net, plan, l, position(batch, row), row, rows, work,
                         output_offset(net, plan, l, row))


cdef inline void pack_transposes(
    const Batch* batch, const floating[::1] params, floating* scratch,
) noexcept nogil:
    """W.T of every layer but the first, packed for the deltas of several blocks of rows."""
    cdef Py_ssize_t l, at = batch.plan.packed_transposes
    cdef const Layer* layer
    for l in range(1, batch.net.n_layers):
        layer = &batch.net.layers[l]
        pack_matrix(transposed(weights(batch.net, l, 0, params)), scratch + at)
        at += aligned(packed_size(layer.fan_in, layer.fan_out, sizeof(floating)))


cdef inline void backward(
    const Batch* batch, Py_ssize_t row, Py_ssize_t rows, const floating[::1] params,
    floating[::1] work, floating* scratch,
) noexcept nogil:
    """From the output delta down to that of the first layer: D_(l-1) = (D_l W_l.T) * f'; and to
    its inputs, if they have parameters. The rows are all of one member."""
    cdef const Net* net = batch.net
    cdef const Plan* plan = batch.plan
    cdef Py_ssize_t l, a, packed = plan.slab   # the packed matrices end where the slab begins
    cdef Py_ssize_t member = member_of(batch, row)
    cdef int activation, finish
    cdef const Layer* layer
    cdef Matrix d, below
    cdef floating* slope
    for l in range(net.n_layers - 1, 0, -1):
        layer = &net.layers[l]
        d = deltas(batch, l, row, rows, work)
        below = deltas(batch, l - 1, row, rows, work)
        a = output_offset(net, plan, l - 1, row)
        if plan.dropout.used and saves_outputs(&net.layers[l - 1]):
            a = saved_offset(net, plan, l - 1, row)
        activation = net.layers[l - 1].activation
        slope = slopes(batch, l - 1, row, work)
        finish = activation if slope is NULL else SLOPE
        if not is_in_tiles(finish):
            finish = PLAIN
        if plan.packed_transposes >= 0:
            packed -= aligned(packed_size(layer.fan_in, layer.fan_out, sizeof(floating)))
            gemm_packed(d, scratch + packed, below, False,
                        finished(finish, &work[a] if slope is NULL else slope))
        else:
            gemm(d, transposed(weights(net, l, member, params)), below, False,
                 <const floating*>NULL, scratch + plan.pack,
                 finished(finish, &work[a] if slope is NULL else slope))
        if finish == PLAIN:
            activation_backward(activation, &work[a], slope, <floating*>below.data,
                                rows * layer.fan_in)
        if plan.dropout.used:
            drop_deltas(net, plan, l - 1, position(batch, row), rows, work,
                        delta_offset(net, plan, l - 1, row))
    if plan.x_delta != ABSENT:
        layer = &net.layers[0]
        below = matrix(&work[plan.x_delta + row * layer.fan_in], rows, layer.fan_in)
        gemm(deltas(batch, 0, row, rows, work), transposed(weights(net, 0, 0, params)), below,
             False, <const floating*>NULL, scratch + plan.pack, plain())
        if drops_input(net, plan):
            drop(&plan.dropout, 0, net.input_drop_rate_16,
                 <uint64_t>position(batch, row) * layer.fan_in, <floating*>below.data,
                 rows * layer.fan_in)


cdef inline void build_inputs(
    const Batch* batch, Py_ssize_t row, Py_ssize_t rows, const floating[::1] params,
    floating[::1] work, floating* scratch,
) noexcept nogil:
    """The inputs made of X for rows row.. of the batch, all of one member; some are dropped."""
    cdef const Net* net = batch.net
    cdef Py_ssize_t member = member_of(batch, row), fan_in = net.layers[0].fan_in
    cdef floating* x = &work[batch.plan.x + row * fan_in]
    take_inputs(batch, member, row - member * batch.samples, rows, params, scratch, x)
    if drops_input(net, batch.plan):
        drop(&batch.plan.dropout, 0, net.input_drop_rate_16,
             <uint64_t>position(batch, row) * fan_in, x, rows * fan_in)


cdef inline void rows_phase(
    const Batch* batch, Py_ssize_t first, Py_ssize_t last, const floating[::1] params,
    floating[::1] work, floating* scratch,
) noexcept nogil:
    """Forward, loss and deltas of rows first..last of the batch.

    The loss of a sample is the mean of those of the members.
    """
    cdef const Net* net = batch.net
    cdef const Plan* plan = batch.plan
    cdef Py_ssize_t rows, place, member, row = first, top = net.n_layers - 1, n = net.n_outputs
    cdef floating* y
    cdef floating* p
    cdef floating* weight = NULL
    cdef double* losses = as_double(&work[plan.loss])
    if plan.packed_transposes >= 0 and last > first:
        pack_transposes(batch, params, scratch)
    if builds_inputs(net) and last > first:
        prepare_inputs(batch, params, scratch)
    while row < last:
        member = member_of(batch, row)
        rows = min(plan.block, min(last, (member + 1) * batch.samples) - row)
        place = batch.start + row - member * batch.samples
        if builds_inputs(net):
            build_inputs(batch, row, rows, params, work, scratch)
        elif drops_input(net, plan):
            take_input(batch, first, row, rows, work)
        elif gathers_x(batch) and not plan.sparse.used:
            gather_x(batch.source, batch.order, place, rows, &work[plan.x + row * net.n_features])
        y = &work[plan.y + row * n]
        gather_targets(batch.source, batch.order, place, rows, y)
        if batch.source.weight is not NULL or net.n_members > 1:
            weight = &work[plan.weight + row]
            gather_weights(batch.source, batch.order, place, rows, 1.0 / net.n_members, weight)
        forward(batch, row, rows, params, work, scratch)
        p = &work[output_offset(net, plan, top, row)]
        row_losses(&net.loss, rows, n, y, p, weight, losses + row)
        output_delta(&net.loss, net.layers[top].activation, rows, n, net.group_ends, y, p,
                     slopes(batch, top, row, work), weight,
                     &work[delta_offset(net, plan, top, row)])
        backward(batch, row, rows, params, work, scratch)
        row += rows


# Rows of a weight matrix that a thread differentiates and updates at once.
cdef struct Slab:
    Py_ssize_t layer
    Py_ssize_t batch_first     # row of the batch, of so many that go through the matrix
    Py_ssize_t batch_rows
    Py_ssize_t first
    Py_ssize_t rows
    Py_ssize_t columns_first   # of the columns of compressed X that are at hand

# What becomes of the gradient of a batch.
cdef struct GradientUse:
    bint in_vector             # it is put in the gradient vector, not formed in scratch,
    bint accumulate            # and added to what is there
    const Step* step           # the update that follows, or NULL:
    double alpha               # by scale (gradient + alpha W)
    double scale


cdef inline void slab_gradient(
    const Batch* batch, const Slab* slab, const Compressed* columns, Matrix gradient,
    bint accumulate, floating[::1] work, floating* scratch,
) noexcept nogil:
    """The gradient = [itself +] the slab's rows of A.T D, A the input of the layer. Layers of
    PACK_WIDTH and more find D packed, compressed X its columns."""
    cdef const Plan* plan = batch.plan
    cdef const Layer* layer = &batch.net.layers[slab.layer]
    cdef Py_ssize_t l = slab.layer
    cdef Matrix a, d = deltas(batch, l, slab.batch_first, slab.batch_rows, work)
    if l == 0 and plan.sparse.used:
        sparse_coef_gradient(&plan.sparse, columns, slab.first - slab.columns_first,
                             slab.batch_rows, gradient, accumulate, scratch + plan.compressed)
        return
    a = transposed(part(layer_input(batch, l, slab.batch_first, slab.batch_rows, work), 0,
                        slab.first, slab.batch_rows, slab.rows, sizeof(floating)))
    if gradient_is_transposed(layer, sizeof(floating)) and (l > 0 or gathers_x(batch)):
        gemm_narrow(a, d, gradient, accumulate, scratch + plan.pack)
    elif layer.fan_out >= PACK_WIDTH:
        gemm_packed(a, scratch + plan.pack, gradient, accumulate, plain())
    else:
        gemm(a, d, gradient, accumulate, <const floating*>NULL, scratch + plan.pack, plain())


cdef inline void slabs_phase(
    const Batch* batch, const GradientUse* use, floating[::1] params, floating[::1] grads,
    floating[:, ::1] state, floating[::1] work, floating* scratch, int piece, int n_pieces,
) noexcept nogil:
    """The gradient over a batch of a piece of the parameters, and what becomes of it."""
    cdef const Net* net = batch.net
    cdef const Plan* plan = batch.plan
    cdef Py_ssize_t which, copy, count, at, n, per_slab, n_slabs = 0, passed = 0
    cdef Py_ssize_t piece_first = net.n_coefs * piece // n_pieces
    cdef Py_ssize_t piece_last = net.n_coefs * (piece + 1) // n_pieces
    cdef double* penalty = as_double(&work[plan.penalty])
    cdef const Layer* layer
    cdef bint packed
    cdef Compressed x, columns
    cdef Matrix d
    cdef Slab slab
    # the gradient of a slab: in the vector at the place of its parameters, or in scratch
    cdef floating* gradient = scratch + plan.slab
    cdef bint accumulate = use.in_vector and use.accumulate
    slab.columns_first = 0
    for which in range(net.n_layers + net.n_members - 1):
        # the last layer's matrices belong to one member each, the others to all
        slab.layer = min(which, net.n_layers - 1)
        copy = which - slab.layer
        slab.batch_rows = batch.samples * net.n_members // copies(net, slab.layer)
        slab.batch_first = copy * slab.batch_rows
        layer = &net.layers[slab.layer]
        n = layer.fan_out
        d = deltas(batch, slab.layer, slab.batch_first, slab.batch_rows, work)
        per_slab = slab_rows(net, slab.layer)
        packed = n < PACK_WIDTH and not (slab.layer == 0 and plan.sparse.used)
        slab.first = 0
        while slab.first < layer.fan_in:
            slab.rows = count = min(per_slab, layer.fan_in - slab.first)
            if piece_first <= passed < piece_last:
                if stopped(2 * count * n * slab.batch_rows):
                    return
                if not packed:
                    if slab.layer == 0 and plan.sparse.used:
                        # the columns of this piece's slabs
                        slab.columns_first = slab.first
                        x = input_rows(plan, batch.source, work)
                        columns = transpose(
                            &plan.sparse, &x, batch.samples, slab.first, min(
                                layer.fan_in, slab.first + ((piece_last - passed - 1)
                                                            // (per_slab * n) + 1) * per_slab),
                            scratch + plan.compressed)
                        pack_delta(&plan.sparse, d, scratch + plan.compressed)
                    else:
                        pack_matrix(d, scratch + plan.pack)
                    packed = True
                at = layer.coef + (copy * layer.fan_in + slab.first) * n
                if use.in_vector:
                    gradient = &grads[at]
                slab_gradient(batch, &slab, &columns, matrix(gradient, count, n), accumulate,
                              work, scratch)
                if use.step is not NULL:
                    penalty[n_slabs] = dot(&params[at], &params[at], count * n)
                    optimizer_step(use.step, count * n, use.alpha, use.scale, params, at,
                                   gradient, state)
                if slab.first == 0 and net.fit_intercept:
                    at = layer.intercept + copy * n
                    if use.in_vector:
                        gradient = &grads[at]
                    column_sums(d, gradient, accumulate)
                    if use.step is not NULL:
                        optimizer_step(use.step, n, 0, use.scale, params, at, gradient, state)
            passed += count * n
            n_slabs += 1
            slab.first += count


cdef inline double finish_gradient(
    const Net* net, double alpha, double weight, const floating[::1] params,
    floating[::1] grads,
) noexcept nogil:
    """grads = (grads + alpha W) / weight, weights only penalised; returns alpha/2 sum W^2."""
    cdef Py_ssize_t i
    cdef floating a = <floating>alpha
    cdef floating scale = <floating>(1 / weight)
    for i in range(net.n_coefs):
        grads[i] = (grads[i] + a * params[i]) * scale
    for i in range(net.n_coefs,
                   net.n_params if net.fit_intercept else net.n_params - net.n_biases):
        grads[i] *= scale
    return alpha / 2 * <double>dot(&params[0], &params[0], net.n_coefs)
