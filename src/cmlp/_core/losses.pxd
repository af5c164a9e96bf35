# Losses over a batch: their value, dL/dz of the output layer, and softmax with its derivative.
# The formulas of the losses are in losses.h.

from cython cimport floating
from cmlp._core.activations cimport activate, activation_backward
from cmlp._core.matrix cimport onwards
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
    # tables of kernels, by the id of the loss
    void (**cmlp_loss_values_f32)(
        const float* y, const float* p, const float* parameter, float* out,
        Py_ssize_t n) noexcept
    void (**cmlp_loss_slopes_f32)(
        const float* y, const float* p, const float* parameter, float* out,
        Py_ssize_t n) noexcept
    void (**cmlp_loss_deltas_f32)(
        const float* y, const float* p, const float* parameter, float* out,
        Py_ssize_t n) noexcept
    void (**cmlp_loss_values_f64)(
        const double* y, const double* p, const double* parameter, double* out,
        Py_ssize_t n) noexcept
    void (**cmlp_loss_slopes_f64)(
        const double* y, const double* p, const double* parameter, double* out,
        Py_ssize_t n) noexcept
    void (**cmlp_loss_deltas_f64)(
        const double* y, const double* p, const double* parameter, double* out,
        Py_ssize_t n) noexcept

cdef enum:
    STRIP = 512     # losses of elements, or of rows, computed before they are summed up
    REPEATED = STRIP   # parameters of a loss that follow those of any output


cdef inline const floating* from_output(
    const floating* parameter, Py_ssize_t at,
) noexcept nogil:
    """The parameters of the outputs from one on, if the loss has any."""
    return parameter if parameter is NULL else parameter + at


cdef inline void loss_values(
    const Loss* loss, Py_ssize_t at, Py_ssize_t count, const floating* y, const floating* p,
    floating* out,
) noexcept nogil:
    """out = L(y, p) of up to STRIP elements, the first of them the output `at`."""
    if floating is float:
        cmlp_loss_values_f32[loss.id](y, p, from_output(loss.parameter32, at), out, count)
    else:
        cmlp_loss_values_f64[loss.id](y, p, from_output(loss.parameter64, at), out, count)


cdef inline void loss_slopes(
    const Loss* loss, Py_ssize_t at, Py_ssize_t count, const floating* y, const floating* p,
    floating* out,
) noexcept nogil:
    """The same for dL/dp, or for what the row says of dL/dz if its activation is the output's."""
    if floating is float:
        if loss.canonical:
            cmlp_loss_deltas_f32[loss.id](y, p, from_output(loss.parameter32, at), out, count)
        else:
            cmlp_loss_slopes_f32[loss.id](y, p, from_output(loss.parameter32, at), out, count)
    elif loss.canonical:
        cmlp_loss_deltas_f64[loss.id](y, p, from_output(loss.parameter64, at), out, count)
    else:
        cmlp_loss_slopes_f64[loss.id](y, p, from_output(loss.parameter64, at), out, count)


cdef inline void row_losses(
    const Loss* loss, Py_ssize_t rows, Py_ssize_t n_outputs, const floating* y, const floating* p,
    const floating* weight, double* out,
) noexcept nogil:
    """out_i = w_i sum_j L(y_ij, p_ij), in double whatever the dtype; weight NULL: all are 1.

    Each row is summed output by output, wherever a batch is cut.
    """
    cdef floating[STRIP] values
    cdef Py_ssize_t start = 0, count, at, end, k, i = 0, left = n_outputs
    cdef double row = 0
    while start < rows * n_outputs:
        count = min(<Py_ssize_t>STRIP, rows * n_outputs - start)
        loss_values(loss, n_outputs - left, count, y + start, p + start, values)
        at = 0
        while at < count:
            end = min(at + left, count)
            left -= end - at
            for k in range(at, end):
                row += values[k]
            at = end
            if left == 0:
                out[i] = row * weight[i] if weight is not NULL else row
                row = 0
                left = n_outputs
                i += 1
        start += count


cdef inline double loss_sum(
    const Loss* loss, Py_ssize_t rows, Py_ssize_t n_outputs, const floating* y, const floating* p,
    const floating* weight,
) noexcept nogil:
    """The losses of the rows, summed in their order."""
    cdef double[STRIP] losses
    cdef Py_ssize_t start = 0, count, i
    cdef double total = 0
    while start < rows:
        count = min(<Py_ssize_t>STRIP, rows - start)
        row_losses(loss, count, n_outputs, y + start * n_outputs, p + start * n_outputs,
                   onwards(weight, start), losses)
        for i in range(count):
            total += losses[i]
        start += count
    return total


cdef inline Py_ssize_t group_end(
    const Py_ssize_t* group_ends, Py_ssize_t first, Py_ssize_t n_outputs,
) noexcept nogil:
    """Where the softmax ends whose first output is given: the one over all, or one of a group.

    group_ends: in ascending order, the last is n_outputs; NULL: all outputs are one group.
    """
    cdef Py_ssize_t g = 0
    if group_ends is NULL:
        return n_outputs
    while group_ends[g] <= first:
        g += 1
    return group_ends[g]


cdef inline void softmax(
    Py_ssize_t rows, Py_ssize_t n_outputs, const Py_ssize_t* group_ends, floating* z,
) noexcept nogil:
    """Each group of outputs of a row, z, becomes exp(z - max z) / sum exp(z - max z); exp of all
    rows at once, so that narrow rows fill vectors too."""
    cdef Py_ssize_t i, j, first = 0, end
    cdef floating largest, total
    cdef floating* row
    while first < n_outputs:
        end = group_end(group_ends, first, n_outputs)
        for i in range(rows):
            row = z + i * n_outputs
            largest = row[first]
            for j in range(first + 1, end):
                largest = row[j] if row[j] > largest else largest
            for j in range(first, end):
                row[j] -= largest
        first = end
    activate(EXP_ACTIVATION, z, rows * n_outputs)
    first = 0
    while first < n_outputs:
        end = group_end(group_ends, first, n_outputs)
        for i in range(rows):
            row = z + i * n_outputs
            total = 0
            for j in range(first, end):
                total += row[j]
            total = 1 / total
            for j in range(first, end):
                row[j] *= total
        first = end


cdef inline void softmax_backward(
    Py_ssize_t rows, Py_ssize_t n_outputs, const Py_ssize_t* group_ends, const floating* p,
    bint times_p, floating* delta,
) noexcept nogil:
    """From g = dL/dp to dL/dz, group by group: delta_k = p_k (g_k - sum_m g_m p_m).

    times_p: from h = p dL/dp, finite where p is 0: delta_k = h_k - p_k sum_m h_m.
    """
    cdef Py_ssize_t i, k, at, first = 0, end
    cdef floating total
    while first < n_outputs:
        end = group_end(group_ends, first, n_outputs)
        for i in range(rows):
            at = i * n_outputs
            total = 0
            if times_p:
                for k in range(at + first, at + end):
                    total += delta[k]
                for k in range(at + first, at + end):
                    delta[k] -= p[k] * total
            else:
                for k in range(at + first, at + end):
                    total += delta[k] * p[k]
                for k in range(at + first, at + end):
                    delta[k] = p[k] * (delta[k] - total)
        first = end


cdef inline void output_backward(
    int activation, Py_ssize_t rows, Py_ssize_t n_outputs, const Py_ssize_t* group_ends,
    const floating* p, const floating* slope, floating* delta,
) noexcept nogil:
    """From dL/dp to dL/dz in place, for any output activation."""
    if activation == SOFTMAX:
        softmax_backward(rows, n_outputs, group_ends, p, False, delta)
    else:
        activation_backward(activation, p, slope, delta, rows * n_outputs)


cdef inline void output_delta(
    const Loss* loss, int activation, Py_ssize_t rows, Py_ssize_t n_outputs,
    const Py_ssize_t* group_ends, const floating* y, const floating* p, const floating* slope,
    const floating* weight, floating* delta,
) noexcept nogil:
    """delta (rows, n_outputs) = w dL/dz; slope and weight as in the functions above."""
    cdef Py_ssize_t i, j, start = 0, count
    if loss.is_residual:
        for j in range(rows * n_outputs):
            delta[j] = p[j] - y[j]
    else:
        while start < rows * n_outputs:
            count = min(<Py_ssize_t>STRIP, rows * n_outputs - start)
            loss_slopes(loss, start % n_outputs, count, y + start, p + start, delta + start)
            start += count
        if not loss.canonical:
            output_backward(activation, rows, n_outputs, group_ends, p, slope, delta)
        elif activation == SOFTMAX:
            softmax_backward(rows, n_outputs, group_ends, p, True, delta)
    if weight is not NULL:
        for i in range(rows):
            for j in range(i * n_outputs, (i + 1) * n_outputs):
                delta[j] *= weight[i]
