/* The table of optimizers: one row each, with the update of one parameter. Ids, names, loops over
 * minibatches and single samples, and tests are made from it. The loops over the layers of a
 * network, clipping and averages of weights are in network.pxd and optimizers.pxd. */
#ifndef CMLP_OPTIMIZERS_H
#define CMLP_OPTIMIZERS_H

#include <math.h>
#include <stddef.h>
#include "vecmath.h"

/* Which loops a row is compiled for:
 *   BATCHES        minibatches
 *   ONLINE         also single samples (online.h): weights and biases have the same constants, and
 *                  a parameter whose gradient and state are 0 stays what it is
 *   ONLINE_LINEAR  also blocks of single samples (online_blocks.pxd): one vector of state, and the
 *                  update is linear in parameter, state and gradient
 *
 * FLAG(name)     a hyper-parameter that is 0 or 1, for each of which there is a loop
 * HYPER          the vector of hyper-parameters, by name; the learning rate is the first
 * STATE          vectors that are kept from step to step, one entry per parameter
 * EVERY_STEP     computed in double once per step, before the update; a hyper-parameter that is
 *                assigned to, a counter of steps say, keeps its value when the step has been made
 * BIASES         the constants that are others for biases, which do not decay
 * CONSTANTS      of those numbers, what the update reads, rounded to the dtype of the parameters
 * TIMES          a factor of the gradient that single samples get for nothing
 * UPDATE         of lanes (lanes.h): from the gradient g, penalty included and TIMES its factor,
 *                to the new state and the new parameter w */
#define CMLP_OPTIMIZERS(X)                                                                        \
    /* Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML\
     * 2013, in scikit-learn's form. v: velocities */                                             \
    X(sgd, ONLINE_LINEAR, FLAG(nesterov),                                                         \
      HYPER(learning_rate, momentum, nesterov),                                                   \
      STATE(v),                                                                                   \
      EVERY_STEP(),                                                                               \
      BIASES(),                                                                                   \
      CONSTANTS(momentum),                                                                        \
      TIMES(-learning_rate),                                                                      \
      UPDATE(                                                                                     \
        v = momentum * v + g;                                                                     \
        w = w + (nesterov ? momentum * v + g : v)))                                               \
    /* Kingma & Ba, "Adam", 2014, with the bias correction moved into the step size, so that      \
     * epsilon is not corrected (as in scikit-learn). m, v: decaying means of g and g^2 */        \
    X(adam, ONLINE, NO_FLAG,                                                                      \
      HYPER(learning_rate, beta_1, beta_2, epsilon, t),                                           \
      STATE(m, v),                                                                                \
      EVERY_STEP(                                                                                 \
        t += 1;                                                                                   \
        double rate = learning_rate * sqrt(1 - pow(beta_2, t)) / (1 - pow(beta_1, t));            \
        double rest_1 = 1 - beta_1, rest_2 = 1 - beta_2),                                         \
      BIASES(),                                                                                   \
      CONSTANTS(rate, beta_1, rest_1, beta_2, rest_2, epsilon),                                   \
      TIMES(1),                                                                                   \
      UPDATE(                                                                                     \
        m = beta_1 * m + rest_1 * g;                                                              \
        v = beta_2 * v + rest_2 * (g * g);                                                        \
        w = w - rate * m / (SQRT(v) + epsilon)))                                                  \
    /* Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019, as in PyTorch:    \
     * epsilon is that of Adam's paper. State as adam's */                                        \
    X(adamw, BATCHES, NO_FLAG,                                                                    \
      HYPER(learning_rate, beta_1, beta_2, epsilon, t, weight_decay),                             \
      STATE(m, v),                                                                                \
      EVERY_STEP(                                                                                 \
        t += 1;                                                                                   \
        double correction = sqrt(1 - pow(beta_2, t)), corrected = epsilon * correction;           \
        double rate = learning_rate * correction / (1 - pow(beta_1, t));                          \
        double keep = 1 - learning_rate * weight_decay;                                           \
        double rest_1 = 1 - beta_1, rest_2 = 1 - beta_2),                                         \
      BIASES(keep = 1),                                                                           \
      CONSTANTS(rate, beta_1, rest_1, beta_2, rest_2, corrected, keep),                           \
      TIMES(1),                                                                                   \
      UPDATE(                                                                                     \
        m = beta_1 * m + rest_1 * g;                                                              \
        v = beta_2 * v + rest_2 * (g * g);                                                        \
        w = keep * w - rate * m / (SQRT(v) + corrected)))                                         \
    /* Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016, as in PyTorch: m is\
     * what it will be after the next step. State as adam's */                                    \
    X(nadam, BATCHES, NO_FLAG,                                                                    \
      HYPER(learning_rate, beta_1, beta_2, epsilon, t, momentum_product),                         \
      STATE(m, v),                                                                                \
      EVERY_STEP(                                                                                 \
        t += 1;                                                                                   \
        double correction = sqrt(1 - pow(beta_2, t)), corrected = epsilon * correction;           \
        double momentum = beta_1 * (1 - 0.5 * pow(0.96, 0.004 * t));                              \
        double next_momentum = beta_1 * (1 - 0.5 * pow(0.96, 0.004 * (t + 1)));                   \
        momentum_product *= momentum;                                                             \
        double rate = learning_rate * correction * (1 - momentum) / (1 - momentum_product);       \
        double rate_m = learning_rate * correction * next_momentum                                \
                        / (1 - momentum_product * next_momentum);                                 \
        double rest_1 = 1 - beta_1, rest_2 = 1 - beta_2),                                         \
      BIASES(),                                                                                   \
      CONSTANTS(rate, rate_m, beta_1, rest_1, beta_2, rest_2, corrected),                         \
      TIMES(1),                                                                                   \
      UPDATE(                                                                                     \
        m = beta_1 * m + rest_1 * g;                                                              \
        v = beta_2 * v + rest_2 * (g * g);                                                        \
        w = w - (rate * g + rate_m * m) / (SQRT(v) + corrected)))                                 \
    /* Tieleman & Hinton, "Lecture 6.5 - rmsprop", Coursera 2012, with momentum as in PyTorch.    \
     * v: decaying mean of g^2, b: momentum */                                                    \
    X(rmsprop, BATCHES, NO_FLAG,                                                                  \
      HYPER(learning_rate, momentum, beta_2, epsilon),                                            \
      STATE(v, b),                                                                                \
      EVERY_STEP(double rest_2 = 1 - beta_2),                                                     \
      BIASES(),                                                                                   \
      CONSTANTS(learning_rate, momentum, beta_2, rest_2, epsilon),                                \
      TIMES(1),                                                                                   \
      UPDATE(                                                                                     \
        v = beta_2 * v + rest_2 * (g * g);                                                        \
        b = momentum * b + g / (SQRT(v) + epsilon);                                               \
        w = w - learning_rate * b))                                                               \
    /* Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and stochastic    \
     * optimization", JMLR 12 (2011). v: sum of all g^2 */                                        \
    X(adagrad, BATCHES, NO_FLAG,                                                                  \
      HYPER(learning_rate, epsilon),                                                              \
      STATE(v),                                                                                   \
      EVERY_STEP(),                                                                               \
      BIASES(),                                                                                   \
      CONSTANTS(learning_rate, epsilon),                                                          \
      TIMES(1),                                                                                   \
      UPDATE(                                                                                     \
        v = v + g * g;                                                                            \
        w = w - learning_rate * g / (SQRT(v) + epsilon)))                                         \
    /* Defazio et al., "The road less scheduled", NeurIPS 2024, algorithm 1. The parameters are y,\
     * where gradients are taken. z: the sequence of steps, x: its average, which predicts,       \
     * v: decaying mean of g^2 */                                                                 \
    X(schedule_free_adamw, BATCHES, NO_FLAG,                                                      \
      HYPER(learning_rate, beta_1, beta_2, epsilon, t, weight_decay, weight_sum),                 \
      STATE(z, x, v),                                                                             \
      EVERY_STEP(                                                                                 \
        t += 1;                                                                                   \
        double rate = learning_rate * sqrt(1 - pow(beta_2, t)), square = rate * rate;             \
        weight_sum += square;                                                                     \
        double mix = weight_sum > 0 ? square / weight_sum : 0;                                    \
        double decay = rate * weight_decay, rest_2 = 1 - beta_2),                                 \
      BIASES(decay = 0),                                                                          \
      CONSTANTS(rate, beta_1, beta_2, rest_2, epsilon, decay, mix),                               \
      TIMES(1),                                                                                   \
      UPDATE(                                                                                     \
        v = beta_2 * v + rest_2 * (g * g);                                                        \
        z = z - (rate * g / (SQRT(v) + epsilon) + decay * w);                                     \
        x = x + mix * (z - x);                                                                    \
        w = z + beta_1 * (x - z)))                                                                \
    /* Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, program 1.     \
     * m: momentum, a decaying mean of g */                                                       \
    X(lion, BATCHES, NO_FLAG,                                                                     \
      HYPER(learning_rate, beta_1, beta_2, weight_decay),                                         \
      STATE(m),                                                                                   \
      EVERY_STEP(                                                                                 \
        double keep = 1 - learning_rate * weight_decay;                                           \
        double rest_1 = 1 - beta_1, rest_2 = 1 - beta_2),                                         \
      BIASES(keep = 1),                                                                           \
      CONSTANTS(learning_rate, beta_1, rest_1, beta_2, rest_2, keep),                             \
      TIMES(1),                                                                                   \
      UPDATE(                                                                                     \
        w = keep * w - learning_rate * SIGN(beta_1 * m + rest_1 * g);                             \
        m = beta_2 * m + rest_2 * g))

/* what depends on the loops of a row */
#define CMLP_WHEN_BATCHES(...)
#define CMLP_WHEN_ONLINE(...) __VA_ARGS__
#define CMLP_WHEN_ONLINE_LINEAR(...) __VA_ARGS__

enum { CMLP_MAX_HYPER = 8, CMLP_MAX_STATES = 8, CMLP_MAX_CONSTANTS = 8 };
enum { CMLP_BATCHES, CMLP_ONLINE, CMLP_ONLINE_LINEAR };

/* CMLP_EACH(M, S, (a, b, c)) is M(S, 0, a) M(S, 1, b) M(S, 2, c), of up to 8 */
#define CMLP_EACH(M, S, list) CMLP_EACH_OF(M, S, CMLP_UNWRAP list)
#define CMLP_UNWRAP(...) __VA_ARGS__
#define CMLP_EACH_OF(M, S, ...)                                                                   \
    CMLP_NINTH(__VA_ARGS__, CMLP_EACH_8, CMLP_EACH_7, CMLP_EACH_6, CMLP_EACH_5, CMLP_EACH_4,      \
               CMLP_EACH_3, CMLP_EACH_2, CMLP_EACH_1, )(M, S, 0, __VA_ARGS__)
#define CMLP_NINTH(a, b, c, d, e, f, g, h, ninth, ...) ninth
#define CMLP_EACH_1(M, S, i, a) M(S, i, a)
#define CMLP_EACH_2(M, S, i, a, ...) M(S, i, a) CMLP_EACH_1(M, S, i + 1, __VA_ARGS__)
#define CMLP_EACH_3(M, S, i, a, ...) M(S, i, a) CMLP_EACH_2(M, S, i + 1, __VA_ARGS__)
#define CMLP_EACH_4(M, S, i, a, ...) M(S, i, a) CMLP_EACH_3(M, S, i + 1, __VA_ARGS__)
#define CMLP_EACH_5(M, S, i, a, ...) M(S, i, a) CMLP_EACH_4(M, S, i + 1, __VA_ARGS__)
#define CMLP_EACH_6(M, S, i, a, ...) M(S, i, a) CMLP_EACH_5(M, S, i + 1, __VA_ARGS__)
#define CMLP_EACH_7(M, S, i, a, ...) M(S, i, a) CMLP_EACH_6(M, S, i + 1, __VA_ARGS__)
#define CMLP_EACH_8(M, S, i, a, ...) M(S, i, a) CMLP_EACH_7(M, S, i + 1, __VA_ARGS__)

/* the parts of a row: those that are lists or statements stay in parentheses until they are read */
#define HYPER(...) (__VA_ARGS__)
#define STATE(...) (__VA_ARGS__)
#define EVERY_STEP(...) (__VA_ARGS__)
#define BIASES(...) (__VA_ARGS__)
#define CONSTANTS(...) (__VA_ARGS__)
#define TIMES(factor) (factor)
#define UPDATE(...) (__VA_ARGS__)
#define CMLP_HAS_NO_FLAG 0
#define CMLP_HAS_FLAG(name) 1
#define CMLP_VALUE_NO_FLAG 0
#define CMLP_VALUE_FLAG(name) ((name) != 0)
#define CMLP_NAME_NO_FLAG no_flag
#define CMLP_NAME_FLAG(name) name

enum cmlp_optimizer {
#define CMLP_ROW(name, ...) CMLP_##name,
    CMLP_OPTIMIZERS(CMLP_ROW)
#undef CMLP_ROW
    CMLP_N_OPTIMIZERS
};

typedef struct {
    const char *name, *hyper[CMLP_MAX_HYPER], *state[CMLP_MAX_STATES];
    int n_hyper, n_states, loops;
} cmlp_optimizer_row;

#define CMLP_STRING(S, i, name) #name,
#define CMLP_PLUS_ONE(S, i, name) + 1
static const cmlp_optimizer_row cmlp_optimizer_table[] = {
#define CMLP_ROW(id, loops, flagged, hyper, state, ...)                                           \
    {#id, {CMLP_EACH(CMLP_STRING, , hyper)}, {CMLP_EACH(CMLP_STRING, , state)},                   \
     CMLP_EACH(CMLP_PLUS_ONE, , hyper), CMLP_EACH(CMLP_PLUS_ONE, , state), CMLP_##loops},
    CMLP_OPTIMIZERS(CMLP_ROW)
#undef CMLP_ROW
};

/* The constants of one step, worked out once for all parameters. */
typedef struct {
    int optimizer, flag;
    double factor; /* of the gradient */
    double weights[CMLP_MAX_CONSTANTS], biases[CMLP_MAX_CONSTANTS];
    double hyper[CMLP_MAX_HYPER]; /* what they are once the step has been made */
} cmlp_rule;

/* cmlp_begin_step[optimizer](hyper, rule) */
#define CMLP_GET_HYPER(S, i, name) double name = hyper[i];
#define CMLP_SET_HYPER(S, i, name) rule->hyper[i] = name;
#define CMLP_SET_WEIGHTS(S, i, name) rule->weights[i] = name;
#define CMLP_SET_BIASES(S, i, name) rule->biases[i] = name;
#define CMLP_ROW(id, loops, flagged, names, state, every_step, other, constants, times, ...)      \
    static void cmlp_begin_##id(const double *hyper, cmlp_rule *rule) {                           \
        CMLP_EACH(CMLP_GET_HYPER, , names)                                                        \
        CMLP_UNWRAP every_step;                                                                   \
        rule->optimizer = CMLP_##id;                                                              \
        rule->flag = CMLP_VALUE_##flagged;                                                        \
        rule->factor = times;                                                                     \
        CMLP_EACH(CMLP_SET_WEIGHTS, , constants)                                                  \
        CMLP_UNWRAP other;                                                                        \
        CMLP_EACH(CMLP_SET_BIASES, , constants)                                                   \
        CMLP_EACH(CMLP_SET_HYPER, , names)                                                        \
    }
CMLP_OPTIMIZERS(CMLP_ROW)
#undef CMLP_ROW

#define CMLP_ROW(name, ...) cmlp_begin_##name,
static void (*const cmlp_begin_step[])(const double *, cmlp_rule *) = {CMLP_OPTIMIZERS(CMLP_ROW)};
#undef CMLP_ROW

/* What a loop needs of a row around its update: the constants by name from an array of doubles or
 * of lanes, and `count` elements of each vector of state, `stride` apart from one to the next. All
 * is loaded before, and stored after the arithmetic: see CMLP_DEFINE_FROM_SLOPE. */
#define CMLP_SPLAT_CONSTANT(S, i, name) const cmlp_lanes_##S name = cmlp_splat_##S((T)constants[i]);
#define CMLP_LOAD_STATE(S, i, name)                                                               \
    cmlp_lanes_##S name = cmlp_load_lanes_##S(state + (i) * stride, count);
#define CMLP_STORE_STATE(S, i, name) cmlp_store_lanes_##S(state + (i) * stride, name, count);

/* Per dtype: cmlp_step_<name>(rule, of_weights, n, decay, scale, params, grads, state, stride)
 * updates n parameters, all weights or all biases, by the gradient scale (grads + decay params) */
#define CMLP_DEFINE_STEP(S, id, flagged, states, constants_, update)                              \
    CMLP_INLINE void cmlp_steps_##id##_##S(                                                       \
        const int CMLP_NAME_##flagged, const cmlp_rule *rule, int of_weights, ptrdiff_t n,        \
        double decay_, double scale_, T *params, const T *grads, T *states_, ptrdiff_t stride) {  \
        const double *constants = of_weights ? rule->weights : rule->biases;                      \
        const cmlp_lanes_##S penalty = cmlp_splat_##S((T)decay_);                                 \
        const cmlp_lanes_##S scale = cmlp_splat_##S((T)scale_);                                   \
        const cmlp_lanes_##S factor = cmlp_splat_##S((T)rule->factor);                            \
        CMLP_EACH(CMLP_SPLAT_CONSTANT, S, constants_)                                             \
        CMLP_FOR_LANES(S, n,                                                                      \
            T *const state = states_ + i;                                                         \
            cmlp_lanes_##S w = cmlp_load_lanes_##S(params + i, count);                            \
            cmlp_lanes_##S g = cmlp_load_lanes_##S(grads + i, count);                             \
            CMLP_EACH(CMLP_LOAD_STATE, S, states)                                                 \
            g = factor * ((g + penalty * w) * scale);                                             \
            CMLP_UNWRAP update;                                                                   \
            CMLP_EACH(CMLP_STORE_STATE, S, states)                                                \
            cmlp_store_lanes_##S(params + i, w, count);                                           \
        )                                                                                         \
    }                                                                                             \
    static void cmlp_step_##id##_##S(                                                             \
        const cmlp_rule *rule, int of_weights, ptrdiff_t n, double decay, double scale,           \
        T *params, const T *grads, T *state, ptrdiff_t stride) {                                  \
        if (CMLP_HAS_##flagged && rule->flag)                                                     \
            cmlp_steps_##id##_##S(                                                                \
                1, rule, of_weights, n, decay, scale, params, grads, state, stride);              \
        else                                                                                      \
            cmlp_steps_##id##_##S(                                                                \
                0, rule, of_weights, n, decay, scale, params, grads, state, stride);              \
    }

#define T float
#define DTYPE f32
#define CMLP_ROW(id, loops, flagged, hyper, state, every_step, other, constants, times, update)   \
    CMLP_DEFINE_STEP(f32, id, flagged, state, constants, update)
CMLP_OPTIMIZERS(CMLP_ROW)
#undef CMLP_ROW
#define CMLP_ROW(name, ...) cmlp_step_##name##_f32,
static void (*const cmlp_optimizer_step_f32[])(
    const cmlp_rule *, int, ptrdiff_t, double, double, T *, const T *, T *,
    ptrdiff_t) = {CMLP_OPTIMIZERS(CMLP_ROW)};
#undef CMLP_ROW
#undef T
#undef DTYPE

#define T double
#define DTYPE f64
#define CMLP_ROW(id, loops, flagged, hyper, state, every_step, other, constants, times, update)   \
    CMLP_DEFINE_STEP(f64, id, flagged, state, constants, update)
CMLP_OPTIMIZERS(CMLP_ROW)
#undef CMLP_ROW
#define CMLP_ROW(name, ...) cmlp_step_##name##_f64,
static void (*const cmlp_optimizer_step_f64[])(
    const cmlp_rule *, int, ptrdiff_t, double, double, T *, const T *, T *,
    ptrdiff_t) = {CMLP_OPTIMIZERS(CMLP_ROW)};
#undef CMLP_ROW
#undef T
#undef DTYPE

#endif
