# RandomState.shuffle of an order of samples, draw for draw, without a misprediction for every
# rejected draw. Included by engine.pxi, which imports.
# uses: no other .pxi
# gives: shuffle

# numpy/random/bitgen.h, NumPy's stable interface to bit generators, without a build dependency
cdef struct Bitgen:
    void* state
    uint64_t (*next_uint64)(void*) noexcept nogil
    uint32_t (*next_uint32)(void*) noexcept nogil
    double (*next_double)(void*) noexcept nogil
    uint64_t (*next_raw)(void*) noexcept nogil


def shuffle(random_state, Py_ssize_t[::1] order not None):
    """Permute order in place exactly as ``random_state.shuffle(order)`` would.

    The state of the generator afterwards is the same too. Subclasses of RandomState and other
    objects, which may shuffle as they like, are asked themselves.

    Parameters
    ----------
    random_state : numpy.random.RandomState
    order : array of shape (n,)
    """
    cdef Bitgen* bitgen
    cdef Py_ssize_t i = order.shape[0] - 1
    # from 2^32 on NumPy draws 64 bits
    if type(random_state) is not np.random.RandomState or <uint64_t>(i + 1) > 0xffffffff:
        random_state.shuffle(np.asarray(order))
        return
    bit_generator = random_state._bit_generator
    capsule = bit_generator.capsule
    bitgen = <Bitgen*>PyCapsule_GetPointer(capsule, "BitGenerator")
    with bit_generator.lock, nogil:
        fisher_yates(bitgen, &order[0], i)


cdef void fisher_yates(Bitgen* bitgen, Py_ssize_t* order, Py_ssize_t i) noexcept nogil:
    """Swap each entry from the i-th down to the second with one at or before it.

    A draw is taken modulo a power of two and rejected if it is larger than i: then entry i is
    swapped with itself, so that nothing branches on a random bit.
    """
    cdef Py_ssize_t mask = 1, j, kept, accepted
    while mask < i:
        mask = 2 * mask + 1
    while i > 0:
        j = <Py_ssize_t>bitgen.next_uint32(bitgen.state) & mask
        accepted = j <= i
        j = i + (j - i) * accepted
        kept = order[i]
        order[i] = order[j]
        order[j] = kept
        i -= accepted
        if i <= mask >> 1:
            mask >>= 1
