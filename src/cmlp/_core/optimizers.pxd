# The step of an optimizer over the flat parameter vector, and what surrounds it: clipping before,
# the average of the weights after. The update rules are in optimizers.h. Hyper-parameters come in
# a small vector whose entries OPTIMIZERS names; their schedules are worked out in Python, once per
# epoch.

from cython cimport floating
from libc.math cimport isfinite, pow, sqrt
from libc.string cimport memcpy
from cmlp._core.linalg cimport dot

cdef extern from "optimizers.h" nogil:
    ctypedef struct optimizer_row "cmlp_optimizer_row":
        const char* name
        const char** hyper     # names
        const char** state
        int n_hyper
        int n_states
        int loops
    ctypedef struct Rule "cmlp_rule":
        int optimizer
        int flag
        double factor          # of the gradient
        double* weights        # the constants for weights
        double* biases
        double* hyper          # what the hyper-parameters are once the step has been made
    int N_OPTIMIZERS "CMLP_N_OPTIMIZERS"
    int MAX_CONSTANTS "CMLP_MAX_CONSTANTS"
    int ONLINE "CMLP_ONLINE"
    int ONLINE_LINEAR "CMLP_ONLINE_LINEAR"
    const optimizer_row* optimizer_table "cmlp_optimizer_table"
    void (**cmlp_begin_step)(const double* hyper, Rule* rule) noexcept
    void (**cmlp_optimizer_step_f32)(
        const Rule* rule, bint of_weights, Py_ssize_t n, double decay, double scale,
        float* params, const float* grads, float* state, Py_ssize_t stride) noexcept
    void (**cmlp_optimizer_step_f64)(
        const Rule* rule, bint of_weights, Py_ssize_t n, double decay, double scale,
        double* params, const double* grads, double* state, Py_ssize_t stride) noexcept

cdef enum:
    LEARNING_RATE = 0          # where it stands in the hyper-parameters of every optimizer
    # averaging of weights
    EMA_DECAY = 0
    EMA_T = 1


# What one update needs, worked out once for all parameters.
cdef struct Step:
    Rule rule
    Py_ssize_t n_coefs         # parameters before it are weights
    bint averages              # a row of the state averages the weights
    Py_ssize_t average_row
    double average_rate        # share of the new weights in it


cdef inline Step begin_step(
    int optimizer, const double* hyper, Py_ssize_t n_coefs, const double* averaging,
) noexcept nogil:
    """The next step from the hyper-parameters.

    averaging: EMA_DECAY and EMA_T, or NULL; the average is the row of the state after those of
    the optimizer.
    """
    cdef Step step
    cmlp_begin_step[optimizer](hyper, &step.rule)
    step.n_coefs = n_coefs
    step.averages = averaging is not NULL
    step.average_row = optimizer_table[optimizer].n_states
    step.average_rate = 0
    if step.averages:
        # (1 - d) / (1 - d^t): the average of t vectors, not of these and the zeros before
        step.average_rate = ((1 - averaging[EMA_DECAY])
                             / (1 - pow(averaging[EMA_DECAY], averaging[EMA_T] + 1)))
    return step


cdef inline void end_step(const Step* step, double* hyper, double* averaging) noexcept nogil:
    """Note in the hyper-parameters that the step was made."""
    memcpy(hyper, step.rule.hyper,
           optimizer_table[step.rule.optimizer].n_hyper * sizeof(double))
    if step.averages:
        averaging[EMA_T] += 1


cdef inline void average_step(
    const Step* step, Py_ssize_t n, const floating[::1] params, Py_ssize_t at,
    floating[:, ::1] state,
) noexcept nogil:
    """average += rate (params - average)."""
    cdef floating rate = <floating>step.average_rate
    cdef Py_ssize_t i
    cdef const floating* w = &params[at]
    cdef floating* average = &state[step.average_row, at]
    for i in range(n):
        average[i] += rate * (w[i] - average[i])


cdef inline void optimizer_step(
    const Step* step, Py_ssize_t n, double decay, double scale, floating[::1] params,
    Py_ssize_t at, const floating* gradient, floating[:, ::1] state,
) noexcept nogil:
    """Update n parameters from `at` on by scale (gradient + decay params).

    They are all weights or all biases.
    """
    if floating is float:
        cmlp_optimizer_step_f32[step.rule.optimizer](
            &step.rule, at < step.n_coefs, n, decay, scale, &params[at], gradient,
            &state[0, at], state.shape[1])
    else:
        cmlp_optimizer_step_f64[step.rule.optimizer](
            &step.rule, at < step.n_coefs, n, decay, scale, &params[at], gradient,
            &state[0, at], state.shape[1])
    if step.averages:
        average_step(step, n, params, at, state)


cdef inline double sum_of_squares(
    Py_ssize_t n, const floating[::1] values, Py_ssize_t at,
) noexcept nogil:
    return dot(&values[at], &values[at], n)


cdef inline double finish_block(
    Py_ssize_t n, double decay, double scale, const floating[::1] params, Py_ssize_t at,
    floating[::1] grads,
) noexcept nogil:
    """grads = scale (grads + decay params), n of them from `at` on; the sum of its squares."""
    cdef floating a = <floating>decay, s = <floating>scale
    cdef Py_ssize_t i
    cdef floating* grad = &grads[at]
    cdef const floating* w = &params[at]
    cdef double squares
    for i in range(n):
        grad[i] = (grad[i] + a * w[i]) * s
    squares = dot(grad, grad, n)
    if not isfinite(squares):             # it may be in double
        squares = 0
        for i in range(n):
            squares += <double>grad[i] * grad[i]
    return squares


cdef inline double clip_scale(double squares, double max_norm) noexcept nogil:
    """The factor of a gradient with this sum of squares that makes its norm max_norm at most.

    Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", ICML
    2013, algorithm 1.
    """
    cdef double norm = sqrt(squares)
    return max_norm / norm if norm > max_norm else 1
