"""Fitted estimators of random architectures, for tests of what is made of them. No tests."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from cmlp import MLPClassifier, MLPRegressor
from cmlp._core import engine

HIDDEN = sorted(name for name, row in engine.ACTIVATIONS.items() if row["hidden"])
OUT = sorted(
    name for name, row in engine.ACTIVATIONS.items() if row["output"] and name != "softmax"
)
WORDS = np.array(["Zürich", "", "b c", 'say "no"\\', "e?"])
#: Kinds of labels, as functions of codes (n, 3) of up to five classes.
LABELS = {
    "binary": lambda codes: codes[:, 0] > 1,
    "two words": lambda codes: WORDS[codes[:, 0] % 2],
    "one class": lambda codes: np.full(len(codes), 7),
    "multiclass": lambda codes: codes[:, 0] - 2,
    "words": lambda codes: WORDS[codes[:, 0]],
    "floats": lambda codes: codes[:, 0] + 0.0,
    "objects": lambda codes: WORDS.astype(object)[codes[:, 0]],
    "multilabel": lambda codes: (codes > 1).astype(int),
    "two labels": lambda codes: (codes[:, :2] > 1).astype(int),
    "columns": lambda codes: codes + 2,
    "columns of two kinds": lambda codes: np.column_stack(
        [codes[:, 0].astype(object), WORDS[codes[:, 1]].astype(object)]
    ),
}
LOSSES = ["squared_error", "absolute_error", "huber", "log_cosh", "poisson", "gamma", "tweedie"]


class Model(NamedTuple):
    """A fitted estimator and rows of its dtype to predict for."""

    est: Any
    X: np.ndarray

    @property
    def tolerance(self):
        return 2e-6 if self.X.dtype == np.float32 else 1e-12


@st.composite
def encodings(draw, n_features):
    """A parameter ``encodings`` for so many columns, and where to read: places in tables."""
    rows, limits = [], np.zeros(n_features)
    for column in range(n_features):
        kind = draw(st.sampled_from([*engine.ENCODINGS]))
        if kind in ("identity", "scale"):
            width = draw(st.integers(1, n_features - column))
            rows.append((kind, column, width))
        else:
            levels = draw(st.integers(1, 4))
            rows.append((kind, column, draw(st.integers(1, 3)), levels))
            limits[column] = levels
    return rows, limits


@st.composite
def models(draw, labels=tuple(LABELS), losses=(*LOSSES, "quantile"), inputs=True):
    """A Model of any activations, targets, loss and dtype, with inputs: encodings and members."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 9), max_size=3))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    n, n_features = 40, draw(st.integers(1, 5))
    X = random.normal(size=(n, n_features)) * 2
    params = {
        "hidden_layer_sizes": sizes,
        "activation": [draw(st.sampled_from(HIDDEN)) for _ in sizes],
        "max_iter": 3,
        "learning_rate_init": 0.02,
        "random_state": 0,
        "fit_intercept": draw(st.booleans()),
    }
    if inputs:
        params["n_members"] = draw(st.sampled_from([1, 1, 3]))
        if draw(st.booleans()):
            params["encodings"], limits = draw(encodings(n_features))
            places = random.uniform(-0.5, limits + 1.5, size=X.shape)
            X = np.where(limits > 0, places, X)
    X = X.astype(dtype)
    target = draw(st.sampled_from([*labels, *losses]))
    if target in labels:
        y = LABELS[target](random.integers(5, size=(n, 3)))
        return Model(MLPClassifier(**params).fit(X, y), X)
    n_targets = draw(st.integers(1, 3))
    y = random.gamma(2, size=(n, n_targets) if n_targets > 1 else n)
    params |= {"loss": target, "out_activation": draw(st.sampled_from(["auto", *OUT]))}
    if target in ("poisson", "gamma", "tweedie"):
        params["out_activation"] = "auto"
    if target == "quantile":
        params["quantile"] = draw(st.permutations([0.1, 0.5, 0.9]))
    return Model(MLPRegressor(**params).fit(X, y), X)
