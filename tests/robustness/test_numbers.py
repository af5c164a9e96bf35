"""Numbers at the ends of their range, and shapes that do not fit into memory or integers.

A fit trains or raises an error that says what is wrong; losses and probabilities are never NaN.
"""

import sys

import numpy as np
import pytest
import scipy.sparse as sp
from scripts import output_of
from sklearn import neural_network

from cmlp import MLPClassifier, MLPRegressor
from cmlp._core import engine
from cmlp._divergence import NON_FINITE
from cmlp._optimizers import OPTIMIZERS

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("error::RuntimeWarning"),
    # of scikit-learn's type_of_target
    pytest.mark.filterwarnings("ignore:invalid value encountered in cast"),
]
SOLVERS = ["lbfgs", *sorted(OPTIMIZERS)]
TINY = np.finfo(np.float64).tiny  # less is denormal
EXTREMES = [5e-324, 1e-310, TINY, 1e-300, 1e-150, 1e-20, 1e20, 1e100, 1e154, 1e160, 1e300, 1.7e308]
EXTREMES_32 = [1e-45, 1e-40, 1e-37, 1e-20, 1e18, 1e20, 1e38, 3.4e38]
CASES = [(np.float64, scale) for scale in EXTREMES] + [(np.float32, s) for s in EXTREMES_32]
ESTIMATORS = [MLPClassifier, MLPRegressor]


def small(cls, **params):
    return cls(**{"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0, **params})


def blobs(cls, n=20, n_features=3):
    X = np.random.RandomState(0).uniform(-1, 1, (n, n_features))
    return X, (X[:, 0] > 0).astype(int) if cls is MLPClassifier else X[:, 0]


def trains_or_says(est, X, y, sample_weight=None):
    """Whether it trains; what it then answers is finite, else the error is about numbers."""
    try:
        est.fit(X, y, sample_weight)
    except ValueError as error:
        text = str(error)
        known = "too large for", "at least one non-zero", "sum to zero"
        assert text.startswith(NON_FINITE) or any(words in text for words in known), text
        return False
    assert not np.isnan(est.loss_)
    assert not np.isnan(getattr(est, "loss_curve_", [])).any()
    for weights in [*est.coefs_, *est.intercepts_]:
        assert np.isfinite(weights).all()
    if isinstance(est, MLPClassifier):
        assert np.isfinite(est.loss_)  # a log-loss is bounded: probabilities are clipped
        assert_probabilities(est.predict_proba(X))
    return True


def assert_probabilities(p):
    assert np.isfinite(p).all()
    assert p.min() >= 0
    assert p.max() <= 1
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


# Features, targets, weights


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("cls", ESTIMATORS)
def test_features(cls, solver):
    for dtype, scale in CASES:
        X, y = blobs(cls)
        trained = trains_or_says(small(cls, solver=solver), (X * scale).astype(dtype), y)
        assert trained or scale > 1e15, scale


@pytest.mark.parametrize("solver", SOLVERS)
def test_targets(solver):
    for dtype, scale in CASES:
        X, y = blobs(MLPRegressor)
        est = small(MLPRegressor, solver=solver)
        trained = trains_or_says(est, X.astype(dtype), (y * scale).astype(dtype))
        assert trained or scale > 1e15, scale


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("cls", ESTIMATORS)
def test_weights(cls, solver):
    for dtype, scale in CASES:
        X, y = blobs(cls)
        weight = (np.linspace(0.5, 1, len(X)) * scale).astype(dtype)
        trains_or_says(small(cls, solver=solver, batch_size=5), X.astype(dtype), y, weight)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("cls", ESTIMATORS)
def test_both_ends_at_once(cls, solver):
    X, y = blobs(cls)
    X[:, 0] *= 1e300
    X[:, 1] *= 1e-300
    trains_or_says(small(cls, solver=solver), X, y)
    weight = np.geomspace(1e-300, 1e300, len(X))
    trains_or_says(small(cls, solver=solver, batch_size=3), *blobs(cls), weight)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize("value", [0.0, 1.0, -1e6])
def test_constant_columns(cls, solver, value):
    X, y = blobs(cls)
    X[:, 1:] = value
    # alone they divide nothing by zero
    trained = trains_or_says(small(cls, solver=solver), X, y)
    assert trained or value < -1
    trained = trains_or_says(small(cls, solver=solver), np.full_like(X, value), y)
    assert trained or value < -1
    assert trains_or_says(small(cls, solver=solver), X * 0, y)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_early_stopping_with_one_sample_that_weighs_anything(cls):
    """It is trained on or held out, and the other part has no weight."""
    X, y = blobs(cls)
    theirs = getattr(neural_network, cls.__name__)
    for at in range(len(X)):
        weight = (np.arange(len(X)) == at).astype(float)
        with pytest.raises(ValueError, match="must contain at least one non-zero number"):
            small(cls, early_stopping=True).fit(X, y, weight)
        with pytest.raises((ValueError, ZeroDivisionError)):  # as scikit-learn does
            small(theirs, early_stopping=True).fit(X, y, weight)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("cls", ESTIMATORS)
def test_weights_beyond_the_dtype_of_x(cls, early_stopping):
    X, y = blobs(cls)
    est = small(cls, early_stopping=early_stopping)
    message = r"Input sample_weight contains infinity or a value too large for dtype\('float32'\)"
    with pytest.raises(ValueError, match=message):
        est.fit(X.astype(np.float32), y, np.full(len(X), 1e39))
    assert trains_or_says(est, X, y, np.full(len(X), 1e39))


def test_log_probabilities_of_certain_classes():
    """-inf for a probability of zero; NumPy warns, as in scikit-learn."""
    X, y = blobs(MLPClassifier)
    est = small(MLPClassifier, hidden_layer_sizes=()).fit(X, y)
    est.coefs_[0][...] = 1e6
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        log_p = est.predict_log_proba(X)
    assert set(log_p.min(axis=1)) == {-np.inf}


# Labels


@pytest.mark.parametrize(
    "labels",
    [
        np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max]),
        np.array([0, np.iinfo(np.uint64).max], dtype=np.uint64),
        np.array([-(2.0**53), 0.0, 2.0**53]),
        np.array([-128, 0, 127], dtype=np.int8),
    ],
    ids=str,
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_labels(labels, solver):
    X, _ = blobs(MLPClassifier, n=30)
    y = labels[np.arange(30) % len(labels)]
    est = small(MLPClassifier, solver=solver)
    assert trains_or_says(est, X, y)
    assert est.classes_.dtype == labels.dtype
    np.testing.assert_array_equal(est.classes_, np.sort(labels))
    assert set(est.predict(X)) <= set(labels)


@pytest.mark.parametrize("label", [5e-324, 1e300])
def test_labels_that_scikit_learn_refuses(label):
    """They do not survive a conversion to integers: a continuous target."""
    X, _ = blobs(MLPClassifier)
    y = np.array([0.0, label])[np.arange(20) % 2]
    texts = []
    for cls in (MLPClassifier, neural_network.MLPClassifier):
        with pytest.raises(ValueError, match="Unknown label type") as error:
            small(cls).fit(X, y)
        texts.append(str(error.value))
    assert texts[0] == texts[1]


# Shapes


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("cls", ESTIMATORS)
def test_one_row_or_one_feature(cls, solver):
    for shape in ((1, 1), (1, 5), (7, 1)):
        X, y = blobs(cls, *shape)
        est = small(cls, solver=solver)
        assert trains_or_says(est, X, y)
        assert est.predict(X[:1]).shape == (1,)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("cls", ESTIMATORS)
def test_100_000_features(cls, solver, form):
    X = np.zeros((4, 100_000))
    X[np.arange(4), [0, 5, 99_998, 99_999]] = 1
    y = [0, 1, 0, 1]
    est = small(cls, solver=solver, max_iter=2)
    assert trains_or_says(est, form(X), y)
    assert est.coefs_[0].shape == (100_000, 4)


def test_10_000_classes():
    y = np.arange(10_000)
    X = np.c_[y % 100, y // 100].astype(np.float32) / 100
    est = small(MLPClassifier, max_iter=1, batch_size=1000)
    est.fit(X, y)
    assert est.n_outputs_ == 10_000
    # nothing is learnt yet: about the loss of guessing
    assert est.loss_ == pytest.approx(np.log(10_000), rel=0.2)
    assert_probabilities(est.predict_proba(X[:50]))


# Output activations and losses


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_classes", [2, 3, 17])
def test_softmax_and_logistic_do_not_overflow(n_classes, dtype):
    """Outputs before the activation are up to the largest number there is."""
    X = np.eye(n_classes, dtype=dtype)
    y = np.arange(n_classes)
    est = small(MLPClassifier, hidden_layer_sizes=(), max_iter=1).fit(X, y)
    limit = np.finfo(dtype).max
    for coefs in (limit, -limit, limit / 4, 750, 90, np.finfo(dtype).tiny, 0):
        est.coefs_[0][...] = 0
        np.fill_diagonal(est.coefs_[0], coefs)
        est.intercepts_[0][...] = 0
        p = est.predict_proba(X)
        assert_probabilities(p)
        if coefs == limit and n_classes > 2:
            np.testing.assert_array_equal(p, np.eye(n_classes))
        assert len(est.predict(X)) == n_classes


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("labels", ["binary", "multiclass", "multilabel"])
def test_log_loss_of_certain_mistakes_is_finite(labels, dtype):
    """Probabilities of exactly 0 and 1, of the right labels and of the wrong ones."""
    X = np.array([[-1.0], [1.0], [0.0]] * 4, dtype=dtype)
    y = np.arange(12) % (3 if labels == "multiclass" else 2)
    if labels == "multilabel":
        y = np.c_[y, 1 - y, y]
    n_outputs = {"binary": 1, "multiclass": 3, "multilabel": 3}[labels]
    for size in (1e4, 1e15, 1e100 if dtype == np.float64 else 1e18):
        coefs = [np.linspace(-size, size, n_outputs + 1)[None, 1:]]
        est = small(MLPClassifier, hidden_layer_sizes=(), max_iter=1, alpha=0.0, solver="adam")
        est.fit(X, y, coefs_init=coefs)
        assert np.isfinite(est.loss_)
        assert est.loss_ > 1


# Sizes beyond integers and memory


@pytest.mark.parametrize(
    "sizes",
    [
        (2**62,),
        (2**31, 2**31, 2**31),
        (2**32, 2**32),
        (2**63 - 1,),
        (2**63,),
        (10**30,),
        2**61,
        (4, 2**60),
    ],
    ids=str,
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("cls", ESTIMATORS)
def test_networks_that_no_memory_holds(cls, solver, sizes):
    X, y = blobs(cls)
    est = small(cls, hidden_layer_sizes=sizes, solver=solver)
    with pytest.raises((ValueError, MemoryError, OverflowError)) as error:
        est.fit(X, y)
    assert str(error.value)
    assert not hasattr(est, "coefs_")
    assert not hasattr(est, "n_iter_")


@pytest.mark.slow
def test_a_workspace_that_no_memory_holds():
    """In a process of little memory: MemoryError before training, and the estimator as it was."""
    code = """
        import itertools
        import resource
        import numpy as np
        from cmlp import MLPRegressor

        X, y = np.random.RandomState(0).randn(600, 4), np.arange(600.0) / 600
        params = {"max_iter": 1, "hidden_layer_sizes": (100_000,), "batch_size": 512}

        def state(est):
            same = est.coefs_[0].copy(), est.predict(X[:3]), est.loss_, est.n_iter_, est.t_
            return *same, len(getattr(est, "loss_curve_", [])), sorted(vars(est))

        def with_little_memory(call):
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            rest = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, rest[1]))
            try:
                call(X, y)
                print("trained")
            except MemoryError:
                print("MemoryError")
            finally:
                resource.setrlimit(resource.RLIMIT_AS, rest)

        for solver, warm_start in itertools.product(("adam", "sgd", "lbfgs"), (False, True)):
            est = MLPRegressor(solver=solver, warm_start=warm_start, **params)
            attributes = sorted(vars(est))
            with_little_memory(est.fit)
            assert sorted(vars(est)) == attributes
            before = state(est.fit(X[:2], y[:2]))
            for method in ("fit", "partial_fit")[: 1 if solver == "lbfgs" else 2]:
                with_little_memory(getattr(est, method))
                for one, other in zip(before, state(est), strict=True):
                    np.testing.assert_array_equal(one, other)
            est.fit(X[:2], y[:2])
    """
    if sys.platform != "linux":
        pytest.skip("the limit on the address space is Linux's")
    quiet = {"PYTHONWARNINGS": "ignore", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    assert output_of(code, **quiet).splitlines() == (2 * 3 + 2 * 3 + 2 * 2) * ["MemoryError"]


def test_too_many_parameters_for_an_integer():
    with pytest.raises(ValueError, match="too large"):
        engine.Layout([4, 2**61, 1], [0, 2**63], [0, 0], ["relu", "identity"], "squared_error", 1)
