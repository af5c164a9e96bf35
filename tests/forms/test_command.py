"""The command ``cmlp``: what it prints and writes, and that a user's mistake is one line."""

import csv
import io
import json
import os
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scripts
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples
from random_networks import cases
from scipy import sparse
from sklearn.base import clone

import cmlp
from cmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor
from cmlp._command import main

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Got `batch_size` less than 1"),
]
rng = np.random.default_rng(0)
X = rng.normal(size=(50, 3))
y = np.array(["low", 'mid, "dle"', "high"])[np.digitize(X[:, 0], [-0.5, 0.5])]
NAMES = ["age", "a, b", "Größe"]


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A saved classifier with names of features, in the current folder."""
    pd = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    est = MLPClassifier((4,), max_iter=3, random_state=0)
    est.fit(pd.DataFrame(X, columns=NAMES), y).save("model.safetensors")
    return est


def write(name, rows, delimiter=","):
    with open(name, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def called(capsys, *arguments):
    """What a call prints that has to succeed."""
    assert main([*map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert not err
    return out


def refused(capsys, *arguments, code=1):
    """The one line that a call says that cannot succeed."""
    assert main([*map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert err.startswith("cmlp: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err + out
    return err


def table(text):
    return list(csv.reader(io.StringIO(text)))


# info


def test_info(model, capsys):
    assert "3, 4, 3" in called(capsys, "info", "model.safetensors")
    about = json.loads(called(capsys, "info", "--json", "model.safetensors"))
    expected = {
        **{"estimator": "MLPClassifier", "layers": [3, 4, 3], "activations": ["relu", "softmax"]},
        **{"parameters": 3 * 4 + 4 + 4 * 3 + 3, "dtype": "float64", "classes": sorted(set(y))},
        **{"feature names": NAMES, "written by": f"cmlp {cmlp.__version__}"},
        "training": {"solver": "adam", "n_iter_": 3},
    }
    assert about.items() >= expected.items()


def test_info_of_other_kinds(tmp_path, capsys):
    quick = {"hidden_layer_sizes": (3,), "max_iter": 2}
    models = {
        "quantiles": MLPRegressor("quantile", **quick, quantile=[0.1, 0.9]).fit(X, X[:, 0]),
        "members": MLPClassifier(**quick, n_members=2).fit(X, y),
        "columns": MLPClassifier(**quick).fit(X, np.c_[y, y[::-1]]),
        "table": TabularMLPClassifier(**quick, n_members=2, n_folds=2).fit(X, y),
        "values": TabularMLPRegressor(**quick, n_members=1).fit(X, X[:, :2]),
        "unfitted": MLPClassifier(),
    }
    about = {}
    for name, est in models.items():
        if name != "unfitted":
            est.save(tmp_path / name)
            about[name] = json.loads(called(capsys, "info", "--json", tmp_path / name))
            called(capsys, "info", tmp_path / name)
    assert about["quantiles"]["quantiles"] == [0.1, 0.9]
    assert about["members"]["members"] == 2
    assert about["columns"]["classes"] == [sorted(set(y))] * 2
    assert about["table"]["networks"] == 2
    assert about["values"]["outputs"] == 2
    models["unfitted"].save(tmp_path / "unfitted")
    assert json.loads(called(capsys, "info", "--json", tmp_path / "unfitted"))["fitted"] is False
    assert "not fitted" in refused(capsys, "convert", "--to", "sklearn", tmp_path / "unfitted")


# predict


def test_predict_finds_columns_by_name(model, capsys):
    rows = [["Größe", "id", "age", "a, b"], *([c, "x", a, b] for a, b, c in X.tolist())]
    write("data.csv", rows)
    printed = table(called(capsys, "predict", "model.safetensors", "data.csv"))
    assert printed == [["prediction"], *([label] for label in model.predict(named(X)))]


def test_probabilities_are_those_of_predict_proba(model, capsys):
    write("data.csv", [NAMES, *X.tolist()])
    printed = table(called(capsys, "predict", "model.safetensors", "data.csv", "--proba"))
    assert printed[0] == [f"proba_{label}" for label in sorted(set(y))]
    expected = cmlp.load("model.safetensors").predict_proba(named(X))
    np.testing.assert_array_equal(np.array(printed[1:], dtype=float), expected)


def named(X):
    import pandas as pd

    return pd.DataFrame(X, columns=NAMES)


def test_blocks_delimiters_files_and_the_standard_input(model, capsys, monkeypatch):
    write("data.csv", [NAMES, *X.tolist()], delimiter=";")
    arguments = ("predict", "model.safetensors", "data.csv", "--delimiter", ";")
    whole = called(capsys, *arguments)
    monkeypatch.setattr("cmlp._command.BLOCK", 7)
    assert called(capsys, *arguments) == whole
    assert called(capsys, *arguments, "-o", "out.csv") == ""
    assert Path("out.csv").read_text(encoding="utf-8") == whole
    text = Path("data.csv").read_text(encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert called(capsys, "predict", "model.safetensors", "-", "--delimiter", ";") == whole
    raw = io.BytesIO("\ufeff".encode() + text.encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw, encoding="ascii"))
    assert called(capsys, "predict", "model.safetensors", "-", "--delimiter", ";") == whole
    # a mark at the beginning, an empty line, no end of the last line
    marked = "\ufeff" + text.replace("age", " age ").replace("\r\n", "\r\n\r\n", 3).rstrip()
    Path("data.csv").write_text(marked, encoding="utf-8")
    assert called(capsys, *arguments) == whole


@pytest.mark.slow
@examples(40)
@given(case=cases(), header=st.sampled_from([None, True, False]), proba=st.booleans())
def test_random_models(tmp_path_factory, capsys, case, header, proba):
    folder = tmp_path_factory.mktemp("model")
    est = case.fitted(cmlp)
    est.save(folder / "model")
    rows = case.X.astype(np.float64).tolist()
    names = [[f"x{j}" for j in range(case.X.shape[1])]]
    write(folder / "data.csv", rows if header is False else names + rows)
    arguments = ["predict", folder / "model", folder / "data.csv"]
    if header is not None:
        arguments.append("--header" if header else "--no-header")
    is_classifier = case.name == "MLPClassifier"
    expected = est.predict(case.X.astype(np.float64))
    if proba and is_classifier:
        arguments.append("--proba")
        expected = est.predict_proba(case.X.astype(np.float64))
    printed = table(called(capsys, *arguments))[1:]
    expected = expected.reshape(len(rows), -1)
    if expected.dtype.kind == "U":
        assert printed == expected.tolist()
    else:
        np.testing.assert_array_equal(np.array(printed, dtype=float), expected)


def test_titles_of_several_columns(tmp_path, capsys):
    quick = {"hidden_layer_sizes": (3,), "max_iter": 2}
    indicator = (X > 0).astype(int)
    columns = np.c_[y, y[::-1]]
    quantiles = MLPRegressor("quantile", **quick, quantile=[0.1, 0.9])
    labels = sorted(set(y))
    write(tmp_path / "data.csv", X.tolist())
    cases = [
        (
            MLPClassifier(**quick).fit(X, indicator),
            ["prediction_0", "prediction_1", "prediction_2"],
        ),
        (MLPClassifier(**quick).fit(X, sparse.csr_matrix(indicator)), ["prediction_0"]),
        (MLPClassifier(**quick).fit(X, columns), ["prediction_0", "prediction_1"]),
        (MLPRegressor(**quick).fit(X, X[:, :2]), ["prediction_0", "prediction_1"]),
        (clone(quantiles).fit(X, X[:, 0]), ["quantile_0.1", "quantile_0.9"]),
        (quantiles.fit(X, X[:, :2]), ["prediction_0_quantile_0.1", "prediction_0_quantile_0.9"]),
    ]
    for est, expected in cases:
        est.save(tmp_path / "model")
        printed = table(called(capsys, "predict", tmp_path / "model", tmp_path / "data.csv"))
        assert printed[0][: len(expected)] == expected
        predicted = est.predict(X)
        predicted = predicted.toarray() if sparse.issparse(predicted) else predicted
        assert len(printed[0]) == predicted.reshape(50, -1).shape[1]
        assert len(printed) == 51
    cases[0][0].save(tmp_path / "model")
    arguments = ("predict", tmp_path / "model", tmp_path / "data.csv", "--proba")
    assert table(called(capsys, *arguments))[0] == ["proba_0", "proba_1", "proba_2"]
    cases[2][0].save(tmp_path / "model")
    titles = [f"proba_{k}_{label}" for k in (0, 1) for label in labels]
    assert table(called(capsys, *arguments))[0] == titles


def same_values(printed, expected):
    if isinstance(expected[0], str):
        assert printed == expected
    else:
        np.testing.assert_allclose(np.array(printed, dtype=float), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", [TabularMLPClassifier, TabularMLPRegressor])
def test_raw_tables(tmp_path, capsys, kind):
    """Strings, numbers as categories, booleans, missing values, unknown levels."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "number": np.where(X[:, 0] > 1.5, np.nan, X[:, 0]),
            "job": np.array(["cook", "NA", "a, b", None], dtype=object)[np.arange(50) % 4],
            "code": pd.Categorical(np.array([3, 5, 7])[np.arange(50) % 3]),
            "size": pd.Categorical(np.array([0.5, 2.0])[np.arange(50) % 2]),
            "member": X[:, 1] > 0,
            "same": pd.Categorical(["x"] * 50),
        }
    )
    target = y if kind is TabularMLPClassifier else X[:, 0]
    est = kind((4,), max_iter=2, n_members=2, random_state=0).fit(frame, target)
    est.save(tmp_path / "model")
    arguments = ("predict", tmp_path / "model", tmp_path / "data.csv")
    frame.loc[0, "job"] = "unheard of"
    frame[["size", "same", "code", "job", "member", "number"]].to_csv(tmp_path / "data.csv")
    printed = table(called(capsys, *arguments))[1:]
    expected = est.predict(frame).tolist()
    same_values([row[0] for row in printed], expected)
    lines = (tmp_path / "data.csv").read_text().splitlines()
    (tmp_path / "data.csv").write_text("\n".join([lines[0], "0,2,x,3.0,cook,true,"]))
    row = pd.DataFrame(
        {"number": [np.nan], "job": "cook", "code": 3, "size": 2.0, "member": True, "same": "x"}
    )
    printed = table(called(capsys, *arguments))[1:]
    same_values(printed[0], est.predict(row).tolist())
    (tmp_path / "data.csv").write_text("\n".join([lines[0], "0,2,x,3,cook,True,much"]))
    assert "line 2: column 'number' is no number: 'much'" in refused(capsys, *arguments)


def test_tables_without_names(tmp_path, capsys):
    rows = np.array([["a", 1.0], ["b", 2.0]] * 20, dtype=object)
    est = TabularMLPClassifier((3,), max_iter=1, categorical_features=[0], n_members=1)
    est.fit(rows, np.arange(40) % 2).save(tmp_path / "model")
    arguments = ("predict", tmp_path / "model", tmp_path / "data.csv")
    for first in ([], [["letter", "number"]]):
        write(tmp_path / "data.csv", [*first, *rows.tolist()])
        assert len(table(called(capsys, *arguments))) == 41
    est.set_params(categorical_features=[0, 1]).fit(rows, np.arange(40) % 2).save(arguments[1])
    assert "--header or --no-header" in refused(capsys, *arguments)
    called(capsys, *arguments, "--header")


BAD_DATA = {
    "is empty": "",
    "has no column 'age', 'Größe'": 'a,"a, b"\n1,2\n',
    "several columns 'age'": 'age,age,"a, b",Größe\n1,2,3,4\n',
    "line 3: column 'age' is no number: 'x'": 'age,"a, b",Größe\n1,2,3\nx,2,3\n',
    "line 2: column 'Größe' is missing": 'age,"a, b",Größe\n1,2,\n',
    "line 3 has 2 cells, the first one 3": 'age,"a, b",Größe\n1,2,3\n1,2\n',
    "line 2:": 'age,"a, b",Größe\n1,"2,3\n',
    "line 2: column 'age' is no number: '1_0'": 'age,"a, b",Größe\n1_0,2,3\n',
    "--delimiter ';'": 'age;"a, b";Größe\n1;2;3\n',
    "--no-header": "1,2,3\n",
    "line 2: column 'a, b' is infinite": 'age,"a, b",Größe\n1,inf,3\n',
    "line 3: column 'a, b' is missing": 'age,"a, b",Größe\n1,2,3\n1,nan,3\n',
    "line 2: column 'age' is missing": 'age,"a, b",Größe\n#N/A N/A,2,3\n',
}


@pytest.mark.parametrize("words", BAD_DATA)
def test_bad_data(model, capsys, words):
    Path("data.csv").write_text(BAD_DATA[words], encoding="utf-8")
    Path("out.csv").write_text("before")
    assert words in refused(capsys, "predict", "model.safetensors", "data.csv", "-o", "out.csv")
    assert Path("out.csv").read_text() == "before"
    assert len(os.listdir()) == 3


def test_bad_files_and_arguments(model, capsys):
    write("data.csv", [NAMES, *X.tolist()])
    predict = partial(refused, capsys, "predict")
    assert "nowhere: No such file" in predict("nowhere", "data.csv")
    assert "nowhere.csv: No such file" in predict("model.safetensors", "nowhere.csv")
    assert "not a valid cmlp model file" in predict("data.csv", "data.csv")
    assert "Is a directory" in predict("model.safetensors", ".")
    assert "no/out.csv" in predict("model.safetensors", "data.csv", "-o", "no/out.csv")
    assert "itself" in predict("model.safetensors", "data.csv", "-o", "./data.csv")
    assert "one character" in predict("model.safetensors", "data.csv", "--delimiter", "ab")
    assert "no number" in predict("model.safetensors", "data.csv", "--no-header")
    write("wide.csv", [[1, 2, 3, 4]])
    words = predict("model.safetensors", "wide.csv", "--no-header")
    assert "wide.csv has 4 columns, the model reads 3: age" in words
    Path("bytes.csv").write_bytes(b"age\xff\n")
    assert "UTF-8" in predict("model.safetensors", "bytes.csv")
    MLPRegressor(hidden_layer_sizes=(2,), max_iter=1).fit(X, X[:, 0]).save("values")
    assert "--proba is for classifiers" in predict("values", "data.csv", "--proba")
    for wrong in ([], ["inform"], ["info"], ["convert", "model.safetensors"], ["predict", "a"]):
        with pytest.raises(SystemExit, match="2"):
            main(wrong)
    for asked in (["--help"], ["--version"], ["predict", "--help"]):
        with pytest.raises(SystemExit, match="0"):
            main(asked)


# convert


def test_convert_to_sklearn(model, capsys):
    sio = pytest.importorskip("skops.io")
    printed = called(capsys, "convert", "model.safetensors", "--to", "sklearn")
    assert printed == "model.skops\n"
    assert sio.get_untrusted_types(file="model.skops") == []
    loaded = sio.load("model.skops")
    np.testing.assert_array_equal(loaded.predict(named(X)), model.predict(named(X)))
    before = Path("model.skops").read_bytes()
    MLPClassifier((2,), dropout=0.1, max_iter=1).fit(X, y).save("drops")
    TabularMLPClassifier((2,), max_iter=1).fit(X, y).save("table")
    convert = partial(refused, capsys, "convert", "--to", "sklearn", "-o", "model.skops")
    assert "dropout=0.1" in convert("drops")
    assert "TabularMLPClassifier" in convert("table")
    assert Path("model.skops").read_bytes() == before
    called(capsys, "convert", "--to", "sklearn", "drops", "--predict-only", "-o", "d.skops")
    refuse = partial(refused, capsys, "convert", "--to", "sklearn", "model.safetensors")
    assert "pickle" in refuse("-o", "model.pkl")
    assert "itself, which would be" in refuse("-o", "model.safetensors")
    assert "no/model.skops" in refuse("-o", "no/model.skops")
    assert "--name" in refuse("--name", "net")
    assert cmlp.load("model.safetensors")


@pytest.mark.parametrize("form", ["onnx", "c"])
def test_convert_to_other_forms(model, capsys, form):
    if not hasattr(model, f"to_{form}"):
        words = refused(capsys, "convert", "model.safetensors", "--to", form)
        assert f"no form {form}" in words
        pytest.skip(f"this cmlp has no to_{form}")
    if form == "onnx":
        pytest.importorskip("onnx")
    arguments = ("convert", "model.safetensors", "--to", form)
    assert called(capsys, *arguments) == f"model.{form}\n"
    assert Path(f"model.{form}").stat().st_size
    if form == "c":
        called(capsys, *arguments, "--name", "net", "-o", "net.c")
        assert "net" in Path("net.c").read_text()
        assert "--name" not in refused(capsys, *arguments, "--name", "1 net")
    else:
        assert "--name" in refused(capsys, *arguments, "--name", "net")
    assert "--predict-only" in refused(capsys, *arguments, "--predict-only")


def test_convert_without_skops(model, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops.io", None)
    words = refused(capsys, "convert", "model.safetensors", "--to", "sklearn")
    assert "pip install skops" in words


COMMAND = "import sys; from cmlp._command import main; sys.exit(main())"


@pytest.mark.slow
def test_pipes_and_programs(model):
    write("data.csv", [NAMES, *(100 * X.tolist())])
    done = scripts.run(COMMAND, "predict", "model.safetensors", "nowhere.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cmlp: nowhere.csv: No such file or directory\n"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "predict", "model.safetensors", "data.csv"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "prediction\n"
    process.stdout.close()  # head has seen enough
    assert process.stderr.read() == ""
    assert process.wait(60) in (0, 141)  # 0 if the pipe held it all
    Path("program.py").write_text(
        "from sklearn.neural_network import MLPClassifier\n"
        "print(MLPClassifier.__module__.partition('.')[0])\n"
    )
    assert scripts.output_of(COMMAND, "run", "program.py") == "cmlp\n"


def test_the_entry_point_is_there():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"cmlp": "cmlp._command:main"}
