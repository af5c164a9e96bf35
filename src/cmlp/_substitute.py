"""cmlp in scikit-learn's place: as its virtual subclasses, and under its names.

No estimator is defined here, none is changed; ``python -m cmlp`` ends here too.
"""

import atexit
import builtins
import io
import os
import runpy
import signal
import sys
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType

import sklearn.neural_network
from sklearn.neural_network import _multilayer_perceptron

from cmlp._classifier import MLPClassifier
from cmlp._regressor import MLPRegressor

OURS = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
#: scikit-learn's own, whatever its public names stand for.
THEIRS = {name: getattr(_multilayer_perceptron, name) for name in OURS}

for _name in OURS:  # isinstance, issubclass and singledispatch ask the classes
    THEIRS[_name].register(OURS[_name])


class Patch:
    """A patch of scikit-learn's names; as a context manager it ends with the block.

    Parameters
    ----------
    before : dict of str to type
        The classes under scikit-learn's names before the patch.
    """

    def __init__(self, before: dict[str, type]) -> None:
        self._before = before

    def __enter__(self) -> None:
        rename({name: OURS[name] for name in self._before})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        rename(self._before)


def patch_sklearn(name: str | list[str] | None = None) -> Patch:
    """Make ``sklearn.neural_network.MLPClassifier`` and ``MLPRegressor`` cmlp's.

    For programs and libraries that import scikit-learn's classes themselves. What looks the names
    up from then on gets cmlp's; what has imported them before keeps scikit-learn's, so call it
    first. Models made while patched are cmlp's: they are unpickled, in other processes too,
    without a patch. Also a context manager, which ends the patch.

    Parameters
    ----------
    name : {'MLPClassifier', 'MLPRegressor'} or list of such, default=None
        What to replace; None is both.

    Returns
    -------
    patch : context manager

    Raises
    ------
    ValueError
        If a name is another.

    See Also
    --------
    unpatch_sklearn : The way back.

    Examples
    --------
    >>> import cmlp
    >>> with cmlp.patch_sklearn():
    ...     from sklearn.neural_network import MLPClassifier
    >>> MLPClassifier is cmlp.MLPClassifier
    True
    >>> from sklearn.neural_network import MLPClassifier
    >>> MLPClassifier is cmlp.MLPClassifier
    False
    """
    names = chosen(name)
    before = {key: getattr(sklearn.neural_network, key) for key in names}
    rename({key: OURS[key] for key in names})
    return Patch(before)


def unpatch_sklearn(name: str | list[str] | None = None) -> None:
    """Give ``sklearn.neural_network`` its own classes back; without a patch, nothing happens.

    Parameters
    ----------
    name : {'MLPClassifier', 'MLPRegressor'} or list of such, default=None
        What to give back; None is both.

    Raises
    ------
    ValueError
        If a name is another.
    """
    rename({key: THEIRS[key] for key in chosen(name)})


def chosen(name):
    names = list(OURS) if name is None else [name] if isinstance(name, str) else list(name)
    for key in names:
        if key not in OURS:
            raise ValueError(f"name must be one of {sorted(OURS)}, got {key!r}.")
    return names


def rename(kinds):
    """Put classes under scikit-learn's names.

    In the public module only: pickle finds scikit-learn's own models in the private one.
    """
    for key, kind in kinds.items():
        setattr(sklearn.neural_network, key, kind)


# python -m cmlp

USAGE = """usage: python -m cmlp script.py [arguments]
       python -m cmlp -m module [arguments]

Runs a program with cmlp's MLPClassifier and MLPRegressor in place of scikit-learn's."""
CONTROL_C_EXIT = -1073741510  # of Windows: 0xC000013A


def main(arguments):
    """Run a program while scikit-learn is patched, as Python itself would run it.

    Parameters
    ----------
    arguments : list of str
        What follows ``python -m cmlp``.
    """
    match arguments:
        case ["-m", program, *rest]:
            run = run_module
        case [program, *rest] if not program.startswith("-"):
            run = run_script
        case _:
            asked = arguments in (["-h"], ["--help"])
            print(USAGE, file=sys.stdout if asked else sys.stderr)
            sys.exit(0 if asked else 2)
    patch_sklearn()
    interrupted = []
    # registered first, and so called last
    atexit.register(lambda: interrupted and die_of_interrupt())
    try:
        run(program, rest)
    except SystemExit:
        raise
    except BaseException as error:
        traceback = error.__traceback__
        while traceback is not None and is_runner(traceback.tb_frame):
            traceback = traceback.tb_next
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, traceback
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        if isinstance(error, KeyboardInterrupt):
            interrupted.append(error)
        sys.exit(CONTROL_C_EXIT if interrupted and os.name == "nt" else 1)


def run_script(path, arguments):
    """Run a file in the namespace of ``__main__``."""
    file_name = os.path.join(os.getcwd(), path)
    try:
        with io.open_code(file_name) as file:
            source = file.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {file_name!r}: {reason}", file=sys.stderr)
        sys.exit(2)
    sys.argv[:] = [path, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    namespace = new_main()
    namespace.update(
        __file__=file_name,
        __cached__=None,
        __loader__=SourceFileLoader("__main__", file_name),
    )
    exec(compile(source, file_name, "exec"), namespace)


def new_main():
    """The namespace of a new ``__main__``; the old one may be a profiler's, which goes on."""
    module = sys.modules["__main__"] = ModuleType("__main__")
    namespace = vars(module)
    namespace["__builtins__"] = builtins
    if sys.version_info < (3, 14):
        namespace["__annotations__"] = {}
    return namespace  # with __spec__ None, by which multiprocessing tells a script from a module


def run_module(name, arguments):
    """Run a module in the namespace of ``__main__``."""
    sys.argv[:] = ["-m", *arguments]
    new_main()
    runpy._run_module_as_main(name)


def is_runner(frame):
    """Whether a frame is between Python and the program."""
    return frame.f_code.co_filename in (__file__, runpy.__file__) or (
        frame.f_code.co_filename.startswith("<frozen ")
    )


def die_of_interrupt():
    """End the process as Python does after Ctrl-C, so that a shell's loop ends as well."""
    if os.name == "posix":
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
