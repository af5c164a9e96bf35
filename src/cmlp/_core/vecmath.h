/* Branch-free exp, tanh and logistic for one element, float and double, written so that
 * a plain loop around them is vectorised for any instruction set. No loops, no tables.
 *
 * exp(x) = 2^n * exp(r), n = round(x / ln 2), r = x - n ln 2 in [-ln2/2, ln2/2]; exp(r) - 1 is
 * r + r^2 q(r) with q interpolated at Chebyshev nodes (relative error of exp(r): 1.7e-17 for
 * double, 2.2e-10 for float). Rounding to an integer adds and subtracts 1.5 * 2^mantissa_bits,
 * which leaves n in the low bits of the sum; 2^n is made of those bits. */
#ifndef CMLP_VECMATH_H
#define CMLP_VECMATH_H

#include <math.h>
#include "vector.h"

CMLP_INLINE uint64_t cmlp_bits_f64(double x) { uint64_t i; memcpy(&i, &x, sizeof i); return i; }
CMLP_INLINE uint32_t cmlp_bits_f32(float x) { uint32_t i; memcpy(&i, &x, sizeof i); return i; }

/* 2^n for an integer-valued n whose power is a normal number */
CMLP_INLINE double cmlp_pow2_f64(double n) {
    uint64_t i = (cmlp_bits_f64(n + 0x1.8p52) + 1023) << 52;
    double x; memcpy(&x, &i, sizeof x); return x;
}
CMLP_INLINE float cmlp_pow2_f32(float n) {
    uint32_t i = (cmlp_bits_f32(n + 0x1.8p23f) + 127) << 23;
    float x; memcpy(&x, &i, sizeof x); return x;
}

CMLP_INLINE double cmlp_round_f64(double x) { return (x + 0x1.8p52) - 0x1.8p52; }
CMLP_INLINE float cmlp_round_f32(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

/* exp(r) - 1 after the reduction of x; *n receives the power of two */
CMLP_INLINE double cmlp_expm1_reduced_f64(double x, double *n) {
    double k = cmlp_round_f64(x * 0x1.71547652b82fep+0);
    double r = (x - k * 0x1.62e42p-1) - k * 0x1.fdf473de6af28p-22;
    double q = 0x1.af390ba7e6f47p-26;
    q = q * r + 0x1.2891d4ffbb0f9p-22;
    q = q * r + 0x1.71de0d85293b8p-19;
    q = q * r + 0x1.a019b8ca26fcfp-16;
    q = q * r + 0x1.a01a01a7cebcdp-13;
    q = q * r + 0x1.6c16c1789d1d7p-10;
    q = q * r + 0x1.11111111109a6p-7;
    q = q * r + 0x1.5555555553d37p-5;
    q = q * r + 0x1.5555555555556p-3;
    q = q * r + 0x1.0000000000001p-1;
    *n = k;
    return r + r * r * q;
}
CMLP_INLINE float cmlp_expm1_reduced_f32(float x, float *n) {
    float k = cmlp_round_f32(x * 0x1.715476p+0f);
    float r = (x - k * 0x1.63p-1f) + k * 0x1.bd0106p-13f;
    float q = 0x1.a1256cp-13f;
    q = q * r + 0x1.6d43b0p-10f;
    q = q * r + 0x1.1110e0p-7f;
    q = q * r + 0x1.5554e8p-5f;
    q = q * r + 0x1.555556p-3f;
    q = q * r + 0x1.0p-1f;
    *n = k;
    return r + r * r * q;
}

/* The three functions, from the reduction above. The power is applied in two halves so that
 * overflow gives inf and underflow passes through the denormals; comparisons are written so
 * that NaN falls through them. */
#define CMLP_DEFINE_VECMATH(S, T, LOWEST, HIGHEST, TANH_ONE)                                   \
    CMLP_INLINE T cmlp_exp_##S(T x) {                                                           \
        T n, half, p;                                                                           \
        x = x < (T)(LOWEST) ? (T)(LOWEST) : x;                                                  \
        x = x > (T)(HIGHEST) ? (T)(HIGHEST) : x;                                                \
        p = 1 + cmlp_expm1_reduced_##S(x, &n);                                                  \
        half = cmlp_round_##S(n * (T)0.5);                                                      \
        return p * cmlp_pow2_##S(half) * cmlp_pow2_##S(n - half);                               \
    }                                                                                           \
    /* tanh|x| = e / (e + 2), e = exp(2|x|) - 1: no cancellation near 0 */                      \
    CMLP_INLINE T cmlp_tanh_##S(T x) {                                                          \
        T n, e, scale, a = x < 0 ? -x : x;                                                      \
        a = a > (T)(TANH_ONE) ? (T)(TANH_ONE) : a;                                              \
        e = cmlp_expm1_reduced_##S(2 * a, &n);                                                  \
        scale = cmlp_pow2_##S(n);                                                               \
        e = scale * e + (scale - 1);                                                            \
        e = e / (e + 2);                                                                        \
        return x < 0 ? -e : (x == 0 ? x : e);                                                   \
    }                                                                                           \
    /* 1 / (1 + exp(-x)) from exp(-|x|), which cannot overflow */                               \
    CMLP_INLINE T cmlp_logistic_##S(T x) {                                                      \
        T e = cmlp_exp_##S(x < 0 ? x : -x);                                                     \
        return (x < 0 ? e : 1) / (1 + e);                                                       \
    }

CMLP_DEFINE_VECMATH(f32, float, -104, 89, 10)
CMLP_DEFINE_VECMATH(f64, double, -746, 710, 20)

#endif
