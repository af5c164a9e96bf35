"""Checkpoints: a resumed fit ends as the uninterrupted one, whatever had interrupted it."""

import json
import os
import re
import signal
import time

import numpy as np
import pytest
import scipy.sparse as sp
from safetensors.numpy import save_file
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV
from test_hostile_files import mutated

import cmlp
from cmlp import Checkpoint, MLPClassifier, MLPRegressor
from cmlp._callbacks import CallbackSupportMixin

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
has_callbacks = pytest.mark.skipif(
    not hasattr(CallbackSupportMixin, "set_callbacks"), reason="scikit-learn before 1.9"
)

X, Y = load_iris(return_X_y=True)
X_DIABETES, Y_DIABETES = load_diabetes(return_X_y=True)
#: What has to be the same to the bit, if it is there.
FITTED = [
    *("coefs_", "intercepts_", "loss_", "best_loss_", "loss_curve_", "n_iter_", "t_"),
    *("validation_scores_", "validation_loss_curve_", "best_validation_score_", "best_iter_"),
    *("_no_improvement_count", "_dropout_state", "classes_"),
]


def make(kind=MLPClassifier, **params):
    return kind(
        **{
            "hidden_layer_sizes": (6, 4),
            "max_iter": 8,
            "random_state": 0,
            "batch_size": 40,
            "learning_rate_init": 0.01,
            **params,
        }
    )


def assert_equal(one, other):
    """To the bit, and of the same types."""
    assert type(one) is type(other)
    if isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other or (one != one and other != other)


def assert_same(one, other, data):
    for name in FITTED:
        assert hasattr(one, name) == hasattr(other, name), name
        if hasattr(one, name):
            assert_equal(getattr(one, name), getattr(other, name))
    assert_equal(one.predict(data), other.predict(data))
    assert not hasattr(other, "_training")


class Copies(Checkpoint):
    """Keeps the checkpoint of each epoch as a file of its own."""

    def epoch_ends(self, n_iter, write):
        write(f"{self.path}.{n_iter}")


CASES = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate": "invscaling"},
    "adaptive": {
        **{"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1},
    },
    "sgd, batches of one": {"solver": "sgd", "batch_size": 1, "max_iter": 4},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.2},
    "out of patience": {"early_stopping": True, "n_iter_no_change": 1, "tol": 0.2},
    "scoring": {"early_stopping": True, "scoring": "neg_log_loss", "shuffle": False},
    "shuffle off": {"shuffle": False, "solver": "rmsprop"},
    "dropout": {"dropout": [0.1, 0.3, 0.3], "solver": "nadam"},
    "ema": {"ema_decay": 0.9, "early_stopping": True, "max_grad_norm": 0.5},
    "cosine": {"solver": "adamw", "learning_rate": "cosine", "warmup_fraction": 0.2},
    "plateau": {"learning_rate": "plateau", "tol": 0.5, "n_iter_no_change": 3},
    "schedule-free": {"solver": "schedule_free_adamw", "dropout": 0.2},
    "adagrad": {"solver": "adagrad", "dtype": "float32", "ema_decay": 0.5},
    "weights": {"class_weight": {0: 1.0, 1: 0.5, 2: 2.0}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", ["float64", "float32", "sparse"])
def test_resume_after_any_epoch(name, form, tmp_path):
    data = {"float64": X, "float32": X.astype(np.float32), "sparse": sp.csr_matrix(X)}[form]
    whole = make(**CASES[name]).fit(data, Y)
    path = str(tmp_path / "state")
    watched = make(**CASES[name]).fit(data, Y, checkpoint=Copies(path))
    assert_same(whole, watched, data)
    for epoch in range(1, whole.n_iter_ + 1):
        assert cmlp.load(f"{path}.{epoch}").n_iter_ == epoch
        resumed = make(**CASES[name]).fit(data, Y, resume_from=f"{path}.{epoch}")
        assert_same(whole, resumed, data)
    if not whole.early_stopping:  # the optimizer goes on alike
        assert_same(whole.partial_fit(data, Y), resumed.partial_fit(data, Y), data)


REGRESSIONS = {
    "outputs": ({}, np.c_[Y_DIABETES, X_DIABETES[:, 0]]),
    "quantiles": ({"loss": "quantile", "quantile": [0.1, 0.9]}, Y_DIABETES),
    "loss scored": ({"early_stopping": True, "scoring": "loss"}, Y_DIABETES),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_regressor(name, tmp_path):
    params, y = REGRESSIONS[name]
    path = tmp_path / "state"
    weight = np.linspace(0, 1, len(y))
    whole = make(MLPRegressor, **params).fit(X_DIABETES, y, weight)
    make(MLPRegressor, **{**params, "max_iter": 4}).fit(
        X_DIABETES, y, weight, checkpoint=Checkpoint(path, every=3)
    )
    resumed = make(MLPRegressor, **params).fit(X_DIABETES, y, weight, resume_from=path)
    assert_same(whole, resumed, X_DIABETES)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_validation_data(early_stopping, tmp_path):
    path = tmp_path / "state"
    validation = {"X_val": X[::3], "y_val": Y[::3]}
    params = {"early_stopping": early_stopping}
    whole = make(**params).fit(X, Y, **validation)
    make(**params).fit(X, Y, **validation, checkpoint=Checkpoint(path, every=5))
    assert_same(whole, make(**params).fit(X, Y, **validation, resume_from=path), X)
    with pytest.raises(ValueError, match=r"another fit: X_val was .* it is None"):
        make(**params).fit(X, Y, resume_from=path)


def test_random_state_instance(tmp_path):
    path = tmp_path / "state"
    one, other = np.random.RandomState(3), np.random.RandomState(4)
    whole = make(random_state=one).fit(X, Y)
    make(random_state=np.random.RandomState(3), max_iter=3).fit(X, Y, checkpoint=Checkpoint(path))
    resumed = make(random_state=other).fit(X, Y, resume_from=path)
    assert_same(whole, resumed, X)
    assert one.randint(1 << 30) == other.randint(1 << 30)  # what follows is the same, too


def test_no_random_state_leaves_numpys_own_alone(tmp_path):
    path = str(tmp_path / "state")
    whole = make(random_state=None).fit(X, Y, checkpoint=Copies(path))
    numpys = np.random.mtrand._rand
    before = numpys.get_state()[1].copy()
    resumed = make(random_state=None).fit(X, Y, resume_from=f"{path}.3")
    assert_same(whole, resumed, X)
    np.testing.assert_array_equal(numpys.get_state()[1], before)


def test_warm_start_and_mixed_dtypes(tmp_path):
    """A fit that itself had continued, with weights of float32 and X of float64."""
    path = str(tmp_path / "state")
    start = make(warm_start=True, dropout=0.1).fit(X.astype(np.float32), Y)
    whole = start.fit(X, Y, checkpoint=Copies(path))
    assert whole.coefs_[0].dtype == np.float32
    for resumed in (make(dropout=0.1), make(dropout=0.1, warm_start=True).fit(X[::2], Y[::2])):
        resumed.fit(X, Y, resume_from=f"{path}.5")
        assert_same(whole, resumed, X)


@pytest.mark.parametrize("first", ["early stopping", "validation data"])
def test_warm_start_after_a_fit_with_scores(first, tmp_path):
    """The scores of before stay; the fit that is resumed has none of its own."""
    est = make(warm_start=True, early_stopping=first == "early stopping")
    est.fit(X, Y, **({"X_val": X, "y_val": Y} if first == "validation data" else {}))
    n_scores = len(est.validation_scores_)
    est.set_params(early_stopping=False)
    est.fit(X, Y, checkpoint=Checkpoint(tmp_path / "state", every=3))
    again = make(warm_start=True).fit(X, Y > 0)  # which does not matter
    again.fit(X, Y, resume_from=tmp_path / "state")
    assert_same(again, est, X)
    assert len(again.validation_scores_) == n_scores


def test_more_epochs_and_a_loaded_model(tmp_path):
    path = tmp_path / "state"
    whole = make(max_iter=12).fit(X, Y)
    make(max_iter=5).fit(X, Y, checkpoint=Checkpoint(path))
    assert_same(whole, cmlp.load(path).set_params(max_iter=12).fit(X, Y, resume_from=path), X)
    with pytest.raises(ValueError, match="after epoch 5, which is more than max_iter=4"):
        make(max_iter=4).fit(X, Y, resume_from=path)
    make(max_iter=5, learning_rate="cosine").fit(X, Y, checkpoint=Checkpoint(path))
    with pytest.raises(ValueError, match="max_iter, which the learning rate follows, was 5, it"):
        make(max_iter=12, learning_rate="cosine").fit(X, Y, resume_from=path)


def test_resume_and_write_on(tmp_path):
    """The usual way: one command for the first start and for every other."""
    path = tmp_path / "state"
    whole = make(max_iter=9).fit(X, Y)
    for max_iter in (2, 5, 9):
        est = make(max_iter=max_iter)
        start = path if path.exists() else None
        est.fit(X, Y, checkpoint=Checkpoint(path, every=2), resume_from=start)
    assert_same(whole, est, X)
    assert cmlp.load(path).n_iter_ == 8
    assert os.listdir(tmp_path) == ["state"]


# As a callback


@has_callbacks
@pytest.mark.parametrize("name", ["adam", "early stopping", "schedule-free"])
def test_as_a_callback(name, tmp_path):
    path = tmp_path / "state"
    whole = make(**CASES[name]).fit(X, Y)
    est = make(**CASES[name]).set_callbacks(Checkpoint(path, every=3)).fit(X, Y)
    assert_same(whole, est, X)
    assert cmlp.load(path).n_iter_ == 6
    assert_same(whole, make(**CASES[name]).fit(X, Y, resume_from=path), X)
    again = make(**CASES[name]).set_callbacks(Checkpoint(path, every=4))
    assert_same(whole, again.fit(X, Y, resume_from=path), X)
    assert cmlp.load(path).n_iter_ == 8


@has_callbacks
def test_callbacks_that_are_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state")
    with pytest.raises(ValueError, match="lbfgs"):
        make(solver="lbfgs").set_callbacks(checkpoint).fit(X, Y)
    with pytest.raises(ValueError, match="not for partial_fit"):
        make().set_callbacks(checkpoint).partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(TypeError, match="not on GridSearchCV"):
        GridSearchCV(make(), {"alpha": [1.0]}).set_callbacks(checkpoint).fit(X, Y)
    assert os.listdir(tmp_path) == []


# What is no checkpoint of this fit

OTHER = {
    "alpha": ({"alpha": 1.0}, "alpha was 0.0001, it is 1.0"),
    "solver": ({"solver": "sgd"}, "solver was 'adam', it is 'sgd'"),
    "batch size": ({"batch_size": 7}, "batch_size was 40, it is 7"),
    "layers": ({"hidden_layer_sizes": (6,)}, r"hidden_layer_sizes was \(6, 4\), it is \(6,\)"),
    "seed": ({"random_state": 1}, "random_state was 0, it is 1"),
    "instance": ({"random_state": np.random.RandomState(0)}, "random_state was 0"),
    "early stopping": ({"early_stopping": True}, "early_stopping was False, it is True"),
    "dtype": ({"dtype": "float32"}, "dtype was None, it is 'float32'"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "state"
    make().fit(X, Y, checkpoint=Checkpoint(path))
    return path


@pytest.mark.parametrize("name", OTHER)
def test_other_parameters(name, written):
    params, message = OTHER[name]
    est = make(**params).fit(X[:100], Y[:100])
    before = [coef.copy() for coef in est.coefs_]
    with pytest.raises(ValueError, match=f"is a checkpoint of another fit: {message}"):
        est.fit(X, Y, resume_from=written)
    assert_equal(est.coefs_, before)


def test_free_parameters(written):
    est = make(hidden_layer_sizes=[6, 4], verbose=0, n_jobs=1, warm_start=True)
    assert_same(make().fit(X, Y), est.fit(X, Y, resume_from=written), X)


def test_other_data(written):
    changed = X.copy()
    changed[77, 2] += 1e-9
    for data, y, weight, message in [
        (X[:-1], Y[:-1], None, r"X was float64 \(150, 4\), it is float64 \(149, 4\)"),
        (X.astype(np.float32), Y, None, r"X was float64 \(150, 4\), it is float32"),
        (sp.csr_matrix(X), Y, None, r"X was float64 \(150, 4\), it is .* csr"),
        (changed, Y, None, "the values of X have changed"),
        (X, np.roll(Y, 1), None, "the values of y have changed"),
        (X, Y, np.ones(150), r"sample_weight was None, it is float64 \(150,\)"),
        (X, Y + 1, None, r"classes_ was \[0 1 2\], it is \[1 2 3\]"),
    ]:
        est = make().fit(X[::2, 1:], Y[::2] + 7)
        before = dict(vars(est))
        with pytest.raises(ValueError, match=f"is a checkpoint of another fit: {message}"):
            est.fit(data, y, weight, resume_from=written)
        assert vars(est).keys() == before.keys()
        assert all(value is before[name] for name, value in vars(est).items())
    est = make().fit(np.asfortranarray(X), list(Y), resume_from=written)
    assert_same(make().fit(X, Y), est, X)


def test_other_files(written, tmp_path):
    with pytest.raises(FileNotFoundError):
        make().fit(X, Y, resume_from=tmp_path / "missing")
    make().fit(X, Y).save(tmp_path / "model")
    with pytest.raises(ValueError, match="a model without the state of its training"):
        make().fit(X, Y, resume_from=tmp_path / "model")
    with pytest.raises(ValueError, match="estimator was MLPClassifier, it is MLPRegressor"):
        make(MLPRegressor).fit(X, Y, resume_from=written)
    (tmp_path / "cut").write_bytes(written.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a valid cmlp model file"):
        make().fit(X, Y, resume_from=tmp_path / "cut")
    with pytest.raises(ValueError, match="solver='lbfgs' can neither write checkpoints nor"):
        make(solver="lbfgs").fit(X, Y, resume_from=written)
    with pytest.raises(ValueError, match="solver='lbfgs' can neither write checkpoints nor"):
        make(solver="lbfgs").fit(X, Y, checkpoint=Checkpoint(written))


@pytest.mark.parametrize(
    ("tensor", "change", "message"),
    [
        ("training.order", lambda a: a + 1, "order is wrong"),
        ("training.order", lambda a: a * 0, "order is wrong"),
        ("training.order", lambda a: a.astype(float), "order is wrong"),
        ("training.optimizer.1", lambda a: a[:, 1:], "the state of the optimizer is wrong"),
        ("coefs_.0", lambda a: a[:3], "n_features_in_ is 4"),
        ("coefs_.0", lambda a: a * np.nan, "coefs_ is wrong"),
    ],
)
def test_damaged_state(tensor, change, message, written, tmp_path):
    """What the engine would read out of bounds, or not understand, is refused."""
    path = tmp_path / "damaged"
    with cmlp._files.safe_open(written, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors[tensor] = np.ascontiguousarray(change(tensors[tensor]))
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ValueError, match=message):
        make().fit(X, Y, resume_from=path)


def test_mutated_checkpoints(tmp_path):
    """A clear error or a fit. CMLP_MUTATIONS=20000 for the long run."""
    n = int(os.environ.get("CMLP_MUTATIONS", "400"))
    rng = np.random.default_rng(0)
    path = tmp_path / "state"
    contents = []
    for params in ({"early_stopping": True, "dropout": 0.1}, {"ema_decay": 0.5}):
        params |= {"max_iter": 2, "hidden_layer_sizes": (2,), "batch_size": 100}
        make(**params).fit(X, Y, checkpoint=Checkpoint(path))
        contents.append((params, path.read_bytes()))
    resumed = 0
    for i in range(n):
        params, content = contents[i % 2]
        path.write_bytes(mutated(content, rng))
        est = make(**params)
        try:
            est.fit(X, Y, resume_from=path)
        except ValueError as error:
            if not re.search(
                "is not a valid cmlp|is a (checkpoint|model|damaged)|non-finite", f"{error}"
            ):
                raise
            continue
        resumed += 1
        assert est.predict(X).shape == Y.shape
    assert 0 < resumed < n


@pytest.mark.parametrize(
    ("part", "name", "message"),
    [
        *[("training", name, name) for name in ("data", "dtype", "random_state", "order")],
        ("training", "trained", "trained"),
        ("training", "optimizer", "the state of the optimizer"),
        ("attributes", "_dropout_state", "_dropout_state"),
    ],
)
def test_missing_state(part, name, message, tmp_path):
    path = tmp_path / "state"
    params = {"dropout": 0.1, "ema_decay": 0.5}
    make(**params).fit(X, Y, checkpoint=Checkpoint(path))
    with cmlp._files.safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    values = json.loads(metadata[part])
    del values[name]
    save_file(tensors, path, metadata={**metadata, part: json.dumps(values)})
    with pytest.raises(ValueError, match=f"is a damaged checkpoint: {message} is wrong"):
        make(**params).fit(X, Y, resume_from=path)


# Writing fails


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "2"])
def test_every(every):
    with pytest.raises(ValueError, match="every must be an int of at least 1"):
        Checkpoint("state", every=every)


def test_what_is_known_before_the_first_epoch(tmp_path):
    est = make(scoring=lambda est, X, y: 0.0, early_stopping=True)
    with pytest.raises(TypeError, match="cannot hold scoring"):
        est.fit(X, Y, checkpoint=Checkpoint(tmp_path / "state", every=1000))
    with pytest.raises(FileNotFoundError):
        make().fit(X, Y, checkpoint=Checkpoint(tmp_path / "missing" / "state", every=1000))
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o500)
    if os.name == "posix" and os.geteuid():
        with pytest.raises(PermissionError):
            make().fit(X, Y, checkpoint=Checkpoint(folder / "state", every=1000))


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("how", ["replace", "save"])
def test_full_disk(how, early_stopping, tmp_path, monkeypatch):
    """The checkpoint before is kept, and so is the model."""
    path = tmp_path / "state"
    params = {"early_stopping": early_stopping}
    calls = []

    def fails_in_the_fourth_call(real):
        def call(*args, **kwargs):
            calls.append(args)
            if len(calls) == 4:
                if how == "save":
                    raise RuntimeError("I/O error: No space left on device (os error 28)")
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        return call

    target, name = (os, "replace") if how == "replace" else (cmlp._files, "save_file")
    monkeypatch.setattr(target, name, fails_in_the_fourth_call(getattr(target, name)))
    est = make(**params)
    with pytest.raises(OSError, match="No space left on device"):
        est.fit(X, Y, checkpoint=Checkpoint(path))
    monkeypatch.undo()
    assert_same(make(**params, max_iter=4).fit(X, Y), est, X)
    assert os.listdir(tmp_path) == ["state"]
    assert cmlp.load(path).n_iter_ == 3
    assert_same(make(**params).fit(X, Y), make(**params).fit(X, Y, resume_from=path), X)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    path = tmp_path / "state"
    est = make(MLPRegressor, solver="sgd", learning_rate_init=1e4, max_iter=50)
    with pytest.raises(ValueError, match="non-finite"):
        est.fit(X_DIABETES, Y_DIABETES, checkpoint=Checkpoint(path))
    if path.exists():
        assert all(np.isfinite(coef).all() for coef in cmlp.load(path).coefs_)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_killed(tmp_path):
    """SIGKILL at random moments; CMLP_KILLS=200 for the long run."""
    n = int(os.environ.get("CMLP_KILLS", "6"))
    rng = np.random.default_rng()
    params = {"max_iter": 30, "tol": 0.0, "n_iter_no_change": 100, "dropout": 0.1}
    whole = make(early_stopping=True, **params).fit(X, Y)
    start = time.perf_counter()
    path = tmp_path / "timed"
    make(early_stopping=True, **params).fit(X, Y, checkpoint=Checkpoint(path))
    seconds = time.perf_counter() - start
    interrupted = 0
    for i in range(n):
        path = tmp_path / f"state {i}"
        for _ in range(2):  # the second fit goes on where the first was killed
            child = os.fork()
            if child == 0:
                try:
                    make(early_stopping=True, **params).fit(
                        *(X, Y),
                        checkpoint=Checkpoint(path),
                        resume_from=path if path.exists() else None,
                    )
                finally:
                    os._exit(0)
            time.sleep(rng.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            if path.exists():
                loaded = cmlp.load(path)
                interrupted += loaded.n_iter_ < whole.n_iter_
                assert loaded.predict(X).shape == Y.shape
        resumed = make(early_stopping=True, **params).fit(
            X, Y, resume_from=path if path.exists() else None
        )
        assert_same(whole, resumed, X)
    assert interrupted or n < 20
