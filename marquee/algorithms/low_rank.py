"""Draws of a factor model, and the one model of few factors that predicts what they predict on average.

draw        b_u, b_i, P, Q     each predicts  b_u + b_i + P_u . Q_i
average     the means of b_u and b_i, and [P_1 P_2 ...] [Q_1 Q_2 ...]' / n
compact     its best approximation of a given rank: again P and Q
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from marquee.algorithms.matrices import eigendecompose, multiply_matrices, orthonormalize
from marquee.arrays import Float32Array, Float64Array

OVERSAMPLED, POWERS, SEED = 16, 2, 0  # of the randomised decomposition; it is no part of the model
NEGLIGIBLE = 1e-6  # of the greatest singular value: what is smaller is rounding


class Draw(NamedTuple):
    """One model: what it predicts of a pair is b_u + b_i + P_u . Q_i."""

    bu: Float32Array  # (n_users,)
    bi: Float32Array  # (n_items,)
    pu: Float32Array  # (n_users, n_factors)
    qi: Float32Array  # (n_items, n_factors)


def centred(users: Float32Array, items: Float32Array, user_weights: Float64Array, item_weights: Float64Array) -> Draw:
    """The same predictions by factors and user biases whose weighted means are zero.

    Only sums of biases and products of factors are learned: what belongs to whom is open. So centred, the
    item bias is the item's estimate for the mean user, which is what a user without ratings should get.

    Args:
        users: bias and factors of each user, (n_users, 1 + n_factors).
        items: the same of each item.
        user_weights: of each user, their sum is 1.
        item_weights: of each item.
    """
    p_mean, q_mean = _mean(users, user_weights), _mean(items, item_weights)
    P, Q = users[:, 1:] - p_mean[1:], items[:, 1:] - q_mean[1:]
    bu = users[:, 0] - p_mean[0] + (P * q_mean[1:]).sum(axis=1)
    return Draw(bu, items[:, 0] + p_mean[0] + (items[:, 1:] * p_mean[1:]).sum(axis=1), P, Q)


def compact(draws: Sequence[Draw], rank: int) -> tuple[Float32Array, Float32Array]:
    """User and item factors, at most `rank` of them, whose products are nearest to the draws' on average.

    A randomised singular value decomposition: Halko, Martinsson and Tropp (2011), Finding Structure with
    Randomness, algorithms 4.4 and 5.1. Two draws or so that fit within the rank are given as they are.
    """
    A = np.concatenate([draw.pu for draw in draws], axis=1)
    C: Float32Array = np.concatenate([draw.qi for draw in draws], axis=1)
    C /= np.float32(len(draws))
    if A.shape[1] <= rank:
        return A, C
    width = min(rank + OVERSAMPLED, len(A), len(C))
    Y = np.random.default_rng(SEED).standard_normal((len(C), width), dtype=np.float32)
    for _ in range(POWERS):
        left = orthonormalize(multiply_matrices(A, multiply_matrices(C.T, Y)))
        Y = orthonormalize(multiply_matrices(C, multiply_matrices(A.T, left)))
    image = multiply_matrices(A, multiply_matrices(C.T, Y)).astype(np.float64)
    squares, V = eigendecompose(multiply_matrices(image.T, image))  # of the singular values
    sizes = np.sqrt(np.maximum(squares[:rank], 0))
    half = np.sqrt(sizes)
    inverse = np.divide(1, half, out=np.zeros_like(half), where=sizes > sizes[0] * NEGLIGIBLE)
    P = multiply_matrices(image, V[:, :rank]) * inverse
    Q = multiply_matrices(Y.astype(np.float64), V[:, :rank]) * half
    return P.astype(np.float32), Q.astype(np.float32)


def _mean(rows: Float32Array, weights: Float64Array) -> Float32Array:
    """Weighted mean of the rows."""
    return np.asarray((rows * weights[:, None]).sum(axis=0), dtype=np.float32)
