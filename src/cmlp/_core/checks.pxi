# Arguments of the kernels' entry points: their checks, and the address of one that may be None.
# Included by kernels.pxi and testing.pxi; what the engine's own entry points check is there.
# uses: no other .pxi
# gives: check_shapes, check_strides, row_or_null

import numpy as np


cdef int check_shapes(bint fit) except -1:
    if not fit:
        raise ValueError("The shapes of the arguments do not fit together.")
    return 0


cdef int check_strides(array) except -1:
    for stride in array.strides:
        if stride % array.itemsize:
            raise ValueError("Strides must be multiples of the itemsize.")
    return 0


cdef const floating* row_or_null(const floating[::1] row) noexcept:
    if row is None:           # as one expression it would lose the const
        return NULL
    return &row[0]
