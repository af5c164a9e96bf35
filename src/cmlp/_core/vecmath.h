/* exp, tanh, logistic and log, within 2 units in the last place over the whole range, for lanes of
 * both dtypes: one source, branch-free but for the rare results that are not normal numbers.
 *
 * exp(x) = 2^(k/steps) * exp(r), k = round(steps * x / ln 2), r = x - k ln2 / steps. Rounding adds
 * and subtracts 1.5 * 2^mantissa_bits / steps, which leaves k in the low bits of the sum. With
 * AVX-512 there are 16 steps, whose powers stand in registers, and elsewhere one. exp(r) - 1 is
 * r + r^2 q(r), q fitted (Lawson's iteration, coefficients rounded one after another) to the
 * smallest relative error of exp(r): 1.6e-9 and 1.2e-17 with 16 steps, 3.2e-9 and
 * 3.8e-18 with one. */
#ifndef CMLP_VECMATH_H
#define CMLP_VECMATH_H

#include <math.h>
#include "lanes.h"

/* Polynomials in Estrin's order, by powers of r^2, so that what follows waits for less; the
 * longest begins in Horner's, which rounds less. */
#define CMLP_POLY_2(r, c0, c1) ((c0) + (r) * (c1))
#define CMLP_POLY_4(r, c0, c1, c2, c3)                                                            \
    (CMLP_POLY_2(r, c0, c1) + (r) * (r) * CMLP_POLY_2(r, c2, c3))
#define CMLP_POLY_5(r, c0, c1, c2, c3, c4)                                                        \
    (CMLP_POLY_2(r, c0, c1) + (r) * (r) * (CMLP_POLY_2(r, c2, c3) + (r) * (r) * (c4)))
#define CMLP_POLY_6(r, c0, c1, c2, c3, c4, c5)                                                    \
    (CMLP_POLY_2(r, c0, c1) + (r) * (r) * CMLP_POLY_4(r, c2, c3, c4, c5))
#define CMLP_POLY_7(r, c0, c1, c2, c3, c4, c5, c6)                                                \
    (CMLP_POLY_2(r, c0, c1) + (r) * (r) * CMLP_POLY_5(r, c2, c3, c4, c5, c6))
#define CMLP_POLY_8(r, c0, c1, c2, c3, c4, c5, c6, c7)                                            \
    (CMLP_POLY_4(r, c0, c1, c2, c3)                                                               \
     + ((r) * (r)) * ((r) * (r)) * CMLP_POLY_4(r, c4, c5, c6, c7))
#define CMLP_POLY_10(r, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9)                                   \
    ((c0) + (r) * ((c1) + (r) * CMLP_POLY_8(r, c2, c3, c4, c5, c6, c7, c8, c9)))

#if defined(__AVX512F__) && defined(__GNUC__) && !defined(CMLP_NO_VECTOR_EXTENSIONS)
#define CMLP_STEPS 16
#define CMLP_EXP_POLY_f32(r) CMLP_POLY_2(r, 0x1.00022p-1f, 0x1.555648p-3f)
#define CMLP_EXP_POLY_f64(r)                                                                      \
    CMLP_POLY_5(r, 0x1.fffffffffffb8p-2, 0x1.555555548f129p-3, 0x1.55555559047b1p-5,              \
                0x1.11123b0515c63p-7, 0x1.6c14c214fe703p-10)

/* the bits of 2^(j/16), less j at the place where k is added */
static const uint32_t cmlp_powers_f32[16] = {
    0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532,
    0x3f75fed7, 0x3f75583f, 0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c,
    0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};
static const uint64_t cmlp_powers_f64[16] = {
    0x3ff0000000000000, 0x3fefb5586cf9890f, 0x3fef72b83c7d517b, 0x3fef387a6e756238,
    0x3fef06fe0a31b715, 0x3feedea64c123422, 0x3feebfdad5362a27, 0x3feeab07dd485429,
    0x3feea09e667f3bcd, 0x3feea11473eb0187, 0x3feeace5422aa0db, 0x3feec49182a3f090,
    0x3feee89f995ad3ad, 0x3fef199bdd85529c, 0x3fef5818dcfba487, 0x3fefa4afa2a490da};
/* (2^(j/16) - 1) / 2 */
static const double cmlp_half_powers_less_1_f64[16] = {
    0, 0x1.6ab0d9f3121ecp-6, 0x1.72b83c7d517aep-5, 0x1.1c3d373ab11c3p-4,
    0x1.837f0518db8a9p-4, 0x1.ef5326091a112p-4, 0x1.2ff6b54d8a89cp-3, 0x1.6ac1f752150a5p-3,
    0x1.a827999fcef32p-3, 0x1.e8451cfac061bp-3, 0x1.159ca845541b7p-2, 0x1.389230547e120p-2,
    0x1.5d13f32b5a75bp-2, 0x1.83337bb0aa538p-2, 0x1.ab031b9f7490ep-2, 0x1.d495f454921b3p-2};

/* what these lose to rounding */
static const double cmlp_powers_lost_f64[16] = {
    0, 0x1.4c5c95b8c2155p-60, -0x1.9041b9d78a75bp-60, 0x1.b07eb6c70572dp-59,
    0x1.bd1ab48c60b91p-58, -0x1.497dbb83d8512p-58, 0x1.d4397afec42e2p-57, 0x1.8c93015191eb3p-57,
    0x1.08b2fb1366ea9p-57, 0x1.7d51023f6cda2p-57, -0x1.22c1d52f369b2p-56, 0x1.c7c46b071f2bep-57,
    -0x1.0bc65974466fdp-56, 0x1.11065895048ddp-56, 0x1.2ed02d75b3707p-56, 0x1.63dce863d76ccp-59};

/* 2^(k/16) from the sum t whose low bits are k */
CMLP_INLINE cmlp_lanes_f32 cmlp_power_f32(cmlp_lanes_f32 t) {
    cmlp_bits_f32 k = cmlp_bits_of_f32(t);
    cmlp_bits_f32 powers = (cmlp_bits_f32)_mm512_permutexvar_epi32(
        (__m512i)k, _mm512_loadu_si512(cmlp_powers_f32));
    return cmlp_from_bits_f32(powers + (k << 19));
}
CMLP_INLINE cmlp_lanes_f64 cmlp_lookup_f64(cmlp_lanes_f64 t, const void *table) {
    return (cmlp_lanes_f64)_mm512_permutex2var_epi64(
        _mm512_loadu_si512(table), (__m512i)t, _mm512_loadu_si512((const char *)table + 64));
}
CMLP_INLINE cmlp_lanes_f64 cmlp_power_f64(cmlp_lanes_f64 t) {
    return cmlp_from_bits_f64(
        cmlp_bits_of_f64(cmlp_lookup_f64(t, cmlp_powers_f64)) + (cmlp_bits_of_f64(t) << 48));
}
/* (1 + p) 2^(k/16) whatever it comes to: inf, a denormal or 0 */
#define CMLP_DEFINE_SCALE(S, P, V)                                                                \
    CMLP_INLINE cmlp_lanes_##S cmlp_scale_##S(                                                    \
        cmlp_lanes_##S p, cmlp_lanes_##S t, cmlp_lanes_##S n) {                                   \
        cmlp_lanes_##S power = cmlp_power_##S(cmlp_from_bits_##S(cmlp_bits_of_##S(t) & 15));      \
        return (cmlp_lanes_##S)_mm512_scalef_##P((V)(power + power * p), (V)n);                   \
    }
CMLP_DEFINE_SCALE(f32, ps, __m512)
CMLP_DEFINE_SCALE(f64, pd, __m512d)

#define CMLP_TANH_POLY_f64(r)                                                                     \
    CMLP_POLY_6(r, 0x1.ffffffffffffcp-1, 0x1.55555555552d6p-1, 0x1.5555555639a8fp-2,              \
                0x1.111111055b63cp-3, 0x1.6c1429fa49a7ap-5, 0x1.a3faf51ee0c76p-7)

/* (exp(2 x) - 1) / 2, x >= 0, and three terms whose sum is closer to it */
CMLP_INLINE cmlp_lanes_f64 cmlp_half_expm1_f64(
    cmlp_lanes_f64 t, cmlp_lanes_f64 r, cmlp_lanes_f64 *a, cmlp_lanes_f64 *b, cmlp_lanes_f64 *c) {
    cmlp_lanes_f64 power = cmlp_power_f64(t), from_16 = cmlp_splat_f64(0x1.8p48 + 1);
    *a = (cmlp_lanes_f64)_mm512_mask_blend_pd(
        _mm512_cmp_pd_mask((__m512d)t, (__m512d)from_16, _CMP_GE_OQ),
        (__m512d)cmlp_lookup_f64(t, cmlp_half_powers_less_1_f64), (__m512d)(0.5 * power - 0.5));
    *b = power * r;
    *c = *b * (r * CMLP_TANH_POLY_f64(r)) + cmlp_lookup_f64(t, cmlp_powers_lost_f64);
    return *a + (*b + *c);
}
#define CMLP_THIRD(term) term
/* 1 / d, to three digits */
CMLP_INLINE cmlp_lanes_f64 cmlp_estimate_f64(cmlp_lanes_f64 d, cmlp_lanes_f64 rest) {
    (void)rest;
    return (cmlp_lanes_f64)_mm512_rcp14_pd((__m512d)d);
}

/* tanh in float: 32 polynomials c + sum_i a_i (|x| - x0)^i, chosen by exponent and the first two
 * bits of the mantissa of |x| in [0.039, 10). Each x0 is near the middle of its interval, where
 * tanh is nearly a float; errors of the fits: 0.26 units at most. */
static const float cmlp_tanh_pieces[7][32] = {
     {0x1.1ffe24p+1f, 0x1.60023p+1f, 0x1.a0006ep+1f, 0x1.e001ecp+1f, 0x1.1ffee2p+2f,
      0x1.600258p+2f, 0x1.9ffda8p+2f, 0x1.e00258p+2f, 0x1.4p+3f, 0, 0x1.9fff36p-5f,
      0x1.dfff48p-5f, 0x1.1ffdeep-4f, 0x1.5ffee6p-4f, 0x1.9ffde6p-4f, 0x1.e001e8p-4f,
      0x1.2000dep-3f, 0x1.5ffecep-3f, 0x1.9fff9ap-3f, 0x1.dfff3p-3f, 0x1.1ffe3ap-2f,
      0x1.600068p-2f, 0x1.9ffe82p-2f, 0x1.e000eap-2f, 0x1.1ffeb2p-1f, 0x1.5ffe5ap-1f,
      0x1.a00154p-1f, 0x1.dfffbp-1f, 0x1.1ffeb6p+0f, 0x1.5fffdap+0f, 0x1.9fff1p+0f,
      0x1.e00076p+0f},
     {0x1.f4bf84p-1f, 0x1.fbd52ep-1f, 0x1.fe767cp-1f, 0x1.ff6f1cp-1f, 0x1.ffdfa6p-1f,
      0x1.fffbap-1f, 0x1.ffff68p-1f, 0x1.ffffecp-1f, 0x1p+0f, 0, 0x1.9fa3c4p-5f, 0x1.df72dap-5f,
      0x1.1f84aep-4f, 0x1.5f21bap-4f, 0x1.9e9142p-4f, 0x1.ddd274p-4f, 0x1.1e1eaap-3f,
      0x1.5c91dep-3f, 0x1.9a5ebap-3f, 0x1.d76598p-3f, 0x1.18a1f6p-2f, 0x1.52c322p-2f,
      0x1.8a869cp-2f, 0x1.bfaf28p-2f, 0x1.050778p-1f, 0x1.3156dp-1f, 0x1.5789bap-1f,
      0x1.77d814p-1f, 0x1.9e5bd2p-1f, 0x1.c27894p-1f, 0x1.d9c6b6p-1f, 0x1.e878b4p-1f},
     {0x1.641aa6p-5f, 0x1.099ea8p-6f, 0x1.88ecdp-8f, 0x1.219f06p-9f, 0x1.02c9b6p-11f,
      0x1.181e56p-14f, 0x1.2f762ep-17f, 0x1.485daap-20f, 0x1.d561a4p-24f, 0x1p+0f, 0x1.feae96p-1f,
      0x1.fe3f08p-1f, 0x1.fd7a2ap-1f, 0x1.fc3cc4p-1f, 0x1.fac14cp-1f, 0x1.f9084cp-1f,
      0x1.f601bcp-1f, 0x1.f12b18p-1f, 0x1.eb7164p-1f, 0x1.e4dfc8p-1f, 0x1.d98baap-1f,
      0x1.c7f704p-1f, 0x1.b3ffacp-1f, 0x1.9e235cp-1f, 0x1.7aebe2p-1f, 0x1.49e804p-1f,
      0x1.197ed2p-1f, 0x1.d8354p-2f, 0x1.6152e4p-2f, 0x1.cea7bep-3f, 0x1.266032p-3f,
      0x1.6fce64p-4f},
     {-0x1.5c44bp-5f, -0x1.077158p-6f, -0x1.87b7d4p-8f, -0x1.214778p-9f, -0x1.026694p-11f,
      -0x1.1977ap-14f, -0x1.27329cp-17f, -0x1.c1a0f4p-20f, 0x1.a3df24p-22f, 0x1.41ed02p-29f,
      -0x1.9e8feep-5f, -0x1.ddce2ap-5f, -0x1.1e1b0ep-4f, -0x1.5c8cep-4f, -0x1.9a51f6p-4f,
      -0x1.d750a8p-4f, -0x1.1888b8p-3f, -0x1.52791p-3f, -0x1.89e4d2p-3f, -0x1.be6c9ep-3f,
      -0x1.038e2ap-2f, -0x1.2dafd6p-2f, -0x1.4ff66cp-2f, -0x1.6a1d96p-2f, -0x1.825d92p-2f,
      -0x1.897d44p-2f, -0x1.79c06ap-2f, -0x1.5aa25cp-2f, -0x1.1df1e4p-2f, -0x1.970fp-3f,
      -0x1.106658p-3f, -0x1.5ee77ap-4f},
     {0x1.bbdacep-6f, 0x1.598882p-7f, 0x1.039392p-8f, 0x1.80da48p-10f, 0x1.585852p-12f,
      0x1.7530a2p-15f, 0x1.944ed4p-18f, 0x1.b4cb24p-21f, 0x1.2fd4a8p-21f, -0x1.555574p-2f,
      -0x1.53262ap-2f, -0x1.4cb402p-2f, -0x1.4dccfp-2f, -0x1.4963bep-2f, -0x1.48019p-2f,
      -0x1.42c39cp-2f, -0x1.3b2ac6p-2f, -0x1.2e41a8p-2f, -0x1.20636ep-2f, -0x1.0fd796p-2f,
      -0x1.e9252ap-3f, -0x1.982c9p-3f, -0x1.426d88p-3f, -0x1.d770bp-4f, -0x1.bd0586p-5f,
      0x1.d6b1fep-7f, 0x1.07471cp-4f, 0x1.84256p-4f, 0x1.c68c7cp-4f, 0x1.97d7a6p-4f,
      0x1.33e11cp-4f, 0x1.a859f2p-5f},
     {-0x1.95e268p-7f, -0x1.514d1cp-8f, -0x1.033ebp-9f, -0x1.838fcp-11f, -0x1.68a898p-13f,
      -0x1.6d5ae4p-16f, -0x1.1037cp-18f, 0x1.5dc3e2p-20f, 0x1.5a8acp-22f, 0x1.b1be76p-16f,
      -0x1.a581fap-6f, 0x1.f6897p-6f, 0x1.f53bdap-5f, 0x1.aab56ap-5f, 0x1.068e84p-4f,
      0x1.d5ce52p-5f, 0x1.60f78p-4f, 0x1.b3b9cap-4f, 0x1.f09cd2p-4f, 0x1.1a4b9ep-3f,
      0x1.32dd32p-3f, 0x1.4ffbfcp-3f, 0x1.5c7294p-3f, 0x1.589b6ap-3f, 0x1.3a17fp-3f,
      0x1.e9391p-4f, 0x1.475f34p-4f, 0x1.63869cp-5f, 0x1.e12a6ep-9f, -0x1.59e9b4p-6f,
      -0x1.9bb454p-6f, -0x1.55ap-6f},
     {0x1.047ecap-8f, 0x1.f6294ap-10f, 0x1.945d04p-11f, 0x1.33244cp-12f, 0x1.1fa6fep-14f,
      0x1.35ff9p-17f, 0x1.50713p-20f, 0x1.7c0adep-23f, 0x1.28ad0ap-24f, 0x1.101334p-3f,
      0x1.01637ap+6f, -0x1.92b93p+7f, -0x1.33c956p+3f, -0x1.8d0db4p+4f, 0x1.c77e52p+2f,
      -0x1.e447e2p+0f, 0x1.703412p-2f, -0x1.1cbe9ep+0f, 0x1.93c5c8p-1f, -0x1.856986p-8f,
      0x1.0ab38p-4f, -0x1.21c70ep-5f, -0x1.7a4e0ap-9f, 0x1.7b328ep-5f, -0x1.6d529ep-5f,
      -0x1.dda68cp-5f, -0x1.129124p-4f, -0x1.9b8c8ap-5f, -0x1.0632eap-5f, -0x1.36ff24p-7f,
      0x1.67e2bep-10f, 0x1.2e9a8ep-8f}};
CMLP_INLINE cmlp_lanes_f32 cmlp_tanh_piece(cmlp_bits_f32 piece, int i) {
    return (cmlp_lanes_f32)_mm512_permutex2var_ps(
        _mm512_loadu_ps(cmlp_tanh_pieces[i]), (__m512i)piece,
        _mm512_loadu_ps(cmlp_tanh_pieces[i] + 16));
}
CMLP_INLINE cmlp_lanes_f32 cmlp_tanh_f32(cmlp_lanes_f32 x) {
    cmlp_lanes_f32 a = cmlp_min_f32(cmlp_splat_f32(0x1.3ffffep+3f), cmlp_abs_f32(x));
    cmlp_bits_f32 piece = cmlp_bits_of_f32(cmlp_max_f32(cmlp_splat_f32(0x1.4p-5f), a)) >> 21;
    cmlp_lanes_f32 r = a - cmlp_tanh_piece(piece, 0);
    cmlp_lanes_f32 y = cmlp_tanh_piece(piece, 6);
    y = y * r + cmlp_tanh_piece(piece, 5);
    y = y * r + cmlp_tanh_piece(piece, 4);
    y = y * r + cmlp_tanh_piece(piece, 3);
    y = y * r + cmlp_tanh_piece(piece, 2);
    y = y * r + cmlp_tanh_piece(piece, 1);
    return cmlp_with_sign_f32(y, x);
}

#else /* one step */
#define CMLP_STEPS 1
#define CMLP_THIRD(term)
#define CMLP_EXP_POLY_f32(r)                                                                      \
    CMLP_POLY_5(r, 0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558bp-5f, 0x1.12398ep-7f, 0x1.6a4d34p-10f)
#define CMLP_EXP_POLY_f64(r)                                                                      \
    CMLP_POLY_10(r, 0x1.000000000000ap-1, 0x1.5555555555507p-3, 0x1.55555555506c5p-5,             \
                 0x1.1111111124c2cp-7, 0x1.6c16c18475eeep-10, 0x1.a01a01395adeap-13,              \
                 0x1.a019995df1d27p-16, 0x1.71df058adc03bp-19, 0x1.28ae01a616d21p-22,             \
                 0x1.adafbd4ee9e94p-26)

#define CMLP_TANH_POLY_f32(r)                                                                     \
    CMLP_POLY_5(r, 0x1.000002p+0f, 0x1.55562ep-1f, 0x1.554962p-2f, 0x1.0f8412p-3f, 0x1.a30732p-5f)
#define CMLP_TANH_POLY_f64(r)                                                                     \
    CMLP_POLY_10(r, 0x1.0000000000004p+0, 0x1.5555555555479p-1, 0x1.5555555551b68p-2,             \
                 0x1.11111111a0dc4p-3, 0x1.6c16c17def087p-5, 0x1.a019fa499e5cfp-7,                \
                 0x1.a01a3c370831ap-9, 0x1.71f83b69f6743p-11, 0x1.24ae7c123a083p-13,              \
                 0x1.f8176f79315a4p-16)

/* The same functions. 2^k comes from the sum t whose low bits are k; a k whose power is no normal
 * number is applied in two halves. */
#define CMLP_DEFINE_POWERS(T, S, MANTISSA, BIAS)                                                  \
    CMLP_INLINE cmlp_lanes_##S cmlp_power_##S(cmlp_lanes_##S t) {                                 \
        return cmlp_from_bits_##S((cmlp_bits_of_##S(t) + BIAS) << MANTISSA);                      \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_scale_##S(                                                    \
        cmlp_lanes_##S p, cmlp_lanes_##S t, cmlp_lanes_##S n) {                                   \
        const T magic = (T)1.5 * ((uint64_t)1 << MANTISSA);                                       \
        cmlp_lanes_##S half = n * (T)0.5 + magic;                                                 \
        (void)t;                                                                                  \
        return (1 + p) * cmlp_power_##S(half) * cmlp_power_##S((n - (half - magic)) + magic);     \
    }                                                                                             \
    /* 1 / d, to three digits, from rest, which is that but for rounding; 0 if very small */      \
    CMLP_INLINE cmlp_lanes_##S cmlp_estimate_##S(cmlp_lanes_##S d, cmlp_lanes_##S rest) {         \
        const T magic = (T)1.5 * ((uint64_t)1 << (MANTISSA / 2));                                 \
        (void)d;                                                                                  \
        return (rest + magic) - magic;                                                            \
    }                                                                                             \
    /* (exp(2 x) - 1) / 2, x >= 0, and two terms whose sum is closer to it */                     \
    CMLP_INLINE cmlp_lanes_##S cmlp_half_expm1_##S(                                               \
        cmlp_lanes_##S t, cmlp_lanes_##S r, cmlp_lanes_##S *a, cmlp_lanes_##S *b,                 \
        cmlp_lanes_##S *c) {                                                                      \
        cmlp_lanes_##S power = cmlp_power_##S(t);                                                 \
        *a = ((T)0.5 * power - (T)0.5) + power * r;                                               \
        *b = power * r * (r * CMLP_TANH_POLY_##S(r));                                             \
        *c = *b;                                                                                  \
        return *a + *b;                                                                           \
    }
CMLP_DEFINE_POWERS(float, f32, 23, 127)
CMLP_DEFINE_POWERS(double, f64, 52, 1023)
#endif

#define CMLP_LN2_HIGH_f32 0x1.63p-1f /* few bits, so that k * high is exact without FMA */
#define CMLP_LN2_LOW_f32 -0x1.bd0106p-13f
#define CMLP_LN2_HIGH_f64 0x1.62e42p-1
#define CMLP_LN2_LOW_f64 0x1.fdf473de6af28p-22

#define CMLP_MAGIC(T, MANTISSA) ((T)1.5 * ((uint64_t)1 << MANTISSA) / CMLP_STEPS)

/* LOWEST, HIGHEST: beyond them exp is 0 and inf; NORMAL: within +-NORMAL it is a normal number */
#define CMLP_DEFINE_EXP(T, S, MANTISSA, LOWEST, HIGHEST, NORMAL)                                  \
    /* x = r + n ln 2, n = k / steps, k in the low bits of t */                                   \
    CMLP_INLINE cmlp_lanes_##S cmlp_reduce_##S(                                                   \
        cmlp_lanes_##S x, cmlp_lanes_##S *t, cmlp_lanes_##S *n) {                                 \
        *t = x * (T)0x1.71547652b82fep+0 + CMLP_MAGIC(T, MANTISSA);                               \
        *n = *t - CMLP_MAGIC(T, MANTISSA);                                                        \
        return (x - *n * CMLP_LN2_HIGH_##S) - *n * CMLP_LN2_LOW_##S;                              \
    }                                                                                             \
    CMLP_INLINE cmlp_lanes_##S cmlp_exp_##S(cmlp_lanes_##S x) {                                   \
        cmlp_lanes_##S t, n, r, p, power, y;                                                      \
        x = cmlp_max_##S(cmlp_splat_##S(LOWEST), x);                                              \
        x = cmlp_min_##S(cmlp_splat_##S(HIGHEST), x);                                             \
        r = cmlp_reduce_##S(x, &t, &n);                                                           \
        p = r + r * r * CMLP_EXP_POLY_##S(r);                                                     \
        power = cmlp_power_##S(t);                                                                \
        y = power + power * p;                                                                    \
        if (cmlp_any_greater_##S(cmlp_abs_##S(x), cmlp_splat_##S(NORMAL)))                        \
            y = cmlp_scale_##S(p, t, n);                                                          \
        return y;                                                                                 \
    }                                                                                             \
    /* 1 / (1 + e) or, for x < 0, e / (1 + e), with e = exp(-|x|), which cannot overflow. The     \
     * latter is corrected by what the quotient q leaves of e, as 1 / (1 + e) = 1 - q. */         \
    CMLP_INLINE cmlp_lanes_##S cmlp_logistic_##S(cmlp_lanes_##S x) {                              \
        cmlp_lanes_##S t, n, r, p, power, e, q, zero = cmlp_splat_##S(0);                         \
        cmlp_lanes_##S a = cmlp_max_##S(cmlp_splat_##S(LOWEST), -cmlp_abs_##S(x));                \
        r = cmlp_reduce_##S(a, &t, &n);                                                           \
        p = r + r * r * CMLP_EXP_POLY_##S(r);                                                     \
        power = cmlp_power_##S(t);                                                                \
        e = power + power * p;                                                                    \
        q = cmlp_if_less_##S(x, zero, e, 1 + zero) / (e + 1);                                     \
        e = q + ((power * (1 - q) - q) + power * p * (1 - q)) * (1 - q);                          \
        if (cmlp_any_greater_##S(-a, cmlp_splat_##S(NORMAL))) {                                   \
            e = cmlp_if_less_##S(a, cmlp_splat_##S(-NORMAL), cmlp_scale_##S(p, t, n), e);         \
            q = cmlp_if_less_##S(a, cmlp_splat_##S(-NORMAL), 1 + zero, q);                        \
        }                                                                                         \
        return cmlp_if_less_##S(x, zero, e, q);                                                   \
    }
CMLP_DEFINE_EXP(float, f32, 23, -104, 89, 87)
CMLP_DEFINE_EXP(double, f64, 52, -746, 710, 708)

/* tanh|x| = e / (1 + e), e = (exp(2|x|) - 1) / 2: no cancellation near 0. The polynomial is that
 * of (exp(2r) - 1) / 2, fitted to the smallest relative error of it; k is rounded up from 3/4, as
 * for k = 1 a negative r cancels the more of 2^(1/steps) - 1 the larger it is. The quotient is
 * corrected as above; where q rounds to 1, 1 - q is no estimate of 1 / (1 + e), and another is
 * taken. */
#define CMLP_DEFINE_TANH(T, S, MANTISSA, TANH_ONE)                                                \
    CMLP_INLINE cmlp_lanes_##S cmlp_tanh_##S(cmlp_lanes_##S x) {                                  \
        cmlp_lanes_##S a = cmlp_min_##S(cmlp_splat_##S(TANH_ONE), cmlp_abs_##S(x));               \
        cmlp_lanes_##S t, n, r, e, first, second, third, left, q, rest;                           \
        t = (a * (T)0x1.71547652b82fep+1 - (T)0.25 / CMLP_STEPS) + CMLP_MAGIC(T, MANTISSA);       \
        n = t - CMLP_MAGIC(T, MANTISSA);                                                          \
        r = (a - n * (CMLP_LN2_HIGH_##S / 2)) - n * (CMLP_LN2_LOW_##S / 2);                       \
        e = cmlp_half_expm1_##S(t, r, &first, &second, &third);                                   \
        q = e / (e + 1);                                                                          \
        rest = 1 - q;                                                                             \
        left = (first * rest - q) + second * rest CMLP_THIRD(+ third * rest);                     \
        return cmlp_with_sign_##S(q + left * cmlp_estimate_##S(e + 1, rest), x);                  \
    }
#if CMLP_STEPS == 1 /* else it is made of pieces */
CMLP_DEFINE_TANH(float, f32, 23, 10)
#endif
CMLP_DEFINE_TANH(double, f64, 52, 20)

/* log(x) = k ln 2 + log(1 + f), 1 + f in [sqrt(1/2), sqrt(2)). With s = f / (2 + f),
 * log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + R(s^2)), R fitted to 5e-11 and 2.5e-18. */
#define CMLP_LOG_POLY_f32(z)                                                                      \
    CMLP_POLY_4(z, 0x1.555554p-1f, 0x1.999c26p-2f, 0x1.23d3dep-2f, 0x1.f13c84p-3f)
#define CMLP_LOG_POLY_f64(z)                                                                      \
    CMLP_POLY_7(z, 0x1.5555555555593p-1, 0x1.999999997fae8p-2, 0x1.24924942137f8p-2,              \
                0x1.c71c51f04fd8cp-3, 0x1.746643a56b505p-3, 0x1.39a147ca16a75p-3,                 \
                0x1.2f09b3eaf274dp-3)

#define CMLP_DEFINE_LOG(T, S, U, MANTISSA, BIAS, ONE, ROOT_HALF, SMALLEST)                        \
    CMLP_INLINE cmlp_lanes_##S cmlp_log_##S(cmlp_lanes_##S x) {                                   \
        const T two_to_mantissa = (T)((uint64_t)1 << MANTISSA);                                   \
        const U mantissa = ((U)1 << MANTISSA) - 1;                                                \
        const cmlp_lanes_##S zero = cmlp_splat_##S(0), infinity = cmlp_splat_##S((T)INFINITY);    \
        const cmlp_lanes_##S smallest = cmlp_splat_##S((T)SMALLEST);                              \
        cmlp_lanes_##S k, f, s, z, half, y;                                                       \
        cmlp_lanes_##S normal = cmlp_if_less_##S(x, smallest, x * two_to_mantissa, x);            \
        cmlp_bits_##S i = cmlp_bits_of_##S(normal) + (ONE - ROOT_HALF);                           \
        k = cmlp_from_bits_##S((i >> MANTISSA) | cmlp_bits_of_##S(zero + two_to_mantissa));       \
        k = k - cmlp_if_less_##S(x, smallest, zero + (two_to_mantissa + (BIAS + MANTISSA)),       \
                                 zero + (two_to_mantissa + BIAS));                                \
        f = cmlp_from_bits_##S((i & mantissa) + ROOT_HALF) - 1;                                   \
        s = f / (2 + f);                                                                          \
        z = s * s;                                                                                \
        half = (T)0.5 * f * f;                                                                    \
        y = k * CMLP_LN2_HIGH_##S - ((half - (s * (half + z * CMLP_LOG_POLY_##S(z))               \
                                              + k * CMLP_LN2_LOW_##S)) - f);                      \
        y = cmlp_if_less_##S(x, infinity, y, x);                                                  \
        return cmlp_if_less_##S(                                                                  \
            zero, x, y, cmlp_if_equal_##S(x, zero, -infinity, infinity - infinity));              \
    }
CMLP_DEFINE_LOG(float, f32, uint32_t, 23, 127, UINT32_C(0x3f800000), UINT32_C(0x3f3504f3),
                0x1p-126)
CMLP_DEFINE_LOG(double, f64, uint64_t, 52, 1023, UINT64_C(0x3ff0000000000000),
                UINT64_C(0x3fe6a09e667f3bcd), 0x1p-1022)

/* The words of the formulas in the tables of activations, losses and optimizers; the suffix is DTYPE, f32 or
 * f64, at the place where a table is expanded. */
#define CMLP_WORD(name, S) cmlp_##name##_##S
#define CMLP_OF(name, S) CMLP_WORD(name, S)
#define NUMBER(x) CMLP_OF(splat, DTYPE)(x)
#define LESS(a, b, x, y) CMLP_OF(if_less, DTYPE)(a, b, x, y)
#define EQUAL(a, b, x, y) CMLP_OF(if_equal, DTYPE)(a, b, x, y)
#define MAXIMUM(a, b) CMLP_OF(max, DTYPE)(a, b)
#define MINIMUM(a, b) CMLP_OF(min, DTYPE)(a, b)
#define ABS(x) CMLP_OF(abs, DTYPE)(x)
#define SIGN(x) CMLP_OF(sign, DTYPE)(x)
#define SQRT(x) CMLP_OF(sqrt, DTYPE)(x)
#define EXP(x) CMLP_OF(exp, DTYPE)(x)
#define TANH(x) CMLP_OF(tanh, DTYPE)(x)
#define LOGISTIC(x) CMLP_OF(logistic, DTYPE)(x)
#define LOG(x) CMLP_OF(log, DTYPE)(x)

#endif
