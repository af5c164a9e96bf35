"""A program of a user, which runs, and of which type checkers know every type (``make types``)."""
# pyright: strict

import tempfile
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix

import cmlp
from cmlp import (
    Checkpoint,
    HiddenLayers,
    LossCurveDisplay,
    MLPClassifier,
    MLPRegressor,
    Network,
    TabularMLPClassifier,
    TabularMLPRegressor,
)

Floats = NDArray[np.floating[Any]]

X = np.random.default_rng(0).normal(size=(60, 4))
y = X[:, 0] + X[:, 1]
labels = np.where(y > 0, "positive", "negative")
folder = Path(tempfile.mkdtemp())


def share_of_positives(est: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    positive: NDArray[np.bool_] = est.predict(X) == "positive"
    return float(positive.mean())


def export(m: MLPClassifier | TabularMLPRegressor) -> None:
    m.to_c(folder / "model.c", "model", dtype="float32", quantize="int8")
    error = m.quantization_error(X)
    assert_type(error.largest, float)
    assert_type(error.labels_changed, float | None)
    m.to_onnx(folder / "model.onnx", dtype="float32")


def classify() -> MLPClassifier:
    m = MLPClassifier(
        (8, 4),
        activation=["relu", "tanh"],
        alpha=1e-3,
        batch_size=20,
        class_weight={"positive": 2, "negative": 1},
        early_stopping=True,
        scoring=share_of_positives,
        max_iter=10,
        random_state=0,
    )
    assert_type(m.alpha, float)
    assert_type(m.solver, str)
    assert_type(m.batch_size, int | str)
    assert_type(m.max_grad_norm, float | None)
    assert_type(m.label_smoothing, float)
    m.alpha = 1e-4
    assert_type(m.fit(X, labels), MLPClassifier)
    assert_type(m.coefs_, list[Floats])
    assert_type(m.intercepts_[0], Floats)
    assert_type(m.loss_, float)
    assert_type(m.loss_curve_, list[float])
    assert_type(m.n_iter_, int)
    assert_type(m.out_activation_, str)
    assert_type(m.validation_scores_, list[float] | None)
    assert_type(m.predict(X), NDArray[Any] | Any)
    assert_type(m.predict_proba(csr_matrix(X)), Floats | Any)
    assert_type(m.predict_log_proba(csr_array(X)), Floats | Any)
    assert_type(m.score(X, labels), float)
    assert_type(m.classes_, NDArray[Any] | Any)
    assert_type(m.hidden_layer(X, layer=0), Floats)
    assert_type(m.input_gradient(X, labels), Floats)
    stream = MLPClassifier().partial_fit(X, labels, classes=["negative", "positive"])
    assert_type(stream, MLPClassifier)
    return m


def regress() -> MLPRegressor:
    m = MLPRegressor("huber", (8,), huber_delta=1.0, dtype="float32", max_iter=4, dropout=0.1)
    assert_type(m.huber_delta, float)
    assert_type(m.dtype, str | None)
    checkpoint = Checkpoint(folder / "fit.checkpoint", every=2)
    assert_type(checkpoint.every, int)
    assert_type(m.fit(X, y, checkpoint=checkpoint), MLPRegressor)
    assert_type(m.fit(X, y, resume_from=checkpoint.path), MLPRegressor)
    assert_type(m.fit(X, y, np.ones(60), X_val=X, y_val=y, coefs_init=m.coefs_), MLPRegressor)
    assert_type(m.predict(X), Floats)
    assert_type(m.predict([[0.0, 1.0, 2.0, 3.0]]).mean(), Any)
    assert_type(m.predict_samples(X, 3, random_state=0), Floats | Any)
    return m


def look_inside(m: MLPRegressor) -> float:
    network = Network.from_estimator(m)
    assert_type(network, Network)
    result = network.loss_and_gradients(X, y.reshape(-1, 1))
    assert_type(result.loss, float)
    assert_type(result.coef_grads, list[Floats])
    assert_type(network.jacobian(X).coef_jacobians[0], Floats)
    layers = HiddenLayers(m, layer=-1)
    assert_type(layers.layer, int)
    assert_type(layers.fit(X, y), HiddenLayers)
    assert_type(layers.transform(X), Floats)
    assert_type(layers.n_features_in_, int)
    return result.loss


def keep(m: MLPClassifier) -> MLPClassifier | MLPRegressor:
    path = folder / "model.safetensors"
    m.scoring = None
    m.save(path)
    loaded = cmlp.load(path)
    assert_type(loaded, MLPClassifier | MLPRegressor | TabularMLPClassifier | TabularMLPRegressor)
    assert isinstance(loaded, MLPClassifier | MLPRegressor)
    assert_type(loaded.coefs_, list[Floats])
    assert_type(cmlp.__version__, str)
    assert_type(cmlp.TRUSTED_TYPES, list[str])
    return loaded


def move(m: MLPRegressor) -> None:
    theirs: Any = m.to_sklearn(predict_only=True)
    assert_type(cmlp.from_sklearn(theirs), MLPClassifier | MLPRegressor)
    assert_type(cmlp.fuse(m, dtype="float64"), MLPClassifier | MLPRegressor)


def of_a_table() -> NDArray[Any]:
    m = TabularMLPClassifier(n_members=2, max_iter=2, random_state=0)
    assert_type(m.fit(X, labels), TabularMLPClassifier)
    assert_type(m.n_members, int)
    assert_type(m.n_iter_, int)
    r = TabularMLPRegressor(time_limit=5.0, max_iter=2).fit(X, y)
    assert_type(r.time_limit, float | None)
    return np.asarray(r.predict(X))


def draw(m: MLPClassifier) -> int:
    display = LossCurveDisplay.from_estimator(m, log_scale=True, line_kw={"linewidth": 2})
    assert_type(display, LossCurveDisplay)
    assert_type(display.best_epoch, int | None)
    assert_type(display.ax_.get_xlabel(), str)
    return len(display.lines_)


def replace_scikit_learn() -> None:
    with cmlp.patch_sklearn("MLPClassifier"):
        pass
    cmlp.unpatch_sklearn()


classifier = classify()
regressor = regress()
look_inside(regressor)
move(regressor)
keep(classifier)
of_a_table()
draw(classifier)
replace_scikit_learn()
export(classifier)
