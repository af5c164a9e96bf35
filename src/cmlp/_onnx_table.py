"""Raw rows of a table as nodes of ONNX: inputs, scaled and binned numbers, codes of categories."""

import re
from operator import itemgetter

import numpy as np

from cmlp._table_numbers import LARGE

#: Names that inputs cannot have, as outputs do, or as they are none.
TAKEN = r"|variable|(label|probabilities)(_\d+)?"


def encode_table(graph, exported):
    """The columns (N, n_columns) that networks read, from the inputs of the model.

    Parameters
    ----------
    graph : OnnxGraph
        That gets the inputs: ``X`` of doubles, or, if there are categories of strings, one for
        each column that is read. Its dtype is that of the result.

    Raises
    ------
    ValueError
        If levels of a category are strings and numbers, or the empty string where values were
        missing, or no input can have the name of a column.
    """
    table, dtype = exported.table, graph.dtype
    graph.dtype = np.dtype(np.float64)
    columns = TableInputs(graph, exported)
    parts = number_columns(graph, table.numbers, columns)
    for category in table.categories:
        code = category_code(graph, category, columns[category.source])
        if category.one_hot:
            levels = graph.constant(np.arange(category.n_levels, dtype=np.float64), "levels")
            code = graph.cast(graph.node("Equal", code, levels), np.float64)
        parts.append(code)
    if not parts:  # as then a network has an input, if only a zero
        x = columns[0]
        parts = [graph.node("Where", graph.node("IsNaN", x), graph.number(0.0), x) * 0.0]
    graph.dtype = dtype
    return graph.cast(joined(graph, parts), dtype)


def joined(graph, parts):
    """Matrices side by side."""
    return parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)


class TableInputs:
    """Columns of the table as inputs of the graph, of strings or doubles.

    Parameters
    ----------
    graph : OnnxGraph
    exported : Exported
    """

    def __init__(self, graph, exported):
        self.graph, table = graph, exported.table
        self.n_features = exported.n_features
        kinds = dict.fromkeys(table.numbers.sources.tolist(), np.float64)
        kinds |= {one.source: kind_of_levels(one, exported) for one in table.categories}
        self.X, self.columns = None, {}
        if all(kind is np.float64 for kind in kinds.values()):
            self.X = graph.input("X", np.float64, [self.n_features])
            return
        seen = set()
        for source, kind in sorted(kinds.items(), key=itemgetter(0)):
            name = feature_name(exported, source)
            if re.fullmatch(TAKEN, name) or name in seen:
                raise ValueError(
                    f"to_onnx cannot hold a feature named {name!r}: each is an input of the model,"
                    " with a name that no output has."
                )
            seen.add(name)
            self.columns[source] = graph.input(name, np.dtype(kind), [1])

    def __getitem__(self, source):
        """A column (N, 1) of the table."""
        return self.columns[source] if self.X is None else self.matrix([source])

    def matrix(self, sources):
        """Columns of numbers side by side."""
        if self.X is not None:
            return self.graph.columns(self.X, sources, self.n_features)
        return joined(self.graph, [self.columns[source] for source in sources])


def feature_name(exported, source):
    """The name of a column of the table."""
    names = exported.feature_names
    return f"x{source}" if names is None else names[source]


def kind_of_levels(category, exported):
    """The type of the values of a category: str or float64."""
    are_strings = {isinstance(level, str) for level in category.codes}
    if len(are_strings) > 1:
        raise ValueError(
            "to_onnx cannot hold strings and numbers in one column, as has the categorical"
            f" feature {feature_name(exported, category.source)!r}."
        )
    if "" in category.codes and category.missing != category.unknown:
        raise ValueError(
            "to_onnx cannot hold missing values beside empty strings, which say them, as has the"
            f" categorical feature {feature_name(exported, category.source)!r}."
        )
    return np.str_ if True in are_strings else np.float64


def number_columns(graph, numbers, columns):
    """Matrices of what a NumberEncoder writes, as it does."""
    if not len(numbers.sources):
        return []
    x = columns.matrix(numbers.sources.tolist())
    n = len(numbers.sources)
    is_missing = graph.node("IsNaN", x)
    z = (x - graph.constant(numbers.center)) * graph.constant(numbers.factor)
    z = graph.maximum(graph.minimum(z, LARGE), -LARGE)
    bent = z * graph.constant(numbers.bend)
    z = z / graph.node("Sqrt", bent * bent + 1.0)
    parts = [graph.node("Where", is_missing, graph.constant(numbers.fill), z)]
    if len(numbers.binned):
        missing = graph.columns(is_missing, numbers.binned, n)
        place = places(graph, numbers, graph.columns(x, numbers.binned, n))
        parts.append(graph.node("Where", missing, graph.constant(numbers.no_bin), place))
    if len(numbers.indicated):
        parts.append(graph.cast(graph.columns(is_missing, numbers.indicated, n), np.float64))
    return parts


def places(graph, numbers, x):
    """The bin of each number plus how far in it lies."""
    n = len(numbers.binned)
    edges = graph.constant(numbers.padded.reshape(n, -1), "edges")
    is_above = graph.node("GreaterOrEqual", graph.reshape(x, 0, n, 1), edges)
    axes = graph.constant(np.array([2], np.int64), "axes")
    bins = graph.node("ReduceSum", graph.cast(is_above, np.float64), axes, keepdims=0)
    first = graph.constant(numbers.first_bin.astype(np.float64), "first")
    at = graph.cast(bins + first, np.int64)
    start, per_width = (
        graph.node("Gather", graph.constant(array), at)
        for array in (numbers.starts, numbers.per_width)
    )
    fraction = graph.maximum(graph.minimum((x - start) * per_width, 1.0), 0.0)
    return bins + fraction


def category_code(graph, category, x):
    """Codes (N, 1) of a column; the empty string is a missing value, unless a level is empty."""
    if category.codes and all(isinstance(level, str) for level in category.codes):
        codes = {"": category.missing, **category.codes}
        code = graph.node(
            "LabelEncoder",
            x,
            domain="ai.onnx.ml",
            keys_strings=list(codes),
            values_int64s=list(codes.values()),
            default_int64=category.unknown,
        )
        graph.uses_ml = True
        return graph.cast(code, np.float64)
    unknown = graph.number(float(category.unknown))
    is_missing = graph.node("IsNaN", x)
    code = graph.node("Where", is_missing, graph.number(float(category.missing)), unknown)
    if not category.codes:
        return code
    levels = graph.constant(np.array([*category.codes], np.float64), "levels")
    is_level = graph.cast(graph.node("Equal", x, levels), np.float64)
    more = np.array([*category.codes.values()], np.float64)[:, None] - category.unknown
    return code + graph.node("MatMul", is_level, graph.constant(more, "codes"))
