"""The compiled floor: chooses the engine for this machine once, at import. Nothing else.

``CMLP_SIMD=baseline|avx2|avx512`` in the environment overrides the choice.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

from cmlp._core import _cpu

#: Every variant of the engine, the fastest first.
VARIANTS = ("avx512", "avx2", "baseline")


def _load():
    wanted = os.environ.get("CMLP_SIMD", "").strip().lower()
    supported = _cpu.supported()
    if wanted and wanted not in VARIANTS:
        raise ImportError(f"CMLP_SIMD must be one of {', '.join(VARIANTS)}, got {wanted!r}.")
    if wanted and wanted not in supported:
        raise ImportError(
            f"CMLP_SIMD={wanted}, but this machine supports only {', '.join(supported)}."
        )
    for variant in [wanted] if wanted else supported:
        try:
            return variant, import_module(f"cmlp._core._engine_{variant}")
        except ModuleNotFoundError:
            # a compiler that cannot build a variant leaves it out; baseline is always there
            if variant == (wanted or "baseline"):
                raise
    raise AssertionError("unreachable")


#: Name of the loaded variant, and its module.
if TYPE_CHECKING:
    from cmlp._core import _engine_baseline as engine

    variant: str
else:
    variant, engine = _load()
