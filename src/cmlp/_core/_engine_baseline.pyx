# The engine, compiled for baseline: setup.py gives the flags, engine.pxi the code.
include "engine.pxi"
include "kernels.pxi"
