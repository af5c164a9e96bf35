"""The stochastic solvers and their schedules as estimators offer them: whole fits against the
NumPy twin, what goes on in partial_fit and warm starts, what is refused."""

import copy
import pickle

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_digits, make_regression
from sklearn.model_selection import GridSearchCV

from cmlp import MLPClassifier, MLPRegressor, _schedules
from cmlp._core import engine
from cmlp._early_stopping import split
from cmlp._optimizers import LEARNING_RATES, OPTIMIZERS, has_weight_decay
from cmlp._parameters import Parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = list(OPTIMIZERS)
#: those that can average weights by ema_decay
PLAIN = [name for name in SOLVERS if OPTIMIZERS[name].predicting is None]
PLANNED = list(_schedules.SCHEDULES)
UNITS = (4, 6, 2)
EPOCHS, BATCH = 5, 16


@pytest.fixture(scope="module")
def data():
    X, y = make_regression(70, 4, n_targets=2, random_state=0)
    return X, y / y.std(axis=0)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


def regressor(**params):
    defaults = {
        "hidden_layer_sizes": UNITS[1:-1],
        "activation": "tanh",
        "batch_size": BATCH,
        "max_iter": EPOCHS,
        "shuffle": False,
        "random_state": 0,
        "alpha": 0.1,
        "learning_rate_init": 0.02,
    }
    return MLPRegressor(**{**defaults, **params})


def flat(est):
    return np.concatenate([array.ravel() for array in (*est.coefs_, *est.intercepts_)])


def started(est, dtype=np.float64):
    """The weights that a fit of the estimator starts from."""
    random_state = np.random.RandomState(0)
    return Parameters.initialize(
        UNITS, dtype, [est.activation] * (len(UNITS) - 1), random_state
    ).vector.copy()


def twins_weights(est, X, y, epochs=EPOCHS):
    """Weights that the twin predicts with after training as the estimator should."""
    twin = reference.Twin(UNITS, ("tanh", "identity"))
    hyper = {
        "learning_rate": est.learning_rate_init,
        "nesterov": est.nesterovs_momentum,
        "t": 0,
        "momentum_product": 1,
        "weight_sum": 0,
        **est.get_params(),
        "weight_decay": 0.01 if est.weight_decay is None else est.weight_decay,
    }
    hyper["learning_rate"] = est.learning_rate_init
    names = engine.OPTIMIZERS[est.solver][2]
    optimizer = reference.OPTIMIZERS[est.solver](*(hyper[name] for name in names))
    optimizer.n_coefs = 4 * 6 + 6 * 2
    n_batches = -(-len(X) // est.batch_size)
    n_planned = est.max_iter * n_batches
    warm = est.warmup_fraction * n_planned
    vector, passed, weights = started(est), [], []
    for step in range(epochs * n_batches):
        factor = min(1, (step + 1) / warm) if warm else 1.0
        left, after = n_planned - warm, max(step - warm, 0)
        if est.learning_rate == "cosine":
            factor *= 0.5 + 0.5 * np.cos(np.pi * after / left)
        elif est.learning_rate == "exponential":
            factor *= 0.01 ** (after / left)
        optimizer.learning_rate = est.learning_rate_init * factor
        rows = slice(step % n_batches * est.batch_size, (step % n_batches + 1) * est.batch_size)
        _, grad = twin.loss_and_gradient(vector, X[rows], y[rows], None, est.alpha)
        norm = np.linalg.norm(grad)
        if est.max_grad_norm and norm > est.max_grad_norm:
            grad = grad * est.max_grad_norm / norm
        passed.append(norm)
        vector = vector + optimizer.update(grad, vector)
        weights.append(vector)
    if est.solver == "schedule_free_adamw":
        return optimizer.x
    if est.ema_decay:
        return np.average(weights, axis=0, weights=est.ema_decay ** np.arange(len(weights))[::-1])
    return vector


OPTIONS = {
    "plain": {},
    "weight_decay": {"weight_decay": 0.5},
    "max_grad_norm": {"max_grad_norm": 0.3},
    "ema_decay": {"ema_decay": 0.9},
    "cosine": {"learning_rate": "cosine"},
    "warm cosine": {"learning_rate": "cosine", "warmup_fraction": 0.35},
    "warm exponential": {"learning_rate": "exponential", "warmup_fraction": 0.2},
    "warm constant": {"warmup_fraction": 0.5},
    "adam's parameters": {"beta_1": 0.5, "beta_2": 0.8, "epsilon": 1e-3, "momentum": 0.3},
    "batch 1": {"batch_size": 1, "learning_rate": "cosine", "learning_rate_init": 0.001},
    "all": {"ema_decay": 0.8, "max_grad_norm": 0.5, "learning_rate": "cosine", "alpha": 1.0},
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_fit_is_the_twins(solver, option, dtype, data):
    params = dict(OPTIONS[option], solver=solver)
    if "ema_decay" in params and solver not in PLAIN:
        params.pop("ema_decay")
    if "weight_decay" in params and not has_weight_decay(solver):
        pytest.skip("has no weight decay")
    X, y = (array.astype(dtype) for array in data)
    est = regressor(**params).fit(X, y)
    expected = twins_weights(est, *data)
    tolerance = 1e-10 if dtype == np.float64 else 2e-3
    np.testing.assert_allclose(flat(est), expected, rtol=tolerance, atol=tolerance)
    assert np.abs(expected - started(est)).max() > 1e-3
    assert est.coefs_[0].dtype == dtype


@pytest.mark.parametrize("solver", SOLVERS)
class TestSolver:
    def test_registries(self, solver):
        """One table in the engine; everything else follows it."""
        assert set(OPTIMIZERS) == set(engine.OPTIMIZERS) == set(reference.OPTIMIZERS)
        for estimator in (MLPClassifier, MLPRegressor):
            assert f"- '{solver}'" in estimator.__doc__
            (constraint,) = estimator._parameter_constraints["solver"]
            assert constraint.is_satisfied_by(solver)

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_it_learns(self, solver, dtype, digits):
        X, y = digits[0].astype(dtype), digits[1]
        rate = {"sgd": 0.3, "adagrad": 0.05, "rmsprop": 0.001}.get(solver, 0.01)
        est = MLPClassifier(
            (30,), solver=solver, learning_rate_init=rate, max_iter=20, random_state=0
        )
        assert est.fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.8

    def test_sparse(self, solver, data):
        X = data[0] * (np.abs(data[0]) > 0.7)
        dense = regressor(solver=solver).fit(X, data[1])
        sparse = regressor(solver=solver).fit(sp.csr_matrix(X), data[1])
        np.testing.assert_allclose(flat(dense), flat(sparse), rtol=1e-10, atol=1e-12)

    def test_sample_weight(self, solver, data):
        """A weight of two is a sample twice."""
        X, y = data
        weight = np.repeat([1, 2], 35)
        options = {"solver": solver, "batch_size": "auto", "max_grad_norm": 0.5}
        weighted = regressor(**options).fit(X, y, weight)
        twice = [np.repeat(array, weight, axis=0) for array in data]
        twice = regressor(**options).fit(*twice)
        np.testing.assert_allclose(flat(weighted), flat(twice), rtol=1e-8, atol=1e-10)

    def test_threads_change_no_bit(self, solver, digits):
        options = {"solver": solver, "max_grad_norm": 0.2, "learning_rate": "one_cycle"}
        options["ema_decay"] = 0.9 if solver in PLAIN else None
        ests = [
            MLPClassifier((64,), max_iter=2, random_state=0, n_jobs=n_jobs, **options).fit(*digits)
            for n_jobs in (1, 2)
        ]
        np.testing.assert_array_equal(flat(ests[0]), flat(ests[1]))

    @pytest.mark.parametrize("averaged", [False, True])
    @pytest.mark.parametrize("learning_rate", ["constant", "cosine"])
    def test_partial_fits_are_a_fit(self, solver, learning_rate, averaged, data):
        """With copies made in between, each call an epoch of the plan."""
        params = {"solver": solver, "learning_rate": learning_rate, "warmup_fraction": 0.3}
        params["ema_decay"] = 0.9 if averaged and solver in PLAIN else None
        fitted = regressor(**params).fit(*data)
        est = regressor(**params)
        for call in range(EPOCHS):
            est.partial_fit(*data)
            if call % 2:
                est = (pickle.loads(pickle.dumps(est)), copy.deepcopy(est))[call // 2]
        np.testing.assert_array_equal(flat(est), flat(fitted))

    def test_a_new_learning_rate_takes_effect(self, solver, data):
        est = regressor(solver=solver, momentum=0.0).partial_fit(*data)
        before = flat(est)
        slow = copy.deepcopy(est).set_params(learning_rate_init=1e-12)
        travelled = [np.abs(flat(each.partial_fit(*data)) - before).max() for each in (est, slow)]
        assert travelled[0] > 1e-3
        assert travelled[1] < 1e-2 * travelled[0]

    def test_a_new_solver_starts_anew(self, solver, data):
        other = "sgd" if solver != "sgd" else "adam"
        est = regressor(solver=other).partial_fit(*data).set_params(solver=solver)
        weights = [array.copy() for array in (*est.coefs_, *est.intercepts_)]
        expected = regressor(solver=solver, warm_start=True, max_iter=1)
        expected.fit(*data, coefs_init=weights[:2], intercepts_init=weights[2:])
        est.partial_fit(*data)
        np.testing.assert_array_equal(flat(est), flat(expected))

    def test_warm_start(self, solver, data):
        """A second plan, with a new optimizer, from where the first one ended."""
        est = regressor(solver=solver, warm_start=True, learning_rate="cosine").fit(*data)
        trained = est._optimizer.trained
        first = flat(est) if trained is None else trained.copy()
        est.fit(*data)
        expected = regressor(solver=solver, learning_rate="cosine")
        coefs = [first[:24].reshape(4, 6), first[24:36].reshape(6, 2)]
        expected.fit(*data, coefs_init=coefs, intercepts_init=[first[36:42], first[42:]])
        np.testing.assert_array_equal(flat(est), flat(expected))

    def test_clone_and_search(self, solver, data):
        est = regressor(solver=solver, max_iter=2, weight_decay=None, max_grad_norm=1.0)
        assert clone(est).get_params() == est.get_params()
        grid = {"learning_rate": ["constant", "one_cycle"], "warmup_fraction": [0.0, 0.25]}
        assert np.isfinite(GridSearchCV(est, grid, cv=2).fit(*data).best_score_)


# Averaged weights


def test_averages_predict_and_weights_are_trained(data):
    """The losses are those of the plain fit, the predictions are not."""
    plain, averaged = regressor().fit(*data), regressor(ema_decay=0.9).fit(*data)
    assert averaged.loss_curve_ == plain.loss_curve_
    np.testing.assert_array_equal(averaged._optimizer.trained, flat(plain))
    assert np.abs(flat(averaged) - flat(plain)).max() > 1e-2


@pytest.mark.parametrize("how", ["as it is", "pickled"])
def test_a_warm_start_goes_on_with_what_was_trained(how, data):
    plain = regressor(warm_start=True).fit(*data)
    averaged = regressor(ema_decay=0.9, warm_start=True).fit(*data)
    if how == "pickled":
        averaged = pickle.loads(pickle.dumps(averaged))
    for est in (plain, averaged):
        est.fit(*data)
    np.testing.assert_array_equal(averaged._optimizer.trained, flat(plain))


@pytest.mark.parametrize("solver", ["sgd", "schedule_free_adamw"])
def test_changed_weights_are_what_training_goes_on_with(solver, data):
    decay = 0.9 if solver in PLAIN else None
    est = regressor(solver=solver, ema_decay=decay, momentum=0.0).partial_fit(*data)
    est.coefs_[0][...] = 3
    est.set_params(learning_rate_init=1e-9).partial_fit(*data)
    np.testing.assert_allclose(est.coefs_[0], 3, atol=1e-6)


def test_no_average_is_the_weights(data):
    est = regressor(ema_decay=0.0).fit(*data)
    np.testing.assert_array_equal(flat(est), flat(regressor().fit(*data)))
    est = regressor(ema_decay=0.9).partial_fit(*data)
    est.set_params(ema_decay=None).partial_fit(*data)  # goes on with what predicted
    assert est._optimizer.trained is None
    est.set_params(ema_decay=0.5).partial_fit(*data)
    assert est._optimizer.trained is not None


@pytest.mark.parametrize("params", [{"ema_decay": 0.95}, {"solver": "schedule_free_adamw"}])
def test_early_stopping_scores_what_predicts(params, data):
    X, y = data
    est = regressor(early_stopping=True, validation_fraction=0.3, max_iter=8, **params).fit(X, y)
    random_state = np.random.RandomState(0)
    Parameters.initialize(UNITS, X.dtype, ["tanh"] * (len(UNITS) - 1), random_state)
    _, held_out = split(est, y, random_state)
    assert est.best_validation_score_ == max(est.validation_scores_)
    np.testing.assert_allclose(est.score(X[held_out], y[held_out]), est.best_validation_score_)


# Schedules


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 200])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.99])
def test_factors(name, n, warmup):
    whole = _schedules.factors(name, 0, n, n, warmup)
    assert whole.shape == (n,)
    assert (whole > 0).all()
    assert (whole <= 1).all()
    parts = [_schedules.factors(name, k, 1, n, warmup) for k in range(n)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    peak = int(np.argmax(whole))
    assert (np.diff(whole[: peak + 1]) >= 0).all()
    assert (np.diff(whole[peak:]) <= 0).all()
    if n == 200:
        rise = warmup or (0.3 if name == "one_cycle" else 0)
        assert abs(peak - rise * n) <= 1
        assert whole[peak] == pytest.approx(1, abs=1e-3)
    if n == 200 and warmup == 0.0:
        ends = {"cosine": (1, 6.2e-5), "exponential": (1, 0.0102), "one_cycle": (0.04, 4e-6)}
        np.testing.assert_allclose(whole[[0, -1]], ends[name], rtol=0.01)


def test_warm_up_alone():
    factors = _schedules.factors("constant", 0, 10, 10, 0.4)
    np.testing.assert_allclose(factors, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1])
    assert _schedules.factors("constant", 4, 6, 10, 0.4) is None


@pytest.mark.parametrize("name", PLANNED)
def test_schedules_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    n = 50
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.5)
    schedulers = torch.optim.lr_scheduler
    scheduler = {
        "cosine": lambda: schedulers.CosineAnnealingLR(optimizer, n),
        "exponential": lambda: schedulers.ExponentialLR(optimizer, 0.01 ** (1 / n)),
        "one_cycle": lambda: schedulers.OneCycleLR(
            optimizer, 0.5, total_steps=n, cycle_momentum=False
        ),
    }[name]()
    expected = []
    for _ in range(n):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < n:
            scheduler.step()
    np.testing.assert_allclose(
        0.5 * _schedules.factors(name, 0, n, n), expected, rtol=1e-9, atol=1e-15
    )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("patience", "n_epochs", "cuts"), [(10, 12, 1), (3, 5, 2), (np.inf, 13, 2)]
)
def test_plateau(solver, patience, n_epochs, cuts, data):
    """No epoch but the first is an improvement by so much."""
    est = regressor(
        solver=solver, learning_rate="plateau", tol=1e9, n_iter_no_change=patience, max_iter=13
    )
    est.fit(*data)
    assert est.n_iter_ == n_epochs
    assert est._optimizer.rate == pytest.approx(0.02 / 5**cuts)


def test_plateau_takes_effect_and_is_said(data, capsys):
    params = {"tol": 1e9, "n_iter_no_change": np.inf, "max_iter": 14, "learning_rate": "plateau"}
    est = regressor(solver="sgd", momentum=0.0, verbose=True, **params).fit(*data)
    out = capsys.readouterr().out
    assert "No improvement for 6 epochs. Setting learning rate to 0.004000" in out
    steps = np.abs(np.diff(est.loss_curve_))
    assert steps[7] < 0.5 * steps[5]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("learning_rate", ["invscaling", "adaptive"])
def test_scikit_learns_schedules_are_sgds(solver, learning_rate, data):
    params = {"solver": solver, "tol": 1e9, "n_iter_no_change": 1, "max_iter": 6}
    constant = regressor(**params).fit(*data)
    scheduled = regressor(learning_rate=learning_rate, **params).fit(*data)
    same = constant.n_iter_ == scheduled.n_iter_ and (flat(constant) == flat(scheduled)).all()
    assert same == (solver != "sgd")


def test_a_plan_that_is_over_begins_anew(data):
    """And that of a fit is over at its end, early or not."""
    est = regressor(learning_rate="cosine", max_iter=3, solver="sgd", momentum=0.0)
    rates = []
    for _ in range(7):
        est.partial_fit(*data)
        rates.append(est._optimizer.rates(5)[0])  # of the next call
    np.testing.assert_allclose(rates[2], 0.02)
    np.testing.assert_allclose(rates[:3], rates[3:6])
    assert rates[0] == pytest.approx(0.02 * 0.75)
    assert est.fit(*data)._optimizer.rates(5)[0] == 0.02


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_a_new_learning_rate_of_sgd(learning_rate, data):
    est = regressor(solver="sgd", learning_rate=learning_rate).partial_fit(*data)
    rate = est._optimizer.rate
    est.set_params(learning_rate_init=0.1).partial_fit(*data)
    expected = 0.1 / (140 + 1) ** 0.5 if learning_rate == "invscaling" else 0.1
    assert est._optimizer.rate == pytest.approx(expected)
    est.set_params(learning_rate="constant").partial_fit(*data)
    assert est._optimizer.rate == pytest.approx(0.1)
    assert rate != est._optimizer.rate


@pytest.mark.parametrize("power_t", [0, 1, 2, 7, 0.3, np.float32(0.7), 25])
def test_power_t_of_any_type(power_t, data):
    est = regressor(solver="sgd", learning_rate="invscaling", power_t=power_t).fit(*data)
    expected = neural_network.MLPRegressor()
    expected.set_params(**{name: getattr(est, name) for name in expected.get_params()})
    expected.fit(*data)
    assert est._optimizer.rate == expected._optimizer.learning_rate


@pytest.mark.parametrize("power_t", [1000, 2**31, 10**30])
def test_power_t_beyond_all_numbers(power_t, data):
    """scikit-learn computes a power of that many digits, which takes for ever, or raises."""
    est = regressor(solver="sgd", learning_rate="invscaling", power_t=power_t).fit(*data)
    assert est._optimizer.rate == 0
    assert np.isfinite(est.loss_curve_).all()


# What is refused, and what older versions kept


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"solver": "lbfgs", "max_grad_norm": 1.0}, "max_grad_norm is a parameter of the stoch"),
        ({"solver": "lbfgs", "ema_decay": 0.9}, "ema_decay is a parameter of the stoch"),
        ({"solver": "lbfgs", "warmup_fraction": 0.1}, "warmup_fraction is a parameter of"),
        ({"solver": "lbfgs", "weight_decay": 0.1}, "weight_decay is a parameter of 'adamw' and"),
        ({"solver": "lbfgs", "learning_rate": "cosine"}, "learning_rate='cosine' is a schedule"),
        ({"solver": "adam", "weight_decay": 0.1}, "got solver='adam', of which the penalty is"),
        ({"solver": "sgd", "weight_decay": 0.1}, "weight_decay is a parameter of 'adamw' and"),
        ({"solver": "schedule_free_adamw", "ema_decay": 0.9}, "averages weights itself"),
        ({"max_grad_norm": 0.0}, "The 'max_grad_norm' parameter"),
        ({"ema_decay": 1.0}, "The 'ema_decay' parameter"),
        ({"weight_decay": -0.1}, "The 'weight_decay' parameter"),
        ({"warmup_fraction": 1.0}, "The 'warmup_fraction' parameter"),
        ({"learning_rate": "linear"}, "The 'learning_rate' parameter"),
        ({"solver": "adamax"}, "The 'solver' parameter"),
    ],
)
def test_refused(params, message, data):
    with pytest.raises(ValueError, match=message):
        regressor(**params).fit(*data)


@pytest.mark.parametrize("solver", ["lbfgs", *SOLVERS])
def test_zero_asks_for_nothing(solver, data):
    """So that a grid of solvers may hold it."""
    regressor(solver=solver, weight_decay=0.0, ema_decay=0.0, warmup_fraction=0.0).fit(*data)


@pytest.mark.parametrize("learning_rate", LEARNING_RATES)
def test_learning_rates_are_documented(learning_rate):
    for estimator in (MLPClassifier, MLPRegressor):
        assert f"'{learning_rate}'" in estimator.__doc__


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_pickle_of_an_older_version(solver, data):
    """Without the parameters and the attributes of the optimizer that were not there yet."""
    est = regressor(solver=solver).partial_fit(*data)
    old = copy.deepcopy(est)
    for name in ("warmup_fraction", "weight_decay", "max_grad_norm", "ema_decay"):
        delattr(old, name)
    kept = {"sgd": ("lr_schedule", "momentum", "nesterov", "power_t"), "adam": ("t",)}[solver]
    kept += ("state", "learning_rate_init", "trained")
    attributes = {name: vars(old._optimizer)[name] for name in kept}
    if solver == "sgd":
        attributes["learning_rate"] = old._optimizer.rate
    vars(old._optimizer).clear()
    vars(old._optimizer).update(attributes)
    old = pickle.loads(pickle.dumps(old))
    for each in (old, est):
        each.partial_fit(*data)
    np.testing.assert_array_equal(flat(old), flat(est))
    assert old.get_params() == est.get_params()


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_pickle_without_the_vector_of_hyper_parameters(solver, data):
    """Of a version that read the parameters only when they had changed, but kept no vector."""
    est = regressor(solver=solver).partial_fit(*data)
    old = copy.deepcopy(est)
    del vars(old._optimizer)["_hyper"]
    old = pickle.loads(pickle.dumps(old))
    for each in (old, est):
        each.partial_fit(*data)
    np.testing.assert_array_equal(flat(old), flat(est))
