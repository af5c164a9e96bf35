# The floating-point environment of the calling thread, from fpenv.h. The pool flushes denormals
# in all of its threads; what calls Python from within a job keeps them meanwhile.

cdef extern from "fpenv.h" nogil:
    ctypedef unsigned long long fp_state "cmlp_fp_state"
    bint FLUSHES "CMLP_FLUSHES"
    fp_state flush_denormals "cmlp_flush_denormals"()
    fp_state keep_denormals "cmlp_keep_denormals"()
    void fp_restore "cmlp_fp_restore"(fp_state before)
