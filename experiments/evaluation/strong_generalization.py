"""Strong generalization: lists for users who were left out of the training, from part of their interactions.

    all interactions ─┬─ of the other users ──► training matrix ──► fitted model ─┐
                      └─ of the left-out users ─┬─ 80% of each user's pairs: history ─► lists
                                                └─ 20%: held out ─────────────────────► NDCG

A score on the test set says how well a model continues the histories that it was trained on. Most visitors
arrive after the training, and are served from their history alone. Source: Marlin (2004), Collaborative
Filtering: A Machine Learning Perspective, section 3.3; shares as in Liang et al. (2018), Variational
Autoencoders for Collaborative Filtering, section 4.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.evaluation.audience import (
    encode_histories,
    number_pairs,
    recommend_from_histories,
    see_nothing,
)
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.evaluation.test_set import TestListScores, TestScore
from marquee.algorithms.base import Algorithm
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.top_n_retrieval import SeenItems
from marquee.algorithms.trainset import build_trainset
from marquee.array_types import BoolArray, Int64Array, RatingScale
from marquee.errors import DataError
from marquee.interactions.columns import TIMESTAMP, USER
from marquee.metrics.ranking import RelevantItems
from marquee.model.recipe import Recipe

LEFT_OUT_SHARE = 0.1  # of the users
MAX_LEFT_OUT_USERS = 10_000  # intervals are narrow enough, and more would take minutes
HELD_OUT_SHARE = 0.2  # of the pairs of a left-out user


@dataclass(frozen=True)
class UserCut:
    """Pairs of user and item, cut by user; three tables with the columns of the interactions table.

    Attributes:
        train: pairs of all other users.
        history: pairs of the left-out users that are known when the rest is predicted.
        held_out: the other pairs of the left-out users.
    """

    train: pd.DataFrame
    history: pd.DataFrame
    held_out: pd.DataFrame


def leave_out_users(pairs: pd.DataFrame, seed: int, *, by_time: bool) -> UserCut:
    """Leave out a random tenth of the users, and hold out a fifth of the pairs of each of them.

    A user with one pair has no held-out pair; every other left-out user has at least one.

    Args:
        pairs: one row for each pair of user and item.
        seed: seed of the draws.
        by_time: hold out each user's latest pairs; False: random ones.

    Raises:
        DataError: there is only one user.
    """
    users, ids = pd.factorize(pairs[USER])
    n_left_out = min(max(1, round(LEFT_OUT_SHARE * len(ids))), MAX_LEFT_OUT_USERS)
    if len(ids) < 2:
        raise DataError("users cannot be left out of the training: there is only one")
    rng = np.random.default_rng(seed)
    is_left_out = np.zeros(len(ids), dtype=bool)
    is_left_out[rng.permutation(len(ids))[:n_left_out]] = True
    left_out = pairs[is_left_out[users]]
    order = left_out[TIMESTAMP].to_numpy() if by_time else rng.permutation(len(left_out))
    is_held_out = _mark_last_pairs(users[is_left_out[users]], order)
    return UserCut(pairs[~is_left_out[users]], left_out[~is_held_out], left_out[is_held_out])


class LeftOutUsers:
    """Evaluates models on users that they were not fitted with.

    Args:
        cut: pairs of all users, cut by user.
        protocol: length of the lists, and which held-out items are relevant.
        scale: lowest and highest rating; without a meaning for implicit feedback.
        allow_repeats: recommend items of the history, too.

    Raises:
        DataError: no left-out user has a relevant held-out item.
    """

    def __init__(
        self, cut: UserCut, protocol: EvaluationProtocol, scale: RatingScale, *, allow_repeats: bool = False
    ) -> None:
        self._protocol, self._trainset = protocol, build_trainset(cut.train, scale)
        ids = pd.Index(cut.history[USER].unique())
        self.n_users = len(ids)
        self._histories = encode_histories(cut.history, ids, self._trainset.matrix)
        self._relevant = self._encode_relevant(cut.held_out, ids)
        if not len(self._relevant.items):
            raise DataError("no user that was left out of the training has a relevant held-out item")
        seen = SeenItems(self._histories.indptr, self._histories.indices)
        self._seen = see_nothing(self.n_users) if allow_repeats else seen

    @property
    def n_evaluated(self) -> int:
        """Number of left-out users with a relevant held-out item."""
        return int((self._relevant.counts > 0).sum())

    def fit_and_score(self, recipe: Recipe) -> TestScore:
        """Fit a recipe to the other users, and score its lists for the left-out users.

        Raises:
            DivergedError: a parameter or a score is not finite.
        """
        algorithm = find_algorithm(recipe.algorithm).create(recipe.parameters, recipe.seed)
        algorithm.fit(self._trainset)
        return TestScore(recipe.algorithm, lists=self._score_lists(algorithm))

    def _score_lists(self, algorithm: Algorithm) -> TestListScores:
        lists = recommend_from_histories(algorithm, self._histories, self._seen, self._protocol.n)
        nobody, n_items = np.zeros(self.n_users, dtype=bool), self._trainset.n_items
        return TestListScores.from_lists(lists, self._relevant, nobody, n_items, self._protocol)

    def _encode_relevant(self, held_out: pd.DataFrame, ids: pd.Index) -> RelevantItems:
        pairs = number_pairs(held_out, ids, self._trainset.matrix)
        is_relevant = self._protocol.is_relevant(pairs.actual)
        weights = pairs.actual[is_relevant] if self._protocol.is_graded else None
        return RelevantItems.from_pairs(pairs.users[is_relevant], pairs.items[is_relevant], len(ids), weights)


def _mark_last_pairs(users: Int64Array, order: Int64Array) -> BoolArray:
    """Mark the last fifth of each user's rows in the given order; rows of equal order are in source order."""
    by_user = np.lexsort((order, users))  # stable
    ordered = users[by_user]
    counts = np.bincount(users)[ordered]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    from_start = np.arange(len(ordered)) - np.repeat(starts, np.diff(starts, append=len(ordered)))
    n_held_out = np.maximum(np.floor(HELD_OUT_SHARE * counts + 0.5), 1)
    is_last = np.empty(len(users), dtype=bool)
    is_last[by_user] = (counts > 1) & (from_start >= counts - n_held_out)
    return is_last
