# Losses over a batch: their value, dL/dz of the output layer, and softmax with its derivative.
# The formulas of the losses are in losses.h.

from cython cimport floating
from cmlp._core.activations cimport activate, activation_backward
from cmlp._core.types cimport Loss

cdef extern from "losses.h" nogil:
    ctypedef struct loss_row "cmlp_loss_row":
        const char* name
        const char* loss
        int estimator
        int residual
        int mean_over_outputs
        int canonical_activation
        int domain
        const char* parameter
        double parameter_default
    int N_LOSSES "CMLP_N_LOSSES"
    int FOR_REGRESSOR "CMLP_FOR_REGRESSOR"
    int FOR_CLASSIFIER "CMLP_FOR_CLASSIFIER"
    int SOFTMAX "CMLP_SOFTMAX"
    const loss_row* loss_table "cmlp_loss_table"
    int EXP_ACTIVATION "CMLP_exp"
    void (**cmlp_loss_values_f32)(
        const float*, const float*, const float*, float*, Py_ssize_t) noexcept
    void (**cmlp_loss_slopes_f32)(
        const float*, const float*, const float*, float*, Py_ssize_t) noexcept
    void (**cmlp_loss_deltas_f32)(
        const float*, const float*, const float*, float*, Py_ssize_t) noexcept
    void (**cmlp_loss_values_f64)(
        const double*, const double*, const double*, double*, Py_ssize_t) noexcept
    void (**cmlp_loss_slopes_f64)(
        const double*, const double*, const double*, double*, Py_ssize_t) noexcept
    void (**cmlp_loss_deltas_f64)(
        const double*, const double*, const double*, double*, Py_ssize_t) noexcept

cdef enum:
    STRIP = 512     # losses of elements, or of rows, computed before they are summed up
    TILE = STRIP    # parameters of a loss in its tile, from any output on


cdef inline const floating* tile(const floating* parameter, Py_ssize_t at) noexcept nogil:
    """The parameters of the outputs from one on, if there are any."""
    return parameter if parameter is NULL else parameter + at


cdef inline void loss_values(
    const Loss* loss, Py_ssize_t at, Py_ssize_t count, const floating* y, const floating* p,
    floating* out,
) noexcept nogil:
    """out = L(y, p) of up to TILE elements, the first of them the output `at`."""
    if floating is float:
        cmlp_loss_values_f32[loss.id](y, p, tile(loss.parameter32, at), out, count)
    else:
        cmlp_loss_values_f64[loss.id](y, p, tile(loss.parameter64, at), out, count)


cdef inline void loss_slopes(
    const Loss* loss, Py_ssize_t at, Py_ssize_t count, const floating* y, const floating* p,
    floating* out,
) noexcept nogil:
    """The same for dL/dp, or for the row's delta if that is the gradient."""
    if floating is float:
        if loss.direct:
            cmlp_loss_deltas_f32[loss.id](y, p, tile(loss.parameter32, at), out, count)
        else:
            cmlp_loss_slopes_f32[loss.id](y, p, tile(loss.parameter32, at), out, count)
    elif loss.direct:
        cmlp_loss_deltas_f64[loss.id](y, p, tile(loss.parameter64, at), out, count)
    else:
        cmlp_loss_slopes_f64[loss.id](y, p, tile(loss.parameter64, at), out, count)


cdef inline void row_losses(
    const Loss* loss, Py_ssize_t rows, Py_ssize_t n_outputs,
    const floating[::1] y, Py_ssize_t y0, const floating[::1] p, Py_ssize_t p0,
    const floating[::1] weight, Py_ssize_t w0, double* out,
) noexcept nogil:
    """out_i = w_i sum_j L(y_ij, p_ij), in double whatever the dtype; w0 < 0: weights are 1.

    Each row is summed output by output, wherever a batch is cut.
    """
    cdef floating[STRIP] values
    cdef Py_ssize_t start = 0, count, at, end, k, i = 0, left = n_outputs
    cdef double row = 0
    while start < rows * n_outputs:
        count = min(<Py_ssize_t>STRIP, rows * n_outputs - start)
        loss_values(loss, n_outputs - left, count, &y[y0 + start], &p[p0 + start], values)
        at = 0
        while at < count:
            end = min(at + left, count)
            left -= end - at
            for k in range(at, end):
                row += values[k]
            at = end
            if left == 0:
                out[i] = row * weight[w0 + i] if w0 >= 0 else row
                row = 0
                left = n_outputs
                i += 1
        start += count


cdef inline double loss_sum(
    const Loss* loss, Py_ssize_t rows, Py_ssize_t n_outputs,
    const floating[::1] y, Py_ssize_t y0, const floating[::1] p, Py_ssize_t p0,
    const floating[::1] weight, Py_ssize_t w0,
) noexcept nogil:
    """The losses of the rows, summed in their order."""
    cdef double[STRIP] losses
    cdef Py_ssize_t start = 0, count, i
    cdef double total = 0
    while start < rows:
        count = min(<Py_ssize_t>STRIP, rows - start)
        row_losses(loss, count, n_outputs, y, y0 + start * n_outputs, p, p0 + start * n_outputs,
                   weight, w0 + start if w0 >= 0 else -1, losses)
        for i in range(count):
            total += losses[i]
        start += count
    return total


cdef inline void softmax(
    Py_ssize_t rows, Py_ssize_t n_outputs, const Py_ssize_t* group_ends,
    floating[::1] z, Py_ssize_t z0,
) noexcept nogil:
    """Each group of outputs of a row, z, becomes exp(z - max z) / sum exp(z - max z); exp of all
    rows at once, so that narrow rows fill vectors too.

    group_ends: in ascending order, the last is n_outputs; NULL: the row is one group.
    """
    cdef const Py_ssize_t* ends = \
        <const Py_ssize_t*>&n_outputs if group_ends is NULL else group_ends
    cdef Py_ssize_t i, j, g, first
    cdef floating largest, total
    cdef floating* row
    for i in range(rows):
        row = &z[z0 + i * n_outputs]
        g = first = 0
        while first < n_outputs:
            largest = row[first]
            for j in range(first + 1, ends[g]):
                largest = row[j] if row[j] > largest else largest
            for j in range(first, ends[g]):
                row[j] -= largest
            first = ends[g]
            g += 1
    activate(EXP_ACTIVATION, z, z0, rows * n_outputs)
    for i in range(rows):
        row = &z[z0 + i * n_outputs]
        g = first = 0
        while first < n_outputs:
            total = 0
            for j in range(first, ends[g]):
                total += row[j]
            total = 1 / total
            for j in range(first, ends[g]):
                row[j] *= total
            first = ends[g]
            g += 1


cdef inline void softmax_backward(
    Py_ssize_t rows, Py_ssize_t n_outputs, const Py_ssize_t* group_ends,
    const floating[::1] p, Py_ssize_t p0, floating[::1] delta, Py_ssize_t d0,
) noexcept nogil:
    """From g = dL/dp to dL/dz, group by group: delta_k = p_k (g_k - sum_m g_m p_m)."""
    cdef const Py_ssize_t* ends = \
        <const Py_ssize_t*>&n_outputs if group_ends is NULL else group_ends
    cdef Py_ssize_t i, k, g, first, at
    cdef floating mean
    for i in range(rows):
        at = i * n_outputs
        g = first = 0
        while first < n_outputs:
            mean = 0
            for k in range(at + first, at + ends[g]):
                mean += delta[d0 + k] * p[p0 + k]
            for k in range(at + first, at + ends[g]):
                delta[d0 + k] = p[p0 + k] * (delta[d0 + k] - mean)
            first = ends[g]
            g += 1


cdef inline void softmax_direct(
    Py_ssize_t rows, Py_ssize_t n_outputs, const Py_ssize_t* group_ends,
    const floating[::1] p, Py_ssize_t p0, floating[::1] delta, Py_ssize_t d0,
) noexcept nogil:
    """From h = p dL/dp, finite where p is 0, to dL/dz: delta_k = h_k - p_k sum_m h_m."""
    cdef const Py_ssize_t* ends = \
        <const Py_ssize_t*>&n_outputs if group_ends is NULL else group_ends
    cdef Py_ssize_t i, k, at, g, first
    cdef floating total
    for i in range(rows):
        at = i * n_outputs
        g = first = 0
        while first < n_outputs:
            total = 0
            for k in range(at + first, at + ends[g]):
                total += delta[d0 + k]
            for k in range(at + first, at + ends[g]):
                delta[d0 + k] -= p[p0 + k] * total
            first = ends[g]
            g += 1


cdef inline void output_backward(
    int activation, Py_ssize_t rows, Py_ssize_t n_outputs, const Py_ssize_t* group_ends,
    const floating[::1] p, Py_ssize_t p0, const floating[::1] slope, Py_ssize_t s0,
    floating[::1] delta, Py_ssize_t d0,
) noexcept nogil:
    """From dL/dp to dL/dz in place, for any output activation."""
    if activation == SOFTMAX:
        softmax_backward(rows, n_outputs, group_ends, p, p0, delta, d0)
    else:
        activation_backward(activation, p, p0, slope, s0, delta, d0, rows * n_outputs)


cdef inline void output_delta(
    const Loss* loss, bint canonical, int activation, Py_ssize_t rows, Py_ssize_t n_outputs,
    const Py_ssize_t* group_ends,
    const floating[::1] y, Py_ssize_t y0, const floating[::1] p, Py_ssize_t p0,
    const floating[::1] slope, Py_ssize_t s0, const floating[::1] weight, Py_ssize_t w0,
    floating[::1] delta, Py_ssize_t d0,
) noexcept nogil:
    """delta (rows, n_outputs) = w dL/dz. A canonical pair has dL/dz = p - y."""
    cdef Py_ssize_t i, j, start = 0, count
    if canonical:
        for j in range(rows * n_outputs):
            delta[d0 + j] = p[p0 + j] - y[y0 + j]
    else:
        while start < rows * n_outputs:
            count = min(<Py_ssize_t>TILE, rows * n_outputs - start)
            loss_slopes(loss, start % n_outputs, count, &y[y0 + start], &p[p0 + start],
                        &delta[d0 + start])
            start += count
        if not loss.direct:
            output_backward(activation, rows, n_outputs, group_ends, p, p0, slope, s0, delta, d0)
        elif activation == SOFTMAX:
            softmax_direct(rows, n_outputs, group_ends, p, p0, delta, d0)
    if w0 >= 0:
        for i in range(rows):
            for j in range(i * n_outputs, (i + 1) * n_outputs):
                delta[d0 + j] *= weight[w0 + i]
