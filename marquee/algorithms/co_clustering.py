"""Co-clustering: clusters of users and items, and the mean rating of each pair of clusters."""

from collections.abc import Iterator

import numpy as np
from surprise.utils import get_rng

from marquee.algorithms.base import EpochAlgorithm, Estimates
from marquee.algorithms.kernels.co_clustering import add_co_cluster_sums, assign_clusters
from marquee.algorithms.parameter_checks import RandomState, check_integer_attributes
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, Int32Array, Int64Array
from marquee.interactions.matrix import InteractionMatrix

ROWS_PER_BLOCK = 512  # users or items that one thread assigns at a time
N_PARTIAL_SUMS = 8  # blocks of users whose sums are separate; at most this many threads can add ratings


class CoClustering(EpochAlgorithm):
    r"""Mean of the co-cluster, corrected for how the user and the item deviate from their clusters.

    .. math:: \hat r_{ui} = \overline{C_{ui}} + (\mu_u - \overline{C_u}) + (\mu_i - \overline{C_i})

    Each epoch assigns every user, then every item, to the cluster with the smallest squared error of its
    ratings. The prediction for an unknown user or item is the global mean, as in the twin (whose
    documentation differs). Twin of `surprise.CoClustering`. George and Merugu (2005), A Scalable
    Collaborative Filtering Framework based on Co-clustering.

    Deviation from the twin: ratings are not truncated to integers, so half stars are kept.

    Args:
        n_cltr_u: number of user clusters.
        n_cltr_i: number of item clusters.
        n_epochs: number of times that every user and item is assigned to a cluster.
        random_state: seed or generator of the initial clusters; None: NumPy's global generator.
        verbose: print each epoch.

    Attributes:
        cltr_u: cluster of each user (n_users,).
        cltr_i: cluster of each item (n_items,).
        user_mean: mean rating of each user (n_users,).
        item_mean: mean rating of each item (n_items,).
        avg_cltr_u: mean rating of each user cluster (n_cltr_u,).
        avg_cltr_i: mean rating of each item cluster (n_cltr_i,).
        avg_cocltr: mean rating of each pair of clusters (n_cltr_u, n_cltr_i).

    The mean of a cluster without ratings is the global mean.
    """

    cltr_u: Int64Array
    cltr_i: Int64Array
    user_mean: Float64Array
    item_mean: Float64Array
    avg_cltr_u: Float64Array
    avg_cltr_i: Float64Array
    avg_cocltr: Float64Array

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

    def _score_all_items(self, users: Int32Array) -> Float64Array:
        cluster_scores = self.avg_cocltr[:, self.cltr_i] + (self.item_mean - self.avg_cltr_i[self.cltr_i])
        clusters = self.cltr_u[users]
        scores: Float64Array = cluster_scores[clusters]
        scores += (self.user_mean[users] - self.avg_cltr_u[clusters])[:, None]
        return scores

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer_attributes(self, "n_cltr_u", "n_cltr_i", minimum=1)

    def _train(self, matrix: InteractionMatrix) -> Iterator[float | None]:
        rng = get_rng(self.random_state)
        self.cltr_u = rng.randint(self.n_cltr_u, size=matrix.n_users).astype(np.intp)
        self.cltr_i = rng.randint(self.n_cltr_i, size=matrix.n_items).astype(np.intp)
        self.user_mean, self.item_mean = matrix.by_user.means, matrix.by_item.means
        while True:
            self._compute_averages(matrix)
            yield None
            self._assign_users(matrix)
            self._assign_items(matrix)

    def _assign_users(self, matrix: InteractionMatrix) -> None:
        averages_by_item_cluster = np.ascontiguousarray(self.avg_cocltr.T)

        def assign_block(start: int, stop: int) -> None:
            assign_clusters(
                start, stop, True, matrix.indptr, matrix.items, matrix.values,
                self.user_mean, self.avg_cltr_u, self.item_mean, self.avg_cltr_i,
                self.cltr_i, averages_by_item_cluster, self.cltr_u,
            )  # fmt: skip

        run_blocks(assign_block, matrix.n_users, ROWS_PER_BLOCK)

    def _assign_items(self, matrix: InteractionMatrix) -> None:
        side = matrix.by_item

        def assign_block(start: int, stop: int) -> None:
            assign_clusters(
                start, stop, False, side.indptr, side.indices, side.values,
                self.item_mean, self.avg_cltr_i, self.user_mean, self.avg_cltr_u,
                self.cltr_u, self.avg_cocltr, self.cltr_i,
            )  # fmt: skip

        run_blocks(assign_block, matrix.n_items, ROWS_PER_BLOCK)

    def _compute_averages(self, matrix: InteractionMatrix) -> None:
        """Compute the mean ratings of user clusters, item clusters and pairs of clusters."""
        block_size = -(-matrix.n_users // N_PARTIAL_SUMS)
        counts = np.zeros((N_PARTIAL_SUMS, self.n_cltr_u, self.n_cltr_i), dtype=np.int64)
        sums = np.zeros(counts.shape)

        def add_block(start: int, stop: int) -> None:
            add_co_cluster_sums(
                start, stop, matrix.indptr, matrix.items, matrix.values, self.cltr_u, self.cltr_i,
                counts[start // block_size], sums[start // block_size],
            )  # fmt: skip

        run_blocks(add_block, matrix.n_users, block_size)
        total, count = sums.sum(axis=0), counts.sum(axis=0)
        self.avg_cocltr = self._average_or_global_mean(total, count)
        self.avg_cltr_u = self._average_or_global_mean(total.sum(axis=1), count.sum(axis=1))
        self.avg_cltr_i = self._average_or_global_mean(total.sum(axis=0), count.sum(axis=0))

    def _average_or_global_mean(self, sums: Float64Array, counts: Int64Array) -> Float64Array:
        """Divide sums by counts; where a count is 0, return the global mean."""
        averages: Float64Array = np.full(sums.shape, self.trainset.global_mean)
        np.divide(sums, counts, out=averages, where=counts > 0)
        return averages

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:
        known = (users >= 0) & (items >= 0)
        cu, ci = self.cltr_u[users], self.cltr_i[items]
        values = self.avg_cocltr[cu, ci] + self.user_mean[users] - self.avg_cltr_u[cu]
        values += self.item_mean[items] - self.avg_cltr_i[ci]
        return Estimates(np.where(known, values, self.trainset.global_mean))
