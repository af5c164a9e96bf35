"""C files of fitted estimators, compiled here and for other machines: outputs, labels, errors.

A test whose compiler is not installed is skipped; ``make cross`` installs all of them.
"""

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from profiles import examples
from random_models import HIDDEN, LABELS, LOSSES, models
from sklearn.base import is_classifier
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from cmlp import MLPClassifier, MLPRegressor
from cmlp._deviation import with_quantized_weights

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RANDOM = examples(60)
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
C99 = ["-std=c99", *STRICT]
X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
TYPES = {"float": ctypes.c_float, "double": ctypes.c_double, "int": ctypes.c_int}
TYPES |= {"long": ctypes.c_long, "long long": ctypes.c_longlong, "const char *": ctypes.c_char_p}


def compiler(name):
    """The path of a compiler, or the test is skipped."""
    path = shutil.which(name)
    if path is None:
        assert not os.environ.get("CMLP_CROSS"), f"there is no {name}"
        pytest.skip(f"there is no {name}: make cross installs it")
    return path


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


class Compiled:
    """The functions of a C file, for rows of X."""

    def __init__(self, path, folder, *flags):
        library = Path(tempfile.mkdtemp(dir=folder)) / "model.so"  # none is mapped twice
        run(compiler("gcc"), *C99, "-O1", "-shared", "-fPIC", *flags, path, "-o", library, "-lm")
        functions = ctypes.CDLL(str(library))
        text = path.read_text()
        self.x, n, self.y, n_y = re.search(
            r"void model\(const (\w+) x\[(\d+)\], (\w+) y\[(\d+)\]\);", text
        ).groups()
        self.n_features, self.n_outputs = int(n), int(n_y)
        self.predicts = functions.model
        label = re.search(r"^(\w[\w *]*?)model_label\((.*)\);", text, re.M)
        self.labels = None
        if label is not None:
            self.labels = functions.model_label
            columns = re.search(r"\], (.*?)label\[(\d+)\]", label[2])
            self.n_columns = int(columns[2]) if columns else 0
            self.kind = TYPES[(columns or label)[1].strip()]
            self.labels.restype = None if columns else self.kind

    def rows(self, X):
        """y for each row, and labels or None."""
        X = np.ascontiguousarray(X, dtype=TYPES[self.x])
        y = np.empty((len(X), self.n_outputs), dtype=TYPES[self.y])
        labels = []
        for row, of_row in zip(X, y, strict=True):
            self.predicts(ctypes.c_void_p(row.ctypes.data), ctypes.c_void_p(of_row.ctypes.data))
            if self.labels is None:
                continue
            if self.n_columns:
                found = (self.kind * self.n_columns)()
                self.labels(ctypes.c_void_p(row.ctypes.data), found)
                labels.append([decoded(one) for one in found])
            else:
                labels.append(decoded(self.labels(ctypes.c_void_p(row.ctypes.data))))
        return y, labels


def decoded(label):
    return label.decode() if isinstance(label, bytes) else label


def compiled(est, tmp_path, **options):
    path = tmp_path / "model.c"
    est.to_c(path, **options)
    return Compiled(path, tmp_path)


def check_model(est, rows, found, tolerance):
    """Outputs are predictions, labels are equal but where two probabilities are."""
    y, labels = found
    if not is_classifier(est):
        expected = est.predict(rows).reshape(y.shape)
        atol = tolerance * max(1, np.abs(expected).max())
        np.testing.assert_allclose(y, expected, rtol=tolerance, atol=atol)
        return
    p, expected = est.predict_proba(rows), est.predict(rows)
    of_columns = p if isinstance(p, list) else [p]
    np.testing.assert_allclose(y, np.hstack(of_columns), atol=tolerance, rtol=0)
    if expected.ndim == 2 and not isinstance(p, list):
        clear = np.abs(p - 0.5) > tolerance
    else:
        margins = [np.diff(np.sort(one, axis=1)[:, -2:], axis=1) for one in of_columns]
        clear = (np.hstack(margins) > tolerance).reshape(expected.shape)
    labels = np.array(labels, dtype=object).reshape(expected.shape)
    if len({type(one) for one in expected.ravel().tolist()}) > 1:  # which C tells by position
        pairs = zip(est.classes_, labels.T, strict=True)
        labels = np.array([classes[list(own)] for classes, own in pairs], dtype=object).T
    assert (labels[clear] == expected[clear]).all()


@pytest.mark.slow
@given(model=models())
@RANDOM
def test_random_models(model, tmp_path_factory):
    c = compiled(model.est, tmp_path_factory.mktemp("c"))
    check_model(model.est, model.X, c.rows(model.X), model.tolerance)


SANITIZED = ["-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all"]


@pytest.mark.slow
@given(model=models())
@examples(20)
def test_nothing_undefined_happens_for_any_row(model, tmp_path_factory):
    """Nothing beyond an array is read, no number is cast that does not fit; it would end here."""
    folder = tmp_path_factory.mktemp("c")
    model.est.to_c(folder / "model.c")
    c = Compiled(folder / "model.c", folder, *SANITIZED)
    n_features = model.X.shape[1]
    for value in (np.nan, np.inf, -np.inf, 1e30, -1e30, -1.0, 1e9):
        c.rows(np.full((1, n_features), value))
    check_model(model.est, model.X, c.rows(model.X), model.tolerance)


@pytest.mark.slow
@given(model=models(losses=LOSSES[:1]))
@RANDOM
def test_quantized_models_are_those_of_the_stated_error(model, tmp_path_factory):
    """Their weights, and none other, are integers times scales."""
    c = compiled(model.est, tmp_path_factory.mktemp("c"), quantize="int8")
    other = with_quantized_weights(model.est)
    y, labels = c.rows(model.X)
    check_model(other, model.X, (y, labels), 2 * model.tolerance)
    stated = model.est.quantization_error(model.X)
    method = model.est.predict_proba if is_classifier(model.est) else model.est.predict
    p = method(model.X)
    found = np.abs(y - (np.hstack(p) if isinstance(p, list) else p).reshape(y.shape))
    size = max(1.0, float(np.abs(y).max()))
    assert stated.largest == pytest.approx(found.max(), abs=4 * model.tolerance * size)
    assert stated.mean == pytest.approx(found.mean(), abs=4 * model.tolerance * size)
    assert (stated.labels_changed is None) == (not is_classifier(model.est))


def test_the_error_of_quantizing():
    est = MLPClassifier((20,), max_iter=300, random_state=0).fit(X, Y)
    before = [coef.copy() for coef in est.coefs_]
    error = est.quantization_error(X)
    assert 0 < error.mean < error.largest < 0.02
    assert 0 <= error.labels_changed <= 0.02
    for one, other in zip(est.coefs_, before, strict=True):
        np.testing.assert_array_equal(one, other)
    est.coefs_ = [np.zeros_like(coef) for coef in est.coefs_]
    assert est.quantization_error(X) == (0, 0, 0)
    for quantize in (None, "int4"):
        with pytest.raises(ValueError, match=r"quantize must be"):
            est.quantization_error(X, quantize)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", HIDDEN)
def test_each_activation_over_its_range(activation, dtype, tmp_path):
    z = np.concatenate([np.linspace(-40, 40, 4001), [-1e4, -1e-30, 0, 1e-30, 1e4]])[:, None]
    est = MLPRegressor(hidden_layer_sizes=1, activation=activation, max_iter=1)
    est.fit(z[:9], z[:9, 0])
    est.coefs_ = [np.ones((1, 1), dtype), np.ones((1, 1), dtype)]
    est.intercepts_ = [np.zeros(1, dtype), np.zeros(1, dtype)]
    y, _ = compiled(est, tmp_path).rows(z)
    eps = np.finfo(dtype).eps
    expected = est.predict(z.astype(dtype))
    np.testing.assert_allclose(y[:, 0], expected, rtol=20 * eps, atol=4 * eps)


def test_dtypes(tmp_path):
    est = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, Y)
    texts = {}
    for dtype in (None, "float32", "float64"):
        y, _ = compiled(est, tmp_path, dtype=dtype).rows(X)
        atol = 2e-6 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(y, est.predict_proba(X), atol=atol)
        texts[dtype] = (tmp_path / "model.c").read_text()
    assert texts[None] == texts["float64"]
    assert "double" not in texts["float32"]
    est = MLPClassifier((5,), max_iter=3, dtype="float32").fit(X, Y)
    y, _ = compiled(est, tmp_path).rows(X)
    assert y.dtype == np.float32


def test_a_file_says_what_it_is(tmp_path):
    """Names of features and classes cannot end the comment, nor begin another."""
    pd = pytest.importorskip("pandas")
    names = ["length */ int", "/* width", "??/", "ä\\"]
    labels = np.array(["??/", "*/ int x;", "// ü"])[Y]
    est = MLPClassifier((5,), max_iter=2).fit(pd.DataFrame(X, columns=names), labels)
    c = compiled(est, tmp_path)
    text = (tmp_path / "model.c").read_text()
    comment = text[: text.index("*/")]
    for line in (
        "void model(const double x[4], double y[3]);",
        "const char *model_label(const double x[4]);",
        '[0] "length * / int"',
        "Layers: 4-5-3; double.",
        f"{8 * (4 * 5 + 5 + 5 * 3 + 3)} bytes of constants; on the stack",
    ):
        assert line in comment
    assert set(c.rows(X)[1]) <= set(labels)


# Other compilers, other machines

REGRESSORS = {
    "value": {"loss": "gamma", "out_activation": "exp"},
    "quantiles": {"loss": "quantile", "quantile": [0.9, 0.1]},
    "targets": {"n_members": 2, "hidden_layer_sizes": ()},
}
ENCODINGS = [
    *(("identity", 0, 2), ("linear_spline", 0, 3, 2), ("piecewise_linear", 1, 2, 3)),
    *(("category", 2, 2, 3), ("scale", 0, 4), ("category", 3, 2, 1)),
]


def fitted(kind):
    """A classifier of the kind of LABELS, or one with encodings and members."""
    codes = np.random.default_rng(0).integers(5, size=(len(X), 3))
    params = {"activation": ["gelu", "mish"], "max_iter": 3, "random_state": 0}
    if kind == "encodings":
        params |= {"n_members": 3, "encodings": ENCODINGS}
    labels = LABELS.get(kind, LABELS["words"])
    return MLPClassifier((6, 5), **params).fit(X, labels(codes))


COMPILERS = {
    "gcc": ["gcc", *C99, "-O2"],
    "clang": ["clang", *C99, "-O2"],
    "g++": ["g++", "-x", "c++", *STRICT],
    "clang++": ["clang++", "-x", "c++", *STRICT],
    "Cortex-M4": ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", *C99, "-Os"],
    "AVR": ["avr-gcc", "-mmcu=atmega2560", *C99, "-Os"],
}


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"quantize": "int8"}, {"dtype": "float32"}], ids=str)
@pytest.mark.parametrize("target", COMPILERS)
def test_without_a_warning(target, options, tmp_path):
    command, *flags = COMPILERS[target]
    command = compiler(command)
    for kind in LABELS:
        fitted(kind).to_c(tmp_path / f"{kind.replace(' ', '_')}.c", **options)
    for loss, params in REGRESSORS.items():
        est = MLPRegressor(**params, max_iter=2).fit(X, Y + 1 if loss != "targets" else X)
        est.to_c(tmp_path / f"{loss}.c", **options)
    for path in tmp_path.glob("*.c"):
        run(command, *flags, "-c", path, "-o", tmp_path / "model.o")


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"dtype": "float32"}], ids=str)
@pytest.mark.parametrize("kind", ["words", "columns", "encodings"])
def test_on_arm(kind, options, tmp_path):
    """Compiled for 32-bit Linux, run by qemu."""
    command, emulator = compiler("arm-linux-gnueabihf-gcc"), compiler("qemu-arm")
    est = fitted(kind)
    rows = X[:40]
    if kind == "encodings":
        rows = rows * 2
    est.to_c(tmp_path / "model.c", **options)
    T, n = "float" if options else "double", 4
    p = est.predict_proba(rows)
    p = np.hstack(p) if isinstance(p, list) else p
    data = ",".join(map(repr, rows.ravel().tolist()))
    main = f"""
    #include <stdio.h>
    #include "model.c"
    static const {T} rows[{len(rows)}][{n}] = {{ {data} }};
    int main(void)
    {{
        {T} y[{p.shape[1]}];
        for (int i = 0; i < {len(rows)}; i++) {{
            model(rows[i], y);
            for (int j = 0; j < {p.shape[1]}; j++)
                printf("%.17g ", (double)y[j]);
        }}
        return 0;
    }}"""
    (tmp_path / "main.c").write_text(main)
    run(command, "-std=c99", "-O2", "-static", tmp_path / "main.c", "-o", tmp_path / "main", "-lm")
    y = np.array(run(emulator, tmp_path / "main").split(), dtype=float).reshape(p.shape)
    np.testing.assert_allclose(y, p, atol=2e-6 if options else 1e-12)


AVR_MAIN = """
#include <avr/io.h>
#include <avr/interrupt.h>
#include <avr/sleep.h>
#include "model.c"
static void put(char c)
{{
    while (!(UCSR0A & (1 << UDRE0))) {{
    }}
    UDR0 = c;
}}
int main(void)
{{
    static const {X} rows[{n_rows}][{n}] = {{ {data} }};
    UCSR0B = 1 << TXEN0;
    for (int i = 0; i < {n_rows}; i++) {{
        float y[{n_outputs}];
        model(rows[i], y);
        for (int j = 0; j < {n_outputs}; j++) {{
            union {{ float f; unsigned long u; }} bits;
            bits.f = y[j];
            for (int k = 28; k >= 0; k -= 4)
                put("0123456789abcdef"[bits.u >> k & 15]);
            put(' ');
        }}
        put(10);
    }}
    cli();
    sleep_mode();
    return 0;
}}
"""


def outputs_on_avr(est, rows, shape, folder, X="float", **options):
    """What a simulated ATmega328P sends of the outputs for the rows."""
    command, simulator = compiler("avr-gcc"), compiler("simavr")
    est.to_c(folder / "model.c", dtype="float32", **options)
    data = ",".join(map(repr, rows.ravel().tolist())).replace("nan", "NAN")
    words = {"n_rows": len(rows), "n": rows.shape[1], "n_outputs": shape[1], "X": X}
    (folder / "main.c").write_text(AVR_MAIN.format(data=data, **words))
    run(command, "-mmcu=atmega328p", "-std=gnu99", "-Os", folder / "main.c",
        "-o", folder / "main", "-lm")  # fmt: skip
    done = subprocess.run(
        [simulator, "-m", "atmega328p", "-f", "16000000", folder / "main"],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    text = re.sub(r"\x1b\[\d*m", "", done.stdout + done.stderr)
    bits = [int(word, 16) for word in re.findall(r"\b[0-9a-f]{8}\b", text)]
    return np.array(bits, np.uint32).view(np.float32).reshape(shape)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"quantize": "int8"}], ids=str)
@pytest.mark.parametrize("kind", ["words", "encodings"])
def test_on_avr(kind, options, tmp_path):
    est, rows = fitted(kind), X[:5]
    expected = with_quantized_weights(est) if options else est
    p = expected.predict_proba(rows)
    y = outputs_on_avr(est, rows, p.shape, tmp_path, **options)
    np.testing.assert_allclose(y, p, atol=2e-6)


def test_constants_of_an_avr_are_in_flash(tmp_path):
    MLPClassifier((20,), max_iter=2, dtype="float32").fit(X, Y).to_c(tmp_path / "model.c")
    flags = ["-mmcu=atmega328p", *C99, "-Os", "-c"]
    run(compiler("avr-gcc"), *flags, tmp_path / "model.c", "-o", tmp_path / "model.o")
    sizes = run(compiler("avr-size"), tmp_path / "model.o").splitlines()[1].split()
    assert sizes[1:3] == ["0", "0"]  # data and bss, which are in RAM


def test_more_constants_than_an_avr_reads(tmp_path):
    est = MLPClassifier((100, 100, 100), max_iter=1, dtype="float32").fit(X, Y)
    est.to_c(tmp_path / "model.c")
    flags = ["-mmcu=atmega2560", *C99, "-c", tmp_path / "model.c", "-o", tmp_path / "model.o"]
    with pytest.raises(AssertionError, match="more than the 64 KB of flash"):
        run(compiler("avr-gcc"), *flags)
    est.to_c(tmp_path / "model.c", quantize="int8")
    run(compiler("avr-gcc"), *flags)


# Files and bad input


def test_what_was_there_stays_where_a_file_cannot_be_written(tmp_path):
    est = MLPClassifier((5,), max_iter=2).fit(X, Y)
    for path in (tmp_path / "no" / "model.c", tmp_path):
        with pytest.raises(OSError, match=r"no|directory"):
            est.to_c(path)
    path = tmp_path / "model.c"
    path.write_text("before")
    est.coefs_[0][0, 0] = np.inf
    with pytest.raises(ValueError, match="Weights of this MLPClassifier are not finite"):
        est.to_c(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["model.c"]


@pytest.mark.parametrize(
    "name",
    ["", "2nd", "my model", "a-b", "_a", "int", "class", "main", "exp", "expf", "y0", "é", "x",
     "a" * 61, "model\n", "NAN", "linux"],
)  # fmt: skip
def test_names_that_are_none(name, tmp_path):
    est = MLPClassifier((5,), max_iter=2).fit(X, Y)
    with pytest.raises(ValueError, match=r"name must"):
        est.to_c(tmp_path / "model.c", name=name)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["logo", "MODEL", "a", "z", "network0", "a__b", "tanh_", "f32"])
@pytest.mark.parametrize("language", ["c", "c++"])
def test_names_of_users(name, language, tmp_path):
    est = MLPClassifier((5,), activation="tanh", max_iter=2).fit(X, Y)
    est.to_c(tmp_path / "model.c", name=name)
    flags = ["-x", language, *STRICT, "-c", tmp_path / "model.c", "-o", tmp_path / "model.o"]
    run(compiler("gcc"), *flags)


def test_two_models_in_one_program(tmp_path):
    for name in ("first", "second"):
        MLPClassifier((5,), max_iter=2).fit(X, Y).to_c(tmp_path / f"{name}.c", name=name)
    (tmp_path / "both.c").write_text('#include "first.c"\n#include "second.c"\n')
    run(compiler("gcc"), *C99, "-c", tmp_path / "both.c", "-o", tmp_path / "both.o")


def test_bad_input(tmp_path):
    path = tmp_path / "model.c"
    est = MLPClassifier((5,), max_iter=2)
    with pytest.raises(NotFittedError):
        est.to_c(path)
    with pytest.raises(NotFittedError):
        est.quantization_error(X)
    est.fit(X, Y)
    with pytest.raises(TypeError, match="name must be a str, got 3"):
        est.to_c(path, name=3)
    with pytest.raises(ValueError, match="dtype must be None, 'float32' or 'float64', got 'f4'"):
        est.to_c(path, dtype="f4")
    with pytest.raises(ValueError, match="quantize must be None or 'int8', got 'int4'"):
        est.to_c(path, quantize="int4")
    est.fit(X, Y.astype(np.uint64) + np.uint64(2**63))
    with pytest.raises(ValueError, match="cannot hold classes_ beyond int64"):
        est.to_c(path)
    est.fit(X, np.where(Y[0] == Y, "a\0b", "a"))
    with pytest.raises(ValueError, match="has a NUL"):
        est.to_c(path)
    assert not os.listdir(tmp_path)


def test_labels_of_64_bits(tmp_path):
    est = MLPClassifier((5,), max_iter=20).fit(X, Y + 2**40)
    assert compiled(est, tmp_path).rows(X)[1] == est.predict(X).tolist()
