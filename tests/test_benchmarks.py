"""The benchmarks and the quickstart: that they run, and that all systems do the same work.

No test here looks at a time.
"""

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import quickstart

from benchmarks import compare, plots, run
from benchmarks.problems import PROBLEMS, synthetic_classes, synthetic_sparse, synthetic_values
from benchmarks.runners import cmlp, numpy_loop, sklearn

ADAPTERS = {adapter.DISTRIBUTION: adapter for adapter in (cmlp, numpy_loop, sklearn)}
SMALL_DATA = {
    "two classes": partial(synthetic_classes, 65, 5, 2),
    "three classes": partial(synthetic_classes, 65, 5, 3),
    "values": partial(synthetic_values, 65, 5),
    "sparse": partial(synthetic_sparse, 65, 30, 0.2, 2),
}


def small(name, data):
    """The named problem with few rows and small layers."""
    problem = PROBLEMS[name]
    sizes = tuple(7 for _ in problem.hidden_layer_sizes)
    batch_size = problem.batch_size and min(problem.batch_size, 20)
    parameters = {**problem.parameters, "hidden_layer_sizes": sizes}
    return replace(
        problem,
        data=SMALL_DATA[data],
        parameters=parameters,
        batch_size=batch_size,
        epochs=(1, 3),
    )


@pytest.mark.parametrize("dtype", run.DTYPES)
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("digits", "three classes"),
        ("digits-batch-1", "three classes"),
        ("default-shape", "two classes"),
        ("deep-batch-32", "two classes"),
        ("tanh", "three classes"),
        ("logistic", "three classes"),
        ("regression", "values"),
        ("online", "two classes"),
        ("sparse", "sparse"),
        ("lbfgs", "three classes"),
    ],
)
def test_all_systems_end_at_the_same_loss(name, data, dtype):
    problem = small(name, data).load(dtype)
    result = run.measure(problem, ADAPTERS, repeats=1)
    expected = {"cmlp", "scikit-learn"} | ({"numpy"} if problem.solver != "lbfgs" else set())
    assert result["loss"].keys() == result["us_per_step"].keys() == expected
    losses = np.array(list(result["loss"].values()))
    assert np.ptp(losses) <= {"float32": 1e-5, "float64": 1e-9}[dtype] * losses.max()
    assert all(result["same_loss"].values())


def test_problem_draws_what_scikit_learn_draws():
    from sklearn.neural_network import MLPClassifier

    problem = small("logistic", "three classes").load("float64")
    reference = MLPClassifier(
        problem.hidden_layer_sizes, problem.activation, random_state=0, max_iter=1
    )
    reference.set_params(learning_rate_init=1e-300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        reference.fit(problem.X, problem.y)
    coefs, intercepts = problem.initial_weights(np.random.RandomState(0))
    for ours, theirs in zip(
        coefs + intercepts, reference.coefs_ + reference.intercepts_, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_different_loss_is_marked():
    class Lazy:
        def prepare(self, problem):
            return self

        def fit(self, n_epochs):
            return 1e-9, 0.0

    problem = small("default-shape", "two classes").load("float64")
    systems = {"lazy": Lazy(), "scikit-learn": ADAPTERS["scikit-learn"]}
    result = run.measure(problem, systems, repeats=1)
    assert result["same_loss"] == {"lazy": False, "scikit-learn": True}
    assert result["us_per_step"]["lazy"] is None
    assert "**differs**" in run.result_row(result, list(systems))


def test_run_writes_table_and_results(tmp_path):
    command = [sys.executable, run.__file__, "--problems", "online"]
    options = ["--dtype", "float64", "--repeats", "1", "--output", tmp_path]
    done = subprocess.run(command + options, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| online | 20-100-1 relu, sgd, batch 1 | float64 |" in done.stdout
    record = json.loads((tmp_path / "results.json").read_text())
    assert [result["problem"] for result in record["results"]] == ["online"]
    assert record["machine"]["versions"].keys() >= {"cmlp", "numpy", "scikit-learn"}


def test_plot_with_missing_numbers(tmp_path):
    pytest.importorskip("matplotlib")
    results = [
        {"problem": name, "description": "network", "dtype": dtype}
        for name in ("a", "b")
        for dtype in run.DTYPES
    ]
    ratios = {"numpy": [2.0, None, None, None], "scikit-learn": [0.5, 2.0, 30.0, 400.0]}
    (path,) = plots.speedup_bars(results, ratios, "some CPU", tmp_path)
    assert path.stat().st_size > 0


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(100, 120, True), (100, 114, False), (1, 1.17, False), (1, 1.5, True), (100, 50, False)],
)
def test_compare_needs_both_limits(before, after, expected, capsys):
    base, head = ({("a", "float64"): {"cmlp": us}} for us in (before, after))
    assert compare.compare(base, head) == (["a float64"] if expected else [])
    assert "| a | float64 |" in capsys.readouterr().out


@pytest.mark.parametrize("problem", quickstart.PROBLEMS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_quickstart(problem):
    rows = list(quickstart.compare(problem, {"alpha": [1e-4]}, max_iter=3))
    assert [name for name, *_ in rows] == ["Pipeline", "GridSearchCV"]
    for _, scores, seconds, difference in rows:
        assert scores[0] == pytest.approx(scores[1])
        assert min(seconds) > 0
        assert difference < 1e-9
