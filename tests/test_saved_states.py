"""What save writes, load reads: of any model, whatever was assigned to its attributes.

hypothesis sets and deletes attributes and parameters of fitted models of every kind, which are then
saved in the place of a good file. Either it loads and predicts the same bits, or save has raised
an error that names what is wrong, and the good file is as it was. CMLP_EXAMPLES=20000 is the long
run, with other examples each time (--hypothesis-seed repeats them).
"""

import contextlib
import copy
import enum
import io
import os
import pathlib
import pickle
import warnings
from collections import OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn import neural_network
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_validate
from sklearn.preprocessing import LabelBinarizer

import cmlp
from cmlp import Checkpoint, MLPClassifier, MLPRegressor
from cmlp._attributes import FITTED, KINDS
from cmlp._labels import MultioutputBinarizer

pytestmark = pytest.mark.filterwarnings("ignore")

TOTAL = int(os.environ.get("CMLP_EXAMPLES", "0"))
profile = settings(
    max_examples=TOTAL or 300,
    derandomize=not TOTAL,
    deadline=None,
    database=None,
    print_blob=True,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=list(HealthCheck),
)

X, Y = load_iris(return_X_y=True)
X, Y = X[::5], Y[::5]
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"])
NAMES = np.array(["setosa", "versicolor", "virginica"])


# Models of every kind


def small(kind, **params):
    return kind(**{"hidden_layer_sizes": (5, 4), "max_iter": 3, "random_state": 0, **params})


class Interrupting(io.StringIO):
    """Ctrl-C at the third line that a fit prints."""

    def write(self, text):
        if text.count("\n") and self.getvalue().count("\n") >= 2:
            raise KeyboardInterrupt
        return super().write(text)


def interrupted(**params):
    est = small(MLPClassifier, max_iter=20, verbose=True, **params)
    with contextlib.redirect_stdout(Interrupting()):
        est.fit(X, Y)
    assert est.n_iter_ < 20
    return est.set_params(verbose=False)


def by_parts(kind, y, **kwargs):
    est = small(kind)
    for _ in range(3):
        est.partial_fit(X, y, **kwargs)
    return est


def of_sklearn():
    """With scikit-learn's attributes."""
    theirs = neural_network.MLPClassifier((5,), max_iter=3, random_state=0).fit(X, NAMES[Y])
    est = small(MLPClassifier)
    vars(est).update({k: v for k, v in vars(theirs).items() if k.endswith("_")})
    est._label_binarizer = theirs._label_binarizer
    est._no_improvement_count = theirs._no_improvement_count
    return est


def of_an_older_version():
    est = small(MLPRegressor).fit(X, Y)
    del est.validation_loss_curve_, est.best_iter_, est.tweedie_power
    return pickle.loads(pickle.dumps(est))


def as_checkpoint(path):
    small(MLPClassifier, dropout=0.2, early_stopping=True).fit(X, Y, checkpoint=Checkpoint(path))
    return cmlp.load(path)


MODELS = {
    "binary": lambda path: small(MLPClassifier).fit(X, NAMES[(Y > 0).astype(int)]),
    "multiclass": lambda path: small(MLPClassifier, activation=["tanh", "relu"]).fit(X, Y),
    "strings": lambda path: small(MLPClassifier, class_weight={"setosa": 2.0}).fit(X, NAMES[Y]),
    "objects": lambda path: small(MLPClassifier).fit(X, NAMES[Y].astype(object)),
    "multilabel": lambda path: small(MLPClassifier).fit(X, np.c_[Y > 0, Y > 1].astype(int)),
    "sparse": lambda path: small(MLPClassifier).fit(X, sp.csr_matrix(np.c_[Y > 0, Y > 1])),
    "columns": lambda path: small(MLPClassifier).fit(X, np.c_[NAMES[Y], NAMES[(Y + 1) % 3]]),
    "regressor": lambda path: small(MLPRegressor, dropout=0.1).fit(X, Y),
    "outputs": lambda path: small(MLPRegressor, hidden_layer_sizes=()).fit(X, X[:, :2]),
    "quantiles": lambda path: small(MLPRegressor, loss="quantile", quantile=[0.9, 0.1]).fit(X, Y),
    "float32": lambda path: small(MLPRegressor, dtype="float32").fit(X, Y),
    "names": lambda path: small(MLPClassifier).fit(FRAME, Y),
    "lbfgs": lambda path: small(MLPClassifier, solver="lbfgs").fit(X, Y),
    "early stopping": lambda path: small(MLPClassifier, early_stopping=True).fit(X, Y),
    "validation": lambda path: small(MLPRegressor, solver="sgd").fit(X, Y, X_val=X, y_val=Y),
    "parts of classes": lambda path: by_parts(MLPClassifier, Y, classes=[0, 1, 2]),
    "parts": lambda path: by_parts(MLPRegressor, Y),
    "interrupted": lambda path: interrupted(),
    "interrupted lbfgs": lambda path: interrupted(solver="lbfgs"),
    "checkpoint": as_checkpoint,
    "scikit-learn's": lambda path: of_sklearn(),
    "older": lambda path: of_an_older_version(),
    "unfitted": lambda path: small(MLPClassifier, random_state=np.random.RandomState(0)),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A copy of a model, by name."""
    path = tmp_path_factory.mktemp("models") / "checkpoint"
    fitted = cache(lambda name: MODELS[name](path))
    return lambda name: copy.deepcopy(fitted(name))


# What may be assigned


class Relu(str, enum.Enum):  # noqa: UP042
    RELU = "relu"


class Text(str):
    pass


class Float(float):
    pass


def nested(n):
    value = []
    for _ in range(n):
        value = [value]
    return value


def itself():
    value = []
    value.append(value)
    return value


def binarizer(classes, **changes):
    made = LabelBinarizer().fit(classes)
    vars(made).update(changes)
    return made


VALUES = [
    *(None, True, False, 0, 1, 3, -1, 2**62, 2**63, 10**30, 10**5000, 0.5, -0.0, np.nan, -np.inf),
    *("", "x", "relu", "logistic", "softmax", "identity", "lbfgs", "sgd", "float32", "\ud800"),
    *(Text("relu"), np.str_("tanh"), Relu.RELU, Float(0.5), Decimal("0.5"), Fraction(1, 3), 1j),
    *(np.bool_(True), np.uint64(3), np.int8(3), np.float16(0.5), np.longdouble(0.1), np.intc(3)),
    *(np.longlong(3), np.complex64(1), np.datetime64("2020-01-01"), np.float32(np.nan)),
    *(np.array(0.5), np.array([0.5]), np.array(3), np.array([3]), np.array(True), np.array("x")),
    *(np.array([]), np.empty((0, 3)), np.zeros((2, 2)), np.ones(3, "i1"), np.ones(3, complex)),
    *(np.array(["a", "b", "c"]), np.array(["a", None], object), np.array([1, "a", 2.5], object)),
    *(np.array(["c", "b", "a"]), np.arange(3.0), np.arange(3), np.arange(2), np.arange(4)),
    *(np.array([False, True]), np.array(["no", "yes"]), np.array([[0.1, 0.9]]), np.array([0.2])),
    *(np.array([b"a", b"b"]), np.array([0.1, 0.9]), np.array([0.1, 0.9], ">f4")),
    *([], [1], [0.5], [0.1, 0.9], ["a", "b", "c", "d"], [1, "a", None], [np.float32(1), 2.0]),
    *([np.array(0.5)], [[0.5]], [np.arange(3), np.arange(2)], [Decimal("0.5"), Fraction(1, 3)]),
    *((), (1,), (5, 4), (np.int64(5), 4), (2**63, 1), (2**64, 1), ("relu", "tanh"), ["relu"]),
    *({}, {0: 1.0}, {"a": [1, 2]}, {(1, 2): 3}, {2**70: 1}, {np.nan: 1}, {None: None}, {1.5, 2.5}),
    *(OrderedDict(a=1), deque([0.5, 0.25]), range(3), range(3, 5), b"x", bytearray(b"x")),
    *(print, len, object(), int, LabelBinarizer(), np.random.RandomState(1), pathlib.Path("x")),
    *(np.random, np.random.default_rng(0), np.random.RandomState(np.random.PCG64(0))),
    *(pd.Series([0.5, 0.25]), pd.Index(["a", "b", "c", "d"]), sp.eye(3).tocsr()),
    *(MultioutputBinarizer([np.arange(2), np.arange(3)]), MultioutputBinarizer([[0, 1]])),
    *(binarizer(range(3)), binarizer(range(2)), binarizer(range(3), neg_label=-1)),
    *(binarizer(range(3), y_type_="binary"), binarizer(list("abc"), sparse_output=True)),
    *(memoryview(b"abc"), slice(3), np.dtype(float), (i for i in range(3)), Exception("x")),
    *(nested(90), nested(300), nested(5000), itself(), "x" * 10_000, 10 * [{"a": (1, [2.0])}]),
    *(np.ma.masked_array([0.1, 0.9], [False, True]), np.asmatrix([[0.5]]), np.zeros(3, "M8[s]")),
    *(np.zeros(2, [("a", float)]), np.rec.array([(1, 2.0)]), np.longdouble([0.5, 0.25])),
]


def each(function):
    """The function of each item of a list, or of the value itself."""

    def call(value):
        if isinstance(value, list | tuple):
            return type(value)(map(function, value))
        return function(value)

    return call


def object_array(value):
    array = np.empty(len(value), object)
    array[:] = value
    return array


def locked(value):
    value = np.array(value)
    value.flags.writeable = False
    return value


#: What a value of before may be turned into; an error leaves it as it was.
FORMS = {
    "list": lambda v: list(v),
    "tuple": lambda v: tuple(v),
    "deque": lambda v: deque(v),
    "array": lambda v: np.array(v),
    "array of objects": object_array,
    "strings": lambda v: np.array(v, dtype=str),
    "0-d": lambda v: np.array(v),
    "one item": lambda v: np.array([v]),
    "lists": each(lambda v: v.tolist()),
    "Series": lambda v: pd.Series(v),
    "reversed": lambda v: v[::-1],
    "without the last": lambda v: v[:-1],
    "twice": lambda v: v + v,
    "one more": lambda v: v + 1,
    "one less": lambda v: v - 1,
    "unsigned": lambda v: np.uint32(v),
    "8 bits": lambda v: np.int8(v),
    "float": lambda v: float(v),
    "str": lambda v: str(v),
    "bool": lambda v: bool(v),
    "Decimal": each(lambda v: Decimal(float(v))),
    "Fraction": each(lambda v: Fraction(float(v))),
    "longdouble": each(lambda v: np.longdouble(v)),
    "of any number": each(lambda v: np.array(float(v))),
    "int8": each(lambda v: np.round(50 * v).astype("i1")),
    "uint64": each(lambda v: np.abs(50 * v).astype("u8")),
    "signs": each(lambda v: v > 0),
    "float16": each(lambda v: v.astype(np.float16)),
    "float32": each(lambda v: v.astype(np.float32)),
    "float64": each(lambda v: v.astype(np.float64)),
    "big-endian": each(lambda v: v.astype(v.dtype.newbyteorder(">"))),
    "long double arrays": each(lambda v: v.astype(np.longdouble)),
    "complex": each(lambda v: v.astype(complex)),
    "objects": each(lambda v: v.astype(object)),
    "Fortran": each(np.asfortranarray),
    "transposed": each(lambda v: v.T),
    "read-only": each(locked),
    "masked": each(lambda v: np.ma.masked_array(v, v > 0)),
    "sparse": each(sp.csr_matrix),
    "not finite": each(lambda v: v * np.nan),
    "negative": each(lambda v: -v),
    "upper case": each(lambda v: np.char.upper(v)),
    "first differs": lambda v: [v[0].astype(np.float32), *v[1:]],
    "last an integer": lambda v: [*v[:-1], np.round(v[-1]).astype(int)],
    "integers, and lists": lambda v: [np.round(9 * v[0]).astype("i2"), *[a.tolist() for a in v[1:]]],
}
NEW = ["note_", "note", "_note", "a b_", "predict", "fit", "_forward", "transform", "values_", "x__"]
NEW += ["coefs_.0", "coefs_.0_", "_parameters", "_optimizer", "__note_"]


@st.composite
def changes(draw):
    """A name, or an index into the names of a model, and what becomes of it."""
    of = draw(st.sampled_from(["fitted", "fitted", "fitted", "any", "new"]))
    name = draw(st.sampled_from(NEW if of == "new" else sorted(FITTED)))
    if of == "any":
        name = draw(st.integers(0, 99))
    how = draw(st.sampled_from(["form", "form", "value", "value", "item", "delete"]))
    if how == "delete":
        return name, how, None
    if how == "value":
        made_up = st.integers() | st.floats(width=32) | st.text(max_size=3) | st.booleans()
        made_up |= st.lists(made_up, max_size=4)
        number = st.integers(0, len(VALUES) - 1)
        return name, how, draw(st.one_of(number, number, made_up.map(lambda value: [value])))
    return name, how, draw(st.sampled_from(list(FORMS)))


def apply(est, name, how, what):
    """The name of what has been changed, or None."""
    if isinstance(name, int):
        names = sorted(vars(est))
        name = names[name % len(names)]
    attributes = vars(est)
    if how == "value":
        attributes[name] = what[0] if isinstance(what, list) else VALUES[what]
    elif name not in attributes:
        return None
    elif how == "delete":
        del attributes[name]
    else:
        with contextlib.suppress(Exception):  # a form that this value does not have
            if how == "form":
                attributes[name] = FORMS[what](attributes[name])
            else:
                attributes[name][0] = FORMS[what](attributes[name][0])
    return name


# What has to hold


def answers(est):
    """What the model says of X, or the error that it raises, by method."""
    data = FRAME if hasattr(est, "feature_names_in_") else X
    said = {}
    for method in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(type(est), method):
            try:
                said[method] = getattr(est, method)(data)
            except Exception as error:
                said[method] = error
    return said


def same(one, other):
    """To the bit; strings may have become as short as they are."""
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if sp.issparse(one):
        return type(one) is type(other) and same(one.toarray(), other.toarray())
    if one.dtype.kind in "UO":
        same_kind = one.dtype.kind == other.dtype.kind
        return same_kind and one.shape == other.shape and one.tolist() == other.tolist()
    native = one.dtype.newbyteorder("=")
    return native == other.dtype and one.astype(native).tobytes() == other.tobytes()


def check(est, path, names):
    """Save in the place of a good file; whether that was refused."""
    good = path.read_bytes()
    before = dict(vars(est))
    expected = answers(est)
    after_predict = dict(vars(est))
    try:
        est.save(path)
    except (TypeError, ValueError) as error:
        assert path.read_bytes() == good
        known = {*names, *KINDS, *MLPRegressor._get_param_names(), "classes_"}
        known |= {*MLPClassifier._get_param_names()}
        assert any(name in str(error) for name in known), error
        refused = True
    else:
        loaded = cmlp.load(path)
        for method, answer in answers(loaded).items():
            if not isinstance(expected[method], Exception):
                assert not isinstance(answer, Exception), answer
                assert same(expected[method], answer), method
        loaded.save(path)
        path.write_bytes(good)
        refused = False
    assert os.listdir(path.parent) == [path.name]
    assert vars(est).keys() == after_predict.keys() == before.keys()
    for name, value in vars(est).items():
        assert value is after_predict[name], name
    return refused


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model"
    small(MLPRegressor).fit(X, Y).save(path)
    return path


@profile
@given(st.sampled_from(list(MODELS)), st.lists(changes(), min_size=1, max_size=3))
def test_any_state_is_saved_and_read_or_refused(model, path, kind, made):
    est = model(kind)
    names = [apply(est, *change) for change in made]
    check(est, path, [name for name in names if name])


@pytest.mark.parametrize("kind", MODELS)
def test_every_model_is_saved(model, path, kind):
    assert not check(model(kind), path, [])


# By name


def assign(**values):
    """A change of a model: new values, or functions of what was there."""

    def change(est):
        for name, value in values.items():
            setattr(est, name, value(getattr(est, name)) if callable(value) else value)

    return change


def all_of(name, form):
    return assign(**{name: FORMS[form]})


def rename(est):
    """As predict has to be told."""
    est.classes_ = est._label_binarizer.classes_ = np.array(["no", "yes", "yes!"])


#: Model, change, the attribute, and what is read of it
CONVERTED = {
    "int8 weights": ("strings", all_of("coefs_", "int8"), "coefs_", None),
    "integers with float32": ("float32", all_of("coefs_", "uint64"), "coefs_", None),
    "weights as lists": ("strings", all_of("coefs_", "lists"), "coefs_", None),
    "biases as lists": ("regressor", all_of("intercepts_", "lists"), "intercepts_", None),
    "weights as an array": (
        "outputs",
        assign(coefs_=np.array, intercepts_=np.array),
        "coefs_",
        None,
    ),
    "long doubles": ("quantiles", all_of("coefs_", "long double arrays"), "coefs_", None),
    "big-endian": ("names", all_of("coefs_", "big-endian"), "coefs_", None),
    "float16": ("binary", all_of("coefs_", "float16"), "coefs_", None),
    "names of U": (
        "names",
        assign(feature_names_in_=np.array(list("abcd"))),
        "feature_names_in_",
        np.array(list("abcd"), object),
    ),
    "names as a list": (
        "names",
        assign(feature_names_in_=list("abcd")),
        "feature_names_in_",
        np.array(list("abcd"), object),
    ),
    "curve as an array": ("strings", assign(loss_curve_=np.array([2.0, 1.0])), "loss_curve_", [2, 1]),
    "curve as a tuple": ("strings", assign(loss_curve_=(2.0, 1.0)), "loss_curve_", [2, 1]),
    "curve as a deque": ("strings", assign(loss_curve_=deque([2.0])), "loss_curve_", [2]),
    "curve as a Series": ("strings", assign(loss_curve_=pd.Series([2.0])), "loss_curve_", [2]),
    "no curve": ("strings", assign(loss_curve_=[]), "loss_curve_", []),
    "scores": (
        "early stopping",
        assign(validation_scores_=[np.array(0.5), np.array([0.25]), np.bool_(True)]),
        "validation_scores_",
        [0.5, 0.25, 1.0],
    ),
    "best score": (
        "early stopping",
        assign(best_validation_score_=Fraction(1, 4)),
        "best_validation_score_",
        0.25,
    ),
    "loss": ("regressor", assign(loss_=Decimal("0.5")), "loss_", 0.5),
    **{
        f"t_ of {kind.__name__}": ("strings", assign(t_=kind(100)), "t_", 100)
        for kind in (np.uint64, np.uint8, np.int16, np.longlong, np.array)
    },
    "quantiles": ("quantiles", assign(quantiles_=[0.75, 0.25]), "quantiles_", np.array([0.75, 0.25])),
    "0-d array": ("strings", assign(note_=np.array(0.5)), "note_", np.array(0.5)),
    "new labels": ("strings", rename, "classes_", np.array(["no", "yes", "yes!"])),
    "classes of objects": (
        "strings",
        assign(classes_=lambda classes: classes.astype(object)),
        "classes_",
        NAMES,
    ),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_what_is_meant_is_written(case, model, path):
    kind, change, name, expected = CONVERTED[case]
    est = model(kind)
    change(est)
    assert not check(est, path, [name])
    est.save(path)
    value = getattr(cmlp.load(path), name)
    if expected is not None:
        assert type(value) is type(expected) or isinstance(value, float | int)
        np.testing.assert_array_equal(value, expected)
        assert getattr(value, "dtype", None) == getattr(expected, "dtype", None)
        assert np.shape(value) == np.shape(expected)


def of_binarizer(**changes):
    return lambda est: vars(est._label_binarizer).update(changes)


REFUSED = {
    "new names of classes": (
        "strings",
        assign(classes_=np.array(["no", "off", "yes"])),
        "classes_ are .*no.* but the labels that predict returns are .*setosa",
    ),
    "classes in another order": (
        "binary",
        assign(classes_=lambda classes: classes[::-1]),
        "classes_ must be an array of sorted labels",
    ),
    "classes as a list": ("binary", assign(classes_=["a", "b"]), "classes_ must be an array"),
    "classes of two kinds": ("binary", assign(classes_=np.array([1, "a"], object)), "classes_ must"),
    "labels of columns": (
        "columns",
        assign(_label_binarizer=MultioutputBinarizer([[0, 1], [2, 3]])),
        "classes_ are .* but",
    ),
    "no labels": ("binary", assign(_label_binarizer=None), "need a LabelBinarizer as _label_bin"),
    "other labels": ("binary", of_binarizer(neg_label=-1), "the labels are not those of a fit"),
    "no curve": ("strings", lambda est: delattr(est, "loss_curve_"), "loss_curve_ is missing, it"),
    "None for a curve": ("strings", assign(loss_curve_=None), "loss_curve_ must be a list of which"),
    "text in a curve": ("strings", assign(loss_curve_=["a"]), "each item is a float, got .'a'., a list"),
    "a matrix for a curve": ("strings", assign(loss_curve_=np.eye(2)), "loss_curve_ must be a list"),
    "negative counter": ("strings", assign(t_=-1), "t_ must be an int of 0 to .*, got -1, a int"),
    "float counter": ("strings", assign(n_iter_=1.5), "n_iter_ must be an int"),
    "bool counter": ("strings", assign(n_iter_=True), "n_iter_ must be an int"),
    "long counter": ("strings", assign(t_=2**62), "t_ must be an int"),
    "scores alone": (
        "early stopping",
        assign(best_validation_score_=None),
        "validation_scores_ and best_validation_score_ do not fit",
    ),
    "outputs": ("strings", assign(n_outputs_=2), "n_outputs_ is 2, the weights say 3"),
    "layers": ("strings", assign(n_layers_=2), "n_layers_ is 2, the weights say 4"),
    "features": ("strings", assign(n_features_in_=5), "n_features_in_ is 5, the weights say 4"),
    "no features": ("strings", lambda est: delattr(est, "n_features_in_"), "n_features_in_ is missing"),
    "names": ("names", assign(feature_names_in_=["a"]), "feature_names_in_ do not fit"),
    "numbers as names": ("names", assign(feature_names_in_=[1, 2, 3, 4]), "feature_names_in_ must be"),
    "softmax": ("binary", assign(out_activation_="softmax"), "out_activation_ must be 'logistic'"),
    "softmax of values": ("parts", assign(out_activation_="softmax"), "out_activation_ must be one"),
    "quantile": ("quantiles", assign(quantiles_=[0.5, 2.0]), "quantiles_ must be an array of floats"),
    "quantiles": ("quantiles", assign(quantiles_=np.full(3, 0.5)), "quantiles_ do not fit 2 outputs"),
    "shapes": ("strings", all_of("coefs_", "transposed"), "coefs_ and intercepts_ do not make a net"),
    "no arrays": ("strings", assign(coefs_=None), "coefs_ and intercepts_ do not make a network"),
    "complex": ("strings", all_of("coefs_", "complex"), "coefs_ and intercepts_ do not make a net"),
    "objects": ("strings", all_of("coefs_", "objects"), "coefs_ and intercepts_ do not make a net"),
    "sparse": ("strings", all_of("coefs_", "sparse"), "coefs_ and intercepts_ do not make a network"),
    "a layer less": ("strings", all_of("intercepts_", "without the last"), "coefs_ and intercepts_"),
    "no weights": ("strings", lambda est: delattr(est, "coefs_"), "coefs_ is missing"),
    "a part of a fit": ("unfitted", assign(n_iter_=3), "coefs_ is missing"),
    "bad alpha": ("strings", assign(alpha=-1), "The 'alpha' parameter of MLPClassifier must be"),
    "bad activation": ("strings", assign(activation="step"), "The 'activation' parameter of MLPC"),
    "bad dtype": ("unfitted", assign(dtype="float16"), "The 'dtype' parameter of MLPClassifier"),
    "no parameter": ("strings", lambda est: delattr(est, "alpha"), "no attribute 'alpha'"),
    "weights of tuples": ("strings", assign(class_weight={(1, 2): 1.0}), "class_weight: a key is"),
    "a method": ("strings", lambda est: vars(est).update(predict=print), "predict is a method"),
    "name of a method": ("strings", assign(values_=1), None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused(case, model, path):
    kind, change, message = REFUSED[case]
    est = model(kind)
    change(est)
    if message is None:
        assert not check(est, path, [])
        return
    with pytest.raises(ValueError, match=f"This MLP.* cannot be saved: .*{message}"):
        est.save(path)
    check(est, path, [message])


@pytest.mark.parametrize("value", [10**5000, nested(300), itself(), {1}, print, b"x", 1j], ids=type)
def test_what_a_file_cannot_hold_is_refused(value, model, path):
    for name in ("note_", "loss_", "loss_curve_", "class_weight"):
        est = model("strings")
        setattr(est, name, value)
        with pytest.raises(TypeError, match=f"A model file cannot hold {name}"):
            est.save(path)
        assert check(est, path, [name])


def test_more_than_a_header_can_hold(model, path):
    """100 MB, says the reader of safetensors; early writers do not."""
    good = path.read_bytes()
    est = model("strings")
    est.note_ = "x" * 10**8
    with pytest.raises(OSError, match="could not be written: .*[Hh]eader"):
        est.save(path)
    assert path.read_bytes() == good
    assert os.listdir(path.parent) == [path.name]


# What scorers return

SCORES = [np.array(0.5), np.array([0.5]), np.array([[0.5]]), np.float16(0.5), np.float32(0.5)]
SCORES += [np.longdouble(0.5), Decimal("0.5"), Fraction(1, 2), np.bool_(True), True, 1, np.int8(1)]
SCORES += [np.uint64(1), np.array(True), pd.Series([0.5]), 2**70, np.array(1)]


@pytest.mark.parametrize("score", SCORES, ids=repr)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_scores_are_numbers(score, early_stopping, path):
    """Those that scikit-learn's cross-validation takes."""

    def scorer(est, X, y):
        return score

    expected = cross_validate(small(MLPClassifier), X, Y, cv=2, scoring=scorer)["test_score"][0]
    est = small(MLPClassifier, scoring=scorer, early_stopping=early_stopping)
    est.fit(X, Y, X_val=X, y_val=Y)
    assert all(isinstance(number, float | int | np.number) for number in est.validation_scores_)
    assert est.validation_scores_ == [expected] * est.n_iter_
    assert est.best_validation_score_ == expected
    assert est.best_iter_ == 1
    est.scoring = None
    assert not check(est, path, [])


@pytest.mark.parametrize("score", [None, "x", [0.5], np.zeros(2), {"a": 0.5}, 1j, 10**400], ids=repr)
def test_what_is_no_score(score):
    est = small(MLPClassifier, early_stopping=True, scoring=lambda *_: score)
    with pytest.raises(ValueError, match="scoring must return a number, got") as error:
        est.fit(X, Y)
    assert repr(type(score)) in str(error.value)
    assert est.validation_scores_ == est.validation_loss_curve_ == []
    assert est.predict(X).shape == Y.shape


# Checkpoints are written by the same rules


def test_a_checkpoint_is_refused_before_training(model, path):
    good = path.read_bytes()
    for change, message in [
        (lambda est: vars(est).update(predict=print), "predict is a method"),
        (lambda est: setattr(est, "note_", {(1, 2): 3}), "a key is neither"),
    ]:
        est = small(MLPClassifier)
        change(est)
        before = dict(vars(est))
        with pytest.raises(ValueError, match=f"cannot be saved: .*{message}"):
            est.fit(X, Y, checkpoint=Checkpoint(path))
        assert vars(est) == before
        assert path.read_bytes() == good


def test_a_checkpoint_converts(model, tmp_path):
    """What a user changed before a warm start."""
    path = tmp_path / "state"
    whole, est = (small(MLPClassifier, warm_start=True).fit(X, Y) for _ in range(2))
    est.t_, est.loss_curve_ = np.uint64(est.t_), [np.array(loss) for loss in est.loss_curve_]
    whole.fit(X, Y)
    est.fit(X, Y, checkpoint=Checkpoint(path, every=2))
    again = small(MLPClassifier, warm_start=True).fit(X, Y, resume_from=path)
    assert again.t_ == whole.t_
    assert again.loss_curve_ == whole.loss_curve_
    np.testing.assert_array_equal(again.predict_proba(X), whole.predict_proba(X))
