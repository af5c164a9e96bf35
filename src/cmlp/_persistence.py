"""An estimator as parts of values and back: model files, pickles.

What each attribute of a file may be is in one table. Bytes and paths are in ``_files``; what
labels look like is the classifier's, see ``_check_loaded``.
"""

from contextlib import suppress
from inspect import signature
from typing import Any

import numpy as np

from cmlp._attributes import COUNT, LAYERS, NAME, NAMES, QUANTILES, short
from cmlp._files import check_folder, decoded, encoded, read_file, refusing, write_file
from cmlp._parameters import Parameters, network_units
from cmlp._training import ALWAYS, NEWER, OF_EPOCHS, weights_shown
from cmlp._training import KINDS as STATE_KINDS
from cmlp._typing import Path

NO_NETWORK = "coefs_ and intercepts_ do not make a network"
#: Attributes of every fit that has begun, and of one by a stochastic solver.
REQUIRED = {
    *("n_features_in_", "n_outputs_", "n_layers_", "out_activation_"),
    *(attribute for attribute in ALWAYS.values() if attribute in STATE_KINDS),
}
REQUIRED_OF_EPOCHS = set(OF_EPOCHS.values()) - NEWER
#: What each attribute may be.
KINDS = {
    **STATE_KINDS,
    "n_features_in_": COUNT,
    "n_outputs_": COUNT,
    "n_layers_": COUNT,
    "out_activation_": NAME,
    "feature_names_in_": NAMES,
    "quantiles_": QUANTILES,
}
#: Without a network there is none of these.
FITTED = {"classes_", "_label_binarizer", *KINDS}
#: Fitted attributes besides those that end in an underscore.
PRIVATE = {name for name in FITTED if name.startswith("_")}
#: What is of this process, or made again from what is kept.
NOT_KEPT = ("_parameters", "_callback_fit_ctx", "_skl_callbacks_to_teardown")


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
    required = REQUIRED
    if not set(OF_EPOCHS.values()).isdisjoint(attributes):
        required = REQUIRED | REQUIRED_OF_EPOCHS
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
            parameters = parameters_of(est)
        attributes |= {"coefs_": parameters.coefs, "intercepts_": parameters.intercepts}
    return converted(attributes)


def contents(est, **more):
    """The metadata and the tensors of a model file, which ``read`` will take.

    Raises
    ------
    TypeError
        If a parameter or an attribute is of a type that the file cannot hold.
    ValueError
        If it is one that ``read`` would refuse.
    """
    kind = type(est)
    refused = f"This {kind.__name__} cannot be saved"
    with refusing(refused):
        for name in vars(est):
            if callable(getattr(kind, name, None)):
                raise ValueError(f"{name} is a method, which this instance has replaced")
        parts = {"params": est.get_params(deep=False), "attributes": fitted_attributes(est)}
    metadata, tensors = encoded({**parts, **more}, prefixed=more.keys())
    with refusing(refused):
        assembled(kind, decoded(metadata, dict(tensors)))
    return metadata, tensors


def check_writable(path, est):
    """Raise what ``write`` would of the folder, parameters and attributes, as they are now."""
    contents(est)
    check_folder(path)


def write(path, est, **more):
    """Write an estimator, and ``more`` parts, dicts of values, to a model file.

    Raises
    ------
    TypeError, ValueError
        If the file could not hold it, or ``read`` would refuse it; no file is touched.
    OSError
        If the file cannot be written; what was there before is still there.
    """
    write_file(path, type(est).__name__, *contents(est, **more))


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

    def make(kind, metadata, tensors):
        return estimators[kind]._from_parts(decoded(metadata, tensors))

    return read_file(path, make)


def assembled(kind, parts):
    """An estimator of the given parameters and attributes, which are checked, and other parts."""
    est = kind(**parts.pop("params"))
    est._validate_params()
    attributes = parts.pop("attributes")
    for name, value in attributes.items():
        if not is_fitted_attribute(name):
            raise ValueError(f"{name} is not a fitted attribute")
        if hasattr(kind, name):
            raise ValueError(f"{name} is not an attribute of an instance")
        setattr(est, name, value)
    if not FITTED.isdisjoint(attributes):
        check_attributes(attributes)
        check_network(est)
    return est, parts


def check_network(est):
    """Check that the attributes make a network which can predict."""
    with refusing(NO_NETWORK):
        units = network_units(est.coefs_, est.intercepts_)
    expected = {"n_outputs_": units[-1], "n_layers_": len(units)}
    if est.encodings is None:
        expected["n_features_in_"] = units[0]
    for name, value in expected.items():
        if getattr(est, name) != value:
            raise ValueError(f"{name} is {getattr(est, name)}, the weights say {value}")
    has_inputs = est.encodings is not None or "input_weights_" in vars(est)
    if has_inputs or np.ndim(est.coefs_[-1]) == 3:  # else no weight is copied
        with refusing(NO_NETWORK):
            parameters_of(est).inputs(est.encodings, est.n_features_in_)
    names = getattr(est, "feature_names_in_", None)
    if names is not None and names.shape != (est.n_features_in_,):
        raise ValueError("feature_names_in_ do not fit the weights")
    est._check_loaded()


def parameters_of(est):
    """A copy of the weights of an estimator, in one vector."""
    input_weights = getattr(est, "input_weights_", None) or ()
    return Parameters.from_lists(est.coefs_, est.intercepts_, input_weights=input_weights)


class PersistenceMixin:
    """Methods of an estimator that save, pickle and copy it."""

    def save(self, path: Path) -> None:
        """Write this estimator to a model file, which :func:`cmlp.load` reads.

        A safetensors file with JSON metadata: no pickle, readable in any language
        (``docs/format.md``), and by every later version. The file appears whole or not at all.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        TypeError
            If a parameter or a fitted attribute is something that a file cannot hold, such as a
            function, or the estimator is of a subclass, which ``cmlp.load`` would not know.
        ValueError
            If ``cmlp.load`` would refuse what was set: an attribute that does not fit the others,
            a parameter that fit would not take.
        OSError
            If the file cannot be written. What was there before is still there.
        """
        if type(self).__module__.partition(".")[0] != "cmlp":
            raise TypeError(f"{type(self).__name__} is not cmlp's: use pickle, or save its parts.")
        write(path, self)

    @classmethod
    def _from_parts(cls, parts):
        """The estimator of a file's parts, which are looked at, and what more there is."""
        est, more = assembled(cls, parts)
        if "coefs_" in vars(est):
            vars(est).update(weights_shown(parameters_of(est)))
        return est, more

    def __getstate__(self) -> dict[str, Any]:
        """State to pickle: no cached vector, and an optimizer only if training will go on with it.

        That is in partial_fit, and where it holds the weights that are trained.
        """
        state = dict(super().__getstate__())
        for name in NOT_KEPT:
            state.pop(name, None)
        optimizer = state.get("_optimizer")
        if optimizer is not None and optimizer.trained is None and not state.get("_incremental"):
            del state["_optimizer"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """With the weights in one vector again, unless they are mapped from a file or mixed.

        Parameters that are newer than the pickle have their defaults.
        """
        newer = {*self._get_param_names()} - state.keys()
        if newer:
            defaults = signature(type(self).__init__).parameters
            state = {**{name: defaults[name].default for name in newer}, **state}
        super().__setstate__(state)
        arrays = [*state.get("coefs_", ()), *state.get("intercepts_", ())]
        arrays += state.get("input_weights_") or ()
        if arrays and all(type(array) is np.ndarray for array in arrays):
            dtypes = {array.dtype for array in arrays}
            if len(dtypes) == 1 and dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}:
                # shapes that do not fit are predict's to complain about
                with suppress(ValueError):
                    vars(self).update(weights_shown(parameters_of(self)))
