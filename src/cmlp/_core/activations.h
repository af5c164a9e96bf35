/* The table of activations: one row each, and everything else (ids, names, kernels, parameter
 * constraints, documentation, tests) is made from it. Softmax, which couples the units of a
 * row, is in losses.pxd. */
#ifndef CMLP_ACTIVATIONS_H
#define CMLP_ACTIVATIONS_H

#include <stddef.h>
#include "vecmath.h"

#define CMLP_ON_HIDDEN 1
#define CMLP_ON_OUTPUT 2

/* name        where it may stand, derivative needs z, init factor f (weights are drawn from
 *             +-sqrt(f / (fan_in + fan_out)): 6 Glorot & Bengio 2010, 2 for the logistic), formula,
 * value       f(z)
 * delta       d * f'(z), from the output a (and from the input z where the row asks for it) */
#define CMLP_ACTIVATIONS(X)                                                                       \
    X(identity, CMLP_ON_HIDDEN | CMLP_ON_OUTPUT, 0, 6, "z",                                       \
      z,                                                                                          \
      d)                                                                                          \
    X(logistic, CMLP_ON_HIDDEN | CMLP_ON_OUTPUT, 0, 2, "1 / (1 + exp(-z))",                       \
      LOGISTIC(z),                                                                                \
      d * a * (1 - a))                                                                            \
    X(tanh, CMLP_ON_HIDDEN | CMLP_ON_OUTPUT, 0, 6, "tanh(z)",                                     \
      TANH(z),                                                                                    \
      d * (1 - a * a))                                                                            \
    X(relu, CMLP_ON_HIDDEN | CMLP_ON_OUTPUT, 0, 6, "max(0, z)",                                   \
      z < 0 ? 0 : z,                                                                              \
      a == 0 ? 0 : d)                                                                             \
    X(exp, CMLP_ON_OUTPUT, 0, 6, "exp(z)",                                                        \
      EXP(z),                                                                                     \
      d * a)

enum cmlp_activation {
#define CMLP_ROW(name, where, needs_z, factor, formula, value, delta) CMLP_##name,
    CMLP_ACTIVATIONS(CMLP_ROW)
#undef CMLP_ROW
    CMLP_N_ACTIVATIONS
};

typedef struct {
    const char *name, *formula;
    int where, needs_z;
    double init_factor;
} cmlp_activation_row;

static const cmlp_activation_row cmlp_activation_table[] = {
#define CMLP_ROW(name, where, needs_z, factor, formula, value, delta) \
    {#name, formula, where, needs_z, factor},
    CMLP_ACTIVATIONS(CMLP_ROW)
#undef CMLP_ROW
};

/* Per dtype: activate(a, n) replaces n values z by f(z); activation_backward(z, a, d, n)
 * multiplies d by f'. z is NULL unless the row needs it. */
#define CMLP_DEFINE_LOOPS(name, needs_z, T, S, value, delta)                                              \
    static void cmlp_activate_##name##_##S(T *values, ptrdiff_t n) {                              \
        for (ptrdiff_t i = 0; i < n; i++) { T z = values[i]; values[i] = (value); }               \
    }                                                                                             \
    static void cmlp_backward_##name##_##S(const T *zs, const T *as, T *ds, ptrdiff_t n) {        \
        (void)zs;                                                                                 \
        for (ptrdiff_t i = 0; i < n; i++) {                                                       \
            T z = needs_z ? zs[i] : 0, a = as[i], d = ds[i];                                      \
            (void)z, (void)a;                                                                     \
            ds[i] = (delta);                                                                      \
        }                                                                                         \
    }

#define LOGISTIC cmlp_logistic_f32
#define TANH cmlp_tanh_f32
#define EXP cmlp_exp_f32
#define CMLP_ROW(name, where, needs_z, factor, formula, value, delta) \
    CMLP_DEFINE_LOOPS(name, needs_z, float, f32, value, delta)
CMLP_ACTIVATIONS(CMLP_ROW)
#undef CMLP_ROW
#undef LOGISTIC
#undef TANH
#undef EXP

#define LOGISTIC cmlp_logistic_f64
#define TANH cmlp_tanh_f64
#define EXP cmlp_exp_f64
#define CMLP_ROW(name, where, needs_z, factor, formula, value, delta) \
    CMLP_DEFINE_LOOPS(name, needs_z, double, f64, value, delta)
CMLP_ACTIVATIONS(CMLP_ROW)
#undef CMLP_ROW
#undef LOGISTIC
#undef TANH
#undef EXP

#define CMLP_DEFINE_TABLES(T, S)                                                                  \
    static void (*const cmlp_activate_##S[])(T *, ptrdiff_t) = {                                  \
        CMLP_ACTIVATIONS(CMLP_ACTIVATE_##S)};                                                     \
    static void (*const cmlp_activation_backward_##S[])(const T *, const T *, T *, ptrdiff_t) = { \
        CMLP_ACTIVATIONS(CMLP_BACKWARD_##S)};
#define CMLP_ACTIVATE_f32(name, ...) cmlp_activate_##name##_f32,
#define CMLP_ACTIVATE_f64(name, ...) cmlp_activate_##name##_f64,
#define CMLP_BACKWARD_f32(name, ...) cmlp_backward_##name##_f32,
#define CMLP_BACKWARD_f64(name, ...) cmlp_backward_##name##_f64,
CMLP_DEFINE_TABLES(float, f32)
CMLP_DEFINE_TABLES(double, f64)

#endif
