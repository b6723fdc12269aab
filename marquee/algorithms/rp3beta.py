"""RP3beta: random walks of three steps from a user, with less weight for popular items."""

import numpy as np
from scipy.sparse import csr_array

from marquee.algorithms.kernels.co_occurrences import PRODUCT
from marquee.algorithms.neighbor_search import select_neighbors
from marquee.algorithms.parameter_checks import check_integer_attributes, check_number_attributes
from marquee.algorithms.product_ranker import LinearItemModel
from marquee.exponentials import power
from marquee.interactions.matrix import InteractionMatrix


class RP3beta(LinearItemModel):
    r"""Scores an item by how often random walks item - user - item end there, divided by its popularity.

    .. math:: s_{ui} = \sum_j X_{uj} B_{ji}, \qquad
        B_{ji} = \frac{1}{d_i^\beta}
        \sum_v \Big(\frac{X_{vj}}{d_j}\Big)^\alpha \Big(\frac{X_{vi}}{d_v}\Big)^\alpha, \qquad
        d_i = \sum_v X_{vi}, \quad d_v = \sum_i X_{vi}

    where X holds the weights of the interactions (`Weighting`), and only those above 0 are walked along. Of
    each column of B, the k largest elements are kept, without the diagonal: walks back to their first item
    support nothing new. The first step, from the user to an item of their history, has no exponent: with
    binary weights, it would change no order. Paudel et al. (2016), Updatable, Accurate, Diverse, and Scalable
    Recommendations for Interactive Applications, section 3; for :math:`\alpha` see Cooper et al. (2014),
    Random Walks in Recommender Systems: Exact Computation and Simulations.

    Memory grows with the number of items times k, so it can be fitted to large catalogs.

    Args:
        alpha: exponent of the probability of a step.
        beta: exponent of the popularity that a score is divided by; 0: no division.
        k: number of elements kept in each column of B.
        threshold: lowest rating or weight that counts, for binary weighting; None: see `Weighting`.
        weighting: binary, linear, or log (implicit weights only).
        neutral: rating with weight 0, for linear weighting; None: see `Weighting`.
    """

    def __init__(
        self,
        alpha: float = 0.8,
        beta: float = 0.6,
        k: int = 200,
        threshold: float | None = None,
        weighting: str = "binary",
        neutral: float | None = None,
    ) -> None:
        super().__init__()
        self.alpha, self.beta, self.k = alpha, beta, k
        self.threshold, self.weighting, self.neutral = threshold, weighting, neutral

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer_attributes(self, "k", minimum=1)
        check_number_attributes(self, "alpha", "beta")

    def _fit(self, matrix: InteractionMatrix) -> None:
        by_user = _drop_negative(self._weigh_matrix(matrix, "float64"))
        by_item = by_user.T.tocsr()
        degrees = np.bincount(by_user.indices, weights=by_user.data, minlength=matrix.n_items)
        popularity_terms = power(np.where(degrees > 0, degrees, 1.0), -self.beta)
        last_steps, first_steps = (self._raise_probabilities(weights) for weights in (by_user, by_item))
        terms = popularity_terms, np.ones(matrix.n_items)
        columns = select_neighbors(last_steps.T.tocsr(), first_steps.T.tocsr(), PRODUCT, terms, self.k)
        self._set_matrix(columns.T.tocsr())

    def _raise_probabilities(self, weights: csr_array) -> csr_array:
        """Return the probability of each step from a row, proportional to its weight, to the power alpha."""
        rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
        totals = np.bincount(rows, weights=weights.data, minlength=weights.shape[0])
        probabilities = weights.data / totals[rows]
        return csr_array(
            (power(probabilities, self.alpha), weights.indices, weights.indptr), shape=weights.shape
        )


def _drop_negative(weights: csr_array) -> csr_array:
    """Return the weights without those below 0."""
    weights.data = np.maximum(weights.data, 0)
    weights.eliminate_zeros()
    return weights
