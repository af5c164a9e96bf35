"""Model files: parts of values as a safetensors file with JSON metadata, whole or not at all.

What a value looks like in JSON is in ``_encoding``, what the parts of an estimator are in
``_persistence``; ``docs/format.md`` describes the file.
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

from cmlp._encoding import decode, encode
from cmlp._version import __version__

FORMAT = "cmlp"
VERSION = 1
#: What the metadata say of the file.
ABOUT = {"format", "format_version", "written_by", "estimator"}


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


def check_folder(path):
    """Raise the OSError of a folder in which no file can be made."""
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


def encoded(parts, prefixed=()):
    """The metadata and the tensors of parts, dicts of values.

    Parameters
    ----------
    prefixed : set of str
        Parts whose tensors are named after them too.

    Raises
    ------
    TypeError
        If a value is of a type that a file cannot hold.
    """
    tensors, metadata = {}, {}
    for part, values in parts.items():
        prefix = f"{part}." if part in prefixed else ""
        coded = {name: encode(value, prefix + name, tensors) for name, value in values.items()}
        metadata[part] = json.dumps(coded)
    return metadata, tensors


def decoded(metadata, tensors):
    """The parts that were encoded."""
    parts = {part: json.loads(text) for part, text in metadata.items()}
    for values in parts.values():
        for name, value in values.items():
            if isinstance(value, list | dict):  # most are themselves
                with refusing(name):
                    values[name] = decode(value, tensors)
    return parts


def write_file(path, kind, metadata, tensors):
    """Write what was encoded to a file; if that fails, what was there before is still there.

    Parameters
    ----------
    kind : str
        Name of the estimator.

    Raises
    ------
    OSError
    """
    metadata = {
        **metadata,
        "format": FORMAT,
        "format_version": str(VERSION),
        "written_by": f"cmlp {__version__}",
        "estimator": kind,
    }
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
            with safe_open(temporary, framework="numpy"):
                pass  # early versions of safetensors write longer headers than they read
        except OSError:
            raise
        except Exception as error:  # safetensors has one type for all, of disks too
            raise OSError(f"{os.fsdecode(path)} could not be written: {error}") from error


def read_file(path, make):
    """Read a model file and make an estimator of its contents.

    Parameters
    ----------
    make : callable(kind, metadata, tensors)
        ``kind`` is the name of the estimator, the others are what was encoded.

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
        return make(metadata["estimator"], coded, tensors)


def check_format(metadata):
    if metadata.get("format") != FORMAT:
        raise ValueError("it was not written by cmlp")
    version = metadata["format_version"]
    if version not in map(str, range(1, VERSION + 1)):
        raise ValueError(
            f"it is of format version {version}, this cmlp reads versions up to {VERSION}"
        )
