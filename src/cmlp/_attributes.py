"""Kinds of fitted attributes: what a value may be, and what becomes of one that a user has set.

Which attribute is of which kind is said where the attributes are listed.
"""

import reprlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from numbers import Number
from operator import index
from typing import Any, NamedTuple

import numpy as np

short = reprlib.Repr()
short.maxother = short.maxstring = 60


class Kind(NamedTuple):
    """Kind of value: a predicate, its name in words, a conversion."""

    what: str  # in words, after "must be"
    holds: Callable[[Any], bool]
    convert: Callable[[Any], Any]  # what a user may have set; what it cannot convert as it is


# Conversions


def as_is(value):
    return value


def as_count(value):
    """An integer of any type as an int."""
    with suppress(TypeError):
        return value if isinstance(value, bool) else index(value)
    return value


def as_real(value):
    """A scorer's number, of any type that scikit-learn's cross-validation accepts, as a float."""
    number = value
    if not np.ma.isMA(value):  # what is masked is none
        with suppress(AttributeError, TypeError, ValueError):
            number = value.item()
    if isinstance(number, Number):
        with suppress(TypeError, ValueError, OverflowError):
            return float(number)
    return value


def as_list_of(kind):
    """How a sequence, as an array of one dimension or a tuple, becomes a list of that kind."""

    def convert(value):
        is_sequence = hasattr(value, "__len__") and hasattr(value, "__getitem__")
        if not is_sequence or isinstance(value, str | bytes | Mapping):
            return value
        if getattr(value, "ndim", 1) != 1:
            return value
        return [item if kind.holds(item) else kind.convert(item) for item in value]

    return convert


def as_names(value):
    """Strings, in whatever holds them, as an array of objects."""
    with suppress(TypeError, ValueError):
        names = np.asarray(value, dtype=object)
        if names.ndim == 1 and all(isinstance(name, str) for name in names):
            return names
    return value


def as_floats(value):
    """Floats, in whatever holds them, as an array in the order of bytes that is this machine's."""
    with suppress(TypeError, ValueError):
        array = np.asarray(value)
        if array.dtype.kind == "f":
            return array.astype(array.dtype.newbyteorder("="), copy=False)
    return value


# Predicates


def is_count(value):
    """An int of 0 to 2^62 - 1, as Python's or NumPy's, to which as many may be added."""
    return type(value) in (int, np.int32, np.int64) and 0 <= value < 2**62


def is_real(value):
    """A number that float takes."""
    return isinstance(value, float | np.floating | np.integer) or (
        isinstance(value, int) and abs(value) < 2**63
    )


def is_weights(value):
    """An array of floats; float16, which a user may set, predicts as float32."""
    return isinstance(value, np.ndarray) and value.dtype in (np.float16, np.float32, np.float64)


def is_words(value):
    """Two integers of 64 bits in a tuple."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(type(word) is int and 0 <= word < 2**64 for word in value)
    )


# Kinds


def list_of(kind, kinds=list):
    return Kind(
        f"a list of which each item is {kind.what}",
        lambda value: isinstance(value, kinds) and all(map(kind.holds, value)),
        as_list_of(kind),
    )


def or_none(kind):
    return Kind(
        f"None or {kind.what}",
        lambda value: value is None or kind.holds(value),
        kind.convert,
    )


COUNT = Kind("an int of 0 to 2**62 - 1", is_count, as_count)
REAL = Kind("a float", is_real, as_real)
#: Which lists of others make a network is a question to all of them: ``_files.fitted_state``.
LAYERS = list_of(Kind("an array of floats", is_weights, as_is), list | tuple)
WORDS = Kind("a tuple of two integers of 64 bits", is_words, as_is)
NAMES = Kind(
    "an array of objects, the names of the features",
    lambda value: isinstance(value, np.ndarray) and value.dtype == object,
    as_names,
)
QUANTILES = Kind(
    "an array of floats between 0 and 1",
    lambda value: is_weights(value) and ((value > 0) & (value < 1)).all(),
    as_floats,
)
NAME = Kind("a str", lambda value: isinstance(value, str), as_is)
