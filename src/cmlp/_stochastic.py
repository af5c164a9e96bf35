"""The loop over epochs of the stochastic solvers: what is decided once per epoch.

Shuffling, one compiled pass over the samples, patience, early stopping, interruption. Knows no
layer and no formula.
"""

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from cmlp._arrays import reported_loss
from cmlp._core import engine
from cmlp._divergence import NO_SCORE, diverged, divergence_error, divergence_warning
from cmlp._early_stopping import Validation, hold_out, split
from cmlp._optimizers import ready_optimizer
from cmlp._threads import effective_n_threads, flops_per_sample
from cmlp._warnings import warn


def clip_batch_size(est, n_samples):
    if est.batch_size == "auto":
        return min(200, n_samples)
    if est.batch_size > n_samples:
        warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return int(np.clip(est.batch_size, 1, n_samples))


def draw_seed(random_state):
    """64 bits for the generator of dropout."""
    low, high = random_state.randint(0, 2**32, size=2, dtype=np.uint32)
    return int(high) << 32 | int(low)


def start_dropout(est, n_hidden, random_state):
    """Have ``_dropout_state``, the (seed, epoch) that decide which units the next epoch drops.

    It goes on as long as the weights do, so that no two epochs drop the same. Without dropout
    nothing is drawn, and the state is None.
    """
    if not est._dropout_rates(n_hidden):
        return None
    if not hasattr(est, "_dropout_state"):
        random_state = random_state or check_random_state(est.random_state)
        est._dropout_state = (draw_seed(random_state), 0)
    return est._dropout_state


def count_improvement(est):
    """Patience on the training loss."""
    if est.loss_ > est.best_loss_ - est.tol:
        est._no_improvement_count += 1
    else:
        est._no_improvement_count = 0
    if est.loss_ < est.best_loss_:
        est.best_loss_ = est.loss_


def out_of_patience(est):
    """Whether to stop for want of improvement (the adaptive schedule may go on, slower)."""
    if est._no_improvement_count <= est.n_iter_no_change:
        return False
    what = "Validation score" if est.early_stopping else "Training loss"
    msg = (
        f"{what} did not improve more than tol={est.tol:f} for {est.n_iter_no_change:.0f}"
        " consecutive epochs."
    )
    if est._optimizer.trigger_stopping(msg, est.verbose):
        return True
    est._no_improvement_count = 0
    return False


def is_over(est, incremental):
    """Whether the epoch that has ended was the last; a warning if max_iter made it so."""
    if out_of_patience(est) or incremental:
        return True
    if est.n_iter_ < est.max_iter:
        return False
    warn(
        f"Stochastic Optimizer: Maximum iterations ({est.max_iter:d}) reached and"
        " the optimization hasn't converged yet.",
        ConvergenceWarning,
    )
    return True


def fit_stochastic(
    est,
    parameters,
    layout,
    dataset,
    flops,
    arrays,
    random_state,
    loss_type,
    incremental,
    first_pass=True,
    seen=None,
    held_out=None,
    task=None,
    training=None,
):
    """Train ``parameters.vector`` in place, for one epoch if incremental.

    Parameters
    ----------
    dataset : engine.Dataset
        All samples.
    arrays : tuple (X, y, sample_weight)
        The same samples, for early stopping.
    flops : int
        Work of a sample in one epoch.
    loss_type : type
        What scikit-learn's arithmetic would make the reported loss.
    first_pass : bool
        Whether the weights have not been trained before.
    seen : tuple (X, y)
        X as the caller of fit gave it, and y in its own dtype, which scores are made of.
    held_out : HeldOut or None
        Validation data; without, early stopping holds out a part of the samples.
    task : FitTask or None
        Whose hooks are called around each epoch.
    training : Training or None
        For checkpoints: what they hold, and what they are resumed with.

    Raises
    ------
    ValueError
        If the loss or the weights are no longer finite (with early stopping: a
        ConvergenceWarning, and the best finite weights are kept).
    """
    vector = parameters.vector
    alpha = float(est.alpha)
    numpy_errors = np.geterr()
    keeps_curve = est.partial_fit_loss_curve or not incremental

    order, indices, validation = None, None, None
    n_samples = len(dataset)
    resumed = None if training is None else training.resumed
    may_differ = held_out is not None or est.scoring is not None
    if est.early_stopping and held_out is None:
        if resumed is None:
            order, indices = split(est, seen[1], random_state)
        else:
            order, indices = resumed.rows()
        held_out = hold_out(est, arrays, seen, indices)
        n_samples = len(order)
        if task is not None:
            task.keep_rows(order.copy())
    elif est.shuffle and n_samples > 1:
        order = np.arange(n_samples, dtype=np.intp)
    dropout = start_dropout(est, len(layout.units) - 2, random_state)
    if held_out is not None:
        flops_of_predict = flops_per_sample(held_out.X, parameters.units, training=False)
        flops_of_predict *= len(held_out.targets)
        n_threads = effective_n_threads(est.n_jobs, flops_of_predict)
        validation = Validation(est, held_out, layout, vector, n_threads)
        if est.early_stopping and may_differ and not first_pass:
            validation.start_again(est, vector)
    batch_size = clip_batch_size(est, n_samples)
    n_batches = -(-n_samples // batch_size)
    if est.max_grad_norm:
        grads = np.empty_like(vector)  # all of a gradient has to be known
    else:
        grads = layout.gradient(batch_size, vector.dtype)
    n_threads = effective_n_threads(est.n_jobs, flops * batch_size)
    work = layout.workspace(batch_size, vector.dtype, n_threads, data=dataset)
    # last, as partial_fit goes on with what is changed here
    optimizer, trained = ready_optimizer(est, vector, incremental)
    est._optimizer = optimizer
    if training is not None:
        training.begin(est, vector, trained, order, indices, validation, random_state)

    est._has_begun = True  # from here on a fit that fails does not undo what it did
    try:
        over = False
        if resumed is None:
            est.n_iter_ = 0
        else:
            over = is_over(est, incremental)  # the checkpoint was written just before
        while not over:
            if task is not None:
                task.begin()
            if est.shuffle and order is not None:
                engine.shuffle(random_state, order)  # the permutations compose over the epochs
            hyper, rates = optimizer.hyper, optimizer.rates(n_batches)
            try:
                loss = engine.train_epoch(
                    layout,
                    dataset,
                    order,
                    batch_size,
                    optimizer.name,
                    hyper,
                    alpha,
                    trained,
                    grads,
                    optimizer.state,
                    work,
                    n_threads,
                    dropout,
                    rates,
                    optimizer.max_grad_norm,
                    optimizer.averaging,
                )
            finally:
                optimizer.after_epoch(hyper)
                if dropout is not None:
                    dropout = est._dropout_state = (dropout[0], dropout[1] + 1)
                if trained is not vector:
                    vector[...] = optimizer.predictor
            reported = reported_loss(loss, loss_type)
            # no call in these lines, so that Ctrl-C finds all of them done or none
            est.n_iter_ += 1
            est.loss_ = reported
            est.t_ += n_samples
            if keeps_curve:
                est.loss_curve_ += [reported]
            else:
                est.loss_curve_ = [reported]
            if est.verbose:
                print(f"Iteration {est.n_iter_}, loss = {est.loss_:.8f}")
            if validation is not None:
                validation.update(est, vector)
            if not est.early_stopping:
                count_improvement(est)
            optimizer.iteration_ends(
                est.t_, est._no_improvement_count, est.n_iter_no_change, est.verbose
            )
            hopeless = diverged(loss, trained)
            stopped = task is not None and task.end(usable=not hopeless)
            if hopeless:
                rate = float(hyper[0] if rates is None else rates[-1])
                error = divergence_error(est, rate)
                del est._optimizer  # its state would spoil finite weights
                if not est.early_stopping:
                    raise error
                warn(divergence_warning(est, rate), ConvergenceWarning)
                break
            if training is not None and training.checkpoint is not None:
                training.checkpoint.epoch_ends(est)
            over = stopped or is_over(est, incremental)
        if est.early_stopping and est.best_validation_score_ == -np.inf:
            warn(NO_SCORE, ConvergenceWarning)
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt.__context__, KeyboardInterrupt):
            raise  # the second
        np.seterr(**numpy_errors)  # which stay those of an errstate that was interrupted
        warn("Training interrupted by user.")
    finally:  # also when a callback or a scorer raises
        if not incremental:
            optimizer.epochs = 0  # partial_fit would begin a plan of its own
        if validation is not None and est.early_stopping:
            vector[...] = validation.best_vector
