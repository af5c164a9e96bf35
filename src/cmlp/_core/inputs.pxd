# From samples to the inputs of the first layer, where these are more than the columns of X:
# encodings, whose parameters are trained, and the factors of members that share the network.
# Which encodings there are: encodings.h. The layers: network.pxd.
#
# A sample is encoded anew for each member: that costs less than to keep it, and each block of rows
# is of one member. A thread first turns parameters into tables, so that a bin is looked up and not
# summed up.

from cython cimport floating
from libc.string cimport memcpy, memset
from cmlp._core.batch cimport convert_from, dense_row, sample
from cmlp._core.linalg cimport aligned
from cmlp._core.types cimport ABSENT, AS_IS, Batch, Encoding, Net, Source

cdef extern from "encodings.h" nogil:
    ctypedef struct encoding_row "cmlp_encoding_row":
        const char* name
        int form
        int rows
        int rows_per_level
        bint of_bins
        bint stepped
        bint summed
        const char* formula
    int N_ENCODINGS "CMLP_N_ENCODINGS"
    int COPIED "CMLP_COPIED"
    int SCALED "CMLP_SCALED"
    int PLACED "CMLP_PLACED"
    const encoding_row* encoding_table "cmlp_encoding_table"


# Where a number of X is in a table.
cdef struct Place:
    Py_ssize_t row
    double fraction            # of the way to the next row


cdef inline bint builds_inputs(const Net* net) noexcept nogil:
    """Whether the inputs of the first layer are made of X, which is then dense."""
    return net.encodings is not NULL


cdef inline Py_ssize_t columns_of(const Encoding* encoding) noexcept nogil:
    """How many columns of X an encoding reads."""
    return 1 if encoding_table[encoding.kind].form == PLACED else encoding.width


cdef inline Py_ssize_t inputs_scratch(
    const Net* net, Py_ssize_t samples, size_t itemsize,
) noexcept nogil:
    """Elements of a thread's scratch: a converted row of X and all tables; or the numbers of the
    samples that one encoding reads, its table and the gradient of that."""
    cdef const Encoding* encoding
    cdef Py_ssize_t e, needed, most
    if not builds_inputs(net):
        return 0
    most = aligned(net.n_features) + net.table_size
    for e in range(net.n_encodings):
        encoding = &net.encodings[e]
        needed = aligned(samples * columns_of(encoding))
        if encoding.table != ABSENT:
            needed += 2 * aligned(encoding.n_rows * encoding.width)
        most = max(most, needed)
    return aligned(most)


cdef inline Place place_of(const Encoding* encoding, floating x) noexcept nogil:
    """Numbers out of the range of the table are at its end, as is NaN."""
    cdef const encoding_row* row = &encoding_table[encoding.kind]
    cdef Place place
    cdef Py_ssize_t levels = encoding.levels
    place.fraction = 0
    if not x > 0:
        place.row = 0
    elif row.of_bins and x > levels:
        place.row = encoding.n_rows - 1
    elif row.stepped:
        place.row = <Py_ssize_t>x if x < levels else levels - 1
    elif x < levels:
        place.row = <Py_ssize_t>x
        place.fraction = x - <floating>place.row
    else:
        place.row = levels
    return place


cdef inline void prepare_table(
    const Encoding* encoding, const floating* w, floating* table,
) noexcept nogil:
    """The rows of a table from parameters: running sums, but for that of missing numbers."""
    cdef Py_ssize_t i, n = encoding.width, n_summed = (encoding.levels + 1) * n
    memcpy(table, w, encoding.n_rows * n * sizeof(floating))
    for i in range(n, n_summed):
        table[i] += table[i - n]


cdef inline void prepare_inputs(
    const Batch* batch, const floating[::1] params, floating* scratch,
) noexcept nogil:
    """The tables of all encodings, before the first `take_inputs` of a thread."""
    cdef const Net* net = batch.net
    cdef const Encoding* encoding
    cdef floating* tables = scratch + batch.plan.inputs + aligned(net.n_features)
    cdef Py_ssize_t e
    for e in range(net.n_encodings):
        encoding = &net.encodings[e]
        if encoding.table != ABSENT:
            prepare_table(encoding, &params[encoding.param], tables + encoding.table)


cdef inline const floating* table_of(
    const Encoding* encoding, const floating[::1] params, const floating* tables,
) noexcept nogil:
    if encoding.table == ABSENT:
        return &params[encoding.param]
    return tables + encoding.table


cdef inline void look_up(
    const floating* table, Place place, Py_ssize_t width, floating* y,
) noexcept nogil:
    """y = T[t] + f (T[t + 1] - T[t])"""
    cdef const floating* row = table + place.row * width
    cdef floating f = <floating>place.fraction
    cdef Py_ssize_t j
    if place.fraction == 0:
        for j in range(width):
            y[j] = row[j]
    else:
        for j in range(width):
            y[j] = row[j] + f * (row[width + j] - row[j])


cdef inline void encode_row(
    const Net* net, const floating* x, Py_ssize_t stride, const floating[::1] params,
    const floating* tables, floating* out,
) noexcept nogil:
    """out (fan_in,) = the inputs made of a row of X, as members that have no factors see them"""
    cdef const Encoding* encoding
    cdef const floating* columns
    cdef const floating* w
    cdef floating* y
    cdef Py_ssize_t e, j
    cdef int form
    for e in range(net.n_encodings):
        encoding = &net.encodings[e]
        form = encoding_table[encoding.kind].form
        columns = x + encoding.column * stride
        y = out + encoding.first
        if form == PLACED:
            look_up(table_of(encoding, params, tables), place_of(encoding, columns[0]),
                    encoding.width, y)
        elif form == SCALED:
            w = &params[encoding.param]
            for j in range(encoding.width):
                y[j] = w[j] * columns[j * stride]
        else:
            for j in range(encoding.width):
                y[j] = columns[j * stride]


cdef inline const floating* scales_of(
    const Net* net, Py_ssize_t member, const floating[::1] params,
) noexcept nogil:
    """The factors of the inputs of a member, or NULL"""
    if net.member_scales == ABSENT:
        return NULL
    return &params[net.member_scales + member * net.layers[0].fan_in]


cdef inline void take_inputs(
    const Batch* batch, Py_ssize_t member, Py_ssize_t start, Py_ssize_t count,
    const floating[::1] params, floating* scratch, floating* out,
) noexcept nogil:
    """out (count, fan_in) = the inputs of samples start.. of the batch, as a member sees them"""
    cdef const Net* net = batch.net
    cdef const Source* source = batch.source
    cdef floating* room = scratch + batch.plan.inputs
    cdef const floating* tables = room + aligned(net.n_features)
    cdef const floating* scales = scales_of(net, member, params)
    cdef const floating* x
    cdef Py_ssize_t i, j, stride, n = net.layers[0].fan_in
    for i in range(count):
        x = dense_row(source, sample(batch.order, batch.start + start + i), room, &stride)
        encode_row(net, x, stride, params, tables, out + i * n)
        if scales is not NULL:
            for j in range(n):
                out[i * n + j] *= scales[j]


cdef inline void gather_columns(
    const Batch* batch, const Encoding* encoding, floating* out,
) noexcept nogil:
    """out (samples, columns) = the columns that an encoding reads"""
    cdef const Source* source = batch.source
    cdef Py_ssize_t i, j, at, stride = source.x_col, n = columns_of(encoding)
    for i in range(batch.samples):
        at = sample(batch.order, batch.start + i) * source.x_row + encoding.column * stride
        if source.conversion != AS_IS:
            convert_from(source, at, stride, n, out + i * n)
        else:
            for j in range(n):
                out[i * n + j] = (<const floating*>source.x)[at + j * stride]


cdef inline void table_gradient(
    const Encoding* encoding, const Place place, const floating* table,
    const floating* scale, const floating* delta, floating* table_grads, floating* scale_grads,
) noexcept nogil:
    """Add the gradient of a looked up row of inputs, given dL/d of them, to that of the table and
    of the member's factors, if there are any"""
    cdef Py_ssize_t j, n = encoding.width
    cdef const floating* row = table + place.row * n
    cdef floating* grads = table_grads + place.row * n
    cdef floating f = <floating>place.fraction, g
    if place.fraction == 0:
        for j in range(n):
            g = delta[j]
            if scale is not NULL:
                scale_grads[j] += g * row[j]
                g *= scale[j]
            grads[j] += g
        return
    for j in range(n):
        g = delta[j]
        if scale is not NULL:
            scale_grads[j] += g * (row[j] + f * (row[n + j] - row[j]))
            g *= scale[j]
        grads[j] += g - f * g
        grads[n + j] += f * g


cdef inline void column_gradient(
    Py_ssize_t n, const floating* x, const floating* w, const floating* scale,
    const floating* delta, floating* grads, floating* scale_grads,
) noexcept nogil:
    """The same for inputs x, or w x if w is not NULL"""
    cdef Py_ssize_t j
    cdef floating g
    for j in range(n):
        g = delta[j] * x[j]
        if w is not NULL:
            grads[j] += g * scale[j] if scale is not NULL else g
            g *= w[j]
        if scale is not NULL:
            scale_grads[j] += g


cdef inline void sums_gradient(
    const Encoding* encoding, floating* grads,
) noexcept nogil:
    """From the gradient of running sums to that of what is summed, in place"""
    cdef Py_ssize_t i, n = encoding.width
    for i in range(encoding.levels * n - 1, -1, -1):
        grads[i] += grads[i + n]


cdef inline void encoding_gradient(
    const Batch* batch, const Encoding* encoding, const floating[::1] params,
    floating[::1] grads, const floating* deltas, bint accumulate, floating* scratch,
) noexcept nogil:
    """grads = [themselves +] the gradient of the parameters of an encoding, and of the factors
    that members have for its inputs"""
    cdef const Net* net = batch.net
    cdef const encoding_row* row = &encoding_table[encoding.kind]
    cdef Py_ssize_t i, m, n = encoding.width, size = encoding.n_rows * n
    cdef Py_ssize_t fan_in = net.layers[0].fan_in
    cdef floating* x = scratch + batch.plan.inputs
    cdef floating* table = x + aligned(batch.samples * columns_of(encoding))
    cdef const floating* w = NULL
    cdef const floating* scale = NULL
    cdef const floating* delta
    cdef floating* scale_grads = NULL
    cdef floating* own = NULL      # the gradient of w, in place unless w are running sums
    gather_columns(batch, encoding, x)
    if encoding.table != ABSENT:
        prepare_table(encoding, &params[encoding.param], table)
        w = table
        own = table + aligned(size)
    elif size > 0:
        w = &params[encoding.param]
        own = &grads[encoding.param]
    if size > 0 and (encoding.table != ABSENT or not accumulate):
        memset(own, 0, size * sizeof(floating))
    for m in range(net.n_members):
        if net.member_scales != ABSENT:
            scale = scales_of(net, m, params) + encoding.first
            scale_grads = &grads[net.member_scales + m * fan_in + encoding.first]
            if not accumulate:
                memset(scale_grads, 0, n * sizeof(floating))
        for i in range(batch.samples):
            delta = deltas + (m * batch.samples + i) * fan_in + encoding.first
            if row.form == PLACED:
                table_gradient(encoding, place_of(encoding, x[i]), w, scale, delta, own,
                               scale_grads)
            else:
                column_gradient(n, x + i * n, w, scale, delta, own, scale_grads)
    if encoding.table != ABSENT:
        sums_gradient(encoding, own)
        for i in range(size):
            grads[encoding.param + i] = own[i] + (grads[encoding.param + i] if accumulate else 0)


cdef inline void inputs_gradient(
    const Batch* batch, const floating[::1] params, floating[::1] grads, floating[::1] work,
    bint accumulate, floating* scratch, int piece, int n_pieces,
) noexcept nogil:
    """A piece of the encodings: the gradient over a batch of what makes the inputs."""
    cdef const Net* net = batch.net
    cdef Py_ssize_t e, n = net.n_encodings
    if batch.plan.x_delta == ABSENT:
        return
    for e in range(n * piece // n_pieces, n * (piece + 1) // n_pieces):
        encoding_gradient(batch, &net.encodings[e], params, grads, &work[batch.plan.x_delta],
                          accumulate, scratch)
