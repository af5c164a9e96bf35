"""How times are taken: systems in turns, an equal share of time each. Knows no system.

An action is a call without arguments that does its work once and returns two numbers of seconds,
of a short and of a long piece of it: the difference is what is counted.
"""

import statistics
import time


def take_turn(action, seconds):
    """The pairs of one turn: as many as fit into the time, but one at least."""
    pairs = []
    end = time.perf_counter() + seconds
    while not pairs or time.perf_counter() < end:
        pairs.append(action())
    return pairs


def take_turns(actions, turns, seconds):
    """Name -> pairs; a disturbance of the machine hits all systems that take turns."""
    pairs = {name: [] for name in actions}
    for _ in range(turns):
        for name, action in actions.items():
            pairs[name] += take_turn(action, seconds)
    return pairs


def microseconds(pairs, n_units):
    """Microseconds per unit of work; None for what is lost in noise.

    Shortest long piece minus shortest short piece, because what disturbs only adds.
    """
    short, long = zip(*pairs, strict=True)
    seconds = min(long) - min(short)
    return 1e6 * seconds / n_units if seconds > 0 else None


def noise(pairs):
    """By how much the median of the long pieces exceeds the shortest."""
    longs = [long for _, long in pairs]
    return statistics.median(longs) / min(longs) - 1


def summary(pairs, n_units):
    """The times of one case: ``us`` and ``noise``, each system -> number."""
    return {
        "us": {name: microseconds(of, n_units) for name, of in pairs.items()},
        "noise": {name: noise(of) for name, of in pairs.items()},
    }
