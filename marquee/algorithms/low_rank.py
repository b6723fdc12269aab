"""Draws of a factor model, and the one model of few factors that predicts what they predict on average.

draw        b_u, b_i, P, Q     each predicts  b_u + b_i + P_u . Q_i
average     the means of b_u and b_i, and [P_1 P_2 ...] [Q_1 Q_2 ...]' / n
compact     its best approximation of a given rank: again P and Q
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from marquee.arrays import Floats, Scores

OVERSAMPLED, POWERS, SEED = 16, 2, 0  # of the randomised decomposition; it is no part of the model


class Draw(NamedTuple):
    """One model: what it predicts of a pair is b_u + b_i + P_u . Q_i."""

    bu: Scores  # (n_users,)
    bi: Scores  # (n_items,)
    pu: Scores  # (n_users, n_factors)
    qi: Scores  # (n_items, n_factors)


def centred(users: Scores, items: Scores, user_weights: Floats, item_weights: Floats) -> Draw:
    """The same predictions by factors and user biases whose weighted means are zero.

    Only sums of biases and products of factors are learned: what belongs to whom is open. So centred, the
    item bias is the item's estimate for the mean user, which is what a user without ratings should get.

    Args:
        users: bias and factors of each user, (n_users, 1 + n_factors).
        items: the same of each item.
        user_weights: of each user, their sum is 1.
        item_weights: of each item.
    """
    p_mean = (user_weights @ users).astype(np.float32)
    q_mean = (item_weights @ items).astype(np.float32)
    P, Q = users[:, 1:] - p_mean[1:], items[:, 1:] - q_mean[1:]
    bu = users[:, 0] - p_mean[0] + P @ q_mean[1:]
    return Draw(bu, items[:, 0] + p_mean[0] + items[:, 1:] @ p_mean[1:], P, Q)


def compact(draws: Sequence[Draw], rank: int) -> tuple[Scores, Scores]:
    """User and item factors, at most `rank` of them, whose products are nearest to the draws' on average.

    A randomised singular value decomposition: Halko, Martinsson and Tropp (2011), Finding Structure with
    Randomness, algorithms 4.4 and 5.1. Two draws or so that fit within the rank are given as they are.
    """
    A = np.concatenate([draw.pu for draw in draws], axis=1)
    C: Scores = np.concatenate([draw.qi for draw in draws], axis=1)
    C /= np.float32(len(draws))
    if A.shape[1] <= rank:
        return A, C
    width = min(rank + OVERSAMPLED, len(A), len(C))
    Y = np.random.default_rng(SEED).standard_normal((len(C), width), dtype=np.float32)
    for _ in range(POWERS):
        left = np.linalg.qr(A @ (C.T @ Y))[0]
        Y = np.linalg.qr(C @ (A.T @ left))[0]
    U, sizes, Vt = np.linalg.svd(A @ (C.T @ Y), full_matrices=False)
    half = np.sqrt(sizes[:rank])
    P: Scores = U[:, :rank] * half
    Q: Scores = (Y @ Vt.T)[:, :rank] * half
    return P, Q
