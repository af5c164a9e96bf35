"""Values that users and scorers set, case by case: what save makes of them, or says of them.

Any value of any attribute: test_saved_states.py.
"""

import os
from collections import deque
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import cross_validate
from test_saved_states import FORMS, NAMES, X, Y, check, good_file, itself, model, nested, small

import cmlp
from cmlp import Checkpoint, MLPClassifier
from cmlp._labels import MultioutputBinarizer

pytestmark = pytest.mark.filterwarnings("ignore")


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
    "curve as an array": (
        "strings",
        assign(loss_curve_=np.array([2.0, 1.0])),
        "loss_curve_",
        [2, 1],
    ),
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
    "quantiles": (
        "quantiles",
        assign(quantiles_=[0.75, 0.25]),
        "quantiles_",
        np.array([0.75, 0.25]),
    ),
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
def test_what_is_meant_is_written(case, tmp_path):
    path = good_file(tmp_path)
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
    "classes of two kinds": (
        "binary",
        assign(classes_=np.array([1, "a"], object)),
        "classes_ must",
    ),
    "type of labels": ("strings", of_binarizer(y_type_="binary"), "y_type_ is 'binary', no "),
    "labels of columns": (
        "columns",
        assign(_label_binarizer=MultioutputBinarizer([[0, 1], [2, 3]])),
        "classes_ are .* but",
    ),
    "no labels": ("binary", assign(_label_binarizer=None), "need a LabelBinarizer as _label_bin"),
    "other labels": (
        "binary",
        of_binarizer(neg_label=-1),
        "_label_binarizer is not that of a fit",
    ),
    "no curve": ("strings", lambda est: delattr(est, "loss_curve_"), "loss_curve_ is missing, it"),
    "None for a curve": (
        "strings",
        assign(loss_curve_=None),
        "loss_curve_ must be a list of which",
    ),
    "text in a curve": (
        "strings",
        assign(loss_curve_=["a"]),
        "each item is a float, got .'a'., a list",
    ),
    "a matrix for a curve": (
        "strings",
        assign(loss_curve_=np.eye(2)),
        "loss_curve_ must be a list",
    ),
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
    "no features": (
        "strings",
        lambda est: delattr(est, "n_features_in_"),
        "n_features_in_ is missing",
    ),
    "names": ("names", assign(feature_names_in_=["a"]), "feature_names_in_ do not fit"),
    "numbers as names": (
        "names",
        assign(feature_names_in_=[1, 2, 3, 4]),
        "feature_names_in_ must be",
    ),
    "softmax": ("binary", assign(out_activation_="softmax"), "out_activation_ must be 'logistic'"),
    "softmax of values": (
        "parts",
        assign(out_activation_="softmax"),
        "out_activation_ must be one",
    ),
    "quantile": (
        "quantiles",
        assign(quantiles_=[0.5, 2.0]),
        "quantiles_ must be an array of floats",
    ),
    "quantiles": (
        "quantiles",
        assign(quantiles_=np.full(3, 0.5)),
        "quantiles_ do not fit 2 outputs",
    ),
    "shapes": (
        "strings",
        all_of("coefs_", "transposed"),
        "coefs_ and intercepts_ do not make a net",
    ),
    "no arrays": ("strings", assign(coefs_=None), "coefs_ and intercepts_ do not make a network"),
    "complex": (
        "strings",
        all_of("coefs_", "complex"),
        "coefs_ and intercepts_ do not make a net",
    ),
    "objects": (
        "strings",
        all_of("coefs_", "objects"),
        "coefs_ and intercepts_ do not make a net",
    ),
    "sparse": (
        "strings",
        all_of("coefs_", "sparse"),
        "coefs_ and intercepts_ do not make a network",
    ),
    "a layer less": (
        "strings",
        all_of("intercepts_", "without the last"),
        "coefs_ and intercepts_",
    ),
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
def test_what_cannot_be_read_is_refused(case, tmp_path):
    path = good_file(tmp_path)
    kind, change, message = REFUSED[case]
    est = model(kind)
    change(est)
    if message is None:
        assert not check(est, path, [])
        return
    with pytest.raises(ValueError, match=f"This MLP.* cannot be saved: .*{message}"):
        est.save(path)
    check(est, path, [message])


@pytest.mark.parametrize(
    "value", [10**5000, nested(300), itself(), {1}, print, b"x", 1j], ids=type
)
def test_what_a_file_cannot_hold_is_refused(value, tmp_path):
    path = good_file(tmp_path)
    for name in ("note_", "loss_", "loss_curve_", "class_weight"):
        est = model("strings")
        setattr(est, name, value)
        with pytest.raises(TypeError, match=f"A model file cannot hold {name}"):
            est.save(path)
        assert check(est, path, [name])


def test_masked_arrays_are_refused(tmp_path):
    """A file would hold what the mask hides."""
    path = good_file(tmp_path)
    quantiles = np.ma.masked_array([0.9, 0.1], [True, True])
    for name, value in [
        ("quantiles_", quantiles),
        ("quantiles_", quantiles.astype(">f8")),
        ("loss_curve_", np.ma.masked_array([0.5, 0.25], [False, True])),
        ("loss_curve_", [np.ma.masked]),
        ("note_", np.ma.masked_array(["a"], [True])),
    ]:
        est = model("quantiles")
        setattr(est, name, value)
        with pytest.raises(TypeError, match=f"cannot hold {name}"):
            est.save(path)
        assert check(est, path, [name])


@pytest.mark.slow
def test_more_than_a_header_can_hold(tmp_path):
    """100 MB, says the reader of safetensors; early writers do not."""
    path = good_file(tmp_path)
    good = path.read_bytes()
    est = model("strings")
    est.note_ = "x" * 10**8
    with pytest.raises(OSError, match=r"could not be written: .*[Hh]eader"):
        est.save(path)
    assert path.read_bytes() == good
    assert os.listdir(path.parent) == [path.name]


# What scorers return

SCORES = [np.array(0.5), np.array([0.5]), np.array([[0.5]]), np.float16(0.5), np.float32(0.5)]
SCORES += [np.longdouble(0.5), Decimal("0.5"), Fraction(1, 2), np.bool_(True), True, 1, np.int8(1)]
SCORES += [np.uint64(1), np.array(True), pd.Series([0.5]), 2**70, np.array(1)]


@pytest.mark.parametrize("score", SCORES, ids=repr)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_scores_are_numbers(score, early_stopping, tmp_path):
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
    assert not check(est, good_file(tmp_path), [])


@pytest.mark.parametrize(
    "score", [None, "x", [0.5], np.zeros(2), {"a": 0.5}, 1j, 10**400, np.ma.masked], ids=repr
)
def test_what_is_no_score(score):
    est = small(MLPClassifier, early_stopping=True, scoring=lambda *_: score)
    with pytest.raises(ValueError, match="scoring must return a number, got") as error:
        est.fit(X, Y)
    assert repr(type(score)) in str(error.value)
    assert est.validation_scores_ == est.validation_loss_curve_ == []
    assert est.predict(X).shape == Y.shape


# Checkpoints are written by the same rules


def test_a_checkpoint_is_refused_before_training(tmp_path):
    path = good_file(tmp_path)
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


def test_a_checkpoint_converts(tmp_path):
    """What a user changed before a warm start."""
    path = tmp_path / "state"
    whole, est = (small(MLPClassifier, warm_start=True).fit(X, Y) for _ in range(2))
    est.t_, est.loss_curve_ = np.uint32(est.t_), [np.array(loss) for loss in est.loss_curve_]
    whole.fit(X, Y)
    est.fit(X, Y, checkpoint=Checkpoint(path, every=2))
    again = small(MLPClassifier, warm_start=True).fit(X, Y, resume_from=path)
    assert again.t_ == whole.t_
    assert again.loss_curve_ == whole.loss_curve_
    np.testing.assert_array_equal(again.predict_proba(X), whole.predict_proba(X))
