# A job for the pool of threads that only adds up, for the pool's own tests. Included by
# testing.pxi, which imports.
# uses: checks.pxi
# gives: PoolProbe, pool_sum

cdef enum:
    MAX_LOOKS = 2_000_000_000    # some seconds


cdef class PoolProbe:
    """A job for the pool in the form that training has: two phases over and over.

    The first adds up blocks of the values; each piece of the second adds up all of these sums,
    in order, so that no total depends on who computed what.
    """

    cdef const double[::1] values
    cdef double[::1] sums          # of the blocks
    cdef double[::1] totals        # of each piece of the second phase
    cdef int32_t[::1] ranks        # that computed it
    cdef Py_ssize_t phase, n_phases
    cdef object on_piece, on_idle
    cdef stop_flag was_idle

    cdef int begin_phase(self) noexcept nogil:
        if self.phase == self.n_phases:
            return 0
        self.phase += 1
        return <int>self.sums.shape[0]

    cdef void compute(self, int piece, int rank) noexcept nogil:
        cdef Py_ssize_t i, n = self.values.shape[0] // self.sums.shape[0]
        cdef double total = 0
        if rank and self.on_idle is not None:
            for i in range(MAX_LOOKS):
                if raised(&self.was_idle):
                    break
        if self.phase % 2:
            for i in range(piece * n, (piece + 1) * n):
                total += self.values[i] * self.phase
            self.sums[piece] = total
        else:
            for i in range(self.sums.shape[0]):
                total += self.sums[i]
            self.totals[piece] = total
            self.ranks[piece] = rank
        if rank == 0 and self.on_piece is not None:
            self.call(False)

    cdef void call(self, bint idle) noexcept with gil:
        cdef fp_state before = keep_denormals()
        (self.on_idle if idle else self.on_piece)()
        fp_restore(before)

    cdef void idle(self) noexcept nogil:
        if self.on_idle is not None:
            self.call(True)
        raise_flag(&self.was_idle)


cdef int probe_next_phase(void* context) noexcept nogil:
    return (<PoolProbe>context).begin_phase()


cdef void probe_piece(void* context, int piece, int rank) noexcept nogil:
    (<PoolProbe>context).compute(piece, rank)


cdef void probe_idle(void* context) noexcept nogil:
    (<PoolProbe>context).idle()


def pool_sum(
    const double[::1] values, Py_ssize_t n_blocks, int n_threads, Py_ssize_t n_phases=2,
    on_piece=None, on_idle=None,
):
    """Sums of the values by the threads of the pool, denormals being zero: for its tests.

    Parameters
    ----------
    n_blocks : int
        In how many blocks of equal size the values are added up; a divisor of their number.
    n_phases : int, even
        Every second one computes all totals again, n_phases - 1 times the sum.
    on_piece : callable, optional
        What rank 0 calls after each of its pieces, with the GIL.
    on_idle : callable, optional
        What rank 0 calls now and then while it waits, with the GIL. The other ranks hold back
        their pieces until then, for some seconds.

    Returns
    -------
    totals : ndarray of shape (n_blocks,)
        What the last phase found; all the same.
    ranks : ndarray of shape (n_blocks,)
        Which thread computed each total.
    n_run : int
        How many threads the pool had for the job.
    """
    cdef PoolProbe probe = PoolProbe()
    cdef int n_run
    check_shapes(n_blocks > 0 and values.shape[0] % n_blocks == 0 and n_threads > 0)
    totals = np.full(n_blocks, np.nan)
    ranks = np.full(n_blocks, -1, dtype=np.int32)
    probe.values = values
    probe.sums = np.empty(n_blocks)
    probe.totals = totals
    probe.ranks = ranks
    probe.n_phases = n_phases
    probe.on_piece = on_piece
    probe.on_idle = on_idle
    with nogil:
        n_run = pool_run(probe_next_phase, probe_piece, probe_idle, <void*>probe, n_threads)
    return totals, ranks, n_run
