"""How sure is a prediction? One network predicts a band of quantiles, which never cross.

Disease progression after a year, from the diabetes data: the share of held-out patients below each
quantile and inside the 80 % band, beside a band of constant width around a mean.
``python examples/quantile_bands.py`` prints two tables.
"""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_pinball_loss
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmlp import MLPRegressor

QUANTILES = [0.1, 0.25, 0.5, 0.75, 0.9]


def pipeline(**loss):
    return make_pipeline(
        StandardScaler(),
        MLPRegressor(
            hidden_layer_sizes=(20,), activation="tanh", alpha=1.0, learning_rate_init=0.01,
            max_iter=150, tol=0, random_state=0, n_iter_no_change=np.inf, **loss,
        ),
    )  # fmt: skip


def held_out_bands(X, y, n_splits=10):
    """Quantiles of each patient by networks that have not seen them, and constant-width ones.

    Returns
    -------
    bands, constant : ndarray of shape (n_samples, n_quantiles)
    """
    bands, constant = np.empty((2, len(y), len(QUANTILES)))
    for train, test in KFold(n_splits, shuffle=True, random_state=0).split(X):
        several = pipeline(loss="quantile", quantile=QUANTILES).fit(X[train], y[train])
        bands[test] = several.predict(X[test])
        mean = pipeline().fit(X[train], y[train])
        errors = y[train] - mean.predict(X[train])
        constant[test] = mean.predict(X[test])[:, None] + np.quantile(errors, QUANTILES)
    return bands, constant


def main():
    X, y = load_diabetes(return_X_y=True)
    scale = y.std()
    bands, constant = (band * scale for band in held_out_bands(X, y / scale))
    print(f"{'quantile':>8} {'patients below it':>18} {'pinball loss':>13} {'constant width':>15}")
    for i, quantile in enumerate(QUANTILES):
        losses = [mean_pinball_loss(y, b[:, i], alpha=quantile) for b in (bands, constant)]
        below = np.mean(y < bands[:, i])
        print(f"{quantile:8.0%} {below:18.1%} {losses[0]:13.2f} {losses[1]:15.2f}")
    crossings = np.sum(np.diff(bands, axis=1) < 0)
    print(f"crossings: {crossings}\n")

    width = bands[:, -1] - bands[:, 0]
    inside = (bands[:, 0] <= y) & (y <= bands[:, -1])
    inside_constant = (constant[:, 0] <= y) & (y <= constant[:, -1])
    print(f"{'80 % band':<22} {'mean width':>10} {'patients inside':>16} {'constant width':>15}")
    thirds = np.array_split(np.argsort(width), 3)
    for name, rows in zip(
        ("narrowest third", "middle third", "widest third"), thirds, strict=True
    ):
        print(
            f"{name:<22} {width[rows].mean():10.0f} {inside[rows].mean():16.1%}"
            f" {inside_constant[rows].mean():15.1%}"
        )
    print(f"{'all':<22} {width.mean():10.0f} {inside.mean():16.1%} {inside_constant.mean():15.1%}")


if __name__ == "__main__":
    main()
