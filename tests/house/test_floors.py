"""The order of the floors in docs/design.md, read from the sources: imports go downwards only."""

import ast
import inspect
import re
from pathlib import Path

import cmlp
from cmlp._core import engine

SOURCE = Path(__file__).parents[2] / "src" / "cmlp"
FLOORS = {
    "cmlp": 7,
    "cmlp.__main__": 7,
    "cmlp._skl2onnx": 6,
    "cmlp._skops": 6,
    "cmlp._substitute": 6,
    "cmlp._classifier": 5,
    "cmlp._regressor": 5,
    "cmlp._hidden_layers": 5,
    "cmlp._plots": 5,
    "cmlp._base": 4,
    "cmlp._inspection": 4,
    "cmlp._sklearn_names": 4,
    "cmlp._network": 3,
    "cmlp._stochastic": 3,
    "cmlp._lbfgs": 3,
    "cmlp._checkpoint": 3,
    "cmlp._arrays": 2,
    "cmlp._attributes": 1,
    "cmlp._callbacks": 2,
    "cmlp._class_weight": 2,
    "cmlp._divergence": 2,
    "cmlp._docs": 1,
    "cmlp._early_stopping": 2,
    "cmlp._labels": 1,
    "cmlp._version": 1,
    "cmlp._warnings": 1,
    "cmlp._losses": 2,
    "cmlp._encoding": 2,
    "cmlp._files": 3,
    "cmlp._optimizers": 2,
    "cmlp._parameters": 2,
    "cmlp._validation": 2,
    "cmlp._threads": 2,
    "cmlp._typing": 1,
    "cmlp._schedules": 1,
    "cmlp._wrappers": 1,
    "cmlp._core": 1,
    "cmlp._core._cpu": 0,
    "cmlp._core._engine_baseline": 0,
}
CORE = [
    "types",
    "matrix",
    "fpenv",
    "pool",
    "stop",
    "activations",
    "linalg",
    "losses",
    "optimizers",
    "batch",
    "sparse_plan",
    "sparse",
    "dropout",
    "network",
    "online_plan",
    "online",
    "online_blocks",
]


def module_name(path):
    parts = ("cmlp", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cmlp"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in FLOORS else node.module for name in names)


def test_every_python_module_has_a_floor():
    compiled = {"cmlp._core._cpu", "cmlp._core._engine_baseline"}
    assert {module_name(path) for path in SOURCE.rglob("*.py")} == set(FLOORS) - compiled


def test_python_imports_go_downwards():
    for path in SOURCE.rglob("*.py"):
        importer = module_name(path)
        for imported in imported_modules(path):
            assert FLOORS[imported] < FLOORS[importer], f"{importer} imports {imported}"


def test_core_cimports_go_downwards():
    for position, name in enumerate(CORE):
        text = (SOURCE / "_core" / f"{name}.pxd").read_text()
        for imported in re.findall(r"from cmlp\._core\.(\w+) cimport", text):
            assert CORE.index(imported) < position, f"{name}.pxd cimports {imported}"


def test_the_engine_imports_nothing_from_above():
    for path in [*(SOURCE / "_core").glob("*.px*")]:
        assert not re.search(r"(from|import) cmlp\.(?!_core)", path.read_text()), path.name


def test_every_entry_of_the_tables_is_documented():
    for name, row in engine.ACTIVATIONS.items():
        assert row["formula"]
        if row["hidden"]:
            assert f"'{name}'" in cmlp.MLPClassifier.__doc__
            assert f"'{name}'" in cmlp.MLPRegressor.__doc__
        if row["output"] and name != "softmax":
            assert f"'{name}'" in cmlp.MLPRegressor.__doc__
    for name, row in engine.LOSSES.items():
        assert row["regressor"] or row["classifier"]
        for kind, est in (("regressor", cmlp.MLPRegressor), ("classifier", cmlp.MLPClassifier)):
            if row[kind]:
                assert f"'{row['loss']}'" in est.__doc__
                assert row["loss"] in est._parameter_constraints["loss"][0].options
            if row[kind] and row["parameter"]:
                assert f"\n{row['parameter']} : " in inspect.getdoc(est)
                assert row["parameter"] in est._parameter_constraints
                assert est().get_params()[row["parameter"]] == row["default"]
        assert f'"{name}"' in cmlp.Network.__doc__
    for name in engine.OPTIMIZERS:
        assert f"'{name}'" in cmlp.MLPClassifier.__doc__
        assert f"'{name}'" in cmlp.MLPRegressor.__doc__
