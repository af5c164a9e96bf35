"""What the kernel tests share: the engine in every variant that this machine can run."""

from importlib import import_module

import pytest
from engines import kernels_beside

from cmlp._core import VARIANTS, _cpu


@pytest.fixture(scope="session", params=VARIANTS)
def engine(request):
    """The compiled engine, once for each instruction set."""
    if request.param not in _cpu.supported():
        pytest.skip(f"this processor does not run {request.param}")
    try:
        return import_module(f"cmlp._core._engine_{request.param}")
    except ModuleNotFoundError:
        pytest.skip(f"the {request.param} engine was not built")


@pytest.fixture(scope="session")
def kernels(engine):
    """The kernels that only tests call, compiled as the engine is."""
    return kernels_beside(engine)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """The dtypes of the engine."""
    return request.param
