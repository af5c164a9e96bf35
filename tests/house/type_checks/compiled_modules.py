"""Print the names of the compiled modules that are installed and can run on this machine."""

from importlib.util import find_spec

from cmlp._core import _cpu

names = ["cmlp._core._cpu", *(f"cmlp._core._engine_{variant}" for variant in _cpu.supported())]
print(*filter(find_spec, names))
