"""An estimator as it was before a fit that is refused. No training."""

import numpy as np


class Rollback:
    """Context that undoes what was done to an estimator, unless training had begun.

    Parameters
    ----------
    est : estimator

    Attributes
    ----------
    run : TrainingRun or None
        The training that goes on within the context, once there is one.
    """

    __slots__ = ("before", "drawn", "est", "run")

    def __init__(self, est):
        self.est, self.run = est, None

    def __enter__(self):
        est = self.est
        self.before = dict(vars(est))
        seed = est.random_state
        self.drawn = None
        if isinstance(seed, np.random.RandomState):
            self.drawn = seed.get_state(legacy=False)
        return self

    def __exit__(self, kind, error, traceback):
        if error is None:
            return
        begun = self.run is not None and self.run.begun
        if begun and not (isinstance(error, MemoryError) and not self._has_trained()):
            return
        attributes = vars(self.est)
        for name in attributes.keys() - self.before.keys():
            if not name.startswith(("_skl_", "_callback_")):  # which are to be torn down
                delattr(self.est, name)
        attributes.update(self.before)
        if self.drawn is not None:
            self.est.random_state.set_state(self.drawn)

    def _has_trained(self):
        """Whether an epoch or iteration has ended, and so given a loss."""
        loss = vars(self.est).get("loss_", np.nan)
        return loss is not self.before.get("loss_") and not np.isnan(loss)
