"""LossCurveDisplay: what is drawn, where, and from which attributes."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier as TheirClassifier

from cmlp import LossCurveDisplay, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def fitted(cls=MLPClassifier, **params):
    X, y = (load_diabetes if cls is MLPRegressor else load_iris)(return_X_y=True)
    params = {"hidden_layer_sizes": (5,), "max_iter": 12, "random_state": 0, **params}
    return cls(**params).fit(X, y)


def labels(display):
    return [line.get_label() for line in display.lines_]


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor, TheirClassifier])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_curves_of_an_estimator(plt, cls, early_stopping):
    est = fitted(cls, early_stopping=early_stopping)
    display = LossCurveDisplay.from_estimator(est)
    assert display.figure_ is display.ax_.figure
    assert display.ax_.get_xlabel() == "epoch"
    assert display.ax_.get_ylabel() == "loss"
    epochs = np.arange(1, 1 + len(est.loss_curve_))
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), epochs)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), est.loss_curve_)
    if not early_stopping:
        assert labels(display) == ["training loss"]
        assert display.score_ax_ is display.best_line_ is display.best_epoch is None
        return
    name = "R2" if cls is MLPRegressor else "accuracy"
    losses = ["training loss"] if cls is TheirClassifier else ["training loss", "validation loss"]
    assert labels(display) == [*losses, f"validation {name}"]
    if cls is not TheirClassifier:
        np.testing.assert_array_equal(display.lines_[1].get_ydata(), est.validation_loss_curve_)
    np.testing.assert_array_equal(display.lines_[-1].get_ydata(), est.validation_scores_)
    assert display.lines_[-1].axes is display.score_ax_ is not display.ax_
    assert display.score_ax_.get_ylabel() == f"validation {name}"
    best = int(np.argmax(est.validation_scores_)) + 1
    assert display.best_epoch == best
    assert set(display.best_line_.get_xdata()) == {best}
    texts = [text.get_text() for text in display.score_ax_.get_legend().get_texts()]
    assert texts == [*labels(display), f"best epoch: {best}"]


def test_validation_losses(plt):
    """With the scores, and by themselves; the best epoch is that which early stopping keeps."""
    est = fitted()
    est.validation_loss_curve_ = [3.0, 1.0, np.nan, 2.0]
    display = LossCurveDisplay.from_estimator(est)
    assert labels(display) == ["training loss", "validation loss"]
    assert display.best_epoch == 2
    assert display.lines_[1].axes is display.ax_
    est.validation_scores_ = [0.1, 0.2, np.nan, 0.3]
    est.scoring = "balanced_accuracy"
    display = LossCurveDisplay.from_estimator(est)
    assert labels(display)[1:] == ["validation loss", "validation balanced_accuracy"]
    assert display.best_epoch == 4
    est.scoring = "loss"
    display = LossCurveDisplay.from_estimator(est)
    assert labels(display) == ["training loss", "validation loss"]
    assert display.best_epoch == 2
    est.validation_scores_ = est.validation_loss_curve_ = [np.nan]
    assert LossCurveDisplay.from_estimator(est).best_epoch is None


def test_axes_and_keywords(plt):
    _, ax = plt.subplots()
    display = LossCurveDisplay.from_estimator(
        fitted(early_stopping=True),
        ax=ax,
        score_name="hits",
        log_scale=True,
        line_kw={"color": "black", "label": "loss"},
        score_line_kw={"linestyle": "--"},
        best_line_kw={"linewidth": 3},
    )
    assert display.ax_ is ax
    assert ax.get_yscale() == "log"
    assert labels(display) == ["loss", "validation loss", "validation hits"]
    assert display.lines_[0].get_color() == "black"
    assert display.lines_[-1].get_linestyle() == "--"
    assert display.best_line_.get_linewidth() == 3
    again = LossCurveDisplay([3, 2], validation_loss_curve=[2, 1]).plot(
        validation_line_kw={"color": "red"}
    )
    assert again.figure_ is not display.figure_
    assert again.lines_[1].get_color() == "red"
    assert again.plot(ax=ax).ax_ is ax


@pytest.mark.parametrize("solver", ["lbfgs"])
def test_nothing_recorded(plt, solver):
    with pytest.raises(ValueError, match="has no loss_curve_: solver='lbfgs' records no loss"):
        LossCurveDisplay.from_estimator(fitted(solver=solver))
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(MLPClassifier())


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = "LossCurveDisplay.* requires matplotlib. You can install matplotlib with"
    with pytest.raises(ImportError, match=message):
        LossCurveDisplay.from_estimator(SimpleNamespace())
    with pytest.raises(ImportError, match=message):
        LossCurveDisplay([1.0]).plot()


@pytest.mark.slow
def test_example(plt, monkeypatch, tmp_path, capsys):
    path = Path(__file__).parents[2] / "examples" / "loss_curve.py"
    output = tmp_path / "curve.png"
    monkeypatch.setattr(sys, "argv", ["loss_curve.py", "--output", str(output)])
    runpy.run_path(str(path), run_name="__main__")
    with_early_stopping = capsys.readouterr().out.splitlines()[2].split()
    assert with_early_stopping[0] == "True"
    assert 0 < int(with_early_stopping[2]) <= int(with_early_stopping[1]) < 200
    assert output.read_bytes().startswith(b"\x89PNG")
