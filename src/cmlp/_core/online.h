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

#include "optimizers.h"
#include "tile.h"

enum { CMLP_PRODUCT_NEW, CMLP_PRODUCT_OLD, CMLP_DOTS_OLD };

/* what stands in the vector `rule` before the constants of the optimizer's row: factors of x d and
 * of w, which give the gradient, times the factor that the row has for it */
enum { CMLP_SCALE, CMLP_DECAY, CMLP_FIRST_CONSTANT,
       CMLP_RULE_SIZE = CMLP_FIRST_CONSTANT + CMLP_MAX_CONSTANTS };

/* One vector of one row of weights, `old`, by the update of each row of the table of optimizers;
 * returns the updated weights. The input carries the scale. */
#ifdef CMLP_VECTOR_EXTENSIONS
/* a * b, rounded: were it fused with the sum it goes into, that would cost one instruction more */
#ifdef __FMA__
#define CMLP_PRODUCT(S, a, b) cmlp_madd_##S(a, b, cmlp_spread_##S(-0.0f))
#else
#define CMLP_PRODUCT(S, a, b) cmlp_mul_##S(a, b)
#endif
#define CMLP_TAKE_CONSTANT(S, i, name) const cmlp_lanes_##S name = c[CMLP_FIRST_CONSTANT + i];
#define CMLP_DEFINE_VECTOR_UPDATE(T, S, id, flag, states, constants, update)                      \
    CMLP_INLINE cmlp_vec_##S cmlp_online_##id##_##S(                                              \
        const int CMLP_NAME_##flag, const int penalised, const int count, cmlp_vec_##S old,       \
        T *state, ptrdiff_t stride, cmlp_vec_##S input, cmlp_vec_##S delta,                       \
        const cmlp_vec_##S *c) {                                                                  \
        CMLP_EACH(CMLP_TAKE_CONSTANT, S, constants)                                               \
        CMLP_EACH(CMLP_LOAD_STATE, S, states)                                                     \
        cmlp_vec_##S w = old;                                                                     \
        cmlp_vec_##S g = penalised                                                                \
            ? cmlp_madd_##S(c[CMLP_DECAY], old, cmlp_mul_##S(input, delta))                       \
            : CMLP_PRODUCT(S, input, delta);                                                      \
        CMLP_UNWRAP update;                                                                       \
        CMLP_EACH(CMLP_STORE_STATE, S, states)                                                    \
        return w;                                                                                 \
    }
#else /* lanes are single numbers, vectors are not */
#define CMLP_TAKE_CONSTANT(S, i, name)                                                            \
    const cmlp_lanes_##S name = c[CMLP_FIRST_CONSTANT + i].v[0];
#define CMLP_DEFINE_VECTOR_UPDATE(T, S, id, flag, states, constants, update)                      \
    CMLP_INLINE cmlp_vec_##S cmlp_online_##id##_##S(                                              \
        const int CMLP_NAME_##flag, const int penalised, const int lanes, cmlp_vec_##S old,       \
        T *state, ptrdiff_t stride, cmlp_vec_##S input, cmlp_vec_##S delta,                       \
        const cmlp_vec_##S *c) {                                                                  \
        enum { count = 1 };                                                                       \
        CMLP_EACH(CMLP_TAKE_CONSTANT, S, constants)                                               \
        for (int k = 0; k < lanes; k++, state++) {                                                \
            CMLP_EACH(CMLP_LOAD_STATE, S, states)                                                 \
            T w = old.v[k], g = input.v[k] * delta.v[k];                                          \
            if (penalised) g += c[CMLP_DECAY].v[0] * w;                                           \
            CMLP_UNWRAP update;                                                                   \
            CMLP_EACH(CMLP_STORE_STATE, S, states)                                                \
            old.v[k] = w;                                                                         \
        }                                                                                         \
        return old;                                                                               \
    }
#endif

#define T float
#define DTYPE f32
#define CMLP_ROW(id, loops, flag, hyper, state, every_step, other, constants, times, update)      \
    CMLP_WHEN_##loops(CMLP_DEFINE_VECTOR_UPDATE(float, f32, id, flag, state, constants, update))
CMLP_OPTIMIZERS(CMLP_ROW)
#undef CMLP_ROW
#undef T
#undef DTYPE

#define T double
#define DTYPE f64
#define CMLP_ROW(id, loops, flag, hyper, state, every_step, other, constants, times, update)      \
    CMLP_WHEN_##loops(CMLP_DEFINE_VECTOR_UPDATE(double, f64, id, flag, state, constants, update))
CMLP_OPTIMIZERS(CMLP_ROW)
#undef CMLP_ROW
#undef T
#undef DTYPE

/* of the optimizer and flag, both constants */
#define CMLP_VECTOR_CASE(S, id)                                                                   \
    case CMLP_##id: return cmlp_online_##id##_##S(                                                \
        flag, penalised, lanes, old, state, stride, x, d, c);
#define CMLP_DEFINE_UPDATE_VECTOR(T, S, CASES)                                                    \
    CMLP_INLINE cmlp_vec_##S cmlp_update_vector_##S(                                              \
        const int optimizer, const int flag, const int penalised, const int lanes,                \
        cmlp_vec_##S old, T *state, ptrdiff_t stride, cmlp_vec_##S x, cmlp_vec_##S d,             \
        const cmlp_vec_##S *c) {                                                                  \
        switch (optimizer) {                                                                      \
            CASES                                                                                 \
            default: return old;                                                                  \
        }                                                                                         \
    }
#define CMLP_ROW(id, loops, ...) CMLP_WHEN_##loops(CMLP_VECTOR_CASE(f32, id))
CMLP_DEFINE_UPDATE_VECTOR(float, f32, CMLP_OPTIMIZERS(CMLP_ROW))
#undef CMLP_ROW
#define CMLP_ROW(id, loops, ...) CMLP_WHEN_##loops(CMLP_VECTOR_CASE(f64, id))
CMLP_DEFINE_UPDATE_VECTOR(double, f64, CMLP_OPTIMIZERS(CMLP_ROW))
#undef CMLP_ROW

/* The pass of one sample through the weights of a layer: see the top of this file. */
typedef struct {
    int optimizer, flag;        /* its row in the table, and whether its flag is set */
    int what;                   /* CMLP_PRODUCT_NEW and so on */
    int penalised;              /* squares are summed, and the gradient has a part of w */
    ptrdiff_t rows, n, ld;
    void *w, *state;
    ptrdiff_t stride;           /* from one vector of state to the next */
    const void *x;              /* a number for each row, x_step apart */
    ptrdiff_t x_step;
    const void *d;              /* (n,) */
    const void *y;              /* a number for each row, y_step apart */
    ptrdiff_t y_step;
    void *product;
    void *squares;              /* partial sums of the squared weights, a vector of them */
    const void *rule;           /* CMLP_RULE_SIZE numbers */
} cmlp_update;

/* CMLP_DEFINE_ONLINE(type, suffix). count rows (a constant) are updated together, so that d and
 * product are loaded once for all of them; the last `last` < LANES entries are masked. */
#define CMLP_DEFINE_ONLINE(T, S)                                                                  \
    /* one vector of `count` rows */                                                              \
    CMLP_INLINE void cmlp_update_column_##S(                                                      \
        const int optimizer, const int flag, const int what, const int penalised,                 \
        const int count, const int lanes, ptrdiff_t ld, T *w, T *state, ptrdiff_t stride,         \
        const cmlp_vec_##S *x, const cmlp_vec_##S *y, const T *d_at, T *product,                  \
        cmlp_vec_##S *dots, cmlp_vec_##S *squares, const cmlp_vec_##S *c) {                       \
        const cmlp_vec_##S d = cmlp_load_##S(d_at);                                               \
        cmlp_vec_##S sum = what == CMLP_DOTS_OLD ? d : cmlp_load_##S(product);                    \
        CMLP_UNROLL for (int r = 0; r < count; r++) {                                             \
            cmlp_vec_##S old = cmlp_get_##S(w + r * ld, lanes), new_;                             \
            if (penalised) *squares = cmlp_madd_##S(old, old, *squares);                          \
            if (what == CMLP_PRODUCT_OLD) sum = cmlp_madd_##S(y[r], old, sum);                    \
            if (what == CMLP_DOTS_OLD) dots[r] = cmlp_madd_##S(old, d, dots[r]);                  \
            new_ = cmlp_update_vector_##S(optimizer, flag, penalised, lanes, old,                 \
                                          state + r * ld, stride, x[r], d, c);                    \
            cmlp_put_##S(w + r * ld, new_, lanes);                                                \
            if (what == CMLP_PRODUCT_NEW) sum = cmlp_madd_##S(y[r], new_, sum);                   \
        }                                                                                         \
        if (what != CMLP_DOTS_OLD) cmlp_store_##S(product, sum);                                  \
    }                                                                                             \
    CMLP_INLINE void cmlp_update_some_##S(                                                        \
        const int optimizer, const int flag, const int what, const int penalised,                 \
        const int count, ptrdiff_t n, ptrdiff_t ld, T *w, T *state, ptrdiff_t stride,             \
        const T *x, ptrdiff_t x_step, const T *d, const T *y, ptrdiff_t y_step, T *product,       \
        cmlp_vec_##S *squares, const cmlp_vec_##S *c) {                                           \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        cmlp_vec_##S xs[4], ys[4], dots[4];                                                       \
        ptrdiff_t j = 0;                                                                          \
        CMLP_UNROLL for (int r = 0; r < count; r++) {                                             \
            xs[r] = cmlp_mul_##S(c[CMLP_SCALE], cmlp_spread_##S(x[r * x_step]));                  \
            if (what != CMLP_DOTS_OLD) ys[r] = cmlp_spread_##S(y[r * y_step]);                    \
            dots[r] = cmlp_spread_##S(0);                                                         \
        }                                                                                         \
        for (; j + LANES <= n; j += LANES)                                                        \
            cmlp_update_column_##S(optimizer, flag, what, penalised, count, LANES, ld, w + j,     \
                                   state + j, stride, xs, ys, d + j, product + j, dots,           \
                                   squares, c);                                                   \
        if (j < n)                                                                                \
            cmlp_update_column_##S(optimizer, flag, what, penalised, count, (int)(n - j), ld,     \
                                   w + j, state + j, stride, xs, ys, d + j, product + j, dots,    \
                                   squares, c);                                                   \
        if (what == CMLP_DOTS_OLD)                                                                \
            CMLP_UNROLL for (int r = 0; r < count; r++) product[r] = cmlp_sum_##S(dots[r]);       \
    }                                                                                             \
    CMLP_INLINE void cmlp_update_rows_##S(                                                        \
        const int optimizer, const int flag, const int what, const int penalised,                 \
        const cmlp_update *pass) {                                                                \
        const ptrdiff_t rows = pass->rows, n = pass->n, ld = pass->ld, stride = pass->stride;     \
        const ptrdiff_t x_step = pass->x_step, y_step = pass->y_step;                             \
        T *const w = (T *)pass->w, *const state = (T *)pass->state;                               \
        const T *const x = (const T *)pass->x, *const d = (const T *)pass->d;                     \
        const T *const y = (const T *)pass->y, *const rule = (const T *)pass->rule;               \
        T *const product = (T *)pass->product, *const squares = (T *)pass->squares;               \
        cmlp_vec_##S c[CMLP_RULE_SIZE], sum = cmlp_load_##S(squares);                             \
        const ptrdiff_t step = what == CMLP_DOTS_OLD;                                             \
        CMLP_UNROLL for (int i = 0; i < CMLP_RULE_SIZE; i++) c[i] = cmlp_spread_##S(rule[i]);     \
        ptrdiff_t r = 0;                                                                          \
        for (; r + 4 <= rows; r += 4)                                                             \
            cmlp_update_some_##S(optimizer, flag, what, penalised, 4, n, ld, w + r * ld,          \
                                 state + r * ld, stride, x + r * x_step, x_step, d,               \
                                 y + r * y_step, y_step, product + r * step, &sum, c);            \
        if (rows - r >= 2) {                                                                      \
            cmlp_update_some_##S(optimizer, flag, what, penalised, 2, n, ld, w + r * ld,          \
                                 state + r * ld, stride, x + r * x_step, x_step, d,               \
                                 y + r * y_step, y_step, product + r * step, &sum, c);            \
            r += 2;                                                                               \
        }                                                                                         \
        if (r < rows)                                                                             \
            cmlp_update_some_##S(optimizer, flag, what, penalised, 1, n, ld, w + r * ld,          \
                                 state + r * ld, stride, x + r * x_step, x_step, d,               \
                                 y + r * y_step, y_step, product + r * step, &sum, c);            \
        if (penalised) cmlp_store_##S(squares, sum);                                              \
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

CMLP_DEFINE_ONLINE(float, f32)
CMLP_DEFINE_ONLINE(double, f64)

/* cmlp_update_<suffix>: the pass of one sample through the weights of a layer */
#define CMLP_UPDATE_CASE(S, id, flag, what, penalised)                                            \
    case 2 * what + penalised:                                                                    \
        cmlp_update_rows_##S(id, flag, what, penalised, pass);                                    \
        break;
#define CMLP_UPDATE_CASES(S, id, flag)                                                            \
    switch (2 * pass->what + (pass->penalised != 0)) {                                            \
        CMLP_UPDATE_CASE(S, id, flag, CMLP_PRODUCT_NEW, 0)                                        \
        CMLP_UPDATE_CASE(S, id, flag, CMLP_PRODUCT_NEW, 1)                                        \
        CMLP_UPDATE_CASE(S, id, flag, CMLP_PRODUCT_OLD, 0)                                        \
        CMLP_UPDATE_CASE(S, id, flag, CMLP_PRODUCT_OLD, 1)                                        \
        CMLP_UPDATE_CASE(S, id, flag, CMLP_DOTS_OLD, 0)                                           \
        CMLP_UPDATE_CASE(S, id, flag, CMLP_DOTS_OLD, 1)                                           \
    }
#define CMLP_UPDATE_ROW(S, id, flagged)                                                           \
    case CMLP_##id:                                                                               \
        if (CMLP_HAS_##flagged && pass->flag) CMLP_UPDATE_CASES(S, CMLP_##id, 1)                  \
        else CMLP_UPDATE_CASES(S, CMLP_##id, 0)                                                   \
        break;
#define CMLP_DEFINE_UPDATE(T, S, ROWS)                                                            \
    static void cmlp_update_##S(const cmlp_update *pass) {                                        \
        switch (pass->optimizer) { ROWS }                                                         \
    }
#define CMLP_ROW(id, loops, flag, ...) CMLP_WHEN_##loops(CMLP_UPDATE_ROW(f32, id, flag))
CMLP_DEFINE_UPDATE(float, f32, CMLP_OPTIMIZERS(CMLP_ROW))
#undef CMLP_ROW
#define CMLP_ROW(id, loops, flag, ...) CMLP_WHEN_##loops(CMLP_UPDATE_ROW(f64, id, flag))
CMLP_DEFINE_UPDATE(double, f64, CMLP_OPTIMIZERS(CMLP_ROW))
#undef CMLP_ROW

#endif
