/* The two products of blocks of samples that linalg.pxd does not have: inner products of all
 * pairs of rows, and a block of outer products added to weights and velocities in one pass over
 * them. What they are for is in online_blocks.pxd. */
#ifndef CMLP_ONLINE_BLOCKS_H
#define CMLP_ONLINE_BLOCKS_H

#include "online.h"

/* rows of one pair of operands whose products are kept in registers */
#if CMLP_VECTOR_BYTES == 64
#define CMLP_PAIRS 4
#else
#define CMLP_PAIRS 2
#endif

/* A block of outer products added to weights w and velocities v (rows, n):
 * (w, v) = (keep[0] w + keep[1] v, keep[2] w + keep[3] v) + x.T (dw, dv). */
typedef struct {
    ptrdiff_t rows, n;
    ptrdiff_t count;            /* rows of x, dw and dv */
    const void *x;
    ptrdiff_t ldx;
    const void *dw, *dv;
    ptrdiff_t ldd;
    void *w, *v;
    ptrdiff_t ld;
    const void *keep;
} cmlp_replay;

/* CMLP_DEFINE_BLOCKS(type, suffix) */
#define CMLP_DEFINE_BLOCKS(T, S)                                                                  \
    /* gram[i][j] = (row i of x) . (row j of x) for i in at_i.., j in at_j.. */                   \
    CMLP_INLINE void cmlp_pairs_##S(const int rows, const int cols, ptrdiff_t n, ptrdiff_t ldx,   \
                                    const T *xi, const T *xj, ptrdiff_t ldg, T *gram) {           \
        cmlp_vec_##S sums[CMLP_PAIRS][CMLP_PAIRS];                                                \
        CMLP_UNROLL for (int i = 0; i < rows; i++)                                                \
            CMLP_UNROLL for (int j = 0; j < cols; j++) sums[i][j] = cmlp_spread_##S(0);           \
        for (ptrdiff_t p = 0; p < n; p += CMLP_VECTOR_BYTES / sizeof(T)) {                        \
            cmlp_vec_##S row[CMLP_PAIRS];                                                         \
            CMLP_UNROLL for (int j = 0; j < cols; j++) row[j] = cmlp_load_##S(xj + j * ldx + p);  \
            CMLP_UNROLL for (int i = 0; i < rows; i++) {                                          \
                cmlp_vec_##S v = cmlp_load_##S(xi + i * ldx + p);                                 \
                CMLP_UNROLL for (int j = 0; j < cols; j++)                                        \
                    sums[i][j] = cmlp_madd_##S(v, row[j], sums[i][j]);                            \
            }                                                                                     \
        }                                                                                         \
        CMLP_UNROLL for (int i = 0; i < rows; i++)                                                \
            CMLP_UNROLL for (int j = 0; j < cols; j++)                                            \
                gram[i * ldg + j] = cmlp_sum_##S(sums[i][j]);                                     \
    }                                                                                             \
    /* gram = x x.T for count rows of x, padded to n whole vectors: at and below the diagonal */  \
    static void cmlp_gram_##S(ptrdiff_t count, ptrdiff_t n, const T *x, ptrdiff_t ldg, T *gram) { \
        ptrdiff_t i = 0, j;                                                                       \
        for (; i + CMLP_PAIRS <= count; i += CMLP_PAIRS)                                          \
            for (j = 0; j <= i; j += CMLP_PAIRS)                                                  \
                cmlp_pairs_##S(CMLP_PAIRS, CMLP_PAIRS, n, n, x + i * n, x + j * n, ldg,           \
                               gram + i * ldg + j);                                               \
        for (; i < count; i++)                                                                    \
            for (j = 0; j <= i; j++)                                                              \
                cmlp_pairs_##S(1, 1, n, n, x + i * n, x + j * n, ldg, gram + i * ldg + j);        \
    }                                                                                             \
    /* rows i.. and `lanes` columns j.. */                                                        \
    CMLP_INLINE void cmlp_replay_tile_##S(                                                        \
        const int rows, const int lanes, ptrdiff_t i, ptrdiff_t j, const cmlp_replay *block) {    \
        const ptrdiff_t count = block->count, ldx = block->ldx, ldd = block->ldd, ld = block->ld; \
        const T *const x = (const T *)block->x + i, *const keep = (const T *)block->keep;         \
        const T *const dw = (const T *)block->dw + j, *const dv = (const T *)block->dv + j;       \
        T *const w = (T *)block->w + i * ld + j, *const v = (T *)block->v + i * ld + j;           \
        cmlp_vec_##S ws[CMLP_ROWS], vs[CMLP_ROWS];                                                \
        CMLP_UNROLL for (int r = 0; r < rows; r++) ws[r] = vs[r] = cmlp_spread_##S(0);            \
        for (ptrdiff_t t = 0; t < count; t++) {                                                   \
            const cmlp_vec_##S a = cmlp_load_##S(dw + t * ldd), b = cmlp_load_##S(dv + t * ldd);  \
            CMLP_UNROLL for (int r = 0; r < rows; r++) {                                          \
                const T scalar = x[t * ldx + r];                                                  \
                ws[r] = cmlp_fma_##S(scalar, a, ws[r]);                                           \
                vs[r] = cmlp_fma_##S(scalar, b, vs[r]);                                           \
            }                                                                                     \
        }                                                                                         \
        CMLP_UNROLL for (int r = 0; r < rows; r++) {                                              \
            const cmlp_vec_##S a = cmlp_get_##S(w + r * ld, lanes);                               \
            const cmlp_vec_##S b = cmlp_get_##S(v + r * ld, lanes);                               \
            ws[r] = cmlp_fma_##S(keep[0], a, cmlp_fma_##S(keep[1], b, ws[r]));                    \
            vs[r] = cmlp_fma_##S(keep[2], a, cmlp_fma_##S(keep[3], b, vs[r]));                    \
            cmlp_put_##S(w + r * ld, ws[r], lanes);                                               \
            cmlp_put_##S(v + r * ld, vs[r], lanes);                                               \
        }                                                                                         \
    }                                                                                             \
    CMLP_INLINE void cmlp_replay_columns_##S(                                                     \
        const int lanes, ptrdiff_t j, const cmlp_replay *block) {                                 \
        ptrdiff_t i = 0;                                                                          \
        for (; i + CMLP_ROWS <= block->rows; i += CMLP_ROWS)                                      \
            cmlp_replay_tile_##S(CMLP_ROWS, lanes, i, j, block);                                  \
        for (; i < block->rows; i++) cmlp_replay_tile_##S(1, lanes, i, j, block);                 \
    }                                                                                             \
    static void cmlp_replay_##S(const cmlp_replay *block) {                                       \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        ptrdiff_t j = 0;                                                                          \
        for (; j + LANES <= block->n; j += LANES) cmlp_replay_columns_##S(LANES, j, block);       \
        if (j < block->n) cmlp_replay_columns_##S((int)(block->n - j), j, block);                 \
    }

CMLP_DEFINE_BLOCKS(float, f32)
CMLP_DEFINE_BLOCKS(double, f64)

#endif
