"""Training that goes on: the order of successive calls of partial_fit, warm_start with lbfgs."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, make_classification

from cmlp import MLPClassifier, MLPRegressor
from cmlp._core import engine

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def data():
    return make_classification(60, 5, random_state=0)


@pytest.fixture
def orders(monkeypatch):
    """The orders in which samples were trained on."""
    seen = []
    train_epoch = engine.train_epoch

    def recording(layout, dataset, order, *args):
        seen.append(np.array(order))
        return train_epoch(layout, dataset, order, *args)

    monkeypatch.setattr(engine, "train_epoch", recording)
    return seen


def calls(est, X, y, n=4, between=lambda est: est):
    for _ in range(n):
        est = between(
            est.partial_fit(X, y, **({} if hasattr(est, "classes_") else {"classes": [0, 1]}))
        )
    return est


def make(**params):
    return MLPClassifier((4,), batch_size=7, **{"random_state": 3, **params})


def test_an_integer_seed_repeats_its_permutation_by_default(data, orders):
    calls(make(), *data)
    assert np.array_equal(orders[1], orders[2])
    assert np.array_equal(orders[2], orders[3])


@pytest.mark.parametrize("seed", [0, 3, np.int64(3), 2**32 - 1])
def test_reshuffle_has_another_order_each_time(data, orders, seed):
    calls(make(random_state=seed, partial_fit_reshuffle=True), *data)
    assert all(sorted(order) == list(range(60)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_reshuffle_is_a_deterministic_sequence_and_survives_pickle(data):
    models = [
        calls(make(partial_fit_reshuffle=True), *data),
        calls(make(partial_fit_reshuffle=True), *data),
        calls(
            make(partial_fit_reshuffle=True),
            *data,
            between=lambda est: pickle.loads(pickle.dumps(est)),
        ),
        calls(make(partial_fit_reshuffle=True, random_state=np.int64(3)), *data),
    ]
    for other in models[1:]:
        for a, b in zip(models[0].coefs_, other.coefs_, strict=True):
            np.testing.assert_array_equal(a, b)


def test_reshuffle_leaves_the_first_call_and_fit_alone(data, orders):
    for reshuffle in (False, True):
        make(partial_fit_reshuffle=reshuffle).partial_fit(*data, classes=[0, 1])
        make(partial_fit_reshuffle=reshuffle, max_iter=1).fit(*data)
    assert np.array_equal(orders[0], orders[2])
    assert np.array_equal(orders[1], orders[3])


def test_reshuffle_without_shuffle_or_integer_seed(data, orders):
    calls(make(partial_fit_reshuffle=True, shuffle=False), *data)
    assert all(np.array_equal(order, np.arange(60)) for order in orders if order.ndim)
    models = [
        calls(make(partial_fit_reshuffle=r, random_state=np.random.RandomState(0)), *data)
        for r in (False, True)
    ]
    np.testing.assert_array_equal(models[0].coefs_[0], models[1].coefs_[0])


def test_reshuffle_in_long_streams(data, orders):
    """t_ beyond 32 bits."""
    est = make(partial_fit_reshuffle=True)
    calls(est, *data, n=1)
    for t in (2**32 + 5, 2**33 + 5, 5):
        est.t_ = t
        calls(est, *data, n=1)
    assert len({tuple(order) for order in orders[1:]}) == 3


def test_warm_start_with_lbfgs_continues():
    """scikit-learn issue 13656"""
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    params = {"solver": "lbfgs", "max_iter": 10, "random_state": 0}
    est = MLPRegressor(warm_start=True, **params).fit(X, y)
    losses = [est.loss_]
    for _ in range(2):
        before = [coef.copy() for coef in est.coefs_]
        start = MLPRegressor(**params).fit(
            X, y, coefs_init=before, intercepts_init=[b.copy() for b in est.intercepts_]
        )
        est.fit(X, y)
        losses.append(est.loss_)
        for a, b in zip(est.coefs_, start.coefs_, strict=True):
            np.testing.assert_array_equal(a, b)
    assert losses[0] > losses[1] > losses[2]
    cold = MLPRegressor(**params).fit(X, y).fit(X, y)
    assert cold.loss_ == losses[0]


def test_pickles_from_before_there_was_a_parameter(data):
    est = make(max_iter=2).fit(*data)
    state = est.__getstate__()
    for name in ("class_weight", "scoring", "partial_fit_reshuffle"):
        del state[name]
    for name in ("validation_loss_curve_", "best_iter_"):
        del state[name]
    old = MLPClassifier.__new__(MLPClassifier)
    old.__setstate__(state)
    assert old.get_params() == est.get_params()
    np.testing.assert_array_equal(old.predict(data[0]), est.predict(data[0]))
    old.set_params(warm_start=True, early_stopping=True).fit(*data)
    assert len(old.validation_loss_curve_) == old.n_iter_
