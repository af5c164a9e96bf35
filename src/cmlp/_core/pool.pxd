# The pool of threads and its barrier, from pool.h. A job is a function of (context, rank,
# n_threads) without the GIL; its context is a cdef class that holds the memoryviews, as void*.

cdef extern from "pool.h" nogil:
    enum:
        CMLP_MAX_THREADS
    int pool_run "cmlp_pool_run"(
        void (*job)(void* context, int rank, int n_threads) noexcept nogil,
        void* context, int n_threads)
    void pool_barrier "cmlp_pool_barrier"(int n_threads)
