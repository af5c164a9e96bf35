"""n_members, encodings and max_time of the estimators: fits, files, what is refused."""

import copy
import pickle
import time

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning

import cmlp
from cmlp import Checkpoint, MLPClassifier, MLPRegressor, Network

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
PLACES = np.column_stack([X, np.digitize(X[:, 0], [5, 6, 7])])  # the last is a category
ENCODINGS = [
    ("scale", 0, 4, 0),
    ("piecewise_linear", 1, 3, 5),
    ("linear_spline", 2, 2, 7),
    ("category", 4, 2, 4),
    ("piecewise_constant", 1, 2, 5),
]
BOTH = {"n_members": 3, "encodings": ENCODINGS}
OPTIONS = {"hidden_layer_sizes": (8,), "max_iter": 30, "random_state": 0}


def fitted(estimator=MLPClassifier, **params):
    return estimator(**{**OPTIONS, **BOTH, **params}).fit(PLACES, y)


def same(one, other):
    np.testing.assert_array_equal(one.predict(PLACES), other.predict(PLACES))
    for weights, others in zip(one.coefs_, other.coefs_, strict=True):
        np.testing.assert_array_equal(weights, others)
    for weights, others in zip(one.input_weights_, other.input_weights_, strict=True):
        np.testing.assert_array_equal(weights, others)


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs", "lion", "schedule_free_adamw"])
def test_fit_lowers_the_loss(estimator, solver):
    est = fitted(estimator, solver=solver, learning_rate_init=0.01, max_iter=60)
    assert est.score(PLACES, y) > 0.5
    assert [c.shape for c in est.coefs_] == [(13, 8), (3, 8, est.n_outputs_)]
    assert [b.shape for b in est.intercepts_] == [(8,), (3, est.n_outputs_)]
    shapes = [w.shape for w in est.input_weights_]
    assert shapes == [(1, 4), (7, 3), (9, 2), (4, 2), (6, 2), (3, 13)]
    assert est.n_features_in_ == 5


def test_one_member_without_encodings_is_as_ever():
    plain = MLPClassifier(**OPTIONS).fit(X, y)
    assert not hasattr(plain, "input_weights_")
    assert [c.ndim for c in plain.coefs_] == [2, 2]


def test_encodings_that_copy_are_as_none():
    plain = MLPClassifier(**OPTIONS).fit(X, y)
    copied = MLPClassifier(**OPTIONS, encodings=[("identity", 0, 4)]).fit(X, y)
    assert not hasattr(copied, "input_weights_")
    np.testing.assert_array_equal(copied.coefs_[0], plain.coefs_[0])
    np.testing.assert_array_equal(copied.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("dropout", [0.0, [0.1, 0.2]])
def test_results_do_not_depend_on_threads(dtype, dropout):
    images, digits = load_digits(return_X_y=True)
    ests = [
        MLPClassifier((32,), n_members=4, max_iter=3, random_state=0, n_jobs=n_jobs,
                      dtype=dtype, dropout=dropout, batch_size=1024).fit(images, digits)
        for n_jobs in (1, 2)
    ]  # fmt: skip
    for one, other in zip(ests[0].coefs_, ests[1].coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(*(est.predict_proba(images) for est in ests))


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("params", [BOTH, {"n_members": 2, "encodings": None}])
def test_copies_and_files(tmp_path, estimator, params):
    est = fitted(estimator, **params)
    est.save(tmp_path / "model")
    for other in (
        pickle.loads(pickle.dumps(est)),
        copy.deepcopy(est),
        cmlp.load(tmp_path / "model"),
    ):
        same(est, other)
        same(est.__class__.partial_fit(other, PLACES, y), other)


def test_a_file_whose_parts_do_not_fit_is_refused(tmp_path):
    est = fitted()
    del est.input_weights_[-1]
    with pytest.raises(ValueError, match="do not make a network"):
        est.save(tmp_path / "model")
    est = fitted()
    est.encodings = ENCODINGS[:-1]
    with pytest.raises(ValueError, match="do not make a network"):
        est.save(tmp_path / "model")
    est = fitted(encodings=None)
    del est.input_weights_
    with pytest.raises(ValueError, match="do not make a network"):
        est.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_one_row_is_a_row_of_many():
    est = fitted()
    p = est.predict_proba(PLACES)
    for i in (0, 80, 149):
        np.testing.assert_allclose(est.predict_proba(PLACES[i : i + 1])[0], p[i], rtol=1e-13)


def test_weights_that_are_set_are_used():
    est, other = fitted(), fitted(random_state=1)
    other.coefs_, other.intercepts_ = est.coefs_, est.intercepts_
    assert (other.predict_proba(PLACES) != est.predict_proba(PLACES)).any()
    other.input_weights_ = [w.copy() for w in est.input_weights_]
    np.testing.assert_array_equal(other.predict_proba(PLACES), est.predict_proba(PLACES))
    other.input_weights_[-1][:] *= 2
    assert (other.predict_proba(PLACES) != est.predict_proba(PLACES)).any()


def test_partial_fit_and_warm_start_go_on():
    once = MLPClassifier(**{**OPTIONS, **BOTH, "max_iter": 1}).fit(PLACES, y)
    again = pickle.loads(pickle.dumps(once))
    before = again.input_weights_[1].copy()
    again.partial_fit(PLACES, y)
    assert (again.input_weights_[1] != before).any()
    again.set_params(warm_start=True).fit(PLACES, y)
    for change in ({"n_members": 2}, {"encodings": [("identity", 0, 5), *ENCODINGS]}):
        with pytest.raises(ValueError, match="Training can only be continued"):
            clone(again).fit(PLACES, y).set_params(**change).fit(PLACES, y)


def test_early_stopping_keeps_the_best_of_all_parameters():
    est = fitted(early_stopping=True, max_iter=60, learning_rate_init=0.05, n_iter_no_change=5)
    est_again = fitted(
        early_stopping=True, max_iter=60, learning_rate_init=0.05, n_iter_no_change=5
    )
    same(est, est_again)
    assert est.best_validation_score_ == max(est.validation_scores_)


def test_a_checkpoint_goes_on_to_the_same_bits(tmp_path):
    path = tmp_path / "checkpoint"
    params = {"dropout": 0.1, "solver": "adamw", "ema_decay": 0.9}
    whole = fitted(**params)
    part = MLPClassifier(**{**OPTIONS, **BOTH, **params, "max_iter": 10})
    part.fit(PLACES, y, checkpoint=Checkpoint(path, every=5))
    resumed = MLPClassifier(**{**OPTIONS, **BOTH, **params}).fit(PLACES, y, resume_from=path)
    same(whole, resumed)


def test_dropout_samples_are_of_all_members():
    est = fitted(dropout=0.3)
    samples = est.predict_samples(PLACES, 200, random_state=0)
    assert samples.shape == (200, 150, 3)
    np.testing.assert_allclose(samples.sum(axis=2), 1, rtol=1e-6)
    assert np.abs(samples.mean(axis=0) - est.predict_proba(PLACES)).mean() < 0.1


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_members": 0}, ValueError, "n_members"),
        ({"n_members": 1.5}, ValueError, "n_members"),
        ({"encodings": "identity"}, ValueError, "encodings"),
        ({"encodings": []}, ValueError, "at least one"),
        ({"encodings": [("splines", 0)]}, ValueError, "with a kind of"),
        ({"encodings": ["identity"]}, ValueError, "with a kind of"),
        ({"encodings": [("identity", 0, 6)]}, ValueError, "does not fit the 5 columns"),
        ({"encodings": [("identity", -1)]}, ValueError, "does not fit the 5 columns"),
        ({"encodings": [("category", 4, 2, 0)]}, ValueError, "levels must be positive"),
        ({"encodings": [("scale", 4, 1, 3)]}, ValueError, "levels must be 0"),
        ({"encodings": [("scale", 4.0)]}, ValueError, "must be integers"),
        ({"max_time": 0}, ValueError, "max_time"),
    ],
)
def test_what_is_refused(params, error, message):
    est = MLPClassifier(**{**OPTIONS, **params})
    with pytest.raises(error, match=message):
        est.fit(PLACES, y)
    assert not hasattr(est, "coefs_")


def test_what_there_is_not_with_members():
    est = fitted()
    with pytest.raises(ValueError, match="not available with encodings or members"):
        est.hidden_layer(PLACES)
    with pytest.raises(ValueError, match="not available with encodings or members"):
        est.input_gradient(PLACES)
    with pytest.raises(TypeError, match="no encodings and no members"):
        Network.from_estimator(est)
    with pytest.raises(TypeError, match="need dense X"):
        est.predict(sp.csr_matrix(PLACES))
    with pytest.raises(TypeError, match="need dense X"):
        MLPClassifier(n_members=2).fit(sp.csr_matrix(PLACES), y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_max_time_ends_a_fit(solver):
    est = MLPClassifier(
        (50,), solver=solver, max_time=0.2, max_iter=10**6, max_fun=10**9, tol=0.0,
        n_iter_no_change=np.inf, random_state=0,
    )  # fmt: skip
    begun = time.monotonic()
    est.fit(*load_digits(return_X_y=True))
    assert time.monotonic() - begun < 20  # it would take hours
    assert 0 < est.n_iter_ < 10**6


def test_max_time_says_nothing_of_convergence(recwarn):
    MLPClassifier(max_time=1e-6, max_iter=50, random_state=0).fit(X, y)
    assert not [w for w in recwarn if issubclass(w.category, ConvergenceWarning)]
