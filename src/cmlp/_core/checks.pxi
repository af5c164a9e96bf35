# Checks of arguments that entry points share. Included by kernels.pxi and testing.pxi; what the
# engine's own entry points check is in engine.pxi.

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
