/* Vector registers: one type per dtype, as wide as the instruction set allows, with loads and
 * stores of whole and of partial vectors. What is computed in them is in tile.h and vecmath.h. */
#ifndef CMLP_VECTOR_H
#define CMLP_VECTOR_H

#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#define CMLP_INLINE static __forceinline
#else
#define CMLP_INLINE static inline __attribute__((always_inline))
#endif

#if defined(__AVX512F__)
#define CMLP_VECTOR_BYTES 64
#elif defined(__AVX__)
#define CMLP_VECTOR_BYTES 32
#else
#define CMLP_VECTOR_BYTES 16
#endif

#if defined(__GNUC__) && !defined(CMLP_NO_VECTOR_EXTENSIONS)
#define CMLP_VECTOR_EXTENSIONS
#ifdef __clang__
#define CMLP_UNROLLED_FOR(...) _Pragma("clang loop unroll(full)") for (__VA_ARGS__)
#else
#define CMLP_UNROLLED_FOR(...) _Pragma("GCC unroll 16") for (__VA_ARGS__)
#endif
#define CMLP_DEFINE_VECTOR(T, S)                                                                  \
    typedef T cmlp_vec_##S __attribute__((vector_size(CMLP_VECTOR_BYTES)));                       \
    typedef T cmlp_uvec_##S                                                                       \
        __attribute__((vector_size(CMLP_VECTOR_BYTES), aligned(sizeof(T)), may_alias));           \
    CMLP_INLINE cmlp_vec_##S cmlp_load_##S(const T *p) { return *(const cmlp_uvec_##S *)p; }      \
    CMLP_INLINE void cmlp_store_##S(T *p, cmlp_vec_##S v) { *(cmlp_uvec_##S *)p = v; }            \
    CMLP_INLINE cmlp_vec_##S cmlp_mul_##S(cmlp_vec_##S a, cmlp_vec_##S b) { return a * b; }       \
    CMLP_INLINE cmlp_vec_##S cmlp_add_##S(cmlp_vec_##S a, cmlp_vec_##S b) { return a + b; }       \
    CMLP_INLINE cmlp_vec_##S cmlp_div_##S(cmlp_vec_##S a, cmlp_vec_##S b) { return a / b; }       \
    /* the same number in every lane */                                                           \
    CMLP_INLINE cmlp_vec_##S cmlp_spread_##S(T a) { return a - (cmlp_vec_##S){0}; }               \
    CMLP_INLINE T cmlp_lane_##S(cmlp_vec_##S v, int i) { return v[i]; }
/* a * b + c, rounded once if the machine can: left to itself, a compiler decides case by case,
 * and the same sum in two places has not the same bits */
#ifdef __FMA__
#include <immintrin.h>
#if CMLP_VECTOR_BYTES == 64
#define CMLP_MADD(type, S) (cmlp_vec_##S) _mm512_fmadd_##type
#else
#define CMLP_MADD(type, S) (cmlp_vec_##S) _mm256_fmadd_##type
#endif
#else
#define CMLP_MADD(type, S) cmlp_plain_madd_##S
#endif
#define CMLP_DEFINE_MADD(T, type, S)                                                              \
    CMLP_INLINE cmlp_vec_##S cmlp_plain_madd_##S(                                                 \
        cmlp_vec_##S a, cmlp_vec_##S b, cmlp_vec_##S c) {                                         \
        return a * b + c;                                                                         \
    }                                                                                             \
    CMLP_INLINE cmlp_vec_##S cmlp_madd_##S(cmlp_vec_##S a, cmlp_vec_##S b, cmlp_vec_##S c) {      \
        return CMLP_MADD(type, S)(a, b, c);                                                       \
    }                                                                                             \
    CMLP_INLINE cmlp_vec_##S cmlp_fma_##S(T a, cmlp_vec_##S b, cmlp_vec_##S c) {                  \
        return cmlp_madd_##S(cmlp_spread_##S(a), b, c);                                           \
    }
#else
/* compilers without vector extensions (MSVC): fixed-length loops that they may vectorise */
#define CMLP_UNROLLED_FOR(...) for (__VA_ARGS__)
#define CMLP_DEFINE_VECTOR(T, S)                                                                  \
    typedef struct {                                                                              \
        T v[CMLP_VECTOR_BYTES / sizeof(T)];                                                       \
    } cmlp_vec_##S;                                                                               \
    enum { CMLP_LANES_##S = CMLP_VECTOR_BYTES / sizeof(T) };                                      \
    CMLP_INLINE cmlp_vec_##S cmlp_load_##S(const T *p) {                                          \
        cmlp_vec_##S v;                                                                           \
        memcpy(&v, p, sizeof v);                                                                  \
        return v;                                                                                 \
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
    CMLP_INLINE cmlp_vec_##S cmlp_div_##S(cmlp_vec_##S a, cmlp_vec_##S b) {                       \
        for (int i = 0; i < CMLP_LANES_##S; i++) a.v[i] /= b.v[i];                                \
        return a;                                                                                 \
    }                                                                                             \
    CMLP_INLINE cmlp_vec_##S cmlp_madd_##S(cmlp_vec_##S a, cmlp_vec_##S b, cmlp_vec_##S c) {      \
        for (int i = 0; i < CMLP_LANES_##S; i++) c.v[i] += a.v[i] * b.v[i];                       \
        return c;                                                                                 \
    }                                                                                             \
    CMLP_INLINE cmlp_vec_##S cmlp_spread_##S(T a) {                                               \
        cmlp_vec_##S v;                                                                           \
        for (int i = 0; i < CMLP_LANES_##S; i++) v.v[i] = a;                                      \
        return v;                                                                                 \
    }                                                                                             \
    CMLP_INLINE T cmlp_lane_##S(cmlp_vec_##S v, int i) { return v.v[i]; }
#endif

CMLP_DEFINE_VECTOR(float, f32)
CMLP_DEFINE_VECTOR(double, f64)
#ifdef CMLP_VECTOR_EXTENSIONS
CMLP_DEFINE_MADD(float, ps, f32)
CMLP_DEFINE_MADD(double, pd, f64)
#endif

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
/* half a vector: a short tail in one costs half of the multiply-adds */
typedef float cmlp_half_f32 __attribute__((vector_size(32)));
typedef double cmlp_half_f64 __attribute__((vector_size(32)));
CMLP_INLINE cmlp_half_f32 cmlp_load_half_f32(const float *p, int n) {
    return (cmlp_half_f32)_mm256_maskz_loadu_ps((__mmask8)((1u << n) - 1), p);
}
CMLP_INLINE cmlp_half_f64 cmlp_load_half_f64(const double *p, int n) {
    return (cmlp_half_f64)_mm256_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
}
CMLP_INLINE void cmlp_store_half_f32(float *p, cmlp_half_f32 v, int n) {
    _mm256_mask_storeu_ps(p, (__mmask8)((1u << n) - 1), (__m256)v);
}
CMLP_INLINE void cmlp_store_half_f64(double *p, cmlp_half_f64 v, int n) {
    _mm256_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m256d)v);
}
CMLP_INLINE cmlp_half_f32 cmlp_half_fma_f32(float a, cmlp_half_f32 b, cmlp_half_f32 c) {
    return (cmlp_half_f32)_mm256_fmadd_ps((__m256)(a - (cmlp_half_f32){0}), (__m256)b, (__m256)c);
}
CMLP_INLINE cmlp_half_f64 cmlp_half_fma_f64(double a, cmlp_half_f64 b, cmlp_half_f64 c) {
    return (cmlp_half_f64)_mm256_fmadd_pd(
        (__m256d)(a - (cmlp_half_f64){0}), (__m256d)b, (__m256d)c);
}
/* as the lower half of a vector whose upper half is anything, and back: no instruction */
CMLP_INLINE cmlp_vec_f32 cmlp_whole_f32(cmlp_half_f32 v) {
    return (cmlp_vec_f32)_mm512_castps256_ps512((__m256)v);
}
CMLP_INLINE cmlp_vec_f64 cmlp_whole_f64(cmlp_half_f64 v) {
    return (cmlp_vec_f64)_mm512_castpd256_pd512((__m256d)v);
}
CMLP_INLINE cmlp_half_f32 cmlp_half_of_f32(cmlp_vec_f32 v) {
    return (cmlp_half_f32)_mm512_castps512_ps256((__m512)v);
}
CMLP_INLINE cmlp_half_f64 cmlp_half_of_f64(cmlp_vec_f64 v) {
    return (cmlp_half_f64)_mm512_castpd512_pd256((__m512d)v);
}
#else
#define CMLP_MASKED 0
#if defined(__AVX2__) && defined(__GNUC__) && !defined(CMLP_NO_VECTOR_EXTENSIONS)
#include <immintrin.h>
/* loads only: some processors are slow at masked stores */
CMLP_INLINE cmlp_vec_f32 cmlp_load_n_f32(const float *p, int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (cmlp_vec_f32)_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane));
}
CMLP_INLINE cmlp_vec_f64 cmlp_load_n_f64(const double *p, int n) {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return (cmlp_vec_f64)_mm256_maskload_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane));
}
#else
#define CMLP_DEFINE_LOAD_N(T, S)                                                                  \
    CMLP_INLINE cmlp_vec_##S cmlp_load_n_##S(const T *p, int n) {                                 \
        T lanes[CMLP_VECTOR_BYTES / sizeof(T)] = {0};                                             \
        for (int i = 0; i < n; i++) lanes[i] = p[i];                                              \
        return cmlp_load_##S(lanes);                                                              \
    }
CMLP_DEFINE_LOAD_N(float, f32)
CMLP_DEFINE_LOAD_N(double, f64)
#endif
#define CMLP_DEFINE_PARTIAL(T, S)                                                                 \
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

/* The same for n up to all lanes, which costs nothing where n is a constant. */
#define CMLP_DEFINE_UP_TO(T, S)                                                                   \
    CMLP_INLINE cmlp_vec_##S cmlp_get_##S(const T *p, int n) {                                    \
        return n == CMLP_VECTOR_BYTES / sizeof(T) ? cmlp_load_##S(p) : cmlp_load_n_##S(p, n);     \
    }                                                                                             \
    CMLP_INLINE void cmlp_put_##S(T *p, cmlp_vec_##S v, int n) {                                  \
        if (n == CMLP_VECTOR_BYTES / sizeof(T)) cmlp_store_##S(p, v);                             \
        else cmlp_store_n_##S(p, v, n);                                                           \
    }
CMLP_DEFINE_UP_TO(float, f32)
CMLP_DEFINE_UP_TO(double, f64)

#endif
