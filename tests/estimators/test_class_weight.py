"""class_weight: the weight of a class is a sample weight, by scikit-learn's own arithmetic."""

import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.class_weight import compute_sample_weight

from cmlp import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SOLVERS = ["sgd", "adam", "lbfgs"]
WEIGHTS = {"binary": {0: 0.5, 1: 4.0}, "multiclass": {0: 2.0, 1: 3.0, 2: 0.25}}
WEIGHTS["strings"] = {"b": 3.0}
WEIGHTS["multilabel"] = [{0: 1, 1: 5.0}, {1: 2.0}, {0: 0.5, 1: 1}]
WEIGHTS["columns"] = [{1: 1, 2: 5.0}, {2: 0.25}]


def make_data(task, dtype=np.float64):
    if task in ("multilabel", "columns"):
        X, y = make_multilabel_classification(80, 5, n_classes=3, random_state=0)
    else:
        n_classes = 2 if task == "binary" else 3
        X, y = make_classification(
            80, 5, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=0
        )
    if task == "strings":
        y = np.array(["a", "b", "c"])[y]
    if task == "columns":
        y = y[:, :2] + 1
    return X.astype(dtype), y


def make(**params):
    return MLPClassifier((4,), random_state=0, **{"max_iter": 8, **params})


def sample_weights(class_weight, y):
    """By the definition: the product over columns of the weight of each label."""
    if isinstance(class_weight, list):
        return np.prod(
            [[w.get(v, 1) for v in column] for w, column in zip(class_weight, y.T, strict=True)],
            axis=0,
        )
    if class_weight == "balanced":
        columns = y.reshape(len(y), -1).T
        n_classes = [len(set(column)) for column in columns]
        counts = [np.array([(column == v).sum() for v in column]) for column in columns]
        return np.prod([len(y) / (k * c) for k, c in zip(n_classes, counts, strict=True)], axis=0)
    return np.array([class_weight.get(v, 1) for v in y.tolist()], dtype=float)


def assert_same(one, other):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", ["binary", "multiclass", "strings", "multilabel", "columns"])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_is_a_sample_weight(solver, task, balanced, weighted):
    X, y = make_data(task)
    class_weight = "balanced" if balanced else WEIGHTS[task]
    complete = class_weight
    if isinstance(class_weight, list):
        labels = [1, 2] if task == "columns" else [0, 1]
        complete = [{**dict.fromkeys(labels, 1), **weights} for weights in class_weight]
    expected = compute_sample_weight(complete, y)
    np.testing.assert_allclose(expected, sample_weights(class_weight, y), rtol=1e-14)
    own = np.random.RandomState(0).uniform(size=len(y)) if weighted else None
    one = make(solver=solver, class_weight=class_weight).fit(X, y, own)
    assert_same(one, make(solver=solver).fit(X, y, expected * own if weighted else expected))
    plain = make(solver=solver).fit(X, y, own)
    assert np.abs(one.coefs_[0] - plain.coefs_[0]).max() > 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_early_stopping_and_threads(dtype):
    X, y = make_data("binary", dtype)
    weights = WEIGHTS["binary"]
    params = {"early_stopping": True, "validation_fraction": 0.3}
    models = [
        make(class_weight=weights, n_jobs=n, **params).fit(sp.csr_matrix(X), y) for n in (1, 2)
    ]
    assert_same(*models)
    twin = make(**params).fit(sp.csr_matrix(X), y, sample_weights(weights, y))
    assert_same(models[0], twin)
    assert models[0].validation_scores_ == twin.validation_scores_
    assert models[0].coefs_[0].dtype == dtype


@pytest.mark.parametrize("task", ["binary", "multiclass", "strings", "multilabel", "columns"])
def test_partial_fit_of_batches_that_lack_classes(task):
    X, y = make_data(task)
    order = np.lexsort(np.atleast_2d(y.T))  # the first batches are of one class
    X, y = X[order], y[order]
    classes = None if task == "multilabel" else np.unique(y)
    one, other = make(class_weight=WEIGHTS[task]), make()
    for start in range(0, 80, 10):
        rows = slice(start, start + 10)
        if start == 0 and task == "multilabel":  # its classes are the columns
            classes = np.arange(3)
        kwargs = {"classes": classes} if start == 0 else {}
        one.partial_fit(X[rows], y[rows], **kwargs)
        other.partial_fit(X[rows], y[rows], sample_weights(WEIGHTS[task], y[rows]), **kwargs)
        one, other = pickle.loads(pickle.dumps(one)), pickle.loads(pickle.dumps(other))
    assert_same(one, other)


def test_balanced_in_partial_fit_says_what_sgd_says():
    X, y = make_data("binary")
    messages = []
    for est in (make(class_weight="balanced"), SGDClassifier(class_weight="balanced")):
        with pytest.raises(ValueError, match="class_weight 'balanced' is not supported") as info:
            est.partial_fit(X, y, classes=[0, 1])
        messages.append(str(info.value))
    assert messages[0] == messages[1]
    # SGDClassifier balances each batch for itself once it is fitted; that is not what is meant
    with pytest.raises(ValueError, match="class_weight 'balanced' is not supported"):
        make(class_weight="balanced").fit(X, y).partial_fit(X, y)


@pytest.mark.parametrize(
    ("task", "class_weight", "match"),
    [
        ("binary", {7: 1.0}, r"class_weight names \[7\], but the classes of y are \[0, 1\]"),
        ("strings", {"d": 1.0, "a": 2}, r"class_weight names \['d'\], but the classes of y are"),
        ("columns", [{1: 2}, {0: 1, 4: 2}], r"class_weight names \[0, 4\], but .* \[1, 2\]"),
        ("columns", {1: 2.0}, "For multi-output, class_weight should be a list of dicts"),
        ("columns", [{1: 2}], "number of elements in class_weight should match"),
        ("binary", [{0: 1.0}], "class_weight as a list of dicts is for multilabel y"),
        ("binary", "uniform", "The 'class_weight' parameter of MLPClassifier must be"),
        ("multilabel", {0: 1.0}, "For multi-output, class_weight should be a list of dicts"),
        ("multilabel", [{0: 1.0}], "number of elements in class_weight should match"),
        ("multilabel", [{0: 1}, {2: 1}, {}], r"0 and 1: class_weight has \[2\]"),
        ("binary", {0: 0.0, 1: 0.0}, "Sample weights must contain at least one non-zero number"),
    ],
)
def test_errors(task, class_weight, match):
    X, y = make_data(task)
    with pytest.raises(ValueError, match=match):
        make(class_weight=class_weight).fit(X, y)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "columns"])
@pytest.mark.parametrize("weight", [np.nan, np.inf, -np.inf, None, "heavy", 1j, [1.0], 10**400])
def test_weights_that_are_no_finite_numbers(task, weight):
    X, y = make_data(task)
    class_weight = {1: weight}
    if y.ndim == 2:
        class_weight = [{}] * (y.shape[1] - 1) + [class_weight]
    with pytest.raises(ValueError, match="class_weight must be a finite number for each class"):
        make(class_weight=class_weight).fit(X, y)
    with pytest.raises(ValueError, match=r"class_weight must be .* for 1\."):
        make(class_weight=class_weight).fit(X, y)


def test_weights_that_are_too_large_for_float32():
    X, y = make_data("binary", np.float32)
    with pytest.raises(ValueError, match=r"Input sample_weight \* class_weight contains infinity"):
        make(class_weight={0: 1e300}).fit(X, y)
    with pytest.raises(ValueError, match="Input sample_weight contains infinity"):
        make().fit(X, y, np.full(len(y), 1e300))


def test_strings_of_digits():
    """scikit-learn looks for their numbers in the dict."""
    X, y = make_data("multiclass")
    names = {0: "7", 1: "10", 2: "2"}
    digits = np.array([names[label] for label in y])
    one = make(class_weight={"10": 3.0, "2": 0.25}).fit(X, digits)
    weights = np.array([{"7": 1, "10": 3.0, "2": 0.25}[label] for label in digits])
    assert_same(one, make().fit(X, digits, weights))


def test_a_part_of_y_may_lack_a_class_that_is_weighed():
    """As scikit-learn has it: a fold of a cross-validation, if all its classes are named."""
    X, y = make_data("multiclass")
    rows = y < 2
    one = make(class_weight={0: 2.0, 1: 1.0, 2: 5.0}).fit(X[rows], y[rows])
    assert_same(one, make(class_weight={0: 2.0, 1: 1.0}).fit(X[rows], y[rows]))


def test_in_a_grid_search():
    X, y = make_classification(300, 5, weights=[0.95], flip_y=0.02, random_state=0)
    grid = {"class_weight": [None, "balanced", {0: 1, 1: 20}]}
    est = make(max_iter=60, learning_rate_init=0.01)
    search = GridSearchCV(est, grid, scoring="balanced_accuracy", cv=2).fit(X, y)
    assert search.best_params_["class_weight"] is not None
    assert clone(search.best_estimator_).class_weight == search.best_params_["class_weight"]
    scores = [
        balanced_accuracy_score(y, clone(est).set_params(class_weight=w).fit(X, y).predict(X))
        for w in (None, "balanced")
    ]
    assert scores[1] > scores[0] + 0.05


def test_the_example():
    path = Path(__file__).parents[2] / "examples" / "class_weights.py"
    example = runpy.run_path(str(path))
    scores = {
        name: example["scores"](example["breast_cancer"], weight, n_splits=2)
        for name, weight in example["WEIGHTS"].items()
    }
    assert scores["balanced"][1] > scores["None"][1] + 0.02
