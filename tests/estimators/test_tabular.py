"""TabularMLPClassifier and TabularMLPRegressor: raw tables, kinds of targets, odd tables."""

import pickle
import signal
import time

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from threadpoolctl import threadpool_limits

from cmlp import TabularMLPClassifier, TabularMLPRegressor

pytestmark = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")

QUICK = {"max_iter": 15, "random_state": 0, "n_members": 4, "hidden_layer_sizes": (32,)}
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 5))
X_MISSING = np.where(rng.random(X.shape) < 0.1, np.nan, X)
LABELS = np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")
VALUES = X[:, 0] + X[:, 1] ** 2


def classifier(**params):
    return TabularMLPClassifier(**{**QUICK, **params})


def regressor(**params):
    return TabularMLPRegressor(**{**QUICK, **params})


def frame(pd):
    n = len(X)
    data = {
        "number": X_MISSING[:, 0],
        "count": np.arange(n) % 7,
        "flag": X[:, 1] > 0,
        "word": np.array(["a", "b", None, "c"] * (n // 4), dtype=object),
        "id": [f"id{i}" for i in range(n)],
    }
    table = pd.DataFrame(data)
    table["kind"] = pd.Categorical(np.where(X[:, 2] > 0, "x", "y"))
    return table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "network", "boosting"),
    [
        (load_breast_cancer, TabularMLPClassifier, HistGradientBoostingClassifier),
        (load_diabetes, TabularMLPRegressor, HistGradientBoostingRegressor),
    ],
)
def test_defaults_are_not_behind_gradient_boosting(load, network, boosting):
    X, y = load(return_X_y=True)
    errors = {network: [], boosting: []}
    for seed in range(2):
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed)
        for kind, own in errors.items():
            with threadpool_limits(1):  # OpenMP's threads would wait for one another on busy CPUs
                est = kind(random_state=0).fit(X_train, y_train)
            if load is load_diabetes:
                own.append(np.mean((est.predict(X_test) - y_test) ** 2))
            else:
                own.append(log_loss(y_test, est.predict_proba(X_test)))
    assert np.mean(errors[network]) < np.mean(errors[boosting])


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_raw_frame(make):
    pd = pytest.importorskip("pandas")
    table = frame(pd)
    y = LABELS if make is classifier else VALUES
    est = make(max_iter=60).fit(table, y)
    assert list(est.feature_names_in_) == list(table.columns)
    assert est.score(table, y) > (0.8 if make is classifier else 0.2)
    expected = est.predict(table)
    np.testing.assert_array_equal(est.predict(table[table.columns[::-1]]), expected)
    other = table.head(10).copy()
    other["word"] = "unseen"
    other["number"] = np.nan
    other.loc[0, "id"] = None
    assert len(est.predict(other)) == 10
    with pytest.raises(ValueError, match="word"):
        est.predict(table.drop(columns="word"))


def test_polars_and_pandas_are_alike():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    table = frame(pd)[["number", "count", "flag", "word"]]
    clf = classifier().fit(table, LABELS)
    columns = {name: table[name].tolist() for name in table}
    columns["word"] = [None if word != word else word for word in columns["word"]]
    columns["number"] = table["number"].to_numpy()
    other_table = pl.DataFrame(columns)
    other = classifier().fit(other_table, LABELS)
    np.testing.assert_array_equal(other.predict_proba(other_table), clf.predict_proba(table))


@pytest.mark.parametrize("n_folds", [1, 3])
def test_kinds_of_labels(n_folds):
    clf = classifier(n_folds=n_folds, max_iter=60)
    assert clf.fit(X_MISSING, LABELS).score(X_MISSING, LABELS) > 0.7
    assert list(clf.classes_) == ["no", "yes"]
    assert len(clf.estimators_) == n_folds
    np.testing.assert_allclose(clf.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    indicator = (X[:, :3] > 0).astype(int)
    clf.fit(X, indicator)
    assert clf.predict_proba(X).shape == clf.predict(X).shape == (300, 3)
    assert clf.score(X, indicator) > 0.7
    columns = np.column_stack([LABELS, np.digitize(X[:, 2], [-0.5, 0.5]).astype(str)])
    clf.fit(X, columns)
    assert [list(classes) for classes in clf.classes_] == [["no", "yes"], ["0", "1", "2"]]
    assert (clf.predict(X) == columns).mean() > 0.7


@pytest.mark.parametrize(
    "loss",
    [
        *("squared_error", "absolute_error", "huber", "log_cosh", "quantile"),
        *("poisson", "gamma", "tweedie"),
    ],
)  # fmt: skip
def test_losses_and_scales_of_y(loss):
    y = 1e6 * np.exp(X[:, 0])
    reg = regressor(loss=loss, max_iter=100).fit(X, y)
    assert reg.score(X, y) > 0.3
    scaled = regressor(loss=loss, max_iter=100).fit(X, y / 2**40)
    np.testing.assert_allclose(scaled.predict(X) * 2**40, reg.predict(X), rtol=1e-3)


def test_several_outputs():
    Y = np.column_stack([VALUES, 1e5 + 1e3 * X[:, 2]])
    reg = regressor(max_iter=100).fit(X_MISSING, Y)
    assert reg.predict(X).shape == (300, 2)
    assert reg.score(X_MISSING, Y) > 0.5


def test_the_same_bits_for_any_threads_and_again():
    p = [classifier(n_jobs=n).fit(X, LABELS).predict_proba(X) for n in (1, 2, 1)]
    np.testing.assert_array_equal(p[0], p[1])
    np.testing.assert_array_equal(p[0], p[2])
    clf = classifier().fit(X, LABELS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), p[0])
    assert (classifier(random_state=1).fit(X, LABELS).predict_proba(X) != p[0]).any()


def test_validation_data_of_ones_own():
    clf = classifier(max_iter=60)
    clf.fit(X[:200], LABELS[:200], X_val=X[200:], y_val=LABELS[200:])
    assert len(clf.estimators_) == 5
    reg = regressor(max_iter=60).fit(X[:200], VALUES[:200], X_val=X[200:], y_val=VALUES[200:])
    assert reg.score(X, VALUES) > 0.5


def test_weights_of_rows_and_classes():
    weight = np.where(LABELS == "yes", 1.0, 1e-3)
    clf = classifier(max_iter=60).fit(X, LABELS, weight)
    assert (clf.predict(X) == "yes").mean() > 0.7
    clf = classifier(max_iter=60, class_weight={"yes": 1.0, "no": 1e-3}).fit(X, LABELS)
    assert (clf.predict(X) == "yes").mean() > 0.7
    with pytest.raises(ValueError, match="sample_weight"):
        clf.fit(X, LABELS, weight[:-1])


def test_rows_without_weight_do_not_choose_the_epoch():
    weight = np.zeros(300)
    weight[:60] = 1
    clf = classifier(max_iter=60).fit(X, LABELS, weight)
    other = classifier(max_iter=60).fit(X[:60], LABELS[:60])
    np.testing.assert_allclose(clf.predict_proba(X), other.predict_proba(X), rtol=1e-4)
    y = np.where(np.arange(300) < 60, LABELS, "never")
    assert list(classifier().fit(X, y, weight).classes_) == ["no", "yes"]


def test_rows_without_weight_have_no_part_in_the_scale_of_y():
    y, weight = VALUES.copy(), np.ones(300)
    y[:30], weight[:30] = 1e12, 0
    reg = regressor(max_iter=60).fit(X, y, sample_weight=weight)
    assert reg.score(X[30:], y[30:]) > 0.5


ODD = {
    "two rows": X[:2],
    "one column": X[:, :1],
    "constant": np.ones((40, 3)),
    "all missing": np.full((40, 2), np.nan),
    "huge": X * 1e30,
    "tiny": X * 1e-300,
    "wide": rng.normal(size=(30, 500)),
    "two values": (X > 0) * 1.0,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tables(name):
    table = ODD[name]
    n = len(table)
    clf = classifier(max_iter=5).fit(table, np.arange(n) % 2)
    assert np.isfinite(clf.predict_proba(table)).all()
    reg = regressor(max_iter=5).fit(table, np.arange(n) * 1e30)
    assert np.isfinite(reg.predict(table)).all()


def test_a_class_of_one_row_is_learnt():
    y = np.arange(300) % 2
    y[7] = 5
    for n_folds in (1, 3):
        clf = classifier(max_iter=5, n_folds=n_folds).fit(X, y)
        assert list(clf.classes_) == [0, 1, 5]
        assert clf.predict_proba(X).shape == (300, 3)


def test_one_class():
    clf = classifier(max_iter=5).fit(X, np.full(300, "only"))
    assert set(clf.predict(X)) == {"only"}


def test_time_limit():
    clf = classifier(max_iter=10**6, n_iter_no_change=10**6, time_limit=0.5, n_folds=2)
    begun = time.monotonic()
    clf.fit(X, LABELS)
    assert time.monotonic() - begun < 20  # it would take hours
    assert clf.score(X, LABELS) > 0.8


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_see_the_folds_and_progress_bars_the_epochs(n_jobs):
    callback = pytest.importorskip("sklearn.callback")
    log = []

    class Notes:
        """All tasks; handed on to the networks as progress bars are."""

        max_propagation_depth = None

        def setup(self, estimator, context):
            log.append("setup")

        def on_fit_task_begin(self, estimator, context):
            log.append(("begin", type(estimator).__name__, context.task_name, context.task_id))

        def on_fit_task_end(self, estimator, context):
            log.append(("end", type(estimator).__name__, context.task_name, context.task_id))

        def teardown(self, estimator, context):
            log.append("teardown")

    assert isinstance(Notes(), callback.AutoPropagatedCallback)
    plain = classifier(max_iter=3, n_folds=2, n_jobs=n_jobs).fit(X, LABELS)
    clf = classifier(max_iter=3, n_folds=2, n_jobs=n_jobs).set_callbacks(Notes())
    clf.fit(X, LABELS)
    np.testing.assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))
    assert log[0] == "setup"
    assert log[-1] == "teardown"
    name = "TabularMLPClassifier"
    assert log[1] == ("begin", name, "fit", 0)
    assert log[-2] == ("end", name, "fit", 0)
    for fold in (0, 1):
        assert ("begin", "MLPClassifier", "fit", fold) in log  # one with the task "fold"
        assert ("end", "MLPClassifier", "fit", fold) in log
    epochs = [one for one in log if one[:3] == ("end", "MLPClassifier", "epoch")]
    assert len(epochs) == sum(network.n_iter_ for network in clf.estimators_)
    assert not any(hasattr(network, "_skl_callbacks") for network in clf.estimators_)
    assert pickle.loads(pickle.dumps(clf.set_callbacks())).predict(X).shape == (300,)


class Interrupt:
    """Ctrl-C at the end of the first epoch."""

    max_propagation_depth = None

    def __init__(self):
        self.is_due = True

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if self.is_due and context.task_name == "epoch":
            self.is_due = False
            signal.raise_signal(signal.SIGINT)  # which the main thread gets

    def teardown(self, estimator, context):
        pass


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_ends_all_networks_and_keeps_what_they_have(n_jobs):
    pytest.importorskip("sklearn.callback")
    clf = classifier(max_iter=10**6, n_iter_no_change=10**6, n_folds=3, n_jobs=n_jobs)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        clf.set_callbacks(Interrupt()).fit(X, LABELS)
    assert len(clf.estimators_) == 3
    assert clf.predict(X).shape == (300,)
    assert {network.max_iter for network in clf.estimators_} == {10**6}
    assert {network.n_jobs for network in clf.estimators_} == {n_jobs}


def test_an_error_in_one_network_ends_all():
    pytest.importorskip("sklearn.callback")
    clf = classifier(max_iter=10**6, n_iter_no_change=10**6, n_folds=3, n_jobs=2)
    failing = Interrupt()
    failing.on_fit_task_end = lambda estimator, context: 1 / 0
    with pytest.raises(ZeroDivisionError):
        clf.set_callbacks(failing).fit(X, LABELS)
    assert not hasattr(clf, "estimators_")


def test_hooks_see_y_as_it_was_given():
    pytest.importorskip("sklearn.callback")
    seen = []

    class Notes:
        """Hooks that keep y."""

        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, *, y):
            seen.append(y)

        def on_fit_task_end(self, estimator, context):
            estimator.predict(X)  # at the end of the fit it is fitted

        def teardown(self, estimator, context):
            pass

    reg = regressor(max_iter=3, n_folds=2).fit(X, VALUES)
    reg.set_callbacks(Notes()).fit(X, 1e6 * VALUES)
    assert len(seen) == 3
    for y in seen:
        np.testing.assert_array_equal(y, 1e6 * VALUES)


@pytest.mark.parametrize("est", [classifier(), regressor()])
def test_weights_of_nothing_are_refused(est):
    with pytest.raises(ValueError, match="at least one non-zero number"):
        est.fit(X, np.arange(300) % 2, np.zeros(300))


def test_search_and_clone():
    search = GridSearchCV(classifier(max_iter=3), {"n_members": [1, 2]}, cv=2).fit(X, LABELS)
    assert search.best_params_["n_members"] in (1, 2)
    assert len(cross_val_score(regressor(max_iter=3), X, VALUES, cv=3)) == 3
    assert clone(classifier(n_bins=7)).n_bins == 7


@pytest.mark.parametrize(
    "params",
    [
        {"n_members": 0}, {"n_bins": -1}, {"embedding": 0}, {"step_embedding": -1},
        {"n_folds": 0}, {"max_one_hot": -1},
        {"validation_fraction": 1.0}, {"time_limit": 0}, {"batch_size": "all"}, {"max_iter": 0},
        {"categorical_features": "by_name"}, {"loss": "hinge"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [classifier, regressor])
def test_parameters_that_are_refused(make, params):
    est = make(**params)
    with pytest.raises(ValueError, match=next(iter(params))):
        est.fit(X, LABELS if make is classifier else VALUES)
    assert not hasattr(est, "estimators_")


def test_bad_input_leaves_the_estimator_as_it_was():
    clf = classifier().fit(X, LABELS)
    p = clf.predict_proba(X)
    for bad in (X[:10], np.where(X > 2, np.inf, X), X.tolist()[0]):
        with pytest.raises(ValueError, match=r"X|samples|array"):
            clf.fit(bad, LABELS)
    with pytest.raises(ValueError, match="requires y to be passed"):
        clf.fit(X, None)
    for part in ({"X_val": X}, {"y_val": LABELS}, {"sample_weight_val": np.ones(300)}):
        with pytest.raises(ValueError, match="was not provided"):
            clf.fit(X, LABELS, **part)
    np.testing.assert_array_equal(clf.predict_proba(X), p)
    with pytest.raises(ValueError, match="features"):
        clf.predict(X[:, :3])
