"""The bridge to scipy's L-BFGS-B: it sees a vector, the engine a network. Knows no layer."""

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from cmlp._arrays import reported_loss
from cmlp._core import engine
from cmlp._divergence import divergence_error
from cmlp._threads import effective_n_threads
from cmlp._warnings import warn


class Stopped(Exception):
    """A callback wants the fit to stop."""


def fit_lbfgs(est, parameters, layout, dataset, flops, loss_type, task=None):
    """Minimise the penalised loss over all samples, starting from ``parameters.vector``.

    Sets ``n_iter_`` and ``loss_`` of the estimator and updates the vector in place. Runs in
    float64, whatever the dtype of the data was: line searches do not converge on the rounding
    noise of float32.

    Ctrl-C ends the training as it ends that of the other solvers: a warning, and the weights of
    the lowest loss so far, which are those of the last iteration unless a line search was under
    way. A second Ctrl-C raises.

    Parameters
    ----------
    flops : int
        Work of a sample in one evaluation.
    loss_type : type
        What scikit-learn's arithmetic would make the reported loss.
    task : FitTask or None
        Whose hooks are called around each iteration.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` or ``max_fun`` is reached, or the line search fails.
    UserWarning
        If interrupted.

    Raises
    ------
    ValueError
        If the loss is not finite in the end, as where it was not to begin with.
    """
    grads = np.empty_like(parameters.vector)
    n_threads = effective_n_threads(est.n_jobs, flops * len(dataset))
    work = layout.workspace(len(dataset), np.float64, n_threads, data=dataset)
    last_loss, best_loss = np.nan, np.inf
    n_iter = 0
    numpy_errors = np.geterr()

    def loss_and_gradient(vector):
        nonlocal last_loss, best_loss
        if task is not None and task.subtask is None:
            task.begin()
        last_loss = engine.loss_and_gradient(
            layout, dataset, float(est.alpha), vector, grads, work, n_threads
        )
        if last_loss < best_loss:
            # no call in these lines, so that Ctrl-C finds both done or none
            parameters.vector[...] = vector
            best_loss = last_loss
        return last_loss, grads.copy()

    def iteration_ends(intermediate_result):
        nonlocal n_iter
        n_iter += 1
        # scipy < 1.11 passes the vector instead of a result
        loss = getattr(intermediate_result, "fun", last_loss)
        if est.verbose:
            print(f"Iteration {n_iter}, loss = {loss:.8f}")
        if task is not None:
            parameters.vector[...] = getattr(intermediate_result, "x", intermediate_result)
            est.n_iter_ = n_iter
            est.loss_ = reported_loss(loss, loss_type)
            if task.end():
                raise Stopped

    est._has_begun = True  # from here on a fit that fails does not undo what it did
    try:
        result = scipy.optimize.minimize(
            loss_and_gradient,
            parameters.vector.copy(),
            method="L-BFGS-B",
            jac=True,
            callback=iteration_ends,
            options={"maxfun": est.max_fun, "maxiter": est.max_iter, "gtol": est.tol},
        )
        n_iter = min(result.nit, est.max_iter)
        if result.status != 0:
            warn(not_converged(result, n_iter, est.max_iter), ConvergenceWarning)
        loss, vector = reported_loss(result.fun, loss_type), result.x
        # no call in these lines, so that Ctrl-C finds all of them done or none
        est.n_iter_ = n_iter
        est.loss_ = loss
        parameters.vector[...] = vector
    except Stopped:
        return
    except KeyboardInterrupt as interrupt:
        est.n_iter_ = n_iter
        est.loss_ = reported_loss(best_loss if best_loss < np.inf else np.nan, loss_type)
        if isinstance(interrupt.__context__, KeyboardInterrupt):
            raise  # the second
        np.seterr(**numpy_errors)  # which stay those of an errstate that was interrupted
        warn("Training interrupted by user.")
        return
    if not np.isfinite(result.fun):
        raise divergence_error(est)


def not_converged(result, n_iter, max_iter):
    """scikit-learn's words for a result of scipy's that is not at a minimum."""
    more = f"\nIncrease the number of iterations to improve the convergence ({max_iter=})."
    return (
        f"lbfgs failed to converge after {n_iter} iteration(s) (status={result.status}):\n"
        f"{result.message}\n{more if n_iter == max_iter else ''}"
        "\nYou might also want to scale the data as shown in:\n"
        "    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
