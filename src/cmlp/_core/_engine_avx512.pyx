# The engine compiled for the avx512 instruction set; setup.py gives the flags, engine.pxi the code.
include "engine.pxi"
include "kernels.pxi"
