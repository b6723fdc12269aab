"""Order of scored items: the best first, and among equal ones the one that comes first in the ranking."""

from collections.abc import Iterator, Sequence, Set

import numpy as np

from marquee.array_types import BoolArray, Float32Array, Float64Array, FloatArray, Int32Array, Int64Array
from service.recommendation.item_similarities import ItemSimilarities

VALUES_PER_BLOCK = 64
BLOCKS_PER_ITEM = 3  # with fewer blocks for each of the n items, many more than n values reach the bound
ScoredItem = tuple[int, float | None]  # inner id; score of the recommender, or None if it was not scored


def iter_best(
    priorities: FloatArray, scores: Float32Array, allowed: BoolArray, n_expected: int
) -> Iterator[ScoredItem]:
    """Yield the allowed items with their scores, in descending order of their priorities.

    Args:
        priorities: values to order by, shape (n_items,); among equal ones, lower inner ids come first.
        scores: scores to return, shape (n_items,).
        allowed: items to yield, shape (n_items,).
        n_expected: number of items that are expected to be enough; further ones are sorted when needed.
    """
    values = np.where(allowed, priorities, -np.inf)
    threshold = _find_lower_bound(values, n_expected)
    yield from _iter_sorted((values >= threshold) & allowed, priorities, scores)
    yield from _iter_sorted((values < threshold) & allowed, priorities, scores)


def _iter_sorted(part: BoolArray, priorities: FloatArray, scores: Float32Array) -> Iterator[ScoredItem]:
    items = np.flatnonzero(part)
    ranked = items[np.argsort(-priorities[items], kind="stable")]
    return zip(ranked.tolist(), scores[ranked].tolist(), strict=True)


def _find_lower_bound(values: FloatArray, n: int) -> float:
    """Return a number that at least n of the values reach and few others do, or minus infinity.

    The n-th largest of the maxima of blocks of values is such a number. Minus infinity is returned if there
    are too few blocks. This takes a tenth of the time of a partition of all values.
    """
    n_blocks = len(values) // VALUES_PER_BLOCK
    if n_blocks < BLOCKS_PER_ITEM * n:
        return -np.inf
    maxima = values[: n_blocks * VALUES_PER_BLOCK].reshape(VALUES_PER_BLOCK, n_blocks).max(axis=0)
    return float(np.partition(maxima, n_blocks - n)[n_blocks - n])


def boost_scores(scores: FloatArray, factors: Float64Array | None) -> FloatArray:
    r"""Return boosted scores, shape as `scores`.

    .. math:: s' = l + f (s - l)

    where l is the lowest of the scores. For scores of any sign, a factor above 1 moves no item down, a factor
    below 1 moves none up, and items with equal factors keep their order.

    >>> boost_scores(np.array([-1.0, 0.0, 1.0]), np.array([1.0, 3.0, 1.0])).tolist()
    [-1.0, 2.0, 1.0]
    """
    if factors is None or not len(scores):
        return scores
    lowest = np.float64(scores.min())
    return np.asarray(lowest + factors * (scores.astype(np.float64) - lowest))


def boost_positions(n: int, factors: Float64Array | None) -> Float64Array:
    """Return the boosted scores of n items without scores: each factor divided by the position from 1."""
    return np.asarray((1.0 if factors is None else factors) / np.arange(1, n + 1))


def iter_diverse(  # noqa: PLR0917  candidates are three arrays
    items: Int32Array | Int64Array,
    priorities: FloatArray,
    scores: Sequence[float | None],
    similarities: ItemSimilarities,
    strength: float,
    selected: Set[int],
) -> Iterator[ScoredItem]:
    r"""Yield items by maximal marginal relevance (Carbonell and Goldstein 1998).

    The next item is the one with the largest

    .. math:: (1 - \delta) r_i - \delta \max_{j \in S} s_{ij}

    where :math:`r_i` is the priority of an item, scaled to the range from 0 to 1 of the candidates, and S are
    the items that are selected when the next one is asked for.

    Args:
        items: candidates, shape (n,); among equal ones, the first comes first.
        priorities: value of each candidate, shape (n,).
        scores: score of each candidate, to return.
        similarities: :math:`s_{ij}`, from 0 to 1.
        strength: :math:`\delta`, from 0 (the order of the priorities) to below 1.
        selected: S; the consumer adds items to it.
    """
    if not len(items):
        return
    positions = np.full(similarities.n_items, -1, dtype=np.int64)
    positions[items] = np.arange(len(items))
    relevance = (1 - strength) * scale_to_unit_range(priorities)
    redundancy = np.zeros(len(items))
    values = relevance.copy()

    def add_selected(item: int) -> None:
        others, similarity = similarities.of_item(item)
        rows = positions[others]
        is_candidate = rows >= 0
        rows = rows[is_candidate]
        redundancy[rows] = np.maximum(redundancy[rows], similarity[is_candidate])
        values[rows] = np.where(
            np.isneginf(values[rows]), -np.inf, relevance[rows] - strength * redundancy[rows]
        )

    for item in selected:
        add_selected(item)
    for _ in range(len(items)):
        best = int(values.argmax())
        item = int(items[best])
        yield item, scores[best]
        values[best] = -np.inf
        if item in selected:
            add_selected(item)


def scale_to_unit_range(values: FloatArray) -> Float64Array:
    """Return the values moved and divided so that the lowest is 0 and the highest 1; 0 if all are equal."""
    shifted = values.astype(np.float64) - np.float64(values.min())
    highest = shifted.max()
    return np.asarray(shifted / highest if highest > 0 else shifted)
