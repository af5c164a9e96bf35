"""That a sanitizer sees what it is there for: a clean run of one that is off shows nothing."""

import pytest
from sanitized import SANITIZED
from scripts import run

from cmlp._core import engine

pytestmark = pytest.mark.sanitizer


def instrumented(symbol):
    with open(engine.__file__, "rb") as library:
        return symbol in library.read()


@pytest.mark.skipif(SANITIZED != "address", reason="make asan: no such sanitizer is loaded")
def test_address_sanitizer_is_on():
    assert instrumented(b"__asan_report_load")
    assert instrumented(b"__ubsan_handle_add_overflow")
    done = run(
        """
        import ctypes, numpy as np
        a = np.zeros(1000)
        ctypes.memset(a.ctypes.data, 0, a.nbytes + 1)
        """
    )
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr


@pytest.mark.skipif(SANITIZED != "thread", reason="make tsan: no such sanitizer is loaded")
def test_thread_sanitizer_is_on():
    """Two threads that write to one array without the GIL, which is the caller's fault."""
    assert instrumented(b"__tsan_write8")
    done = run(
        """
        import threading, numpy as np
        from cmlp._core import engine
        a, c = np.ones((200, 200)), np.empty((200, 200))
        def write():
            for _ in range(200):
                engine.gemm(a, a, c)
        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """
    )
    assert done.returncode != 0
    assert "data race" in done.stderr
