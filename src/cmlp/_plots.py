"""Plots of what a fit has recorded, as displays in scikit-learn's convention.

matplotlib is imported when something is drawn. No training, no predictions.
"""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from cmlp._typing import ArrayLike
from cmlp._wrappers import network_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D


class LossCurveDisplay:
    """Loss and validation score of a network after each epoch.

    It is recommended to use :meth:`from_estimator`. All parameters are stored as attributes.

    Parameters
    ----------
    loss_curve : array-like of shape (n_epochs,)
        Training loss after each epoch, the penalty included.
    validation_loss_curve : array-like of shape (n_epochs,), default=None
        Loss on validation data.
    validation_scores : array-like of shape (n_epochs,), default=None
        Score on validation data, drawn on an axis of its own on the right.
    best_epoch : int, default=None
        Epoch to mark, counted from 1.
    score_name : str, default="score"
        Label of the scores.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the losses.
    score_ax_ : matplotlib Axes or None
        Axes with the scores, on top of the other.
    figure_ : matplotlib Figure
        Figure that contains the axes.
    lines_ : list of matplotlib Line2D
        The curves: training loss, then validation loss and scores if there are any.
    best_line_ : matplotlib Line2D or None
        The mark of the best epoch.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Score over the number of samples.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from cmlp import LossCurveDisplay, MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier(early_stopping=True, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(clf)
    >>> display.best_epoch == 1 + clf.validation_scores_.index(clf.best_validation_score_)
    True
    >>> plt.show()
    """

    ax_: "Axes"
    score_ax_: "Axes | None"
    figure_: "Figure | SubFigure"
    lines_: "list[Line2D]"
    best_line_: "Line2D | None"

    def __init__(
        self,
        loss_curve: ArrayLike,
        *,
        validation_loss_curve: ArrayLike | None = None,
        validation_scores: ArrayLike | None = None,
        best_epoch: int | None = None,
        score_name: str = "score",
    ) -> None:
        self.loss_curve = loss_curve
        self.validation_loss_curve = validation_loss_curve
        self.validation_scores = validation_scores
        self.best_epoch = best_epoch
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: "Axes | None" = None,
        score_name: str | None = None,
        log_scale: bool = False,
        line_kw: dict[str, Any] | None = None,
        validation_line_kw: dict[str, Any] | None = None,
        score_line_kw: dict[str, Any] | None = None,
        best_line_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the curves of a fitted MLPClassifier or MLPRegressor.

        The best epoch is that of the best validation score, or of the lowest validation loss if
        there are no scores: the one whose weights early stopping keeps.

        Parameters
        ----------
        estimator : estimator
            cmlp's or scikit-learn's, trained by any solver but 'lbfgs'; or what holds one: a
            fitted pipeline that ends in it, a search, or another with an ``estimator_``.
        ax : matplotlib Axes, default=None
            Axes to plot on; None for a new figure.
        score_name : str, default=None
            Label of the scores; None for the name of the estimator's scorer: "accuracy" for
            classifiers, "R2" for regressors.
        log_scale : bool, default=False
            Whether losses are drawn on a logarithmic scale.
        line_kw, validation_line_kw, score_line_kw, best_line_kw : dict, default=None
            Keyword arguments of the lines of matplotlib, over the defaults of the display.

        Returns
        -------
        display : LossCurveDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is no network and does not hold exactly one.
        ValueError
            If the network has no loss curve.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        if not hasattr(estimator, "loss_curve_"):
            estimator = network_in(estimator)
        if not getattr(estimator, "loss_curve_", None):
            raise ValueError(
                f"{type(estimator).__name__} has no loss_curve_: solver="
                f"{getattr(estimator, 'solver', None)!r} records no loss per epoch."
            )
        scores = getattr(estimator, "validation_scores_", None)
        losses = getattr(estimator, "validation_loss_curve_", None)
        best = None
        if losses and getattr(estimator, "scoring", None) == "loss":
            scores = None  # they are these losses, negative
        if scores and not np.isnan(scores).all():
            best = int(np.nanargmax(scores)) + 1
        elif losses and not np.isnan(losses).all():
            best = int(np.nanargmin(losses)) + 1
        display = cls(
            estimator.loss_curve_,
            validation_loss_curve=losses,
            validation_scores=scores,
            best_epoch=best,
            score_name=score_name or name_of_score(estimator),
        )
        return display.plot(
            ax,
            log_scale=log_scale,
            line_kw=line_kw,
            validation_line_kw=validation_line_kw,
            score_line_kw=score_line_kw,
            best_line_kw=best_line_kw,
        )

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        log_scale: bool = False,
        line_kw: dict[str, Any] | None = None,
        validation_line_kw: dict[str, Any] | None = None,
        score_line_kw: dict[str, Any] | None = None,
        best_line_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; None for a new figure.
        log_scale : bool, default=False
            Whether losses are drawn on a logarithmic scale.
        line_kw, validation_line_kw, score_line_kw, best_line_kw : dict, default=None
            Keyword arguments of the lines of matplotlib, over the defaults of the display.

        Returns
        -------
        self : LossCurveDisplay
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots()
        self.ax_, self.figure_ = ax, ax.figure
        self.score_ax_ = self.best_line_ = None
        validation = self.validation_loss_curve
        self.lines_ = [draw(ax, self.loss_curve, "training loss", "C0", line_kw)]
        if validation is not None and len(validation):
            self.lines_.append(draw(ax, validation, "validation loss", "C1", validation_line_kw))
        ax.set(xlabel="epoch", ylabel="loss")
        ax.xaxis.get_major_locator().set_params(integer=True)
        if log_scale:
            ax.set_yscale("log")
        if self.validation_scores is not None and len(self.validation_scores):
            self.score_ax_ = ax.twinx()
            line = draw(
                self.score_ax_,
                self.validation_scores,
                f"validation {self.score_name}",
                "C2",
                score_line_kw,
            )
            self.score_ax_.set_ylabel(line.get_label(), color=line.get_color())
            self.score_ax_.tick_params(axis="y", labelcolor=line.get_color())
            self.lines_.append(line)
        marks = []
        if self.best_epoch is not None:
            style = {"color": "0.5", "linestyle": ":", "label": f"best epoch: {self.best_epoch}"}
            self.best_line_ = ax.axvline(self.best_epoch, **{**style, **(best_line_kw or {})})
            marks.append(self.best_line_)
            if len(self.lines_) > 1:  # the curve that says so
                self.lines_[-1].set(marker="o", markevery=[self.best_epoch - 1])
        if len(self.lines_) + len(marks) > 1:
            # losses go down and scores go up: the middle of the right side is free; the axes on
            # top draw it, over the lines of both
            on_top = self.score_ax_ or ax
            on_top.legend(handles=[*self.lines_, *marks], loc="center right")
        return self


def draw(ax, values, label, color, keywords):
    """A line over the epochs 1, 2, ..."""
    epochs = np.arange(1, len(values) + 1)
    (line,) = ax.plot(epochs, values, **{"label": label, "color": color, **(keywords or {})})
    return line


def name_of_score(estimator):
    """Name of the score that early stopping watches: a scorer's, or the estimator's default."""
    scoring = getattr(estimator, "scoring", None)
    if scoring is None:
        return "accuracy" if estimator.__sklearn_tags__().estimator_type == "classifier" else "R2"
    return scoring if isinstance(scoring, str) else "score"
