"""The adapter of scikit-learn."""

from functools import partial

from sklearn import neural_network

from benchmarks.runners import EstimatorRun

SYSTEM = DISTRIBUTION = "scikit-learn"
prepare = partial(EstimatorRun, neural_network)
