"""``dtype``: a network computes in the dtype asked for, as if X had been converted, uncopied.

The oracle is the same estimator on the converted X, bit for bit.
"""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.utils import get_tags

from cmlp import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
DENSE = rng.normal(size=(90, 11))
SPARSE = np.where(rng.random(DENSE.shape) < 0.9, 0, DENSE)  # compressed as it is gathered
LABELS = rng.integers(0, 3, size=90)
WEIGHTS = rng.integers(0, 3, size=90).astype(float)
FORMS = {
    "C": lambda X: X,
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "backwards": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "CSR": sp.csr_matrix,
    "CSR of int64": lambda X: with_long_indices(sp.csr_array(X)),
    "CSC": sp.csc_matrix,
}
SETTINGS = {
    "minibatches": {"batch_size": 32},
    "several blocks": {"batch_size": 90, "hidden_layer_sizes": (300, 40)},
    "packed": {"batch_size": 40, "hidden_layer_sizes": (600,)},
    "linear": {"batch_size": 32, "hidden_layer_sizes": ()},
    "online adam": {"batch_size": 1, "max_iter": 2},
    "online sgd": {"batch_size": 1, "max_iter": 2, "solver": "sgd"},
    "online, narrow": {"batch_size": 1, "max_iter": 2, "hidden_layer_sizes": (3, 5)},
    "online in blocks": {"batch_size": 1, "max_iter": 1, "solver": "sgd",
                         "hidden_layer_sizes": (4000,)},
    "early stopping": {"batch_size": 32, "early_stopping": True},
    "no shuffling": {"batch_size": 32, "shuffle": False},
    "threads": {"batch_size": 90, "hidden_layer_sizes": (300, 300), "n_jobs": 2},
    "lbfgs": {"solver": "lbfgs"},
}  # fmt: skip


def with_long_indices(X):
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def make(cls=MLPClassifier, **params):
    params = {"hidden_layer_sizes": (20,), "max_iter": 4, "random_state": 0, **params}
    return cls(**params)


def assert_same(one, other, dtype):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)
    assert one.loss_ == other.loss_
    assert type(one.loss_) is type(other.loss_)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("form", FORMS)
def test_same_bits_as_with_converted_rows(dtype, setting, form):
    other = "float64" if dtype == "float32" else "float32"
    for rows in (DENSE, SPARSE):
        X = FORMS[form](rows.astype(other))
        converted = X.astype(dtype)
        weight = WEIGHTS if setting != "early stopping" else None
        est = make(dtype=dtype, **SETTINGS[setting]).fit(X, LABELS, weight)
        expected = make(**SETTINGS[setting]).fit(converted, LABELS, weight)
        assert_same(est, expected, dtype)
        for _ in range(2):  # the second time there is a short way
            for n in (90, 1, 3):
                p = est.predict_proba(X[:n])
                assert p.dtype == dtype
                np.testing.assert_array_equal(p, expected.predict_proba(converted[:n]))
                np.testing.assert_array_equal(est.predict(X[:n]), expected.predict(converted[:n]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_regressor_of_several_outputs(dtype):
    X, y = load_diabetes(return_X_y=True)
    y = np.stack([y, -y], axis=1)
    for x_dtype in ("float32", "float64"):
        rows = X.astype(x_dtype)
        est = make(MLPRegressor, dtype=dtype).fit(rows, y)
        expected = make(MLPRegressor).fit(rows.astype(dtype), y)
        assert_same(est, expected, dtype)
        assert est.predict(rows).dtype == dtype
        np.testing.assert_array_equal(est.predict(rows), expected.predict(rows.astype(dtype)))


@pytest.mark.parametrize("x_dtype", ["float32", "float64"])
def test_none_is_the_dtype_of_x(x_dtype):
    X = DENSE.astype(x_dtype)
    assert_same(make(dtype=None).fit(X, LABELS), make(dtype=x_dtype).fit(X, LABELS), x_dtype)


@pytest.mark.parametrize("X", [(DENSE * 10).astype(int), pd.DataFrame(DENSE), DENSE.tolist()],
                         ids=["integers", "DataFrame", "list"])  # fmt: skip
def test_whatever_x_is(X):
    est = make(dtype="float32").fit(X, LABELS)
    converted = np.asarray(X).astype(np.float32)
    expected = make().fit(converted, LABELS)
    assert_same(est, expected, "float32")
    np.testing.assert_array_equal(est.predict_proba(X), expected.predict_proba(converted))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["C", "Fortran", "CSR", "CSC"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_numbers_too_large_for_float32(form, solver):
    limit = float.fromhex("0x1.ffffffp127")  # rounds to infinity, the next number below does not
    for number in (limit, -limit, 1e300):
        X = DENSE.copy()
        X[7, 3] = number
        est = make(dtype="float32", solver=solver)
        message = r"Input X contains infinity or a value too large for dtype\('float32'\)\."
        with pytest.raises(ValueError, match=message):
            est.fit(FORMS[form](X), LABELS)
        assert not hasattr(est, "coefs_")
        est.fit(FORMS[form](DENSE), LABELS)
        for method in (est.predict, est.predict_proba):
            for _ in range(2):
                with pytest.raises(ValueError, match=message):
                    method(FORMS[form](X))
        make(dtype="float64", solver=solver, max_iter=1).fit(FORMS[form](DENSE), LABELS)
    X[7, 3] = np.nextafter(limit, 0)
    assert np.isfinite(est.predict_proba(FORMS[form](X))).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite(bad):
    X = DENSE.copy()
    X[7, 3] = bad
    est = make(dtype="float32").fit(DENSE, LABELS)
    for call in (lambda: est.predict(X), lambda: make(dtype="float32").fit(X, LABELS)):
        with pytest.raises(ValueError, match="Input X contains"):
            call()


MANY = rng.normal(size=(10_000, 300))  # and as many entries of CSR, five columns apart
MANY_ENTRIES = sp.csr_matrix(
    (MANY.ravel(), np.tile(np.arange(0, 300, 5), 50_000), np.arange(0, MANY.size + 1, 60))
)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("setting", ["minibatches", "online sgd", "lbfgs"])
@pytest.mark.parametrize("form", ["C", "Fortran", "CSR"])
def test_no_copy_of_x(form, setting, dtype):
    """NumPy tells tracemalloc what it allocates: blocks of rows, not a copy even in float32."""
    other = "float64" if dtype == "float32" else "float32"
    X = (MANY_ENTRIES if form == "CSR" else FORMS[form](MANY)).astype(other)
    y = np.arange(X.shape[0]) % 2
    est = make(dtype=dtype, **{**SETTINGS[setting], "max_iter": 1, "hidden_layer_sizes": (4,)})
    est.fit(X[:50], y[:50])
    for call in (lambda: est.fit(X, y), lambda: est.predict(X)):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * MANY.size


@pytest.mark.parametrize("first", [None, "float32", "float64"])
@pytest.mark.parametrize("second", ["float32", "float64"])
def test_a_fit_that_continues_converts_the_weights(first, second):
    for params, method in (({"warm_start": True}, "fit"), ({}, "partial_fit")):
        est = make(dtype=first, **params)
        est.fit(DENSE, LABELS)
        start = [coef.copy() for coef in est.coefs_]
        est.set_params(dtype=second, learning_rate_init=1e-30)
        getattr(est, method)(DENSE, LABELS)
        for coef, before in zip(est.coefs_, start, strict=True):
            assert coef.dtype == second
            np.testing.assert_array_equal(coef, before.astype(second))
        assert est.predict_proba(DENSE).dtype == second


def test_partial_fit_in_float32():
    est, expected = make(dtype="float32"), make()
    for start in range(0, 90, 30):
        rows = slice(start, start + 30)
        est.partial_fit(DENSE[rows], LABELS[rows], classes=[0, 1, 2])
        expected.partial_fit(DENSE[rows].astype(np.float32), LABELS[rows], classes=[0, 1, 2])
    assert_same(est, expected, "float32")
    assert est._optimizer.state.dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["C", "CSR"])
def test_inspection(form, dtype):
    X = FORMS[form](DENSE.astype("float64" if dtype == "float32" else "float32"))
    converted = X.astype(dtype)
    est = make(dtype=dtype, dropout=0.2).fit(X, LABELS)
    expected = make(dropout=0.2).fit(converted, LABELS)
    for name, arguments in (
        ("hidden_layer", ()),
        ("input_gradient", ()),
        ("input_gradient", (LABELS,)),
        ("predict_samples", (2, 0)),
    ):
        result = getattr(est, name)(X, *arguments)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, getattr(expected, name)(converted, *arguments))


def test_predict_after_set_params():
    est = make(dtype="float32").fit(DENSE, LABELS)
    est.predict_proba(DENSE)
    single = est.predict_proba(DENSE)
    est.set_params(dtype="float64")
    double = est.predict_proba(DENSE)
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, single, rtol=1e-4)
    est.set_params(dtype=None)
    assert est.predict_proba(DENSE).dtype == np.float64
    assert est.predict_proba(DENSE.astype(np.float32)).dtype == np.float32


def test_clone_pickle_and_search():
    X, y = load_digits(return_X_y=True)
    est = clone(make(dtype="float32"))
    search = GridSearchCV(est, {"dtype": ["float32", "float64", None]}, cv=2).fit(X[:300], y[:300])
    best = search.best_estimator_
    copied = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(copied.predict_proba(X), best.predict_proba(X))
    assert get_tags(best).input_tags.sparse


def test_pickles_from_before_dtype():
    est = make().fit(DENSE, LABELS)
    state = est.__getstate__()
    del state["dtype"], state["n_jobs"]
    old = MLPClassifier.__new__(MLPClassifier)
    old.__setstate__(state)
    np.testing.assert_array_equal(old.predict_proba(DENSE), est.predict_proba(DENSE))
    assert old.partial_fit(DENSE, LABELS).get_params() == est.get_params()


@pytest.mark.parametrize("bad", ["float16", np.float32, 32])
def test_bad_dtype(bad):
    with pytest.raises(ValueError, match="The 'dtype' parameter of MLPClassifier must be"):
        make(dtype=bad).fit(DENSE, LABELS)
