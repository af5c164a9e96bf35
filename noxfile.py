"""The Makefile's targets as sessions of nox: `nox -s lint test-quick`."""

import nox

CHECKS = ["lint", "types", "test", "test-quick", "coverage", "compiler", "lowest", "prereleases"]
SANITIZED = ["debug", "asan", "tsan"]
TIMED = ["bench", "growth", "compare"]

nox.options.sessions = ["lint", "test-quick"]


def add(target):
    @nox.session(name=target, venv_backend="none")
    def run(session):
        session.run("make", target, *session.posargs, external=True)

    run.__doc__ = f"make {target}"


for name in CHECKS + SANITIZED + TIMED:
    add(name)
