"""Dropout in the engine: the generator against NumPy and as a generator, and networks whose units
are dropped against the NumPy twin that drops the same ones."""

from itertools import pairwise

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from scipy import stats
from test_engine import HYPER, TOLERANCE, starts

from cmlp._core import engine as loaded

SEED = 0x9D39247E33776D41
OPTIMIZERS = {
    "sgd": lambda: reference.SGD(*HYPER["sgd"][:2], bool(HYPER["sgd"][2])),
    "adam": lambda: reference.Adam(*HYPER["adam"][:4]),
}


# The generator


def test_known_answers():
    """Vectors of Random123, its authors' library."""
    ones, pi = 4 * [0xFFFFFFFF], [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    for counter, key, words in (
        (4 * [0], 2 * [0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (ones, ones[:2], [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (pi, [0xA4093822, 0x299F31D0], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ):
        found = reference.philox4x32([[c] for c in counter], key)
        assert found.ravel().tolist() == words


@pytest.mark.parametrize(("epoch", "layer"), [(0, 0), (1, 2), (2**32 - 1, 7)])
@pytest.mark.parametrize("seed", [0, SEED, 2**64 - 1])
def test_draws_are_those_of_numpy(kernels, seed, epoch, layer):
    far = np.uint64(2**36 - 5) + np.arange(20, dtype=np.uint64)  # blocks of more than 32 bits
    elements = np.concatenate([np.arange(200, dtype=np.uint64), far, far[::-1]])
    expected = reference.dropout_draws(seed, epoch, layer, elements)
    for draws in kernels.dropout_draws(seed, epoch, layer, elements):
        np.testing.assert_array_equal(draws, expected)


def draws(kernels, n, seed=SEED, epoch=0, layer=1):
    _, grouped = kernels.dropout_draws(seed, epoch, layer, np.arange(n, dtype=np.uint64))
    return grouped


def test_draws_are_uniform(kernels):
    n = 200_000
    u = draws(kernels, n) / 65536
    assert abs(u.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / n)
    for which in (draws(kernels, n) & 255, draws(kernels, n) >> 8):
        counts = np.bincount(which, minlength=256)
        assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4
    assert abs((draws(kernels, n) < round(0.2 * 65536)).mean() - 0.2) < 4 * np.sqrt(0.16 / n)


def test_draws_do_not_correlate(kernels):
    """Of neighbours, of other rows, layers, epochs and fits, also where a key differs by a bit."""
    n = 100_000
    u = draws(kernels, n) / 65536.0
    others = [u[lag:] for lag in (1, 2, 3, 4, 8, 10, 32, 64, 100, 128)]
    others += [draws(kernels, n, epoch=epoch) for epoch in (1, 2, 1024)]
    others += [draws(kernels, n, layer=layer) for layer in (0, 2, 3)]
    others += [draws(kernels, n, seed=SEED ^ bit) for bit in (1, 1 << 31, 1 << 32, 1 << 63)]
    others += [draws(kernels, n, epoch=1, layer=0), draws(kernels, n, epoch=0, layer=0)]
    for other in others:
        r = np.corrcoef(u[: len(other)], other)[0, 1]
        assert abs(r) < 4.5 / np.sqrt(len(other))


# Networks


class Case:
    """A network with dropout, its twin and data."""

    def __init__(
        self,
        engine,
        dtype,
        rates=(0.2, 0.5, 0.3),
        units=(7, 5, 9, 3),
        activation="tanh",
        storage="dense",
        n_samples=40,
        weighted=False,
    ):
        rng = np.random.default_rng(0)
        self.engine, self.dtype, self.rates, self.units = engine, dtype, rates, units
        if isinstance(activation, str):
            activation = [activation] * (len(units) - 2)
        activations = [*activation, "identity"]
        self.twin = reference.Twin(units, activations)
        self.layout = engine.Layout(
            units, *starts(units), activations, "squared_error", True, dropout=rates
        )
        n_params = sum(a * b for a, b in pairwise(units)) + sum(units[1:])
        self.params = rng.normal(size=n_params, scale=0.3).astype(dtype)
        X = rng.normal(size=(n_samples, units[0]), scale=0.5).astype(dtype)
        X[rng.random(X.shape) < (0.2 if storage in ("dense", "fortran") else 0.9)] = 0
        self.dense = X
        self.y = rng.normal(size=(n_samples, units[-1])).astype(dtype)
        self.weight = rng.integers(1, 4, n_samples).astype(dtype) if weighted else None
        self.X = np.asfortranarray(X) if storage == "fortran" else X
        if storage.startswith("csr"):
            self.X = sp.csr_matrix(X)
        if storage == "csr64":
            self.X.indices, self.X.indptr = (
                self.X.indices.astype(np.int64),
                self.X.indptr.astype(np.int64),
            )
        self.data = engine.Dataset(self.X, self.y, self.weight)
        self.order = rng.permutation(n_samples)

    def train(self, batch_size, optimizer="adam", epoch=3, shuffled=True, n_threads=1, seed=SEED):
        params, grads = self.params.copy(), np.empty_like(self.params)
        state = np.zeros((self.engine.OPTIMIZERS[optimizer][1], len(params)), dtype=self.dtype)
        size = self.layout.workspace(batch_size, self.dtype, n_threads, data=self.data).size
        buffer = np.full(size + 64, np.nan, dtype=self.dtype)
        buffer[size:] = 7
        loss = self.engine.train_epoch(
            self.layout,
            self.data,
            self.order if shuffled else None,
            batch_size,
            optimizer,
            np.array(HYPER[optimizer]),
            0.01,
            params,
            grads,
            state,
            buffer[:size],
            n_threads,
            None if seed is None else (seed, epoch),
        )
        assert (buffer[size:] == 7).all()
        return loss, params

    def check(self, batch_size, optimizer="adam", shuffled=True):
        loss, params = self.train(batch_size, optimizer, shuffled=shuffled)
        order = self.order if shuffled else np.arange(len(self.y))
        dropout = (self.rates, SEED, 3)
        expected_loss, expected = self.twin.train_epoch(
            self.params,
            OPTIMIZERS[optimizer](),
            self.dense,
            self.y,
            self.weight,
            order,
            batch_size,
            0.01,
            dropout,
        )
        tolerance = TOLERANCE[self.dtype]
        np.testing.assert_allclose(loss, expected_loss, rtol=tolerance["rtol"])
        np.testing.assert_allclose(params, expected, **tolerance)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("storage", ["dense", "fortran", "csr", "csr64", "mostly zeros"])
def test_epoch_is_that_of_the_twin(engine, dtype, storage, activation):
    Case(engine, dtype, activation=activation, storage=storage).check(7, "sgd")


@pytest.mark.parametrize(
    "activation",
    [*(name for name, row in loaded.ACTIVATIONS.items() if row["hidden"]), ("gelu", "tanh")],
)
def test_derivatives_are_kept_or_come_from_outputs_before_dropout(engine, dtype, activation):
    Case(engine, dtype, activation=activation).check(16, "sgd")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch_size", [1, 2, 16, 40])
def test_batch_sizes(engine, dtype, batch_size, optimizer):
    case = Case(engine, dtype, units=(3, 8, 2), rates=(0.1, 0.25), activation="relu")
    case.check(batch_size, optimizer)
    case.check(batch_size, optimizer, shuffled=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("units", "rates"),
    [
        ((1, 1, 1), (0.5, 0.5)),
        ((3, 64, 1), (0.0, 0.9)),
        ((5, 65, 63, 2), (0.4, 0.0, 0.6)),
        ((70, 4), (0.7,)),
        ((30, 200, 3), (0.3, 0.999999)),
        ((33, 31, 17, 1), (1e-9, 0.01, 0.0)),
    ],
)
def test_shapes_and_rates(engine, dtype, units, rates):
    for storage in ("dense", "csr", "mostly zeros"):
        case = Case(engine, dtype, rates, units, "relu", storage, n_samples=70, weighted=True)
        case.check(32, "sgd")


@pytest.mark.parametrize("storage", ["dense", "csr", "mostly zeros"])
def test_batches_in_pieces(engine, storage):
    """More rows than pass through the layers at once."""
    case = Case(engine, "float64", storage=storage, n_samples=2500, activation="logistic")
    case.check(1100, "sgd")


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_gradient_by_central_differences(engine, activation):
    """A step of plain gradient descent on the loss of the dropped network."""
    case = Case(engine, "float64", activation=activation)
    params, grads = case.params.copy(), np.empty_like(case.params)
    work = case.layout.workspace(40, "float64", data=case.data)
    state = np.zeros((1, len(params)))
    arguments = (np.array([1.0, 0.0, 0.0]), 0.0, params, grads, state, work, 1, (SEED, 0))
    engine.train_epoch(case.layout, case.data, None, 40, "sgd", *arguments)
    gradient = case.params - params
    masks = reference.dropout_masks(case.rates, case.units[:-1], SEED, 0, np.arange(40))
    for i in range(len(params)):
        step = np.zeros_like(params)
        step[i] = 1e-6
        losses = [
            case.twin.loss_and_gradient(case.params + s, case.dense, case.y, masks=masks)[0]
            for s in (step, -step)
        ]
        # the reported loss is the mean over outputs, the gradient that of their sum
        slope = case.units[-1] * (losses[0] - losses[1]) / 2e-6
        assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("storage", ["dense", "csr", "mostly zeros"])
def test_threads_change_no_bit(engine, dtype, storage, activation):
    case = Case(engine, dtype, units=(20, 50, 30, 3), activation=activation, n_samples=300,
                storage=storage)  # fmt: skip
    loss, params = case.train(100)
    for n_threads in (2, 3):
        other_loss, other = case.train(100, n_threads=n_threads)
        assert other_loss == loss
        np.testing.assert_array_equal(other, params)


@pytest.mark.parametrize("like", ["csr", "csr64"])
def test_sparse_rows_have_the_bits_of_dense(engine, dtype, like):
    """Of rows with many zeros, which are multiplied in the same order."""
    trained = [
        Case(engine, dtype, units=(60, 30, 20, 3), storage=storage, n_samples=100).train(30)
        for storage in ("mostly zeros", like)
    ]
    assert trained[0][0] == trained[1][0]
    np.testing.assert_array_equal(trained[0][1], trained[1][1])


def test_what_decides(engine):
    """Seed and epoch decide; without a seed or a rate nothing is dropped."""
    case = Case(engine, "float64")
    _, params = case.train(10)
    np.testing.assert_array_equal(case.train(10)[1], params)
    for changed in ({"epoch": 4}, {"seed": SEED + 1}, {"seed": SEED ^ 1 << 40}, {"seed": None}):
        assert (case.train(10, **changed)[1] != params).any()
    whole = Case(engine, "float64", rates=())
    none = Case(engine, "float64", rates=(0.0, 0.0, 0.0))
    for seed in (SEED, None):
        np.testing.assert_array_equal(none.train(10, seed=seed)[1], whole.train(10)[1])
    np.testing.assert_array_equal(case.train(10, seed=None)[1], whole.train(10)[1])


@pytest.mark.parametrize("storage", ["dense", "fortran", "csr", "csr64", "mostly zeros"])
def test_draws_of_predictions(engine, dtype, storage):
    case = Case(engine, dtype, storage=storage, n_samples=700)
    data, n_draws = engine.Dataset(case.X), 3
    out = np.full((n_draws * 700, 3), np.nan, dtype=dtype)
    work = case.layout.workspace(700, dtype, per_thread=True, data=data)
    engine.predict(case.layout, data, case.params, work, out, 1, SEED)
    for draw, found in enumerate(out.reshape(n_draws, 700, 3)):
        masks = reference.dropout_masks(case.rates, case.units, SEED, draw, np.arange(700))
        expected = case.twin.forward(case.params, case.dense, masks)[1][-1]
        np.testing.assert_allclose(found, expected, **TOLERANCE[dtype])


@pytest.mark.parametrize("rates", [(0.1, 0.5), (0.0, 0.5), (0.5, 0.0)])
@pytest.mark.parametrize("storage", ["dense", "csr", "csr64", "mostly zeros"])
def test_threads_share_draws(engine, storage, rates):
    """Enough work for the pool: the same bits as one draw, one thread at a time."""
    case = Case(
        *(engine, "float32"), units=(50, 200, 3), rates=rates, n_samples=1300, storage=storage
    )
    data = engine.Dataset(case.X)
    outs = []
    for n_threads, n_draws in ((3, 4), (2, 4), (1, 4), (1, 1)):
        out = np.empty((n_draws * 1300, 3), dtype=np.float32)
        work = case.layout.workspace(1300, "float32", n_threads, per_thread=True, data=data)
        engine.predict(case.layout, data, case.params, work, out, n_threads, SEED)
        outs.append(out)
    np.testing.assert_array_equal(outs[0], outs[2])
    np.testing.assert_array_equal(outs[1], outs[2])
    np.testing.assert_array_equal(outs[0][:1300], outs[3])


def test_misuse(engine):
    case = Case(engine, "float64")
    for rates in ((0.5,), (0.5, 1.0, 0.0), (0.5, -0.1, 0.0), (0.5, np.nan, 0.0)):
        with pytest.raises(ValueError, match="dropout must be rates"):
            Case(engine, "float64", rates=rates)
    with pytest.raises(OverflowError):
        case.train(10, seed=-1)
    for n_rows in (39, 41, 79):
        with pytest.raises(ValueError, match="out must be"):
            engine.predict(
                case.layout,
                engine.Dataset(case.X),
                case.params,
                case.layout.workspace(40, "float64"),
                np.empty((n_rows, 3)),
                1,
                SEED,
            )
