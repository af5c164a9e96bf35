"""Code in an interpreter of its own: for what ends, limits or interrupts a process."""

import os
import subprocess
import sys
import textwrap

TIMEOUT = 300  # seconds; against a hang, on any slow machine


def run(code, *arguments, timeout=TIMEOUT, **environment):
    """Run it to its end.

    Parameters
    ----------
    code : str
        It may import what the caller may, test modules included.
    *arguments
        Its ``sys.argv[1:]``, as strings.
    timeout : float or None
        Seconds.
    **environment : str
        Variables beside those of this process.

    Returns
    -------
    done : subprocess.CompletedProcess
        With its output as text.

    Raises
    ------
    subprocess.TimeoutExpired
        If it hangs.
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def output_of(code, *arguments, timeout=TIMEOUT, **environment):
    """The same for code that has to succeed: what it prints."""
    done = run(code, *arguments, timeout=timeout, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
