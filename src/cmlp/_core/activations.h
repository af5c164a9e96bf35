/* The table of activations: one row each, and everything else (ids, names, kernels, parameter
 * constraints, documentation, tests) is made from it. Softmax, which couples the units of a
 * row, is in losses.pxd. */
#ifndef CMLP_ACTIVATIONS_H
#define CMLP_ACTIVATIONS_H

#include <stddef.h>
#include "vecmath.h"

#define CMLP_ON_HIDDEN 1
#define CMLP_ON_OUTPUT 2

/* Formulas are of lanes (lanes.h), several elements at once: + - * /, LESS(a, b, x, y) for
 * a < b ? x : y, EQUAL, MAXIMUM, MINIMUM, ABS, EXP, TANH, LOGISTIC, LOG. A constant beside an
 * operator is written (T)0.1, or as it is if T holds it exactly; as an argument NUMBER(0.1).
 *
 * name        where it may stand, derivative needs z, init factor f (weights are drawn from
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
      MAXIMUM(NUMBER(0), z),                                                                      \
      EQUAL(a, NUMBER(0), NUMBER(0), d))                                                          \
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

/* Those cheap enough to be applied to the registers of a product's tile, before it is stored. The
 * derivative of none of them needs z. */
#ifdef CMLP_VECTOR_EXTENSIONS
#define CMLP_IN_TILES(X, S) X(relu, S)
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

/* Per dtype: the formulas of lanes; activate(a, n) replaces n values z by f(z);
 * activation_backward(z, a, d, n) multiplies d by f'. z is NULL unless the row needs it. */
#define CMLP_DEFINE_LOOPS(name, needs_z, E, S, value, delta)                                      \
    CMLP_INLINE cmlp_lanes_##S cmlp_value_##name##_##S(cmlp_lanes_##S z) { return value; }        \
    CMLP_INLINE cmlp_lanes_##S cmlp_delta_##name##_##S(                                           \
        cmlp_lanes_##S z, cmlp_lanes_##S a, cmlp_lanes_##S d) {                                   \
        (void)z;                                                                                  \
        (void)a;                                                                                  \
        return delta;                                                                             \
    }                                                                                             \
    static void cmlp_activate_##name##_##S(E *values, ptrdiff_t n) {                              \
        CMLP_FOR_LANES(S, n,                                                                      \
            cmlp_lanes_##S z = cmlp_load_lanes_##S(values + i, count);                            \
            cmlp_store_lanes_##S(values + i, cmlp_value_##name##_##S(z), count);                  \
        )                                                                                         \
    }                                                                                             \
    static void cmlp_backward_##name##_##S(const E *zs, const E *as, E *ds, ptrdiff_t n) {        \
        (void)zs;                                                                                 \
        CMLP_FOR_LANES(S, n,                                                                      \
            cmlp_lanes_##S a = cmlp_load_lanes_##S(as + i, count), z = a;                         \
            cmlp_lanes_##S d = cmlp_load_lanes_##S(ds + i, count);                                \
            if (needs_z)                                                                          \
                z = cmlp_load_lanes_##S(zs + i, count);                                           \
            cmlp_store_lanes_##S(ds + i, cmlp_delta_##name##_##S(z, a, d), count);                \
        )                                                                                         \
    }


#define T float
#define DTYPE f32
#define CMLP_ROW(name, where, needs_z, factor, formula, value, delta) \
    CMLP_DEFINE_LOOPS(name, needs_z, float, f32, value, delta)
CMLP_ACTIVATIONS(CMLP_ROW)
#undef CMLP_ROW
#undef T
#undef DTYPE

#define T double
#define DTYPE f64
#define CMLP_ROW(name, where, needs_z, factor, formula, value, delta) \
    CMLP_DEFINE_LOOPS(name, needs_z, double, f64, value, delta)
CMLP_ACTIVATIONS(CMLP_ROW)
#undef CMLP_ROW
#undef T
#undef DTYPE

#define CMLP_DEFINE_TABLES(E, S)                                                                  \
    static void (*const cmlp_activate_##S[])(E *, ptrdiff_t) = {                                  \
        CMLP_ACTIVATIONS(CMLP_ACTIVATE_##S)};                                                     \
    static void (*const cmlp_activation_backward_##S[])(const E *, const E *, E *, ptrdiff_t) = { \
        CMLP_ACTIVATIONS(CMLP_BACKWARD_##S)};
#define CMLP_ACTIVATE_f32(name, ...) cmlp_activate_##name##_f32,
#define CMLP_ACTIVATE_f64(name, ...) cmlp_activate_##name##_f64,
#define CMLP_BACKWARD_f32(name, ...) cmlp_backward_##name##_f32,
#define CMLP_BACKWARD_f64(name, ...) cmlp_backward_##name##_f64,
CMLP_DEFINE_TABLES(float, f32)
CMLP_DEFINE_TABLES(double, f64)

#endif
