"""The adapter of cmlp."""

from functools import partial

import cmlp
from benchmarks.runners import EstimatorRun

SYSTEM = DISTRIBUTION = "cmlp"
prepare = partial(EstimatorRun, cmlp)
