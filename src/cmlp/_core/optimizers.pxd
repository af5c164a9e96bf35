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


cdef inline void sgd_step(
    Py_ssize_t n, const double* hyper, floating[::1] params, const floating[::1] grads,
    floating[:, ::1] state,
) noexcept nogil:
    """v = momentum v - lr g; params += v, or momentum v - lr g again with Nesterov momentum.

    state[0]: velocities. Sutskever et al., "On the importance of initialization and momentum
    in deep learning", ICML 2013, in scikit-learn's form.
    """
    cdef floating lr = <floating>hyper[SGD_LEARNING_RATE]
    cdef floating momentum = <floating>hyper[SGD_MOMENTUM]
    cdef floating velocity, g
    cdef bint nesterov = hyper[SGD_NESTEROV] != 0
    cdef Py_ssize_t i
    for i in range(n):
        g = lr * grads[i]
        velocity = momentum * state[0, i] - g
        state[0, i] = velocity
        params[i] += momentum * velocity - g if nesterov else velocity


cdef inline void adam_step(
    Py_ssize_t n, double* hyper, floating[::1] params, const floating[::1] grads,
    floating[:, ::1] state,
) noexcept nogil:
    """params -= lr_t m / (sqrt(v) + eps), lr_t = lr sqrt(1 - beta_2^t) / (1 - beta_1^t).

    state[0]: m, state[1]: v, the decaying means of g and g^2. Kingma & Ba 2014, with the bias
    correction moved into the step size, so that eps is not corrected (as in scikit-learn).
    """
    hyper[ADAM_T] += 1
    cdef double t = hyper[ADAM_T]
    cdef floating step = <floating>(
        -hyper[ADAM_LEARNING_RATE] * sqrt(1 - pow(hyper[ADAM_BETA_2], t))
        / (1 - pow(hyper[ADAM_BETA_1], t)))
    cdef floating beta_1 = <floating>hyper[ADAM_BETA_1]
    cdef floating beta_2 = <floating>hyper[ADAM_BETA_2]
    cdef floating rest_1 = <floating>(1 - hyper[ADAM_BETA_1])
    cdef floating rest_2 = <floating>(1 - hyper[ADAM_BETA_2])
    cdef floating epsilon = <floating>hyper[ADAM_EPSILON]
    cdef floating m, v, g
    cdef Py_ssize_t i
    for i in range(n):
        g = grads[i]
        m = beta_1 * state[0, i] + rest_1 * g
        v = beta_2 * state[1, i] + rest_2 * (g * g)
        state[0, i] = m
        state[1, i] = v
        if floating is float:
            params[i] += step * m / (sqrtf(v) + epsilon)
        else:
            params[i] += step * m / (sqrt(v) + epsilon)


cdef inline void optimizer_step(
    int optimizer, Py_ssize_t n, double* hyper, floating[::1] params,
    const floating[::1] grads, floating[:, ::1] state,
) noexcept nogil:
    """Update the first n parameters (all, or the weights alone without biases)."""
    if optimizer == SGD:
        sgd_step(n, hyper, params, grads, state)
    elif optimizer == ADAM:
        adam_step(n, hyper, params, grads, state)
