# Online sgd through a large first layer: the same steps, one sample each, but its weights are read
# and written once for a block of samples.
#
# The update is linear (optimizers.h says of which rows), so after t samples of a block
#     W = w0 W0 + v0 V0 + sum_s k_s x_s d_s.T,    and the velocities V likewise,
# with scalars that each step advances. What the t-th sample needs of W is its product
#     x_t.T W = w0 x_t.T W0 + v0 x_t.T V0 + sum_s k_s (x_t . x_s) d_s.T,
# and of the penalty, the squared norm of W, which follows from such products too. So a block
# needs the products of its samples with W0, V0 and with one another beforehand, and the outer
# products are added up at its end: matrix products all of them.

from cython cimport floating
from libc.string cimport memcpy, memset
from cmlp._core.batch cimport dense_row, sample
from cmlp._core.linalg cimport dot, gemm, plain
from cmlp._core.matrix cimport Matrix, matrix, strided
from cmlp._core.online cimport (
    PRODUCT_OLD, cmlp_mix_f32, cmlp_mix_f64, next_weighted, squared_weights, step_above_first,
    update_bias, weight_of)
from cmlp._core.online_plan cimport (
    DECAY, FIRST_CONSTANT, SCALE, Online, OnlineLayer, begin_sample, padded)
from cmlp._core.optimizers cimport MAX_CONSTANTS, Rule, cmlp_optimizer_step_f64
from cmlp._core.types cimport Net, Source

cdef extern from "online_blocks.h" nogil:
    ctypedef struct Replay "cmlp_replay":
        Py_ssize_t rows
        Py_ssize_t n
        Py_ssize_t count
        const void* x
        Py_ssize_t ldx
        const void* dw
        const void* dv
        Py_ssize_t ldd
        void* w
        void* v
        Py_ssize_t ld
        const void* keep
    void cmlp_gram_f32(
        Py_ssize_t count, Py_ssize_t n, const float* x, Py_ssize_t ldg, float* gram)
    void cmlp_gram_f64(
        Py_ssize_t count, Py_ssize_t n, const double* x, Py_ssize_t ldg, double* gram)
    void cmlp_replay_f32(const Replay* block)
    void cmlp_replay_f64(const Replay* block)

cdef enum:
    BLOCK = 32                 # samples of a block, at most
    PANEL_ROWS = 64            # rows of weights updated, then multiplied by the next block

# Offsets into the scratch array, behind those of Online.
cdef struct Blocks:
    Py_ssize_t x               # two blocks of samples     (BLOCK, ldx)
    Py_ssize_t ldx
    Py_ssize_t xw              # their products with W     (BLOCK, n)
    Py_ssize_t xv              # and with the velocities   (BLOCK, n)
    Py_ssize_t n               # fan_out
    Py_ssize_t ldd             # fan_out, padded
    Py_ssize_t delta           # of the block's samples    (BLOCK, ldd)
    Py_ssize_t dw              # the same times k_s
    Py_ssize_t dv
    Py_ssize_t z               # x_t.T W
    Py_ssize_t u               # x_t.T V
    Py_ssize_t gram            # (BLOCK, BLOCK)
    Py_ssize_t mix             # (BLOCK,)
    Py_ssize_t keep            # w0, v0 of W, w0, v0 of V
    Py_ssize_t pack            # of gemm
    Py_ssize_t size            # of the whole scratch array

# The recurrence of a block: W = w[0] W0 + w[1] V0 + sum_s w[2 + s] x_s d_s.T, V the same with v.
cdef struct Recurrence:
    double w[BLOCK + 2]
    double v[BLOCK + 2]
    double gradient[BLOCK + 2]
    double ww                  # squared norms and product of W and V
    double wv
    double vv


cdef inline void plan_blocks(
    const Net* net, const Online* online, Py_ssize_t pack, Blocks* blocks, size_t itemsize,
) noexcept nogil:
    """Where everything lies; pack: elements that gemm wants."""
    cdef Py_ssize_t n = net.layers[0].fan_out
    blocks.n = n
    blocks.ldd = padded(n, itemsize)
    blocks.ldx = padded(net.n_features, itemsize)
    blocks.x = online.size
    blocks.xw = blocks.x + 2 * BLOCK * blocks.ldx
    blocks.xv = blocks.xw + BLOCK * blocks.ldd
    blocks.delta = blocks.xv + BLOCK * blocks.ldd
    blocks.dw = blocks.delta + BLOCK * blocks.ldd
    blocks.dv = blocks.dw + BLOCK * blocks.ldd
    blocks.z = blocks.dv + BLOCK * blocks.ldd
    blocks.u = blocks.z + blocks.ldd
    blocks.gram = blocks.u + blocks.ldd
    blocks.mix = blocks.gram + BLOCK * BLOCK
    blocks.keep = blocks.mix + BLOCK
    blocks.pack = blocks.keep + padded(4, itemsize)
    blocks.size = blocks.pack + pack


cdef inline Py_ssize_t gather_block(
    const Online* online, const Blocks* blocks, Py_ssize_t* at, Py_ssize_t end,
    Py_ssize_t* rows, floating[::1] s, Py_ssize_t x,
) noexcept nogil:
    """Copy the next samples that have weight, at most BLOCK, and advance *at; how many."""
    cdef const Source* source = online.source
    cdef const Py_ssize_t* order = online.order
    cdef Py_ssize_t i, stride, count = 0, n = source.n_features
    cdef floating* room
    cdef const floating* row
    at[0] = next_weighted(source, order, at[0], end, <floating*>NULL)
    while count < BLOCK and at[0] < end:
        rows[count] = sample(order, at[0])
        room = &s[x + count * blocks.ldx]
        row = dense_row(source, rows[count], room, &stride)
        if row is room:
            pass
        elif stride == 1:
            memcpy(room, row, n * sizeof(floating))
        else:
            for i in range(n):
                room[i] = row[i * stride]
        count += 1
        at[0] = next_weighted(source, order, at[0] + 1, end, <floating*>NULL)
    return count


cdef inline void first_products(
    const Net* net, const Blocks* blocks, Py_ssize_t x, Py_ssize_t count, Py_ssize_t i0,
    Py_ssize_t rows, floating[::1] params, floating[::1] velocities, floating[::1] s,
) noexcept nogil:
    """Add to xw and xv what rows i0.. of the weights and velocities contribute."""
    cdef Py_ssize_t n = blocks.n, at = net.layers[0].coef + i0 * n
    cdef Matrix samples = strided(&s[x + i0], count, rows, blocks.ldx, 1)
    gemm(samples, matrix(&params[at], rows, n), matrix(&s[blocks.xw], count, n), True,
         <const floating*>NULL, &s[blocks.pack], plain())
    gemm(samples, matrix(&velocities[at], rows, n), matrix(&s[blocks.xv], count, n), True,
         <const floating*>NULL, &s[blocks.pack], plain())


cdef inline void combine_deltas(
    const Blocks* blocks, Py_ssize_t t, const double* past, floating[::1] s, Py_ssize_t out,
    const Py_ssize_t* which,
) noexcept nogil:
    """out += sum_s<t past_s (x_t . x_s) d_s"""
    cdef Py_ssize_t i
    for i in range(t):
        s[blocks.mix + i] = <floating>past[i] * s[blocks.gram + t * BLOCK + i]
    if floating is float:
        cmlp_mix_f32(t, blocks.ldd, blocks.ldd, &s[blocks.delta], &s[blocks.mix], 1, which,
                     &s[out])
    else:
        cmlp_mix_f64(t, blocks.ldd, blocks.ldd, &s[blocks.delta], &s[blocks.mix], 1, which,
                     &s[out])


cdef inline void make_z(
    const Blocks* blocks, const Recurrence* now, Py_ssize_t t, bint penalised,
    floating[::1] s, const Py_ssize_t* which,
) noexcept nogil:
    """z = x_t.T W, and u = x_t.T V for the penalty."""
    cdef Py_ssize_t j, z = blocks.z, u = blocks.u
    cdef Py_ssize_t xw = blocks.xw + t * blocks.n, xv = blocks.xv + t * blocks.n
    cdef floating w0 = <floating>now.w[0], w1 = <floating>now.w[1]
    cdef floating v0 = <floating>now.v[0], v1 = <floating>now.v[1]
    for j in range(blocks.n):
        s[z + j] = w0 * s[xw + j] + w1 * s[xv + j]
    combine_deltas(blocks, t, &now.w[2], s, z, which)
    if penalised:
        for j in range(blocks.n):
            s[u + j] = v0 * s[xw + j] + v1 * s[xv + j]
        combine_deltas(blocks, t, &now.v[2], s, u, which)


cdef inline void apply_rule(
    const Online* online, Py_ssize_t n, const floating* constants, double* w, double* v,
    const double* gradient,
) noexcept nogil:
    """The step of the optimizer, which is linear, for n numbers w with velocities v."""
    cdef Rule rule = online.rule
    cdef Py_ssize_t i
    for i in range(MAX_CONSTANTS):         # as the other layers have them
        rule.weights[i] = constants[FIRST_CONSTANT + i]
    rule.factor = 1                        # it is in SCALE and DECAY
    cmlp_optimizer_step_f64[rule.optimizer](
        &rule, True, n, constants[DECAY], 1, w, gradient, v, n)


cdef inline double inner(const double* a, const double* b, const double* gram) noexcept nogil:
    """a.T G b for G (3, 3)"""
    cdef double total = 0
    cdef Py_ssize_t i, j
    for i in range(3):
        for j in range(3):
            total += a[i] * b[j] * gram[3 * i + j]
    return total


cdef inline void advance_norms(
    Recurrence* now, const Online* online, const floating* constants, double wx, double vx,
    double xx,
) noexcept nogil:
    """One step of the squared norms: the new W and V are sums of W, V and x_t d_t.T, the
    gradient, whose products with W, V and itself are given."""
    cdef double[9] gram = [now.ww, now.wv, wx, now.wv, now.vv, vx, wx, vx, xx]
    cdef double[3] w = [1, 0, 0]
    cdef double[3] v = [0, 1, 0]
    cdef double[3] gradient = [0, 0, constants[SCALE]]
    apply_rule(online, 3, constants, w, v, gradient)
    now.ww = inner(w, w, gram)
    now.wv = inner(w, v, gram)
    now.vv = inner(v, v, gram)


cdef inline void advance(
    Recurrence* now, const Online* online, const floating* constants, Py_ssize_t t,
) noexcept nogil:
    """One step with the gradient x_t d_t.T."""
    now.gradient[t + 2] = constants[SCALE]
    apply_rule(online, t + 3, constants, now.w, now.v, now.gradient)
    now.gradient[t + 2] = 0


cdef inline void replay(
    const Net* net, const Blocks* blocks, Py_ssize_t x, Py_ssize_t count, Py_ssize_t i0,
    Py_ssize_t rows, floating[::1] params, floating[::1] velocities, floating[::1] s,
) noexcept nogil:
    """Bring rows i0.. of the weights and velocities to the end of a block."""
    cdef Py_ssize_t at = net.layers[0].coef + i0 * blocks.n
    cdef Replay block
    block.rows = rows
    block.n = block.ld = blocks.n
    block.count = count
    block.x = &s[x + i0]
    block.ldx = blocks.ldx
    block.dw = &s[blocks.dw]
    block.dv = &s[blocks.dv]
    block.ldd = blocks.ldd
    block.w = &params[at]
    block.v = &velocities[at]
    block.keep = &s[blocks.keep]
    if floating is float:
        cmlp_replay_f32(&block)
    else:
        cmlp_replay_f64(&block)


cdef inline void start_block(Recurrence* now) noexcept nogil:
    memset(now.w, 0, sizeof(now.w))
    memset(now.v, 0, sizeof(now.v))
    memset(now.gradient, 0, sizeof(now.gradient))
    now.w[0] = now.v[1] = 1


cdef inline void scale_deltas(
    const Blocks* blocks, const Recurrence* now, Py_ssize_t count, floating[::1] s,
) noexcept nogil:
    """What replay reads: the deltas as they have come to count in W and V."""
    cdef Py_ssize_t i, j
    cdef floating k, h
    for i in range(count):
        k = <floating>now.w[2 + i]
        h = <floating>now.v[2 + i]
        for j in range(i * blocks.ldd, (i + 1) * blocks.ldd):
            s[blocks.dw + j] = k * s[blocks.delta + j]
            s[blocks.dv + j] = h * s[blocks.delta + j]
    s[blocks.keep] = <floating>now.w[0]
    s[blocks.keep + 1] = <floating>now.w[1]
    s[blocks.keep + 2] = <floating>now.v[0]
    s[blocks.keep + 3] = <floating>now.v[1]


cdef inline double block_steps(
    const Net* net, Online* online, const Blocks* blocks, const Py_ssize_t* rows,
    Py_ssize_t count, floating[::1] params, floating[:, ::1] state, floating[::1] s,
    const Py_ssize_t* all_of, Recurrence* now,
) noexcept nogil:
    """The steps of a block but for the weights of the first layer; returns the losses."""
    cdef const OnlineLayer* here = &online.layers[0]
    cdef Py_ssize_t t, j
    cdef double loss, weight, xx, wx, vx, alpha = online.alpha, total = 0
    for t in range(count):
        weight = weight_of(online.source, rows[t], <floating*>NULL)
        begin_sample(online, weight, s)
        make_z(blocks, now, t, alpha != 0, s, all_of)
        for j in range(blocks.ldd):
            s[here.a + j] = s[blocks.z + j] + s[here.bias + j]
        loss = step_above_first(net, online, rows[t], params, state, s)
        if alpha != 0:
            loss += alpha / 2 * (squared_weights(online, s) + now.ww)
            wx = dot(&s[blocks.z], &s[here.delta], blocks.n)
            vx = dot(&s[blocks.u], &s[here.delta], blocks.n)
            xx = <double>dot(&s[here.delta], &s[here.delta], blocks.n) \
                * s[blocks.gram + t * BLOCK + t]
            advance_norms(now, online, &s[online.constants], wx, vx, xx)
        total += loss / weight
        memcpy(&s[blocks.delta + t * blocks.ldd], &s[here.delta],
               blocks.ldd * sizeof(floating))
        advance(now, online, &s[online.constants], t)
        update_bias(net, online, 0, PRODUCT_OLD, &s[online.unused], s)
    return total


cdef inline double blocked_pass(
    const Net* net, Online* online, const Blocks* blocks, Py_ssize_t start, Py_ssize_t end,
    floating[::1] params, floating[:, ::1] state, floating[::1] velocities, floating[::1] s,
) noexcept nogil:
    """What online_pass does, to rounding: samples start..end; the sum of their losses."""
    cdef Py_ssize_t rows[BLOCK]
    cdef Py_ssize_t all_of[BLOCK]
    cdef Py_ssize_t i, count, next_count, n_rows, at = start
    cdef Py_ssize_t coef = net.layers[0].coef, n_coefs = net.n_features * blocks.n
    cdef Py_ssize_t x = blocks.x, next_x = blocks.x + BLOCK * blocks.ldx
    cdef Recurrence now
    cdef double total = 0
    for i in range(BLOCK):
        all_of[i] = i
    now.ww = now.wv = now.vv = 0
    if online.alpha != 0:
        now.ww = dot(&params[coef], &params[coef], n_coefs)
        now.wv = dot(&params[coef], &velocities[coef], n_coefs)
        now.vv = dot(&velocities[coef], &velocities[coef], n_coefs)
    count = gather_block(online, blocks, &at, end, rows, s, x)
    if count == 0:
        return 0
    memset(&s[blocks.xw], 0, 2 * BLOCK * blocks.ldd * sizeof(floating))
    first_products(net, blocks, x, count, 0, net.n_features, params, velocities, s)
    while count > 0:
        if floating is float:
            cmlp_gram_f32(count, blocks.ldx, &s[x], BLOCK, &s[blocks.gram])
        else:
            cmlp_gram_f64(count, blocks.ldx, &s[x], BLOCK, &s[blocks.gram])
        start_block(&now)
        total += block_steps(net, online, blocks, rows, count, params, state, s, all_of, &now)
        scale_deltas(blocks, &now, count, s)
        next_count = gather_block(online, blocks, &at, end, rows, s, next_x)
        memset(&s[blocks.xw], 0, 2 * BLOCK * blocks.ldd * sizeof(floating))
        i = 0
        while i < net.n_features:
            n_rows = min(<Py_ssize_t>PANEL_ROWS, net.n_features - i)
            replay(net, blocks, x, count, i, n_rows, params, velocities, s)
            if next_count > 0:
                first_products(net, blocks, next_x, next_count, i, n_rows, params, velocities, s)
            i += PANEL_ROWS
        x, next_x = next_x, x
        count = next_count
    return total
