"""Outputs of a prediction in C: probabilities, labels, quantiles in order, scales. No layers."""

import numpy as np

from cmlp._c_text import commented, number, string


def result_size(exported):
    """How many numbers the function writes."""
    return 2 if exported.kind == "binary" else exported.n_outputs


def finish(writer):
    """Statements that make the result of the outputs, which are in y."""
    exported = writer.exported
    if exported.kind == "binary":
        one = number(exported.dtype.type(1))
        return ["    y[1] = y[0];", f"    y[0] = {one} - y[0];"]
    if exported.kind == "quantiles":
        return sorting_lines(writer)
    if exported.scale is None:
        return []
    scale, shift = (array.astype(exported.dtype) for array in (exported.scale, exported.shift))
    if exported.n_outputs == 1:
        return [f"    y[0] = y[0] * {number(scale[0])} + {number(shift[0])};"]
    scales = "".join(
        f"    y[{i}] = y[{i}] * {number(a)} + {number(b)};\n"
        for i, (a, b) in enumerate(zip(scale, shift, strict=True))
    )
    return [scales.rstrip("\n")]


def sorting_lines(writer):
    """Statements by which a larger quantile of a target is nowhere smaller."""
    quantiles, T = writer.exported.quantiles, writer.T
    q, n_targets = len(quantiles), writer.exported.n_outputs // len(quantiles)
    order = np.argsort(quantiles, kind="stable")
    places = "\n".join(f"        z[{place}] = q[{i}];" for i, place in enumerate(order.tolist()))
    return [
        f"    for (i = 0; i < {n_targets}; i++) {{",
        f"        {T} *z = y + i * {q}, q[{q}];",
        "        int j, k;",
        f"        for (j = 0; j < {q}; j++) {{",
        f"            const {T} value = z[j];",
        "            for (k = j; k > 0 && q[k - 1] > value; k--)",
        "                q[k] = q[k - 1];",
        "            q[k] = value;",
        "        }",
        places,
        "    }",
    ]


def label_function(writer, X):
    """The prototype and the body of the function that tells labels, or None.

    Parameters
    ----------
    X : str
        The type of x.
    """
    exported, name = writer.exported, f"{writer.name}_label"
    if not exported.classes:
        return None
    size, x = result_size(exported), f"const {X} x[{exported.n_features}]"
    T, call = writer.T, f"    {writer.name}(x, y);"
    begin = ["{", f"    {T} y[{size}];"]
    if exported.kind == "multilabel":
        half = number(exported.dtype.type(0.5))
        return [
            f"void {name}({x}, int label[{size}])",
            *begin,
            "    int i;",
            call,
            f"    for (i = 0; i < {size}; i++)",
            f"        label[i] = y[i] > {half};",
            "}",
        ]
    kind, constants = label_constants(exported.classes)
    begin += ["    int i, best = 0;", call]
    if exported.kind != "columns":
        constants = constants[0] if len(constants[0]) > 1 else constants[0] * 2
        lines = [*begin, *best_lines(0, size), *choice("    return {};", constants)]
        return [f"{kind}{name}({x})", *lines, "}"]
    lines, first = begin, 0
    for k, own in enumerate(constants):
        lines += ["    best = 0;"] * (k > 0) + best_lines(first, len(own))
        lines += choice(f"    label[{k}] = {{}};", own)
        first += len(own)
    return [f"void {name}({x}, {kind}label[{len(constants)}])", *lines, "}"]


def best_lines(first, n):
    """Statements that find the largest of n probabilities from the given one on."""
    at = f"y[{first} + {{}}]" if first else "y[{}]"
    return [
        f"    for (i = 1; i < {n}; i++)",
        f"        if ({at.format('i')} > {at.format('best')})",
        "            best = i;",
    ]


def choice(statement, constants):
    """A statement with the constant of the best class."""
    if constants == list(map(str, range(len(constants)))):
        return [statement.format("best")]
    lines = ["    switch (best) {"]
    is_return = "return" in statement
    for i, constant in enumerate(constants):
        case = f"    case {i}:" if i < len(constants) - 1 else "    default:"
        lines += [case, "    " + statement.format(constant)]
        lines += [] if is_return else ["        break;"]
    return [*lines, "    }"]


def label_constants(classes):
    """The type of labels, and a constant for each class of each column."""
    kinds = {"int" if one.dtype.kind in "biu" else one.dtype.kind for one in classes}
    if len(kinds) > 1:
        return "int ", [list(map(str, range(len(one)))) for one in classes]
    (kind,) = kinds
    if kind == "U":
        return "const char *", [[string(label) for label in one.tolist()] for one in classes]
    if kind == "f":
        if not all(np.isfinite(one).all() for one in classes):
            raise ValueError("to_c cannot hold classes_ that are not finite.")
        return "double ", [[number(np.float64(label)) for label in one] for one in classes]
    largest = max(abs(int(label)) for one in classes for label in one.tolist())
    if largest > np.iinfo(np.int64).max:
        raise ValueError("to_c cannot hold classes_ beyond int64.")
    is_long = largest > np.iinfo(np.int32).max
    suffix, name = ("LL", "long long ") if is_long else ("", "long ")
    return name, [[f"{int(label)}{suffix}" for label in one.tolist()] for one in classes]


def outputs_comment(writer):
    """Lines that say what y is, and a label."""
    exported = writer.exported
    size, kind = result_size(exported), exported.kind
    if kind == "quantiles":
        quantiles = ", ".join(map(str, exported.quantiles.tolist()))
        n_targets = exported.n_outputs // len(exported.quantiles)
        lines = [
            f"y  quantiles {quantiles}" + f" of each of {n_targets} targets" * (n_targets > 1)
        ]
    elif kind == "values":
        lines = [f"y  {size} value{'s' * (size > 1)}"]
    elif kind == "multilabel":
        lines = [f"y  {size} probabilities, one for each label; a label is 0 or 1"]
    else:
        lines, first = [f"y  {size} probabilities of the classes"], 0
        positions = len({one.dtype.kind for one in exported.classes}) > 1
        for k, classes in enumerate(exported.classes):
            of_column = f" of column {k}" if kind == "columns" else ""
            for i, label in enumerate(classes.tolist()):
                lines.append(f"   [{first + i}] of class {commented(label)}{of_column}")
            first += len(classes)
        if positions:
            lines.append("   a label is the position of a class in its column")
    return lines
