# As every variant.
from cmlp._core._engine_baseline import *  # noqa: F403
