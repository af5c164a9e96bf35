"""The shape of a network as a value, made of an estimator's parameters. No weights, no loss."""

from numbers import Real
from typing import Any, NamedTuple

import numpy as np


class Architecture(NamedTuple):
    """Layers of a network: units, activations, biases, dropout.

    A tuple and no dataclass, as it is a key of the engine's layouts that each partial_fit makes:
    made and hashed in C.

    Attributes
    ----------
    units : tuple of int
        Number of features, hidden layer sizes, number of outputs.
    activations : tuple of str
        One per layer, the output activation last.
    group_sizes : tuple of int or None
        Outputs of each softmax, if there are several.
    fit_intercept : bool
        Whether layers have biases.
    dropout : tuple of float
        Rates of the input and each hidden layer; (): all zero.
    """

    units: tuple[int, ...]
    activations: tuple[str, ...]
    group_sizes: tuple[int, ...] | None = None
    fit_intercept: bool = True
    dropout: tuple[float, ...] = ()

    def attributes(self) -> dict[str, Any]:
        """The fitted attributes of an estimator that say what its network looks like."""
        return {
            "n_layers_": len(self.units),
            "n_outputs_": self.units[-1],
            "out_activation_": self.activations[-1],
        }


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
