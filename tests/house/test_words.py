"""The rule for docstrings, read from the sources: a first line names its subject."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "cmlp"
#: A what-clause, or a pronoun for what stands elsewhere, as the subject.
NAMELESS = re.compile(
    r"(What|Which|That|Whose|It|Its|They|Their|Them|Those|These|The same|The other)\b"
    r"(?! (call|epoch|estimator|file|iteration|module|row|sample|step|vector)\b)"
)


def nameless(text):
    """Line, name and first line of each docstring that breaks the rule."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            docstring = ast.get_docstring(node)
            if docstring and NAMELESS.match(docstring):
                yield getattr(node, "lineno", 1), docstring.splitlines()[0]


def undocumented(text):
    """Names of the classes without a docstring; "" for the module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef) and not ast.get_docstring(node):
            yield getattr(node, "name", "")


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*.py")), ids=lambda path: path.name)
def test_first_lines_name_their_subject(path):
    assert not list(nameless(path.read_text()))


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*.py")), ids=lambda path: path.name)
def test_modules_and_classes_are_documented(path):
    assert set(undocumented(path.read_text())) <= {"CallbackSupportMixin"}  # a stand-in


@pytest.mark.parametrize(
    "line",
    ["What is left.", "The same for y.", "Its value.", "That of the loss.", "Those of before."],
)
def test_what_the_rule_finds(line):
    assert list(nameless(f'def f():\n    """{line}"""'))
    assert list(undocumented("class Kind:\n    pass")) == ["", "Kind"]
