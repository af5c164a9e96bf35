"""What the type checkers of ``make types`` cannot tell: the program runs, constructors match."""

import ast
import re
import runpy
from pathlib import Path

import matplotlib
import pytest

FOLDER = Path(__file__).parent
CORE = FOLDER.parents[2] / "src" / "cmlp" / "_core"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_program_of_a_user_runs(monkeypatch, tmp_path):
    matplotlib.use("agg")
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path))
    names = runpy.run_path(str(FOLDER / "user_program.py"), run_name="__main__")
    assert names["classifier"].n_iter_ > 0


def in_stub():
    """Arguments of the constructors, by class."""
    tree = ast.parse((CORE / "_engine_baseline.pyi").read_text())
    return {
        node.name: function.args
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for function in node.body
        if getattr(function, "name", None) == "__new__"
    }


@pytest.mark.parametrize("name", in_stub())
def test_the_stub_of_a_constructor(name):
    """Names and defaults are those of the __cinit__, which stubtest cannot see."""
    source = "".join(path.read_text() for path in CORE.glob("*.pxi"))
    written = re.search(
        rf"^cdef class {name}:.*?^    def __cinit__\((.*?)\):$", source, re.DOTALL | re.MULTILINE
    ).group(1)
    written = re.sub(r"\b\w+ (?=\w)", "", written.replace(" not None", ""))  # types
    args = ast.parse(f"def __cinit__({written}): pass").body[0].args
    stub = in_stub()[name]
    assert [arg.arg for arg in args.args[1:]] == [arg.arg for arg in stub.args[1:]]
    assert list(map(ast.unparse, args.defaults)) == list(map(ast.unparse, stub.defaults))
