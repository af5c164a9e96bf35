# One epoch of online training as train_epoch calls it: memory, and looking at Ctrl-C. Included by
# engine.pxi, which imports. The arithmetic is in online.pxd.
# uses: interrupt.pxi, layout.pxi, limits.pxi
# gives: trains_online, online_epoch


cdef bint trains_online(
    const Source* source, Py_ssize_t batch_size, int optimizer, str name, const double* hyper,
) except -1:
    """Whether online_epoch can do the work of train_epoch."""
    if batch_size != 1 or source.sparse or optimizer_table[optimizer].loops < ONLINE:
        return False
    # an epsilon that rounds to zero would make 0 / 0 of the zeros that pad a row
    names = OPTIMIZERS[name][2]
    return "epsilon" not in names or <float>hyper[names.index("epsilon")] >= FLT_MIN


cdef double online_epoch(
    const Net* net, const Source* source, const Py_ssize_t* order, Py_ssize_t n,
    int optimizer, double[::1] hyper, double alpha, double loss_scale,
    floating[::1] params, floating[:, ::1] state,
) except? -1:
    """The sum of the losses of n steps, one sample each; params and state are updated."""
    cdef _online_plan.Online online
    cdef _blocks.Blocks blocks
    cdef Py_ssize_t[::1] nonzero = np.empty(max(net.n_features, net.widest), dtype=np.intp)
    # activations and what a layer costs by itself count too: networks may be narrow and deep
    cdef Py_ssize_t flops = (
        6 * net.n_coefs + 20 * net.n_params + 200 * net.n_units + 1000 * net.n_layers)
    cdef Py_ssize_t samples = max(1, <Py_ssize_t>FLOPS_PER_LOOK_ONLINE // flops)
    cdef Py_ssize_t start = 0, end
    cdef floating[::1] scratch, velocities = state[0]
    cdef double total = 0
    cdef bint in_blocks
    cdef fp_state before
    online.source = source
    online.order = order
    online.hyper = &hyper[0]
    online.alpha = alpha
    online.loss_scale = loss_scale
    online.nonzero = &nonzero[0]
    online.layers = <_online_plan.OnlineLayer*>calloc(
        net.n_layers, sizeof(_online_plan.OnlineLayer))
    if online.layers is NULL:
        raise MemoryError()
    try:
        _online_plan.plan_online(net, &online, <int>state.shape[0], sizeof(floating))
        _blocks.plan_blocks(
            net, &online,
            gemm_pack_size(net.layers[0].fan_out, net.n_features, sizeof(floating)),
            &blocks, sizeof(floating))
        in_blocks = optimizer_table[optimizer].loops == ONLINE_LINEAR and n >= MIN_BLOCKED \
            and online.layers[0].coef == ABSENT and not online.layers[0].transposed
        scratch = aligned_vector(blocks.size if in_blocks else online.size,
                                 np.asarray(params).dtype)
        if in_blocks:
            scratch[:] = 0
            if samples > _blocks.BLOCK:      # whole blocks
                samples -= samples % _blocks.BLOCK
        with nogil:
            before = flush_denormals()
            _online_plan.set_up(net, &online, optimizer, &hyper[0], params, state, scratch)
            try:
                while start < n:
                    end = min(n, start + samples)
                    if in_blocks and end - start >= MIN_BLOCKED:
                        total += _blocks.blocked_pass(
                            net, &online, &blocks, start, end, params, state, velocities,
                            scratch)
                    else:
                        total += _online.online_pass(
                            net, &online, start, end, params, state, scratch)
                    start = end
                    if start < n:
                        with gil:
                            check_signals()
            finally:
                # what was learnt before an interruption is kept
                _online_plan.copy_layers(net, &online, True, params, state, scratch)
                fp_restore(before)
    finally:
        free(online.layers)
    return total
