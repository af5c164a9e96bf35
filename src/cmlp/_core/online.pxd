# Online training, one sample per step: the gradient is never stored. Each row of weights is read
# and written once per sample, in a pass that also makes the delta of the layer below or, in the
# first layer, the next sample's forward product. The passes over rows are in online.h; where the
# layers lie is in online_plan.pxd.

from cython cimport floating
from libc.string cimport memcpy, memset
from cmlp._core.activations cimport activate_with_slope, activation_backward
from cmlp._core.batch cimport dense_row, gather_targets, gather_weights, sample
from cmlp._core.linalg cimport VECTOR_BYTES
from cmlp._core.losses cimport loss_sum, output_delta
from cmlp._core.network cimport apply_activation
from cmlp._core.online_plan cimport Online, OnlineLayer, begin_sample
from cmlp._core.types cimport ABSENT, Layer, Net, Source

cdef extern from "online.h" nogil:
    int PRODUCT_NEW "CMLP_PRODUCT_NEW"
    int PRODUCT_OLD "CMLP_PRODUCT_OLD"
    int DOTS_OLD "CMLP_DOTS_OLD"
    ctypedef struct RowPass "cmlp_update":
        int optimizer
        int flag
        int what
        bint penalised
        Py_ssize_t rows
        Py_ssize_t n
        Py_ssize_t ld
        void* w
        void* state
        Py_ssize_t stride
        const void* x
        Py_ssize_t x_step
        const void* d
        const void* y
        Py_ssize_t y_step
        void* product
        void* squares
        const void* rule
    void cmlp_update_f32(const RowPass* rows)
    void cmlp_update_f64(const RowPass* rows)
    void cmlp_dots_f32(
        Py_ssize_t rows, Py_ssize_t n, Py_ssize_t ld, const float* w, const float* a, float* out)
    void cmlp_dots_f64(
        Py_ssize_t rows, Py_ssize_t n, Py_ssize_t ld, const double* w, const double* a,
        double* out)
    void cmlp_mix_f32(
        Py_ssize_t count, Py_ssize_t n, Py_ssize_t ld, const float* w, const float* a,
        Py_ssize_t a_step, const Py_ssize_t* nonzero, float* z)
    void cmlp_mix_f64(
        Py_ssize_t count, Py_ssize_t n, Py_ssize_t ld, const double* w, const double* a,
        Py_ssize_t a_step, const Py_ssize_t* nonzero, double* z)


cdef inline RowPass begin_pass(
    const Online* online, int what, const floating* x, Py_ssize_t x_step, const floating* d,
    const floating* y, Py_ssize_t y_step, floating* product, floating[::1] s,
) noexcept nogil:
    """An update by x_r d of each row r, in a pass that makes the product named; which rows they
    are is not yet said."""
    cdef RowPass rows
    memset(&rows, 0, sizeof(rows))
    rows.optimizer = online.rule.optimizer
    rows.flag = online.rule.flag
    rows.what = what
    rows.penalised = online.alpha != 0
    rows.x = x
    rows.x_step = x_step
    rows.d = d
    rows.y = y
    rows.y_step = y_step
    rows.product = product
    rows.squares = &s[online.squares]
    rows.rule = &s[online.constants]
    return rows


cdef inline void update_layer(
    const Net* net, const Online* online, Py_ssize_t l, RowPass rows, floating[::1] params,
    floating[:, ::1] state, floating[::1] s,
) noexcept nogil:
    """The weights of layer l, wherever they are."""
    cdef const OnlineLayer* here = &online.layers[l]
    cdef Py_ssize_t coef = net.layers[l].coef
    cdef floating* w = &params[coef] if here.coef == ABSENT else &s[here.coef]
    rows.rows = here.rows
    rows.n = here.n
    rows.ld = here.ld
    rows.w = w
    rows.state = &state[0, coef] if here.coef == ABSENT else w + here.state
    rows.stride = state.shape[1] if here.coef == ABSENT else here.state
    if floating is float:
        cmlp_update_f32(&rows)
    else:
        cmlp_update_f64(&rows)


cdef inline void update_bias(
    const Net* net, const Online* online, Py_ssize_t l, int what, floating* product,
    floating[::1] s,
) noexcept nogil:
    """The biases: one row whose input is 1, without penalty."""
    cdef const OnlineLayer* here = &online.layers[l]
    cdef floating* one = &s[online.one]
    cdef floating* b = &s[here.bias]
    cdef RowPass row
    if not net.fit_intercept:
        return
    row = begin_pass(online, what, one, 0, &s[here.delta], one, 0, product, s)
    row.penalised = False
    row.rows = 1
    row.n = row.ld = row.stride = here.width
    row.w = b
    row.state = b + here.width
    if floating is float:
        cmlp_update_f32(&row)
    else:
        cmlp_update_f64(&row)


cdef inline void affine(
    const Net* net, const Online* online, Py_ssize_t l, const floating* a, Py_ssize_t a_step,
    floating[::1] params, floating[::1] s,
) noexcept nogil:
    """z of layer l, from an input that is contiguous and padded if the layer is transposed."""
    cdef const OnlineLayer* here = &online.layers[l]
    cdef const floating* w = &params[net.layers[l].coef] if here.coef == ABSENT else &s[here.coef]
    cdef Py_ssize_t i, count = 0
    memcpy(&s[here.a], &s[here.bias], here.width * sizeof(floating))
    if here.transposed:
        if floating is float:
            cmlp_dots_f32(here.rows, here.n, here.ld, w, a, &s[here.a])
        else:
            cmlp_dots_f64(here.rows, here.n, here.ld, w, a, &s[here.a])
        return
    for i in range(here.rows):
        online.nonzero[count] = i
        count += a[i * a_step] != 0
    if floating is float:
        cmlp_mix_f32(count, here.n, here.ld, w, a, a_step, online.nonzero,
                     &s[here.a])
    else:
        cmlp_mix_f64(count, here.n, here.ld, w, a, a_step, online.nonzero,
                     &s[here.a])


cdef inline floating* slope_of(const OnlineLayer* here, floating[::1] s) noexcept nogil:
    """f'(z) where it is kept."""
    return NULL if here.slope == ABSENT else &s[here.slope]


cdef inline void activate_layer(
    const Net* net, const Online* online, Py_ssize_t l, floating[::1] s,
) noexcept nogil:
    cdef const OnlineLayer* here = &online.layers[l]
    cdef const Layer* layer = &net.layers[l]
    cdef Py_ssize_t n = here.width if here.zero_stays else layer.fan_out
    if layer.keeps_slope:
        activate_with_slope(layer.activation, &s[here.a], &s[here.slope], n)
    else:
        apply_activation(layer.activation, 1, n, net.group_ends, &s[here.a])


cdef inline void first_affine(
    const Net* net, const Online* online, Py_ssize_t row, floating[::1] params, floating[::1] s,
) noexcept nogil:
    """z of the first layer for a row of X."""
    cdef Py_ssize_t i, stride
    cdef const floating* x = dense_row(online.source, row, &s[online.x], &stride)
    if online.layers[0].transposed:
        for i in range(net.n_features):
            s[online.x + i] = x[i * stride]
        affine(net, online, 0, &s[online.x], 1, params, s)
    else:
        affine(net, online, 0, x, stride, params, s)


cdef inline double step_above_first(
    const Net* net, const Online* online, Py_ssize_t row, floating[::1] params,
    floating[:, ::1] state, floating[::1] s,
) noexcept nogil:
    """From z of the first layer to its delta, updating the other layers; returns the loss."""
    cdef Py_ssize_t l, last = net.n_layers - 1
    cdef const OnlineLayer* here = &online.layers[last]
    cdef const OnlineLayer* below
    cdef double loss
    cdef floating* weight = NULL
    cdef RowPass rows

    activate_layer(net, online, 0, s)
    for l in range(1, net.n_layers):
        affine(net, online, l, &s[online.layers[l - 1].a], 1, params, s)
        activate_layer(net, online, l, s)

    gather_targets(online.source, &row, 0, 1, &s[online.y])
    if online.source.weight is not NULL:
        weight = &s[online.unused]
        gather_weights(online.source, &row, 0, 1, 1, weight)
    loss = online.loss_scale * loss_sum(
        &net.loss, 1, net.n_outputs, &s[online.y], &s[here.a], weight)
    output_delta(&net.loss, net.layers[last].activation, 1, net.n_outputs, net.group_ends,
                 &s[online.y], &s[here.a], slope_of(here, s), weight, &s[here.delta])

    for l in range(last, 0, -1):
        here = &online.layers[l]
        below = &online.layers[l - 1]
        if here.transposed:
            memset(&s[below.delta], 0, below.width * sizeof(floating))
            rows = begin_pass(online, PRODUCT_OLD, &s[here.delta], 1, &s[below.a],
                              &s[here.delta], 1, &s[below.delta], s)
        else:
            rows = begin_pass(online, DOTS_OLD, &s[below.a], 1, &s[here.delta],
                              &s[online.one], 0, &s[below.delta], s)
        update_layer(net, online, l, rows, params, state, s)
        update_bias(net, online, l, PRODUCT_OLD, &s[online.unused], s)
        activation_backward(net.layers[l - 1].activation, &s[below.a], slope_of(below, s),
                            &s[below.delta], below.width if below.zero_stays
                            else net.layers[l - 1].fan_out)
    return loss


cdef inline void step_first(
    const Net* net, const Online* online, Py_ssize_t row, Py_ssize_t next_row,
    floating[::1] params, floating[:, ::1] state, floating[::1] s,
) noexcept nogil:
    """Update the first layer, and make z for the next sample of it."""
    cdef const OnlineLayer* here = &online.layers[0]
    cdef const floating* x
    cdef const floating* next_x
    cdef Py_ssize_t x_step, next_step
    cdef RowPass rows
    if here.transposed:
        rows = begin_pass(online, PRODUCT_OLD, &s[here.delta], 1, &s[online.x], &s[here.delta],
                          1, &s[online.unused], s)
        update_layer(net, online, 0, rows, params, state, s)
        update_bias(net, online, 0, PRODUCT_OLD, &s[online.unused], s)
        first_affine(net, online, next_row, params, s)
    else:
        x = dense_row(online.source, row, &s[online.x], &x_step)
        next_x = dense_row(online.source, next_row, &s[online.next_x], &next_step)
        memset(&s[here.a], 0, here.width * sizeof(floating))
        update_bias(net, online, 0, PRODUCT_NEW, &s[here.a], s)
        rows = begin_pass(online, PRODUCT_NEW, x, x_step, &s[here.delta], next_x, next_step,
                          &s[here.a], s)
        update_layer(net, online, 0, rows, params, state, s)


cdef inline double squared_weights(const Online* online, floating[::1] s) noexcept nogil:
    """The sum of the squared weights before the last step, which is forgotten."""
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(<Py_ssize_t>(VECTOR_BYTES // sizeof(floating))):
        total += s[online.squares + i]
        s[online.squares + i] = 0
    return total


cdef inline double weight_of(
    const Source* source, Py_ssize_t row, floating* tag,
) noexcept nogil:
    """tag is never read: no other argument tells the compiler the dtype."""
    return 1 if source.weight is NULL else (<const floating*>source.weight)[row]


cdef inline Py_ssize_t next_weighted(
    const Source* source, const Py_ssize_t* order, Py_ssize_t at, Py_ssize_t end, floating* tag,
) noexcept nogil:
    """The first position from `at` on whose sample has a weight other than 0, or end."""
    while at < end and weight_of(source, sample(order, at), tag) == 0:
        at += 1
    return at


cdef inline double online_pass(
    const Net* net, Online* online, Py_ssize_t start, Py_ssize_t end, floating[::1] params,
    floating[:, ::1] state, floating[::1] s,
) noexcept nogil:
    """Samples start..end of the order; returns the sum of their losses, penalties included.

    Samples of weight 0 are passed over.
    """
    cdef const Source* source = online.source
    cdef const Py_ssize_t* order = online.order
    cdef Py_ssize_t at = next_weighted(source, order, start, end, <floating*>NULL), following
    cdef double loss, weight, total = 0
    if at == end:
        return 0
    first_affine(net, online, sample(order, at), params, s)
    while at < end:
        following = next_weighted(source, order, at + 1, end, <floating*>NULL)
        weight = weight_of(source, sample(order, at), <floating*>NULL)
        begin_sample(online, weight, s)
        loss = step_above_first(net, online, sample(order, at), params, state, s)
        step_first(net, online, sample(order, at),
                   sample(order, following if following < end else at), params, state, s)
        if online.alpha != 0:
            loss += online.alpha / 2 * squared_weights(online, s)
        total += loss / weight
        at = following
    return total
