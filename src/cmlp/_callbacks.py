"""scikit-learn's callbacks (``sklearn.callback``, since 1.9): a fit is a task, an epoch of sgd and
adam or an iteration of lbfgs is a subtask of it. No training, no layer.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from sklearn.utils import _safe_indexing

from cmlp._run import Listener

if TYPE_CHECKING:

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: Any) -> Self: ...
else:
    try:
        from sklearn.callback import CallbackSupportMixin
    except ImportError:

        class CallbackSupportMixin:
            """scikit-learn before 1.9 has no callbacks: no ``set_callbacks``."""


class SklearnCallbacks(Listener):
    """The hooks of a fit or partial_fit whose estimator has callbacks.

    Parameters
    ----------
    run : TrainingRun
    task : sklearn.callback.CallbackContext
        That of the fit; an epoch or iteration is a subtask.
    given : Samples
        As the caller of fit gave them.
    """

    __slots__ = ("data", "run", "subtask", "subtask_name", "task")

    def __init__(self, run, task, given):
        self.run, self.task = run, task
        metadata = None
        if given.sample_weight is not None:
            metadata = {"sample_weight": given.sample_weight}
        self.data = {"X": given.X, "y": given.y, "metadata": metadata}
        self.subtask_name = "epoch" if run.state.stochastic else "iteration"
        self.subtask = None
        self.tell(task.call_on_fit_task_begin)

    def tell(self, hook, usable=True):
        """Call a hook, with data and weights if the weights are usable."""
        shown = {**self.data, "reconstruction_attributes": self.snapshot} if usable else {}
        return hook(estimator=self.run.est, **shown)

    def keep_rows(self, indices):
        """Say that only the given samples are trained on."""
        X, y, metadata = self.data.values()

        def lazily(values):
            kept = []

            def of_kept():
                if not kept:
                    kept.append(_safe_indexing(values, indices))
                return kept[0]

            return of_kept

        self.data["X"], self.data["y"] = lazily(X), lazily(y)
        if metadata is not None:
            weights = lazily(metadata["sample_weight"])
            self.data["metadata"] = lambda: {"sample_weight": weights()}

    def snapshot(self):
        """Attributes that make a copy of the estimator one whose fit has ended here."""
        return self.run.state.snapshot(self.run.problem.dtype)

    def step_begins(self, run):
        self.subtask = self.task.subcontext(task_name=self.subtask_name)
        self.tell(self.subtask.call_on_fit_task_begin)

    def step_ends(self, run):
        """Whether a callback wants the fit to stop."""
        return self.end_subtask(usable=run.is_finite)

    def run_ends(self, run):
        self.end_subtask(usable=False)
        self.tell(self.task.call_on_fit_task_end)

    def end_subtask(self, usable):
        """Whether a callback wants the fit to stop; false if no epoch or iteration has begun."""
        subtask, self.subtask = self.subtask, None
        return subtask is not None and self.tell(subtask.call_on_fit_task_end, usable)


class PartTasks:
    """Fits of the networks that an estimator holds, as subtasks of its own fit.

    Parameters
    ----------
    est : estimator
    task : sklearn.callback.CallbackContext
        That of its fit.
    X, y, sample_weight
        As the caller of fit gave them.
    """

    def __init__(self, est, task, X, y, sample_weight):
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.given = {"estimator": est, "X": X, "y": y, "metadata": metadata}
        self.task = task
        task.call_on_fit_task_begin(**self.given)

    @contextmanager
    def part(self, i, network):
        """The fit of network i, to which progress bars and the like are handed on."""
        task = self.task.subcontext(task_name="fold", task_id=i)
        with task.propagate_callback_context(network):
            task.call_on_fit_task_begin(**self.given)
            yield
            task.call_on_fit_task_end(**self.given)

    def end(self):
        self.task.call_on_fit_task_end(**self.given)
