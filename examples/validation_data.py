"""Validation data of one's own, in a pipeline: early stopping on the log-loss, and a callback.

``transform_input=["X_val"]`` sends the validation data through the steps before the MLP; the table
shows what happens without. ``python examples/validation_data.py`` prints it.
"""

import warnings

from sklearn import config_context
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from cmlp import MLPClassifier

try:
    from sklearn.callback import ScoringMonitor
except ImportError:  # before scikit-learn 1.9
    ScoringMonitor = None


def fit(train, val, transform_input, monitor=None, **params):
    """A fitted pipeline; its last step has watched the validation data."""
    mlp = MLPClassifier(max_iter=400, learning_rate_init=0.01, random_state=0, **params)
    mlp.set_fit_request(X_val=True, y_val=True)
    if monitor is not None:
        mlp.set_callbacks(monitor)
    steps = [("scale", StandardScaler()), ("mlp", mlp)]
    X_val, y_val = val
    return Pipeline(steps, transform_input=transform_input).fit(*train, X_val=X_val, y_val=y_val)


def main():
    X, y = load_breast_cancer(return_X_y=True)
    X_rest, X_test, y_rest, y_test = train_test_split(X, y, stratify=y, random_state=0)
    X_train, X_val, y_train, y_val = train_test_split(X_rest, y_rest, random_state=0)
    train, val = (X_train, y_train), (X_val, y_val)
    watched = {"early_stopping": True, "scoring": "neg_log_loss"}
    monitor = ScoringMonitor(scoring="neg_log_loss") if ScoringMonitor else None

    print(f"{'':<42} {'epochs':>7} {'best':>5} {'log-loss':>9} {'accuracy':>9}")
    for name, names, params in [
        ("no early stopping", ["X_val"], {}),
        ("early stopping on neg_log_loss", ["X_val"], watched),
        ("the same, X_val left as it is: do not", None, watched),
    ]:
        pipe = fit(train, val, names, monitor if params and names else None, **params)
        p, pred = pipe.predict_proba(X_test), pipe.predict(X_test)
        mlp = pipe[-1]
        print(
            f"{name:<42} {mlp.n_iter_:7d} {mlp.best_iter_:5d} {log_loss(y_test, p):9.3f}"
            f" {accuracy_score(y_test, pred):9.3f}"
        )
        if params and names:
            curve = mlp.validation_loss_curve_

    print("\nepoch  loss on validation data  loss on training data (ScoringMonitor)")
    rows = monitor.get_logs().data if monitor is not None else []
    losses = {row["task_id"]: -row["neg_log_loss"] for row in rows if row["task_name"] == "epoch"}
    for epoch in range(0, len(curve), 5):
        print(f"{epoch + 1:5d} {curve[epoch]:24.4f} {losses.get(epoch, float('nan')):22.4f}")


if __name__ == "__main__":
    with config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        main()
