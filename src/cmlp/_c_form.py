"""A fitted estimator as one C99 file. Its prediction is read from ``_exported`` alone.

Raw rows of a table are encoded in ``_c_table``, labels are told in ``_c_outputs``.
"""

import numpy as np

from cmlp._c_outputs import finish, label_function, outputs_comment, result_size
from cmlp._c_table import table_comment, table_function
from cmlp._c_text import activation_function, braced, c_type, commented, number
from cmlp._exported import MORE_ROWS, Exported
from cmlp._files import replacing
from cmlp._quantized import quantized
from cmlp._version import __version__

READING = """#if defined(__AVR__) && __SIZEOF_DOUBLE__ == 4 /* constants stay in flash */
#include <avr/pgmspace.h>
#define {NAME}_ROM PROGMEM
#define {NAME}_READ(a) pgm_read_float(&(a))
#define {NAME}_READ_INT8(a) ((signed char)pgm_read_byte(&(a)))
#define {NAME}_READ_INT(a) ((int)pgm_read_word(&(a)))
#else
#define {NAME}_ROM
#define {NAME}_READ(a) (a)
#define {NAME}_READ_INT8(a) (a)
#define {NAME}_READ_INT(a) (a)
#endif
"""

#: What 16-bit addresses reach, without what else comes first.
MOST_BYTES_OF_AVR = 60_000
TOO_LARGE = """#ifdef __AVR__
#error "these constants are more than the 64 KB of flash that are read"
#endif
"""

SOFTMAX = """static void {name}_softmax({T} *z, int n)
{{
    {T} top = z[0], sum = {zero};
    int i;
    for (i = 1; i < n; i++)
        if (z[i] > top)
            top = z[i];
    for (i = 0; i < n; i++) {{
        z[i] = exp{f}(z[i] - top);
        sum += z[i];
    }}
    for (i = 0; i < n; i++)
        z[i] /= sum;
}}
"""


class Writer:
    """The text of a C file as it comes about.

    Parameters
    ----------
    exported : Exported
    name : str
        Of the function, and what all names begin with.
    quantize : "int8" or None

    Attributes
    ----------
    lines : list of str
        Of the file, without the comment at its beginning.
    n_bytes : int
        Of constants, with double as 8 bytes.
    n_bytes_of_avr : int
        Of those on an AVR, where double is float and int has two bytes.
    """

    def __init__(self, exported, name, quantize):
        self.exported, self.name, self.quantize = exported, name, quantize
        self.T = c_type(exported.dtype)
        self.macro = name.upper() if name.upper() != name else f"{name}_"
        self.f = "f" if exported.dtype == np.float32 else ""
        self.zero = f"0.0{self.f}"
        self.lines, self.n_bytes, self.n_bytes_of_avr, self._functions = [], 0, 0, set()

    def write(self, text):
        self.lines.append(text)

    def number(self, value):
        """A float as a constant of the network's type."""
        return number(self.exported.dtype.type(value))

    def array(self, name, array, kind=None):
        """Write a constant array; the name that it has.

        Parameters
        ----------
        kind : str
            Its type, if it is not that of the network.
        """
        name = f"{self.name}_{name}"
        sizes = "".join(f"[{n}]" for n in array.shape)
        self.write(
            f"static const {kind or self.T} {name}{sizes} {self.macro}_ROM = {braced(array)};\n"
        )
        self.n_bytes += array.nbytes
        self.n_bytes_of_avr += array.size * {"signed char": 1, "int": 2}.get(kind, 4)
        return name

    def read(self, element, kind=""):
        """An element of a constant array."""
        return f"{self.macro}_READ{kind}({element})"

    def function(self, activation):
        """The name of the function of an activation, which is written once."""
        name = f"{self.name}_{activation}"
        if activation not in self._functions:
            self._functions.add(activation)
            if activation == "softmax":
                words = {"name": self.name, "T": self.T, "f": self.f, "zero": self.zero}
                self.write(SOFTMAX.format(**words))
            else:
                text = activation_function(activation, name, self.exported.dtype)
                self.write(f"{text}\n")
        return name


def c_source(exported: Exported, name="model", quantize=None):
    """The text of a C file whose function ``name`` predicts.

    Raises
    ------
    ValueError
        If C cannot hold it.
    """
    writer = Writer(exported, name, quantize)
    X = writer.T if exported.table is None else "double"
    size = result_size(exported)
    prototypes = [f"void {name}(const {X} x[{exported.n_features}], {writer.T} y[{size}])"]
    if exported.table is not None:
        table_function(writer)
    networks = [network_function(writer, k) for k in range(len(exported.networks))]
    writer.write("\n".join([*prototypes, "{", *predicting_lines(writer, networks), "}"]))
    labels = label_function(writer, X)
    if labels is not None:
        prototypes.append(labels[0])
        writer.write("\n" + "\n".join(labels))
    return assembled(writer, prototypes)


def predicting_lines(writer, networks):
    """Statements of the function that predicts, given the names of those of the networks."""
    exported, T = writer.exported, writer.T
    names, lines, x = [], [], "x"
    if exported.table is not None:
        names.append(f"columns[{exported.table.n_columns}]")
        lines.append(f"    {writer.name}_columns(x, columns);")
        x = "columns"
    lines.append(f"    {networks[0]}({x}, y);")
    for_each = f"    for (i = 0; i < {exported.n_outputs}; i++)"
    for network in networks[1:]:
        lines += [f"    {network}({x}, one);", for_each, "        y[i] += one[i];"]
    if len(networks) > 1:
        names.append(f"one[{exported.n_outputs}]")
        lines += [for_each, f"        y[i] *= {writer.number(1 / len(networks))};"]
    lines += finish(writer)
    declared = [f"    {T} {', '.join(names)};"] if names else []
    if any("(i = " in line for line in lines):
        declared.append("    int i;")
    return declared + lines


def assembled(writer, prototypes):
    """The whole text, with what comes before the functions."""
    declared = "\n".join(f"{prototype};" for prototype in prototypes)
    guarded = (
        f'#ifdef __cplusplus\nextern "C" {{\n#endif\n{declared}\n#ifdef __cplusplus\n}}\n#endif\n'
    )
    head = [comment(writer, prototypes), "#include <math.h>", ""]
    head += [READING.format(NAME=writer.macro), guarded]
    if writer.n_bytes_of_avr > MOST_BYTES_OF_AVR:
        head.append(TOO_LARGE)
    return "\n".join([*head, *writer.lines]) + "\n"


def comment(writer, prototypes):
    """The comment at the beginning of the file: shapes, meaning and use."""
    exported = writer.exported
    lines = [
        f"{writer.name}: {exported.estimator} in C99, by cmlp {__version__}. No heap, no state.",
        "",
        *(f"    {prototype};" for prototype in prototypes),
        "",
        "Declare these where they are called, or include this file.",
        "",
    ]
    if exported.table is None:
        lines.append(f"x  {exported.n_features} features")
        names = exported.feature_names or ()
        lines += [f"   [{i}] {commented(one)}" for i, one in enumerate(names)]
    else:
        lines += table_comment(exported)
    lines += outputs_comment(writer)
    sizes = [widths(network) for network in exported.networks]
    lines += ["", f"Layers: {'-'.join(map(str, sizes[0]))}"]
    lines[-1] += f", {len(sizes)} networks" if len(sizes) > 1 else ""
    if exported.networks[0].factors is not None:
        lines[-1] += f", {exported.networks[0].n_members} members each"
    lines[-1] += f"; {writer.T}, weights of 8 bits" if writer.quantize else f"; {writer.T}"
    lines[-1] += "."
    lines += [
        f"{writer.n_bytes} bytes of constants; on the stack {stack(exported)} bytes of arrays."
    ]
    text = "\n".join(f" * {line}".rstrip() for line in lines)
    return f"/*{text[2:]}\n */"


def widths(network):
    """The number of inputs and of units of each layer."""
    first = network.layers[0].weights.shape[-2]
    return [first, *(layer.weights.shape[-1] for layer in network.layers)]


def buffer_size(network):
    """Numbers that the longest of a network's layers has."""
    return max(widths(network)[1:])


def stack(exported):
    """Bytes of all arrays that are alive at once."""
    n = max(2 * buffer_size(one) + inputs_size(one) for one in exported.networks)
    n += exported.n_outputs * (len(exported.networks) > 1)
    n += 0 if exported.table is None else exported.table.n_columns
    if exported.classes:
        n += result_size(exported)
    return n * exported.dtype.itemsize


def inputs_size(network):
    """Numbers of the inputs that are made of x, for one member too."""
    made = network.layers[0].weights.shape[-2]
    return made * bool(network.runs) + made * (network.factors is not None)


def network_function(writer, k):
    """Write the function of a network and what it reads; its name."""
    network = writer.exported.networks[k]
    name, T = f"{writer.name}_network{k}", writer.T
    sizes, n_members = widths(network), network.n_members
    body, source = [], "x"
    if network.runs:
        body += run_lines(writer, network, k)
        source = "inputs"
    inner = []
    if network.factors is not None:
        factors = writer.read(f"{writer.array(f'factors{k}', network.factors)}[m][i]")
        inner += [f"for (i = 0; i < {sizes[0]}; i++)", f"    own[i] = {source}[i] * {factors};"]
        source = "own"
    target = "a"
    for i in range(len(network.layers)):
        inner += layer_lines(writer, network, k, i, source, target)
        source, target = target, "b" if target == "a" else "a"
    n = sizes[-1]
    if n_members > 1:
        share = writer.number(1 / n_members)
        inner += [f"for (j = 0; j < {n}; j++)", f"    y[j] += {source}[j] * {share};"]
        body += [f"for (j = 0; j < {n}; j++)", f"    y[j] = {writer.zero};"]
        body += [f"for (m = 0; m < {n_members}; m++) {{", *("    " + line for line in inner), "}"]
    else:
        body += [*inner, f"for (j = 0; j < {n}; j++)", f"    y[j] = {source}[j];"]
    size = buffer_size(network)
    arrays = [f"a[{size}]"] + [f"b[{size}]"] * (len(network.layers) > 1)
    arrays += [f"inputs[{sizes[0]}]"] * bool(network.runs)
    arrays += [f"own[{sizes[0]}]"] * (network.factors is not None)
    counters = "int i, j, m;" if n_members > 1 else "int i, j;"
    lines = [f"static void {name}(const {T} *x, {T} *y)", "{", f"    {T} {', '.join(arrays)};"]
    writer.write("\n".join([*lines, f"    {counters}", *("    " + line for line in body), "}\n"]))
    return name


def layer_lines(writer, network, k, i, source, target):
    """Statements that compute a layer's activations from those before."""
    layer = network.layers[i]
    n_in, n = layer.weights.shape[-2:]
    member = "[m]" if layer.weights.ndim == 3 else ""
    biases = writer.read(writer.array(f"biases{k}_{i}", layer.biases) + f"{member}[j]")
    if writer.quantize is None:
        weights = writer.array(f"weights{k}_{i}", layer.weights)
        weight = writer.read(f"{weights}{member}[i][j]")
        begin, end = biases, ""
    else:
        integers, scales = quantized(layer.weights)
        weights = writer.array(f"weights{k}_{i}", integers, "signed char")
        weight = writer.read(f"{weights}{member}[i][j]", "_INT8")
        scale = writer.read(writer.array(f"scales{k}_{i}", scales) + f"{member}[j]")
        begin, end = writer.zero, f"{target}[j] * {scale} + {biases}"
    lines = [
        f"for (j = 0; j < {n}; j++)",
        f"    {target}[j] = {begin};",
        f"for (i = 0; i < {n_in}; i++)",
        f"    for (j = 0; j < {n}; j++)",
        f"        {target}[j] += {source}[i] * {weight};",
    ]
    value = end or f"{target}[j]"
    if layer.activation not in ("identity", "softmax"):
        value = f"{writer.function(layer.activation)}({value})"
    if value != f"{target}[j]":
        lines += [f"for (j = 0; j < {n}; j++)", f"    {target}[j] = {value};"]
    if layer.activation == "softmax":
        first = 0
        for size in writer.exported.group_sizes:
            lines.append(f"{writer.function('softmax')}({target} + {first}, {size});")
            first += size
    return lines


def run_lines(writer, network, k):
    """Statements that make the inputs of the first layer."""
    lines, first = [], 0
    for r, run in enumerate(network.runs):
        n = len(run.columns)
        columns = writer.array(f"columns{k}_{r}", run.columns.astype(np.int32), "int")
        x = f"x[{writer.read(columns + '[i]', '_INT')}]"
        lines.append(f"for (i = 0; i < {n}; i++) {{")
        if run.form == "identity":
            lines.append(f"    inputs[{first} + i] = {x};")
        elif run.form == "scale":
            table = writer.array(f"table{k}_{r}", run.tables.ravel())
            lines.append(f"    inputs[{first} + i] = {x} * {writer.read(table + '[i]')};")
        else:
            lines += placed_lines(writer, run, f"{k}_{r}", x, first)
        lines.append("}")
        first += n * run.width
    return lines


def placed_lines(writer, run, name, x, first):
    """Statements that look up column i of a run in its table."""
    is_of_bins, width, T = run.form == "bins", run.width, writer.T
    n_rows = run.levels + MORE_ROWS[run.form]
    starts = np.cumsum(n_rows) - n_rows
    levels = writer.array(f"levels{name}", run.levels.astype(np.int32), "int")
    starts = writer.array(f"starts{name}", starts.astype(np.int32), "int")
    table = writer.array(f"table{name}", run.tables)
    low = writer.read(f"{table}[row][j]")
    lines = [
        f"    const {T} place = {x};",
        f"    const int levels = {writer.read(levels + '[i]', '_INT')};",
        f"    int row = {writer.read(starts + '[i]', '_INT')};",
    ]
    value = low
    if is_of_bins:
        high = writer.read(f"{table}[row + 1][j]")
        lines += [
            f"    {T} part = {writer.zero};",
            f"    if (place > ({T})levels) {{",
            "        row += levels + 1;",
            f"    }} else if (place >= ({T})levels) {{",
            "        row += levels;",
            f"    }} else if (place > {writer.zero}) {{",
            "        row += (int)place;",
            f"        part = place - ({T})(int)place;",
            "    }",
        ]
        interpolated = f"{low} + part * ({high} - {low})"
        value = f"part > {writer.zero} ? {interpolated} : {low}"
    else:
        if run.form == "steps":
            lines += [f"    if (place > ({T})levels)", "        row += levels;", "    else"]
        lines += [
            f"    if (place >= ({T})levels)",
            "        row += levels - 1;",
            f"    else if (place > {writer.zero})",
            "        row += (int)place;",
        ]
    at = f"{first} + i * {width} + j" if first else f"i * {width} + j"
    return [*lines, f"    for (j = 0; j < {width}; j++)", f"        inputs[{at}] = {value};"]


def write_c(path, text):
    """Write a C file, which appears whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; what was there before is still there.
    """
    with (
        replacing(path) as temporary,
        open(temporary, "w", encoding="ascii", newline="\n") as file,
    ):
        file.write(text)
