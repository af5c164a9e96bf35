"""The adapter of cmlp."""

from functools import partial

import cmlp
from benchmarks.runners import EstimatorRun

DISTRIBUTION = "cmlp"
prepare = partial(EstimatorRun, cmlp)
