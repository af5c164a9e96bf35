"""The benchmarks and the quickstart: that they run, and that all systems do the same work.

No test here looks at a time.
"""

import ast
import json
import shutil
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import replace
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
import quickstart
from sklearn.exceptions import ConvergenceWarning

from benchmarks import (
    blocks,
    cases,
    compare,
    forms,
    peak,
    plots,
    run,
    runners,
    threads,
    timing,
    work,
)
from benchmarks.problems import (
    PROBLEMS,
    DataMissing,
    synthetic_classes,
    synthetic_sparse,
    synthetic_values,
)
from benchmarks.worker import ROOT, Worker

ADAPTERS = runners.installed(report=lambda text: None)
OWN_ARITHMETIC = {"cmlp", "scikit-learn", "numpy"}
RIVALS = {"JAX", "PyTorch"} & ADAPTERS.keys()  # torch.compile takes tens of seconds per problem
CHEAP = {name: ADAPTERS[name] for name in OWN_ARITHMETIC | RIVALS}
SMALL_DATA = {
    "two classes": partial(synthetic_classes, 65, 5, 2),
    "three classes": partial(synthetic_classes, 65, 5, 3),
    "values": partial(synthetic_values, 65, 5),
    "sparse": partial(synthetic_sparse, 65, 30, 0.2, 2),
}


def test_imports_have_no_circle():
    """Those within functions are read too: graphlib raises where a module needs itself."""
    needs = {}
    for path in (ROOT / "benchmarks").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        needs[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("benchmarks"):
                below = {f"{node.module}.{alias.name}" for alias in node.names}
                needs[name] |= {node.module, *below} - {"benchmarks"}
    order = list(TopologicalSorter(needs).static_order())
    assert order.index("benchmarks.tables") < order.index("benchmarks.plots")
    assert order.index("benchmarks.plots") < order.index("benchmarks.growth")


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


def measure_small(problem, adapters):
    """The record of one turn of an already loaded problem."""
    case = cases.training_case(problem, adapters)
    pairs = timing.take_turns(case.actions, 1, 0)
    return {
        **case.record(),
        **timing.summary(pairs, case.n_units),
        **cases.losses(case, problem, str(problem.dtype), adapters),
    }


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
    result = measure_small(problem, CHEAP)
    expected = OWN_ARITHMETIC | RIVALS
    assert result["loss"].keys() == expected - ({"numpy"} if problem.solver == "lbfgs" else set())
    own = np.array([loss for of, loss in result["loss"].items() if of in OWN_ARITHMETIC])
    assert np.ptp(own) <= {"float32": 1e-5, "float64": 1e-9}[dtype] * own.max()
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
    result = measure_small(problem, systems)
    assert result["same_loss"] == {"lazy": False, "scikit-learn": True}
    assert result["us"]["lazy"] is None
    assert "**differs**" in run.line(result, list(systems), None)


def test_times_are_least_differences():
    pairs = [(1e-6, 9e-6), (2e-6, 5e-6)]
    assert timing.microseconds(pairs, 2) == pytest.approx(2.0)
    assert timing.noise(pairs) == pytest.approx(0.4)
    assert timing.microseconds([(2e-6, 1e-6)], 1) is None


def test_counts_of_work():
    dense = replace(PROBLEMS["default-shape"], data=SMALL_DATA["three classes"], batch_size=13)
    problem = dense.load("float32")
    # 5-100-3 on 13 rows: forward and gradient of both layers, delta of the hidden one
    assert work.flops(problem) == 2 * 13 * (2 * 5 * 100 + 3 * 100 * 3)
    n_parameters = 5 * 100 + 100 + 100 * 3 + 3
    assert work.least_bytes(problem) == 4 * (13 * 5 + 6 * n_parameters)
    sparse = replace(PROBLEMS["sparse"], data=SMALL_DATA["sparse"], batch_size=13).load("float64")
    n_non_zeros = sparse.X.nnz / 65 * 13
    assert work.flops(sparse) == pytest.approx(2 * (2 * n_non_zeros * 50 + 13 * 3 * 50))
    result = {"us": {"cmlp": 10.0}, "dtype": "float32", "mflop": 0.5}
    assert work.peak_fraction(result, "cmlp", {"gflops": {"float32": 100.0}}) == 0.5
    assert work.peak_fraction(result, "other", {"gflops": {"float32": 100.0}}) is None


def test_limits_of_the_machine(monkeypatch):
    monkeypatch.setattr(peak, "SECONDS", 1e-4)
    monkeypatch.setattr(peak, "LARGEST", 1 << 20)
    limits = peak.measure(report=pytest.skip)
    assert limits["gflops"]["float32"] > limits["gflops"]["float64"] > 0
    assert all(rate > 0 for rate in limits["read_gb_s"].values())
    monkeypatch.setenv("CC", "no-such-compiler")
    said = []
    assert peak.measure(report=said.append) is None
    assert "no-such-compiler" in said[0]


@pytest.mark.parametrize("dtype", run.DTYPES)
@pytest.mark.parametrize("name", ["predict-1", "predict-4096", "fit-iris", "partial-fit"])
def test_calls(name, dtype):
    case = cases.make(name, dtype, ADAPTERS)  # compares the probabilities
    assert case.actions.keys() >= {"cmlp", "scikit-learn"}
    short, long = case.actions["cmlp"]()
    assert short == 0 < long


@pytest.mark.slow
def test_grid_search_in_threads():
    _, seconds = cases.make("grid-search", "float32", {"cmlp": ADAPTERS["cmlp"]}).actions["cmlp"]()
    assert seconds > 0


@pytest.mark.slow
def test_worker_times_another_process():
    with Worker(systems=["cmlp"]) as worker:
        assert worker.where().name == "__init__.py"
        prepared = worker.prepare("online", "float32")
        assert prepared["systems"] == ["cmlp"]
        assert prepared["record"]["problem"] == "online"
        ((short, long),) = worker.turn("cmlp", 0)
        assert short > 0
        assert long > 0


@pytest.mark.slow
def test_an_interrupted_worker_ends():
    worker = Worker(systems=["cmlp"])
    with suppress(KeyboardInterrupt), worker:
        worker.where()
        raise KeyboardInterrupt
    assert worker.process.returncode not in (0, None)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="no death signal")
def test_workers_do_not_outlive_their_parent():
    code = (
        "from benchmarks.worker import Worker\n"
        "worker = Worker(systems=['cmlp']).__enter__()\n"
        "worker.where()\n"
        "print(worker.process.pid, flush=True)\n"
        "worker.ask(do='prepare', name='wide', dtype='float64', n_samples=None)\n"
        "worker.turn('cmlp', 60)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        # gone, or a zombie where nobody waits for orphans
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] in "ZX":
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


def test_a_case_on_fewer_samples():
    assert len(PROBLEMS["wide"].load("float32", 1024).y) == 1024


def test_real_data_are_left_out_if_they_are_missing(monkeypatch, tmp_path):
    monkeypatch.delenv("CMLP_DATA", raising=False)
    with pytest.raises(DataMissing, match="CMLP_DATA"):
        PROBLEMS["mnist"].load("float32")
    monkeypatch.setenv("CMLP_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match=r"mnist\.npz"):
        PROBLEMS["mnist"].load("float32")


@pytest.mark.slow
def test_run_writes_table_and_results(tmp_path):
    command = [sys.executable, "-m", "benchmarks.run", "--problems", "online"]
    options = [
        "--parts",
        "training",
        "--systems",
        "cmlp,scikit-learn",
        "--dtype",
        "float64",
        "--turns",
        "1",
    ]
    done = subprocess.run(
        [*command, *options, "--output", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| online | 20-100-2 relu, sgd, batch 1 | float64 |" in done.stdout
    record = json.loads((tmp_path / "results.json").read_text())
    assert [result["problem"] for result in record["training"]] == ["online"]
    assert record["machine"]["versions"].keys() >= {"cmlp", "numpy", "scikit-learn"}


def training_result(name, dtype="float32", **us):
    return {
        "problem": name,
        "description": "network",
        "dtype": dtype,
        "mflop": 2.0,
        "flop_per_byte": 3.0,
        "us": us,
        "noise": dict.fromkeys(us, 0.1),
    }


RECORD = {
    "machine": {"cpu": "some CPU"},
    "limits": {
        "simd": "X",
        "gflops": {"float32": 100.0, "float64": 50.0},
        "read_gb_s": {"L1": 200.0, "DRAM": 10.0},
    },
    "training": [
        training_result(
            "a", **{"cmlp": 40.0, "scikit-learn": 400.0, "JAX": 60.0, "PyTorch": 90.0}
        ),
        training_result("a", "float64", **{"cmlp": 80.0, "scikit-learn": 560.0}),
        training_result("b", **{"cmlp": 1234.0, "scikit-learn": None}),
    ],
    "calls": [training_result("c", **{"cmlp": 2.0, "ONNX Runtime": 7.0})],
    "threads": [
        {**training_result("d"), "us": {"1": {"cmlp": 3000.0}, "2": {"cmlp": 2000.0}}},
    ],
    "growth": [
        {
            "title": "width",
            "label": "width",
            "network": "64-width-10 relu, Adam",
            "dtype": "float32",
            "results": [
                {**training_result("e", **{"cmlp": 10.0, "JAX": 15.0}), "size": 1},
                {**training_result("e", **{"cmlp": 20.0, "JAX": 15.0}), "size": 2},
            ],
        }
    ],
}


def test_blocks_of_the_report():
    training = blocks.training_block(RECORD)
    assert "| a | network | 40.0 | 10 | 1.5 (JAX) | 80.0 | 7.0 |" in training
    assert "| b | network | 1,234 | - | - |  | - |" in training
    assert "| a | float32 | 2.00 | 3.00 | 50.0 | 50% | 5% |" in blocks.limits_block(RECORD)
    assert "| a | 2.00 | 40.0 | 400 | 60.0 | 90.0 |" in blocks.rivals_block(RECORD)
    assert "| network | float32 | 2.00 | 7.00 | 3.5 |" in blocks.calls_block(RECORD)
    assert "| 3.00 / 2.00 = 1.50 |" in blocks.threads_block(RECORD)
    slower = {"us": {"1": {"cmlp": 1000.0}, "2": {"cmlp": 2000.0}}}
    assert blocks.threads_cell(slower, "cmlp") == "1.00 / 2.00 = 0.50 **slower**"
    assert "10%" in blocks.noise_block(RECORD)
    assert "**slower than JAX** cliff: 50%" in blocks.growth_block(RECORD)
    assert blocks.slower_anywhere(RECORD["growth"])


@pytest.mark.slow
def test_report_fills_what_is_marked(tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps(RECORD))
    begin, end = "<!-- benchmark:rivals -->\n", "<!-- /benchmark:rivals -->"
    page = tmp_path / "page.md"
    page.write_text(f"before\n{begin}old\n{end}\nafter")
    command = [sys.executable, "-m", "benchmarks.report", page, "--results", results]
    assert subprocess.run([*command, "--check"], cwd=ROOT, check=False).returncode == 1
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    expected = f"before\n{begin}{blocks.rivals_block(RECORD)}\n{end}\nafter"
    assert page.read_text() == expected
    assert subprocess.run([*command, "--check"], cwd=ROOT, check=False).returncode == 0
    # what was not measured is left alone
    results.write_text(json.dumps({"growth": RECORD["growth"]}))
    page.write_text(f"{expected}<!-- benchmark:growth -->\n<!-- /benchmark:growth -->")
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    assert page.read_text().startswith(expected + "<!-- benchmark:growth -->\n64-width")


@pytest.mark.slow
def test_plots(tmp_path):
    pytest.importorskip("matplotlib")
    paths = plots.of_results(RECORD, tmp_path)
    assert [path.name for path in paths] == [
        "speedup.png",
        "calls.png",
        "roofline.png",
        "growth.png",
    ]
    assert all(path.stat().st_size > 0 for path in paths)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(100, 120, True), (100, 114, False), (1, 1.17, False), (1, 1.5, True), (100, 50, False)],
)
def test_compare_needs_both_limits(before, after, expected, capsys):
    base, head = ({("a", "float64"): {"cmlp": float(us)}} for us in (before, after))
    assert compare.compare(base, head) == (["a float64"] if expected else [])
    assert "| a | float64 |" in capsys.readouterr().out
    assert compare.compare(base, head, max_ratio=2.0) == []


class Slow:
    """A worker whose turns take so long, a number for each time the case is prepared."""

    def __init__(self, *seconds):
        self.seconds = iter(seconds)

    def prepare(self, name, dtype, n_samples=None):
        self.now = next(self.seconds)
        return {"record": {"problem": name}, "n_units": 1, "systems": ["cmlp"]}

    def turn(self, system, seconds):
        return [(0.0, self.now)]


def test_threads_take_turns():
    workers = {"1": Slow(3e-3), "2": Slow(2e-3)}
    result = threads.measure("a", "float64", workers, 2, 0)
    assert result == {
        "problem": "a",
        "us": {"1": {"cmlp": pytest.approx(3e3)}, "2": {"cmlp": pytest.approx(2e3)}},
    }
    none = threads.measure_all(["a"], ["float64"], [0], 1, 0, report=lambda text: None)
    assert list(none) == []


def test_compare_looks_again_before_it_fails():
    us = compare.look("a", "float64", [Slow(1e-3, 1e-3), Slow(2e-3, 1e-3)], 2, 0)
    assert us == pytest.approx([1e3, 1e3])
    workers = [Slow(1e-3, 1e-3, 1e-3), Slow(2e-3, 2e-3, 2e-3)]
    assert compare.slower(*compare.look("a", "float64", workers, 2, 0))


@pytest.mark.slow
@pytest.mark.parametrize("problem", quickstart.PROBLEMS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_quickstart(problem):
    rows = list(quickstart.compare(problem, {"alpha": [1e-4]}, max_iter=3))
    assert [name for name, *_ in rows] == ["Pipeline", "GridSearchCV"]
    for _, scores, seconds, difference in rows:
        assert scores[0] == pytest.approx(scores[1])
        assert min(seconds) > 0
        assert difference < 1e-9


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
def test_forms_are_measured(monkeypatch):
    monkeypatch.setattr(forms, "TURNS", 1)
    monkeypatch.setattr(forms, "SECONDS", 0)
    rows = dict(forms.rows_of("iris"))
    assert {"cmlp", "scikit-learn", "C, gcc -O2", "C, int8, gcc -O2"} <= rows.keys()
    for form, (times, *_, error) in rows.items():
        assert min(times) > 0, form
        assert error is None or error < (0.05 if "int8" in form else 1e-5), form
    header, _, first, *_ = forms.table("iris", list(rows.items())).splitlines()
    assert header.startswith("| iris, 4-10-3 relu |")
    assert first.startswith("| cmlp |")
