"""The engine's shuffle is RandomState.shuffle: the same permutation, the same state afterwards."""

import numpy as np
import pytest

SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 1000, 1024, 1025]
GENERATORS = ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"]


def states_equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(states_equal(a[key], b[key]) for key in a)
    return np.array_equal(a, b)


def check(engine, ours, theirs, n):
    order, expected = (np.arange(n)[::-1].copy() for _ in range(2))
    for _ in range(3):
        engine.shuffle(ours, order)
        theirs.shuffle(expected)
        np.testing.assert_array_equal(order, expected)
    assert states_equal(ours.get_state(legacy=False), theirs.get_state(legacy=False))
    assert ours.uniform() == theirs.uniform()
    assert ours.normal() == theirs.normal()


@pytest.mark.slow
@pytest.mark.parametrize("n", SIZES)
def test_sizes(engine, n):
    for seed in range(20):
        check(engine, np.random.RandomState(seed), np.random.RandomState(seed), n)


def test_a_long_order(engine):
    check(engine, np.random.RandomState(0), np.random.RandomState(0), 300_000)


@pytest.mark.parametrize("name", GENERATORS)
def test_generators(engine, name):
    generator = getattr(np.random, name)
    for n in (2, 33, 1000):
        ours, theirs = (np.random.RandomState(generator(5)) for _ in range(2))
        check(engine, ours, theirs, n)


def test_a_gaussian_drawn_before_is_kept(engine):
    ours, theirs = (np.random.RandomState(1) for _ in range(2))
    assert ours.normal() == theirs.normal()  # the second of the pair waits in the state
    check(engine, ours, theirs, 10)


def test_permutations_compose(engine):
    """Shuffling an order is indexing it with a shuffled range, as scikit-learn does."""
    order = np.random.RandomState(0).permutation(50)
    permutation = np.random.RandomState(3).permutation(50)
    expected = order[permutation]
    engine.shuffle(np.random.RandomState(3), order)
    np.testing.assert_array_equal(order, expected)


def test_a_subclass_shuffles_itself(engine):
    class Reversing(np.random.RandomState):
        def shuffle(self, x):
            x[...] = x[::-1].copy()

    order = np.arange(5)
    engine.shuffle(Reversing(0), order)
    np.testing.assert_array_equal(order, [4, 3, 2, 1, 0])


@pytest.mark.parametrize(
    "order", [np.arange(4.0), np.arange(4, dtype=np.int16), np.arange(8)[::2], [1, 2], None]
)
def test_misuse(engine, order):
    random_state = np.random.RandomState(0)
    with pytest.raises((TypeError, ValueError, AttributeError)):
        engine.shuffle(random_state, order)
    assert states_equal(
        random_state.get_state(legacy=False), np.random.RandomState(0).get_state(legacy=False)
    )
