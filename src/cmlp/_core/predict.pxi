# Prediction: blocks of rows, by one thread or by several. Included by engine.pxi, which imports
# and checks.
# uses: dataset.pxi, interrupt.pxi, layout.pxi, limits.pxi, plain.pxi
# gives: Prediction, predict_rows

cdef class Prediction:
    """What the threads of one predict share; both dtypes, as in Training. One phase."""

    cdef Layout layout
    cdef Dataset data
    cdef Plan plan
    cdef bint single
    cdef const float[::1] params32
    cdef float[::1] work32
    cdef float[:, ::1] out32
    cdef const double[::1] params64
    cdef double[::1] work64
    cdef double[:, ::1] out64
    cdef Py_ssize_t piece_rows
    cdef Py_ssize_t first_draw
    cdef int n_pieces            # 0 once they have been dealt out
    cdef int pieces_of_draw      # of the rows, of which each draw of the dropout has all
    cdef Interrupt interrupt

    def __cinit__(self, Layout layout, Dataset data):
        self.layout = layout
        self.data = data
        self.interrupt = Interrupt()

    cdef hold(self, params, work, out):
        self.single = out.itemsize == sizeof(float)
        if self.single:
            self.params32, self.work32, self.out32 = params, work, out
        else:
            self.params64, self.work64, self.out64 = params, work, out

    cdef run(self, int n_threads, Py_ssize_t n_draws=1):
        """Compute all rows of all draws. Raises what a signal handler raised."""
        cdef Py_ssize_t block = self.plan.block, n = self.data.source.n_samples
        cdef int n_run
        cdef Py_ssize_t at_once
        # whole blocks, that W is not packed for less
        self.piece_rows = block * max(
            1, FLOPS_PER_PREDICT_PIECE // (2 * block * self.layout.net.n_coefs),
            n // block // MAX_PREDICT_PIECES)
        self.pieces_of_draw = <int>((n + self.piece_rows - 1) // self.piece_rows)
        while n_draws > 0:
            at_once = min(n_draws, max(1, MAX_PREDICT_PIECES // self.pieces_of_draw))
            self.n_pieces = <int>at_once * self.pieces_of_draw
            with nogil:
                n_run = pool_run(prediction_next_phase, prediction_piece, prediction_idle,
                                 <void*>self, n_threads)
            self.interrupt.check(n_run)
            self.first_draw += at_once
            n_draws -= at_once

    cdef int next_phase(self) noexcept nogil:
        cdef int n_pieces = self.n_pieces
        self.n_pieces = 0
        return n_pieces


cdef int prediction_next_phase(void* run) noexcept nogil:
    return (<Prediction>run).next_phase()


cdef void prediction_idle(void* run) noexcept nogil:
    (<Prediction>run).interrupt.look()


cdef void prediction_piece(void* run, int piece, int rank) noexcept nogil:
    cdef Net* net = &(<Prediction>run).layout.net
    cdef Source* source = &(<Prediction>run).data.source
    cdef Plan plan = (<Prediction>run).plan
    cdef Py_ssize_t draw = (<Prediction>run).first_draw + piece // (<Prediction>run).pieces_of_draw
    cdef Py_ssize_t out = draw * source.n_samples * net.n_outputs
    cdef Py_ssize_t first = \
        piece % (<Prediction>run).pieces_of_draw * (<Prediction>run).piece_rows
    cdef Py_ssize_t last = min(first + (<Prediction>run).piece_rows, source.n_samples)
    if raised(&(<Prediction>run).interrupt.stop):
        return
    (<Prediction>run).interrupt.watch(rank, 2 * (last - first) * net.n_members * net.n_coefs, True)
    plan.dropout.key.epoch = <uint32_t>draw
    if (<Prediction>run).single:
        predict_rows(net, source, &plan, first, last, (<Prediction>run).params32,
                     (<Prediction>run).work32, rank, &(<Prediction>run).out32[0, 0] + out, False)
    else:
        predict_rows(net, source, &plan, first, last, (<Prediction>run).params64,
                     (<Prediction>run).work64, rank, &(<Prediction>run).out64[0, 0] + out, False)
    watch_end()
    if rank == 0:
        (<Prediction>run).interrupt.note(2 * (last - first) * net.n_members * net.n_coefs)


cdef bint predict_rows(
    const Net* net, const Source* source, const Plan* whole, Py_ssize_t first, Py_ssize_t last,
    const floating[::1] params, floating[::1] work, int rank, floating* out, bint check_finite,
) noexcept nogil:
    """Rows first..last, in the workspace of this rank: the rank-th of equal parts.

    With check_finite each block of rows, which are dense, is looked at before it is read, and
    False says that not all are finite; out is then of no use.
    """
    cdef Plan plan = whole[0]
    cdef bint finite = True
    cdef Py_ssize_t rows, top, member
    cdef Batch batch = Batch(net, &plan, source, NULL, first, 0)
    shift(&plan, rank * (plan.thread_scratch + plan.thread_scratch_size))
    plan.slope = ABSENT       # nobody goes back
    top = output_offset(net, &plan, net.n_layers - 1, 0)
    if builds_inputs(net):
        prepare_inputs(&batch, params, &work[plan.thread_scratch])
    while batch.start < last:
        rows = batch.samples = min(min(plan.block, plan.samples), last - batch.start)
        if check_finite and not finite_block(
                source, batch.start, rows, <const floating*>NULL):
            finite = False
            break
        if builds_inputs(net):
            pass                  # for each member
        elif drops_input(net, &plan):
            take_input(&batch, 0, 0, rows, work)
        elif gathers_x(&batch) and not plan.sparse.used:
            gather_x(source, NULL, batch.start, rows, &work[plan.x])
        for member in range(net.n_members):
            if builds_inputs(net):
                build_inputs(&batch, member * rows, rows, params, work,
                             &work[plan.thread_scratch])
            forward(&batch, member * rows, rows, params, work, &work[plan.thread_scratch])
        mean_of_members(rows * net.n_outputs, net.n_members, &work[top],
                        out + batch.start * net.n_outputs)
        batch.start += rows
    return finite


cdef inline void mean_of_members(
    Py_ssize_t n, Py_ssize_t n_members, const floating* outputs, floating* out,
) noexcept nogil:
    """out (n,) = the mean over the rows of outputs (n_members, n)"""
    cdef Py_ssize_t i, m
    memcpy(out, outputs, n * sizeof(floating))
    if n_members == 1:
        return
    for m in range(1, n_members):
        for i in range(n):
            out[i] += outputs[m * n + i]
    for i in range(n):
        out[i] /= n_members
