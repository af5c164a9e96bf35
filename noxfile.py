"""The Makefile's targets as nox sessions, `nox -s lint test-quick`: each runs `make` of its name."""

import nox

TARGETS = """lint types test test-quick coverage compare lowest prereleases compiler debug asan tsan
bench growth""".split()

nox.options.sessions = ["lint", "test-quick"]


def add(target):
    @nox.session(name=target, venv_backend="none")
    def run(session):
        session.run("make", target, *session.posargs, external=True)

    run.__doc__ = f"make {target}"


for name in TARGETS:
    add(name)
