"""scikit-learn's callbacks (``sklearn.callback``, since 1.9): a fit is a task, an epoch of sgd and
adam or an iteration of lbfgs is a subtask of it. No training, no layer.
"""

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

from sklearn.utils import _safe_indexing

if TYPE_CHECKING:

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: Any) -> Self: ...
else:
    try:
        from sklearn.callback import CallbackSupportMixin
    except ImportError:

        class CallbackSupportMixin:
            """scikit-learn before 1.9 has no callbacks: no ``set_callbacks``."""


#: Attributes that go on growing, of which a callback is given a copy.
CURVES = ("loss_curve_", "validation_scores_", "validation_loss_curve_")


class FitTask:
    """The hooks of a fit or partial_fit whose estimator has callbacks.

    Parameters
    ----------
    est : estimator
    parameters : Parameters
        What is being trained; the estimator's attributes are views on it.
    dtype : dtype
        Of the weights that the fit ends with.
    X, y, sample_weight
        As the caller of fit gave them.
    incremental : bool
        Whether this is a partial_fit, with one subtask.
    """

    def __init__(self, est, parameters, dtype, X, y, sample_weight, incremental):
        self.est = est
        self.parameters = parameters
        self.dtype = dtype
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.data = {"X": X, "y": y, "metadata": metadata}
        self.subtask_name = "iteration" if est.solver == "lbfgs" else "epoch"
        self.subtask = None
        self.task = est._init_callback_context(
            task_name="partial_fit" if incremental else "fit",
            max_subtasks=1 if incremental else est.max_iter,
        )
        self.task.call_on_fit_task_begin(
            estimator=est, **self.data, reconstruction_attributes=self.snapshot
        )

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
        """What makes a copy of the estimator one whose fit has ended here."""
        est = self.est
        parameters = self.parameters.astype(self.dtype)
        if parameters is self.parameters:
            parameters = parameters.copy()
        attributes = {
            "_parameters": parameters,
            "coefs_": list(parameters.coefs),
            "intercepts_": list(parameters.intercepts),
        }
        for name in CURVES:
            curve = vars(est).get(name)
            if curve is not None:
                attributes[name] = list(curve)
        if "_optimizer" in vars(est):
            attributes["_optimizer"] = deepcopy(est._optimizer) if est._incremental else None
        return attributes

    def begin(self):
        """An epoch or iteration begins."""
        self.subtask = self.task.subcontext(task_name=self.subtask_name)
        self.subtask.call_on_fit_task_begin(
            estimator=self.est, **self.data, reconstruction_attributes=self.snapshot
        )

    def end(self, usable=True):
        """It ends: whether a callback wants the fit to stop. Not usable: with no weights to show.

        Does nothing if none has begun.
        """
        subtask, self.subtask = self.subtask, None
        if subtask is None:
            return False
        what = {**self.data, "reconstruction_attributes": self.snapshot} if usable else {}
        return subtask.call_on_fit_task_end(estimator=self.est, **what)

    def close(self):
        """The fit ends."""
        self.end(usable=False)
        self.task.call_on_fit_task_end(
            estimator=self.est, **self.data, reconstruction_attributes=self.snapshot
        )
