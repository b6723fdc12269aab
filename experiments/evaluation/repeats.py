"""Held-out pairs that their users have an earlier row of: does a list that allows known items contain them?

Lists of the test set leave out what a user knows, so repeats are not in its scores. A shop that sells the
same thing twice has to know how many there are, and whether the recommender would find them. The reference is
the simplest list of known items: those to which the user gave the highest weights or ratings.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from experiments.evaluation.audience import NO_HISTORIES, Audience
from experiments.evaluation.protocol import EvaluationProtocol
from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.algorithms.scoring import UserItemPairs
from marquee.algorithms.top_n_retrieval import recommend_from_scorer
from marquee.array_types import Float64Array, Int32Array
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.metrics.ranking import RelevantItems, find_hits, hit_rate, recall


@dataclass(frozen=True)
class RepeatScore:
    """How many relevant repeats lists contain.

    Attributes:
        recall: share of a user's relevant repeats in the list, mean over the users that have some.
        hit_rate: share of these users whose list contains at least one.
    """

    recall: float
    hit_rate: float

    @classmethod
    def from_lists(cls, lists: Int32Array, relevant: RelevantItems) -> Self:
        """Score lists of all users of an audience, (n_users, n)."""
        hits, n = find_hits(lists, relevant), lists.shape[1]
        return cls(float(recall(hits, n).mean()), float(hit_rate(hits, n).mean()))


@dataclass(frozen=True)
class RepeatScores:
    """Scores on repeats, with the number of users that have relevant ones.

    Attributes:
        n_users: users with a relevant repeat.
        recommender: lists of the recommender, in which known items are allowed.
        own_items: the known items of which the user has the highest values.
    """

    n_users: int
    recommender: RepeatScore
    own_items: RepeatScore

    def to_record(self) -> dict[str, float]:
        """Return the scores as flat JSON values."""
        return {
            "users": self.n_users,
            "recall": self.recommender.recall,
            "hit_rate": self.recommender.hit_rate,
            "own_items_recall": self.own_items.recall,
            "own_items_hit_rate": self.own_items.hit_rate,
        }


def score_repeats(
    algorithm: Algorithm,
    matrix: InteractionMatrix,
    repeats: UserItemPairs,
    protocol: EvaluationProtocol,
    histories: SparseRows = NO_HISTORIES,
) -> RepeatScores | None:
    """Score the lists of a fitted recommender on repeats, beside each user's own items.

    Args:
        algorithm: fitted on the matrix.
        matrix: training matrix.
        repeats: held-out pairs that their users have an earlier row of, with ids of the `Audience`.
        protocol: length of the lists, and which held-out items are relevant.
        histories: those of the newcomers.

    Returns:
        The scores; None if no user of the audience has a relevant repeat.
    """
    is_relevant = protocol.is_relevant(repeats.actual) & (repeats.users != UNKNOWN)
    if not is_relevant.any():
        return None
    users, items = repeats.users[is_relevant], repeats.items[is_relevant]
    audience = Audience(matrix, histories, allows_repeats=True)
    relevant = RelevantItems.from_pairs(users, items, audience.n_users)
    lists = audience.recommend(algorithm, protocol.n)
    return RepeatScores(
        int((relevant.counts > 0).sum()),
        RepeatScore.from_lists(lists, relevant),
        RepeatScore.from_lists(_list_own_items(audience, protocol.n), relevant),
    )


def _list_own_items(audience: Audience, n: int) -> Int32Array:
    """Return the items with the highest values of each user, (n_users, n)."""
    (indptr, items), n_items = audience.known, audience.train.n_items
    values = np.concatenate([audience.train.values, audience.histories.values])

    def score(users: Int32Array) -> Float64Array:
        scores = np.full((len(users), n_items), -np.inf)  # excludes items that the user does not know
        counts = np.diff(indptr)[users]
        entries = slice(indptr[users[0]], indptr[users[-1] + 1])  # blocks are consecutive users
        scores[np.repeat(np.arange(len(users)), counts), items[entries]] = values[entries]
        return scores

    lists, _ = recommend_from_scorer(score, *audience.seen, n_items, n)
    return lists
