"""Learning rates of the steps that a fit plans: warm-up, and the schedules that know the end.

Functions of the step alone; no optimizer, no estimator. What depends on the loss is the
optimizers' own.
"""

import numpy as np

#: 'exponential' ends at this part of the learning rate
FINAL_RATIO = 0.01
#: 'one_cycle' starts at this part, rises for this part of the steps and ends at this part
CYCLE_START, CYCLE_RISE, CYCLE_END = 1 / 25, 0.3, 1 / 25e4


def cosine(k, n):
    """(1 + cos(pi k / n)) / 2: Loshchilov & Hutter, "SGDR", ICLR 2017, equation 5."""
    return (1 + np.cos(np.pi * k / n)) / 2


def exponential(k, n):
    """0.01^(k / n): the same factor in every step."""
    return FINAL_RATIO ** (k / n)


def one_cycle(k, n, rise=CYCLE_RISE):
    """From 1 / 25 up to 1 and down to 1 / 250 000, along half a cosine each.

    Smith & Topin, "Super-convergence", arXiv:1708.07120 (2018), in the shape of PyTorch's
    OneCycleLR, but with a constant momentum: the peak is at step rise n - 1, the end at n - 1.
    """
    peak = max(rise * n - 1, 0.0)
    up = np.minimum(k / max(peak, 1e-9), 1)
    down = np.clip((k - peak) / max(n - 1 - peak, 1e-9), 0, 1)
    rising = 1 + (CYCLE_START - 1) * cosine(up, 1)
    falling = CYCLE_END + (1 - CYCLE_END) * cosine(down, 1)
    return np.where(k <= peak, rising, falling)


#: name -> factor of the learning rate in step k = 0..n-1 of n
SCHEDULES = {"cosine": cosine, "exponential": exponential, "one_cycle": one_cycle}


def factors(name, first, n_steps, n_planned, warmup_fraction=0.0):
    """Factors of the learning rate in the next steps.

    The first ``w = warmup_fraction * n_planned`` steps have the factors (k + 1) / w, and the
    schedule fills the rest; 'one_cycle', which rises itself, does so for that long.

    Parameters
    ----------
    name : str
        Of a schedule; one that is not in SCHEDULES is constant but for the warm-up.
    first : int
        Steps of the plan that are done.
    n_steps : int
        Steps to come now.
    n_planned : int
        Steps of the plan.
    warmup_fraction : float, default=0.0

    Returns
    -------
    factors : ndarray of shape (n_steps,) or None
        None if all are one.
    """
    k = np.arange(first, first + n_steps, dtype=np.float64)
    if name == "one_cycle":
        return one_cycle(k, n_planned, warmup_fraction or CYCLE_RISE)
    warm = warmup_fraction * n_planned
    rising = np.minimum((k + 1) / warm, 1) if warm > 0 and first < warm else None
    if name not in SCHEDULES:
        return rising
    after = SCHEDULES[name](np.maximum(k - warm, 0), n_planned - warm)
    return after if rising is None else rising * after
