"""Fixtures that every test file shares. No tests, no data."""

import pytest


@pytest.fixture
def global_random_seed():
    """The seed that scikit-learn's own tests ask for; their suite uses 42 unless told."""
    return 42
