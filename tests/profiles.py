"""Settings of hypothesis that all random tests share. No strategies, no tests."""

import os

from hypothesis import HealthCheck, Phase, settings

TOTAL = int(os.environ.get("CMLP_EXAMPLES", "0"))


def examples(n, n_tests=1):
    """Settings of a test of n examples, always the same ones.

    With CMLP_EXAMPLES=1000 they are 1000 new ones each time, shared between n_tests tests; pytest
    prints the seed that repeats them (--hypothesis-seed).
    """
    return settings(
        max_examples=-(-TOTAL // n_tests) or n,
        derandomize=not TOTAL,
        deadline=None,
        database=None,
        print_blob=True,
        phases=set(Phase) - {Phase.explain},
        suppress_health_check=list(HealthCheck),
    )
