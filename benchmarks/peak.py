"""The machine's limits, measured: multiply-adds per second of one core, and bytes read per second
from each level of memory. ``python -m benchmarks.peak`` prints them.

The loops are C with inline assembly, compiled when they are needed; without a compiler there are
no limits, and nothing else is missing.
"""

import ctypes
import mmap
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import machine

SOURCE = Path(__file__).with_name("peak.c")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
DEFAULT_CACHES = {"L1": 32 << 10, "L2": 512 << 10, "L3": 16 << 20}
#: seconds of one measurement, and how often it is repeated
SECONDS, REPEATS = 0.003, 30
LARGEST = 256 << 20  # a buffer that counts as DRAM


def compiled(report):
    """The loops, or None, with a message, where they cannot be compiled."""
    compiler = os.environ.get("CC", "cc").split()
    if shutil.which(compiler[0]) is None:
        report(f"the machine's limits are left out: no C compiler ({compiler[0]})")
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        command = [*compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            report(f"the machine's limits are left out: {done.stderr.strip()}")
            return None
        loops = ctypes.CDLL(str(library))
    loops.peak_name.restype = ctypes.c_char_p
    loops.peak_multiply_add.argtypes = ctypes.c_int, ctypes.c_int64
    loops.peak_read.argtypes = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
    loops.peak_multiply_add.restype = loops.peak_read.restype = ctypes.c_double
    return loops


def cache_sizes():
    """Level -> bytes of the data caches that one core sees, as Linux tells, or plausible ones."""
    sizes = {}
    for folder in sorted(CACHES.glob("index*")):
        level, kind, size = ((folder / f).read_text().strip() for f in ("level", "type", "size"))
        if kind != "Instruction" and size.endswith("K"):
            sizes[f"L{level}"] = int(size[:-1]) << 10
    return sizes or DEFAULT_CACHES


def rate(work):
    """The highest rate of ``work(n)``, which returns the amount done, with n long enough."""
    n, best = 1, 0.0
    for _ in range(REPEATS):
        start = time.perf_counter()
        amount = work(n)
        seconds = time.perf_counter() - start
        if seconds < SECONDS:
            n = max(n + 1, int(n * min(100.0, SECONDS / max(seconds, 1e-7))))
            if seconds < SECONDS / 2:
                continue
        best = max(best, amount / seconds)
    return best


def measure(report=print):
    """The limits of one core.

    Returns
    -------
    limits : dict or None
        ``simd``; ``gflops``: per dtype; ``read_gb_s``: per level of memory; ``cache_bytes``.
    """
    loops = compiled(report)
    if loops is None:
        return None
    gflops = {
        dtype: rate(lambda n, wide=wide: loops.peak_multiply_add(wide, n)) / 1e9
        for wide, dtype in enumerate(("float32", "float64"))
    }
    caches = cache_sizes()
    # half of a cache, so that the other half holds what else there is; large pages if possible
    sizes = {level: size // 2 for level, size in caches.items() if size // 2 < LARGEST}
    sizes["DRAM"] = LARGEST
    buffer = mmap.mmap(-1, LARGEST)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        buffer.madvise(mmap.MADV_HUGEPAGE)
    view = memoryview(buffer)
    view[:: mmap.PAGESIZE] = bytes(len(view[:: mmap.PAGESIZE]))
    address = (ctypes.c_char * LARGEST).from_buffer(buffer)
    read = {
        level: rate(lambda n, size=size: loops.peak_read(address, size, n)) / 1e9
        for level, size in sizes.items()
    }
    return {
        "simd": loops.peak_name().decode(),
        "gflops": gflops,
        "read_gb_s": read,
        "cache_bytes": caches,
    }


def as_text(limits):
    """The limits in one line of Markdown."""
    if limits is None:
        return "- limits of the core: not measured"
    peak = ", ".join(f"{rate:.0f} GFLOP/s in {dtype}" for dtype, rate in limits["gflops"].items())
    read = ", ".join(f"{level} {rate:.0f}" for level, rate in limits["read_gb_s"].items())
    return f"- measured limits of one core: {peak} ({limits['simd']}); reading, GB/s: {read}"


if __name__ == "__main__":
    machine.pin()
    print(as_text(measure()))
