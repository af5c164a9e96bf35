"""Raw tables as numbers: scales, bins, categories, and what is not a table that was fitted to."""

import json
import pickle
import re
import warnings
from decimal import Decimal

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import make_regression
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from cmlp._encoding import decode, encode
from cmlp._table_bins import MAX_ROWS, ThresholdTree, bin_edges
from cmlp._table_categories import MAX_LEVELS, MAX_WIDTH, learn_category
from cmlp._table_numbers import BLOCK, FEW
from cmlp._tables import Encoding, TableEncoder

RNG = np.random.default_rng(0)


def fitted(X, y=None, task=None, **kwargs):
    return TableEncoder().fit(X, y, task=task, random_state=0, **kwargs)


def kinds(encoder):
    return [encoding.kind for encoding in encoder.encodings]


def clipped(z):
    return z / np.sqrt(1 + (z / 3) ** 2)


@pytest.fixture
def numbers():
    X, y = make_regression(300, 4, noise=10, random_state=0)
    return X, y


@pytest.fixture(params=["pandas", "polars"])
def frame(request):
    """DataFrame of a package, of a dict of columns."""
    return pytest.importorskip(request.param).DataFrame


# Numbers


def test_encodings_of_numbers_and_their_order(numbers):
    X, y = numbers
    encoder = fitted(X, y, "regressor", n_bins=10, embedding=5)
    assert kinds(encoder) == ["identity"] * 4 + ["piecewise_linear"] * 4
    assert [encoding.column for encoding in encoder.encodings] == list(range(8))
    assert [encoding.width for encoding in encoder.encodings] == [1] * 4 + [5] * 4
    assert all(2 <= encoding.levels <= 10 for encoding in encoder.encodings[4:])
    assert encoder.encodings[0] == ("identity", 0, 1, 0)


def test_values_that_repeat_have_steps_besides():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 50, 400), rng.integers(0, 51, 400), rng.normal(size=400)])
    assert [len(np.unique(x)) for x in X.T] == [50, 51, 400]
    encoder = fitted(X, n_bins=20, embedding=5, step_embedding=3)
    assert kinds(encoder) == ["identity"] * 3 + ["piecewise_linear"] * 3 + ["piecewise_constant"]
    assert encoder.encodings[-1] == ("piecewise_constant", 3, 3, encoder.encodings[3].levels)
    assert encoder.n_columns == encoder.transform(X).shape[1] == 6
    assert kinds(fitted(X, step_embedding=0)) == ["identity"] * 3 + ["piecewise_linear"] * 3


def test_scaled_values(numbers):
    X, _ = numbers
    q1, median, q3 = np.quantile(X, [0.25, 0.5, 0.75], axis=0)
    Z = fitted(X).transform(X, np.float64)
    np.testing.assert_allclose(Z[:, :4], clipped((X - median) / (q3 - q1)), atol=1e-14)


def test_quartiles_that_are_the_same_give_way_to_the_range():
    x = np.r_[np.zeros(90), np.arange(1.0, 11)]
    Z = fitted(x[:, None]).transform(x[:, None], np.float64)
    np.testing.assert_allclose(Z[:, 0], clipped(x / 5), atol=1e-14)


@pytest.mark.parametrize("rows", [1, 2, FEW, FEW + 1, 200, BLOCK + 3])
def test_places_are_interpolated_between_edges(rows):
    X = RNG.normal(size=(400, 3)) ** 3
    encoder = fitted(X, X.sum(axis=1), "regressor", n_bins=20)
    new = RNG.normal(size=(rows, 3)) * 4  # some beyond all edges
    new[0] = X.max(axis=0)
    new[-1] = encoder.numbers.edges[[1, 30, 50]]
    U = encoder.transform(new, np.float64)[:, 3:]
    ends = np.cumsum(encoder.numbers.n_bins + 1)
    for k, edges in enumerate(np.split(encoder.numbers.edges, ends[:-1])):
        expected = np.interp(new[:, k], edges, np.arange(len(edges)))
        np.testing.assert_allclose(U[:, k], expected, atol=1e-9)
        assert edges[0] == X[:, k].min()
        assert edges[-1] == X[:, k].max()


def test_few_rows_and_many_are_encoded_alike(numbers):
    X, y = numbers
    X[::7, 2] = np.nan
    encoder = fitted(X, y, "regressor")
    whole = encoder.transform(X)
    np.testing.assert_array_equal(np.vstack([encoder.transform(x[None]) for x in X]), whole)
    np.testing.assert_array_equal(
        np.vstack([encoder.transform(X[i : i + 10]) for i in range(0, 300, 10)]), whole
    )
    np.testing.assert_array_equal(encoder.transform(np.asfortranarray(X)), whole)
    np.testing.assert_array_equal(encoder.transform(X.tolist()), whole)


def test_dtypes(numbers):
    X, y = numbers
    encoder = fitted(X, y, "regressor")
    assert encoder.transform(X).dtype == np.float32
    in_64 = encoder.transform(X.astype(np.float32), np.float64)
    assert in_64.dtype == np.float64
    np.testing.assert_allclose(encoder.transform(X), in_64, atol=1e-4)


def test_thresholds_are_those_of_a_tree():
    x = RNG.normal(size=500)
    y = np.sin(3 * x)
    tree = DecisionTreeRegressor(max_leaf_nodes=12, min_samples_leaf=10).fit(x[:, None], y).tree_
    expected = np.sort(tree.threshold[tree.feature >= 0])
    edges = bin_edges(x, 12, ThresholdTree(y, None, "regressor", 1, 0))
    np.testing.assert_allclose(edges, [x.min(), *expected, x.max()], rtol=1e-6)


def test_bins_are_where_the_classes_change():
    x = np.linspace(0, 1, 1000)
    edges = bin_edges(x, 4, ThresholdTree(x > 0.9, None, "classifier", 1, 0))
    np.testing.assert_allclose(edges, [0, 0.9, 1], atol=1e-3)
    indicators = np.c_[x > 0.9, x > 0.2]  # several outputs
    edges = bin_edges(x, 4, ThresholdTree(indicators, None, "classifier", 1, 0))
    np.testing.assert_allclose(edges, [0, 0.2, 0.9, 1], atol=1e-3)


def test_no_output_of_several_decides_alone():
    x = np.linspace(0, 1, 1000)
    y = np.c_[1e6 * (x > 0.9), x > 0.2]
    edges = bin_edges(x, 3, ThresholdTree(y, None, "regressor", 1, 0))
    np.testing.assert_allclose(edges, [0, 0.2, 0.9, 1], atol=1e-3)


def test_close_large_values_are_apart():
    """A tree alone computes in float32, where these times of day are few."""
    x = 1.7e9 + np.arange(1000.0)
    edges = bin_edges(x, 2, ThresholdTree(x > x[499], None, "classifier", 1, 0))
    np.testing.assert_array_equal(edges, [x[0], x[499] + 0.5, x[-1]])


@pytest.mark.parametrize("y", [None, np.zeros(101)])
def test_bins_of_equal_shares_without_a_tree(y):
    x = np.arange(101.0)
    encoder = fitted(x[:, None], y, None if y is None else "regressor", n_bins=10)
    np.testing.assert_allclose(encoder.numbers.edges, np.arange(0, 101, 10))


def test_weights_move_bins_and_rows_without_weight_do_not_count():
    x = np.linspace(0, 1, 400)
    y = (x > 0.5) + 0.1 * (x > 0.2)
    w = np.where(x < 0.4, 1e4, 1.0)
    one = fitted(x[:, None], y, "regressor", n_bins=2)
    other = fitted(x[:, None], y, "regressor", n_bins=2, sample_weight=w)
    assert one.numbers.edges[1] == pytest.approx(0.5, abs=0.01)
    assert other.numbers.edges[1] == pytest.approx(0.2, abs=0.01)

    X = np.c_[x, np.r_[np.arange(200), np.arange(200)]]
    part = fitted(X[:200], y[:200], "regressor", sample_weight=np.ones(200))
    zeroed = fitted(X, y, "regressor", sample_weight=np.r_[np.ones(200), np.zeros(200)])
    np.testing.assert_array_equal(part.transform(X), zeroed.transform(X))


def test_large_tables_are_learned_from_a_sample_that_random_state_draws():
    X = RNG.normal(size=(MAX_ROWS + 500, 1))
    y = X[:, 0] ** 2
    one, two = (TableEncoder().fit(X, y, task="regressor", random_state=7) for _ in range(2))
    other = TableEncoder().fit(X, y, task="regressor", random_state=8)
    np.testing.assert_array_equal(one.numbers.edges, two.numbers.edges)
    assert not np.array_equal(one.numbers.edges, other.numbers.edges)
    assert one.numbers.edges[[0, -1]].tolist() == [X.min(), X.max()]


def test_two_values_and_no_bins_need_no_places():
    X = np.c_[np.arange(50.0) % 2, np.arange(50.0)]
    assert kinds(fitted(X)) == ["identity"] * 2 + ["piecewise_linear"]
    assert kinds(fitted(X, n_bins=0)) == ["identity"] * 2
    assert fitted(X, n_bins=1).encodings[-1] == ("piecewise_linear", 2, 6, 1)


# Missing values, constants, extremes


def test_missing_numbers():
    X = RNG.normal(size=(100, 2))
    X[:10, 1] = np.nan
    encoder = fitted(X, X[:, 0], "regressor", n_bins=6)
    assert kinds(encoder) == ["identity"] * 2 + ["piecewise_linear"] * 2 + ["identity"]
    Z = encoder.transform(X)
    assert (Z[:10, 1] == 0).all()
    assert (Z[:10, 3] == encoder.encodings[3].levels + 1).all()
    assert (Z[10:, 3] <= encoder.encodings[3].levels).all()
    np.testing.assert_array_equal(Z[:, 4], np.isnan(X[:, 1]))
    new = np.array([[np.nan, 0.0]])  # where fit saw none
    assert encoder.transform(new)[0, 0] == 0
    assert encoder.transform(new)[0, 2] == encoder.encodings[2].levels + 1
    without = X[10:11]
    np.testing.assert_array_equal(encoder.transform(without)[0], Z[10])


def test_missing_and_constant_columns():
    X = np.c_[np.full(30, np.nan), np.full(30, 3.0), np.arange(30.0), np.full(30, 2.0)]
    X[0, 3] = np.nan  # a constant that is missing at times tells something
    encoder = fitted(X, np.arange(30), "regressor")
    assert encoder.numbers.sources.tolist() == [2, 3]
    assert kinds(encoder) == ["identity", "identity", "piecewise_linear", "identity"]
    X[:, :2] = 7
    Z = encoder.transform(X)
    assert np.isfinite(Z).all()
    assert (Z[:, 1] == 0).all()
    assert Z[:, 3].tolist() == [1] + [0] * 29


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_a_table_that_tells_nothing_has_a_column_of_zeros(value):
    X = np.full((5, 2), value)
    encoder = fitted(X, np.arange(5), "regressor")
    assert encoder.encodings == (Encoding("identity", 0, 1, 0),)
    np.testing.assert_array_equal(encoder.transform(X + 1), np.zeros((5, 1)))


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300, 1.7e308])
def test_extreme_numbers(scale):
    X = RNG.uniform(-1, 1, size=(100, 2)) * scale
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = fitted(X / 2, X[:, 0] > 0, "classifier")
        for new in (X, X[:1], np.full((1, 2), 1.7e308), np.full((1, 2), -1.7e308)):
            Z = encoder.transform(new)
            assert np.isfinite(Z).all()
            assert (np.abs(Z[:, :2]) <= 3).all()
    assert (Z[:, 2:] == 0).all()


def test_infinity_is_refused_in_scikit_learn_s_words(numbers, frame):
    X, y = numbers
    encoder = fitted(X, y, "regressor")
    words = "Input X contains infinity or a value too large for dtype"
    X[3, 1] = np.inf
    with pytest.raises(ValueError, match=words):
        encoder.transform(X)
    with pytest.raises(ValueError, match=words):
        encoder.transform(X[3:4])
    with pytest.raises(ValueError, match=words):
        fitted(X)
    with pytest.raises(ValueError, match=r"X \(column 'b'\) contains infinity"):
        fitted(frame({"a": X[:, 0], "b": X[:, 1]}))


# Booleans


def test_booleans(frame):
    X = frame({"a": [True, False, True, False], "b": [True, None, False, True]})
    encoder = fitted(X)
    assert kinds(encoder) == ["identity"] * 3
    Z = [[1, 1, 0], [0, 0.5, 1], [1, 0, 0], [0, 1, 0]]
    np.testing.assert_array_equal(encoder.transform(X), Z)
    numbers = frame({"a": [1, 0], "b": [0.0, 1.0]})
    np.testing.assert_array_equal(encoder.transform(numbers), [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(fitted(np.array([[True], [False]])).transform([[1]]), [[1]])


# Categories


def test_one_hot(frame):
    X = frame({"a": ["x", "y", "x", "z"], "b": ["u", None, "u", "u"]})
    encoder = fitted(X)
    assert kinds(encoder) == ["identity"] * 5
    x, y, z = [1, 0, 0], [0, 1, 0], [0, 0, 1]
    Z = [[*x, 1, 0], [*y, 0, 1], [*x, 1, 0], [*z, 1, 0]]
    np.testing.assert_array_equal(encoder.transform(X), Z)
    unknown = frame({"a": ["?", None], "b": ["?", None]})
    np.testing.assert_array_equal(encoder.transform(unknown), [[0] * 5, [0] * 4 + [1]])


def test_many_levels(frame):
    a = [f"l{i % 20}" for i in range(100)] + ["once", "never again", None, None]
    encoder = fitted(frame({"a": a}))
    assert encoder.encodings == (("category", 0, round(1.6 * 22**0.56), 22),)
    codes = encoder.transform(frame({"a": a}))[:, 0].astype(int).tolist()
    assert sorted(set(codes[:20])) == list(range(20))
    assert codes[:20] * 5 == codes[:100]
    assert codes[100:] == [21, 21, 20, 20]
    new = frame({"a": ["unheard of", None, "l3"]})
    assert encoder.transform(new)[:, 0].tolist() == [21, 20, codes[3]]


def test_unknown_levels_without_rare_ones_are_the_most_frequent(frame):
    a = [f"l{i}" for i in range(10) for _ in range(2)] + ["l7"]
    encoder = fitted(frame({"a": a}))
    assert encoder.encodings[0].levels == 10
    assert encoder.transform(frame({"a": ["?", None, "l7"]}))[:, 0].tolist() == [0, 0, 0]


def test_max_one_hot_and_columns_of_one_level(frame):
    X = frame({"a": ["x", "y", "z"] * 4, "b": ["k"] * 12, "c": [f"id {i}" for i in range(12)]})
    assert kinds(fitted(X, max_one_hot=3)) == ["identity"] * 3
    assert fitted(X, max_one_hot=2).encodings == (("category", 0, 3, 3),)


def test_levels_are_capped():
    levels = [f"l{i}" for i in range(MAX_LEVELS + 5)]
    codes = np.repeat(np.arange(len(levels)), 2)
    codes = np.r_[codes, codes[-10:]]  # the last five are the most frequent
    category = learn_category(0, codes, levels, 8)
    assert category.n_levels == MAX_LEVELS + 1
    assert category.unknown == MAX_LEVELS
    assert set(levels[-5:]) <= category.codes.keys()
    assert category.width == MAX_WIDTH


def test_levels_of_several_types():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": pd.Series([1, "1", True, 2.5, None, 1], dtype=object)})
    encoder = fitted(X, max_one_hot=0)
    assert encoder.encodings[0].levels == 3  # 1 and True are equal; 2.5 and "1" are rare
    assert encoder.transform(X)[:, 0].tolist() == [0, 2, 0, 2, 1, 0]


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3, 1],
        [1.5, 2.5, np.nan, 1.5],
        [True, False, None, True],
        ["a", "b", None, "a"],
        [(1, 2), (3, 4), (5, 6), (1, 2)],
    ],
    ids=repr,
)
def test_categories_of_pandas(values):
    pd = pytest.importorskip("pandas")
    column = pd.Series(pd.Categorical(values))
    encoder = fitted(pd.DataFrame({"a": column}))
    n = column.nunique(dropna=False)
    assert kinds(encoder) == ["identity"] * n
    Z = encoder.transform(pd.DataFrame({"a": column}))
    assert (Z.sum(axis=1) == 1).all()
    assert (Z[0] == Z[3]).all()
    # known by their values, whatever codes they have
    again = column.cat.set_categories(column.cat.categories[::-1])
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"a": again})), Z)
    # categories that no sample has are none
    assert kinds(fitted(pd.DataFrame({"a": column.iloc[[0, 3, 1]]}))) == ["identity"] * 2


def test_intervals_are_categories():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": pd.cut(np.arange(40.0), 4)})
    encoder = fitted(X)
    Z = encoder.transform(X)
    np.testing.assert_array_equal(Z, Z[::10].repeat(10, axis=0))
    np.testing.assert_array_equal(Z[::10] @ Z[::10].T, np.eye(4))
    json.dumps(encode(encoder.state(), "table", {}))


def test_categories_of_polars():
    pl = pytest.importorskip("polars")
    values = ["x", "y", None, "x"]
    for dtype in (pl.Categorical, pl.Enum(["y", "x", "z"]), pl.String):
        X = pl.DataFrame({"a": pl.Series(values, dtype=dtype)})
        encoder = fitted(X)
        Z = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
        np.testing.assert_array_equal(encoder.transform(X), Z)
        np.testing.assert_array_equal(encoder.transform(pl.DataFrame({"a": values})), Z)


@pytest.mark.parametrize("dtype", ["string", "object", "category", "str"])
def test_dtypes_of_strings_of_pandas(dtype):
    pd = pytest.importorskip("pandas")
    if dtype == "str" and pd.Series(["x"]).dtype == object:
        pytest.skip("pandas has no dtype of that name")
    X = pd.DataFrame({"a": pd.Series(["x", "y", None, "x"], dtype=object).astype(dtype)})
    encoder = fitted(X)
    other = pd.DataFrame({"a": pd.Series(["y", "x", np.nan], dtype=object)})
    np.testing.assert_array_equal(encoder.transform(other)[:, :2], [[0, 1], [1, 0], [0, 0]])


# Which columns are categories


def in_words_of_today(error):
    """The message, without a list that scikit-learn 1.7 writes in another way."""
    words = re.sub(r"Observed.*", "", str(error.value), flags=re.DOTALL)
    return words.replace("has a item", "has an item").rstrip()


WAYS = [[False, True, False], [1], ["b"], np.array([1]), np.array(["b"], dtype=object)]


@pytest.mark.parametrize("wanted", WAYS, ids=repr)
def test_categorical_features(frame, wanted):
    X = frame({"a": [1.0, 2, 3], "b": [5, 6, 5], "c": [0.5, 1, 2]})
    encoder = fitted(X, categorical_features=wanted)
    assert [category.source for category in encoder.categories] == [1]
    np.testing.assert_array_equal(encoder.transform(X)[:, -2:], [[1, 0], [0, 1], [1, 0]])


def test_categories_of_arrays():
    X = np.array([[1.0, 7], [2, 8], [3, 7], [4, np.nan]])
    encoder = fitted(X, categorical_features=[1])
    Z = encoder.transform(X)
    np.testing.assert_array_equal(Z[:, -3:], [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(encoder.transform(X.astype(np.float32)), Z)
    np.testing.assert_array_equal(encoder.transform(X.astype(object)), Z)
    long = np.tile(X, (50, 1))
    np.testing.assert_array_equal(encoder.transform(long), np.tile(Z, (50, 1)))

    X = np.array([[1.0, "u"], [2, "v"], [3, None]], dtype=object)
    encoder = fitted(X, categorical_features=[False, True])
    np.testing.assert_array_equal(encoder.transform(X)[:, -3:], np.eye(3))


def test_arrays_of_strings_are_no_numbers():
    """As for HistGradientBoostingClassifier, but the column has a name."""
    X = np.array([[1.0, "u"], [2, "v"]], dtype=object)
    for wanted in ("from_dtype", None, []):
        with pytest.raises(ValueError, match=r"Column at index 1 .* to float: 'u'"):
            fitted(X, categorical_features=wanted)
    numbers = np.array([[1.0, 3], [2, None]], dtype=object)
    assert kinds(fitted(numbers)) == ["identity"] * 3


@pytest.mark.parametrize(
    "wanted",
    [[0.5], [1j], [3], [-1], [True], ["z"], ["a", 1], [[True, False]]],
    ids=repr,
)
@pytest.mark.parametrize("named", [True, False])
def test_wrong_categorical_features_are_refused_in_scikit_learn_s_words(wanted, named):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    X = X if named else X.to_numpy()
    wanted = np.array(wanted, dtype=object) if wanted == ["a", 1] else wanted
    with pytest.raises(ValueError) as theirs:  # noqa: PT011
        HistGradientBoostingClassifier(categorical_features=wanted).fit(X, [0, 1])
    with pytest.raises(ValueError) as ours:  # noqa: PT011
        fitted(X, categorical_features=wanted)
    assert in_words_of_today(ours) == in_words_of_today(theirs)


# Names


def test_columns_are_found_by_name(frame):
    X = frame({"a": [1.0, 2, 3], "b": ["u", "v", "u"], "c": [0.5, 1, 2]})
    encoder = fitted(X)
    assert encoder.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(encoder.transform(X[["c", "b", "a"]]), encoder.transform(X))


def test_missing_and_extra_columns_are_refused_in_scikit_learn_s_words(frame):
    X = frame({"a": [1.0, 2, 3], "b": [4, 5, 6]})
    encoder = TableEncoder("MLPRegressor").fit(X, None)
    with pytest.raises(ValueError, match=r"yet now missing:\n- b"):
        encoder.transform(X[["a"]])
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        encoder.transform(X[:0])
    with pytest.raises(ValueError, match="X has 3 features, but MLPRegressor is expecting 2"):
        TableEncoder("MLPRegressor").fit(X.to_numpy(), None).transform(np.ones((2, 3)))
    with pytest.warns(UserWarning, match="X does not have valid feature names, but MLPReg"):
        encoder.transform(X.to_numpy())
    without = TableEncoder("MLPRegressor").fit(X.to_numpy(), None)
    if type(X).__module__.startswith("polars"):  # whose names not each scikit-learn finds
        return
    with pytest.warns(UserWarning, match="X has feature names, but MLPRegressor was fitted"):
        without.transform(X)


@pytest.mark.parametrize("columns", ["a", "abc", "acdefghij", "cdefghijkl"])
def test_other_names_are_refused_in_scikit_learn_s_words(columns):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(np.eye(4), columns=list("abxy"))
    new = pd.DataFrame(np.eye(len(columns)), columns=list(columns))
    with pytest.raises(ValueError, match="should match") as theirs:
        StandardScaler().fit(X).transform(new)
    with pytest.raises(ValueError, match="should match") as ours:
        fitted(X).transform(new)
    assert str(ours.value) == str(theirs.value)


def test_names_may_be_given():
    pd = pytest.importorskip("pandas")
    X = np.array([[1.0, 3], [2, 4], [3, 3]])
    names = {"feature_names": ["a", "b"], "categorical_features": ["b"]}
    encoder = fitted(X, **names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Z = encoder.transform(X)
        frame = pd.DataFrame(X, columns=["a", "b"])
        np.testing.assert_array_equal(encoder.transform(frame[["b", "a"]]), Z)
    with pytest.raises(ValueError, match="Column 'a'"):
        fitted(np.array([["x", 1]], dtype=object), **names)


def test_columns_of_numbers_without_names():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(np.arange(12.0).reshape(4, 3))
    encoder = fitted(X)
    assert encoder.feature_names_in_ is None
    np.testing.assert_array_equal(encoder.transform(X), encoder.transform(X.to_numpy()))


# Other columns than those of fit


def test_other_dtypes_of_numbers(frame):
    encoder = fitted(frame({"a": [1, 2, 3, 5]}))
    ints, floats = frame({"a": [2]}), frame({"a": [2.0, None]})
    expected = encoder.transform(ints)
    np.testing.assert_array_equal(encoder.transform(floats)[:1], expected)
    assert encoder.transform(floats)[1].tolist() == [0, encoder.encodings[1].levels + 1]


def test_dtypes_of_numbers_of_pandas():
    pd = pytest.importorskip("pandas")
    values = [3, 1, None, 2]
    expected = fitted(pd.DataFrame({"a": values})).transform(pd.DataFrame({"a": values}))
    for dtype in ("Int64", "Float32", "float32", object, "category"):
        column = pd.Series(values, dtype=object if dtype is object else "Int64").astype(dtype)
        X = pd.DataFrame({"a": column})
        encoder = fitted(X, categorical_features=None)
        np.testing.assert_array_equal(encoder.transform(X), expected, err_msg=str(dtype))
    decimals = pd.DataFrame({"a": [None if v is None else Decimal(v) for v in values]})
    np.testing.assert_array_equal(fitted(decimals).transform(decimals), expected)
    for dtype in ("boolean", object, bool):
        X = pd.DataFrame({"a": pd.Series([True, False], dtype=dtype)})
        np.testing.assert_array_equal(fitted(X).transform(X), [[1], [0]], err_msg=str(dtype))


def test_dtypes_of_numbers_of_polars():
    pl = pytest.importorskip("polars")
    for dtype in (pl.Int8, pl.UInt64, pl.Float32, pl.Decimal(10, 2), pl.Object):
        X = pl.DataFrame({"a": pl.Series([3, 1, None, 2], dtype=dtype)})
        np.testing.assert_array_equal(fitted(X).transform(X)[:, -1], [0, 0, 1, 0])
    X = pl.DataFrame({"a": [1.0, 2.0], "b": [None, None]})
    assert kinds(fitted(X)) == ["identity"]


def test_strings_instead_of_numbers_are_refused_by_name(frame):
    encoder = fitted(frame({"a": [1.0, 2, 3], "age": [4, 5, 6]}))
    with pytest.raises(ValueError, match="Column 'age' of X is read as numbers, but holds 'x'"):
        encoder.transform(frame({"a": [1.0], "age": ["x"]}))
    with pytest.raises(ValueError, match=r"Column 'age' .* but holds '5'"):
        encoder.transform(frame({"a": [1.0], "age": ["5"]}))


def test_strings_that_are_not_said_to_be_categories_are_refused(frame):
    X = frame({"a": [1.0, 2], "b": ["u", "v"]})
    for wanted in (None, ["a"], [True, False]):
        with pytest.raises(
            ValueError, match=r"Column 'b' of X .* holds 'u'.*categorical_features"
        ):
            fitted(X, categorical_features=wanted)


def test_dates_are_refused_by_name(frame):
    dates = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[us]")
    with pytest.raises(ValueError, match="Column 'when' of X is read as numbers, but holds '2020"):
        fitted(frame({"when": dates}))
    with pytest.raises(ValueError, match="Column 'when' of X is read as numbers, but holds '2020"):
        fitted(frame({"when": dates.tolist()}))


def test_lists_are_no_categories():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": [[1], [2]]})
    with pytest.raises(ValueError, match=r"Column 'a' .* unhashable"):
        fitted(X, categorical_features=[0])


def test_numbers_instead_of_strings_are_unknown(frame):
    encoder = fitted(frame({"a": ["u", "v", "w"]}))
    np.testing.assert_array_equal(encoder.transform(frame({"a": [1]})), [[0, 0, 0]])


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.empty((0, 2)), "Found array with 0 sample"),
        (np.ones(2), "Expected 2D array, got 1D array"),
        (np.ones((2, 2), complex), "Complex data not supported"),
    ],
)
def test_what_is_no_table_is_refused_in_scikit_learn_s_words(X, words):
    encoder = fitted(np.arange(6.0).reshape(3, 2))
    with pytest.raises(ValueError, match=words):
        encoder.transform(X)
    with pytest.raises(ValueError, match=words):
        fitted(X)


def test_sparse_matrices_are_refused():
    X = np.eye(3)
    for call in (fitted, fitted(X).transform):
        with pytest.raises(TypeError, match="Sparse data was passed"):
            call(sp.csr_matrix(X))


def test_empty_frames_are_refused_in_scikit_learn_s_words(frame):
    encoder = fitted(frame({"a": [1.0, 2]}))
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        encoder.transform(frame({"a": [1.0]})[:0])
    with pytest.raises(ValueError, match="Found array with 0 "):
        fitted(frame({}))


# Kept


def test_pickles_and_states(frame):
    X = frame(
        {
            "a": [1.0, None, 3, 4] * 5,
            "b": ["u", "v", "u", None] * 5,
            "c": [f"{i % 10}" for i in range(20)],
            "d": [True, False] * 10,
        }
    )
    encoder = TableEncoder("MLPRegressor").fit(X, np.arange(20), task="regressor")
    Z = encoder.transform(X)
    assert kinds(encoder)[-1] == "category"
    tensors = {}
    coded = json.loads(json.dumps(encode(encoder.state(), "table", tensors)))
    for copy in (
        pickle.loads(pickle.dumps(encoder)),
        TableEncoder.from_state(decode(coded, tensors)),
    ):
        assert copy.encodings == encoder.encodings
        assert copy.feature_names_in_.tolist() == ["a", "b", "c", "d"]
        np.testing.assert_array_equal(copy.transform(X), Z)
    assert vars(pickle.loads(pickle.dumps(TableEncoder("it")))) == {"estimator_name": "it"}
