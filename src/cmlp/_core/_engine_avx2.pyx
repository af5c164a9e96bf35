# The engine, compiled for avx2: setup.py gives the flags, engine.pxi the code.
include "engine.pxi"
include "kernels.pxi"
