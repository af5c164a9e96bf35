"""dropout= and predict_samples of the estimators; arithmetic: core/test_dropout_engine.py."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from cmlp import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RATES = [0.1, 0.4, 0.2]


def make(name, **params):
    params = {"hidden_layer_sizes": (20, 10), "random_state": 0, "max_iter": 5, **params}
    return {"classifier": MLPClassifier, "regressor": MLPRegressor}[name](**params)


@pytest.fixture(params=["classifier", "regressor"])
def name(request):
    return request.param


@pytest.fixture
def data(name):
    if name == "classifier":
        return make_classification(150, 12, n_informative=6, n_classes=3, random_state=0)
    X, y = make_regression(150, 12, n_targets=2, random_state=0)
    return X, y / y.std()


def weights(est):
    return np.concatenate([w.ravel() for w in est.coefs_ + est.intercepts_])


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_rates(name, data, solver):
    X, y = data
    whole = weights(make(name, solver=solver).fit(X, y))
    dropped = weights(make(name, solver=solver, dropout=0.3).fit(X, y))
    assert (dropped != whole).any()
    for same in ([0.0, 0.3, 0.3], (0, 0.3, 0.3), np.array([0, 0.3, 0.3]), np.float64(0.3)):
        est = make(name, solver=solver, dropout=same).fit(X, y)
        np.testing.assert_array_equal(weights(est), dropped)
    for none in (0, 0.0, [0, 0, 0]):
        est = make(name, solver=solver, dropout=none).fit(X, y)
        np.testing.assert_array_equal(weights(est), whole)
        assert not hasattr(est, "_dropout_state")
    other = make(name, solver=solver, dropout=0.3, random_state=1).fit(X, y)
    assert (weights(other) != dropped).any()


def test_only_training_drops(name, data):
    """Predictions, scores and what early stopping sees are those of the whole network."""
    X, y = data
    est = make(name, dropout=0.5, early_stopping=True).fit(X, y)
    again = make(name).fit(X, y)
    again.coefs_, again.intercepts_ = est.coefs_, est.intercepts_
    np.testing.assert_array_equal(est.predict(X), again.predict(X))
    assert est.score(X, y) == again.score(X, y)
    held_out = make(name, dropout=0.5, early_stopping=True, max_iter=1).fit(X, y)
    # the draw of the seed comes after that of the split
    generator = np.random.RandomState(0)
    for coef, intercept in zip(held_out.coefs_, held_out.intercepts_, strict=True):
        generator.uniform(size=coef.shape)
        generator.uniform(size=intercept.shape)
    _, X_val, _, y_val = train_test_split(X, y, random_state=generator, test_size=0.1)
    assert held_out.score(X_val, y_val) == pytest.approx(held_out.validation_scores_[0])


@pytest.mark.parametrize("batch_size", [1, 32])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_and_sparse_rows(name, data, dtype, batch_size):
    X, y = data
    X = np.where(np.random.default_rng(0).random(X.shape) < 0.8, 0, X).astype(dtype)
    params = {"dropout": RATES, "batch_size": batch_size, "max_iter": 2}
    sample_weight = np.linspace(0.5, 2, len(X))
    expected = make(name, n_jobs=1, **params).fit(X, y, sample_weight)
    assert {w.dtype for w in expected.coefs_} == {np.dtype(dtype)}
    for rows, n_jobs in ((X, 2), (sp.csr_matrix(X), 1), (sp.csc_matrix(X), 2)):
        est = make(name, n_jobs=n_jobs, **params).fit(rows, y, sample_weight)
        np.testing.assert_allclose(weights(est), weights(expected), rtol=2e-4, atol=1e-6)
        if rows is X:
            np.testing.assert_array_equal(weights(est), weights(expected))


def test_no_two_epochs_drop_the_same(name, data):
    """A seed for a fit; partial_fit and warm_start go on with it, a new fit does not."""
    X, y = data
    est = make(name, dropout=0.4, shuffle=False, solver="sgd", learning_rate_init=1e-12)
    kwargs = {"classes": np.unique(y)} if name == "classifier" else {}
    losses, states = [], []
    for _ in range(4):
        est.partial_fit(X, y, **kwargs)
        losses.append(est.loss_)
        states.append(est._dropout_state)
    assert len(set(losses)) == 4  # of weights that stay, nearly, what they are
    assert states == [(states[0][0], epoch) for epoch in (1, 2, 3, 4)]
    copy = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(weights(copy.partial_fit(X, y)), weights(est.partial_fit(X, y)))
    est.set_params(warm_start=True, max_iter=3).fit(X, y)
    assert est._dropout_state == (states[0][0], 8)
    est.set_params(warm_start=False).fit(X, y)
    assert est._dropout_state[1] == 3
    first = weights(est)
    np.testing.assert_array_equal(weights(clone(est).fit(X, y)), first)
    generator = np.random.RandomState(0)
    seeds = {make(name, dropout=0.4, random_state=generator).fit(X, y)._dropout_state[0]
             for _ in range(3)}  # fmt: skip
    assert len(seeds) == 3


def test_partial_fit_of_one_row_starts_dropout(name, data):
    """Where nothing else is drawn, and a fit without dropout came before."""
    X, y = data
    est = make(name).fit(X, y).set_params(dropout=0.5)
    est.partial_fit(X[:1], y[:1])
    assert est._dropout_state[1] == 1


def test_model_selection(name, data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), make(name, max_iter=3))
    step = type(make(name)).__name__.lower()
    search = GridSearchCV(pipeline, {f"{step}__dropout": [0.0, 0.2, [0.1, 0.0, 0.3]]}, cv=2)
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1, np.nan, "half", None, 2])
def test_bad_rate(name, data, dropout):
    with pytest.raises(InvalidParameterError, match="'dropout' parameter"):
        make(name, dropout=dropout).fit(*data)


@pytest.mark.parametrize(
    "dropout", [[], [0.5], [0.5] * 4, [0.1, 0.2, 1.0], [0.1, -0.2, 0], [0, 0, None], [[0, 0, 0]]]
)
def test_bad_list(name, data, dropout):
    with pytest.raises(ValueError, match="one for each of 2 hidden layers"):
        make(name, dropout=dropout).fit(*data)


def test_lbfgs(name, data):
    with pytest.raises(ValueError, match="dropout must be 0, or the solver"):
        make(name, solver="lbfgs", dropout=0.5).fit(*data)
    make(name, solver="lbfgs", dropout=[0, 0, 0]).fit(*data)


def test_regularises():
    """With few samples the test loss is lower: what it is for."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    params = {"hidden_layer_sizes": 200, "max_iter": 300, "batch_size": 20, "tol": 0.0}
    losses = []
    for dropout in (0.0, 0.5):
        est = make("classifier", dropout=dropout, **{**params, "random_state": 1})
        p = est.fit(X[:200], y[:200]).predict_proba(X[200:])
        losses.append(log_loss(y[200:], p))
    assert losses[1] < 0.9 * losses[0]


# predict_samples


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples(name, data, dtype):
    X, y = data[0].astype(dtype), data[1]
    est = make(name, dropout=RATES, max_iter=20).fit(X, y)
    samples = est.predict_samples(X, 30, random_state=0)
    n_outputs = 3 if name == "classifier" else 2
    assert samples.shape == (30, 150, n_outputs)
    assert samples.dtype == dtype
    np.testing.assert_array_equal(est.predict_samples(X, 4, random_state=0), samples[:4])
    np.testing.assert_array_equal(
        est.set_params(n_jobs=2).predict_samples(X, 30, random_state=0), samples
    )
    np.testing.assert_allclose(
        est.predict_samples(sp.csr_matrix(X), 30, random_state=0), samples, rtol=1e-4, atol=1e-5
    )
    assert (est.predict_samples(X, 30, random_state=1) != samples).any()
    assert (samples[0] != samples[1]).any()
    # rows have draws of their own
    assert (est.predict_samples(X[[0, 0]], 1, random_state=0)[0, 0] != samples[0, 1]).any()
    if name == "classifier":
        np.testing.assert_allclose(samples.sum(axis=2), 1, rtol=1e-5)


def test_mean_of_samples():
    """Of a linear network it is the prediction: inverted dropout has no bias."""
    X, y = make_regression(20, 5, random_state=0)
    est = make("regressor", hidden_layer_sizes=8, activation="identity", dropout=[0.3, 0.4])
    est.fit(X, y / y.std())
    samples = est.predict_samples(X, 20_000, random_state=0)[:, :, 0]
    error = samples.std(axis=0) / np.sqrt(20_000)
    assert (np.abs(samples.mean(axis=0) - est.predict(X)) < 5 * error).all()


def test_samples_of_two_classes_and_of_labels():
    X, y = make_classification(80, random_state=0)
    est = MLPClassifier((10,), dropout=0.2, max_iter=3, random_state=0).fit(X, y)
    samples = est.predict_samples(X, 5)
    assert samples.shape == (5, 80, 2)
    np.testing.assert_allclose(samples.sum(axis=2), 1)
    labels = np.c_[y, 1 - y, y]
    assert est.fit(X, labels).predict_samples(X, 5).shape == (5, 80, 3)


def test_samples_do_not_depend_on_the_number_of_rows():
    """Nor on the pieces in which rows pass through the layers."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 4))
    est = make("regressor", hidden_layer_sizes=10, activation="tanh", dropout=[0.2, 0.5])
    est.fit(X, X[:, 0])
    all_rows = est.predict_samples(X, 2, random_state=0)
    np.testing.assert_array_equal(
        est.predict_samples(X[:700], 2, random_state=0), all_rows[:, :700]
    )


def test_samples_misuse(name, data):
    X, y = data
    with pytest.raises(NotFittedError):
        make(name, dropout=0.5).predict_samples(X, 2)
    est = make(name).fit(X, y)
    with pytest.raises(ValueError, match="draws from dropout, and there is none"):
        est.predict_samples(X, 2)
    est.set_params(dropout=0.5)  # of a network trained without: a choice
    assert est.predict_samples(X, 2).shape[0] == 2
    for n_samples, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="n_samples"):
            est.predict_samples(X, n_samples)
    with pytest.raises(ValueError, match="features"):
        est.predict_samples(X[:, 1:], 2)


def test_samples_of_several_quantiles_are_in_order():
    X, y = load_diabetes(return_X_y=True)
    est = MLPRegressor(
        loss="quantile", quantile=[0.9, 0.1, 0.5], dropout=0.3, max_iter=3, random_state=0
    ).fit(X, y)
    samples = est.predict_samples(X[:5], 4, random_state=0)
    assert samples.shape == (4, 5, 3)
    assert np.all(samples[..., 1] <= samples[..., 2])
    assert np.all(samples[..., 2] <= samples[..., 0])
