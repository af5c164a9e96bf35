"""What save writes, load reads: of any model, whatever was assigned to its attributes.

hypothesis sets and deletes attributes and parameters of fitted models of every kind, which are
then saved in the place of a good file. Either it loads and predicts the same bits, or save has
raised an error that names what is wrong, and the good file is as it was. CMLP_EXAMPLES=20000 is
the long run, with other examples each time (--hypothesis-seed repeats them).
"""

import contextlib
import copy
import enum
import io
import os
import pathlib
import pickle
import tempfile
from collections import OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples
from sklearn import neural_network
from sklearn.datasets import load_iris
from sklearn.preprocessing import LabelBinarizer

import cmlp
from cmlp import Checkpoint, MLPClassifier, MLPRegressor
from cmlp._labels import MultioutputBinarizer
from cmlp._persistence import FITTED, KINDS

pytestmark = pytest.mark.filterwarnings("ignore")

profile = examples(300)

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


def a_checkpoint():
    est = small(MLPClassifier, dropout=0.2, early_stopping=True)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "state")
        est.fit(X, Y, checkpoint=Checkpoint(path))
        return cmlp.load(path)


MODELS = {
    "binary": lambda: small(MLPClassifier).fit(X, NAMES[(Y > 0).astype(int)]),
    "multiclass": lambda: small(MLPClassifier, activation=["tanh", "relu"]).fit(X, Y),
    "strings": lambda: small(MLPClassifier, class_weight={"setosa": 2.0}).fit(X, NAMES[Y]),
    "objects": lambda: small(MLPClassifier).fit(X, NAMES[Y].astype(object)),
    "multilabel": lambda: small(MLPClassifier).fit(X, np.c_[Y > 0, Y > 1].astype(int)),
    "sparse": lambda: small(MLPClassifier).fit(X, sp.csr_matrix(np.c_[Y > 0, Y > 1])),
    "columns": lambda: small(MLPClassifier).fit(X, np.c_[NAMES[Y], NAMES[(Y + 1) % 3]]),
    "regressor": lambda: small(MLPRegressor, dropout=0.1).fit(X, Y),
    "outputs": lambda: small(MLPRegressor, hidden_layer_sizes=()).fit(X, X[:, :2]),
    "quantiles": lambda: small(MLPRegressor, loss="quantile", quantile=[0.9, 0.1]).fit(X, Y),
    "float32": lambda: small(MLPRegressor, dtype="float32").fit(X, Y),
    "names": lambda: small(MLPClassifier).fit(FRAME, Y),
    "lbfgs": lambda: small(MLPClassifier, solver="lbfgs").fit(X, Y),
    "early stopping": lambda: small(MLPClassifier, early_stopping=True).fit(X, Y),
    "validation": lambda: small(MLPRegressor, solver="sgd").fit(X, Y, X_val=X, y_val=Y),
    "parts of classes": lambda: by_parts(MLPClassifier, Y, classes=[0, 1, 2]),
    "parts": lambda: by_parts(MLPRegressor, Y),
    "interrupted": interrupted,
    "interrupted lbfgs": lambda: interrupted(solver="lbfgs"),
    "checkpoint": a_checkpoint,
    "scikit-learn's": of_sklearn,
    "older": of_an_older_version,
    "unfitted": lambda: small(MLPClassifier, random_state=np.random.RandomState(0)),
}


@cache
def fitted(name):
    return MODELS[name]()


def model(name):
    """A copy of a model, which may be changed."""
    return copy.deepcopy(fitted(name))


def good_file(folder):
    """The path of a file that has a model."""
    path = folder / "model"
    small(MLPRegressor).fit(X, Y).save(path)
    return path


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
    "integers, lists": lambda v: [np.round(9 * v[0]).astype("i2"), *[a.tolist() for a in v[1:]]],
}
#: Attributes that the user adds.
NEW = ["note_", "note", "_note", "a b_", "x__", "coefs_.0", "coefs_.0_", "__note_", "values_"]
NEW += ["predict", "fit", "_forward", "_parameters", "_optimizer", "_training"]


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
    """Save in the place of a good file; the error if that was refused."""
    good = path.read_bytes()
    before = dict(vars(est))
    expected = answers(est)
    after_predict = dict(vars(est))
    refused = None
    try:
        est.save(path)
    except (TypeError, ValueError) as error:
        refused = str(error)
    if refused:
        assert path.read_bytes() == good
        known = {*names, *KINDS, *type(est)._get_param_names(), "classes_", "_label_binarizer"}
        assert any(name in refused for name in known), refused
    else:
        loaded = cmlp.load(path)
        for method, answer in answers(loaded).items():
            if not isinstance(expected[method], Exception):
                assert not isinstance(answer, Exception), answer
                assert same(expected[method], answer), method
        loaded.save(path)
        path.write_bytes(good)
    assert os.listdir(path.parent) == [path.name]
    assert vars(est).keys() == after_predict.keys() == before.keys()
    for name, value in vars(est).items():
        assert value is after_predict[name], name
    return refused


@pytest.mark.slow
@profile
@given(st.sampled_from(list(MODELS)), st.lists(changes(), min_size=1, max_size=3))
def test_any_state_is_saved_and_read_or_refused(path, kind, made):
    est = model(kind)
    names = [apply(est, *change) for change in made]
    check(est, path, [name for name in names if name])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return good_file(tmp_path_factory.mktemp("saved"))


@pytest.mark.parametrize("kind", MODELS)
def test_every_model_is_saved(kind, tmp_path):
    assert not check(model(kind), good_file(tmp_path), [])
