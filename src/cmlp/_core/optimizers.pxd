# One step of each optimizer over the flat parameter vector, and the averaging of the weights that
# may follow it. Hyper-parameters come in a small vector whose entries OPTIMIZERS names; their
# schedules are worked out in Python, once per epoch.

from cython cimport floating
from libc.math cimport isfinite, pow, sqrt, sqrtf
from cmlp._core.linalg cimport dot

cdef enum Optimizer:
    SGD
    ADAM
    ADAMW
    NADAM
    RMSPROP
    ADAGRAD
    SCHEDULE_FREE_ADAMW

cdef enum:
    LEARNING_RATE = 0          # of all
    # sgd
    SGD_LEARNING_RATE = 0
    SGD_MOMENTUM = 1
    SGD_NESTEROV = 2
    # adam and what is made of it
    ADAM_LEARNING_RATE = 0
    ADAM_BETA_1 = 1
    ADAM_BETA_2 = 2
    ADAM_EPSILON = 3
    ADAM_T = 4
    WEIGHT_DECAY = 5           # adamw, schedule_free_adamw
    WEIGHT_SUM = 6             # schedule_free_adamw
    MOMENTUM_PRODUCT = 5       # nadam
    # rmsprop
    RMSPROP_MOMENTUM = 1
    RMSPROP_BETA_2 = 2
    RMSPROP_EPSILON = 3
    # adagrad
    ADAGRAD_EPSILON = 1
    # averaging of weights
    EMA_DECAY = 0
    EMA_T = 1


# What one update needs, worked out once for all parameters.
cdef struct Step:
    int optimizer
    double learning_rate       # the bias correction included
    double beta_1              # of sgd and rmsprop: the momentum
    double beta_2
    double epsilon
    double decay               # adamw, schedule_free_adamw: learning rate x weight decay
    double momentum_rate       # nadam: learning rate of the mean, learning_rate is the gradient's
    double momentum_product    # nadam: that of all steps, this one included
    double weight_sum          # schedule_free_adamw: the same
    double mix                 # schedule_free_adamw: share of z in the new x
    bint nesterov
    Py_ssize_t n_coefs         # parameters before it decay
    Py_ssize_t average         # the row of the state that averages the weights, or -1
    double average_rate        # share of the new weights in it


cdef inline Step begin_step(
    int optimizer, const double* hyper, Py_ssize_t n_coefs, const double* averaging,
    Py_ssize_t n_slots,
) noexcept nogil:
    """The next step from the hyper-parameters.

    averaging: EMA_DECAY and EMA_T, or NULL; the average is the row of the state after n_slots.
    """
    cdef Step step
    cdef double t, rate = hyper[LEARNING_RATE], correction, momentum, next_momentum
    step.optimizer = optimizer
    step.learning_rate = rate
    step.beta_1 = step.beta_2 = step.epsilon = step.decay = 0
    step.momentum_rate = step.momentum_product = step.weight_sum = step.mix = 0
    step.nesterov = False
    step.n_coefs = n_coefs
    step.average = -1
    step.average_rate = 0
    if averaging is not NULL:
        step.average = n_slots
        # (1 - d) / (1 - d^t): the average of t vectors, not of these and the zeros before
        step.average_rate = ((1 - averaging[EMA_DECAY])
                             / (1 - pow(averaging[EMA_DECAY], averaging[EMA_T] + 1)))
    if optimizer == SGD:
        step.beta_1 = hyper[SGD_MOMENTUM]
        step.nesterov = hyper[SGD_NESTEROV] != 0
    elif optimizer == RMSPROP:
        step.beta_1 = hyper[RMSPROP_MOMENTUM]
        step.beta_2 = hyper[RMSPROP_BETA_2]
        step.epsilon = hyper[RMSPROP_EPSILON]
    elif optimizer == ADAGRAD:
        step.epsilon = hyper[ADAGRAD_EPSILON]
    else:
        t = hyper[ADAM_T] + 1
        step.beta_1 = hyper[ADAM_BETA_1]
        step.beta_2 = hyper[ADAM_BETA_2]
        step.epsilon = hyper[ADAM_EPSILON]
        correction = sqrt(1 - pow(step.beta_2, t))
        if optimizer == ADAM:
            step.learning_rate = rate * correction / (1 - pow(step.beta_1, t))
        elif optimizer == ADAMW:
            step.learning_rate = rate * correction / (1 - pow(step.beta_1, t))
            step.epsilon *= correction
            step.decay = rate * hyper[WEIGHT_DECAY]
        elif optimizer == NADAM:
            momentum = step.beta_1 * (1 - 0.5 * pow(0.96, 0.004 * t))
            next_momentum = step.beta_1 * (1 - 0.5 * pow(0.96, 0.004 * (t + 1)))
            step.momentum_product = hyper[MOMENTUM_PRODUCT] * momentum
            step.learning_rate = rate * correction * (1 - momentum) / (1 - step.momentum_product)
            step.momentum_rate = (rate * correction * next_momentum
                                  / (1 - step.momentum_product * next_momentum))
            step.epsilon *= correction
        else:
            step.learning_rate = rate * correction
            step.decay = step.learning_rate * hyper[WEIGHT_DECAY]
            step.weight_sum = hyper[WEIGHT_SUM] + step.learning_rate * step.learning_rate
            if step.weight_sum > 0:
                step.mix = step.learning_rate * step.learning_rate / step.weight_sum
    return step


cdef inline void end_step(const Step* step, double* hyper, double* averaging) noexcept nogil:
    """Note in the hyper-parameters that the step was made."""
    if step.optimizer == ADAM or step.optimizer == ADAMW:
        hyper[ADAM_T] += 1
    elif step.optimizer == NADAM:
        hyper[ADAM_T] += 1
        hyper[MOMENTUM_PRODUCT] = step.momentum_product
    elif step.optimizer == SCHEDULE_FREE_ADAMW:
        hyper[ADAM_T] += 1
        hyper[WEIGHT_SUM] = step.weight_sum
    if averaging is not NULL:
        averaging[EMA_T] += 1


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
    """adam: params -= lr_t m / (sqrt(v) + eps), lr_t = lr sqrt(1 - beta_2^t) / (1 - beta_1^t).

    state[0]: m, state[1]: v, the decaying means of g and g^2. Kingma & Ba 2014, with the bias
    correction moved into the step size, so that eps is not corrected (as in scikit-learn).

    adamw: the same with the paper's eps, which begin_step has corrected, and weights first
    multiplied by 1 - lr weight_decay. Loshchilov & Hutter, "Decoupled weight decay
    regularization", ICLR 2019, as in PyTorch.
    """
    cdef floating lr = <floating>step.learning_rate, epsilon = <floating>step.epsilon
    cdef floating beta_1 = <floating>step.beta_1, rest_1 = <floating>(1 - step.beta_1)
    cdef floating beta_2 = <floating>step.beta_2, rest_2 = <floating>(1 - step.beta_2)
    cdef floating a = <floating>decay, s = <floating>scale
    cdef floating keep = <floating>(1 - step.decay) if at < step.n_coefs else 1
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
            w[i] = keep * w[i] - lr * mi / (sqrtf(vi) + epsilon)
        else:
            w[i] = keep * w[i] - lr * mi / (sqrt(vi) + epsilon)


cdef inline void nadam_step(
    const Step* step, Py_ssize_t n, double decay, double scale, floating[::1] params,
    Py_ssize_t at, const floating[::1] grads, Py_ssize_t g0, floating[:, ::1] state,
) noexcept nogil:
    """params -= lr (mu' m / (1 - P mu') + (1 - mu) g / (1 - P)) / (sqrt(v_t) + eps).

    mu = beta_1 (1 - 0.96^(0.004 t) / 2), mu' that of the next step, P the product of all mu so
    far, v_t = v / (1 - beta_2^t). state[0]: m, state[1]: v, as of adam. Dozat, "Incorporating
    Nesterov momentum into Adam", ICLR workshop 2016, as in PyTorch.
    """
    cdef floating lr = <floating>step.learning_rate, epsilon = <floating>step.epsilon
    cdef floating lr_m = <floating>step.momentum_rate
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
            w[i] -= (lr * g + lr_m * mi) / (sqrtf(vi) + epsilon)
        else:
            w[i] -= (lr * g + lr_m * mi) / (sqrt(vi) + epsilon)


cdef inline void rmsprop_step(
    const Step* step, Py_ssize_t n, double decay, double scale, floating[::1] params,
    Py_ssize_t at, const floating[::1] grads, Py_ssize_t g0, floating[:, ::1] state,
) noexcept nogil:
    """b = momentum b + g / (sqrt(v) + eps); params -= lr b.

    state[0]: v, the decaying mean of g^2, state[1]: b. Tieleman & Hinton, "Lecture 6.5 -
    rmsprop", Coursera 2012, with momentum as in PyTorch.
    """
    cdef floating lr = <floating>step.learning_rate, epsilon = <floating>step.epsilon
    cdef floating momentum = <floating>step.beta_1
    cdef floating beta_2 = <floating>step.beta_2, rest_2 = <floating>(1 - step.beta_2)
    cdef floating a = <floating>decay, s = <floating>scale
    cdef floating g, vi, bi
    cdef Py_ssize_t i
    cdef floating* w = &params[at]
    cdef floating* v = &state[0, at]
    cdef floating* b = &state[1, at]
    cdef const floating* grad = &grads[g0]
    for i in range(n):
        g = (grad[i] + a * w[i]) * s
        vi = beta_2 * v[i] + rest_2 * (g * g)
        v[i] = vi
        if floating is float:
            bi = momentum * b[i] + g / (sqrtf(vi) + epsilon)
        else:
            bi = momentum * b[i] + g / (sqrt(vi) + epsilon)
        b[i] = bi
        w[i] -= lr * bi


cdef inline void adagrad_step(
    const Step* step, Py_ssize_t n, double decay, double scale, floating[::1] params,
    Py_ssize_t at, const floating[::1] grads, Py_ssize_t g0, floating[:, ::1] state,
) noexcept nogil:
    """params -= lr g / (sqrt(v) + eps), state[0]: v, the sum of all g^2.

    Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 12 (2011).
    """
    cdef floating lr = <floating>step.learning_rate, epsilon = <floating>step.epsilon
    cdef floating a = <floating>decay, s = <floating>scale
    cdef floating g, vi
    cdef Py_ssize_t i
    cdef floating* w = &params[at]
    cdef floating* v = &state[0, at]
    cdef const floating* grad = &grads[g0]
    for i in range(n):
        g = (grad[i] + a * w[i]) * s
        vi = v[i] + g * g
        v[i] = vi
        if floating is float:
            w[i] -= lr * g / (sqrtf(vi) + epsilon)
        else:
            w[i] -= lr * g / (sqrt(vi) + epsilon)


cdef inline void schedule_free_step(
    const Step* step, Py_ssize_t n, double decay, double scale, floating[::1] params,
    Py_ssize_t at, const floating[::1] grads, Py_ssize_t g0, floating[:, ::1] state,
) noexcept nogil:
    """z -= lr_t (g / (sqrt(v) + eps) + weight_decay y); x += c (z - x); y = z + beta_1 (x - z).

    lr_t = lr sqrt(1 - beta_2^t), c = lr_t^2 / (the sum of all lr_t^2 so far). The parameters are
    y, where gradients are taken; state[0]: z, state[1]: x, which predicts, state[2]: v, the
    decaying mean of g^2. Defazio et al., "The road less scheduled", NeurIPS 2024, algorithm 1.
    """
    cdef floating lr = <floating>step.learning_rate, epsilon = <floating>step.epsilon
    cdef floating beta_1 = <floating>step.beta_1, mix = <floating>step.mix
    cdef floating beta_2 = <floating>step.beta_2, rest_2 = <floating>(1 - step.beta_2)
    cdef floating shrink = <floating>step.decay if at < step.n_coefs else 0
    cdef floating a = <floating>decay, s = <floating>scale
    cdef floating g, vi, zi, xi
    cdef Py_ssize_t i
    cdef floating* w = &params[at]
    cdef floating* z = &state[0, at]
    cdef floating* x = &state[1, at]
    cdef floating* v = &state[2, at]
    cdef const floating* grad = &grads[g0]
    for i in range(n):
        g = (grad[i] + a * w[i]) * s
        vi = beta_2 * v[i] + rest_2 * (g * g)
        v[i] = vi
        if floating is float:
            zi = z[i] - (lr * g / (sqrtf(vi) + epsilon) + shrink * w[i])
        else:
            zi = z[i] - (lr * g / (sqrt(vi) + epsilon) + shrink * w[i])
        xi = x[i] + mix * (zi - x[i])
        z[i] = zi
        x[i] = xi
        w[i] = zi + beta_1 * (xi - zi)


cdef inline void average_step(
    const Step* step, Py_ssize_t n, const floating[::1] params, Py_ssize_t at,
    floating[:, ::1] state,
) noexcept nogil:
    """average += rate (params - average)."""
    cdef floating rate = <floating>step.average_rate
    cdef Py_ssize_t i
    cdef const floating* w = &params[at]
    cdef floating* average = &state[step.average, at]
    for i in range(n):
        average[i] += rate * (w[i] - average[i])


cdef inline void optimizer_step(
    const Step* step, Py_ssize_t n, double decay, double scale, floating[::1] params,
    Py_ssize_t at, const floating[::1] grads, Py_ssize_t g0, floating[:, ::1] state,
) noexcept nogil:
    """Update n parameters from `at` on by the gradient scale (grads + decay params).

    They are all weights or all biases.
    """
    if step.optimizer == SGD:
        sgd_step(step, n, decay, scale, params, at, grads, g0, state)
    elif step.optimizer == ADAM or step.optimizer == ADAMW:
        adam_step(step, n, decay, scale, params, at, grads, g0, state)
    elif step.optimizer == NADAM:
        nadam_step(step, n, decay, scale, params, at, grads, g0, state)
    elif step.optimizer == RMSPROP:
        rmsprop_step(step, n, decay, scale, params, at, grads, g0, state)
    elif step.optimizer == ADAGRAD:
        adagrad_step(step, n, decay, scale, params, at, grads, g0, state)
    else:
        schedule_free_step(step, n, decay, scale, params, at, grads, g0, state)
    if step.average >= 0:
        average_step(step, n, params, at, state)


cdef inline void finish_block(
    Py_ssize_t n, double decay, double scale, const floating[::1] params, Py_ssize_t at,
    floating[::1] grads, double* squares, double* penalty,
) noexcept nogil:
    """grads = scale (grads + decay params), n of them from `at` on, and the sum of its squares.

    penalty: that of the parameters, unless it is NULL.
    """
    cdef floating a = <floating>decay, s = <floating>scale
    cdef Py_ssize_t i
    cdef floating* grad = &grads[at]
    cdef const floating* w = &params[at]
    for i in range(n):
        grad[i] = (grad[i] + a * w[i]) * s
    squares[0] = dot(grad, grad, n)
    if not isfinite(squares[0]):          # it may be in double
        squares[0] = 0
        for i in range(n):
            squares[0] += <double>grad[i] * grad[i]
    if penalty is not NULL:
        penalty[0] = dot(w, w, n)


cdef inline double clip_scale(double squares, double max_norm) noexcept nogil:
    """The factor of a gradient with this sum of squares that makes its norm max_norm at most.

    Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", ICML
    2013, algorithm 1.
    """
    cdef double norm = sqrt(squares)
    return max_norm / norm if norm > max_norm else 1
