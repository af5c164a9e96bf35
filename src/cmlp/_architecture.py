"""The shape of a network as a value. No weights, no loss, no estimator."""

from typing import NamedTuple


class Architecture(NamedTuple):
    """Layers of a network and what each of them does.

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

    def attributes(self):
        """The fitted attributes of an estimator that say what its network looks like."""
        return {
            "n_layers_": len(self.units),
            "n_outputs_": self.units[-1],
            "out_activation_": self.activations[-1],
        }
