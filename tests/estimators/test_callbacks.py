"""scikit-learn's callbacks: one task per epoch or iteration, what a callback sees, stopping."""

import builtins
import importlib.util
import io
import pickle
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cmlp
from cmlp import MLPClassifier, MLPRegressor

callback = pytest.importorskip("sklearn.callback")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SOLVERS = ["sgd", "adam", "lbfgs"]
ESTIMATORS = [MLPClassifier, MLPRegressor]


class Recorder:
    """Notes every hook; stops after the subtask of number stop, raises after that of raises."""

    def __init__(self, stop=None, raises=None, at="end"):
        self.log, self.fitted, self.live = [], [], []
        self.stop, self.raises, self.at = stop, raises, at

    def setup(self, estimator, context):
        self.log.append("setup")
        self.max_subtasks = context.max_subtasks

    def on_fit_task_begin(self, estimator, context):
        self.log.append(("begin", context.task_name, context.task_id))
        if self.at == "begin" and self.raises == context.task_id and context.max_subtasks == 0:
            raise RuntimeError("no more")

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.log.append(("end", context.task_name, context.task_id))
        self.data = X, y, metadata
        if context.max_subtasks == 0:
            self.fitted.append(fitted_estimator)
            self.live.append((estimator.n_iter_, estimator.loss_))
            if self.raises == context.task_id:
                raise RuntimeError("no more")
            return self.stop == context.task_id
        return False

    def teardown(self, estimator, context):
        self.log.append("teardown")


def make_data(cls, n=80):
    if cls is MLPRegressor:
        X, y = make_regression(n, 5, noise=5, random_state=0)
        return X, y / y.std()
    return make_classification(n, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)


def make(cls, **params):
    return cls(**{"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0, **params})


def assert_same(one, other):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def n_leftovers(est):
    return sum("callback" in name and name != "_skl_callbacks" for name in vars(est))


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hooks_and_what_they_see(cls, solver, dtype):
    X, y = make_data(cls)
    X = X.astype(dtype)
    recorder = Recorder()
    est = make(cls, solver=solver).set_callbacks(recorder).fit(X, y)
    name = "iteration" if solver == "lbfgs" else "epoch"
    subtasks = [(hook, name, k) for k in range(5) for hook in ("begin", "end")]
    whole = [("begin", "fit", 0), *subtasks, ("end", "fit", 0)]
    assert recorder.log == ["setup", *whole, "teardown"]
    assert recorder.max_subtasks == 5
    assert recorder.data[0] is X
    assert recorder.data[1] is y
    assert n_leftovers(est) == 0
    assert_same(est, make(cls, solver=solver).fit(X, y))
    for k, fitted in enumerate(recorder.fitted, 1):
        expected = make(cls, solver=solver, max_iter=k).fit(X, y)
        assert_same(fitted, expected)
        assert fitted.n_iter_ == expected.n_iter_ == k
        assert recorder.live[k - 1] == (k, expected.loss_)
        assert getattr(fitted, "loss_curve_", None) == getattr(expected, "loss_curve_", None)
        np.testing.assert_array_equal(fitted.predict(X), expected.predict(X))
        assert not any(
            np.shares_memory(a, b) for a, b in zip(fitted.coefs_, est.coefs_, strict=True)
        )
        assert n_leftovers(fitted) == 0


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_stop(cls, solver):
    X, y = make_data(cls)
    recorder = Recorder(stop=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est = make(cls, solver=solver, max_iter=50).set_callbacks(recorder).fit(X, y)
    assert est.n_iter_ == 3
    assert recorder.log[-3:] == [
        ("end", "iteration" if solver == "lbfgs" else "epoch", 2),
        ("end", "fit", 0),
        "teardown",
    ]
    assert_same(est, make(cls, solver=solver, max_iter=3).fit(X, y))
    assert est.loss_ == make(cls, solver=solver, max_iter=3).fit(X, y).loss_


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("at", ["begin", "end"])
def test_a_callback_that_raises_leaves_a_usable_model(cls, solver, at):
    X, y = make_data(cls)
    X = X.astype(np.float32)
    recorder = Recorder(raises=2, at=at)
    est = make(cls, solver=solver).set_callbacks(recorder)
    with pytest.raises(RuntimeError, match="no more"):
        est.fit(X, y)
    assert recorder.log[-1] == "teardown"
    assert n_leftovers(est) == 0
    n_iter = 3 if at == "end" else 2
    expected = make(cls, solver=solver, max_iter=n_iter).fit(X, y)
    assert_same(est, expected)
    assert (est.n_iter_, est.loss_) == (n_iter, expected.loss_)
    np.testing.assert_array_equal(est.predict(X), expected.predict(X))
    assert_same(est.set_callbacks().fit(X, y), make(cls, solver=solver).fit(X, y))


def test_setup_that_raises():
    X, y = make_data(MLPClassifier)

    class Bad(Recorder):
        def setup(self, estimator, context):
            raise RuntimeError("not set up")

    before = make(MLPClassifier).fit(X, y)
    bad = Bad()
    with pytest.raises(RuntimeError, match="not set up"):
        before.set_callbacks(bad).fit(X, y)
    assert bad.log == ["teardown"]
    assert before.predict(X).shape == y.shape


def test_early_stopping_and_sample_weight():
    """A callback gets the samples that are trained on, and the fit ends with the best weights."""
    X, y = make_data(MLPClassifier)
    weights = np.arange(1.0, len(y) + 1)
    recorder = Recorder()
    params = {"early_stopping": True, "max_iter": 30, "learning_rate_init": 0.1}
    est = make(MLPClassifier, **params).set_callbacks(recorder).fit(X, y, weights)
    X_seen, y_seen, metadata = recorder.data
    assert len(X_seen) == len(y_seen) == 72
    rows = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in X_seen]
    np.testing.assert_array_equal(y_seen, y[rows])
    np.testing.assert_array_equal(metadata["sample_weight"], weights[rows])
    assert_same(est, recorder.fitted[est.best_iter_ - 1])
    assert [len(fitted.validation_scores_) for fitted in recorder.fitted] == list(
        range(1, est.n_iter_ + 1)
    )
    assert_same(est, make(MLPClassifier, **params).fit(X, y, weights))


def test_divergence_shows_no_weights():
    X, y = make_data(MLPRegressor)
    recorder = Recorder()
    params = {"solver": "sgd", "learning_rate_init": 1e300, "max_iter": 20}
    est = make(MLPRegressor, **params).set_callbacks(recorder)
    with pytest.raises(ValueError, match="non-finite"):
        est.fit(X, y)
    assert recorder.fitted[-1] is None
    assert recorder.log[-1] == "teardown"


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_partial_fit(cls):
    X, y = make_data(cls)
    recorder = Recorder(stop=0)
    first = {"classes": [0, 1, 2]} if cls is MLPClassifier else {}
    est = make(cls).set_callbacks(recorder).partial_fit(X, y, **first).partial_fit(X, y)
    one = ["setup", ("begin", "partial_fit", 0), ("begin", "epoch", 0), ("end", "epoch", 0)]
    assert recorder.log == 2 * [*one, ("end", "partial_fit", 0), "teardown"]
    expected = make(cls).partial_fit(X, y, **first).partial_fit(X, y)
    assert_same(est, expected)
    # what a callback was given is its own, the state of the optimizer too
    recorder.fitted[0].set_callbacks().partial_fit(X, y)
    assert_same(recorder.fitted[0], expected)
    assert_same(est.partial_fit(X, y), expected.partial_fit(X, y))


def test_lbfgs_that_ends_early():
    """Every task that begins ends, whatever ends the fit."""
    X, y = make_data(MLPRegressor)
    for params in ({"tol": 0.5}, {"max_fun": 3}, {"max_iter": 1}, {"alpha": 1e5, "tol": 0.0}):
        recorder = Recorder()
        est = make(MLPRegressor, **{"solver": "lbfgs", "max_iter": 300, **params})
        est.set_callbacks(recorder).fit(X, y)
        hooks = [entry[0] for entry in recorder.log]
        assert hooks.count("begin") == hooks.count("end")
        assert len([f for f in recorder.fitted if f is not None]) == est.n_iter_
        plain = make(MLPRegressor, **{"solver": "lbfgs", "max_iter": 300, **params}).fit(X, y)
        assert_same(est, plain)
        assert est.loss_ == plain.loss_


def test_lbfgs_verbose_with_and_without_callbacks():
    X, y = make_data(MLPRegressor)
    printed = []
    for callbacks in ([], [Recorder()]):
        with redirect_stdout(io.StringIO()) as out:
            make(MLPRegressor, solver="lbfgs", verbose=True).set_callbacks(*callbacks).fit(X, y)
        printed.append(out.getvalue())
    assert printed[0] == printed[1]
    assert printed[0].count("Iteration") == 5


# scikit-learn's own callbacks


@pytest.mark.parametrize("solver", SOLVERS)
def test_scoring_monitor(solver):
    X, y = make_data(MLPClassifier)
    X_val, y_val = X[60:], y[60:]

    def scores(est, X, y):
        return {"train": est.score(X, y), "validation": est.score(X_val, y_val)}

    monitor = callback.ScoringMonitor(scoring=scores)
    make(MLPClassifier, solver=solver).set_callbacks(monitor).fit(X[:60], y[:60])
    rows = [row for row in monitor.get_logs().data if row["task_name"] != "fit"]
    for k, row in enumerate(rows, 1):
        expected = make(MLPClassifier, solver=solver, max_iter=k).fit(X[:60], y[:60])
        assert row["train"] == expected.score(X[:60], y[:60])
        assert row["validation"] == expected.score(X_val, y_val)
    assert len(rows) == 5


@pytest.mark.filterwarnings("error:X does not have valid feature names")
@pytest.mark.parametrize("early_stopping", [False, True])
def test_scoring_monitor_of_a_dataframe(early_stopping):
    pd = pytest.importorskip("pandas")
    X, y = make_data(MLPClassifier)
    frame, labels = pd.DataFrame(X, columns=list("abcde")), pd.Series(y)
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    est = make(MLPClassifier, early_stopping=early_stopping).set_callbacks(monitor)
    est.fit(frame, labels, sample_weight=np.arange(len(y)))
    assert len(monitor.get_logs().data) == 6


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_nested_in_a_pipeline_and_a_grid_search(n_jobs):
    X, y = make_data(MLPClassifier)
    monitor = callback.ScoringMonitor(scoring="accuracy")
    mlp = make(MLPClassifier, max_iter=3).set_callbacks(monitor)
    grid = {"mlpclassifier__alpha": [0, 1.0]}
    pipe = make_pipeline(StandardScaler(), mlp)
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=n_jobs).fit(X, y)
    log = monitor.get_logs()
    assert log.estimator_name == "GridSearchCV"
    names = [row["task_name"] for row in log.data]
    assert names.count("fit") == 5  # four candidates' and the refit
    assert names.count("epoch") == 15
    refit = [row for row in log.data if row["task_id_path"][:2] == (0, 1)]
    assert refit[-1]["accuracy"] == search.score(X, y)
    assert_same(search.best_estimator_[-1], clone(search.best_estimator_).fit(X, y)[-1])


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_progress_bar(n_jobs, capfd):
    pytest.importorskip("rich")
    X, y = make_data(MLPClassifier)
    bar = callback.ProgressBar(max_propagation_depth=None)
    pipe = make_pipeline(StandardScaler(), make(MLPClassifier, max_iter=3))
    GridSearchCV(pipe, {"mlpclassifier__alpha": [0, 1.0]}, cv=2, n_jobs=n_jobs).set_callbacks(
        bar
    ).fit(X, y)
    out = capfd.readouterr().out
    assert "GridSearchCV - fit" in out
    assert "100%" in out
    for solver in SOLVERS:
        make(MLPRegressor, solver=solver).set_callbacks(bar).fit(*make_data(MLPRegressor))
        assert "MLPRegressor - fit" in capfd.readouterr().out


def test_clone_and_pickle():
    recorder = Recorder()
    est = make(MLPClassifier).set_callbacks(recorder)
    assert clone(est)._skl_callbacks == [recorder]
    fitted = est.fit(*make_data(MLPClassifier))
    assert pickle.loads(pickle.dumps(fitted)).n_iter_ == 5


def test_before_scikit_learn_has_callbacks(monkeypatch):
    """The module as it is imported where there is no sklearn.callback."""
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("sklearn.callback"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    path = importlib.util.find_spec("cmlp._callbacks").origin
    spec = importlib.util.spec_from_file_location("callbacks_before", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(builtins, "__import__", without)
    spec.loader.exec_module(module)
    assert not hasattr(module.CallbackSupportMixin, "set_callbacks")
    assert issubclass(cmlp.MLPClassifier, callback.CallbackSupportMixin)


@pytest.mark.parametrize("hook", ["setup", "on_fit_task_begin", "on_fit_task_end"])
def test_a_pickle_made_in_a_hook_of_partial_fit_goes_on(hook):
    """It has the state of the optimizer."""
    X, y = make_data(MLPClassifier)
    recorder = Recorder()
    pickles = []

    def keep(estimator, context, **data):
        state = {**estimator.__getstate__(), "_skl_callbacks": []}
        pickles.append(pickle.dumps(state))

    est = make(MLPClassifier).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    twin = clone(est).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    setattr(recorder, hook, keep)
    est.set_callbacks(recorder).partial_fit(X, y)
    copy = clone(twin)
    copy.__setstate__(pickle.loads(pickles[0]))
    if hook != "on_fit_task_end":
        copy.partial_fit(X, y)
    twin.partial_fit(X, y)
    assert_same(copy, twin)
    assert_same(copy.partial_fit(X, y), twin.partial_fit(X, y))
