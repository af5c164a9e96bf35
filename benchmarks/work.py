"""What a training step costs at least: floating-point operations and bytes. Nothing is timed here.

Counted are the products: forward, gradient of the weights, and delta of the hidden layers, two
operations per multiply-add; of sparse data only the non-zeros. Activations, loss and optimizer are
not counted, so that a fraction of the peak is never flattered.
"""

from itertools import pairwise

#: passes over an array of the size of the weights that an update cannot do without: read and
#: write the weights and each array of the optimizer's state
UPDATE_PASSES = {"adam": 6, "sgd": 4}


def rows_per_step(problem):
    """On average: the last batch of an epoch may be short."""
    return problem.X.shape[0] / problem.steps(1)


def inputs_per_row(problem):
    """Features, of sparse data the average number of non-zeros."""
    return problem.X.nnz / problem.X.shape[0] if problem.is_sparse else problem.X.shape[1]


def flops(problem):
    """Floating-point operations of one training step."""
    multiply_adds = 0.0
    for i, (fan_in, fan_out) in enumerate(pairwise(problem.units)):
        # the first layer: forward and gradient; the others: delta of the layer before too
        multiply_adds += 2 * inputs_per_row(problem) * fan_out if i == 0 else 3 * fan_in * fan_out
    return 2 * rows_per_step(problem) * multiply_adds


def n_parameters(problem):
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(problem.units))


def least_bytes(problem):
    """Bytes that a step must move if activations and gradients never leave the nearest cache."""
    itemsize = problem.dtype.itemsize
    per_input = itemsize + 4 if problem.is_sparse else itemsize  # CSR: 4 bytes say where
    data = rows_per_step(problem) * inputs_per_row(problem) * per_input
    return data + UPDATE_PASSES.get(problem.solver, 1) * n_parameters(problem) * itemsize


def describe(problem):
    """What goes into the record of a training case."""
    return {
        "mflop": flops(problem) / 1e6,
        "flop_per_byte": flops(problem) / least_bytes(problem),
    }


def gflops(result, system):
    """What a system reached in a training case, or None."""
    us = result["us"].get(system)
    return 1e3 * result["mflop"] / us if us and "mflop" in result else None


def peak_fraction(result, system, limits):
    """The same as a fraction of the multiply-add peak of the core, or None."""
    reached = gflops(result, system)
    return reached / limits["gflops"][result["dtype"]] if reached and limits else None
