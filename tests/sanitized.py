"""Runs Python with a sanitizer's runtime: for engines built with CMLP_SANITIZE, by gcc on Linux.

`python tests/sanitized.py address -m pytest tests/core`. The runtime has to be loaded before
Python is, so that it sees every allocation and every lock.
"""

import os
import platform
import subprocess
import sys

#: The sanitizer that is loaded, if there is one.
SANITIZED = os.environ.get("CMLP_SANITIZE", "")
#: Why a test of the resident set is not for the address sanitizer.
KEEPS_FREED = "what is freed is kept for a while, so that its use is seen"

RUNTIMES = {"address": ["libasan.so", "libstdc++.so"], "thread": ["libtsan.so"]}
OPTIONS = {
    # what Python itself never frees is not ours; a MemoryError is as without the sanitizer
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    # a child by fork may make threads, as joblib's and ours do
    "TSAN_OPTIONS": "halt_on_error=1:die_after_fork=0",
    # each array in memory of its own, not in a pool where no one sees its ends
    "PYTHONMALLOC": "malloc",
}


def environment(sanitizer):
    """What the runtime is told by."""
    compiler = os.environ.get("CC", "gcc")
    found = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in RUNTIMES[sanitizer]
    ]
    for path in found:
        if not os.path.isabs(path):  # gcc repeats the name of what it does not have
            sys.exit(f"{compiler} has no {path}")
    return {"LD_PRELOAD": " ".join(found), "CMLP_SANITIZE": sanitizer, **OPTIONS}


def main(sanitizer, *arguments):
    command = [sys.executable, *arguments]
    if sanitizer == "thread":  # its shadow memory has fixed addresses, random ones may be in it
        command = ["setarch", platform.machine(), "-R", *command]
    os.execvpe(command[0], command, {**os.environ, **environment(sanitizer)})


if __name__ == "__main__":
    main(*sys.argv[1:])
