"""``cmlp.from_sklearn``: which of our estimators one of scikit-learn's becomes.

How it becomes one is in ``_sklearn_form``.
"""

from typing import Any

from cmlp import _sklearn_form
from cmlp._classifier import MLPClassifier
from cmlp._regressor import MLPRegressor

OURS = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}


def from_sklearn(est: Any) -> MLPClassifier | MLPRegressor:
    """A fitted multilayer perceptron of scikit-learn's as cmlp's.

    It has copies of weights, labels, parameters, records and the state of the optimizer:
    predictions are the same up to the rounding of another order of sums, and ``partial_fit`` and
    fits with ``warm_start`` go on to the numbers that scikit-learn itself would go on to.
    Parameters of the optimizer that were changed since the last fit take effect, as in every
    estimator of cmlp's (``docs/differences.md``).

    Parameters
    ----------
    est : sklearn.neural_network.MLPClassifier or MLPRegressor
        Fitted, by scikit-learn 1.7 or later, or put together of ``coefs_``, ``intercepts_``,
        ``n_layers_``, ``n_outputs_``, ``out_activation_`` and, of a classifier, ``classes_``.

    Returns
    -------
    est : MLPClassifier or MLPRegressor

    Raises
    ------
    NotFittedError
        If it is not fitted.
    TypeError
        If it is something else, or of a subclass that overrides a method.
    ValueError
        If its parameters are not valid, or its attributes do not make a network.

    See Also
    --------
    MLPClassifier.to_sklearn : The way back.
    fuse : A network of either package with the steps of a pipeline before it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neural_network import MLPRegressor
    >>> from cmlp import from_sklearn
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> theirs = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", random_state=0)
    >>> theirs = theirs.fit(X, X.sum(axis=1))
    >>> ours = from_sklearn(theirs)
    >>> np.allclose(ours.predict(X), theirs.predict(X))
    True
    """
    for kind in type(est).__mro__:
        for name, their_kind in _sklearn_form.KINDS.items():
            if kind is their_kind:
                return _sklearn_form.from_sklearn(est, OURS[name])
    got = est if isinstance(est, type) else type(est)
    hint = "; it is cmlp's already." if got.__module__.startswith("cmlp.") else "."
    if hasattr(est, "steps"):
        hint = "; cmlp.fuse takes pipelines."
    raise TypeError(
        "from_sklearn takes a fitted MLPClassifier or MLPRegressor of scikit-learn's, got"
        f" {'the class' if got is est else 'one of'} {got.__module__}.{got.__qualname__}{hint}"
    )
