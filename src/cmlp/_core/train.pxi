# Training: an epoch, or one gradient, as a job for the pool of threads. Included by engine.pxi,
# which imports and checks; the work on a minibatch is in network.pxd.

cdef enum Phase:
    ROWS_PHASE       # forward, loss, deltas
    SLABS_PHASE      # gradient, and the update unless the gradient is clipped
    NORM_PHASE       # of a gradient that is clipped
    UPDATE_PHASE

cdef enum:
    BLOCK = 4096     # parameters whose squares are summed before the sums are


cdef class Interrupt:
    """How a job of the pool notices Ctrl-C: rank 0, the caller, looks now and then.

    That is after pieces of its own, within long ones, and while it waits for the other ranks.
    """

    cdef bint in_main_thread     # Python handles signals there only
    cdef Py_ssize_t flops        # since the last look
    cdef stop_flag stop
    cdef object error

    def __cinit__(self):
        self.in_main_thread = get_ident() == main_thread().ident

    cdef void note(self, Py_ssize_t flops) noexcept nogil:
        """Count work done; look if it is time."""
        self.flops += flops
        if self.flops > FLOPS_PER_SIGNAL_CHECK:
            self.look()

    cdef void watch(self, int rank, Py_ssize_t flops, bint in_products) noexcept nogil:
        """Have this thread notice a stop within a piece of so much work."""
        if flops > FLOPS_PER_LOOK_WITHIN:
            watch_begin(&self.stop, look_within, <void*>self if rank == 0 else NULL, in_products)

    cdef void note_within(self, Py_ssize_t flops) noexcept nogil:
        """The same as note, of a part of a piece."""
        self.flops += flops
        if self.flops > FLOPS_PER_LOOK_WITHIN:
            self.look()

    cdef void look(self) noexcept nogil:
        self.flops = 0
        if self.in_main_thread:
            self.run_handlers()

    cdef void run_handlers(self) noexcept with gil:
        cdef fp_state before = keep_denormals()
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            # a second Ctrl-C tells of the first; anything else is not lost for one
            if isinstance(self.error, KeyboardInterrupt):
                error.__context__ = self.error
                self.error = None
            if self.error is None:
                self.error = error
            raise_flag(&self.stop)
        fp_restore(before)

    cdef check(self, int n_run):
        """After pool_run: raise what a signal handler raised."""
        if self.error is not None:
            raise self.error
        if n_run == 0:
            raise RuntimeError("The process forked within this call, which ends in the parent.")


cdef void look_within(void* interrupt, Py_ssize_t flops) noexcept nogil:
    (<Interrupt>interrupt).note_within(flops)


cdef class Training:
    """One epoch, or one gradient over all samples: what its threads share.

    Its phases are, for each minibatch (or each chunk of a large one), the rows and then the slabs;
    if gradients are clipped, an update needs the norm of all of them: two phases more.
    It holds the arrays of both dtypes as attributes, because a thread is given an address.
    """

    cdef Layout layout
    cdef Dataset data
    cdef Plan plan
    cdef int n_threads
    cdef const Py_ssize_t* order
    cdef Py_ssize_t n, batch_size
    cdef double alpha
    cdef int optimizer
    cdef double* hyper           # NULL: the gradient alone
    cdef const double* rates     # the learning rate of each minibatch, or NULL
    cdef double* averaging       # EMA_DECAY and EMA_T, or NULL
    cdef double max_norm         # of a gradient; 0: not clipped
    cdef double[::1] squares     # of the gradient, sums of blocks, then of the weights
    cdef bint single
    cdef float[::1] params32, grads32, work32
    cdef float[:, ::1] state32
    cdef double[::1] params64, grads64, work64
    cdef double[:, ::1] state64
    cdef double* losses          # of the rows of the chunk
    cdef double* penalties       # of the slabs
    cdef bint to_grads           # the gradient vector is needed

    # where the job stands; changed between phases only
    cdef Phase phase
    cdef Py_ssize_t start, end   # of the minibatch
    cdef Py_ssize_t at, rows     # of its chunk
    cdef int n_pieces
    cdef Step step
    cdef double weight, loss     # of the minibatch
    cdef double scale            # of its gradient, once the norm is known
    cdef double total            # losses of the batches, as the caller needs them

    cdef Interrupt interrupt

    def __cinit__(self, Layout layout, Dataset data):
        self.layout = layout
        self.data = data
        self.interrupt = Interrupt()
        self.phase = UPDATE_PHASE

    cdef clip(self, double max_norm):
        """Before plan_for: gradients are not to be longer than this."""
        self.max_norm = max_norm
        self.squares = np.zeros(2 * self.n_blocks())

    cdef Py_ssize_t n_coef_blocks(self) noexcept nogil:
        return (self.layout.net.n_coefs + BLOCK - 1) // BLOCK

    cdef Py_ssize_t n_blocks(self) noexcept nogil:
        """Of weights, then of biases if they are trained."""
        cdef Py_ssize_t n = self.layout.net.n_units if self.layout.net.fit_intercept else 0
        return self.n_coef_blocks() + (n + BLOCK - 1) // BLOCK

    cdef plan_for(self, Py_ssize_t batch_size, int n_threads, size_t itemsize):
        cdef Py_ssize_t rows = max(1, min(batch_size, <Py_ssize_t>CHUNK_ROWS))
        self.n_threads = max(1, n_threads)
        self.plan = plan_workspace(
            &self.layout.net, &self.data.source, rows, self.n_threads, itemsize)
        self.to_grads = batch_size > rows or self.max_norm > 0

    cdef hold(self, params, grads, state, work):
        cdef char* at
        self.single = params.itemsize == sizeof(float)
        if self.single:
            self.params32, self.grads32, self.state32, self.work32 = params, grads, state, work
        else:
            self.params64, self.grads64, self.state64, self.work64 = params, grads, state, work
        at = <char*>&self.work32[0] if self.single else <char*>&self.work64[0]
        if <size_t>at % sizeof(double):
            raise ValueError("The workspace must be aligned.")    # it holds losses in double
        self.losses = <double*>(at + self.plan.loss * <Py_ssize_t>params.itemsize)
        self.penalties = <double*>(at + self.plan.penalty * <Py_ssize_t>params.itemsize)

    cdef run(self):
        """Compute all phases. Raises what a signal handler raised."""
        cdef int n_run
        with nogil:
            n_run = pool_run(training_next_phase, training_piece, training_idle, <void*>self,
                             self.n_threads)
        self.interrupt.check(n_run)

    cdef int next_phase(self) noexcept nogil:
        """How many pieces the next phase has; 0 at the end, or when a signal stops the job."""
        if self.phase != UPDATE_PHASE and not self.updated():
            if raised(&self.interrupt.stop):
                return 0
            if self.phase == NORM_PHASE:
                self.scale = clip_scale(self.block_sum(0), self.max_norm)
            self.phase = <Phase>(self.phase + 1)
            self.n_pieces = self.n_threads
            return self.n_pieces
        if self.rows > 0:
            self.end_chunk()
        if raised(&self.interrupt.stop) or self.at == self.end and not self.begin_batch():
            return 0
        self.phase = ROWS_PHASE
        self.rows = min(self.plan.rows, self.end - self.at)
        self.n_pieces = <int>max(1, min(<Py_ssize_t>self.n_threads, self.rows // ROWS))
        return self.n_pieces

    cdef bint updated(self) noexcept nogil:
        """Whether the phase was the last of its chunk."""
        return self.phase == SLABS_PHASE and (self.max_norm == 0 or self.at + self.rows < self.end)

    cdef double block_sum(self, int which) noexcept nogil:
        """The squares of the gradient (0) or of the weights (1), in the order of the blocks."""
        cdef Py_ssize_t i, n = self.n_blocks()
        cdef double total = 0
        for i in range(which * n, (which + 1) * n):
            total += self.squares[i]
        return total

    cdef double weight_of(self, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
        if self.single:
            return total_weight(&self.data.source, self.order, start, end - start, <float*>NULL)
        return total_weight(&self.data.source, self.order, start, end - start, <double*>NULL)

    cdef bint begin_batch(self) noexcept nogil:
        """The next minibatch that has weight, if there is one."""
        while self.end < self.n:
            self.at = self.start = self.end
            self.end = min(self.start + self.batch_size, self.n)
            self.weight = self.weight_of(self.start, self.end)
            if self.weight != 0:
                self.loss = 0
                if self.hyper is not NULL:
                    if self.rates is not NULL:
                        self.hyper[LEARNING_RATE] = self.rates[self.start // self.batch_size]
                    self.step = begin_step(self.optimizer, self.hyper, self.layout.net.n_coefs,
                                           self.averaging)
                return True
        return False

    cdef void end_chunk(self) noexcept nogil:
        """Add up the losses, in the order of the rows and slabs."""
        cdef Net* net = &self.layout.net
        cdef Py_ssize_t i
        cdef double penalty = 0
        for i in range(self.rows):
            self.loss += self.losses[i]
        self.at += self.rows
        if self.at < self.end:
            return
        # a division by outputs is scikit-learn's squared error, its gradient a plain sum
        if loss_table[net.loss.id].mean_over_outputs:
            self.loss *= 1.0 / net.n_outputs
        if self.hyper is not NULL:
            end_step(&self.step, self.hyper, self.averaging)
            if self.max_norm > 0:
                penalty = self.block_sum(1)
            else:
                for i in range(count_slabs(net)):
                    penalty += self.penalties[i]
            self.loss = ((self.loss + self.alpha / 2 * penalty) / self.weight
                         * (self.end - self.start))
        self.total += self.loss

    cdef Py_ssize_t flops_of_piece(self) noexcept nogil:
        cdef Net* net = &self.layout.net
        return (self.rows * (3 * net.n_coefs + 100 * net.n_units) + 10 * net.n_params
                + 1000 * net.n_layers) // self.n_pieces


cdef int training_next_phase(void* run) noexcept nogil:
    return (<Training>run).next_phase()


cdef void training_idle(void* run) noexcept nogil:
    (<Training>run).interrupt.look()


cdef void training_piece(void* run, int piece, int rank) noexcept nogil:
    cdef Py_ssize_t flops = (<Training>run).flops_of_piece()
    # an unfinished product of rows is of no consequence, there will be no update; but a slab is
    # updated by what is computed
    (<Training>run).interrupt.watch(rank, flops, (<Training>run).phase == ROWS_PHASE)
    if (<Training>run).single:
        train_piece(<Training>run, (<Training>run).params32, (<Training>run).grads32,
                    (<Training>run).state32, (<Training>run).work32, piece, rank)
    else:
        train_piece(<Training>run, (<Training>run).params64, (<Training>run).grads64,
                    (<Training>run).state64, (<Training>run).work64, piece, rank)
    watch_end()
    if rank == 0:
        (<Training>run).interrupt.note(flops)


cdef void train_piece(
    Training run, floating[::1] params, floating[::1] grads, floating[:, ::1] state,
    floating[::1] work, int piece, int rank,
) noexcept nogil:
    """A share of the rows, in whole tiles, of the slabs, or of the blocks of parameters."""
    cdef Net* net = &run.layout.net
    cdef Plan* plan = &run.plan
    cdef Source* source = &run.data.source
    cdef Py_ssize_t own = plan.own + rank * plan.own_size
    cdef Py_ssize_t first, last, block
    cdef bint updates = (run.hyper is not NULL and run.at + run.rows == run.end
                         and run.max_norm == 0)
    if run.phase == ROWS_PHASE:
        first = run.rows * piece // run.n_pieces // ROWS * ROWS
        last = run.rows
        if piece < run.n_pieces - 1:
            last = run.rows * (piece + 1) // run.n_pieces // ROWS * ROWS
        rows_phase(net, plan, source, run.order, run.at, first, last, params, work, own)
    elif run.phase == SLABS_PHASE:
        slabs_phase(
            net, plan, source, run.order, run.at, run.rows, run.alpha, 1 / run.weight,
            &run.step if updates else NULL, params, grads, state, work, own,
            run.at > run.start, run.to_grads, piece, run.n_pieces)
    else:
        for block in range(run.n_blocks() * piece // run.n_pieces,
                           run.n_blocks() * (piece + 1) // run.n_pieces):
            train_block(run, params, grads, state, block)


cdef void train_block(
    Training run, floating[::1] params, floating[::1] grads, floating[:, ::1] state,
    Py_ssize_t block,
) noexcept nogil:
    """The sums of squares of a block of parameters, or its update by the clipped gradient."""
    cdef Net* net = &run.layout.net
    cdef bint of_weights = block < run.n_coef_blocks()
    cdef Py_ssize_t at = block * BLOCK, end = net.n_coefs
    if not of_weights:
        at += net.n_coefs - run.n_coef_blocks() * BLOCK
        end = net.n_params
    cdef Py_ssize_t n = min(<Py_ssize_t>BLOCK, end - at)
    if run.phase == UPDATE_PHASE:
        optimizer_step(&run.step, n, 0, run.scale, params, at, grads, at, state)
        return
    finish_block(n, run.alpha if of_weights else 0, 1 / run.weight, params, at, grads,
                 &run.squares[block],
                 &run.squares[run.n_blocks() + block] if of_weights else NULL)
