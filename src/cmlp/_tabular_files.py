"""Model files of the estimators for tables: the encoder's state and each network's parts.

What the parts of a network are is in ``_persistence``, bytes and paths in ``_files``.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from cmlp._files import decoded, encoded, refusing, write_file
from cmlp._persistence import fitted_attributes
from cmlp._tables import TableEncoder, check_state
from cmlp._typing import Path

NETWORK = "network_"


class TabularFilesMixin:
    """Methods of an estimator for tables that write it to a model file and make it of one."""

    def save(self, path: Path) -> None:
        """Write this fitted estimator to a model file, which :func:`cmlp.load` reads.

        A safetensors file with JSON metadata: no pickle. The file appears whole or not at all.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        NotFittedError
            Before fit.
        TypeError, ValueError
            If a parameter is something that a file cannot hold, or ``cmlp.load`` would refuse.
        OSError
            If the file cannot be written. What was there before is still there.
        """
        check_is_fitted(self)
        kind = type(self)
        if kind.__module__.partition(".")[0] != "cmlp":
            raise TypeError(f"{kind.__name__} is not cmlp's: use pickle, or save its parts.")
        refused = f"This {kind.__name__} cannot be saved"
        with refusing(refused):
            parts = self._parts_of_file()
        metadata, tensors = encoded(parts, prefixed=parts.keys() - {"params"})
        with refusing(refused):
            kind._from_parts(decoded(metadata, dict(tensors)))
        write_file(path, kind.__name__, metadata, tensors)

    def _parts_of_file(self):
        """Parts of values that ``_from_parts`` takes."""
        parts = {
            "params": self.get_params(deep=False),
            "scales": self._scales,
            "table": self._encoder.state(),
        }
        for i, network in enumerate(self.estimators_):
            network_parts = {
                "params": network.get_params(deep=False),
                "attributes": fitted_attributes(network),
            }
            parts |= {f"{NETWORK}{i}_{name}": values for name, values in network_parts.items()}
        return parts

    @classmethod
    def _from_parts(cls, parts: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """The estimator of a file's parts, which are looked at, and no more parts.

        Raises
        ------
        Exception
            Of many types, if they do not make one.
        """
        est = cls(**parts["params"])
        est._validate_params()
        check_state(parts["table"])
        encoder = TableEncoder.from_state(parts["table"])
        n_networks, is_odd = divmod(len(parts) - 3, 2)
        if is_odd:
            raise ValueError("a part of a network is missing")
        networks = []
        for i in range(n_networks):
            names = ("params", "attributes")
            own = {name: parts[f"{NETWORK}{i}_{name}"] for name in names}
            networks.append(cls._network_kind._from_parts(own)[0])
        if not networks:
            raise ValueError("there is no network")
        for network in networks:
            check_is_fitted(network)
            given = [tuple(encoding) for encoding in network.encodings or ()]
            if given != list(encoder.encodings) or network.n_features_in_ != encoder.n_columns:
                raise ValueError("the encodings of a network are not those of the table")
            if network.n_outputs_ != networks[0].n_outputs_:
                raise ValueError("the networks have different numbers of outputs")
        if parts["scales"].keys() != set(cls._scale_names):
            raise ValueError("scales of y are missing, or are none of this estimator")
        if parts["scales"]:
            check_scales(**parts["scales"], n_outputs=networks[0].n_outputs_)
        est._hold(encoder, networks, parts["scales"])
        return est, {}


def check_scales(shift, scale, n_outputs):
    """Raise ValueError unless y can be shifted and scaled so."""
    for value in (shift, scale):
        array = np.asarray(value)
        if array.dtype != np.float64 or array.shape not in ((), (n_outputs,)):
            raise ValueError("shift and scale of y must be floats, one for each output")
        if not np.isfinite(array).all():
            raise ValueError("shift and scale of y must be finite")
    if not np.all(np.asarray(scale) > 0):
        raise ValueError("the scale of y must be positive")
