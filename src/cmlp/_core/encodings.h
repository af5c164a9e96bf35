/* The table of encodings: how numbers of X become inputs of the first layer, one row each. Loops
 * over samples and gradients are in inputs.pxd. */
#ifndef CMLP_ENCODINGS_H
#define CMLP_ENCODINGS_H

#include <stddef.h>

/* How the inputs y (width,) come about. */
enum {
    CMLP_COPIED, /* y = x, one input for each of `width` columns */
    CMLP_SCALED, /* y = s x, likewise; the parameters are s */
    CMLP_PLACED  /* from a table T (n_rows, width): y = T[t] + f (T[t + 1] - T[t]), x = t + f */
};

/* Parameters are rows of `width` numbers. Where levels are bins, x is in 0..levels, and the last row
 * is that of missing numbers, x > levels; of categories, x is 0..levels - 1. */
typedef struct {
    const char *name;
    int form;
    int rows;           /* of parameters, */
    int rows_per_level; /* and for each level so many more */
    int of_bins;        /* levels are bins, else categories */
    int stepped; /* T has a row for each level, and f is 0; else one for each edge of a bin */
    int summed;  /* T[0..levels] are the running sums of the parameters, else themselves */
    const char *formula;
} cmlp_encoding_row;

enum { CMLP_N_ENCODINGS = 6 };

static const cmlp_encoding_row cmlp_encoding_table[CMLP_N_ENCODINGS] = {
    {.name = "identity", .form = CMLP_COPIED, .formula = "x"},
    {.name = "scale", .form = CMLP_SCALED, .rows = 1, .formula = "s x"},
    /* Gorishniy, Rubachev & Babenko, "On embeddings for numerical features in tabular deep
     * learning", NeurIPS 2022: an encoding of ones, a fraction, zeros times a matrix W */
    {.name = "piecewise_linear",
     .form = CMLP_PLACED,
     .rows = 2,
     .rows_per_level = 1,
     .of_bins = 1,
     .summed = 1,
     .formula = "b + sum(W[:t]) + f W[t]"},
    /* the same functions by their values at the edges */
    {.name = "linear_spline",
     .form = CMLP_PLACED,
     .rows = 2,
     .rows_per_level = 1,
     .of_bins = 1,
     .formula = "(1 - f) T[t] + f T[t + 1]"},
    {.name = "piecewise_constant",
     .form = CMLP_PLACED,
     .rows = 1,
     .rows_per_level = 1,
     .of_bins = 1,
     .stepped = 1,
     .formula = "T[t]"},
    {.name = "category",
     .form = CMLP_PLACED,
     .rows_per_level = 1,
     .stepped = 1,
     .formula = "T[x]"},
};

#endif
