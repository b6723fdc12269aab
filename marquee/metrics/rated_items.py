"""NDCG over rated items only: does a model put first, among the items a user rated, those the user liked?

Lists of the full catalog mostly measure which items users choose. This metric looks only at held-out items
that users did choose, so it measures how satisfied they were.
"""

import numpy as np
import numpy.typing as npt

from marquee.array_types import BoolArray, Float64Array, Int32Array, Int64Array
from marquee.errors import DivergedError
from marquee.logarithms import log2


def rated_ndcg(
    users: Int32Array, scores: npt.ArrayLike, is_relevant: BoolArray, n: int
) -> tuple[Int64Array, Float64Array]:
    r"""Return the NDCG of each user's rated held-out items, ordered by a model's scores.

    .. math:: \frac{\sum_{i \in R_u} g(k_i)}{\sum_{k=1}^{\min(n, |R_u|)} g(k)}, \qquad
        g(k) = \frac{1}{\log_2(k + 1)} \text{ if } k \le n, \text{ else } 0

    where :math:`R_u` are the user's relevant items and :math:`k_i` is the position of item i. Items with
    equal scores share the mean gain of their positions, the expected value if ties are broken at random:
    McSherry and Najork (2008), Computing Information Retrieval Performance Measures Efficiently in the
    Presence of Tied Scores.

    Args:
        users: user of each rated held-out item, (n_pairs,).
        scores: scores of a model for these pairs, (n_pairs,); a higher score ranks first.
        is_relevant: True where the rating reaches the relevance threshold, (n_pairs,).
        n: positions to use.

    Returns:
        Users with a relevant item, in ascending order, and the value of each.

    Raises:
        DivergedError: a score is not finite.

    >>> users, is_relevant = np.array([4, 4, 4], dtype=np.int32), np.array([True, False, False])
    >>> [rated_ndcg(users, scores, is_relevant, 10)[1].round(4).tolist() for scores in ([2, 1, 0], [1, 2, 0])]
    [[1.0], [0.6309]]
    >>> rated_ndcg(users, [1, 1, 1], is_relevant, 10)[1].round(4).tolist()  # (1 + 0.6309 + 0.5) / 3
    [0.7103]
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise DivergedError(f"{np.count_nonzero(~np.isfinite(scores))} scores of rated items are not finite")
    order = np.lexsort((-scores, users))
    users, scores, is_relevant = users[order], scores[order], is_relevant[order]
    gains = _tied_gains(users, scores, n)
    evaluated, rows = np.unique(users[is_relevant], return_inverse=True)
    counts = np.bincount(rows, minlength=len(evaluated))
    ideal = np.concatenate([[0.0], np.cumsum(_gains(np.arange(n)))])[np.minimum(counts, n)]
    return evaluated.astype(np.int64), np.bincount(rows, gains[is_relevant], len(evaluated)) / ideal


def _tied_gains(users: Int32Array, scores: Float64Array, n: int) -> Float64Array:
    """Return the gain of each item: the mean over the positions of the items with the same user and score."""
    is_new_user = np.diff(users, prepend=-1) != 0
    starts = np.maximum.accumulate(np.where(is_new_user, np.arange(len(users)), 0))
    positions = np.arange(len(users)) - starts
    gains = np.where(positions < n, _gains(positions), 0.0)
    groups = np.cumsum(is_new_user | (np.diff(scores, prepend=np.nan) != 0)) - 1
    return np.asarray((np.bincount(groups, gains) / np.bincount(groups))[groups])


def _gains(positions: Int64Array) -> Float64Array:
    return 1 / log2(positions + 2)
