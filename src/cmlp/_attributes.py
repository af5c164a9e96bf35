"""What the fitted attributes of a network may be: the table by which files are judged.

No file here, no training. What labels look like is the classifier's, see ``_check_loaded``.
"""

import numpy as np


def is_count(value):
    """An int of 0 to 2^62 - 1, as Python's or NumPy's, to which as many may be added."""
    return type(value) in (int, np.int32, np.int64) and 0 <= value < 2**62


def is_real(value):
    """A number that float takes."""
    return isinstance(value, float | np.floating | np.integer) or (
        isinstance(value, int) and abs(value) < 2**63
    )


def is_list_of(is_kind, kinds=list):
    return lambda value: isinstance(value, kinds) and all(map(is_kind, value))


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


def or_none(is_kind):
    return lambda value: value is None or is_kind(value)


#: Of every fit that has begun.
ALWAYS = {
    "coefs_": is_list_of(is_weights, list | tuple),
    "intercepts_": is_list_of(is_weights, list | tuple),
    "n_features_in_": is_count,
    "n_outputs_": is_count,
    "n_layers_": is_count,
    "n_iter_": is_count,
    "t_": is_count,
    "loss_": is_real,
    "out_activation_": lambda value: isinstance(value, str),
}
#: What older versions, and scikit-learn, do not have.
NEWER = {"validation_loss_curve_", "best_iter_"}
#: All or none but those, of a stochastic solver: what changes from epoch to epoch, besides.
OF_EPOCHS = {
    "best_loss_": or_none(is_real),
    "loss_curve_": is_list_of(is_real),
    "validation_scores_": or_none(is_list_of(is_real)),
    "validation_loss_curve_": or_none(is_list_of(is_real)),
    "best_validation_score_": or_none(is_real),
    "best_iter_": or_none(is_count),
    "_no_improvement_count": is_count,
}
SOMETIMES = {
    "_dropout_state": or_none(is_words),
    "feature_names_in_": lambda value: isinstance(value, np.ndarray) and value.dtype == object,
    "quantiles_": lambda value: is_weights(value) and ((value > 0) & (value < 1)).all(),
}


#: Without a network there is none of these.
FITTED = {"classes_", "_label_binarizer", *ALWAYS, *OF_EPOCHS, *SOMETIMES}


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
        raise ValueError(f"{min(missing)} is missing")
    for name, is_kind in {**ALWAYS, **OF_EPOCHS, **SOMETIMES}.items():
        if name in attributes and not is_kind(attributes[name]):
            raise ValueError(f"{name} is of a wrong type or value")
    scores, best = (attributes.get(n) for n in ("validation_scores_", "best_validation_score_"))
    if (scores is None) != (best is None):
        raise ValueError("validation_scores_ and best_validation_score_ do not fit each other")
