"""Data, a small network and a comparison for the tests of fused pipelines. No tests."""

import numpy as np

import cmlp

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 6)) * [1, 10, 0.1, 3, 1e3, 1] + [0, 5, -1, 20, 1e4, 1]
y = np.tanh((X - X.mean(axis=0)) / X.std(axis=0)) @ rng.normal(size=6)
Y = np.c_[y, y**2, np.ones(80)]
labels = np.array(["low", "middle", "high"])[np.digitize(y, [-1, 1])]


def network(**params):
    return cmlp.MLPRegressor(
        hidden_layer_sizes=(5,), activation="tanh", max_iter=3, random_state=0, **params
    )


def outputs(est, X):
    return est.predict_proba(X) if hasattr(est, "predict_proba") else est.predict(X)


def assert_same(fused, pipeline, X, tolerance=1e-12):
    expected = outputs(pipeline, X)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(outputs(fused, X) / scale, expected / scale, rtol=0, atol=tolerance)
