/* Loops over what only the tests apply to an array: see testing.pxi. */
#ifndef CMLP_TESTING_H
#define CMLP_TESTING_H

#include <stddef.h>
#include "vecmath.h"

/* log of n values in place */
#define CMLP_DEFINE_LOG_VALUES(S, E)                                                              \
    static void cmlp_log_values_##S(E *values, ptrdiff_t n) {                                     \
        CMLP_FOR_LANES(S, n, {                                                                    \
            cmlp_store_lanes_##S(                                                                 \
                values + i, cmlp_log_##S(cmlp_load_lanes_##S(values + i, count)), count);         \
        })                                                                                        \
    }
CMLP_DEFINE_LOG_VALUES(f32, float)
CMLP_DEFINE_LOG_VALUES(f64, double)

#endif
