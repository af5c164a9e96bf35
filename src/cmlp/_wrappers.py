"""The fitted network inside a pipeline, a search or another wrapper. Knows no formulas."""

from sklearn.utils.validation import check_is_fitted

#: Where wrappers of scikit-learn's keep the one estimator that they have fitted.
FITTED = ("best_estimator_", "regressor_", "estimator_")


def network_in(estimator):
    """The fitted network that an estimator is, or holds.

    Parameters
    ----------
    estimator : estimator
        A network, or, to any depth, a pipeline that ends in one or a wrapper that has fitted one
        estimator: a search, a TransformedTargetRegressor, a FrozenEstimator, ...

    Returns
    -------
    network : estimator with ``coefs_``

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If there is no network in it, or more than one.
    """
    inner = estimator
    while not hasattr(inner, "coefs_"):
        check_is_fitted(inner)
        names = [name for name in FITTED if hasattr(inner, name)]
        if getattr(inner, "steps", None):
            inner = inner.steps[-1][1]
        elif names and not hasattr(inner, "estimators_"):  # of which estimator_ is but the model
            inner = getattr(inner, names[0])
        else:
            what = type(estimator).__name__
            if inner is not estimator:
                what += f" with {type(inner).__name__} in it"
            raise TypeError(
                f"{what} does not hold exactly one fitted multilayer perceptron: pass a fitted"
                " MLPClassifier or MLPRegressor, or a pipeline or search that ends in one."
            )
    return inner
