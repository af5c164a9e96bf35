"""The network inside a pipeline, a search or another wrapper, for Network and LossCurveDisplay."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import AdaBoostRegressor, BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import cmlp
from cmlp import LossCurveDisplay, MLPClassifier, MLPRegressor, Network
from cmlp._wrappers import network_in

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, species = load_iris(return_X_y=True)
PARAMS = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}


@pytest.fixture(params=["Network", "LossCurveDisplay"])
def take(request):
    """What looks for a network."""
    if request.param == "LossCurveDisplay":
        pytest.importorskip("matplotlib")
    return getattr(cmlp, request.param).from_estimator


def make(kind=MLPClassifier, **params):
    return kind(**PARAMS, **params)


def pipeline():
    return make_pipeline(StandardScaler(), SelectKBest(k=3), make())


WRAPPERS = {
    "network": (make, lambda est: est),
    "scikit-learn's": (lambda: make(TheirClassifier), lambda est: est),
    "pipeline": (pipeline, lambda est: est[-1]),
    "pipeline in a pipeline": (
        lambda: Pipeline([("scale", StandardScaler()), ("rest", pipeline())]),
        lambda est: est[-1][-1],
    ),
    "grid search": (lambda: GridSearchCV(make(), {}, cv=2), lambda est: est.best_estimator_),
    "random search of a pipeline": (
        lambda: RandomizedSearchCV(pipeline(), {"selectkbest__k": [2, 3]}, n_iter=1, cv=2),
        lambda est: est.best_estimator_[-1],
    ),
    "search in a pipeline": (
        lambda: make_pipeline(StandardScaler(), GridSearchCV(make(), {}, cv=2)),
        lambda est: est[-1].best_estimator_,
    ),
    "transformed target": (
        lambda: TransformedTargetRegressor(
            make(MLPRegressor), func=np.sqrt, inverse_func=np.square
        ),
        lambda est: est.regressor_,
    ),
    "threshold": (
        lambda: FixedThresholdClassifier(pipeline()),
        lambda est: est.estimator_[-1],
    ),
    "tuned threshold": (
        lambda: TunedThresholdClassifierCV(make(), cv=2),
        lambda est: est.estimator_,
    ),
}


def fitted(name):
    if name == "transformed target":
        return WRAPPERS[name][0]().fit(*load_diabetes(return_X_y=True))
    return WRAPPERS[name][0]().fit(X, species > 0)


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_network_in(name):
    est = fitted(name)
    expected = WRAPPERS[name][1](est)
    assert network_in(est) is expected
    frozen = network_in(FrozenEstimator(est))
    assert frozen.coefs_ is expected.coefs_
    for wrapped in (est, FrozenEstimator(est)):
        network = Network.from_estimator(wrapped)
        for one, other in zip(network.coefs, expected.coefs_, strict=True):
            np.testing.assert_array_equal(one, other)


def test_it_acts_on_what_comes_to_it():
    """The example of the docstring."""
    est = fitted("pipeline")
    p = Network.from_estimator(est).forward(est[:-1].transform(X))[-1]
    np.testing.assert_allclose(p[:, 0], est.predict_proba(X)[:, 1], rtol=1e-14)


@pytest.mark.parametrize("name", WRAPPERS)
def test_loss_curves(name):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    est = fitted(name)
    display = LossCurveDisplay.from_estimator(est)
    np.testing.assert_array_equal(display.loss_curve, WRAPPERS[name][1](est).loss_curve_)
    plt.close("all")


@pytest.mark.parametrize("name", WRAPPERS)
def test_not_fitted(name, take):
    for est in (WRAPPERS[name][0](), FrozenEstimator(WRAPPERS[name][0]())):
        with pytest.raises(NotFittedError):
            take(est)


NO_NETWORK = {
    "another kind": LogisticRegression(),
    "pipeline of another": make_pipeline(StandardScaler(), LogisticRegression()),
    "several": BaggingClassifier(make(), n_estimators=2),
    "several, boosted": AdaBoostRegressor(make(MLPRegressor), n_estimators=2),
    "several, calibrated": CalibratedClassifierCV(make(), cv=2),
    "a search that keeps none": GridSearchCV(make(), {}, cv=2, refit=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NO_NETWORK)
def test_what_holds_no_network(name, take):
    est = NO_NETWORK[name].fit(X, species > 0)
    with pytest.raises(TypeError, match=r"not hold exactly one .* pass a fitted MLPClassifier"):
        take(est)


@pytest.mark.parametrize("wrong", [MLPClassifier, "network", None, 3])
def test_what_is_no_estimator(wrong, take):
    with pytest.raises(TypeError, match=r"a class, not an instance|not an estimator instance"):
        take(wrong)


def test_a_solver_without_a_loss_curve():
    pytest.importorskip("matplotlib")
    est = make_pipeline(StandardScaler(), make(solver="lbfgs")).fit(X, species)
    with pytest.raises(
        ValueError, match="MLPClassifier has no loss_curve_: solver='lbfgs' record"
    ):
        LossCurveDisplay.from_estimator(est)
