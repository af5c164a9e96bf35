"""Networks for raw tables: what is done before and after their fits. No layer, no epoch.

The table is encoded in ``_tables``, networks are MLPClassifier and MLPRegressor; signatures and
documentation of the two estimators are in ``_tabular_estimators``.
"""

import warnings
from abc import ABC, abstractmethod
from contextlib import nullcontext
from numbers import Integral, Real
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from cmlp._base import BaseMultilayerPerceptron
from cmlp._callbacks import CallbackSupportMixin, PartTasks
from cmlp._exports import ExportMixin
from cmlp._tables import TableEncoder
from cmlp._tabular_files import TabularFilesMixin
from cmlp._threads import effective_n_threads, run_all
from cmlp._validation import has_validation_data

#: Rows of which fewer are all trained on: a validation part would say nothing.
MIN_VALIDATED = 20
#: Updates that a fit has at least, however few rows there are, and epochs, however many.
MIN_UPDATES, MIN_EPOCHS, MAX_EPOCHS = 3000, 20, 1000
#: Up to so many rows, the smaller hidden layers are as good.
SMALL_TABLE = 5000
SMALL, LARGE = (64, 64), (128, 128)
#: Of whole fits, which are worth a thread each.
MANY_FLOPS = 2**40


class Part(NamedTuple):
    """Rows that one network is trained on, and those that choose its epoch, or None."""

    train: np.ndarray
    validation: np.ndarray | None


class Samples(NamedTuple):
    """Encoded rows, and what goes with them."""

    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None

    def take(self, rows):
        """Samples of the given indices."""
        return Samples(*(None if part is None else part[rows] for part in self))


class Deadline:
    """The end of so many seconds from now on, or of None, for several fits."""

    def __init__(self, seconds):
        self.end = None if seconds is None else monotonic() + seconds

    def share(self, n_left, n_threads):
        """Seconds for one of the fits that are left, so many being under way at once, or None."""
        if self.end is None:
            return None
        return max(1e-3, (self.end - monotonic()) / -(-n_left // n_threads))


class BaseTabularMLP(TabularFilesMixin, ExportMixin, CallbackSupportMixin, BaseEstimator, ABC):
    """Base class of TabularMLPClassifier and TabularMLPRegressor."""

    estimators_: list[Any]
    n_iter_: int
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    _network_kind: type[BaseMultilayerPerceptron]
    _scale_names: tuple[str, ...] = ()

    _parameter_constraints: dict[str, list[Any]] = {
        **{
            name: BaseMultilayerPerceptron._parameter_constraints[name]
            for name in (
                *("activation", "dropout", "n_members"),
                *("learning_rate_init", "weight_decay", "max_grad_norm", "beta_2"),
                *("random_state", "verbose", "n_jobs"),
            )
        },
        "hidden_layer_sizes": [
            StrOptions({"auto"}),
            *BaseMultilayerPerceptron._parameter_constraints["hidden_layer_sizes"],
        ],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "n_bins": [Interval(Integral, 0, 255, closed="both")],
        "embedding": [Interval(Integral, 1, None, closed="left")],
        "step_embedding": [Interval(Integral, 0, None, closed="left")],
        "max_one_hot": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "n_iter_no_change": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "n_folds": [Interval(Integral, 1, None, closed="left")],
        "time_limit": [None, Interval(Real, 0, None, closed="neither")],
    }

    # What the two estimators answer differently

    @abstractmethod
    def _new_network(self, **params):
        """A network with the options that are its kind's own."""

    @abstractmethod
    def _strata(self, y):
        """Labels that each part of the rows should have its share of, or None."""

    def _learn_scales(self, y):
        """Shift and scale of y before it is learnt, as a dict of arrays; {}: neither."""
        return {}

    def _scaled(self, y, scales):
        """The targets of the networks."""
        return y

    # Fitting

    def _fit_table(self, X, y, sample_weight, held_out, task):
        """Encode the table, and fit a network to each part of its rows.

        Parameters
        ----------
        y : ndarray
            Labels, or values in the units of the caller.
        held_out : tuple (X_val, y_val, sample_weight_val)
            Of None, if not given.
        task : {'classifier', 'regressor'} or None
            What bins are to tell apart.
        """
        deadline = Deadline(self.time_limit)
        validates = has_validation_data(*held_out)
        check_consistent_length(X, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, y)
            if not sample_weight.any():  # scikit-learn's words, which it has since 1.8
                raise ValueError("Sample weights must contain at least one non-zero number.")
        scales = self._learn_scales(y if sample_weight is None else y[sample_weight != 0])
        targets = self._scaled(y, scales)
        random_state = check_random_state(self.random_state)
        encoder = TableEncoder(type(self).__name__)
        encoder.fit(
            X,
            targets,
            sample_weight=sample_weight,
            task=task,
            random_state=random_state.randint(2**31),
            categorical_features=self.categorical_features,
            n_bins=self.n_bins,
            embedding=self.embedding,
            step_embedding=self.step_embedding,
            max_one_hot=self.max_one_hot,
        )
        samples = Samples(encoder.transform(X), targets, sample_weight)
        if sample_weight is not None:  # rows without weight, and classes of such, are not there
            samples = samples.take(np.flatnonzero(sample_weight))
        given = None
        if validates:
            X_val, y_val, sample_weight_val = held_out
            y_val = self._scaled(y_val, scales)
            given = Samples(encoder.transform(X_val), y_val, sample_weight_val)
        parts = self._parts(samples.y, validates, random_state)
        networks = [self._network(len(part.train), encoder, random_state) for part in parts]
        tasks = None
        if "_skl_callbacks" in vars(self):
            task = self._init_callback_context(max_subtasks=len(parts), sequential_subtasks=False)
            tasks = PartTasks(self, task, X, y, sample_weight)
        self._fit_parts(networks, parts, samples, given, deadline, tasks)
        self._hold(encoder, networks, scales)
        if tasks is not None:
            tasks.end()
        return self

    def _fit_parts(self, networks, parts, samples, given, deadline, tasks):
        """Fit each network to its part of the samples, several at once by threads.

        Ctrl-C ends them after the epochs that are under way, and those that have not begun after
        their first; a second one is raised.
        """
        n_threads = min(len(parts), effective_n_threads(self.n_jobs, MANY_FLOPS))
        config, planned = get_config(), [network.max_iter for network in networks]

        def fit(i):
            train, validation = parts[i]
            validation = given if validation is None else samples.take(validation)
            network = networks[i].set_params(max_time=deadline.share(len(parts) - i, n_threads))
            with (
                config_context(**config),  # scikit-learn's is a thread's own
                nullcontext() if tasks is None else tasks.part(i, network),
            ):
                fit_network(network, samples.take(train), validation)

        def stop():
            for network in networks:
                network.max_iter = 1

        # filters belong to the process: they are set before there are threads, and reset after
        with warnings.catch_warnings():
            message = "Stochastic Optimizer: Maximum iterations"
            warnings.filterwarnings("ignore", message, ConvergenceWarning)
            try:
                if len(parts) == 1:  # which has all threads
                    fit(0)
                else:
                    for network in networks:
                        network.n_jobs = 1
                    run_all(fit, range(len(parts)), n_threads, stop)
            finally:
                for network, max_iter in zip(networks, planned, strict=True):
                    network.set_params(max_iter=max_iter, max_time=None, n_jobs=self.n_jobs)

    def _hold(self, encoder, networks, scales):
        """Have what a fit or a file has made, all or nothing of it."""
        attributes = self._learnt(encoder, networks, scales)
        vars(self).pop("feature_names_in_", None)
        vars(self).update(attributes)

    def _learnt(self, encoder, networks, scales):
        """The attributes of a fitted estimator."""
        names = {"feature_names_in_": encoder.feature_names_in_} if encoder.has_own_names else {}
        return {
            **{"_encoder": encoder, "_scales": scales, "estimators_": networks, **names},
            "n_features_in_": encoder.n_features_in_,
            "n_iter_": int(max(network.n_iter_ for network in networks)),
        }

    def _parts(self, y, has_validation, random_state):
        """The rows of each network: a part for validation, or each fold in turn."""
        n = len(y)
        rows = np.arange(n)
        if (
            has_validation
            or n < MIN_VALIDATED
            or (self.n_folds == 1 and not self.validation_fraction)
        ):
            return [Part(rows, None)] * self.n_folds
        strata, seed = self._strata(y), random_state.randint(2**31)
        if self.n_folds > 1:
            n_folds = min(self.n_folds, n)
            kind = KFold if strata is None or rarest(strata) < n_folds else StratifiedKFold
            folds = kind(n_folds, shuffle=True, random_state=seed).split(rows, strata)
        else:
            size = max(1, round(self.validation_fraction * n))
            if strata is not None and (rarest(strata) < 2 or size < len(np.unique(strata))):
                strata = None
            folds = [train_test_split(rows, test_size=size, random_state=seed, stratify=strata)]
        return [complete(Part(*fold), self._strata(y)) for fold in folds]

    def _network(self, n_rows, encoder, random_state):
        """A network for so many rows, not fitted."""
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = min(256, max(32, 2 ** int(np.log2(max(1, n_rows // 16)))))
        batch_size = min(batch_size, n_rows)
        max_iter = self.max_iter
        if max_iter == "auto":
            max_iter = min(MAX_EPOCHS, max(MIN_EPOCHS, -(-MIN_UPDATES * batch_size // n_rows)))
        patience = self.n_iter_no_change
        if patience == "auto":
            patience = max(8, max_iter // 5)
        hidden_layer_sizes = self.hidden_layer_sizes
        if isinstance(hidden_layer_sizes, str):
            hidden_layer_sizes = SMALL if n_rows <= SMALL_TABLE else LARGE
        n_hidden = np.size(hidden_layer_sizes)
        dropout = self.dropout
        if isinstance(dropout, Real):  # not of the input
            dropout = [0.0] + n_hidden * [dropout] if dropout else 0.0
        return self._new_network(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=self.activation,
            solver="adamw",
            alpha=0.0,
            weight_decay=self.weight_decay,
            dropout=dropout,
            n_members=self.n_members,
            encodings=list(encoder.encodings),
            batch_size=batch_size,
            learning_rate="cosine",
            learning_rate_init=self.learning_rate_init,
            beta_2=self.beta_2,
            max_grad_norm=self.max_grad_norm,
            max_iter=max_iter,
            early_stopping=True,
            scoring="loss",
            n_iter_no_change=patience,
            tol=0.0,
            random_state=random_state.randint(2**31),
            verbose=self.verbose,
            n_jobs=self.n_jobs,
            dtype="float32",
        )

    # Predicting

    def _mean_of_networks(self, X, method):
        """The mean of what a method of the networks says, an array or a list of arrays."""
        if "estimators_" not in vars(self):
            check_is_fitted(self)  # its look at the tags takes longer than a network
        A = self._encoder.transform(X)
        outputs = [getattr(network, method)(A) for network in self.estimators_]
        if isinstance(outputs[0], list):
            return [mean(columns) for columns in zip(*outputs, strict=True)]
        return mean(outputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.non_deterministic = False
        return tags


def fit_network(network, samples, validation):
    """Fit a network to Samples; validation ones, or None, choose the epoch."""
    if validation is None:
        network.set_params(early_stopping=False).fit(*samples)
        return
    X_val, y_val, sample_weight_val = validation
    held_out = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
    network.fit(*samples, **held_out)


def mean(arrays):
    """The mean of arrays of one shape, in place of the first.

    For one row that takes a third of the time of ``numpy.mean``.
    """
    total = arrays[0]
    if len(arrays) > 1:
        for array in arrays[1:]:
            total += array
        total /= len(arrays)
    return total


def check_given(est, y):
    """Raise scikit-learn's ValueError if there is no y."""
    if y is None:
        raise ValueError(
            f"This {type(est).__name__} estimator requires y to be passed, but the target y is"
            " None."
        )


def rarest(strata):
    """How many members the smallest stratum has."""
    return np.unique(strata, return_counts=True)[1].min()


def complete(part, strata):
    """The part with one row of each stratum to train on, taken from those for validation."""
    if strata is None:
        return part
    train, validation = part
    missing = np.setdiff1d(strata[validation], strata[train])
    for stratum in missing:
        row = validation[strata[validation] == stratum][0]
        train, validation = np.append(train, row), validation[validation != row]
    return Part(train, validation if len(validation) else None)
