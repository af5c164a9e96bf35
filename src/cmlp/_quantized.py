"""Weights as 8-bit integers with a scale for each output of a layer. No estimators, no C."""

from typing import NamedTuple

import numpy as np

LARGEST = 127


class Quantized(NamedTuple):
    """Weights of a layer, which are nearly integers * scales.

    Attributes
    ----------
    integers : ndarray of int8 of shape (..., fan_in, fan_out)
    scales : ndarray of shape (..., fan_out)
        Of the dtype of the weights.
    """

    integers: np.ndarray
    scales: np.ndarray

    def weights(self):
        """The weights that they stand for."""
        return self.integers * self.scales[..., None, :]


def quantized(weights):
    """The Quantized of weights (..., fan_in, fan_out): the largest of an output becomes 127."""
    largest = np.abs(weights).max(axis=-2)
    scales = largest / LARGEST
    scales[scales == 0] = 1  # also where a quotient of the smallest numbers is 0
    integers = np.rint(weights / scales[..., None, :])
    return Quantized(integers.clip(-LARGEST, LARGEST).astype(np.int8), scales)


def check_quantize(quantize):
    """Raise ValueError unless there is such a kind of weights."""
    if quantize not in (None, "int8"):
        raise ValueError(f"quantize must be None or 'int8', got {quantize!r}.")
