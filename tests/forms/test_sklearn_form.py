"""Models that move to scikit-learn and back: predictions, parameters, and training that goes on.

``make sklearn-versions`` runs this file beside each scikit-learn that cmlp knows.
"""

import pickle

import numpy as np
import pytest
import sklearn.neural_network as theirs
from hypothesis import given
from profiles import examples
from random_networks import cases
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError

import cmlp
from cmlp import from_sklearn

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Got `batch_size` less than 1"),
]
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
y = np.digitize(X[:, 0], [-0.5, 0.5])
REGRESSORS = ("one value", "values", "counts")


def outputs(est, X):
    return est.predict_proba(X) if hasattr(est, "predict_proba") else est.predict(X)


def assert_close(one, other, X):
    """Equal weights, and predictions that differ by the order of sums alone."""
    weights = [*one.coefs_, *one.intercepts_], [*other.coefs_, *other.intercepts_]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    tolerance = 1e-12 if one.coefs_[0].dtype == np.float64 else 2e-6
    ours, theirs = outputs(one, X), outputs(other, X)
    scale = max(1.0, np.abs(theirs).max())
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=tolerance)


def same_training(one, other, tolerance):
    """Weights and records of fits that went on in step."""
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max()))
    assert (one.t_, one.n_iter_) == (other.t_, other.n_iter_)
    assert one._no_improvement_count == other._no_improvement_count
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e3 * tolerance)


@pytest.mark.slow
@examples(60)
@given(case=cases())
def test_there_and_back(case):
    original = case.fitted(theirs)
    own = from_sklearn(original)
    assert type(own) is getattr(cmlp, case.name)
    assert own.get_params().items() >= original.get_params().items()
    assert_close(own, original, case.X)
    back = own.to_sklearn()
    assert type(back) is type(original)
    assert back.get_params() == original.get_params() == clone(back).get_params()
    assert_close(back, original, case.X)
    np.testing.assert_array_equal(outputs(back, case.X), outputs(original, case.X))
    np.testing.assert_array_equal(back.predict(case.X), original.predict(case.X))
    assert vars(back).keys() <= vars(original).keys()
    copy = pickle.loads(pickle.dumps(back))
    np.testing.assert_array_equal(outputs(copy, case.X), outputs(original, case.X))


@pytest.mark.slow
@examples(60)
@given(case=cases(solvers=("sgd", "adam")))
def test_partial_fit_goes_on_both_ways(case):
    original = case.fitted(theirs)
    own = from_sklearn(original)
    back = own.to_sklearn()
    tolerance = 1e-10 if case.X.dtype == np.float64 else 1e-3
    for _ in range(3):
        for est in (original, own, back):
            est.partial_fit(case.X, case.y)
    same_training(back, original, tolerance)
    same_training(own, original, tolerance)
    again = own.to_sklearn()
    copy = pickle.loads(pickle.dumps(from_sklearn(original)))
    for est in (original, again, copy):
        est.partial_fit(case.X, case.y)
    same_training(again, original, tolerance)
    same_training(copy, original, tolerance)


@pytest.mark.slow
@examples(40)
@given(case=cases(warm_start=True))
def test_warm_starts_go_on_both_ways(case):
    original = case.fitted(theirs)
    own = from_sklearn(original)
    back = own.to_sklearn()
    for est in (original, own, back):
        est.fit(case.X, case.y)
    is_double = case.X.dtype == np.float64
    if case.params["solver"] == "lbfgs":
        if not is_double:  # scikit-learn's line search goes astray in float32
            return
        tolerance = 1e-4  # L-BFGS-B amplifies the rounding of its first step
    else:
        tolerance = 1e-10 if is_double else 2e-3
    for est in (own, back):
        for a, b in zip(est.coefs_, original.coefs_, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_generator_goes_on_where_it_was(solver):
    """A RandomState given as random_state is copied, with its place."""
    random_state = np.random.RandomState(0)
    original = theirs.MLPClassifier((5,), solver=solver, max_iter=3, random_state=random_state)
    original.fit(X, y)
    own = from_sklearn(original)
    back = own.to_sklearn()
    for _ in range(3):
        for est in (original, own, back):
            est.partial_fit(X, y)
    same_training(own, original, 1e-12)
    same_training(back, original, 1e-12)


def test_early_stopping_attributes():
    original = theirs.MLPClassifier((5,), early_stopping=True, max_iter=20, random_state=0)
    original.fit(X, y)
    own = from_sklearn(original)
    back = own.to_sklearn()
    for est in (own, back):
        assert est.validation_scores_ == original.validation_scores_
        assert est.best_validation_score_ == original.best_validation_score_
        assert est.best_loss_ is None
    assert own.validation_scores_[own.best_iter_ - 1] == own.best_validation_score_
    back.set_params(warm_start=True, max_iter=2).fit(X, y)
    assert_close(from_sklearn(back), back, X)


def test_names_sparse_input_and_saving(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    original = theirs.MLPClassifier((5,), max_iter=3, random_state=0).fit(frame, y)
    own = from_sklearn(original)
    assert own.feature_names_in_.tolist() == list("abcd")
    own.save(tmp_path / "model.safetensors")
    loaded = cmlp.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(frame), own.predict_proba(frame))
    assert_close(loaded.to_sklearn(), original, frame)
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.to_sklearn().predict(frame[list("badc")])
    rows = sparse.random(60, 4, 0.3, "csr", random_state=0)
    labels = sparse.csr_matrix((X[:, :3] > 0).astype(int))
    original = theirs.MLPClassifier((5,), max_iter=3, random_state=0).fit(rows, labels)
    own = from_sklearn(original)
    assert_close(own, original, rows)
    assert sparse.issparse(own.predict(rows))
    assert (own.to_sklearn().predict(rows) != original.predict(rows)).nnz == 0


def test_nothing_is_shared():
    own = cmlp.MLPClassifier([5], max_iter=3, random_state=0).fit(X, y)
    before = own.predict_proba(X)
    other = own.to_sklearn()
    other.partial_fit(X, y)
    other.coefs_[0][...] = 0
    other.hidden_layer_sizes.append(1)
    other.loss_curve_.clear()
    np.testing.assert_array_equal(own.predict_proba(X), before)
    assert own.hidden_layer_sizes == [5]
    assert own.loss_curve_


def test_patched_names_make_no_difference():
    own = cmlp.MLPClassifier((5,), max_iter=3, random_state=0).fit(X, y)
    with cmlp.patch_sklearn():
        other = own.to_sklearn()
        assert type(other).__module__.startswith("sklearn.")
        assert_close(from_sklearn(other), own, X)


def test_read_only_weights_and_arrays_alone():
    """What somebody has put together of arrays, as files in other formats do."""
    own = cmlp.MLPClassifier((5,), max_iter=3, random_state=0).fit(X, y)
    made = theirs.MLPClassifier((5,))
    for name in ("coefs_", "intercepts_"):
        arrays = [array.copy() for array in getattr(own, name)]
        for array in arrays:
            array.flags.writeable = False
        setattr(made, name, arrays)
    made.n_layers_, made.n_outputs_, made.out_activation_ = 3, 3, "softmax"
    made.classes_ = np.arange(3)
    back = from_sklearn(made)
    np.testing.assert_array_equal(back.predict_proba(X), own.predict_proba(X))
    np.testing.assert_array_equal(back.predict(X), own.predict(X))
    back.partial_fit(X, y)
    made.n_outputs_, made.out_activation_, made.classes_ = 3, "logistic", np.arange(3)
    assert from_sklearn(made).predict(X).shape == (60, 3)


# What one of them cannot hold

REFUSED = {
    "activation='gelu'": {"activation": "gelu"},
    "activation=['relu', 'tanh']": {"activation": ["relu", "tanh"], "hidden_layer_sizes": (3, 3)},
    "n_members=2": {"n_members": 2},
    "encodings=": {"encodings": [("identity", 0, 4)]},
}
NEEDED = {
    "dropout=0.1": {"dropout": 0.1},
    "loss='focal'": {"loss": "focal"},
    "label_smoothing=0.1": {"label_smoothing": 0.1},
    "solver='adamw'": {"solver": "adamw"},
    "learning_rate='cosine'": {"learning_rate": "cosine"},
    "warmup_fraction=0.5": {"warmup_fraction": 0.5},
    "max_grad_norm=1.0": {"max_grad_norm": 1.0},
    "ema_decay=0.9": {"ema_decay": 0.9},
    "class_weight={0: 2}": {"class_weight": {0: 2}},
    "fit_intercept=False": {"fit_intercept": False},
    "partial_fit_reshuffle=True": {"partial_fit_reshuffle": True},
    "max_time=60": {"max_time": 60},
    "scoring='neg_log_loss'": {"scoring": "neg_log_loss", "early_stopping": True},
}


@pytest.mark.parametrize("named", REFUSED)
def test_refused_networks(named):
    params = {"hidden_layer_sizes": (3,), "max_iter": 2, **REFUSED[named]}
    own = cmlp.MLPClassifier(**params).fit(X, y)
    for predict_only in (False, True):
        with pytest.raises(ValueError, match="to_sklearn cannot hold") as error:
            own.to_sklearn(predict_only=predict_only)
        assert named in str(error.value)


@pytest.mark.parametrize("named", NEEDED)
def test_refused_trainings(named):
    own = cmlp.MLPClassifier((3,), max_iter=2, random_state=0).set_params(**NEEDED[named])
    own.fit(X, y)
    with pytest.raises(ValueError, match="which training needs") as error:
        own.to_sklearn()
    assert named in str(error.value)
    other = own.to_sklearn(predict_only=True)
    assert_close(own, other, X)
    assert other.get_params() == clone(other.fit(X, y)).get_params()


@pytest.mark.parametrize(
    "params",
    [
        {"loss": "huber"},
        {"loss": "quantile", "quantile": 0.9},
        {"loss": "gamma"},
        {"loss": "tweedie", "tweedie_power": 1},
        {"loss": "poisson", "out_activation": "exp"},
        {"out_activation": "tanh"},
        {"out_activation": "logistic", "loss": "absolute_error"},
        {"out_activation": "exp"},
        {"dtype": "float32", "n_jobs": 1, "partial_fit_loss_curve": False},
    ],
    ids=str,
)
def test_losses_and_output_activations(params):
    own = cmlp.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0, **params)
    own.fit(X, y + 1.0)
    if params.get("loss", "squared_error") in ("squared_error", "poisson") and (
        params.get("out_activation", "auto") in ("auto", "exp" if "loss" in params else "auto")
    ):
        assert_close(own, own.to_sklearn(), X.astype(own.coefs_[0].dtype))
    else:
        with pytest.raises(ValueError, match="loss="):
            own.to_sklearn()
    other = own.to_sklearn(predict_only=True)
    assert_close(own, other, X.astype(own.coefs_[0].dtype))
    other.set_params(max_iter=1).fit(X, y + 1.0)


def test_quantiles_and_columns_of_classes_are_refused():
    own = cmlp.MLPRegressor("quantile", (3,), quantile=[0.1, 0.9], max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match=r"quantile=\[0.1, 0.9\]"):
        own.to_sklearn(predict_only=True)
    columns = np.c_[y, y[::-1]] + 5
    with pytest.raises(ValueError, match="classes_="):
        cmlp.MLPClassifier((3,), max_iter=2).fit(X, columns).to_sklearn(predict_only=True)


def test_what_is_no_fitted_network():
    with pytest.raises(NotFittedError):
        cmlp.MLPClassifier().to_sklearn()
    with pytest.raises(NotFittedError):
        from_sklearn(theirs.MLPRegressor())
    own = cmlp.MLPRegressor(hidden_layer_sizes=(2,), max_iter=2).fit(X, y)
    for other in (own, cmlp.MLPRegressor, theirs.MLPRegressor, 3, None, BaseEstimator()):
        with pytest.raises(TypeError, match="from_sklearn takes"):
            from_sklearn(other)
    broken = own.to_sklearn()
    broken.coefs_[1] = broken.coefs_[1][:1]
    with pytest.raises(ValueError, match="do not fit a network"):
        from_sklearn(broken)
    for name in ("intercepts_", "out_activation_", "n_outputs_", "n_layers_"):
        broken = own.to_sklearn()
        delattr(broken, name)
        with pytest.raises(ValueError, match=f"needs {name}"):
            from_sklearn(broken)
    broken = own.to_sklearn()
    broken.n_outputs_ = 2
    with pytest.raises(ValueError, match="n_outputs_ is 2"):
        from_sklearn(broken)
    broken = own.to_sklearn().set_params(alpha=-1)
    with pytest.raises(ValueError, match="'alpha'"):
        from_sklearn(broken)


class Encoder(TransformerMixin, cmlp.MLPRegressor):
    def transform(self, X):
        return self.hidden_layer(X)


class Doubled(cmlp.MLPRegressor):
    def predict(self, X):
        return 2 * super().predict(X)


class Fitted(cmlp.MLPRegressor):
    def fit(self, X, y):
        return super().fit(X, y)


class TheirDoubled(theirs.MLPRegressor):
    def predict(self, X):
        return 2 * super().predict(X)


def test_subclasses():
    params = {"hidden_layer_sizes": (2,), "max_iter": 2}
    own = Encoder(**params).fit(X, y)
    assert_close(own.to_sklearn(), own, X)
    with pytest.raises(TypeError, match="overrides predict"):
        Doubled(**params).fit(X, y).to_sklearn(predict_only=True)
    with pytest.raises(TypeError, match="overrides fit"):
        Fitted(**params).fit(X, y).to_sklearn()
    own = Fitted(**params).fit(X, y)
    assert_close(own.to_sklearn(predict_only=True), own, X)
    with pytest.raises(TypeError, match="overrides predict"):
        from_sklearn(TheirDoubled(**params).fit(X, y))
    own = cmlp.MLPRegressor(**params).fit(X, y)
    own.predict = lambda X: X
    with pytest.raises(TypeError, match="overrides predict"):
        own.to_sklearn()


def test_between_epochs():
    """A model that is looked at while it trains is one that has been trained so far."""
    seen = []

    def score(est, X_val, y_val):
        seen.append((est.to_sklearn(predict_only=True), est.predict_proba(X)))
        return 1.0

    est = cmlp.MLPClassifier((3,), early_stopping=True, scoring=score, max_iter=3)
    est.fit(X, y)
    assert len(seen) == 3
    for other, p in seen:
        np.testing.assert_allclose(other.predict_proba(X), p, atol=1e-14)


# Other packages


def test_skops_trusts_it():
    sio = pytest.importorskip("skops.io")
    own = cmlp.MLPClassifier((3,), max_iter=3, random_state=0).fit(X, y)
    held = sio.dumps(own.to_sklearn())
    assert sio.get_untrusted_types(data=held) == []
    np.testing.assert_array_equal(sio.loads(held).predict(X), own.predict(X))
    own.partial_fit(X, y)
    assert sio.get_untrusted_types(data=sio.dumps(own.to_sklearn(predict_only=True))) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_skl2onnx_converts_it():
    skl2onnx = pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    own = cmlp.MLPClassifier((3,), max_iter=3, random_state=0).fit(X, y)
    rows = X.astype(np.float32)
    model = skl2onnx.to_onnx(own.to_sklearn(), rows[:1], options={"zipmap": False})
    session = runtime.InferenceSession(model.SerializeToString())
    labels, p = session.run(None, {session.get_inputs()[0].name: rows})
    np.testing.assert_array_equal(labels, own.predict(rows))
    np.testing.assert_allclose(p, own.predict_proba(rows), atol=2e-6)
