"""EASE: a linear item-to-item model with a closed-form solution.

Fitting uses the memory of one (n_items, n_items) array: the Gram matrix, its inverse and the weights replace
one another in place.
"""

from functools import partial

import numpy as np
import numpy.typing as npt
import scipy.sparse

from marquee.algorithms.array_allocation import allocate_within_memory
from marquee.algorithms.kernels.item_weights import compute_gram_rows, sum_weighted_rows
from marquee.algorithms.parameter_checks import DTYPES, check_choice_attribute, check_number_attributes
from marquee.algorithms.ranking_base import USERS_PER_BLOCK, LinearItemModel
from marquee.algorithms.reproducible_linear_algebra import invert_symmetric
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, FloatArray
from marquee.errors import DivergedError
from marquee.interactions.matrix import InteractionMatrix, SparseRows

ITEMS_PER_BLOCK = 64  # rows of the Gram matrix or the weights that a thread computes at a time
MAX_RELATIVE_CONDITION = 0.01  # condition number times machine epsilon; above it, the inverse is noise


class EASE(LinearItemModel):
    r"""Embarrassingly shallow autoencoder: scores are weighted sums over the user's history.

    .. math:: s_{ui} = \sum_j X_{uj} B_{ji}, \qquad
        B_{ji} = \begin{cases} 0 & i = j \\ -P_{ji} / P_{ii} & i \ne j \end{cases}, \qquad
        P = (X^T X + \lambda I)^{-1}

    where X holds the weights of the interactions (`Weighting`): 1 for each positive, or preferences. B
    minimizes :math:`\|X - XB\|^2 + \lambda \|B\|^2` among matrices with a zero diagonal. Steck (2019),
    Embarrassingly Shallow Autoencoders for Sparse Data, equation 8.

    Weights and scores are identical on every processor and for any number of threads: all sums have a fixed
    order, and the inverse is computed without LAPACK.

    Args:
        reg: regularization :math:`\lambda`.
        threshold: lowest rating or weight that counts, for binary weighting; None: see `Weighting`.
        weighting: binary, linear, or log (implicit weights only).
        neutral: rating with weight 0, for linear weighting; None: see `Weighting`.
        dtype: float32, or float64 for twice the memory and twice the time.

    Attributes:
        weights: B (n_items, n_items).
    """

    uses_histories = True

    def __init__(
        self,
        reg: float = 500.0,
        threshold: float | None = None,
        weighting: str = "binary",
        neutral: float | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.reg, self.threshold, self.weighting, self.neutral = reg, threshold, weighting, neutral
        self.dtype = dtype

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the sums of weights for each of these users, (len(users), n_items)."""
        return self._score_histories(self._select_histories(users))

    def _score_histories(self, histories: SparseRows) -> Float64Array:
        X = self._weigh(histories, self.dtype)
        scores = np.empty(X.shape, dtype=self.dtype)
        score_block = partial(sum_weighted_rows, X.indptr, X.indices, X.data, self.weights, scores)
        run_blocks(score_block, len(scores), USERS_PER_BLOCK)
        return scores.astype(np.float64, copy=False)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number_attributes(self, "reg")
        check_choice_attribute(self, "dtype", DTYPES)

    def _fit(self, matrix: InteractionMatrix) -> None:
        X = self._weigh_matrix(matrix, "float64")
        purpose = f"EASE: weights of {matrix.n_items:,} items"
        remedy = "remove rare items, use dtype float32, or use ImplicitALS"
        square = allocate_within_memory((matrix.n_items, matrix.n_items), self.dtype, purpose, remedy)
        _compute_gram_matrix(X, square)
        np.fill_diagonal(square, square.diagonal() + self.reg)
        self._invert(square)
        self.weights = _compute_weights(square)

    def _invert(self, square: FloatArray) -> None:
        """Replace a symmetric matrix with its inverse; only its lower triangle is read.

        Raises:
            DivergedError: the matrix is singular in this precision.
        """
        largest, max_condition = square.diagonal().max(), MAX_RELATIVE_CONDITION / np.finfo(self.dtype).eps
        try:
            invert_symmetric(square)
        except np.linalg.LinAlgError:
            largest = np.inf
        # The product is a lower bound of the condition number. `not <` is also true for NaN.
        if not largest * square.diagonal().max() < max_condition:
            remedy = "raise reg" if self.weighting == "binary" else "raise reg, or use weighting binary"
            raise DivergedError(
                f"EASE: the co-occurrences with reg={self.reg} have no inverse in {self.dtype}; {remedy}"
            )


def _compute_gram_matrix(X: scipy.sparse.csr_array, square: FloatArray) -> None:
    """Write X'X to the lower triangle of `square`."""
    by_item = X.T.tocsr()
    arrays = (by_item.indptr, by_item.indices, by_item.data, X.indptr, X.indices, X.data)
    run_blocks(partial(compute_gram_rows, *arrays, square), len(square), ITEMS_PER_BLOCK)


def _compute_weights(square: FloatArray) -> FloatArray:
    """Compute B from P, in place."""
    divisors = -square.diagonal()

    def divide(start: int, stop: int) -> None:
        square[start:stop] /= divisors

    run_blocks(divide, len(square), ITEMS_PER_BLOCK)
    np.fill_diagonal(square, 0)
    return square
