# Where a network lies for the time of an epoch of online training: layers that are not large are
# kept in a scratch array, aligned, rows padded with zeros to whole vectors, and transposed where
# they are narrower than their input. Copied in and out here; trained in online.pxd.

from cython cimport floating
from libc.string cimport memcmp, memcpy, memset
from cmlp._core.linalg cimport VECTOR_BYTES
from cmlp._core.network cimport apply_activation
from cmlp._core.optimizers cimport (
    MAX_CONSTANTS, Rule, cmlp_begin_step, optimizer_table)
from cmlp._core.types cimport ABSENT, Layer, Net, Source

# where the constants of a step stand
cdef extern from "online.h" nogil:
    int SCALE "CMLP_SCALE"
    int DECAY "CMLP_DECAY"
    int FIRST_CONSTANT "CMLP_FIRST_CONSTANT"
    int RULE_SIZE "CMLP_RULE_SIZE"

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
    Py_ssize_t coef            # the copied weights; ABSENT: they are used in place
    Py_ssize_t bias            # the biases, then their state
    Py_ssize_t a
    Py_ssize_t slope           # ABSENT: not kept
    Py_ssize_t delta

cdef struct Online:
    # what an epoch does
    const Source* source
    const Py_ssize_t* order    # NULL: samples come in their own order
    double* hyper
    double alpha               # 0: there is no penalty
    double loss_scale
    Py_ssize_t* nonzero        # room for the indices of the inputs of a layer that are not zero
    # where its network lies
    OnlineLayer* layers
    Rule rule                  # of the optimizer
    Py_ssize_t n_hyper
    bint changes               # the constants of the rule change from step to step
    int n_slots
    Py_ssize_t constants       # of the rule, in the dtype of the parameters
    Py_ssize_t one             # a vector of ones
    Py_ssize_t squares         # partial sums of the squared weights
    Py_ssize_t unused          # products that nobody needs
    Py_ssize_t x               # the sample, where the first layer is transposed or X converted
    Py_ssize_t next_x          # the next sample, where X is converted
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
            here.coef = ABSENT
        here.bias = at
        here.a = at + (1 + n_slots) * here.width
        here.delta = here.a + here.width
        here.slope = here.delta + here.width
        at = here.slope + here.width
        if not layer.keeps_slope:
            here.slope = ABSENT
    online.unused = at
    online.x = at + widest
    online.next_x = online.x + padded(net.n_features, itemsize)
    online.one = online.next_x + padded(net.n_features, itemsize)
    online.squares = online.one + lanes
    online.y = online.squares + lanes
    online.constants = online.y + padded(net.n_outputs, itemsize)
    online.size = online.constants + padded(RULE_SIZE, itemsize)


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


cdef inline void set_constants(const Online* online, floating[::1] s) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(MAX_CONSTANTS):
        s[online.constants + FIRST_CONSTANT + i] = <floating>online.rule.weights[i]


cdef inline void set_up(
    const Net* net, Online* online, int optimizer, const double* hyper,
    floating[::1] params, floating[:, ::1] state, floating[::1] s,
) noexcept nogil:
    """Fill the scratch array at the start of an epoch."""
    cdef Py_ssize_t l
    cdef OnlineLayer* here
    memset(&s[0], 0, online.size * sizeof(floating))
    s[online.one] = 1
    memset(&online.rule, 0, sizeof(Rule))
    online.n_hyper = optimizer_table[optimizer].n_hyper
    cmlp_begin_step[optimizer](hyper, &online.rule)
    online.changes = memcmp(hyper, online.rule.hyper, online.n_hyper * sizeof(double)) != 0
    set_constants(online, s)
    for l in range(net.n_layers):
        here = &online.layers[l]
        here.zero_stays = False
        if l < net.n_layers - 1:
            apply_activation(net.layers[l].activation, 1, 1, NULL, &s[online.unused])
            here.zero_stays = s[online.unused] == 0
            s[online.unused] = 0
    copy_layers(net, online, False, params, state, s)


cdef inline void begin_sample(
    Online* online, double weight, floating[::1] s,
) noexcept nogil:
    """Have the constants of the update rule ready for a step on a sample of the given weight."""
    cdef double scale
    if online.changes:
        cmlp_begin_step[online.rule.optimizer](online.hyper, &online.rule)
        memcpy(online.hyper, online.rule.hyper, online.n_hyper * sizeof(double))
        set_constants(online, s)
    scale = online.rule.factor / weight
    s[online.constants + SCALE] = <floating>scale
    s[online.constants + DECAY] = <floating>(scale * online.alpha)
