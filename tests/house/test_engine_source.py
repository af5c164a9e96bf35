"""How the sources of the engine read: few parameters, all with names; each file says what it takes
and gives."""

import re
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "src" / "cmlp" / "_core"
#: More than ten parameters: at most so many functions, the variants for dtypes and widths of
#: indices being one.
LONG, MOST_LONG = 10, 5


def source(path):
    """The text without comments, docstrings and continued lines of macros."""
    text = path.read_text()
    if path.suffix == ".h":
        return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).replace("\\\n", "\n")
    text = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
    return re.sub(r"#.*", "", text)


def parameters(inside):
    """The parameters between two parentheses, of which some hold parentheses themselves."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(inside):
        depth += (c in "([") - (c in ")]")
        if c == "," and depth == 0:
            parts.append(inside[start:i])
            start = i + 1
    return [part.strip() for part in [*parts, inside[start:]] if part.strip() not in ("", "void")]


def closing(text, start):
    """Where the parenthesis that opens at start is closed."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    raise AssertionError(text[start : start + 200])


def functions(path):
    """Name and parameters of every function defined, methods included."""
    text = source(path)
    opening = (
        r"^[ ]*(?:static|CMLP_INLINE)\s[^;{}()=]*?([\w#]+)\("
        if path.suffix == ".h"
        else r"^[ ]*(?:def|cdef|cpdef)\s(?:[^\n(=]*\s)?\**(\w+)\("
    )
    for match in re.finditer(opening, text, re.MULTILINE):
        start = match.end() - 1
        end = closing(text, start)
        if text[end + 1 :].lstrip()[:1] != "=":  # a table of functions
            yield match.group(1), parameters(text[start + 1 : end])


def extern_parameters(path):
    """Name and parameters of every function, and of every table of functions, declared extern."""
    text = source(path)
    for block in re.findall(r"^cdef extern from .*\n((?:^(?:[ ]{4}.*)?\n)+)", text, re.MULTILINE):
        for match in re.finditer(
            r"^    (?!ctypedef)[\w* ]+?(\w+|\(\*+\w+\))(?: \"\w+\")?\(", block, re.MULTILINE
        ):
            start = match.end() - 1
            yield match.group(1).strip("(*)"), parameters(block[start + 1 : closing(block, start)])


def kernel(name):
    """The name without what tells variants apart."""
    return re.sub(r"(_#*S#*N?|_f32|_f64)(_wide)?$", "", name.replace("##", "#")).strip("#_")


SOURCES = sorted(p for p in CORE.iterdir() if p.suffix in (".pxd", ".pxi", ".h"))


def test_what_is_read_here():
    """The parser sees what a reader does."""
    read = {kernel(name): len(p) for path in SOURCES for name, p in functions(path)}
    assert read["gemm"] == 7
    assert read["cmlp_tile"] == 1
    assert read["train_epoch"] == 16
    assert len(read) > 250
    externs = {name: len(p) for path in CORE.glob("*.p*") for name, p in extern_parameters(path)}
    assert externs["cmlp_row_dots_f64"] == 8
    assert externs["cmlp_activate_f32"] == 2
    assert externs["pool_run"] == 5


def test_few_functions_have_many_parameters():
    found = {
        kernel(name): len(p) for path in SOURCES for name, p in functions(path) if len(p) > LONG
    }
    assert len(found) <= MOST_LONG, found


@pytest.mark.parametrize("path", sorted(CORE.glob("*.px[di]")), ids=lambda path: path.name)
def test_externs_name_their_parameters(path):
    for name, p in extern_parameters(path):
        for parameter in p:
            words = re.sub(r"\"\w+\"", "", parameter).replace("*", " * ").split()
            names = [w for w in words if w not in ("const", "unsigned", "*")]
            assert len(names) > 1 or "(" in parameter, f"{name}: {parameter}"


def listed(path, word):
    """What the comment on top of a file lists after a word."""
    head = re.match(r"(?:#.*\n)+", path.read_text()).group()
    found = re.search(rf"^# {word}: (.*(?:\n#  +.*)*)", head, re.MULTILINE)
    assert found, f"{path.name} does not say what it {word}"
    return set(re.findall(r"\w+(?:\.pxi)?", found.group(1).replace("no other .pxi", "")))


def defined(path):
    """What is defined at the outermost level, and of that what Python or everybody sees."""
    text = source(path)
    entries = set(re.findall(r"^(?:def|cdef class) (\w+)|^(?=(\w+) = )", text, re.MULTILINE))
    entries = {name for names in entries for name in names if name}
    inner = re.findall(r"^cdef [^\n(=:]*?\**(\w+)\(|^    ([A-Z_]{3,}) = ", text, re.MULTILINE)
    return entries | {name for names in inner for name in names if name}, entries


INCLUDED = {path.name: path for path in sorted(CORE.glob("*.pxi"))}
#: Those that are compiled into modules of their own.
APART = {"testing.pxi", "pool_probe.pxi"}


@pytest.mark.parametrize("name", INCLUDED)
def test_an_included_file_says_what_it_uses_and_gives(name):
    path = INCLUDED[name]
    everything, entries = defined(path)
    gives = listed(path, "gives")
    assert entries - {"LARGEST_ROUNDED"} <= gives <= everything
    text = re.sub(r"^include .*", "", source(path), flags=re.MULTILINE)
    used = {
        other
        for other, it in INCLUDED.items()
        if other != name and (other == "checks.pxi" or (name in APART) == (other in APART))
        for given in listed(it, "gives") - everything
        if re.search(rf"(?<![.\w]){given}\b(?! (?:cimport|as)\b)", text)
    }
    assert listed(path, "uses") == used
