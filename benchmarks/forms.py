"""Times and bytes of a fitted classifier's forms: cmlp, ONNX Runtime, C, and emlearn's C.

``python -m benchmarks.forms --write docs/deployment.md`` fills in the tables there. It needs
gcc, onnx, onnxruntime and emlearn, for a column of sizes arm-none-eabi-gcc too; a form whose
package is not installed is left out. m2cgen (0.10) knows no multilayer perceptron.
"""

import argparse
import ctypes
import re
import shutil
import subprocess
import tempfile
import time
import warnings
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as SklearnMLPClassifier

from benchmarks import machine, report
from cmlp import MLPClassifier, TabularMLPClassifier

N_ROWS = 4096
TURNS, SECONDS = 5, 0.2
#: Name of the data -> hidden layers.
NETWORKS = {"iris": (10,), "digits": (100,), "digits, deep": (64, 64, 64)}
#: The data of an estimator for tables, which takes doubles.
TABLE = "breast cancer"
PROGRAM = """
#include <stdio.h>
#include <time.h>
#define N {n}
static {x} rows[{n_rows}][N];
static volatile float sink;
static double seconds(void)
{{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}}
int main(void)
{{
    float y[{n_outputs}];
    double least = 1e9;
    int at = 0;
    for (int i = 0; i < {n_rows} * N; i++)
        rows[i / N][i % N] = ({x})(i * 7919 % 1000) / 1000;
    const double end = seconds() + {seconds};
    do {{
        const double begin = seconds();
        for (int i = 0; i < 64; i++) {{
            const {x} *row = rows[at++ % {n_rows}];
            {call};
            sink = y[0];
        }}
        const double each = (seconds() - begin) / 64;
        if (each < least)
            least = each;
    }} while (seconds() < end);
    printf("%g", 1e6 * least);
    return 0;
}}
"""


def data_of(name):
    if name == TABLE:
        return load_breast_cancer(return_X_y=True)
    X, y = load_iris(return_X_y=True) if name == "iris" else load_digits(return_X_y=True)
    return (X / X.max(axis=0).clip(1)).astype(np.float32), y


def fastest(call):
    """Least seconds of a call, in a few turns."""
    call()
    least = np.inf
    for _ in range(TURNS):
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            begin = time.perf_counter()
            call()
            least = min(least, time.perf_counter() - begin)
    return least


def both_sizes(call, X):
    """Microseconds for one row, and for each of many."""
    many = np.resize(X, (N_ROWS, X.shape[1]))
    return 1e6 * fastest(lambda: call(X[:1])), 1e6 * fastest(lambda: call(many)) / N_ROWS


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


class Sizes(NamedTuple):
    """Features, outputs, and the C type of a feature."""

    n: int
    n_outputs: int
    x: str


def c_times(source, call, sizes, folder, *flags):
    """Microseconds of a call in C for one row, the same each time, and for each of many."""
    times = []
    for n_rows in (1, N_ROWS):
        words = {**sizes._asdict(), "n_rows": n_rows, "call": call}
        text = PROGRAM.format(seconds=TURNS * SECONDS, **words)
        (folder / "time.c").write_text(f'#include "{source}"\n{text}')
        command = ["gcc", "-D_POSIX_C_SOURCE=199309L", "-std=c99", "-O2", *flags]
        run(*command, folder / "time.c", "-o", folder / "time", "-lm")
        times.append(float(run(folder / "time")))
    return tuple(times)


def code_bytes(source, call, sizes, folder, compiler=("gcc", "-O2")):
    """Bytes of code and constants of a call, or None without the compiler."""
    if shutil.which(compiler[0]) is None:
        return None
    (folder / "call.c").write_text(
        f'#include "{source}"\nvoid call(const {sizes.x} *row, float *y);\n'
        f"void call(const {sizes.x} *row, float *y) {{ {call}; }}\n"
    )
    flags = ["-std=c99", "-ffunction-sections", "-fdata-sections"]
    run(*compiler, *flags, "-c", folder / "call.c", "-o", folder / "call.o")
    size = compiler[0].replace("gcc", "size")
    text, data, bss = run(size, folder / "call.o").splitlines()[1].split()[:3]
    return int(text) + int(data) + int(bss)


FAST = ("-O3", "-march=native")
CORTEX = ("arm-none-eabi-gcc", "-Os", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16")
CORTEX = (*CORTEX, "-mfloat-abi=hard")


def onnx_row(est, X, folder):
    import onnxruntime

    path = folder / "model.onnx"
    est.to_onnx(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    times = both_sizes(lambda rows: session.run(["probabilities"], {"X": rows}), X)
    p = session.run(["probabilities"], {"X": X})[0]
    return times, path.stat().st_size, None, None, np.abs(p - est.predict_proba(X)).max()


def c_row(est, X, folder, *flags, **options):
    path = folder / "model.c"
    est.to_c(path, **options)
    sizes = Sizes(X.shape[1], len(est.classes_), "float" if X.dtype == np.float32 else "double")
    call = "model(row, y)"
    times = c_times(path, call, sizes, folder, *flags)
    sizes_of = [code_bytes(path, call, sizes, folder, kind) for kind in (("gcc", "-O2"), CORTEX)]
    error = np.abs(c_outputs(path, X, sizes.n_outputs, folder) - est.predict_proba(X)).max()
    return times, path.stat().st_size, *sizes_of, error


def c_outputs(source, X, n_outputs, folder):
    """What the function in a C file writes for each row."""
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".so") as library:
        run("gcc", "-std=c99", "-O2", "-shared", "-fPIC", source, "-o", library.name, "-lm")
        function = ctypes.CDLL(library.name).model
    y = np.empty((len(X), n_outputs), np.float32)
    for row, of_row in zip(X, y, strict=True):
        function(ctypes.c_void_p(row.ctypes.data), ctypes.c_void_p(of_row.ctypes.data))
    return y


def emlearn_row(est, twin, X, folder):
    import emlearn

    path = folder / "emlearn.h"
    with chdir(folder):  # where it leaves files
        converted = emlearn.convert(twin, dtype="float", method="loadable")
        converted.save(file=str(path), name="em")
    include = f"-I{emlearn.includedir}"
    sizes = Sizes(X.shape[1], len(est.classes_), "float" if X.dtype == np.float32 else "double")
    call = f"eml_net_predict_proba(&em, row, {sizes.n}, y, {sizes.n_outputs})"
    times = c_times(path, call, sizes, folder, include, "-w")
    sizes_of = [
        code_bytes(path, call, sizes, folder, (*kind, include, "-w"))
        for kind in (("gcc", "-O2"), CORTEX)
    ]
    with chdir(folder):
        error = np.abs(converted.predict_proba(X) - twin.predict_proba(X)).max()
    return times, path.stat().st_size, *sizes_of, error


def rows_of(name):
    """The rows of the table of one network: form, times, bytes, error."""
    X, y = data_of(name)
    if name == TABLE:
        est, twin = TabularMLPClassifier(max_iter=20, random_state=0).fit(X, y), None
    else:
        params = {"hidden_layer_sizes": NETWORKS[name], "max_iter": 60, "random_state": 0}
        est = MLPClassifier(**params, dtype="float32").fit(X, y)
        with np.errstate(all="ignore"):  # emlearn has NumPy raise
            twin = SklearnMLPClassifier(**params).fit(X, y)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        est.save(folder / "model")
        size = (folder / "model").stat().st_size
        yield "cmlp", (both_sizes(est.predict_proba, X), size, None, None, None)
        if twin is not None:
            yield "scikit-learn", (both_sizes(twin.predict_proba, X), None, None, None, None)
        attempts = {
            "ONNX Runtime": lambda: onnx_row(est, X, folder),
            "C, gcc -O2": lambda: c_row(est, X, folder),
            "C, gcc -O3 -march=native": lambda: c_row(est, X, folder, *FAST),
            "C, int8, gcc -O2": lambda: c_row(est, X, folder, quantize="int8"),
            "C, int8, gcc -O3 -march=native": lambda: c_row(
                est, X, folder, *FAST, quantize="int8"
            ),
            "emlearn, gcc -O2": lambda: emlearn_row(est, twin, X, folder),
        }
        if twin is None:
            del attempts["emlearn, gcc -O2"]
        for form, attempt in attempts.items():
            try:
                yield form, attempt()
            except ImportError as error:
                print(f"{form} is left out: {error}")


def number(value, digits=3):
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def table(name, rows):
    """The Markdown table of one network."""
    X, y = data_of(name)
    title = f"{name}, {X.shape[1]} features, TabularMLPClassifier()"
    if name != TABLE:
        units = "-".join(map(str, [X.shape[1], *NETWORKS[name], len(np.unique(y))]))
        title = f"{name}, {units} relu"
    head = [
        title,
        "one row, µs",
        f"each of {N_ROWS} rows, µs",
        "bytes of the file",
    ]
    head += ["code and constants, x86-64", "Cortex-M4, -Os", "largest difference"]
    lines = [f"| {' | '.join(head)} |", "|---|" + 6 * "---:|"]
    for form, (times, *sizes, error) in rows:
        error = None if error is None else float(f"{error:.1e}")
        cells = [form, *map(number, times), *map(number, sizes), number(error, 2)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="Markdown file with places for the tables")
    options = parser.parse_args()
    machine.pin()
    warnings.simplefilter("ignore", ConvergenceWarning)
    about = machine.describe(["scikit-learn", "onnx", "onnxruntime", "emlearn"])
    text = "\n\n".join(table(name, list(rows_of(name))) for name in (*NETWORKS, TABLE))
    gcc = re.search(r"\d+\.\d+\.\d+", run("gcc", "--version"))[0]
    blocks = {"forms": f"{text}\n\n{machine.as_text(about)}\n- gcc {gcc}"}
    print(blocks["forms"])
    if options.write is not None:
        filled = report.fill(options.write.read_text(), blocks.get)
        options.write.write_text(filled)


if __name__ == "__main__":
    main()
