# What only the tests call, compiled for baseline as its engine is: flags in setup.py.
include "testing.pxi"
