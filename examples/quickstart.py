"""A tour in one minute: three real problems, each with cmlp and with scikit-learn, side by side.

Only what a user writes; nothing is downloaded. ``python examples/quickstart.py`` prints the table.
"""

import time
import warnings

import numpy as np
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import cmlp

#: problem -> function that loads scikit-learn's bundled data, class of MLP, its parameters
PROBLEMS = {
    "handwritten digits": (load_digits, "MLPClassifier", {}),
    "breast cancer": (load_breast_cancer, "MLPClassifier", {}),
    "diabetes (regression)": (load_diabetes, "MLPRegressor", {"learning_rate_init": 0.01}),
}
GRID = {"hidden_layer_sizes": [(50,), (100,)], "alpha": [1e-4, 1.0]}

COLUMNS = (
    f"{'problem':<22} {'estimator':<13} {'score':>7} {'score':>7} {'fit s':>7} {'fit s':>7}"
    f" {'ratio':>6} {'largest difference':>19}\n"
    f"{'':<36} {'cmlp':>7} {'sklearn':>7} {'cmlp':>7} {'sklearn':>7}"
    f" {'':>6} {'of predictions':>19}"
)


def pipeline(mlp):
    return make_pipeline(StandardScaler(), mlp)


def grid_search(mlp, grid):
    step = type(mlp).__name__.lower()
    grid = {f"{step}__{name}": values for name, values in grid.items()}
    return GridSearchCV(pipeline(mlp), grid, cv=3, n_jobs=None)


def estimators(mlp, grid):
    """Name -> unfitted estimator around an MLP, whosever it is."""
    return {"Pipeline": pipeline(mlp), "GridSearchCV": grid_search(mlp, grid)}


def fit_and_test(estimator, X_train, X_test, y_train, y_test):
    """Seconds of fit, test score (accuracy or R2), and the predictions of the test data."""
    start = time.perf_counter()
    estimator.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    predict = getattr(estimator, "predict_proba", estimator.predict)
    return seconds, estimator.score(X_test, y_test), predict(X_test)


def compare(problem, grid=GRID, **parameters):
    """Yield (estimator, scores, seconds, largest difference of predictions), cmlp's first.

    The parameters given replace those of the problem.
    """
    load, class_name, chosen = PROBLEMS[problem]
    parameters = {"random_state": 0, **chosen, **parameters}
    data = train_test_split(*load(return_X_y=True), random_state=0)
    ours, theirs = (
        estimators(getattr(module, class_name)(**parameters), grid)
        for module in (cmlp, neural_network)
    )
    for name in ours:
        outcomes = [fit_and_test(system[name], *data) for system in (ours, theirs)]
        seconds, scores, predictions = zip(*outcomes, strict=True)
        yield name, scores, seconds, np.abs(predictions[0] - predictions[1]).max()


def main():
    print(COLUMNS)
    for problem in PROBLEMS:
        for name, scores, seconds, difference in compare(problem):
            print(
                f"{problem:<22} {name:<13} {scores[0]:7.3f} {scores[1]:7.3f}"
                f" {seconds[0]:7.2f} {seconds[1]:7.2f} {seconds[1] / seconds[0]:5.1f}x"
                f" {difference:19.1e}",
                flush=True,
            )


if __name__ == "__main__":
    # one thread for both: these networks are too small for a BLAS to gain by more
    with threadpool_limits(1), warnings.catch_warnings():
        # max_iter is reached, converged or not: both libraries then do the same work
        warnings.simplefilter("ignore", ConvergenceWarning)
        main()
