"""Errors on tables without tuning, beside gradient boosting and other networks.

``python -m benchmarks.tabular run --data FOLDER --models cmlp,HGB --sets adult,digits --seeds 3``
appends a line of JSON for each run to results/tabular.jsonl and passes over those that are there.
``--set n_members=4`` changes a parameter of cmlp's, named by ``--label``: ablations.
``python -m benchmarks.tabular report`` prints tables of what was run.
"""

import argparse
import ast
import json
import os
import pickle
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks import machine, tabular_sets
from cmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor

RESULTS = Path(__file__).parent / "results" / "tabular.jsonl"
BASE = "HGB"
N_CALIBRATION_BINS = 15


def tabular(table, seed, threads, **params):
    kind = TabularMLPRegressor if table.classes is None else TabularMLPClassifier
    return kind(random_state=seed, n_jobs=threads, **params)


def plain(table, seed, threads):
    """An MLP with scikit-learn's settings, on standardised columns and indicators."""
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor

    columns = ColumnTransformer(
        [("one", OneHotEncoder(handle_unknown="ignore", sparse_output=False), table.categorical)],
        remainder=StandardScaler(),
    )
    if table.classes is not None:
        return make_pipeline(columns, MLPClassifier(random_state=seed, n_jobs=threads))
    network = MLPRegressor(random_state=seed, n_jobs=threads)
    return make_pipeline(
        columns, TransformedTargetRegressor(network, transformer=StandardScaler())
    )


def boosting(table, seed, threads):
    kind = HistGradientBoostingClassifier
    if table.classes is None:
        kind = HistGradientBoostingRegressor
    # more than 255 levels are numbers to it
    few = [name for name in table.categorical if table.X_train[name].nunique() <= 250]
    return kind(random_state=seed, categorical_features=few or None)


def lightgbm(table, seed, threads):
    import lightgbm as lgb

    kind = lgb.LGBMRegressor if table.classes is None else lgb.LGBMClassifier
    return kind(random_state=seed, n_jobs=threads, verbose=-1)


def xgboost(table, seed, threads):
    import xgboost as xgb

    kind = xgb.XGBRegressor if table.classes is None else xgb.XGBClassifier
    return kind(random_state=seed, n_jobs=threads, enable_categorical=True)


def catboost(table, seed, threads):
    import catboost as cat

    kind = cat.CatBoostRegressor if table.classes is None else cat.CatBoostClassifier
    return kind(
        random_seed=seed, thread_count=threads, verbose=False, allow_writing_files=False,
        cat_features=table.categorical,
    )  # fmt: skip


def pytabkit(name):
    def make(table, seed, threads):
        import pytabkit

        task = "Regressor" if table.classes is None else "Classifier"
        return getattr(pytabkit, f"{name}_D_{task}" if name == "TabM" else f"{name}_TD_{task}")(
            random_state=seed, n_threads=threads, device="cpu"
        )

    return make


MODELS = {
    "cmlp": tabular,
    "MLP": plain,
    BASE: boosting,
    "LightGBM": lightgbm,
    "XGBoost": xgboost,
    "CatBoost": catboost,
    "RealMLP": pytabkit("RealMLP"),
    "TabM": pytabkit("TabM"),
}


def run(table, model):
    """Error, log-loss, seconds and size of a model that is to be fitted."""
    y = table.y_train
    if table.classes is not None:
        y = np.searchsorted(table.classes, y)
    begun = time.perf_counter()
    model.fit(table.X_train, y)
    fitted = time.perf_counter()
    record = {"fit_seconds": fitted - begun}
    if table.classes is None:
        p = np.ravel(model.predict(table.X_test))
        record["error"] = float(np.sqrt(np.mean((p - table.y_test) ** 2)))
    else:
        p = np.asarray(model.predict_proba(table.X_test), dtype=np.float64)
        p /= p.sum(axis=1, keepdims=True)
        truth = np.searchsorted(table.classes, table.y_test)
        record["error"] = float(np.mean(p.argmax(axis=1) != truth))
        record["log_loss"] = float(log_loss(truth, p, labels=np.arange(len(table.classes))))
        record["calibration_error"] = calibration_error(truth, p)
    record["predict_seconds"] = time.perf_counter() - fitted
    record["bytes"] = len(pickle.dumps(model))
    return record


def calibration_error(truth, p):
    """Mean distance of the winning class's probability from how often it is right.

    Of equally filled bins of that probability: the expected calibration error of Guo et al., "On
    calibration of modern neural networks", ICML 2017, there with bins of equal widths.
    """
    order = np.argsort(p.max(axis=1), kind="stable")
    right = (p.argmax(axis=1) == truth)[order]
    bins = np.array_split(np.arange(len(p)), N_CALIBRATION_BINS)
    confidence = p.max(axis=1)[order]
    gaps = [abs(confidence[rows].mean() - right[rows].mean()) * len(rows) for rows in bins]
    return float(sum(gaps) / len(p))


def records():
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def key(record):
    return record["label"], record["set"], record["seed"], record["max_rows"]


def run_all(options):
    """Run what has not been run, one line a run."""
    done = {key(record) for record in records()}
    params = dict(text.split("=", 1) for text in options.set)
    params = {name: value_of(text) for name, text in params.items()}
    RESULTS.parent.mkdir(exist_ok=True)
    machine.pin(options.threads)  # OpenMP's threads wait for one another on a shared machine
    for name in options.sets.split(","):
        for seed in range(options.seeds):
            for model in options.models.split(","):
                label = options.label or model
                about = {
                    "label": label, "set": name, "seed": seed, "max_rows": options.max_rows,
                }  # fmt: skip
                if key(about) in done:
                    continue
                table = tabular_sets.load(name, seed, options.data, options.max_rows)
                own = params if model == "cmlp" else {}
                made = MODELS[model](table, seed, options.threads, **own)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    record = {**about, **run(table, made)}
                record |= {"threads": options.threads, "load": os.getloadavg()[0]}
                record |= {"rows": len(table.y_train), "classes": table.classes is not None}
                with RESULTS.open("a") as file:
                    file.write(json.dumps(record) + "\n")
                print(json.dumps(record), flush=True)


def value_of(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def report(options):
    """Tables of mean errors and of ratios to gradient boosting, on both halves of the sets."""
    runs = defaultdict(list)
    for record in records():
        if record["max_rows"] == options.max_rows:
            runs[record["label"], record["set"]].append(record)
    labels = list(dict.fromkeys(label for label, _ in runs))
    chosen = [name for name in tabular_sets.CHOSEN_ON if (BASE, name) in runs]
    held_back = [name for name in tabular_sets.HELD_BACK if (BASE, name) in runs]
    for title, names in (("chosen on", chosen), ("held back", held_back)):
        if names:
            print(f"\n## Sets settings were {title}\n")
            print_errors(runs, labels, names)
            for measure in ("log_loss", "calibration_error"):
                print_measure(runs, labels, names, measure)


def print_errors(runs, labels, names):
    """Error with its standard error, then in geometric mean the ratio to gradient boosting.

    Each ratio is one of means over the same seeds; sets on which a model makes no error have none.
    """
    print("| set | rows | " + " | ".join(labels) + " |")
    print("|" + " --- |" * (len(labels) + 2))
    ratios = defaultdict(list)
    for name in names:
        cells = []
        base = {record["seed"]: record["error"] for record in runs[BASE, name]}
        for label in labels:
            own = runs.get((label, name), [])
            if not own:
                cells.append("")
                continue
            errors = np.array([record["error"] for record in own])
            of_base = np.mean([base[record["seed"]] for record in own if record["seed"] in base])
            ratios[label].append(errors.mean() / of_base)
            cell = f"{errors.mean():.4g}"
            if len(errors) > 1:
                cell += f" ± {errors.std(ddof=1) / np.sqrt(len(errors)):.2g}"
            cells.append(cell)
        print(f"| {name} | {runs[BASE, name][0]['rows']} | " + " | ".join(cells) + " |")
    logs = {label: np.log([r for r in ratios[label] if r > 0]) for label in labels}
    geometric = [
        f"{np.exp(np.mean(logs[label])):.3f}" if len(logs[label]) else "" for label in labels
    ]
    print(f"| error / {BASE}'s, geometric mean | | " + " | ".join(geometric) + " |")
    wins = [f"{sum(r < 1 for r in ratios[label])} of {len(ratios[label])}" for label in labels]
    print(f"| lower than {BASE}'s | | " + " | ".join(wins) + " |")
    seconds = [
        f"{np.mean([r['fit_seconds'] for name in names for r in runs.get((label, name), [])]):.1f}"
        for label in labels
    ]
    print("| seconds a fit | | " + " | ".join(seconds) + " |")


def print_measure(runs, labels, names, measure):
    """Means of a measure of probabilities, for the sets of which all runs have it."""
    words = measure.replace("_", "-")
    print(f"\n| {words} | " + " | ".join(labels) + " |")
    print("|" + " --- |" * (len(labels) + 1))
    for name in names:
        own = [[record.get(measure) for record in runs.get((label, name), [])] for label in labels]
        if any(value is None for values in own for value in values):
            continue
        cells = [f"{np.mean(values):.3g}" if values else "" for values in own]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--data", help="folder with a load.py, for all but scikit-learn's sets")
    parser.add_argument("--models", default=f"cmlp,{BASE}")
    parser.add_argument("--sets", default=",".join(tabular_sets.BUNDLED))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-rows", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--label", default="")
    options = parser.parse_args()
    run_all(options) if options.action == "run" else report(options)


if __name__ == "__main__":
    main()
