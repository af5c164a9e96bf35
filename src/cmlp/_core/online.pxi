# One epoch of online training as train_epoch calls it: memory, and looking at Ctrl-C. Included by
# engine.pxi, which imports. The arithmetic is in online.pxd.

cdef enum:
    FLOPS_PER_LOOK = 800_000_000    # 5 to 50 ms between two looks at Ctrl-C
    MIN_BLOCKED = 8                 # samples for which a block of them is worth its while


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
    cdef Py_ssize_t[::1] which = np.empty(max(net.n_features, net.widest), dtype=np.intp)
    # activations and what a layer costs by itself count too: networks may be narrow and deep
    cdef Py_ssize_t flops = (
        6 * net.n_coefs + 20 * net.n_params + 200 * net.n_units + 1000 * net.n_layers)
    cdef Py_ssize_t samples = max(1, <Py_ssize_t>FLOPS_PER_LOOK // flops)
    cdef Py_ssize_t start = 0, end
    cdef floating[::1] scratch, velocities = state[0]
    cdef double total = 0
    cdef bint in_blocks
    cdef fp_state before
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
            and online.layers[0].coef < 0 and not online.layers[0].transposed
        scratch = aligned_empty(blocks.size if in_blocks else online.size,
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
                            net, &online, &blocks, source, order, start, end, &hyper[0], alpha,
                            loss_scale, params, state, velocities, scratch, &which[0])
                    else:
                        total += _online.online_pass(
                            net, &online, source, order, start, end, &hyper[0], alpha,
                            loss_scale, params, state, scratch, &which[0])
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


def aligned_empty(size, dtype):
    """An uninitialised vector that starts on a cache line."""
    raw = np.empty(size * dtype.itemsize + 64, dtype=np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip:skip + size * dtype.itemsize].view(dtype)
