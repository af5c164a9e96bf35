"""What holds for any input, with inputs that hypothesis makes up.

scikit-learn's estimators are the oracle: what they refuse is refused with their words, what they
take gives their numbers. Predictions do not depend on what rows lie beside, and a refit repeats
itself. CMLP_EXAMPLES=20000 tries so many examples in all, new ones each time (pytest prints the
seed to repeat them with: --hypothesis-seed).
"""

import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import assume, given
from hypothesis import strategies as st
from profiles import examples
from sklearn import neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.fixes import parse_version
from threadpoolctl import threadpool_limits

import cmlp
from cmlp._base import HIDDEN_ACTIVATIONS
from cmlp._divergence import NON_FINITE
from cmlp._losses import loss_names
from cmlp._optimizers import LEARNING_RATES, OPTIMIZERS

N_PROPERTIES = 6
profile = examples(150, N_PROPERTIES)
as_sklearn = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9.0"), reason="the words are 1.9's"
)
ESTIMATORS = ["MLPClassifier", "MLPRegressor"]
SOLVERS = ["sgd", "adam", "lbfgs"]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """scikit-learn's matrix products add up in another order on several threads."""
    with threadpool_limits(1):
        yield


# What is made up: arrays of all forms


def between(array):
    """Every second row and column of a larger array."""
    out = np.zeros([2 * n for n in array.shape], array.dtype)
    view = out[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array):
    raw = b"x" + array.tobytes()
    return np.frombuffer(raw, array.dtype, count=array.size, offset=1).reshape(array.shape)


def may_be_sparse(dtype):
    return dtype.kind in "biufc" and dtype != np.float16


FORMS = {
    "as it is": lambda a: a,
    "Fortran": np.asfortranarray,
    "backwards": lambda a: np.flip(np.flip(a).copy()),
    "between": between,
    "read-only": read_only,
    "unaligned": lambda a: a if a.dtype == object or not a.size else unaligned(a),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "list": lambda a: a.tolist(),
    "frame": lambda a: pd.DataFrame(a) if a.ndim == 2 else pd.Series(a) if a.ndim == 1 else a,
    **{
        f"{kind}_{what}": lambda a, kind=kind, what=what: (
            getattr(sp, f"{kind}_{what}")(a) if a.ndim == 2 and may_be_sparse(a.dtype) else a
        )
        for kind in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
        for what in ("matrix", "array")
    },
}
FORMS_OF_VECTORS = list(FORMS)[:9]
FLOATS = [np.float64, np.float32]
DTYPES = [*FLOATS, np.float16, np.longdouble, np.int64, np.int8, np.uint8, np.bool_, object]
DTYPES += [np.complex128, np.str_]


def rarely(strategy, usual):
    """The usual three times out of four."""
    return st.integers(0, 3).flatmap(lambda k: strategy if k == 3 else st.just(usual))


def damaged(array, how):
    if how == "nan" and array.dtype.kind == "f" and array.size:
        array.flat[0] = np.nan
    elif how == "inf" and array.dtype.kind == "f" and array.size:
        array.flat[-1] = -np.inf
    elif how == "1-D":
        array = array.ravel()
    elif how == "3-D":
        array = array[None]
    elif how == "no rows":
        array = array[:0]
    elif how == "no columns":
        array = array[:, :0]
    elif how == "0-D":
        array = np.array(array.dtype.type(1))
    return array


DAMAGES = ["nan", "inf", "1-D", "3-D", "no rows", "no columns", "0-D"]


@st.composite
def matrices(draw):
    """X, whole or damaged, and the number of rows that it was meant to have."""
    n, n_features = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    rng = np.random.RandomState(draw(st.integers(0, 999)))
    X = rng.randint(-8, 9, (n, n_features)) / 4 * (rng.rand(n, n_features) < 0.7)
    X = X + draw(st.sampled_from([0, 0, 1e-3])) * rng.randn(n, n_features)
    dtype = draw(rarely(st.sampled_from(DTYPES), draw(st.sampled_from(FLOATS))))
    X = damaged(X.astype(dtype), draw(rarely(st.sampled_from([None, *DAMAGES]), None)))
    form = draw(st.sampled_from(list(FORMS)))
    return (FORMS[form](X) if X.ndim else X), n, rng


LABELS = {
    "two": [3, 7],
    "three": [-1, 0, 5],
    "one": [4],
    "strings": ["b", "a", "cc"],
    "bools": [False, True],
    "floats": [0.0, 1.0, 2.0],
    "not labels": [0.5, 1.5, 2.25],
    "bytes": [b"a", b"b"],
}
Y = {
    "MLPClassifier": [*LABELS, "multilabel", "objects", "column", "mixed", "none", "too short"],
    "MLPRegressor": ["real", "real", "reals", "column", "two", "bools", "strings", "objects"],
}
Y["MLPClassifier"] += ["int8", "nan", "multilabel csr", "row", "frame", "no columns", "3-D"]
Y["MLPRegressor"] += ["complex", "nan", "inf", "float32", "none", "too short", "no columns", "3-D"]


def make_y(kind, n, rng):
    """y for n samples, whether it makes sense or not."""
    if kind in LABELS:
        return np.array(LABELS[kind])[rng.randint(0, len(LABELS[kind]), n)]
    values = rng.randint(0, 2, n)
    if kind in ("real", "float32", "reals", "complex", "inf"):
        values = np.round(rng.randn(n), 2)
    return {
        "real": lambda: values,
        "float32": lambda: values.astype(np.float32),
        "reals": lambda: np.c_[values, values**2],
        "complex": lambda: values * 1j,
        "inf": lambda: np.r_[values[1:], np.inf],
        "nan": lambda: np.r_[values[1:], np.nan],
        "column": lambda: values[:, None],
        "row": lambda: values[None],
        "int8": lambda: values.astype(np.int8),
        "frame": lambda: pd.DataFrame({"y": values}),
        "multilabel": lambda: rng.randint(0, 2, (n, 3)),
        "multilabel csr": lambda: sp.csr_matrix(rng.randint(0, 2, (n, 3))),
        "objects": lambda: np.array(["u", "v"], object)[values],
        "mixed": lambda: np.array([1, "v"], object)[values],
        "none": lambda: None,
        "too short": lambda: values[:-1],
        "no columns": lambda: np.zeros((n, 0)),
        "3-D": lambda: values[:, None, None],
    }[kind]()


def make_weights(kind, n, rng):
    if kind is None:
        return None
    return {
        "ones": lambda: np.ones(n),
        "random": lambda: rng.rand(n) + 0.1,
        "float32": lambda: rng.rand(n).astype(np.float32) + 1,
        "ints": lambda: rng.randint(1, 4, n),
        "some zero": lambda: (np.arange(n) > 0).astype(float),
        "zero": lambda: np.zeros(n),
        "negative": lambda: np.r_[-0.5, np.ones(n - 1)],
        "nan": lambda: np.r_[np.nan, np.ones(n - 1)],
        "too long": lambda: np.ones(n + 1),
        "column": lambda: np.ones((n, 1)),
        "number": lambda: 2.0,
        "strings": lambda: np.array(n * ["x"]),
        "bools": lambda: np.ones(n, bool),
    }[kind]()


WEIGHTS = ["ones", "random", "float32", "ints", "some zero", "zero", "negative", "nan", "too long"]
WEIGHTS += ["column", "number", "strings", "bools"]


def parameters(max_iter=3):
    """Valid ones, that scikit-learn has too."""
    return st.fixed_dictionaries(
        {
            "solver": st.sampled_from(SOLVERS),
            "activation": st.sampled_from(["relu", "tanh", "logistic", "identity"]),
            "hidden_layer_sizes": st.sampled_from([(3,), (), (4, 2), 5, [2, 3, 2], (17,)]),
            "batch_size": st.sampled_from(["auto", 1, 2, 5, 50]),
            "alpha": st.sampled_from([1e-4, 0, 0.5]),
            "learning_rate_init": st.sampled_from([1e-3, 0.05]),
            "shuffle": st.booleans(),
            "nesterovs_momentum": st.booleans(),
            "learning_rate": st.sampled_from(["constant", "invscaling", "adaptive"]),
            "early_stopping": rarely(st.just(True), False),
            "validation_fraction": st.sampled_from([0.1, 0.4]),
            "max_iter": st.just(max_iter),
            "random_state": st.integers(0, 5),
        }
    )


# What comes of a call, and whether it is the same


class Raised(Exception):
    """An exception other than one that a caller is meant to see."""


def outcome(call):
    """(None, what it returns), or (the exception, None), and the categories of its warnings."""
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            error, result = None, call()
        except Exception as exception:
            error, result = exception, None
    kinds = {warning.category for warning in caught} - {RuntimeWarning}
    return error, result, kinds


def results(est, X, name):
    """All that a fit leaves behind and a prediction gives."""
    found = {
        "coefs": est.coefs_,
        "intercepts": est.intercepts_,
        "loss": [est.loss_],
        "curve": [np.array(getattr(est, "loss_curve_", []), dtype=float)],
        "scores": [np.array(getattr(est, "validation_scores_", None) or [], dtype=float)],
        "counts": [est.n_iter_, est.t_, est.n_outputs_, est.n_layers_, est.n_features_in_],
        "predict": [est.predict(X)],
    }
    if name == "MLPClassifier":
        found["classes"] = [est.classes_]
        found["proba"] = [est.predict_proba(X)]
    return found


def assert_same_results(ours, theirs, rtol):
    assert ours.keys() == theirs.keys()
    for what, expected in theirs.items():
        assert len(ours[what]) == len(expected), what
        for one, other in zip(ours[what], expected, strict=True):
            one, other = (a.toarray() if sp.issparse(a) else np.asarray(a) for a in (one, other))
            assert one.shape == other.shape, what
            assert one.dtype.kind == other.dtype.kind, what
            if other.dtype.kind == "f":
                scale = np.max(np.abs(other), initial=1, where=np.isfinite(other))
                np.testing.assert_allclose(one, other, rtol, rtol * scale, err_msg=what)
            elif what != "predict" or rtol < 1e-6:  # labels of ties may differ in float32
                np.testing.assert_array_equal(one, other, what)


#: What scikit-learn does not raise itself: subtraction of strings, division by zero weights.
CORE = np._core if hasattr(np, "_core") else np.core
ACCIDENTS = (CORE._exceptions._UFuncNoLoopError, ZeroDivisionError)


def compare(ours, theirs, in_float32, solver, words=True, endless=False):
    """That it is the same, the words of errors too.

    Of float32 weights, too, scikit-learn makes float32 sums. Where the loss has no end, numbers
    are those of rounding errors.
    """
    error, found, kinds = ours
    expected_error, expected, expected_kinds = theirs
    if expected_error is not None:
        if error is None and type(expected_error) is ZeroDivisionError:
            # a batch whose weights are zero is passed over: docs/differences.md
            assert all(np.isfinite(coef).all() for coef in found["coefs"])
            return
        assert error is not None, f"scikit-learn raises {expected_error!r}"
        if type(expected_error) in ACCIDENTS or not words:
            assert isinstance(error, ValueError | TypeError), (error, expected_error)
            return
        assert type(error) is type(expected_error), (error, expected_error)
        assert str(error).startswith(str(expected_error))  # ours may go on
        return
    if error is not None:
        raise Raised(f"scikit-learn does not raise {error!r}") from error
    assert kinds == expected_kinds
    if endless:
        return
    in_float32 |= found["coefs"][0].dtype == np.float32
    assert_same_results(
        found, expected, 1e-4 if in_float32 else 1e-6 if solver == "lbfgs" else 1e-9
    )


# The properties


@pytest.mark.slow
@as_sklearn
@profile
@given(
    st.sampled_from(ESTIMATORS).flatmap(lambda n: st.tuples(st.just(n), st.sampled_from(Y[n]))),
    matrices(),
    rarely(st.sampled_from(WEIGHTS), None),
    st.sampled_from(FORMS_OF_VECTORS),
    parameters(),
)
def test_fit_on_anything(kind, matrix, weights, form, params):
    """Whatever X, y and the weights are made of."""
    name, kind_of_y = kind
    X, n, rng = matrix
    y = make_y(kind_of_y, n, rng)
    if isinstance(y, np.ndarray) and y.size:
        y = FORMS[form](y)
    # a loss that negative weights turn around
    endless = weights == "negative" and params["solver"] == "lbfgs"
    weights = make_weights(weights, n, rng)

    def run(module):
        est = getattr(module, name)(**params)
        return results(est.fit(X, y, weights), X, name)

    ours, theirs = outcome(lambda: run(cmlp)), outcome(lambda: run(neural_network))
    in_float32 = getattr(weights, "dtype", None) == np.float32
    # scikit-learn comes to subtract strings, unless something else is wrong before
    words = name == "MLPClassifier" or np.asarray(y).dtype.kind not in "US"
    compare(ours, theirs, in_float32, params["solver"], words, endless)


# Parameters

WRONG = [None, "wrong", -1, 0, 1, 2, 0.5, 1.5, -0.5, np.nan, np.inf, True, (), [3], "auto", [0.5]]
WRONG += [np.int32(3), np.float64(0.25), 1e-300, 10**30, {}, (3, -1), "constant", b"relu", 3.0]
#: Of which scikit-learn allows fewer, and says so.
EXTENDED = {"solver", "activation", "loss", "learning_rate"}
THEIR_PARAMETERS = [
    *("loss", "hidden_layer_sizes", "activation", "solver", "alpha", "batch_size"),
    *("learning_rate", "learning_rate_init", "power_t", "max_iter", "shuffle", "random_state"),
    *("tol", "warm_start", "momentum", "nesterovs_momentum", "early_stopping"),
    *("validation_fraction", "beta_1", "beta_2", "epsilon", "n_iter_no_change", "max_fun"),
]


def blobs(name, n=24, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.randn(n, 4)
    return X, X[:, 0] - X[:, 1] if name == "MLPRegressor" else rng.randint(0, 3, n)


def is_our_own(name, params):
    """Whether cmlp takes these and scikit-learn does not."""
    loss = loss_names("classifier" if name == "MLPClassifier" else "regressor")
    return (name == "MLPClassifier" and params.get("loss") in loss) or isinstance(
        params.get("activation"), list | tuple
    )


@pytest.mark.slow
@as_sklearn
@profile
@given(
    st.sampled_from(ESTIMATORS),
    parameters(max_iter=2),
    st.dictionaries(
        st.sampled_from(THEIR_PARAMETERS), st.sampled_from(WRONG), min_size=1, max_size=2
    ),
)
def test_any_parameters(name, params, wrong):
    """Right ones, wrong ones, and values of other types that are as good."""
    wrong = dict(wrong)
    params = {**params, **wrong}
    if name == "MLPClassifier":
        wrong.pop("loss", None)
        params.pop("loss", None)
    params["max_iter"] = 2 if params["max_iter"] in (10**30, np.inf) else params["max_iter"]
    assume(params.get("power_t") != 10**30)  # for scikit-learn's power it takes for ever
    assume(type(params["hidden_layer_sizes"]) is not int or params["hidden_layer_sizes"] < 10**9)
    assume(not is_our_own(name, params))
    assume(params["random_state"] is not None)  # other numbers each time
    X, y = blobs(name)

    def run(module):
        est = getattr(module, name)(**params)
        return results(est.fit(X, y), X, name)

    ours, theirs = outcome(lambda: run(cmlp)), outcome(lambda: run(neural_network))
    if theirs[0] is not None and str(theirs[0]) == NON_FINITE:
        assert type(ours[0]) is ValueError
        assert str(ours[0]).startswith(NON_FINITE)
        return
    extended = any(f"The {name_!r} parameter" in str(theirs[0]) for name_ in EXTENDED)
    endless = params["solver"] == "lbfgs" and params["alpha"] == 10**30
    if theirs[0] is None and params["activation"] in ("tanh", "logistic"):
        # slopes near saturation are differences of rounding errors, and deltas are large
        endless |= max(np.abs(coef).max(initial=0) for coef in theirs[1]["coefs"]) > 1e6
    compare(ours, theirs, False, params["solver"], not extended, endless)


# Calls one after another


@pytest.mark.slow
@as_sklearn
@profile
@given(
    st.sampled_from(ESTIMATORS),
    parameters(max_iter=2),
    st.lists(
        st.tuples(
            st.sampled_from(["fit", "partial_fit", "partial_fit", "predict"]),
            st.integers(1, 20),
            st.integers(0, 3),
            st.booleans(),
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_calls_in_any_order(name, params, calls):
    """Batches of any size, which may lack classes or have new ones."""
    assume(name == "MLPClassifier" or params["solver"] != "lbfgs")  # see docs/differences.md
    pair = [getattr(module, name)(**params) for module in (cmlp, neural_network)]
    for method, n, seed, weighted in calls:
        X, y = blobs(name, n, seed)

        def run(est, method=method, X=X, y=y, seed=seed, weighted=weighted, n=n):
            if method == "predict":
                return {"predict": [est.predict(X)]}
            weights = {"sample_weight": np.arange(1.0, n + 1)} if weighted else {}
            classes = {}
            if method == "partial_fit" and name == "MLPClassifier" and seed:
                classes = {"classes": [0, 1, 2] if seed < 3 else [0, 1]}
            getattr(est, method)(X, y, **weights, **classes)
            return results(est, X, name)

        ours, theirs = (outcome(lambda est=est: run(est)) for est in pair)
        if method == "predict" and theirs[0] is None:
            assert_same_results(ours[1], theirs[1], 1e-6)
        elif method == "predict":
            assert type(ours[0]) is type(theirs[0])
            assert str(ours[0]) == str(theirs[0])
        else:
            compare(ours, theirs, False, params["solver"])
        if theirs[0] is not None:
            return


# What cmlp has beyond scikit-learn


def options(name):
    """Parameters that scikit-learn does not have, right ones and some that do not go together."""
    classifier = name == "MLPClassifier"
    activation = st.sampled_from(sorted(HIDDEN_ACTIVATIONS))
    choices = {
        "solver": st.sampled_from(["lbfgs", *OPTIMIZERS]),
        "activation": st.one_of(activation, st.lists(activation, min_size=1, max_size=2)),
        "loss": st.sampled_from(sorted(loss_names("classifier" if classifier else "regressor"))),
        "learning_rate": st.sampled_from(sorted(LEARNING_RATES)),
        "dropout": st.sampled_from([0, 0.5, 0.99, [0.2, 0.5], [0.1, 0.1, 0.9], 1.0, []]),
        "dtype": st.sampled_from([None, "float32", "float64"]),
        "warmup_fraction": st.sampled_from([0, 0.3, 1e-9]),
        "max_grad_norm": st.sampled_from([None, 1.0, 1e-300, 1e300]),
        "ema_decay": st.sampled_from([None, 0.5, 0.999]),
        "weight_decay": st.sampled_from([None, 0, 0.1, 100.0]),
        "scoring": st.sampled_from([None, "loss", "accuracy" if classifier else "max_error"]),
        "fit_intercept": st.booleans(),
        "early_stopping": st.booleans(),
        "learning_rate_init": st.sampled_from([1e-3, 0.1, 10.0, 1e-300]),
        "batch_size": st.sampled_from(["auto", 1, 7, 600]),
        "n_jobs": st.sampled_from([None, 1, 2]),
    }
    if classifier:
        choices["class_weight"] = st.sampled_from([None, "balanced", {0: 2.0}, {5: 1}, [{0: 2}]])
        choices["label_smoothing"] = st.sampled_from([0, 0.1, 0.99])
        choices["focal_gamma"] = st.sampled_from([0, 0.5, 2, 50.0])
    else:
        choices["huber_delta"] = st.sampled_from([1e-9, 1.35, 1e9])
        choices["quantile"] = st.sampled_from([0.5, [0.1, 0.9], [0.9, 0.1, 0.5], [1.5], []])
        choices["tweedie_power"] = st.sampled_from([0, 1, 1.5, 2, 3])
        choices["out_activation"] = st.sampled_from(["auto", "identity", "softplus", "logistic"])
    return st.fixed_dictionaries({}, optional=choices)


#: Whether a fit trained -> how many.
N_OPTIONS = Counter()


@pytest.mark.slow
@profile
@given(
    st.sampled_from(ESTIMATORS).flatmap(lambda n: st.tuples(st.just(n), options(n))),
    st.sampled_from(FLOATS),
    st.sampled_from([(4,), (5, 3), ()]),
    st.sampled_from(["dense", "csr"]),
    st.sampled_from(["plain", "multilabel", "several columns"]),
    st.booleans(),
)
def test_options_of_our_own(kind, dtype, sizes, form, kind_of_y, weighted):
    """Finite numbers or a ValueError that says something; twice the same."""
    name, params = kind
    X, y = blobs(name)
    X = sp.csr_matrix(X.astype(dtype)) if form == "csr" else X.astype(dtype)
    if name == "MLPRegressor":
        y = np.abs(y) + 0.1
        y = y if kind_of_y == "plain" else np.c_[y, y + 1]
    elif kind_of_y != "plain":
        y = np.c_[y, y[::-1], y] > 0 if kind_of_y == "multilabel" else np.c_[y, y[::-1]]
    weights = np.linspace(0, 2, 24) if weighted else None
    est = getattr(cmlp, name)(hidden_layer_sizes=sizes, max_iter=3, random_state=0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        error, _, _ = outcome(lambda: est.fit(X, y, weights))
        N_OPTIONS[error is None] += 1
        if error is not None:
            assert isinstance(error, ValueError), error
            assert len(str(error)) > 10
            return
        again = clone(est).fit(X, y, weights)
    assert not np.isnan(est.loss_) or est.early_stopping  # which falls back on finite weights
    for one, other in zip(
        [*est.coefs_, *est.intercepts_], [*again.coefs_, *again.intercepts_], strict=True
    ):
        assert np.isfinite(one).all()
        assert one.dtype == (params.get("dtype") or dtype)
        assert one.tobytes() == other.tobytes()
    assert len(est.predict(X)) == 24
    if name == "MLPClassifier":
        probabilities = est.predict_proba(X)
        for p in probabilities if isinstance(probabilities, list) else [probabilities]:
            assert p.min() >= 0
            assert p.max() <= 1 + 1e-6
    else:
        # sums of large weights, and exp of 710, exceed the dtype: docs/reliability.md
        large = max(np.abs(coef).max(initial=0) for coef in est.coefs_) > 1e9
        finite = np.isfinite if est.out_activation_ != "exp" else lambda p: p >= 0
        assert large or finite(est.predict(X)).all()


def test_many_of_these_options_train():
    if not N_OPTIONS:
        pytest.skip("the test before was not run")
    assert N_OPTIONS[True] > N_OPTIONS.total() / 4


# Predictions

NETWORKS = {}


def network(name, activation, sizes, dtype, n_features):
    """A fitted one; each is fitted once."""
    key = name, activation, sizes, dtype, n_features
    if key not in NETWORKS:
        rng = np.random.RandomState(0)
        X = rng.randn(20, n_features).astype(dtype)
        y = X[:, 0] if name == "MLPRegressor" else rng.randint(0, 3, 20)
        params = {"activation": activation, "hidden_layer_sizes": sizes, "random_state": 0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            NETWORKS[key] = getattr(cmlp, name)(**params, max_iter=3).fit(X, y)
    return NETWORKS[key]


@pytest.mark.slow
@profile
@given(
    st.sampled_from(ESTIMATORS),
    st.sampled_from(sorted(HIDDEN_ACTIVATIONS)),
    st.sampled_from([(7,), (16, 3), (), (33,)]),
    st.tuples(st.sampled_from(FLOATS), st.sampled_from(FLOATS)),
    st.sampled_from([1, 3, 8, 17]),
    st.integers(1, 700),
    st.sampled_from(["as it is", "Fortran", "backwards", "between", "read-only", "unaligned"]),
    st.integers(0, 999),
)
def test_predictions_do_not_depend_on_company(
    name, activation, sizes, dtypes, n_features, n, form, seed
):
    """Nor on the order of rows, how they lie in memory, how many there are: to the bit."""
    est = network(name, activation, sizes, dtypes[0], n_features)
    predict = est.predict if name == "MLPRegressor" else est.predict_proba
    rng = np.random.RandomState(seed)
    X = rng.randn(n, n_features).astype(dtypes[1])
    expected = predict(X)
    assert expected.tobytes() == predict(FORMS[form](X)).tobytes()
    order = rng.permutation(n)
    assert expected[order].tobytes() == predict(X[order]).tobytes()
    cut = rng.randint(0, n)
    parts = [predict(part) for part in (X[:cut], X[cut:]) if len(part)]
    assert expected.tobytes() == np.concatenate(parts).tobytes()
    row = rng.randint(0, n)
    assert expected[row : row + 1].tobytes() == predict(X[row : row + 1]).tobytes()
    np.testing.assert_array_equal(est.predict(X)[order], est.predict(X[order]))


@pytest.mark.slow
@profile
@given(
    st.sampled_from(ESTIMATORS),
    parameters(),
    st.sampled_from(FLOATS),
    st.booleans(),
    st.integers(2, 60),
    st.sampled_from([1, 2, None]),
    st.sampled_from(FORMS_OF_VECTORS[:6]),
)
def test_a_refit_repeats_itself(name, params, dtype, weighted, n, n_jobs, form):
    """The same estimator, a clone of it, with other threads, from other memory: the same bits."""
    X, y = blobs(name, n)
    X, weights = X.astype(dtype), np.linspace(0.5, 2, n) if weighted else None
    est = getattr(cmlp, name)(**params)

    def fit(est, X):
        est.fit(X, y, weights)
        return b"".join(a.tobytes() for a in [*est.coefs_, *est.intercepts_]) + est.loss_.tobytes()

    error, first, _ = outcome(lambda: fit(est, X))
    if error is not None:
        assert type(error) is ValueError
        return
    assert outcome(lambda: fit(est, X))[1] == first
    other = clone(est).set_params(n_jobs=n_jobs)
    assert outcome(lambda: fit(other, FORMS[form](X)))[1] == first
