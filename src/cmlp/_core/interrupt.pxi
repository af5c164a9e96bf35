# Ctrl-C within a compiled call: looked for now and then, raised when the threads have stopped.
# Included by engine.pxi, which imports. How a loop notices within a piece of work is in stop.h.
# uses: limits.pxi
# gives: Interrupt, check_signals


cdef int check_signals() except -1:
    """Run the handlers of signals, with the denormals of the caller."""
    cdef fp_state before = keep_denormals()
    try:
        return PyErr_CheckSignals()
    finally:
        fp_restore(before)


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
