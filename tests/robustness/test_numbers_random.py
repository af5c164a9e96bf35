"""Random fits of numbers at the ends of their range: estimators, solvers, losses, parameters.

Each trains or raises an error that says what is wrong, and nothing but scikit-learn's own words is
warned of. ``CMLP_FUZZ=20000`` makes the long run; what is known to matter: test_numbers.py.
"""

import os
import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from cmlp import MLPClassifier, MLPRegressor
from cmlp._core import engine
from cmlp._divergence import NON_FINITE
from cmlp._losses import loss_names
from cmlp._optimizers import OPTIMIZERS, has_weight_decay

N_FITS = int(os.environ.get("CMLP_FUZZ", "800"))
HIDDEN = sorted(name for name, row in engine.ACTIVATIONS.items() if row["hidden"])
SCALES = [0, 5e-324, 1e-310, 1e-300, 1e-150, 1e-45, 1e-38, 1e-20, 1e-5, 1, 1, 1, 1, 1]
SCALES += [1e5, 1e20, 1e38, 1e100, 1e154, 1e200, 1e300, 1.7e308]
#: what an error may say, beside that training diverged
SAID = ("too large for", "at least one non-zero", "sum to zero", "needs columns of y with equal")
#: and a warning
WARNED = ("Maximum iterations", "best finite weights", "No validation score", "lbfgs failed")
WARNED += ("It is going to be clipped", "not well-defined with less than two samples")


class Draw:
    """Random choices by one seed."""

    def __init__(self, seed):
        self.rng = np.random.RandomState(seed)

    def one_of(self, *values):
        return values[self.rng.randint(len(values))]

    def perhaps(self, probability=0.2):
        return self.rng.rand() < probability

    def numbers(self, shape, dtype):
        """Finite ones of the dtype, of some magnitude."""
        with np.errstate(all="ignore"):
            values = (self.rng.uniform(-1, 1, shape) * self.one_of(*SCALES)).astype(dtype)
        return np.nan_to_num(values)

    def samples(self, n, dtype):
        X = self.numbers((n, self.one_of(1, 2, 5)), dtype)
        if self.perhaps():
            X[:, 0] = self.numbers((), dtype)  # constant
        if self.perhaps():
            X[:, -1] = self.numbers(n, dtype)
        return sp.csr_matrix(X) if self.perhaps() else X

    def weights(self, n):
        if not self.perhaps(0.4):
            return None
        weight = np.abs(self.numbers(n, self.one_of(np.float32, np.float64)))
        weight[self.rng.randint(n)] = self.one_of(0, 1)
        return weight * 0 if self.perhaps(0.05) else weight

    def labels(self, n):
        of_two, of_three = np.arange(n) % 2, np.arange(n) % 3
        columns = np.c_[of_two, np.arange(n) // 2 % 2, of_two]
        return self.one_of(of_two, of_three, columns, np.c_[of_two, of_three])

    def targets(self, n, positive):
        y = self.numbers(self.one_of((n,), (n, 2)), self.one_of(np.float32, np.float64))
        return np.where(y == 0, 1, np.abs(y)).astype(y.dtype) if positive else y

    def parameters(self, n):
        solver = self.one_of("lbfgs", *OPTIMIZERS)
        params = {
            "hidden_layer_sizes": self.one_of((), (4,), (3, 3)),
            "activation": self.one_of(*HIDDEN),
            "solver": solver,
            "max_iter": self.one_of(1, 3, 8),
            "alpha": self.one_of(0.0, 1e-4, 1.0, 1e300),
            "batch_size": self.one_of("auto", 1, 3),
            "learning_rate_init": self.one_of(1e-3, 1e-3, 1.0, 1e300, 1e-300),
            "dtype": self.one_of(None, None, "float32", "float64"),
            "n_jobs": self.one_of(None, 2),
            "random_state": 0,
        }
        if solver == "lbfgs":
            return params
        if self.perhaps():
            params["max_grad_norm"] = self.one_of(1e-300, 1.0, 1e300)
        if self.perhaps() and solver != "schedule_free_adamw":
            params["ema_decay"] = 0.9
        if self.perhaps():
            params["learning_rate"] = self.one_of("cosine", "invscaling", "adaptive", "plateau")
        if self.perhaps():
            params["dropout"] = 0.5
        if self.perhaps():
            params["epsilon"] = self.one_of(5e-324, 1e-300, 1e300)
        if self.perhaps() and has_weight_decay(solver):
            params["weight_decay"] = self.one_of(0.0, 1.0, 1e300)
        if self.perhaps() and n == 20:
            params["early_stopping"] = True
        return params


def problem(cls, seed):
    """An estimator, X, y and weights."""
    draw = Draw(seed)
    n = draw.one_of(1, 2, 3, 9, 20)
    params = draw.parameters(n)
    X, weight = draw.samples(n, draw.one_of(np.float32, np.float64)), draw.weights(n)
    if cls is MLPClassifier:
        params["loss"] = draw.one_of(*sorted(loss_names("classifier")))
        params["label_smoothing"] = draw.one_of(0.0, 0.1)
        y = draw.labels(n)
        params["class_weight"] = "balanced" if y.ndim == 1 and draw.perhaps() else None
    else:
        params["loss"] = draw.one_of(*sorted(loss_names("regressor")))
        params["tweedie_power"] = draw.one_of(0.0, 1.0, 1.5, 1.9, 2.0, 2.5, 3.0)
        y = draw.targets(n, params["loss"] in ("poisson", "gamma", "tweedie"))
    return cls(**params), X, y, weight, draw


def trains(call, *data):
    try:
        call(*data)
    except ValueError as error:
        text = str(error)
        assert text.startswith(NON_FINITE) or any(words in text for words in SAID), text
        return False
    return True


def check_probabilities(est, X):
    """Of each sample: NaN only where a sum before the output activation overflows."""
    p = est.predict_proba(X)
    sums = [array.sum(axis=1) for array in p] if type(p) is list else [p.sum(axis=1)]
    p = np.concatenate(p, axis=1) if type(p) is list else p
    good = np.isfinite(p).all(axis=1)
    assert p[good].min(initial=0) >= 0
    assert p[good].max(initial=1) <= 1
    if est._label_binarizer.y_type_ != "multilabel-indicator":
        for of_column in sums:
            np.testing.assert_allclose(of_column[good], 1, rtol=1e-5)
    with np.errstate(divide="ignore"):  # -inf of 0
        logarithms = est.predict_log_proba(X)
    for array in logarithms if type(logarithms) is list else [logarithms]:
        assert not np.isnan(array[good]).any()
    bound = largest = float(abs(X.data if sp.issparse(X) else X).max(initial=0))
    with np.errstate(over="ignore", invalid="ignore"):
        for coefs, intercepts in zip(est.coefs_, est.intercepts_, strict=True):
            # an activation is not larger than what it is given, or two
            factor = np.abs(coefs.astype(np.float64)).sum(axis=0).max()
            bound = max(bound, 2.0) * factor + np.abs(intercepts.astype(np.float64)).max()
            largest = max(largest, bound)
    dtype = np.result_type(X.dtype, est.coefs_[0]) if est.dtype is None else np.dtype(est.dtype)
    if largest < np.finfo(dtype).max / 1e3:
        assert good.all(), (largest, p)


def check(cls, seed):
    """Whether a fit trained, and what was asked of it after that."""
    est, X, y, weight, draw = problem(cls, seed)
    if not trains(est.fit, X, y, weight):
        return False
    again = draw.one_of("partial_fit", "fit", None, None, None)
    if again == "partial_fit" and est.solver != "lbfgs" and not est.early_stopping:
        params = {"class_weight": None} if cls is MLPClassifier else {}
        if not trains(est.set_params(**params).partial_fit, X, y, weight):
            return False
    elif again == "fit" and not trains(est.set_params(warm_start=True).fit, X, y, weight):
        return False
    assert all(np.isfinite(array).all() for array in est.coefs_ + est.intercepts_)
    if not est.early_stopping:  # else the last epoch may be one that is not kept
        assert not np.isnan(est.loss_)
        assert not np.isnan(getattr(est, "loss_curve_", [])).any()
    if cls is MLPRegressor:
        est.predict(X)
        return True
    check_probabilities(est, X)
    if draw.perhaps(0.3):
        for array in est.coefs_ + est.intercepts_:
            array[...] = draw.numbers(array.shape, array.dtype)
        check_probabilities(est, X)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_random_fits(cls):
    n_trained = 0
    for seed in range(N_FITS // 2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                n_trained += check(cls, seed)
            except Exception as error:
                error.add_note(f"seed {seed}: {problem(cls, seed)[0]}")
                raise
        for warning in caught:
            text = str(warning.message)
            assert any(words in text for words in WARNED), (seed, text, warning.filename)
            assert not issubclass(warning.category, RuntimeWarning), (seed, text)
    assert n_trained > N_FITS / 2 / 4
