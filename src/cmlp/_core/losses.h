/* The table of losses: one row each, of one target y and one prediction p. Ids, names, parameter
 * constraints and tests are made from it. The loops over samples and outputs are in losses.pxd. */
#ifndef CMLP_LOSSES_H
#define CMLP_LOSSES_H

#include <float.h>
#include "activations.h"

#define CMLP_FOR_REGRESSOR 1
#define CMLP_FOR_CLASSIFIER 2
#define CMLP_SOFTMAX CMLP_N_ACTIVATIONS /* id after the elementwise ones */

enum cmlp_domain { CMLP_REAL_TARGETS, CMLP_NON_NEGATIVE_TARGETS, CMLP_UNIT_INTERVAL_TARGETS };

/* name         estimator, canonical output activation (with it dL/dz = p - y), domain of y,
 *              whether scikit-learn reports the mean over outputs instead of the sum,
 * value        L(y, p), up to the constant that makes the best loss 0 where that is customary
 * slope        dL / dp, both of lanes, as in activations.h; CLIP(p) keeps probabilities eps away
 *              from 0 and 1, as scikit-learn does */
#define CMLP_LOSSES(X)                                                                           \
    X(squared_error, CMLP_FOR_REGRESSOR, CMLP_identity, CMLP_REAL_TARGETS, 1,                    \
      (p - y) * (p - y) / 2,                                                                     \
      p - y)                                                                                     \
    X(poisson, CMLP_FOR_REGRESSOR, CMLP_exp, CMLP_NON_NEGATIVE_TARGETS, 0,                       \
      EQUAL(y, NUMBER(0), NUMBER(0), y * LOG(y / p)) - y + p,                                    \
      1 - y / p)                                                                                 \
    X(log_loss, CMLP_FOR_CLASSIFIER, CMLP_SOFTMAX, CMLP_UNIT_INTERVAL_TARGETS, 0,                \
      EQUAL(y, NUMBER(0), NUMBER(0), -y * LOG(CLIP(p))),                                         \
      -y / CLIP(p))                                                                              \
    X(binary_log_loss, CMLP_FOR_CLASSIFIER, CMLP_logistic, CMLP_UNIT_INTERVAL_TARGETS, 0,        \
      -(EQUAL(y, NUMBER(0), NUMBER(0), y * LOG(CLIP(p)))                                         \
        + EQUAL(y, NUMBER(1), NUMBER(0), (1 - y) * LOG(1 - CLIP(p)))),                           \
      (CLIP(p) - y) / (CLIP(p) * (1 - CLIP(p))))

enum cmlp_loss {
#define CMLP_ROW(name, estimator, link, domain, mean, value, slope) CMLP_##name,
    CMLP_LOSSES(CMLP_ROW)
#undef CMLP_ROW
    CMLP_N_LOSSES
};

typedef struct {
    const char *name;
    int estimator, canonical_activation, domain, mean_over_outputs;
} cmlp_loss_row;

static const cmlp_loss_row cmlp_loss_table[] = {
#define CMLP_ROW(name, estimator, link, domain, mean, value, slope) \
    {#name, estimator, link, domain, mean},
    CMLP_LOSSES(CMLP_ROW)
#undef CMLP_ROW
};

/* Per dtype: values(y, p, out, n) writes L(y_i, p_i) to out_i, slopes(y, p, out, n) dL/dp */
#define CMLP_DEFINE_LOSS(name, S, E, what, formula)                                              \
    static void cmlp_loss_##what##_##name##_##S(                                                 \
        const E *ys, const E *ps, E *out, ptrdiff_t n) {                                         \
        CMLP_FOR_LANES(S, n,                                                                     \
            cmlp_lanes_##S y = cmlp_load_lanes_##S(ys + i, count);                               \
            cmlp_lanes_##S p = cmlp_load_lanes_##S(ps + i, count);                               \
            cmlp_store_lanes_##S(out + i, formula, count);                                       \
        )                                                                                        \
    }
#define CLIP(p) MINIMUM(NUMBER(1 - EPSILON), MAXIMUM(NUMBER(EPSILON), p))

#define DTYPE f32
#define EPSILON FLT_EPSILON
#define CMLP_ROW(name, estimator, link, domain, mean, value, slope) \
    CMLP_DEFINE_LOSS(name, f32, float, values, value)               \
    CMLP_DEFINE_LOSS(name, f32, float, slopes, slope)
CMLP_LOSSES(CMLP_ROW)
#undef CMLP_ROW
#undef DTYPE
#undef EPSILON

#define DTYPE f64
#define EPSILON DBL_EPSILON
#define CMLP_ROW(name, estimator, link, domain, mean, value, slope) \
    CMLP_DEFINE_LOSS(name, f64, double, values, value)              \
    CMLP_DEFINE_LOSS(name, f64, double, slopes, slope)
CMLP_LOSSES(CMLP_ROW)
#undef CMLP_ROW
#undef DTYPE
#undef EPSILON

/* log of n values in place */
#define CMLP_DEFINE_LOG_VALUES(S, E)                                                             \
    static void cmlp_log_values_##S(E *values, ptrdiff_t n) {                                    \
        CMLP_FOR_LANES(S, n,                                                                     \
            cmlp_store_lanes_##S(                                                                \
                values + i, cmlp_log_##S(cmlp_load_lanes_##S(values + i, count)), count);        \
        )                                                                                        \
    }
CMLP_DEFINE_LOG_VALUES(f32, float)
CMLP_DEFINE_LOG_VALUES(f64, double)

#define CMLP_VALUES_f32(name, ...) cmlp_loss_values_##name##_f32,
#define CMLP_VALUES_f64(name, ...) cmlp_loss_values_##name##_f64,
#define CMLP_SLOPES_f32(name, ...) cmlp_loss_slopes_##name##_f32,
#define CMLP_SLOPES_f64(name, ...) cmlp_loss_slopes_##name##_f64,
#define CMLP_DEFINE_LOSS_TABLES(E, S)                                                            \
    static void (*const cmlp_loss_values_##S[])(const E *, const E *, E *, ptrdiff_t) = {        \
        CMLP_LOSSES(CMLP_VALUES_##S)};                                                           \
    static void (*const cmlp_loss_slopes_##S[])(const E *, const E *, E *, ptrdiff_t) = {        \
        CMLP_LOSSES(CMLP_SLOPES_##S)};
CMLP_DEFINE_LOSS_TABLES(float, f32)
CMLP_DEFINE_LOSS_TABLES(double, f64)

#endif
