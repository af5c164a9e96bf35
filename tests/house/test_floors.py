"""The order of the floors in docs/design.md, read from the sources: imports go downwards only."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import cmlp
from cmlp._core import engine

SOURCE = Path(__file__).parents[2] / "src" / "cmlp"
DESIGN = Path(__file__).parents[2] / "docs" / "design.md"
FLOORS = {
    "cmlp._command": 16,
    "cmlp": 15,
    "cmlp.__main__": 15,
    "cmlp._fuse": 14,
    "cmlp._skl2onnx": 14,
    "cmlp._skops": 14,
    "cmlp._from_sklearn": 13,
    "cmlp._substitute": 13,
    "cmlp._tabular_estimators": 13,
    "cmlp._tabular": 12,
    "cmlp._classifier": 12,
    "cmlp._regressor": 12,
    "cmlp._hidden_layers": 12,
    "cmlp._plots": 12,
    "cmlp._tabular_files": 11,
    "cmlp._base": 11,
    "cmlp._exports": 11,
    "cmlp._c_form": 10,
    "cmlp._inspection": 10,
    "cmlp._onnx_form": 10,
    "cmlp._sklearn_names": 10,
    "cmlp._labelling": 10,
    "cmlp._fitting": 9,
    "cmlp._c_outputs": 9,
    "cmlp._c_table": 9,
    "cmlp._deviation": 9,
    "cmlp._onnx_table": 9,
    "cmlp._predicting": 9,
    "cmlp._sklearn_form": 9,
    "cmlp._exported": 8,
    "cmlp._persistence": 8,
    "cmlp._rollback": 8,
    "cmlp._validation": 8,
    "cmlp._stochastic": 8,
    "cmlp._lbfgs": 7,
    "cmlp._listeners": 7,
    "cmlp._callbacks": 6,
    "cmlp._checkpoint": 6,
    "cmlp._divergence": 6,
    "cmlp._early_stopping": 6,
    "cmlp._run": 5,
    "cmlp._network": 4,
    "cmlp._training": 4,
    "cmlp._files": 3,
    "cmlp._optimizers": 3,
    "cmlp._tables": 3,
    "cmlp._parameters": 3,
    "cmlp._arrays": 2,
    "cmlp._encoding": 2,
    "cmlp._losses": 2,
    "cmlp._c_text": 2,
    "cmlp._onnx_graph": 2,
    "cmlp._optimizer_base": 2,
    "cmlp._table_numbers": 2,
    "cmlp._threads": 2,
    "cmlp._architecture": 2,
    "cmlp._affine_steps": 1,
    "cmlp._attributes": 1,
    "cmlp._class_weight": 1,
    "cmlp._csv_rows": 1,
    "cmlp._core": 1,
    "cmlp._docs": 1,
    "cmlp._formulas": 1,
    "cmlp._labels": 1,
    "cmlp._quantized": 1,
    "cmlp._schedules": 1,
    "cmlp._tabular_docs": 1,
    "cmlp._table_bins": 1,
    "cmlp._table_categories": 1,
    "cmlp._table_columns": 1,
    "cmlp._typing": 1,
    "cmlp._version": 1,
    "cmlp._warnings": 1,
    "cmlp._wrappers": 1,
    "cmlp._core._cpu": 0,
    "cmlp._core._engine_baseline": 0,
}
#: Rooms from this floor on are the estimators; below, an estimator is its public parameters.
ESTIMATORS = FLOORS["cmlp._persistence"]
#: What an estimator is called below.
ESTIMATOR_NAMES = {"est", "estimator", "loaded"}
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
    "inputs",
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


def test_the_table_of_the_design_has_these_floors():
    rows = re.findall(r"^\| (\d+) \| (`_?\w+\.py`.*?) \|", DESIGN.read_text(), re.M)
    documented = {
        name: int(floor) for floor, rooms in rows for name in re.findall(r"`(\w+)\.py`", rooms)
    }
    floors = {"__init__": FLOORS["cmlp"]}
    floors |= {name.removeprefix("cmlp."): floor for name, floor in FLOORS.items()}
    assert documented == {
        name: floor for name, floor in floors.items() if not name.startswith(("cmlp", "_core"))
    }


def test_python_imports_go_downwards():
    for path in SOURCE.rglob("*.py"):
        importer = module_name(path)
        for imported in imported_modules(path):
            assert FLOORS[imported] < FLOORS[importer], f"{importer} imports {imported}"


def leads_to_estimator(node):
    """Whether an expression is an estimator: a name for one, or an attribute of that name."""
    name = getattr(node, "id", getattr(node, "attr", None))
    return isinstance(node, ast.Name | ast.Attribute) and name in ESTIMATOR_NAMES


def written_or_private(tree):
    """Line and text of what assigns an estimator's attributes or calls its private methods."""
    for node in ast.walk(tree):
        found = False
        if isinstance(node, ast.Attribute) and leads_to_estimator(node.value):
            is_private = node.attr.startswith("_") and not node.attr.startswith("__")
            found = is_private or not isinstance(node.ctx, ast.Load)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            writes = node.func.id in ("setattr", "delattr", "vars")
            found = writes and leads_to_estimator(node.args[0])
        if found:
            yield node.lineno, ast.unparse(node)


def test_nothing_below_the_estimators_writes_to_one_or_calls_back():
    for path in SOURCE.rglob("*.py"):
        if FLOORS[module_name(path)] < ESTIMATORS:
            assert not list(written_or_private(ast.parse(path.read_text()))), path.name


@pytest.mark.parametrize(
    "line",
    [
        "est.n_iter_ = 0",
        "run.est.loss_curve_ += [1]",
        "self.estimator.t_, n = 1, 2",
        "del est.coefs_",
        "setattr(est, name, 1)",
        "delattr(run.est, name)",
        "vars(est).update(values)",
        "est._publish(parameters)",
        "f(run.est._score_outputs)",
    ],
)
def test_what_the_test_before_finds(line):
    assert list(written_or_private(ast.parse(line)))


def test_functions_are_short_and_have_few_parameters():
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef) or node.name in ("__init__", "__new__"):
                continue
            where = f"{path.name}: {node.name}"
            arguments = node.args
            n = len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs])
            public_fit = node.name == "fit" and module_name(path) in (
                "cmlp._classifier",
                "cmlp._regressor",
            )
            assert n <= 9 or public_fit, where
            first = node.body[1 if ast.get_docstring(node) and len(node.body) > 1 else 0]
            assert node.end_lineno - first.lineno < 60, where


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
