# Entry points for the kernel tests alone: kernels that no entry point of the engine calls by
# themselves, and the pool's probe. Each _testing_<isa>.pyx compiles them as its engine is; they
# are built for tests (CMLP_TESTING=1, see setup.py), and no release has them.
# uses: checks.pxi
# gives: CHECKED, dot, gemv, unfit_product, dropout_draws, log, step

import numpy as np

from cython cimport floating
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t

from cmlp._core import engine
from cmlp._core cimport dropout as _dropout
from cmlp._core cimport linalg as _linalg
from cmlp._core.fpenv cimport fp_restore, fp_state, keep_denormals
from cmlp._core.matrix cimport CHECKS, matrix
from cmlp._core.optimizers cimport Step, begin_step, end_step, optimizer_step
from cmlp._core.pool cimport pool_run
from cmlp._core.stop cimport raise_flag, raised, stop_flag
from cmlp._core.types cimport DropoutKey

cdef extern from "testing.h" nogil:
    void cmlp_log_values_f32(float* values, Py_ssize_t n)
    void cmlp_log_values_f64(double* values, Py_ssize_t n)

include "checks.pxi"
include "pool_probe.pxi"

#: Whether this build looks at the shapes of matrices again.
CHECKED = bool(CHECKS)


def dot(const floating[::1] x, const floating[::1] y):
    """sum_i x_i y_i"""
    check_shapes(x.shape[0] == y.shape[0] > 0)
    return _linalg.dot(&x[0], &y[0], x.shape[0])


def gemv(
    const floating[:] x, const floating[:, ::1] b, floating[::1] z, const floating[::1] bias=None,
):
    """z = x @ b [+ bias]; x may have any stride."""
    cdef Py_ssize_t k = b.shape[0], n = b.shape[1]
    cdef const floating* bias_at = row_or_null(bias)
    check_shapes(k > 0 and n > 0 and x.shape[0] == k and z.shape[0] == n
                 and (bias is None or bias.shape[0] == n))
    check_strides(np.asarray(x))
    with nogil:
        _linalg.gemv(&x[0], x.strides[0] // <Py_ssize_t>sizeof(floating),
                     matrix(&b[0, 0], k, n), bias_at, &z[0])


def unfit_product():
    """A product whose B has a column too few: in a build that checks shapes, the end."""
    cdef double[4] a = [1, 2, 3, 4]
    cdef double[4] c = [0, 0, 0, 0]
    cdef double[2048] pack
    if CHECKED:
        _linalg.gemm(matrix(a, 2, 1), matrix(a, 1, 1), matrix(c, 2, 2), False,
                     <const double*>NULL, pack, _linalg.plain())


def dropout_draws(seed, epoch, uint32_t layer, elements):
    """The 16-bit draws of dropout, of elements of the epoch.

    Parameters
    ----------
    elements : ndarray of shape (n,) and dtype uint64
        Each the place of a sample in the epoch times the units of the layer, plus the unit.

    Returns
    -------
    single : ndarray of shape (n,) and dtype uint16
        Drawn one by one, as for sparse X.
    grouped : ndarray of shape (n,) and dtype uint16
        The same, each drawn with its neighbours.
    """
    cdef DropoutKey key
    cdef uint64_t bits = seed
    cdef const uint64_t[::1] at = elements
    cdef uint64_t width = _dropout.DRAWS_PER_GROUP
    cdef Py_ssize_t i
    single, grouped = np.empty((2, len(elements)), dtype=np.uint16)
    cdef uint16_t[::1] singles = single, groups = grouped
    cdef uint16_t[::1] group = np.empty(width, dtype=np.uint16)
    check_shapes(at.shape[0] > 0)
    key.key[0] = <uint32_t>bits
    key.key[1] = <uint32_t>(bits >> 32)
    key.epoch = epoch
    for i in range(at.shape[0]):
        _dropout.cmlp_draws(&key, layer, at[i] // width, 1, &group[0])
        groups[i] = group[<Py_ssize_t>(at[i] % width)]
    _dropout.cmlp_draws_at(&key, layer, &at[0], at.shape[0], &singles[0])
    return single, grouped


def log(floating[:, ::1] values):
    """values = log(values) in place: the losses' logarithm."""
    if not values.size:
        return
    if floating is float:
        cmlp_log_values_f32(&values[0, 0], values.size)
    else:
        cmlp_log_values_f64(&values[0, 0], values.size)


def step(
    str optimizer, double[::1] hyper, floating[::1] params, const floating[::1] grads,
    floating[:, ::1] state,
):
    """One update of every parameter, all of them weights, and of the state, in place."""
    which, n_slots, names = engine.OPTIMIZERS[optimizer]
    check_shapes(hyper.shape[0] == len(names) and grads.shape[0] == params.shape[0] > 0
                 and state.shape[0] == n_slots and state.shape[1] == params.shape[0])
    cdef int optimizer_id = which
    cdef Step next_step = begin_step(optimizer_id, &hyper[0], params.shape[0], NULL)
    with nogil:
        optimizer_step(&next_step, params.shape[0], 0, 1, params, 0, &grads[0], state)
        end_step(&next_step, &hyper[0], NULL)
