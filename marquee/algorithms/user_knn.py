"""User k-NN on weighted interactions: scores from what the k most similar users chose."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from marquee.algorithms.base import mark_unknown_ids
from marquee.algorithms.neighbor_search import NeighborSearch, check_neighbor_parameters
from marquee.algorithms.product_ranker import ProductRanker
from marquee.array_types import Float32Array, Float64Array, Int32Array
from marquee.csr_rows import locate_rows
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.model.scorers.user_neighbors import UserNeighbors


class UserKNN(ProductRanker):
    r"""Scores an item by the similarities of the user's k nearest users who chose it.

    .. math:: s_{ui} = \sum_{v \in N_k(u)} \operatorname{sim}(u, v) X_{vi}

    where X holds the weights of the interactions (`Weighting`), and the k users most similar to u are those
    with the largest positive similarities (`marquee.algorithms.neighbor_search`). Herlocker et al. (1999), An
    Algorithmic Framework for Performing Collaborative Filtering, for weighted interactions: sums of
    similarities instead of mean ratings.

    `score_histories` finds the neighbors of each history among all training users. If the history is that of
    a training user, this user is among them; it supports only the items of the history.

    Fitting takes time in proportion to the squared number of users of each item, added up, so item k-NN is
    faster for many users.

    Args:
        k: number of similar users of each user.
        similarity: cosine, jaccard, tf_idf or bm25.
        shrinkage: number of common items at which a similarity is halved.
        threshold: lowest rating or weight that counts, for binary weighting; None: see `Weighting`.
        weighting: binary, linear, or log (implicit weights only).
        neutral: rating with weight 0, for linear weighting; None: see `Weighting`.

    Attributes:
        neighbors: inner ids of the neighbors of all users (n_neighbors,).
        neighbor_similarities: their similarities (n_neighbors,).
        neighbor_indptr: those of user u are `neighbor_indptr[u]:neighbor_indptr[u + 1]`, (n_users + 1,).
        weights: X, with `weight_items` and `weight_indptr` as in `ProductRanker`.
    """

    neighbors: Int32Array
    neighbor_similarities: Float32Array
    neighbor_indptr: Int32Array

    def __init__(
        self,
        k: int = 100,
        similarity: str = "cosine",
        shrinkage: float = 0.0,
        threshold: float | None = None,
        weighting: str = "binary",
        neutral: float | None = None,
    ) -> None:
        super().__init__()
        self.k, self.similarity, self.shrinkage = k, similarity, shrinkage
        self.threshold, self.weighting, self.neutral = threshold, weighting, neutral

    def build_left_rows(self, users: npt.ArrayLike) -> csr_array:
        """Return the similarities of the neighbors of these users, (len(users), n_users)."""
        rows = mark_unknown_ids(users, self.trainset.n_users)
        indptr, positions = locate_rows(self.neighbor_indptr, rows)
        arrays = self.neighbor_similarities[positions], self.neighbors[positions], indptr
        return csr_array(arrays, shape=(len(rows), self.trainset.n_users))

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_neighbor_parameters(self)

    def _fit(self, matrix: InteractionMatrix) -> None:
        users = self._weigh_matrix(matrix, "float64")
        neighbors = NeighborSearch(users, self.similarity, self.shrinkage).find_neighbors(self.k)
        self.neighbors, self.neighbor_similarities = neighbors.indices, neighbors.data
        self.neighbor_indptr = neighbors.indptr
        with np.errstate(over="ignore"):  # an infinite weight is reported as divergence
            self._set_matrix(users.astype(np.float32))

    def build_stored_scorer(self, noise: float | None) -> UserNeighbors:  # noqa: ARG002  part of the interface
        """Return an index from items to users; see the base class."""
        search = self._prepare_search()
        return UserNeighbors(
            item_starts=search.columns.indptr.astype(np.int64),
            item_users=search.columns.indices.astype(np.int32),
            user_values=search.columns.data.astype(np.float32),
            item_idf=search.idf,
            user_terms=search.terms,
            similarity=search.formula,
            weighting=self.build_history_weighting(),
            k=self.k,
        )

    def _build_history_scorer(self) -> Callable[[SparseRows], Float64Array]:
        search = self._prepare_search()

        def score(histories: SparseRows) -> Float64Array:
            return self._multiply(search.find_neighbors_of(self._weigh(histories, "float64"), self.k))

        return score

    def _prepare_search(self) -> NeighborSearch:
        """Return the search among all training users."""
        users = self._weigh(self.training_matrix.by_user, "float64")
        return NeighborSearch(users, self.similarity, self.shrinkage)
