"""Methods of an estimator that give its network to other programs; each form has its own module.

No form is made here.
"""

from typing import Any

from cmlp import _sklearn_form


class ExportMixin:
    """Methods of a fitted estimator that make other forms of it."""

    def to_sklearn(self, *, predict_only: bool = False) -> Any:
        """This estimator as scikit-learn's of the same name.

        It has copies of weights, labels, parameters and records of the fit, and predicts the same
        up to the rounding of another order of sums. Where partial_fit has trained this one last,
        that of the result goes on with the state of the optimizer, else, as with a pickle, with
        fresh moments; ``warm_start`` goes on with the weights. ``n_jobs``, ``dtype`` and
        ``partial_fit_loss_curve``, which change no weight, are left out: with
        ``dtype='float32'`` weights are float32, and scikit-learn computes in the wider of their
        dtype and that of X.

        Parameters
        ----------
        predict_only : bool, default=False
            Whether to leave out what only training knows: the state of an optimizer, and
            parameters that scikit-learn does not have (``dropout``, ``class_weight``, other
            solvers and losses, ...). The result has scikit-learn's defaults in their place, and
            the loss of its output activation.

        Returns
        -------
        est : sklearn.neural_network.MLPClassifier or MLPRegressor

        Raises
        ------
        NotFittedError
            Before fit.
        TypeError
            If a subclass overrides a method.
        ValueError
            If scikit-learn cannot hold the network, with the names of what it cannot: another
            activation or one per layer, several quantiles, several columns of classes,
            ``n_members``, ``encodings``; without ``predict_only`` also parameters of training.

        See Also
        --------
        cmlp.from_sklearn : The way back.

        Examples
        --------
        >>> import numpy as np
        >>> from cmlp import MLPRegressor
        >>> X = np.arange(20.0).reshape(10, 2)
        >>> reg = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", random_state=0)
        >>> reg = reg.fit(X, X.sum(axis=1))
        >>> reg.to_sklearn()
        MLPRegressor(hidden_layer_sizes=(4,), random_state=0, solver='lbfgs')
        """
        return _sklearn_form.to_sklearn(self, predict_only)
