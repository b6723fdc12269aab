"""Fold-in: vectors of users who are not in the training set, from their histories, for many users at once.

Serving folds in one user at a time, without compiled kernels: `marquee.model.factor_scoring`.
"""

from functools import partial

import numpy as np

from marquee.algorithms.kernels.fold_in import solve_user_systems
from marquee.algorithms.reproducible_linear_algebra import invert_symmetric, multiply_matrices
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, FloatArray
from marquee.interactions.matrix import SparseRows
from marquee.model.factor_scoring import FactorSpace

USERS_PER_BLOCK = 16  # users whose systems a thread solves at a time
MIN_PRIOR_VARIANCE = 1e-9  # keeps the prior covariance invertible if all users are equal


def fold_in_confidences(
    histories: SparseRows, confidences: Float64Array, item_factors: FloatArray, reg: float
) -> Float64Array:
    r"""Solve the user equation of weighted matrix factorization for each history; (n_users, n_factors).

    .. math:: p_u = (Q^T C_u Q + \lambda I)^{-1} Q^T C_u x_u

    where an item outside the history has confidence 1 and preference 0. Hu, Koren and Volinsky (2008),
    Collaborative Filtering for Implicit Feedback Datasets, equation 4.

    Args:
        histories: items of each user.
        confidences: confidence c of each entry in preference 1, at least 1; -c: in preference 0.
        item_factors: Q (n_items, n_factors).
        reg: regularization.
    """
    Q = np.ascontiguousarray(item_factors, dtype=np.float64)
    precision = multiply_matrices(Q.T, Q) + reg * np.eye(Q.shape[1])
    weights, targets = np.abs(confidences) - 1, np.maximum(confidences, 0)
    return _solve(histories, weights, targets, Q, precision, np.zeros(Q.shape[1]))


def fold_in_ratings(histories: SparseRows, space: FactorSpace) -> Float64Array:
    """Return the most likely bias and factors of each user, as `FactorSpace.fold_in`; (n_users, 1 + k)."""
    vectors = np.column_stack([np.ones(len(space.item_factors)), space.item_factors]).astype(np.float64)
    precision = space.prior_covariance + MIN_PRIOR_VARIANCE * np.eye(len(space.prior_mean))
    invert_symmetric(precision)
    precision *= space.noise
    linear = (precision * space.prior_mean).sum(axis=1)
    residuals = histories.values - space.offset - space.item_biases[histories.indices]
    return _solve(histories, np.ones(len(residuals)), residuals, vectors, precision, linear)


def _solve(
    histories: SparseRows,
    weights: Float64Array,
    targets: Float64Array,
    vectors: Float64Array,
    precision: Float64Array,
    linear: Float64Array,
) -> Float64Array:
    """Solve the systems of all users; arguments as in `solve_user_systems`."""
    out = np.empty((len(histories.indptr) - 1, len(linear)))
    arrays = (histories.indptr, histories.indices, weights, targets, vectors, precision, linear, out)
    run_blocks(partial(solve_user_systems, *arrays), len(out), USERS_PER_BLOCK)
    return out
