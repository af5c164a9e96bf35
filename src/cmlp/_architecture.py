"""The shape of a network as a value, made of an estimator's parameters. No weights, no loss."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from cmlp._core import engine


class Encoding(NamedTuple):
    """How a column of X enters the first layer: a row of the parameter ``encodings``.

    Attributes
    ----------
    kind : {'identity', 'scale', 'piecewise_linear', 'linear_spline', 'piecewise_constant', \
            'category'}
    column : int
        Of X; the first, where 'identity' and 'scale' read several.
    width : int
        How many inputs of the first layer come about.
    levels : int
        Bins or categories, where the column holds places in a table; else 0.
    """

    kind: str
    column: int
    width: int = 1
    levels: int = 0


class Inputs(NamedTuple):
    """Inputs of the first layer: what makes them of X, and how many networks have them.

    Attributes
    ----------
    encodings : tuple of Encoding
        In the order of the inputs; (): they are the columns of X.
    n_members : int
        Networks that share all weights but the last layer's.
    n_features : int
        Columns of X, where there are encodings.
    """

    encodings: tuple[Encoding, ...] = ()
    n_members: int = 1
    n_features: int = 0

    def weight_shapes(self, n_inputs: int) -> tuple[tuple[int, int], ...]:
        """Shapes of what is trained of the inputs: of encodings, then the factors of members."""
        rows = [(engine.encoding_rows(one.kind, one.levels), one.width) for one in self.encodings]
        factors = [(self.n_members, n_inputs)] if self.n_members > 1 else []
        return tuple([shape for shape in rows if shape[0]] + factors)


PLAIN = Inputs()


class Architecture(NamedTuple):
    """Layers of a network: units, activations, biases, dropout.

    A tuple and no dataclass, as it is a key of the engine's layouts that each partial_fit makes:
    made and hashed in C.

    Attributes
    ----------
    units : tuple of int
        Inputs of the first layer, hidden layer sizes, number of outputs.
    activations : tuple of str
        One per layer, the output activation last.
    group_sizes : tuple of int or None
        Outputs of each softmax, if there are several.
    fit_intercept : bool
        Whether layers have biases.
    dropout : tuple of float
        Rates of the input and each hidden layer; (): all zero.
    inputs : Inputs
        Where they are not just the columns of X.
    """

    units: tuple[int, ...]
    activations: tuple[str, ...]
    group_sizes: tuple[int, ...] | None = None
    fit_intercept: bool = True
    dropout: tuple[float, ...] = ()
    inputs: Inputs = PLAIN

    def attributes(self) -> dict[str, Any]:
        """The fitted attributes of an estimator that say what its network looks like."""
        return {
            "n_layers_": len(self.units),
            "n_outputs_": self.units[-1],
            "out_activation_": self.activations[-1],
        }


def network_inputs(encodings, n_members, n_features):
    """The parameters ``encodings`` and ``n_members`` as Inputs, and how many inputs they make.

    Raises
    ------
    ValueError
        If an encoding is none, or reads a column that X does not have.
    """
    if encodings is None and n_members == 1:
        return PLAIN, n_features
    if encodings is None:
        return Inputs((), int(n_members), n_features), n_features
    rows = tuple(as_encoding(row, n_features) for row in encodings)
    if not rows:
        raise ValueError("encodings must be None or hold at least one.")
    return Inputs(rows, int(n_members), n_features), sum(row.width for row in rows)


def as_encoding(row, n_features):
    """A row of the parameter ``encodings`` as an Encoding that fits so many columns."""
    kinds = engine.ENCODINGS
    if not (isinstance(row, Sequence) and 2 <= len(row) <= 4 and row[0] in kinds):
        raise ValueError(
            "encodings must be tuples (kind, column, width, levels) with a kind of"
            f" {sorted(kinds)}, got {row!r}."
        )
    encoding = Encoding(*row)
    numbers = encoding[1:]
    placed = kinds[encoding.kind]["placed"]
    if not all(
        isinstance(number, Integral) and not isinstance(number, bool) for number in numbers
    ):
        raise ValueError(f"column, width and levels of an encoding must be integers, got {row!r}.")
    last = encoding.column + (0 if placed else encoding.width - 1)
    if encoding.column < 0 or encoding.width < 1 or last >= n_features:
        raise ValueError(f"The encoding {row!r} does not fit the {n_features} columns of X.")
    if (encoding.levels < 1) == placed:
        raise ValueError(
            f"levels must be {'positive' if placed else '0'} for {encoding.kind!r}, got {row!r}."
        )
    return Encoding(encoding.kind, *map(int, numbers))


def layer_sizes(hidden_layer_sizes):
    """The parameter ``hidden_layer_sizes`` as a list of int.

    Raises
    ------
    ValueError, TypeError
        If one is not positive, or a bool.
    """
    sizes = hidden_layer_sizes
    if type(sizes) is tuple and all(type(n) is int and n > 0 for n in sizes):
        return list(sizes)
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    if np.any(np.array(sizes) <= 0):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    if any(isinstance(n, bool | np.bool_) for n in sizes):
        raise TypeError(f"an integer is required in hidden_layer_sizes, got {sizes}.")
    return sizes


def dropout_rates(dropout, n_hidden):
    """The parameter ``dropout`` as rates of the input and each hidden layer; () if all are zero.

    Raises
    ------
    ValueError
        If there are not as many, or one is out of [0, 1).
    """
    rates = dropout
    if type(rates) is float and not rates:
        return ()
    if isinstance(rates, Real):
        rates = [0.0] + n_hidden * [rates]
    elif len(rates) != n_hidden + 1 or not all(
        isinstance(rate, Real) and 0 <= rate < 1 for rate in rates
    ):
        raise ValueError(
            "dropout must be a float in [0, 1), or a list of one such float for the input and"
            f" one for each of {n_hidden} hidden layers, got {rates}."
        )
    return tuple(map(float, rates)) if any(rates) else ()


def hidden_activations(activation, n_hidden):
    """The parameter ``activation`` as a list with that of each hidden layer.

    Raises
    ------
    ValueError
        If there are not as many.
    """
    if isinstance(activation, str):
        return [activation] * n_hidden
    if len(activation) != n_hidden:
        raise ValueError(
            f"activation must have one entry per hidden layer, got {activation} for"
            f" {n_hidden} hidden layers."
        )
    return list(activation)
