# Dropout within a batch: what is dropped where, and which draws decide it. The draws themselves
# are in dropout.h; the passes through layers in network.pxd.
#
# An element of the epoch is (position of the sample in the epoch) x width + unit, the input being
# layer 0: what is kept depends on neither threads nor chunks. Inverted dropout: what is kept is
# divided by the share that is, so that predictions need no change (Srivastava, Hinton, Krizhevsky,
# Sutskever & Salakhutdinov, JMLR 15, 2014).

from cython cimport floating
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from cmlp._core.activations cimport RELU
from cmlp._core.batch cimport gather_x, sample
from cmlp._core.linalg cimport aligned
from cmlp._core.matrix cimport as_int64
from cmlp._core.sparse cimport compress, compressed_rows, copy_entries, entries_before
from cmlp._core.sparse_plan cimport entries
from cmlp._core.types cimport (
    ABSENT, AS_IS, Batch, Compressed, DropoutKey, DropoutPlan, Layer, Net, Plan, Source)

cdef extern from "dropout.h" nogil:
    int DRAWS_PER_GROUP "CMLP_DRAWS_PER_GROUP"
    void cmlp_draws(
        const DropoutKey* key, uint32_t layer, uint64_t first_group, Py_ssize_t n_groups,
        uint16_t* out)
    void cmlp_draws_at(
        const DropoutKey* key, uint32_t layer, const uint64_t* elements, Py_ssize_t n,
        uint16_t* out)
    void cmlp_drop_f32(
        float* values, Py_ssize_t n, uint64_t element, const DropoutKey* key, uint32_t layer,
        uint32_t drop_rate_16, double scale)
    void cmlp_drop_f64(
        double* values, Py_ssize_t n, uint64_t element, const DropoutKey* key, uint32_t layer,
        uint32_t drop_rate_16, double scale)
    void cmlp_drop_at_f32(
        float* values, const int32_t* indices, Py_ssize_t n, uint64_t element,
        const DropoutKey* key, uint32_t layer, uint32_t drop_rate_16, double scale)
    void cmlp_drop_at_f32_wide(
        float* values, const int64_t* indices, Py_ssize_t n, uint64_t element,
        const DropoutKey* key, uint32_t layer, uint32_t drop_rate_16, double scale)
    void cmlp_drop_at_f64(
        double* values, const int32_t* indices, Py_ssize_t n, uint64_t element,
        const DropoutKey* key, uint32_t layer, uint32_t drop_rate_16, double scale)
    void cmlp_drop_at_f64_wide(
        double* values, const int64_t* indices, Py_ssize_t n, uint64_t element,
        const DropoutKey* key, uint32_t layer, uint32_t drop_rate_16, double scale)


cdef inline double kept_scale(uint32_t drop_rate_16) noexcept nogil:
    """What is kept is multiplied by this."""
    return 65536.0 / (65536.0 - drop_rate_16)


cdef inline bint drops_input(const Net* net, const Plan* plan) noexcept nogil:
    return plan.dropout.used and net.input_drop_rate_16 > 0


cdef inline bint saves_outputs(const Layer* layer) noexcept nogil:
    """Whether f' has to be computed from outputs as they were before any was dropped: relu's is
    that of what is kept, and zero where a unit is zero, for whatever reason."""
    return layer.drop_rate_16 > 0 and layer.activation != RELU and not layer.keeps_slope


cdef inline bint copies_entries(const Source* source) noexcept nogil:
    """Whether rows without their zeros are the caller's; others are in the workspace anyway."""
    return source.sparse and source.conversion == AS_IS


cdef inline DropoutPlan plan_dropout(
    const Net* net, const Source* source, Py_ssize_t rows, size_t itemsize, Py_ssize_t at,
) noexcept nogil:
    """Where outputs before dropout and what is kept of CSR lie in the workspace, from `at` on."""
    cdef DropoutPlan plan
    cdef Py_ssize_t l, room, index_bytes = 8 if source.wide_indices else 4
    cdef bint saves = False
    plan.used = False            # until the caller gives a key
    plan.key.key[0] = plan.key.key[1] = plan.key.epoch = 0
    plan.saved = plan.values = plan.indices = ABSENT
    plan.end = at
    for l in range(net.n_layers - 1):
        saves |= saves_outputs(&net.layers[l])
    if saves:
        plan.saved = plan.end
        plan.end += aligned(rows * net.n_units)
    if copies_entries(source) and net.input_drop_rate_16:
        room = entries(source, rows)
        plan.values = plan.end
        plan.indices = plan.values + aligned(room)
        plan.end = plan.indices + aligned(
            (room * index_bytes + <Py_ssize_t>itemsize - 1) // <Py_ssize_t>itemsize)
    return plan


cdef inline void drop(
    const DropoutPlan* plan, uint32_t layer, uint32_t drop_rate_16, uint64_t element,
    floating* values, Py_ssize_t n,
) noexcept nogil:
    """Drop some of n neighbours, the first of which is the given element of its layer."""
    cdef double scale = kept_scale(drop_rate_16)
    if floating is float:
        cmlp_drop_f32(values, n, element, &plan.key, layer, drop_rate_16, scale)
    else:
        cmlp_drop_f64(values, n, element, &plan.key, layer, drop_rate_16, scale)


cdef inline void drop_outputs(
    const Net* net, const Plan* plan, Py_ssize_t l, Py_ssize_t position, Py_ssize_t row,
    Py_ssize_t rows, floating[::1] work, Py_ssize_t a,
) noexcept nogil:
    """Of hidden layer l, whose outputs for the rows are at `a`, those of samples position.."""
    cdef const Layer* layer = &net.layers[l]
    cdef Py_ssize_t n = layer.fan_out
    if layer.drop_rate_16 == 0:
        return
    if saves_outputs(layer) and plan.dropout.saved >= 0:
        memcpy(&work[saved_offset(net, plan, l, row)], &work[a], rows * n * sizeof(floating))
    drop(&plan.dropout, l + 1, layer.drop_rate_16, <uint64_t>position * n, &work[a], rows * n)


cdef inline Py_ssize_t saved_offset(
    const Net* net, const Plan* plan, Py_ssize_t l, Py_ssize_t row,
) noexcept nogil:
    """Where the outputs of layer l before dropout are, from a row on."""
    return plan.dropout.saved + plan.rows * net.layers[l].units_before \
        + row * net.layers[l].fan_out


cdef inline void drop_deltas(
    const Net* net, const Plan* plan, Py_ssize_t l, Py_ssize_t position, Py_ssize_t rows,
    floating[::1] work, Py_ssize_t delta,
) noexcept nogil:
    """Multiply dL/dz of hidden layer l by what its outputs were multiplied by."""
    cdef const Layer* layer = &net.layers[l]
    cdef Py_ssize_t i, n = layer.fan_out
    cdef floating scale
    if layer.drop_rate_16 == 0:
        return
    if layer.activation != RELU:
        drop(&plan.dropout, l + 1, layer.drop_rate_16, <uint64_t>position * n, &work[delta],
             rows * n)
    else:
        scale = <floating>kept_scale(layer.drop_rate_16)
        for i in range(delta, delta + rows * n):
            work[i] *= scale


cdef inline void take_input(
    const Batch* batch, Py_ssize_t first, Py_ssize_t row, Py_ssize_t rows, floating[::1] work,
) noexcept nogil:
    """Rows row.. of X in the workspace, some of their numbers dropped. first: that from which on
    this thread has taken rows, in order."""
    cdef const Net* net = batch.net
    cdef const Plan* plan = batch.plan
    cdef Py_ssize_t n = net.n_features
    cdef floating* x = &work[plan.x + row * n]
    cdef int64_t* ends
    if plan.sparse.used:
        if copies_entries(batch.source):
            # behind the rows that this thread has taken, or where those before would end
            ends = as_int64(&work[plan.sparse.ends])
            copy_entries(batch.source, batch.order, batch.start, row, row + rows,
                         ends[row - 1] if row > first
                         else entries_before(batch.source, batch.order, batch.start, row),
                         as_int64(&work[plan.sparse.begins]), ends,
                         &work[plan.dropout.values], &work[plan.dropout.indices])
        else:
            compress(&plan.sparse, batch.source, batch.order, batch.start, row, row + rows, work,
                     plan.x)
        drop_entries(batch, row, rows, work)
    else:
        gather_x(batch.source, batch.order, batch.start + row, rows, x)
        drop(&plan.dropout, 0, net.input_drop_rate_16, <uint64_t>(batch.start + row) * n, x,
             rows * n)


cdef inline void drop_entries(
    const Batch* batch, Py_ssize_t row, Py_ssize_t rows, floating[::1] work,
) noexcept nogil:
    cdef Compressed x = input_rows(batch.plan, batch.source, work)
    cdef Py_ssize_t i, at, n
    cdef uint64_t element
    cdef uint32_t drop_rate_16 = batch.net.input_drop_rate_16
    cdef double scale = kept_scale(drop_rate_16)
    cdef const DropoutKey* key = &batch.plan.dropout.key
    cdef floating* values
    for i in range(row, row + rows):
        at = x.begins[i * x.segments]            # the segments of a row follow one another
        n = x.ends[(i + 1) * x.segments - 1] - at
        values = <floating*>x.values + at
        element = <uint64_t>(batch.start + i) * batch.net.n_features
        if floating is float:
            if x.wide:
                cmlp_drop_at_f32_wide(values, <const int64_t*>x.indices + at, n, element,
                                      key, 0, drop_rate_16, scale)
            else:
                cmlp_drop_at_f32(values, <const int32_t*>x.indices + at, n, element,
                                 key, 0, drop_rate_16, scale)
        else:
            if x.wide:
                cmlp_drop_at_f64_wide(values, <const int64_t*>x.indices + at, n, element,
                                      key, 0, drop_rate_16, scale)
            else:
                cmlp_drop_at_f64(values, <const int32_t*>x.indices + at, n, element,
                                 key, 0, drop_rate_16, scale)


cdef inline Compressed input_rows(
    const Plan* plan, const Source* source, floating[::1] work,
) noexcept nogil:
    """The rows of X without their zeros: those of take_input, if it has copied them."""
    cdef Compressed x = compressed_rows(&plan.sparse, source, work)
    if plan.dropout.used and plan.dropout.values >= 0 and copies_entries(source):
        x.values = &work[plan.dropout.values]
        x.indices = &work[plan.dropout.indices]
    return x
