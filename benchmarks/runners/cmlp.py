"""The adapter of cmlp."""

from functools import partial

import cmlp
from benchmarks.runners import EstimatorRun, estimator_predictor

SYSTEM = DISTRIBUTION = "cmlp"
prepare = partial(EstimatorRun, cmlp)
predictor = partial(estimator_predictor, cmlp)
estimators = cmlp
