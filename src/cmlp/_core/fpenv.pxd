# The floating-point environment of the calling thread, from fpenv.h: every thread that runs
# kernels flushes denormals around them and restores what it found.

cdef extern from "fpenv.h" nogil:
    ctypedef unsigned long long fp_state "cmlp_fp_state"
    bint FLUSHES "CMLP_FLUSHES"
    fp_state flush_denormals "cmlp_flush_denormals"()
    void fp_restore "cmlp_fp_restore"(fp_state before)
