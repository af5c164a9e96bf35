"""The command ``cmlp``: what a model file holds, its other forms, predictions for a CSV file.

Arguments, words and exit codes. What is done is done by public names.
"""

import argparse
import csv
import json
import os
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from safetensors import safe_open
from sklearn.utils.validation import check_is_fitted

from cmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, __version__, load
from cmlp._architecture import hidden_activations
from cmlp._csv_rows import Columns, CsvRows, levels_by_text, open_csv
from cmlp._files import replacing
from cmlp._substitute import main as run_program

#: Rows that are read, predicted and written at once.
BLOCK = 10_000
#: Exit codes, as of shells and of Python's own tools.
ERROR, INTERRUPTED, BROKEN_PIPE = 1, 130, 141
SUFFIXES = {"onnx": ".onnx", "c": ".c", "sklearn": ".skops"}
PICKLES = {".pkl", ".pickle", ".joblib"}
EPILOG = """Exit codes: 0, or 1 with a line on stderr, 2 for wrong arguments.
`cmlp run` is `python -m cmlp`: a program with cmlp in scikit-learn's place."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, default=None
        None is ``sys.argv[1:]``.

    Returns
    -------
    code : int
        What the process exits with.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["run"]:
        run_program(arguments[1:])
        return 0
    options = parser().parse_args(arguments)
    try:
        options.do(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # so that Python does not complain as it exits
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        return complain(in_one_line(error, getattr(options, "output", None)))
    except (ValueError, TypeError, ImportError) as error:
        return complain(str(error))
    return 0


def in_one_line(error, output):
    """An OSError as shells word it; of what was to become the output, by the output's name."""
    if error.filename is None:
        return error.strerror or str(error)
    name = os.fsdecode(error.filename)
    if os.path.basename(name).startswith(".cmlp-"):
        name = output or name
    return f"{name}: {error.strerror}"


def complain(text):
    print(f"cmlp: {' '.join(text.split())}", file=sys.stderr)
    return ERROR


def parser():
    """The parser of the arguments."""
    command = argparse.ArgumentParser(
        "cmlp",
        description="Models of cmlp without Python.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--version", action="version", version=f"cmlp {__version__}")
    verbs = command.add_subparsers(title="commands", required=True, metavar="COMMAND")

    info = verbs.add_parser("info", help="what a model file holds")
    info.add_argument("--json", action="store_true", help="as one JSON object")
    info.set_defaults(do=do_info)

    convert = verbs.add_parser("convert", help="a model in another form")
    convert.add_argument("--to", required=True, choices=SUFFIXES, help="sklearn: a skops file")
    convert.add_argument("-o", "--output", help="default: the model's name, other suffix, here")
    convert.add_argument("--name", help="of the C function")
    convert.add_argument(
        "--predict-only",
        action="store_true",
        help="for sklearn: leave out what only training knows",
    )
    convert.set_defaults(do=do_convert)

    predict = verbs.add_parser("predict", help="predictions for the rows of a CSV file")
    predict.set_defaults(do=do_predict)
    for verb in (info, convert, predict):
        verb.add_argument("model", help="file that an estimator's save has written")
    predict.add_argument("data", help="CSV file in UTF-8; - is the standard input")
    predict.add_argument("--proba", action="store_true", help="probabilities of the classes")
    predict.add_argument("-o", "--output", help="CSV file; default: the standard output")
    predict.add_argument(
        "--delimiter", default=",", help="between cells, default: , (\\t is a tab)"
    )
    predict.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first row has names; told by the model if neither is given",
    )
    verbs.add_parser("run", help="run a program with cmlp in scikit-learn's place", add_help=False)
    return command


# cmlp info


def do_info(options):
    about = {"file": options.model, **described(load(options.model))}
    with safe_open(options.model, framework="numpy") as file:
        metadata = file.metadata()
    about["written by"] = metadata["written_by"]
    about["format version"] = int(metadata["format_version"])
    if options.json:
        print(json.dumps(about))
        return
    for name, value in about.items():
        print(f"{name + ':':<16}{in_words(value)}")


def in_words(value):
    if isinstance(value, dict):
        return ", ".join(f"{name}={number}" for name, number in value.items())
    if isinstance(value, list):
        return ", ".join(map(in_words, value))
    text = str(value)
    return text if text.isprintable() else repr(text)


def described(est):
    """Facts of an estimator, as a dict for JSON."""
    about = {"estimator": type(est).__name__}
    networks = getattr(est, "estimators_", [est])
    network = networks[0]
    if not hasattr(network, "coefs_"):
        return {**about, "fitted": False}
    units = [network.coefs_[0].shape[-2], *(coef.shape[-1] for coef in network.coefs_)]
    about["layers"] = units
    about["activations"] = [
        *hidden_activations(network.activation, len(units) - 2),
        network.out_activation_,
    ]
    arrays = [
        array
        for one in networks
        for array in (*one.coefs_, *one.intercepts_, *getattr(one, "input_weights_", ()))
    ]
    about["parameters"] = sum(array.size for array in arrays)
    about["dtype"] = str(arrays[0].dtype)
    if network is not est:
        about["networks"] = len(networks)
    if network.n_members > 1:
        about["members"] = network.n_members
    if hasattr(est, "classes_"):
        columns = est.classes_ if isinstance(est.classes_, list) else [est.classes_]
        lists = [column.tolist() for column in columns]
        about["classes"] = lists if isinstance(est.classes_, list) else lists[0]
    about["outputs"] = int(network.n_outputs_)
    about["loss"] = est.loss
    if hasattr(network, "quantiles_"):
        about["quantiles"] = network.quantiles_.tolist()
    about["features"] = int(est.n_features_in_)
    if hasattr(est, "feature_names_in_"):
        about["feature names"] = est.feature_names_in_.tolist()
    about["training"] = {"solver": network.solver, "n_iter_": int(est.n_iter_)}
    return about


# cmlp convert


def do_convert(options):
    est = load(options.model)
    check_is_fitted(est)
    form = options.to
    if options.name is not None and form != "c":
        raise ValueError(f"--name is that of a C function, got --to {form}.")
    if options.predict_only and form != "sklearn":
        raise ValueError(f"--predict-only is for --to sklearn, got --to {form}.")
    output = options.output or Path(options.model).stem + SUFFIXES[form]
    check_output(output, options.model)
    if not hasattr(est, f"to_{form}"):
        raise TypeError(f"{type(est).__name__} has no form {form}.")
    if form == "onnx":
        est.to_onnx(output)
    elif form == "c":
        est.to_c(output, **({} if options.name is None else {"name": options.name}))
    else:
        write_skops(est, output, options.predict_only)
    print(output)


def check_output(output, *inputs):
    """Raise ValueError if the output is one of the files that are read."""
    for path in inputs:
        with suppress(OSError):
            if os.path.samefile(output, path):
                raise ValueError(f"{output} is {path} itself, which would be replaced.")


def write_skops(est, output, predict_only):
    """Write scikit-learn's estimator to a skops file."""
    if Path(output).suffix in PICKLES:
        raise ValueError(
            f"{output} would be a pickle, which runs code when it is read: name it .skops, or"
            " pickle est.to_sklearn() in Python."
        )
    try:
        from skops.io import dumps
    except ImportError as error:
        raise ImportError("--to sklearn needs skops: pip install skops") from error
    content = dumps(est.to_sklearn(predict_only=predict_only))
    with replacing(output) as temporary:
        Path(temporary).write_bytes(content)


# cmlp predict


def do_predict(options):
    est = load(options.model)
    check_is_fitted(est)
    if options.proba and not hasattr(est, "predict_proba"):
        raise ValueError(f"--proba is for classifiers, this is a {type(est).__name__}.")
    delimiter = "\t" if options.delimiter == "\\t" else options.delimiter
    if len(delimiter) != 1:
        raise ValueError(f"--delimiter must be one character, got {options.delimiter!r}.")
    if options.output is not None:
        check_output(options.output, options.model, options.data)
    warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
    name = "the standard input" if options.data == "-" else options.data
    with open_csv(options.data) as file:
        rows = CsvRows(file, name, columns_of(est), delimiter, options.header)
        with writable(options.output) as output:
            writer = csv.writer(output, lineterminator="\n")
            writer.writerow(titles(est, options.proba))
            for X in rows.blocks(BLOCK):
                writer.writerows(cells(est.predict_proba(X) if options.proba else est.predict(X)))


@contextmanager
def writable(path):
    """The standard output, or a file that appears once it is whole."""
    if path is None:
        yield sys.stdout
        return
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        yield file


def columns_of(est):
    """The Columns that an estimator reads."""
    names = getattr(est, "feature_names_in_", None)
    columns = Columns(est.n_features_in_, None if names is None else list(map(str, names)))
    if not isinstance(est, MLPClassifier | MLPRegressor):
        encoder = est._encoder
        columns.allows_missing = True
        columns.levels = {
            category.source: levels_by_text(category.codes) for category in encoder.categories
        }
        read = {*columns.levels, *map(int, encoder.numbers.sources)}
        columns.unread = set(range(columns.n)) - read
    return columns


def titles(est, proba):
    """Names of the columns of the predictions."""
    network = getattr(est, "estimators_", [est])[0]
    classes = getattr(est, "classes_", None)
    if proba:
        if not isinstance(classes, list):
            return [f"proba_{label}" for label in classes]
        return [f"proba_{k}_{label}" for k, labels in enumerate(classes) for label in labels]
    quantiles = [""]
    if classes is None:
        n, levels = network.n_outputs_, getattr(network, "quantiles_", None)
        if levels is not None:
            quantiles = [f"quantile_{level}" for level in levels.tolist()]
            n //= len(quantiles)
    else:
        n = len(classes) if isinstance(classes, list) else 1
        if is_multilabel(est, network):
            n = network.n_outputs_
    outputs = ["prediction"] if n == 1 else [f"prediction_{k}" for k in range(n)]
    if quantiles == [""]:
        return outputs
    return quantiles if n == 1 else [f"{one}_{level}" for one in outputs for level in quantiles]


def is_multilabel(est, network):
    kinds = MLPClassifier | TabularMLPClassifier
    binarizer = getattr(network, "_label_binarizer", None)
    return isinstance(est, kinds) and binarizer.y_type_.startswith("multilabel")


def cells(predictions):
    """Rows of text for predictions of any shape."""
    if isinstance(predictions, list):
        predictions = np.hstack(predictions)
    if sp.issparse(predictions):
        predictions = predictions.toarray()
    predictions = np.asarray(predictions).reshape(len(predictions), -1)
    if predictions.dtype == np.float32:  # as short as float32 is
        return [[str(value) for value in row] for row in predictions]
    return predictions.tolist()


if __name__ == "__main__":
    sys.exit(main())
