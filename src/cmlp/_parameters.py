"""The weights of a network: one flat vector, and scikit-learn's lists as views on it.

The only file that knows the packing order (all weights, then what is trained of the inputs, then
all biases: scikit-learn's own, so that the penalty is one dot product and L-BFGS-B sees the same
vector). No training here.
"""

from itertools import accumulate, pairwise
from math import prod
from operator import index, is_

import numpy as np

from cmlp._architecture import PLAIN, network_inputs
from cmlp._core import engine


class Parameters:
    """Weights and biases of a network in one vector.

    Parameters
    ----------
    units : sequence of int
        Inputs of the first layer, hidden layer sizes, number of outputs.
    dtype : dtype, float32 or float64
    n_members : int
        Networks that share all layers but the last.
    input_shapes : tuple of tuple (n_rows, n_columns)
        Of what is trained of the inputs, see ``Inputs.weight_shapes``.

    Attributes
    ----------
    vector : ndarray of shape (n_params,)
    coefs : list of ndarray of shape (fan_in, fan_out)
        Views on the vector, as are the others. With members the last is of shape (n_members,
        fan_in, fan_out).
    intercepts : list of ndarray of shape (fan_out,)
        With members the last is of shape (n_members, fan_out).
    input_weights : list of ndarray of the input_shapes
    predictor : engine.Predictor or None
        The short way to predictions from these very parameters, once there is one.
    """

    def __init__(self, units, dtype, n_members=1, input_shapes=()):
        self.units = tuple(map(index, units))
        self.n_members, self.input_shapes = n_members, input_shapes
        coefs, intercepts = layer_shapes(self.units, n_members)
        shapes = [*coefs, *input_shapes, *intercepts]
        # Python integers: they do not overflow
        starts = list(accumulate(map(prod, shapes), initial=0))
        self.coef_starts = starts[: len(coefs)]
        self.intercept_starts = starts[-1 - len(coefs) : -1]
        self._places = [(start, *shape) for start, shape in zip(starts, shapes, strict=False)]
        self._layouts = {}
        self._view(np.zeros(starts[-1], dtype=dtype))

    def _view(self, vector):
        """Make the vector that of these parameters."""
        self.vector = vector
        views = engine.views(vector, self._places)
        n_layers = len(self.coef_starts)
        self.coefs, self.intercepts = views[:n_layers], views[-n_layers:]
        self.input_weights = views[n_layers:-n_layers]
        self.predictor = None

    def copy(self):
        """A copy of the parameters in another vector."""
        copied = object.__new__(Parameters)
        vars(copied).update(vars(self))
        copied._view(self.vector.copy())
        return copied

    def __reduce__(self):
        """Without what is compiled, and with views that are views again."""
        return Parameters.from_lists, (
            *(self.coefs, self.intercepts, self.dtype, self.input_weights),
        )

    @property
    def dtype(self):
        return self.vector.dtype

    @classmethod
    def initialize(cls, units, dtype, activations, random_state, fit_intercept=True, inputs=PLAIN):
        """Draw weights and biases from U(-b, b), b = sqrt(f / fan).

        f is the ``init_factor`` of the layer's activation. Where its ``init_fan`` is "both",
        fan is fan_in + fan_out: Glorot & Bengio, "Understanding the difficulty of training deep
        feedforward neural networks", AISTATS 2010, as in scikit-learn. Where it is "in", fan is
        fan_in and f = 3 / E[f(z)**2] for a standard normal z, which keeps the mean square of z
        from layer to layer: He, Zhang, Ren & Sun, "Delving deep into rectifiers", ICCV 2015, whose
        variance 2 / fan_in is that of relu, and for selu Klambauer, Unterthiner, Mayr &
        Hochreiter, "Self-normalizing neural networks", NIPS 2017, with 1 / fan_in.

        Weights and biases are drawn in scikit-learn's order; without intercepts the biases are
        drawn and set to zero, so that the weights are the same. Those of the inputs come last:
        factors, which are 1 or -1 for each member (Gorishniy, Kotelnikov & Babenko, "TabM", ICLR
        2025), and rows of tables, drawn so that an input of any encoding has a mean square near 1.

        Parameters
        ----------
        activations : sequence of str
            One per layer. scikit-learn draws the output layer as if it had the activation of the
            hidden ones.
        inputs : Inputs
        """
        parameters = cls(units, dtype, inputs.n_members, inputs.weight_shapes(units[0]))
        layers = zip(parameters.coefs, parameters.intercepts, activations, strict=True)
        for coef, intercept, activation in layers:
            row = engine.ACTIVATIONS[activation]
            fan = coef.shape[-2] if row["init_fan"] == "in" else sum(coef.shape[-2:])
            bound = np.sqrt(row["init_factor"] / fan)
            coef[...] = random_state.uniform(-bound, bound, coef.shape)
            intercept[...] = random_state.uniform(-bound, bound, intercept.shape)
            if not fit_intercept:
                intercept[...] = 0
        trained = [one for one in inputs.encodings if engine.encoding_rows(one.kind, one.levels)]
        for weight, encoding in zip(parameters.input_weights, trained, strict=False):
            draw_encoding(weight, encoding, random_state)
        if inputs.n_members > 1:
            factors = parameters.input_weights[-1]
            factors[...] = 2 * random_state.randint(0, 2, factors.shape) - 1
        return parameters

    @classmethod
    def from_lists(cls, coefs, intercepts=None, dtype=None, input_weights=()):
        """Copy lists of weights and biases, whatever made them, into a new vector.

        Parameters
        ----------
        coefs, intercepts : list of array-like
            No intercepts: zeros. With members the last ones have an axis more.
        input_weights : sequence of array-like
            What is trained of the inputs.
        dtype : dtype, default=None
            None: float32 if all arrays are (or are smaller than) float32, else float64.

        Raises
        ------
        ValueError
            If the arrays do not make a network.
        """
        coefs = real_arrays("coefs", coefs)
        intercepts = None if intercepts is None else real_arrays("intercepts", intercepts)
        input_weights = real_arrays("input_weights", input_weights or ())
        units, n_members = units_of(coefs)
        if dtype is None:
            dtype = float_type(*coefs, *(intercepts or ()), *input_weights)
        if any(array.ndim != 2 for array in input_weights):
            raise ValueError("input_weights must be 2-D arrays.")
        parameters = cls(units, dtype, n_members, tuple(array.shape for array in input_weights))
        parameters.set("coefs", coefs)
        for own, array in zip(parameters.input_weights, input_weights, strict=True):
            own[...] = array
        if intercepts is not None:
            parameters.set("intercepts", intercepts)
        return parameters

    def set(self, which, arrays):
        """Copy the given "coefs" or "intercepts" into the vector, after checking their shapes."""
        targets = getattr(self, which)
        arrays = real_arrays(which, arrays)
        check_shapes(which, arrays, self.units, self.n_members)
        for target, array in zip(targets, arrays, strict=True):
            target[...] = array

    def holds(self, coefs, intercepts, input_weights=()):
        """Whether the given lists are still the views on this vector."""
        if self.input_weights or input_weights:
            own, given = self.input_weights, input_weights or ()
            if len(own) != len(given) or not all(map(is_, given, own)):
                return False
        return (
            len(coefs) == len(self.coefs)
            and len(intercepts) == len(self.intercepts)
            and all(map(is_, coefs, self.coefs))
            and all(map(is_, intercepts, self.intercepts))
        )

    def fit(self, architecture):
        """Whether they are parameters of a network of the given architecture."""
        inputs = architecture.inputs
        return (
            self.units == architecture.units
            and self.n_members == inputs.n_members
            and self.input_shapes == inputs.weight_shapes(self.units[0])
        )

    def inputs(self, encodings, n_features):
        """The Inputs of a network with these parameters.

        Parameters
        ----------
        encodings : sequence of tuple, or None
            The estimator's parameter.
        n_features : int
            Columns of X.

        Raises
        ------
        ValueError
            If they do not fit the encodings.
        """
        if encodings is None and self.n_members == 1 and not self.input_shapes:
            return PLAIN
        inputs, n_inputs = network_inputs(encodings, self.n_members, n_features)
        if n_inputs != self.units[0] or inputs.weight_shapes(n_inputs) != self.input_shapes:
            raise ValueError("The parameter encodings does not fit coefs_ and input_weights_.")
        return inputs

    def astype(self, dtype):
        """The parameters in the given dtype, not copied if it is theirs."""
        if self.dtype == dtype:
            return self
        return Parameters.from_lists(self.coefs, self.intercepts, dtype, self.input_weights)

    def layout(self, architecture, loss):
        """The engine's description of the network, made once for each pair.

        Parameters
        ----------
        architecture : Architecture
            With the units of these parameters.
        loss : Loss
        """
        key = architecture, loss.row, loss.parameter
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layouts[key] = engine.Layout(
                self.units,
                self.coef_starts,
                self.intercept_starts,
                architecture.activations,
                loss.row,
                architecture.fit_intercept,
                architecture.group_sizes,
                architecture.dropout,
                loss.parameter,
                *architecture.inputs,
            )
        return layout


def layer_shapes(units, n_members):
    """Shapes of the weights and of the biases of each layer: the last is each member's own."""
    coefs, intercepts = list(pairwise(units)), [(n,) for n in units[1:]]
    if n_members > 1:
        coefs[-1], intercepts[-1] = (n_members, *coefs[-1]), (n_members, *intercepts[-1])
    return coefs, intercepts


def draw_encoding(weight, encoding, random_state):
    """Draw the parameters (n_rows, width) of an encoding.

    Categories and steps are normal. A function through the edges of bins begins as a line with a
    random slope and place, whose mean square over the bins is 1; missing numbers begin at random.
    """
    if encoding.kind == "scale":
        weight[...] = 1
        return
    weight[...] = random_state.normal(size=weight.shape)
    if engine.ENCODINGS[encoding.kind]["stepped"]:
        return
    start, slope = weight[0] * np.sqrt(0.5), weight[1] * np.sqrt(6)
    places = np.arange(encoding.levels + 1)[:, None] / encoding.levels
    values = start + slope * (places - 0.5)
    if encoding.kind == "piecewise_linear":  # the differences
        values[1:] -= values[:-1].copy()
    weight[:-1] = values


def network_units(coefs, intercepts):
    """The units of the network of lists of weights and biases, which are not copied.

    Raises
    ------
    ValueError
        If ``Parameters.from_lists`` would.
    """
    coefs, intercepts = real_arrays("coefs", coefs), real_arrays("intercepts", intercepts)
    units, n_members = units_of(coefs)
    check_shapes("coefs", coefs, units, n_members)
    check_shapes("intercepts", intercepts, units, n_members)
    return units


def units_of(coefs):
    """The units and members of a network of the given arrays, whose shapes have yet to fit."""
    if (
        not coefs
        or any(coef.ndim != 2 for coef in coefs[:-1])
        or not all(coef.size for coef in coefs)
        or coefs[-1].ndim not in (2, 3)
    ):
        raise ValueError("coefs must be a list of one or more 2-D arrays, none of them empty.")
    n_members = coefs[-1].shape[0] if coefs[-1].ndim == 3 else 1
    return (coefs[0].shape[-2], *(coef.shape[-1] for coef in coefs)), n_members


def check_shapes(which, arrays, units, n_members=1):
    """Raise ValueError unless these are "coefs" or "intercepts" of a network of so many units."""
    expected = layer_shapes(units, n_members)[0 if which == "coefs" else 1]
    if [array.shape for array in arrays] != expected:
        raise ValueError(
            f"{which} of shapes {[array.shape for array in arrays]} do not fit a network "
            f"with the layers {list(units)}: expected {expected}."
        )


def real_arrays(name, arrays):
    """The given arrays of weights or biases as NumPy arrays.

    Raises
    ------
    ValueError
        If one does not hold real numbers.
    """
    arrays = [np.asarray(array) for array in arrays]
    if any(array.dtype.kind not in "fiub" for array in arrays):
        raise ValueError(f"{name} must be arrays of real numbers.")
    return arrays


def float_type(*arrays):
    """float32 if all arrays are (or are smaller than) float32, else float64."""
    dtype = np.result_type(*(array.dtype for array in arrays)).newbyteorder("=")
    return np.dtype(np.float32 if dtype in (np.float16, np.float32) else np.float64)
