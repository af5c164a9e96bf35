# Online training, one sample per step: the gradient is never stored. Each row of weights is read
# and written once per sample, in a pass that also makes the delta of the layer below or, in the
# first layer, the next sample's forward product. The passes over rows are in online.h; where the
# layers lie is in online_plan.pxd.

from cython cimport floating
from libc.string cimport memcpy, memset
from cmlp._core.activations cimport activate_with_slope, activation_backward
from cmlp._core.batch cimport dense_row, gather_targets, sample
from cmlp._core.linalg cimport VECTOR_BYTES
from cmlp._core.losses cimport loss_sum, output_delta
from cmlp._core.network cimport apply_activation
from cmlp._core.online_plan cimport Online, OnlineLayer, begin_sample
from cmlp._core.types cimport Layer, Net, Source

cdef extern from "online.h" nogil:
    int PRODUCT_NEW "CMLP_PRODUCT_NEW"
    int PRODUCT_OLD "CMLP_PRODUCT_OLD"
    int DOTS_OLD "CMLP_DOTS_OLD"
    void cmlp_update_f32(
        int optimizer, int flag, int what, bint penalised, Py_ssize_t rows, Py_ssize_t n,
        Py_ssize_t ld, float* w, float* state, Py_ssize_t stride, const float* x,
        Py_ssize_t x_step, const float* d, const float* y, Py_ssize_t y_step, float* product,
        float* squares, const float* rule)
    void cmlp_update_f64(
        int optimizer, int flag, int what, bint penalised, Py_ssize_t rows, Py_ssize_t n,
        Py_ssize_t ld, double* w, double* state, Py_ssize_t stride, const double* x,
        Py_ssize_t x_step, const double* d, const double* y, Py_ssize_t y_step, double* product,
        double* squares, const double* rule)
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


cdef inline void update(
    const Online* online, int what, bint penalised, Py_ssize_t rows, Py_ssize_t n,
    Py_ssize_t ld, floating* w, floating* state, Py_ssize_t stride, const floating* x,
    Py_ssize_t x_step, const floating* d, const floating* y, Py_ssize_t y_step,
    floating* product, floating[::1] s,
) noexcept nogil:
    if floating is float:
        cmlp_update_f32(online.rule.optimizer, online.rule.flag, what, penalised, rows, n, ld, w,
                        state, stride, x, x_step, d, y, y_step, product, &s[online.squares],
                        &s[online.constants])
    else:
        cmlp_update_f64(online.rule.optimizer, online.rule.flag, what, penalised, rows, n, ld, w,
                        state, stride, x, x_step, d, y, y_step, product, &s[online.squares],
                        &s[online.constants])


cdef inline void update_layer(
    const Net* net, const Online* online, Py_ssize_t l, int what, bint penalised,
    const floating* x, Py_ssize_t x_step, const floating* d, const floating* y,
    Py_ssize_t y_step, floating* product, floating[::1] params, floating[:, ::1] state,
    floating[::1] s,
) noexcept nogil:
    """The weights of layer l, wherever they are."""
    cdef const OnlineLayer* here = &online.layers[l]
    cdef Py_ssize_t coef = net.layers[l].coef
    cdef floating* w = &params[coef] if here.coef < 0 else &s[here.coef]
    cdef floating* first = &state[0, coef] if here.coef < 0 else w + here.state
    cdef Py_ssize_t stride = state.shape[1] if here.coef < 0 else here.state
    update(online, what, penalised, here.rows, here.n, here.ld, w, first, stride, x, x_step, d,
           y, y_step, product, s)


cdef inline void update_bias(
    const Net* net, const Online* online, Py_ssize_t l, int what, floating* product,
    floating[::1] s,
) noexcept nogil:
    """The biases: one row whose input is 1, without penalty."""
    cdef const OnlineLayer* here = &online.layers[l]
    cdef floating* b = &s[here.bias]
    if net.fit_intercept:
        update(online, what, False, 1, here.width, here.width, b, b + here.width, here.width,
               &s[online.one], 0, &s[here.delta], &s[online.one], 0, product, s)


cdef inline void affine(
    const Net* net, const Online* online, Py_ssize_t l, const floating* a, Py_ssize_t a_step,
    floating[::1] params, floating[::1] s, Py_ssize_t* which,
) noexcept nogil:
    """z of layer l, from an input that is contiguous and padded if the layer is transposed."""
    cdef const OnlineLayer* here = &online.layers[l]
    cdef const floating* w = &params[net.layers[l].coef] if here.coef < 0 else &s[here.coef]
    cdef Py_ssize_t i, count = 0
    memcpy(&s[here.a], &s[here.bias], here.width * sizeof(floating))
    if here.transposed:
        if floating is float:
            cmlp_dots_f32(here.rows, here.n, here.ld, w, a, &s[here.a])
        else:
            cmlp_dots_f64(here.rows, here.n, here.ld, w, a, &s[here.a])
        return
    for i in range(here.rows):
        which[count] = i
        count += a[i * a_step] != 0
    if floating is float:
        cmlp_mix_f32(count, here.n, here.ld, w, a, a_step, which, &s[here.a])
    else:
        cmlp_mix_f64(count, here.n, here.ld, w, a, a_step, which, &s[here.a])


cdef inline floating* slope_of(const OnlineLayer* here, floating[::1] s) noexcept nogil:
    """f'(z) where it is kept."""
    return NULL if here.slope < 0 else &s[here.slope]


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
    const Net* net, const Online* online, const Source* source, Py_ssize_t row,
    floating[::1] params, floating[::1] s, Py_ssize_t* which,
) noexcept nogil:
    """z of the first layer for a row of X."""
    cdef Py_ssize_t i, stride
    cdef const floating* x = dense_row(source, row, &s[online.x], &stride)
    if online.layers[0].transposed:
        for i in range(net.n_features):
            s[online.x + i] = x[i * stride]
        affine(net, online, 0, &s[online.x], 1, params, s, which)
    else:
        affine(net, online, 0, x, stride, params, s, which)


cdef inline double step_above_first(
    const Net* net, const Online* online, const Source* source, Py_ssize_t row, bint penalised,
    double loss_scale, floating[::1] params, floating[:, ::1] state, floating[::1] s,
    Py_ssize_t* which,
) noexcept nogil:
    """From z of the first layer to its delta, updating the other layers; returns the loss."""
    cdef Py_ssize_t l, last = net.n_layers - 1
    cdef const OnlineLayer* here = &online.layers[last]
    cdef const OnlineLayer* below
    cdef double loss
    cdef floating* weight = NULL

    activate_layer(net, online, 0, s)
    for l in range(1, net.n_layers):
        affine(net, online, l, &s[online.layers[l - 1].a], 1, params, s, which)
        activate_layer(net, online, l, s)

    gather_targets(source, &row, 0, 1, &s[online.y])
    if source.weight is not NULL:
        weight = &s[online.unused]
        weight[0] = (<const floating*>source.weight)[row]
    loss = loss_scale * loss_sum(
        &net.loss, 1, net.n_outputs, &s[online.y], &s[here.a], weight)
    output_delta(&net.loss, net.layers[last].activation, 1, net.n_outputs, net.group_ends,
                 &s[online.y], &s[here.a], slope_of(here, s), weight, &s[here.delta])

    for l in range(last, 0, -1):
        here = &online.layers[l]
        below = &online.layers[l - 1]
        if here.transposed:
            memset(&s[below.delta], 0, below.width * sizeof(floating))
            update_layer(net, online, l, PRODUCT_OLD, penalised, &s[here.delta], 1, &s[below.a],
                         &s[here.delta], 1, &s[below.delta], params, state, s)
        else:
            update_layer(net, online, l, DOTS_OLD, penalised, &s[below.a], 1, &s[here.delta],
                         &s[online.one], 0, &s[below.delta], params, state, s)
        update_bias(net, online, l, PRODUCT_OLD, &s[online.unused], s)
        activation_backward(net.layers[l - 1].activation, &s[below.a], slope_of(below, s),
                            &s[below.delta], below.width if below.zero_stays
                            else net.layers[l - 1].fan_out)
    return loss


cdef inline void step_first(
    const Net* net, const Online* online, const Source* source, Py_ssize_t row,
    Py_ssize_t next_row, bint penalised, floating[::1] params, floating[:, ::1] state,
    floating[::1] s, Py_ssize_t* which,
) noexcept nogil:
    """Update the first layer, and make z for the next sample of it."""
    cdef const OnlineLayer* here = &online.layers[0]
    cdef const floating* x
    cdef const floating* next_x
    cdef Py_ssize_t x_step, next_step
    if here.transposed:
        update_layer(net, online, 0, PRODUCT_OLD, penalised, &s[here.delta], 1, &s[online.x],
                     &s[here.delta], 1, &s[online.unused], params, state, s)
        update_bias(net, online, 0, PRODUCT_OLD, &s[online.unused], s)
        first_affine(net, online, source, next_row, params, s, which)
    else:
        x = dense_row(source, row, &s[online.x], &x_step)
        next_x = dense_row(source, next_row, &s[online.next_x], &next_step)
        memset(&s[here.a], 0, here.width * sizeof(floating))
        update_bias(net, online, 0, PRODUCT_NEW, &s[here.a], s)
        update_layer(net, online, 0, PRODUCT_NEW, penalised, x, x_step, &s[here.delta],
                     next_x, next_step, &s[here.a], params, state, s)


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
    const Net* net, Online* online, const Source* source, const Py_ssize_t* order,
    Py_ssize_t start, Py_ssize_t end, double* hyper, double alpha, double loss_scale,
    floating[::1] params, floating[:, ::1] state, floating[::1] s, Py_ssize_t* which,
) noexcept nogil:
    """Samples start..end of the order; returns the sum of their losses, penalties included.

    Samples of weight 0 are passed over.
    """
    cdef Py_ssize_t at = next_weighted(source, order, start, end, <floating*>NULL), following
    cdef double loss, weight, total = 0
    if at == end:
        return 0
    first_affine(net, online, source, sample(order, at), params, s, which)
    while at < end:
        following = next_weighted(source, order, at + 1, end, <floating*>NULL)
        weight = weight_of(source, sample(order, at), <floating*>NULL)
        begin_sample(online, hyper, alpha, weight, s)
        loss = step_above_first(net, online, source, sample(order, at), alpha != 0, loss_scale,
                                params, state, s, which)
        step_first(net, online, source, sample(order, at),
                   sample(order, following if following < end else at), alpha != 0,
                   params, state, s, which)
        if alpha != 0:
            loss += alpha / 2 * squared_weights(online, s)
        total += loss / weight
        at = following
    return total
