/* A matrix as kernels take it, and what the debug build requires of it. No arithmetic. */
#ifndef CMLP_MATRIX_H
#define CMLP_MATRIX_H

#include <stddef.h>

/* Element (i, j) is data[i * row_stride + j * col_stride], of the dtype of the computation; no
 * data: there is no such matrix. */
typedef struct {
    void *data;
    ptrdiff_t rows, cols, row_stride, col_stride;
} cmlp_matrix;

/* Shapes follow from a Layout, which is checked where Python calls: only the debug build and those
 * for the sanitizers look at them again, before memory is touched, and say what does not fit. */
#define CMLP_A_UNFIT "A must have the rows of C, and a column for each row of B"
#define CMLP_B_UNFIT "B must have the columns of C"
#define CMLP_A_GAPS "elements of a row of A must be neighbours"
#define CMLP_B_GAPS "elements of a row of B, or of a column, must be neighbours"
#define CMLP_C_GAPS "elements of a row of C must be neighbours"
#define CMLP_A_ROW_GAPS "rows of A must follow one another"
#define CMLP_B_ROW_GAPS "rows of B must follow one another"
#define CMLP_C_ROW_GAPS "rows of C must follow one another"
#ifdef CMLP_CHECKED
#define CMLP_CHECKS 1
#include <stdio.h>
#include <stdlib.h>
#define CMLP_REQUIRE(fits, message) ((fits) ? (void)0 : cmlp_unfit(__func__, message))
static inline void cmlp_unfit(const char *function, const char *message) {
    fprintf(stderr, "cmlp, %s: %s\n", function, message);
    abort();
}
#else
#define CMLP_CHECKS 0
#define CMLP_REQUIRE(fits, message) ((void)0)
#endif

#endif
