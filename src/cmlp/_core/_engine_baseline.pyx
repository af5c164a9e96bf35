# The engine compiled for the baseline instruction set; setup.py gives the flags, engine.pxi the code.
include "engine.pxi"
include "kernels.pxi"
