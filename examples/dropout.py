"""Dropout with few samples: 200 handwritten digits to train on, 1597 to test.

Prints accuracy and log-loss with and without dropout, and how well the spread of networks drawn by
dropout tells wrong predictions from right ones. ``python examples/dropout.py``
"""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from cmlp import MLPClassifier

SEEDS = range(5)
#: rate of the input, rate of the hidden layer
RATES = [0.0, [0.0, 0.5], [0.1, 0.5]]
PARAMETERS = {"hidden_layer_sizes": (200,), "batch_size": 20, "max_iter": 400, "tol": 0.0}


def entropy(p):
    """Uncertainty of probabilities, in nats."""
    return -np.sum(p * np.log(np.maximum(p, 1e-12)), axis=-1)


def evaluate(dropout, seed):
    """Test accuracy, log-loss, and the AUC of telling wrong predictions by their uncertainty.

    The uncertainty is the entropy of the mean of 100 networks drawn by dropout, and, for
    comparison, that of the whole network's probabilities.
    """
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, y, train_size=200, stratify=y, random_state=seed
    )
    clf = MLPClassifier(dropout=dropout, random_state=seed, **PARAMETERS).fit(X_train, y_train)
    p = clf.predict_proba(X_test)
    wrong = p.argmax(axis=1) != y_test
    figures = [accuracy_score(y_test, clf.predict(X_test)), log_loss(y_test, p)]
    figures.append(roc_auc_score(wrong, entropy(p)))
    if dropout:
        samples = clf.predict_samples(X_test, 100, random_state=seed).mean(axis=0)
        figures += [log_loss(y_test, samples), roc_auc_score(wrong, entropy(samples))]
    return figures


def main():
    print(f"Digits, 200 to train on; means over {len(SEEDS)} splits\n")
    print(f"{'':<18} {'one network':^26}   {'mean of 100 networks':^20}")
    columns = ("accuracy", "log-loss", "AUC wrong", "log-loss", "AUC wrong")
    print(f"{'dropout':<18} {columns[0]:>8} {columns[1]:>8} {columns[2]:>9}", end="")
    print(f" {columns[3]:>10} {columns[4]:>10}")
    for dropout in RATES:
        figures = np.mean([evaluate(dropout, seed) for seed in SEEDS], axis=0)
        shown = [f"{x:{w}.3f}" for x, w in zip(figures, (8, 8, 9, 10, 10), strict=False)]
        print(f"{dropout!s:<18} " + " ".join(shown), flush=True)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all run for max_iter epochs
        main()
