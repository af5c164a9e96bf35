"""Every row of the engine's tables is documented, allowed, checked and timed. No formula here."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
import scripts

import cmlp
from benchmarks import kernels
from cmlp import MLPClassifier, MLPRegressor
from cmlp._core import engine
from cmlp._formulas import FORMULAS
from cmlp._losses import CLASSIFIER_ROWS, loss_names
from cmlp._optimizers import OPTIMIZERS
from cmlp._schedules import SCHEDULES

SOURCE = Path(__file__).parents[2] / "src" / "cmlp"
ESTIMATORS = [MLPClassifier, MLPRegressor]
HIDDEN = [name for name, row in engine.ACTIVATIONS.items() if row["hidden"]]


def options(estimator, parameter):
    """The strings that a parameter may be."""
    constraints = estimator._parameter_constraints[parameter]
    return set().union(*(c.options for c in constraints if hasattr(c, "options")))


def paragraph(estimator, parameter):
    """What the docstring of an estimator says of a parameter."""
    _, _, rest = inspect.getdoc(estimator).partition(f"\n{parameter} : ")
    lines = rest.split("\n")
    end = next(i for i, line in enumerate(lines[1:], 1) if line[:1].strip())
    return "\n".join(lines[:end])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_activations(estimator):
    assert options(estimator, "activation") == set(HIDDEN)
    for name in HIDDEN:
        assert f"'{name}'" in paragraph(estimator, "activation"), name
        assert name in reference.ACTIVATIONS, name
        assert name in kernels.FUNCTIONS, name
    assert set(FORMULAS) == set(engine.ACTIVATIONS) - {"softmax"}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_solvers(estimator):
    assert set(OPTIMIZERS) == set(engine.OPTIMIZERS)
    assert options(estimator, "solver") == {"lbfgs", *OPTIMIZERS}
    for name in ("lbfgs", *OPTIMIZERS):
        assert f"'{name}'" in paragraph(estimator, "solver"), name


@pytest.mark.parametrize("name", engine.OPTIMIZERS)
def test_an_optimizer_is_a_row_a_class_and_a_twin(name):
    """The class knows, by parameter or counter, whatever the row wants to be told; the twin takes
    what the row takes."""
    optimizer = OPTIMIZERS[name]
    assert optimizer.name == name
    number, n_states, hyper = engine.OPTIMIZERS[name]
    assert list(engine.OPTIMIZERS)[number] == name
    assert n_states >= 1
    assert hyper[0] == "learning_rate"
    own = optimizer(MLPClassifier(solver=name), 3, np.dtype(np.float32))
    assert own.state.shape == (n_states, 3)
    assert own.hyper.shape == (len(hyper),)
    assert np.isfinite(own.hyper).all()
    assert set(optimizer.counters) <= set(hyper)
    twin = reference.OPTIMIZERS[name](*own.hyper)
    assert twin.update(np.ones(3), np.ones(3)).shape == (3,)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_losses(estimator):
    kind = "classifier" if estimator is MLPClassifier else "regressor"
    names = set(loss_names(kind))
    assert options(estimator, "loss") == names
    for name in names:
        assert f"'{name}'" in paragraph(estimator, "loss"), name
    rows = {name for name, row in engine.LOSSES.items() if row[kind]}
    assert rows <= set(reference.LOSSES)
    assert kind == "regressor" or rows == set(CLASSIFIER_ROWS.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_loss_and_optimizer_is_timed(dtype, monkeypatch):
    def once(call):
        call()
        return 1e-6

    monkeypatch.setattr(kernels, "least_seconds", once)
    rng = np.random.default_rng(0)
    for name in engine.LOSSES:
        assert kernels.loss_row(name, dtype, rng)[0] == name
    for name in engine.OPTIMIZERS:
        assert kernels.optimizer_row(name, dtype, rng)[0] == name


#: Files in which the name of a row stands: adding one is an edit of each, of the twin in
#: tests/reference.py, and of nothing else. Rows of scikit-learn's own are left out where its rules
#: name them, and the settings for tables, which choose rows.
PLACES = {
    "optimizer": {"_core/optimizers.h", "_optimizers.py", "_docs.py"},
    "activation": {"_core/activations.h", "_docs.py", "_formulas.py"},
    "loss": {"_core/losses.h", "_network.py", "_regressor.py", "_classifier.py"},
    "schedule": {"_schedules.py", "_docs.py"},
}
ROWS = [
    *(("optimizer", name) for name in OPTIMIZERS if name not in ("sgd", "adam")),
    *(("activation", name) for name in HIDDEN if re.search("u$|_|mish|softplus", name)),
    *(("loss", name) for name in ("huber", "log_cosh", "absolute_error", "focal")),
    *(("schedule", name) for name in SCHEDULES),
]


@pytest.mark.parametrize(("kind", "name"), [row for row in ROWS if row[1] not in ("relu", "selu")])
def test_what_adding_a_row_costs(kind, name):
    """selu is named in a citation besides."""
    paths = [path for path in SOURCE.rglob("*") if path.suffix in (".py", ".h", ".pxd", ".pxi")]
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in paths
        if not path.name.startswith("_tabular")
        and re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))
    }
    assert found
    assert found <= PLACES[kind]


# Rows that are added, to a copy of what is installed


@pytest.fixture
def copied(tmp_path):
    """The folder of a copy of the package, compiled modules included."""
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(Path(cmlp.__file__).parent, tmp_path / "cmlp", ignore=ignored)


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


LINEAR = """
def linear(k, n):
    return 1 - k / n


SCHEDULES = {"linear": linear, """

USE_OF_LINEAR = """
import sys, warnings
import numpy as np
import cmlp
from cmlp import MLPClassifier, MLPRegressor

assert cmlp.__file__.startswith(sys.argv[1]), cmlp.__file__
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.standard_normal((30, 4))
y = (X[:, 0] > 0).astype(int)
options = dict(
    hidden_layer_sizes=(3,), solver="sgd", momentum=0.0, batch_size=30, shuffle=False,
    random_state=0,
)
for kind in (MLPClassifier, MLPRegressor):
    est = kind(learning_rate="linear", learning_rate_init=0.5, max_iter=4, **options).fit(X, y)
    by_hand = kind(**options)
    classes = {"classes": [0, 1]} if kind is MLPClassifier else {}
    for k in range(4):
        by_hand.set_params(learning_rate_init=0.5 * (1 - k / 4)).partial_fit(X, y, **classes)
    assert len(est.loss_curve_) == 4
    np.testing.assert_array_equal(est.coefs_[0], by_hand.coefs_[0])
    for params in ({"learning_rate": "linaer"}, {"learning_rate": "linear", "solver": "lbfgs"}):
        try:
            kind(**{**options, **params}).fit(X, y)
        except ValueError as error:
            print(error)
        else:
            raise AssertionError(params)
"""


@pytest.mark.slow
def test_a_schedule_is_an_edit_of_one_file(copied):
    """It is allowed, trained by, refused where it has no meaning and listed for whoever mistypes
    it, of both estimators."""
    edit(copied / "_schedules.py", "\nSCHEDULES = {", LINEAR)
    printed = scripts.output_of(USE_OF_LINEAR, copied, PYTHONPATH=str(copied.parent))
    mistyped, of_lbfgs, *rest = printed.splitlines()
    assert rest == [mistyped.replace("Classifier", "Regressor"), of_lbfgs]
    assert "'invscaling', 'linear', 'one_cycle'" in mistyped
    assert "'linear' is a schedule of the stochastic solvers" in of_lbfgs


#: The row of a table in _core -> the row before which it comes.
ENGINE_ROWS = {
    "activations.h": ("leaky_relu", None),  # the example of CONTRIBUTING.md
    "losses.h": (
        "absolute_error",
        """X(quartic, "quartic", CMLP_FOR_REGRESSOR, CMLP_identity, CMLP_REAL_TARGETS, "", 0,
           (p - y) * (p - y) * (p - y) * (p - y) / 4,
           (p - y) * (p - y) * (p - y), (p - y) * (p - y) * (p - y))""",
    ),
    "optimizers.h": (
        "lion",
        """X(signs, BATCHES, NO_FLAG, HYPER(learning_rate), STATE(m), EVERY_STEP(), BIASES(),
           CONSTANTS(learning_rate), TIMES(1), UPDATE(m = g; w = w - learning_rate * SIGN(m)))""",
    ),
}

USE_OF_ROWS = """
import sys, warnings
import numpy as np
import cmlp
from cmlp import MLPRegressor

assert cmlp.__file__.startswith(sys.argv[1]), cmlp.__file__
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X, y = rng.standard_normal((30, 4)), rng.standard_normal(30)
est = MLPRegressor("quartic", (3,), "hard_tanh", random_state=0, alpha=0.0,
                   solver="signs", learning_rate_init=0.01)
est.partial_fit(X, y)
w, b = [a.copy() for a in est.coefs_], [a.copy() for a in est.intercepts_]
est.partial_fit(X, y)
h = np.clip(X @ w[0] + b[0], -1, 1)
d = (h @ w[1] + b[1] - y[:, None]) ** 3
slope = d @ w[1].T * (abs(h) < 1)
np.testing.assert_allclose(est.coefs_[1], w[1] - 0.01 * np.sign(h.T @ d), rtol=1e-12)
np.testing.assert_allclose(est.coefs_[0], w[0] - 0.01 * np.sign(X.T @ slope), rtol=1e-12)
"""


@pytest.mark.slow
def test_a_row_of_the_engine_is_an_edit_of_one_file(tmp_path):
    """An optimizer is a class besides; an engine is built with all three, and trains by them."""
    pytest.importorskip("Cython")
    root = SOURCE.parents[1]
    shutil.copy(root / "setup.py", tmp_path / "setup.py")
    # the least of metadata, as this environment's setuptools may be too old for ours
    places = 'package-dir = {"" = "src"}\npackages = ["cmlp", "cmlp._core"]\n'
    metadata = f'[project]\nname = "cmlp"\nversion = "0"\n[tool.setuptools]\n{places}'
    (tmp_path / "pyproject.toml").write_text(metadata)
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    package = shutil.copytree(SOURCE, tmp_path / "src" / "cmlp", ignore=ignored)
    example = re.search(
        r"(?m)^    X\(hard_tanh(.|\n)+?\)\) \\\n", (root / "CONTRIBUTING.md").read_text()
    )
    for name, (before, row) in ENGINE_ROWS.items():
        row = row.replace("\n", " \\\n") + " \\\n" if row else example[0]
        edit(package / "_core" / name, f"    X({before},", f"{row}    X({before},")
    edit(
        package / "_optimizers.py",
        "\n#: solver -> its class\nOPTIMIZERS = {",
        '\nclass Signs(Optimizer):\n    name = "signs"\n\n\nOPTIMIZERS = {"signs": Signs} | {',
    )
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "-j1"],
        cwd=tmp_path,
        env={**os.environ, "CMLP_VARIANTS": "baseline", "CMLP_TESTING": "0", "CMLP_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-4000:]
    scripts.output_of(USE_OF_ROWS, tmp_path, PYTHONPATH=str(package.parent))
