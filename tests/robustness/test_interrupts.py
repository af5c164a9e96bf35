"""What ends a fit from outside: Ctrl-C, a callback or a scorer that raises, no memory.

The model that is left is finite, consistent, and can be used and trained. How soon Ctrl-C is
noticed is not asked here but in ``docs/reliability.md``; signals within a step: test_threads.py.
``CMLP_INTERRUPTS=2000`` makes the long run.
"""

import gc
import os
import pickle
import signal
import sys
import warnings

import numpy as np
import pytest
from scripts import output_of
from sklearn.base import clone
from sklearn.datasets import load_digits

from cmlp import MLPClassifier, MLPRegressor, _threads
from cmlp._core import engine
from cmlp._optimizer_base import Optimizer

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer here"),
]
needs_limits = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs limits and /proc"
)
N_INTERRUPTS = int(os.environ.get("CMLP_INTERRUPTS", "60"))
INTERRUPTED = r"^Training interrupted by user\.$"
DIGITS = load_digits(return_X_y=True)
X, y = DIGITS[0][:1200] / 16, DIGITS[1][:1200]
X_VAL, Y_VAL = DIGITS[0][1200:] / 16, DIGITS[1][1200:]
SOLVERS = {
    "sgd": {"solver": "sgd"},
    "adam": {"solver": "adam"},
    "adam, dropout": {"solver": "adam", "dropout": 0.2},
    "adamw, clipped and averaged": {"solver": "adamw", "max_grad_norm": 0.5, "ema_decay": 0.9},
    "schedule-free": {"solver": "schedule_free_adamw"},
    "online": {"solver": "sgd", "batch_size": 1, "learning_rate_init": 1e-4},
    "lbfgs": {"solver": "lbfgs"},
}
#: solver and early stopping, which lbfgs does not know
FITS = [(solver, early) for solver in SOLVERS for early in (False, True)]
FITS.remove(("lbfgs", True))


@pytest.fixture
def ctrl_c(monkeypatch):
    """ctrl_c(seconds): SIGINT so long after training has begun, once."""
    pending = []

    def counted(function):
        def counting(*arguments):
            if pending:
                signal.setitimer(signal.ITIMER_REAL, pending.pop())
            return function(*arguments)

        return counting

    for name in ("train_epoch", "loss_and_gradient"):
        monkeypatch.setattr(engine, name, counted(getattr(engine, name)))
    # a finalizer of what other tests have left would swallow the exception
    gc.collect()
    gc.disable()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield pending.append
    signal.setitimer(signal.ITIMER_REAL, 0)
    gc.enable()
    signal.signal(signal.SIGALRM, before)


def make(solver, Estimator=MLPClassifier, **params):
    """An estimator that does not stop by itself."""
    params = {"max_iter": 10**7, "max_fun": 10**9, "n_iter_no_change": np.inf, **params}
    if solver == "lbfgs":
        params["tol"] = 0
    return Estimator(random_state=0, **{**SOLVERS[solver], **params})


def check_sound(est, n_samples, held_out=False):
    """A model after its first fit, however that ended."""
    arrays = est.coefs_ + est.intercepts_
    assert all(np.isfinite(array).all() for array in arrays)
    assert np.isfinite(est.predict_proba(X[:50])).all()
    if est.solver != "lbfgs":
        assert est.n_iter_ == len(est.loss_curve_)
        assert est.t_ == est.n_iter_ * n_samples
        np.testing.assert_equal(est.loss_, [np.nan, *est.loss_curve_][-1])
    if held_out:
        assert len(est.validation_scores_) == len(est.validation_loss_curve_)
        assert est.n_iter_ - len(est.validation_scores_) in (0, 1)  # a score takes a while
        best = max(est.validation_scores_, default=-np.inf)
        assert est.best_validation_score_ == best
        if est.validation_scores_ and est.early_stopping:
            assert est.validation_scores_[est.best_iter_ - 1] == best
            assert est.score(X_VAL, Y_VAL) == best
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict_proba(X[:50]), est.predict_proba(X[:50]))
    again.set_params(warm_start=True, early_stopping=False, max_iter=2, n_jobs=1)
    before = again.coefs_[0].copy()
    again.fit(X[:100], y[:100])
    assert (again.coefs_[0] != before).any()


def interrupted(est, *data, **kwargs):
    before = np.geterr()
    with pytest.warns(UserWarning, match=INTERRUPTED):
        assert est.fit(*data, **kwargs) is est
    assert np.geterr() == before
    return est


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ctrl_c_within_an_errstate(monkeypatch, solver):
    """Which then does not set NumPy's warnings back, as if it was entered and not left."""
    module = sys.modules["cmlp._lbfgs" if solver == "lbfgs" else "cmlp._stochastic"]
    reported_loss = module.reported_loss

    def interrupt(*arguments):
        monkeypatch.setattr(module, "reported_loss", reported_loss)
        np.seterr(all="ignore")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "reported_loss", interrupt)
    interrupted(make(solver), X[:300], y[:300])


@pytest.mark.parametrize(("solver", "early_stopping"), FITS)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_within_a_long_epoch(monkeypatch, ctrl_c, solver, n_jobs, early_stopping):
    monkeypatch.setattr(_threads, "available_cpus", lambda: 4)
    rows, targets = np.tile(X.astype(np.float32), (30, 1)), np.tile(y, 30)
    est = make(solver, hidden_layer_sizes=(500, 400), n_jobs=n_jobs)
    est.set_params(early_stopping=early_stopping)
    ctrl_c(0.02)
    interrupted(est, rows, targets)
    assert est.n_iter_ == 0 or solver == "lbfgs"
    assert np.isnan(est.loss_) or solver == "lbfgs"
    check_sound(est, len(rows))


@pytest.mark.parametrize(("solver", "early_stopping"), [fit for fit in FITS if fit[0] != "lbfgs"])
def test_ctrl_c_at_any_moment(ctrl_c, solver, early_stopping):
    """Between epochs too: curves, counters and weights are always those of the same epoch."""
    rng = np.random.default_rng(0)
    small = {"hidden_layer_sizes": (6,), "early_stopping": early_stopping}
    for _ in range(max(2, N_INTERRUPTS // 6)):
        est = make(solver, **small)
        ctrl_c(rng.uniform(1e-4, 2e-2))
        interrupted(est, X[:300], y[:300], X_val=X_VAL[:60], y_val=Y_VAL[:60])
        check_sound(est, 300)
        scores = est.validation_scores_
        assert len(scores) == len(est.validation_loss_curve_)
        assert est.n_iter_ - len(scores) in (0, 1)  # a score takes a while
        if early_stopping and scores:
            # the last score may not yet have been compared
            best = est.best_validation_score_
            assert best == scores[est.best_iter_ - 1]
            assert best in (max(scores), max(scores[:-1], default=-np.inf))
            assert est.score(X_VAL[:60], Y_VAL[:60]) == best


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lbfgs_keeps_the_lowest_loss(monkeypatch, dtype):
    """Where scikit-learn's fit raises and leaves the weights that were tried last."""
    losses = []
    loss_and_gradient = engine.loss_and_gradient

    def noted(*arguments):
        if len(losses) == 12:  # and not after some time: a fit by lbfgs ends by itself
            raise KeyboardInterrupt
        losses.append(loss_and_gradient(*arguments))
        return losses[-1]

    monkeypatch.setattr(engine, "loss_and_gradient", noted)
    est = make("lbfgs", hidden_layer_sizes=(40,))
    interrupted(est, X.astype(dtype), y)
    assert est.n_iter_ > 3
    assert est.loss_ == type(est.loss_)(min(losses))
    assert {array.dtype for array in est.coefs_} == {np.dtype(dtype)}
    # these are the weights of that loss: the first evaluation of a fit that begins with them
    loss = est.loss_
    losses.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        est.set_params(warm_start=True, max_iter=1).fit(X.astype(dtype), y)
    rounded = {np.float32: 1e-4, np.float64: 1e-12}
    assert losses[0] == pytest.approx(loss, rel=rounded[dtype])
    check_sound(est, len(X))


@pytest.mark.parametrize("solver", [solver for solver in SOLVERS if solver != "lbfgs"])
def test_ctrl_c_in_partial_fit(ctrl_c, solver):
    rows, targets = np.tile(X, (20, 1)), np.tile(y, 20)
    est = make(solver, hidden_layer_sizes=(300, 200))
    est.partial_fit(X[:50], y[:50], classes=np.arange(10))
    curve, t = list(est.loss_curve_), est.t_
    ctrl_c(0.01)
    with pytest.warns(UserWarning, match=INTERRUPTED):
        est.partial_fit(rows, targets)
    assert est.loss_curve_ == curve
    assert est.t_ == t
    est.partial_fit(X[:50], y[:50])
    assert len(est.loss_curve_) == 2
    assert np.isfinite(est.predict_proba(X)).all()


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_second_ctrl_c_raises(monkeypatch, solver):
    """While the first is still being dealt with: here, while the warning is shown."""
    calls = []
    name = "loss_and_gradient" if solver == "lbfgs" else "train_epoch"
    function = getattr(engine, name)

    def third_interrupted(*arguments):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return function(*arguments)

    def show(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, name, third_interrupted)
    est = make(solver, hidden_layer_sizes=(20,))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", show)
        with pytest.raises(KeyboardInterrupt):
            est.fit(X, y)
    check_sound(est, len(X))


def test_second_ctrl_c_while_an_epoch_is_left(monkeypatch, ctrl_c):
    """Before the first has come as far as fit."""
    after_epoch = Optimizer.after_epoch

    def interrupted_again(self, hyper):
        after_epoch(self, hyper)
        if sys.exc_info()[0] is KeyboardInterrupt:
            raise KeyboardInterrupt

    monkeypatch.setattr(Optimizer, "after_epoch", interrupted_again)
    est = make("adamw, clipped and averaged", hidden_layer_sizes=(200, 200))
    ctrl_c(0.03)
    with pytest.raises(KeyboardInterrupt):
        est.fit(np.tile(X, (20, 1)), np.tile(y, 20))
    check_sound(est, 20 * len(X))


# Callbacks and scorers


class Broken(Exception):
    pass


class BreaksAfter:
    """A callback that raises at the end of the n-th epoch or iteration."""

    def __init__(self, n, error):
        self.n, self.error = n, error

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        if context.max_subtasks == 0:
            self.n -= 1
            if not self.n:
                raise self.error

    def teardown(self, estimator, context):
        pass


@pytest.mark.parametrize(("solver", "early_stopping"), FITS)
def test_callback_that_raises(solver, early_stopping):
    pytest.importorskip("sklearn.callback")
    est = make(solver, hidden_layer_sizes=(8,), early_stopping=early_stopping)
    validation = {"X_val": X_VAL, "y_val": Y_VAL} if early_stopping else {}
    broken = clone(est).set_callbacks(BreaksAfter(3, Broken()))
    with pytest.raises(Broken):
        broken.fit(X, y, **validation)
    broken.set_callbacks()
    assert broken.n_iter_ == 3
    check_sound(broken, len(X), held_out=early_stopping)
    # what three epochs are without it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = clone(est).set_params(max_iter=3).fit(X, y, **validation)
    for one, other in zip(broken.coefs_, whole.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)


class At:
    """A callback that acts when a hook is called for the n-th time."""

    def __init__(self, hook, n, act):
        self.hook, self.n, self.act = hook, n, act

    def called(self, hook, context=None):
        if context is not None:
            hook += " of an epoch" if context.max_subtasks == 0 else " of the fit"
        if hook == self.hook:
            self.n -= 1
            if self.n == 0:
                self.act()

    def setup(self, estimator, context):
        self.called("setup")

    def on_fit_task_begin(self, estimator, context):
        self.called("begin", context)

    def on_fit_task_end(self, estimator, context):
        self.called("end", context)

    def teardown(self, estimator, context):
        self.called("teardown")


#: hook -> epochs done when it is called for the third time, or the first if there is no third;
#: None: training has not begun
HOOKS = {"setup": None, "begin of the fit": None, "begin of an epoch": 2, "end of an epoch": 3}
HOOKS |= {"end of the fit": 4, "teardown": 4}


def raise_broken():
    raise Broken


@pytest.mark.filterwarnings("ignore:lbfgs failed")
@pytest.mark.parametrize("act", [raise_broken, lambda: signal.raise_signal(signal.SIGINT)])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("solver", ["adam", "schedule-free", "lbfgs"])
def test_each_hook_may_raise(solver, hook, act):
    """The weights are those of the epochs that were done; Ctrl-C within one ends the fit well."""
    pytest.importorskip("sklearn.callback")
    within = hook.endswith("of an epoch")
    est = make(solver, hidden_layer_sizes=(8,), max_iter=4)
    est.set_callbacks(At(hook, 3 if within else 1, act))
    if within and act is not raise_broken:
        interrupted(est, X, y)
    else:
        with pytest.raises(Broken if act is raise_broken else KeyboardInterrupt):
            est.fit(X, y)
    est.set_callbacks()
    if HOOKS[hook] is None:
        assert vars(est).keys() == vars(clone(est)).keys()
        return
    assert est.n_iter_ == HOOKS[hook]
    check_sound(est, len(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = make(solver, hidden_layer_sizes=(8,), max_iter=HOOKS[hook]).fit(X, y)
        np.testing.assert_array_equal(est.coefs_[0], whole.coefs_[0])
        again = est.set_params(max_iter=2).fit(X, y)
    assert again.n_iter_ == 2


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callback_that_runs_out_of_memory(solver, warm_start):
    """What was trained is kept, as after any other error."""
    pytest.importorskip("sklearn.callback")

    def act():
        raise MemoryError

    est = make(solver, hidden_layer_sizes=(8,), max_iter=4, warm_start=warm_start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = est.fit(X, y).coefs_[0].copy()
        loss = est.loss_
        est.set_callbacks(At("end of an epoch", 3, act))
        with pytest.raises(MemoryError):
            est.fit(X, y)
        assert est.n_iter_ == 3
        assert (est.coefs_[0] != first).any()
        assert est.loss_ != loss
        # before the first there is nothing to keep
        kept = est.coefs_[0].copy()
        est.set_callbacks(At("begin of an epoch", 1, act))
        with pytest.raises(MemoryError):
            est.fit(X, y)
    np.testing.assert_array_equal(est.coefs_[0], kept)
    assert est.n_iter_ == 3


def test_scorer_that_raises():
    def scorer(est, rows, targets):
        if est.n_iter_ == 3:
            raise Broken
        return est.score(rows, targets)

    est = make("adam", hidden_layer_sizes=(8,), early_stopping=True, scoring=scorer)
    with pytest.raises(Broken):
        est.fit(X, y, X_val=X_VAL, y_val=Y_VAL)
    assert (est.n_iter_, len(est.validation_scores_)) == (3, 2)
    est.set_params(scoring=None)  # a function within a function is not for a pickle
    check_sound(est, len(X), held_out=True)


# No memory

NO_MEMORY = """
import resource, sys, warnings
import numpy as np
from cmlp import MLPRegressor
from cmlp._core import engine
warnings.simplefilter("ignore")
solver, warm = sys.argv[1], sys.argv[2] == "True"
X, y = np.linspace(-1, 1, 1000).reshape(-1, 1), np.linspace(0, 1, 1000)
# two million numbers are parameters; a batch of 500 rows has 100 million per layer
est = MLPRegressor(hidden_layer_sizes=(200_000,), solver=solver, batch_size=1, n_jobs=1,
                   max_iter=1, max_fun=1, random_state=0, warm_start=warm)
if solver != "lbfgs":
    est.fit(X[:2], y[:2])
    before = est.coefs_[0].copy()
est.set_params(batch_size=500)
calls = []
for name in ("train_epoch", "loss_and_gradient"):
    setattr(engine, name, lambda *args: calls.append(args))
(size,) = [int(line.split()[1]) for line in open("/proc/self/status") if "VmSize" in line]
limit = 1024 * size + 300_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    est.fit(X, y)
except MemoryError:
    print("MemoryError", len(calls))
if warm:
    assert (est.coefs_[0] == before).all()
    assert np.isfinite(est.predict(X[:1])).all()
"""


NO_MEMORY_TO_PREDICT = """
import resource, warnings
import numpy as np
from cmlp import MLPClassifier
warnings.simplefilter("ignore")
X = np.linspace(-1, 1, 2000).reshape(-1, 1)
est = MLPClassifier((200_000,), solver="sgd", batch_size=1, n_jobs=1, max_iter=1, random_state=0)
est.fit(X[:2], [0, 1])
before = est.predict_proba(X[:1])
(size,) = [int(line.split()[1]) for line in open("/proc/self/status") if "VmSize" in line]
limit = 1024 * size + 300_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
attributes = dict(vars(est))
for call in (est.predict, est.predict_proba, est.hidden_layer):
    for form in (np.asarray, np.ndarray.tolist):  # by the short way and by the long one
        try:
            call(form(X))
        except MemoryError:
            print("MemoryError")
assert vars(est).keys() == attributes.keys()
assert all(vars(est)[name] is value for name, value in attributes.items())
assert (est.predict_proba(X[:1]) == before).all()
"""


@pytest.mark.slow
@needs_limits
@pytest.mark.parametrize(("solver", "warm"), [("schedule_free_adamw", True), ("lbfgs", False)])
def test_no_memory_is_an_error_before_training(solver, warm):
    assert output_of(NO_MEMORY, solver, warm).splitlines() == ["MemoryError 0"]


@pytest.mark.slow
@needs_limits
def test_no_memory_to_predict():
    """The estimator is as it was, and predicts what there is memory for."""
    assert output_of(NO_MEMORY_TO_PREDICT).splitlines() == 6 * ["MemoryError"]


# Other signals


def test_predict_and_fit_in_a_signal_handler(monkeypatch):
    """While a fit is under way, of which the numbers stay what they are."""
    monkeypatch.setattr(_threads, "available_cpus", lambda: 4)
    rows, targets = np.tile(X, (10, 1)), np.tile(y, 10)
    other = make("adam", hidden_layer_sizes=(30,), max_iter=1)
    est = make("adam", hidden_layer_sizes=(200, 100), max_iter=2, n_jobs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = other.fit(X, y).predict_proba(X), clone(est).fit(rows, targets).coefs_[0]
        found = []

        def handler(*_):
            found.append(other.predict_proba(X))
            found.append(clone(other).fit(X, y).predict_proba(X))

        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            est.fit(rows, targets)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert found
    for p in found:
        np.testing.assert_array_equal(p, expected[0])
    np.testing.assert_array_equal(est.coefs_[0], expected[1])


def test_loss_is_unknown_until_an_epoch_has_ended(ctrl_c):
    """Not that of a fit before."""
    est = MLPRegressor(hidden_layer_sizes=(300, 300), max_iter=1, random_state=0)
    est.fit(X[:50], y[:50])
    assert np.isfinite(est.loss_)
    ctrl_c(0.01)
    interrupted(est, np.tile(X, (30, 1)), np.tile(y, 30))
    assert np.isnan(est.loss_)
    assert est.loss_curve_ == []
