"""A fit that is refused, for whatever reason, leaves the estimator as it was.

What is refused, and in which words, is in test_bad_input.py and test_checkpoint.py.
"""

import warnings
from copy import deepcopy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification

from cmlp import Checkpoint, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def data():
    X, y = make_classification(50, 5, n_informative=4, n_redundant=0, random_state=0)
    return np.ascontiguousarray(X), y


def stops_early(est, X, y, **params):
    return est.set_params(early_stopping=True).set_params(**params).fit(X, y)


REFUSED = {
    "X": lambda est, X, y: est.fit(np.full((9, 3), np.nan), y[:9]),
    "lengths": lambda est, X, y: est.fit(X[:, 1:], y[:-1]),
    "labels": lambda est, X, y: est.fit(X[:, 1:], np.arange(len(X)) / 7 + np.nan),
    "weights": lambda est, X, y: est.fit(X, y, sample_weight=[1.0]),
    "sum of weights": lambda est, X, y: est.set_params(solver="lbfgs").fit(
        *(X, y), sample_weight=np.zeros(len(y))
    ),
    "validation data": lambda est, X, y: est.fit(X[:, 2:], y, X_val=X, y_val=y),
    "coefs": lambda est, X, y: est.fit(X[:, :2], y, coefs_init=[np.eye(2)]),
    "intercepts": lambda est, X, y: est.set_params(fit_intercept=False).fit(
        *(X[:, :2], y), intercepts_init=[np.ones(4), np.ones(1)]
    ),
    "parameter": lambda est, X, y: est.set_params(alpha=-1).fit(X[:, 1:], y),
    "too few to hold out": lambda est, X, y: stops_early(est, X[:3], y[:3]),
    "none to hold out": lambda est, X, y: stops_early(est, X, y, validation_fraction=0.0),
    "held out without weight": lambda est, X, y: est.set_params(early_stopping=True).fit(
        *(X, y), sample_weight=np.eye(50)[7]
    ),
    "unknown score": lambda est, X, y: stops_early(est, X[:, 1:], y, scoring="neg_brier"),
    "batch": lambda est, X, y: est.partial_fit(np.full((9, 3), np.inf), y[:9]),
    "lengths of a batch": lambda est, X, y: est.partial_fit(X, y[:-1]),
    "early stopping of a batch": lambda est, X, y: est.set_params(early_stopping=True).partial_fit(
        X, y, **first(est)
    ),
    "not a checkpoint": lambda est, X, y: est.fit(X[:, 1:], y, checkpoint="path"),
    "no folder": lambda est, X, y: est.fit(X[:, 1:], y, checkpoint=Checkpoint("missing/path")),
    "no folder of a callback": lambda est, X, y: est.set_callbacks(Checkpoint("missing/path")).fit(
        X[:, 1:], y
    ),
    "checkpoint of a batch": lambda est, X, y: est.set_callbacks(Checkpoint("path")).partial_fit(
        X, y, **first(est)
    ),
}


def first(est):
    """Where there are no classes yet."""
    return {"classes": [0, 1]} if isinstance(est, MLPClassifier) else {}


def assert_same_value(one, other, name):
    """Also of what is changed in place."""
    if name == "random_state":
        np.testing.assert_array_equal(one.get_state()[1], other.get_state()[1])
        assert one.get_state()[2:] == other.get_state()[2:]
    elif name == "_optimizer":
        assert vars(one).keys() == vars(other).keys()
        np.testing.assert_array_equal(one.state, other.state)
    elif isinstance(one, list | np.ndarray):
        assert all(map(np.array_equal, one, other)), name
    elif name not in ("_label_binarizer", "_parameters"):
        assert one is other or one == other or one != one, name


@pytest.mark.parametrize("state", ["new", "fitted", "partially fitted", "warm start"])
@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_fit_that_is_refused_changes_nothing(kind, refused, state, data):
    """scikit-learn's keeps its weights, but for other features and classes than it then says."""
    if "callback" in str(refused.__code__.co_names):
        pytest.importorskip("sklearn.callback")
    X, y = data
    est = kind(hidden_layer_sizes=(4,), max_iter=4, random_state=np.random.RandomState(0))
    if state == "partially fitted":
        est.partial_fit(X, y, **first(est)).partial_fit(X, y)
    elif state != "new":
        est.fit(X, y)
    est.set_params(warm_start=state == "warm start")
    expected = None if state == "new" else est.predict(X)
    before, was = vars(est).copy(), deepcopy(vars(est))
    with pytest.raises((ValueError, TypeError, OSError)):
        refused(est, X, y)
    if hasattr(est, "set_callbacks"):
        est.set_callbacks()
    params = est.get_params().keys() - {"random_state"}
    after = vars(est)
    assert after.keys() - {"_skl_callbacks"} == before.keys()
    assert all(after[name] is before[name] for name in before.keys() - params)
    for name in before.keys() - params:
        assert_same_value(after[name], was[name], name)
    if state != "new":
        est.set_params(**{name: before[name] for name in params})
        np.testing.assert_array_equal(est.predict(X), expected)


def test_the_classes_of_a_first_batch_that_is_refused(data):
    """The next call may bring others, and its parameters are validated."""
    X, y = data
    est = MLPClassifier((4,), random_state=0)
    for classes in ([0, 1], [[0, 1], [2, 3]]):
        with pytest.raises(ValueError, match="NaN"):
            est.partial_fit(np.full((50, 5), np.nan), y, classes=classes)
        assert vars(est).keys() == vars(clone(est)).keys()
    est.set_params(alpha=-5.0)
    with pytest.raises(ValueError, match="'alpha' parameter"):
        est.partial_fit(X, y, classes=[0, 1, 2])
    est.set_params(alpha=0.5).partial_fit(X, y, classes=[0, 1, 2])
    assert est.classes_.tolist() == [0, 1, 2]


def test_ctrl_c_before_training(data, monkeypatch):
    X, y = data
    est = MLPClassifier((4,), max_iter=3, random_state=np.random.RandomState(0))

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cmlp._stochastic.split", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stops_early(est, X, y)
    assert not hasattr(est, "coefs_")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = MLPClassifier((4,), max_iter=3, random_state=0, early_stopping=True).fit(X, y)
    np.testing.assert_array_equal(est.fit(X, y).coefs_[0], whole.coefs_[0])


@pytest.mark.parametrize("changed", [{"ema_decay": None}, {"momentum": "x"}, {"alpha": "x"}])
def test_the_optimizer_of_a_batch_that_is_refused(changed, data):
    """partial_fit changes one that is already there, and not before all else has been done."""
    X, y = data
    params = {"solver": "sgd", "learning_rate": "invscaling", "ema_decay": 0.9}
    first, second = (
        MLPRegressor(hidden_layer_sizes=(4,), random_state=np.random.RandomState(0), **params)
        for _ in range(2)
    )
    for est in (first, second):
        est.partial_fit(X, y).partial_fit(X, y)
    before = {name: getattr(first, name) for name in changed}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((UserWarning, ValueError)):
            first.set_params(**changed, batch_size=500).partial_fit(X, y)
    first.set_params(**before, batch_size="auto")
    assert (first.n_iter_, first.t_) == (second.n_iter_, second.t_)
    for est in (first, second):
        est.partial_fit(X, y)
    np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])


def test_other_generators_do_not_warn(data):
    X, y = data
    est = MLPClassifier((4,), random_state=np.random.RandomState(np.random.PCG64(0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est.partial_fit(X, y, classes=[0, 1])
        with pytest.raises(ValueError, match="inconsistent"):
            est.partial_fit(X, y[:-1])
