/* The table of losses: one row each, of one target y and one prediction p. Ids, names, parameter
 * constraints and tests are made from it. The loops over samples and outputs are in losses.pxd. */
#ifndef CMLP_LOSSES_H
#define CMLP_LOSSES_H

#include <float.h>
#include "activations.h"

/* what a row says of itself, besides its formulas */
#define CMLP_FOR_REGRESSOR 1
#define CMLP_FOR_CLASSIFIER 2
#define CMLP_RESIDUAL 4 /* with its own output activation dL/dz = p - y */
#define CMLP_MEAN 8     /* scikit-learn reports the mean over outputs instead of the sum */
#define CMLP_SOFTMAX CMLP_N_ACTIVATIONS /* id after the elementwise ones */

enum cmlp_domain {
    CMLP_REAL_TARGETS,
    CMLP_NON_NEGATIVE_TARGETS,
    CMLP_POSITIVE_TARGETS,
    CMLP_UNIT_INTERVAL_TARGETS
};

/* The formulas are of lanes, as in activations.h: the target y, the prediction p and the parameter
 * t, of which each output has its own. CLIP(p) keeps probabilities eps away from 0 and 1, as
 * scikit-learn does; POSITIVE(x) makes 0 and inf the smallest and largest number instead.
 *
 * name        of the row, and loss as the user of an estimator calls it
 * flags       see above
 * activation  its own output activation, chosen unless the user asks for another
 * domain      of y
 * parameter   name of the parameter t and its default, "" if it has none
 * value       L(y, p, t), up to the constant that makes the best loss 0 where that is customary
 * slope       dL / dp; where L has a kink, 0
 * delta       dL / dz with its own activation, in a form that neither overflows nor cancels; with
 *             softmax p dL / dp, from which losses.pxd makes dL / dz */
/* clang-format off */
#define CMLP_LOSSES(X)                                                                           \
    X(squared_error, "squared_error", CMLP_FOR_REGRESSOR | CMLP_RESIDUAL | CMLP_MEAN,            \
      CMLP_identity, CMLP_REAL_TARGETS, "", 0,                                                   \
      (p - y) * (p - y) / 2,                                                                     \
      p - y,                                                                                     \
      p - y)                                                                                     \
    X(poisson, "poisson", CMLP_FOR_REGRESSOR | CMLP_RESIDUAL,                                    \
      CMLP_exp, CMLP_NON_NEGATIVE_TARGETS, "", 0,                                                \
      EQUAL(y, NUMBER(0), NUMBER(0), y * LOG(POSITIVE(y / p))) - y + p,                          \
      1 - y / p,                                                                                 \
      p - y)                                                                                     \
    X(log_loss, "log_loss", CMLP_FOR_CLASSIFIER | CMLP_RESIDUAL,                                 \
      CMLP_SOFTMAX, CMLP_UNIT_INTERVAL_TARGETS, "", 0,                                           \
      EQUAL(y, NUMBER(0), NUMBER(0), -y * LOG(CLIP(p))),                                         \
      -y / CLIP(p),                                                                              \
      -y)                                                                                        \
    X(binary_log_loss, "log_loss", CMLP_FOR_CLASSIFIER | CMLP_RESIDUAL,                          \
      CMLP_logistic, CMLP_UNIT_INTERVAL_TARGETS, "", 0,                                          \
      -(EQUAL(y, NUMBER(0), NUMBER(0), y * LOG(CLIP(p)))                                         \
        + EQUAL(y, NUMBER(1), NUMBER(0), (1 - y) * LOG(1 - CLIP(p)))),                           \
      (CLIP(p) - y) / (CLIP(p) * (1 - CLIP(p))),                                                 \
      p - y)                                                                                     \
    X(absolute_error, "absolute_error", CMLP_FOR_REGRESSOR,                                      \
      CMLP_identity, CMLP_REAL_TARGETS, "", 0,                                                   \
      ABS(p - y),                                                                                \
      LESS(p, y, NUMBER(-1), LESS(y, p, NUMBER(1), p - y)),                                      \
      LESS(p, y, NUMBER(-1), LESS(y, p, NUMBER(1), p - y)))                                      \
    X(huber, "huber", CMLP_FOR_REGRESSOR,                                                        \
      CMLP_identity, CMLP_REAL_TARGETS, "huber_delta", 1.35,                                     \
      MINIMUM(t, ABS(p - y)) * (ABS(p - y) - MINIMUM(t, ABS(p - y)) / 2),                        \
      MAXIMUM(-t, MINIMUM(t, p - y)),                                                            \
      MAXIMUM(-t, MINIMUM(t, p - y)))                                                            \
    X(log_cosh, "log_cosh", CMLP_FOR_REGRESSOR,                                                  \
      CMLP_identity, CMLP_REAL_TARGETS, "", 0,                                                   \
      LOG_COSH(p - y),                                                                           \
      TANH(p - y),                                                                               \
      TANH(p - y))                                                                               \
    X(quantile, "quantile", CMLP_FOR_REGRESSOR,                                                  \
      CMLP_identity, CMLP_REAL_TARGETS, "quantile", 0.5,                                         \
      MAXIMUM((t - 1) * (y - p), t * (y - p)),                                                   \
      LESS(p, y, -t, LESS(y, p, 1 - t, p - y)),                                                  \
      LESS(p, y, -t, LESS(y, p, 1 - t, p - y)))                                                  \
    X(gamma, "gamma", CMLP_FOR_REGRESSOR,                                                        \
      CMLP_exp, CMLP_POSITIVE_TARGETS, "", 0,                                                    \
      POSITIVE(y / p) - 1 - LOG(POSITIVE(y / p)),                                                \
      (1 - POSITIVE(y / p)) / p,                                                                 \
      1 - POSITIVE(y / p))                                                                       \
    X(tweedie, "tweedie", CMLP_FOR_REGRESSOR,                                                    \
      CMLP_exp, CMLP_NON_NEGATIVE_TARGETS, "tweedie_power", 1.5,                                 \
      POWER(y, 2 - t) / ((1 - t) * (2 - t))                                                      \
          + POWER(POSITIVE(p), 1 - t) * (POSITIVE(p) / (2 - t) - y / (1 - t)),                   \
      POWER(POSITIVE(p), -t) * (POSITIVE(p) - y),                                                \
      POWER(POSITIVE(p), 1 - t) * (POSITIVE(p) - y))                                             \
    X(focal, "focal", CMLP_FOR_CLASSIFIER,                                                       \
      CMLP_SOFTMAX, CMLP_UNIT_INTERVAL_TARGETS, "focal_gamma", 2,                                \
      -y * POWER(1 - CLIP(p), t) * LOG(CLIP(p)),                                                 \
      y * POWER(1 - CLIP(p), t) * (t * LOG(CLIP(p)) / (1 - CLIP(p)) - 1 / CLIP(p)),              \
      y * POWER(1 - CLIP(p), t) * (t * CLIP(p) * LOG(CLIP(p)) / (1 - CLIP(p)) - 1))              \
    X(binary_focal, "focal", CMLP_FOR_CLASSIFIER,                                                \
      CMLP_logistic, CMLP_UNIT_INTERVAL_TARGETS, "focal_gamma", 2,                               \
      -(y * POWER(1 - CLIP(p), t) * LOG(CLIP(p))                                                 \
        + (1 - y) * POWER(CLIP(p), t) * LOG(1 - CLIP(p))),                                       \
      y * POWER(1 - CLIP(p), t) * (t * LOG(CLIP(p)) / (1 - CLIP(p)) - 1 / CLIP(p))               \
          - (1 - y) * POWER(CLIP(p), t)                                                          \
                * (t * LOG(1 - CLIP(p)) / CLIP(p) - 1 / (1 - CLIP(p))),                          \
      y * POWER(1 - CLIP(p), t) * (t * CLIP(p) * LOG(CLIP(p)) - (1 - CLIP(p)))                   \
          - (1 - y) * POWER(CLIP(p), t)                                                          \
                * (t * (1 - CLIP(p)) * LOG(1 - CLIP(p)) - CLIP(p)))                              \
    X(brier, "squared_error", CMLP_FOR_CLASSIFIER,                                               \
      CMLP_SOFTMAX, CMLP_UNIT_INTERVAL_TARGETS, "", 0,                                           \
      (p - y) * (p - y) / 2,                                                                     \
      p - y,                                                                                     \
      p * (p - y))                                                                               \
    X(binary_brier, "squared_error", CMLP_FOR_CLASSIFIER,                                        \
      CMLP_logistic, CMLP_UNIT_INTERVAL_TARGETS, "", 0,                                          \
      (p - y) * (p - y),                                                                         \
      2 * (p - y),                                                                               \
      2 * (p - y) * p * (1 - p))
/* clang-format on */

enum cmlp_loss {
#define CMLP_ROW(name, ...) CMLP_##name,
    CMLP_LOSSES(CMLP_ROW)
#undef CMLP_ROW
        CMLP_N_LOSSES
};

typedef struct {
    const char *name, *loss;
    int estimator, residual, mean_over_outputs, canonical_activation, domain;
    const char *parameter;
    double parameter_default;
} cmlp_loss_row;

/* clang-format off */
static const cmlp_loss_row cmlp_loss_table[] = {
#define CMLP_ROW(name, loss, flags, activation, domain, parameter, standard, ...)                \
    {#name, loss, (flags) & (CMLP_FOR_REGRESSOR | CMLP_FOR_CLASSIFIER),                          \
     ((flags) & CMLP_RESIDUAL) != 0, ((flags) & CMLP_MEAN) != 0, activation, domain,             \
     parameter, standard},
    CMLP_LOSSES(CMLP_ROW)
#undef CMLP_ROW
};
/* clang-format on */

#define CMLP_DEFINE_LOSS_WORDS(S)                                                                  \
    /* x^s, for s > 0 also of x = 0 */                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_power_of_##S(cmlp_lanes_##S x, cmlp_lanes_##S s) {             \
        return cmlp_exp_##S(s * cmlp_log_##S(x));                                                  \
    }                                                                                              \
    /* log(cosh(x)): near 0 -log1p(-tanh(x)^2) / 2, log1p(-a) = -a log(1 - a) / ((1 - a) - 1),   \
     * whose quotient hardly depends on how 1 - a was rounded; elsewhere without overflow */ \
    CMLP_INLINE cmlp_lanes_##S cmlp_log_cosh_##S(cmlp_lanes_##S x) {                               \
        cmlp_lanes_##S size = cmlp_abs_##S(x), tanh = cmlp_tanh_##S(x), square = tanh * tanh;      \
        cmlp_lanes_##S rest = 1 - square;                                                          \
        cmlp_lanes_##S near =                                                                      \
            cmlp_if_equal_##S(                                                                     \
                rest, cmlp_splat_##S(1), square, cmlp_log_##S(rest) * square / (rest - 1))         \
            / 2;                                                                                   \
        return cmlp_if_less_##S(                                                                   \
            size, cmlp_splat_##S(0.5), near,                                                       \
            size                                                                                   \
                + (cmlp_log_##S(1 + cmlp_exp_##S(-2 * size))                                       \
                   - cmlp_splat_##S(0.69314718055994530942)));                                     \
    }
CMLP_DEFINE_LOSS_WORDS(f32)
CMLP_DEFINE_LOSS_WORDS(f64)
#define POWER(x, s) CMLP_OF(power_of, DTYPE)(x, s)
#define LOG_COSH(x) CMLP_OF(log_cosh, DTYPE)(x)
#define CLIP(p) MINIMUM(NUMBER(1 - EPSILON), MAXIMUM(NUMBER(EPSILON), p))
#define POSITIVE(x) EQUAL(x, NUMBER(0), NUMBER(SMALLEST), MINIMUM(NUMBER(LARGEST), x))

/* Per dtype: values(y, p, t, out, n) writes L(y_i, p_i, t_i) to out_i, slopes and deltas what
 * their formulas say; t is not read unless the row has a parameter */
#define CMLP_DEFINE_LOSS(name, parameter, S, E, what, formula)                                    \
    static void cmlp_loss_##what##_##name##_##S(                                                  \
        const E *ys, const E *ps, const E *ts, E *out, ptrdiff_t n) {                             \
        (void)ts;                                                                                 \
        CMLP_FOR_LANES(S, n, {                                                                    \
            cmlp_lanes_##S y = cmlp_load_lanes_##S(ys + i, count);                                \
            cmlp_lanes_##S p = cmlp_load_lanes_##S(ps + i, count), t = p;                         \
            if (sizeof(parameter) > 1) t = cmlp_load_lanes_##S(ts + i, count);                    \
            (void)y;                                                                              \
            (void)t;                                                                              \
            cmlp_store_lanes_##S(out + i, formula, count);                                        \
        })                                                                                        \
    }
#define CMLP_DEFINE_ROW(name, parameter, S, E, value, slope, delta)                               \
    CMLP_DEFINE_LOSS(name, parameter, S, E, values, value)                                        \
    CMLP_DEFINE_LOSS(name, parameter, S, E, slopes, slope)                                        \
    CMLP_DEFINE_LOSS(name, parameter, S, E, deltas, delta)

#define DTYPE f32
#define EPSILON FLT_EPSILON
#define SMALLEST FLT_MIN
#define LARGEST FLT_MAX
#define CMLP_ROW(name, loss, flags, activation, domain, parameter, standard, ...)                 \
    CMLP_DEFINE_ROW(name, parameter, f32, float, __VA_ARGS__)
CMLP_LOSSES(CMLP_ROW)
#undef CMLP_ROW
#undef DTYPE
#undef EPSILON
#undef SMALLEST
#undef LARGEST

#define DTYPE f64
#define EPSILON DBL_EPSILON
#define SMALLEST DBL_MIN
#define LARGEST DBL_MAX
#define CMLP_ROW(name, loss, flags, activation, domain, parameter, standard, ...)                 \
    CMLP_DEFINE_ROW(name, parameter, f64, double, __VA_ARGS__)
CMLP_LOSSES(CMLP_ROW)
#undef CMLP_ROW
#undef DTYPE
#undef EPSILON
#undef SMALLEST
#undef LARGEST

#define CMLP_VALUES_f32(name, ...) cmlp_loss_values_##name##_f32,
#define CMLP_VALUES_f64(name, ...) cmlp_loss_values_##name##_f64,
#define CMLP_SLOPES_f32(name, ...) cmlp_loss_slopes_##name##_f32,
#define CMLP_SLOPES_f64(name, ...) cmlp_loss_slopes_##name##_f64,
#define CMLP_DELTAS_f32(name, ...) cmlp_loss_deltas_##name##_f32,
#define CMLP_DELTAS_f64(name, ...) cmlp_loss_deltas_##name##_f64,
#define CMLP_DEFINE_LOSS_TABLES(E, S)                                                             \
    static void (*const cmlp_loss_values_##S[])(                                                  \
        const E *, const E *, const E *, E *, ptrdiff_t) = {CMLP_LOSSES(CMLP_VALUES_##S)};        \
    static void (*const cmlp_loss_slopes_##S[])(                                                  \
        const E *, const E *, const E *, E *, ptrdiff_t) = {CMLP_LOSSES(CMLP_SLOPES_##S)};        \
    static void (*const cmlp_loss_deltas_##S[])(                                                  \
        const E *, const E *, const E *, E *, ptrdiff_t) = {CMLP_LOSSES(CMLP_DELTAS_##S)};
CMLP_DEFINE_LOSS_TABLES(float, f32)
CMLP_DEFINE_LOSS_TABLES(double, f64)

#endif
