# The entry points that separate a gradient from the step by it: a sum over given samples, and the
# update by such a sum. Included by engine.pxi, which imports. The epoch that does both at once is
# in engine.pxi.
# uses: dataset.pxi, engine.pxi, layout.pxi, train.pxi, update.pxi
# gives: batch_gradient, apply_gradient, loss_and_gradient


cdef sum_gradient(
    Training run, Py_ssize_t n_threads, const Py_ssize_t[::1] order, Py_ssize_t start,
    Py_ssize_t stop, const floating[::1] params, floating[::1] grads, floating[::1] work, dropout,
):
    """grads = the gradient of the summed losses of samples start..stop, which run.total becomes;
    run.weight is the sum of their weights."""
    cdef Layout layout = run.layout
    cdef Py_ssize_t n = run.data.source.n_samples if order is None else order.shape[0]
    if not 0 <= start < stop <= n:
        raise ValueError(f"start..stop must be a part of 0..{n}, got {start}..{stop}.")
    run.plan_for(stop - start, n_threads, sizeof(floating))
    check_call(layout, run.data, np.asarray(params), np.asarray(work), &run.plan, True)
    if grads.shape[0] != layout.net.n_params:
        raise ValueError("grads does not fit the network.")
    run.take(order, start, stop, stop - start)
    if dropout is not None:
        seed, epoch = dropout
        set_key(&run.plan.dropout, seed, epoch)
    writable = np.asarray(params)      # as the type of an update's parameters has to be
    run.hold(writable if writable.flags.writeable else writable.copy(), grads, None, work)
    run.run()
    if run.weight != 0 and not layout.net.fit_intercept:
        grads[layout.net.n_params - layout.net.n_biases:] = 0


def batch_gradient(
    Layout layout not None, Dataset data not None, const Py_ssize_t[::1] order, Py_ssize_t start,
    Py_ssize_t stop, const floating[::1] params, floating[::1] grads, floating[::1] work,
    int n_threads=1, dropout=None,
):
    """The loss of given samples and its gradient, summed with the sample weights.

    Sums over disjoint samples add up, and so do those of several processes: `apply_gradient`
    makes the step by a sum of gradients and of weights.

    Parameters
    ----------
    layout : Layout
    data : Dataset
        With targets, of the dtype of the parameters.
    order : array of shape (n,) and dtype intp, or None
        The samples of the epoch, by index; None for all in their own order.
    start, stop : int
        The samples are order[start:stop]. With dropout, their place in the order decides which
        units are dropped.
    params : array of shape (n_params,)
    grads : array of shape (n_params,)
        The gradient is written to it, without penalty and not divided by the weight.
    work : array
        ``layout.workspace(stop - start, dtype, n_threads, data=data)``, or a larger one.
    n_threads : int
        How many threads share the work; the numbers do not depend on it.
    dropout : tuple (seed, epoch), default=None
        As of `train_epoch`.

    Returns
    -------
    loss_sum : float
        The losses times the weights. A squared error is the mean over outputs, its gradient that
        of the sum, as in scikit-learn.
    weight : float
        The sum of the weights, or the number of samples if there are none. If it is 0, so are
        the loss and the gradient.

    Raises
    ------
    ValueError, TypeError
        If the arrays do not fit the network or one another, or start..stop the order.
    KeyboardInterrupt
        The gradient is then unfinished.
    """
    cdef Training run = Training(layout, data)
    sum_gradient(run, n_threads, order, start, stop, params, grads, work, dropout)
    if run.weight == 0:                # no sample was looked at
        grads[:] = 0
    return run.total, run.weight


def apply_gradient(
    Layout layout not None, str optimizer not None, double[::1] hyper, double alpha,
    double weight, floating[::1] params, floating[::1] grads, floating[:, ::1] state,
    double max_grad_norm=0, double[::1] averaging=None, int n_threads=1,
):
    """One step of an optimizer by a sum of gradients as `batch_gradient` gives it.

    Divided by the weight, with the gradient of the penalty, and shortened if it is too long, it
    is what the optimizer is given. ``(loss_sum + penalty) / weight`` is the loss that was to be
    made smaller. An epoch of such steps is one of `train_epoch`, bit for bit, except where that
    trains on one sample at a time.

    Parameters
    ----------
    layout : Layout
    optimizer : str
        A key of OPTIMIZERS.
    hyper : array of float64
        The optimizer's hyper-parameters as OPTIMIZERS names them; t and the like are advanced.
        The first is the learning rate, which a schedule may change from step to step.
    alpha : float
        The penalty is alpha / 2 times the sum of the squared weights; biases have none.
    weight : float
        The sum of the weights of all samples whose gradients are in the sum.
    params : array of shape (n_params,)
        Updated in place.
    grads : array of shape (n_params,)
        The sum of gradients; used up if it is clipped.
    state : array of shape (n_states, n_params), or (n_states + 1, n_params) with averaging
        The state of the optimizer, updated in place.
    max_grad_norm : float
        A longer gradient, penalty included, is shortened to it; 0: none is.
    averaging : array (decay, t) or None
        As of `train_epoch`: the last row of state is the average of the weights.
    n_threads : int
        How many threads share the work; the numbers do not depend on it.

    Returns
    -------
    penalty : float
        That of the weights before the step.

    Raises
    ------
    KeyError
        If there is no such optimizer.
    ValueError, TypeError
        If the arrays do not fit the network, the optimizer or one another, or if the weight is
        not positive.
    KeyboardInterrupt
        Before or after the step, never within; before it, a gradient to be clipped is used up.
    """
    cdef Update run = Update(layout)
    cdef int n_run
    run.step_by(optimizer, hyper, alpha, max_grad_norm, averaging, state.shape[0], state.shape[1])
    if params.shape[0] != layout.net.n_params or grads.shape[0] != layout.net.n_params:
        raise ValueError("params or grads do not fit the network.")
    if not weight > 0:
        raise ValueError(f"The weight of the samples must be positive, got {weight}.")
    run.squares = np.zeros(2 * run.n_blocks())
    run.n_threads = max(1, n_threads)
    run.weight = weight
    run.hold_parameters(params, grads, state)
    run.prepare_step()
    with nogil:
        n_run = pool_run(update_next_phase, update_piece, update_idle, <void*>run, run.n_threads)
    run.interrupt.check(n_run)
    return alpha / 2 * run.block_sum(1)


def loss_and_gradient(
    Layout layout not None, Dataset data not None, double alpha, const floating[::1] params,
    floating[::1] grads, floating[::1] work, int n_threads=1,
):
    """The penalised loss over all samples, as an estimator reports it, and its gradient.

    The gradient is written to grads. For a squared error with several outputs the loss is the
    mean over outputs and the gradient that of the sum, as in scikit-learn.

    Returns
    -------
    loss : float

    Raises
    ------
    ValueError
        If the arrays do not fit the network, or the sample weights sum to zero.
    """
    cdef Training run = Training(layout, data)
    cdef const Py_ssize_t[::1] order = None
    sum_gradient(run, n_threads, order, 0, data.source.n_samples, params, grads, work, None)
    if run.weight == 0:
        raise ValueError("Sample weights sum to zero.")
    with nogil:
        loss = (run.total + finish_gradient(&layout.net, alpha, run.weight, params, grads)) \
            / run.weight
    return loss
