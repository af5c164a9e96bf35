# What Python knows of the engine: the tables of activations, losses and optimizers, and Layout,
# the shape of a network. Included by engine.pxi, which imports; no passes through layers here.
# uses: dataset.pxi, limits.pxi
# gives: ACTIVATIONS, LOSSES, OPTIMIZERS, ENCODINGS, FLUSHES, vector_bytes, LossRow, Layout,
#   encoding_rows, aligned_vector

#: Bytes of a vector register in this build of the engine.
vector_bytes = VECTOR_BYTES

#: Whether this build can treat denormals as zero.
FLUSHES = bool(CAN_FLUSH)

#: What is known of each activation, from the table in activations.h.
ACTIVATIONS = {
    activation_table[i].name.decode(): {
        "id": i,
        "hidden": bool(activation_table[i].where & ON_HIDDEN),
        "output": bool(activation_table[i].where & ON_OUTPUT),
        "keeps_slope": bool(activation_table[i].keeps_slope),
        "init_factor": activation_table[i].init_factor,
        "init_fan": "in" if activation_table[i].fan_in_only else "both",
        "formula": activation_table[i].formula.decode(),
    }
    for i in range(N_ACTIVATIONS)
}
ACTIVATIONS["softmax"] = {
    "id": SOFTMAX, "hidden": False, "output": True, "keeps_slope": False, "init_factor": 6.0,
    "init_fan": "both", "formula": "exp(z) / sum(exp(z))",
}

#: What is known of each loss, from the table in losses.h.
LOSSES = {
    loss_table[i].name.decode(): {
        "id": i,
        "loss": loss_table[i].loss.decode(),
        "regressor": bool(loss_table[i].estimator & FOR_REGRESSOR),
        "classifier": bool(loss_table[i].estimator & FOR_CLASSIFIER),
        "residual": bool(loss_table[i].residual),
        "mean_over_outputs": bool(loss_table[i].mean_over_outputs),
        "canonical_activation": next(
            name for name, row in ACTIVATIONS.items()
            if row["id"] == loss_table[i].canonical_activation),
        "domain": ("real", "non-negative", "positive", "unit interval")[loss_table[i].domain],
        "parameter": loss_table[i].parameter.decode() or None,
        "default": loss_table[i].parameter_default,
    }
    for i in range(N_LOSSES)
}

#: Each optimizer, from the table in optimizers.h: id, state vectors per parameter, entries of its
#: hyper-parameter vector, of which the first is the learning rate, as a schedule may change it.
OPTIMIZERS = {
    optimizer_table[i].name.decode(): (
        i, optimizer_table[i].n_states, tuple(
            optimizer_table[i].hyper[k].decode() for k in range(optimizer_table[i].n_hyper)))
    for i in range(N_OPTIMIZERS)
}


#: Each encoding, from the table in encodings.h: id; whether it reads one column, in which are
#: places of a table of `levels` bins or categories, or a column for each input; its formula.
ENCODINGS = {
    encoding_table[i].name.decode(): {
        "id": i,
        "placed": encoding_table[i].form == PLACED,
        "of_bins": bool(encoding_table[i].of_bins),
        "stepped": bool(encoding_table[i].stepped),
        "rows": encoding_table[i].rows,
        "rows_per_level": encoding_table[i].rows_per_level,
        "formula": encoding_table[i].formula.decode(),
    }
    for i in range(N_ENCODINGS)
}


def encoding_rows(str kind, Py_ssize_t levels):
    """How many rows of parameters an encoding has, each as wide as its inputs are many."""
    row = ENCODINGS[kind]
    return row["rows"] + row["rows_per_level"] * levels


cdef class LossRow:
    """A row of the table of losses for a network with so many outputs, and its parameter.

    Parameters
    ----------
    name : str
    out_activation : str
    n_outputs : int
    parameter : float or sequence of float, optional
        The default of the row if None. A sequence holds the parameters of the outputs, or is as
        often repeated as there are outputs.
    """

    cdef Loss loss
    cdef const float[::1] repeated32
    cdef const double[::1] repeated64

    def __cinit__(self, name, out_activation, n_outputs, parameter=None):
        row = LOSSES[name]
        self.loss.id = row["id"]
        self.loss.canonical = row["canonical_activation"] == out_activation
        self.loss.is_residual = self.loss.canonical and row["residual"]
        if row["parameter"] is None:
            return
        values = np.ravel(row["default"] if parameter is None else parameter)
        if values.size < 1 or n_outputs % values.size:
            raise ValueError(
                f"{values.size} parameters of the loss do not fit {n_outputs} outputs.")
        values = np.resize(values.astype(np.float64), n_outputs + REPEATED)
        self.repeated64 = values
        self.repeated32 = values.astype(np.float32)
        self.loss.parameter64 = &self.repeated64[0]
        self.loss.parameter32 = &self.repeated32[0]


cdef class Layout:
    """The shape of a network, fixed for one fit or predict.

    Parameters
    ----------
    units : sequence of int
        Inputs of the first layer, the hidden layer sizes, n_outputs.
    coef_starts, intercept_starts : sequence of int
        Where each layer's weights and biases start in the parameter vector: weights come first,
        then the parameters of encodings and the factors of members, then biases.
    activations : sequence of str
        One per weight layer, the output activation last.
    loss : str
    fit_intercept : bool
    group_sizes : sequence of int, optional
        How many outputs each softmax of the output layer has; one over all if not given.
    dropout : sequence of float
        Rates of the input and of each hidden layer, in [0, 1), to 1 / 65536; none: all zero.
    loss_parameter : float or sequence of float, optional
        See LossRow.
    encodings : sequence of tuple (kind, column, width, levels)
        How columns of X become inputs of the first layer, in the order of the inputs: a key of
        ENCODINGS, the first column that it reads, how many inputs it makes, bins or categories.
        None: the columns are the inputs.
    n_members : int
        Networks that share all weights but those of the last layer, of which the vector holds one
        after another; their mean is what is predicted. Each has factors for the inputs of the
        first layer; these (n_members, units[0]) follow the parameters of the encodings.
    n_features : int, optional
        Columns of X where there are encodings.
    """

    cdef Net net
    cdef LossRow loss
    cdef readonly tuple units

    def __cinit__(
        self, units, coef_starts, intercept_starts, activations, loss, bint fit_intercept,
        group_sizes=None, dropout=(), loss_parameter=None, encodings=(), n_members=1,
        n_features=None,
    ):
        cdef Py_ssize_t l, n_layers = len(units) - 1
        cdef Layer* layer
        units = tuple(map(index, units))     # Python integers, which do not overflow
        if n_layers < 1 or min(units) < 1:
            raise ValueError(f"units must be two or more positive integers, got {units}.")
        if not len(coef_starts) == len(intercept_starts) == len(activations) == n_layers:
            raise ValueError("One activation and one start of each kind per layer is needed.")
        n_members = index(n_members)
        if n_members < 1:
            raise ValueError(f"n_members must be positive, got {n_members}.")
        if n_members > 1 and not encodings:
            encodings, n_features = [("identity", 0, units[0], 0)], units[0]
        copies = [1] * (n_layers - 1) + [n_members]
        n_coefs = sum(copies[l] * units[l] * units[l + 1] for l in range(n_layers))
        n_biases = sum(copies[l] * units[l + 1] for l in range(n_layers))
        n_input_params = sum(
            encoding_rows(kind, levels) * width for kind, _, width, levels in encodings)
        n_input_params += n_members * units[0] if n_members > 1 else 0
        n_params = n_coefs + n_input_params + n_biases
        if 8 * (4 * n_params + 8 * CHUNK_ROWS * sum(units) * (1 + ROWS * n_members)) \
                > PY_SSIZE_T_MAX:
            raise ValueError(f"A network with the layers {list(units)} is too large.")
        for l in range(n_layers):
            if not (0 <= coef_starts[l] <= n_coefs - copies[l] * units[l] * units[l + 1]
                    and n_params - n_biases <= intercept_starts[l]
                    <= n_params - copies[l] * units[l + 1]):
                raise ValueError("Weights come first in the parameter vector, biases last.")
        self.units = units
        self.net.n_members = n_members
        self.net.member_scales = ABSENT
        if n_members > 1:
            self.net.member_scales = n_params - n_biases - n_members * units[0]
        self.net.n_coefs = n_coefs
        self.net.n_input_params = n_input_params
        self.net.n_biases = n_biases
        self.net.n_params = n_params
        self.net.layers = <Layer*>calloc(n_layers, sizeof(Layer))
        if self.net.layers is NULL:
            raise MemoryError()
        self.net.n_layers = n_layers
        self.net.n_features = units[0]
        if encodings:
            self.set_encodings([tuple(row) for row in encodings], n_features)
        self.net.n_outputs = units[n_layers]
        self.net.fit_intercept = fit_intercept
        unknown = [name for name in activations if name not in ACTIVATIONS]
        if unknown or loss not in LOSSES:
            raise ValueError(f"There is no activation or loss {(unknown or [loss])[0]!r}.")
        for l in range(n_layers):
            layer = &self.net.layers[l]
            layer.fan_in = units[l]
            layer.fan_out = units[l + 1]
            layer.coef = coef_starts[l]
            layer.intercept = intercept_starts[l]
            layer.units_before = self.net.n_units
            layer.activation = ACTIVATIONS[activations[l]]["id"]
            layer.keeps_slope = ACTIVATIONS[activations[l]]["keeps_slope"]
            if layer.activation == SOFTMAX and l < n_layers - 1:
                raise ValueError("softmax is an output activation.")
            self.net.any_keeps_slope |= layer.keeps_slope
            self.net.n_units += layer.fan_out
            self.net.widest = max(self.net.widest, layer.fan_out)
        self.loss = LossRow(loss, activations[n_layers - 1], units[n_layers], loss_parameter)
        self.net.loss = self.loss.loss
        if group_sizes is not None:
            self.set_groups(tuple(map(index, group_sizes)))
        if len(dropout) not in (0, n_layers) or any(not 0 <= rate < 1 for rate in dropout):
            raise ValueError("dropout must be rates in [0, 1): of the input, each hidden layer.")
        for l in range(len(dropout)):
            rate = min(65535, round(65536 * dropout[l]))
            if l == 0:
                self.net.input_drop_rate_16 = rate
            else:
                self.net.layers[l - 1].drop_rate_16 = rate

    def __dealloc__(self):
        free(self.net.layers)
        free(self.net.encodings)
        free(self.net.group_ends)

    cdef set_encodings(self, list encodings, n_features):
        """Have the inputs made of columns of X; the parameters come one after another."""
        cdef Encoding* encoding
        cdef Py_ssize_t e, first = 0, param = self.net.n_coefs
        self.net.n_features = index(n_features)
        self.net.encodings = <Encoding*>calloc(len(encodings), sizeof(Encoding))
        if self.net.encodings is NULL:
            raise MemoryError()
        self.net.n_encodings = len(encodings)
        for e, (kind, column, width, levels) in enumerate(encodings):
            row = ENCODINGS[kind]
            encoding = &self.net.encodings[e]
            encoding.kind = row["id"]
            encoding.column, encoding.width, encoding.levels = column, width, levels
            encoding.first, encoding.param = first, param
            encoding.n_rows = encoding_rows(kind, levels)
            n_columns = 1 if row["placed"] else encoding.width
            if encoding.width < 1 or encoding.column < 0 \
                    or encoding.column > self.net.n_features - n_columns \
                    or not (0 < encoding.levels if row["placed"] else encoding.levels == 0):
                raise ValueError(
                    f"The encoding {(kind, column, width, levels)} does not fit"
                    f" {n_features} columns.")
            encoding.table = ABSENT
            if encoding_table[encoding.kind].summed:
                encoding.table = self.net.table_size
                self.net.table_size += encoding.n_rows * encoding.width
            first += encoding.width
            param += encoding.n_rows * encoding.width
        if first != self.units[0]:
            raise ValueError(
                f"The encodings make {first} inputs, the network has {self.units[0]}.")

    cdef set_groups(self, tuple sizes):
        cdef Py_ssize_t g, end = 0
        if min(sizes, default=0) < 1 or sum(sizes) != self.net.n_outputs \
                or self.net.layers[self.net.n_layers - 1].activation != SOFTMAX:
            raise ValueError(
                f"Groups of {list(sizes)} outputs do not make a softmax output layer of"
                f" {self.net.n_outputs}.")
        self.net.group_ends = <Py_ssize_t*>calloc(len(sizes), sizeof(Py_ssize_t))
        if self.net.group_ends is NULL:
            raise MemoryError()
        for g in range(len(sizes)):
            end += <Py_ssize_t>sizes[g]
            self.net.group_ends[g] = end

    def workspace(
        self, Py_ssize_t batch_size, dtype, int n_threads=1, bint per_thread=False,
        Dataset data=None,
    ):
        """An uninitialised workspace, large enough for batches of the given size.

        Training shares the batch between threads; a predict has one `per_thread`.
        data: the samples it is for, if they may be sparse or have many zeros.

        Returns
        -------
        work : ndarray of shape (size,) and the given dtype, aligned to 64 bytes
        """
        cdef Py_ssize_t most = PREDICT_ROWS if per_thread else CHUNK_ROWS
        cdef Py_ssize_t samples = samples_at_once(&self.net, batch_size, most)
        cdef cnp.dtype wanted = np.dtype(dtype)
        cdef Py_ssize_t itemsize = cnp.PyDataType_ELSIZE(wanted)
        cdef Py_ssize_t size
        cdef Source dense
        memset(&dense, 0, sizeof(dense))
        dense.density = 1
        cdef const Source* source = &dense if data is None else &data.source
        n_threads = max(1, n_threads)
        size = plan_workspace(
            &self.net, source, samples, 1 if per_thread else n_threads, itemsize).size
        if per_thread:
            size *= n_threads
        return aligned_vector(size, wanted)

    def gradient(self, Py_ssize_t batch_size, dtype):
        """A vector for the gradient of batches of the given size, or None if none is formed."""
        if self.net.n_input_params == 0 and batch_size <= CHUNK_ROWS:
            return None
        return np.empty(self.net.n_params, dtype)


cdef aligned_vector(Py_ssize_t size, cnp.dtype dtype):
    """An uninitialised array of float32 or float64, aligned to 64 bytes."""
    cdef Py_ssize_t itemsize = cnp.PyDataType_ELSIZE(dtype)
    cdef cnp.npy_intp with_margin = size + 64 // itemsize
    cdef cnp.ndarray raw = cnp.PyArray_EMPTY(1, &with_margin, dtype.type_num, 0)
    cdef Py_ssize_t skip = -<Py_ssize_t>cnp.PyArray_DATA(raw) % 64
    skip = (skip + 64) % 64 // itemsize    # C rounds towards zero
    return raw[skip:skip + size]
