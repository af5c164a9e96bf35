"""scikit-learn's conventions for estimators, by its own checks. No expected failures."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from cmlp import MLPClassifier, MLPRegressor

ESTIMATORS = [
    MLPClassifier(),
    MLPRegressor(),
    MLPRegressor(solver="lbfgs"),
    MLPClassifier(solver="sgd", learning_rate_init=0.1, fit_intercept=False),
    MLPRegressor(solver="sgd", learning_rate_init=0.01, out_activation="identity"),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_check_estimator(estimator, check):
    check(estimator)
