"""Fused pipelines where numbers are far from one another: cancellation, extremes, dtypes."""

import re
import warnings

import numpy as np
import pytest
from forms_of_pipelines import X, assert_same, network, rng, y
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from cmlp import fuse

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_float32_is_computed_in_float64():
    """A network of float32 behind a scaler far from zero: float64 keeps what float32 loses."""
    far = X.copy()
    far[:, 5] += 1e4
    est = network(dtype="float32")
    pipeline = make_pipeline(StandardScaler(), est).fit(far, y)
    with pytest.warns(UserWarning, match=r"'standardscaler'.*float32.*dtype='float64'"):
        fused = fuse(pipeline)
    assert fused.coefs_[0].dtype == np.float32
    assert_same(fused, pipeline, far, 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fused = fuse(pipeline, dtype="float64")
    assert fused.coefs_[0].dtype == np.float64
    assert fused.dtype == "float64"
    assert_same(fused, pipeline, far, 2e-6)
    near = make_pipeline(StandardScaler(), est).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(fuse(near), near, X, 1e-5)


def test_cancellation_is_warned_of_and_as_large_as_said():
    far = X.copy()
    far[:, 0] += 1e9
    pipeline = make_pipeline(StandardScaler(), network()).fit(far, y)
    with pytest.warns(UserWarning, match="far from zero"):
        fused = fuse(pipeline)
    assert_same(fused, pipeline, far, 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "steps", [(StandardScaler(),), (PCA(),), (RobustScaler(), PCA(3))], ids=str
)
@pytest.mark.parametrize("ratio", [1, 1e2, 1e3, 1e4, 1e6])
def test_the_error_is_as_large_as_said(steps, dtype, ratio):
    """Unless it warns, the promise holds; if it does, so does its number, to a factor of ten."""
    rows = rng.normal(size=(80, 6)) + ratio * rng.uniform(0.5, 1, 6)
    pipeline = make_pipeline(*map(clone, steps), network(dtype=dtype)).fit(rows, y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fused = fuse(pipeline)
    said = {"float32": 1e-4, "float64": 1e-12}[dtype]
    if caught:
        said = float(re.search(r"an error of about (\S+) in", str(caught[0].message))[1])
        assert caught[0].filename == __file__
    assert_same(fused, pipeline, rows, 10 * said)
    assert not caught or ratio > 100
    assert caught or ratio < 1e6


def test_zero_variance():
    constant = X.copy()
    constant[:, 2] = 7.0
    for scaler in (StandardScaler(), MinMaxScaler(), RobustScaler(), MaxAbsScaler()):
        pipeline = make_pipeline(scaler, network()).fit(constant, y)
        assert_same(fuse(pipeline), pipeline, constant)
        pipeline = make_pipeline(scaler, PCA(whiten=True), network()).fit(constant, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fused = fuse(pipeline)
        # the noise of a direction without variance, amplified by whitening
        assert np.isfinite(fused.predict(constant)).all()


@pytest.mark.parametrize("power", [-150, -30, 30, 150])
def test_huge_and_tiny_scales(power):
    scaled = X * 10.0**power
    pipeline = make_pipeline(StandardScaler(), network()).fit(scaled, y)
    assert_same(fuse(pipeline), pipeline, scaled)
    if abs(power) > 40:
        with pytest.raises(ValueError, match="beyond float32"):
            fuse(pipeline, dtype="float32")
    scaler = StandardScaler().fit(X)
    scaler.scale_ = np.full(6, 5e-324)
    with pytest.raises(ValueError, match=r"'standardscaler'.*beyond float64"):
        fuse(make_pipeline(scaler, pipeline.steps[-1][1]))
