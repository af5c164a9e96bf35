"""The tools that contributors use, by their files: one version of each, and targets that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"\b([a-z-]+)==([\d.]+)")
PINNED = dict(PIN.findall((ROOT / "requirements-dev.txt").read_text()))


def test_pre_commit_has_the_pinned_versions():
    found = PIN.findall((ROOT / ".pre-commit-config.yaml").read_text())
    assert {"ruff", "cython-lint", "clang-format"} <= {name for name, _ in found}
    ours = [(name, version) for name, version in found if name in PINNED]
    assert ours == [(name, PINNED[name]) for name, _ in ours]


@pytest.mark.parametrize("file", ["noxfile.py", ".ci/run", "CONTRIBUTING.md", "README.md"])
def test_targets_of_make_exist(file):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / file).read_text()
    named = set(re.findall(r"\bmake ([a-z-]+)", text))
    if file == "noxfile.py":
        named = set(re.findall(r'"([a-z-]+)"', text[: text.index("nox.options")]))
    assert named
    assert named <= targets
