"""A fit as an object: its parts, and who is told of each step. No solver, no formula."""

from collections.abc import Callable
from typing import Any

from cmlp._training import Problem, TrainingState


class Listener:
    """A part of what happens around the steps of a run; a step is an epoch, or an iteration."""

    __slots__ = ()

    def step_begins(self, run):
        """Called before each step."""

    def step_ends(self, run):
        """Called after each step; true if it was the last."""

    def keep_rows(self, indices):
        """Called once if only these samples are trained on."""

    def run_ends(self, run):
        """Called after a run that has come to its end."""


class TrainingRun:
    """A fit, or a call of partial_fit, from its first step to its last.

    Parameters
    ----------
    est : estimator
        Its public parameters are the options of the run. Nothing is written to it.
    problem : Problem
    state : TrainingState
    update : callable(attributes)
        ``dict.update`` of the estimator's attributes: one call of C, so that Ctrl-C finds all of
        what is published or none.
    from_targets : callable(targets)
        Labels or values for y in the form that the loss needs.
    score_outputs : callable(out, y, sample_weight)
        The score that early stopping watches; NaN if predictions are not finite.

    Attributes
    ----------
    first_pass : bool
        Whether the weights have not been trained before.
    resumed : Resumed or None
        The checkpoint that the run goes on with.
    listeners : sequence of Listener
        In the order in which they are called.
    own_listeners : sequence of Listener
        Those among them that have something of their own.
    n_samples : int
        Samples in an epoch: all, or those that are not held out.
    learning_rates : ndarray
        Those of the last step's minibatches, or one for all of them.
    begun : bool
        Whether training has begun: from then on, a run that fails does not undo what it did.
    over : bool
        Whether the step that has ended was the last.
    is_finite : bool
        Whether loss and weights were finite after the last step.
    """

    def __init__(
        self,
        est: Any,
        problem: Problem,
        state: TrainingState,
        update: Callable[[dict], None],
        from_targets: Callable,
        score_outputs: Callable,
    ) -> None:
        self.est, self.problem, self.state = est, problem, state
        self.update, self.from_targets, self.score_outputs = update, from_targets, score_outputs
        self.first_pass, self.resumed = True, None
        self.listeners = self.own_listeners = ()
        self.n_samples = len(problem.dataset)
        self.learning_rates = None
        self.begun = self.over = False
        self.is_finite = True

    def publish(self):
        """Show the state on the estimator."""
        self.state.publish(self.update)

    def begin_step(self):
        """Say that a step begins; those that have nothing of their own need not know."""
        for listener in self.own_listeners:
            listener.step_begins(self)

    def end_step(self):
        """Say that a step has ended; it was the last if one of the listeners wants that."""
        for listener in self.listeners:
            if listener.step_ends(self):
                self.over = True

    def end(self):
        """Say that the run has come to its end."""
        for listener in self.own_listeners:
            listener.run_ends(self)
