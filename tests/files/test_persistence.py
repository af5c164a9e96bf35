"""Copies and company: clone, pickle, joblib, Pipelines, metadata routing, feature names, HTML."""

import copy
import os
import pickle
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from test_files import CASES
from test_files import X as FLOWERS

import cmlp
from cmlp import MLPClassifier, MLPRegressor
from cmlp._optimizers import OPTIMIZERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

COPIES = {
    "pickle": lambda est: pickle.loads(pickle.dumps(est)),
    "old pickle": lambda est: pickle.loads(pickle.dumps(est, protocol=2)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


def make(name, **params):
    params = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0, **params}
    return getattr(cmlp, name)(**params)


@pytest.fixture(params=["MLPClassifier", "MLPRegressor"])
def name(request):
    return request.param


@pytest.fixture
def data(name):
    load = load_breast_cancer if name == "MLPClassifier" else load_diabetes
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X)[:100], y[:100]


def assert_equal_models(one, other, X):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_array_equal(a, b)
    assert getattr(one, "loss_curve_", None) == getattr(other, "loss_curve_", None)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def changed(est):
    """Whether training went on from the weights of a fit, and did not start anew."""
    return len(est.loss_curve_) > 4


# clone


def test_clone(name, data):
    est = make(name, alpha=0.5, fit_intercept=False).fit(*data)
    copied = clone(est)
    assert copied.get_params() == est.get_params()
    with pytest.raises(NotFittedError):
        copied.predict(data[0])
    assert_equal_models(copied.fit(*data), est, data[0])


def test_set_params(name, data):
    est = make(name)
    assert est.set_params(alpha=0.25, solver="sgd") is est
    assert est.get_params()["alpha"] == 0.25
    assert est.solver == "sgd"
    with pytest.raises(ValueError, match="Invalid parameter 'dropout_rate'"):
        est.set_params(dropout_rate=0.5)
    est.set_params(solver="newton")  # looked at by fit
    with pytest.raises(ValueError, match="'solver' parameter of"):
        est.fit(*data)


def test_parameters_are_stored_as_given(name):
    sizes = np.array([4, 3])
    est = make(name, hidden_layer_sizes=sizes, momentum=np.float64(0.5))
    assert est.hidden_layer_sizes is sizes
    assert type(est.momentum) is np.float64


# Copies of a fitted estimator


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("how", COPIES)
def test_copy_predicts_the_same(how, solver, name, data):
    X, y = data
    est = make(name, solver=solver, early_stopping=solver == "adam").fit(X, y)
    copied = COPIES[how](est)
    assert_equal_models(copied, est, X)
    public = {k for k in vars(est) if not k.startswith("_")}
    assert public == {k for k in vars(copied) if not k.startswith("_")}
    assert copied.score(X, y) == est.score(X, y)


@pytest.mark.parametrize("how", ["pickle", "old pickle", "deepcopy"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_in_a_copy(solver, how, name, data):
    """Two calls, a copy and two calls are four calls, momentum and all."""
    X, y = data
    kwargs = {"classes": np.unique(y)} if name == "MLPClassifier" else {}
    est = make(name, solver=solver, learning_rate="invscaling")
    for _ in range(2):
        est.partial_fit(X, y, **kwargs)
    copied = COPIES[how](COPIES[how](est))  # a copy of a copy: a job that checkpoints twice
    before = est.coefs_[0].copy()
    for _ in range(2):
        copied.partial_fit(X, y)
    np.testing.assert_array_equal(est.coefs_[0], before)  # the copy has weights of its own
    for _ in range(2):
        est.partial_fit(X, y)
    assert_equal_models(copied, est, X)
    assert copied.t_ == est.t_ == 400


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_warm_start_goes_on_in_a_copy(how, name, data):
    X, y = data
    est = make(name, warm_start=True).fit(X, y)
    copied = COPIES[how](est)
    assert_equal_models(copied.fit(X, y), est.fit(X, y), X)
    assert changed(copied)


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_partial_fit_after_a_copy_of_a_fitted_model(how, name, data):
    """The optimizer starts anew, the weights do not."""
    X, y = data
    est = make(name).fit(X, y)
    copied = COPIES[how](est)
    loss = est.loss_
    copied.partial_fit(X, y)
    assert copied.loss_ < loss
    assert changed(copied)


def test_unfitted_pickle(name, data):
    est = COPIES["pickle"](make(name))
    with pytest.raises(NotFittedError):
        est.predict(data[0])
    est.fit(*data)


@pytest.mark.parametrize("mmap_mode", [None, "r", "c"])
def test_joblib(mmap_mode, name, data, tmp_path):
    X, y = data
    est = make(name).fit(X, y)
    joblib.dump(est, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode=mmap_mode)
    if mmap_mode == "r":
        assert isinstance(loaded.coefs_[0], np.memmap)
        assert not loaded.coefs_[0].flags.writeable
    assert_equal_models(loaded, est, X)
    weights = est.coefs_[0].copy()
    loaded.partial_fit(X, y)
    assert changed(loaded)
    assert not np.array_equal(loaded.coefs_[0], weights)
    again = joblib.load(tmp_path / "model.joblib", mmap_mode=mmap_mode)
    np.testing.assert_array_equal(again.coefs_[0], weights)  # the file is as it was


def test_joblib_with_read_only_weights_and_warm_start(name, data, tmp_path):
    X, y = data
    est = make(name, warm_start=True).fit(X, y)
    joblib.dump(est, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert_equal_models(loaded.fit(X, y), est.fit(X, y), X)


def test_weights_are_live(name, data):
    """coefs_ may be changed in place or replaced; a copy's are its own."""
    X, y = data
    est = make(name).fit(X, y)
    expected = copy.deepcopy(est)
    est.coefs_[0][...] = 0
    est.coefs_[1] = np.zeros_like(est.coefs_[1])
    est.intercepts_[1][...] = 1.5
    if name == "MLPRegressor":
        np.testing.assert_array_equal(est.predict(X), 1.5)
    else:
        np.testing.assert_allclose(est.predict_proba(X)[:, 1], 1 / (1 + np.exp(-1.5)))
    assert_equal_models(make(name).fit(X, y), expected, X)


# In the company of scikit-learn


@pytest.mark.slow
def test_pipeline_and_searches(name, data):
    X, y = data
    pipeline = Pipeline([("scale", StandardScaler()), ("mlp", make(name))])
    search = GridSearchCV(
        pipeline, {"mlp__hidden_layer_sizes": [(3,), (4, 2)], "mlp__alpha": [0.1, 1.0]}, cv=2
    )
    search.fit(X, y)
    assert search.best_params_["mlp__alpha"] in (0.1, 1.0)
    assert search.predict(X).shape == y.shape
    one_job = cross_val_score(make(name), X, y, cv=2)
    np.testing.assert_array_equal(cross_val_score(make(name), X, y, cv=2, n_jobs=2), one_job)


def test_sample_weight_through_a_pipeline(name, data):
    X, y = data
    weight = np.linspace(0, 1, len(X))
    expected = make(name).fit(X, y, weight)
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler(with_mean=False, with_std=False)
        scaler.set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, make(name).set_fit_request(sample_weight=True))
        pipeline.fit(X, y, sample_weight=weight)
    assert_equal_models(pipeline[-1], expected, X)
    unweighted = make(name).fit(X, y)
    assert not np.array_equal(unweighted.coefs_[0], expected.coefs_[0])


def test_coefs_init_through_a_pipeline(name, data):
    X, y = data
    start = make(name, random_state=7).fit(X, y)
    init = {"coefs_init": start.coefs_, "intercepts_init": start.intercepts_}
    expected = make(name).fit(X, y, **init)
    with sklearn.config_context(enable_metadata_routing=True):
        est = make(name).set_fit_request(coefs_init=True, intercepts_init=True)
        pipeline = make_pipeline(StandardScaler(with_mean=False, with_std=False), est)
        pipeline.fit(X, y, **init)
    assert_equal_models(pipeline[-1], expected, X)


def test_unrequested_metadata_is_an_error(name, data):
    X, y = data
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler(), make(name))
        with pytest.raises(ValueError, match="sample_weight"):
            pipeline.fit(X, y, sample_weight=np.ones(len(X)))


def test_metadata_requests(name):
    routing = make(name).get_metadata_routing()
    validation = {"X_val", "y_val", "sample_weight_val"}
    checkpoints = {"checkpoint", "resume_from"}
    expected = {"sample_weight", "coefs_init", "intercepts_init", *checkpoints} | validation
    assert set(routing.fit.requests) == expected
    assert set(routing.score.requests) == {"sample_weight"}
    expected = {"sample_weight", "classes"} if name == "MLPClassifier" else {"sample_weight"}
    assert set(routing.partial_fit.requests) == expected


def test_data_frames_and_feature_names(name, data):
    X, y = data
    expected = make(name).fit(X, y)
    frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    est = make(name).fit(frame, pd.Series(y))
    assert list(est.feature_names_in_) == list(frame.columns)
    assert est.n_features_in_ == X.shape[1]
    np.testing.assert_array_equal(est.predict(frame), expected.predict(X))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        est.predict(X)
    with pytest.raises(ValueError, match="feature names should match"):
        est.predict(frame.rename(columns={"column 0": "another"}))
    est.partial_fit(frame, y)
    est.fit(X, y)
    assert not hasattr(est, "feature_names_in_")


def test_data_frame_of_mixed_types(name, data):
    X, y = data
    frame = pd.DataFrame({"a": X[:, 0].astype(np.float32), "b": np.arange(100) / 50})
    frame["c"] = (X[:, 1] > 0).astype(bool)
    expected = make(name).fit(frame.to_numpy(dtype=np.float64), y)
    est = make(name).fit(frame, y)
    np.testing.assert_array_equal(est.coefs_[0], expected.coefs_[0])
    np.testing.assert_array_equal(est.predict(frame), expected.predict(frame.to_numpy(float)))


def test_categorical_targets():
    X, y = load_breast_cancer(return_X_y=True)
    X, y = StandardScaler().fit_transform(X)[:80], pd.Series(y[:80]).map({0: "bad", 1: "good"})
    est = make("MLPClassifier").fit(X, y.astype("category"))
    assert list(est.classes_) == ["bad", "good"]
    assert set(est.predict(X)) <= {"bad", "good"}


def test_html_and_text(name, data):
    est = make(name, alpha=0.125)
    assert "hidden_layer_sizes=(6,)" in repr(est)
    for model in (est, clone(est).fit(*data), make_pipeline(StandardScaler(), est)):
        html = model._repr_html_()
        assert name in html
        assert "0.125" in html
    with sklearn.config_context(print_changed_only=False):
        assert "fit_intercept=True" in repr(est)


def test_is_fitted(name, data):
    est = make(name)
    with pytest.raises(NotFittedError):
        check_is_fitted(est)
    check_is_fitted(est.fit(*data))


def test_threads_may_share_a_fitted_model(name, data):
    X, y = data
    est = make(name).fit(X, y)
    expected = est.predict(X)
    with joblib.parallel_config(backend="threading", n_jobs=4):
        results = joblib.Parallel()(joblib.delayed(est.predict)(X) for _ in range(40))
    assert all(np.array_equal(result, expected) for result in results)


def test_subclass(data, name):
    base = MLPClassifier if name == "MLPClassifier" else MLPRegressor

    class Wide(base):
        """Without an __init__ of its own."""

        def predict(self, X):
            return super().predict(X)[::-1]

    est = Wide(hidden_layer_sizes=(6,), max_iter=4, random_state=0).fit(*data)
    np.testing.assert_array_equal(
        est.predict(data[0])[::-1], make(name).fit(*data).predict(data[0])
    )


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_holds_its_weights_in_one_vector(name, how):
    """So that predict need not pack them again; and the vector is the copy's own."""
    X, y = np.eye(5), [0, 1, 0, 1, 1]
    est = make(name).fit(X, y)
    again = COPIES[how](est)
    vector = again._parameters.vector
    assert all(coef.base is vector or coef.base.base is vector for coef in again.coefs_)
    before = est.predict(X)
    again.partial_fit(X, y)
    np.testing.assert_array_equal(est.predict(X), before)


def test_predict_uses_the_biases_that_the_model_has(name):
    X, y = np.eye(5), [0, 1, 0, 1, 1]
    est = make(name).fit(X, y)
    expected = est.predict(X)
    np.testing.assert_array_equal(est.set_params(fit_intercept=False).predict(X), expected)


def fitted(kind):
    est, y = CASES[kind]
    return clone(est).fit(FLOWERS, y), y


@pytest.mark.parametrize("kind", CASES)
def test_skops(kind):
    """No more types to be trusted than are documented, and no pickle."""
    skops = pytest.importorskip("skops.io")
    est, _ = fitted(kind)
    dumped = skops.dumps(est)
    assert set(skops.get_untrusted_types(data=dumped)) <= set(cmlp.TRUSTED_TYPES)
    assert_equal_models(skops.loads(dumped, trusted=cmlp.TRUSTED_TYPES), est, FLOWERS)


@pytest.mark.parametrize("solver", OPTIMIZERS)
@pytest.mark.parametrize("params", [{}, {"ema_decay": 0.9, "max_grad_norm": 1.0}])
def test_skops_of_an_optimizer(solver, params):
    """Training goes on after it with the same numbers."""
    skops = pytest.importorskip("skops.io")
    if solver == "schedule_free_adamw":
        params = {}  # has an average of its own
    est = MLPRegressor(hidden_layer_sizes=(4,), solver=solver, random_state=0, **params)
    est.partial_fit(FLOWERS, FLOWERS[:, 0])
    again = skops.loads(skops.dumps(est), trusted=cmlp.TRUSTED_TYPES)
    for one in (est, again):
        one.partial_fit(FLOWERS, FLOWERS[:, 0])
    np.testing.assert_array_equal(again.predict(FLOWERS), est.predict(FLOWERS))


def test_other_versions_of_scikit_learn(tmp_path):
    """Whichever has written a file, this one reads it and goes on with the model.

    CMLP_PICKLES names a folder that several versions write to, one after another and again.
    """
    folder = Path(os.environ.get("CMLP_PICKLES", tmp_path))
    for kind in CASES:
        est, y = fitted(kind)
        path = folder / f"{kind}.{sklearn.__version__}"
        path.with_suffix(path.suffix + ".pickle").write_bytes(pickle.dumps(est))
        joblib.dump(est, path.with_suffix(path.suffix + ".joblib"))
        est.save(path.with_suffix(path.suffix + ".safetensors"))
    files = sorted(folder.iterdir())
    assert len(files) >= 3 * len(CASES)
    for path in files:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # which a LabelBinarizer of another version gives
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            if path.suffix == ".pickle":
                loaded = pickle.loads(path.read_bytes())
            else:
                loaded = (joblib if path.suffix == ".joblib" else cmlp).load(path)
        est, y = fitted(path.name.partition(".")[0])
        assert_equal_models(loaded, est, FLOWERS)
        more = [one.set_params(warm_start=True, random_state=1) for one in (loaded, est)]
        assert_equal_models(*[one.fit(FLOWERS, y) for one in more], FLOWERS)
