"""ONNX models of fitted estimators, run by ONNX Runtime: predictions, labels, metadata."""

import json
import os
import sys

import numpy as np
import pytest
from hypothesis import given
from profiles import examples
from random_models import HIDDEN, models
from sklearn.base import is_classifier
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from cmlp import MLPClassifier, MLPRegressor, __version__

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RANDOM = examples(100)
X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)


def session_of(model):
    onnx.checker.check_model(model, full_check=True)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def outputs(model, rows):
    """What ONNX Runtime makes of the rows, by name."""
    session = session_of(model)
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, {"X": rows}), strict=True))


def check_labels(est, rows, p, found, atol):
    """Labels are equal but where two probabilities are."""
    expected = est.predict(rows)
    p = p if isinstance(p, list) else [p]
    if expected.ndim == 2 and len(p) == 1:  # of several labels
        clear = np.abs(p[0] - 0.5) > atol
    else:
        margins = [np.diff(np.sort(one, axis=1)[:, -2:], axis=1) for one in p]
        clear = (np.hstack(margins) > atol).reshape(expected.shape)
    np.testing.assert_array_equal(found[clear], expected[clear])


def check_model(est, rows, found, tolerance):
    """Outputs are predictions."""
    if not is_classifier(est):
        y = est.predict(rows)
        y = y.reshape(len(rows), -1) if y.ndim == 1 else y
        atol = tolerance * max(1, np.abs(y).max())
        assert found["variable"].shape == y.shape
        np.testing.assert_allclose(found["variable"], y, rtol=tolerance, atol=atol)
        return
    p = est.predict_proba(rows)
    labels, of_columns, expected = found.get("label"), [found.get("probabilities")], [p]
    if isinstance(p, list):
        expected, ks = p, range(len(p))
        of_columns = [found[f"probabilities_{k}"] for k in ks]
        labels = np.column_stack([found[f"label_{k}"].astype(object) for k in ks])
    for one, other in zip(of_columns, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)
    check_labels(est, rows, p, labels, tolerance)


@pytest.mark.slow
@given(model=models())
@RANDOM
def test_random_models(model):
    found = outputs(model.est.to_onnx(), model.X)
    check_model(model.est, model.X, found, model.tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", HIDDEN)
def test_each_activation_over_its_range(activation, dtype):
    """From where it is flat to where it is linear, and at zero."""
    z = np.concatenate([np.linspace(-40, 40, 4001), [-1e4, -1e-30, 0, 1e-30, 1e4]])
    est = MLPRegressor(hidden_layer_sizes=1, activation=activation, max_iter=1).fit(
        z[:9, None], z[:9]
    )
    coefs = [np.ones((1, 1)), np.ones((1, 1))]
    est.coefs_, est.intercepts_ = coefs, [np.zeros(1), np.zeros(1)]
    found = outputs(est.to_onnx(dtype=np.dtype(dtype).name), z[:, None].astype(dtype))
    y, expected = found["variable"][:, 0], est.predict(z[:, None].astype(dtype))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y, expected, rtol=20 * eps, atol=4 * eps)


def test_outputs_are_named_as_skl2onnx_names_them():
    skl2onnx = pytest.importorskip("skl2onnx")
    for est in (MLPClassifier(max_iter=2), MLPRegressor(max_iter=2)):
        est.fit(X, Y)
        model = est.to_onnx(dtype="float32")
        options = {id(est): {"zipmap": False}} if is_classifier(est) else None
        theirs = skl2onnx.to_onnx(est, X[:1].astype(np.float32), options=options)
        for one, other in (
            (model.graph.input, theirs.graph.input),
            (model.graph.output, theirs.graph.output),
        ):
            assert [value.name for value in one] == [value.name for value in other]
        rows = X.astype(np.float32)
        found = outputs(model, rows)
        for name, other in outputs(theirs, rows).items():
            one = found[name]
            np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.mark.parametrize("n_rows", [0, 1, 2, 4097])
def test_any_number_of_rows(n_rows):
    est = MLPClassifier((5,), max_iter=2, random_state=0).fit(X, Y)
    rows = np.resize(X, (n_rows, 4))
    p = outputs(est.to_onnx(), rows)["probabilities"]
    assert p.shape == (n_rows, 3)
    if n_rows:
        np.testing.assert_allclose(p, est.predict_proba(rows), atol=1e-12)


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_a_hidden_layer_as_an_output(layer):
    est = MLPClassifier((5, 3), activation=["gelu", "tanh"], max_iter=2).fit(X, Y)
    found = outputs(est.to_onnx(hidden_layer=layer), X)
    np.testing.assert_allclose(found["hidden_layer"], est.hidden_layer(X, layer), atol=1e-12)
    np.testing.assert_allclose(found["probabilities"], est.predict_proba(X), atol=1e-12)


def test_metadata():
    pd = pytest.importorskip("pandas")
    names = ["length", "width", "ä", "4"]
    est = MLPClassifier((5,), max_iter=2).fit(pd.DataFrame(X, columns=names), Y)
    model = est.to_onnx()
    about = {one.key: one.value for one in model.metadata_props}
    assert about["cmlp_version"] == model.producer_version == __version__
    assert about["estimator"] == "MLPClassifier"
    assert json.loads(about["feature_names"]) == names
    assert json.loads(about["classes"]) == [0, 1, 2]
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 13)]
    est = MLPRegressor("quantile", quantile=[0.9, 0.1], max_iter=2).fit(X, Y)
    about = {one.key: one.value for one in est.to_onnx().metadata_props}
    assert json.loads(about["quantiles"]) == [0.9, 0.1]
    assert "feature_names" not in about


def test_weights_as_they_are_now():
    est = MLPClassifier((5,), max_iter=2).fit(X, Y)
    est.coefs_[0] *= 3
    p = outputs(est.to_onnx(), X)["probabilities"]
    np.testing.assert_allclose(p, est.predict_proba(X), atol=1e-12)
    est.intercepts_ = [b + 0.5 for b in est.intercepts_]
    p = outputs(est.to_onnx(), X)["probabilities"]
    np.testing.assert_allclose(p, est.predict_proba(X), atol=1e-12)


# Files


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "model.onnx"
    est = MLPClassifier((5,), max_iter=2).fit(X, Y)
    model = est.to_onnx(path)
    assert path.read_bytes() == model.SerializeToString()
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_what_was_there_stays_where_a_file_cannot_be_written(tmp_path):
    est = MLPClassifier((5,), max_iter=2).fit(X, Y)
    for path in (tmp_path / "no" / "model.onnx", tmp_path):
        with pytest.raises(OSError, match=r"no|directory"):
            est.to_onnx(path)
    path = tmp_path / "model.onnx"
    path.write_text("before")
    est.coefs_[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="Weights of this MLPClassifier are not finite"):
        est.to_onnx(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["model.onnx"]


# Bad input


def test_before_fit():
    with pytest.raises(NotFittedError):
        MLPClassifier().to_onnx()


def test_weights_too_large_for_the_dtype():
    est = MLPClassifier((5,), max_iter=2).fit(X, Y)
    est.coefs_[0][0, 0] = 1e300
    with pytest.raises(ValueError, match="not finite in float32"):
        est.to_onnx(dtype="float32")


@pytest.mark.parametrize("dtype", ["float16", float, "double"])
def test_dtypes_that_there_are_not(dtype):
    est = MLPClassifier((5,), max_iter=2).fit(X, Y)
    with pytest.raises(ValueError, match="dtype must be None, 'float32' or 'float64', got"):
        est.to_onnx(dtype=dtype)


def test_hidden_layers_that_there_are_not():
    est = MLPClassifier((5,), max_iter=2).fit(X, Y)
    with pytest.raises(ValueError, match="layer must be between -1 and 0"):
        est.to_onnx(hidden_layer=1)
    est = MLPClassifier((5,), max_iter=2, n_members=2).fit(X, Y)
    with pytest.raises(ValueError, match=r"cannot hold hidden_layer=0 of .* n_members"):
        est.to_onnx(hidden_layer=0)


def test_classes_beyond_64_bits():
    est = MLPClassifier((5,), max_iter=2).fit(X, Y.astype(np.uint64) + np.uint64(2**63))
    with pytest.raises(ValueError, match="cannot hold classes_ beyond int64"):
        est.to_onnx()


def test_without_onnx(monkeypatch):
    est = MLPClassifier((5,), max_iter=2).fit(X, Y)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'onnx>=1\.14'"):
        est.to_onnx()


def test_an_onnx_that_is_too_old(monkeypatch):
    est = MLPClassifier((5,), max_iter=2).fit(X, Y)
    monkeypatch.setattr(onnx, "__version__", "1.13.1")
    with pytest.raises(ImportError, match=r"onnx 1\.14 or newer.*there is onnx 1\.13\.1"):
        est.to_onnx()
