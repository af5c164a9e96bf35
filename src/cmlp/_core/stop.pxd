# How work that takes long notices that its job is to stop: see stop.h.

cdef extern from "stop.h" nogil:
    ctypedef int stop_flag "cmlp_flag"
    void watch_begin "cmlp_watch_begin"(
        stop_flag* flag, void (*look)(void* context, Py_ssize_t flops) noexcept nogil,
        void* context, bint in_products)
    void watch_end "cmlp_watch_end"()
    void raise_flag "cmlp_raise"(stop_flag* flag)
    bint raised "cmlp_raised"(stop_flag* flag)
    bint stopped "cmlp_stopped"(Py_ssize_t flops)
    bint product_stopped "cmlp_product_stopped"(Py_ssize_t flops)
