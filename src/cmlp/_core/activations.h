/* The table of activations: one row each, and everything else (ids, names, kernels, parameter
 * constraints, initial weights, tests, benchmarks) is made from it. Softmax, which couples the
 * units of a row, is in losses.pxd. */
#ifndef CMLP_ACTIVATIONS_H
#define CMLP_ACTIVATIONS_H

#include <stddef.h>
#include "special.h"

#define CMLP_ON_HIDDEN 1
#define CMLP_ON_OUTPUT 2
#define CMLP_FAN_IN 1
#define CMLP_FAN_BOTH 0

/* Formulas are of lanes (lanes.h), several elements at once: + - * /, LESS(a, b, x, y) for
 * a < b ? x : y, EQUAL, MAXIMUM and MINIMUM (NaN passes as the second argument), ABS, EXP, TANH,
 * LOGISTIC, LOG, and those of special.h. A constant beside an operator is written (T)0.1, or as it
 * is if T holds it exactly; as an argument NUMBER(0.1).
 *
 * name        where it may stand,
 *             OUTPUT if the derivative is computed from the output a when it is wanted, or SLOPE
 *             if it is computed together with the value, from z, and kept,
 *             fan and factor f of the initial weights, drawn from +-sqrt(f / fan): with FAN_BOTH,
 *             fan_in + fan_out, 6 (Glorot & Bengio 2010), or 2 for the logistic, as scikit-learn;
 *             with FAN_IN, 3 / E[f(z)^2] for a standard normal z, so that the mean square of a
 *             layer is that of the one before (He et al. 2015; selu: Klambauer et al. 2017),
 *             formula
 * shared      what value and derivative have in common: p, q = ..., or NOTHING
 * value       f(z)
 * derivative  OUTPUT: d * f'(z), from a and d; SLOPE: f'(z), from z */
/* clang-format off */
#define CMLP_ACTIVATIONS(X)                                                                       \
    X(identity, CMLP_ON_HIDDEN | CMLP_ON_OUTPUT, OUTPUT, CMLP_FAN_BOTH, 6,                        \
      "z",                                                                                        \
      NOTHING,                                                                                    \
      z,                                                                                          \
      d)                                                                                          \
    X(logistic, CMLP_ON_HIDDEN | CMLP_ON_OUTPUT, OUTPUT, CMLP_FAN_BOTH, 2,                        \
      "1 / (1 + exp(-z))",                                                                        \
      NOTHING,                                                                                    \
      LOGISTIC(z),                                                                                \
      d * a * (1 - a))                                                                            \
    X(tanh, CMLP_ON_HIDDEN | CMLP_ON_OUTPUT, OUTPUT, CMLP_FAN_BOTH, 6,                            \
      "tanh(z)",                                                                                  \
      NOTHING,                                                                                    \
      TANH(z),                                                                                    \
      d * (1 - a * a))                                                                            \
    X(relu, CMLP_ON_HIDDEN | CMLP_ON_OUTPUT, OUTPUT, CMLP_FAN_BOTH, 6,                            \
      "max(0, z)",                                                                                \
      NOTHING,                                                                                    \
      MAXIMUM(NUMBER(0), z),                                                                      \
      EQUAL(a, NUMBER(0), NUMBER(0), d))                                                          \
    X(exp, CMLP_ON_OUTPUT, OUTPUT, CMLP_FAN_BOTH, 6,                                              \
      "exp(z)",                                                                                   \
      NOTHING,                                                                                    \
      EXP(z),                                                                                     \
      d * a)                                                                                      \
    X(leaky_relu, CMLP_ON_HIDDEN, OUTPUT, CMLP_FAN_IN, 6 / 1.0001,                                \
      "max(z / 100, z)",                                                                          \
      NOTHING,                                                                                    \
      LESS(z, NUMBER(0), z * (T)0.01, z),                                                         \
      LESS(NUMBER(0), a, d, d * (T)0.01))                                                         \
    X(elu, CMLP_ON_HIDDEN, SLOPE, CMLP_FAN_IN, 4.6515564,                                         \
      "max(0, z) + expm1(min(0, z))",                                                             \
      p = EXPM1(MINIMUM(NUMBER(0), z), &q),                                                       \
      LESS(z, NUMBER(0), p, z),                                                                   \
      q)                                                                                          \
    X(selu, CMLP_ON_HIDDEN, SLOPE, CMLP_FAN_IN, 3,                                                \
      "1.0507009873554805 * max(0, z) + 1.7580993408473769 * expm1(min(0, z))",                   \
      p = EXPM1(MINIMUM(NUMBER(0), z), &q),                                                       \
      LESS(z, NUMBER(0), p * (T)1.7580993408473769, z * (T)1.0507009873554805),                   \
      LESS(NUMBER(0), z, NUMBER((T)1.0507009873554805), q * (T)1.7580993408473769))               \
    X(gelu, CMLP_ON_HIDDEN, SLOPE, CMLP_FAN_IN, 7.0551468,                                        \
      "z * erfc(-z / sqrt(2)) / 2",                                                               \
      p = WEIGHTED_TAIL(z, &q),                                                                   \
      MAXIMUM(NUMBER(0), z) - p,                                                                  \
      LESS(z, NUMBER(0), q, 1 - q))                                                               \
    X(silu, CMLP_ON_HIDDEN, SLOPE, CMLP_FAN_IN, 8.4322834,                                        \
      "z / (1 + exp(-z))",                                                                        \
      (p = LOGISTIC(-ABS(z)), q = LESS(z, NUMBER(0), p, 1 - p)),                                  \
      MAXIMUM(NUMBER(-1000), z) * q,                                                              \
      q + p * (1 - p) * MINIMUM(NUMBER(1000), MAXIMUM(NUMBER(-1000), z)))                         \
    X(mish, CMLP_ON_HIDDEN, SLOPE, CMLP_FAN_IN, 6.6321472,                                        \
      "z * tanh(log1p(exp(z)))",                                                                  \
      (p = EXP(-ABS(z)), q = LESS(z, NUMBER(0), p * (p + 2), 1 + 2 * p)),                         \
      MAXIMUM(NUMBER(-1000), z) * q / MISH_DIVISOR,                                               \
      (q + 4 * p * LESS(z, NUMBER(0), NUMBER(1), p) * (1 + p)                                     \
           * MINIMUM(NUMBER(1000), MAXIMUM(NUMBER(-1000), z)) / MISH_DIVISOR) / MISH_DIVISOR)     \
    X(softplus, CMLP_ON_HIDDEN, SLOPE, CMLP_FAN_IN, 3.2564595,                                    \
      "log1p(exp(z))",                                                                            \
      p = EXP(-ABS(z)),                                                                           \
      MAXIMUM(NUMBER(0), z) + LOG1P(p),                                                           \
      LESS(z, NUMBER(0), p, NUMBER(1)) / (1 + p))                                                 \
    X(hard_swish, CMLP_ON_HIDDEN, SLOPE, CMLP_FAN_IN, 9.0479348,                                  \
      "z * min(max(z + 3, 0), 6) / 6",                                                            \
      NOTHING,                                                                                    \
      LESS(z, NUMBER(-3), NUMBER(0), LESS(z, NUMBER(3), z * (z + 3) * (T)(1 / 6.), z)),           \
      LESS(z, NUMBER(-3), NUMBER(0), LESS(NUMBER(3), z, NUMBER(1), z * (T)(1 / 3.) + (T)0.5)))
/* clang-format on */

/* tanh(log(1 + exp(z))) = q / MISH_DIVISOR, with p = exp(-|z|) */
#define MISH_DIVISOR (q + 2 * LESS(z, NUMBER(0), NUMBER(1), p * p))
#define NOTHING ((void)0)

enum cmlp_activation {
#define CMLP_ROW(name, ...) CMLP_##name,
    CMLP_ACTIVATIONS(CMLP_ROW)
#undef CMLP_ROW
        CMLP_N_ACTIVATIONS
};

typedef struct {
    const char *name, *formula;
    int where, keeps_slope, fan_in_only;
    double init_factor;
} cmlp_activation_row;

#define CMLP_KEEPS_OUTPUT 0
#define CMLP_KEEPS_SLOPE 1
/* clang-format off */
static const cmlp_activation_row cmlp_activation_table[] = {
#define CMLP_ROW(name, where, from, fan, factor, formula, shared, value, derivative) \
    {#name, formula, where, CMLP_KEEPS_##from, fan, factor},
    CMLP_ACTIVATIONS(CMLP_ROW)
#undef CMLP_ROW
};
/* clang-format on */

/* What may be applied to the registers of a product's tile before it is stored: activations cheap
 * enough, whose derivative comes from the output; and a product with the slopes that were kept. */
#define CMLP_slope (-2)
#ifdef CMLP_VECTOR_EXTENSIONS
#define CMLP_IN_TILES(X, S) X(relu, S) X(slope, S)
#else
#define CMLP_IN_TILES(X, S)
#endif
#define CMLP_CASE(name, S) case CMLP_##name:
CMLP_INLINE int cmlp_is_in_tiles(int activation) {
    switch (activation) {
        CMLP_IN_TILES(CMLP_CASE, ) return 1;
        default: return 0;
    }
}
#undef CMLP_CASE

/* Per dtype: the formulas of lanes; activate(v, n) replaces n values z by f(z);
 * activate_with_slope(v, s, n) writes f'(z) too; backward(a, s, d, n) multiplies d by f', from a
 * or, where the row keeps it, from s. */
#define CMLP_DEFINE_SLOPE(S)                                                                      \
    CMLP_INLINE cmlp_lanes_##S cmlp_value_slope_##S(cmlp_lanes_##S z) { return z; }               \
    CMLP_INLINE cmlp_lanes_##S cmlp_delta_slope_##S(cmlp_lanes_##S s, cmlp_lanes_##S d) {         \
        return d * s;                                                                             \
    }
CMLP_DEFINE_SLOPE(f32)
CMLP_DEFINE_SLOPE(f64)

#define CMLP_DEFINE_VALUE(name, E, S, shared, value)                                              \
    CMLP_INLINE cmlp_lanes_##S cmlp_value_##name##_##S(cmlp_lanes_##S z) {                        \
        cmlp_lanes_##S p = z, q = z;                                                              \
        shared;                                                                                   \
        (void)p, (void)q;                                                                         \
        return value;                                                                             \
    }                                                                                             \
    static void cmlp_activate_##name##_##S(E *values, ptrdiff_t n) {                              \
        CMLP_FOR_LANES(S, n, {                                                                    \
            cmlp_lanes_##S z = cmlp_load_lanes_##S(values + i, count);                            \
            cmlp_store_lanes_##S(values + i, cmlp_value_##name##_##S(z), count);                  \
        })                                                                                        \
    }
#define CMLP_DEFINE_FROM_OUTPUT(name, E, S, shared, value, derivative)                            \
    CMLP_INLINE cmlp_lanes_##S cmlp_delta_##name##_##S(cmlp_lanes_##S a, cmlp_lanes_##S d) {      \
        (void)a;                                                                                  \
        return derivative;                                                                        \
    }                                                                                             \
    static void cmlp_activate_with_slope_##name##_##S(E *values, E *slopes, ptrdiff_t n) {        \
        CMLP_FOR_LANES(S, n, {                                                                    \
            cmlp_lanes_##S a = cmlp_value_##name##_##S(cmlp_load_lanes_##S(values + i, count));   \
            cmlp_store_lanes_##S(values + i, a, count);                                           \
            cmlp_lanes_##S s = cmlp_delta_##name##_##S(a, cmlp_splat_##S(1));                     \
            cmlp_store_lanes_##S(slopes + i, s, count);                                           \
        })                                                                                        \
    }                                                                                             \
    static void cmlp_backward_##name##_##S(const E *as, const E *slopes, E *ds, ptrdiff_t n) {    \
        (void)slopes;                                                                             \
        CMLP_FOR_LANES(S, n, {                                                                    \
            cmlp_lanes_##S a = cmlp_load_lanes_##S(as + i, count);                                \
            cmlp_lanes_##S d = cmlp_load_lanes_##S(ds + i, count);                                \
            cmlp_store_lanes_##S(ds + i, cmlp_delta_##name##_##S(a, d), count);                   \
        })                                                                                        \
    }
/* Both are computed before a store: compilers fuse a product and a sum only where no branch is in
 * between, and the last lanes, whose stores branch, are to have the bits of the others. */
#define CMLP_DEFINE_FROM_SLOPE(name, E, S, shared, value, derivative)                             \
    static void cmlp_activate_with_slope_##name##_##S(E *values, E *slopes, ptrdiff_t n) {        \
        CMLP_FOR_LANES(S, n, {                                                                    \
            cmlp_lanes_##S z = cmlp_load_lanes_##S(values + i, count), p = z, q = z;              \
            shared;                                                                               \
            (void)p, (void)q;                                                                     \
            cmlp_lanes_##S v = value, s = derivative;                                             \
            cmlp_store_lanes_##S(slopes + i, s, count);                                           \
            cmlp_store_lanes_##S(values + i, v, count);                                           \
        })                                                                                        \
    }                                                                                             \
    static void cmlp_backward_##name##_##S(const E *as, const E *slopes, E *ds, ptrdiff_t n) {    \
        (void)as;                                                                                 \
        CMLP_FOR_LANES(S, n, {                                                                    \
            cmlp_lanes_##S s = cmlp_load_lanes_##S(slopes + i, count);                            \
            cmlp_lanes_##S d = cmlp_load_lanes_##S(ds + i, count);                                \
            cmlp_store_lanes_##S(ds + i, cmlp_delta_slope_##S(s, d), count);                      \
        })                                                                                        \
    }

#define T float
#define DTYPE f32
#define CMLP_ROW(name, where, from, fan, factor, formula, shared, value, derivative)              \
    CMLP_DEFINE_VALUE(name, float, f32, shared, value)                                            \
    CMLP_DEFINE_FROM_##from(name, float, f32, shared, value, derivative)
CMLP_ACTIVATIONS(CMLP_ROW)
#undef CMLP_ROW
#undef T
#undef DTYPE

#define T double
#define DTYPE f64
#define CMLP_ROW(name, where, from, fan, factor, formula, shared, value, derivative)              \
    CMLP_DEFINE_VALUE(name, double, f64, shared, value)                                           \
    CMLP_DEFINE_FROM_##from(name, double, f64, shared, value, derivative)
CMLP_ACTIVATIONS(CMLP_ROW)
#undef CMLP_ROW
#undef T
#undef DTYPE

#define CMLP_DEFINE_TABLES(E, S)                                                                  \
    static void (*const cmlp_activate_##S[])(E *, ptrdiff_t) = {                                  \
        CMLP_ACTIVATIONS(CMLP_ACTIVATE_##S)};                                                     \
    static void (*const cmlp_activate_with_slope_##S[])(E *, E *, ptrdiff_t) = {                  \
        CMLP_ACTIVATIONS(CMLP_WITH_SLOPE_##S)};                                                   \
    static void (*const cmlp_activation_backward_##S[])(const E *, const E *, E *, ptrdiff_t) = { \
        CMLP_ACTIVATIONS(CMLP_BACKWARD_##S)};
#define CMLP_ACTIVATE_f32(name, ...) cmlp_activate_##name##_f32,
#define CMLP_ACTIVATE_f64(name, ...) cmlp_activate_##name##_f64,
#define CMLP_WITH_SLOPE_f32(name, ...) cmlp_activate_with_slope_##name##_f32,
#define CMLP_WITH_SLOPE_f64(name, ...) cmlp_activate_with_slope_##name##_f64,
#define CMLP_BACKWARD_f32(name, ...) cmlp_backward_##name##_f32,
#define CMLP_BACKWARD_f64(name, ...) cmlp_backward_##name##_f64,
CMLP_DEFINE_TABLES(float, f32)
CMLP_DEFINE_TABLES(double, f64)

#endif
