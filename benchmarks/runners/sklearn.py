"""The adapter of scikit-learn."""

from functools import partial

from sklearn import neural_network

from benchmarks.runners import EstimatorRun

DISTRIBUTION = "scikit-learn"
prepare = partial(EstimatorRun, neural_network)
