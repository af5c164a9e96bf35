"""Validation data: X_val and y_val of fit, scoring, the loss on them, the best weights."""

import importlib.util
import pickle
import re
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from reference import LOSSES
from sklearn import config_context, metrics, neural_network
from sklearn.base import clone
from sklearn.datasets import (
    load_diabetes,
    make_classification,
    make_multilabel_classification,
    make_regression,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from cmlp import MLPClassifier, MLPRegressor
from cmlp._core import engine

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ROOT = Path(__file__).parents[2]
TASKS = ["binary", "multiclass", "strings", "multilabel", "regression", "outputs", "poisson"]


def make_data(task, n=120):
    """X, y and the same to validate on."""
    if task == "multilabel":
        X, y = make_multilabel_classification(n, 5, n_classes=3, random_state=0)
    elif task in ("binary", "multiclass", "strings"):
        n_classes = 2 if task == "binary" else 3
        X, y = make_classification(
            n, 5, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=0
        )
        y = np.array(["a", "b", "c"])[y] if task == "strings" else y
    else:
        n_targets = 2 if task == "outputs" else 1
        X, y = make_regression(n, 5, n_targets=n_targets, noise=10, random_state=0)
        y = y / y.std()
        y = np.exp(y / 3) if task == "poisson" else y
    X, X_val, y, y_val = train_test_split(X, y, random_state=0)
    return X, y, {"X_val": X_val, "y_val": y_val}


def make(task, **params):
    params = {"hidden_layer_sizes": (6,), "max_iter": 12, "random_state": 0, **params}
    params = {"learning_rate_init": 0.01, **params}
    if task in ("regression", "outputs", "poisson"):
        loss = "poisson" if task == "poisson" else "squared_error"
        return MLPRegressor(**{"loss": loss, **params})
    return MLPClassifier(**params)


def loss_by_formula(est, X, y, sample_weight=None):
    """The mean loss without penalty, in NumPy."""
    if isinstance(est, MLPRegressor):
        p, name = est.predict(X), est.loss
    else:
        y = est._label_binarizer.transform(y)
        p = est.predict_proba(X)
        name = "log_loss" if est.out_activation_ == "softmax" else "binary_log_loss"
        p = p[:, 1] if est.n_outputs_ == 1 else p
    p, y = (np.asarray(a, dtype=float).reshape(len(X), -1) for a in (p, y))
    losses = LOSSES[name][0](y, p)
    rows = losses.mean(axis=1) if name == "squared_error" else losses.sum(axis=1)
    return np.average(rows, weights=sample_weight)


def assert_same(one, other):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_array_equal(a, b)


# The loss on validation data


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", ["squared_error", "poisson", "log_loss", "binary_log_loss"])
@pytest.mark.parametrize("n_outputs", [1, 3, 700])
@pytest.mark.parametrize("n", [1, 7, 1024, 2051])
def test_mean_loss_of_the_engine(dtype, loss, n_outputs, n):
    if n * n_outputs > 100_000:
        n = 33
    rng = np.random.RandomState(0)
    y = rng.uniform(0.1, 1, (n, n_outputs)).astype(dtype)
    p = rng.uniform(0.1, 0.9, (n, n_outputs)).astype(dtype)
    if "log_loss" in loss:
        y = y > 0.5
    output = {"squared_error": "identity", "poisson": "exp", "log_loss": "softmax"}
    layout = engine.Layout(
        (2, n_outputs), [0], [2 * n_outputs], [output.get(loss, "logistic")], loss, True
    )
    value = LOSSES[loss][0]
    for weight in (None, rng.uniform(size=n).astype(dtype)):
        dataset = engine.Dataset(np.zeros((n, 2), dtype), y, weight)
        losses = value(y.astype(float), p.astype(float))
        rows = losses.mean(axis=1) if loss == "squared_error" else losses.sum(axis=1)
        np.testing.assert_allclose(
            engine.mean_loss(layout, dataset, p),
            np.average(rows, weights=weight),
            rtol=1e-5 if dtype == np.float32 else 1e-12,
        )
    zeros = engine.Dataset(np.zeros((n, 2), dtype), y, np.zeros(n, dtype))
    assert np.isnan(engine.mean_loss(layout, zeros, p))


def test_mean_loss_refuses_what_does_not_fit():
    layout = engine.Layout((2, 3), [0], [6], ["softmax"], "log_loss", True)
    X, y = np.zeros((4, 2)), np.zeros((4, 3), bool)
    for data, out in [
        ((X,), np.zeros((4, 3))),
        ((X, y), np.zeros((3, 3))),
        ((X, y), np.zeros((4, 2))),
        ((X, y[:, :2].copy()), np.zeros((4, 2))),
        ((X, y), np.zeros((4, 3), np.float32)),
    ]:
        with pytest.raises(ValueError, match="out and y must be of shape"):
            engine.mean_loss(layout, engine.Dataset(*data), out)


# X_val


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("weighted", [False, True])
def test_curves(task, weighted):
    X, y, val = make_data(task)
    if weighted:
        val["sample_weight_val"] = np.random.RandomState(0).uniform(size=len(val["X_val"]))
    weights = val.get("sample_weight_val")
    est = make(task).fit(X, y, **val)
    assert len(est.validation_scores_) == len(est.validation_loss_curve_) == est.n_iter_ == 12
    score = est.score(val["X_val"], val["y_val"], sample_weight=weights)
    if task != "outputs":
        assert est.validation_scores_[-1] == pytest.approx(score, abs=1e-12)
    loss = loss_by_formula(est, val["X_val"], val["y_val"], weights)
    assert est.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-12)
    best = int(np.argmax(est.validation_scores_))
    assert est.best_iter_ == best + 1
    assert est.best_validation_score_ == est.validation_scores_[best]
    assert_same(est, make(task).fit(X, y))  # watched, and nothing else


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("scoring", [None, "loss"])
def test_early_stopping_keeps_the_weights_of_the_best_epoch(task, scoring):
    X, y, val = make_data(task)
    params = {"early_stopping": True, "scoring": scoring, "n_iter_no_change": 5}
    est = make(task, max_iter=400, learning_rate_init=0.05, **params).fit(X, y, **val)
    assert est.best_loss_ is None
    assert est.n_iter_ == len(est.validation_scores_) == len(est.loss_curve_)
    assert est.best_iter_ == int(np.argmax(est.validation_scores_)) + 1
    # no part of X is held out: the same epochs, one after another
    twin = make(
        task, max_iter=est.best_iter_, learning_rate_init=0.05, n_iter_no_change=np.inf
    ).fit(X, y)
    assert_same(est, twin)
    loss = loss_by_formula(est, val["X_val"], val["y_val"])
    assert est.validation_loss_curve_[est.best_iter_ - 1] == pytest.approx(loss, rel=1e-12)
    if scoring == "loss":
        assert est.validation_scores_ == [-loss for loss in est.validation_loss_curve_]
    if task in ("binary", "regression"):
        assert est.best_iter_ < est.n_iter_ < 400


def test_the_split_of_scikit_learn_given_as_validation_data():
    """As if X_val were held out of X, but for the draws."""
    X, y, _ = make_data("binary")
    est = make("binary", early_stopping=True).fit(X, y)
    assert len(est.validation_loss_curve_) == est.n_iter_
    rng = np.random.RandomState(0)
    for fan_in, fan_out in ((5, 6), (6, 1)):
        rng.uniform(size=fan_in * fan_out + fan_out)
    train, held_out = train_test_split(
        np.arange(len(y)), test_size=0.1, random_state=rng, stratify=y.reshape(-1, 1) > 0
    )
    twin = make("binary", early_stopping=True, shuffle=False)
    ours = make("binary", early_stopping=True, shuffle=False).fit(X, y)
    twin.fit(X[train], y[train], X_val=X[held_out], y_val=y[held_out])
    assert_same(ours, twin)
    assert ours.validation_scores_ == twin.validation_scores_
    assert ours.validation_loss_curve_ == twin.validation_loss_curve_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_dtypes_sparse_and_dataframes(dtype, n_jobs):
    pd = pytest.importorskip("pandas")
    X, y, val = make_data("multiclass")
    X, X_val, y_val = X.astype(dtype), val["X_val"].astype(dtype), val["y_val"]
    fitted = [
        make("multiclass", early_stopping=True, scoring="neg_log_loss", n_jobs=n_jobs).fit(
            form(X), y, X_val=form(X_val), y_val=y_val
        )
        for form in (np.asarray, sp.csr_array, sp.csc_array, np.asfortranarray, pd.DataFrame)
    ]
    for est in fitted:
        assert est.coefs_[0].dtype == dtype
        np.testing.assert_allclose(est.validation_scores_, fitted[0].validation_scores_, rtol=1e-4)
        np.testing.assert_allclose(
            est.validation_scores_,
            np.negative(est.validation_loss_curve_),
            rtol=1e-4 if dtype == np.float32 else 1e-10,
        )


def test_names_of_columns_do_not_warn():
    pd = pytest.importorskip("pandas")
    X, y, val = make_data("binary")
    frame, frame_val = (pd.DataFrame(a, columns=list("abcde")) for a in (X, val["X_val"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        for scoring in (None, "roc_auc"):
            est = make("binary", early_stopping=True, scoring=scoring)
            est.fit(frame, y, X_val=frame_val, y_val=val["y_val"])
            clone(est).fit(frame, y)
    with pytest.raises(ValueError, match="feature names"):
        make("binary").fit(frame, y, X_val=frame_val[list("edcba")], y_val=val["y_val"])


ERRORS = {
    "no y_val": ({"y_val": None}, "X_val is provided, but y_val was not provided."),
    "no X_val": ({"X_val": None}, "y_val is provided, but X_val was not provided."),
    "weights alone": (
        {"X_val": None, "y_val": None, "sample_weight_val": [1.0]},
        "sample_weight_val is provided, but X_val was not provided.",
    ),
    "features": ({"X_val": np.zeros((30, 4))}, "X has 4 features, but MLP.* is expecting 5"),
    "rows": ({"y_val": [0, 1]}, "inconsistent numbers of samples"),
    "weights": ({"sample_weight_val": [1.0]}, "sample_weight.shape"),
    "no weight": ({"sample_weight_val": 0.0}, "at least one non-zero number"),
    "NaN": ({"X_val": np.full((30, 5), np.nan)}, "Input X contains NaN"),
}


@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_errors(task, case):
    X, y, val = make_data(task)
    changes, match = ERRORS[case]
    with pytest.raises(ValueError, match=match):
        make(task).fit(X, y, **{**val, **changes})


def test_errors_of_targets():
    X, y, val = make_data("strings")
    unseen = np.where(val["y_val"] == "c", "zebra", val["y_val"])
    with pytest.raises(ValueError, match=r"y_val contains previously unseen labels: \['zebra'\]"):
        make("strings").fit(X, y, X_val=val["X_val"], y_val=unseen)
    with pytest.raises(ValueError, match="unseen labels"):
        make("strings").fit(X, y, X_val=val["X_val"], y_val=np.arange(len(unseen)) % 2)
    X, y, val = make_data("multilabel")
    for wrong in (val["y_val"][:, :2], val["y_val"][:, 0]):
        with pytest.raises(ValueError, match=r"mismatch with the labels|multilabel"):
            make("multilabel").fit(X, y, X_val=val["X_val"], y_val=wrong)
    X, y, val = make_data("outputs")
    with pytest.raises(ValueError, match="y_val asks for 1 outputs of the network, y for 2"):
        make("outputs").fit(X, y, X_val=val["X_val"], y_val=val["y_val"][:, 0])
    X, y, val = make_data("poisson")
    with pytest.raises(ValueError, match="out of the valid range of the loss 'poisson'"):
        make("poisson").fit(X, y, X_val=val["X_val"], y_val=-val["y_val"])


def test_lbfgs_takes_no_validation_data():
    X, y, val = make_data("binary")
    with pytest.raises(ValueError, match=r"only used by stochastic optimizers\. lbfgs is not"):
        make("binary", solver="lbfgs").fit(X, y, **val)


def test_labels_that_the_validation_data_lack():
    X, y, val = make_data("multiclass")
    few = val["y_val"] < 2
    est = make("multiclass").fit(X, y, X_val=val["X_val"][few], y_val=val["y_val"][few])
    loss = loss_by_formula(est, val["X_val"][few], val["y_val"][few])
    assert est.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-12)


# scoring


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    ("task", "scoring"),
    [
        ("binary", "roc_auc"),
        ("multiclass", "neg_log_loss"),
        ("strings", "balanced_accuracy"),
        ("multilabel", "f1_macro"),
        ("regression", "neg_mean_absolute_error"),
        ("outputs", "r2"),
        ("regression", lambda est, X, y: -np.abs(est.predict(X) - y).max()),
    ],
)
def test_scorers(task, scoring, given):
    X, y, val = make_data(task)
    params = {"early_stopping": True, "scoring": scoring, "validation_fraction": 0.3}
    est = make(task, **params).fit(X, y, **(val if given else {}))
    assert len(est.validation_scores_) == est.n_iter_
    if given:
        scorer = metrics.check_scoring(est, scoring)
        score = scorer(est, val["X_val"], val["y_val"])
        assert score == pytest.approx(est.best_validation_score_, rel=1e-9)
    if scoring == "neg_log_loss":
        np.testing.assert_allclose(
            est.validation_scores_, np.negative(est.validation_loss_curve_), rtol=1e-10
        )


def test_a_scorer_sees_the_estimator_of_its_epoch():
    X, y, val = make_data("binary")
    seen = []

    def scorer(est, X, y, sample_weight=None):
        seen.append((est.n_iter_, est.predict_proba(X), sample_weight))
        return est.score(X, y, sample_weight)

    weights = np.arange(1.0, 1 + len(val["y_val"]))
    params = {"early_stopping": True, "scoring": scorer, "max_iter": 3}
    make("binary", **params).fit(X, y, **val, sample_weight_val=weights)
    assert [n for n, _, _ in seen] == [1, 2, 3]
    for n, p, w in seen:
        expected = make("binary", max_iter=n).fit(X, y).predict_proba(val["X_val"])
        np.testing.assert_array_equal(p, expected)
        np.testing.assert_array_equal(w, weights)


def test_a_scorer_that_raises_leaves_the_best_weights():
    X, y, val = make_data("binary")

    def scorer(est, X, y):
        if est.n_iter_ == 3:
            raise RuntimeError("no score")
        return -est.n_iter_

    est = make("binary", early_stopping=True, scoring=scorer)
    with pytest.raises(RuntimeError, match="no score"):
        est.fit(X, y, **val)
    assert_same(est, make("binary", max_iter=1).fit(X, y))
    assert est.predict(X).shape == y.shape


@pytest.mark.parametrize(
    "score", [None, "good", np.ones(3), [0.5], 1j, {"accuracy": 1.0}], ids=str
)
def test_a_scorer_that_returns_no_number(score):
    X, y, val = make_data("binary")
    est = make("binary", early_stopping=True, scoring=lambda *args: score)
    with pytest.raises(ValueError, match=r"scoring must return a number, got .* instead"):
        est.fit(X, y)
    with pytest.raises(ValueError, match=r"scoring must return a number, got .* instead"):
        est.set_params(early_stopping=False).fit(X, y, **val)


@pytest.mark.parametrize("score", [1, True, 0.5, np.float32(0.5), np.array(0.5), np.array([0.5])])
def test_scores_that_are_numbers(score):
    X, y, val = make_data("binary")
    est = make("binary", max_iter=2, scoring=lambda *args: score).fit(X, y, **val)
    assert est.validation_scores_ == [score, score]
    assert all(np.ndim(value) == 0 for value in est.validation_scores_)


@pytest.mark.parametrize("scoring", ["no_such_scorer", 3])
def test_scoring_that_is_none(scoring):
    X, y, _ = make_data("binary")
    with pytest.raises(ValueError, match="The 'scoring' parameter of MLPClassifier must be"):
        make("binary", scoring=scoring, early_stopping=True).fit(X, y)


def test_scores_by_default_are_those_of_scikit_learn():
    X, y = load_diabetes(return_X_y=True)
    params = {"early_stopping": True, "max_iter": 20, "random_state": 0, "solver": "sgd"}
    ours = MLPRegressor(**params).fit(X, y)
    theirs = neural_network.MLPRegressor(**params).fit(X, y)
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-9)
    assert type(ours.validation_scores_[0]) is type(theirs.validation_scores_[0])


# A fit that goes on


def test_warm_start_with_other_validation_data_or_another_score():
    """The best score of before is that of other data: what counts is the score of the weights."""
    X, y, val = make_data("binary")
    est = make("binary", early_stopping=True, warm_start=True, max_iter=30).fit(X, y, **val)
    assert est.best_validation_score_ > 0.5
    est.set_params(scoring="neg_log_loss").fit(X, y, **val)
    assert est.best_validation_score_ < 0
    assert len(est.validation_scores_) == len(est.validation_loss_curve_)
    score = metrics.get_scorer("neg_log_loss")(est, val["X_val"], val["y_val"])
    assert score == pytest.approx(est.best_validation_score_)
    before = [coef.copy() for coef in est.coefs_]
    est.set_params(max_iter=2, learning_rate_init=10.0).fit(
        X, 1 - y, **val
    )  # worse than what it starts with
    for a, b in zip(before, est.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pickle_clone_and_fits_without():
    X, y, val = make_data("binary")
    est = make("binary", early_stopping=True, scoring="loss", warm_start=True).fit(X, y, **val)
    copy = pickle.loads(pickle.dumps(est))
    assert copy.validation_loss_curve_ == est.validation_loss_curve_
    assert copy.best_iter_ == est.best_iter_
    assert clone(est).scoring == "loss"
    est.set_params(early_stopping=False, warm_start=False, scoring=None).fit(X, y)
    assert est.validation_loss_curve_ is est.validation_scores_ is est.best_iter_ is None


# In a pipeline


def test_transform_input():
    """Without transform_input the steps before do not see the validation data."""
    X, y, val = make_data("binary")
    X, X_val, y_val = 100 + 50 * X, 100 + 50 * val["X_val"], val["y_val"]
    with config_context(enable_metadata_routing=True):
        est = make("binary", early_stopping=True, scoring="loss")
        est.set_fit_request(X_val=True, y_val=True, sample_weight_val=False)
        losses = []
        for names in (["X_val"], None):
            steps = [("scale", StandardScaler()), ("mlp", clone(est))]
            pipe = Pipeline(steps, transform_input=names).fit(X, y, X_val=X_val, y_val=y_val)
            losses.append(pipe[-1].validation_loss_curve_[pipe[-1].best_iter_ - 1])
            truth = metrics.log_loss(y_val, pipe.predict_proba(X_val))
            assert (losses[-1] == pytest.approx(truth)) == (names is not None)
        assert losses[1] > 2 * losses[0]


# The documents


def test_the_snippets_of_the_document():
    """As they stand, one after the other; those of callbacks where scikit-learn has them."""
    text = (ROOT / "docs" / "validation.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(snippets) == 3
    namespace = {}
    with config_context():
        for snippet in snippets:
            if "sklearn.callback" not in snippet or importlib.util.find_spec("sklearn.callback"):
                exec(snippet, namespace)
    assert namespace["pipe"][-1].best_iter_ < namespace["pipe"][-1].n_iter_


def test_the_example(capsys):
    with config_context(enable_metadata_routing=True):
        runpy.run_path(str(ROOT / "examples" / "validation_data.py"))["main"]()
    rows = capsys.readouterr().out.splitlines()[1:4]
    losses = [float(row.split()[-2]) for row in rows]
    assert losses[1] < losses[0] < losses[2]
