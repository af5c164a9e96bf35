"""The dense and sparse products of the engine against NumPy: every dtype, transposition, size,
stride and alignment, with sentinels around what is read and what is written."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from scripts import run

SIZES = range(1, 34)


def guarded(array, dtype):
    """A copy in the middle of NaNs, one element off a 64-byte boundary, and its whole buffer.

    A kernel that reads beyond the array and uses what it finds yields NaN.
    """
    array = np.asarray(array, dtype=dtype)
    pad = 64
    buffer = np.full(array.size + 3 * pad, np.nan, dtype=dtype)
    start = pad + (-buffer[pad:].ctypes.data % 64) // buffer.itemsize + 1
    inside = buffer[start : start + array.size].reshape(array.shape)
    inside[...] = array
    return inside, buffer


def untouched(inside, buffer):
    return np.isnan(buffer).sum() == buffer.size - inside.size


def bound(terms, magnitude, dtype):
    """How far a sum of so many products may be from the exact one, in any order of summation."""
    return (terms + 2) * np.finfo(dtype).eps * magnitude


def normal(seed, shape, dtype):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def layouts(array):
    """The same matrix in other memory layouts."""
    wide = np.zeros((2 * array.shape[0], 3 * array.shape[1]), dtype=array.dtype)
    wide[::2, ::3] = array
    backwards = np.ascontiguousarray(array[::-1, ::-1])
    frozen = array.copy()
    frozen.flags.writeable = False
    return {
        "fortran": np.asfortranarray(array),
        "strided": wide[::2, ::3],
        "negative": backwards[::-1, ::-1],
        "off-64": guarded(array, array.dtype)[0],
        "read-only": frozen,
        "broadcast rows": np.broadcast_to(array[:1], array.shape),
        "broadcast columns": np.broadcast_to(array[:, :1], array.shape),
    }


LAYOUTS = list(layouts(np.zeros((2, 2))))


class TestDot:
    def test_sizes(self, kernels, dtype):
        for n in [*SIZES, 100, 1000, 4099]:
            x, _ = guarded(normal(n, n, dtype), dtype)
            y, _ = guarded(normal(n + 1, n, dtype), dtype)
            exact = x.astype(np.float64) @ y.astype(np.float64)
            limit = bound(n, np.abs(x).astype(np.float64) @ np.abs(y), dtype)
            assert abs(kernels.dot(x, y) - exact) <= limit, n

    def test_read_only(self, kernels, dtype):
        x = np.ones(5, dtype=dtype)
        x.flags.writeable = False
        assert kernels.dot(x, x) == 5

    def test_misuse(self, kernels, dtype):
        x = np.ones(5, dtype=dtype)
        with pytest.raises(ValueError, match="shapes"):
            kernels.dot(x, x[:4])
        with pytest.raises(ValueError, match="shapes"):
            kernels.dot(x[:0], x[:0])
        with pytest.raises(ValueError, match="contiguous"):
            kernels.dot(x[::2], x[::2])


def check_gemm(engine, dtype, m, n, k, trans_b, bias, accumulate, source):
    """One product against the corner of the large ones in source."""
    a, b, start, row, exact, magnitude = source
    right = b[:k, :n].T if trans_b else b[:k, :n]
    out, buffer = guarded(start[:m, :n], dtype)
    engine.gemm(
        a[:m, :k],
        guarded(right, dtype)[0],
        out,
        guarded(row[:n], dtype)[0] if bias else None,
        trans_b,
        accumulate,
    )
    expected = exact[:m, :n] + bias * row[:n].astype(np.float64) + accumulate * start[:m, :n]
    limit = bound(k, magnitude[:m, :n] + np.abs(row[:n]) + np.abs(start[:m, :n]), dtype)
    where = (m, n, k, bias, accumulate)
    assert (np.abs(out - expected) <= limit).all(), where
    assert untouched(out, buffer), where


def gemm_source(m, n, k, dtype):
    a, b = normal(0, (m, k), dtype), normal(1, (k, n), dtype)
    start, row = normal(2, (m, n), dtype), normal(3, n, dtype)
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    return a, b, start, row, a64 @ b64, np.abs(a64) @ np.abs(b64)


@pytest.mark.parametrize("trans_b", [False, True])
class TestGemm:
    @pytest.mark.slow
    @pytest.mark.parametrize("k", [1, 3, 8, 33])
    def test_small_sizes(self, engine, dtype, trans_b, k):
        source = gemm_source(33, 33, k, dtype)
        for m, n in itertools.product(SIZES, SIZES):
            for bias, accumulate in itertools.product([False, True], repeat=2):
                check_gemm(engine, dtype, m, n, k, trans_b, bias, accumulate, source)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("m", "n", "k"),
        [
            *itertools.product([5, 121, 250], [193, 513], [129, 257, 513]),
            (33, 1030, 5),
            (33, 5, 1030),
            (500, 5, 33),
            (48, 192, 128),
            (120, 512, 256),
            (47, 191, 127),
            (119, 511, 255),
        ],
    )
    def test_beyond_the_blocks(self, engine, dtype, trans_b, m, n, k):
        source = gemm_source(m, n, k, dtype)
        for bias, accumulate in [(False, False), (True, True)]:
            check_gemm(engine, dtype, m, n, k, trans_b, bias, accumulate, source)

    @pytest.mark.slow
    @pytest.mark.parametrize("k", [1, 2, 33, 700])
    def test_rows_and_columns_alone_have_the_same_bits(self, engine, dtype, trans_b, k):
        """Whatever tile an element is in: some compilers fuse multiply and add in some only."""
        a, b, _, bias, _, _ = gemm_source(33, 33, k, dtype)

        def product(rows, columns):
            right = b[:, columns].T if trans_b else b[:, columns]
            c = np.empty((len(a[rows]), len(bias[columns])), dtype)
            engine.gemm(a[rows], np.ascontiguousarray(right), c, bias[columns], trans_b)
            return c

        whole = product(slice(None), slice(None))
        for size in range(1, 33):
            for part in (slice(size), slice(33 - size, None)):
                np.testing.assert_array_equal(product(part, slice(None)), whole[part])
                np.testing.assert_array_equal(product(slice(None), part), whole[:, part])
                np.testing.assert_array_equal(product(part, part), whole[part, part])

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_layouts_of_a(self, engine, dtype, trans_b, layout):
        for m, n, k in [(1, 9, 5), (7, 17, 13), (50, 200, 30)]:
            a = layouts(normal(0, (m, k), dtype))[layout]
            b = normal(1, (n, k) if trans_b else (k, n), dtype)
            b.flags.writeable = False
            c = np.full((m, n), np.nan, dtype=dtype)
            engine.gemm(a, b, c, trans_b=trans_b)
            right = (b.T if trans_b else b).astype(np.float64)
            limit = bound(k, np.abs(a.astype(np.float64)) @ np.abs(right), dtype)
            assert (np.abs(c - a.astype(np.float64) @ right) <= limit).all()

    def test_not_finite_stays_in_its_row_and_column(self, engine, dtype, trans_b):
        a, b = np.ones((9, 6), dtype=dtype), np.ones((6, 21), dtype=dtype)
        a[4, 2] = np.nan
        b[3, 20] = np.inf
        c = np.empty((9, 21), dtype=dtype)
        engine.gemm(a, np.ascontiguousarray(b.T) if trans_b else b, c, trans_b=trans_b)
        np.testing.assert_array_equal(c, a @ b)

    def test_misuse(self, engine, dtype, trans_b):
        def call(a, b, c, bias=None):
            arrays = [np.ones(shape, dtype=dtype) for shape in (a, b, c)]
            row = None if bias is None else np.ones(bias, dtype=dtype)
            engine.gemm(*arrays, row, trans_b)

        fits = (4, 3) if trans_b else (3, 4)
        call((2, 3), fits, (2, 4), 4)
        wrong = [
            ((2, 3), fits, (2, 5)),
            ((2, 3), fits, (3, 4)),
            ((2, 5), fits, (2, 4)),
            ((2, 3), fits, (2, 4), 3),
            ((2, 3), fits[::-1], (2, 4)),
            ((0, 3), fits, (0, 4)),
            ((2, 0), (4, 0) if trans_b else (0, 4), (2, 4)),
            ((2, 3), (0, 3) if trans_b else (3, 0), (2, 0)),
        ]
        for shapes in wrong:
            with pytest.raises(ValueError, match="shapes"):
                call(*shapes)

    def test_wrong_kinds_of_arrays(self, engine, dtype, trans_b):
        a, c = np.ones((3, 3), dtype=dtype), np.ones((3, 3), dtype=dtype)
        other = a.astype("float32" if dtype == "float64" else "float64")
        frozen = c.copy()
        frozen.flags.writeable = False
        for arguments in [
            (a, other, c),
            (a, a, c.T[:, ::-1]),
            (a, a, frozen),
            (a.astype(int), a, c),
        ]:
            with pytest.raises((ValueError, TypeError)):
                engine.gemm(*arguments, None, trans_b)


class TestVectorKernels:
    def test_gemv(self, kernels, dtype):
        a, b, _, row, exact, magnitude = gemm_source(1, 33, 33, dtype)
        for k, n in itertools.product(SIZES, SIZES):
            exact = a[0, :k].astype(np.float64) @ b[:k, :n]
            magnitude = np.abs(a[0, :k]).astype(np.float64) @ np.abs(b[:k, :n]) + np.abs(row[:n])
            for bias in (False, True):
                z, buffer = guarded(np.full(n, np.nan), dtype)
                x = guarded(a[0, :k], dtype)[0]
                right = guarded(b[:k, :n], dtype)[0]
                kernels.gemv(x, right, z, guarded(row[:n], dtype)[0] if bias else None)
                expected = exact + bias * row[:n]
                assert (np.abs(z - expected) <= bound(k, magnitude, dtype)).all(), (k, n, bias)
                assert untouched(z, buffer)

    def test_gemv_large_and_sparse_input(self, kernels, dtype):
        x, b = normal(0, 1037, dtype), normal(1, (1037, 301), dtype)
        x[100:900] = 0
        x[[500, 601, 702, 803]] = 1  # one of four stored values is enough, whichever it is
        z = np.empty(301, dtype=dtype)
        kernels.gemv(x, b, z)
        magnitude = np.abs(x).astype(np.float64) @ np.abs(b)
        assert (np.abs(z - x.astype(np.float64) @ b) <= bound(1037, magnitude, dtype)).all()

    @pytest.mark.parametrize("step", [-3, -1, 1, 2])
    def test_strides_of_x(self, kernels, dtype, step):
        x, b = normal(0, 40, dtype)[::step], normal(1, (40, 7), dtype)
        x, b = x[:11], b[:11]
        x.flags.writeable = b.flags.writeable = False
        z = np.empty(7, dtype=dtype)
        kernels.gemv(x, b, z)
        np.testing.assert_allclose(z, x @ b, rtol=20 * np.finfo(dtype).eps, atol=1e-6)

    @pytest.mark.parametrize("accumulate", [False, True])
    def test_column_sums(self, engine, dtype, accumulate):
        a, start = normal(0, (700, 33), dtype), normal(1, 33, dtype)
        for m, n in [*itertools.product(SIZES, SIZES), (512, 10), (700, 33)]:
            out, buffer = guarded(start[:n] if accumulate else np.full(n, np.nan), dtype)
            engine.column_sums(guarded(a[:m, :n], dtype)[0], out, accumulate)
            exact = a[:m, :n].sum(axis=0, dtype=np.float64) + accumulate * start[:n]
            limit = bound(m, np.abs(a[:m, :n]).sum(axis=0) + np.abs(start[:n]), dtype)
            assert (np.abs(out - exact) <= limit).all(), (m, n)
            assert untouched(out, buffer)

    def test_strides_between_elements(self, engine, kernels, dtype):
        records = np.zeros((4, 3), dtype=[("x", dtype), ("flag", np.int8)])["x"]
        b, c = np.ones((3, 2), dtype=dtype), np.ones((4, 2), dtype=dtype)
        with pytest.raises(ValueError, match="trides"):
            engine.gemm(records, b, c)
        with pytest.raises(ValueError, match="trides"):
            kernels.gemv(records[0], b, c[0])

    def test_no_rows_sum_to_zero(self, engine, dtype):
        out = np.full(3, np.nan, dtype=dtype)
        engine.column_sums(np.empty((0, 3), dtype=dtype), out)
        np.testing.assert_array_equal(out, 0)

    def test_misuse(self, engine, kernels, dtype):
        def array(*shape):
            return np.ones(shape, dtype=dtype)

        for kernel, arguments in [
            (kernels.gemv, (array(3), array(4, 5), array(5))),
            (kernels.gemv, (array(4), array(4, 5), array(4))),
            (kernels.gemv, (array(4), array(4, 5), array(5), array(4))),
            (kernels.gemv, (array(0), array(0, 5), array(5))),
            (kernels.gemv, (array(4), array(4, 0), array(0))),
            (engine.column_sums, (array(4, 5), array(4))),
        ]:
            with pytest.raises(ValueError, match="shapes"):
                kernel(*arguments)


def csr(X, index_dtype, scrambled=False):
    """X as CSR; scrambled: rows not sorted, every value stored as two halves."""
    matrix = sp.csr_matrix(X)
    if scrambled:
        data = np.concatenate([matrix.data / 2, matrix.data / 2])
        rows = np.tile(np.repeat(np.arange(X.shape[0]), np.diff(matrix.indptr)), 2)
        columns = np.tile(matrix.indices, 2)
        order = np.random.default_rng(0).permutation(len(data))
        order = order[np.argsort(rows[order], kind="stable")]
        matrix = sp.csr_matrix(
            (data[order], columns[order], 2 * matrix.indptr), shape=X.shape, dtype=X.dtype
        )
    matrix.indices = matrix.indices.astype(index_dtype)
    matrix.indptr = matrix.indptr.astype(index_dtype)
    return matrix


ORDERS = {
    "all": None,
    "reversed": np.arange(12)[::-1].copy(),
    "repeated": np.array([3, 3, 0, 11, 3], dtype=np.intp),
    "one": np.array([7], dtype=np.intp),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
class TestAffineAndCoefGradient:
    """The two products with X, rows chosen by an order."""

    def check(self, engine, X, dense, order):
        dtype = X.dtype
        rows = dense if order is None else dense[order]
        for n in (1, 5, 16, 33):
            coef, delta = normal(1, (X.shape[1], n), dtype), normal(2, (len(rows), n), dtype)
            row = normal(3, n, dtype)
            for array in (coef, delta, row):
                array.flags.writeable = False
            data = engine.Dataset(X)
            tolerance = {"rtol": 0, "atol": 40 * X.shape[1] * np.finfo(dtype).eps}
            for intercept in (None, row):
                out, buffer = guarded(np.full((len(rows), n), np.nan), dtype)
                engine.affine(data, coef, intercept, out, order)
                expected = rows.astype(np.float64) @ coef + (0 if intercept is None else row)
                np.testing.assert_allclose(out, expected, **tolerance)
                assert untouched(out, buffer)
            grad, buffer = guarded(np.full((X.shape[1], n), np.nan), dtype)
            engine.coef_gradient(data, delta, grad, order)
            np.testing.assert_allclose(grad, rows.T.astype(np.float64) @ delta, **tolerance)
            assert untouched(grad, buffer)

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_dense(self, engine, dtype, order, layout):
        X = layouts(normal(0, (12, 9), dtype))[layout]
        self.check(engine, X, X, order)

    @pytest.mark.parametrize("scrambled", [False, True])
    @pytest.mark.parametrize("index_dtype", ["int32", "int64"])
    def test_csr(self, engine, dtype, order, index_dtype, scrambled):
        X = normal(0, (12, 9), dtype)
        X[np.random.default_rng(1).random(X.shape) < 0.6] = 0
        X[[3, 11]] = 0
        self.check(engine, csr(X, index_dtype, scrambled), X, order)

    def test_csr_without_values(self, engine, dtype, order):
        X = np.zeros((12, 9), dtype=dtype)
        self.check(engine, sp.csr_matrix(X), X, order)

    def test_csr_array_with_mixed_index_dtypes(self, engine, dtype, order):
        X = sp.csr_array(np.eye(12, 9, dtype=dtype))
        X.indptr = X.indptr.astype(np.int64)
        X.data.flags.writeable = X.indices.flags.writeable = X.indptr.flags.writeable = False
        self.check(engine, X, X.toarray(), order)


class TestDataset:
    def test_other_sparse_formats(self, engine, dtype):
        """A square CSC matrix would pass for its transpose."""
        for form in ("csc", "bsr"):
            with pytest.raises(TypeError, match=form):
                engine.Dataset(sp.eye(3, dtype=dtype, format=form))

    def test_memmap(self, engine, dtype, tmp_path):
        X = normal(0, (30, 5), dtype)
        X.tofile(tmp_path / "X")
        mapped = np.memmap(tmp_path / "X", dtype=dtype, mode="r", shape=X.shape)
        out = np.empty((30, 2), dtype=dtype)
        coef = normal(1, (5, 2), dtype)
        engine.affine(engine.Dataset(mapped), coef, None, out)
        np.testing.assert_allclose(out, X @ coef, atol=1e-5)

    def test_keeps_its_arrays_alive(self, engine, dtype):
        data = engine.Dataset(csr(np.eye(50, dtype=dtype), "int64"))
        clutter = [np.full(50, np.nan, dtype=dtype) for _ in range(100)]
        out = np.empty((50, 50), dtype=dtype)
        engine.affine(data, np.eye(50, dtype=dtype), None, out)
        np.testing.assert_array_equal(out, np.eye(50))
        assert len(clutter) == 100
        assert len(data) == 50

    @pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), (2, 2, 2)])
    def test_shapes(self, engine, dtype, shape):
        with pytest.raises(ValueError, match="rows and columns"):
            engine.Dataset(np.ones(shape, dtype=dtype))

    @pytest.mark.parametrize("bad", ["int64", "bool", "object", "float16", "complex128"])
    def test_dtypes(self, engine, bad):
        with pytest.raises(TypeError, match="float32 or float64"):
            engine.Dataset(np.ones((3, 3)).astype(bad))
        with pytest.raises(TypeError, match="float32 or float64"):
            engine.Dataset(np.ones((3, 3), dtype=np.dtype("float64").newbyteorder()))

    def test_misaligned(self, engine, dtype):
        raw = np.zeros(9 * np.dtype(dtype).itemsize + 1, dtype=np.uint8)
        with pytest.raises(ValueError, match="aligned"):
            engine.Dataset(raw[1:].view(dtype).reshape(3, 3))

    def test_strides_between_elements(self, engine, dtype):
        records = np.zeros((4, 3), dtype=[("x", dtype), ("flag", np.int8)])
        with pytest.raises(ValueError, match="strides"):
            engine.Dataset(records["x"])

    @pytest.mark.parametrize("sparse", [False, True])
    def test_order_out_of_bounds(self, engine, dtype, sparse):
        X = np.eye(3, dtype=dtype)
        data = engine.Dataset(sp.csr_matrix(X) if sparse else X)
        square = np.ones((3, 3), dtype=dtype)
        for bad in ([0, 1, 3], [-1, 0, 1], [0, 2**62, 1]):
            order = np.array(bad, dtype=np.intp)
            with pytest.raises(ValueError, match="out of bounds"):
                engine.affine(data, square, None, square.copy(), order)
            with pytest.raises(ValueError, match="out of bounds"):
                engine.coef_gradient(data, square, square.copy(), order)

    @pytest.mark.parametrize("sparse", [False, True])
    def test_misuse_of_the_products(self, engine, dtype, sparse):
        X = np.eye(4, 3, dtype=dtype)
        data = engine.Dataset(sp.csr_matrix(X) if sparse else X)

        def array(*shape):
            return np.ones(shape, dtype=dtype)

        empty = np.empty(0, dtype=np.intp)
        for kernel, arguments in [
            (engine.affine, (array(4, 2), None, array(4, 2))),
            (engine.affine, (array(3, 2), None, array(3, 2))),
            (engine.affine, (array(3, 2), None, array(4, 3))),
            (engine.affine, (array(3, 2), array(3), array(4, 2))),
            (engine.affine, (array(3, 2), None, array(4, 2), np.arange(3))),
            (engine.affine, (array(3, 0), None, array(4, 0))),
            (engine.affine, (array(3, 2), None, array(0, 2), empty)),
            (engine.coef_gradient, (array(3, 2), array(3, 2))),
            (engine.coef_gradient, (array(4, 2), array(4, 2))),
            (engine.coef_gradient, (array(4, 2), array(3, 3))),
            (engine.coef_gradient, (array(4, 2), array(3, 2), np.arange(3))),
            (engine.coef_gradient, (array(0, 2), array(3, 2), empty)),
        ]:
            with pytest.raises(ValueError, match="shapes"):
                kernel(data, *arguments)

    def test_dtypes_must_agree(self, engine, dtype):
        other = np.ones((3, 3), dtype="float32" if dtype == "float64" else "float64")
        data = engine.Dataset(np.eye(3, dtype=dtype))
        with pytest.raises(ValueError, match="float"):
            engine.affine(data, other, None, other.copy())
        with pytest.raises(ValueError, match="float"):
            engine.coef_gradient(data, other, other.copy())

    def test_none_instead_of_a_dataset(self, engine, dtype):
        square = np.ones((3, 3), dtype=dtype)
        with pytest.raises(TypeError):
            engine.affine(None, square, None, square.copy())
        with pytest.raises(TypeError):
            engine.coef_gradient(None, square, square.copy())

    def test_tampered_csr(self, engine, dtype):
        def matrix():
            return csr(np.eye(4, 3, dtype=dtype), "int32")

        for attribute, value in [
            ("indices", [0, 1, 3]),
            ("indices", [0, -1, 2]),
            ("indices", [0, 1]),
            ("indptr", [0, 1, 2, 3]),
            ("indptr", [0, 2, 1, 3, 3]),
            ("indptr", [-1, 1, 2, 3, 3]),
            ("indptr", [0, 1, 2, 3, 9]),
        ]:
            X = matrix()
            setattr(X, attribute, np.array(value, dtype=np.int32))
            with pytest.raises(ValueError, match=r"indptr|indices"):
                engine.Dataset(X)
        X = matrix()
        X.data = X.data[:2]
        with pytest.raises(ValueError, match="indptr"):
            engine.Dataset(X)


def test_a_matrix_that_does_not_fit_is_named(kernels):
    if not kernels.CHECKED:
        pytest.skip("only debug builds and those for the sanitizers look at shapes again")
    done = run(f"import {kernels.__name__} as kernels; kernels.unfit_product()")
    assert done.returncode != 0
    assert "gemm: B must have the columns of C" in done.stderr
