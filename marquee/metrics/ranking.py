"""Ranking metrics of top-N lists against held-out relevant items: higher is better.

    top-N lists (marquee.top_n) ──┬─ find_hits ─► ListHits ─► ndcg, average_precision, recall,
    relevant held-out items     ──┘                           precision, hit_rate, reciprocal_rank

Relevance is binary, except for `graded_ndcg`. Each metric is computed per user and then averaged over the
users with at least one relevant item. Relevant items unknown to training cannot be recommended and count as
missed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from marquee.array_types import BoolArray, Float64Array, Int32Array, Int64Array
from marquee.errors import DataError
from marquee.logarithms import log2
from marquee.metrics.beyond_accuracy import check_list_length, has_duplicate_items
from marquee.top_n import PADDING


@dataclass(frozen=True)
class RelevantItems:
    """Relevant held-out items: those of user u are `items[indptr[u]:indptr[u + 1]]`, without repetitions."""

    indptr: Int64Array  # (n_users + 1,)
    items: Int32Array  # (n_relevant,); negative if unknown to training
    weights: Float64Array | None = None  # (n_relevant,), positive; None: all items are equally relevant

    @classmethod
    def from_pairs(
        cls, users: Int32Array, items: Int32Array, n_users: int, weights: Float64Array | None = None
    ) -> "RelevantItems":
        """Group pairs by user. Pairs of unknown (negative) users are dropped, and repeated pairs count once.

        Unknown (negative) items are not merged, since they may be different items. The weight of a repeated
        pair is the first one.

        >>> relevant = RelevantItems.from_pairs(np.array([1, 0, 1]), np.array([5, 2, 5]), n_users=2)
        >>> relevant.indptr.tolist(), relevant.items.tolist()
        ([0, 1, 2], [2, 5])
        """
        order = np.lexsort((items, users))
        users, items = users[order], items[order]
        same_user, same_item = np.diff(users, prepend=PADDING) == 0, np.diff(items, prepend=PADDING) == 0
        is_repeated = same_user & same_item & (items >= 0)
        is_counted = (users >= 0) & ~is_repeated
        indptr = np.zeros(n_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(users[is_counted], minlength=n_users), out=indptr[1:])
        counted_weights = None if weights is None else weights[order][is_counted]
        return cls(indptr, items[is_counted].astype(np.int32), counted_weights)

    def take(self, n_users: int) -> "RelevantItems":
        """Return the relevant items of the first users."""
        end = self.indptr[n_users]
        weights = None if self.weights is None else self.weights[:end]
        return RelevantItems(self.indptr[: n_users + 1], self.items[:end], weights)

    @property
    def owners(self) -> Int64Array:
        """User of each relevant item, shape (n_relevant,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def counts(self) -> Int64Array:
        """Number of relevant items of each user, shape (n_users,)."""
        return np.diff(self.indptr)


@dataclass(frozen=True)
class ListHits:
    """Positions of the hits in the lists of all users with relevant items (the evaluated users)."""

    users: Int64Array  # (n_evaluated,)
    is_hit: BoolArray  # (n_evaluated, N): True if the item in that position is relevant
    n_relevant: Int64Array  # (n_evaluated,), at least 1
    weights: Float64Array | None = None  # (n_evaluated, N): weight of the hit in that position, or 0
    ideal_weights: Float64Array | None = None  # (n_evaluated, N): likewise, of the best possible list


def find_hits(lists: Int32Array, relevant: RelevantItems) -> ListHits:
    """Find the relevant items in top-N lists.

    Args:
        lists: inner ids of each user's recommended items, best first, padded with `PADDING`; shape
            (n_users, N).
        relevant: relevant held-out items of the same users.

    Raises:
        DataError: lists and relevant items have different numbers of users, a list contains an item twice,
            a user with a known relevant item has an empty list, or no user has a relevant item.

    >>> relevant = RelevantItems(indptr=np.array([0, 2, 2]), items=np.array([7, 9]))
    >>> hits = find_hits(np.array([[3, 7, 9], [7, 3, 9]]), relevant)
    >>> hits.users.tolist(), hits.is_hit.tolist()
    ([0], [[False, True, True]])
    """
    if len(lists) != len(relevant.counts):
        raise DataError(f"expected a list for each of {len(relevant.counts)} users (got {len(lists)} lists)")
    users = np.flatnonzero(relevant.counts)
    if not len(users):
        raise DataError("no user has a relevant held-out item: lower measure.relevance_threshold")
    is_known = relevant.items >= 0
    owners, known = relevant.owners[is_known], relevant.items[is_known]
    evaluated = lists[users]
    _check_evaluable(evaluated, users, owners)
    # Pairs of user and item are compared as integers, one for each possible pair.
    codes_per_user = 1 + max(evaluated.max(initial=0), known.max(initial=0))
    list_codes, relevant_codes = users[:, None] * codes_per_user + evaluated, owners * codes_per_user + known
    is_hit = np.isin(list_codes, relevant_codes) & (evaluated != PADDING)
    hits = ListHits(users, is_hit, relevant.counts[users])
    if relevant.weights is None:
        return hits
    order = np.argsort(relevant_codes)
    weights = np.zeros(is_hit.shape)
    positions = np.searchsorted(relevant_codes[order], list_codes[is_hit])
    weights[is_hit] = relevant.weights[is_known][order][positions]
    return replace(hits, weights=weights, ideal_weights=_ideal_weights(relevant, lists.shape[1])[users])


def ndcg(hits: ListHits, n: int) -> Float64Array:
    """Return each user's normalized discounted cumulative gain of the first n positions.

    A hit in position k gains 1 / log2(k + 1). The sum is divided by that of an ideal list, which starts with
    min(n, relevant) hits. Järvelin and Kekäläinen (2002).

    >>> lists = np.array([[3, 7]])
    >>> hits = find_hits(lists, RelevantItems(indptr=np.array([0, 1]), items=np.array([7])))
    >>> round(float(ndcg(hits, 2)[0]), 4)  # 1 / log2(3)
    0.6309
    """
    gains = 1 / log2(np.arange(2, n + 2))
    ideal = np.cumsum(gains)[np.minimum(hits.n_relevant, n) - 1]
    return np.asarray((_first_hits(hits, n, "ndcg") * gains).sum(axis=1) / ideal)


def graded_ndcg(hits: ListHits, n: int) -> Float64Array:
    """Return each user's NDCG of the first n positions, in which an item with weight w gains log2(1 + w).

    The logarithm keeps a single large count from deciding alone. If all weights are 1, it equals `ndcg`.

    Raises:
        DataError: the relevant items have no weights.
    """
    if hits.weights is None or hits.ideal_weights is None:
        raise DataError("graded NDCG needs the weights of the relevant items: explicit feedback has none")
    _first_hits(hits, n, "graded_ndcg")
    discounts = 1 / log2(np.arange(2, n + 2))
    gained, ideal = (
        (log2(1 + weights[:, :n]) * discounts).sum(axis=1) for weights in (hits.weights, hits.ideal_weights)
    )
    return np.asarray(gained / ideal)


def average_precision(hits: ListHits, n: int) -> Float64Array:
    """Return each user's average precision of the first n positions; its mean is the MAP.

    The sum of the precisions at the hits is divided by min(n, relevant), so an ideal list scores 1. Manning,
    Raghavan and Schütze (2008), section 8.4, and trec_eval rank all items and divide by the number of
    relevant items; with that divisor, a list shorter than this number could not score 1.
    """
    is_hit = _first_hits(hits, n, "map")
    precisions = np.cumsum(is_hit, axis=1) / np.arange(1, n + 1)
    return np.asarray((precisions * is_hit).sum(axis=1) / np.minimum(hits.n_relevant, n))


def recall(hits: ListHits, n: int) -> Float64Array:
    """Return the share of each user's relevant items that are in the first n positions."""
    return np.asarray(_first_hits(hits, n, "recall").sum(axis=1) / hits.n_relevant)


def precision(hits: ListHits, n: int) -> Float64Array:
    """Return the share of each user's first n positions that hold a relevant item; padding does not."""
    return np.asarray(_first_hits(hits, n, "precision").sum(axis=1) / n)


def hit_rate(hits: ListHits, n: int) -> Float64Array:
    """Return 1 for each user with a relevant item in the first n positions, else 0."""
    return np.asarray(_first_hits(hits, n, "hit_rate").any(axis=1), dtype=np.float64)


def reciprocal_rank(hits: ListHits, n: int) -> Float64Array:
    """Return 1 / rank of each user's first hit, or 0 without a hit in the first n positions.

    The mean is the MRR.
    """
    is_hit = _first_hits(hits, n, "mrr")
    return np.where(is_hit.any(axis=1), 1 / (1 + is_hit.argmax(axis=1)), 0.0)


RANKING_METRICS: dict[str, Callable[[ListHits, int], Float64Array]] = {
    "ndcg": ndcg,
    "map": average_precision,
    "recall": recall,
    "precision": precision,
    "hit_rate": hit_rate,
    "mrr": reciprocal_rank,
}


def mean_metrics(hits: ListHits, n: int) -> dict[str, float]:
    """Return the mean of each ranking metric over the evaluated users: {"ndcg@10": ..., ...}."""
    return {f"{name}@{n}": float(metric(hits, n).mean()) for name, metric in RANKING_METRICS.items()}


def _ideal_weights(relevant: RelevantItems, n: int) -> Float64Array:
    """Return the n largest weights of each user in descending order, padded with zeros, (n_users, n)."""
    assert relevant.weights is not None, "the caller checks that there are weights"
    owners = relevant.owners
    order = np.lexsort((-relevant.weights, owners))
    ranks = np.arange(len(order)) - relevant.indptr[owners]
    is_first = ranks < n
    ideal = np.zeros((len(relevant.counts), n))
    ideal[owners[is_first], ranks[is_first]] = relevant.weights[order][is_first]
    return ideal


def _first_hits(hits: ListHits, n: int, metric: str) -> BoolArray:
    """Return the hits in the first n positions of each list."""
    check_list_length(hits.is_hit.shape[1], n, metric)
    return hits.is_hit[:, :n]


def _check_evaluable(lists: Int32Array, users: Int64Array, owners: Int64Array) -> None:
    """Raise a DataError if hits cannot be found in the lists of `users`.

    `owners` are the users with a relevant item known to training.
    """
    is_empty = (lists == PADDING).all(axis=1) & np.isin(users, owners)
    if is_empty.any():
        raise DataError(
            f"{is_empty.sum()} users with relevant items have empty lists, the first is user "
            f"{users[is_empty][0]}; each of them needs at least one recommended item"
        )
    has_duplicates = has_duplicate_items(lists)
    if has_duplicates.any():
        raise DataError(f"the list of user {users[has_duplicates][0]} contains an item twice")
