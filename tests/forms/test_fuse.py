"""Pipelines as one network: the same predictions from the raw row, or a refusal by name."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn.neural_network as theirs
from forms_of_pipelines import X, Y, assert_same, labels, network, y
from hypothesis import assume, given
from hypothesis import strategies as st
from profiles import examples
from random_networks import N_FEATURES, cases
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import (
    RFE,
    SelectFromModel,
    SelectKBest,
    VarianceThreshold,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

import cmlp
from cmlp import fuse

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Got `batch_size` less than 1"),
]
SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    StandardScaler(with_mean=False, with_std=False),
    MinMaxScaler(),
    MinMaxScaler((-3, 1)),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False, unit_variance=True),
    RobustScaler(with_scaling=False),
]
STEPS = [
    *SCALERS,
    PCA(),
    PCA(2, whiten=True),
    PCA(1, svd_solver="full"),
    IncrementalPCA(2, whiten=True),
    TruncatedSVD(1, random_state=0),
    VarianceThreshold(),
    SelectKBest(lambda X, y: np.arange(X.shape[1]), k=1),
    SelectFromModel(LinearRegression(), threshold=-np.inf, max_features=2),
    RFE(LinearRegression(), n_features_to_select=1),
    FunctionTransformer(),
    "passthrough",
    None,
    make_pipeline(MaxAbsScaler(), PCA()),
    ColumnTransformer([("one", StandardScaler(), [0])], remainder="passthrough"),
    ColumnTransformer(
        [
            ("last", make_pipeline(RobustScaler(), PCA(1)), [-1]),
            ("all", "passthrough", slice(0, None)),
        ],
        transformer_weights={"last": 0.5},
    ),
]


def pipelines(steps, last):
    return Pipeline([(f"s{i}", step) for i, step in enumerate(steps)] + [("net", last)])


def is_well_conditioned(rows):
    """Whether no direction of these rows is but the noise of rounding."""
    deviations = rows - rows.mean(axis=0)
    values = np.linalg.svd(deviations / deviations.std(axis=0), compute_uv=False)
    return values[-1] > 1e-3 * values[0]


@pytest.mark.slow
@examples(150)
@given(case=cases(), data=st.data())
def test_random_pipelines(case, data):
    steps = data.draw(st.lists(st.sampled_from(STEPS), max_size=4))
    module = data.draw(st.sampled_from([cmlp, theirs]))
    scales = 10.0 ** np.array(data.draw(st.lists(st.integers(-3, 3), min_size=5, max_size=5)))
    shifts = data.draw(st.lists(st.integers(-3, 3), min_size=5, max_size=5))
    X = ((case.X + np.array(shifts)) * scales).astype(case.X.dtype)
    # labels are nothing to select columns by
    target = X[:, 0] if case.y.ndim > 1 or case.y.dtype.kind == "U" else case.y
    fitted, rows = [], X
    for step in steps:
        if step is None or isinstance(step, str):
            fitted.append(step)
        elif rows.shape[1] > 2 or step in SCALERS:
            assume(step in SCALERS or is_well_conditioned(rows))
            fitted.append(clone(step).fit(rows, target))
            rows = fitted[-1].transform(rows)
    # a network for these rows, whose training does not diverge
    largest = np.abs(rows).max(axis=0)
    last = getattr(module, case.name)(**case.params).fit(rows / largest, case.y)
    last.coefs_[0] /= largest[:, None]
    pipeline = pipelines(fitted, last)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fused = fuse(pipeline)
    assume(not caught)  # what it says then is tested beside
    assert type(fused) is getattr(cmlp, case.name)
    assert fused.n_features_in_ == N_FEATURES
    is_double = fused.coefs_[0].dtype == rows.dtype == X.dtype == np.float64
    assert_same(fused, pipeline, X, 1e-12 if is_double else 1e-4)
    assert_same(fused.to_sklearn(), fused, X.astype(np.float64), 1e-12 if is_double else 1e-5)


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
@pytest.mark.parametrize("targets", [y, Y], ids=["one", "several"])
def test_scaled_targets(scaler, targets):
    pipeline = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), network()), transformer=scaler
    )
    assert_same(fuse(pipeline.fit(X, targets)), pipeline, X)
    inner = TransformedTargetRegressor(
        network(), transformer=make_pipeline(scaler, MaxAbsScaler())
    )
    pipeline = make_pipeline(PCA(3), inner).fit(X, targets)
    assert_same(fuse(pipeline), pipeline, X)
    nested = TransformedTargetRegressor(pipeline, transformer=MinMaxScaler()).fit(X, targets)
    assert_same(fuse(nested), nested, X)


def test_names_and_columns_of_a_frame(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcdef"))
    transformer = ColumnTransformer(
        [
            ("scaled", StandardScaler(), ["e", "b"]),
            ("both", make_pipeline(MinMaxScaler(), PCA(1)), ["b", "a"]),
            ("none", StandardScaler(), []),
            ("gone", "drop", ["d"]),
            ("kept", "passthrough", lambda X: ["c"]),
        ],
        remainder=MaxAbsScaler(),
        transformer_weights={"both": 3.0, "remainder": 0.1},
    )
    for output in ("default", "pandas"):
        pipeline = make_pipeline(transformer, VarianceThreshold(), RobustScaler(), network())
        pipeline.set_output(transform=output).fit(frame, y)
        fused = fuse(pipeline)
        assert fused.feature_names_in_.tolist() == list("abcdef")
        assert fused.n_features_in_ == 6
        assert_same(fused, pipeline, frame)
        with pytest.raises(ValueError, match="feature names should match"):
            fused.predict(frame[list("bacdef")])
        fused.save(tmp_path / "fused.safetensors")
        loaded = cmlp.load(tmp_path / "fused.safetensors")
        np.testing.assert_array_equal(loaded.predict(frame), fused.predict(frame))
        np.testing.assert_array_equal(
            pickle.loads(pickle.dumps(fused)).predict(frame), fused.predict(frame)
        )
        assert_same(fused.to_sklearn(), pipeline, frame)
    no_frame = pipelines([StandardScaler()], network()).fit(X, y)
    assert not hasattr(fuse(no_frame), "feature_names_in_")


def test_a_selector_of_a_fitted_model_needs_no_fit():
    selector = SelectFromModel(LinearRegression().fit(X, y), prefit=True)
    pipeline = pipelines([selector], network().fit(selector.transform(X), y))
    assert_same(fuse(pipeline), pipeline, X)
    with pytest.raises(NotFittedError):
        fuse(pipelines([SelectKBest(k=2)], pipeline[-1]))


def test_classifiers_sparse_rows_and_wrappers():
    clf = cmlp.MLPClassifier((4,), max_iter=3, random_state=0)
    rows = sparse.random(80, 6, 0.4, "csr", random_state=0)
    pipeline = make_pipeline(MaxAbsScaler(), TruncatedSVD(3, random_state=0), clf)
    pipeline.fit(rows, labels)
    fused = fuse(pipeline)
    assert_same(fused, pipeline, rows)
    np.testing.assert_array_equal(fused.predict(rows), pipeline.predict(rows))
    search = GridSearchCV(
        make_pipeline(StandardScaler(), clf), {"mlpclassifier__alpha": [0.1, 1]}, cv=2
    ).fit(X, labels)
    assert_same(fuse(search), search, X)
    frozen = make_pipeline(FrozenEstimator(StandardScaler().fit(X)), clf).fit(X, labels)
    assert_same(fuse(frozen), frozen, X)
    frozen = FrozenEstimator(make_pipeline(StandardScaler(), clf).fit(X, labels))
    assert_same(fuse(frozen), frozen, X)
    columns = np.c_[labels, labels[::-1]]
    pipeline = make_pipeline(StandardScaler(), clf).fit(X, columns)
    for own, expected in zip(
        fuse(pipeline).predict_proba(X), pipeline.predict_proba(X), strict=True
    ):
        np.testing.assert_allclose(own, expected, atol=1e-12)


@pytest.mark.parametrize("activation", ["gelu", ["mish", "selu"]], ids=str)
def test_what_only_cmlp_has(activation):
    est = cmlp.MLPRegressor(
        "quantile", (4, 3), activation=activation, quantile=[0.9, 0.1], dropout=0.2, max_iter=3
    )
    pipeline = make_pipeline(StandardScaler(), est).fit(X, y)
    assert_same(fuse(pipeline), pipeline, X)
    with pytest.raises(ValueError, match=r"quantile=\[0.9, 0.1\]"):
        fuse(made_target(pipeline))


def made_target(pipeline):
    made = TransformedTargetRegressor(pipeline, transformer=StandardScaler())
    made.regressor_, made.transformer_ = pipeline, StandardScaler().fit(y.reshape(-1, 1))
    return made


# What training would go on with


def test_training_begins_anew():
    est = cmlp.MLPClassifier((4,), max_iter=5, random_state=0, solver="adam")
    scaler = StandardScaler().fit(X)
    est.partial_fit(scaler.transform(X), labels, classes=np.unique(labels))
    est.partial_fit(scaler.transform(X), labels)
    before = est.predict_proba(scaler.transform(X))
    fused = fuse(make_pipeline(scaler, est))
    assert not hasattr(fused, "_optimizer")
    assert fused.t_ == 0
    assert fused.loss_curve_ == est.loss_curve_
    fresh = cmlp.MLPClassifier((4,), max_iter=1, random_state=0, warm_start=False)
    fresh.fit(X, labels, coefs_init=fused.coefs_, intercepts_init=fused.intercepts_)
    fused.partial_fit(X, labels)
    assert fused.t_ == 80
    for a, b in zip(fused.coefs_, fresh.coefs_, strict=True):
        # a first epoch draws the initial weights too, so the order of samples is another
        np.testing.assert_allclose(a, b, atol=0.01)
    np.testing.assert_array_equal(est.predict_proba(scaler.transform(X)), before)
    assert est.n_features_in_ == 6
    target = TransformedTargetRegressor(network(), transformer=StandardScaler()).fit(X, 100 * y)
    fused = fuse(target)
    fused.partial_fit(X, 100 * y)
    assert fused.best_loss_ == fused.loss_
    np.testing.assert_allclose(fused.predict(X), target.predict(X), atol=20)


def test_a_network_alone_is_copied():
    est = network().fit(X, y)
    for pipeline in (est, pipelines(["passthrough", None], est)):
        fused = fuse(pipeline)
        assert fused is not est
        np.testing.assert_array_equal(fused.predict(X), est.predict(X))
        fused.coefs_[0][...] = 0
        assert est.coefs_[0].any()


# What cannot be folded

CLIPPED = MinMaxScaler(clip=True)
NOT_AFFINE = [
    SimpleImputer(),
    Normalizer(),
    PolynomialFeatures(),
    QuantileTransformer(n_quantiles=5),
    FunctionTransformer(np.log1p),
    FastICA(2, random_state=0),
    FeatureUnion([("a", StandardScaler())]),
    CLIPPED,
]


@pytest.mark.filterwarnings("ignore:n_components is too large")
@pytest.mark.parametrize("step", NOT_AFFINE, ids=lambda step: type(step).__name__)
def test_what_is_not_affine(step):
    positive = np.abs(X)
    name = type(step).__name__
    where = f"'odd' \\({name}\\)"
    pipeline = Pipeline([("first", StandardScaler(with_mean=False)), ("odd", step)])
    pipeline.steps.append(("net", network()))
    with pytest.raises(ValueError, match=f"fuse cannot fold the step {where}"):
        fuse(pipeline.fit(positive, y))
    nested = make_pipeline(ColumnTransformer([("part", Pipeline([("odd", step)]), [0])]))
    nested.steps.append(("net", network()))
    with pytest.raises(ValueError, match=f"columntransformer__part__odd' \\({name}"):
        fuse(nested.fit(positive, y))
    if hasattr(step, "inverse_transform") and step is not CLIPPED:
        inverse = TransformedTargetRegressor(network(), transformer=step, check_inverse=False)
        if name in ("QuantileTransformer", "SimpleImputer"):
            with pytest.raises((ValueError, AttributeError), match=r"'transformer' \(|Imputer"):
                fuse(inverse.fit(X, y))


def test_networks_that_cannot_take_steps():
    params = {
        "n_members=2": {"n_members": 2},
        "encodings=": {"encodings": [("identity", 0, 6)]},
        "dropout=": {"dropout": [0.1, 0.1]},
    }
    for named, given_params in params.items():
        pipeline = make_pipeline(StandardScaler(), network(**given_params)).fit(X, y)
        with pytest.raises(ValueError, match=named):
            fuse(pipeline)
        assert fuse(pipeline[-1]).predict(X).shape == (80,)
    target = TransformedTargetRegressor(network(out_activation="tanh"), transformer=MinMaxScaler())
    with pytest.raises(ValueError, match="out_activation_='tanh'"):
        fuse(target.fit(X, y))
    without = make_pipeline(StandardScaler(), network(fit_intercept=False)).fit(X, y)
    with pytest.raises(ValueError, match="fit_intercept=False"):
        fuse(without)
    without = make_pipeline(MaxAbsScaler(), network(fit_intercept=False)).fit(X, y)
    assert_same(fuse(without), without, X)
    inverse = TransformedTargetRegressor(network(), func=np.cbrt, inverse_func=lambda y: y**3)
    with pytest.raises(ValueError, match=r"'transformer' \(FunctionTransformer\)"):
        fuse(inverse.fit(X, y))


class Halved(StandardScaler):
    def transform(self, X):
        return super().transform(X) / 2


class Doubled(VarianceThreshold):
    def _transform(self, X):
        return 2 * super()._transform(X)


def test_a_selector_that_transforms_by_itself_is_refused():
    pipeline = make_pipeline(Doubled(), network()).fit(X, y)
    with pytest.raises(ValueError, match=r"'doubled' \(Doubled\)"):
        fuse(pipeline)


def test_what_is_no_pipeline_with_a_network():
    for other in (
        *(LinearRegression().fit(X, y), make_pipeline(StandardScaler(), LinearRegression())),
        make_pipeline(StandardScaler()).fit(X),
        *(3, None, "passthrough", cmlp.MLPRegressor),
    ):
        with pytest.raises((TypeError, NotFittedError)):
            fuse(other)
    tabular = cmlp.TabularMLPRegressor((4,), max_iter=1, n_members=1).fit(X, y)
    with pytest.raises(TypeError, match="TabularMLPRegressor"):
        fuse(make_pipeline(StandardScaler(), tabular).fit(X, y))
    for pipeline in (
        make_pipeline(StandardScaler(), network()),
        make_pipeline(StandardScaler(), network().fit(X, y)),
        TransformedTargetRegressor(network()),
    ):
        with pytest.raises(NotFittedError):
            fuse(pipeline)
    with pytest.raises(ValueError, match=r"'halved' \(Halved\)"):
        fuse(make_pipeline(Halved(), network()).fit(X, y))
    pipeline = make_pipeline(StandardScaler(), network()).fit(X, y)
    with pytest.raises(ValueError, match="dtype must be"):
        fuse(pipeline, dtype="float16")
    pipeline.steps[0] = ("other", StandardScaler().fit(X[:, :3]))
    with pytest.raises(ValueError, match="gives 3 columns, what follows reads 6"):
        fuse(pipeline)


def test_read_only_arrays():
    pipeline = make_pipeline(StandardScaler(), PCA(3), network()).fit(X, y)
    arrays = [*pipeline[-1].coefs_, pipeline[0].mean_, pipeline[1].components_]
    for array in arrays:
        array.flags.writeable = False
    assert_same(fuse(pipeline), pipeline, X)
