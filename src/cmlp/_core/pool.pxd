# The pool of threads, from pool.h. A job is a sequence of phases, a phase a number of pieces that
# the threads share; its context is a cdef class that holds the memoryviews, cast to void*.

cdef extern from "pool.h" nogil:
    # see there for what next_phase, piece and idle do, and what is returned
    int pool_run "cmlp_pool_run"(
        int (*next_phase)(void* context) noexcept nogil,
        void (*piece)(void* context, int piece, int rank) noexcept nogil,
        void (*idle)(void* context) noexcept nogil,
        void* context, int n_threads)
