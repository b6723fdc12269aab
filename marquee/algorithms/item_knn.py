"""Item k-NN on weighted interactions: scores from the k items most similar to each item."""

from marquee.algorithms.neighbor_search import NeighborSearch, check_neighbor_parameters
from marquee.algorithms.product_ranker import LinearItemModel
from marquee.interactions.matrix import InteractionMatrix


class ItemKNN(LinearItemModel):
    r"""Scores an item by the similarities of its k nearest items in the user's history.

    .. math:: s_{ui} = \sum_{j \in N_k(i)} X_{uj} \operatorname{sim}(i, j)

    where X holds the weights of the interactions (`Weighting`), and the k items most similar to i are those
    with the largest positive similarities (`marquee.algorithms.neighbor_search`). Deshpande and Karypis
    (2004), Item-Based Top-N Recommendation Algorithms, section 4; cosine, without the normalization of rows.

    Memory grows with the number of items times k, so it can be fitted to large catalogs.

    Args:
        k: number of similar items of each item; a larger catalog is not needed.
        similarity: cosine, jaccard, tf_idf or bm25.
        shrinkage: number of common users at which a similarity is halved.
        threshold: lowest rating or weight that counts, for binary weighting; None: see `Weighting`.
        weighting: binary, linear, or log (implicit weights only).
        neutral: rating with weight 0, for linear weighting; None: see `Weighting`.
    """

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

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_neighbor_parameters(self)

    def _fit(self, matrix: InteractionMatrix) -> None:
        items = self._weigh_matrix(matrix, "float64").T.tocsr()
        neighbors = NeighborSearch(items, self.similarity, self.shrinkage).find_neighbors(self.k)
        self._set_matrix(neighbors.T.tocsr())
