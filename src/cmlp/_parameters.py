"""The weights of a network: one flat vector, and scikit-learn's lists as views on it.

The only file that knows the packing order (all weights, then all biases: scikit-learn's own, so
that the penalty is one dot product and L-BFGS-B sees the same vector). No training here.
"""

from itertools import accumulate, pairwise
from operator import index, is_

import numpy as np

from cmlp._core import engine


class Parameters:
    """Weights and biases of a network in one vector.

    Parameters
    ----------
    units : sequence of int
        Number of features, hidden layer sizes, number of outputs.
    dtype : dtype, float32 or float64

    Attributes
    ----------
    vector : ndarray of shape (n_params,)
    coefs : list of ndarray of shape (fan_in, fan_out)
        Views on the vector, as are the intercepts.
    intercepts : list of ndarray of shape (fan_out,)
    predictor : engine.Predictor or None
        The short way to predictions from these very parameters, once there is one.
    """

    def __init__(self, units, dtype):
        self.units = tuple(map(index, units))
        shapes = list(pairwise(self.units))
        sizes = [fan_in * fan_out for fan_in, fan_out in shapes] + list(self.units[1:])
        starts = list(accumulate(sizes, initial=0))  # Python integers: they do not overflow
        self.coef_starts = starts[: len(shapes)]
        self.intercept_starts = starts[len(shapes) : -1]
        places = [(start, *shape) for start, shape in zip(self.coef_starts, shapes, strict=True)]
        places += zip(self.intercept_starts, self.units[1:], strict=True)
        self._places = places
        self._layouts = {}
        self._view(np.zeros(starts[-1], dtype=dtype))

    def _view(self, vector):
        """Make the vector that of these parameters."""
        self.vector = vector
        views = engine.views(vector, self._places)
        self.coefs = views[: len(self.coef_starts)]
        self.intercepts = views[len(self.coef_starts) :]
        self.predictor = None

    def copy(self):
        """A copy of the parameters in another vector."""
        copied = object.__new__(Parameters)
        vars(copied).update(vars(self))
        copied._view(self.vector.copy())
        return copied

    def __reduce__(self):
        """Without what is compiled, and with views that are views again."""
        return Parameters.from_lists, (self.coefs, self.intercepts, self.dtype)

    @property
    def dtype(self):
        return self.vector.dtype

    @classmethod
    def initialize(cls, units, dtype, activations, random_state, fit_intercept=True):
        """Draw weights and biases from U(-b, b), b = sqrt(f / fan).

        f is the ``init_factor`` of the layer's activation. Where its ``init_fan`` is "both",
        fan is fan_in + fan_out: Glorot & Bengio, "Understanding the difficulty of training deep
        feedforward neural networks", AISTATS 2010, as in scikit-learn. Where it is "in", fan is
        fan_in and f = 3 / E[f(z)**2] for a standard normal z, which keeps the mean square of z
        from layer to layer: He, Zhang, Ren & Sun, "Delving deep into rectifiers", ICCV 2015, whose
        variance 2 / fan_in is that of relu, and for selu Klambauer, Unterthiner, Mayr &
        Hochreiter, "Self-normalizing neural networks", NIPS 2017, with 1 / fan_in.

        Weights and biases are drawn in scikit-learn's order; without intercepts the biases are
        drawn and set to zero, so that the weights are the same.

        Parameters
        ----------
        activations : sequence of str
            One per layer. scikit-learn draws the output layer as if it had the activation of the
            hidden ones.
        """
        parameters = cls(units, dtype)
        layers = zip(parameters.coefs, parameters.intercepts, activations, strict=True)
        for coef, intercept, activation in layers:
            row = engine.ACTIVATIONS[activation]
            fan = coef.shape[0] if row["init_fan"] == "in" else sum(coef.shape)
            bound = np.sqrt(row["init_factor"] / fan)
            coef[...] = random_state.uniform(-bound, bound, coef.shape)
            intercept[...] = random_state.uniform(-bound, bound, intercept.shape)
            if not fit_intercept:
                intercept[...] = 0
        return parameters

    @classmethod
    def from_lists(cls, coefs, intercepts=None, dtype=None):
        """Copy lists of weights and biases, whatever made them, into a new vector.

        Parameters
        ----------
        coefs, intercepts : list of array-like
            No intercepts: zeros.
        dtype : dtype, default=None
            None: float32 if all arrays are (or are smaller than) float32, else float64.

        Raises
        ------
        ValueError
            If the arrays do not make a network.
        """
        coefs = real_arrays("coefs", coefs)
        intercepts = None if intercepts is None else real_arrays("intercepts", intercepts)
        units = units_of(coefs)
        dtype = float_type(*coefs, *(intercepts or [])) if dtype is None else dtype
        parameters = cls(units, dtype)
        parameters.set("coefs", coefs)
        if intercepts is not None:
            parameters.set("intercepts", intercepts)
        return parameters

    def set(self, which, arrays):
        """Copy the given "coefs" or "intercepts" into the vector, after checking their shapes."""
        targets = getattr(self, which)
        arrays = real_arrays(which, arrays)
        check_shapes(which, arrays, self.units)
        for target, array in zip(targets, arrays, strict=True):
            target[...] = array

    def holds(self, coefs, intercepts):
        """Whether the given lists are still the views on this vector."""
        return (
            len(coefs) == len(self.coefs)
            and len(intercepts) == len(self.intercepts)
            and all(map(is_, coefs, self.coefs))
            and all(map(is_, intercepts, self.intercepts))
        )

    def astype(self, dtype):
        """The parameters in the given dtype, not copied if it is theirs."""
        if self.dtype == dtype:
            return self
        return Parameters.from_lists(self.coefs, self.intercepts, dtype)

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
            )
        return layout


def network_units(coefs, intercepts):
    """The units of the network of lists of weights and biases, which are not copied.

    Raises
    ------
    ValueError
        If ``Parameters.from_lists`` would.
    """
    coefs, intercepts = real_arrays("coefs", coefs), real_arrays("intercepts", intercepts)
    units = units_of(coefs)
    check_shapes("coefs", coefs, units)
    check_shapes("intercepts", intercepts, units)
    return units


def units_of(coefs):
    """The units of a network of the given arrays, whose shapes have yet to fit each other."""
    if not coefs or any(coef.ndim != 2 or not coef.size for coef in coefs):
        raise ValueError("coefs must be a list of one or more 2-D arrays, none of them empty.")
    return (coefs[0].shape[0], *(coef.shape[1] for coef in coefs))


def check_shapes(which, arrays, units):
    """Raise ValueError unless these are "coefs" or "intercepts" of a network of so many units."""
    expected = list(pairwise(units)) if which == "coefs" else [(n,) for n in units[1:]]
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
