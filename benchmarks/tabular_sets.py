"""Tables for ``benchmarks.tabular``: scikit-learn's own, and a folder of more. No model.

The folder holds a ``load.py`` with ``load(name)`` -> dict of X, y, task ('clf' or 'reg'),
categorical (a mask of columns), and the indices of published splits where there are any.
"""

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.model_selection import train_test_split

TEST_SHARE = 0.2
#: name -> (loader, whether y is classes)
BUNDLED = {
    "breast_cancer": (datasets.load_breast_cancer, True),
    "diabetes": (datasets.load_diabetes, False),
    "digits": (datasets.load_digits, True),
    "wine": (datasets.load_wine, True),
}
#: Settings were chosen on these, ...
CHOSEN_ON = ("california", "adult", "wine_quality", "pbp/concrete", "pbp/kin8nm")
#: ... and are reported on these apart.
HELD_BACK = (
    *("abalone", "bike_sharing", "covertype", "credit_default", "letter"),
    *("pbp/boston", "pbp/energy", "pbp/naval", "pbp/power", "pbp/protein", "pbp/wine_red"),
    *("pbp/yacht", *BUNDLED),
)


class Table(NamedTuple):
    """A table split into rows to train on and rows to test by."""

    X_train: pd.DataFrame
    y_train: np.ndarray
    X_test: pd.DataFrame
    y_test: np.ndarray
    classes: np.ndarray | None  # None: regression
    categorical: list[str]


def load(name, seed, folder=None, max_rows=None):
    """A Table; the seed chooses the split where none is published, and the rows if too many.

    Parameters
    ----------
    folder : str or None
        For the sets that are not scikit-learn's.
    max_rows : int or None
        To train on, at most.
    """
    if name in BUNDLED:
        loader, is_classes = BUNDLED[name]
        X, y = loader(return_X_y=True)
        data: dict[str, Any] = {"X": X, "y": y, "categorical": np.zeros(X.shape[1], bool)}
    else:
        if folder is None:
            raise SystemExit(f"{name} needs --data, a folder with a load.py")
        data = loader_of(folder)(name)
        is_classes = data["task"] == "clf"
    X, y = data["X"], data["y"]
    train, test = split(data, y if is_classes else None, seed)
    if max_rows is not None and len(train) > max_rows:
        train = np.random.RandomState(seed).choice(train, max_rows, replace=False)
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    categorical = [f"x{i}" for i in np.flatnonzero(data["categorical"])]
    for column in categorical:
        frame[column] = frame[column].astype(int).astype(str).astype("category")
    classes = np.unique(y) if is_classes else None
    frames = (frame.iloc[rows].reset_index(drop=True) for rows in (train, test))
    X_train, X_test = frames
    return Table(X_train, y[train], X_test, y[test], classes, categorical)


def loader_of(folder):
    spec = importlib.util.spec_from_file_location("tabular_data", Path(folder) / "load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load


def split(data, strata, seed):
    """The published rows to train on and to test by, or drawn ones."""
    if "splits" in data:
        return data["splits"][seed % len(data["splits"])]
    if "uci_train_idx" in data:
        train = np.concatenate([data["uci_train_idx"], data["uci_val_idx"]])
        return train, data["uci_test_idx"]
    if "train_idx" in data:
        parts = [data["train_idx"], *([data["val_idx"]] if "val_idx" in data else [])]
        return np.concatenate(parts), data["test_idx"]
    return train_test_split(
        np.arange(len(data["y"])), test_size=TEST_SHARE, random_state=seed, stratify=strata
    )
