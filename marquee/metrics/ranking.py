"""How good lists are for those who get them: per user first, then the mean. Higher is better.

    top-N lists (marquee.top_n)   ──┐
    held-out relevant items      ──┴─ judge ──► Judged ──► ndcg, average_precision, recall, precision,
                                                           hit_rate, reciprocal_rank

Relevance is yes or no. Users without a relevant held-out item are not counted, for no list could please
or fail them. An item that training did not see is in no list: where it is relevant, it is missed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from marquee.arrays import Floats, Indices, Integers, Mask
from marquee.errors import DataError
from marquee.metrics.beyond_accuracy import named_twice, refuse_short
from marquee.top_n import NONE


@dataclass(frozen=True)
class Relevant:
    """Held-out relevant items: those of user u are `items[indptr[u]:indptr[u + 1]]`, each once."""

    indptr: Indices  # (n_users + 1,)
    items: Integers  # (n,); negative: an item that training did not see

    @classmethod
    def from_pairs(cls, users: Integers, items: Integers, n_users: int) -> "Relevant":
        """Group pairs by user; pairs of negative (unknown) users are left out, repeated ones count once."""
        order = np.lexsort((items, users))
        users, items = users[order], items[order]
        repeated = (np.diff(users, prepend=NONE) == 0) & (np.diff(items, prepend=NONE) == 0) & (items >= 0)
        kept = (users >= 0) & ~repeated
        indptr = np.zeros(n_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(users[kept], minlength=n_users), out=indptr[1:])
        return cls(indptr, items[kept].astype(np.int32))

    @property
    def counts(self) -> Indices:
        """Number of relevant items of each user, shape (n_users,)."""
        return np.diff(self.indptr)


@dataclass(frozen=True)
class Judged:
    """Where the relevant items stand in the lists of those users who have any."""

    users: Indices  # (n_judged,)
    hits: Mask  # (n_judged, length of the lists): a relevant item in that place
    n_relevant: Indices  # (n_judged,), all above zero


def judge(lists: Integers, relevant: Relevant) -> Judged:
    """Mark the relevant items in top-N lists.

    Args:
        lists: item numbers of each user's list, best first, padded with `NONE`; shape (n_users, N).
        relevant: what the same users chose among the items held out.

    Raises:
        DataError: there is not a list for every user, a list names an item twice, nothing was scored for
            a user who is to be judged, or nobody is.
    """
    if len(lists) != len(relevant.counts):
        raise DataError(
            f"{len(lists)} lists cannot be judged for {len(relevant.counts)} users: score each user"
        )
    users = np.flatnonzero(relevant.counts)
    if not len(users):
        raise DataError("no user has a relevant held-out item: lower the rating that counts as relevant")
    owners = np.repeat(np.arange(len(relevant.counts)), relevant.counts)[relevant.items >= 0]
    known = relevant.items[relevant.items >= 0]
    judged = lists[users]
    _refuse_unusable(judged, users, owners)
    width = 1 + max(judged.max(initial=0), known.max(initial=0))
    hits = np.isin(users[:, None] * width + judged, owners * width + known) & (judged != NONE)
    return Judged(users, hits, relevant.counts[users])


def ndcg(judged: Judged, n: int) -> Floats:
    """Each user's normalised discounted cumulative gain of the first n places.

    A hit in place k gains 1 / log2(k + 1); the sum is divided by that of the best possible list, which
    has min(n, relevant) hits in front. Järvelin and Kekäläinen (2002).
    """
    gains = 1 / np.log2(np.arange(2, n + 2))
    best = np.cumsum(gains)[np.minimum(judged.n_relevant, n) - 1]
    return np.asarray((_first(judged, n, "ndcg") * gains).sum(axis=1) / best)


def average_precision(judged: Judged, n: int) -> Floats:
    """Each user's average precision of the first n places; the mean of it is the MAP.

    The precision at the place of each hit, summed and divided by min(n, relevant), so that the best
    possible list has 1. Manning, Raghavan and Schütze (2008), section 8.4; there, and in trec_eval, the
    lists have no end and the divisor is the number of relevant items, more than n places can hold.
    """
    hits = _first(judged, n, "map")
    precisions = np.cumsum(hits, axis=1) / np.arange(1, n + 1)
    return np.asarray((precisions * hits).sum(axis=1) / np.minimum(judged.n_relevant, n))


def recall(judged: Judged, n: int) -> Floats:
    """Which share of each user's relevant items is in the first n places."""
    return np.asarray(_first(judged, n, "recall").sum(axis=1) / judged.n_relevant)


def precision(judged: Judged, n: int) -> Floats:
    """Which share of each user's first n places holds a relevant item; an empty place does not."""
    return np.asarray(_first(judged, n, "precision").sum(axis=1) / n)


def hit_rate(judged: Judged, n: int) -> Floats:
    """1 for a user with a relevant item in the first n places, else 0."""
    return np.asarray(_first(judged, n, "hit_rate").any(axis=1), dtype=np.float64)


def reciprocal_rank(judged: Judged, n: int) -> Floats:
    """1 / place of each user's first relevant item, 0 if the first n have none; the mean of it is the MRR."""
    hits = _first(judged, n, "mrr")
    return np.where(hits.any(axis=1), 1 / (1 + hits.argmax(axis=1)), 0.0)


METRICS: dict[str, Callable[[Judged, int], Floats]] = {
    "ndcg": ndcg,
    "map": average_precision,
    "recall": recall,
    "precision": precision,
    "hit_rate": hit_rate,
    "mrr": reciprocal_rank,
}


def means(judged: Judged, n: int) -> dict[str, float]:
    """The mean of each metric over the users who are judged: {"ndcg@10": ..., ...}."""
    return {f"{name}@{n}": float(metric(judged, n).mean()) for name, metric in METRICS.items()}


def _first(judged: Judged, n: int, metric: str) -> Mask:
    refuse_short(judged.hits.shape[1], n, metric)
    return judged.hits[:, :n]


def _refuse_unusable(judged: Integers, users: Indices, owners: Indices) -> None:
    """Refuse lists that would be judged wrongly; `owners` have a relevant item that training knows."""
    empty = (judged == NONE).all(axis=1) & np.isin(users, owners)
    if empty.any():
        raise DataError(
            f"{empty.sum()} users with relevant items have nothing in their lists, the first is user "
            f"{users[empty][0]}: score every item for them"
        )
    twice = named_twice(judged)
    if twice.any():
        raise DataError(f"the list of user {users[twice][0]} names an item twice: each item may stand once")
