"""Activations as formulas over whatever computes them: nodes of ONNX, expressions of C.

Softmax, which couples units, is each form's own. No networks, no derivatives.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from scipy.special import erfcx

#: Degree of the polynomial of the normal distribution: rounding is larger than its error.
DEGREES = {"float32": 9, "float64": 22}
#: Of the map of [0, inf) to [-1, 1) on which it is one.
CENTRE = 4.0


class Algebra(ABC):
    """Something that computes elementwise: each operation on terms is a term.

    Attributes
    ----------
    dtype : numpy.dtype, float32 or float64
    has_erf : bool
        Whether there is the operation "erf".
    """

    dtype: np.dtype
    has_erf = False

    @abstractmethod
    def apply(self, operation, *terms):
        """The Term of an operation on terms and floats.

        Parameters
        ----------
        operation : {"add", "subtract", "multiply", "divide", "maximum", "minimum", "negative", \
"absolute", "exp", "log", "tanh", "logistic", "relu", "if_negative", "erf"}
            "if_negative" is of (z, a, b): a where z < 0, else b.
        """

    def __getattr__(self, operation):
        """An operation as a method."""
        if operation.startswith("_"):
            raise AttributeError(operation)
        return lambda *terms: self.apply(operation, *terms)


class Term(NamedTuple):
    """A value of an algebra, known by its name there."""

    algebra: Algebra
    name: str

    def __add__(self, other):
        return self.algebra.apply("add", self, other)

    def __radd__(self, other):
        return self.algebra.apply("add", other, self)

    def __sub__(self, other):
        return self.algebra.apply("subtract", self, other)

    def __rsub__(self, other):
        return self.algebra.apply("subtract", other, self)

    def __mul__(self, other):
        return self.algebra.apply("multiply", self, other)

    def __rmul__(self, other):
        return self.algebra.apply("multiply", other, self)

    def __truediv__(self, other):
        return self.algebra.apply("divide", self, other)

    def __rtruediv__(self, other):
        return self.algebra.apply("divide", other, self)

    def __neg__(self):
        return self.algebra.apply("negative", self)


@lru_cache
def tail_polynomial(degree):
    """Coefficients of h(t), t in [-1, 1], lowest first, by which the normal distribution is told.

    Its value at -a, a >= 0, is exp(-a^2 / 2) h((a - c) / (a + c)) / (a + c) with c = CENTRE
    (Shepherd & Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", Math. Comp.
    36, 1981); h is interpolated at Chebyshev's points.
    """

    def h(t):
        a = CENTRE * (1 + t) / (1 - t)
        return erfcx(a / sqrt(2)) / 2 * (a + CENTRE)

    coefficients = Chebyshev.interpolate(h, degree).convert(kind=Polynomial).coef
    return tuple(coefficients.tolist())


def gelu(o, z):
    """Times of z and the normal distribution at z, without cancellation where z is negative."""
    if o.has_erf:
        return (z * 0.5) * (o.erf(z * sqrt(0.5)) + 1.0)
    a = o.absolute(z)
    u = 1.0 / (a + CENTRE)
    t = 1.0 - u * (2 * CENTRE)
    *others, h = tail_polynomial(DEGREES[o.dtype.name])
    for coefficient in reversed(others):
        h = h * t + coefficient
    return o.relu(z) - (a * u) * (o.exp(a * a * -0.5) * h)


def expm1(o, z):
    """exp(z) - 1 for z <= 0, without cancellation."""
    t = o.tanh(z * 0.5)
    return (t + t) / (1.0 - t)


def elu(o, z):
    return o.if_negative(z, expm1(o, o.minimum(z, 0.0)), z)


def selu(o, z):
    below = expm1(o, o.minimum(z, 0.0)) * 1.7580993408473769
    return o.if_negative(z, below, z * 1.0507009873554805)


def mish(o, z):
    """Times of z and tanh(log(1 + exp(z))), which is a fraction in p = exp(-|z|)."""
    p = o.exp(-o.absolute(z))
    q = o.if_negative(z, p * (p + 2.0), 1.0 + (p + p))
    divisor = q + o.if_negative(z, 2.0, (p * p) * 2.0)
    return o.maximum(z, -1000.0) * (q / divisor)


def softplus(o, z):
    return o.relu(z) + o.log(1.0 + o.exp(-o.absolute(z)))


def hard_swish(o, z):
    return z * (o.minimum(o.relu(z + 3.0), 6.0) * (1 / 6))


#: Each activation but softmax: its Term for that of z.
FORMULAS: dict[str, Callable[[Algebra, Term], Term]] = {
    "identity": lambda o, z: z,
    "logistic": lambda o, z: o.logistic(z),
    "tanh": lambda o, z: o.tanh(z),
    "relu": lambda o, z: o.relu(z),
    "exp": lambda o, z: o.exp(z),
    "leaky_relu": lambda o, z: o.if_negative(z, z * 0.01, z),
    "elu": elu,
    "selu": selu,
    "gelu": gelu,
    "silu": lambda o, z: z / (1.0 + o.exp(-z)),  # a runtime's logistic may be right absolutely
    "mish": mish,
    "softplus": softplus,
    "hard_swish": hard_swish,
}
