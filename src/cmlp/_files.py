"""Model files: an estimator as a safetensors file with JSON metadata, written whole or not at all.

What a value looks like in JSON is in ``_encoding``; ``docs/format.md`` describes the file.
"""

import errno
import json
import os
import secrets
import stat
import tempfile
from contextlib import contextmanager, suppress

from safetensors import safe_open
from safetensors.numpy import save_file

from cmlp._attributes import FITTED, LAYERS, check_attributes, converted
from cmlp._encoding import decode, encode
from cmlp._parameters import Parameters, network_units
from cmlp._version import __version__

FORMAT = "cmlp"
VERSION = 1
NO_NETWORK = "coefs_ and intercepts_ do not make a network"
#: What the metadata say of the file.
ABOUT = {"format", "format_version", "written_by", "estimator"}
#: Fitted attributes besides those that end in an underscore.
PRIVATE = ("_label_binarizer", "_no_improvement_count", "_dropout_state")


def regular_file(path):
    """Where a file is, or is to be, links being followed.

    Raises
    ------
    OSError
        If something else is there: a folder, a device, which a model would replace, or a pipe,
        which would keep its reader waiting.
    """
    path = os.path.realpath(os.fsdecode(path))
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a regular file", path)
    return path


def check_writable(path, est):
    """Raise what ``write`` would of the folder, parameters and attributes, as they are now."""
    contents(est)
    with tempfile.TemporaryFile(dir=os.path.dirname(regular_file(path))):
        pass


@contextmanager
def replacing(path):
    """A temporary file in the folder of ``path``, which takes its place once it is whole.

    Contents and folder are flushed to the disk before; if anything fails, the temporary file is
    removed and what ``path`` held is still there.
    """
    path = regular_file(path)
    folder = os.path.dirname(path)
    # a name of its own: that of the path, made longer, may be too long
    temporary = os.path.join(folder, f".cmlp-{secrets.token_hex(8)}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        mode = os.stat(path if os.path.exists(path) else temporary).st_mode & 0o777
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, mode)  # the writer may have made a file of its own
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_fitted_attribute(name):
    return name in PRIVATE or (name.endswith("_") and not name.startswith("_"))


def fitted_attributes(est):
    """The fitted attributes of an estimator as a file holds them, in the order they were set in.

    Raises
    ------
    ValueError
        If weights, whatever holds them, do not make a network.
    """
    attributes = {name: value for name, value in vars(est).items() if is_fitted_attribute(name)}
    weights = [attributes[name] for name in ("coefs_", "intercepts_") if name in attributes]
    if len(weights) == 2 and not all(map(LAYERS.holds, weights)):
        with refusing(NO_NETWORK):  # all together, as their common dtype is what predicts
            parameters = Parameters.from_lists(*weights)
        attributes |= {"coefs_": parameters.coefs, "intercepts_": parameters.intercepts}
    return converted(attributes)


@contextmanager
def refusing(what):
    """Any error, but that there is no memory, as a ValueError that says what it is about."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"{reason} is missing or unknown"
        raise ValueError(f"{what}: {reason}") from error


def contents(est, **more):
    """The metadata and the tensors of a model file, which ``read`` will take.

    Raises
    ------
    TypeError
        If a parameter or an attribute is of a type that the file cannot hold.
    ValueError
        If it is one that ``read`` would refuse.
    """
    kind, tensors, metadata = type(est), {}, {}
    with refusing(f"This {kind.__name__} cannot be saved"):
        for name in vars(est):
            if callable(getattr(kind, name, None)):
                raise ValueError(f"{name} is a method, which this instance has replaced")
        parts = {"params": est.get_params(deep=False), "attributes": fitted_attributes(est)}
    for part, values in {**parts, **more}.items():
        prefix = f"{part}." if part in more else ""
        coded = {name: encode(value, prefix + name, tensors) for name, value in values.items()}
        metadata[part] = json.dumps(coded)
    with refusing(f"This {kind.__name__} cannot be saved"):
        decoded(kind, metadata, dict(tensors))
    metadata |= {
        "format": FORMAT,
        "format_version": str(VERSION),
        "written_by": f"cmlp {__version__}",
        "estimator": kind.__name__,
    }
    return metadata, tensors


def write(path, est, **more):
    """Write an estimator, and ``more`` parts, dicts of values, to a model file.

    Raises
    ------
    TypeError, ValueError
        If the file could not hold it, or ``read`` would refuse it; no file is touched.
    OSError
        If the file cannot be written; what was there before is still there.
    """
    metadata, tensors = contents(est, **more)
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
            with safe_open(temporary, framework="numpy"):
                pass  # early versions of safetensors write longer headers than they read
        except OSError:
            raise
        except Exception as error:  # safetensors has one type for all, of disks too
            raise OSError(f"{os.fsdecode(path)} could not be written: {error}") from error


def read(path, estimators):
    """An estimator from a model file, and what more was written, by part.

    Parameters
    ----------
    estimators : dict of str to type
        What a file may hold.

    Raises
    ------
    OSError
        If there is no such file, it is not a regular one, or it cannot be read.
    ValueError
        If it is not a model file, or it is damaged.
    """
    with open(regular_file(path), "rb"):
        pass  # an error of the system's own
    with refusing(f"{os.fsdecode(path)} is not a valid cmlp model file"):
        with safe_open(os.fsdecode(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            check_format(metadata)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        coded = {part: text for part, text in metadata.items() if part not in ABOUT}
        est, parts = decoded(estimators[metadata["estimator"]], coded, tensors)
        if "coefs_" in vars(est):
            est._publish(Parameters.from_lists(est.coefs_, est.intercepts_))
    return est, parts


def check_format(metadata):
    if metadata.get("format") != FORMAT:
        raise ValueError("it was not written by cmlp")
    version = metadata["format_version"]
    if version not in map(str, range(1, VERSION + 1)):
        raise ValueError(
            f"it is of format version {version}, this cmlp reads versions up to {VERSION}"
        )


def decoded(kind, metadata, tensors):
    """An estimator, and what more there is, by part, from the JSON of each part."""
    parts = {part: json.loads(text) for part, text in metadata.items()}
    for values in parts.values():
        for name, value in values.items():
            if isinstance(value, list | dict):  # most are themselves
                with refusing(name):
                    values[name] = decode(value, tensors)
    return assemble(kind, parts.pop("params"), parts.pop("attributes")), parts


def assemble(kind, params, attributes):
    """An estimator of the given parameters and attributes, which are checked."""
    est = kind(**params)
    est._validate_params()
    for name, value in attributes.items():
        if not is_fitted_attribute(name):
            raise ValueError(f"{name} is not a fitted attribute")
        if hasattr(kind, name):
            raise ValueError(f"{name} is not an attribute of an instance")
        setattr(est, name, value)
    if not FITTED.isdisjoint(attributes):
        check_attributes(attributes)
        check_network(est)
    return est


def check_network(est):
    """That the attributes make a network which can predict, or a clear error."""
    with refusing(NO_NETWORK):
        units = network_units(est.coefs_, est.intercepts_)
    expected = {"n_features_in_": units[0], "n_outputs_": units[-1], "n_layers_": len(units)}
    for name, value in expected.items():
        if getattr(est, name) != value:
            raise ValueError(f"{name} is {getattr(est, name)}, the weights say {value}")
    names = getattr(est, "feature_names_in_", None)
    if names is not None and names.shape != units[:1]:
        raise ValueError("feature_names_in_ do not fit the weights")
    est._check_loaded()
