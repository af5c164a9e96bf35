"""An estimator as it was before a fit that is refused. No training."""

import numpy as np


class Rollback:
    """An estimator's attributes and the state of its RandomState, to go back to.

    Parameters
    ----------
    est : estimator

    Attributes
    ----------
    run : TrainingRun or None
        The training that has come of the fit, once there is one.
    """

    __slots__ = ("before", "drawn", "est", "run")

    def __init__(self, est):
        self.est, self.run = est, None
        self.before = vars(est).copy()
        seed = est.random_state
        self.drawn = None
        if isinstance(seed, np.random.RandomState):
            self.drawn = seed.get_state(legacy=False)

    def undo_what(self, error):
        """Undo what was done before the given error ended it, unless training had begun."""
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
