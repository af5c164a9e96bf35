"""Class weights on an unbalanced problem: the rare class counts for more.

Two problems, each fitted with ``class_weight`` None, 'balanced' and a dict of one's own.
``python examples/class_weights.py`` prints the table.
"""

import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmlp import MLPClassifier

WEIGHTS = {"None": None, "balanced": "balanced", "{0: 1, 1: 5}": {0: 1, 1: 5}}


def generated():
    """2000 samples, 5 % of class 1, classes that overlap."""
    return make_classification(
        2000, 20, n_informative=4, weights=[0.95], flip_y=0.02, class_sep=0.8, random_state=0
    )


def breast_cancer():
    """The bundled data with one malignant tumour in twenty, malignant being class 1."""
    X, y = load_breast_cancer(return_X_y=True)
    y = 1 - y
    rng = np.random.RandomState(0)
    rare = rng.choice(np.flatnonzero(y == 1), size=(y == 0).sum() // 19, replace=False)
    rows = np.concatenate([np.flatnonzero(y == 0), rare])
    return X[rows], y[rows]


def scores(load, class_weight, n_splits=5):
    """Mean accuracy, balanced accuracy and recall of class 1 on test data."""
    X, y = load()
    results = []
    for seed in range(n_splits):
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, stratify=y, test_size=0.4, random_state=seed
        )
        mlp = MLPClassifier((20,), class_weight=class_weight, alpha=1, random_state=seed)
        pred = make_pipeline(StandardScaler(), mlp).fit(X_train, y_train).predict(X_test)
        metrics = accuracy_score, balanced_accuracy_score, recall_score
        results.append([metric(y_test, pred) for metric in metrics])
    return np.mean(results, axis=0)


def main():
    print(f"{'problem':<15} {'class_weight':<13} {'accuracy':>9} {'balanced':>9} {'recall':>8}")
    for load in (generated, breast_cancer):
        for name, class_weight in WEIGHTS.items():
            accuracy, balanced, recall = scores(load, class_weight)
            print(
                f"{load.__name__:<15} {name:<13} {accuracy:9.3f} {balanced:9.3f} {recall:8.3f}",
                flush=True,
            )


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        main()
