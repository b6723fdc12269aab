"""SLIM: a sparse linear item-to-item model, an elastic net for each item."""

from functools import partial

import numpy as np
from scipy.sparse import csr_array, vstack

from marquee.algorithms.array_allocation import physical_memory_bytes
from marquee.algorithms.gram_matrix import ITEMS_PER_BLOCK, allocate_gram_matrix, fill_gram_matrix
from marquee.algorithms.kernels.elastic_net import solve_items, solve_items_with_candidates
from marquee.algorithms.kernels.linear_algebra import mirror_lower_triangle
from marquee.algorithms.neighbor_search import NeighborSearch
from marquee.algorithms.parameter_checks import (
    check_choice_attribute,
    check_integer_attributes,
    check_number_attributes,
)
from marquee.algorithms.product_ranker import LinearItemModel
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float32Array
from marquee.interactions.matrix import InteractionMatrix

MAX_SWEEPS = 100  # over the weights of a column
# Share of the memory that products of all items may take; those of more items are computed when needed.
MAX_MEMORY_SHARE = 0.25


class SLIM(LinearItemModel):
    r"""Sparse linear method: scores are weighted sums over the user's history, with few and learned weights.

    .. math:: s_{ui} = \sum_j X_{uj} B_{ji}, \qquad
        \min_B \tfrac{1}{2} \|X - XB\|^2 + \lambda_1 \|B\|_1 + \tfrac{\lambda_2}{2} \|B\|^2

    among matrices with a zero diagonal and, by default, without negative elements, where X holds the weights
    of the interactions (`Weighting`). Each column of B is an elastic net, solved by coordinate descent on the
    products of items; columns are independent of each other. Ning and Karypis (2011), SLIM: Sparse Linear
    Methods for Top-N Recommender Systems, equation 3; with k, weights are limited to the items most similar
    by cosine, their section IV.C (fsSLIM).

    With k, memory grows with the number of items times k, so SLIM can be fitted to large catalogs. Without k,
    it needs an (n_items, n_items) array of float32.

    Args:
        l1_reg: regularization :math:`\lambda_1`, which sets small weights to 0.
        l2_reg: regularization :math:`\lambda_2`.
        k: number of other items with a weight in each column; None: all.
        nonnegative: allow no weights below 0.
        tolerance: largest change of a weight in the last pass over a column; there are at most 100 passes.
        threshold: lowest rating or weight that counts, for binary weighting; None: see `Weighting`.
        weighting: binary, linear, or log (implicit weights only).
        neutral: rating with weight 0, for linear weighting; None: see `Weighting`.
    """

    def __init__(
        self,
        l1_reg: float = 1.0,
        l2_reg: float = 100.0,
        k: int | None = 200,
        nonnegative: bool = True,
        tolerance: float = 1e-3,
        threshold: float | None = None,
        weighting: str = "binary",
        neutral: float | None = None,
    ) -> None:
        super().__init__()
        self.l1_reg, self.l2_reg, self.k, self.nonnegative = l1_reg, l2_reg, k, nonnegative
        self.tolerance = tolerance
        self.threshold, self.weighting, self.neutral = threshold, weighting, neutral

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number_attributes(self, "l1_reg", "l2_reg", "tolerance")
        check_choice_attribute(self, "nonnegative", (True, False))
        if self.k is not None:
            check_integer_attributes(self, "k", minimum=1)

    def _fit(self, matrix: InteractionMatrix) -> None:
        if self.k is None:
            G = allocate_gram_matrix("SLIM", matrix.n_items, "float32")
            columns = self._solve_all(_fill(self._weigh_matrix(matrix, "float64"), G))
        else:
            columns = self._solve_with_candidates(self._weigh_matrix(matrix, "float64"), self.k)
        columns.eliminate_zeros()
        self._set_matrix(columns.T.tocsr())

    def _solve_all(self, G: Float32Array) -> csr_array:
        """Return the transpose of B, with weights of all items."""
        n_items = len(G)
        blocks: dict[int, csr_array] = {}

        def solve_block(start: int, stop: int) -> None:
            weights = np.empty((stop - start, n_items), np.float32)
            solve_items(G, *self._settings(), weights, start, stop)
            blocks[start] = csr_array(weights)

        run_blocks(solve_block, n_items, ITEMS_PER_BLOCK)
        return csr_array(vstack([blocks[start] for start in sorted(blocks)], format="csr"))

    def _solve_with_candidates(self, X: csr_array, k: int) -> csr_array:
        """Return the transpose of B, with weights of the k items most similar to each item."""
        by_item, (n_users, n_items) = X.T.tocsr(), X.shape
        candidates = NeighborSearch(by_item, "cosine", 0.0).find_neighbors(k)
        G = np.empty((0, 0), np.float32)
        if n_items * n_items * G.itemsize <= MAX_MEMORY_SHARE * physical_memory_bytes():
            G = _fill(X, np.empty((n_items, n_items), np.float32))
        arrays = by_item.indptr, by_item.indices, by_item.data, n_users, candidates.indptr, candidates.indices
        solve = partial(solve_items_with_candidates, G, *arrays, *self._settings(), candidates.data)
        run_blocks(solve, n_items, ITEMS_PER_BLOCK)
        return candidates

    def _settings(self) -> tuple[float, float, bool, float, int]:
        """Return the arguments of the kernels that all items share."""
        return float(self.l1_reg), float(self.l2_reg), self.nonnegative, float(self.tolerance), MAX_SWEEPS


def _fill(X: csr_array, square: Float32Array) -> Float32Array:
    """Write X'X to a square array, and return it."""
    fill_gram_matrix(X, square)
    run_blocks(partial(mirror_lower_triangle, square, 1.0), len(square), ITEMS_PER_BLOCK)
    return square
