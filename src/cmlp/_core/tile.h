/* The register tile of the matrix product and the dot product, in vector registers: what Cython
 * cannot say. One source for both dtypes and every instruction set; loops over tiles, packing
 * and the choice of a kernel are in linalg.pxd.
 *
 * C (rows x cols, rows <= CMLP_ROWS, cols <= 2 vectors) = A B [+ C] [+ bias], each element one
 * chain of multiply-adds from its start, whatever the tile: products cut anywhere, along any
 * axis, have the same bits. Element (i, p) of A is a[i * a_row + p * a_col] and row p of B is
 * b + p * ldb. Unless CMLP_MASKED, whole vectors of B are read: where cols is no multiple of the
 * vector length, B must be padded. */
#ifndef CMLP_TILE_H
#define CMLP_TILE_H

#include <stddef.h>
#include "vecmath.h"

#if defined(__AVX512F__)
#define CMLP_VECTOR_BYTES 64
#define CMLP_ROWS 8
#elif defined(__AVX__)
#define CMLP_VECTOR_BYTES 32
#define CMLP_ROWS 6
#elif defined(__aarch64__)
#define CMLP_VECTOR_BYTES 16
#define CMLP_ROWS 8
#else
#define CMLP_VECTOR_BYTES 16
#define CMLP_ROWS 6
#endif

#ifdef __GNUC__
#define CMLP_PREFETCH(address) __builtin_prefetch(address)
#else
#define CMLP_PREFETCH(address) ((void)(address))
#endif

#if defined(__GNUC__) && !defined(CMLP_NO_VECTOR_EXTENSIONS)
#ifdef __clang__
#define CMLP_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CMLP_UNROLL _Pragma("GCC unroll 16")
#endif
#define CMLP_DEFINE_VECTOR(T, S)                                                                  \
    typedef T cmlp_vec_##S __attribute__((vector_size(CMLP_VECTOR_BYTES)));                       \
    typedef T cmlp_uvec_##S                                                                       \
        __attribute__((vector_size(CMLP_VECTOR_BYTES), aligned(sizeof(T)), may_alias));           \
    CMLP_INLINE cmlp_vec_##S cmlp_load_##S(const T *p) { return *(const cmlp_uvec_##S *)p; }      \
    CMLP_INLINE void cmlp_store_##S(T *p, cmlp_vec_##S v) { *(cmlp_uvec_##S *)p = v; }            \
    CMLP_INLINE cmlp_vec_##S cmlp_fma_##S(T a, cmlp_vec_##S b, cmlp_vec_##S c) { return a * b + c; } \
    CMLP_INLINE cmlp_vec_##S cmlp_mul_##S(cmlp_vec_##S a, cmlp_vec_##S b) { return a * b; }       \
    CMLP_INLINE cmlp_vec_##S cmlp_add_##S(cmlp_vec_##S a, cmlp_vec_##S b) { return a + b; }       \
    CMLP_INLINE T cmlp_lane_##S(cmlp_vec_##S v, int i) { return v[i]; }
#else
/* compilers without vector extensions (MSVC): fixed-length loops that they may vectorise */
#define CMLP_UNROLL
#define CMLP_DEFINE_VECTOR(T, S)                                                                  \
    typedef struct { T v[CMLP_VECTOR_BYTES / sizeof(T)]; } cmlp_vec_##S;                          \
    enum { CMLP_LANES_##S = CMLP_VECTOR_BYTES / sizeof(T) };                                      \
    CMLP_INLINE cmlp_vec_##S cmlp_load_##S(const T *p) {                                          \
        cmlp_vec_##S v; memcpy(&v, p, sizeof v); return v;                                        \
    }                                                                                             \
    CMLP_INLINE void cmlp_store_##S(T *p, cmlp_vec_##S v) { memcpy(p, &v, sizeof v); }            \
    CMLP_INLINE cmlp_vec_##S cmlp_fma_##S(T a, cmlp_vec_##S b, cmlp_vec_##S c) {                  \
        for (int i = 0; i < CMLP_LANES_##S; i++) c.v[i] += a * b.v[i];                            \
        return c;                                                                                 \
    }                                                                                             \
    CMLP_INLINE cmlp_vec_##S cmlp_mul_##S(cmlp_vec_##S a, cmlp_vec_##S b) {                       \
        for (int i = 0; i < CMLP_LANES_##S; i++) a.v[i] *= b.v[i];                                \
        return a;                                                                                 \
    }                                                                                             \
    CMLP_INLINE cmlp_vec_##S cmlp_add_##S(cmlp_vec_##S a, cmlp_vec_##S b) {                       \
        for (int i = 0; i < CMLP_LANES_##S; i++) a.v[i] += b.v[i];                                \
        return a;                                                                                 \
    }                                                                                             \
    CMLP_INLINE T cmlp_lane_##S(cmlp_vec_##S v, int i) { return v.v[i]; }
#endif

CMLP_DEFINE_VECTOR(float, f32)
CMLP_DEFINE_VECTOR(double, f64)

/* The first n lanes of a vector, 1 <= n <= lanes; the others are read as 0 and not written. */
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(CMLP_NO_VECTOR_EXTENSIONS)
#include <immintrin.h>
#define CMLP_MASKED 1
CMLP_INLINE cmlp_vec_f32 cmlp_load_n_f32(const float *p, int n) {
    return (cmlp_vec_f32)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
CMLP_INLINE cmlp_vec_f64 cmlp_load_n_f64(const double *p, int n) {
    return (cmlp_vec_f64)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
}
CMLP_INLINE void cmlp_store_n_f32(float *p, cmlp_vec_f32 v, int n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
CMLP_INLINE void cmlp_store_n_f64(double *p, cmlp_vec_f64 v, int n) {
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
}
CMLP_INLINE float cmlp_sum_f32(cmlp_vec_f32 v) { return _mm512_reduce_add_ps((__m512)v); }
CMLP_INLINE double cmlp_sum_f64(cmlp_vec_f64 v) { return _mm512_reduce_add_pd((__m512d)v); }
#else
#define CMLP_MASKED 0
#define CMLP_DEFINE_PARTIAL(T, S)                                                                 \
    CMLP_INLINE cmlp_vec_##S cmlp_load_n_##S(const T *p, int n) {                                 \
        T lanes[CMLP_VECTOR_BYTES / sizeof(T)] = {0};                                             \
        for (int i = 0; i < n; i++) lanes[i] = p[i];                                              \
        return cmlp_load_##S(lanes);                                                              \
    }                                                                                             \
    CMLP_INLINE void cmlp_store_n_##S(T *p, cmlp_vec_##S v, int n) {                              \
        T lanes[CMLP_VECTOR_BYTES / sizeof(T)];                                                   \
        cmlp_store_##S(lanes, v);                                                                 \
        for (int i = 0; i < n; i++) p[i] = lanes[i];                                              \
    }                                                                                             \
    CMLP_INLINE T cmlp_sum_##S(cmlp_vec_##S v) {                                                  \
        T lanes[CMLP_VECTOR_BYTES / sizeof(T)];                                                   \
        cmlp_store_##S(lanes, v);                                                                 \
        for (int half = (int)(sizeof lanes / sizeof(T)) / 2; half > 0; half /= 2)                 \
            for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];                           \
        return lanes[0];                                                                          \
    }
CMLP_DEFINE_PARTIAL(float, f32)
CMLP_DEFINE_PARTIAL(double, f64)
#endif

#define CMLP_DEFINE_TILE(T, S)                                                                    \
    /* rows, vectors and whole are constants at every call, so that sums[][] lives in registers;  \
     * unless whole, the last vector has only `last` lanes */                                     \
    CMLP_INLINE void cmlp_tile_fixed_##S(                                                         \
        const int rows, const int vectors, const int whole, int last, ptrdiff_t depth,            \
        const T *a, ptrdiff_t a_row, ptrdiff_t a_col, const T *b, ptrdiff_t ldb, T *c,            \
        ptrdiff_t ldc, int accumulate, const T *bias) {                                           \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
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
        CMLP_UNROLL for (int i = 0; i < rows; i++)                                                \
            CMLP_UNROLL for (int v = 0; v < vectors; v++) {                                       \
                T *out = c + i * ldc + v * LANES;                                                 \
                if (whole || v < vectors - 1) cmlp_store_##S(out, sums[i][v]);                    \
                else cmlp_store_n_##S(out, sums[i][v], last);                                     \
            }                                                                                     \
    }                                                                                             \
    static void cmlp_tile_##S(                                                                    \
        int rows, int cols, ptrdiff_t depth, const T *a, ptrdiff_t a_row, ptrdiff_t a_col,        \
        const T *b, ptrdiff_t ldb, T *c, ptrdiff_t ldc, int accumulate, const T *bias) {          \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        const int vectors = cols > LANES ? 2 : 1, last = cols - (vectors - 1) * LANES;            \
        switch (4 * rows + 2 * (vectors - 1) + (last == LANES)) {                                 \
            CMLP_TILE_CASES(S, 1) CMLP_TILE_CASES(S, 2) CMLP_TILE_CASES(S, 3)                     \
            CMLP_TILE_CASES(S, 4) CMLP_TILE_CASES(S, 5) CMLP_TILE_CASES(S, 6)                     \
            CMLP_TILE_CASES_7_8(S)                                                                \
        }                                                                                         \
    }                                                                                             \
    static T cmlp_dot_##S(const T *x, const T *y, ptrdiff_t n) {                                  \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        cmlp_vec_##S s0 = cmlp_load_##S(cmlp_zeros_##S), s1 = s0;                                 \
        ptrdiff_t i = 0;                                                                          \
        for (; i + 2 * LANES <= n; i += 2 * LANES) {                                              \
            s0 = cmlp_add_##S(s0, cmlp_mul_##S(cmlp_load_##S(x + i), cmlp_load_##S(y + i)));      \
            s1 = cmlp_add_##S(s1, cmlp_mul_##S(cmlp_load_##S(x + i + LANES),                      \
                                               cmlp_load_##S(y + i + LANES)));                    \
        }                                                                                         \
        if (i + LANES <= n) {                                                                     \
            s0 = cmlp_add_##S(s0, cmlp_mul_##S(cmlp_load_##S(x + i), cmlp_load_##S(y + i)));      \
            i += LANES;                                                                           \
        }                                                                                         \
        if (i < n)                                                                                \
            s1 = cmlp_add_##S(s1, cmlp_mul_##S(cmlp_load_n_##S(x + i, (int)(n - i)),              \
                                               cmlp_load_n_##S(y + i, (int)(n - i))));            \
        return cmlp_sum_##S(cmlp_add_##S(s0, s1));                                                \
    }

#define CMLP_TILE_CASE(S, rows, vectors, whole)                                                   \
    case 4 * rows + 2 * (vectors - 1) + whole:                                                    \
        cmlp_tile_fixed_##S(rows, vectors, whole, last, depth, a, a_row, a_col, b, ldb, c, ldc,   \
                            accumulate, bias);                                                    \
        break;
#define CMLP_TILE_CASES(S, rows)                                                                  \
    CMLP_TILE_CASE(S, rows, 1, 0) CMLP_TILE_CASE(S, rows, 1, 1)                                   \
    CMLP_TILE_CASE(S, rows, 2, 0) CMLP_TILE_CASE(S, rows, 2, 1)
#if CMLP_ROWS == 8
#define CMLP_TILE_CASES_7_8(S) CMLP_TILE_CASES(S, 7) CMLP_TILE_CASES(S, 8)
#else
#define CMLP_TILE_CASES_7_8(S)
#endif

static const float cmlp_zeros_f32[2 * CMLP_VECTOR_BYTES / sizeof(float)] = {0};
static const double cmlp_zeros_f64[2 * CMLP_VECTOR_BYTES / sizeof(double)] = {0};
CMLP_DEFINE_TILE(float, f32)
CMLP_DEFINE_TILE(double, f64)

#endif
