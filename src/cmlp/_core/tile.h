/* The register tile of the matrix product and the dot product, in vector registers: what Cython
 * cannot say. One source for both dtypes and every instruction set; loops over tiles, packing
 * and the choice of a kernel are in linalg.pxd.
 *
 * C = A B [+ C] [+ bias], each element one chain of multiply-adds from its start, whatever the
 * tile: products cut anywhere, along any axis, have the same bits. Unless CMLP_MASKED, whole
 * vectors of B are read: where cols is no multiple of the vector length, B must be padded. */
#ifndef CMLP_TILE_H
#define CMLP_TILE_H

#include <stddef.h>
#include "activations.h"

#if defined(__AVX512F__) || defined(__aarch64__)
#define CMLP_ROWS 8
#else
#define CMLP_ROWS 6
#endif

#ifdef __GNUC__
#define CMLP_PREFETCH(address) __builtin_prefetch(address)
#else
#define CMLP_PREFETCH(address) ((void)(address))
#endif

static const float cmlp_zeros_f32[2 * CMLP_VECTOR_BYTES / sizeof(float)] = {0};
static const double cmlp_zeros_f64[2 * CMLP_VECTOR_BYTES / sizeof(double)] = {0};

/* A tile and its operands, of elements of the dtype that the function is for. */
typedef struct {
    int rows, cols;             /* at most CMLP_ROWS and two vectors */
    ptrdiff_t depth;
    const void *a;              /* element (i, p) is a[i * a_row + p * a_col] */
    ptrdiff_t a_row, a_col;
    const void *b;              /* element (p, j) is b[p * b_row + j] */
    ptrdiff_t b_row;
    void *c;                    /* element (i, j) is c[i * c_row + j] */
    ptrdiff_t c_row;
    int accumulate;             /* C is added */
    const void *bias;           /* a row that is added, or NULL */
    int finish;                 /* of CMLP_IN_TILES: the activation f that C is put through before
                                 * it is stored, or a negative number that is none of them */
    const void *outputs;        /* laid out as C, f(z) or slopes that were kept: C is instead
                                 * multiplied by the derivative; or NULL */
} cmlp_tile;

/* the fields as the loops below want them: stores through c cannot change these */
#define CMLP_TILE_FIELDS(T)                                                                       \
    const ptrdiff_t depth = tile->depth, a_row = tile->a_row, a_col = tile->a_col;                \
    const ptrdiff_t ldb = tile->b_row, ldc = tile->c_row;                                         \
    const T *const a = (const T *)tile->a, *const b = (const T *)tile->b;                         \
    const T *const bias = (const T *)tile->bias, *const outputs = (const T *)tile->outputs;       \
    T *const c = (T *)tile->c;                                                                    \
    const int accumulate = tile->accumulate, finish = tile->finish;

/* cases of a switch (finish), for the sums of a tile and for its tails in half vectors */
#define CMLP_FINISH(name, S)                                                                      \
    case CMLP_##name:                                                                             \
        CMLP_UNROLL for (int i = 0; i < rows; i++)                                                \
            CMLP_UNROLL for (int v = 0; v < vectors; v++)                                         \
                if (outputs) {                                                                    \
                    cmlp_vec_##S f = whole || v < vectors - 1                                     \
                        ? cmlp_load_##S(outputs + i * ldc + v * LANES)                            \
                        : cmlp_load_n_##S(outputs + i * ldc + v * LANES, last);                   \
                    sums[i][v] = cmlp_delta_##name##_##S(f, sums[i][v]);                          \
                } else {                                                                          \
                    sums[i][v] = cmlp_value_##name##_##S(sums[i][v]);                             \
                }                                                                                 \
        break;
#define CMLP_FINISH_HALF(name, S)                                                                 \
    case CMLP_##name:                                                                             \
        CMLP_UNROLL for (int i = 0; i < rows; i++) {                                              \
            cmlp_vec_##S x = cmlp_whole_##S(tails[i]), f;                                         \
            if (outputs) {                                                                        \
                f = cmlp_whole_##S(cmlp_load_half_##S(outputs + i * ldc + vectors * LANES, last));\
                x = cmlp_delta_##name##_##S(f, x);                                                \
                if (vectors) {                                                                    \
                    f = cmlp_load_##S(outputs + i * ldc);                                         \
                    sums[i] = cmlp_delta_##name##_##S(f, sums[i]);                                \
                }                                                                                 \
            } else {                                                                              \
                x = cmlp_value_##name##_##S(x);                                                   \
                if (vectors) sums[i] = cmlp_value_##name##_##S(sums[i]);                          \
            }                                                                                     \
            tails[i] = cmlp_half_of_##S(x);                                                       \
        }                                                                                         \
        break;

#if CMLP_MASKED
#define CMLP_DEFINE_HALF(T, S)                                                                    \
    /* the same for `vectors` whole vectors, none or one, and a tail of `last` in half a vector */\
    CMLP_INLINE void cmlp_tile_half_##S(                                                          \
        const int rows, const int vectors, int last, const cmlp_tile *tile) {                     \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        CMLP_TILE_FIELDS(T)                                                                       \
        cmlp_vec_##S sums[CMLP_ROWS], start = cmlp_load_##S(cmlp_zeros_##S), row;                 \
        cmlp_half_##S tails[CMLP_ROWS], tail = cmlp_load_half_##S(cmlp_zeros_##S, 1), end;        \
        if (bias && vectors) start = cmlp_load_##S(bias);                                         \
        if (bias) tail = cmlp_load_half_##S(bias + vectors * LANES, last);                        \
        CMLP_UNROLL for (int i = 0; i < rows; i++) {                                              \
            const T *out = c + i * ldc;                                                           \
            sums[i] = start;                                                                      \
            tails[i] = tail;                                                                      \
            if (accumulate) {                                                                     \
                if (vectors) sums[i] = cmlp_add_##S(start, cmlp_load_##S(out));                   \
                tails[i] = tail + cmlp_load_half_##S(out + vectors * LANES, last);                \
            }                                                                                     \
        }                                                                                         \
        for (ptrdiff_t p = 0; p < depth; p++) {                                                   \
            if (vectors) row = cmlp_load_##S(b + p * ldb);                                        \
            end = cmlp_load_half_##S(b + p * ldb + vectors * LANES, last);                        \
            CMLP_UNROLL for (int i = 0; i < rows; i++) {                                          \
                T x = a[i * a_row + p * a_col];                                                   \
                if (vectors) sums[i] = cmlp_fma_##S(x, row, sums[i]);                             \
                tails[i] = cmlp_half_fma_##S(x, end, tails[i]);                                   \
            }                                                                                     \
        }                                                                                         \
        switch (finish) {                                                                         \
            CMLP_IN_TILES(CMLP_FINISH_HALF, S)                                                    \
            default: break;                                                                       \
        }                                                                                         \
        CMLP_UNROLL for (int i = 0; i < rows; i++) {                                              \
            if (vectors) cmlp_store_##S(c + i * ldc, sums[i]);                                    \
            cmlp_store_half_##S(c + i * ldc + vectors * LANES, tails[i], last);                   \
        }                                                                                         \
    }
#define CMLP_HALF_CASE(S, rows, vectors)                                                          \
    case 2 * rows + vectors:                                                                      \
        cmlp_tile_half_##S(rows, vectors, last, tile);                                            \
        break;
#define CMLP_HALF_CASES(S, rows) CMLP_HALF_CASE(S, rows, 0) CMLP_HALF_CASE(S, rows, 1)
#define CMLP_HALF_TILES(S)                                                                        \
    switch (2 * tile->rows + vectors - 1) {                                                       \
        CMLP_HALF_CASES(S, 1) CMLP_HALF_CASES(S, 2) CMLP_HALF_CASES(S, 3) CMLP_HALF_CASES(S, 4)   \
        CMLP_HALF_CASES(S, 5) CMLP_HALF_CASES(S, 6) CMLP_HALF_CASES(S, 7) CMLP_HALF_CASES(S, 8)   \
    }
#else
#define CMLP_DEFINE_HALF(T, S)
#define CMLP_HALF_TILES(S)
#endif

#define CMLP_DEFINE_TILE(T, S)                                                                    \
    /* rows, vectors and whole are constants at every call, so that sums[][] lives in registers;  \
     * unless whole, the last vector has only `last` lanes */                                     \
    CMLP_INLINE void cmlp_tile_fixed_##S(                                                         \
        const int rows, const int vectors, const int whole, int last, const cmlp_tile *tile) {    \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        CMLP_TILE_FIELDS(T)                                                                       \
        cmlp_vec_##S sums[CMLP_ROWS][2], start[2];                                                \
        CMLP_UNROLL for (int v = 0; v < vectors; v++)                                             \
            start[v] = !bias ? cmlp_load_##S(cmlp_zeros_##S)                                      \
                : whole || v < vectors - 1 ? cmlp_load_##S(bias + v * LANES)                      \
                : cmlp_load_n_##S(bias + v * LANES, last);                                        \
        CMLP_UNROLL for (int i = 0; i < rows; i++)                                                \
            CMLP_UNROLL for (int v = 0; v < vectors; v++) {                                       \
                const T *out = c + i * ldc + v * LANES;                                           \
                sums[i][v] = start[v];                                                            \
                if (accumulate)                                                                   \
                    sums[i][v] = cmlp_add_##S(start[v], whole || v < vectors - 1                  \
                        ? cmlp_load_##S(out) : cmlp_load_n_##S(out, last));                       \
            }                                                                                     \
        for (ptrdiff_t p = 0; p < depth; p++) {                                                   \
            cmlp_vec_##S row[2];                                                                  \
            CMLP_UNROLL for (int v = 0; v < vectors; v++)                                         \
                row[v] = !CMLP_MASKED || whole || v < vectors - 1                                 \
                    ? cmlp_load_##S(b + p * ldb + v * LANES)                                      \
                    : cmlp_load_n_##S(b + p * ldb + v * LANES, last);                             \
            CMLP_UNROLL for (int i = 0; i < rows; i++) {                                          \
                T x = a[i * a_row + p * a_col];                                                   \
                CMLP_UNROLL for (int v = 0; v < vectors; v++)                                     \
                    sums[i][v] = cmlp_fma_##S(x, row[v], sums[i][v]);                             \
            }                                                                                     \
        }                                                                                         \
        switch (finish) {                                                                         \
            CMLP_IN_TILES(CMLP_FINISH, S)                                                         \
            default: break;                                                                       \
        }                                                                                         \
        CMLP_UNROLL for (int i = 0; i < rows; i++)                                                \
            CMLP_UNROLL for (int v = 0; v < vectors; v++) {                                       \
                T *out = c + i * ldc + v * LANES;                                                 \
                if (whole || v < vectors - 1) cmlp_store_##S(out, sums[i][v]);                    \
                else cmlp_store_n_##S(out, sums[i][v], last);                                     \
            }                                                                                     \
    }                                                                                             \
    static void cmlp_tile_##S(const cmlp_tile *tile) {                                            \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        const int vectors = tile->cols > LANES ? 2 : 1;                                           \
        const int last = tile->cols - (vectors - 1) * LANES;                                      \
        if (CMLP_MASKED && 2 * last <= LANES) {                                                   \
            CMLP_HALF_TILES(S)                                                                    \
            return;                                                                               \
        }                                                                                         \
        switch (4 * tile->rows + 2 * (vectors - 1) + (last == LANES)) {                           \
            CMLP_TILE_CASES(S, 1) CMLP_TILE_CASES(S, 2) CMLP_TILE_CASES(S, 3)                     \
            CMLP_TILE_CASES(S, 4) CMLP_TILE_CASES(S, 5) CMLP_TILE_CASES(S, 6)                     \
            CMLP_TILE_CASES_7_8(S)                                                                \
        }                                                                                         \
    }                                                                                             \
    /* out[r * step] = x_r . y + bias for a constant number of rows x_r, ldx apart: the sums of   \
     * one row do not depend on how many there are */                                             \
    CMLP_INLINE void cmlp_dots_fixed_##S(                                                         \
        const int rows, ptrdiff_t n, const T *x, ptrdiff_t ldx, const T *y, T bias, T *out,       \
        ptrdiff_t step) {                                                                         \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        cmlp_vec_##S s0[4], s1[4], y0, y1;                                                        \
        ptrdiff_t i = 0;                                                                          \
        CMLP_UNROLL for (int r = 0; r < rows; r++) s0[r] = s1[r] = cmlp_load_##S(cmlp_zeros_##S); \
        for (; i + 2 * LANES <= n; i += 2 * LANES) {                                              \
            y0 = cmlp_load_##S(y + i);                                                            \
            y1 = cmlp_load_##S(y + i + LANES);                                                    \
            CMLP_UNROLL for (int r = 0; r < rows; r++) {                                          \
                const T *at = x + r * ldx + i;                                                    \
                s0[r] = cmlp_madd_##S(cmlp_load_##S(at), y0, s0[r]);                              \
                s1[r] = cmlp_madd_##S(cmlp_load_##S(at + LANES), y1, s1[r]);                      \
            }                                                                                     \
        }                                                                                         \
        if (i + LANES <= n) {                                                                     \
            y0 = cmlp_load_##S(y + i);                                                            \
            CMLP_UNROLL for (int r = 0; r < rows; r++)                                            \
                s0[r] = cmlp_madd_##S(cmlp_load_##S(x + r * ldx + i), y0, s0[r]);                 \
            i += LANES;                                                                           \
        }                                                                                         \
        if (i < n) {                                                                              \
            const int last = (int)(n - i);                                                        \
            y1 = cmlp_load_n_##S(y + i, last);                                                    \
            CMLP_UNROLL for (int r = 0; r < rows; r++)                                            \
                s1[r] = cmlp_madd_##S(cmlp_load_n_##S(x + r * ldx + i, last), y1, s1[r]);         \
        }                                                                                         \
        CMLP_UNROLL for (int r = 0; r < rows; r++)                                                \
            out[r * step] = cmlp_sum_##S(cmlp_add_##S(s0[r], s1[r])) + bias;                      \
    }                                                                                             \
    static void cmlp_row_dots_##S(ptrdiff_t rows, ptrdiff_t n, const T *x, ptrdiff_t ldx,         \
                                  const T *y, T bias, T *out, ptrdiff_t step) {                   \
        ptrdiff_t r = 0;                                                                          \
        for (; r + 4 <= rows; r += 4)                                                             \
            cmlp_dots_fixed_##S(4, n, x + r * ldx, ldx, y, bias, out + r * step, step);           \
        for (; r < rows; r++)                                                                     \
            cmlp_dots_fixed_##S(1, n, x + r * ldx, ldx, y, bias, out + r * step, step);           \
    }                                                                                             \
    static T cmlp_dot_##S(const T *x, const T *y, ptrdiff_t n) {                                  \
        T out;                                                                                    \
        cmlp_dots_fixed_##S(1, n, x, 0, y, 0, &out, 0);                                           \
        return out;                                                                               \
    }

#define CMLP_TILE_CASE(S, rows, vectors, whole)                                                   \
    case 4 * rows + 2 * (vectors - 1) + whole:                                                    \
        cmlp_tile_fixed_##S(rows, vectors, whole, last, tile);                                    \
        break;
#define CMLP_TILE_CASES(S, rows)                                                                  \
    CMLP_TILE_CASE(S, rows, 1, 0) CMLP_TILE_CASE(S, rows, 1, 1)                                   \
    CMLP_TILE_CASE(S, rows, 2, 0) CMLP_TILE_CASE(S, rows, 2, 1)
#if CMLP_ROWS == 8
#define CMLP_TILE_CASES_7_8(S) CMLP_TILE_CASES(S, 7) CMLP_TILE_CASES(S, 8)
#else
#define CMLP_TILE_CASES_7_8(S)
#endif

CMLP_DEFINE_HALF(float, f32)
CMLP_DEFINE_HALF(double, f64)
CMLP_DEFINE_TILE(float, f32)
CMLP_DEFINE_TILE(double, f64)

#endif
