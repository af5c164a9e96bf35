"""Short ways through scikit-learn's validation, for the plain cases that cost it most.

Each returns what scikit-learn would, or says that the case is not plain; scikit-learn's own
functions then do the work and find the words. No network, no training.
"""

from collections.abc import Callable
from functools import partial, update_wrapper, wraps
from types import MethodType
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import DataConversionWarning
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state, column_or_1d, metaestimators
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _is_fitted, validate_data

from cmlp._core import engine
from cmlp._typing import Method
from cmlp._warnings import warn

try:
    from sklearn._config import _get_threadlocal_config
except ImportError:  # then every call takes scikit-learn's way
    _get_threadlocal_config = None

# Parameters

#: Types of which equal values are equally valid.
IMMUTABLE = frozenset(
    {int, float, bool, str, tuple, type(None)}
    | {np.float64, np.float32, np.int64, np.int32, np.bool_}
)
MAX_REMEMBERED = 1024
_valid_parameters = set()


def parameters_key(estimator):
    """Key of all that decides whether parameters are valid; None if there is none."""
    cls = type(estimator)
    if cls.get_params is not BaseEstimator.get_params:
        return None
    if cls not in _parameter_names:
        names = tuple(cls._get_param_names())
        # the value of a property is not in vars
        _parameter_names[cls] = None if any(hasattr(cls, name) for name in names) else names
    names = _parameter_names[cls]
    if names is None:
        return None
    attributes = vars(estimator)
    try:
        values = [attributes[name] for name in names]
    except KeyError:
        return None
    types = tuple(map(type, values))
    if not IMMUTABLE.issuperset(types):
        for i, kind in enumerate(types):
            if kind is np.random.RandomState:
                values[i] = None  # any is valid, and its type is part of the key
            elif kind not in IMMUTABLE:
                return None
    return cls, id(cls._parameter_constraints), types, tuple(values)


_parameter_names = {}


class Names(StrOptions):
    """Constraint of one of the given names, listed in their order, not that of a set."""

    def __str__(self):
        return f"a str among {{{', '.join(map(repr, sorted(self.options)))}}}"


class SequenceOf(StrOptions):
    """Constraint of a list or tuple of the given names, as a parameter for each hidden layer."""

    def is_satisfied_by(self, val):
        return isinstance(val, list | tuple) and all(map(super().is_satisfied_by, val))

    def __str__(self):
        return "a list or tuple of them, one per hidden layer"


def validate_parameters(estimator, validate):
    """Call ``validate()``, unless it has passed with parameters like these before."""
    key = parameters_key(estimator)
    try:
        if key in _valid_parameters:
            return
    except TypeError:  # an unhashable item of a tuple
        key = None
    validate()
    if key is not None:
        if len(_valid_parameters) >= MAX_REMEMBERED:
            _valid_parameters.clear()
        _valid_parameters.add(key)


def fit_context(method: Method) -> Method:
    """``sklearn.base._fit_context(prefer_skip_nested_validation=True)``, with less ado.

    The parameters are validated, except in a partial_fit of what is fitted, and validation is off
    in what the method calls.
    """
    checked = _fit_context(prefer_skip_nested_validation=True)(method)
    if _get_threadlocal_config is None:
        return checked
    incremental = method.__name__ == "partial_fit"

    @wraps(method)
    def wrapper(self, *args, **kwargs):
        if hasattr(self, "_skl_callbacks"):
            return checked(self, *args, **kwargs)
        config = _get_threadlocal_config()
        skip = config["skip_parameter_validation"]
        if not skip and not (incremental and ("coefs_" in vars(self) or _is_fitted(self))):
            self._validate_params()
        config["skip_parameter_validation"] = True
        try:
            return method(self, *args, **kwargs)
        finally:
            config["skip_parameter_validation"] = skip

    return wrapper


class Available:
    """``sklearn.utils.metaestimators.available_if`` as a descriptor, with less ado.

    A method that is there is handed out at once; where it is not, scikit-learn finds the words.
    """

    def __init__(self, method, check):
        update_wrapper(self, method)
        self.method, self.check = method, check
        self.long_way = metaestimators.available_if(check)(method)

    def __get__(self, instance, owner=None):
        try:
            is_there = instance is not None and self.check(instance)
        except Exception:
            is_there = False
        if is_there:
            return MethodType(self.method, instance)
        return self.long_way.__get__(instance, owner)


def available_if(check: Callable[[Any], bool]) -> Callable[[Method], Method]:
    """``sklearn.utils.metaestimators.available_if``"""
    return cast(Any, partial(Available, check=check))


# Arrays


def has_validation_data(X_val, y_val, sample_weight_val):
    """Whether fit was given validation data.

    Raises
    ------
    ValueError
        If it was given a part of them, in the words of HistGradientBoosting.
    """
    if X_val is None and y_val is None:
        if sample_weight_val is not None:
            raise ValueError("sample_weight_val is provided, but X_val was not provided.")
        return False
    if y_val is None:
        raise ValueError("X_val is provided, but y_val was not provided.")
    if X_val is None:
        raise ValueError("y_val is provided, but X_val was not provided.")
    return True


def validate_training_data(estimator, X, y, reset, **kwargs):
    """``validate_data`` for X of float32 or float64, dense or CSR or CSC, and y.

    A plain X and a plain y are handed back as they are, as validate_data would. X is not converted
    from one of the two dtypes to the other, but must be in the range of that of the estimator.
    """
    as_float32 = estimator.dtype == "float32"
    if (
        engine.is_plain_and_finite(X, as_float32)
        and X.ndim == 2
        and is_plain_target(y)
        and len(X) == len(y)
        and (reset or expects(estimator, X))
    ):
        if reset:
            estimator.n_features_in_ = X.shape[1]
            if hasattr(estimator, "feature_names_in_"):
                del estimator.feature_names_in_
        return X, y
    if sp.issparse(X):
        engine.check_conversion(X)
    with np.errstate(invalid="ignore"):  # of sums by which scikit-learn looks for infinities
        X, y = validate_data(
            estimator,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float32, np.float64) if as_float32 else (np.float64, np.float32),
            reset=reset,
            **kwargs,
        )
    if as_float32:
        check_float32_range(X)
    return X, y


def validate_rows(estimator, X):
    """``validate_data`` for the X of predict."""
    as_float32 = estimator.dtype == "float32"
    if engine.is_plain_and_finite(X, as_float32) and X.ndim == 2 and expects(estimator, X):
        return X
    if sp.issparse(X):
        engine.check_conversion(X)
    with np.errstate(invalid="ignore"):
        X = validate_data(estimator, X, accept_sparse=["csr", "csc"], reset=False)
    if as_float32:
        check_float32_range(X)
    return X


def check_float32_range(X):
    """Raise scikit-learn's ValueError if X, which stays float64, is beyond float32."""
    values = X.data if sp.issparse(X) else X
    if values.dtype.kind != "f" or not values.size or engine.is_plain_and_finite(values, True):
        return
    with np.errstate(over="ignore"):
        if np.isinf(np.float32(max(-values.min(), values.max()))):
            raise ValueError(
                "Input X contains infinity or a value too large for dtype('float32')."
            )


def expects(estimator, X):
    """Whether an array without names, as wide as X, is what the estimator was fitted to."""
    return getattr(estimator, "n_features_in_", None) == X.shape[1] and not hasattr(
        estimator, "feature_names_in_"
    )


def is_plain_target(y):
    """Whether validate_data hands back this y as it is: native, finite, no objects."""
    if type(y) is not np.ndarray or y.ndim not in (1, 2) or not y.size or not y.dtype.isnative:
        return False
    return y.dtype.kind in "biuU" or engine.is_plain_and_finite(y)


def ravel_column(y):
    """``column_or_1d(y, warn=True)``, its warning at the caller's line."""
    if np.ndim(y) == 2 and np.shape(y)[1] == 1:
        warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of"
            " y to (n_samples, ), for example using ravel().",
            DataConversionWarning,
        )
    return column_or_1d(y)


# Labels

_fitted_binarizer = None


def fit_label_binarizer(y):
    """``LabelBinarizer().fit(y)``"""
    global _fitted_binarizer
    if y.ndim != 1 or y.dtype.kind not in "biuU" or not is_plain_target(y):
        return LabelBinarizer().fit(y)
    classes = np.unique(y)
    if y.dtype.kind == "U":
        classes = np.array(classes.tolist())  # as short as the longest label
    if _fitted_binarizer is None:
        _fitted_binarizer = LabelBinarizer().fit(np.arange(2))
    binarizer = LabelBinarizer()
    vars(binarizer).update(vars(_fitted_binarizer))
    binarizer.y_type_ = "multiclass" if len(classes) > 2 else "binary"
    binarizer.classes_ = classes
    return binarizer


def indicator(binarizer, y):
    """``binarizer.transform(y)`` as a bool matrix; None if y is not plain or has other labels."""
    if binarizer.y_type_ not in ("binary", "multiclass"):
        return None
    classes = binarizer.classes_
    matrix = engine.indicator(y, classes)
    if matrix is not None:
        return matrix
    if (
        y.ndim != 1
        or y.dtype.kind not in "biufU"
        or (y.dtype != classes.dtype and not y.dtype.kind == classes.dtype.kind == "U")
    ):
        return None
    position = classes.searchsorted(y)
    if (classes.take(position, mode="clip") != y).any():
        return None
    if len(classes) <= 2:
        return (position == 1).reshape(-1, 1)
    matrix = np.zeros((len(y), len(classes)), dtype=bool)
    matrix.ravel()[np.arange(0, matrix.size, len(classes)) + position] = True
    return matrix


def are_classes(classes, fitted):
    """Whether ``unique_labels(classes)`` surely equals the fitted classes."""
    if type(classes) in (list, tuple):
        kinds = set(map(type, classes))
        if len(kinds) != 1 or not kinds <= {int, bool, str}:
            return False
        classes = np.array(classes)
    return (
        type(classes) is np.ndarray
        and classes.dtype == fitted.dtype
        and classes.dtype.kind in "biuU"
        and np.array_equal(classes, fitted)
    )


# Random states

_random_states = []


def borrow_random_state(seed, drawn=True, stream=0):
    """``check_random_state(seed)``, for one fit; to be given back after it.

    None where nothing will be drawn from a valid integer seed. An integer seed has other draws for
    each stream, a non-negative integer.

    A new RandomState asks the system for entropy before it is seeded, which takes longer than a
    small fit; one that is seeded again draws the same numbers.
    """
    if stream and isinstance(seed, np.integer):
        seed = int(seed)
    if type(seed) is not int or not 0 <= seed < 2**32:
        return check_random_state(seed)
    if not drawn:
        return None
    try:
        random_state = _random_states.pop()
    except IndexError:
        random_state = np.random.RandomState(seed)
    random_state.seed([seed, stream % 2**32, stream >> 32] if stream else seed)
    return random_state


def give_back(random_state, seed):
    """Keep what ``borrow_random_state(seed)`` has made for the next fit."""
    if type(seed) is int and random_state is not None:
        _random_states.append(random_state)
