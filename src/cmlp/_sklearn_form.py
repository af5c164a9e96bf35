"""Networks as scikit-learn's estimators, and scikit-learn's as ours: parameters and attributes.

What either cannot hold is refused by name. No training, no files, no public names.
"""

from copy import deepcopy
from itertools import takewhile

import numpy as np
from sklearn.neural_network import _multilayer_perceptron as theirs
from sklearn.neural_network._base import ACTIVATIONS
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from cmlp._architecture import hidden_activations
from cmlp._attributes import short
from cmlp._optimizers import OPTIMIZERS, SGD_SCHEDULES
from cmlp._parameters import Parameters
from cmlp._persistence import check_attributes, check_network, converted, parameters_of
from cmlp._training import TrainingState, weights_shown

#: scikit-learn's estimators by name, whatever its public names stand for while it is patched.
KINDS = {name: getattr(theirs, name) for name in ("MLPClassifier", "MLPRegressor")}
HIDDEN = {"identity", "logistic", "relu", "tanh"}
#: Losses with the output activation for which scikit-learn trains them.
TRAINED = {
    *(("log_loss", "logistic"), ("log_loss", "softmax")),
    *(("squared_error", "identity"), ("poisson", "exp")),
}
#: Values of what changes training alone, for which it is scikit-learn's training; where there is
#: no set of them, those that are false.
AS_THEIRS = {
    **dict.fromkeys(("dropout", "label_smoothing", "warmup_fraction", "partial_fit_reshuffle")),
    **dict.fromkeys(("weight_decay", "max_grad_norm", "ema_decay", "max_time")),
    **dict.fromkeys(("class_weight", "scoring")),
    "solver": {"lbfgs", "sgd", "adam"},
    "learning_rate": set(SGD_SCHEDULES),
    "fit_intercept": {True},
}
#: Attributes that both have, besides weights and labels.
ATTRIBUTES = (
    *("n_features_in_", "feature_names_in_", "n_outputs_", "n_layers_", "out_activation_"),
    *("n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "_no_improvement_count"),
    *("validation_scores_", "best_validation_score_"),
)
#: Attributes of a fit by epochs, as they are where an estimator was not made by one.
OF_EPOCHS = {
    **{"_no_improvement_count": 0, "best_loss_": None, "best_iter_": None},
    **dict.fromkeys(("validation_scores_", "validation_loss_curve_", "best_validation_score_")),
}
METHODS_OF_FITS = {"fit", "partial_fit"}


def to_sklearn(est, predict_only):
    """scikit-learn's estimator with the network, parameters and state of a fitted one.

    Parameters
    ----------
    est : MLPClassifier or MLPRegressor
    predict_only : bool
        Whether to leave out what only training knows.

    Raises
    ------
    NotFittedError
        Before fit.
    TypeError
        If a subclass overrides a method.
    ValueError
        If scikit-learn cannot hold the network or, unless ``predict_only``, a parameter.
    """
    kind = next((one for one in type(est).__mro__ if is_own(one)), None)
    if kind is None:
        raise TypeError(
            f"to_sklearn cannot hold a {type(est).__name__}: what it does with a table before its"
            " networks is cmlp's own."
        )
    check_is_fitted(est, "coefs_")
    refuse_overrides("to_sklearn", est, kind, METHODS_OF_FITS if predict_only else set())
    refuse("to_sklearn cannot hold {}.", of_prediction(est))
    dropped = of_training(est)
    if not predict_only:
        refuse(
            "to_sklearn cannot hold {}, which training needs: to_sklearn(predict_only=True) leaves"
            " that out and predicts the same.",
            dropped,
        )
    parameters = parameters_of(est)
    new_kind = KINDS[kind.__name__]
    names = [name for name in new_kind._get_param_names() if name not in dropped]
    new = new_kind(**{name: deepcopy(getattr(est, name)) for name in names})
    if not isinstance(est.activation, str):
        new.activation = (hidden_activations(est.activation, len(est.activation)) or ["relu"])[0]
    if "loss" in dropped and kind.__name__ == "MLPRegressor":
        new.loss = "poisson" if est.out_activation_ == "exp" else "squared_error"
    attributes = shared_attributes(est)
    attributes |= {
        "coefs_": copies(parameters.coefs),
        "intercepts_": copies(parameters.intercepts),
    }
    attributes["_random_state"] = check_random_state(new.random_state)
    if est.early_stopping:  # a fit with warm_start falls back on them
        attributes["_best_coefs"] = copies(parameters.coefs)
        attributes["_best_intercepts"] = copies(parameters.intercepts)
    optimizer = None if predict_only else their_optimizer(est, parameters)
    if optimizer is not None:
        attributes["_optimizer"] = optimizer
    vars(new).update(attributes)
    return new


def from_sklearn(est, kind):
    """cmlp's estimator with the network, parameters and state of a fitted one of scikit-learn's.

    Parameters
    ----------
    est : sklearn.neural_network.MLPClassifier or MLPRegressor
    kind : type
        cmlp's class of the same name.

    Raises
    ------
    NotFittedError
        Before fit.
    TypeError
        If a subclass overrides a method.
    ValueError
        If the attributes do not make a network.
    """
    check_is_fitted(est, "coefs_")
    their_kind = KINDS[kind.__name__]
    refuse_overrides("from_sklearn", est, their_kind, set())
    for name in ("intercepts_", "n_layers_", "n_outputs_", "out_activation_"):
        if not hasattr(est, name):
            raise ValueError(f"from_sklearn needs {name}, which this {type(est).__name__} lacks.")
    names = their_kind._get_param_names()
    new = kind(**{name: deepcopy(getattr(est, name)) for name in names})
    new._validate_params()
    parameters = parameters_of(est)
    attributes = {"n_iter_": 0, "t_": 0, "loss_": np.nan, "n_features_in_": parameters.units[0]}
    attributes |= shared_attributes(est)
    if "loss_curve_" in attributes:
        attributes = OF_EPOCHS | attributes
        attributes["best_iter_"] = best_iteration(attributes["validation_scores_"])
    if kind.__name__ == "MLPClassifier" and "_label_binarizer" not in attributes:
        attributes |= labels(est)
    state = TrainingState()
    state.use(parameters)
    attributes = converted(attributes)
    optimizer = own_optimizer(est, new, parameters)
    if optimizer is not None:
        attributes |= {"_optimizer": optimizer, "_incremental": True}
    vars(new).update(attributes | weights_shown(parameters))
    check_attributes(vars(new))
    check_network(new)
    return new


def is_own(kind):
    """Whether a class is one of cmlp's two."""
    return kind.__name__ in KINDS and kind.__module__.startswith("cmlp.")


def copies(arrays):
    return [array.copy() for array in arrays]


def shared_attributes(est):
    """Copies of the attributes that both packages have, as a dict; no weights."""
    own = vars(est)
    attributes = {name: deepcopy(own[name]) for name in ATTRIBUTES if name in own}
    if "_label_binarizer" in own:
        binarizer = deepcopy(own["_label_binarizer"])
        attributes |= {"_label_binarizer": binarizer, "classes_": binarizer.classes_}
    return attributes


def labels(est):
    """The labels of a classifier that was put together of arrays, as a dict of attributes."""
    if not hasattr(est, "classes_"):
        raise ValueError("from_sklearn needs classes_, which this MLPClassifier lacks.")
    if est.out_activation_ == "logistic" and est.n_outputs_ > 1:
        binarizer = LabelBinarizer().fit(np.eye(est.n_outputs_, dtype=int))
    else:
        binarizer = LabelBinarizer().fit(est.classes_)
    return {"_label_binarizer": binarizer, "classes_": binarizer.classes_}


def best_iteration(scores):
    """The epoch of the best score, the first of several; None without scores."""
    if not scores or not np.isfinite(scores).any():
        return None
    return int(np.nanargmax(scores)) + 1


# What is refused


def refuse(message, what):
    """Raise ValueError if there are parameters, by name, that cannot be held."""
    if what:
        named = ", ".join(f"{name}={short.repr(value)}" for name, value in what.items())
        raise ValueError(message.format(named))


def of_prediction(est):
    """Parameters and attributes of a prediction that scikit-learn's estimators do not make."""
    found = {}
    activations = {est.activation} if isinstance(est.activation, str) else set(est.activation)
    if len(activations) > 1 or not activations <= HIDDEN:
        found["activation"] = est.activation
    if est.n_members > 1:
        found["n_members"] = est.n_members
    if est.encodings is not None:
        found["encodings"] = est.encodings
    if hasattr(est, "quantiles_"):
        found["quantile"] = est.quantiles_.tolist()
    if type(vars(est).get("classes_")) is list:
        found["classes_"] = est.classes_
    if est.out_activation_ not in ACTIVATIONS:
        found["out_activation"] = est.out_activation_
    return found


def of_training(est):
    """Parameters of a training that is not scikit-learn's."""
    found = {}
    for name, values in AS_THEIRS.items():
        value = getattr(est, name, None)
        if values is None:
            # an array is one of rates
            differs = np.any(value) if np.ndim(value) else bool(value)
        else:
            differs = value not in values
        if differs:
            found[name] = value
    if (est.loss, est.out_activation_) not in TRAINED:
        found["loss"] = est.loss
        if getattr(est, "out_activation", "auto") != "auto":
            found["out_activation"] = est.out_activation
    return found


def refuse_overrides(function, est, base, allowed):
    """Raise TypeError if a subclass, or an instance, has methods in place of those of ``base``."""
    added = takewhile(lambda kind: kind is not base, type(est).__mro__)
    names = {name for holder in (est, *added) for name in vars(holder)} - allowed
    changed = [
        name
        for name in sorted(names)
        if callable(getattr(base, name, None))
        # what each subclass has of its own
        and not (name.startswith("__") or name.endswith("_request"))
    ]
    if changed:
        raise TypeError(
            f"{function} cannot hold this {type(est).__name__}, which overrides"
            f" {', '.join(changed)} of {base.__name__}."
        )


# Optimizers: both keep a list of vectors in the order weights, biases


def their_optimizer(est, parameters):
    """scikit-learn's optimizer in the state of that of partial_fit; None without one."""
    optimizer = vars(est).get("_optimizer")
    if (
        optimizer is None
        or not vars(est).get("_incremental")
        or optimizer.name != est.solver
        or optimizer.state.shape[1] != len(parameters.vector)
    ):
        return None
    optimizer = deepcopy(optimizer)
    optimizer.configure(est)
    vectors = []
    for row in optimizer.state:
        own = parameters.copy()
        own.vector[...] = row
        vectors.append(copies(own.coefs + own.intercepts))
    if optimizer.name == "sgd":
        new = theirs.SGDOptimizer(
            *([], est.learning_rate_init, est.learning_rate),
            *(est.momentum, est.nesterovs_momentum, est.power_t),
        )
        new.velocities = vectors[0]
    else:
        new = theirs.AdamOptimizer([], est.learning_rate_init, est.beta_1, est.beta_2, est.epsilon)
        new.ms, new.vs = vectors
        new.t = int(optimizer.t)
    new.learning_rate = float(optimizer.learning_rate)
    return new


def own_optimizer(est, new, parameters):
    """Our optimizer in the state of scikit-learn's; None where there is none, or another solver's.

    Parameters
    ----------
    est : scikit-learn's estimator
    new : estimator
        cmlp's, with the same parameters.
    parameters : Parameters
    """
    old = vars(est).get("_optimizer")
    names = {"sgd": ("velocities",), "adam": ("ms", "vs")}.get(new.solver, ())
    needed = (*names, "t" if new.solver == "adam" else "learning_rate")
    if not names or not all(hasattr(old, name) for name in needed):
        return None
    n = len(parameters.coefs)
    optimizer = OPTIMIZERS[new.solver](new, len(parameters.vector), parameters.dtype)
    for row, name in zip(optimizer.state, names, strict=True):
        lists = getattr(old, name)
        row[...] = Parameters.from_lists(lists[:n], lists[n:], parameters.dtype).vector
    if new.solver == "adam":
        optimizer.t = float(old.t)
    else:
        optimizer.rate = float(old.learning_rate)
        # what has changed since takes effect with the next call
        optimizer.learning_rate_init, optimizer.lr_schedule = (
            old.learning_rate_init,
            old.lr_schedule,
        )
        optimizer.parameters = None
    return optimizer
