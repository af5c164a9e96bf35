"""Names of the types that skops has to trust before it loads an estimator."""

from cmlp._checkpoint import Checkpoint
from cmlp._classifier import MLPClassifier
from cmlp._hidden_layers import HiddenLayers
from cmlp._labels import MultioutputBinarizer
from cmlp._optimizers import OPTIMIZERS
from cmlp._regressor import MLPRegressor
from cmlp._table_categories import Category
from cmlp._table_numbers import NumberEncoder
from cmlp._tables import TableEncoder
from cmlp._tabular_estimators import TabularMLPClassifier, TabularMLPRegressor

#: Names of cmlp's types that a fitted estimator may hold, for ``skops.io.load(..., trusted=)``.
TRUSTED_TYPES: list[str] = sorted(
    f"{kind.__module__}.{kind.__qualname__}"
    for kind in (
        Checkpoint,
        HiddenLayers,
        MLPClassifier,
        MLPRegressor,
        MultioutputBinarizer,
        TabularMLPClassifier,
        TabularMLPRegressor,
        TableEncoder,
        NumberEncoder,
        Category,
        *OPTIMIZERS.values(),
    )
)
