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


def lbfgs(run):
    """Minimise the penalised loss over all samples, from the weights of a run, in place.

    Runs in float64, whatever the dtype of the data was: line searches do not converge on the
    rounding noise of float32.

    Ctrl-C ends the training as it ends that of the other solvers: a warning, and the weights of
    the lowest loss so far, which are those of the last iteration unless a line search was under
    way. A second Ctrl-C raises.

    Parameters
    ----------
    run : TrainingRun

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
    est = run.est
    objective = Objective(run)
    numpy_errors = np.geterr()
    run.begun = True
    try:
        result = scipy.optimize.minimize(
            objective.loss_and_gradient,
            run.state.parameters.vector.copy(),
            method="L-BFGS-B",
            jac=True,
            callback=objective.iteration_ends,
            options={"maxfun": est.max_fun, "maxiter": est.max_iter, "gtol": est.tol},
        )
        n_iter = min(result.nit, est.max_iter)
        if result.status != 0:
            warn(not_converged(result, n_iter, est.max_iter), ConvergenceWarning)
        objective.show(n_iter, result.fun, result.x)
    except Stopped:
        return
    except KeyboardInterrupt as interrupt:
        best_loss = objective.best_loss if objective.best_loss < np.inf else np.nan
        objective.show(objective.n_iter, best_loss)
        if isinstance(interrupt.__context__, KeyboardInterrupt):
            raise  # the second
        np.seterr(**numpy_errors)  # which stay those of an errstate that was interrupted
        warn("Training interrupted by user.")
        return
    if not np.isfinite(result.fun):
        raise divergence_error(run)


class Objective:
    """The function that is minimised, and what is kept of its evaluations.

    Attributes
    ----------
    n_iter : int
        Iterations that have ended.
    last_loss, best_loss : float
        That of the last evaluation, and the lowest, whose weights are those of the run.
    """

    def __init__(self, run):
        self.run = run
        problem, vector = run.problem, run.state.parameters.vector
        self.alpha = float(run.est.alpha)
        self.grads = np.empty_like(vector)
        n_samples = len(problem.dataset)
        self.n_threads = effective_n_threads(run.est.n_jobs, problem.flops * n_samples)
        self.work = problem.layout.workspace(
            n_samples, np.float64, self.n_threads, data=problem.dataset
        )
        self.n_iter = 0
        self.last_loss, self.best_loss = np.nan, np.inf
        self.step_has_begun = False

    def loss_and_gradient(self, vector):
        """Both, for scipy, at the given weights."""
        if not self.step_has_begun:
            self.run.begin_step()
            self.step_has_begun = True
        problem = self.run.problem
        loss = engine.loss_and_gradient(
            problem.layout,
            problem.dataset,
            self.alpha,
            vector,
            self.grads,
            self.work,
            self.n_threads,
        )
        weights = self.run.state.parameters.vector
        self.last_loss = loss
        if loss < self.best_loss:
            # no call in these lines, so that Ctrl-C finds both done or none
            weights[...] = vector
            self.best_loss = loss
        return loss, self.grads.copy()

    def iteration_ends(self, intermediate_result):
        """scipy's callback after an iteration."""
        self.n_iter += 1
        self.step_has_begun = False
        # scipy < 1.11 passes the vector instead of a result
        loss = getattr(intermediate_result, "fun", self.last_loss)
        if self.run.own_listeners:  # which see the estimator
            self.show(self.n_iter, loss, getattr(intermediate_result, "x", intermediate_result))
        else:
            self.count(self.n_iter, loss)
        self.run.end_step()
        if self.run.over:
            raise Stopped

    def show(self, n_iter, loss, vector=None):
        """Have the estimator show iterations, loss and, if given, weights."""
        self.count(n_iter, loss)
        if vector is not None:
            self.run.state.parameters.vector[...] = vector
        self.run.publish()

    def count(self, n_iter, loss):
        state = self.run.state
        state.n_iter, state.loss = n_iter, reported_loss(loss, self.run.problem.loss_type)


def not_converged(result, n_iter, max_iter):
    """scikit-learn's words for a result of scipy's that is not at a minimum."""
    more = f"\nIncrease the number of iterations to improve the convergence ({max_iter=})."
    return (
        f"lbfgs failed to converge after {n_iter} iteration(s) (status={result.status}):\n"
        f"{result.message}\n{more if n_iter == max_iter else ''}"
        "\nYou might also want to scale the data as shown in:\n"
        "    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
