# The compiled face of the activation table in activations.h: names, and one call per array.

from cython cimport floating

cdef extern from "activations.h" nogil:
    ctypedef struct activation_row "cmlp_activation_row":
        const char* name
        const char* formula
        int where
        int keeps_slope
        int fan_in_only
        double init_factor
    int N_ACTIVATIONS "CMLP_N_ACTIVATIONS"
    int ON_HIDDEN "CMLP_ON_HIDDEN"
    int ON_OUTPUT "CMLP_ON_OUTPUT"
    int RELU "CMLP_relu"
    const activation_row* activation_table "cmlp_activation_table"
    int SLOPE "CMLP_slope"
    bint is_in_tiles "cmlp_is_in_tiles"(int activation)
    # tables of kernels, by the id of the activation
    void (**cmlp_activate_f32)(float* values, Py_ssize_t n) noexcept
    void (**cmlp_activate_f64)(double* values, Py_ssize_t n) noexcept
    void (**cmlp_activate_with_slope_f32)(float* values, float* slope, Py_ssize_t n) noexcept
    void (**cmlp_activate_with_slope_f64)(double* values, double* slope, Py_ssize_t n) noexcept
    void (**cmlp_activation_backward_f32)(
        const float* a, const float* slope, float* delta, Py_ssize_t n) noexcept
    void (**cmlp_activation_backward_f64)(
        const double* a, const double* slope, double* delta, Py_ssize_t n) noexcept


cdef inline void activate(int activation, floating* values, Py_ssize_t n) noexcept nogil:
    """Replace n values z by f(z)."""
    if floating is float:
        cmlp_activate_f32[activation](values, n)
    else:
        cmlp_activate_f64[activation](values, n)


cdef inline void activate_with_slope(
    int activation, floating* values, floating* slope, Py_ssize_t n,
) noexcept nogil:
    """Replace n values z by f(z), and keep f'(z), for an activation whose row says so."""
    if floating is float:
        cmlp_activate_with_slope_f32[activation](values, slope, n)
    else:
        cmlp_activate_with_slope_f64[activation](values, slope, n)


cdef inline void activation_backward(
    int activation, const floating* a, const floating* slope, floating* delta, Py_ssize_t n,
) noexcept nogil:
    """delta (n,) *= f'(z), from the output a = f(z), or from f'(z) where it was kept, which is
    NULL where it was not."""
    if floating is float:
        cmlp_activation_backward_f32[activation](a, slope, delta, n)
    else:
        cmlp_activation_backward_f64[activation](a, slope, delta, n)
