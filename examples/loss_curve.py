"""When to stop: the validation curve of a network on handwritten digits.

Early stopping holds out a fifth of the training data, watches the accuracy on it and keeps the
weights of the best epoch. ``python examples/loss_curve.py [--output FILE.png]``
"""

import argparse
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmlp import LossCurveDisplay, MLPClassifier

SETTINGS = {
    "hidden_layer_sizes": (32,),
    "learning_rate_init": 0.003,
    "batch_size": 64,
    "validation_fraction": 0.2,
    "n_iter_no_change": 15,
    "tol": 0.0,
    "random_state": 0,
}


def fit(early_stopping, X, y):
    model = make_pipeline(
        StandardScaler(), MLPClassifier(early_stopping=early_stopping, **SETTINGS)
    )
    return model.fit(X, y)


def draw(clf, output):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"font.size": 11, "axes.spines.top": False, "lines.linewidth": 2}):
        _, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
        display = LossCurveDisplay.from_estimator(clf, ax=ax, log_scale=True)
        ax.set_title("Handwritten digits: the weights of the best epoch are kept", loc="left")
        ax.grid(axis="x", alpha=0.25)
        display.figure_.savefig(output, dpi=120)
    print(f"\nThe curves are in {output}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", help="where to save the plot")
    output = parser.parse_args().output

    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
    print(f"{'early_stopping':<16}{'epochs':>8}{'best epoch':>12}{'test accuracy':>15}")
    for early_stopping in (False, True):
        model = fit(early_stopping, X_train, y_train)
        clf = model[-1]
        best = "-"
        if early_stopping:
            best = 1 + clf.validation_scores_.index(clf.best_validation_score_)
        score = model.score(X_test, y_test)
        print(f"{early_stopping!s:<16}{clf.n_iter_:>8}{best:>12}{score:>15.3f}")
    if output:
        draw(clf, output)


if __name__ == "__main__":
    with warnings.catch_warnings():
        # without early stopping all 200 epochs are run: that is what is compared
        warnings.simplefilter("ignore", ConvergenceWarning)
        main()
