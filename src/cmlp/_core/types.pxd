# The plain structs that describe a network, its workspace and its data: integers and addresses,
# no arithmetic. They do not depend on the dtype; kernels are fused over cython.floating.

from libc.stdint cimport int64_t, uint32_t

cdef struct Layer:
    Py_ssize_t fan_in
    Py_ssize_t fan_out
    Py_ssize_t coef            # where its weights (fan_in, fan_out) start in the parameter vector
    Py_ssize_t intercept       # where its biases (fan_out,) start in the parameter vector
    Py_ssize_t units_before    # outputs of all earlier layers, per sample
    int activation             # id in activations.h, or SOFTMAX (output layer only)
    bint keeps_slope           # f'(z) is computed with f(z) and kept, not found from the output
    uint32_t drop_rate_16      # dropout rate of its outputs in units of 1/65536; 0: none

# How columns of X become inputs of the first layer, and what is trained of it.
cdef struct Encoding:
    int kind                   # id in encodings.h
    Py_ssize_t column          # the first of X that it reads
    Py_ssize_t first           # of its inputs among those of the first layer
    Py_ssize_t width           # how many inputs it makes
    Py_ssize_t levels          # bins, or categories
    Py_ssize_t param           # where its parameters (n_rows, width) start in the vector
    Py_ssize_t n_rows
    # where its table (n_rows, width) starts among those that a thread prepares; ABSENT: the
    # parameters are the table, or there is none
    Py_ssize_t table

cdef struct Loss:
    int id                     # of its row in losses.h
    bint canonical             # the output activation is this loss's own: its row gives dL/dz
    bint is_residual           # dL/dz is prediction - target: some losses', if canonical
    const float* parameter32   # its parameter for each output, over and over: REPEATED numbers
    const double* parameter64  # from any output on; NULL if it has none

cdef struct Net:
    Layer* layers
    Py_ssize_t n_layers        # weight layers, scikit-learn's n_layers_ - 1
    Py_ssize_t n_features      # columns of X
    Py_ssize_t n_outputs
    Py_ssize_t n_units         # outputs of all layers, per row
    Py_ssize_t widest          # largest fan_out
    Encoding* encodings        # NULL: the inputs of the first layer are the columns of X
    Py_ssize_t n_encodings
    Py_ssize_t table_size      # of the tables that a thread prepares
    Py_ssize_t n_members       # networks that share all weights but the last layer's
    Py_ssize_t member_scales   # where their factors of the inputs (n_members, fan_in) start
    Py_ssize_t n_coefs         # weights come first in the parameter vector, then what makes the
    Py_ssize_t n_input_params  # inputs of the first layer: encodings, factors of members
    Py_ssize_t n_biases        # biases come last
    Py_ssize_t n_params
    bint fit_intercept
    Loss loss
    Py_ssize_t* group_ends     # where each softmax of the output layer ends; NULL: there is one
    bint any_keeps_slope
    uint32_t input_drop_rate_16

# Where rows of X without their zeros lie in the workspace: offsets in elements of its dtype,
# although some arrays are of integers. Those of columns and pack are relative to a part of the
# thread's scratch.
cdef struct SparsePlan:
    bint used                  # else X is dense and stays so
    Py_ssize_t row_segments    # each row is summed in so many segments
    Py_ssize_t column_segments
    bint packs_b               # whether the weights are packed
    Py_ssize_t begins          # of each segment of each row, int64
    Py_ssize_t ends
    Py_ssize_t values          # of dense rows; those of CSR are read in place
    Py_ssize_t indices         # int32
    Py_ssize_t end
    Py_ssize_t column_starts   # int64
    Py_ssize_t column_next     # int32
    Py_ssize_t column_values
    Py_ssize_t column_indices  # int32
    Py_ssize_t pack            # the packed right operand
    Py_ssize_t thread_scratch_size

# Rows, or columns, without their zeros.
cdef extern from "sparse.h" nogil:
    ctypedef struct Compressed "cmlp_compressed":
        const void* values
        const void* indices
        bint wide              # indices are int64, not int32
        const int64_t* begins  # of each segment of each row
        const int64_t* ends
        Py_ssize_t segments    # of a row

# What decides which units are dropped, besides the layer and the place of the unit.
cdef extern from "dropout.h" nogil:
    ctypedef struct DropoutKey "cmlp_dropout_key":
        uint32_t key[2]
        uint32_t epoch

# What dropout keeps in the workspace: offsets as in Plan.
cdef struct DropoutPlan:
    bint used                  # else the network is whole
    DropoutKey key
    Py_ssize_t saved           # outputs before any was dropped, layer after layer, or ABSENT
    Py_ssize_t values          # of rows of CSR, copied to drop some, or ABSENT
    Py_ssize_t indices
    Py_ssize_t end

# Offsets into the workspace, one flat array for `rows` samples at once. ABSENT: not there; an
# address that is absent is NULL, and kernels are given addresses.
cdef enum:
    ABSENT = -1

cdef struct Plan:
    Py_ssize_t samples         # at once
    Py_ssize_t rows            # of the workspace: one for each sample and member
    Py_ssize_t block           # rows that go through all layers together: they stay in L1 or L2
    Py_ssize_t x               # gathered rows of X, or the inputs made of them (rows, fan_in)
    Py_ssize_t x_delta         # dL/d of the inputs, if they have parameters
    Py_ssize_t y               # gathered targets     (rows, n_outputs)
    Py_ssize_t weight          # gathered weights     (rows,)
    Py_ssize_t a               # activations, layer after layer, each (rows, fan_out)
    Py_ssize_t slope           # the same for f'(z), if a layer keeps it
    Py_ssize_t delta           # dL/dz, layer after layer
    Py_ssize_t loss            # loss of each row     (rows,) of double
    Py_ssize_t penalty         # sum W^2 of each slab (n_slabs,) of double
    Py_ssize_t thread_scratch  # what each thread has for itself, so far apart:
    Py_ssize_t thread_scratch_size
    # offsets from there on
    Py_ssize_t pack            # packed panels of a matrix product
    Py_ssize_t packed_transposes   # W.T of all layers but the first, or ABSENT
    Py_ssize_t slab            # the gradient of one slab
    Py_ssize_t compressed      # what sparse.pxd keeps
    Py_ssize_t inputs          # what inputs.pxd keeps
    SparsePlan sparse
    DropoutPlan dropout
    Py_ssize_t size

cdef enum Conversion:
    AS_IS                      # X has the dtype of the computation
    FROM_OTHER                 # X is float64 in a computation in float32, or the reverse
    ROUNDED                    # both are float64, and the numbers of X are rounded to float32

# The samples of one fit or predict. Addresses of arrays that the Dataset object keeps alive;
# their dtype is the compute dtype unless said otherwise. Strides count elements.
cdef struct Source:
    Py_ssize_t n_samples
    Py_ssize_t n_features
    Py_ssize_t n_outputs
    const void* x              # dense X, or the data of CSR
    int conversion             # of X, as its rows are gathered: it is not read in place then
    Py_ssize_t x_row
    Py_ssize_t x_col
    bint sparse
    bint wide_indices          # CSR indices are int64, not int32
    const void* indices
    const void* indptr
    Py_ssize_t n_entries       # stored in CSR
    Py_ssize_t row_entries     # stored in a row of CSR, at most
    double density             # share of non-zeros in dense X
    const void* y              # (n_samples, n_outputs) row-major, or NULL
    bint y_is_indicator        # y holds uint8 0/1
    double y_scale             # what is learnt is y_scale y + y_shift, of an indicator
    double y_shift
    const void* weight         # (n_samples,), or NULL

# Samples that go through the network together, and where.
cdef struct Batch:
    const Net* net
    const Plan* plan
    const Source* source
    const Py_ssize_t* order    # the samples by index; NULL: they come in their own order
    Py_ssize_t start           # place of the first in the order
    # of the batch; its rows in the workspace are those of the first member, then of the second
    Py_ssize_t samples
