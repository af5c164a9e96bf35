"""cmlp in scikit-learn's place: what the estimators are, whose names they have, who is warned."""

import pickle
import subprocess
import sys
import warnings
from contextlib import nullcontext
from functools import singledispatch

import joblib
import numpy as np
import pytest
import sklearn
import sklearn.neural_network
from scipy.optimize import OptimizeResult
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import all_estimators
from sklearn.utils.fixes import parse_version
from sklearn.utils.optimize import _check_optimize_result

import cmlp
from cmlp import MLPClassifier, MLPRegressor, patch_sklearn, unpatch_sklearn
from cmlp._lbfgs import not_converged
from cmlp._sklearn_names import CALLED, IN_PLACE_OF, NOT_CALLED, private_methods

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
THEIRS = {
    "MLPClassifier": sklearn.neural_network.MLPClassifier,
    "MLPRegressor": sklearn.neural_network.MLPRegressor,
}
OURS = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
OTHER = {"MLPClassifier": "MLPRegressor", "MLPRegressor": "MLPClassifier"}


@pytest.fixture(autouse=True)
def unpatched():
    yield
    unpatch_sklearn()


# What they are


@pytest.mark.parametrize("name", OURS)
def test_an_estimator_is_scikit_learns(name):
    ours, theirs, other = OURS[name], THEIRS[name], THEIRS[OTHER[name]]
    Mine = type("Mine", (ours,), {})
    for kind in (ours, Mine):
        assert isinstance(kind(), theirs)
        assert issubclass(kind, theirs)
        assert not isinstance(kind(), other)
        assert not issubclass(kind, other)
    assert not isinstance(theirs(), ours)
    assert not issubclass(theirs, ours)
    assert not issubclass(type("Theirs", (theirs,), {}), ours)


def test_singledispatch():
    @singledispatch
    def what(est):
        return "something"

    what.register(THEIRS["MLPClassifier"], lambda est: "classifier")
    what.register(THEIRS["MLPRegressor"], lambda est: "regressor")
    assert [what(MLPClassifier()), what(MLPRegressor())] == ["classifier", "regressor"]
    assert what(StandardScaler()) == "something"
    what.register(MLPRegressor, lambda est: "cmlp")
    assert [what(MLPRegressor()), what(THEIRS["MLPRegressor"]())] == ["cmlp", "regressor"]


@pytest.mark.parametrize("kind", OURS.values())
@pytest.mark.parametrize(
    "name", ["transform", "fit_transform", "get_feature_names_out", "set_output"]
)
def test_an_estimator_is_no_transformer(kind, name):
    assert not hasattr(kind(), name)
    assert not isinstance(kind(), TransformerMixin)
    assert kind().__sklearn_tags__().transformer_tags is None
    if name.endswith("transform"):  # pipelines have the others whatever they end in
        assert not hasattr(make_pipeline(StandardScaler(), kind()), name)


@pytest.mark.parametrize("mixin", [TransformerMixin, ClassNamePrefixFeaturesOutMixin])
@pytest.mark.parametrize("kind", OURS.values())
def test_a_subclass_may_be_a_transformer(kind, mixin):
    Both = type("Both", (mixin, kind), {"transform": kind.hidden_layer})
    est = Both(max_iter=2).fit(X, Y)
    np.testing.assert_array_equal(est.transform(X), est.hidden_layer(X))
    if mixin is TransformerMixin:
        H = clone(est).set_params(random_state=0).fit_transform(X, Y)
        np.testing.assert_array_equal(
            H, kind(max_iter=2, random_state=0).fit(X, Y).hidden_layer(X)
        )


# Their names


def test_patch_and_unpatch():
    for _ in range(2):
        patch_sklearn()
        assert vars(sklearn.neural_network).items() >= OURS.items()
    for _ in range(2):
        unpatch_sklearn()
        assert vars(sklearn.neural_network).items() >= THEIRS.items()


def test_patch_one():
    for names in ("MLPRegressor", ["MLPRegressor"]):
        patch_sklearn(names)
        assert sklearn.neural_network.MLPRegressor is MLPRegressor
        assert sklearn.neural_network.MLPClassifier is THEIRS["MLPClassifier"]
        unpatch_sklearn("MLPClassifier")
        assert sklearn.neural_network.MLPRegressor is MLPRegressor
        unpatch_sklearn(names)
        assert sklearn.neural_network.MLPRegressor is THEIRS["MLPRegressor"]


def test_patch_as_a_context_manager():
    with patch_sklearn():
        with patch_sklearn("MLPRegressor"):
            assert sklearn.neural_network.MLPRegressor is MLPRegressor
        assert vars(sklearn.neural_network).items() >= OURS.items()  # as it was before
    patch = patch_sklearn()
    for _ in range(2):
        unpatch_sklearn()
        with patch:
            assert vars(sklearn.neural_network).items() >= OURS.items()
        assert vars(sklearn.neural_network).items() >= THEIRS.items()
    with pytest.raises(ZeroDivisionError), patch_sklearn():
        1 / 0  # noqa: B018
    assert vars(sklearn.neural_network).items() >= THEIRS.items()


@pytest.mark.parametrize("name", ["SVC", ["MLPClassifier", "mlp"], "", 3, [None]])
@pytest.mark.parametrize("function", [patch_sklearn, unpatch_sklearn])
def test_unknown_names_change_nothing(function, name):
    with patch_sklearn("MLPRegressor"):
        with pytest.raises((ValueError, TypeError)):
            function(name)
        assert sklearn.neural_network.MLPClassifier is THEIRS["MLPClassifier"]
        assert sklearn.neural_network.MLPRegressor is MLPRegressor


def test_what_looks_estimators_up_finds_the_patch():
    with patch_sklearn():
        assert OURS.items() <= dict(all_estimators()).items()
    assert THEIRS.items() <= dict(all_estimators()).items()


def test_pickles_cross_the_patch():
    """Models of both kinds, made and read with and without it."""
    theirs = THEIRS["MLPClassifier"](max_iter=2, random_state=0)
    with pytest.warns(ConvergenceWarning):
        theirs.fit(X, Y)
    for making in (patch_sklearn, nullcontext):
        with making():
            with pytest.warns(ConvergenceWarning):
                model = sklearn.neural_network.MLPClassifier(max_iter=2, random_state=0).fit(X, Y)
            pickles = [pickle.dumps(est) for est in (model, theirs)]
        for reading in (patch_sklearn, nullcontext):
            with reading():
                read = [pickle.loads(data) for data in pickles]
            assert [type(est) for est in read] == [type(model), type(theirs)]
            for est in read:
                np.testing.assert_allclose(est.predict_proba(X), model.predict_proba(X))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_workers_of_joblib():
    """They unpickle what they are sent, and send models back, without a patch of their own."""
    with patch_sklearn():
        est = sklearn.neural_network.MLPClassifier(max_iter=3, random_state=0)
        search = GridSearchCV(est, {"alpha": [0.1, 1]}, cv=2, n_jobs=2).fit(X, Y)
        models = joblib.Parallel(n_jobs=2)(joblib.delayed(clone(est).fit)(X, Y) for _ in range(2))
    assert type(search.best_estimator_) is MLPClassifier
    expected = MLPClassifier(max_iter=3, random_state=0).fit(X, Y).predict_proba(X)
    for model in models:
        assert type(model) is MLPClassifier
        np.testing.assert_array_equal(model.predict_proba(X), expected)


# python -m cmlp

SCRIPT = """
import atexit, pickle, sys

class Mine:
    pass

def fails():
    raise RuntimeError("of the script")

def at_exit():
    print("at exit", type(pickle.loads(pickle.dumps(Mine()))) is Mine)

atexit.register(at_exit)
print(__name__, __file__, __doc__, __package__, __builtins__, sys.modules["__main__"].Mine is Mine)
print(sys.argv, sys.path[0])
if "whose" in sys.argv:
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    print(MLPClassifier.__module__, MLPRegressor.__module__)
if "exit" in sys.argv:
    sys.exit(7)
if "message" in sys.argv:
    sys.exit("a message")
if "interrupt" in sys.argv:
    raise KeyboardInterrupt
if "hook" in sys.argv:
    def hook(kind, error, traceback):
        while traceback.tb_next:
            traceback = traceback.tb_next
        print(kind, error, traceback.tb_lineno)
    sys.excepthook = hook
if "fail" in sys.argv:
    fails()
"""
ARGUMENTS = [
    ["whose"],
    ["exit", "-m", "--", "-h"],
    ["message"],
    ["interrupt"],
    ["fail"],
    ["fail", "hook"],
]


def python(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "damaged.py").write_text("x = = 1\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "__main__.py").write_text(SCRIPT)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        *((["script.py"], arguments) for arguments in ARGUMENTS),
        *((["-m", "package"], ARGUMENTS[i]) for i in (0, 3, 4)),
        (["package/__main__.py"], ["fail"]),
    ],
)
def test_a_program_runs_as_by_python_itself(folder, program, arguments):
    """What it sees of itself, prints and ends with; only whose the classes are is different."""
    plain = python(folder, *program, *arguments)
    ours = python(folder, "-m", "cmlp", *program, *arguments)
    for name, kind in OURS.items():
        assert (kind.__module__ in ours.stdout) == ("whose" in arguments)
        ours.stdout = ours.stdout.replace(kind.__module__, THEIRS[name].__module__)
    frames = [line for line in plain.stderr.splitlines(keepends=True) if "<frozen" not in line]
    plain.stderr = "".join(frames)  # Python shows how it has found a module
    assert same(ours, plain)


def same(one, other):
    return all(
        getattr(one, name) == getattr(other, name) for name in ("stdout", "stderr", "returncode")
    )


@pytest.mark.slow
def test_a_profiler_goes_on(folder):
    done = python(folder, "-m", "cProfile", "-o", "out", "-m", "cmlp", "script.py", "whose")
    assert done.returncode == 0, done.stderr
    assert MLPClassifier.__module__ in done.stdout
    assert (folder / "out").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize(
    "program", [["damaged.py"], ["missing.py"], ["-m", "missing"]], ids=" ".join
)
def test_programs_that_do_not_start(folder, program):
    plain = python(folder, *program)
    ours = python(folder, "-m", "cmlp", *program)
    assert plain.stderr
    assert same(ours, plain)


@pytest.mark.slow
def test_usage(folder):
    for arguments in ([], ["-m"]):
        done = python(folder, "-m", "cmlp", *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("usage: python -m cmlp script.py")
    done = python(folder, "-m", "cmlp", "-h")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m cmlp script.py")


# Warnings


def warn_of_each_kind():
    """Each warning that scikit-learn's MLP has too, and how often."""
    MLPClassifier(max_iter=1, random_state=0).fit(X, Y)
    MLPClassifier(solver="lbfgs", max_iter=1, random_state=0).fit(X, Y)
    MLPRegressor(batch_size=1000, max_iter=1, random_state=0).fit(X, Y)
    MLPRegressor(max_iter=1, random_state=0).fit(X, Y.reshape(-1, 1))
    return {ConvergenceWarning: 4, UserWarning: 1, DataConversionWarning: 1}


@pytest.mark.parametrize("module", ["sklearn", "sklearn.neural_network", r"sklearn\..*perceptron"])
def test_filters_by_the_module_of_scikit_learn(module):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expected = warn_of_each_kind()
        assert {kind: [w.category for w in caught].count(kind) for kind in expected} == expected
        for category in expected:
            warnings.filterwarnings("ignore", category=category, module=module)
        del caught[:]
        warn_of_each_kind()
        assert not caught
        for category in expected:
            warnings.filterwarnings("error", category=category, module=module)
        with pytest.raises(ConvergenceWarning):
            MLPClassifier(max_iter=1).fit(X, Y)


@pytest.mark.filterwarnings("default")
def test_a_warning_points_at_the_line_of_the_caller():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=1))
    searched = GridSearchCV(MLPClassifier(max_iter=1), {"alpha": [1]}, cv=2)
    for est in (MLPClassifier(max_iter=1), MLPClassifier(solver="lbfgs", max_iter=1), pipeline):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            here = sys._getframe().f_lineno + 1
            est.fit(X, Y)
        assert [(w.filename, w.lineno) for w in caught] == [(__file__, here)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        here = sys._getframe().f_lineno + 1
        searched.fit(X, Y)
    assert {(w.filename, w.lineno) for w in caught} == {(__file__, here)}


def test_a_place_is_shown_once():
    """By Python's default rules: once for each line that fits, not once for all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            MLPClassifier(max_iter=1).fit(X, Y)
        assert len(caught) == 1
        MLPClassifier(max_iter=1).fit(X, Y)
        assert len(caught) == 2
        assert caught[0].lineno < caught[1].lineno


@pytest.mark.parametrize(("nit", "max_iter"), [(5, 5), (3, 5), (7, 5)])
@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.8"), reason="it had other words before"
)
def test_lbfgs_warns_in_the_words_of_scikit_learn(nit, max_iter):
    result = OptimizeResult(nit=nit, status=2, message="ABNORMAL")
    with pytest.warns(ConvergenceWarning) as caught:
        n_iter = _check_optimize_result("lbfgs", result, max_iter)
    assert n_iter == min(nit, max_iter)
    assert not_converged(result, n_iter, max_iter) == str(caught[0].message)


# Private names


def fitted(**params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = [
            package.MLPClassifier((6, 5), max_iter=9, random_state=0, **params).fit(X, Y)
            for package in (cmlp, sklearn.neural_network)
        ]
    return pair


@pytest.mark.parametrize("early_stopping", [False, True])
def test_aliases(early_stopping):
    ours, theirs = fitted(early_stopping=early_stopping)
    lists = [[X, None, None, None], [X, None, None, None]]
    for est, activations in zip((ours, theirs), lists, strict=True):
        assert est._forward_pass(activations) is activations
    for one, other in zip(*lists, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    np.testing.assert_allclose(ours._forward_pass_fast(X), theirs._forward_pass_fast(X))
    np.testing.assert_allclose(ours._forward_pass_fast(X, check_input=False), lists[0][-1])
    assert isinstance(ours._random_state, np.random.RandomState)
    for name in ("_best_coefs", "_best_intercepts"):
        assert hasattr(ours, name) == early_stopping  # theirs are the initial ones without it
        if early_stopping:
            for one, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
                np.testing.assert_allclose(one, other, atol=1e-12)


def test_aliases_may_be_set_and_are_missing_before_a_fit():
    for name in ("_random_state", "_best_coefs", "_best_intercepts"):
        est = MLPClassifier(early_stopping=True)
        assert not hasattr(est, name)
        setattr(est, name, "mine")
        assert getattr(est, name) == "mine"
    generator = np.random.RandomState(3)
    est = MLPClassifier(max_iter=1, random_state=generator)
    with pytest.warns(ConvergenceWarning):
        est.fit(X, Y)
    assert est._random_state is generator
    assert not hasattr(est.set_params(random_state="seed"), "_random_state")
    assert "_random_state" not in vars(est)


def test_every_private_method_of_scikit_learn_is_called_or_refused():
    installed = private_methods()
    assert {"_backprop", "_init_coef", "_forward_pass", "_validate_input", "_score"} <= installed
    assert installed >= CALLED
    assert set(IN_PLACE_OF).isdisjoint(CALLED)
    assert installed - CALLED == NOT_CALLED
    missing = NOT_CALLED - set(IN_PLACE_OF)
    assert not missing, "the message of these says that cmlp has nothing in their place"


@pytest.mark.parametrize("kind", OURS.values())
@pytest.mark.parametrize("name", sorted(NOT_CALLED))
def test_an_override_that_is_not_called_is_refused(kind, name):
    def hook(self, *args, **kwargs):
        raise AssertionError("is not called")

    with pytest.raises(TypeError, match=f"Mine overrides {name}, which scikit-learn") as refused:
        type("Mine", (kind,), {name: hook})
    assert IN_PLACE_OF[name] in str(refused.value)
    Mixin = type("Mixin", (), {name: hook})
    with pytest.raises(TypeError, match=f"overrides {name}"):
        type("Mine", (Mixin, kind), {})
    Mine = type("Mine", (kind, Mixin), {})  # comes after ours, and is not called in either
    type("More", (Mine,), {"fit": lambda self, X, y: self})
    type("Theirs", (THEIRS[kind.__name__], kind), {})


def test_an_override_after_the_class_was_made_is_refused_by_fit():
    class Silent:
        def __init_subclass__(cls, **kwargs):
            """Without super()."""

    class Registered(Silent, MLPClassifier):
        def _init_coef(self, *args):
            raise AssertionError("is not called")

    class Later(MLPClassifier):
        pass

    Later._init_coef = Registered._init_coef
    instance = MLPClassifier()
    instance._init_coef = None
    for est in (Registered(), Later(), instance):
        for method in (est.fit, lambda X, Y, est=est: est.partial_fit(X, Y, classes=[0, 1, 2])):
            with pytest.raises(TypeError, match="overrides _init_coef"):
                method(X, Y)
        assert not hasattr(est, "coefs_")


def test_predict_may_call_the_private_one():
    class Mine(MLPClassifier):
        def predict(self, X):
            return self._predict(X)

    with pytest.warns(ConvergenceWarning):
        est = Mine(max_iter=3, random_state=0).fit(X, Y)
    for _ in range(2):
        np.testing.assert_array_equal(est.predict(X), MLPClassifier.predict(est, X))


def test_validated_y_may_have_one_dimension():
    class Logarithm(MLPRegressor):
        def _validate_input(self, X, y, incremental, reset):
            X, y = super()._validate_input(X, y, incremental, reset)
            return X, np.log1p(y).ravel()

    params = {"max_iter": 3, "random_state": 0}
    with pytest.warns(ConvergenceWarning):
        one, other = Logarithm(**params).fit(X, Y), MLPRegressor(**params).fit(X, np.log1p(Y))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


@pytest.mark.slow
def test_overrides_that_are_called():
    class Shifted(MLPRegressor):
        def _validate_input(self, X, y, incremental, reset):
            X, y = super()._validate_input(X, y, incremental, reset)
            return X, y + 10

    class Never(MLPClassifier):
        def _check_solver(self):
            raise AttributeError("no partial_fit here")

    params = {"solver": "lbfgs", "random_state": 0, "alpha": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shifted, plain = (kind(**params).fit(X, Y) for kind in (Shifted, MLPRegressor))
    assert abs((shifted.predict(X) - plain.predict(X)).mean() - 10) < 0.1
    assert not hasattr(Never(), "partial_fit")


# Parameters of subclasses


class Parsed(MLPClassifier):
    """A parameter as a property."""

    def __init__(self, hidden_layer_sizes="4", max_iter=3):
        super().__init__(hidden_layer_sizes=hidden_layer_sizes, max_iter=max_iter)

    @property
    def hidden_layer_sizes(self):
        return self._sizes

    @hidden_layer_sizes.setter
    def hidden_layer_sizes(self, value):
        self._sizes = tuple(int(n) for n in str(value).strip("()").split(",") if n)


class Stored(MLPClassifier):
    """A parameter as a property that keeps something else under the same name."""

    def __init__(self, alpha=1e-4, dtype=None, max_iter=3):
        super().__init__(alpha=alpha, dtype=dtype, max_iter=max_iter)

    @property
    def alpha(self):
        return -vars(self)["alpha"]

    @alpha.setter
    def alpha(self, value):
        vars(self)["alpha"] = value

    @property
    def dtype(self):
        return {None: None, "single": "float32"}[vars(self)["dtype"]]

    @dtype.setter
    def dtype(self, value):
        vars(self)["dtype"] = value


class Noted(MLPRegressor):
    """Assignments as they are made."""

    def __setattr__(self, name, value):
        vars(self).setdefault("noted", []).append(name)
        super().__setattr__(name, 2 * value if name == "max_iter" else value)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_properties_are_set_by_the_constructor():
    assert [c.shape for c in Parsed("6,3").fit(X, Y).coefs_] == [(4, 6), (6, 3), (3, 3)]
    est = Parsed().set_params(hidden_layer_sizes="5").fit(X, Y)
    assert est.coefs_[0].shape == (4, 5)
    assert est.predict(X).shape == Y.shape


def test_assignments_are_seen():
    est = Noted(max_iter=3)
    assert set(est.get_params()) <= set(est.noted)
    assert est.max_iter == 6


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_properties_are_validated_and_read():
    """Also where an equal set of parameters was valid before."""
    with pytest.raises(ValueError, match="'alpha' parameter of Stored"):
        Stored(alpha=1e-4).fit(X, Y)
    Stored(alpha=-1e-4).fit(X, Y)
    est = Stored(alpha=-1e-4)
    est.fit(X, Y)
    vars(est)["alpha"] = 1e-4
    with pytest.raises(ValueError, match="'alpha' parameter of Stored"):
        est.fit(X, Y)
    est = Stored(alpha=-1e-4, dtype="single").fit(X, Y)
    for _ in range(3):
        assert est.predict_proba(X).dtype == np.float32
    est.dtype = None
    assert est.predict_proba(X).dtype == np.float64  # the weights' is float32, that of X not
