"""The adapter of scikit-learn."""

from functools import partial

from sklearn import neural_network

from benchmarks.runners import EstimatorRun, estimator_predictor

SYSTEM = DISTRIBUTION = "scikit-learn"
prepare = partial(EstimatorRun, neural_network)
predictor = partial(estimator_predictor, neural_network)
estimators = neural_network
