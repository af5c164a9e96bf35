"""A process of its own that times cases on command: on other cores, or with another build of cmlp.

`Worker` is the side that commands; run as a script this file is the side that obeys, one JSON
object per line. Workers that take turns are as comparable as systems in one process.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Worker:
    """Holds the process; a context manager.

    Parameters
    ----------
    n_cores : int
        Cores it is pinned to, and threads that every system gets.
    cpus : list of int or None
        To choose the cores from.
    path : Path or None
        Where it finds cmlp, if not where this process does.
    systems : list of str or None
        Those to use, if not all that are installed.
    """

    def __init__(self, n_cores=1, cpus=None, path=None, systems=None):
        self.order = {
            "n_cores": n_cores,
            "cpus": cpus,
            "systems": systems,
            "parent": os.getpid(),
        }
        self.environment = dict(os.environ)
        if path is not None:
            self.environment["PYTHONPATH"] = str(path)

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", json.dumps(self.order)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        return self

    def __exit__(self, exception, *_):
        if exception is not None:
            self.process.kill()  # it may be at work for a minute
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, **command):
        """Send one command and wait for its answer."""
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its exit status says more
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with status {self.process.wait()}")
        return json.loads(line)

    def where(self):
        """The file of the cmlp it has imported."""
        return Path(self.ask(do="where"))

    def prepare(self, name, dtype, n_samples=None):
        """Make a case; returns its record, its number of units and its systems."""
        return self.ask(do="prepare", name=name, dtype=dtype, n_samples=n_samples)

    def turn(self, system, seconds):
        """Pairs of seconds of one turn of a system in the case that was prepared."""
        return self.ask(do="turn", system=system, seconds=seconds)


def end_with_parent(parent):
    """Leave Ctrl-C to the parent, and do not outlive it, whatever ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent has gone")


def obey(order, commands, answers):
    """Answer every command until there are no more."""
    from benchmarks import machine

    machine.pin(order["n_cores"], order["cpus"])
    import cmlp
    from benchmarks import cases, runners, timing

    adapters = runners.installed(lambda text: None, order["systems"])
    case = None
    for line in commands:
        command = json.loads(line)
        if command["do"] == "where":
            answer = cmlp.__file__
        elif command["do"] == "prepare":
            case = cases.make(command["name"], command["dtype"], adapters, command["n_samples"])
            answer = {
                "record": case.record(),
                "n_units": case.n_units,
                "systems": list(case.actions),
            }
        else:
            answer = timing.take_turn(case.actions[command["system"]], command["seconds"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    # the order's channel is kept apart from what libraries print
    order = json.loads(sys.argv[1])
    end_with_parent(order["parent"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    obey(order, sys.stdin, answers)
