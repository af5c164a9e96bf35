"""Several multiclass columns of y: one network, a softmax for each, labels of any type.

The oracles are scikit-learn's trees for the conventions and, where the network factorises, one
network for each column.
"""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from cmlp import MLPClassifier, Network, load

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, species = load_iris(return_X_y=True)
order = np.random.default_rng(0).permutation(len(X))
X, species = X[order], species[order]
X = StandardScaler().fit_transform(X)
NAMES = np.array(["setosa", "versicolor", "virginica"])[species]
SIZES = np.digitize(X[:, 0], [-1, 0, 1])  # four classes
LARGE = np.where(X[:, 1] > 0, "yes", "no")
WEIGHTS = np.arange(len(X)) % 3
TARGETS = {
    "integers": np.stack([species, SIZES + 5], axis=1),
    "integral floats": np.stack([species, SIZES + 5.0], axis=1),
    "strings": np.stack([NAMES, LARGE], axis=1),
    "objects": np.stack([NAMES, LARGE], axis=1).astype(object),
    "mixed": pd.DataFrame({"species": NAMES, "size": SIZES, "large": LARGE}),
    "one class only": np.stack([species, np.full_like(species, 7)], axis=1),
}


def make(**params):
    return MLPClassifier(
        **{"hidden_layer_sizes": (12,), "max_iter": 60, "random_state": 0, **params}
    )


def test_conventions_of_the_trees():
    """Shapes, dtypes and types of everything that comes out."""
    y = TARGETS["integers"]
    forest = RandomForestClassifier(n_estimators=5, random_state=0).fit(X, y)
    est = make().fit(X, y)
    assert type(est.classes_) is type(forest.classes_) is list
    for ours, theirs in zip(est.classes_, forest.classes_, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert est.predict(X).shape == forest.predict(X).shape
    for method in ("predict_proba", "predict_log_proba"):
        ours, theirs = getattr(est, method)(X), getattr(forest, method)(X)
        assert type(ours) is type(theirs) is list
        assert [p.shape for p in ours] == [p.shape for p in theirs]
    assert est.out_activation_ == "softmax"
    assert est.n_outputs_ == 3 + 4


@pytest.mark.parametrize("solver", ["adam", "lbfgs", "sgd"])
@pytest.mark.parametrize("kind", TARGETS)
def test_labels(kind, solver):
    y = TARGETS[kind]
    est = make(solver=solver, learning_rate_init=0.1 if solver == "sgd" else 0.01).fit(X, y)
    labels = np.asarray(y)
    predicted = est.predict(X)
    assert predicted.shape == labels.shape
    kinds = {"objects": "U", "mixed": "O"}
    assert predicted.dtype.kind == kinds.get(kind, labels.dtype.kind)
    for column, classes in zip(labels.T, est.classes_, strict=True):
        assert classes.tolist() == sorted(set(column.tolist()))
    assert (predicted == labels).mean(axis=0).min() > 0.7
    for _ in range(2):  # the second time there is a short way
        proba = est.predict_proba(X)
        for k, (p, classes) in enumerate(zip(proba, est.classes_, strict=True)):
            np.testing.assert_allclose(p.sum(axis=1), 1)
            assert (classes[p.argmax(axis=1)] == predicted[:, k]).all()
    for p, log_p in zip(proba, est.predict_log_proba(X), strict=True):
        np.testing.assert_array_equal(np.log(p), log_p)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_linear_model_is_one_softmax_regression_per_column(weighted):
    y = TARGETS["integers"]
    weight = WEIGHTS if weighted else None
    options = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 0.5, "tol": 1e-10}
    est = make(max_iter=5000, max_fun=20000, **options).fit(X, y, weight)
    loss = 0
    for k, p in enumerate(est.predict_proba(X)):
        alone = make(max_iter=5000, max_fun=20000, **options).fit(X, y[:, k], weight)
        np.testing.assert_allclose(p, alone.predict_proba(X), atol=1e-3)
        loss += alone.loss_
    np.testing.assert_allclose(est.loss_, loss, rtol=1e-6)


def test_network():
    """The gradient in the open is that of the fit, and central differences agree with it."""
    y = TARGETS["integers"]
    est = make(max_iter=3, alpha=0.1).fit(X, y)
    net = Network.from_estimator(est)
    np.testing.assert_array_equal(net.forward(X)[-1], np.hstack(est.predict_proba(X)))
    targets = est._label_binarizer.transform(y).astype(float)
    result = net.loss_and_gradients(X[:9], targets[:9], WEIGHTS[:9])
    coef, step = net.coefs[0], 1e-6
    for at in [(0, 0), (2, 5), (3, 11)]:
        losses = []
        for sign in (1, -1):
            coef[at] += sign * step
            losses.append(net.loss_and_gradients(X[:9], targets[:9], WEIGHTS[:9]).loss)
            coef[at] -= sign * step
        expected = (losses[0] - losses[1]) / (2 * step)
        np.testing.assert_allclose(result.coef_grads[0][at], expected, rtol=1e-6, atol=1e-9)
    jacobian = net.input_jacobian(X[:3])
    rows = X[:3].copy()
    rows[:, 1] += step
    above = net.forward(rows)[-1]
    rows[:, 1] -= 2 * step
    np.testing.assert_allclose(
        jacobian[:, :, 1], (above - net.forward(rows)[-1]) / (2 * step), atol=1e-8
    )


@pytest.mark.parametrize("sizes", [[3, 3], [7, 0], [], [8]])
def test_groups_that_do_not_fit(sizes):
    coefs = [np.zeros((4, 7))]
    with pytest.raises(ValueError, match="do not make a softmax output layer"):
        Network(coefs, out_activation="softmax", loss="log_loss", group_sizes=sizes)
    with pytest.raises(ValueError, match="do not make a softmax output layer"):
        Network(coefs, out_activation="logistic", group_sizes=[3, 4])


def test_score_is_the_share_of_rows_that_are_all_right():
    y = TARGETS["mixed"]
    est = make(max_iter=20).fit(X, y)
    right = (est.predict(X) == y.to_numpy()).all(axis=1)
    assert 0 < right.mean() < 1
    assert est.score(X, y) == right.mean()
    np.testing.assert_allclose(est.score(X, y, WEIGHTS), np.average(right, weights=WEIGHTS))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        est.score(X, y[:-1])
    with pytest.raises(ValueError, match=r"y has the shape \(150,\), the predictions \(150, 3\)"):
        est.score(X, species)


def test_early_stopping():
    y = TARGETS["strings"]
    est = make(early_stopping=True, max_iter=300, learning_rate_init=0.01).fit(X, y)
    assert est.n_iter_ < 300
    assert est.best_validation_score_ == max(est.validation_scores_) > 0.6


def test_sample_weights_repeat_samples():
    y = TARGETS["integers"]
    options = {"solver": "lbfgs", "hidden_layer_sizes": (), "alpha": 0.1, "max_iter": 500}
    weighted = make(**options).fit(X, y, WEIGHTS)
    repeated = make(**options).fit(np.repeat(X, WEIGHTS, axis=0), np.repeat(y, WEIGHTS, axis=0))
    for one, other in zip(weighted.predict_proba(X), repeated.predict_proba(X), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [1, 32])
def test_sparse_rows_and_threads(batch_size, dtype):
    rows = np.where(np.abs(X) < 0.8, 0, X).astype(dtype)
    y = TARGETS["integers"]
    options = {"max_iter": 3, "batch_size": batch_size, "hidden_layer_sizes": (300, 100)}
    est = make(n_jobs=1, **options).fit(rows, y)
    assert est.coefs_[0].dtype == dtype
    two = make(n_jobs=2, **options).fit(rows, y)
    sparse = make(**options).fit(sp.csr_matrix(rows), y)
    for one, other, third in zip(
        *(e.predict_proba(rows) for e in (est, two, sparse)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, third, rtol=2e-3 if dtype == np.float32 else 1e-9)


@pytest.mark.parametrize("kind", ["integers", "mixed"])
def test_partial_fit(kind):
    y = TARGETS[kind]
    whole = make(max_iter=1, shuffle=False, batch_size=50).fit(X, y)
    est = make(batch_size=50, shuffle=False)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        est.partial_fit(X, y)
    classes = [[*reversed(c.tolist())] for c in whole.classes_]
    # the first part has two labels in all where columns are integers of 0 and 1
    for part in range(3):
        rows = slice(50 * part, 50 * part + 50)
        est.partial_fit(X[rows], y[rows], classes=classes if part != 1 else None)
    assert [c.tolist() for c in est.classes_] == [c.tolist() for c in whole.classes_]
    for one, other in zip(est.coefs_, whole.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        est.partial_fit(X, y, classes=[*classes[:-1], [1, 2, 3]])
    with pytest.raises(ValueError, match="`y` has 1 column"):
        est.partial_fit(X, species)
    other = np.asarray(y).copy()
    other[3, 1] = 99
    with pytest.raises(ValueError, match=r"`y` has classes not in `self.classes_`.*99"):
        est.partial_fit(X, other)


def test_parts_that_look_like_indicators():
    y = TARGETS["integers"]
    est = make().partial_fit(X, y, classes=[[0, 1, 2], [0, 1, 5, 6, 7, 8]])
    est.partial_fit(X[:4], np.array([[0, 1], [1, 0], [1, 1], [0, 0]]))
    assert est.predict(X).shape == (150, 2)


def test_warm_start():
    y = TARGETS["strings"]
    est = make(warm_start=True, max_iter=5).fit(X, y)
    start = [coef.copy() for coef in est.coefs_]
    est.set_params(max_iter=1, learning_rate_init=1e-12).fit(X, y)
    for coef, before in zip(est.coefs_, start, strict=True):
        np.testing.assert_allclose(coef, before, atol=1e-10)
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same"):
        est.fit(X[species > 0], y[species > 0])
    with pytest.raises(ValueError, match="column"):
        est.fit(X, NAMES)
    est.set_params(warm_start=False).fit(X, NAMES)
    assert est.predict_proba(X).shape == (150, 3)
    est.fit(X, y)
    assert len(est.predict_proba(X)) == 2


# Two values in all: only zeros and ones are an indicator

BITS = np.stack([species == 0, SIZES > 1], axis=1).astype(int)
CODES = {
    "{1, 2}": BITS + 1,
    "{-1, 1}": (2 * BITS - 1).astype(np.int8),
    "{0, 2}": 2 * BITS,
    "{3, 7}": 4.0 * BITS + 3,
    "strings": BITS.astype(str),
    "objects": (BITS + 1).astype(object),
    "list": (BITS + 1).tolist(),
    "one of two": BITS + np.array([0, 1]),
    "one class each": np.full_like(BITS, 2),
    "category": pd.DataFrame(BITS + 1).astype("category"),
    "Int64": pd.DataFrame(BITS + 1).astype("Int64"),
    "categories of several kinds": pd.DataFrame(
        {"a": np.where(BITS[:, 0], "p", "m"), "b": BITS[:, 1] > 0}
    ).astype("category"),
}
INDICATORS = {
    "integers": BITS,
    "booleans": BITS > 0,
    "floats": BITS.astype(float),
    "list": BITS.tolist(),
    "ones": np.ones_like(BITS),
    "objects": BITS.astype(object),
    "bool and int": pd.DataFrame({"a": BITS[:, 0] > 0, "b": BITS[:, 1]}),
    "category": pd.DataFrame(BITS).astype("category"),
    "boolean": pd.DataFrame(BITS > 0).astype("boolean"),
    "sparse": sp.csr_matrix(BITS),
    "sparse booleans": sp.csc_array(BITS > 0),
    "sparse, of lists": sp.lil_matrix(BITS),
    "explicit zeros": sp.csr_matrix((BITS.ravel(), np.tile([0, 1], 150), np.arange(0, 301, 2))),
}


def ways_to_train(y, **params):
    """The same y by fit and by partial_fit, whose classes are those of y."""
    labels = np.asarray(y)
    classes = [sorted(set(column)) for column in labels.T.tolist()]
    params = {"learning_rate_init": 0.05, **params}
    yield make(max_iter=150, **params).fit(X, y)
    by_part = make(**params)
    for _ in range(150):
        by_part.partial_fit(X, y, classes=classes)
    yield by_part


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
def test_two_values_that_are_classes(code):
    y = CODES[code]
    labels = np.asarray(y)
    for est in ways_to_train(y):
        assert type(est.classes_) is list
        assert est.out_activation_ == "softmax"
        predicted = est.predict(X)
        for k, classes in enumerate(est.classes_):
            assert classes.tolist() == sorted(set(labels[:, k].tolist()))
            assert set(predicted[:, k].tolist()) <= set(classes.tolist())
        assert est.score(X, y) == (predicted == labels).all(axis=1).mean() > 0.85


@pytest.mark.parametrize("kind", INDICATORS)
def test_two_values_that_are_an_indicator(kind):
    y = INDICATORS[kind]
    rows = BITS if kind != "ones" else np.ones_like(BITS)
    expected = make(max_iter=5).fit(X, rows)
    est = make(max_iter=5).fit(X, y)
    part = make().partial_fit(X, y, classes=[0, 1])
    assert part._label_binarizer.y_type_ == "multilabel-indicator"
    assert est.classes_.tolist() == [0, 1]
    assert est.out_activation_ == "logistic"
    for one, other in zip(est.coefs_, expected.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert est.score(X, y) == expected.score(X, rows)
    assert sp.issparse(est.predict(X)) == sp.issparse(y)
    np.testing.assert_array_equal(
        make(max_iter=5).fit(X, rows, X_val=X, y_val=y).validation_scores_,
        make(max_iter=5).fit(X, rows, X_val=X, y_val=rows).validation_scores_,
    )


@pytest.mark.parametrize(
    "params",
    [{"early_stopping": True, "n_iter_no_change": 150}, {"label_smoothing": 0.1},
     {"class_weight": [{1: 2.0}, {2: 0.5}]}, {"class_weight": "balanced"}, {"solver": "lbfgs"},
     {"loss": "focal"}, {"loss": "squared_error"}],
    ids=str,
)  # fmt: skip
def test_two_values_with(params):
    y = CODES["{1, 2}"]
    est = make(**{"learning_rate_init": 0.05, "max_iter": 150, **params}).fit(X, y)
    assert est.score(X, y) > 0.85
    assert set(np.unique(est.predict(X))) == {1, 2}


def test_a_fold_that_lacks_a_class():
    """Which of {1, 2, 3} are there does not change what is learnt; {0, 1} of {0, 1, 2} does."""
    y = TARGETS["integers"][:, :1] + np.array([[1, 0]])
    y[:, 1] = BITS[:, 1] + 1
    y[120:, 0] = 3
    y[:120, 0] = np.minimum(y[:120, 0], 2)
    est = make(solver="lbfgs").fit(X[:120], y[:120])
    assert [c.tolist() for c in est.classes_] == [[1, 2], [1, 2]]
    assert set(np.unique(est.predict(X))) == {1, 2}
    assert est.score(X[:120], y[:120]) > 0.85
    assert est.score(X, y) == (est.predict(X) == y).all(axis=1).mean()

    est = make(solver="lbfgs").fit(X[:120], y[:120] - 1)  # an indicator, as far as one can see
    assert est.out_activation_ == "logistic"
    right = (est.predict(X) == y - 1).all(axis=1)
    assert est.score(X, y - 1) == right.mean() > 0.5
    np.testing.assert_allclose(
        est.score(X, y - 1, WEIGHTS), np.average(right, weights=WEIGHTS), rtol=1e-14
    )
    sparse = make(solver="lbfgs").fit(X[:120], sp.csr_matrix(y[:120] - 1))
    assert sparse.score(X, y - 1) == right.mean()


@pytest.mark.parametrize("classes", [[1, 2], (2, 1), np.array([1, 2]), [[1, 2], [2, 1]]], ids=str)
def test_one_list_of_classes_is_that_of_every_column(classes):
    y = CODES["{1, 2}"]
    expected = make().partial_fit(X, y, classes=[[1, 2], [1, 2]])
    est = make().partial_fit(X, y, classes=classes).partial_fit(X, y, classes=classes)
    assert [c.tolist() for c in est.classes_] == [[1, 2], [1, 2]]
    expected.partial_fit(X, y)
    for one, other in zip(est.coefs_, expected.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        est.partial_fit(X, y, classes=[1, 3])
    # a first part in which there is but one class, and that an indicator's
    rows = (y == 1).all(axis=1)
    assert rows.any()
    est = make().partial_fit(X[rows], y[rows], classes=classes).partial_fit(X, y)
    assert [c.tolist() for c in est.classes_] == [[1, 2], [1, 2]]


def test_classes_that_are_the_numbers_of_the_columns_of_an_indicator():
    """As in scikit-learn, which a later y of other values does not change in silence."""
    est = make().partial_fit(X, BITS, classes=[0, 1, 2])
    assert est.out_activation_ == "logistic"
    with pytest.raises(ValueError, match="give partial_fit a list of `classes` for each column"):
        est.partial_fit(X, 2 * BITS)
    wide = np.hstack([BITS, BITS[:, :1]])
    with pytest.raises(ValueError, match=r"`y` has classes not in `self.classes_`"):
        make().partial_fit(X, wide, classes=[0, 1])


LATER = {
    "other codes": (BITS, BITS + 1, r"multilabel indicator, .* but has the values \["),
    "strings": (BITS, BITS.astype(str), r"multilabel indicator, .* but has the values \["),
    "numbers of labels": (
        BITS,
        BITS.sum(axis=1),
        r"`y` has 1 column, .* had 2: a multilabel indi",
    ),
    "counts": (BITS, sp.csr_matrix(2 * BITS), r"A sparse y is .* but has the values \[2\]"),
    "an indicator": (BITS + 1, BITS, r"\[array\(\[0\]\), array\(\[0\]\)\]"),
    "sparse classes": (BITS + 1, sp.csr_matrix(BITS + 1), "A sparse y is a multilabel indicator"),
    "columns after one": (BITS[:, 0], BITS + 1, "not fitted with multilabel input|Unknown label"),
    "labels after one": (BITS[:, 0], BITS, "not fitted with multilabel input"),
}


@pytest.mark.parametrize("call", ["partial_fit", "warm_start", "y_val", "input_gradient"])
@pytest.mark.parametrize("case", LATER)
def test_targets_of_another_kind_than_before(case, call):
    """scikit-learn trains on some of them, on whether they are zero."""
    y, later, match = LATER[case]
    est = make(warm_start=call == "warm_start", max_iter=2).fit(X, y)
    before = pickle.dumps(est)
    calls = {
        "partial_fit": lambda: est.partial_fit(X, later),
        "warm_start": lambda: est.fit(X, later),
        "y_val": lambda: est.fit(X, y, X_val=X, y_val=later),
        "input_gradient": lambda: est.input_gradient(X, later),
    }
    if call == "input_gradient" and y.ndim == 1:
        match = "y should be a 1d array"
    with pytest.raises(ValueError, match=match):
        calls[call]()
    assert pickle.dumps(est) == before


@pytest.mark.parametrize("values", [[2], [1, 2], [-1]], ids=str)
def test_a_sparse_y_of_other_values(values):
    y = sp.csr_matrix(BITS).astype(int)
    y.data[:] = np.resize(values, y.nnz)
    for est, call in ((make(), "fit"), (make(), "partial_fit")):
        kwargs = {"classes": [0, 1]} if call == "partial_fit" else {}
        with pytest.raises(ValueError, match="A sparse y is a multilabel indicator, of zeros and"):
            getattr(est, call)(X, y, **kwargs)
        assert vars(est) == vars(make())


def test_missing_labels_in_a_dataframe():
    codes = pd.DataFrame(BITS + 1)
    for y in (codes.where(BITS > 0).astype("category"), codes.astype("Int64").mask(BITS > 0)):
        with pytest.raises(ValueError, match="contains NaN"):
            make().fit(X, y)


def test_saved_and_loaded(tmp_path):
    y = CODES["{1, 2}"]
    est = make(max_iter=3).fit(X, y)
    est.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X), est.predict(X))
    assert loaded.partial_fit(X, y).classes_[1].tolist() == [1, 2]


def test_multilabel_stays_what_it_is():
    y = np.stack([species == 0, SIZES > 1], axis=1).astype(int)
    est = make().fit(X, y)
    assert est.out_activation_ == "logistic"
    assert est.predict_proba(X).shape == (150, 2)
    assert set(np.unique(est.predict(X))) == {0, 1}


def test_clone_pickle_search_and_cross_validation():
    y = TARGETS["integers"]
    search = GridSearchCV(make(learning_rate_init=0.05), {"alpha": [0.1, 1.0]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.3
    best = pickle.loads(pickle.dumps(search.best_estimator_))
    for one, other in zip(best.predict_proba(X), search.predict_proba(X), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(best.predict(X), search.predict(X))
    assert not hasattr(clone(best), "classes_")
    proba = cross_val_predict(make(), X, y, method="predict_proba", cv=2)
    assert [p.shape for p in proba] == [(150, 3), (150, 4)]


def test_dtype():
    y = TARGETS["integers"]
    est = make(dtype="float32").fit(X, y)
    expected = make().fit(X.astype(np.float32), y)
    for one, other in zip(
        est.predict_proba(X), expected.predict_proba(X.astype(np.float32)), strict=True
    ):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)


def test_tags():
    tags = get_tags(make())
    assert tags.target_tags.multi_output
    assert tags.classifier_tags.multi_label
    assert tags.classifier_tags.multi_class


def one_label(y, label):
    y = y.astype(object)
    y[5, 0] = label
    return y


@pytest.mark.parametrize(
    "y",
    [np.stack([species + 0.5, SIZES], axis=1), one_label(TARGETS["strings"], 3),
     one_label(TARGETS["strings"], np.nan)],
    ids=["fractions", "strings and numbers in a column", "NaN"],
)  # fmt: skip
def test_targets_that_are_no_classes(y):
    with pytest.raises(ValueError, match=r"label|column|NaN"):
        make().fit(X, y)


def test_score_of_no_labels():
    """As in scikit-learn an error, and no accuracy of 0."""
    X = np.random.RandomState(0).randn(20, 3)
    indicator = (X[:, :2] > 0).astype(int)
    for y in (indicator, indicator + 1):
        clf = MLPClassifier((3,), max_iter=2, random_state=0).fit(X, y)
        with pytest.raises(ValueError, match="NaN"):
            clf.score(X, np.where(indicator, np.nan, 1.0))
        with pytest.raises(ValueError, match="Unknown label type: continuous"):
            clf.score(X, indicator + 0.5)
