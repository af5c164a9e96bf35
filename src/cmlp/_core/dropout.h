/* Dropout: which units are kept, and values scaled or set to zero. Whoever asks, in whatever
 * order, finds the same units kept: the draws are those of a counter-based generator, Philox4x32
 * with 10 rounds (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). No layers here, no rows: elements, counted through the epoch.
 *
 * A block of Philox, 128 bits, is the function of a 64-bit key and the counter (number of the
 * block, 64 bits; epoch; layer). Eight blocks are 64 draws of 16 bits: draw r of them is in word
 * 2 (r / 32) + r % 4 / 2 of block r / 4 % 8, its lower half if r is even. So lanes of 64 bits,
 * one block each, are stored as they are, however many a register has. An element is kept if its
 * draw is not below the threshold, 65536 times the rate. */
#ifndef CMLP_DROPOUT_H
#define CMLP_DROPOUT_H

#include <stddef.h>
#include <stdint.h>
#include "lanes.h"

#define CMLP_DRAWS_PER_GROUP 64 /* draws of eight blocks */
#define CMLP_DRAWS 1024         /* drawn at once: they stay in L1 */

typedef struct {
    uint32_t key[2], epoch;
} cmlp_dropout_key;

/* the products of the lower halves of lanes of 64 bits */
#if defined(__GNUC__) && !defined(CMLP_NO_VECTOR_EXTENSIONS) && defined(__AVX512F__)
#define CMLP_WIDE_PRODUCT(a, b) ((cmlp_bits_f64)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#elif defined(__GNUC__) && !defined(CMLP_NO_VECTOR_EXTENSIONS) && defined(__AVX2__)
#define CMLP_WIDE_PRODUCT(a, b) ((cmlp_bits_f64)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#elif defined(__GNUC__) && !defined(CMLP_NO_VECTOR_EXTENSIONS) && defined(__SSE2__)
#define CMLP_WIDE_PRODUCT(a, b) ((cmlp_bits_f64)_mm_mul_epu32((__m128i)(a), (__m128i)(b)))
#else
#define CMLP_WIDE_PRODUCT(a, b) (((a) & UINT32_MAX) * ((b) & UINT32_MAX))
#endif

/* What all blocks of an epoch and a layer share: the keys of the rounds, and the counter's rest. */
typedef struct {
    cmlp_bits_f64 keys[10][2], epoch, layer, factor[2];
} cmlp_philox_constants;

CMLP_INLINE void cmlp_prepare_philox(
    cmlp_philox_constants *c, const cmlp_dropout_key *key, uint32_t layer) {
    const cmlp_bits_f64 zero = {0};
    for (uint32_t round = 0; round < 10; round++) {
        c->keys[round][0] = zero + (uint64_t)(uint32_t)(key->key[0] + round * 0x9E3779B9u);
        c->keys[round][1] = zero + (uint64_t)(uint32_t)(key->key[1] + round * 0xBB67AE85u);
    }
    c->epoch = zero + (uint64_t)key->epoch;
    c->layer = zero + (uint64_t)layer;
    c->factor[0] = zero + UINT64_C(0xD2511F53);
    c->factor[1] = zero + UINT64_C(0xCD9E8D57);
}

/* The four words of the given blocks, two in each lane of words_01 and words_23. What is in the
 * upper halves meanwhile does not matter: products read the lower ones. */
CMLP_INLINE void cmlp_philox(
    cmlp_bits_f64 blocks, const cmlp_philox_constants *c, void *words_01, void *words_23) {
    cmlp_bits_f64 c0 = blocks, c1 = blocks >> 32, c2 = c->epoch, c3 = c->layer;
    CMLP_UNROLLED_FOR(int round = 0; round < 10; round++) {
        cmlp_bits_f64 p0 = CMLP_WIDE_PRODUCT(c0, c->factor[0]);
        cmlp_bits_f64 p1 = CMLP_WIDE_PRODUCT(c2, c->factor[1]);
        c0 = (p1 >> 32) ^ c1 ^ c->keys[round][0];
        c2 = (p0 >> 32) ^ c3 ^ c->keys[round][1];
        c1 = p1;
        c3 = p0;
    }
    c0 = (c0 & UINT32_MAX) | c1 << 32;
    c2 = (c2 & UINT32_MAX) | c3 << 32;
    memcpy(words_01, &c0, sizeof c0);
    memcpy(words_23, &c2, sizeof c2);
}

/* The draws of whole groups, from the given one on. */
static void cmlp_draws(
    const cmlp_dropout_key *key, uint32_t layer, uint64_t group, ptrdiff_t n_groups,
    uint16_t *draws) {
    static const uint64_t counting[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    cmlp_philox_constants constants;
    cmlp_bits_f64 first;
    cmlp_prepare_philox(&constants, key, layer);
    memcpy(&first, counting, sizeof first);
    first = first + group * 8;
    for (ptrdiff_t g = 0; g < n_groups; g++) {
        uint16_t *to = draws + g * CMLP_DRAWS_PER_GROUP;
        CMLP_UNROLLED_FOR(int t = 0; t < 8; t += CMLP_WIDTH_f64) {
            cmlp_philox(first, &constants, to + 4 * t, to + 32 + 4 * t);
            first = first + (uint64_t)CMLP_WIDTH_f64;
        }
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        for (int r = 0; r < CMLP_DRAWS_PER_GROUP; r += 4) {
            uint16_t first_two[2] = {to[r], to[r + 1]};
            to[r] = to[r + 3], to[r + 1] = to[r + 2];
            to[r + 2] = first_two[1], to[r + 3] = first_two[0];
        }
#endif
    }
}

/* The draws of n <= CMLP_DRAWS elements of which no two need be neighbours. */
static void cmlp_draws_at(
    const cmlp_dropout_key *key, uint32_t layer, const uint64_t *elements, ptrdiff_t n,
    uint16_t *draws) {
    uint64_t blocks[8], words[2][8];
    cmlp_philox_constants constants;
    cmlp_bits_f64 some;
    cmlp_prepare_philox(&constants, key, layer);
    for (ptrdiff_t i = 0; i < n; i += 8) {
        int count = n - i < 8 ? (int)(n - i) : 8;
        for (int t = 0; t < 8; t++) {
            uint64_t element = elements[i + (t < count ? t : 0)];
            blocks[t] = element / 64 * 8 + element / 4 % 8;
        }
        for (int t = 0; t < 8; t += CMLP_WIDTH_f64) {
            memcpy(&some, blocks + t, sizeof some);
            cmlp_philox(some, &constants, words[0] + t, words[1] + t);
        }
        for (int t = 0; t < count; t++) {
            uint64_t element = elements[i + t];
            draws[i + t] = (uint16_t)(words[element / 32 % 2][t] >> 16 * (element % 4));
        }
    }
}

/* Per dtype: drop(values, n, element, ...) for n neighbours from an element on; drop_at(values,
 * indices, n, element, ...) for those at element + index, the indices of 32 or of 64 bits. */
#define CMLP_DEFINE_DROP_AT(T, S, NAME, INDEX)                                                    \
    static void NAME(                                                                             \
        T *values, const INDEX *indices, ptrdiff_t n, uint64_t element,                           \
        const cmlp_dropout_key *key, uint32_t layer, uint32_t threshold, double scale) {          \
        uint64_t elements[CMLP_DRAWS_PER_GROUP];                                                  \
        uint16_t draws[CMLP_DRAWS_PER_GROUP];                                                     \
        for (ptrdiff_t i = 0; i < n; i += CMLP_DRAWS_PER_GROUP) {                                 \
            ptrdiff_t count = n - i < CMLP_DRAWS_PER_GROUP ? n - i : CMLP_DRAWS_PER_GROUP;        \
            for (ptrdiff_t j = 0; j < count; j++)                                                 \
                elements[j] = element + (uint64_t)indices[i + j];                                 \
            cmlp_draws_at(key, layer, elements, count, draws);                                    \
            for (ptrdiff_t j = 0; j < count; j++)                                                 \
                values[i + j] = draws[j] >= threshold ? values[i + j] * (T)scale : (T)0;          \
        }                                                                                         \
    }
#define CMLP_DEFINE_DROP(T, S)                                                                    \
    static void cmlp_drop_##S(                                                                    \
        T *values, ptrdiff_t n, uint64_t element, const cmlp_dropout_key *key, uint32_t layer,    \
        uint32_t threshold, double scale) {                                                       \
        uint16_t draws[CMLP_DRAWS];                                                               \
        const T factor = (T)scale;                                                                \
        const uint16_t least = (uint16_t)threshold;                                               \
        while (n > 0) {                                                                           \
            const ptrdiff_t skipped = (ptrdiff_t)(element % CMLP_DRAWS_PER_GROUP);                \
            const ptrdiff_t count = n < CMLP_DRAWS - skipped ? n : CMLP_DRAWS - skipped;          \
            const uint16_t *mine = draws + skipped;                                               \
            cmlp_draws(                                                                           \
                key, layer, element / CMLP_DRAWS_PER_GROUP,                                       \
                (skipped + count + CMLP_DRAWS_PER_GROUP - 1) / CMLP_DRAWS_PER_GROUP, draws);      \
            for (ptrdiff_t i = 0; i < count; i++)                                                 \
                values[i] = mine[i] >= least ? values[i] * factor : (T)0;                         \
            values += count;                                                                      \
            element += (uint64_t)count;                                                           \
            n -= count;                                                                           \
        }                                                                                         \
    }                                                                                             \
    CMLP_DEFINE_DROP_AT(T, S, cmlp_drop_at_##S, int32_t)                                          \
    CMLP_DEFINE_DROP_AT(T, S, cmlp_drop_at_##S##_wide, int64_t)
CMLP_DEFINE_DROP(float, f32)
CMLP_DEFINE_DROP(double, f64)

#endif
