"""Arrays that are not what they should be: an error before any kernel runs, or the right result.

Invalid parameters and calls that scikit-learn refuses are in test_compare_sklearn.py.
"""

import re
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scripts import output_of
from sklearn import neural_network
from sklearn.datasets import make_classification, make_regression

import cmlp
from cmlp import MLPClassifier, MLPRegressor, Network

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = ["sgd", "adam", "lbfgs"]


@pytest.fixture
def data():
    X, y = make_classification(50, 5, n_informative=4, n_redundant=0, random_state=0)
    return np.ascontiguousarray(X), y


@pytest.fixture
def regression():
    X, y = make_regression(50, 5, n_targets=2, random_state=0)
    return X, y / 100


def small(**params):
    return {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0, **params}


def unaligned(array):
    """The same values, one byte off the alignment of their type, read-only."""
    raw = b"x" + array.tobytes()
    out = np.frombuffer(raw, array.dtype, count=array.size, offset=1).reshape(array.shape)
    assert not out.flags.aligned
    assert not out.flags.writeable
    return out


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def padded(array):
    """A view whose rows are not a whole number of values apart."""
    record = np.zeros(len(array), dtype=[("row", array.dtype, array.shape[1:]), ("pad", "u1")])
    record["row"] = array
    return record["row"]


def between_others(array):
    """Every second row and column of a larger array."""
    out = np.full([2 * n for n in array.shape], np.nan if array.dtype.kind == "f" else 7)
    view = out[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view.astype(array.dtype) if view.dtype != array.dtype else view


FORMS = {
    "read-only": read_only,
    "unaligned": unaligned,
    "padded": padded,
    "Fortran": np.asfortranarray,
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "objects": lambda a: a.astype(object),
    "strided": between_others,
    "list": lambda a: a.tolist(),
}


def memmap(array, path, offset=0):
    with open(path, "wb") as file:
        file.write(b"x" * offset + array.tobytes())
    return np.memmap(path, array.dtype, mode="r", offset=offset, shape=array.shape)


def assert_same_fit(est, expected, X):
    for one, other in zip(
        [*est.coefs_, *est.intercepts_],
        [*expected.coefs_, *expected.intercepts_],
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert est.loss_ == pytest.approx(expected.loss_, rel=1e-12)
    np.testing.assert_allclose(est.predict(X), expected.predict(X), rtol=1e-12)


# Memory layouts: the result is that of a plain array


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", SOLVERS)
def test_form_of_the_arrays(solver, dtype, form, regression):
    X, y = (a.astype(dtype) for a in regression)
    if form in ("big-endian", "objects", "list"):
        dtype = np.float64  # as scikit-learn takes them
        X = X.astype(dtype)
    weight = np.linspace(0.5, 2, len(X)).astype(dtype)
    change = FORMS[form]
    params = small(solver=solver, batch_size=16)
    expected = MLPRegressor(**params).fit(X, y, weight)
    est = MLPRegressor(**params).fit(change(X), change(y), change(weight))
    assert est.coefs_[0].dtype == expected.coefs_[0].dtype
    assert_same_fit(est, expected, X)
    np.testing.assert_allclose(est.predict(change(X)), est.predict(X), rtol=1e-12)
    if solver != "lbfgs":
        for model, arrays in ((expected, (X, y, weight)), (est, map(change, (X, y, weight)))):
            model.partial_fit(*arrays)
        assert_same_fit(est, expected, X)


# scikit-learn takes no labels of type object that are numbers, and no padded labels are made
@pytest.mark.parametrize("form", [name for name in FORMS if name not in ("padded", "objects")])
def test_form_of_labels(form, data):
    X, y = data
    change = FORMS[form]
    expected = MLPClassifier(**small(early_stopping=True, validation_fraction=0.3)).fit(X, y)
    est = MLPClassifier(**small(early_stopping=True, validation_fraction=0.3))
    assert_same_fit(est.fit(change(X), change(y)), expected, X)
    np.testing.assert_array_equal(est.predict_proba(change(X)), expected.predict_proba(X))


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("order", ["C", "F"])
def test_read_only_memmap(offset, order, data, tmp_path):
    X, y = data
    mapped = memmap(X if order == "C" else X.T.copy(), tmp_path / "X", offset)
    mapped = mapped if order == "C" else mapped.T
    assert mapped.flags.aligned == (offset == 0)
    mapped_y = memmap(y, tmp_path / "y", offset)
    expected = MLPClassifier(**small(batch_size=16)).fit(X, y)
    est = MLPClassifier(**small(batch_size=16)).fit(mapped, mapped_y)
    assert_same_fit(est, expected, X)
    np.testing.assert_array_equal(est.predict(mapped), est.predict(X))


def test_zero_strides(regression):
    X, y = np.ones((50, 5)), regression[1]
    broadcast = np.broadcast_to(np.ones(1), (50, 5))
    assert broadcast.strides == (0, 0)
    ones = np.broadcast_to(np.ones(1), 50)
    expected = MLPRegressor(**small()).fit(X, y, np.ones(50))
    est = MLPRegressor(**small()).fit(broadcast, y, ones)
    assert_same_fit(est, expected, X)
    rows = np.broadcast_to(regression[0][0], (50, 5))
    targets = np.broadcast_to(y[0], (50, 2))
    expected = MLPRegressor(**small()).fit(rows.copy(), targets.copy())
    assert_same_fit(MLPRegressor(**small()).fit(rows, targets), expected, rows)


def test_input_is_left_alone(regression):
    X, y = regression
    weight = np.linspace(0.5, 2, len(X))
    coefs = [np.ones((5, 4)), np.full((4, 2), 0.5)]
    arrays = [X, y, weight, *coefs]
    before = [a.copy() for a in arrays]
    for solver in SOLVERS:
        est = MLPRegressor(**small(solver=solver)).fit(X, y, weight, coefs_init=coefs)
        est.predict(X)
    assert all(map(np.array_equal, arrays, before))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_that_only_just_fit(dtype):
    X = np.array([[np.finfo(dtype).max, 1.0], [0.0, np.finfo(dtype).tiny]], dtype=dtype)
    est = MLPRegressor(**small(activation="tanh"))
    assert np.isfinite(est.fit(X, [0.0, 1.0]).predict(X)).all()


def test_y_too_large_for_float32():
    X = np.eye(4, dtype=np.float32)
    with pytest.raises(ValueError, match="too large for dtype\\('float32'\\)"):
        MLPRegressor(**small()).fit(X, np.array([1.0, 2.0, 3.0, 1e300]))


# Sparse matrices


def csr(X, wide=False):
    matrix = sp.csr_matrix(np.where(np.abs(X) < 0.5, 0, X))
    if wide:
        matrix.indices = matrix.indices.astype(np.int64)
        matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


@pytest.mark.parametrize("change", ["none", "wide", "mixed", "read-only", "unaligned"])
@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_forms_of_sparse_input(solver, kind, change, data):
    X, y = data
    plain = csr(X)
    matrix = plain.asformat(kind, copy=True)
    if change in ("wide", "mixed"):
        matrix.indices = matrix.indices.astype(np.int64)
    if change == "wide":
        matrix.indptr = matrix.indptr.astype(np.int64)
    if change in ("read-only", "unaligned"):
        for name in ("data", "indices", "indptr"):
            setattr(matrix, name, FORMS[change](getattr(matrix, name)))
    params = small(solver=solver, batch_size=16)
    expected = MLPClassifier(**params).fit(plain.toarray(), y)
    est = MLPClassifier(**params).fit(matrix, y)
    for one, other in zip(est.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(est.predict_proba(matrix), expected.predict_proba(plain.toarray()))


def test_duplicates_unsorted_and_explicit_zeros(data):
    X, y = data
    rows = np.repeat(np.arange(50), 4)
    columns = np.tile([3, 1, 3, 0], 50)
    values = np.tile([1.0, 0.0, 2.0, -1.0], 50) * np.repeat(X[:, 0], 4)
    matrix = sp.csr_matrix((values, columns, np.arange(0, 201, 4)), shape=(50, 5))
    dense = np.zeros((50, 5))
    np.add.at(dense, (rows, columns), values)
    expected = MLPClassifier(**small()).fit(dense, y)
    est = MLPClassifier(**small()).fit(matrix, y)
    np.testing.assert_allclose(est.predict_proba(matrix), expected.predict_proba(dense))


def test_sparse_without_values(data):
    y = data[1]
    for matrix in (sp.csr_matrix((50, 5)), sp.csc_matrix((50, 5))):
        expected = MLPClassifier(**small()).fit(np.zeros((50, 5)), y)
        est = MLPClassifier(**small()).fit(matrix, y)
        np.testing.assert_allclose(est.predict_proba(matrix), expected.predict_proba(0 * data[0]))


def break_index(matrix, value):
    matrix.indices[3] = value


def break_indptr(matrix, at, value):
    matrix.indptr[at] = value


CALLS = {
    "fit": lambda est, X, y: est.fit(X, y),
    "partial_fit": lambda est, X, y: est.partial_fit(X, y),
    "predict": lambda est, X, y: est.predict(X),
    "score": lambda est, X, y: est.score(X, y),
    "network": lambda est, X, y: Network.from_estimator(est).forward(X),
    "gradient": lambda est, X, y: est.input_gradient(X),
}
BREAKS = {
    "index too large": lambda m: break_index(m, 10**6),
    "index one too large": lambda m: break_index(m, 5 if m.format == "csr" else 50),
    "negative index": lambda m: break_index(m, -1),
    "indptr not monotonic": lambda m: break_indptr(m, 2, 10**6),
    "indptr past the end": lambda m: break_indptr(m, -1, 10**6),
    "negative indptr": lambda m: break_indptr(m, 0, -5),
    "short indptr": lambda m: setattr(m, "indptr", m.indptr[:-2]),
    "short data": lambda m: setattr(m, "data", m.data[:-5]),
    "short indices": lambda m: setattr(m, "indices", m.indices[:-5]),
    "indptr that wraps around": lambda m: wrap_around(m),
    "unsigned indptr": lambda m: setattr(m, "indptr", up_and_down(m).astype(np.uint32)),
}


def wrap_around(matrix):
    """Each step of indptr is a positive number, in its own type."""
    quarter = np.array([2 ** (8 * matrix.indptr.itemsize - 2)]).astype(matrix.indptr.dtype)
    steps = np.concatenate([quarter, quarter, quarter, quarter])
    matrix.indptr[:5] = np.concatenate([[0], np.cumsum(steps, dtype=matrix.indptr.dtype)])


def up_and_down(matrix):
    indptr = matrix.indptr.copy()
    indptr[1:-1:2] = indptr[-1]
    indptr[2:-1:2] = 0
    return indptr


@pytest.mark.parametrize("call", ["fit", "predict", "partial_fit", "network", "gradient"])
@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.float32, np.longdouble])
@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo"])
def test_broken_sparse_matrix_to_be_converted(kind, dtype, call, data):
    """scipy would follow its indices."""
    X, y = np.ones((50, 6)), data[1]
    est = MLPClassifier(**small(), dtype="float64")
    if call != "fit":
        est.fit(X, y)
    matrix = sp.csr_matrix(X.astype(dtype)).asformat(kind)
    if kind == "coo":
        matrix.row[0] = 10**8
    else:
        matrix.indptr[2] = 10**8
    with pytest.raises(ValueError, match="The sparse matrix X has"):
        CALLS[call](est, matrix, y)


@pytest.mark.parametrize("call", ["fit", "predict", "partial_fit", "network"])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize("name", BREAKS)
def test_broken_sparse_matrix(name, kind, wide, call, data):
    X, y = data
    matrix = csr(X).asformat(kind)
    if wide:
        matrix.indices = matrix.indices.astype(np.int64)
        matrix.indptr = matrix.indptr.astype(np.int64)
    est = MLPClassifier(**small())
    if call != "fit":
        est.fit(X, y)
    BREAKS[name](matrix)
    with pytest.raises(ValueError):  # noqa: PT011 - the text may be scipy's
        CALLS[call](est, matrix, y)


BREAKS_OF_COO = {
    "row too large": lambda m: m.row.__setitem__(0, 10**8),
    "negative row": lambda m: m.row.__setitem__(0, -(10**8)),
    "column too large": lambda m: m.col.__setitem__(0, 10**8),
    "negative column": lambda m: m.col.__setitem__(0, -(10**8)),
    "short row": lambda m: setattr(m, "row", m.row[:-3]),
    "short data": lambda m: setattr(m, "data", m.data[:-3]),
}


@pytest.mark.parametrize("call", ["fit", "predict", "partial_fit", "network"])
@pytest.mark.parametrize("name", BREAKS_OF_COO)
def test_broken_coordinates(name, call, data):
    """scipy would write where they lead."""
    X, y = data
    matrix = sp.coo_matrix(X)
    est = MLPClassifier(**small())
    if call != "fit":
        est.fit(X, y)
    BREAKS_OF_COO[name](matrix)
    with pytest.raises(ValueError, match="The sparse matrix X has"):
        CALLS[call](est, matrix, y)


@pytest.mark.slow
def test_rows_that_no_memory_holds_dense():
    """What is allocated for sparse X follows its entries, not its shape."""
    X = sp.random(2000, 200_000, density=1e-5, format="csr", random_state=0)
    y = np.arange(2000) % 2
    for solver in ("adam", "lbfgs"):
        est = MLPClassifier(hidden_layer_sizes=(2,), max_iter=1, max_fun=2, solver=solver)
        tracemalloc.start()
        try:
            est.fit(X, y).predict(X)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2**28, solver  # 512 dense rows are 800 MB


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_sparse_with_nan(kind, value, data):
    X, y = data
    matrix = csr(X).asformat(kind)
    est = MLPClassifier(**small()).fit(matrix, y)
    matrix.data[7] = value
    for method in (est.fit, lambda X, _: est.predict(X)):
        with pytest.raises(ValueError, match="Input X contains"):
            method(matrix, y)


# Weights of samples


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("weight", [0.0, "zeros", "cancelling"])
def test_weights_that_sum_to_zero(weight, solver, name, data):
    X, y = data
    weight = {
        0.0: 0.0,
        "zeros": np.zeros(50),
        "cancelling": np.where(np.arange(50) % 2, 1.0, -1.0),
    }[weight]
    est = getattr(cmlp, name)(**small(solver=solver, shuffle=False, batch_size=10))
    if np.any(weight) and solver != "lbfgs":
        before = est.fit(X, y, weight).coefs_  # no minibatch has any weight: nothing is learnt
        expected = getattr(cmlp, name)(**small(learning_rate_init=1e-300, max_iter=1)).fit(X, y)
        assert all(map(np.array_equal, before, expected.coefs_))
        return
    with pytest.raises(ValueError, match=r"Sample weights (must contain|sum to zero)"):
        est.fit(X, y, weight)


# Targets


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", SOLVERS)
def test_poisson_with_negative_y(solver, dtype, regression):
    X, y = regression
    y = np.abs(y).astype(dtype)
    est = MLPRegressor("poisson", **small(solver=solver)).fit(X.astype(dtype), y)
    y[17, 1] = -1e-30
    with pytest.raises(ValueError, match="out of the valid range of the loss 'poisson'"):
        est.fit(X, y)


# Tampered attributes


def drop_last(est):
    del est.coefs_[-1]


def replace_first(array):
    def tamper(est):
        est.coefs_[0] = array

    return tamper


def replace_first_intercept(array):
    def tamper(est):
        est.intercepts_[0] = array

    return tamper


TAMPERED = {
    "too few coefs": drop_last,
    "no coefs": lambda est: est.coefs_.clear(),
    "too many coefs": lambda est: est.coefs_.append(np.ones((1, 1))),
    "one feature less": replace_first(np.ones((4, 4))),
    "one feature more": replace_first(np.ones((6, 4))),
    "one unit more": replace_first(np.ones((5, 5))),
    "transposed": replace_first(np.ones((4, 5))),
    "1-D": replace_first(np.ones(20)),
    "3-D": replace_first(np.ones((5, 4, 1))),
    "scalar": replace_first(1.0),
    "empty": replace_first(np.ones((5, 0))),
    "None": replace_first(None),
    "text": replace_first(np.full((5, 4), "a")),
    "complex": replace_first(np.ones((5, 4)) + 1j),
    "ragged": replace_first([[1.0, 2.0], [1.0]]),
    "more outputs": lambda est: (
        est.coefs_.__setitem__(1, np.ones((4, 3))) or est.intercepts_.__setitem__(1, np.ones(3))
    ),
    "too few intercepts": lambda est: est.intercepts_.pop(),
    "too many intercepts": lambda est: est.intercepts_.append(np.ones(1)),
    "short intercept": replace_first_intercept(np.ones(3)),
    "2-D intercept": replace_first_intercept(np.ones((1, 4))),
    "scalar intercept": replace_first_intercept(0.0),
    "None intercept": replace_first_intercept(None),
}


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("tampered", TAMPERED)
def test_tampered_weights(tampered, name, call, data):
    X, y = data
    est = getattr(cmlp, name)(**small(warm_start=True)).fit(X, y)
    TAMPERED[tampered](est)
    if (tampered, call) == ("more outputs", "network"):
        assert Network.from_estimator(est).forward(X)[-1].shape == (50, 3)  # a network it is
        return
    with pytest.raises(ValueError):  # noqa: PT011 - any text, but before any kernel
        CALLS[call](est, X, y)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_that_are_not_finite(solver, value, data):
    X, y = data
    est = MLPRegressor(**small(solver=solver, warm_start=True)).fit(X, y)
    theirs = neural_network.MLPRegressor(**small(solver=solver, warm_start=True))
    theirs.fit(X, y)
    est.coefs_[0][0, 0] = theirs.coefs_[0][0, 0] = value
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(est.predict(X), theirs.predict(X), rtol=1e-5)
    with pytest.raises(ValueError, match="non-finite"):
        est.fit(X, y)


@pytest.mark.parametrize("form", ["read-only", "unaligned", "big-endian", "Fortran", "list"])
def test_weights_in_other_forms(form, data):
    X, y = data
    expected = MLPClassifier(**small()).fit(X, y)
    est = MLPClassifier(**small()).fit(X, y)
    est.coefs_ = [FORMS[form](coef) for coef in est.coefs_]
    est.intercepts_ = tuple(FORMS[form](intercept) for intercept in est.intercepts_)
    np.testing.assert_array_equal(est.predict_proba(X), expected.predict_proba(X))
    assert_same_fit(est.partial_fit(X, y), expected.partial_fit(X, y), X)


WRONG_COEFS = {
    "too few": [np.ones((5, 4))],
    "too many": [np.ones((5, 4)), np.ones((4, 2)), np.ones((2, 2))],
    "none": [],
    "transposed": [np.ones((4, 5)), np.ones((2, 4))],
    "1-D": [np.ones(20), np.ones(8)],
    "ragged": [[[1.0], [1.0, 2.0]], np.ones((4, 2))],
    "NaN": [np.full((5, 4), np.nan), np.ones((4, 2))],
    "infinite": [np.full((5, 4), np.inf), np.ones((4, 2))],
    "text": [np.full((5, 4), "a"), np.ones((4, 2))],
    "complex": [np.full((5, 4), 1j), np.ones((4, 2))],
    "an array": np.ones((5, 4)),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("wrong", WRONG_COEFS)
def test_wrong_coefs_init(wrong, solver, regression):
    est = MLPRegressor(**small(solver=solver))
    with pytest.raises(ValueError):  # noqa: PT011
        est.fit(*regression, coefs_init=WRONG_COEFS[wrong])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "wrong",
    [
        [np.ones(4)],
        [np.ones(4), np.ones(3)],
        [np.ones((1, 4)), np.ones((1, 2))],
        [1.0, 1.0],
        [np.full(4, np.nan), np.ones(2)],
        [np.ones(4), np.ones(2), np.ones(1)],
    ],
    ids=["too few", "wrong size", "2-D", "scalars", "NaN", "too many"],
)
def test_wrong_intercepts_init(wrong, solver, regression):
    est = MLPRegressor(**small(solver=solver))
    with pytest.raises(ValueError):  # noqa: PT011
        est.fit(*regression, intercepts_init=wrong)


# Sizes


SIZES = ["2**31", "(2**31, 2**31)", "2**62", "(2**62, 4)", "2**100"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on the address space is Linux's")
def test_hidden_layer_sizes_that_overflow():
    """In a process that may have 3 GB of addresses more, so that nothing large is allocated."""
    code = f"""
        import resource
        import numpy as np
        import cmlp
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 3 * 2**30, used + 3 * 2**30))
        X, y = np.eye(4), np.arange(4.0)
        for sizes in ({", ".join(SIZES)}):
            for solver, method in (("adam", "fit"), ("lbfgs", "fit"), ("sgd", "partial_fit")):
                est = cmlp.MLPRegressor(hidden_layer_sizes=sizes, solver=solver)
                try:
                    getattr(est, method)(X, y)
                except (ValueError, OverflowError, MemoryError) as error:
                    print(type(error).__name__)
    """
    out = output_of(code, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    assert len(out.split()) == 3 * len(SIZES), out


def test_network_that_is_too_large():
    coefs = [np.broadcast_to(np.int8(0), shape) for shape in ((4, 2**40), (2**40, 2**21))]
    with pytest.raises((ValueError, MemoryError)):
        Network(coefs)


def test_batch_size_of_2_to_the_62(data):
    X, y = data
    with pytest.warns(UserWarning, match="batch_size"):
        est = MLPClassifier(**small(batch_size=2**62)).fit(X, y)
    expected = MLPClassifier(**small(batch_size=50)).fit(X, y)
    assert_same_fit(est, expected, X)


def test_finite_values_whose_sum_overflows_are_predicted():
    """predict looks at the sum first; only validation proper may call values too large."""
    X = np.full((2, 3), 1.7e308)
    est = cmlp.MLPClassifier(max_iter=1).fit(np.eye(3), [0, 1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert est.predict(X).shape == (2,)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_weights_that_vanish_in_float32(solver):
    X, y = np.eye(4, dtype=np.float32), [0, 1, 0, 1]
    est = MLPClassifier(solver=solver, max_iter=2)
    if solver == "lbfgs":  # which computes in float64
        est.fit(X, y, sample_weight=np.full(4, 1e-60))
        return
    with pytest.raises(ValueError, match="at least one non-zero number"):
        est.fit(X, y, sample_weight=np.full(4, 1e-60))
    assert not hasattr(est, "coefs_")


def test_the_lists_of_a_network_cannot_be_replaced():
    net = Network([np.eye(2)])
    with pytest.raises(AttributeError):
        net.coefs = [np.zeros((2, 2))]
    with pytest.raises(AttributeError):
        net.intercepts = [np.zeros(2)]
    net.coefs[0][...] = 2  # in place is seen
    np.testing.assert_array_equal(net.forward(np.eye(2))[-1], np.full((2, 2), 2.0))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "make",
    [
        lambda y: y.astype(str),
        lambda y: y.astype(str).tolist(),
        lambda y: y.astype("S3"),
        lambda y: y.astype("datetime64[s]"),
        lambda y: np.c_[y, y].astype("U2"),
    ],
)
def test_targets_that_are_no_numbers(make, solver, data):
    """scikit-learn comes to subtract them."""
    X, y = data
    est = MLPRegressor(**small(solver=solver))
    with pytest.raises(ValueError, match="y must be an array of real numbers, got one of dtype"):
        est.fit(X, make(y))
    assert vars(est).keys() == vars(MLPRegressor()).keys()


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.coo_array, sp.csc_matrix])
def test_sparse_targets_of_a_regressor(kind, data):
    X, _ = data
    for y in (kind(X[:, :1]), kind(X[:, :2] > 0)):
        with pytest.raises(TypeError, match="Sparse data was passed for y, but dense data is req"):
            MLPRegressor(**small()).fit(X, y)


def test_classes_in_a_column(data):
    """Not the classes of several columns."""
    X, y = data
    est = MLPClassifier(**small()).partial_fit(X, y, classes=np.array([[0], [1]]))
    expected = MLPClassifier(**small()).partial_fit(X, y, classes=[0, 1])
    assert est.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(est.coefs_[0], expected.coefs_[0])


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("name", ["activation", "loss"])
def test_names_that_no_one_validates(kind, name, data):
    """partial_fit and predict of what is fitted."""
    X, y = data
    est = kind(**small()).fit(X, y).set_params(**{name: "wrong"})
    with pytest.raises(ValueError, match="There is no"):
        est.partial_fit(X, y)
    if name == "activation":
        with pytest.raises(ValueError, match="There is no activation or loss 'wrong'"):
            est.predict(X)
    est.set_params(**{name: getattr(kind(), name)}).partial_fit(X, y)


SAYS_NAMES = """
import cmlp

for kind in (cmlp.MLPClassifier, cmlp.MLPRegressor):
    for name in kind().get_params():
        try:
            kind().set_params(**{name: b"wrong"}).fit([[0.0], [1.0]], [0, 1])
        except (ValueError, TypeError) as error:
            print(error)
"""


@pytest.mark.slow
def test_names_are_listed_in_their_order():
    """Whatever the hashes of strings are: each parameter's error is the same in every process."""
    said = [output_of(SAYS_NAMES, PYTHONHASHSEED=str(seed)) for seed in range(3)]
    assert said[0] == said[1] == said[2]
    lines = [line for line in said[0].splitlines() if "a str among" in line]
    assert {line.split()[1] for line in lines} >= {
        "'activation'",
        "'scoring'",
        "'loss'",
        "'dtype'",
    }
    assert len(lines) > 10
    for line in lines:
        names = re.findall(r"'(\w+)'", line.partition("among {")[2].partition("}")[0])
        assert names == sorted(names)


def test_the_output_activation_of_a_fit_that_goes_on(data):
    """Its attribute is no parameter: the error names the one that is."""
    X, y = data
    for params, call in (({}, "partial_fit"), ({"warm_start": True}, "fit")):
        est = MLPRegressor(**small(**params)).fit(X, y)
        est.out_activation_ = "logistic"
        with pytest.raises(ValueError, match="to keep it, set out_activation='logistic'"):
            getattr(est, call)(X, y)
        getattr(est.set_params(out_activation="logistic"), call)(X, y)
        assert est.out_activation_ == "logistic"
    clf = MLPClassifier(**small()).fit(X, y)
    clf.out_activation_ = "softmax"
    with pytest.raises(ValueError, match=r"To change it, fit without warm_start\.$"):
        clf.partial_fit(X, y)


@pytest.mark.parametrize("bad", [None, 3, "abc", [0, 1]])
def test_score_of_what_is_no_y(bad):
    """The error of scikit-learn, of the same type and in its words."""
    pair = [
        package.MLPClassifier(max_iter=2, random_state=0) for package in (cmlp, neural_network)
    ]
    errors = []
    rows = np.arange(20.0).reshape(10, 2)
    for est in pair:
        est.fit(rows, np.arange(10) % 2)
        with pytest.raises((ValueError, TypeError)) as error:
            est.score(rows, bad)
        errors.append((type(error.value), str(error.value)))
    assert errors[0] == errors[1]
