"""Co-clustering: clusters of users and of items, and the mean rating of one by the other."""

from collections.abc import Iterator

import numpy as np
from surprise.utils import get_rng

from marquee.algorithms.base import EpochAlgorithm, Estimates
from marquee.algorithms.kernels.co_clustering import best_clusters, co_cluster_sums
from marquee.algorithms.parameters import RandomState, require_whole
from marquee.algorithms.threads import share_out
from marquee.arrays import Floats, Indices, Integers
from marquee.interactions.matrix import RatingMatrix

BLOCK = 512  # users or items that one thread works on at a time
PARTS = 8  # of the users, each with its own sums: as many threads can add up


class CoClustering(EpochAlgorithm):
    r"""The mean of the co-cluster, moved by how far user and item are from the means of their clusters.

    .. math:: \hat r_{ui} = \overline{C_{ui}} + (\mu_u - \overline{C_u}) + (\mu_i - \overline{C_i})

    Each epoch moves every user, then every item, to the cluster that explains its ratings with the least
    squared error. Where the user or the item is unknown, the estimate is the global mean (which is
    what the twin does; its documentation has it otherwise). Twin of `surprise.CoClustering`.
    George and Merugu (2005), A Scalable Collaborative Filtering Framework based on Co-clustering.

    Deviation from the twin: ratings are not cut to whole numbers, so half stars count in full.

    Args:
        n_cltr_u: number of user clusters.
        n_cltr_i: number of item clusters.
        n_epochs: how often every user and item chooses a cluster.
        random_state: seed of the first clusters, or a generator; None: NumPy's global one.
        verbose: print each epoch.

    Attributes: `cltr_u` (n_users,) and `cltr_i` (n_items,), the clusters; `user_mean` and `item_mean`;
    the average ratings `avg_cltr_u` (n_cltr_u,), `avg_cltr_i` (n_cltr_i,), `avg_cocltr`
    (n_cltr_u, n_cltr_i), each the global mean where there is no rating.
    """

    cltr_u: Indices
    cltr_i: Indices
    user_mean: Floats
    item_mean: Floats
    avg_cltr_u: Floats
    avg_cltr_i: Floats
    avg_cocltr: Floats

    def __init__(
        self,
        n_cltr_u: int = 3,
        n_cltr_i: int = 3,
        n_epochs: int = 20,
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.n_cltr_u, self.n_cltr_i, self.n_epochs = n_cltr_u, n_cltr_i, n_epochs
        self.random_state, self.verbose = random_state, verbose

    def _score_all(self, users: Integers) -> Floats:
        by_cluster = self.avg_cocltr[:, self.cltr_i] + (self.item_mean - self.avg_cltr_i[self.cltr_i])
        of_user = self.cltr_u[users]
        scores: Floats = by_cluster[of_user]
        scores += (self.user_mean[users] - self.avg_cltr_u[of_user])[:, None]
        return scores

    def _check_parameters(self) -> None:
        super()._check_parameters()
        require_whole(self, "n_cltr_u", "n_cltr_i", least=1)

    def _train(self, matrix: RatingMatrix) -> Iterator[float | None]:
        rng = get_rng(self.random_state)
        self.cltr_u = rng.randint(self.n_cltr_u, size=matrix.n_users).astype(np.intp)
        self.cltr_i = rng.randint(self.n_cltr_i, size=matrix.n_items).astype(np.intp)
        self.user_mean, self.item_mean = matrix.by_user.means, matrix.by_item.means
        while True:
            self._average(matrix)
            yield None
            self._move_users(matrix)
            self._move_items(matrix)

    def _move_users(self, matrix: RatingMatrix) -> None:
        of_items = np.ascontiguousarray(self.avg_cocltr.T)

        def work(start: int, stop: int) -> None:
            best_clusters(
                start, stop, True, matrix.indptr, matrix.items, matrix.values,
                self.user_mean, self.avg_cltr_u, self.item_mean, self.avg_cltr_i,
                self.cltr_i, of_items, self.cltr_u,
            )  # fmt: skip

        share_out(work, matrix.n_users, BLOCK)

    def _move_items(self, matrix: RatingMatrix) -> None:
        side = matrix.by_item

        def work(start: int, stop: int) -> None:
            best_clusters(
                start, stop, False, side.indptr, side.others, side.values,
                self.item_mean, self.avg_cltr_i, self.user_mean, self.avg_cltr_u,
                self.cltr_u, self.avg_cocltr, self.cltr_i,
            )  # fmt: skip

        share_out(work, matrix.n_items, BLOCK)

    def _average(self, matrix: RatingMatrix) -> None:
        """Average the ratings of each cluster of users, of items, and of both."""
        block = -(-matrix.n_users // PARTS)
        counts = np.zeros((PARTS, self.n_cltr_u, self.n_cltr_i), dtype=np.int64)
        sums = np.zeros(counts.shape)

        def work(start: int, stop: int) -> None:
            co_cluster_sums(
                start, stop, matrix.indptr, matrix.items, matrix.values, self.cltr_u, self.cltr_i,
                counts[start // block], sums[start // block],
            )  # fmt: skip

        share_out(work, matrix.n_users, block)
        total, count = sums.sum(axis=0), counts.sum(axis=0)
        self.avg_cocltr = self._ratio(total, count)
        self.avg_cltr_u = self._ratio(total.sum(axis=1), count.sum(axis=1))
        self.avg_cltr_i = self._ratio(total.sum(axis=0), count.sum(axis=0))

    def _ratio(self, sums: Floats, counts: Indices) -> Floats:
        averages: Floats = np.full(sums.shape, self.trainset.global_mean)
        np.divide(sums, counts, out=averages, where=counts > 0)
        return averages

    def _estimate_pairs(self, users: Integers, items: Integers) -> Estimates:
        known = (users >= 0) & (items >= 0)
        of_user, of_item = self.cltr_u[users], self.cltr_i[items]
        values = self.avg_cocltr[of_user, of_item] + self.user_mean[users] - self.avg_cltr_u[of_user]
        values += self.item_mean[items] - self.avg_cltr_i[of_item]
        return Estimates(np.where(known, values, self.trainset.global_mean))
