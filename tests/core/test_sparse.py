"""The products with rows without zeros, CSR or compressed from dense rows, against NumPy; and
whole networks on them against the twin and scikit-learn."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import neural_network
from test_engine import Problem
from test_linalg import bound, guarded, normal, untouched

import cmlp

WIDTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 50, 64, 100, 130, 300]
STORAGES = ["csr", "csr64", "dense", "fortran"]


def mostly_zero(seed, shape, dtype, density=0.2):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape).astype(dtype)
    X[rng.random(shape) >= density] = 0
    return X


def stored(X, storage):
    """The same matrix as `storage` says."""
    if storage == "dense":
        return X
    if storage == "fortran":
        return np.asfortranarray(X)
    X = sp.csr_matrix(X)
    if storage == "csr64":
        X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def check_products(engine, X, dense, n, dtype, order=None, seed=0, **keywords):
    """affine and coef_gradient for X, whose elements are `dense`."""
    rows, k = dense.shape if order is None else (len(order), dense.shape[1])
    taken = (dense if order is None else dense[order]).astype(np.float64)
    data = engine.Dataset(X)
    coef, _ = guarded(normal(seed, (k, n), dtype), dtype)
    bias, _ = guarded(normal(seed + 1, n, dtype), dtype)
    for intercept in (None, bias):
        out, buffer = guarded(np.zeros((rows, n)), dtype)
        engine.affine(data, coef, intercept, out, order, True)
        assert untouched(out, buffer)
        start = 0 if intercept is None else intercept
        limit = bound(k, np.abs(taken) @ np.abs(coef) + np.abs(start), dtype)
        assert (np.abs(out - (taken @ coef + start)) <= limit).all()

    delta, _ = guarded(normal(seed + 2, (rows, n), dtype), dtype)
    limit = bound(rows, np.abs(taken).T @ np.abs(delta), dtype)
    for accumulate in (False, True):
        grad, buffer = guarded(np.full((k, n), 0.5), dtype)
        engine.coef_gradient(data, delta, grad, order, True, accumulate, **keywords)
        assert untouched(grad, buffer)
        start = 0.5 * accumulate
        magnitude = limit + np.finfo(dtype).eps * start
        assert (np.abs(grad - (taken.T @ delta + start)) <= magnitude).all()
    return out, grad


class TestProducts:
    @pytest.mark.slow
    @pytest.mark.parametrize("storage", STORAGES)
    @pytest.mark.parametrize("n", WIDTHS)
    def test_widths(self, engine, dtype, n, storage):
        dense = mostly_zero(n, (37, 45), dtype)
        check_products(engine, stored(dense, storage), dense, n, dtype)

    @pytest.mark.slow
    @pytest.mark.parametrize("storage", STORAGES)
    @pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 1), (3, 8), (20, 7), (65, 33)])
    @pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 1.0])
    def test_shapes_and_densities(self, engine, dtype, shape, density, storage):
        dense = mostly_zero(3, shape, dtype, density)
        check_products(engine, stored(dense, storage), dense, 10, dtype)

    @pytest.mark.parametrize("storage", STORAGES)
    def test_order(self, engine, dtype, storage):
        dense = mostly_zero(4, (50, 30), dtype)
        order = np.random.default_rng(0).permutation(50)[:40]
        check_products(engine, stored(dense, storage), dense, 12, dtype, order)
        # indices may occur more than once, the longest row in particular
        longest = np.count_nonzero(dense, axis=1).argmax()
        check_products(engine, stored(dense, storage), dense, 12, dtype, np.full(60, longest))

    @pytest.mark.slow
    @pytest.mark.parametrize("storage", STORAGES)
    @pytest.mark.parametrize("n", [100, 300])
    def test_several_pieces(self, engine, dtype, n, storage):
        """Rows and columns with so many entries that sums are cut into pieces."""
        dense = mostly_zero(5, (400, 500), dtype, 0.25)
        check_products(engine, stored(dense, storage), dense, n, dtype)

    @pytest.mark.slow
    @pytest.mark.parametrize("storage", STORAGES)
    def test_slabs(self, engine, dtype, storage):
        """Any part of the gradient has the same bits, found by however many threads."""
        dense = mostly_zero(6, (300, 100), dtype, 0.3)
        X = stored(dense, storage)
        whole = check_products(engine, X, dense, 33, dtype)[1]
        for slab, share in [(1, 1), (7, 7), (7, 21), (48, 96), (64, 0), (100, 0)]:
            part = check_products(engine, X, dense, 33, dtype, slab=slab, share=share)[1]
            assert_array_equal(part, whole)

    @pytest.mark.parametrize("n", [1, 7, 33])
    def test_unsorted_repeated_and_stored_zeros(self, engine, dtype, n):
        indices = np.array([4, 0, 4, 2, 1, 1, 1, 3], dtype=np.int32)
        values = np.array([1, 2, 3, 0, 0.5, -0.5, 4, 0], dtype=dtype)
        indptr = np.array([0, 4, 4, 7, 8], dtype=np.int32)
        X = sp.csr_matrix((values, indices, indptr), shape=(4, 6))
        check_products(engine, X, X.toarray(), n, dtype)

    @pytest.mark.parametrize("storage", STORAGES)
    def test_lines_of_zeros(self, engine, dtype, storage):
        dense = mostly_zero(7, (40, 40), dtype)
        dense[[0, 5, 6, 39]] = 0
        dense[:, [0, 1, 17, 38, 39]] = 0
        _, grad = check_products(engine, stored(dense, storage), dense, 17, dtype)
        assert_array_equal(grad[[0, 1, 17, 38, 39]], 0.5)  # as it was

    def test_what_counts_as_zero(self, engine, dtype):
        """Both zeros are dropped; NaN, infinities and denormals are not."""
        tiny = np.finfo(dtype).smallest_subnormal
        row = np.array([[0.0, -0.0, np.nan, np.inf, -np.inf, tiny, 1.0] * 3], dtype=dtype)
        X = np.repeat(row, 2, axis=0)
        data = engine.Dataset(X)
        for j in range(X.shape[1]):
            coef = np.zeros((X.shape[1], 1), dtype=dtype)
            coef[j] = 2
            grad = np.zeros((X.shape[1], 1), dtype=dtype)
            delta = np.ones((2, 1), dtype=dtype)
            engine.coef_gradient(data, delta, grad, None, True)
            assert_array_equal(grad[:, 0], X.sum(axis=0))
        coef = np.full((X.shape[1], 1), np.inf, dtype=dtype)
        out = np.empty((2, 1), dtype=dtype)
        engine.affine(engine.Dataset(np.zeros_like(X)), coef, None, out, None, True)
        assert_array_equal(out, 0)

    @pytest.mark.parametrize("n", [1, 7, 33, 100, 300])
    @pytest.mark.parametrize("rows", [5, 200])
    def test_the_bits_of_the_dense_products(self, engine, dtype, n, rows):
        dense = mostly_zero(12, (rows, 90), dtype)
        data = engine.Dataset(dense)
        coef, bias = normal(0, (90, n), dtype), normal(1, n, dtype)
        delta = normal(2, (rows, n), dtype)
        out, grad = np.empty((2, rows, n), dtype), np.empty((2, 90, n), dtype)
        for skip_zeros in (False, True):
            engine.affine(data, coef, bias, out[int(skip_zeros)], None, skip_zeros)
            engine.coef_gradient(data, delta, grad[int(skip_zeros)], None, skip_zeros)
        assert_array_equal(*out)
        assert_array_equal(*grad)


class TestNetworks:
    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    @pytest.mark.parametrize("hidden", [(), (5,), (40, 9)])
    def test_dense_rows_with_many_zeros(self, engine, dtype, activation, hidden):
        """Above and below the density at which zeros are dropped, the twin's numbers."""
        for kept in (0.0, 0.1, 0.9):
            problem = Problem(
                engine,
                dtype,
                (30, *hidden, 2),
                (*[activation] * len(hidden), "identity"),
                n_samples=150,
            )
            dense = mostly_zero(8, (150, 30), dtype, kept)
            problem.dense = problem.X = dense
            problem.data = engine.Dataset(dense, problem.y)
            problem.check_gradient(alpha=0.1)
            problem.check_predict()
            orders = [np.random.default_rng(i).permutation(150) for i in range(2)]
            problem.check_epochs("adam", 64, orders)
            problem.check_epochs("sgd", 150)

    @pytest.mark.slow
    @pytest.mark.parametrize("order", [None, 100])
    def test_dense_and_csr_in_slabs(self, engine, dtype, order):
        """Enough weights for several slabs of the first layer."""
        trained = []
        for storage in ("dense", "csr", "csr64"):
            problem = Problem(engine, dtype, (300, 60, 2), ("relu", "identity"), n_samples=100)
            dense = mostly_zero(9, (100, 300), dtype, 0.05)
            problem.dense = dense
            problem.data = engine.Dataset(stored(dense, storage), problem.y)
            orders = [order and np.random.default_rng(0).permutation(order)]
            trained.append(problem.check_epochs("adam", 30, orders))
        assert_array_equal(trained[1], trained[2])

    def test_long_rows_twice_in_a_batch(self, engine, dtype):
        dense = np.zeros((600, 40), dtype=dtype)
        dense[0] = 1
        dense[:, 0] = 1
        problem = Problem(engine, dtype, (40, 3), ("identity",), n_samples=600)
        problem.data = engine.Dataset(sp.csr_matrix(dense), problem.y)
        arguments = problem.epoch_arguments("sgd", 300, np.zeros(600, dtype=np.intp), 0.0)
        with pytest.raises(ValueError, match="twice"):
            engine.train_epoch(*arguments.values())


def compare(ours, theirs, X, y, **parameters):
    """Both fitted to the same data from the same seed."""
    parameters = {"hidden_layer_sizes": (20,), "max_iter": 15, "random_state": 0, **parameters}
    return ours(**parameters).fit(X, y), theirs(**parameters).fit(X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
class TestEstimators:
    @pytest.mark.parametrize("storage", STORAGES)
    @pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
    def test_as_scikit_learn(self, solver, storage):
        dense = mostly_zero(10, (300, 40), np.float64)
        y = (dense @ np.arange(40) > 0) + (dense[:, 0] > 0)
        ours, theirs = compare(
            cmlp.MLPClassifier,
            neural_network.MLPClassifier,
            stored(dense, storage),
            y,
            solver=solver,
        )
        assert_allclose(ours.loss_, theirs.loss_, rtol=1e-8)
        for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
            assert_allclose(a, b, rtol=1e-6, atol=1e-8)
        for X in (dense, sp.csr_matrix(dense), dense[:1]):
            assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6)

    def test_one_hot_columns(self):
        rng = np.random.default_rng(0)
        dense = np.eye(12)[rng.integers(0, 12, size=(200, 3))].reshape(200, 36)
        y = dense @ rng.normal(size=36)
        ours, theirs = compare(cmlp.MLPRegressor, neural_network.MLPRegressor, dense, y)
        assert_allclose(ours.predict(dense), theirs.predict(dense), rtol=1e-7)

    def test_deterministic(self):
        X = mostly_zero(11, (300, 40), np.float32)
        y = X.argmax(axis=1) % 3
        twice = [
            cmlp.MLPClassifier(max_iter=5, random_state=0).fit(X, y).predict_proba(X)
            for _ in range(2)
        ]
        assert_array_equal(*twice)

    def test_zeros_only(self):
        X = np.zeros((50, 10))
        y = np.arange(50) % 2
        ours, theirs = compare(cmlp.MLPClassifier, neural_network.MLPClassifier, X, y)
        assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-8)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs", "sgd"])
@pytest.mark.parametrize("convert", [None, "float32", "float64"])
@pytest.mark.parametrize("dropout", [0.0, [0.5, 0.0]])
def test_matrix_without_entries(dtype, solver, convert, dropout):
    """Nothing is read of arrays that have no memory."""
    if dropout and solver == "lbfgs":
        return
    X, y = sp.csr_matrix((20, 7), dtype=dtype), np.arange(20.0) % 3
    params = {"solver": solver, "dtype": convert, "dropout": dropout, "random_state": 0}
    pair = [
        cmlp.MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, batch_size=6, **params).fit(rows, y)
        for rows in (X, X.toarray())
    ]
    for one, other in zip(pair[0].coefs_, pair[1].coefs_, strict=True):
        assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert_allclose(pair[0].predict(X), pair[1].predict(X.toarray()), rtol=1e-5)
