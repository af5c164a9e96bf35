# The step of an optimizer by a gradient that is there, as a job for the pool of threads: clipping
# and the update, a block of parameters at a time. Included by engine.pxi, which imports. How the
# gradient comes about is in train.pxi, the update rules are in optimizers.h.
# uses: interrupt.pxi, layout.pxi, limits.pxi
# gives: Update, update_blocks, update_next_phase, update_piece, update_idle

cdef enum Phase:
    ROWS_PHASE       # forward, loss, deltas
    SLABS_PHASE      # gradient, and the update unless the gradient is clipped
    NORM_PHASE       # of a gradient that is clipped
    UPDATE_PHASE


cdef class Update:
    """One step over all parameters: what its threads share.

    A gradient that is clipped takes two phases, as an update needs the norm of all of it. A step
    is apart from the gradient if that is clipped, or if there are parameters beside the layers'.
    Arrays of both dtypes are attributes, because a thread is given an address.
    """

    cdef Layout layout
    cdef int n_threads
    cdef double alpha
    cdef int optimizer
    cdef double* hyper           # NULL: no step is made
    cdef double* averaging       # EMA_DECAY and EMA_T, or NULL
    cdef double max_norm         # of a gradient; 0: not clipped
    cdef bint steps_apart        # the whole gradient is there before the step
    cdef double[::1] squares     # of the gradient, sums of blocks, then of the weights
    cdef bint single
    cdef float[::1] params32, grads32
    cdef float[:, ::1] state32
    cdef double[::1] params64, grads64
    cdef double[:, ::1] state64

    # where the job stands; changed between phases only
    cdef Phase phase
    cdef int n_pieces
    cdef Step step
    cdef double weight           # of the samples in the gradient
    cdef double decay, scale     # the update is by scale (gradient + decay W)
    cdef Interrupt interrupt

    def __cinit__(self, Layout layout, *_):
        self.layout = layout
        self.interrupt = Interrupt()
        self.phase = SLABS_PHASE

    cdef step_by(
        self, str optimizer, double[::1] hyper, double alpha, double max_norm,
        double[::1] averaging, Py_ssize_t n_rows, Py_ssize_t n_columns,
    ):
        """Have the step made by an optimizer whose state is of shape (n_rows, n_columns)."""
        which, n_states, names = OPTIMIZERS[optimizer]
        if hyper is None or hyper.shape[0] != len(names) \
                or n_columns != self.layout.net.n_params \
                or n_rows != n_states + (averaging is not None) \
                or averaging is not None and averaging.shape[0] != 2:
            raise ValueError(
                "hyper, state or averaging do not fit the network and the optimizer.")
        if averaging is not None:
            self.averaging = &averaging[0]
        self.optimizer = which
        self.hyper = &hyper[0]
        self.alpha = alpha
        self.max_norm = max(0, max_norm)
        self.steps_apart = self.max_norm > 0 or self.layout.net.n_input_params > 0

    cdef hold_parameters(self, params, grads, state):
        self.single = params.itemsize == sizeof(float)
        if self.single:
            self.params32, self.grads32, self.state32 = params, grads, state
        else:
            self.params64, self.grads64, self.state64 = params, grads, state

    cdef Py_ssize_t n_coef_blocks(self) noexcept nogil:
        return (self.layout.net.n_coefs + BLOCK - 1) // BLOCK

    cdef Py_ssize_t n_blocks(self) noexcept nogil:
        """Of weights, then of what has no penalty: biases only if they are trained."""
        cdef Net* net = &self.layout.net
        cdef Py_ssize_t n = net.n_input_params + (net.n_biases if net.fit_intercept else 0)
        return self.n_coef_blocks() + (n + BLOCK - 1) // BLOCK

    cdef double block_sum(self, int which) noexcept nogil:
        """The squares of the gradient (0) or of the weights (1), in the order of the blocks."""
        cdef Py_ssize_t i, n = self.n_blocks()
        cdef double total = 0
        for i in range(which * n, (which + 1) * n):
            total += self.squares[i]
        return total

    cdef void prepare_step(self) noexcept nogil:
        self.step = begin_step(
            self.optimizer, self.hyper, self.layout.net.n_coefs, self.averaging)
        self.decay = self.alpha
        self.scale = 1 / self.weight

    cdef void clip(self) noexcept nogil:
        """After NORM_PHASE, which has finished the gradient."""
        self.decay = 0
        self.scale = clip_scale(self.block_sum(0), self.max_norm)

    cdef int next_phase(self) noexcept nogil:
        """How many pieces the next phase has; 0 at the end, or when a signal stops the job before
        anything was updated."""
        if self.phase == UPDATE_PHASE:
            end_step(&self.step, self.hyper, self.averaging)
            return 0
        if raised(&self.interrupt.stop):
            return 0
        if self.phase == NORM_PHASE:
            self.clip()
        self.phase = UPDATE_PHASE if self.phase == NORM_PHASE or self.max_norm == 0 else NORM_PHASE
        self.n_pieces = <int>min(<Py_ssize_t>self.n_threads, self.n_blocks())
        return self.n_pieces


cdef int update_next_phase(void* run) noexcept nogil:
    return (<Update>run).next_phase()


cdef void update_idle(void* run) noexcept nogil:
    (<Update>run).interrupt.look()


cdef void update_piece(void* run, int piece, int rank) noexcept nogil:
    if (<Update>run).single:
        update_blocks(<Update>run, (<Update>run).params32, (<Update>run).grads32,
                      (<Update>run).state32, piece)
    else:
        update_blocks(<Update>run, (<Update>run).params64, (<Update>run).grads64,
                      (<Update>run).state64, piece)
    if rank == 0:
        (<Update>run).interrupt.note(
            10 * (<Update>run).layout.net.n_params // (<Update>run).n_pieces)


cdef void update_blocks(
    Update run, floating[::1] params, floating[::1] grads, floating[:, ::1] state, int piece,
) noexcept nogil:
    """A share of the blocks of parameters: their squares, or their update."""
    cdef Net* net = &run.layout.net
    cdef Py_ssize_t block, at, n, end, n_blocks = run.n_blocks()
    cdef bint of_weights
    for block in range(n_blocks * piece // run.n_pieces, n_blocks * (piece + 1) // run.n_pieces):
        of_weights = block < run.n_coef_blocks()
        at = block * BLOCK
        end = net.n_coefs
        if not of_weights:
            at += net.n_coefs - run.n_coef_blocks() * BLOCK
            end = net.n_params if net.fit_intercept else net.n_params - net.n_biases
        n = min(<Py_ssize_t>BLOCK, end - at)
        if of_weights and (run.phase == NORM_PHASE or run.max_norm == 0):
            run.squares[n_blocks + block] = sum_of_squares(n, params, at)
        if run.phase == NORM_PHASE:
            run.squares[block] = finish_block(
                n, run.alpha if of_weights else 0, 1 / run.weight, params, at, grads)
        else:
            optimizer_step(&run.step, n, run.decay if of_weights else 0, run.scale, params, at,
                           &grads[at], state)
