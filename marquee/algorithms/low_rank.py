"""Low-rank approximation of the average prediction of several factor models.

A draw (b_u, b_i, P, Q) predicts b_u + b_i + P_u . Q_i. The average of n draws has the mean biases and the
interaction matrix [P_1 P_2 ...] [Q_1 Q_2 ...]' / n, whose best approximation of a given rank is again of the
form P Q'.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from marquee.algorithms.reproducible_linear_algebra import (
    eigendecompose_symmetric,
    multiply_matrices,
    orthonormalize_columns,
)
from marquee.array_types import Float32Array, Float64Array

# Settings of the randomized decomposition. The seed is fixed so that the model depends on `random_state`
# alone.
N_OVERSAMPLES, N_POWER_ITERATIONS, SEED = 16, 2, 0
MIN_RELATIVE_SINGULAR_VALUE = 1e-6  # share of the largest one; smaller singular values are rounding errors


class PosteriorDraw(NamedTuple):
    """Factor model drawn from the posterior; it predicts b_u + b_i + P_u . Q_i."""

    bu: Float32Array  # (n_users,)
    bi: Float32Array  # (n_items,)
    pu: Float32Array  # (n_users, n_factors)
    qi: Float32Array  # (n_items, n_factors)


def center_factors(
    users: Float32Array, items: Float32Array, user_weights: Float64Array, item_weights: Float64Array
) -> PosteriorDraw:
    """Return the model with the same predictions whose factors and user biases have weighted mean zero.

    Ratings determine only sums of biases and products of factors, so means can be moved between them. After
    centering, the item bias is the item's estimate for the mean user, and so for users without ratings.

    Args:
        users: bias and factors of each user, (n_users, 1 + n_factors).
        items: bias and factors of each item, (n_items, 1 + n_factors).
        user_weights: weight of each user; the sum is 1.
        item_weights: weight of each item; the sum is 1.
    """
    p_mean, q_mean = _weighted_mean(users, user_weights), _weighted_mean(items, item_weights)
    P, Q = users[:, 1:] - p_mean[1:], items[:, 1:] - q_mean[1:]
    bu = users[:, 0] - p_mean[0] + (P * q_mean[1:]).sum(axis=1)
    return PosteriorDraw(bu, items[:, 0] + p_mean[0] + (items[:, 1:] * p_mean[1:]).sum(axis=1), P, Q)


def compress_draws(draws: Sequence[PosteriorDraw], rank: int) -> tuple[Float32Array, Float32Array]:
    """Return user and item factors of at most `rank` that best approximate the mean products of the draws.

    Uses a randomized singular value decomposition: Halko, Martinsson and Tropp (2011), Finding Structure with
    Randomness, algorithms 4.4 and 5.1. If the draws together have at most `rank` factors, the result is
    exact.
    """
    A = np.concatenate([draw.pu for draw in draws], axis=1)
    C: Float32Array = np.concatenate([draw.qi for draw in draws], axis=1)
    C /= np.float32(len(draws))
    if A.shape[1] <= rank:
        return A, C
    width = min(rank + N_OVERSAMPLES, len(A), len(C))
    Y = np.random.default_rng(SEED).standard_normal((len(C), width), dtype=np.float32)
    for _ in range(N_POWER_ITERATIONS):
        left = orthonormalize_columns(multiply_matrices(A, multiply_matrices(C.T, Y)))
        Y = orthonormalize_columns(multiply_matrices(C, multiply_matrices(A.T, left)))
    image = multiply_matrices(A, multiply_matrices(C.T, Y)).astype(np.float64)
    eigenvalues, V = eigendecompose_symmetric(multiply_matrices(image.T, image))  # squared singular values
    singular_values = np.sqrt(np.maximum(eigenvalues[:rank], 0))
    root = np.sqrt(singular_values)
    is_significant = singular_values > singular_values[0] * MIN_RELATIVE_SINGULAR_VALUE
    inverse_root = np.divide(1, root, out=np.zeros_like(root), where=is_significant)
    P = multiply_matrices(image, V[:, :rank]) * inverse_root
    Q = multiply_matrices(Y.astype(np.float64), V[:, :rank]) * root
    return P.astype(np.float32), Q.astype(np.float32)


def _weighted_mean(rows: Float32Array, weights: Float64Array) -> Float32Array:
    """Return the weighted mean of the rows."""
    return np.asarray((rows * weights[:, None]).sum(axis=0), dtype=np.float32)
