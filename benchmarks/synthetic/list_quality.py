"""List quality of a few algorithms on a random split: NDCG@10, relative to the most popular items.

A random 20% of the ratings are held out. The lists rank the full catalog without the items that the user
rated in training. Hits are held-out ratings of 4 or more; users without one are not evaluated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from benchmarks.synthetic.statistic_row import StatisticsByName
from marquee.algorithms.base import Algorithm
from marquee.algorithms.baseline_only import BaselineOnly
from marquee.algorithms.bayesian import BayesianMF
from marquee.algorithms.ease import EASE
from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR
from marquee.algorithms.popularity import Popularity
from marquee.algorithms.scoring import UserItemPairs, encode_pairs
from marquee.algorithms.svd import SVD, SVDpp
from marquee.algorithms.top_n_retrieval import recommend_from_algorithm
from marquee.array_types import Int32Array
from marquee.interactions.matrix import InteractionMatrix
from marquee.interactions.splitting import split_at_random
from marquee.metrics.ranking import RelevantItems, find_hits, ndcg

TEST_SHARE = 0.2
THRESHOLD = 4.0  # lowest rating of a hit, and of a positive of the ranking models
LIST_LENGTH = 10
EASE_REGULARIZATIONS = (100.0, 200.0, 400.0, 800.0)  # the best of these counts
OTHER_MODELS: Mapping[str, Callable[[], Algorithm]] = {  # default parameters
    "Bayesian MF": lambda: BayesianMF(random_state=0),
    "SVD": lambda: SVD(random_state=0),
    # The generator was not calibrated to these.
    "SVD++": lambda: SVDpp(random_state=0),
    "BaselineOnly": lambda: BaselineOnly(verbose=False),
    "ImplicitALS": lambda: ImplicitALS(threshold=THRESHOLD, random_state=0),
    "ImplicitBPR": lambda: ImplicitBPR(threshold=THRESHOLD, random_state=0),
}


@dataclass(frozen=True)
class ListTask:
    """Training ratings and held-out pairs of one split."""

    matrix: InteractionMatrix
    held_out: UserItemPairs
    relevant: RelevantItems  # held-out pairs with a rating of at least the threshold

    @classmethod
    def from_ratings(cls, ratings: pd.DataFrame, seed: int) -> "ListTask":
        """Split a ratings table at random."""
        split = split_at_random(len(ratings), TEST_SHARE, seed)
        matrix = InteractionMatrix.from_frame(ratings.iloc[split.train])
        held_out = encode_pairs(ratings.iloc[split.test], matrix)
        is_hit = held_out.actual >= THRESHOLD
        relevant = RelevantItems.from_pairs(held_out.users[is_hit], held_out.items[is_hit], matrix.n_users)
        return cls(matrix, held_out, relevant)

    def recommend(self, algorithm: Algorithm) -> Int32Array:
        """Return the lists of a fitted algorithm, (n_users, LIST_LENGTH), without training items."""
        return recommend_from_algorithm(algorithm, self.matrix.indptr, self.matrix.items, LIST_LENGTH)[0]

    def mean_ndcg(self, algorithm: Algorithm) -> float:
        """Fit an algorithm and return the mean NDCG of its lists."""
        lists = self.recommend(algorithm.fit(self.matrix))
        return float(ndcg(find_hits(lists, self.relevant), LIST_LENGTH).mean())


def measure_list_quality(ratings: pd.DataFrame, seed: int) -> StatisticsByName:
    """Return the NDCG of the most popular items, and that of other algorithms as a multiple of it."""
    task = ListTask.from_ratings(ratings, seed)
    popularity = task.mean_ndcg(Popularity(threshold=THRESHOLD))
    ease = max(task.mean_ndcg(EASE(reg=reg, threshold=THRESHOLD)) for reg in EASE_REGULARIZATIONS)
    others = {name: task.mean_ndcg(create()) for name, create in OTHER_MODELS.items()}
    multiples = {
        f"NDCG@{LIST_LENGTH} of {name} / popularity": value / popularity
        for name, value in ({"EASE": ease} | others).items()
    }
    return {f"NDCG@{LIST_LENGTH} of popularity": popularity} | multiples
