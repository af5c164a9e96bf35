"""A numeric feature by its distribution: a robust scale, and bins that tell targets apart.

One column of numbers at a time. No tables, no categories, no encodings.
"""

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import check_random_state

#: Rows that a tree sees: the first number, or fewer, down to the second, of a wide table.
MAX_ROWS, MIN_ROWS = 50_000, 5_000
#: Rows times features from which on trees see fewer rows.
MAX_CELLS = 10_000_000
#: Samples of a leaf: a quarter of what equal bins would hold, within these limits. The lower one
#: is for the mean of a target to be one; with the upper one, large data show their narrow peaks.
MIN_LEAF, MAX_LEAF = 5, 16
#: Samples for each distinct value from which on values count as repeated.
SAMPLES_PER_VALUE = 8
#: Edges lie within, so that no width overflows.
MAX_EDGE = np.finfo(np.float64).max / 4
TINY = np.finfo(np.float64).tiny
TREES = {"classifier": DecisionTreeClassifier, "regressor": DecisionTreeRegressor}


def robust_scale(values):
    """The median and what to multiply distances from it by.

    The factor is 1 over the distance of the quartiles; 2 over the range where they are the same;
    0 for a constant. [1]_

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Missing ones NaN.

    References
    ----------
    .. [1] Holzmüller, Grinsztajn & Steinwart, "Better by default: Strong pre-tuned MLPs and
       boosted trees on tabular data", NeurIPS 2024.
    """
    low, q1, center, q3, high = np.quantile(known(values), [0, 0.25, 0.5, 0.75, 1])
    if low == high:
        return center, 0.0
    with np.errstate(over="ignore"):
        width = q3 - q1 if q1 < q3 else high / 2 - low / 2
    return center, 1 / np.clip(width, TINY, MAX_EDGE)


def known(values):
    return values[~np.isnan(values)]


def is_two_valued(values):
    """Whether a line goes through all points of any function of the values."""
    values = known(values)
    low, high = values.min(), values.max()
    return bool(((values == low) | (values == high)).all())


def repeats(values):
    """Whether known values are few beside the samples: most likely, each says something itself."""
    values = known(values)
    return len(np.unique(values)) * SAMPLES_PER_VALUE <= len(values)


def bin_edges(values, n_bins, tree=None):
    """Edges of the bins of a feature, increasing: lowest value, thresholds, highest value.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        At least two known ones; missing ones NaN.
    n_bins : int
        There may be fewer.
    tree : ThresholdTree, optional
        Without one, or where it finds no threshold, bins hold equal shares of the samples.
    """
    present = known(values)
    thresholds = () if tree is None else tree.thresholds(values, n_bins)
    if not len(thresholds):
        thresholds = np.quantile(present, np.linspace(0, 1, n_bins + 1)[1:-1])
    edges = np.concatenate([[present.min()], thresholds, [present.max()]])
    return np.unique(np.clip(edges, -MAX_EDGE, MAX_EDGE))


class ThresholdTree:
    """Decision trees of one feature against the targets, and the thresholds that they find.

    Parameters
    ----------
    targets : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,) or None
        All positive.
    task : {'classifier', 'regressor'}
    n_features : int
        Trees that are going to be grown.
    random_state : int, RandomState or None
        Draws the rows that the trees see, where these are not all.
    """

    def __init__(self, targets, sample_weight, task, n_features, random_state):
        targets = np.asarray(targets)
        n_samples = len(targets)
        self.kind = TREES[task]
        self.rows = slice(None)
        most = min(MAX_ROWS, max(MIN_ROWS, MAX_CELLS // max(1, n_features)))
        if n_samples > most:
            self.rows = check_random_state(random_state).choice(n_samples, most, replace=False)
        self.targets = targets[self.rows]
        if task == "regressor" and targets.ndim == 2:  # else the largest numbers decide alone
            scale = self.targets.std(axis=0)
            self.targets = self.targets / np.where(scale > 0, scale, 1)
        self.sample_weight = None if sample_weight is None else sample_weight[self.rows]

    def thresholds(self, values, n_bins):
        """Where a tree of at most n_bins leaves divides the values, in no order."""
        values = values[self.rows]
        rows = np.flatnonzero(~np.isnan(values))
        # a tree computes in float32, in which close values are one and large ones infinite; the
        # ranks of the values have the same trees
        distinct, rank = np.unique(values[rows], return_inverse=True)
        if len(distinct) < 2 or n_bins < 2:
            return distinct[:0]
        leaf = min(MAX_LEAF, max(MIN_LEAF, len(rows) // (4 * n_bins)))
        tree = self.kind(max_leaf_nodes=n_bins, min_samples_leaf=leaf, random_state=0)
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        tree = tree.fit(rank.reshape(-1, 1), self.targets[rows], weight).tree_
        below = np.floor(tree.threshold[tree.children_left >= 0]).astype(np.intp)
        return distinct[below] / 2 + distinct[below + 1] / 2
