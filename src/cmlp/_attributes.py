"""What the fitted attributes of a network may be: the table by which files are written and read.

No file here, no training. What labels look like is the classifier's, see ``_check_loaded``.
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
    """What a value has to be."""

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
    """What scikit-learn's cross-validation takes for the number of a scorer, as a float."""
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

#: Of every fit that has begun.
ALWAYS = {
    "coefs_": LAYERS,
    "intercepts_": LAYERS,
    "n_features_in_": COUNT,
    "n_outputs_": COUNT,
    "n_layers_": COUNT,
    "n_iter_": COUNT,
    "t_": COUNT,
    "loss_": REAL,
    "out_activation_": NAME,
}
#: What older versions, and scikit-learn, do not have.
NEWER = {"validation_loss_curve_", "best_iter_"}
#: All or none but those, of a stochastic solver: what changes from epoch to epoch, besides.
OF_EPOCHS = {
    "best_loss_": or_none(REAL),
    "loss_curve_": list_of(REAL),
    "validation_scores_": or_none(list_of(REAL)),
    "validation_loss_curve_": or_none(list_of(REAL)),
    "best_validation_score_": or_none(REAL),
    "best_iter_": or_none(COUNT),
    "_no_improvement_count": COUNT,
}
SOMETIMES = {"_dropout_state": or_none(WORDS), "feature_names_in_": NAMES, "quantiles_": QUANTILES}
KINDS = {**ALWAYS, **OF_EPOCHS, **SOMETIMES}

#: Without a network there is none of these.
FITTED = {"classes_", "_label_binarizer", *KINDS}


def converted(attributes):
    """The attributes, those that a user may have set in other types as what they mean.

    Parameters
    ----------
    attributes : dict of str to object
    """
    attributes = dict(attributes)
    for name in KINDS.keys() & attributes.keys():
        value = attributes[name]
        if not KINDS[name].holds(value) and not np.ma.isMA(value):  # whose mask would be lost
            attributes[name] = KINDS[name].convert(value)
    return attributes


def check_attributes(attributes):
    """Raise ValueError if an attribute of a fitted network is missing or cannot be.

    Parameters
    ----------
    attributes : dict of str to object
    """
    required = set(ALWAYS)
    if not OF_EPOCHS.keys().isdisjoint(attributes):
        required |= OF_EPOCHS.keys() - NEWER
    missing = required - attributes.keys()
    if missing:
        name = min(missing)
        raise ValueError(f"{name} is missing, it must be {KINDS[name].what}")
    for name, kind in KINDS.items():
        if name in attributes and not kind.holds(attributes[name]):
            value = short.repr(attributes[name])
            raise ValueError(
                f"{name} must be {kind.what}, got {value}, a {type(attributes[name]).__name__}"
            )
    scores, best = (attributes.get(n) for n in ("validation_scores_", "best_validation_score_"))
    if (scores is None) != (best is None):
        raise ValueError("validation_scores_ and best_validation_score_ do not fit each other")
