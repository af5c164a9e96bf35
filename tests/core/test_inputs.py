"""Encodings of the columns of X and members that share a network, against a twin in NumPy."""

import numpy as np
import pytest

TOLERANCE = {"float32": 2e-4, "float64": 1e-10}
ENCODINGS = (
    ("identity", 0, 2, 0),
    ("piecewise_linear", 2, 5, 4),
    ("scale", 0, 3, 0),
    ("category", 3, 3, 6),
    ("linear_spline", 4, 2, 3),
    ("piecewise_linear", 4, 9, 3),
    ("piecewise_constant", 2, 3, 4),
)
N_COLUMNS, N_INPUTS = 5, 27


def table(X, n, kind, rng):
    """Columns in the range of a table, with ends, missing numbers, places between and beyond."""
    if kind == "category":
        return rng.integers(0, n, X.shape[0])
    u = rng.uniform(0, n, X.shape[0])
    special = [0, n, n + 1, 1, n - 1e-3, -0.5, n + 0.25, 2]
    u[: len(special)] = special[: X.shape[0]]
    return u


def one_hot_places(u, kind, levels):
    """Rows (n_samples, n_rows) such that their product with the parameters is the input."""
    if kind == "category":
        return np.eye(levels)[np.clip(u.astype(int), 0, levels - 1)]
    missing = u > levels
    u = np.clip(u, 0, levels)
    if kind == "piecewise_constant":
        rows = np.eye(levels + 1)[np.minimum(u.astype(int), levels - 1)]
        rows[missing] = np.eye(levels + 1)[levels]
        return rows
    if kind == "piecewise_linear":  # a constant, then ones, a fraction, zeros
        rows = np.clip(u[:, None] - np.arange(levels), 0, 1)
        rows = np.hstack([np.ones((len(u), 1)), rows])
    else:
        rows = np.maximum(0, 1 - abs(u[:, None] - np.arange(levels + 1)))
    rows[missing] = 0
    return np.hstack([rows, missing[:, None]])


class Twin:
    """The network of members in plain NumPy, in float64; tanh, then identity and squared error."""

    def __init__(self, units, encodings, n_members, fit_intercept=True):
        self.units, self.encodings, self.n_members = units, encodings, n_members
        self.fit_intercept = fit_intercept

    def shapes(self):
        top = len(self.units) - 2
        copies = [self.n_members if layer == top else 1 for layer in range(top + 1)]
        pairs = list(zip(self.units[:-1], self.units[1:], strict=True))
        coefs = [(c, *pair) for c, pair in zip(copies, pairs, strict=True)]
        rows = {"identity": (0, 0), "scale": (1, 0), "category": (0, 1)}
        rows["piecewise_constant"] = (1, 1)
        tables = []
        for kind, _, width, levels in self.encodings:
            fixed, per_level = rows.get(kind, (2, 1))
            tables.append((fixed + per_level * levels, width))
        scales = [(self.n_members, self.units[0])] if self.n_members > 1 else []
        biases = [(c, n) for c, n in zip(copies, self.units[1:], strict=True)]
        return coefs, tables, scales, biases

    def split(self, params):
        groups, at = [], 0
        for shapes in self.shapes():
            arrays = []
            for shape in shapes:
                size = int(np.prod(shape))
                arrays.append(params[at : at + size].reshape(shape))
                at += size
            groups.append(arrays)
        assert at == len(params)
        return groups

    def starts(self):
        coefs, tables, scales, biases = ([int(np.prod(s)) for s in g] for g in self.shapes())
        coef_starts = np.cumsum([0, *coefs])
        first = coef_starts[-1] + sum(tables) + sum(scales)
        return list(coef_starts[:-1]), list(first + np.cumsum([0, *biases])[:-1])

    def n_params(self):
        return sum(int(np.prod(shape)) for group in self.shapes() for shape in group)

    def outputs(self, params, X):
        """(n_members, n_samples, n_outputs)"""
        coefs, tables, scales, biases = self.split(params)
        inputs = []
        for (kind, column, width, levels), w in zip(self.encodings, tables, strict=True):
            x = X[:, column : column + width]
            if kind == "identity":
                inputs.append(x)
            elif kind == "scale":
                inputs.append(x * w)
            else:
                inputs.append(one_hot_places(X[:, column], kind, levels) @ w)
        shared = np.hstack(inputs) if inputs else X
        out = []
        for m in range(self.n_members):
            a = shared * scales[0][m] if scales else shared
            for layer, (w, b) in enumerate(zip(coefs, biases, strict=True)):
                own = m if layer == len(coefs) - 1 else 0
                z = a @ w[own] + (b[own] if self.fit_intercept else 0)
                a = z if layer == len(coefs) - 1 else np.tanh(z)
            out.append(a)
        return np.array(out)

    def loss(self, params, X, y, weight):
        """Summed over samples, the mean over members; half squared errors of all outputs."""
        errors = ((self.outputs(params, X) - y) ** 2).sum(axis=2) / 2
        return (errors.mean(axis=0) * weight).sum()

    def gradient(self, params, *data, step=1e-6):
        grads = np.empty_like(params)
        for i in range(len(params)):
            moved = params.copy()
            moved[i] += step
            grads[i] = self.loss(moved, *data)
            moved[i] -= 2 * step
            grads[i] = (grads[i] - self.loss(moved, *data)) / (2 * step)
        return grads


class Case:
    def __init__(
        self, engine, dtype, encodings=ENCODINGS, n_members=3, n_samples=30, weighted=True,
        hidden=(6, 5), n_outputs=2, fit_intercept=True, dropout=(), seed=0,
    ):  # fmt: skip
        rng = np.random.default_rng(seed)
        self.engine, self.dtype = engine, dtype
        n_inputs = N_INPUTS if encodings else N_COLUMNS
        self.units = (n_inputs, *hidden, n_outputs)
        self.twin = Twin(self.units, encodings, n_members, fit_intercept)
        X = rng.normal(size=(n_samples, N_COLUMNS))
        for kind, column, _, levels in encodings:
            if kind not in ("identity", "scale"):
                X[:, column] = table(X, levels, kind, rng)
        self.X = X.astype(dtype)
        self.y = rng.normal(size=(n_samples, n_outputs)).astype(dtype)
        self.weight = rng.uniform(0, 2, n_samples).astype(dtype) if weighted else None
        self.params = (0.5 * rng.normal(size=self.twin.n_params())).astype(dtype)
        if not fit_intercept:
            self.params[self.twin.starts()[1][0] :] = 0
        self.layout = engine.Layout(
            self.units, *self.twin.starts(), ("tanh",) * len(hidden) + ("identity",),
            "squared_error", fit_intercept, dropout=dropout, encodings=encodings,
            n_members=n_members, n_features=N_COLUMNS if encodings else None,
        )  # fmt: skip
        self.data = engine.Dataset(self.X, self.y, self.weight)

    def gradient(self, start=0, stop=None, order=None, n_threads=1, dropout=None):
        stop = len(self.X) if stop is None else stop
        grads = np.full_like(self.params, np.nan)
        work = self.layout.workspace(stop - start, self.dtype, n_threads, data=self.data)
        work[:] = np.nan
        loss, weight = self.engine.batch_gradient(
            self.layout,
            self.data,
            order,
            start,
            stop,
            self.params,
            grads,
            work,
            n_threads,
            dropout,
        )
        return grads, loss, weight

    def predict(self, n_threads=1, seed=None, n_draws=1):
        out = np.full((n_draws * len(self.X), self.units[-1]), np.nan, self.dtype)
        work = self.layout.workspace(
            len(self.X), self.dtype, n_threads, per_thread=True, data=self.data
        )
        self.engine.predict(self.layout, self.data, self.params, work, out, n_threads, seed)
        return out

    def epoch(
        self, optimizer="adam", batch_size=8, n_threads=1, two_calls=False, clip=0.0, steps=2
    ):
        """Parameters, state and losses after some epochs."""
        _, n_states, names = self.engine.OPTIMIZERS[optimizer]
        values = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
        hyper = np.array([{"momentum": 0.9, **values}.get(name, 0.0) for name in names])
        params = self.params.copy()
        state = np.zeros((n_states, len(params)), self.dtype)
        grads = self.layout.gradient(batch_size, self.dtype)
        if grads is None:
            grads = np.empty_like(params)
        n, losses = len(self.X), []
        work = self.layout.workspace(batch_size, self.dtype, n_threads, data=self.data)
        order = np.random.default_rng(5).permutation(n)
        for _ in range(steps):
            if not two_calls:
                losses.append(self.engine.train_epoch(
                    self.layout, self.data, order, batch_size, optimizer, hyper, 0.1, params,
                    grads, state, work, n_threads, max_grad_norm=clip))  # fmt: skip
                continue
            for start in range(0, n, batch_size):
                _, weight = self.engine.batch_gradient(
                    self.layout, self.data, order, start, min(n, start + batch_size), params,
                    grads, work, n_threads)  # fmt: skip
                self.engine.apply_gradient(
                    self.layout, optimizer, hyper, 0.1, weight, params, grads, state, clip,
                    n_threads=n_threads)  # fmt: skip
        return params, state, losses


@pytest.fixture(
    params=[(ENCODINGS, 1), (ENCODINGS, 3), ((), 4)], ids=["encoded", "both", "members"]
)
def shape(request):
    return {"encodings": request.param[0], "n_members": request.param[1]}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_gradient_is_the_twins(engine, dtype, shape, weighted, fit_intercept):
    case = Case(engine, dtype, weighted=weighted, fit_intercept=fit_intercept, **shape)
    grads, loss, weight = case.gradient()
    weights = np.ones(len(case.X)) if case.weight is None else case.weight.astype(float)
    data = case.X.astype(float), case.y.astype(float), weights
    params = case.params.astype(float)
    expected = case.twin.gradient(params, *data)
    assert weight == pytest.approx(weights.sum(), rel=1e-6)
    # a squared error is reported as the mean over outputs
    assert loss == pytest.approx(case.twin.loss(params, *data) / case.units[-1], rel=1e-5)
    tolerance = max(TOLERANCE[dtype], 1e-7)
    np.testing.assert_allclose(grads, expected, rtol=tolerance, atol=20 * tolerance)


def test_prediction_is_the_mean_of_the_twins_members(engine, dtype, shape):
    case = Case(engine, dtype, n_samples=700, **shape)
    expected = case.twin.outputs(case.params.astype(float), case.X.astype(float)).mean(axis=0)
    out = case.predict()
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(case.predict(n_threads=2), out)
    one = Case(engine, dtype, n_samples=700, **shape)
    for i in (0, 1, 699):
        data = engine.Dataset(np.ascontiguousarray(one.X[i : i + 1]))
        row = np.empty((1, one.units[-1]), dtype)
        work = one.layout.workspace(1, dtype, 1, per_thread=True)
        engine.predict(one.layout, data, one.params, work, row)
        # the same bits only where the compiler fuses multiply and add in both products
        rounding = 8 * np.finfo(dtype).eps
        np.testing.assert_allclose(row[0], out[i], rtol=rounding, atol=rounding)


@pytest.mark.parametrize("dropout", [(), (0.2, 0.4, 0.3)], ids=["whole", "dropout"])
def test_gradient_does_not_depend_on_threads_nor_much_on_chunks(engine, dtype, shape, dropout):
    case = Case(engine, dtype, n_samples=1500, dropout=dropout, **shape)
    key = (7, 2) if dropout else None
    order = np.random.default_rng(1).permutation(1500)
    grads, loss, weight = case.gradient(order=order, dropout=key)
    again = case.gradient(order=order, n_threads=2, dropout=key)
    np.testing.assert_array_equal(again[0], grads)
    assert again[1:] == (loss, weight)
    parts = [case.gradient(a, b, order, dropout=key) for a, b in [(0, 13), (13, 800), (800, 1500)]]
    tolerance = {"float32": 2e-3, "float64": 1e-9}[dtype]
    np.testing.assert_allclose(
        sum(part[0] for part in parts), grads, rtol=tolerance, atol=tolerance
    )
    assert sum(part[1] for part in parts) == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "lion"])
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_an_epoch_is_made_of_gradients_and_steps(engine, dtype, shape, optimizer, clip):
    case = Case(engine, dtype, **shape)
    params, state, losses = case.epoch(optimizer, clip=clip)
    again, state_again, _ = case.epoch(optimizer, two_calls=True, clip=clip)
    np.testing.assert_array_equal(again, params)
    np.testing.assert_array_equal(state_again, state)
    threads, state_threads, losses_threads = case.epoch(optimizer, n_threads=2, clip=clip)
    np.testing.assert_array_equal(threads, params)
    np.testing.assert_array_equal(state_threads, state)
    assert losses_threads == losses


@pytest.mark.parametrize("kind", ["identity", "scale"])
@pytest.mark.parametrize("n_members", [1, 3])
def test_one_sample_of_many_columns(engine, dtype, kind, n_members):
    """The gradient of a batch of one stays in the workspace, with many threads too."""
    n = 150
    rng = np.random.default_rng(0)
    twin = Twin((n, 3, 1), ((kind, 0, n, 0),), n_members)
    X, y = rng.normal(size=(1, n)).astype(dtype), rng.normal(size=(1, 1)).astype(dtype)
    params = rng.normal(size=twin.n_params()).astype(dtype)
    layout = engine.Layout(
        twin.units, *twin.starts(), ("tanh", "identity"), "squared_error", True,
        encodings=twin.encodings, n_members=n_members, n_features=n,
    )  # fmt: skip
    data = engine.Dataset(X, y)
    size = layout.workspace(1, dtype, data=data).size
    room = np.full(size + 1024, 7, dtype)
    work = room[:size]
    grads = np.full_like(params, np.nan)
    engine.batch_gradient(layout, data, None, 0, 1, params, grads, work)
    assert (room[size:] == 7).all()
    expected = twin.gradient(params.astype(float), X.astype(float), y.astype(float), np.ones(1))
    np.testing.assert_allclose(grads, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("batch_size", [1, 7, 1400])
def test_training_lowers_the_loss(engine, dtype, shape, batch_size):
    case = Case(engine, dtype, n_samples=1400 if batch_size > 7 else 40, **shape)
    _, _, losses = case.epoch("adam", batch_size=batch_size, steps=30)
    assert losses[-1] < losses[0]


def test_members_differ_by_their_factors_and_their_last_layer(engine, dtype):
    case = Case(engine, dtype, n_members=3)
    grads, _, _ = case.gradient()
    _, _, (scales,), _ = case.twin.split(grads)
    assert np.linalg.matrix_rank(scales) == 3


def test_dropout_differs_between_members(engine, dtype):
    """Members that are equal but for what is dropped have other gradients."""
    case = Case(engine, dtype, encodings=(), n_members=2, dropout=(0.5, 0.5, 0.5))
    coefs, _, (scales,), biases = case.twin.split(case.params)
    scales[:] = 1
    coefs[-1][1], biases[-1][1] = coefs[-1][0], biases[-1][0]
    same = case.twin.split(case.gradient()[0])
    np.testing.assert_array_equal(same[2][0][0], same[2][0][1])
    other = case.twin.split(case.gradient(dropout=(3, 0))[0])
    assert (other[2][0][0] != other[2][0][1]).any()


def test_dropout_gradient_is_that_of_its_draws(engine):
    """Along a direction, the loss with fixed draws changes as the gradient says."""
    case = Case(engine, "float64", dropout=(0.2, 0.4, 0.3))
    key = (11, 4)
    grads = case.gradient(dropout=key)[0]
    direction = np.random.default_rng(0).normal(size=len(grads))
    losses = []
    start = case.params.copy()
    for step in (1e-6, -1e-6):
        case.params = start + step * direction
        losses.append(case.gradient(dropout=key)[1] * case.units[-1])
    assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(grads @ direction, rel=1e-6)


def test_converted_and_strided_rows_are_read_alike(engine):
    case = Case(engine, "float64")
    grads, loss, _ = case.gradient()
    for X in (np.asfortranarray(case.X), np.repeat(case.X, 2, axis=1)[:, ::2]):
        case.data = engine.Dataset(X, case.y, case.weight)
        again, loss_again, _ = case.gradient()
        np.testing.assert_array_equal(again, grads)
        assert loss_again == loss
    single = case.X.astype(np.float32)
    case.data = engine.Dataset(single.astype(float), case.y, case.weight)
    expected = case.gradient()[0]
    case.data = engine.Dataset(single, case.y, case.weight, np.dtype("float64"))
    np.testing.assert_array_equal(case.gradient()[0], expected)


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf, 1e30, -1e30])
def test_a_place_out_of_the_table_is_at_its_end(engine, dtype, value):
    case = Case(engine, dtype)
    case.X[3] = value
    out = case.predict()
    assert np.isfinite(np.delete(out, 3, axis=0)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_members": 0}, "n_members must be positive"),
        ({"encodings": (("identity", 4, 24, 0),)}, "does not fit 5 columns"),
        ({"encodings": (("identity", -1, 24, 0),)}, "does not fit 5 columns"),
        ({"encodings": (("category", 0, 24, 0),)}, "does not fit 5 columns"),
        ({"encodings": (("scale", 0, 5, 1),)}, "does not fit 5 columns"),
        ({"encodings": (("identity", 0, 5, 0),)}, "make 5 inputs"),
    ],
)
def test_what_does_not_fit_is_refused(engine, changes, message):
    arguments = {"encodings": ENCODINGS, "n_members": 2, **changes}
    units = (N_INPUTS, 3, 1)
    try:
        places = Twin(units, arguments["encodings"], arguments["n_members"] or 1).starts()
    except KeyError:
        places = Twin(units, ENCODINGS, 1).starts()
    with pytest.raises(ValueError, match=message):
        engine.Layout(
            units, *places, ("relu", "identity"), "squared_error", True,
            n_features=N_COLUMNS, **arguments)  # fmt: skip


def test_sparse_rows_are_refused(engine):
    import scipy.sparse as sp

    case = Case(engine, "float64")
    case.data = engine.Dataset(sp.csr_matrix(case.X), case.y, case.weight)
    with pytest.raises(ValueError, match="need dense X"):
        case.gradient()
