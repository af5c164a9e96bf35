/* The two primitives of sparse rows: a linear combination of matrix rows held in vector registers,
 * and the non-zeros of a dense row. Which rows, and when, is in sparse.pxd. */
#ifndef CMLP_SPARSE_H
#define CMLP_SPARSE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "matrix.h"
#include "tile.h"

/* Rows, or columns, without their zeros: the entries of segment p of row i are those from
 * begins[i * segments + p] to ends[the same]. */
typedef struct {
    const void *values;         /* of the dtype of the computation */
    const void *indices;        /* int32, or int64 if wide */
    int wide;
    const int64_t *begins, *ends;
    ptrdiff_t segments;
} cmlp_compressed;

/* vectors of a row of the result that are summed at once: with 512 bits there are 32 registers */
#if CMLP_VECTOR_BYTES == 64
#define CMLP_SUMS 16
#else
#define CMLP_SUMS 8
#endif

/* the first n elements of a vector, n fixed in a loop; the others are zero */
#if defined(__AVX2__) && defined(__GNUC__) && !CMLP_MASKED && !defined(CMLP_NO_VECTOR_EXTENSIONS)
#include <immintrin.h>
CMLP_INLINE cmlp_vec_f32 cmlp_load_part_f32(const float *p, int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (cmlp_vec_f32)_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane));
}
CMLP_INLINE cmlp_vec_f64 cmlp_load_part_f64(const double *p, int n) {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return (cmlp_vec_f64)_mm256_maskload_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane));
}
#else
#define cmlp_load_part_f32 cmlp_load_n_f32
#define cmlp_load_part_f64 cmlp_load_n_f64
#endif

#define CMLP_DEFINE_COMBINE(T, S, I, N)                                                           \
    /* row g of out = [the same, or start] + sum_t x[t] (row index[t] of b) over the entries t of \
     * a segment of row g of rows, `segment` being that of row 0, counted through. Each element is    \
     * one chain of multiply-adds, so that leaving out terms that are zero changes no bit of it.  \
     * `vectors` and `partial` are constants at every call. The last vector overlaps the one      \
     * before; a row narrower than a vector (partial) is masked. */                               \
    CMLP_INLINE void cmlp_combine_fixed_##S##N(                                                   \
        const int vectors, const int partial, const cmlp_compressed *rows, ptrdiff_t segment,       \
        const cmlp_matrix *matrix, const cmlp_matrix *result, const T *start, int accumulate) {   \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        const int64_t *first = rows->begins + segment, *end = rows->ends + segment;                   \
        const ptrdiff_t step = rows->segments, groups = result->rows;                               \
        const T *const x = (const T *)rows->values, *const b = (const T *)matrix->data;           \
        const I *const index = (const I *)rows->indices;                                          \
        const ptrdiff_t ldb = matrix->row_stride, ldout = result->row_stride;                     \
        const int cols = (int)result->cols;                                                       \
        T *out = (T *)result->data;                                                               \
        const ptrdiff_t last = partial ? 0 : cols - LANES;                                        \
        for (ptrdiff_t g = 0; g < groups; g++, out += ldout) {                                    \
            cmlp_vec_##S sums[CMLP_SUMS];                                                         \
            const T *from = accumulate ? out : start;                                             \
            int64_t t = first[g * step];                                                          \
            const int64_t stop = end[g * step];                                                   \
            if (accumulate && t == stop) continue;                                                \
            CMLP_UNROLL for (int v = 0; v < vectors; v++)                                         \
                sums[v] = !from ? cmlp_load_##S(cmlp_zeros_##S)                                   \
                    : partial ? cmlp_load_part_##S(from, cols)                                    \
                    : cmlp_load_##S(from + (v < vectors - 1 ? v * LANES : last));                 \
            for (; t < stop; t++) {                                                               \
                const T *row = b + (ptrdiff_t)index[t] * ldb;                                     \
                CMLP_UNROLL for (int v = 0; v < vectors; v++)                                     \
                    sums[v] = cmlp_fma_##S(                                                       \
                        x[t], partial ? cmlp_load_part_##S(row, cols)                             \
                        : cmlp_load_##S(row + (v < vectors - 1 ? v * LANES : last)), sums[v]);    \
            }                                                                                     \
            CMLP_UNROLL for (int v = 0; v < vectors; v++) {                                       \
                if (partial) cmlp_store_n_##S(out, sums[v], cols);                                \
                else cmlp_store_##S(out + (v < vectors - 1 ? v * LANES : last), sums[v]);         \
            }                                                                                     \
        }                                                                                         \
    }                                                                                             \
    /* the same for 1 <= cols <= CMLP_SUMS vectors */                                             \
    static void cmlp_combine_##S##N(                                                              \
        const cmlp_compressed *rows, ptrdiff_t segment, const cmlp_matrix *matrix,                  \
        const cmlp_matrix *result, const T *start, int accumulate) {                              \
        enum { LANES = CMLP_VECTOR_BYTES / sizeof(T) };                                           \
        const ptrdiff_t cols = result->cols;                                                      \
        switch (cols < LANES ? 0 : (cols + LANES - 1) / LANES) {                                  \
            CMLP_COMBINE_CASE(S, N, 0, 1) CMLP_COMBINE_CASE(S, N, 1, 1)                           \
            CMLP_COMBINE_CASE(S, N, 2, 2) CMLP_COMBINE_CASE(S, N, 3, 3)                           \
            CMLP_COMBINE_CASE(S, N, 4, 4) CMLP_COMBINE_CASE(S, N, 5, 5)                           \
            CMLP_COMBINE_CASE(S, N, 6, 6) CMLP_COMBINE_CASE(S, N, 7, 7)                           \
            CMLP_COMBINE_CASE(S, N, 8, 8) CMLP_COMBINE_CASES_9_16(S, N)                           \
        }                                                                                         \
    }

#define CMLP_COMBINE_CASE(S, N, which, vectors)                                                   \
    case which:                                                                                   \
        cmlp_combine_fixed_##S##N(                                                                \
            vectors, which == 0, rows, segment, matrix, result, start, accumulate);                 \
        break;
#if CMLP_SUMS == 16
#define CMLP_COMBINE_CASES_9_16(S, N)                                                             \
    CMLP_COMBINE_CASE(S, N, 9, 9) CMLP_COMBINE_CASE(S, N, 10, 10)                                 \
    CMLP_COMBINE_CASE(S, N, 11, 11) CMLP_COMBINE_CASE(S, N, 12, 12)                               \
    CMLP_COMBINE_CASE(S, N, 13, 13) CMLP_COMBINE_CASE(S, N, 14, 14)                               \
    CMLP_COMBINE_CASE(S, N, 15, 15) CMLP_COMBINE_CASE(S, N, 16, 16)
#else
#define CMLP_COMBINE_CASES_9_16(S, N)
#endif

/* indices: int32, or int64 where CSR has them so */
CMLP_DEFINE_COMBINE(float, f32, int32_t, )
CMLP_DEFINE_COMBINE(double, f64, int32_t, )
CMLP_DEFINE_COMBINE(float, f32, int64_t, _wide)
CMLP_DEFINE_COMBINE(double, f64, int64_t, _wide)

/* values, index = the non-zeros among n contiguous elements and their columns, the first column
 * given; returns how many. Up to CMLP_SPILL elements behind them are overwritten. */
#define CMLP_SPILL 16
#if defined(__AVX512F__) && defined(__AVX512VL__) && CMLP_MASKED
CMLP_INLINE int32_t cmlp_compress_f32(
    const float *row, int32_t n, int32_t first, float *values, int32_t *index) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i at = _mm512_add_epi32(_mm512_set1_epi32(first), lane);
    int32_t count = 0;
    for (int32_t j = 0; j < n; j += 16) {
        __mmask16 some = n - j >= 16 ? 0xffff : (__mmask16)((1u << (n - j)) - 1);
        __m512 x = _mm512_maskz_loadu_ps(some, row + j);
        __mmask16 keep = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NEQ_UQ);
        /* to a register first: compressing stores are slow on Zen 4 */
        _mm512_storeu_ps(values + count, _mm512_maskz_compress_ps(keep, x));
        _mm512_storeu_si512(index + count, _mm512_maskz_compress_epi32(keep, at));
        count += __builtin_popcount(keep);
        at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
    }
    return count;
}
CMLP_INLINE int32_t cmlp_compress_f64(
    const double *row, int32_t n, int32_t first, double *values, int32_t *index) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i at = _mm256_add_epi32(_mm256_set1_epi32(first), lane);
    int32_t count = 0;
    for (int32_t j = 0; j < n; j += 8) {
        __mmask8 some = n - j >= 8 ? 0xff : (__mmask8)((1u << (n - j)) - 1);
        __m512d x = _mm512_maskz_loadu_pd(some, row + j);
        __mmask8 keep = _mm512_cmp_pd_mask(x, _mm512_setzero_pd(), _CMP_NEQ_UQ);
        _mm512_storeu_pd(values + count, _mm512_maskz_compress_pd(keep, x));
        _mm256_storeu_si256((__m256i *)(index + count), _mm256_maskz_compress_epi32(keep, at));
        count += __builtin_popcount(keep);
        at = _mm256_add_epi32(at, _mm256_set1_epi32(8));
    }
    return count;
}
#else
#define CMLP_DEFINE_COMPRESS(T, S)                                                                \
    CMLP_INLINE int32_t cmlp_compress_##S(                                                        \
        const T *row, int32_t n, int32_t first, T *values, int32_t *index) {                      \
        enum { GROUP = 32 / sizeof(T) };                                                          \
        int32_t count = 0, j = 0;                                                                 \
        for (; j + GROUP <= n; j += GROUP) {                                                      \
            /* zeros come in runs: a group of nothing else is passed over */                      \
            uint64_t bits[4];                                                                     \
            memcpy(bits, row + j, sizeof bits);                                                   \
            if (!(bits[0] | bits[1] | bits[2] | bits[3])) continue;                               \
            for (int32_t k = 0; k < GROUP; k++) {                                                 \
                values[count] = row[j + k];                                                       \
                index[count] = first + j + k;                                                     \
                count += row[j + k] != 0;                                                         \
            }                                                                                     \
        }                                                                                         \
        for (; j < n; j++) {                                                                      \
            values[count] = row[j];                                                               \
            index[count] = first + j;                                                             \
            count += row[j] != 0;                                                                 \
        }                                                                                         \
        return count;                                                                             \
    }
CMLP_DEFINE_COMPRESS(float, f32)
CMLP_DEFINE_COMPRESS(double, f64)
#endif

#endif
