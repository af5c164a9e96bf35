"""Fixtures that every test file shares. No tests, no data."""

import gc
import signal

import pytest


def pytest_configure():
    """Ctrl-C arrives also where a shell has started this in the background, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Collections of garbage pass over the thousands of tests that are there to stay."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def global_random_seed():
    """The seed that scikit-learn's own tests ask for; their suite uses 42 unless told."""
    return 42
