"""scikit-learn's conventions for estimators, by its own checks. No expected failures."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from cmlp import MLPClassifier, MLPRegressor


@parametrize_with_checks([MLPClassifier(), MLPRegressor()])
def test_check_estimator(estimator, check):
    check(estimator)
