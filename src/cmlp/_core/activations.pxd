# The compiled face of the activation table in activations.h: names, and one call per array.

from cython cimport floating

cdef extern from "activations.h" nogil:
    ctypedef struct activation_row "cmlp_activation_row":
        const char* name
        const char* formula
        int where
        int needs_z
        double init_factor
    int N_ACTIVATIONS "CMLP_N_ACTIVATIONS"
    int ON_HIDDEN "CMLP_ON_HIDDEN"
    int ON_OUTPUT "CMLP_ON_OUTPUT"
    int RELU "CMLP_relu"
    const activation_row* activation_table "cmlp_activation_table"
    bint is_in_tiles "cmlp_is_in_tiles"(int)
    void (**cmlp_activate_f32)(float*, Py_ssize_t) noexcept
    void (**cmlp_activate_f64)(double*, Py_ssize_t) noexcept
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


cdef inline void activation_backward(
    int activation, const floating[::1] z, Py_ssize_t z0, const floating[::1] a, Py_ssize_t a0,
    floating[::1] delta, Py_ssize_t d0, Py_ssize_t n,
) noexcept nogil:
    """delta (n,) *= f'(z), from the output a = f(z); z0 < 0 where the activation needs no z."""
    if floating is float:
        cmlp_activation_backward_f32[activation](
            &z[z0] if z0 >= 0 else NULL, &a[a0], &delta[d0], n)
    else:
        cmlp_activation_backward_f64[activation](
            &z[z0] if z0 >= 0 else NULL, &a[a0], &delta[d0], n)
