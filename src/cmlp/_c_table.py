"""Raw rows of a table in C: numbers scaled and placed in bins, categories as codes. No layers."""

import numpy as np

from cmlp._c_text import commented

#: Of a scaled number, whose square a float holds; it is bent to 3 long before.
LARGE = 1e18


def table_function(writer):
    """Write the function ``name_columns``, from a row of doubles to the columns of networks.

    Raises
    ------
    ValueError
        If codes of a category are not 0, 1, ...
    """
    table = writer.exported.table
    body = number_lines(writer, table.numbers) if len(table.numbers.sources) else []
    first = table.numbers.n_columns
    for k, category in enumerate(table.categories):
        body += category_lines(writer, category, k, first)
        first += category.n_columns
    if not table.n_columns > (not body):
        body += ["(void)x;", f"c[0] = {writer.zero};"]
    lines = [f"static void {writer.name}_columns(const double *x, {writer.T} *c)", "{"]
    counter = ["    int i;"] if any("(i = " in line for line in body) else []
    writer.write("\n".join([*lines, *counter, *(f"    {line}" for line in body), "}\n"]))


def number_lines(writer, numbers):
    """Statements for all numeric features."""
    T, n = writer.T, len(numbers.sources)
    arrays = {name: getattr(numbers, name) for name in ("center", "factor", "bend", "fill")}
    read = {
        name: writer.read(f"{writer.array(name, array, 'double')}[i]")
        for name, array in arrays.items()
    }
    source = writer.read(
        f"{writer.array('sources', numbers.sources.astype(np.int32), 'int')}[i]", "_INT"
    )
    lines = [
        f"for (i = 0; i < {n}; i++) {{",
        f"    const double v = x[{source}];",
        f"    double z = (v - {read['center']}) * {read['factor']}, bent;",
        f"    z = z > {LARGE} ? {LARGE} : z < -{LARGE} ? -{LARGE} : z;",
        f"    bent = z * {read['bend']};",
        "    z = z / sqrt(bent * bent + 1.0);",
        f"    c[i] = ({T})(v != v ? {read['fill']} : z);",
        "}",
    ]
    if len(numbers.binned):
        lines += bin_lines(writer, numbers)
    if len(numbers.indicated):
        own = numbers.sources[numbers.indicated].astype(np.int32)
        source = writer.read(f"{writer.array('indicated', own, 'int')}[i]", "_INT")
        first = n + len(numbers.binned)
        lines += [
            f"for (i = 0; i < {len(own)}; i++) {{",
            f"    const double v = x[{source}];",
            f"    c[{first} + i] = v != v ? 1 : 0;",
            "}",
        ]
    return lines


def bin_lines(writer, numbers):
    """Statements that place numbers in bins."""
    T, n = writer.T, len(numbers.sources)
    ends = np.cumsum(numbers.n_bins + 1)
    integers = {
        "binned": numbers.sources[numbers.binned],
        "n_bins": numbers.n_bins,
        "first_edge": ends - numbers.n_bins - 1,
    }
    source, n_bins, first = (
        writer.read(f"{writer.array(name, array.astype(np.int32), 'int')}[i]", "_INT")
        for name, array in integers.items()
    )
    edges = writer.array("edges", numbers.edges, "double")
    low, high = (writer.read(f"{edges}[edge + bin{one}]") for one in ("", " + 1"))
    return [
        f"for (i = 0; i < {len(numbers.binned)}; i++) {{",
        f"    const double v = x[{source}];",
        f"    const int n_bins = {n_bins}, edge = {first};",
        "    int bin = 0;",
        "    double part;",
        f"    while (bin < n_bins - 1 && v >= {high})",
        "        bin++;",
        f"    part = (v - {low}) * (1.0 / ({high} - {low}));",
        "    part = part > 1.0 ? 1.0 : part > 0.0 ? part : 0.0;",
        f"    c[{n} + i] = ({T})(v != v ? (double)(n_bins + 1) : (double)bin + part);",
        "}",
    ]


def category_lines(writer, category, k, first):
    """Statements for the columns of a category."""
    n, T = len(category.codes), writer.T
    lines = ["{", f"    const double v = x[{category.source}];"]
    lines.append(f"    int code = v != v ? {category.missing} : {category.unknown};")
    if is_given_by_codes(category):
        if list(category.codes.values()) != list(range(n)):
            raise ValueError("to_c cannot hold categories whose codes are not 0, 1, ...")
        lines += [f"    if (v >= 0.0 && v < {float(n)})", "        code = (int)v;"]
    elif n:
        levels = writer.array(f"levels_of{k}", np.array([*category.codes], np.float64), "double")
        codes = np.array([*category.codes.values()], np.int32)
        code = writer.read(f"{writer.array(f'codes_of{k}', codes, 'int')}[i]", "_INT")
        lines += [
            f"    for (i = 0; i < {n}; i++)",
            f"        if ({writer.read(f'{levels}[i]')} == v)",
            f"            code = {code};",
        ]
    if category.one_hot:
        lines += [
            f"    for (i = 0; i < {category.n_levels}; i++)",
            f"        c[{first} + i] = code == i ? 1 : 0;",
        ]
    else:
        lines.append(f"    c[{first}] = ({T})code;")
    return [*lines, "}"]


def is_given_by_codes(category):
    """Whether C gets positions of levels, as some are strings."""
    return any(isinstance(level, str) for level in category.codes)


def table_comment(exported):
    """Lines that say what x is."""
    table, names = exported.table, exported.feature_names
    categories = {category.source: category for category in table.categories}
    lines = [f"x  {exported.n_features} features, NAN where a value is missing"]
    for i in range(exported.n_features):
        name = "" if names is None else f" {commented(names[i])}"
        category = categories.get(i)
        if category is not None and is_given_by_codes(category):
            lines.append(f"   [{i}]{name}: a code, or -1 for all others")
            lines += [f"         {code} {commented(one)}" for one, code in category.codes.items()]
        elif category is not None or names is not None:
            lines.append(f"   [{i}]{name}" + ": a category" * (category is not None))
    return lines
