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
    bint is_in_tiles "cmlp_is_in_tiles"(int)
    void (**cmlp_activate_f32)(float*, Py_ssize_t) noexcept
    void (**cmlp_activate_f64)(double*, Py_ssize_t) noexcept
    void (**cmlp_activate_with_slope_f32)(float*, float*, Py_ssize_t) noexcept
    void (**cmlp_activate_with_slope_f64)(double*, double*, Py_ssize_t) noexcept
    void (**cmlp_activation_backward_f32)(
        const float*, const float*, float*, Py_ssize_t) noexcept
    void (**cmlp_activation_backward_f64)(
        const double*, const double*, double*, Py_ssize_t) noexcept


cdef inline void activate(
    int activation, floating[::1] values, Py_ssize_t at, Py_ssize_t n,
) noexcept nogil:
    """Replace n values z by f(z)."""
    if floating is float:
        cmlp_activate_f32[activation](&values[at], n)
    else:
        cmlp_activate_f64[activation](&values[at], n)


cdef inline void activate_with_slope(
    int activation, floating[::1] values, Py_ssize_t at, floating[::1] slope, Py_ssize_t s0,
    Py_ssize_t n,
) noexcept nogil:
    """Replace n values z by f(z), and keep f'(z), for an activation whose row says so."""
    if floating is float:
        cmlp_activate_with_slope_f32[activation](&values[at], &slope[s0], n)
    else:
        cmlp_activate_with_slope_f64[activation](&values[at], &slope[s0], n)


cdef inline void activation_backward(
    int activation, const floating[::1] a, Py_ssize_t a0, const floating[::1] slope,
    Py_ssize_t s0, floating[::1] delta, Py_ssize_t d0, Py_ssize_t n,
) noexcept nogil:
    """delta (n,) *= f'(z), from the output a = f(z), or from f'(z) where it was kept; s0 < 0
    where it was not."""
    if floating is float:
        cmlp_activation_backward_f32[activation](
            &a[a0], &slope[s0] if s0 >= 0 else NULL, &delta[d0], n)
    else:
        cmlp_activation_backward_f64[activation](
            &a[a0], &slope[s0] if s0 >= 0 else NULL, &delta[d0], n)
