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
 * slope        dL / dp */
#define CMLP_LOSSES(X)                                                                           \
    X(squared_error, CMLP_FOR_REGRESSOR, CMLP_identity, CMLP_REAL_TARGETS, 1,                    \
      (p - y) * (p - y) / 2,                                                                     \
      p - y)                                                                                     \
    X(poisson, CMLP_FOR_REGRESSOR, CMLP_exp, CMLP_NON_NEGATIVE_TARGETS, 0,                       \
      (y == 0 ? 0 : y * LOG(y / p)) - y + p,                                                     \
      1 - y / p)                                                                                 \
    X(log_loss, CMLP_FOR_CLASSIFIER, CMLP_SOFTMAX, CMLP_UNIT_INTERVAL_TARGETS, 0,                \
      y == 0 ? 0 : -y * LOG(CLIP(p)),                                                            \
      -y / CLIP(p))                                                                              \
    X(binary_log_loss, CMLP_FOR_CLASSIFIER, CMLP_logistic, CMLP_UNIT_INTERVAL_TARGETS, 0,        \
      -((y == 0 ? 0 : y * LOG(CLIP(p))) + (y == 1 ? 0 : (1 - y) * LOG(1 - CLIP(p)))),            \
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

/* Per dtype: the value and the slope of the loss with the given id at one (y, p) */
#define CMLP_VALUE_CASE(name, estimator, link, domain, mean, value, slope) \
    case CMLP_##name: return (value);
#define CMLP_SLOPE_CASE(name, estimator, link, domain, mean, value, slope) \
    case CMLP_##name: return (slope);
#define CMLP_DEFINE_LOSS(T, S)                                                       \
    CMLP_INLINE T cmlp_loss_value_##S(int loss, T y, T p) {                          \
        switch (loss) { CMLP_LOSSES(CMLP_VALUE_CASE) default: return 0; }            \
    }                                                                                \
    CMLP_INLINE T cmlp_loss_slope_##S(int loss, T y, T p) {                          \
        switch (loss) { CMLP_LOSSES(CMLP_SLOPE_CASE) default: return 0; }            \
    }

/* probabilities are kept eps away from 0 and 1, as scikit-learn does; NaN passes */
#define LOG logf
#define CLIP(p) ((p) < FLT_EPSILON ? FLT_EPSILON : (p) > 1 - FLT_EPSILON ? 1 - FLT_EPSILON : (p))
CMLP_DEFINE_LOSS(float, f32)
#undef LOG
#undef CLIP
#define LOG log
#define CLIP(p) ((p) < DBL_EPSILON ? DBL_EPSILON : (p) > 1 - DBL_EPSILON ? 1 - DBL_EPSILON : (p))
CMLP_DEFINE_LOSS(double, f64)
#undef LOG
#undef CLIP

#endif
