/* One row of weights at a time, read and written once per sample: the rank-1 gradient, the
 * optimizer's update, and a product with the same weights, in vector registers. What Cython
 * cannot say; layers, samples and the choice between these kernels are in online.pxd.
 *
 * A layer is `rows` rows of n weights, ld apart, and as many of each vector of optimizer state.
 * The gradient of row r is x_r d + alpha w. In the same pass, what goes to or comes from another
 * layer:
 *   CMLP_PRODUCT_NEW  product += y_r (updated row r)    the next sample's forward pass
 *   CMLP_PRODUCT_OLD  product += y_r (old row r)        the delta of the layer below, transposed
 *   CMLP_DOTS_OLD     product[r] = (old row r) . d      the delta of the layer below
 * d and product (n entries) are read in whole vectors, so they are padded; w need not be. */
#ifndef CMLP_ONLINE_H
#define CMLP_ONLINE_H

#include "tile.h"

enum { CMLP_PRODUCT_NEW, CMLP_PRODUCT_OLD, CMLP_DOTS_OLD };

/* update rules, and where their constants stand in the vector `rule` */
enum { CMLP_MOMENTUM, CMLP_NESTEROV, CMLP_ADAM };
enum { CMLP_SCALE, CMLP_DECAY, /* of x d and of w: the gradient, for sgd times -learning rate */
       CMLP_MU,
       CMLP_BETA_1 = CMLP_MU, CMLP_REST_1, CMLP_BETA_2, CMLP_REST_2, CMLP_EPSILON, CMLP_STEP,
       CMLP_RULE_SIZE };

#if CMLP_MASKED
CMLP_INLINE cmlp_vec_f32 cmlp_sqrt_f32(cmlp_vec_f32 v) {
    return (cmlp_vec_f32)_mm512_sqrt_ps((__m512)v);
}
CMLP_INLINE cmlp_vec_f64 cmlp_sqrt_f64(cmlp_vec_f64 v) {
    return (cmlp_vec_f64)_mm512_sqrt_pd((__m512d)v);
}
#else
#define CMLP_DEFINE_LANEWISE(T, S, SQRT)                                                          \
    CMLP_INLINE cmlp_vec_##S cmlp_sqrt_##S(cmlp_vec_##S v) {                                      \
        T lanes[CMLP_VECTOR_BYTES / sizeof(T)];                                                   \
        cmlp_store_##S(lanes, v);                                                                 \
        for (int i = 0; i < (int)(CMLP_VECTOR_BYTES / sizeof(T)); i++)                            \
            lanes[i] = SQRT(lanes[i]);                                                            \
        return cmlp_load_##S(lanes);                                                              \
    }
CMLP_DEFINE_LANEWISE(float, f32, sqrtf)
CMLP_DEFINE_LANEWISE(double, f64, sqrt)
#endif

/* CMLP_DEFINE_ONLINE(type, suffix). count rows (a constant) are updated together, so that d and
 * product are loaded once for all of them; the last `last` < LANES entries are masked. */
#define CMLP_DEFINE_ONLINE(T, S)                                                                  \
    /* one vector of one row; returns the updated weights */                                      \
    CMLP_INLINE cmlp_vec_##S cmlp_update_vector_##S(                                              \
        const int how, const int penalised, const int lanes, cmlp_vec_##S old, T *s0, T *s1,      \
        cmlp_vec_##S x, cmlp_vec_##S d, const cmlp_vec_##S *c) {                                  \
        cmlp_vec_##S g = cmlp_mul_##S(x, d), m, v;                                                \
        if (penalised) g = cmlp_madd_##S(c[CMLP_DECAY], old, g);                                  \
        if (how != CMLP_ADAM) {                                                                   \
            v = cmlp_madd_##S(c[CMLP_MU], cmlp_get_##S(s0, lanes), g);                            \
            cmlp_put_##S(s0, v, lanes);                                                           \
            return how == CMLP_NESTEROV ? cmlp_madd_##S(c[CMLP_MU], v, cmlp_add_##S(old, g))      \
                                        : cmlp_add_##S(old, v);                                   \
        }                                                                                         \
        m = cmlp_madd_##S(c[CMLP_BETA_1], cmlp_get_##S(s0, lanes),                                \
                          cmlp_mul_##S(c[CMLP_REST_1], g));                                       \
        v = cmlp_madd_##S(c[CMLP_BETA_2], cmlp_get_##S(s1, lanes),                                \
                          cmlp_mul_##S(c[CMLP_REST_2], cmlp_mul_##S(g, g)));                      \
        cmlp_put_##S(s0, m, lanes);                                                               \
        cmlp_put_##S(s1, v, lanes);                                                               \
        return cmlp_add_##S(old, cmlp_div_##S(cmlp_mul_##S(c[CMLP_STEP], m),                      \
                                              cmlp_add_##S(cmlp_sqrt_##S(v), c[CMLP_EPSILON])));  \
    }                                                                                             \
    /* one vector of `count` rows */                                                              \
    CMLP_INLINE void cmlp_update_column_##S(                                                      \
        const int how, const int what, const int penalised, const int count, const int lanes,     \
        ptrdiff_t ld, T *w, T *s0, T *s1, const cmlp_vec_##S *x, const cmlp_vec_##S *y,           \
        const T *d_at, T *product, cmlp_vec_##S *dots, cmlp_vec_##S *squares,                     \
        const cmlp_vec_##S *c) {                                                                  \
        const cmlp_vec_##S d = cmlp_load_##S(d_at);                                               \
        cmlp_vec_##S sum = what == CMLP_DOTS_OLD ? d : cmlp_load_##S(product);                    \
        CMLP_UNROLL for (int r = 0; r < count; r++) {                                             \
            cmlp_vec_##S old = cmlp_get_##S(w + r * ld, lanes), new_;                             \
            if (penalised) *squares = cmlp_madd_##S(old, old, *squares);                          \
            if (what == CMLP_PRODUCT_OLD) sum = cmlp_madd_##S(y[r], old, sum);                    \
            if (what == CMLP_DOTS_OLD) dots[r] = cmlp_madd_##S(old, d, dots[r]);                  \
            new_ = cmlp_update_vector_##S(how, penalised, lanes, old, s0 + r * ld, s1 + r * ld,   \
                                          x[r], d, c);                                            \
            cmlp_put_##S(w + r * ld, new_, lanes);                                                \
            if (what == CMLP_PRODUCT_NEW) sum = cmlp_madd_##S(y[r], new_, sum);                   \
        }                                                                                         \
        if (what != CMLP_DOTS_OLD) cmlp_store_##S(product, sum);                                  \
    }                                                                                             \
    CMLP_INLINE void cmlp_update_some_##S(                                                        \
        const int how, const int what, const int penalised, const int count, ptrdiff_t n,         \
        ptrdiff_t ld, T *w, T *s0, T *s1, const T *x, ptrdiff_t x_step, const T *d, const T *y,   \
        ptrdiff_t y_step, T *product, cmlp_vec_##S *squares, const cmlp_vec_##S *c) {             \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        cmlp_vec_##S xs[4], ys[4], dots[4];                                                       \
        ptrdiff_t j = 0;                                                                          \
        CMLP_UNROLL for (int r = 0; r < count; r++) {                                             \
            xs[r] = cmlp_mul_##S(c[CMLP_SCALE], cmlp_spread_##S(x[r * x_step]));                  \
            if (what != CMLP_DOTS_OLD) ys[r] = cmlp_spread_##S(y[r * y_step]);                    \
            dots[r] = cmlp_spread_##S(0);                                                         \
        }                                                                                         \
        for (; j + LANES <= n; j += LANES)                                                        \
            cmlp_update_column_##S(how, what, penalised, count, LANES, ld, w + j, s0 + j, s1 + j, \
                                   xs, ys, d + j, product + j, dots, squares, c);                 \
        if (j < n)                                                                                \
            cmlp_update_column_##S(how, what, penalised, count, (int)(n - j), ld, w + j, s0 + j,  \
                                   s1 + j, xs, ys, d + j, product + j, dots, squares, c);         \
        if (what == CMLP_DOTS_OLD)                                                                \
            CMLP_UNROLL for (int r = 0; r < count; r++) product[r] = cmlp_sum_##S(dots[r]);       \
    }                                                                                             \
    CMLP_INLINE void cmlp_update_rows_##S(                                                        \
        const int how, const int what, const int penalised, ptrdiff_t rows, ptrdiff_t n,          \
        ptrdiff_t ld, T *w, T *s0, T *s1, const T *x, ptrdiff_t x_step, const T *d, const T *y,   \
        ptrdiff_t y_step, T *product, T *squares, const T *rule) {                                \
        cmlp_vec_##S c[CMLP_RULE_SIZE], sum = cmlp_load_##S(squares);                             \
        const ptrdiff_t step = what == CMLP_DOTS_OLD;                                             \
        CMLP_UNROLL for (int i = 0; i < CMLP_RULE_SIZE; i++) c[i] = cmlp_spread_##S(rule[i]);     \
        ptrdiff_t r = 0;                                                                          \
        for (; r + 4 <= rows; r += 4)                                                             \
            cmlp_update_some_##S(how, what, penalised, 4, n, ld, w + r * ld, s0 + r * ld,         \
                                 s1 + r * ld, x + r * x_step, x_step, d, y + r * y_step, y_step,  \
                                 product + r * step, &sum, c);                                    \
        if (rows - r >= 2) {                                                                      \
            cmlp_update_some_##S(how, what, penalised, 2, n, ld, w + r * ld, s0 + r * ld,         \
                                 s1 + r * ld, x + r * x_step, x_step, d, y + r * y_step, y_step,  \
                                 product + r * step, &sum, c);                                    \
            r += 2;                                                                               \
        }                                                                                         \
        if (r < rows)                                                                             \
            cmlp_update_some_##S(how, what, penalised, 1, n, ld, w + r * ld, s0 + r * ld,         \
                                 s1 + r * ld, x + r * x_step, x_step, d, y + r * y_step, y_step,  \
                                 product + r * step, &sum, c);                                    \
        if (penalised) cmlp_store_##S(squares, sum);                                              \
    }                                                                                             \
    static void cmlp_update_##S(                                                                  \
        int how, int what, int penalised, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ld, T *w, T *s0, \
        T *s1, const T *x, ptrdiff_t x_step, const T *d, const T *y, ptrdiff_t y_step,            \
        T *product, T *squares, const T *rule) {                                                  \
        switch (6 * how + 2 * what + (penalised != 0)) {                                          \
            CMLP_UPDATE_CASES(S, CMLP_MOMENTUM)                                                   \
            CMLP_UPDATE_CASES(S, CMLP_NESTEROV)                                                   \
            CMLP_UPDATE_CASES(S, CMLP_ADAM)                                                       \
        }                                                                                         \
    }                                                                                             \
    /* out[r] += (row r) . a for count rows */                                                    \
    CMLP_INLINE void cmlp_dots_some_##S(const int count, ptrdiff_t n, ptrdiff_t ld, const T *w,   \
                                        const T *a, T *out) {                                     \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        cmlp_vec_##S sums[4];                                                                     \
        ptrdiff_t j = 0;                                                                          \
        CMLP_UNROLL for (int r = 0; r < count; r++) sums[r] = cmlp_spread_##S(0);                 \
        for (; j + LANES <= n; j += LANES) {                                                      \
            cmlp_vec_##S v = cmlp_load_##S(a + j);                                                \
            CMLP_UNROLL for (int r = 0; r < count; r++)                                           \
                sums[r] = cmlp_madd_##S(v, cmlp_load_##S(w + r * ld + j), sums[r]);               \
        }                                                                                         \
        if (j < n) {                                                                              \
            cmlp_vec_##S v = cmlp_load_##S(a + j);                                                \
            CMLP_UNROLL for (int r = 0; r < count; r++)                                           \
                sums[r] = cmlp_madd_##S(v, cmlp_load_n_##S(w + r * ld + j, (int)(n - j)),         \
                                        sums[r]);                                                 \
        }                                                                                         \
        CMLP_UNROLL for (int r = 0; r < count; r++) out[r] += cmlp_sum_##S(sums[r]);              \
    }                                                                                             \
    static void cmlp_dots_##S(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ld, const T *w, const T *a,  \
                              T *out) {                                                           \
        ptrdiff_t r = 0;                                                                          \
        for (; r + 4 <= rows; r += 4) cmlp_dots_some_##S(4, n, ld, w + r * ld, a, out + r);       \
        for (; r < rows; r++) cmlp_dots_some_##S(1, n, ld, w + r * ld, a, out + r);               \
    }                                                                                             \
    /* z += sum of a_r (row r) for count rows, whose numbers are in `which` */                    \
    CMLP_INLINE void cmlp_mix_some_##S(const int count, ptrdiff_t n, ptrdiff_t ld,                \
                                           const T *w, const T *a, ptrdiff_t a_step,              \
                                           const ptrdiff_t *which, T *z) {                        \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        const T *row[4];                                                                          \
        cmlp_vec_##S as[4], sum;                                                                  \
        ptrdiff_t j = 0;                                                                          \
        CMLP_UNROLL for (int r = 0; r < count; r++) {                                             \
            row[r] = w + which[r] * ld;                                                           \
            as[r] = cmlp_spread_##S(a[which[r] * a_step]);                                        \
        }                                                                                         \
        for (; j + LANES <= n; j += LANES) {                                                      \
            sum = cmlp_load_##S(z + j);                                                           \
            CMLP_UNROLL for (int r = 0; r < count; r++)                                           \
                sum = cmlp_madd_##S(as[r], cmlp_load_##S(row[r] + j), sum);                       \
            cmlp_store_##S(z + j, sum);                                                           \
        }                                                                                         \
        if (j < n) {                                                                              \
            sum = cmlp_load_##S(z + j);                                                           \
            CMLP_UNROLL for (int r = 0; r < count; r++)                                           \
                sum = cmlp_madd_##S(as[r], cmlp_load_n_##S(row[r] + j, (int)(n - j)), sum);       \
            cmlp_store_##S(z + j, sum);                                                           \
        }                                                                                         \
    }                                                                                             \
    static void cmlp_mix_##S(ptrdiff_t count, ptrdiff_t n, ptrdiff_t ld, const T *w,              \
                                 const T *a, ptrdiff_t a_step, const ptrdiff_t *which, T *z) {    \
        ptrdiff_t r = 0;                                                                          \
        for (; r + 4 <= count; r += 4)                                                            \
            cmlp_mix_some_##S(4, n, ld, w, a, a_step, which + r, z);                              \
        for (; r < count; r++) cmlp_mix_some_##S(1, n, ld, w, a, a_step, which + r, z);           \
    }

#define CMLP_UPDATE_CASE(S, how, what, penalised)                                                 \
    case 6 * how + 2 * what + penalised:                                                          \
        cmlp_update_rows_##S(how, what, penalised, rows, n, ld, w, s0, s1, x, x_step, d, y,       \
                             y_step, product, squares, rule);                                     \
        break;
#define CMLP_UPDATE_CASES(S, how)                                                                 \
    CMLP_UPDATE_CASE(S, how, CMLP_PRODUCT_NEW, 0) CMLP_UPDATE_CASE(S, how, CMLP_PRODUCT_NEW, 1)   \
    CMLP_UPDATE_CASE(S, how, CMLP_PRODUCT_OLD, 0) CMLP_UPDATE_CASE(S, how, CMLP_PRODUCT_OLD, 1)   \
    CMLP_UPDATE_CASE(S, how, CMLP_DOTS_OLD, 0) CMLP_UPDATE_CASE(S, how, CMLP_DOTS_OLD, 1)

CMLP_DEFINE_ONLINE(float, f32)
CMLP_DEFINE_ONLINE(double, f64)

#endif
