# Training: the loop over minibatches that every thread of an epoch runs. Included by engine.pxi,
# which imports and checks; the work on a minibatch is in network.pxd.

cdef class Training:
    """One epoch, or one gradient over all samples: what its threads share.

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
    cdef bint single
    cdef float[::1] params32, grads32, work32
    cdef float[:, ::1] state32
    cdef double[::1] params64, grads64, work64
    cdef double[:, ::1] state64
    cdef double total            # losses of the batches, as the caller needs them
    cdef bint to_grads           # the gradient vector is needed
    cdef bint stop
    cdef object error

    def __cinit__(self, Layout layout, Dataset data):
        self.layout = layout
        self.data = data

    cdef plan_for(self, Py_ssize_t batch_size, int n_threads, size_t itemsize):
        cdef Py_ssize_t rows = max(1, min(batch_size, <Py_ssize_t>CHUNK_ROWS))
        self.n_threads = max(1, n_threads)
        self.plan = plan_workspace(
            &self.layout.net, &self.data.source, rows, self.n_threads, itemsize)
        self.to_grads = batch_size > rows

    cdef hold(self, params, grads, state, work):
        cdef void* at
        self.single = params.itemsize == sizeof(float)
        if self.single:
            self.params32, self.grads32, self.state32, self.work32 = params, grads, state, work
        else:
            self.params64, self.grads64, self.state64, self.work64 = params, grads, state, work
        at = <void*>&self.work32[0] if self.single else <void*>&self.work64[0]
        if <size_t>at % sizeof(double):
            raise ValueError("The workspace must be aligned.")    # it holds losses in double

    cdef start(self):
        """Run all threads. Raises what a signal handler raised."""
        with nogil:
            pool_run(training_part, <void*>self, self.n_threads)
        if self.error is not None:
            raise self.error

    cdef void look_at_signals(self) noexcept with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            self.error = error
            self.stop = True


cdef void training_part(void* run, int rank, int n_threads) noexcept nogil:
    """What one thread does."""
    cdef fp_state before = flush_denormals()
    if (<Training>run).single:
        train(<Training>run, (<Training>run).params32, (<Training>run).grads32,
              (<Training>run).state32, (<Training>run).work32, rank, n_threads)
    else:
        train(<Training>run, (<Training>run).params64, (<Training>run).grads64,
              (<Training>run).state64, (<Training>run).work64, rank, n_threads)
    fp_restore(before)


cdef void train(
    Training run, floating[::1] params, floating[::1] grads, floating[:, ::1] state,
    floating[::1] work, int rank, int n_threads,
) noexcept nogil:
    """Rank 0 adds up losses and looks at signals; all leave together."""
    cdef Net* net = &run.layout.net
    cdef Plan* plan = &run.plan
    cdef Source* source = &run.data.source
    cdef Py_ssize_t own = plan.own + rank * plan.own_size
    cdef Py_ssize_t n_slabs = count_slabs(net)
    cdef Py_ssize_t i, start, end = 0, at, rows, first, last, n_steps = 0, since_check = 0
    cdef double weight, loss, penalty
    # a division by outputs is scikit-learn's squared error, its gradient a plain sum
    cdef double loss_scale = 1.0 / net.n_outputs if loss_table[net.loss].mean_over_outputs else 1.0
    cdef double* losses = <double*>&work[plan.loss]
    cdef double* penalties = <double*>&work[plan.penalty]
    cdef Step step
    cdef bint is_last
    while end < run.n and not run.stop:
        start = end
        end = min(start + run.batch_size, run.n)
        weight = total_weight(source, run.order, start, end - start, <floating*>NULL)
        if weight == 0:
            continue
        if run.hyper is not NULL:
            step = begin_step(run.optimizer, run.hyper, n_steps)
        loss = 0
        at = start
        while at < end and not run.stop:
            rows = min(plan.rows, end - at)
            is_last = at + rows == end
            # whole tiles each
            first = rows * rank // n_threads // ROWS * ROWS
            last = rows * (rank + 1) // n_threads // ROWS * ROWS if rank < n_threads - 1 else rows
            rows_phase(net, plan, source, run.order, at, first, last, params, work, own)
            pool_barrier(n_threads)
            slabs_phase(
                net, plan, source, run.order, at, rows, run.alpha, 1 / weight,
                &step if is_last and run.hyper is not NULL else NULL, params, grads, state, work,
                own, at > start, run.to_grads, rank, n_threads)
            if rank == 0:
                for i in range(rows):
                    loss += losses[i]
                since_check += 6 * rows * net.n_coefs + 20 * net.n_params
                if since_check > FLOPS_PER_SIGNAL_CHECK:
                    since_check = 0
                    run.look_at_signals()
            pool_barrier(n_threads)
            at += rows
        n_steps += 1
        if rank == 0 and not run.stop:
            loss *= loss_scale
            if run.hyper is not NULL:
                penalty = 0
                for i in range(n_slabs):
                    penalty += penalties[i]
                loss = (loss + run.alpha / 2 * penalty) / weight * (end - start)
            run.total += loss
    if rank == 0 and run.hyper is not NULL:
        end_steps(run.optimizer, run.hyper, n_steps)
