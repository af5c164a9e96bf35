"""Model files: save and load, and files of earlier versions. Hostile ones: test_hostile_files.py.

``PYTHONPATH=tests python tests/files/test_files.py`` keeps files of this version: once,
before a release that writes others.
"""

import json
import os
import stat
import struct
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from scripts import output_of
from sklearn.datasets import load_diabetes, load_iris

import cmlp
from cmlp import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica ♣"])
#: Files that earlier versions wrote, with the predictions that they made.
KEPT = Path(__file__).parent / "kept"


def small(kind, **params):
    return kind(**{"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, **params})


CASES = {
    "multiclass": (small(MLPClassifier), Y),
    "binary": (small(MLPClassifier), Y > 0),
    "multilabel": (small(MLPClassifier), np.c_[Y > 0, Y > 1].astype(int)),
    "strings": (small(MLPClassifier, early_stopping=True), NAMES[Y]),
    "objects": (small(MLPClassifier, solver="lbfgs"), NAMES[Y].astype(object)),
    "regression": (small(MLPRegressor, hidden_layer_sizes=[4, 3]), X[:, 0]),
    "outputs": (small(MLPRegressor, n_iter_no_change=np.inf), X[:, :2]),
    "columns": (small(MLPClassifier), np.c_[NAMES[Y], NAMES[(Y + 1) % 3]]),
    "quantiles": (small(MLPRegressor, loss="quantile", quantile=[0.1, 0.9]), X[:, 0]),
    "options": (
        small(
            MLPClassifier,
            activation=("gelu",),
            dropout=[0.0, 0.25],
            class_weight={0: 2.0, 1: 1.5},
            solver="adamw",
            dtype="float32",
        ),
        Y,
    ),
    "linear": (small(MLPRegressor, hidden_layer_sizes=(), loss="poisson"), Y.astype(float)),
    "float32": (small(MLPClassifier, random_state=np.random.RandomState(7)), Y),
}


def same(one, other):
    """Whether two values are equal and of equal types, through lists and arrays."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, np.random.RandomState):
        return same([*map(list, one.get_state()[1:2])], [*map(list, other.get_state()[1:2])])
    return one == other or (one != one and other != other)


@pytest.fixture(params=CASES)
def case(request):
    est, y = CASES[request.param]
    data = X.astype(np.float32) if request.param == "float32" else X
    return est.fit(data, y), data, y


def test_round_trip(case, tmp_path):
    est, data, y = case
    path = tmp_path / "model.safetensors"
    est.save(path)
    loaded = cmlp.load(path)
    assert type(loaded) is type(est)
    assert loaded.get_params().keys() == est.get_params().keys()
    for name, value in est.get_params().items():
        assert same(getattr(loaded, name), value), name
    fitted = {name for name in vars(est) if name.endswith("_") and name[0] != "_"}
    assert fitted == {name for name in vars(loaded) if name.endswith("_") and name[0] != "_"}
    for name in fitted:
        assert same(getattr(loaded, name), getattr(est, name)), name
    for method in ("predict", "predict_proba"):
        if hasattr(est, method):
            np.testing.assert_array_equal(
                getattr(loaded, method)(data), getattr(est, method)(data)
            )
    assert loaded.score(data, y) == est.score(data, y)
    if est.solver != "lbfgs" and not est.early_stopping:
        assert len(loaded.partial_fit(data, y).loss_curve_) == 4  # goes on


def test_unfitted(tmp_path):
    est = MLPRegressor(alpha=0.5, tol=np.float32(0.25))
    est.save(tmp_path / "unfitted")
    loaded = cmlp.load(tmp_path / "unfitted")
    assert loaded.get_params() == est.get_params()
    assert not hasattr(loaded, "coefs_")


def test_feature_names(tmp_path):
    frame = load_diabetes(as_frame=True)
    est = small(MLPRegressor).fit(frame.data, frame.target)
    est.save(tmp_path / "named")
    loaded = cmlp.load(tmp_path / "named")
    assert same(loaded.feature_names_in_, est.feature_names_in_)
    np.testing.assert_array_equal(loaded.predict(frame.data), est.predict(frame.data))


def test_other_languages_can_read_it(tmp_path):
    est = small(MLPClassifier).fit(X, NAMES[Y])
    est.save(tmp_path / "model")
    tensors = load_file(tmp_path / "model")
    np.testing.assert_array_equal(tensors["coefs_.0"], est.coefs_[0])
    content = (tmp_path / "model").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert metadata["format"] == "cmlp"
    assert json.loads(metadata["attributes"])["classes_"]["items"] == NAMES.tolist()
    assert json.loads(metadata["params"])["alpha"] == est.alpha


# What cannot be written


def test_what_a_file_cannot_hold(tmp_path):
    class Mine(MLPRegressor):
        pass

    path = tmp_path / "model"
    with pytest.raises(TypeError, match="Mine is not cmlp's"):
        Mine().save(path)
    est = MLPRegressor(alpha=0.5)
    est.verbose = print
    with pytest.raises(TypeError, match="cannot hold verbose=<built-in function print>"):
        est.save(path)
    assert os.listdir(tmp_path) == []


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model"
    est = small(MLPRegressor).fit(X, Y)
    est.save(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        est.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]
    with pytest.raises(OSError, match="No such file"):
        est.save(tmp_path / "missing" / "model")


NO_ROOM = """
import os, resource, sys
import numpy as np
from cmlp import Checkpoint, MLPRegressor
path, size = sys.argv[1], os.path.getsize(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
before = open(path, "rb").read()
X, y = np.eye(30), np.arange(30.0)
est = MLPRegressor(hidden_layer_sizes=(50,), max_iter=3, random_state=0)
for call in (
    lambda: est.fit(X, y).save(path),
    lambda: est.fit(X, y, checkpoint=Checkpoint(path, every=2)),
):
    try:
        call()
    except OSError as error:
        print(error)
    assert open(path, "rb").read() == before
    print(est.n_iter_, os.listdir(os.path.dirname(path)))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_no_room(tmp_path):
    """The system's own refusal in the middle of a file, which a full disk is as well."""
    path = tmp_path / "model"
    small(MLPRegressor).fit(X, Y).save(path)
    out = output_of(NO_ROOM, path, PYTHONWARNINGS="ignore").splitlines()
    assert [out[1], out[3]] == ["3 ['model']", "2 ['model']"]
    for line in (out[0], out[2]):
        assert "could not be written" in line
        assert "File too large" in line


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_neither_file_nor_folder(tmp_path):
    """It is not waited for, and not replaced by a file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    est = small(MLPClassifier)
    for call in (
        lambda: cmlp.load(path),
        lambda: est.save(path),
        lambda: est.fit(X, Y, checkpoint=cmlp.Checkpoint(path)),
        lambda: est.fit(X, Y, resume_from=path),
    ):
        with pytest.raises(OSError, match="Not a regular file"):
            call()
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]
    assert not hasattr(est, "coefs_")


@pytest.mark.skipif(os.name != "posix", reason="links want rights elsewhere")
def test_links_are_followed(tmp_path):
    link, path = tmp_path / "link", tmp_path / "folder" / "model"
    path.parent.mkdir()
    link.symlink_to(path)
    small(MLPRegressor).save(link)  # to be made
    small(MLPRegressor, alpha=0.5).save(os.fsencode(link))
    assert link.is_symlink()
    assert cmlp.load(os.fsencode(path)).alpha == cmlp.load(link).alpha == 0.5
    assert os.listdir(path.parent) == ["model"]


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_writers_at_once(kind, tmp_path):
    """There is a whole file at every moment, that of one of them, and nothing beside it."""
    if kind == "processes" and not hasattr(os, "fork"):
        pytest.skip("no fork")
    path = tmp_path / "model"
    models = [small(MLPRegressor, alpha=i, hidden_layer_sizes=(99,)).fit(X, Y) for i in range(4)]
    expected = [est.predict(X) for est in models]
    models[0].save(path)
    failed = []

    def save(est):
        try:
            for _ in range(50):
                est.save(path)
        except Exception as error:
            failed.append(error)

    if kind == "threads":
        writers = [threading.Thread(target=save, args=(est,)) for est in models]
        for writer in writers:
            writer.start()
        alive = lambda: any(writer.is_alive() for writer in writers)  # noqa: E731
    else:
        children = []
        for est in models:
            children.append(os.fork())
            if not children[-1]:
                save(est)
                os._exit(len(failed))

        def alive():
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                children.remove(pid)
                assert status == 0
            return bool(children)

    n_read = 0
    while alive() or not n_read:
        est = cmlp.load(path)
        np.testing.assert_array_equal(est.predict(X), expected[est.alpha])
        n_read += 1
    assert not failed
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions(tmp_path):
    path = tmp_path / "model"
    old = os.umask(0o027)
    try:
        MLPRegressor().save(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    MLPRegressor().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# What is not a model file


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        cmlp.load(tmp_path / "missing")
    with pytest.raises(IsADirectoryError if os.name == "posix" else OSError):
        cmlp.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 100, b"\x80\x04K\x01.", b"\xff" * 64])
def test_other_content(tmp_path, content):
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a valid cmlp model file"):
        cmlp.load(path)


# For ever


@pytest.mark.parametrize("path", sorted(KEPT.glob("*.safetensors")), ids=lambda p: p.stem)
def test_files_of_earlier_versions(path):
    est = cmlp.load(path)
    expected = json.loads(path.with_suffix(".json").read_text())
    np.testing.assert_allclose(outputs(est, expected["X"]), expected["output"], rtol=1e-5)
    if "labels" in expected:
        assert est.predict(expected["X"]).tolist() == expected["labels"]
    if "checkpoint" in path.stem:
        est = small(MLPClassifier, **RESUMED).fit(X, Y, resume_from=path)
        whole = small(MLPClassifier, **RESUMED).fit(X, Y)
        np.testing.assert_allclose(est.loss_curve_, whole.loss_curve_, rtol=1e-5)


def outputs(est, rows):
    return (est.predict_proba if hasattr(est, "predict_proba") else est.predict)(rows)


#: Whose state is the most.
RESUMED = {"early_stopping": True, "dropout": 0.2, "ema_decay": 0.5, "max_iter": 6}


def test_there_are_files_of_earlier_versions():
    kept = {path.stem for path in KEPT.glob("*.safetensors")}
    assert kept >= {f"0.1.0-{name}" for name in [*CASES, "checkpoint"]}


def keep():
    """Write files of this version: of each case and a checkpoint."""
    for name, (est, y) in [*CASES.items(), ("checkpoint", (None, None))]:
        path = KEPT / f"{cmlp.__version__}-{name}.safetensors"
        if est is None:
            checkpoint = cmlp.Checkpoint(path, every=4)
            small(MLPClassifier, **RESUMED).fit(X, Y, checkpoint=checkpoint)
            est = cmlp.load(path)
        else:
            est.fit(X, y).save(path)
        rows = X[::40, : est.n_features_in_]
        expected = {"X": rows.tolist(), "output": np.asarray(outputs(est, rows)).tolist()}
        if hasattr(est, "classes_"):
            expected["labels"] = est.predict(rows).tolist()
        path.with_suffix(".json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keep()
