"""History map: linear map from the item factors of a history to the factors of its user.

For models whose user factors have no closed form, such as BPR.
"""

from functools import partial

import numpy as np

from marquee.algorithms.kernels.list_sums import sum_listed_rows
from marquee.algorithms.reproducible_linear_algebra import invert_symmetric, multiply_matrices
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float32Array, Float64Array, FloatArray, Int32Array, Int64Array

USERS_PER_BLOCK = 64  # histories that a thread sums at a time
RELATIVE_RIDGE = 1e-4  # regularization, relative to the mean square of what is mapped


def sum_histories(indptr: Int64Array, items: Int32Array, item_factors: FloatArray) -> Float32Array:
    r"""Return :math:`|H|^{-1/2} \sum_{j \in H} q_j` for each history H, as in SVD++; (n_users, n_factors)."""
    table = np.ascontiguousarray(item_factors, dtype=np.float32)
    weights = (1 / np.sqrt(np.maximum(np.diff(indptr), 1))).astype(np.float32)
    out = np.empty((len(weights), table.shape[1]), dtype=np.float32)
    run_blocks(partial(sum_listed_rows, indptr, items, weights, table, out), len(out), USERS_PER_BLOCK)
    return out


def fit_history_map(
    indptr: Int64Array, items: Int32Array, item_factors: FloatArray, user_factors: FloatArray
) -> Float64Array:
    r"""Return the linear map from the sums of training histories to the trained user factors.

    .. math:: W = (X^T X + \rho I)^{-1} X^T P

    where X are the sums of `sum_histories`, and :math:`\rho` is `RELATIVE_RIDGE` times the mean of the
    diagonal of :math:`X^T X`. The map has no intercept: a user without history has factors of zero.

    Args:
        indptr: user n has the positives `items[indptr[n]:indptr[n + 1]]`, (n_users + 1,).
        items: inner ids.
        item_factors: (n_items, n_factors).
        user_factors: P, those of users without positives are ignored, (n_users, n_factors).
    """
    X = sum_histories(indptr, items, item_factors).astype(np.float64)
    P = np.ascontiguousarray(user_factors, dtype=np.float64)
    inverse = multiply_matrices(X.T, X)
    ridge = RELATIVE_RIDGE * np.trace(inverse) / len(inverse)
    inverse += (ridge or 1.0) * np.eye(len(inverse))
    invert_symmetric(inverse)
    return np.asarray(multiply_matrices(inverse, multiply_matrices(X.T, P)), dtype=np.float64)
