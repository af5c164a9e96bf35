"""The short ways of predict: the same results, errors and warnings as the long ones, whatever is
handed in and whatever was changed in between."""

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.preprocessing import LabelBinarizer

import cmlp
from cmlp import MLPClassifier, MLPRegressor
from cmlp._architecture import Architecture
from cmlp._core import engine
from cmlp._losses import Loss
from cmlp._parameters import Parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
rng = np.random.RandomState(0)
X = rng.randn(1100, 7)
TARGETS = {
    "binary": (X[:, 0] > 0).astype(int),
    "strings": np.array(["no", "yes", "perhaps"])[rng.randint(0, 3, len(X))],
    "ten": rng.randint(0, 10, len(X)),
    "labels": (X[:, :3] > 0).astype(int),
    "real": X[:, 0] * 2 + 1,
    "reals": X[:, :2] * 2 + 1,
}
KINDS = list(TARGETS)
METHODS = ("predict", "predict_proba", "predict_log_proba")
DTYPES = [np.float32, np.float64]


def fitted(kind, dtype=np.float64, **params):
    params = {"hidden_layer_sizes": (9, 5), "max_iter": 3, "random_state": 0, **params}
    cls = MLPRegressor if kind.startswith("real") else MLPClassifier
    return cls(**params).fit(X[:200].astype(dtype), TARGETS[kind][:200])


def results(est, rows):
    with np.errstate(divide="ignore"):
        return [getattr(est, name)(rows) for name in METHODS if hasattr(est, name)]


def without_predictor(est):
    """A copy that takes the long way: there is no such thing as a predictor of its parameters."""
    est = copy.deepcopy(est)
    est._prepare_predictor = lambda parameters: None
    return est


def has_predictor(est):
    return est._parameters.predictor is not None


def assert_same(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert type(a) is type(b)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def outcome(call):
    """What a call returns or raises, and the warnings it gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            result = (type(error), str(error))
    return result, [(w.category, str(w.message)) for w in caught]


# predict


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_short_way_is_the_long_way(kind, dtype):
    est = fitted(kind, dtype)
    rows = X.astype(dtype)
    long_way = without_predictor(est)
    est.predict(rows[:1])
    assert has_predictor(est)
    for n in (1, 2, 3, 8, 9, 100, 512, 513, 1100):
        assert_same(results(est, rows[:n]), results(long_way, rows[:n]))
    assert not has_predictor(long_way)


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every other column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "one row for all": lambda a: np.broadcast_to(a[0], a.shape),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
    "matrix row": lambda a: a[:1],
    "list": lambda a: a.tolist(),
    "object": lambda a: a.astype(object),
    "the other dtype": lambda a: a.astype(np.float32 if a.dtype == np.float64 else np.float64),
    "integers": lambda a: (a * 10).astype(int),
    "half": lambda a: a.astype(np.float16),
    "packed records": lambda a: packed(a),
    "one packed record": lambda a: packed(a)[:1],
}


def packed(a):
    """Rows at an odd distance from each other: strides that are no multiples of the itemsize."""
    records = np.zeros(len(a), np.dtype([("x", a.dtype, a.shape[1]), ("tag", "i1")], align=False))
    records["x"] = a
    return records["x"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["binary", "ten", "real"])
def test_layouts_of_the_rows(kind, layout, dtype):
    est = fitted(kind, dtype)
    long_way = without_predictor(est)
    est.predict(X[:1].astype(dtype))
    rows = LAYOUTS[layout](X[:50].astype(dtype))
    assert_same(results(est, rows), results(long_way, rows))
    if layout != "one row for all":
        other = copy.deepcopy(est).fit(rows, TARGETS[kind][: len(rows)])
        plain = copy.deepcopy(est).fit(
            np.array(rows).astype(
                np.result_type(np.asarray(rows).dtype, np.float32).newbyteorder("=")
                if np.asarray(rows).dtype != object
                else float
            ),
            TARGETS[kind][: len(rows)],
        )
        for a, b in zip(other.coefs_, plain.coefs_, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_read_only_map_of_a_file(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    est = fitted("binary")
    expected = results(without_predictor(est), X)
    for _ in range(2):
        assert_same(results(est, mapped), expected)
        assert_same(results(est, np.asarray(mapped)), expected)


BAD = {
    "nan in the last row": lambda a: with_value(a, np.nan),
    "inf": lambda a: with_value(a, np.inf),
    "-inf": lambda a: with_value(a, -np.inf),
    "one column less": lambda a: a[:, 1:],
    "one column more": lambda a: np.hstack([a, a[:, :1]]),
    "no rows": lambda a: a[:0],
    "no columns": lambda a: a[:, :0],
    "one row as a vector": lambda a: a[0],
    "three dimensions": lambda a: a[None],
    "scalar": lambda a: a[0, 0],
    "strings": lambda a: a.astype(str),
    "words": lambda a: np.full(a.shape, "word"),
    "complex": lambda a: a + 1j,
    "object": lambda a: with_value(a.astype(object), "word"),
    "None": lambda a: None,
    "names": lambda a: pd.DataFrame(a, columns=list("abcdefg")),
    "Fortran nan": lambda a: np.asfortranarray(with_value(a, np.nan)),
    "strided inf": lambda a: with_value(np.repeat(a, 2, axis=1), np.inf)[:, ::2],
}


def with_value(a, value):
    a = a.copy()
    a[-1, -1 if a.shape[1] < 10 else -2] = value
    return a


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", ["binary", "real"])
def test_errors_and_warnings_are_those_of_scikit_learn(kind, bad):
    """In predict and in fit, after plain calls that have gone the short way."""
    est = fitted(kind)
    est.predict(X[:1])
    assert has_predictor(est)
    their_class = TheirRegressor if kind == "real" else TheirClassifier
    theirs = (
        their_class((9, 5), max_iter=3, random_state=0)
        if kind == "binary"
        else their_class(hidden_layer_sizes=(9, 5), max_iter=3, random_state=0)
    )
    theirs.fit(X[:200], TARGETS[kind][:200])
    rows = BAD[bad](X[:600])
    for method in ("predict", "predict_proba"):
        if hasattr(est, method):
            ours, our_warnings = outcome(lambda m=method: getattr(est, m)(rows))
            expected, their_warnings = outcome(lambda m=method: getattr(theirs, m)(rows))
            assert our_warnings == their_warnings
            if isinstance(expected, tuple):
                assert ours == expected
            else:
                assert ours.shape == expected.shape
    assert_same(results(est, X[:3]), results(without_predictor(est), X[:3]))
    if bad != "names":
        y = TARGETS[kind][: len(rows)] if np.ndim(rows) else TARGETS[kind][:1]
        for method in ("fit", "partial_fit"):
            ours, _ = outcome(lambda m=method: getattr(est, m)(rows, y))
            expected, _ = outcome(lambda m=method: getattr(theirs, m)(rows, y))
            if isinstance(expected, tuple):
                assert ours == expected
            elif "column" not in bad:
                assert ours is est


BAD_TARGETS = {
    "nan": lambda y: np.where(np.arange(len(y)) == 3, np.nan, y),
    "inf": lambda y: np.where(np.arange(len(y)) == 3, np.inf, y),
    "one less": lambda y: y[:-1],
    "none": lambda y: y[:0],
    "column": lambda y: y.reshape(-1, 1),
    "three dimensions": lambda y: y.reshape(-1, 1, 1),
    "scalar": lambda y: y[0],
    "None": lambda y: None,
    "complex": lambda y: y + 1j,
    "object": lambda y: y.astype(object),
    "mixed": lambda y: np.array([*y[:-1].tolist(), "a"], dtype=object),
    "bytes": lambda y: y.astype(bytes),
    "fractions": lambda y: y + 0.5,
    "multioutput": lambda y: np.stack([y, y + 2], axis=1),
}


@pytest.mark.parametrize("bad", BAD_TARGETS)
@pytest.mark.parametrize("kind", ["ten", "real"])
def test_errors_and_warnings_about_targets(kind, bad):
    rows, y = X[:300], BAD_TARGETS[bad](TARGETS[kind][:300])
    est, theirs = (
        (MLPRegressor(max_iter=1), TheirRegressor(max_iter=1))
        if kind == "real"
        else (MLPClassifier(max_iter=1), TheirClassifier(max_iter=1))
    )
    for method in ("fit", "partial_fit"):
        if method == "partial_fit":
            est.fit(rows, TARGETS[kind][:300])
            theirs.fit(rows, TARGETS[kind][:300])
        ours, our_warnings = outcome(lambda m=method: getattr(est, m)(rows, y))
        expected, their_warnings = outcome(lambda m=method: getattr(theirs, m)(rows, y))
        if bad == "multioutput" and method == "fit":
            assert ours is est  # trains, also where scikit-learn's classifier does not
        elif isinstance(expected, tuple):
            assert isinstance(ours, tuple)
            if kind == "ten" or bad not in ("bytes", "multioutput"):  # words of our own
                assert ours == expected
        else:
            assert ours is est
            assert our_warnings == their_warnings


def test_feature_names_at_fit_and_none_at_predict():
    est = MLPClassifier(max_iter=1).fit(pd.DataFrame(X, columns=list("abcdefg")), TARGETS["ten"])
    for _ in range(2):
        with pytest.warns(UserWarning, match="does not have valid feature names, but MLPClass"):
            est.predict_proba(X)
        with pytest.warns(UserWarning, match="does not have valid feature names, but MLPClass"):
            est.partial_fit(X, TARGETS["ten"])
    est.fit(X, TARGETS["ten"])
    assert not hasattr(est, "feature_names_in_")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est.predict(X)
        est.predict(X)
    with pytest.warns(UserWarning, match="X has feature names, but MLPClassifier was fitted"):
        est.predict(pd.DataFrame(X, columns=list("abcdefg")))


def test_feature_names_that_the_user_sets():
    est = fitted("binary")
    est.predict(X)
    est.feature_names_in_ = np.array(list("abcdefg"), dtype=object)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        est.predict(X)


# What changes between two calls


def changes(est):
    """Pairs of a name and a function that changes a fitted estimator."""

    def replace_item(e):
        e.coefs_[0] = e.coefs_[0] * 2

    def replace_list(e):
        e.coefs_ = [coef * 3 for coef in e.coefs_]

    def replace_intercepts(e):
        e.intercepts_ = [b + 1 for b in e.intercepts_]

    def in_place(e):
        e.coefs_[1][...] *= -1

    def through_a_view(e):
        e.coefs_[0].ravel()[::2] = 0

    def swap(e):
        e.coefs_ = tuple(e.coefs_)

    def other_activation(e):
        e.activation = "tanh"

    def set_params(e):
        e.set_params(activation="logistic")

    def other_output(e):
        e.out_activation_ = "identity" if e.out_activation_ != "identity" else "logistic"

    def other_dtype(e):
        e.coefs_ = [coef.astype(np.float32) for coef in e.coefs_]

    return [v for k, v in locals().items() if k != "est"]


@pytest.mark.parametrize("kind", KINDS)
def test_changes_are_seen(kind):
    for change in changes(None):
        est = fitted(kind)
        before = results(est, X[:5])
        before = results(est, X[:5])
        assert has_predictor(est)
        untouched = without_predictor(est)
        change(untouched)
        change(est)
        expected = results(untouched, X[:5])
        if change.__name__ != "swap":
            assert not np.array_equal(expected[-1], before[-1]), change.__name__
        for _ in range(2):
            assert_same(results(est, X[:5]), expected)
        for rows in (X[:1], X[:, ::-1]):
            assert_same(results(est, rows), results(untouched, rows))


def test_attributes_that_are_taken_away():
    est = fitted("ten")
    est.predict(X)
    del est.coefs_
    for method in METHODS:
        with pytest.raises((NotFittedError, AttributeError)):
            getattr(est, method)(X)
    est = fitted("ten")
    est.predict(X)
    est.n_features_in_ = 6
    with pytest.raises(ValueError, match="is expecting 6 features"):
        est.predict(X)
    est = fitted("ten")
    est.predict(X)
    del est.n_features_in_  # scikit-learn then does not look
    assert_same(results(est, X), results(fitted("ten"), X))


def test_labels_come_from_the_binarizer():
    est = fitted("ten")
    before = est.predict(X)
    est.classes_ = est.classes_ + 100  # not what scikit-learn's predict looks at
    np.testing.assert_array_equal(est.predict(X), before)
    est._label_binarizer.classes_ = est._label_binarizer.classes_ + 100
    np.testing.assert_array_equal(est.predict(X), before + 100)
    est._label_binarizer = LabelBinarizer().fit(np.array(list("abcdefghij")))
    assert est.predict(X).dtype.kind == "U"


def test_weights_that_are_not_finite():
    est = fitted("ten")
    est.predict(X)
    est.coefs_[0][...] = np.nan
    assert_same(results(est, X[:4]), results(without_predictor(est), X[:4]))
    assert np.isnan(est.predict_proba(X)).all()


@pytest.mark.parametrize("y", [["a"], ["b", "a"], [True, False], [0.0, 2.0], [7], [2, 3, 3, 5]])
def test_labels(y):
    y = np.array(y * 10)
    rows = X[: len(y)]
    est = MLPClassifier(max_iter=2, random_state=0).fit(rows, y)
    theirs = TheirClassifier(max_iter=2, random_state=0).fit(rows, y)
    for _ in range(2):
        assert_same([est.predict(rows)], [theirs.predict(rows)])
        assert_same([est.classes_], [theirs.classes_])
        np.testing.assert_allclose(est.predict_proba(rows), theirs.predict_proba(rows), 1e-6)


def test_new_weights_after_partial_fit_and_refit():
    est = fitted("real")
    for again in (
        lambda: est.partial_fit(X[:1], TARGETS["real"][:1]),
        lambda: est.fit(X[:50], TARGETS["real"][:50]),
        lambda: est.set_params(hidden_layer_sizes=(3,)).fit(X[:50], TARGETS["real"][:50]),
        lambda: est.fit(X[:50, :4], TARGETS["real"][:50]),
    ):
        before = est.coefs_[0].copy()
        again()
        rows = X[:9, : est.n_features_in_]
        assert not np.array_equal(before, est.coefs_[0])
        for _ in range(2):
            assert_same(results(est, rows), results(without_predictor(est), rows))


@pytest.mark.parametrize(
    "how", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
@pytest.mark.parametrize("kind", KINDS)
def test_copies_after_predict(kind, how):
    est = fitted(kind)
    expected = results(est, X)
    copied = how(est)
    assert_same(results(copied, X), expected)
    copied.coefs_[0][...] = 0
    assert not np.array_equal(results(copied, X)[-1], expected[-1])
    assert_same(results(est, X), expected)
    assert not hasattr(clone(est), "coefs_")
    size = len(pickle.dumps(fitted(kind)))
    assert len(pickle.dumps(est)) == size  # nothing of the short way is kept


def test_attributes_of_another_estimator():
    one, other = fitted("binary"), fitted("binary", random_state=1)
    one.predict(X), other.predict(X)
    vars(one).update(vars(other))
    assert_same(results(one, X), results(other, X))
    one.coefs_ = [coef * 0 for coef in one.coefs_]
    assert_same(results(other, X), results(fitted("binary", random_state=1), X))


def test_predict_changes_no_attribute():
    est = fitted("ten")
    before = dict(vars(est))
    results(est, X)
    assert vars(est).keys() == before.keys()
    assert all(vars(est)[name] is before[name] for name in before)


def test_a_subclass_with_a_predict_proba_of_its_own():
    class Half(MLPClassifier):
        def predict_proba(self, X):
            return super().predict_proba(X) / 2

    est = Half(max_iter=2, random_state=0).fit(X, TARGETS["binary"])
    for _ in range(2):
        np.testing.assert_array_equal(np.exp(est.predict_log_proba(X)).sum(axis=1).round(9), 0.5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", [(9,), (700,)])
def test_threads_share_a_predictor(hidden, dtype):
    """With rows of every number: the kept workspace is one thread's at a time."""
    est = fitted("ten", dtype, hidden_layer_sizes=hidden, max_iter=1)
    rows = X.astype(dtype)
    chunks = [rows[i : i + 1 + i * i % 600] for i in range(0, 1000, 3)]
    long_way = without_predictor(est)
    expected = [long_way.predict_proba(chunk) for chunk in chunks]
    est.predict(rows[:1])
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for p, alone in zip(pool.map(est.predict_proba, chunks), expected, strict=True):
                np.testing.assert_array_equal(p, alone)


# The compiled pieces


@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_and_finite(dtype):
    is_plain_and_finite = engine.is_plain_and_finite
    a = np.arange(60, dtype=dtype).reshape(6, 10)
    assert is_plain_and_finite(a)
    assert is_plain_and_finite(a.T)
    assert is_plain_and_finite(a[::-2, ::3])
    assert is_plain_and_finite(a[0])
    assert is_plain_and_finite(a[:, 3])
    assert is_plain_and_finite(np.full((3, 3), np.finfo(dtype).max))
    assert is_plain_and_finite(np.full((3, 3), -np.finfo(dtype).max))
    assert is_plain_and_finite(np.full((3, 3), np.finfo(dtype).smallest_subnormal))
    for bad in (np.nan, np.inf, -np.inf):
        for i in range(6):
            for j in range(10):
                b = a.copy()
                b[i, j] = bad
                for c in (
                    b,
                    b.T,
                    np.asfortranarray(b),
                    b[::-1],
                    b[:, ::-1],
                    b.ravel(),
                    np.repeat(b, 3, axis=1)[:, ::3],
                    b.ravel()[::-1],
                ):
                    assert not is_plain_and_finite(c)
    for other in (
        a[:0],
        a[:, :0],
        a[0, 0],
        a[None],
        a.tolist(),
        a.astype(int),
        a + 1j,
        None,
        "a",
        a.astype(a.dtype.newbyteorder()),
        a.view(np.matrix),
        np.ma.array(a),
        a.astype(object),
        a.astype(np.longdouble),
        a.astype(np.float16),
    ):
        assert not is_plain_and_finite(other)


def test_views():
    vector = np.arange(12.0)
    matrix, tail = engine.views(vector, [(0, 2, 3), (7, 5)])
    np.testing.assert_array_equal(matrix, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(tail, vector[7:])
    matrix[0, 0] = 9
    assert vector[0] == 9
    assert matrix.base is vector
    for place in ((0, 13), (-1, 2), (10, 3), (0, 5, 3), (0, -1), (0, 2**62, 4)):
        with pytest.raises(ValueError, match="leads out of"):
            engine.views(vector, [place])
    with pytest.raises(ValueError, match="contiguous"):
        engine.views(vector[::2], [(0, 1)])


def test_a_predictor_of_a_vector_that_does_not_fit():
    parameters = Parameters((3, 2), np.float64)
    layout = parameters.layout(Architecture((3, 2), ("identity",)), Loss("squared_error"))
    with pytest.raises(ValueError, match="does not fit"):
        engine.Predictor(layout, np.zeros(7), {}, {}, ())
    predictor = engine.Predictor(layout, parameters.vector, {}, {}, ())
    np.testing.assert_array_equal(predictor.outputs({}, np.ones((4, 3))), np.zeros((4, 2)))
    assert predictor.outputs({}, np.ones((4, 2))) is None
    assert predictor.outputs({}, np.ones((4, 3), np.float32)) is None


def test_networks_can_still_be_pickled():
    est = fitted("real")
    est.predict(X)
    net = cmlp.Network(est.coefs_, est.intercepts_)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.coefs[0], net.coefs[0])
    again.coefs[0][...] = 0
    assert not again._parameters.vector[: again.coefs[0].size].any()
