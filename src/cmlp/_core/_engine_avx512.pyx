# The engine, compiled for avx512: setup.py gives the flags, engine.pxi the code.
include "engine.pxi"
include "kernels.pxi"
