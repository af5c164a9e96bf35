# Online training, one sample per step: the gradient is never stored. Each row of weights is read
# and written once per sample, in a pass that also makes the delta of the layer below or, in the
# first layer, the next sample's forward product. The passes over rows are in online.h.
#
# For the time of an epoch, layers that are not large are kept in a scratch array: aligned, rows
# padded with zeros to whole vectors, and transposed where they are narrower than their input.

from cython cimport floating
from libc.math cimport pow, sqrt
from libc.string cimport memcpy, memset
from cmlp._core.activations cimport activation_backward
from cmlp._core.batch cimport gather_targets, sample
from cmlp._core.linalg cimport VECTOR_BYTES
from cmlp._core.losses cimport loss_sum, output_delta
from cmlp._core.network cimport apply_activation
from cmlp._core.optimizers cimport (
    ADAM, ADAM_BETA_1, ADAM_BETA_2, ADAM_EPSILON, ADAM_LEARNING_RATE, ADAM_T,
    SGD_LEARNING_RATE, SGD_MOMENTUM, SGD_NESTEROV)
from cmlp._core.types cimport Layer, Net, Source

cdef extern from "online.h" nogil:
    int PRODUCT_NEW "CMLP_PRODUCT_NEW"
    int PRODUCT_OLD "CMLP_PRODUCT_OLD"
    int DOTS_OLD "CMLP_DOTS_OLD"
    int MOMENTUM "CMLP_MOMENTUM"
    int NESTEROV "CMLP_NESTEROV"
    int ADAPTIVE "CMLP_ADAM"
    int SCALE "CMLP_SCALE"
    int DECAY "CMLP_DECAY"
    int MU "CMLP_MU"
    int BETA_1 "CMLP_BETA_1"
    int REST_1 "CMLP_REST_1"
    int BETA_2 "CMLP_BETA_2"
    int REST_2 "CMLP_REST_2"
    int EPSILON "CMLP_EPSILON"
    int STEP "CMLP_STEP"
    int RULE_SIZE "CMLP_RULE_SIZE"
    void cmlp_update_f32(int, int, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*, float*,
                         float*, const float*, Py_ssize_t, const float*, const float*,
                         Py_ssize_t, float*, float*, const float*)
    void cmlp_update_f64(int, int, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*, double*,
                         double*, const double*, Py_ssize_t, const double*, const double*,
                         Py_ssize_t, double*, double*, const double*)
    void cmlp_dots_f32(Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, const float*, float*)
    void cmlp_dots_f64(Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, const double*, double*)
    void cmlp_mix_f32(Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, const float*,
                      Py_ssize_t, const Py_ssize_t*, float*)
    void cmlp_mix_f64(Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, const double*,
                      Py_ssize_t, const Py_ssize_t*, double*)

cdef enum:
    COPY_BYTES = 1 << 18       # weights and state of a layer that is copied, at most

# Where a layer lies for the time of an epoch; offsets into the scratch array. Every vector of
# units starts on a whole vector register and is padded with zeros.
cdef struct OnlineLayer:
    Py_ssize_t rows            # of weights as stored
    Py_ssize_t n               # entries of a row
    Py_ssize_t ld              # from row to row
    Py_ssize_t state           # from the weights to the first vector of state, and to the second
    bint transposed            # a row holds the weights of an output, not of an input
    bint zero_stays            # the activation maps the padding to itself
    Py_ssize_t width           # fan_out, padded
    Py_ssize_t coef            # the copied weights, or -1: in place
    Py_ssize_t bias            # the biases, then their state
    Py_ssize_t a
    Py_ssize_t z               # -1: not kept
    Py_ssize_t delta

cdef struct Online:
    OnlineLayer* layers
    int how                    # the update rule
    int n_slots
    Py_ssize_t rule            # its constants
    Py_ssize_t one             # a vector of ones
    Py_ssize_t squares         # partial sums of the squared weights
    Py_ssize_t unused          # products that nobody needs
    Py_ssize_t x               # the sample, where the first layer is transposed
    Py_ssize_t y
    Py_ssize_t size


cdef inline Py_ssize_t padded(Py_ssize_t n, size_t itemsize) noexcept nogil:
    cdef Py_ssize_t lanes = <Py_ssize_t>(VECTOR_BYTES // itemsize)
    return (n + lanes - 1) // lanes * lanes


cdef inline void plan_online(
    const Net* net, Online* online, int n_slots, size_t itemsize,
) noexcept nogil:
    """Where everything lies in the scratch array."""
    cdef Py_ssize_t l, at = 0, widest = 0
    cdef Py_ssize_t lanes = <Py_ssize_t>(VECTOR_BYTES // itemsize)
    cdef const Layer* layer
    cdef OnlineLayer* here
    online.n_slots = n_slots
    for l in range(net.n_layers):
        layer = &net.layers[l]
        here = &online.layers[l]
        here.transposed = layer.fan_out < layer.fan_in and (l > 0 or 2 * layer.fan_out <= lanes)
        here.rows = layer.fan_out if here.transposed else layer.fan_in
        here.n = layer.fan_in if here.transposed else layer.fan_out
        here.ld = padded(here.n, itemsize)
        here.width = padded(layer.fan_out, itemsize)
        widest = max(widest, max(here.width, here.ld))
        if (1 + n_slots) * here.rows * here.ld <= COPY_BYTES // <Py_ssize_t>itemsize:
            here.n = here.ld
            here.coef = at
            here.state = here.rows * here.ld
            at += (1 + n_slots) * here.state
        else:
            here.transposed = layer.fan_out == 1
            here.rows = 1 if here.transposed else layer.fan_in
            here.n = layer.fan_in if here.transposed else layer.fan_out
            here.ld = here.n
            here.coef = -1
        here.bias = at
        here.a = at + (1 + n_slots) * here.width
        here.delta = here.a + here.width
        here.z = here.delta + here.width
        at = here.z + here.width
        if not layer.needs_z:
            here.z = -1
    online.unused = at
    online.x = at + widest
    online.one = online.x + padded(net.n_features, itemsize)
    online.squares = online.one + lanes
    online.y = online.squares + lanes
    online.rule = online.y + padded(net.n_outputs, itemsize)
    online.size = online.rule + padded(RULE_SIZE, itemsize)


cdef inline void copy_weights(
    Py_ssize_t rows, Py_ssize_t n, const OnlineLayer* here, bint back,
    floating* stored, floating* scratch,
) noexcept nogil:
    """The (rows, n) weights, or their state, to the scratch array, or back."""
    cdef Py_ssize_t i, j
    cdef floating* at
    for i in range(rows):
        for j in range(n):
            at = &scratch[j * here.ld + i if here.transposed else i * here.ld + j]
            if back:
                stored[i * n + j] = at[0]
            else:
                at[0] = stored[i * n + j]


cdef inline void copy_layers(
    const Net* net, const Online* online, bint back, floating[::1] params,
    floating[:, ::1] state, floating[::1] s,
) noexcept nogil:
    """Parameters and optimizer state to the scratch array, or back."""
    cdef Py_ssize_t l, k
    cdef const Layer* layer
    cdef const OnlineLayer* here
    cdef floating* source
    for l in range(net.n_layers):
        layer = &net.layers[l]
        here = &online.layers[l]
        for k in range(1 + online.n_slots):
            source = &params[0] if k == 0 else &state[k - 1, 0]
            if here.coef >= 0:
                copy_weights(layer.fan_in, layer.fan_out, here, back, source + layer.coef,
                             &s[here.coef + k * here.state])
            if net.fit_intercept and back:
                memcpy(source + layer.intercept, &s[here.bias + k * here.width],
                       layer.fan_out * sizeof(floating))
            elif net.fit_intercept:
                memcpy(&s[here.bias + k * here.width], source + layer.intercept,
                       layer.fan_out * sizeof(floating))


cdef inline void set_up(
    const Net* net, Online* online, int optimizer, const double* hyper,
    floating[::1] params, floating[:, ::1] state, floating[::1] s,
) noexcept nogil:
    """Fill the scratch array at the start of an epoch."""
    cdef Py_ssize_t l
    cdef OnlineLayer* here
    memset(&s[0], 0, online.size * sizeof(floating))
    s[online.one] = 1
    if optimizer == ADAM:
        online.how = ADAPTIVE
        s[online.rule + BETA_1] = <floating>hyper[ADAM_BETA_1]
        s[online.rule + BETA_2] = <floating>hyper[ADAM_BETA_2]
        s[online.rule + REST_1] = <floating>(1 - hyper[ADAM_BETA_1])
        s[online.rule + REST_2] = <floating>(1 - hyper[ADAM_BETA_2])
        s[online.rule + EPSILON] = <floating>hyper[ADAM_EPSILON]
    else:
        online.how = NESTEROV if hyper[SGD_NESTEROV] != 0 else MOMENTUM
        s[online.rule + MU] = <floating>hyper[SGD_MOMENTUM]
    for l in range(net.n_layers):
        here = &online.layers[l]
        here.zero_stays = False
        if l < net.n_layers - 1:
            apply_activation(net.layers[l].activation, 1, 1, s, online.unused)
            here.zero_stays = s[online.unused] == 0
            s[online.unused] = 0
    copy_layers(net, online, False, params, state, s)


cdef inline void set_rule(
    const Online* online, double* hyper, double alpha, double weight, floating[::1] s,
) noexcept nogil:
    """The constants of the update rule for one step on a sample of the given weight."""
    cdef double t, scale = 1 / weight
    if online.how == ADAPTIVE:
        hyper[ADAM_T] += 1
        t = hyper[ADAM_T]
        s[online.rule + STEP] = <floating>(
            -hyper[ADAM_LEARNING_RATE] * sqrt(1 - pow(hyper[ADAM_BETA_2], t))
            / (1 - pow(hyper[ADAM_BETA_1], t)))
    else:
        scale *= -hyper[SGD_LEARNING_RATE]
    s[online.rule + SCALE] = <floating>scale
    s[online.rule + DECAY] = <floating>(scale * alpha)


cdef inline void update(
    const Online* online, int what, bint penalised, Py_ssize_t rows, Py_ssize_t n,
    Py_ssize_t ld, floating* w, floating* s0, floating* s1, const floating* x,
    Py_ssize_t x_step, const floating* d, const floating* y, Py_ssize_t y_step,
    floating* product, floating[::1] s,
) noexcept nogil:
    if floating is float:
        cmlp_update_f32(online.how, what, penalised, rows, n, ld, w, s0, s1, x, x_step, d, y,
                        y_step, product, &s[online.squares], &s[online.rule])
    else:
        cmlp_update_f64(online.how, what, penalised, rows, n, ld, w, s0, s1, x, x_step, d, y,
                        y_step, product, &s[online.squares], &s[online.rule])


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
    cdef floating* s0 = &state[0, coef] if here.coef < 0 else w + here.state
    cdef floating* s1 = s0
    if online.n_slots > 1:
        s1 = &state[1, coef] if here.coef < 0 else s0 + here.state
    update(online, what, penalised, here.rows, here.n, here.ld, w, s0, s1, x, x_step, d, y,
           y_step, product, s)


cdef inline void update_bias(
    const Net* net, const Online* online, Py_ssize_t l, int what, floating* product,
    floating[::1] s,
) noexcept nogil:
    """The biases: one row whose input is 1, without penalty."""
    cdef const OnlineLayer* here = &online.layers[l]
    cdef floating* b = &s[here.bias]
    if net.fit_intercept:
        update(online, what, False, 1, here.width, here.width, b, b + here.width,
               b + online.n_slots * here.width, &s[online.one], 0, &s[here.delta],
               &s[online.one], 0, product, s)


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


cdef inline void activate_layer(
    const Net* net, const Online* online, Py_ssize_t l, floating[::1] s,
) noexcept nogil:
    cdef const OnlineLayer* here = &online.layers[l]
    cdef const Layer* layer = &net.layers[l]
    if layer.needs_z:
        memcpy(&s[here.z], &s[here.a], here.width * sizeof(floating))
    apply_activation(layer.activation, 1, here.width if here.zero_stays else layer.fan_out,
                     s, here.a)


cdef inline void first_affine(
    const Net* net, const Online* online, const Source* source, Py_ssize_t row,
    floating[::1] params, floating[::1] s, Py_ssize_t* which,
) noexcept nogil:
    """z of the first layer for a row of X."""
    cdef const floating* x = <const floating*>source.x + row * source.x_row
    cdef Py_ssize_t i
    if online.layers[0].transposed:
        for i in range(net.n_features):
            s[online.x + i] = x[i * source.x_col]
        affine(net, online, 0, &s[online.x], 1, params, s, which)
    else:
        affine(net, online, 0, x, source.x_col, params, s, which)


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
    cdef Py_ssize_t weight = -1

    activate_layer(net, online, 0, s)
    for l in range(1, net.n_layers):
        affine(net, online, l, &s[online.layers[l - 1].a], 1, params, s, which)
        activate_layer(net, online, l, s)

    gather_targets(source, &row, 0, 1, s, online.y)
    if source.weight is not NULL:
        weight = online.unused
        s[weight] = (<const floating*>source.weight)[row]
    loss = loss_scale * loss_sum(net.loss, 1, net.n_outputs, s, online.y, s, here.a, s, weight)
    output_delta(net.loss, net.canonical, net.layers[last].activation, 1, net.n_outputs,
                 s, online.y, s, here.z, s, here.a, s, weight, s, here.delta)

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
        activation_backward(net.layers[l - 1].activation, s, below.z, s, below.a, s, below.delta,
                            below.width if below.zero_stays else net.layers[l - 1].fan_out)
    return loss


cdef inline void step_first(
    const Net* net, const Online* online, const Source* source, Py_ssize_t row,
    Py_ssize_t next_row, bint penalised, floating[::1] params, floating[:, ::1] state,
    floating[::1] s, Py_ssize_t* which,
) noexcept nogil:
    """Update the first layer, and make z for the next sample of it."""
    cdef const OnlineLayer* here = &online.layers[0]
    cdef const floating* x = <const floating*>source.x + row * source.x_row
    cdef const floating* next_x = <const floating*>source.x + next_row * source.x_row
    if here.transposed:
        update_layer(net, online, 0, PRODUCT_OLD, penalised, &s[here.delta], 1, &s[online.x],
                     &s[here.delta], 1, &s[online.unused], params, state, s)
        update_bias(net, online, 0, PRODUCT_OLD, &s[online.unused], s)
        first_affine(net, online, source, next_row, params, s, which)
    else:
        memset(&s[here.a], 0, here.width * sizeof(floating))
        update_bias(net, online, 0, PRODUCT_NEW, &s[here.a], s)
        update_layer(net, online, 0, PRODUCT_NEW, penalised, x, source.x_col, &s[here.delta],
                     next_x, source.x_col, &s[here.a], params, state, s)


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
    const Net* net, const Online* online, const Source* source, const Py_ssize_t* order,
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
        set_rule(online, hyper, alpha, weight, s)
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
