"""Estimators for tables as ONNX and C: missing values, categories, bins, members and folds."""

import os
from copy import copy

import numpy as np
import pytest
import test_c
import test_onnx
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples
from random_models import LABELS
from sklearn.exceptions import NotFittedError

from cmlp import TabularMLPClassifier, TabularMLPRegressor

pd = pytest.importorskip("pandas")

RANDOM = examples(40)
N = 60
#: Kinds of columns, from random numbers.
COLUMNS = {
    "number": lambda random: random.normal(size=N) * 10.0 ** random.integers(-3, 6),
    "integer": lambda random: random.integers(5, size=N),
    "two values": lambda random: random.integers(2, size=N) * 3.5,
    "boolean": lambda random: random.random(N) > 0.5,
    "constant": lambda random: np.full(N, 2.0),
    "missing": lambda random: np.where(random.random(N) < 0.3, np.nan, random.normal(size=N)),
    "few words": lambda random: random.choice(["ä", "b c", None, "?"], N),
    "words": lambda random: random.choice([None, *(f"w{i}" for i in range(20))], N),
    "numbers as categories": lambda random: pd.Categorical(random.integers(12, size=N) / 2),
    "flags as categories": lambda random: pd.Categorical(random.random(N) > 0.5),
}


@st.composite
def tables(draw):
    """A fitted estimator, and a table to predict for with levels that fit has not seen."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=5))
    table = pd.DataFrame({f"{i} {kind}": COLUMNS[kind](random) for i, kind in enumerate(kinds)})
    params = {
        "hidden_layer_sizes": draw(st.lists(st.integers(1, 8), max_size=2)),
        "n_members": draw(st.integers(1, 3)),
        "n_folds": draw(st.sampled_from([1, 1, 2])),
        "n_bins": draw(st.integers(0, 6)),
        "embedding": draw(st.integers(1, 3)),
        "max_one_hot": draw(st.integers(0, 8)),
        "max_iter": 2,
        "random_state": 0,
    }
    target = draw(st.sampled_from([*LABELS, "value", "values", "counts"]))
    if target in LABELS and target not in ("one class", "columns", "columns of two kinds"):
        y = LABELS[target](random.integers(5, size=(N, 3)))
        est = TabularMLPClassifier(**params)
    else:
        y = random.gamma(2, size=(N, 2)) * 100 if target == "values" else random.gamma(2, size=N)
        loss = "poisson" if target == "counts" else "squared_error"
        est = TabularMLPRegressor(loss=loss, **params)
    est.fit(table, y)
    other = table.copy()
    for name in other.columns:
        rows = random.random(N) < 0.1
        if "words" in name:
            other.loc[rows, name] = "never seen"
        elif "number" in name and "categories" not in name:
            other.loc[rows, name] *= 3
    return est, other


def inputs_of(session, table):
    """The table as ONNX Runtime takes it."""
    inputs = session.get_inputs()
    if [one.name for one in inputs] == ["X"]:
        return {"X": table.to_numpy(dtype=np.float64, na_value=np.nan)}
    found = {}
    for one in inputs:
        column = table[one.name].astype(object)
        if one.type == "tensor(string)":
            values = column.where(column.notna(), "").to_numpy(dtype=object)
        else:
            values = column.to_numpy(dtype=np.float64)
        found[one.name] = values.reshape(-1, 1)
    return found


def as_codes(est, table):
    """The table as C takes it."""
    X = np.full(table.shape, np.nan)
    categories = {one.source: one for one in est._encoder.categories}
    for j, name in enumerate(table):
        codes = getattr(categories.get(j), "codes", {})
        values = table[name].astype(object)
        if any(isinstance(level, str) for level in codes):
            values = [np.nan if pd.isna(value) else codes.get(value, -1) for value in values]
        X[:, j] = pd.to_numeric(values, errors="coerce")
    return X


@pytest.mark.slow
@given(model=tables())
@RANDOM
def test_random_tables_as_onnx(model):
    est, table = model
    session = test_onnx.session_of(est.to_onnx())
    names = [one.name for one in session.get_outputs()]
    found = dict(zip(names, session.run(names, inputs_of(session, table)), strict=True))
    test_onnx.check_model(est, table, found, 4e-6)


@pytest.mark.slow
@given(model=tables())
@RANDOM
def test_random_tables_as_c(model, tmp_path_factory):
    est, table = model
    c = test_c.compiled(est, tmp_path_factory.mktemp("c"))
    test_c.check_model(est, table, c.rows(as_codes(est, table)), 4e-6)


def in_double(est, table):
    """Probabilities or values, all computed in float64."""
    A = est._encoder.transform(table, np.float64)
    networks = [copy(network).set_params(dtype="float64") for network in est.estimators_]
    if isinstance(est, TabularMLPClassifier):
        return np.mean([network.predict_proba(A) for network in networks], axis=0)
    y = np.mean([network.predict(A) for network in networks], axis=0)
    return (y * est._scales["scale"] + est._scales["shift"]).reshape(len(A), -1)


@pytest.mark.slow
@given(model=tables())
@examples(20)
def test_nothing_undefined_happens_for_any_row(model, tmp_path_factory):
    est, table = model
    folder = tmp_path_factory.mktemp("c")
    est.to_c(folder / "model.c")
    c = test_c.Compiled(folder / "model.c", folder, *test_c.SANITIZED)
    for value in (np.nan, np.inf, -np.inf, 1e300, -1e300, -1.0, 0.5, 1e9):
        c.rows(np.full((1, table.shape[1]), value))


@pytest.mark.slow
@given(model=tables())
@RANDOM
def test_random_tables_in_double(model, tmp_path_factory):
    est, table = model
    expected = in_double(est, table)
    session = test_onnx.session_of(est.to_onnx(dtype="float64"))
    name = "probabilities" if isinstance(est, TabularMLPClassifier) else "variable"
    found = session.run([name], inputs_of(session, table))[0]
    atol = 1e-12 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, atol=atol)
    c = test_c.compiled(est, tmp_path_factory.mktemp("c"), dtype="float64")
    np.testing.assert_allclose(c.rows(as_codes(est, table))[0], expected, atol=atol)


def made(**params):
    """A classifier of a small table with strings, and the table."""
    random = np.random.default_rng(0)
    table = pd.DataFrame({name: COLUMNS[kind](random) for name, kind in NAMED.items()})
    params = {"hidden_layer_sizes": 4, "max_iter": 2, "n_members": 2, "random_state": 0} | params
    y = np.where(table["a"] > 0, "low", "high")
    return TabularMLPClassifier(**params).fit(table, y), table


NAMED = {"a": "missing", "job": "few words", "c": "constant", "code": "words"}


def test_inputs_of_onnx_are_the_columns_that_are_read():
    est, table = made()
    model = est.to_onnx()
    inputs = {one.name: one.type for one in test_onnx.session_of(model).get_inputs()}
    assert inputs == {"a": "tensor(double)", "job": "tensor(string)", "code": "tensor(string)"}
    est.fit(table[["a", "c"]], table["a"] > 0)
    session = test_onnx.session_of(est.to_onnx())
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("X", ["N", 2])]


def test_an_array_with_numbers_as_categories(tmp_path):
    random = np.random.default_rng(0)
    X = random.integers(20, size=(N, 3)) / 2.0
    X[::7] = np.nan
    est = TabularMLPRegressor((5,), categorical_features=[1], max_iter=2, random_state=0)
    est.fit(X, random.normal(size=N))
    X[5] = [3, 999, -1e300]
    p = est.predict(X)
    found = test_onnx.outputs(est.to_onnx(), X)["variable"]
    np.testing.assert_allclose(found[:, 0], p, atol=4e-6)
    np.testing.assert_allclose(test_c.compiled(est, tmp_path).rows(X)[0][:, 0], p, atol=4e-6)


def test_a_table_of_which_nothing_is_read(tmp_path):
    X = np.ones((N, 2))
    est = TabularMLPRegressor((5,), max_iter=2, random_state=0).fit(X, np.arange(N))
    X[3] = np.nan
    found = test_onnx.outputs(est.to_onnx(), X)["variable"][:, 0]
    np.testing.assert_allclose(found, est.predict(X), rtol=1e-6)
    y, _ = test_c.compiled(est, tmp_path).rows(X)
    np.testing.assert_allclose(y[:, 0], est.predict(X), rtol=1e-6)


def test_what_onnx_cannot_hold_is_refused_by_name():
    table = made()[1]
    y = table["job"] == "ä"
    for name in ("label", "probabilities_3", ""):
        est = TabularMLPClassifier((4,), max_iter=2).fit(table.rename(columns={"a": name}), y)
        with pytest.raises(ValueError, match=f"cannot hold a feature named {name!r}"):
            est.to_onnx()
    for values, message in (
        ([1, "one"], r"strings and numbers in one column.*feature 'a'"),
        (["", None], r"missing values beside empty strings.*feature 'a'"),
    ):
        column = pd.Series(values * (N // 2), dtype=object)
        est = TabularMLPClassifier((4,), max_iter=2).fit(table.assign(a=column), y)
        with pytest.raises(ValueError, match=message):
            est.to_onnx()
    with pytest.raises(ValueError, match=r"cannot hold hidden_layer=0 of .* n_members"):
        est.to_onnx(hidden_layer=0)


def test_a_c_file_says_the_codes_of_categories(tmp_path):
    est, table = made(max_one_hot=2)
    c = test_c.compiled(est, tmp_path)
    text = (tmp_path / "model.c").read_text()
    for line in ("features, NAN where a value is missing", '[1] "job": a code, or -1', '0 "'):
        assert line in text
    assert c.rows(as_codes(est, table))[1] == est.predict(table).tolist()


def test_quantizing_a_table(tmp_path):
    est, table = made(n_folds=2, hidden_layer_sizes=(20, 20), max_iter=30)
    error = est.quantization_error(table)
    assert 0 < error.largest < 0.05
    y, _ = test_c.compiled(est, tmp_path, quantize="int8").rows(as_codes(est, table))
    found = np.abs(y - est.predict_proba(table)).max()
    assert found == pytest.approx(error.largest, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("target", test_c.COMPILERS)
def test_without_a_warning(target, tmp_path):
    command, *flags = test_c.COMPILERS[target]
    command = test_c.compiler(command)
    for params in ({}, {"n_folds": 2, "max_one_hot": 0}, {"n_bins": 0, "hidden_layer_sizes": ()}):
        made(**params)[0].to_c(tmp_path / "model.c")
        test_c.run(command, *flags, "-c", tmp_path / "model.c", "-o", tmp_path / "model.o")


@pytest.mark.slow
def test_on_avr(tmp_path):
    """Where double is as wide as float."""
    est, table = made(max_one_hot=2)
    p = est.predict_proba(table)[:9]
    rows = as_codes(est, table)[:9]
    y = test_c.outputs_on_avr(est, rows, p.shape, tmp_path, X="double")
    np.testing.assert_allclose(y, p, atol=1e-5)


def test_before_fit(tmp_path):
    for call in (
        lambda est: est.to_onnx(),
        lambda est: est.to_c(tmp_path / "model.c"),
        lambda est: est.quantization_error([[1.0]]),
    ):
        with pytest.raises(NotFittedError):
            call(TabularMLPClassifier())
    assert not os.listdir(tmp_path)
