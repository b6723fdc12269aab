"""Audience of a model: the training users, and newcomers, who get lists from their histories alone.

    training users   inner ids 0 to n - 1    ─► lists from the fitted model
    newcomers        ids n, n + 1, ...       ─► lists from their histories (fold-in)

A newcomer's history is later than the cut, so it must not be trained on: the other users' held-out
interactions may be earlier. Newcomers are scored from their histories if the algorithm can do that
(`Algorithm.uses_histories`), else as unknown users. The methods of `Algorithm` that take inner ids treat
newcomers, like all ids outside the training set, as unknown users.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.algorithms.scoring import UserItemPairs, encode_pairs
from marquee.algorithms.threads import limit_threads
from marquee.algorithms.top_n_retrieval import SeenItems, recommend_from_algorithm, recommend_from_scorer
from marquee.array_types import BoolArray, Float64Array, Int32Array
from marquee.interactions.columns import ITEM, USER, value_column
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.metrics.beyond_accuracy import mean_popularity

NO_HISTORIES = SparseRows(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0))


@dataclass(frozen=True)
class Audience:
    """Users who get lists: the training users in the order of their inner ids, then the newcomers.

    Attributes:
        train: training matrix.
        histories: items and values of each newcomer, with inner ids of the training matrix. Items without
            training rows are left out, so a history may be empty.
        allows_repeats: True if items that a user has interacted with may be recommended.
    """

    train: InteractionMatrix
    histories: SparseRows = NO_HISTORIES
    allows_repeats: bool = False

    @property
    def n_users(self) -> int:
        """Number of training users and newcomers."""
        return self.train.n_users + len(self.histories.counts)

    @property
    def is_newcomer(self) -> BoolArray:
        """True for newcomers, (n_users,)."""
        return np.arange(self.n_users) >= self.train.n_users

    @cached_property
    def known(self) -> SeenItems:
        """Items that each user has interacted with, in training or in their history."""
        train, histories = self.train, self.histories
        if not len(histories.counts):
            return SeenItems(train.indptr, train.items)
        indptr = np.concatenate([train.indptr, train.indptr[-1] + histories.indptr[1:]])
        return SeenItems(indptr, np.concatenate([train.items, histories.indices]))

    @property
    def seen(self) -> SeenItems:
        """Items that must not be recommended."""
        return see_nothing(self.n_users) if self.allows_repeats else self.known

    @property
    def profile_popularity(self) -> Float64Array:
        """Mean popularity of the items that each user has interacted with, (n_users,); NaN without items."""
        return mean_popularity(*self.known, self.train.item_counts())

    def recommend(self, algorithm: Algorithm, n: int, users: Int32Array | None = None) -> Int32Array:
        """Return the best n items of each of these users; None: of all users, in order.

        Args:
            algorithm: model fitted on the training matrix.
            n: length of the lists; shorter ones are padded.
            users: ids in the audience.

        Raises:
            DivergedError: a score is not finite.
        """
        users = np.arange(self.n_users, dtype=np.int32) if users is None else np.ascontiguousarray(users)
        is_newcomer, seen = users >= self.train.n_users, self.seen
        if not is_newcomer.any():
            return recommend_from_algorithm(algorithm, *seen, n, users=users)[0]
        lists = np.empty((len(users), n), dtype=np.int32)
        lists[~is_newcomer], _ = recommend_from_algorithm(algorithm, *seen, n, users=users[~is_newcomer])
        lists[is_newcomer] = recommend_from_histories(
            algorithm, self.histories, seen, n, users=users[is_newcomer], first_user=self.train.n_users
        )
        return lists


def recommend_from_histories(
    algorithm: Algorithm,
    histories: SparseRows,
    seen: SeenItems,
    n: int,
    *,
    users: Int32Array | None = None,
    first_user: int = 0,
) -> Int32Array:
    """Return the best n items of users who are not in the training set, (len(users), n).

    Args:
        algorithm: fitted model.
        histories: items and values of all such users, with inner ids of the training set.
        seen: items that must not be recommended, by user id.
        n: length of the lists; shorter ones are padded.
        users: ids; None: all users in `seen`, in order.
        first_user: id of the user with the first history; the others follow it.

    Raises:
        DivergedError: a score is NaN or plus infinity.
    """
    score_rows = algorithm.build_history_scorer()

    def score(block: Int32Array) -> Float64Array:
        rows = histories.take(block - first_user)
        return score_rows(rows.indptr, rows.indices, rows.values)

    with limit_threads(1) if algorithm.is_random else nullcontext():
        lists, _ = recommend_from_scorer(score, *seen, algorithm.trainset.n_items, n, users=users)
    return lists


def see_nothing(n_users: int) -> SeenItems:
    """Return that no user has seen any item."""
    return SeenItems(np.zeros(n_users + 1, dtype=np.int64), np.zeros(0, dtype=np.int32))


def encode_audience(
    history: pd.DataFrame, held_out: pd.DataFrame, matrix: InteractionMatrix
) -> tuple[SparseRows, UserItemPairs]:
    """Return the histories of newcomers, and held-out pairs with ids of the audience.

    Args:
        history: first interactions of the newcomers, who have no training rows.
        held_out: held-out pairs of training users, newcomers, and others.
        matrix: training matrix.
    """
    newcomers = pd.Index(history[USER].unique())
    pairs, found = encode_pairs(held_out, matrix), newcomers.get_indexer(pd.Index(held_out[USER]))
    ids = np.where(found >= 0, matrix.n_users + found, pairs.users).astype(np.int32)
    histories = encode_histories(history, newcomers, matrix)
    return histories, UserItemPairs(ids, pairs.items, pairs.actual)


def encode_histories(history: pd.DataFrame, users: pd.Index, matrix: InteractionMatrix) -> SparseRows:
    """Return the histories of users, in the order of `users`; items without training rows are left out."""
    return group_histories(number_pairs(history, users, matrix), len(users))


def number_pairs(pairs: pd.DataFrame, users: pd.Index, matrix: InteractionMatrix) -> UserItemPairs:
    """Return pairs with the position of each user in `users`, and the inner id of each item or UNKNOWN."""
    items = pd.Index(matrix.item_ids).get_indexer(pd.Index(pairs[ITEM])).astype(np.int32)
    rows = users.get_indexer(pd.Index(pairs[USER])).astype(np.int32)
    return UserItemPairs(rows, items, pairs[value_column(pairs)].to_numpy(dtype=np.float64))


def group_histories(pairs: UserItemPairs, n_users: int) -> SparseRows:
    """Return the pairs with known items by user; `pairs.users` are in range(n_users)."""
    is_known = pairs.items != UNKNOWN
    return SparseRows.from_triplets(
        pairs.users[is_known], pairs.items[is_known], pairs.actual[is_known], n_users
    )
