# One step of each optimizer over the flat parameter vector. Hyper-parameters come in a small
# vector whose entries OPTIMIZERS names; their schedules are decided once per epoch in Python.

from cython cimport floating
from libc.math cimport pow, sqrt, sqrtf

cdef enum Optimizer:
    SGD
    ADAM

cdef enum:
    # sgd
    SGD_LEARNING_RATE = 0
    SGD_MOMENTUM = 1
    SGD_NESTEROV = 2
    # adam
    ADAM_LEARNING_RATE = 0
    ADAM_BETA_1 = 1
    ADAM_BETA_2 = 2
    ADAM_EPSILON = 3
    ADAM_T = 4


# What one update needs, worked out once for all parameters.
cdef struct Step:
    int optimizer
    double learning_rate       # of adam: with the bias correction
    double beta_1              # of sgd: the momentum
    double beta_2
    double epsilon
    bint nesterov


cdef inline Step begin_step(
    int optimizer, const double* hyper, Py_ssize_t n_before,
) noexcept nogil:
    """The step from the hyper-parameters, n_before steps after they were given."""
    cdef Step step
    cdef double t
    step.optimizer = optimizer
    step.beta_2 = step.epsilon = 0
    step.nesterov = False
    if optimizer == SGD:
        step.learning_rate = hyper[SGD_LEARNING_RATE]
        step.beta_1 = hyper[SGD_MOMENTUM]
        step.nesterov = hyper[SGD_NESTEROV] != 0
    else:
        t = hyper[ADAM_T] + n_before + 1
        step.beta_1 = hyper[ADAM_BETA_1]
        step.beta_2 = hyper[ADAM_BETA_2]
        step.epsilon = hyper[ADAM_EPSILON]
        step.learning_rate = (hyper[ADAM_LEARNING_RATE] * sqrt(1 - pow(step.beta_2, t))
                              / (1 - pow(step.beta_1, t)))
    return step


cdef inline void end_steps(int optimizer, double* hyper, Py_ssize_t n) noexcept nogil:
    """Note in the hyper-parameters that n steps were made."""
    if optimizer == ADAM:
        hyper[ADAM_T] += n


cdef inline void sgd_step(
    const Step* step, Py_ssize_t n, double decay, double scale, floating[::1] params,
    Py_ssize_t at, const floating[::1] grads, Py_ssize_t g0, floating[:, ::1] state,
) noexcept nogil:
    """v = momentum v - lr g; params += v, or momentum v - lr g again with Nesterov momentum.

    state[0]: velocities. Sutskever et al., "On the importance of initialization and momentum
    in deep learning", ICML 2013, in scikit-learn's form.
    """
    cdef floating lr = <floating>step.learning_rate, momentum = <floating>step.beta_1
    cdef floating a = <floating>decay, s = <floating>scale
    cdef floating g
    cdef bint nesterov = step.nesterov
    cdef Py_ssize_t i
    cdef floating* w = &params[at]
    cdef floating* v = &state[0, at]
    cdef const floating* grad = &grads[g0]
    for i in range(n):
        g = lr * ((grad[i] + a * w[i]) * s)
        v[i] = momentum * v[i] - g
        w[i] += momentum * v[i] - g if nesterov else v[i]


cdef inline void adam_step(
    const Step* step, Py_ssize_t n, double decay, double scale, floating[::1] params,
    Py_ssize_t at, const floating[::1] grads, Py_ssize_t g0, floating[:, ::1] state,
) noexcept nogil:
    """params -= lr_t m / (sqrt(v) + eps), lr_t = lr sqrt(1 - beta_2^t) / (1 - beta_1^t).

    state[0]: m, state[1]: v, the decaying means of g and g^2. Kingma & Ba 2014, with the bias
    correction moved into the step size, so that eps is not corrected (as in scikit-learn).
    """
    cdef floating lr = <floating>step.learning_rate, epsilon = <floating>step.epsilon
    cdef floating beta_1 = <floating>step.beta_1, rest_1 = <floating>(1 - step.beta_1)
    cdef floating beta_2 = <floating>step.beta_2, rest_2 = <floating>(1 - step.beta_2)
    cdef floating a = <floating>decay, s = <floating>scale
    cdef floating g, mi, vi  # compilers would read m and v back: a stall
    cdef Py_ssize_t i
    cdef floating* w = &params[at]
    cdef floating* m = &state[0, at]
    cdef floating* v = &state[1, at]
    cdef const floating* grad = &grads[g0]
    for i in range(n):
        g = (grad[i] + a * w[i]) * s
        mi = beta_1 * m[i] + rest_1 * g
        vi = beta_2 * v[i] + rest_2 * (g * g)
        m[i] = mi
        v[i] = vi
        if floating is float:
            w[i] -= lr * mi / (sqrtf(vi) + epsilon)
        else:
            w[i] -= lr * mi / (sqrt(vi) + epsilon)


cdef inline void optimizer_step(
    const Step* step, Py_ssize_t n, double decay, double scale, floating[::1] params,
    Py_ssize_t at, const floating[::1] grads, Py_ssize_t g0, floating[:, ::1] state,
) noexcept nogil:
    """Update n parameters from `at` on by the gradient scale (grads + decay params)."""
    if step.optimizer == SGD:
        sgd_step(step, n, decay, scale, params, at, grads, g0, state)
    else:
        adam_step(step, n, decay, scale, params, at, grads, g0, state)
