/* expm1, log1p and the normal distribution for lanes of both dtypes, over the ranges on which
 * activations need them: what activations.h is written in beside vecmath.h. */
#ifndef CMLP_SPECIAL_H
#define CMLP_SPECIAL_H

#include "vecmath.h"

/* (expm1(r) - r) / r^2 for |r| <= ln(2) / 2, fitted to the smallest relative error of expm1:
 * 5e-10 and 1.9e-17. The powers of 2 are exact in one step, without a table. */
/* clang-format off */
#define CMLP_EXPM1_POLY_f32(r)                                                                    \
    CMLP_POLY_6(r, 0x1p-1f, 0x1.555554p-3f, 0x1.5554fp-5f, 0x1.1113p-7f, 0x1.6d43ccp-10f,         \
                0x1.9e050ap-13f)
#define CMLP_EXPM1_POLY_f64(r)                                                                    \
    CMLP_POLY_10(r, 0x1.0000000000005p-1, 0x1.555555555553cp-3, 0x1.555555555209dp-5,             \
                 0x1.1111111118656p-7, 0x1.6c16c17f5b89cp-10, 0x1.a01a017825ed2p-13,              \
                 0x1.a019a5fa4cd3ep-16, 0x1.71de810a52aa8p-19, 0x1.28a34f1179545p-22,             \
                 0x1.ae77544466fcbp-26)
/* clang-format on */

/* expm1(x), and exp(x) but for 0 where it is no normal number; x <= 0 */
#define CMLP_DEFINE_EXPM1(T, S, MANTISSA, BIAS, NORMAL)                                           \
    CMLP_INLINE cmlp_lanes_##S cmlp_expm1_##S(cmlp_lanes_##S x, cmlp_lanes_##S *exp) {            \
        const T magic = (T)1.5 * ((uint64_t)1 << MANTISSA);                                       \
        const cmlp_lanes_##S lowest = cmlp_splat_##S(-NORMAL);                                    \
        cmlp_lanes_##S y = cmlp_max_##S(lowest, x), t, n, r, p, power;                            \
        t = y * (T)0x1.71547652b82fep+0 + magic;                                                  \
        n = t - magic;                                                                            \
        r = (y - n * CMLP_LN2_HIGH_##S) - n * CMLP_LN2_LOW_##S;                                   \
        p = r + r * r * CMLP_EXPM1_POLY_##S(r);                                                   \
        power = cmlp_from_bits_##S((cmlp_bits_of_##S(t) + BIAS) << MANTISSA);                     \
        *exp = cmlp_if_less_##S(x, lowest, cmlp_splat_##S(0), power + power * p);                 \
        return (power - 1) + power * p;                                                           \
    }
CMLP_DEFINE_EXPM1(float, f32, 23, 127, 87)
CMLP_DEFINE_EXPM1(double, f64, 52, 1023, 708)

/* log(1 + x), 0 <= x <= 1, as log in vecmath.h, but with f = x, or (x - 1) / 2 and k = 1 */
#define CMLP_DEFINE_LOG1P(T, S)                                                                   \
    CMLP_INLINE cmlp_lanes_##S cmlp_log1p_##S(cmlp_lanes_##S x) {                                 \
        const cmlp_lanes_##S zero = cmlp_splat_##S(0), root = cmlp_splat_##S((T)0x1.a8279ap-2);   \
        cmlp_lanes_##S f = cmlp_if_less_##S(root, x, x * (T)0.5 - (T)0.5, x);                     \
        cmlp_lanes_##S k = cmlp_if_less_##S(root, x, 1 + zero, zero);                             \
        cmlp_lanes_##S s = f / (2 + f), z = s * s, half = (T)0.5 * f * f;                         \
        return k * CMLP_LN2_HIGH_##S                                                              \
            - ((half - (s * (half + z * CMLP_LOG_POLY_##S(z)) + k * CMLP_LN2_LOW_##S)) - f);      \
    }
CMLP_DEFINE_LOG1P(float, f32)
CMLP_DEFINE_LOG1P(double, f64)

/* The normal distribution at -a, a >= 0, is exp(-a^2 / 2) g(a), and g(a) is
 * h((a - c) / (a + c)) / (a + c), h a polynomial, as it varies little (Shepherd & Laframboise,
 * "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", Math. Comp. 36, 1981), fitted to 2.6e-17
 * and 1.1e-8; c makes h(0) nearly a number of the dtype. */
#define CMLP_DEFINE_TAIL(S, CENTRE)                                                               \
    CMLP_INLINE cmlp_lanes_##S cmlp_tail_##S(cmlp_lanes_##S a) {                                  \
        cmlp_lanes_##S u = 1 / (a + CENTRE), t = 2 * a * u - 1;                                   \
        return CMLP_TAIL_POLY_##S(t) * u;                                                         \
    }
/* clang-format off */
#define CMLP_TAIL_POLY_f64(t)                                                                     \
    ((0x1.82b53e6be5a89p-1) + (t) * ((-0x1.37404574ac929p-1) + (t) * ((0x1.8c74fc1e08d0cp-2)      \
     + (t) * (CMLP_POLY_4(t, -0x1.7e0e85b20cddep-3, 0x1.eeef777d64ed1p-5,                         \
                          -0x1.eeba188b7b62dp-8, -0x1.c7e7dac1f788dp-9)                           \
     + ((t) * (t)) * ((t) * (t)) * (CMLP_POLY_8(                                                  \
        t, 0x1.abb26979400dep-10, 0x1.16cf96a70e931p-13, -0x1.e4b8b4d656558p-13,                  \
        -0x1.ecfc69ff63f5dp-20, 0x1.26d409c36ad02p-15, 0x1.78cbc195de141p-21,                     \
        -0x1.8d53d318c96cfp-18, -0x1.4e51c2c9a77b6p-21)                                           \
     + (((t) * (t)) * ((t) * (t))) * (((t) * (t)) * ((t) * (t))) * CMLP_POLY_8(                   \
        t, 0x1.126797465a98bp-20, 0x1.1b30ef9f38222p-22, -0x1.5099937c5d4a4p-23,                  \
        -0x1.4b87804dd0399p-24, 0x1.14b8e237c3a79p-26, 0x1.f6dc29ccc6191p-27,                     \
        -0x1.7a11bb5d568fbp-32, -0x1.4a0526be57e72p-30))))))
/* clang-format on */
CMLP_DEFINE_TAIL(f64, 0x1.000378p+2)

#if CMLP_STEPS == 1
/* clang-format off */
#define CMLP_TAIL_POLY_f32(t)                                                                     \
    CMLP_POLY_10(t, 0x1.82b51ep-1f, -0x1.373fc2p-1f, 0x1.8c731cp-2f, -0x1.7e0b9ep-3f,             \
                 0x1.eef08p-5f, -0x1.ed9394p-8f, -0x1.cb747p-9f, 0x1.9c0566p-10f,                 \
                 0x1.67683cp-13f, -0x1.1eca7ep-13f)
/* clang-format on */
CMLP_DEFINE_TAIL(f32, 0x1.00029cp+2f)
#else
/* 16 polynomials c + sum_i b_i (a - x0)^i, chosen by the exponent and the first two bits of the
 * mantissa of a + 1. Each x0 is near the middle of its interval, where g is nearly a float; errors
 * of the fits: 1.1e-7 at most. Rows: x0, c, b_1, b_2, ... */
/* clang-format off */
static const float cmlp_tail_pieces_f32[7][16] = {
    {0x1.4000acp+0f, 0x1.bffd44p+0f, 0x1.2000d8p+1f, 0x1.600268p+1f, 0x1.bffd08p+1f,
     0x1.2000fap+2f, 0x1.600318p+2f, 0x1.a001dap+2f, 0x1.000112p+3f, 0x1.40008cp+3f,
     0x1.7fff9ap+3f, 0x1.bfff54p+3f, 0x1.000122p-3f, 0x1.80008cp-2f, 0x1.400008p-1f,
     0x1.bffe78p-1f},
    {0x1.d89846p-3f, 0x1.7b5c6p-3f, 0x1.3aad26p-3f, 0x1.0bb7e4p-3f, 0x1.b39984p-4f,
     0x1.5b59b8p-4f, 0x1.201d46p-4f, 0x1.eba3e6p-5f, 0x1.9267dp-5f, 0x1.43a3p-5f, 0x1.0e7e14p-5f,
     0x1.d0885ep-6f, 0x1.d0aefap-2f, 0x1.84b6e2p-2f, 0x1.4b1ddep-2f, 0x1.1e7ca6p-2f},
    {-0x1.c4922p-4f, -0x1.325616p-4f, -0x1.b403f8p-5f, -0x1.4327acp-5f, -0x1.b6085ep-6f,
     -0x1.1be10ep-6f, -0x1.8b12f4p-7f, -0x1.21ac26p-7f, -0x1.86b51ap-8f, -0x1.fbf11cp-9f,
     -0x1.63d08p-9f, -0x1.06ce86p-9f, -0x1.5e6e32p-2f, -0x1.06bf8ap-2f, -0x1.932346p-3f,
     -0x1.3bb03ap-3f},
    {0x1.7b7684p-5f, 0x1.bd4912p-6f, 0x1.15a81cp-6f, 0x1.6c582cp-7f, 0x1.a29f42p-8f,
     0x1.bfb37ep-9f, 0x1.07dc86p-9f, 0x1.4ea00ep-10f, 0x1.7619bap-11f, 0x1.8aeca4p-12f,
     0x1.d0fa9cp-13f, 0x1.27e88cp-13f, 0x1.a4e096p-3f, 0x1.222ebp-3f, 0x1.9a4568p-4f,
     0x1.28bfe4p-4f},
    {-0x1.1f3496p-6f, -0x1.2968f2p-7f, -0x1.49b7ccp-8f, -0x1.8385a4p-9f, -0x1.7e8c52p-10f,
     -0x1.55ba4ap-11f, -0x1.57f496p-12f, -0x1.7b5b7cp-13f, -0x1.61851cp-14f, -0x1.305474p-15f,
     -0x1.2de284p-16f, -0x1.4b9254p-17f, -0x1.b02b32p-4f, -0x1.15c6bap-4f, -0x1.6e93fp-5f,
     -0x1.efa5ep-6f},
    {0x1.936c04p-8f, 0x1.74c8dap-9f, 0x1.72ef06p-10f, 0x1.899ac6p-11f, 0x1.54de38p-12f,
     0x1.ffd7acp-14f, 0x1.b9dfbp-15f, 0x1.a928a2p-16f, 0x1.4fe63p-17f, 0x1.d6bfb6p-19f,
     0x1.890046p-20f, 0x1.7448dep-21f, 0x1.8b3a52p-5f, 0x1.ddacb6p-6f, 0x1.288b96p-6f,
     0x1.799ec6p-7f},
    {-0x1.0466a6p-9f, -0x1.b20d98p-11f, -0x1.89544p-12f, -0x1.7b2028p-13f, -0x1.1ea21ap-14f,
     -0x1.6ebc74p-16f, -0x1.12f1acp-17f, -0x1.cf42dcp-19f, -0x1.33ad92p-20f, -0x1.62ff0ep-22f,
     -0x1.f59066p-24f, -0x1.9e9c1ep-25f, -0x1.465866p-6f, -0x1.78ce02p-7f, -0x1.b4a0b4p-8f,
     -0x1.062604p-8f}};
/* clang-format on */
CMLP_INLINE cmlp_lanes_f32 cmlp_tail_piece_f32(cmlp_bits_f32 piece, int i) {
    return (cmlp_lanes_f32)_mm512_permutexvar_ps(
        (__m512i)piece, _mm512_loadu_ps(cmlp_tail_pieces_f32[i]));
}
CMLP_INLINE cmlp_lanes_f32 cmlp_tail_f32(cmlp_lanes_f32 a) {
    cmlp_bits_f32 piece = cmlp_bits_of_f32(a + 1) >> 21;
    cmlp_lanes_f32 r = a - cmlp_tail_piece_f32(piece, 0);
    cmlp_lanes_f32 y = cmlp_tail_piece_f32(piece, 6);
    CMLP_UNROLLED_FOR(int i = 5; i > 0; i--) y = y * r + cmlp_tail_piece_f32(piece, i);
    return y;
}
#endif

/* exp(-a^2 / 2) = power (1 + p); the square is exact, and the power may be any number, also 0 */
#if CMLP_STEPS > 1
/* 2^(k/16) from n = k / 16, and from t, whose low bits are k */
CMLP_INLINE cmlp_lanes_f32 cmlp_any_power_f32(cmlp_lanes_f32 t, cmlp_lanes_f32 n) {
    const cmlp_bits_f32 j = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (cmlp_lanes_f32)_mm512_scalef_ps(
        _mm512_permutexvar_ps((__m512i)t, (__m512)cmlp_power_f32(cmlp_from_bits_f32(j))),
        (__m512)n);
}
CMLP_INLINE cmlp_lanes_f64 cmlp_any_power_f64(cmlp_lanes_f64 t, cmlp_lanes_f64 n) {
    return (cmlp_lanes_f64)_mm512_scalef_pd(
        (__m512d)cmlp_power_f64(cmlp_from_bits_f64(cmlp_bits_of_f64(t) & 15)), (__m512d)n);
}
#define CMLP_DEFINE_GAUSS(T, S, MANTISSA, P, V)                                                   \
    CMLP_INLINE cmlp_lanes_##S cmlp_gauss_##S(cmlp_lanes_##S a, cmlp_lanes_##S *power) {          \
        cmlp_lanes_##S half = a * (T) - 0.5, high = cmlp_splat_##S(-CMLP_LN2_HIGH_##S);           \
        cmlp_lanes_##S t = half * a * (T)0x1.71547652b82fep+0 + CMLP_MAGIC(T, MANTISSA);          \
        cmlp_lanes_##S n = t - CMLP_MAGIC(T, MANTISSA);                                           \
        cmlp_lanes_##S r = (cmlp_lanes_##S)_mm512_fmadd_##P((V)half, (V)a, (V)(n * high))         \
            - n * CMLP_LN2_LOW_##S;                                                               \
        *power = cmlp_any_power_##S(t, n);                                                        \
        return r + r * r * CMLP_EXP_POLY_##S(r);                                                  \
    }
CMLP_DEFINE_GAUSS(float, f32, 23, ps, __m512)
CMLP_DEFINE_GAUSS(double, f64, 52, pd, __m512d)
#else
/* half of the bits of a have an exact square */
#define CMLP_DEFINE_GAUSS(T, S, MANTISSA, HALF)                                                   \
    CMLP_INLINE cmlp_lanes_##S cmlp_gauss_##S(cmlp_lanes_##S a, cmlp_lanes_##S *power) {          \
        cmlp_lanes_##S first = cmlp_from_bits_##S(cmlp_bits_of_##S(a) & (HALF));                  \
        cmlp_lanes_##S square = first * first * (T) - 0.5;                                        \
        cmlp_lanes_##S rest = (a - first) * (a + first) * (T) - 0.5;                              \
        cmlp_lanes_##S t = (square + rest) * (T)0x1.71547652b82fep+0 + CMLP_MAGIC(T, MANTISSA);   \
        cmlp_lanes_##S n = t - CMLP_MAGIC(T, MANTISSA);                                           \
        cmlp_lanes_##S r = (square - n * CMLP_LN2_HIGH_##S) + (rest - n * CMLP_LN2_LOW_##S);      \
        *power = cmlp_scale_##S(cmlp_splat_##S(0), t, n);                                         \
        return r + r * r * CMLP_EXP_POLY_##S(r);                                                  \
    }
CMLP_DEFINE_GAUSS(float, f32, 23, UINT32_C(0xfffff000))
CMLP_DEFINE_GAUSS(double, f64, 52, UINT64_C(0xfffffffff8000000))
#endif

/* With a = |z| and Q(a) the normal distribution at -a: a Q(a), and its derivative, which is
 * Q(a) - a exp(-a^2 / 2) / sqrt(2 pi). HIGHEST: beyond it both are 0. */
#define CMLP_DEFINE_NORMAL(T, S, HIGHEST)                                                         \
    CMLP_INLINE cmlp_lanes_##S cmlp_weighted_tail_##S(cmlp_lanes_##S z, cmlp_lanes_##S *slope) {  \
        cmlp_lanes_##S a = cmlp_min_##S(cmlp_splat_##S(HIGHEST), cmlp_abs_##S(z)), power;         \
        cmlp_lanes_##S p = cmlp_gauss_##S(a, &power), g = cmlp_tail_##S(a);                       \
        cmlp_lanes_##S tail = power * (g + g * p);                                                \
        *slope = tail - a * (power + power * p) * (T)0x1.9884533d43651p-2;                        \
        return a * tail;                                                                          \
    }
CMLP_DEFINE_NORMAL(float, f32, 14.5f)
CMLP_DEFINE_NORMAL(double, f64, 39)

#define EXPM1(x, exp) CMLP_OF(expm1, DTYPE)(x, exp)
#define LOG1P(x) CMLP_OF(log1p, DTYPE)(x)
#define WEIGHTED_TAIL(z, slope) CMLP_OF(weighted_tail, DTYPE)(z, slope)

#endif
