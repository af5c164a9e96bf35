/* Lanes: what formulas are written in. A formula of one element, in + - * / and the functions
 * below, is compiled for cmlp_lanes_f32 and cmlp_lanes_f64: a whole vector register, or a plain
 * number where the compiler has no vector types. Comparisons select; no lane ever branches. */
#ifndef CMLP_LANES_H
#define CMLP_LANES_H

#include <math.h>
#include <stddef.h>
#include "vector.h"

#define CMLP_SQRT_f32 sqrtf
#define CMLP_SQRT_f64 sqrt

#if defined(__GNUC__) && !defined(CMLP_NO_VECTOR_EXTENSIONS)
#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* CMLP_WIDTH_<suffix> elements at once; as many unsigned integers for their bits */
#define CMLP_DEFINE_LANES(T, S, U)                                                                \
    typedef cmlp_vec_##S cmlp_lanes_##S;                                                          \
    typedef U cmlp_bits_##S __attribute__((vector_size(CMLP_VECTOR_BYTES)));                      \
    enum { CMLP_WIDTH_##S = CMLP_VECTOR_BYTES / sizeof(T) };                                      \
    CMLP_INLINE cmlp_bits_##S cmlp_bits_of_##S(cmlp_lanes_##S x) { return (cmlp_bits_##S)x; }     \
    CMLP_INLINE cmlp_lanes_##S cmlp_from_bits_##S(cmlp_bits_##S i) { return (cmlp_lanes_##S)i; }  \
    CMLP_INLINE cmlp_lanes_##S cmlp_load_lanes_##S(const T *p, int count) {                       \
        return cmlp_get_##S(p, count);                                                            \
    }                                                                                             \
    CMLP_INLINE void cmlp_store_lanes_##S(T *p, cmlp_lanes_##S x, int count) {                    \
        cmlp_put_##S(p, x, count);                                                                \
    }                                                                                             \
    /* the same number in every lane */                                                           \
    CMLP_INLINE cmlp_lanes_##S cmlp_splat_##S(T x) { return cmlp_spread_##S(x); }
CMLP_DEFINE_LANES(float, f32, uint32_t)
CMLP_DEFINE_LANES(double, f64, uint64_t)

/* Per instruction set: if_less(a, b, x, y) is a < b ? x : y, if_equal a == b ? x : y;
 * max and min give their second argument where one is NaN; any_greater: a > b in some lane;
 * sqrt is rounded once. */
#if defined(__AVX512F__)
#define CMLP_DEFINE_SELECT(S, V, P, M)                                                            \
    CMLP_INLINE cmlp_lanes_##S cmlp_if_less_##S(                                                  \
        cmlp_lanes_##S a, cmlp_lanes_##S b, cmlp_lanes_##S x, cmlp_lanes_##S y) {                 \
        return (cmlp_lanes_##S)_mm512_mask_blend_##P(                                             \
            _mm512_cmp_##P##_mask((V)a, (V)b, _CMP_LT_OQ), (V)y, (V)x);                           \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_if_equal_##S(                                                 \
        cmlp_lanes_##S a, cmlp_lanes_##S b, cmlp_lanes_##S x, cmlp_lanes_##S y) {                 \
        return (cmlp_lanes_##S)_mm512_mask_blend_##P(                                             \
            _mm512_cmp_##P##_mask((V)a, (V)b, _CMP_EQ_OQ), (V)y, (V)x);                           \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_max_##S(cmlp_lanes_##S a, cmlp_lanes_##S b) {                 \
        return (cmlp_lanes_##S)_mm512_max_##P((V)a, (V)b);                                        \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_min_##S(cmlp_lanes_##S a, cmlp_lanes_##S b) {                 \
        return (cmlp_lanes_##S)_mm512_min_##P((V)a, (V)b);                                        \
    }                                                                                             \
    CMLP_INLINE int cmlp_any_greater_##S(cmlp_lanes_##S a, cmlp_lanes_##S b) {                    \
        return _mm512_cmp_##P##_mask((V)a, (V)b, _CMP_GT_OQ) != 0;                                \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_sqrt_##S(cmlp_lanes_##S a) {                                  \
        return (cmlp_lanes_##S)_mm512_sqrt_##P((V)a);                                             \
    }
CMLP_DEFINE_SELECT(f32, __m512, ps, 16)
CMLP_DEFINE_SELECT(f64, __m512d, pd, 8)
#else
#if defined(__AVX__)
#define CMLP_SELECT(P, x, y, mask) _mm256_blendv_##P(y, x, mask)
#define CMLP_MM(P, name) _mm256_##name##_##P
#define CMLP_ANY(P, mask) _mm256_movemask_##P(mask)
#define CMLP_VECTOR_f32 __m256
#define CMLP_VECTOR_f64 __m256d
#elif defined(__SSE2__)
#define CMLP_SELECT(P, x, y, mask) _mm_or_##P(_mm_and_##P(mask, x), _mm_andnot_##P(mask, y))
#define CMLP_MM(P, name) _mm_##name##_##P
#define CMLP_ANY(P, mask) _mm_movemask_##P(mask)
#define CMLP_VECTOR_f32 __m128
#define CMLP_VECTOR_f64 __m128d
#endif
#ifdef CMLP_MM
#define CMLP_DEFINE_SELECT(S, V, P)                                                               \
    CMLP_INLINE cmlp_lanes_##S cmlp_select_##S(                                                   \
        cmlp_bits_##S mask, cmlp_lanes_##S x, cmlp_lanes_##S y) {                                 \
        return (cmlp_lanes_##S)CMLP_SELECT(P, (V)x, (V)y, (V)mask);                               \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_max_##S(cmlp_lanes_##S a, cmlp_lanes_##S b) {                 \
        return (cmlp_lanes_##S)CMLP_MM(P, max)((V)a, (V)b);                                       \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_min_##S(cmlp_lanes_##S a, cmlp_lanes_##S b) {                 \
        return (cmlp_lanes_##S)CMLP_MM(P, min)((V)a, (V)b);                                       \
    }                                                                                             \
    CMLP_INLINE int cmlp_any_greater_##S(cmlp_lanes_##S a, cmlp_lanes_##S b) {                    \
        return CMLP_ANY(P, (V)(a > b)) != 0;                                                      \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_sqrt_##S(cmlp_lanes_##S a) {                                  \
        return (cmlp_lanes_##S)CMLP_MM(P, sqrt)((V)a);                                            \
    }
#else
#define CMLP_VECTOR_f32
#define CMLP_VECTOR_f64
#define CMLP_DEFINE_SELECT(S, V, P)                                                               \
    CMLP_INLINE cmlp_lanes_##S cmlp_select_##S(                                                   \
        cmlp_bits_##S mask, cmlp_lanes_##S x, cmlp_lanes_##S y) {                                 \
        return (cmlp_lanes_##S)((mask & (cmlp_bits_##S)x) | (~mask & (cmlp_bits_##S)y));          \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_max_##S(cmlp_lanes_##S a, cmlp_lanes_##S b) {                 \
        return cmlp_select_##S((cmlp_bits_##S)(a > b), a, b);                                     \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_min_##S(cmlp_lanes_##S a, cmlp_lanes_##S b) {                 \
        return cmlp_select_##S((cmlp_bits_##S)(a < b), a, b);                                     \
    }                                                                                             \
    CMLP_INLINE int cmlp_any_greater_##S(cmlp_lanes_##S a, cmlp_lanes_##S b) {                    \
        cmlp_bits_##S mask = (cmlp_bits_##S)(a > b);                                              \
        int any = 0;                                                                              \
        for (int i = 0; i < CMLP_WIDTH_##S; i++) any |= mask[i] != 0;                             \
        return any;                                                                               \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_sqrt_##S(cmlp_lanes_##S a) {                                  \
        for (int i = 0; i < CMLP_WIDTH_##S; i++) a[i] = CMLP_SQRT_##S(a[i]);                      \
        return a;                                                                                 \
    }
#endif
CMLP_DEFINE_SELECT(f32, CMLP_VECTOR_f32, ps)
CMLP_DEFINE_SELECT(f64, CMLP_VECTOR_f64, pd)
#define CMLP_DEFINE_IF(S)                                                                         \
    CMLP_INLINE cmlp_lanes_##S cmlp_if_less_##S(                                                  \
        cmlp_lanes_##S a, cmlp_lanes_##S b, cmlp_lanes_##S x, cmlp_lanes_##S y) {                 \
        return cmlp_select_##S((cmlp_bits_##S)(a < b), x, y);                                     \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_if_equal_##S(                                                 \
        cmlp_lanes_##S a, cmlp_lanes_##S b, cmlp_lanes_##S x, cmlp_lanes_##S y) {                 \
        return cmlp_select_##S((cmlp_bits_##S)(a == b), x, y);                                    \
    }
CMLP_DEFINE_IF(f32)
CMLP_DEFINE_IF(f64)
#endif

#else /* one element at a time */
#define CMLP_DEFINE_LANES(T, S, U)                                                                \
    typedef T cmlp_lanes_##S;                                                                     \
    typedef U cmlp_bits_##S;                                                                      \
    enum { CMLP_WIDTH_##S = 1 };                                                                  \
    CMLP_INLINE U cmlp_bits_of_##S(T x) { U i; memcpy(&i, &x, sizeof i); return i; }              \
    CMLP_INLINE T cmlp_from_bits_##S(U i) { T x; memcpy(&x, &i, sizeof x); return x; }            \
    CMLP_INLINE T cmlp_load_lanes_##S(const T *p, int count) { (void)count; return *p; }          \
    CMLP_INLINE void cmlp_store_lanes_##S(T *p, T x, int count) { (void)count; *p = x; }          \
    CMLP_INLINE T cmlp_splat_##S(T x) { return x; }                                               \
    CMLP_INLINE T cmlp_if_less_##S(T a, T b, T x, T y) { return a < b ? x : y; }                  \
    CMLP_INLINE T cmlp_if_equal_##S(T a, T b, T x, T y) { return a == b ? x : y; }                \
    CMLP_INLINE T cmlp_max_##S(T a, T b) { return a > b ? a : b; }                                \
    CMLP_INLINE T cmlp_min_##S(T a, T b) { return a < b ? a : b; }                                \
    CMLP_INLINE int cmlp_any_greater_##S(T a, T b) { return a > b; }                              \
    CMLP_INLINE T cmlp_sqrt_##S(T a) { return CMLP_SQRT_##S(a); }
CMLP_DEFINE_LANES(float, f32, uint32_t)
CMLP_DEFINE_LANES(double, f64, uint64_t)
#endif

/* |x|, x >= 0 with the sign of y, and -1, 0 or 1 for x < 0, 0 and > 0 */
#define CMLP_DEFINE_SIGN(S, SIGN)                                                                 \
    CMLP_INLINE cmlp_lanes_##S cmlp_abs_##S(cmlp_lanes_##S x) {                                   \
        return cmlp_from_bits_##S(cmlp_bits_of_##S(x) & ~(SIGN));                                 \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_with_sign_##S(cmlp_lanes_##S x, cmlp_lanes_##S y) {           \
        return cmlp_from_bits_##S(cmlp_bits_of_##S(x) | (cmlp_bits_of_##S(y) & (SIGN)));          \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_sign_##S(cmlp_lanes_##S x) {                                  \
        const cmlp_lanes_##S zero = cmlp_splat_##S(0);                                            \
        return cmlp_if_less_##S(                                                                  \
            x, zero, cmlp_splat_##S(-1), cmlp_if_less_##S(zero, x, cmlp_splat_##S(1), x));        \
    }
CMLP_DEFINE_SIGN(f32, UINT32_C(0x80000000))
CMLP_DEFINE_SIGN(f64, UINT64_C(0x8000000000000000))

/* The statements for each set of lanes of n elements: i is where it starts, count how many of its
 * lanes are elements (the others are loaded as 0 and not stored). */
#define CMLP_FOR_LANES(S, n, ...)                                                                 \
    {                                                                                             \
        ptrdiff_t i = 0;                                                                          \
        for (; i + CMLP_WIDTH_##S <= (n); i += CMLP_WIDTH_##S) {                                  \
            const int count = CMLP_WIDTH_##S;                                                     \
            __VA_ARGS__                                                                           \
        }                                                                                         \
        if (i < (n)) {                                                                            \
            const int count = (int)((n) - i);                                                     \
            __VA_ARGS__                                                                           \
        }                                                                                         \
    }

#endif
