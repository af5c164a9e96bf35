"""Model files of the estimators for tables: there and back, and files that were changed."""

import copy
import json
from contextlib import suppress

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import cmlp
from cmlp import TabularMLPClassifier, TabularMLPRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 3))
X[3, 0] = np.nan
QUICK = {"max_iter": 2, "random_state": 0, "n_members": 2, "hidden_layer_sizes": (4,)}
QUICK["n_folds"] = 2


def table():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abc"))
    frame["kind"] = np.where(X[:, 1] > 0, "u", "v")
    frame["id"] = [f"i{i % 30}" for i in range(len(X))]
    return frame


TARGETS = {
    "labels": (TabularMLPClassifier, np.where(X[:, 1] > 0, "yes", "no")),
    "indicator": (TabularMLPClassifier, (X[:, 1:] > 0).astype(int)),
    "columns": (TabularMLPClassifier, np.array([["a", "x"], ["b", "y"], ["c", "x"]] * 40)),
    "values": (TabularMLPRegressor, 1e3 * X[:, 1] + 7),
    "outputs": (TabularMLPRegressor, X[:, 1:]),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("n_folds", [1, 2])
def test_there_and_back(tmp_path, name, n_folds):
    kind, y = TARGETS[name]
    X_table = table()
    est = kind(**{**QUICK, "n_folds": n_folds}).fit(X_table, y)
    est.save(tmp_path / "model")
    loaded = cmlp.load(tmp_path / "model")
    assert type(loaded) is kind
    assert vars(loaded).keys() == vars(est).keys()
    assert loaded.get_params() == est.get_params()
    np.testing.assert_array_equal(loaded.predict(X_table), est.predict(X_table))
    with pytest.raises(ValueError, match="kind"):
        loaded.predict(X_table.drop(columns="kind"))
    loaded.fit(X_table, y)
    np.testing.assert_array_equal(loaded.predict(X_table), est.predict(X_table))


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(ValueError, match="not fitted"):
        TabularMLPClassifier().save(path)

    class Own(TabularMLPClassifier):
        pass

    est = Own(**QUICK).fit(X, TARGETS["labels"][1])
    with pytest.raises(TypeError, match="is not cmlp's"):
        est.save(path)
    est = TabularMLPClassifier(**QUICK).fit(X, TARGETS["labels"][1])
    est.n_bins = -1
    with pytest.raises(ValueError, match="cannot be saved"):
        est.save(path)
    assert not path.exists()


def parts_of(path):
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "model"
    TabularMLPRegressor(**QUICK).fit(table(), TARGETS["values"][1]).save(path)
    return parts_of(path)


def test_a_tensor_that_was_changed_is_refused_or_predicts(tmp_path, written):
    """Each array with values out of range, of another length or kind."""
    path = tmp_path / "model"
    changes = {
        "negative": lambda a: -a - 1,
        "large": lambda a: np.full_like(a, 2**20 if a.dtype.kind == "i" else 1e300),
        "short": lambda a: a.ravel()[:-1],
        "nan": lambda a: a * np.nan,
        "other": lambda a: a.astype(np.int64 if a.dtype.kind == "f" else np.float64),
        "matrix": lambda a: a[None],
    }
    refused = 0
    with np.errstate(all="ignore"):
        for name in written[1]:
            for change in changes.values():
                metadata, tensors = copy.deepcopy(written)
                tensors[name] = np.ascontiguousarray(change(tensors[name]))
                save_file(tensors, path, metadata=metadata)
                try:
                    est = cmlp.load(path)
                except ValueError:
                    refused += 1
                else:
                    with suppress(ValueError):  # numbers so large that they are infinite
                        est.predict(table())
    assert refused > 2 * len(written[1])


def test_parts_that_are_missing_or_changed_are_refused(tmp_path, written):
    path = tmp_path / "model"
    names = [name for name, text in written[0].items() if text.startswith("{")]
    assert {"params", "scales", "table", "network_0_params", "network_0_attributes"} <= {*names}
    for name in names:
        metadata, tensors = copy.deepcopy(written)
        del metadata[name]
        save_file(tensors, path, metadata=metadata)
        with pytest.raises(ValueError, match="not a valid cmlp model file"):
            cmlp.load(path)
    for field in json.loads(written[0]["table"]):
        for value in (None, -1, 10**9, "text", [1], {"tuple": []}, True):
            metadata, tensors = copy.deepcopy(written)
            state = json.loads(metadata["table"])
            if state[field] == value:
                continue
            state[field] = value
            metadata["table"] = json.dumps(state)
            save_file(tensors, path, metadata=metadata)
            try:
                est = cmlp.load(path)
            except ValueError:
                continue
            assert (field, value) in {
                ("estimator_name", "text"), ("embedding", 10**9), ("step_embedding", 10**9),
                ("has_own_names", True),
                ("names", None), ("has_own_names", False),
            } or est is None  # fmt: skip
