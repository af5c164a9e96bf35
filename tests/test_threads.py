"""Several Python threads at once: the engine releases the GIL and keeps no state of its own."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cmlp import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = load_digits(return_X_y=True)
X = X / 16


def fit(seed, dtype):
    return MLPClassifier((20,), max_iter=5, random_state=seed).fit(X.astype(dtype), y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fits_of_different_estimators(dtype):
    with ThreadPoolExecutor(4) as pool:
        concurrent = list(pool.map(lambda seed: fit(seed, dtype), range(8)))
    for seed, est in enumerate(concurrent):
        for ours, alone in zip(est.coefs_, fit(seed, dtype).coefs_, strict=True):
            np.testing.assert_array_equal(ours, alone)


def test_predictions_of_one_estimator():
    est = fit(0, np.float64)
    chunks = [X[i : i + 1 + i % 700] for i in range(0, 1000, 7)]
    expected = [est.predict_proba(chunk) for chunk in chunks]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for p, alone in zip(pool.map(est.predict_proba, chunks), expected, strict=True):
                np.testing.assert_array_equal(p, alone)
