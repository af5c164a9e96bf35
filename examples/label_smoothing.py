"""Smoothed labels: digits from few samples, with and without, over several seeds.

A network that fits every label is too sure of itself where it errs; smoothing takes a share of
each label and spreads it over all classes. ``python examples/label_smoothing.py`` prints the
table.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from cmlp import MLPClassifier

N_TRAIN = (60, 120, 240)
SMOOTHING = (0.0, 0.05, 0.1, 0.2)
SEEDS = range(10)


def evaluate(label_smoothing, n_train, seed):
    """Log-loss, accuracy and mean probability of the predicted class on the rest of the digits."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, y, train_size=n_train, stratify=y, random_state=seed
    )
    clf = MLPClassifier(
        hidden_layer_sizes=(100,), label_smoothing=label_smoothing, learning_rate_init=0.01,
        max_iter=150, tol=0, n_iter_no_change=np.inf, random_state=seed,
    ).fit(X_train, y_train)  # fmt: skip
    p = clf.predict_proba(X_test)
    return log_loss(y_test, p), clf.score(X_test, y_test), p.max(axis=1).mean()


def main():
    print(
        f"{'samples':>7} {'label_smoothing':>15} {'log-loss':>18} {'accuracy':>18}"
        f" {'mean confidence':>15}"
    )
    for n_train in N_TRAIN:
        for smoothing in SMOOTHING:
            results = np.array([evaluate(smoothing, n_train, seed) for seed in SEEDS])
            means, errors = results.mean(axis=0), results.std(axis=0) / np.sqrt(len(SEEDS))
            print(
                f"{n_train:7} {smoothing:15.2f} {means[0]:10.3f} +- {errors[0]:.3f}"
                f" {means[1]:10.3f} +- {errors[1]:.3f} {means[2]:15.3f}"
            )


if __name__ == "__main__":
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is what is wanted
        main()
