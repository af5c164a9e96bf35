"""Programs that other people wrote, on cmlp's estimators: skl2onnx and mlflow.

They are the extra "clients", which `make test` installs; skops is in test_persistence.py.
"""

import importlib
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cmlp
from cmlp import HiddenLayers, MLPClassifier, MLPRegressor
from cmlp._skl2onnx import AfterImport, register, register_when_imported

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
WORDS = np.array(["setosa", "versicolor", "virginica"])[Y]


# skl2onnx


def onnx_outputs(est, rows, **options):
    """What ONNX Runtime makes of the rows."""
    skl2onnx = pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = skl2onnx.to_onnx(est, rows[:1], options=options.get("options"))
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: rows})


TARGETS = {
    "multiclass": Y,
    "strings": WORDS,
    "binary": Y == 1,
    "two words": WORDS == "setosa",
    "multilabel": (Y[:, None] >= [0, 1, 2]).astype(int),
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("kind", TARGETS)
def test_classifiers_as_onnx(kind, activation, dtype):
    if kind == "multilabel" and dtype == np.float64:
        pytest.skip("ONNX Runtime has no Binarizer of double, which skl2onnx writes")
    rows = X.astype(dtype)
    est = MLPClassifier((6, 5), activation=activation, max_iter=40, random_state=0)
    est.fit(rows, TARGETS[kind])
    labels, p = onnx_outputs(est, rows, options={id(est): {"zipmap": False}})
    atol = 2e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(p, est.predict_proba(rows), atol=atol)
    np.testing.assert_array_equal(labels, est.predict(rows))


def test_classifiers_as_onnx_with_a_dict_for_each_row():
    """skl2onnx's default, as for scikit-learn's classifiers."""
    est = MLPClassifier((6,), max_iter=40, random_state=0).fit(X, WORDS)
    labels, p = onnx_outputs(est, X)
    np.testing.assert_array_equal(labels, est.predict(X))
    assert [sorted(row) for row in p] == [est.classes_.tolist()] * len(X)


@pytest.mark.parametrize("targets", [X[:, 0], X[:, :2]])
@pytest.mark.parametrize("out_activation", ["auto", "tanh", "logistic", "relu"])
def test_regressors_as_onnx(targets, out_activation):
    est = MLPRegressor(max_iter=40, out_activation=out_activation, random_state=0)
    est.fit(X, targets)
    (y,) = onnx_outputs(est, X)
    np.testing.assert_allclose(y.reshape(targets.shape), est.predict(X), atol=2e-6)


def test_pipelines_and_searches_as_onnx():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=40, random_state=0))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.1, 1]}, cv=2).fit(X, WORDS)
    for est in (search, search.best_estimator_):
        labels, _ = onnx_outputs(est, X)
        np.testing.assert_array_equal(labels, est.predict(X))


@pytest.mark.parametrize(
    ("est", "y", "what"),
    [
        (MLPClassifier(activation="gelu"), Y, "activation='gelu' is none of scikit-learn's"),
        (MLPClassifier((5, 5), activation=["relu", "tanh"]), Y, r"activation=\['relu', 'tanh'\]"),
        (MLPClassifier(), np.column_stack([Y, WORDS]), "y had several columns of classes"),
        (MLPClassifier(), Y[:, None] > [0, 1], "two labels for one with two classes"),
        (MLPRegressor("poisson"), Y, "no output activation 'exp'"),
        (MLPRegressor("quantile", quantile=[0.1, 0.9]), Y, "several quantiles in order"),
    ],
)
def test_what_skl2onnx_cannot_express_is_refused_by_name(est, y, what):
    skl2onnx = pytest.importorskip("skl2onnx")
    est.set_params(max_iter=2).fit(X, y)
    for model in (est, make_pipeline(StandardScaler(), est).fit(X, y)):
        with pytest.raises(ValueError, match=f"skl2onnx cannot convert .*{what}"):
            skl2onnx.to_onnx(model, X[:1])


@pytest.mark.slow
@pytest.mark.parametrize("imports", ["import cmlp, skl2onnx", "import skl2onnx, cmlp"])
def test_either_is_imported_first(imports):
    pytest.importorskip("skl2onnx")
    code = f"""
    import importlib.util
    import numpy as np
    {imports}
    assert importlib.util.find_spec("skl2onnx").name == "skl2onnx"
    from skl2onnx import to_onnx
    r = np.random.RandomState(0)
    X, y = r.randn(20, 3), r.randint(2, size=20)
    print(len(to_onnx(cmlp.MLPClassifier(max_iter=500).fit(X, y), X).graph.node) > 0)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "True\n", done.stderr


@pytest.mark.slow
def test_skl2onnx_may_be_blocked():
    """As those do who test without an optional package."""
    code = "import sys; sys.modules['skl2onnx'] = None; import cmlp; print(cmlp.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == f"{cmlp.__version__}\n", done.stderr


def test_skl2onnx_of_another_version(monkeypatch):
    """Without what is looked for in it: it is imported all the same."""
    pytest.importorskip("skl2onnx")
    monkeypatch.setitem(sys.modules, "skl2onnx.operator_converters.multilayer_perceptron", None)
    with pytest.raises(ImportError):
        register()
    register_when_imported()


def test_a_package_that_is_not_there_fails_to_import_as_ever(monkeypatch, tmp_path):
    called = []
    finder = AfterImport("no_such_package", lambda: called.append(1))
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_package'"):
        importlib.import_module("no_such_package")
    assert not called
    (tmp_path / "no_such_package.py").write_text("done = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module("no_such_package").done
    monkeypatch.delitem(sys.modules, "no_such_package")
    assert called == [1]


# mlflow


@pytest.fixture
def tracking(tmp_path, monkeypatch):
    """mlflow, writing to a folder of the test."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow")
    sklearn_flavor = pytest.importorskip("mlflow.sklearn")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    yield mlflow
    sklearn_flavor.autolog(disable=True)


@pytest.mark.slow
def test_mlflow_logs_by_itself(tracking):
    """As for scikit-learn's: all parameters, seven metrics of a classifier, the model."""
    with cmlp.patch_sklearn():
        tracking.sklearn.autolog(log_datasets=False)
    scaled = make_pipeline(StandardScaler(), MLPRegressor(max_iter=5, random_state=0))
    for est, y in ((MLPClassifier(max_iter=5, random_state=0), Y), (scaled, X[:, 0])):
        with tracking.start_run() as started, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            est.fit(X, y)
        run = tracking.get_run(started.info.run_id)
        assert set(est.get_params()) <= set(run.data.params)
        assert run.data.metrics["training_score"] == pytest.approx(est.score(X, y))
        if est is not scaled:
            assert len(run.data.metrics) == 7
        loaded = tracking.sklearn.load_model(f"runs:/{started.info.run_id}/model")
        np.testing.assert_array_equal(loaded.predict(X), est.predict(X))


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [{"skops_trusted_types": cmlp.TRUSTED_TYPES}, {"serialization_format": "cloudpickle"}],
    ids=str,
)
def test_mlflow_saves_and_loads(tracking, tmp_path, params):
    network = MLPClassifier(max_iter=5, random_state=0).fit(X, WORDS)
    for est in (network, HiddenLayers(MLPRegressor(max_iter=5)).fit(X, Y)):
        path = tmp_path / type(est).__name__
        tracking.sklearn.save_model(est, path, **params)
        loaded = tracking.sklearn.load_model(path)
        assert type(loaded) is type(est)
        method = "predict_proba" if est is network else "transform"
        np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(est, method)(X))
