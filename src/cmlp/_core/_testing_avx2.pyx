# What only the tests call, compiled for avx2 as its engine is: flags in setup.py.
include "testing.pxi"
