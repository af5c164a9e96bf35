"""HiddenLayers, the transformer: against ``hidden_layer`` and by scikit-learn's own checks."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks

from cmlp import HiddenLayers, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)


def network(**params):
    params = {"hidden_layer_sizes": (7, 5), "max_iter": 9, "random_state": 0, **params}
    return MLPClassifier(**params)


@pytest.mark.slow
@parametrize_with_checks(
    [
        HiddenLayers(MLPClassifier(max_iter=20, random_state=0)),
        HiddenLayers(MLPRegressor(solver="lbfgs", max_iter=20, random_state=0)),
        HiddenLayers(network(), layer=0),
    ]
)
def test_check_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize("layer", [0, 1, -1, -2, np.int64(1)])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix, sp.csc_array])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_features_are_those_of_the_network(layer, container, dtype):
    rows = container(X.astype(dtype))
    fitted = network().fit(rows, Y)
    transformer = HiddenLayers(network(), layer).fit(rows, Y)
    H = transformer.transform(rows)
    assert H.dtype == dtype
    np.testing.assert_array_equal(H, fitted.hidden_layer(rows, layer))
    np.testing.assert_array_equal(H, clone(transformer).fit_transform(rows, Y))
    np.testing.assert_array_equal(H, pickle.loads(pickle.dumps(transformer)).transform(rows))
    assert len(transformer.get_feature_names_out()) == H.shape[1]


def test_the_estimator_given_is_not_trained():
    given = network()
    HiddenLayers(given).fit(X, Y)
    assert not hasattr(given, "coefs_")
    given.fit(X[:50], Y[:50])
    before = [coef.copy() for coef in given.coefs_]
    transformer = HiddenLayers(given).fit(X, Y)
    assert all(map(np.array_equal, before, given.coefs_))
    assert not np.array_equal(transformer.estimator_.coefs_[0], before[0])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_frozen_network_stays_as_it_is(method):
    fitted = network().fit(X, Y)
    before = [coef.copy() for coef in fitted.coefs_]
    transformer = HiddenLayers(FrozenEstimator(fitted), layer=0)
    for y in (Y, None):
        H = getattr(transformer, method)(X[:30], None if y is None else y[:30]).transform(X)
        np.testing.assert_array_equal(H, fitted.hidden_layer(X, 0))
    assert all(map(np.array_equal, before, fitted.coefs_))
    with pytest.raises(NotFittedError):
        HiddenLayers(FrozenEstimator(network())).fit(X, Y)


def test_partial_fit():
    transformer, expected = HiddenLayers(network()), network()
    with pytest.raises(ValueError, match="the target y is None"):
        transformer.partial_fit(X, None, classes=[0, 1])
    for part in (slice(0, 150, 2), slice(1, 150, 2)):
        transformer.partial_fit(X[part], Y[part])  # of all classes, so that none need be named
        expected.partial_fit(X[part], Y[part], classes=[0, 1, 2])
        np.testing.assert_array_equal(transformer.transform(X), expected.hidden_layer(X))
    named = HiddenLayers(network()).partial_fit(X[:20], Y[:20], classes=[0, 1, 2])
    assert named.partial_fit(X, Y).estimator_.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="`y` has classes not in"):
        HiddenLayers(network()).partial_fit(X[:20], Y[:20]).partial_fit(X, Y)
    assert not hasattr(HiddenLayers(network(solver="lbfgs")), "partial_fit")
    with pytest.raises(AttributeError) as refused:
        HiddenLayers(network(solver="lbfgs")).partial_fit(X, Y)
    assert "lbfgs is not stochastic" in str(refused.value.__cause__.__cause__)


@pytest.mark.parametrize("shift", [0, 1])
def test_partial_fit_of_several_columns(shift):
    y = np.column_stack([Y, Y > 0]) + shift
    H = HiddenLayers(network()).partial_fit(X, y).transform(X)
    expected = network().partial_fit(X, y, classes=[np.unique(column) for column in y.T])
    np.testing.assert_array_equal(H, expected.hidden_layer(X))


def test_a_frozen_network_of_before_is_not_trained():
    frozen = network().fit(X, Y)
    transformer = HiddenLayers(FrozenEstimator(frozen)).fit(X)
    t = frozen.t_
    transformer.set_params(estimator=network()).partial_fit(X, Y)
    assert frozen.t_ == t
    assert transformer.estimator_.t_ == len(X)


def test_names_of_features():
    transformer = HiddenLayers(network()).fit(pd.DataFrame(X, columns=list("abcd")), Y)
    assert transformer.feature_names_in_.tolist() == list("abcd")
    assert transformer.n_features_in_ == 4
    assert transformer.get_feature_names_out().tolist() == [f"hiddenlayers{i}" for i in range(5)]
    assert not hasattr(HiddenLayers(network()), "n_features_in_")
    assert not hasattr(HiddenLayers(network()).fit(X, Y), "feature_names_in_")
    with pytest.raises(ValueError, match="feature names should match"):
        transformer.transform(pd.DataFrame(X, columns=list("abce")))


@pytest.mark.parametrize("library", [pd, pl])
def test_set_output(library):
    container = library.__name__
    transformer = HiddenLayers(network()).fit(X, Y)
    expected = transformer.transform(X)
    frame = transformer.set_output(transform=container).transform(X)
    assert isinstance(frame, library.DataFrame)
    assert list(frame.columns) == [f"hiddenlayers{i}" for i in range(5)]
    np.testing.assert_array_equal(frame.to_numpy(), expected)
    np.testing.assert_array_equal(
        transformer.set_output(transform="default").transform(X), expected
    )


def test_within_a_pipeline():
    """As a step in the middle: features for a linear model."""
    pipeline = make_pipeline(StandardScaler(), HiddenLayers(network()), LogisticRegression())
    assert pipeline.fit(X, Y).score(X, Y) > 0.5
    scaled = StandardScaler().fit_transform(X)
    H = network().fit(scaled, Y).hidden_layer(scaled)
    expected = LogisticRegression().fit(H, Y).predict_proba(H)
    np.testing.assert_allclose(pipeline.predict_proba(X), expected)
    assert len(pipeline[:-1].get_feature_names_out()) == 5
    grid = {"hiddenlayers__estimator__hidden_layer_sizes": [(5,), (6, 4)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    assert search.best_estimator_[:-1].transform(X).shape[1] in (5, 4)


def test_weights_reach_the_network():
    weight = np.random.RandomState(0).randint(1, 4, size=len(X))
    expected = network().fit(X, Y, sample_weight=weight).hidden_layer(X)
    H = HiddenLayers(network()).fit(X, Y, sample_weight=weight).transform(X)
    np.testing.assert_array_equal(H, expected)
    with config_context(enable_metadata_routing=True):
        routed = HiddenLayers(network().set_fit_request(sample_weight=True))
        np.testing.assert_array_equal(
            routed.fit(X, Y, sample_weight=weight).transform(X), expected
        )
        with pytest.raises(ValueError, match="sample_weight"):
            HiddenLayers(network()).fit(X, Y, sample_weight=weight)


def test_bad_parameters_are_refused_before_training(monkeypatch):
    for estimator in (LogisticRegression(), make_pipeline(network()), None):
        with pytest.raises(InvalidParameterError, match="'estimator' parameter of HiddenLayers"):
            HiddenLayers(estimator).fit(X, Y)
    with pytest.raises(InvalidParameterError, match="'layer' parameter of HiddenLayers"):
        HiddenLayers(network(), layer=0.5).fit(X, Y)
    monkeypatch.setattr(MLPClassifier, "_fit_or_restore", None)  # is not called
    with pytest.raises(ValueError, match="layer must be between -2 and 1"):
        HiddenLayers(network(), layer=2).fit(X, Y)
    with pytest.raises(ValueError, match="no hidden layer"):
        HiddenLayers(network(hidden_layer_sizes=())).fit(X, Y)
    with pytest.raises(InvalidParameterError, match="'alpha' parameter of MLPClassifier"):
        HiddenLayers(network(alpha=-1)).fit(X, Y)
    with pytest.raises(NotFittedError):
        HiddenLayers(network()).transform(X)
