# The budgets of the engine: how much is done at once, and between two looks at what happens
# outside. Blocking within kernels is beside each, in the .pxd files. Included by engine.pxi.
# uses: no other .pxi
# gives: CHUNK_ROWS, PREDICT_ROWS, FLOPS_PER_SIGNAL_CHECK, FLOPS_PER_LOOK_WITHIN,
#   FLOPS_PER_LOOK_ONLINE, FLOPS_PER_PREDICT_PIECE, MAX_PREDICT_PIECES, BLOCK, MIN_BLOCKED,
#   PRODUCTS_WITH_GIL, PRODUCTS_HERE, KEPT_WORKSPACE_BYTES

cdef enum:
    # of rows, whose activations are held at once
    CHUNK_ROWS = 1024                     # in training
    PREDICT_ROWS = 512
    # between two looks at Ctrl-C
    FLOPS_PER_SIGNAL_CHECK = 50_000_000   # a few ms
    FLOPS_PER_LOOK_WITHIN = 500_000_000   # within a piece; smaller pieces are not watched
    FLOPS_PER_LOOK_ONLINE = 800_000_000   # 5 to 50 ms
    # of pieces that threads share
    FLOPS_PER_PREDICT_PIECE = 1_000_000   # or a block of rows, if that is more
    MAX_PREDICT_PIECES = 1_000_000        # the pool counts pieces in 24 bits
    BLOCK = 4096                          # parameters whose squares are summed before the sums are
    MIN_BLOCKED = 8                       # samples for which a block of them is worth its while
    # of a Predictor, in products of numbers
    PRODUCTS_WITH_GIL = 200_000           # about 10 us: less is not worth letting go of the GIL
    PRODUCTS_HERE = 4_000_000             # more may be worth threads, which predict() starts
    KEPT_WORKSPACE_BYTES = 65_536         # kept from one call to the next
