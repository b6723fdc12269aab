"""Ranking task: 80% of the interactions to train on, and the relevant ones of the held-out 20%."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse

from benchmarks.ratings import SEED, load_movielens
from marquee.algorithms.base import Algorithm
from marquee.algorithms.scoring import encode_pairs
from marquee.algorithms.top_n_retrieval import recommend_from_algorithm
from marquee.array_types import Float32Array, Int32Array
from marquee.interactions.columns import ITEM, RATING, USER, WEIGHT, FeedbackType
from marquee.interactions.matrix import InteractionMatrix
from marquee.interactions.splitting import split_at_random
from marquee.metrics.ranking import RelevantItems, find_hits, ndcg

TEST_SHARE = 0.2
RELEVANCE_THRESHOLD = 4.0  # ratings from here on are hits; without ratings, all held-out items are
N = 10  # of NDCG@10
N_TOY_ROWS = 2000


@dataclass(frozen=True)
class RankingTask:
    """Training interactions, and the relevant held-out items.

    Attributes:
        feedback: explicit if there are ratings.
        train: training interactions, in source order.
        matrix: the same as a matrix; its inner ids number users and items everywhere.
        relevant: relevant held-out items of each training user.
    """

    feedback: FeedbackType
    train: pd.DataFrame
    matrix: InteractionMatrix
    relevant: RelevantItems

    @property
    def threshold(self) -> float:
        """Lowest value of a positive."""
        return RELEVANCE_THRESHOLD if self.feedback == "explicit" else 0.0

    @cached_property
    def seen(self) -> scipy.sparse.csr_matrix:
        """All training interactions with value 1, (n_users, n_items)."""
        return _to_scipy(self.matrix, np.ones(len(self.matrix.items), np.float32))

    @cached_property
    def liked(self) -> scipy.sparse.csr_matrix:
        """The positives with value 1, (n_users, n_items)."""
        liked = _to_scipy(self.matrix, (self.matrix.values >= self.threshold).astype(np.float32))
        liked.eliminate_zeros()
        return liked

    @property
    def users(self) -> Int32Array:
        """Inner ids of all users."""
        return np.arange(self.matrix.n_users, dtype=np.int32)

    def recommend(self, algorithm: Algorithm, n: int = N) -> Int32Array:
        """Return the lists of all users, without their training items."""
        return recommend_from_algorithm(algorithm, self.matrix.indptr, self.matrix.items, n)[0]

    def score_lists(self, lists: npt.ArrayLike) -> float:
        """Return the mean NDCG@10 over the users with a relevant held-out item."""
        return float(ndcg(find_hits(np.asarray(lists, dtype=np.int32)[:, :N], self.relevant), N).mean())

    def score(self, algorithm: Algorithm) -> float:
        """Return the NDCG@10 of a fitted algorithm."""
        return self.score_lists(self.recommend(algorithm))


@cache
def load_task(name: str, feedback: FeedbackType = "explicit") -> RankingTask:
    """Split a MovieLens data set; implicit: without its rating column.

    Raises:
        SourceError: the data set is not in MARQUEE_DATA_DIR.
    """
    interactions = load_movielens(name).astype({USER: str, ITEM: str})  # as in fitted models
    if feedback == "implicit":
        interactions = interactions.drop(columns=RATING).assign(**{WEIGHT: 1.0})
    return build_task(interactions, feedback)


def build_task(interactions: pd.DataFrame, feedback: FeedbackType) -> RankingTask:
    """Hold out a random 20% of the rows, and build the task."""
    split = split_at_random(len(interactions), TEST_SHARE, SEED)
    train = interactions.iloc[split.train].reset_index(drop=True)
    matrix = InteractionMatrix.from_frame(train)
    held_out = encode_pairs(interactions.iloc[split.test], matrix)
    threshold = RELEVANCE_THRESHOLD if feedback == "explicit" else 0.0
    is_relevant = held_out.actual >= threshold
    relevant = RelevantItems.from_pairs(
        held_out.users[is_relevant], held_out.items[is_relevant], matrix.n_users
    )
    return RankingTask(feedback, train, matrix, relevant)


def make_toy_task(task: RankingTask) -> RankingTask:
    """Return a small task of the same kind, on which algorithms compile before they are measured."""
    return build_task(task.train.iloc[:N_TOY_ROWS], task.feedback)


def time_call(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = perf_counter()
    function()
    return perf_counter() - start


def _to_scipy(matrix: InteractionMatrix, values: Float32Array) -> scipy.sparse.csr_matrix:
    shape = (matrix.n_users, matrix.n_items)
    # SciPy would share the arrays, and `eliminate_zeros` would overwrite those of the interaction matrix.
    return scipy.sparse.csr_matrix((values, matrix.items, matrix.indptr), shape=shape, copy=True)
