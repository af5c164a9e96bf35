"""Model files that were damaged or made by a hostile hand: a ValueError, or a model that works.

``CMLP_MUTATIONS=20000`` is the long run.
"""

import copy
import json
import os
import struct
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from sklearn import neural_network
from test_files import CASES, NAMES, X, Y, small

import cmlp
from cmlp import Checkpoint, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


PARTS = ("params", "attributes", "training")


def rewrite(path, change):
    """The file with its metadata changed, as a hostile hand would."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header["__metadata__"]
    parts = {part: json.loads(metadata[part]) for part in PARTS if part in metadata}
    change(metadata, parts)
    metadata |= {part: json.dumps(value) for part, value in parts.items() if part in metadata}
    coded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(coded)) + coded + content[8 + length :])


HOSTILE = {
    "later version": lambda m, p: m.update(format_version="2"),
    "no version": lambda m, p: m.pop("format_version"),
    "other format": lambda m, p: m.update(format="torch"),
    "unknown estimator": lambda m, p: m.update(estimator="Popen"),
    "no parameters": lambda m, p: m.pop("params"),
    "bad parameter": lambda m, p: p["params"].update(alpha=-1),
    "unknown parameter": lambda m, p: p["params"].update(alfa=1),
    "method": lambda m, p: p["attributes"].update(predict_=1, predict="x"),
    "private": lambda m, p: p["attributes"].update(_parameters=1),
    "dunder": lambda m, p: p["attributes"].update(__class__="x"),
    "missing tensor": lambda m, p: p["attributes"].update(coefs_=[{"tensor": "gone"}]),
    "no biases": lambda m, p: p["attributes"].pop("intercepts_"),
    "wrong shapes": lambda m, p: p["attributes"]["coefs_"].reverse(),
    "wrong units": lambda m, p: p["attributes"].update(n_features_in_=10**15),
    "classes": lambda m, p: p["attributes"].update(classes_=None),
    "activation": lambda m, p: p["attributes"].update(out_activation_="system"),
    "unknown kind": lambda m, p: p["attributes"].update(loss_={"pickle": "x"}),
    "huge item": lambda m, p: p["attributes"].update(
        classes_={"array": "U999999999", "shape": [1], "items": ["x"]}
    ),
    "deep": lambda m, p: m.update(params="[" * 100_000) or p.pop("params"),
}


def resized(tensor, header, shape, offsets=None):
    header[tensor]["shape"] = shape
    header[tensor]["data_offsets"] = offsets or header[tensor]["data_offsets"]


def all_at_one_place(header):
    for tensor, about in header.items():
        if tensor != "__metadata__":
            about["data_offsets"] = header["loss_curve_"]["data_offsets"]


#: Headers as text, or changes of the whole, and bytes that are claimed to be the header's
HEADERS = {
    "longer than the file": (None, 10**8),
    "longer than memory": (None, 2**63),
    "negative length": (None, 2**64 - 1),
    "deep": ('{"a":' * 50_000 + "1" + "}" * 50_000, None),
    "list": ("[" * 10**6, None),
    "nothing": ("{}", None),
    "half a character": ('{"__metadata__":{"format":"\\ud800"}}', None),
    "byte order mark": ("\ufeff{}", None),
    "twice": ('{"__metadata__":{"format":"cmlp"},"__metadata__":{"format":"cmlp"}}', None),
    "not a number": ('{"__metadata__":{"format":NaN}}', None),
    "huge shape": (lambda h: resized("loss_curve_", h, [2**40, 2**40]), None),
    "too large a number": (lambda h: resized("loss_curve_", h, [2**64]), None),
    "negative shape": (lambda h: resized("loss_curve_", h, [-1]), None),
    "empty and huge": (lambda h: resized("loss_curve_", h, [0, 2**60], [0, 0]), None),
    "backwards": (lambda h: resized("loss_curve_", h, [3], [24, 0]), None),
    "all at one place": (all_at_one_place, None),
}


@pytest.mark.parametrize(("change", "length"), HEADERS.values(), ids=HEADERS)
def test_hostile_headers(tmp_path, change, length):
    path = tmp_path / "model"
    small(MLPClassifier).fit(X, NAMES[Y]).save(path)
    content = path.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = content[8:end]
    if isinstance(change, str):
        header = change.encode()
    elif change is not None:
        changed = json.loads(header)
        change(changed)
        header = json.dumps(changed).encode()
    path.write_bytes(struct.pack("<Q", length or len(header)) + header + content[end:])
    with pytest.raises(ValueError, match="is not a valid cmlp model file"):
        cmlp.load(path)


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_hostile_metadata(tmp_path, change):
    path = tmp_path / "model"
    small(MLPClassifier).fit(X, NAMES[Y]).save(path)
    rewrite(path, change)
    with pytest.raises(ValueError, match="is not a valid cmlp model file"):
        cmlp.load(path)


def mutated(content, rng):
    """Bytes changed, cut out, doubled or cut off, most of them in the header."""
    content = bytearray(content)
    (length,) = struct.unpack("<Q", content[:8])
    for _ in range(rng.integers(1, 4)):
        end = len(content) if rng.random() < 0.2 else min(8 + length, len(content))
        at = int(rng.integers(0, max(1, end)))
        what = rng.integers(0, 5)
        if what == 0 and at < len(content):
            content[at] = rng.integers(0, 256)
        elif what == 1 and at < len(content):
            content[at] ^= 1 << int(rng.integers(0, 8))
        elif what == 2:
            del content[at : at + int(rng.integers(1, 9))]
        elif what == 3:
            content[at:at] = content[at : at + int(rng.integers(1, 9))]
        else:
            content = content[: int(rng.integers(0, len(content) + 1))]
    return bytes(content)


def test_mutated_files(tmp_path):
    """A clear error or a model that predicts."""
    n = int(os.environ.get("CMLP_MUTATIONS", "400"))
    rng = np.random.default_rng(0)
    path = tmp_path / "model"
    contents = []
    for name in ("strings", "regression", "multilabel"):
        est, y = CASES[name]
        est.fit(X, y).save(path)
        contents.append(path.read_bytes())
    refused = 0
    for i in range(n):
        path.write_bytes(mutated(contents[i % len(contents)], rng))
        try:
            est = cmlp.load(path)
        except ValueError as error:
            if "is not a valid cmlp model file" not in str(error):
                raise
            refused += 1
            continue
        if hasattr(est, "coefs_"):
            assert len(est.predict(X[:2])) == 2
    assert 0 < refused < n


# Values that are not what their names say


def put(name, value):
    return lambda m, p: p["attributes"].update({name: value})


def take(name):
    return lambda m, p: p["attributes"].pop(name)


def of_labels(name, value):
    return lambda m, p: p["attributes"]["_label_binarizer"]["LabelBinarizer"].update({name: value})


def all_gone_but(*kept):
    def change(m, p):
        for name in p["attributes"].keys() - set(kept):
            del p["attributes"][name]

    return change


COUNTS = ("n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "_no_improvement_count")
REALS = ("loss_", "best_loss_")
WRONG = {
    **{f"{n} {v!r}": put(n, v) for n in COUNTS for v in ("x", -1, None, 1.5, True, 10**30)},
    **{f"{name} {value!r}": put(name, value) for name in REALS for value in ("x", [], 10**4000)},
    **{f"no {name}": take(name) for name in (*COUNTS, *REALS, "loss_curve_", "out_activation_")},
    "no loss": put("loss_", None),
    "no curve": put("loss_curve_", None),
    "curve of strings": put("loss_curve_", ["x"]),
    "scores without a best one": put("validation_scores_", [0.5]),
    "a best score without others": put("best_validation_score_", 0.5),
    "dropout of nothing": put("_dropout_state", []),
    "dropout of one": put("_dropout_state", {"tuple": [1]}),
    "dropout of strings": put("_dropout_state", {"tuple": ["a", "b"]}),
    "dropout below zero": put("_dropout_state", {"tuple": [-1, 2]}),
    "dropout of a large number": put("_dropout_state", {"tuple": [2**64, 2]}),
    "weights of lists": put("intercepts_", [[0.0] * 5, [0.0] * 3]),
    "one array twice": lambda m, p: put("coefs_", 2 * p["attributes"]["coefs_"][:1])(m, p),
    "nothing but classes": all_gone_but("classes_", "_label_binarizer"),
    "no weights": take("coefs_"),
    "no labels": take("_label_binarizer"),
    "no classes": take("classes_"),
    "classes that are not sorted": put("classes_", {"array": "U1", "shape": [3], "items": "bac"}),
    "classes of lists": put("classes_", {"array": "O", "shape": [3], "items": [[1], [2], [3]]}),
    "classes in a list": lambda m, p: put("classes_", [p["attributes"]["classes_"]])(m, p),
    "names of wrong length": put("feature_names_in_", {"array": "O", "shape": [1], "items": "x"}),
    "binary": of_labels("y_type_", "binary"),
    "several columns": of_labels("y_type_", "multiclass-multioutput"),
    "a list as kind of labels": of_labels("y_type_", ["multiclass"]),
    "sparse labels": of_labels("sparse_input_", True),
    "sparse output": of_labels("sparse_output", True),
    "other labels": of_labels("neg_label", -1),
    "no label": of_labels("pos_label", None),
    "labels of columns": put("_label_binarizer", {"MultioutputBinarizer": []}),
    "a long double": put("loss_", {"scalar": "float128", "value": 1.0}),
    "format with spaces": lambda m, p: m.update(format_version=" 1 "),
    "keys of large numbers": put("note_", {"dict": [[2**80, 0]]}),
    "keys of tuples": put("note_", {"dict": [[{"tuple": [1]}, 0]]}),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_wrong_values(tmp_path, change):
    path = tmp_path / "model"
    small(MLPClassifier, dropout=0.2).fit(X, NAMES[Y]).save(path)
    cmlp.load(path)
    rewrite(path, change)
    with pytest.raises(ValueError, match="is not a valid cmlp model file"):
        cmlp.load(path)


@pytest.mark.parametrize("quantiles", [["x", "y"], [0.5, 2.0], [[0.1, 0.9]], None, []])
def test_wrong_quantiles(tmp_path, quantiles):
    path = tmp_path / "model"
    small(MLPRegressor, loss="quantile", quantile=[0.1, 0.9]).fit(X, X[:, 0]).save(path)
    rewrite(path, put("quantiles_", quantiles))
    with pytest.raises(ValueError, match="is not a valid cmlp model file"):
        cmlp.load(path)


#: position, has_gauss, gauss of a generator; NumPy reads where the position says
GENERATORS = [
    *([position, 0, 0.0] for position in (-5, 625, 10**8, 2**40, 1.0, "1", None, True)),
    *([1, has_gauss, 0.0] for has_gauss in (2, None)),
    [1, 0, "x"],
    [1, 0],
]


@pytest.mark.parametrize("rest", GENERATORS, ids=repr)
def test_generators(tmp_path, rest):
    """Of a parameter, and of a checkpoint."""
    path = tmp_path / "model"
    small(MLPClassifier, random_state=np.random.RandomState(0)).save(path)
    rewrite(path, lambda m, p: p["params"]["random_state"].update(rest=rest))
    with pytest.raises(ValueError, match="is not a valid cmlp model file"):
        cmlp.load(path)
    est = small(MLPClassifier)
    copy.copy(est).fit(X, Y, checkpoint=Checkpoint(path))
    rewrite(path, lambda m, p: p["training"]["random_state"].update(rest=rest))
    with pytest.raises(ValueError, match="is not a valid cmlp model file"):
        est.fit(X, Y, resume_from=path)
    assert not hasattr(est, "coefs_")


def methods(est):
    """What a model that was loaded is asked for, by name."""
    rows = X[:, : est.n_features_in_] if hasattr(est, "n_features_in_") else X
    y = X[:, 0] if isinstance(est, MLPRegressor) else Y
    with_y = {"partial_fit", "fit", "score"}
    names = ["predict", "predict_proba", "transform", "partial_fit", "fit", "score"]
    for name in names:
        if hasattr(est, name):
            yield lambda name=name: getattr(est, name)(rows, *([y] if name in with_y else []))


VALUES = [None, True, 0, 1, -1, 2**63, 10**400, 0.5, {"float": "nan"}, {"float": "-inf"}, "x", ""]
VALUES += [[], [1], ["x"], {"tuple": []}, {"tuple": [1, 2]}, {"dict": []}, {"dict": [[1, 2]]}]
VALUES += [{"array": "U1", "shape": [2], "items": ["a", "b"]}, {"tensor": "loss_curve_"}]
VALUES += [{"scalar": "int8", "value": 3}, {"array": "O", "shape": [1], "items": [None]}]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["multiclass", "binary", "multilabel", "columns", "quantiles"])
@pytest.mark.filterwarnings("ignore")
def test_any_attribute_may_be_anything(name, tmp_path):
    """What is loaded answers, or raises an error that is meant for its user."""
    est, y = CASES[name]
    path = tmp_path / "model"
    est.fit(X, y).save(path)
    content = path.read_bytes()
    attributes = [key for key in vars(est) if key.endswith("_") and key in vars(cmlp.load(path))]
    n_loaded = 0
    for attribute in [*attributes, "_label_binarizer", "_no_improvement_count", "_dropout_state"]:
        for value in VALUES:
            path.write_bytes(content)
            rewrite(path, put(attribute, value))
            try:
                loaded = cmlp.load(path)
            except ValueError:
                continue
            n_loaded += 1
            for call in methods(loaded):
                with suppress(ValueError):
                    call()
            loaded.save(path)
    assert 0 < n_loaded < len(attributes) * len(VALUES) / 3


# Small files that would become large


def test_strings_that_are_as_long_as_the_longest(tmp_path):
    path = tmp_path / "model"
    small(MLPClassifier).fit(X, NAMES[Y]).save(path)
    items = ["x" * 20_000, *[""] * 20_000]
    many = {"array": "U20000", "shape": [20_001], "items": items}
    rewrite(path, put("note_", many))
    tracemalloc.start()
    try:
        assert cmlp.load(path).note_.dtype == object
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_a_tensor_is_read_once(tmp_path):
    path = tmp_path / "model"
    small(MLPClassifier).fit(X, NAMES[Y]).save(path)
    rewrite(path, put("note_", 1000 * [{"tensor": "loss_curve_"}]))
    with pytest.raises(ValueError, match="'loss_curve_' is missing"):
        cmlp.load(path)


# What a model may be, and is written


@pytest.mark.parametrize("labels", ["U6", "U100", "shorter"])
def test_columns_of_strings_of_different_lengths(labels, tmp_path):
    path = tmp_path / "model"
    y = np.array([["yellow", "s"], ["red", "m"], ["blue", "l"]])[Y]
    y = y if labels == "shorter" else y.astype(labels)
    est = small(MLPClassifier).fit(X, y, checkpoint=Checkpoint(path))
    again = small(MLPClassifier).fit(X, y, resume_from=path)
    np.testing.assert_array_equal(again.predict_proba(X), est.predict_proba(X))
    est.save(path)
    loaded = cmlp.load(path)
    assert loaded.predict(X).dtype == est.predict(X).dtype == "U6"
    np.testing.assert_array_equal(loaded.predict(X), est.predict(X))


def test_models_that_others_made(tmp_path):
    """scikit-learn's attributes, an older cmlp's, tuples, what a user added to an unfitted one."""
    path = tmp_path / "model"
    theirs = neural_network.MLPClassifier((5,), max_iter=3, random_state=0).fit(X, NAMES[Y])
    est = small(MLPClassifier)
    vars(est).update({k: v for k, v in vars(theirs).items() if k[-1] == "_" or k[0] == "_"})
    est.coefs_, est.intercepts_ = tuple(est.coefs_), tuple(est.intercepts_)
    est.save(path)
    loaded = cmlp.load(path)
    np.testing.assert_array_equal(loaded.predict(X), theirs.predict(X))
    loaded.partial_fit(X, NAMES[Y])
    loaded.coefs_ = [coef.astype(np.float16) for coef in loaded.coefs_]
    loaded.intercepts_ = [intercept.astype(np.float16) for intercept in loaded.intercepts_]
    expected = loaded.predict_proba(X)
    loaded.save(path)
    np.testing.assert_array_equal(cmlp.load(path).predict_proba(X), expected)
    est = small(MLPClassifier)
    est.note_ = 3
    est.save(path)
    assert cmlp.load(path).fit(X, Y).note_ == 3


@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_options_changed_between_fit_and_save(params, tmp_path):
    """Also of NumPy's types; what is loaded is trained on."""
    path = tmp_path / "model"
    for other in ({"solver": "lbfgs"}, {"solver": "sgd"}, {"early_stopping": True}):
        est = small(MLPClassifier, max_iter=np.int64(4), **params).fit(X, Y)
        expected = est.predict_proba(X)
        est.set_params(early_stopping=False).set_params(**other, warm_start=True).save(path)
        loaded = cmlp.load(path)
        np.testing.assert_array_equal(loaded.predict_proba(X), expected)
        loaded.fit(X, Y)


def test_long_doubles(tmp_path):
    """The numbers that scikit-learn's arithmetic makes of them; there is nothing longer inside."""
    path, y = tmp_path / "model", X[:, 0].astype(np.longdouble)
    est = small(MLPRegressor, alpha=np.longdouble(0.5)).fit(X, y, checkpoint=Checkpoint(path))
    resumed = small(MLPRegressor, alpha=0.5).fit(X, y, resume_from=path)
    est.save(path)
    loaded = cmlp.load(path)
    assert loaded.alpha == 0.5
    assert loaded.loss_ == est.loss_
    np.testing.assert_array_equal(loaded.predict(X), est.predict(X))
    assert resumed.loss_ == est.loss_


@pytest.mark.parametrize("what", ["attribute", "labels"])
def test_what_a_checkpoint_cannot_hold_is_told_before_training(what, tmp_path):
    est, y = small(MLPClassifier), Y
    if what == "attribute":
        est.note_ = object()
    else:
        y = np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[D]")[Y]
    with pytest.raises(TypeError, match="A model file cannot hold"):
        est.fit(X, y, checkpoint=Checkpoint(tmp_path / "state", every=3))
    assert not hasattr(est, "coefs_")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="names and permissions of POSIX")
def test_names_as_long_as_they_may_be(tmp_path):
    path = tmp_path / ("x" * 250)
    small(MLPRegressor).save(path)
    path.chmod(0o444)
    small(MLPRegressor, alpha=0.5).save(path)
    assert cmlp.load(path).alpha == 0.5
    assert os.listdir(tmp_path) == [path.name]
