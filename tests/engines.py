"""The modules of kernels that only tests call, each beside an engine: ``_core/testing.pxi``."""

from importlib import import_module


def kernels_beside(engine):
    """The kernels that only tests call, of the instruction set of an engine.

    Parameters
    ----------
    engine : module

    Returns
    -------
    kernels : module

    Raises
    ------
    ModuleNotFoundError
        If this build has none, as no release has.
    """
    try:
        return import_module(engine.__name__.replace("._engine_", "._testing_"))
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "This build of cmlp has no kernels for tests. `make test` builds them, and so does an "
            "editable install, or any other with CMLP_TESTING=1 in its environment."
        ) from error
