"""scikit-learn's conventions for estimators, by its own checks. The drop-ins pass all of them."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from cmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor

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


def not_yet(estimator):
    """Checks that the estimators for tables do not pass."""
    # as of scikit-learn's own gradient boosting: rows are drawn for bins, batches, validation
    reason = "a weight of 2 is not the same as a row twice"
    return {"check_sample_weight_equivalence_on_dense_data": reason}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [TabularMLPClassifier(max_iter=15), TabularMLPRegressor(max_iter=15)],
    expected_failed_checks=not_yet,
)
def test_check_estimator_for_tables(estimator, check):
    check(estimator)
