"""A fit as an object: the order of its listeners, and what its state shows on the estimator."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from cmlp import Checkpoint, MLPClassifier, _fitting, _listeners
from cmlp._architecture import Architecture
from cmlp._callbacks import CallbackSupportMixin
from cmlp._run import Listener
from cmlp._training import SHOWN, TrainingState

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_iris(return_X_y=True)
#: What scikit-learn's fit does after an epoch, and where cmlp's additions stand in it.
ORDER = [
    *("Progress", "ValidationWatch", "Patience", "RatePlan", "Publication"),
    *("SklearnCallbacks", "DivergenceGuard", "CheckpointWriter", "TimeLimit", "EpochLimit"),
]


def names(listeners):
    return [getattr(one, "__name__", type(one).__name__) for one in listeners]


@pytest.fixture
def runs(monkeypatch):
    """The runs of all fits."""
    runs = []
    for module, name in ((_fitting, "sgd_epochs"), (_fitting, "lbfgs")):
        solve = getattr(module, name)

        def noted(run, solve=solve):
            runs.append(run)
            solve(run)

        monkeypatch.setattr(module, name, noted)
    return runs


class Watcher:
    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass


def test_order():
    assert names(_listeners.ORDER) == ORDER


def test_listeners_of_a_fit(runs, tmp_path):
    est = MLPClassifier((4,), max_iter=2)
    est.fit(X, Y)
    plain = [name for name in ORDER if name in names(_listeners.OF_EPOCHS)]
    assert names(runs[-1].listeners) == plain
    est.partial_fit(X, Y)
    assert names(runs[-1].listeners) == plain
    est.set_params(early_stopping=True).fit(X, Y, checkpoint=Checkpoint(tmp_path / "state"))
    others = ("SklearnCallbacks", "TimeLimit")
    assert names(runs[-1].listeners) == [name for name in ORDER if name not in others]
    est.set_params(max_time=60).fit(X, Y)
    others = ("SklearnCallbacks", "CheckpointWriter")
    assert names(runs[-1].listeners) == [name for name in ORDER if name not in others]
    est.set_params(max_time=None, solver="lbfgs").fit(X, Y)
    assert names(runs[-1].listeners) == ["Progress"]


@pytest.mark.skipif(
    not hasattr(CallbackSupportMixin, "set_callbacks"), reason="scikit-learn before 1.9"
)
def test_listeners_of_a_fit_with_callbacks(runs, tmp_path):
    est = MLPClassifier((4,), max_iter=2, early_stopping=True, max_time=60)
    est.set_callbacks(Watcher(), Checkpoint(tmp_path / "state")).fit(X, Y)
    assert names(runs[-1].listeners) == ORDER


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_state_is_all_that_training_shows(runs, solver, dropout):
    """What an estimator has after fit comes from its state, its architecture or its labels."""
    if solver == "lbfgs" and dropout:
        pytest.skip("lbfgs minimises a loss without randomness")
    est = MLPClassifier((4,), max_iter=3, solver=solver, dropout=dropout)
    parameters = set(vars(est))
    est.fit(X, Y)
    attributes = runs[-1].state.attributes()
    of_labels = {"n_features_in_", "classes_", "_label_binarizer"}
    of_architecture = runs[-1].problem.architecture.attributes()
    assert set(vars(est)) - parameters == {*attributes, *of_architecture, *of_labels}
    for name, value in {**attributes, **of_architecture}.items():
        assert vars(est)[name] is value
    assert set(attributes) <= set(SHOWN.values())


def test_what_waits_is_shown_once():
    state = TrainingState(best_vector=np.zeros(2))
    state.watch(early_stopping=True, validates=False)
    curve, shown = state.loss_curve, {}
    for epoch in range(1, 4):
        state.record(1 / epoch, 10, keeps_curve=True)
        state.new_scores, state.new_validation_losses = [epoch], [-epoch]
        state.new_best_vector = np.full(2, epoch)
        assert len(curve) == epoch - 1
        state.publish(shown.update)
        state.publish(shown.update)
        assert shown["loss_curve_"] is curve
        assert shown["n_iter_"] == len(curve) == len(shown["validation_scores_"]) == epoch
        np.testing.assert_array_equal(state.best_vector, epoch)


def test_a_snapshot_stays(runs):
    est = MLPClassifier((4,), max_iter=2).fit(X, Y)
    state = runs[-1].state
    snapshot = state.snapshot(np.dtype(np.float32))
    curve, coefs = list(snapshot["loss_curve_"]), snapshot["coefs_"][0].copy()
    state.record(0.5, 10, keeps_curve=True)
    state.publish(vars(est).update)
    state.parameters.vector += 1
    assert snapshot["loss_curve_"] == curve
    np.testing.assert_array_equal(snapshot["coefs_"][0], coefs)
    assert snapshot["coefs_"][0].dtype == np.float32
    assert snapshot["_optimizer"] is None


def test_a_listener_may_end_a_run(monkeypatch):
    class After(Listener):
        __slots__ = ("n",)

        def __init__(self, n):
            self.n = n

        def step_ends(self, run):
            return run.state.n_iter == self.n

    listen = _listeners.listen

    def listening(run, own_listeners=()):
        listen(run, own_listeners)
        run.listeners = (*run.listeners, After(5))

    monkeypatch.setattr(_fitting, "listen", listening)
    assert MLPClassifier((4,), random_state=0).fit(X, Y).n_iter_ == 5


def test_an_architecture_is_a_value():
    one = Architecture((4, 3, 2), ("relu", "softmax"))
    assert one == Architecture((4, 3, 2), ("relu", "softmax"))
    assert hash(one) == hash(Architecture((4, 3, 2), ("relu", "softmax")))
    assert one.attributes() == {"n_layers_": 3, "n_outputs_": 2, "out_activation_": "softmax"}
