"""Private names of scikit-learn's MLP that programs read or override. Nothing here trains.

Those that are read have an alias; those that a subclass overrides are hooks of a training that
cmlp does not run, and refused by name.
"""

from itertools import chain, takewhile
from types import FunctionType
from typing import Any

import sklearn.neural_network
from sklearn.utils import check_random_state

from cmlp._network import Network

#: A private method of scikit-learn's that cmlp does not call -> what there is in its place.
IN_PLACE_OF = {
    "_backprop": "loss, out_activation, dropout, max_grad_norm; Network.loss_and_gradients for"
    " gradients of your own",
    "_compute_loss_grad": "alpha, fit_intercept; Network.loss_and_gradients",
    "_fit": "fit and partial_fit, which may be overridden",
    "_fit_lbfgs": "fit, which may be overridden, and set_callbacks",
    "_fit_stochastic": "fit and partial_fit, which may be overridden, and set_callbacks",
    "_forward_pass": "activation (one per hidden layer), out_activation; predict and"
    " predict_proba, which may be overridden",
    "_forward_pass_fast": "activation (one per hidden layer), out_activation; predict and"
    " predict_proba, which may be overridden",
    "_init_coef": "fit(..., coefs_init=, intercepts_init=)",
    "_initialize": "fit(..., coefs_init=, intercepts_init=), out_activation",
    "_loss_grad_lbfgs": "loss, alpha; Network.loss_and_gradients",
    "_predict": "predict, which may be overridden",
    "_score": "scoring",
    "_score_with_function": "scoring",
    "_unpack": "coefs_ and intercepts_",
    "_update_no_improvement_count": "scoring, fit(..., X_val=, y_val=), set_callbacks",
}
#: Modules of the estimators from which a subclass adds its own.
ESTIMATORS = ("cmlp.", "sklearn.neural_network.")
#: Private methods that cmlp has and calls as scikit-learn does.
CALLED = {"_check_solver", "_validate_input"}


def private_methods():
    """Names of the private methods of the installed scikit-learn's two estimators."""
    kinds = (sklearn.neural_network.MLPClassifier, sklearn.neural_network.MLPRegressor)
    return {
        name
        for base in {base for kind in kinds for base in kind.__mro__}
        if base.__module__.startswith("sklearn.neural_network")
        for name, value in vars(base).items()
        if name.startswith("_") and not name.startswith("__") and isinstance(value, FunctionType)
    }


NOT_CALLED = private_methods() - CALLED


class ReadOnlyAlias:
    """An attribute that is computed when it is read; one that is set takes its place."""

    def __init__(self, read):
        self.read = read
        self.__doc__ = read.__doc__

    def __get__(self, est, kind=None):
        return self if est is None else self.read(est)


class SklearnNamesMixin:
    """Aliases of private names, and an error for a subclass that overrides what is not called."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_overrides(cls)

    def _check_overrides(self):
        """Raise TypeError if what is not called was overridden after the class was made."""
        refuse_overrides(type(self), vars(self))

    def _forward_pass(self, activations):
        """The list filled with the activations of each layer, given that of the input, X."""
        layers = Network.from_estimator(self).forward(activations[0])
        activations[1 : len(layers)] = layers[1:]
        return activations

    def _forward_pass_fast(self, X, check_input=True):
        """Output activations for X, of shape (n_samples, n_outputs); X is always checked."""
        self._check_is_fitted()
        return self._forward(X)

    def _fit(self, X, y, sample_weight=None, incremental=False):
        """``fit``, or ``partial_fit`` if incremental, without a look at the parameters."""
        return self._fit_or_restore(X, y, sample_weight, incremental)

    def _predict(self, X, check_input=True):
        """Labels or values for X, as ``predict``; X is always checked."""
        self._check_is_fitted()
        return self._from_outputs(self._forward(X))

    @ReadOnlyAlias
    def _random_state(self):
        """The RandomState that a fit starts with, for an int a new one at each access."""
        seed = fitted(self, "_random_state", "random_state")
        try:
            return check_random_state(seed)
        except ValueError as error:  # which hasattr does not expect
            raise AttributeError(str(error)) from error

    @ReadOnlyAlias
    def _best_coefs(self):
        """The weights that early stopping has kept."""
        return kept_by_early_stopping(self, "_best_coefs", "coefs_")

    @ReadOnlyAlias
    def _best_intercepts(self):
        """The biases that early stopping has kept."""
        return kept_by_early_stopping(self, "_best_intercepts", "intercepts_")


def refuse_overrides(kind, of_instance=()):
    """Raise TypeError if a subclass, or an instance, has a method that would not be called."""
    added = takewhile(lambda base: not str(base.__module__).startswith(ESTIMATORS), kind.__mro__)
    for name in sorted(NOT_CALLED.intersection(chain(of_instance, *map(vars, added)))):
        raise TypeError(
            f"{kind.__name__} overrides {name}, which scikit-learn's training calls and cmlp's"
            f" does not. In its place cmlp has {IN_PLACE_OF.get(name, 'nothing')}. To keep it,"
            " derive the class from scikit-learn's estimator."
        )


def fitted(est, alias, name):
    """An attribute that is there under an alias after a fit only."""
    if not hasattr(est, "coefs_"):
        raise AttributeError(f"{type(est).__name__!r} object has no attribute {alias!r}")
    return getattr(est, name)


def kept_by_early_stopping(est, alias, name):
    """An attribute that is there under an alias after a fit with early stopping only."""
    value = fitted(est, alias, name)
    if not est.early_stopping:
        raise AttributeError(f"{type(est).__name__!r} object has no attribute {alias!r}")
    return value
