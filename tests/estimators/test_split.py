"""The samples that early stopping holds out: scikit-learn's own, by scikit-learn's own draws."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn import config_context, neural_network
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.utils.fixes import parse_version

import cmlp
from cmlp import MLPClassifier, MLPRegressor, _early_stopping
from cmlp._early_stopping import split

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
OLD_SKLEARN = parse_version(sklearn.__version__) < parse_version("1.9.0")
FRACTIONS = [0.1, 0.25, 1 / 3, 0.5, 0.9, np.float32(0.15)]


def for_split(kind=MLPClassifier, fraction=0.1, n_outputs=1):
    est = kind(validation_fraction=fraction)
    est.n_outputs_ = n_outputs
    return est


def assert_same_split(est, y, seed=0):
    """The indices, and what the generator draws next."""
    stratify = y if est.n_outputs_ == 1 and isinstance(est, MLPClassifier) else None
    generators = [np.random.RandomState(seed) for _ in range(2)]
    ours = split(est, y, generators[0])
    with config_context(skip_parameter_validation=True):  # as inside a fit
        theirs = train_test_split(
            np.arange(len(y)),
            test_size=est.validation_fraction,
            stratify=stratify,
            random_state=generators[1],
        )
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.intp
    assert generators[0].randint(2**31) == generators[1].randint(2**31)


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("share", [0.5, 0.3, 0.02, 0.98, 0.0, 1.0])
@pytest.mark.parametrize("n", [30, 101, 1000])
def test_two_classes(n, share, fraction):
    y = np.zeros((n, 1), dtype=bool)
    y[: max(2, round(share * n)) if share else 0] = True
    if share == 0.98:
        y[-2:] = False
    for seed in range(5):
        np.random.RandomState(seed).shuffle(y)
        assert_same_split(for_split(fraction=fraction), y, seed)


def test_ties_are_broken_by_the_same_draws():
    """Classes of the same size, of which one gives a sample more."""
    y = np.arange(42)[:, None] % 2 == 0
    for seed in range(30):
        assert_same_split(for_split(fraction=0.5), y, seed)
        assert_same_split(for_split(fraction=1 / 6), y, seed)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_what_is_not_stratified(kind):
    y = np.random.RandomState(0).uniform(size=(60, 3)) > 0.5
    assert_same_split(for_split(kind, n_outputs=3), y)
    if kind is MLPRegressor:
        assert_same_split(for_split(kind), y[:, :1])


class OwnPermutations(np.random.RandomState):
    def permutation(self, x):
        return super().permutation(x)[::-1]


def test_a_generator_with_draws_of_its_own():
    y = np.arange(60)[:, None] % 3 == 0
    parts = [
        train_test_split(
            np.arange(60), test_size=0.2, stratify=y, random_state=OwnPermutations(0)
        ),
        split(for_split(fraction=0.2), y, OwnPermutations(0)),
    ]
    for one, other in zip(*parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_the_function_that_scikit_learn_does_not_promise(monkeypatch):
    monkeypatch.setattr(_early_stopping, "_approximate_mode", None)
    assert_same_split(for_split(), np.arange(60)[:, None] % 3 == 0)


# since 1.8 with their names
TOO_FEW = "The least populated class(es)? in y ha(s|ve) only 1 member, which is too few"
BAD = {
    "one member": (np.arange(40) == 3, 0.2, TOO_FEW),
    "one other": (np.arange(40) != 3, 0.2, TOO_FEW),
    "nothing held out": (np.arange(40) > 20, 0.0, "test_size=0.0"),
    "too few held out": (np.arange(40) > 20, 0.01, "test_size = 1 should be greater"),
    "too few to train on": (np.arange(40) > 20, 0.97, "train_size = 1 should be greater"),
    "all held out": (np.arange(5) > 2, 0.99, "train set will be empty"),
}


@pytest.mark.parametrize("bad", BAD)
def test_errors_are_those_of_scikit_learn(bad):
    y, fraction, match = BAD[bad]
    X = np.random.RandomState(0).normal(size=(len(y), 3))
    messages = []
    for library in (cmlp, neural_network):
        est = library.MLPClassifier(
            early_stopping=True, validation_fraction=fraction, random_state=0
        )
        with pytest.raises(ValueError, match=match) as info:
            est.fit(X, y)
        messages.append(str(info.value))
    assert messages[0] == messages[1]


X, codes = make_classification(
    90, 5, n_informative=4, n_redundant=0, n_classes=3, weights=[0.5, 0.3], random_state=0
)
KINDS = {
    "integers": codes > 0,
    "floats": np.where(codes > 0, 2.5, -0.5).round(),
    "strings": np.where(codes > 0, "yes", "no"),
    "objects": np.where(codes > 0, "yes", "no").astype(object),
    "one class": np.full(90, 3),
    "multiclass": codes,
    "multiclass strings": np.array(["b", "a", "c"])[codes],
    "multilabel": codes[:, None] == [0, 1, 2],
    "sparse multilabel": sp.csr_matrix((codes[:, None] == [0, 1]).astype(int)),
}


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_weights_after_a_fit(kind, sparse, weighted):
    y = KINDS[kind]
    params = {"early_stopping": True, "validation_fraction": 0.23, "random_state": 3}
    models, libraries = [], [cmlp, neural_network]
    if OLD_SKLEARN and ("strings" in kind or kind in ("objects", "sparse multilabel")):
        libraries = [cmlp, cmlp]  # scikit-learn's fails on them before 1.9
    for library in libraries:
        est = library.MLPClassifier((6,), max_iter=12, learning_rate_init=0.01, **params)
        weight = np.linspace(0.5, 2, 90) if weighted else None
        models.append(est.fit(sp.csr_matrix(X) if sparse else X, y, weight))
    ours, theirs = models
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-12)
    for one, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12)
