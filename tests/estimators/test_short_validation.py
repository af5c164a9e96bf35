"""The short ways through validation: configuration, parameters, labels and random states are
treated as scikit-learn's long ways treat them."""

import numpy as np
import pytest
import sklearn
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.multiclass import unique_labels
from test_short_ways import TARGETS, X, assert_same, fitted, outcome, results, rng, with_value

from cmlp import MLPClassifier, MLPRegressor, _validation
from cmlp._core import engine

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Configuration


@pytest.mark.parametrize(
    "config",
    [
        {"assume_finite": True},
        {"skip_parameter_validation": True},
        {"transform_output": "pandas"},
        {"enable_metadata_routing": True},
    ],
)
def test_configuration(config):
    est = fitted("ten")
    expected = results(est, X)
    with sklearn.config_context(**config):
        for _ in range(2):
            assert_same(results(est, X), expected)
        again = fitted("ten")
        assert_same(results(again, X), expected)
        again.partial_fit(X[:9], TARGETS["ten"][:9])
        before = sklearn.get_config()
        assert {**before, **config} == before


def test_assume_finite_lets_everything_pass():
    est = fitted("binary")
    rows = with_value(X, np.nan)
    with sklearn.config_context(assume_finite=True):
        for _ in range(2):
            assert np.isnan(est.predict_proba(rows)[-1]).all()
            assert np.isfinite(est.predict_proba(rows)[:-1]).all()
    with pytest.raises(ValueError, match="contains NaN"):
        est.predict_proba(rows)


def test_configuration_inside_fit(monkeypatch):
    """As in scikit-learn nested validation is off, and what was set before is back afterwards."""
    seen = []
    original = MLPRegressor._fit_or_restore

    def spy(self, *args, **kwargs):
        seen.append(sklearn.get_config()["skip_parameter_validation"])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(MLPRegressor, "_fit_or_restore", spy)
    est = MLPRegressor().partial_fit(X, TARGETS["real"])
    est.partial_fit(X, TARGETS["real"])
    est.fit(X, TARGETS["real"])
    for method in (est.fit, est.partial_fit):
        with pytest.raises(ValueError, match="NaN"):
            method(with_value(X, np.nan), TARGETS["real"])
    assert seen == [True] * 5
    with pytest.raises(InvalidParameterError):
        MLPRegressor(alpha=-1).partial_fit(X, TARGETS["real"])
    assert not sklearn.get_config()["skip_parameter_validation"]
    with sklearn.config_context(skip_parameter_validation=True):
        est.partial_fit(X, TARGETS["real"])
        assert sklearn.get_config()["skip_parameter_validation"]


# Parameters


@pytest.mark.parametrize(
    "bad",
    [
        {"alpha": -1.0},
        {"alpha": True, "beta_1": 1.0},
        {"max_iter": 1.0},
        {"max_iter": 0},
        {"shuffle": "yes"},
        {"tol": -1},
        {"random_state": -1},
        {"random_state": np.random.default_rng(0)},
        {"hidden_layer_sizes": 0},
        {"hidden_layer_sizes": (0,)},
        {"hidden_layer_sizes": (3, -1)},
        {"learning_rate_init": float("nan")},
        {"batch_size": None},
        {"early_stopping": 2},
    ],
)
def test_invalid_after_valid(bad):
    est = MLPClassifier((3,), max_iter=1, random_state=0).fit(X, TARGETS["ten"])
    theirs = TheirClassifier((3,), max_iter=1, random_state=0)
    est.set_params(**bad)
    theirs.set_params(**bad)
    for _ in range(2):
        ours, _ = outcome(lambda: est.fit(X, TARGETS["ten"]))
        expected, _ = outcome(lambda: theirs.fit(X, TARGETS["ten"]))
        assert isinstance(ours, tuple)
        assert ours == expected
    good = {name: MLPClassifier(max_iter=1).get_params()[name] for name in bad}
    est.set_params(**good).fit(X, TARGETS["ten"])


def test_equal_values_of_other_types_are_other_parameters():
    MLPClassifier(max_iter=1, n_iter_no_change=1).fit(X, TARGETS["ten"])
    for value in (1.0, True + 0.0, np.float64(1)):
        with pytest.raises(InvalidParameterError, match="n_iter_no_change"):
            MLPClassifier(max_iter=1, n_iter_no_change=value).fit(X, TARGETS["ten"])
    with pytest.raises(InvalidParameterError, match="'max_iter' parameter of MLPRegressor"):
        MLPRegressor(max_iter=1.0).fit(X, TARGETS["real"])


def test_mutable_parameters_are_looked_at_each_time():
    sizes = [4]
    est = MLPClassifier(sizes, max_iter=1).fit(X, TARGETS["ten"])
    sizes[0] = 6
    assert est.fit(X, TARGETS["ten"]).coefs_[0].shape == (7, 6)
    sizes[0] = -6
    with pytest.raises(ValueError, match="hidden_layer_sizes must be > 0, got \\[-6\\]"):
        est.fit(X, TARGETS["ten"])


def test_constraints_of_a_subclass():
    class Strict(MLPClassifier):
        _parameter_constraints = {**MLPClassifier._parameter_constraints, "alpha": [str]}

    MLPClassifier(max_iter=1).fit(X, TARGETS["ten"])
    with pytest.raises(InvalidParameterError, match="'alpha' parameter of Strict"):
        Strict(max_iter=1).fit(X, TARGETS["ten"])


def test_what_is_remembered_is_bounded():
    for alpha in np.linspace(0, 1, _validation.MAX_REMEMBERED + 5).tolist():
        MLPClassifier(alpha=alpha)._validate_params()
    assert 0 < len(_validation._valid_parameters) <= _validation.MAX_REMEMBERED


# Labels and random states


LABELS = {
    "int": np.array([3, 1, 2, 3]),
    "two": np.array([5, 5, -1]),
    "one": np.array([5, 5]),
    "int8": np.array([100, -100, 3], np.int8),
    "uint64": np.array([2**63 + 1, 5], np.uint64),
    "bool": np.array([True, False, True]),
    "str": np.array(["b", "longer", "a"], "<U20"),
    "empty str": np.array(["", ""]),
    "floats": np.array([1.0, 3.0, 2.0]),
    "object": np.array(["x", "y", "x"], dtype=object),
    "indicator": np.array([[0, 1], [1, 1]]),
    "big-endian": np.array([3, 1, 2], ">i4"),
}


@pytest.mark.parametrize("labels", LABELS)
def test_label_binarizer(labels):
    y = LABELS[labels]
    ours, theirs = _validation.fit_label_binarizer(y), LabelBinarizer().fit(y)
    assert_same([ours.classes_], [theirs.classes_])
    assert vars(ours).keys() == vars(theirs).keys()
    assert ours.y_type_ == theirs.y_type_
    assert ours.sparse_input_ == theirs.sparse_input_
    for part in (y, y[:1], y[::-1]):
        matrix = _validation.indicator(ours, part)
        assert (matrix is None) == (labels in ("object", "indicator", "big-endian"))
        if matrix is not None:
            assert_same([matrix], [theirs.transform(part).astype(bool)])


def test_indicator():
    """The compiled one and the one in NumPy."""
    for n_classes in (1, 2, 3, 4, 5, 8, 100):
        classes = np.unique(rng.randint(-(2**62), 2**62, n_classes))
        y = rng.choice(classes, 50)
        expected = LabelBinarizer().fit(classes).transform(y).astype(bool)
        for labels in (y, np.repeat(y, 2)[::2], y[::-1].copy()[::-1]):
            assert_same([engine.indicator(labels, classes)], [expected])
            assert_same([engine.indicator(labels.copy(), classes)], [expected])
        for unknown in (classes[0] - 1, classes[-1] + 1, classes[n_classes // 2] + 1):
            assert engine.indicator(np.array([*y, unknown]), classes) is None
        for other in (
            y.astype(np.int32),
            y.astype(float),
            y.astype(">i8"),
            y[:, None],
            y[:0],
            y.tolist(),
            y.astype(np.uint64),
            y.astype(str),
            None,
        ):
            assert engine.indicator(other, classes) is None


def test_labels_that_are_unknown():
    for y, other in [([1, 2, 3], 4), ([1, 2], 0), ([1, 5], 3), ([7], 8)]:
        binarizer = _validation.fit_label_binarizer(np.array(y))
        assert _validation.indicator(binarizer, np.array([y[0], other])) is None
    binarizer = _validation.fit_label_binarizer(np.array(["a", "b"]))
    assert _validation.indicator(binarizer, np.array(["a", "bb"])) is None
    assert _validation.indicator(binarizer, np.array([1, 2])) is None


@pytest.mark.parametrize("classes", [[0, 1, 2], (0, 1, 2), np.arange(3), [2, 1, 0], [0, 1, 1, 2]])
def test_classes_in_every_call_of_partial_fit(classes):
    rows, y = X[:30], np.arange(30) % 3
    est = MLPClassifier(random_state=0)
    for at in range(0, 30, 10):
        est.partial_fit(rows[at : at + 10], y[at : at + 10], classes=classes)
    same = MLPClassifier(random_state=0).partial_fit(rows[:10], y[:10], classes=[0, 1, 2])
    same.partial_fit(rows[10:20], y[10:20]).partial_fit(rows[20:], y[20:])
    np.testing.assert_array_equal(est.coefs_[0], same.coefs_[0])
    for wrong in ([0, 1], [0, 1, 3], ["0", "1", "2"], np.arange(4)):
        with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
            est.partial_fit(rows, y, classes=wrong)
    with pytest.raises(ValueError, match="`y` has classes not in"):
        est.partial_fit(rows, y + 1)


def test_are_classes():
    for classes in ([True, False], [0, 1], ["a", "b"], [0.0, 1.0], ["a", 1], np.arange(2), []):
        for fitted_classes in (np.arange(2), np.array([False, True]), np.array(["a", "b"])):
            if _validation.are_classes(classes, fitted_classes):
                np.testing.assert_array_equal(unique_labels(classes), fitted_classes)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_random_states_start_anew(seed):
    for _ in range(3):
        ours = _validation.borrow_random_state(seed)
        theirs = check_random_state(seed)
        for draw in (lambda r: r.uniform(size=5), lambda r: r.permutation(9), lambda r: r.randn()):
            np.testing.assert_array_equal(draw(ours), draw(theirs))
        _validation.give_back(ours, seed)
    one, two = (_validation.borrow_random_state(seed) for _ in range(2))
    assert one is not two


def test_random_states_of_the_user_are_not_kept():
    state = np.random.RandomState(0)
    kept = list(_validation._random_states)
    MLPRegressor(max_iter=1, random_state=state).fit(X, TARGETS["real"])
    MLPRegressor(max_iter=1).fit(X, TARGETS["real"])
    assert all(r is not state for r in _validation._random_states)
    assert len(_validation._random_states) == len(kept)
    assert check_random_state(None) not in _validation._random_states


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "a"])
def test_seeds_that_are_none(seed):
    est = fitted("real").set_params(random_state=seed)
    theirs = TheirRegressor(max_iter=1).fit(X, TARGETS["real"]).set_params(random_state=seed)
    for method in ("fit", "partial_fit"):
        ours, _ = outcome(lambda m=method: getattr(est, m)(X, TARGETS["real"]))
        expected, _ = outcome(lambda m=method: getattr(theirs, m)(X, TARGETS["real"]))
        assert isinstance(ours, tuple)
        assert ours == expected
