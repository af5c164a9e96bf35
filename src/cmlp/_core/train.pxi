# Training: an epoch, or one gradient, as a job for the pool of threads. Included by engine.pxi,
# which imports and checks; the work on a minibatch is in network.pxd, updates by a gradient that
# is clipped are in update.pxi.
# uses: dataset.pxi, layout.pxi, limits.pxi, update.pxi
# gives: Training


cdef class Training(Update):
    """One epoch, or one gradient: what its threads share.

    Its phases are, for each minibatch (or each chunk of a large one), the rows and then the slabs;
    if the step is apart, those of an Update follow.
    """

    cdef Dataset data
    cdef Plan plan
    cdef const Py_ssize_t* order
    cdef Py_ssize_t n, batch_size
    cdef const double* rates     # the learning rate of each minibatch, or NULL
    cdef float[::1] work32
    cdef double[::1] work64
    cdef double* losses          # of the rows of the chunk
    cdef double* penalties       # of the slabs
    cdef bint to_grads           # the gradient vector is needed

    # where the job stands; changed between phases only
    cdef Py_ssize_t start, end   # of the minibatch
    cdef Py_ssize_t at, samples  # of its chunk
    cdef double loss             # of the minibatch
    cdef double total            # losses of the batches, as the caller needs them

    def __cinit__(self, Layout layout, Dataset data):
        self.data = data
        self.phase = UPDATE_PHASE

    cdef take(self, const Py_ssize_t[::1] order, Py_ssize_t start, Py_ssize_t stop,
              Py_ssize_t batch_size):
        """Have start..stop of the order be the samples, in batches; after plan_for.

        order: None for all in their own order.
        """
        cdef Source* source = &self.data.source
        cdef Py_ssize_t i, n = source.n_samples
        if order is not None:
            for i in range(start, stop):
                if order[i] < 0 or order[i] >= n:
                    raise ValueError("order has indices out of bounds.")
            self.order = &order[0]
            if source.sparse and self.plan.samples * source.row_entries > source.n_entries \
                    and most_entries(source, self.order + start, stop - start, batch_size,
                                     self.plan.samples) > entries(source, self.plan.samples):
                raise ValueError("order has indices twice in a batch.")
        self.at = self.end = start
        self.n = stop
        self.batch_size = batch_size

    cdef plan_for(self, Py_ssize_t batch_size, int n_threads, size_t itemsize):
        cdef Py_ssize_t samples = samples_at_once(&self.layout.net, batch_size, CHUNK_ROWS)
        self.n_threads = max(1, n_threads)
        self.plan = plan_workspace(
            &self.layout.net, &self.data.source, samples, self.n_threads, itemsize)
        self.to_grads = self.hyper is NULL or batch_size > samples or self.steps_apart

    cdef hold(self, params, grads, state, work):
        cdef char* at
        self.hold_parameters(params, grads, state)
        if self.single:
            self.work32 = work
        else:
            self.work64 = work
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
                self.clip()
            self.phase = <Phase>(self.phase + 1)
            if self.phase == NORM_PHASE and self.max_norm == 0:
                self.phase = UPDATE_PHASE
            self.n_pieces = self.n_threads
            return self.n_pieces
        if self.samples > 0:
            self.end_chunk()
        if raised(&self.interrupt.stop) or self.at == self.end and not self.begin_batch():
            return 0
        self.phase = ROWS_PHASE
        self.samples = min(self.plan.samples, self.end - self.at)
        self.n_pieces = <int>max(1, min(<Py_ssize_t>self.n_threads, self.n_rows() // ROWS))
        return self.n_pieces

    cdef bint updated(self) noexcept nogil:
        """Whether the phase was the last of its chunk."""
        return self.phase == SLABS_PHASE and (
            not self.steps_apart or self.at + self.samples < self.end)

    cdef Py_ssize_t n_rows(self) noexcept nogil:
        """Of the chunk."""
        return self.samples * self.layout.net.n_members

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
                    self.prepare_step()
                return True
        return False

    cdef void end_chunk(self) noexcept nogil:
        """Add up the losses, in the order of the rows and slabs."""
        cdef Net* net = &self.layout.net
        cdef Py_ssize_t i
        cdef double penalty = 0
        for i in range(self.n_rows()):
            self.loss += self.losses[i]
        self.at += self.samples
        if self.at < self.end:
            return
        # scikit-learn reports squared error as a mean over outputs but differentiates the sum
        if loss_table[net.loss.id].mean_over_outputs:
            self.loss *= 1.0 / net.n_outputs
        if self.hyper is not NULL:
            end_step(&self.step, self.hyper, self.averaging)
            if self.steps_apart:
                penalty = self.block_sum(1)
            else:
                for i in range(count_slabs(net)):
                    penalty += self.penalties[i]
            self.loss = ((self.loss + self.alpha / 2 * penalty) / self.weight
                         * (self.end - self.start))
        self.total += self.loss

    cdef Py_ssize_t flops_of_piece(self) noexcept nogil:
        cdef Net* net = &self.layout.net
        return (self.n_rows() * (3 * net.n_coefs + 100 * net.n_units) + 10 * net.n_params
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
    cdef Plan* plan = &run.plan
    cdef floating* scratch = &work[plan.thread_scratch + rank * plan.thread_scratch_size]
    cdef Py_ssize_t first, last, rows = run.n_rows()
    cdef Batch batch = Batch(
        &run.layout.net, plan, &run.data.source, run.order, run.at, run.samples)
    cdef GradientUse use
    if run.phase == ROWS_PHASE:
        first = rows * piece // run.n_pieces // ROWS * ROWS
        last = rows
        if piece < run.n_pieces - 1:
            last = rows * (piece + 1) // run.n_pieces // ROWS * ROWS
        rows_phase(&batch, first, last, params, work, scratch)
    elif run.phase == SLABS_PHASE:
        use.in_vector = run.to_grads
        use.accumulate = run.at > run.start
        use.step = NULL
        if run.hyper is not NULL and run.at + run.samples == run.end and not run.steps_apart:
            use.step = &run.step
        use.alpha = run.alpha
        use.scale = 1 / run.weight
        slabs_phase(&batch, &use, params, grads, state, work, scratch, piece, run.n_pieces)
        if builds_inputs(batch.net):
            inputs_gradient(&batch, params, grads, work, use.accumulate, scratch, piece,
                            run.n_pieces)
    else:
        update_blocks(run, params, grads, state, piece)
