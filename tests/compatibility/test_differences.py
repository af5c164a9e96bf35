"""Where cmlp differs from scikit-learn on purpose: its behaviour where cheap to show, and ours."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

import cmlp

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stochastic Optimizer", "ignore:lbfgs failed", "ignore::RuntimeWarning"
)


def pair(name, **params):
    params = {"random_state": 0, "hidden_layer_sizes": (5,), **params}
    return getattr(cmlp, name)(**params), getattr(neural_network, name)(**params)


@pytest.fixture
def regression():
    X, y = make_regression(80, 4, noise=1.0, random_state=0)
    return X, y / y.std()


@pytest.fixture
def classification():
    return make_classification(120, 6, flip_y=0.1, random_state=0)


def n_bytes(est):
    return sum(w.nbytes for w in est.coefs_ + est.intercepts_)


# warm_start + early_stopping


def test_best_weights_survive_a_worse_refit(regression):
    """scikit-learn's best weights are the trained ones themselves, overwritten by the next fit."""
    X, y = regression
    params = {"solver": "sgd", "early_stopping": True, "validation_fraction": 0.3}
    unchanged = []
    for est in pair("MLPRegressor", warm_start=True, max_iter=30, **params):
        est.fit(X, y)
        best = [coef.copy() for coef in est.coefs_]
        score = est.best_validation_score_
        # so strong a penalty that every further epoch is worse
        est.set_params(alpha=200.0, max_iter=5).fit(X, y)
        assert est.best_validation_score_ == score
        assert max(est.validation_scores_[-5:]) < score
        unchanged.append(all(map(np.array_equal, best, est.coefs_)))
    assert unchanged == [True, False]


def test_best_weights_of_a_refit_are_those_of_its_best_epoch(regression):
    X, y = regression
    params = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 60}
    est, _ = pair("MLPRegressor", solver="sgd", warm_start=True, max_iter=3, **params)
    est.fit(X, y)
    est.set_params(learning_rate_init=0.05, batch_size=4, max_iter=40).fit(X, y)
    scores = est.validation_scores_
    assert scores[-1] < max(scores)
    assert est.best_validation_score_ == max(scores)
    # the split of a refit, which draws no weights first
    generator = np.random.RandomState(0)
    _, X_val, _, y_val = train_test_split(X, y, test_size=0.3, random_state=generator)
    assert est.score(X_val, y_val) == pytest.approx(max(scores))


def test_warm_start_with_other_hidden_layer_sizes(regression):
    """scikit-learn goes on with the old ones, silently."""
    X, y = regression
    ours, theirs = pair("MLPRegressor", warm_start=True, max_iter=2)
    theirs.fit(X, y).set_params(hidden_layer_sizes=(7,)).fit(X, y)
    assert theirs.coefs_[0].shape == (4, 5)

    ours.fit(X, y).set_params(hidden_layer_sizes=(7,))
    before = [coef.copy() for coef in ours.coefs_]
    for sizes in ((7,), (5, 5), ()):
        ours.set_params(hidden_layer_sizes=sizes)
        with pytest.raises(ValueError, match="same layer sizes"):
            ours.fit(X, y)
        with pytest.raises(ValueError, match="same layer sizes"):
            ours.partial_fit(X, y)
    assert all(map(np.array_equal, before, ours.coefs_))
    ours.set_params(hidden_layer_sizes=(7,), warm_start=False).fit(X, y)
    assert ours.coefs_[0].shape == (4, 7)


def test_warm_start_with_another_output_activation():
    """scikit-learn goes on with the old one, which the new loss does not fit."""
    X = np.linspace(0, 1, 20)[:, None]
    est = cmlp.MLPRegressor(hidden_layer_sizes=3, warm_start=True, max_iter=2).fit(X, X[:, 0])
    before = est.predict(X)
    for params in ({"loss": "poisson"}, {"out_activation": "tanh"}):
        changed = clone(est).fit(X, X[:, 0]).set_params(**params)
        with pytest.raises(ValueError, match="same output activation"):
            changed.fit(X, X[:, 0])
        with pytest.raises(ValueError, match="same output activation"):
            changed.partial_fit(X, X[:, 0])
    np.testing.assert_array_equal(est.predict(X), before)


def test_warm_start_from_lbfgs_to_a_stochastic_solver(regression):
    """scikit-learn has no loss_curve_ to append to and fails."""
    X, y = regression
    ours, theirs = pair("MLPRegressor", solver="lbfgs", warm_start=True, max_iter=3)
    with pytest.raises(AttributeError, match="loss_curve_"):
        theirs.fit(X, y).set_params(solver="adam").fit(X, y)
    ours.fit(X, y)
    loss = ours.loss_
    ours.set_params(solver="adam").fit(X, y)
    assert len(ours.loss_curve_) == 3
    assert ours.loss_curve_[0] == pytest.approx(loss)


# lbfgs


def test_regressor_with_lbfgs_has_no_partial_fit(regression):
    """scikit-learn's runs a whole fit; the classifier's has none in both libraries."""
    ours, theirs = pair("MLPRegressor", solver="lbfgs", max_iter=2)
    assert hasattr(theirs, "partial_fit")
    assert theirs.partial_fit(*regression).n_iter_ == 2
    assert not hasattr(ours, "partial_fit")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'"):
        ours.partial_fit(*regression)
    assert hasattr(ours.set_params(solver="sgd"), "partial_fit")


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_lbfgs_keeps_float32(name, classification):
    X, y = classification
    X = X.astype(np.float32)
    ours, theirs = (est.fit(X, y) for est in pair(name, solver="lbfgs", max_iter=10))
    assert {w.dtype for w in theirs.coefs_ + theirs.intercepts_} == {np.dtype(np.float64)}
    assert {w.dtype for w in ours.coefs_ + ours.intercepts_} == {np.dtype(np.float32)}
    prediction = ours.predict_proba(X) if name == "MLPClassifier" else ours.predict(X)
    assert prediction.dtype == np.float32
    # it is no worse for it
    assert ours.loss_ <= theirs.loss_ * 1.01


@pytest.mark.parametrize("verbose", [True, 1])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_lbfgs_prints(name, verbose, classification, capsys):
    """scikit-learn's does not, since scipy 1.15 took the option away."""
    (ours, _) = pair(name, solver="lbfgs", max_iter=6, verbose=verbose)
    ours.fit(*classification)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"Iteration {i + 1}" for i in range(6)]
    assert lines[-1] == f"Iteration 6, loss = {ours.loss_:.8f}"
    ours.set_params(verbose=False).fit(*classification)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_ctrl_c_in_lbfgs(name, classification, monkeypatch):
    """tests/robustness/test_interrupts.py has what our model is then."""
    minimize = scipy.optimize.minimize

    def interrupted(function, *args, **kwargs):
        values = []

        def counting(*fun_args):
            if len(values) == 5:
                raise KeyboardInterrupt
            values.append(function(*fun_args))
            return values[-1]

        return minimize(counting, *args, **kwargs)

    monkeypatch.setattr(scipy.optimize, "minimize", interrupted)
    ours, theirs = pair(name, solver="lbfgs")
    with pytest.raises(KeyboardInterrupt):
        theirs.fit(*classification)
    assert not hasattr(theirs, "loss_")
    with pytest.warns(UserWarning, match=r"^Training interrupted by user\.$"):
        ours.fit(*classification)
    assert np.isfinite(ours.loss_)
    assert ours.n_iter_ > 0


# Sample weights


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_minibatch_without_weight_is_passed_over(name, solver, classification):
    """scikit-learn divides by zero."""
    X, y = classification
    sample_weight = np.linspace(0.5, 2, len(X))
    sample_weight[20:40] = 0  # the third and fourth of the batches
    params = {"solver": solver, "batch_size": 10, "shuffle": False, "max_iter": 5}
    ours, theirs = pair(name, **params)
    with pytest.raises(ZeroDivisionError):
        theirs.fit(X, y, sample_weight)
    ours.fit(X, y, sample_weight)
    kept = sample_weight > 0
    without, _ = pair(name, **params)
    without.fit(X[kept], y[kept], sample_weight[kept])
    for one, other in zip(ours.coefs_, without.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(ours.loss_curve_).all()


# Divergence


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_nan_loss_stops_at_once(solver, regression):
    """scikit-learn trains on to max_iter and then raises the same error."""
    X, y = regression
    params = {"learning_rate_init": 1e200 if solver == "adam" else 1e10, "max_iter": 40}
    ours, theirs = pair("MLPRegressor", solver=solver, **params)
    for est in (ours, theirs):
        with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
            est.fit(X, y)
    assert theirs.n_iter_ == 40
    assert ours.n_iter_ < 10
    assert not np.isfinite(ours.loss_curve_[-1])


def test_nan_loss_in_partial_fit(regression):
    X, y = regression
    ours, _ = pair("MLPRegressor", solver="sgd", learning_rate_init=1e200)
    ours.partial_fit(X, y)  # one minibatch, and its loss is that of the initial weights
    with pytest.raises(ValueError, match="non-finite"):
        ours.partial_fit(X, y)


def test_nan_loss_under_early_stopping(regression):
    """scikit-learn trains on to max_iter; it, too, keeps the best finite weights."""
    X, y = regression
    params = {"solver": "sgd", "early_stopping": True, "learning_rate_init": 10.0}
    ours, theirs = pair("MLPRegressor", batch_size=8, max_iter=50, momentum=0.0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, y)
    assert theirs.n_iter_ == 50
    with pytest.warns(ConvergenceWarning, match="not finite after epoch"):
        ours.fit(X, y)
    assert ours.n_iter_ < 50
    assert np.isnan(ours.validation_scores_[-1])
    assert len(ours.validation_scores_) == ours.n_iter_
    assert all(np.isfinite(w).all() for w in ours.coefs_ + ours.intercepts_)
    assert np.isfinite(ours.predict(X)).all()


def test_weights_that_are_not_finite_are_never_the_best():
    """Their labels, all of the first class, may well score better than any before."""
    X, _ = make_classification(120, 5, random_state=0)
    y = (np.arange(120) % 6 == 0).astype(int)
    ours = cmlp.MLPClassifier(
        solver="sgd",
        activation="identity",
        learning_rate_init=1e300,
        early_stopping=True,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning, match="not finite after epoch"):
        ours.fit(10 * X, y)
    assert np.isnan(ours.validation_scores_[-1])
    assert all(np.isfinite(w).all() for w in ours.coefs_ + ours.intercepts_)


# Pickles


@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "sgd"}], ids=str)
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_pickle_holds_the_weights_once(name, params, classification):
    """scikit-learn's holds the best weights and the optimizer's state besides."""
    ours, theirs = pair(name, hidden_layer_sizes=(300, 100), max_iter=2, **params)
    for est in (ours, theirs):
        est.fit(*classification)
    assert len(pickle.dumps(theirs)) > 2.9 * n_bytes(theirs)
    assert len(pickle.dumps(ours)) < 1.05 * n_bytes(ours) + 5000


def test_pickle_between_two_calls_of_partial_fit_holds_the_optimizer(classification):
    """Two vectors of adam are part of the training that goes on, no copy of the weights is."""
    X, y = classification
    ours, _ = pair("MLPClassifier", hidden_layer_sizes=(300, 100))
    ours.partial_fit(X, y, classes=[0, 1])
    assert 2.9 * n_bytes(ours) < len(pickle.dumps(ours)) < 3.05 * n_bytes(ours) + 5000


# Poisson


def test_poisson_refuses_negative_y(regression):
    """scikit-learn's loss is NaN and it trains on."""
    X, y = regression
    ours, theirs = pair("MLPRegressor", loss="poisson", max_iter=3)
    assert np.isnan(theirs.fit(X, y).loss_)
    for method in (ours.fit, ours.partial_fit):
        with pytest.raises(ValueError, match="out of the valid range of the loss 'poisson'"):
            method(X, y)
    ours.fit(X, np.abs(y))


def test_poisson_of_predictions_that_vanish():
    X, y, losses = np.eye(4), np.array([1.0, 0.0, 2.0, 3.0]), []
    params = {"loss": "poisson", "activation": "identity", "solver": "sgd", "max_iter": 1}
    for est in pair("MLPRegressor", warm_start=True, learning_rate_init=1e-9, **params):
        est.fit(X, y)
        for coef in est.coefs_:
            coef[...] = -800 / 5 if coef.shape[1] == 1 else 1
        for intercept in est.intercepts_:
            intercept[...] = 0
        losses.append(est.fit(X, y).loss_)
    assert np.isfinite(losses).tolist() == [True, False]


# Targets that are no numbers, fits that are refused


def test_targets_that_are_no_numbers(regression):
    X, y = regression
    for targets, ours_raises in ((y.astype(str), ValueError), (y.astype("M8[s]"), ValueError)):
        ours, theirs = pair("MLPRegressor", max_iter=2)
        with pytest.raises(ours_raises, match="y must be an array of real numbers"):
            ours.fit(X, targets)
        with pytest.raises(TypeError, match="ufunc 'subtract'"):
            theirs.fit(X, targets)


# Two columns of two values


def columns_of(codes):
    X = np.random.RandomState(0).normal(size=(200, 4))
    return X, np.array(codes)[(X[:, :2] > 0).astype(int)]


@pytest.mark.slow
@pytest.mark.parametrize("codes", [(1, 2), (-1, 1), (3, 7), (0, 2)], ids=str)
def test_two_values_that_are_no_indicator(codes):
    """scikit-learn learns whether they differ from zero."""
    X, y = columns_of(codes)
    ours, theirs = pair("MLPClassifier", solver="lbfgs", hidden_layer_sizes=(16,))
    assert ours.fit(X, y).score(X, y) == 1
    assert set(np.unique(ours.predict(X))) == set(codes)
    assert theirs.fit(X, y).score(X, y) < 0.5
    assert set(np.unique(theirs.predict(X))) <= {0, 1}


def test_two_values_that_follow_an_indicator():
    X, y = columns_of((0, 1))
    ours, theirs = (est.fit(X, y) for est in pair("MLPClassifier", max_iter=2))
    for later in (y + 1, y[:, 0]):
        with pytest.raises(ValueError, match="multilabel indicator"):
            ours.partial_fit(X, later)
    theirs.partial_fit(X, y + 1)
    wide = np.hstack([y, y[:, :1]])
    ours, theirs = (est.fit(X, wide) for est in pair("MLPClassifier", max_iter=2))
    theirs.partial_fit(X, y.sum(axis=1))  # three classes, and three columns
    with pytest.raises(ValueError, match="multilabel indicator"):
        ours.partial_fit(X, y.sum(axis=1))


def test_sparse_counts():
    X, y = columns_of((0, 2))
    ours, theirs = pair("MLPClassifier", max_iter=2)
    theirs.fit(X, sp.csr_matrix(y))
    with pytest.raises(ValueError, match=r"A sparse y is .* but has the values \[2\]"):
        ours.fit(X, sp.csr_matrix(y))


def test_a_refused_fit_leaves_everything(classification):
    X, y = classification
    ours, theirs = pair("MLPClassifier", max_iter=2)
    for est in (ours, theirs):
        est.fit(X, y)
        with pytest.raises(ValueError, match=r"too few|too small"):
            est.set_params(early_stopping=True).fit(X[:3], ["a", "b", "a"])
    assert ours.classes_.tolist() == [0, 1]
    assert theirs.classes_.tolist() == ["a", "b"]
