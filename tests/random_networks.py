"""Random small problems and networks for hypothesis: what any form of a model has to hold.

No tests.
"""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

KINDS = ("binary", "strings", "multiclass", "multilabel", "one value", "values", "counts")
N_FEATURES = 5
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


class Case(NamedTuple):
    """A problem, and the parameters of a network for it."""

    kind: str
    X: np.ndarray
    y: np.ndarray
    params: dict[str, Any]

    @property
    def name(self):
        is_regressor = self.kind in ("one value", "values", "counts")
        return "MLPRegressor" if is_regressor else "MLPClassifier"

    def fitted(self, module, **params):
        """The estimator of a module, fitted."""
        return getattr(module, self.name)(**{**self.params, **params}).fit(self.X, self.y)


def targets(kind, X, rng):
    score = np.tanh(X @ rng.normal(size=X.shape[1]) + 0.1)  # so that no training diverges
    match kind:
        case "binary":
            return (score > 0).astype(int) * 4 + 3
        case "strings":
            return np.array(["no", "maybe", "yes, surely"])[np.digitize(score, [-0.3, 0.3])]
        case "multiclass":
            return np.digitize(score, [-0.7, 0, 0.7]) - 2
        case "multilabel":
            return (np.c_[score, -score, score**2] > 0.3).astype(int)
        case "one value":
            return 3 * score + 1
        case "values":
            return np.c_[score, score**2 - 1]
        case "counts":
            return rng.poisson(np.exp(score))


@st.composite
def cases(draw, solvers=("lbfgs", "sgd", "adam"), **fixed):
    """Problems with parameters that both packages have."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(KINDS))
    X = rng.normal(size=(draw(st.integers(12, 40)), N_FEATURES))
    X = X.astype(draw(st.sampled_from([np.float32, np.float64])))
    params = {
        "hidden_layer_sizes": draw(st.sampled_from([(), (1,), (7,), (4, 3), [3, 2, 2], 5])),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "solver": draw(st.sampled_from(solvers)),
        "alpha": draw(st.sampled_from([0.0, 1e-4, 1.0])),
        "batch_size": draw(st.sampled_from(["auto", 1, 8])),
        "learning_rate": draw(st.sampled_from(["constant", "invscaling", "adaptive"])),
        "learning_rate_init": draw(st.sampled_from([1e-4, 1e-3])),
        "max_iter": draw(st.integers(1, 6)),
        "shuffle": draw(st.booleans()),
        "random_state": draw(st.integers(0, 99)),
        "momentum": draw(st.sampled_from([0.0, 0.9])),
        "nesterovs_momentum": draw(st.booleans()),
        "n_iter_no_change": draw(st.sampled_from([1, 10])),
        "tol": draw(st.sampled_from([0.0, 0.1])),
        **fixed,
    }
    if kind == "counts":
        params["loss"] = "poisson"
    y = targets(kind, X, rng)
    assume(kind not in ("binary", "strings", "multiclass") or len(np.unique(y)) > 1)
    return Case(kind, X, y, params)
