"""EASE: a linear item-to-item model with a closed-form solution.

Fitting uses the memory of one (n_items, n_items) array: the Gram matrix, its Cholesky factor, its inverse and
the weights replace one another in place.
"""

import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.linalg import lapack

from marquee.algorithms.array_allocation import allocate_within_memory
from marquee.algorithms.base import replace_unknown_ids
from marquee.algorithms.parameter_checks import DTYPES, check_choice_attribute, check_number_attributes
from marquee.algorithms.ranking_base import LinearItemModel
from marquee.algorithms.threads import ONE_BLAS_THREAD
from marquee.array_types import FloatArray
from marquee.errors import DivergedError
from marquee.interactions.matrix import InteractionMatrix

# Rows of the Gram matrix computed in sparse form at a time; all of them would need more memory than dense.
ROWS_PER_BLOCK = 256
MAX_RELATIVE_CONDITION = 0.01  # condition number times machine epsilon; above it, the inverse is noise
LAPACK_ROUTINES = {  # Cholesky factorization, and inversion by the factor
    "float64": (lapack.dpotrf, lapack.dpotri),
    "float32": (lapack.spotrf, lapack.spotri),
}


class EASE(LinearItemModel):
    r"""Embarrassingly shallow autoencoder: scores are weighted sums over the user's positives.

    .. math:: s_{ui} = \sum_{j \in I_u} B_{ji}, \qquad
        B_{ji} = \begin{cases} 0 & i = j \\ -P_{ji} / P_{ii} & i \ne j \end{cases}, \qquad
        P = (X^T X + \lambda I)^{-1}

    where X has a 1 for each positive of a user. B minimizes :math:`\|X - XB\|^2 + \lambda \|B\|^2` among
    matrices with a zero diagonal. Steck (2019), Embarrassingly Shallow Autoencoders for Sparse Data, equation
    8.

    The weights are identical for any number of threads: co-occurrences are integers, and LAPACK uses one
    thread.

    Args:
        reg: regularization :math:`\lambda`.
        threshold: lowest rating that counts as a positive; None: every rating does.
        dtype: float64, or float32 for half the memory and half the time.

    Attributes:
        weights: B (n_items, n_items).
    """

    def __init__(self, reg: float = 500.0, threshold: float | None = None, dtype: str = "float64") -> None:
        super().__init__()
        self.reg, self.threshold, self.dtype = reg, threshold, dtype

    def build_histories(self, users: npt.ArrayLike) -> scipy.sparse.csr_array:
        """Return the positives of these users as ones, (len(users), n_items)."""
        matrix = self.training_matrix
        return self._user_positives(matrix, replace_unknown_ids(users, matrix.n_users), self.dtype)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number_attributes(self, "reg")
        check_choice_attribute(self, "dtype", DTYPES)

    def _fit(self, matrix: InteractionMatrix) -> None:
        positives = self._positives(matrix, "int32")
        purpose = f"EASE: weights of {matrix.n_items:,} items"
        remedy = "remove rare items, use dtype float32, or use ImplicitALS"
        square = allocate_within_memory((matrix.n_items, matrix.n_items), self.dtype, purpose, remedy)
        _count_co_occurrences(positives, square)
        _add_to_diagonal(square, self.reg)
        with ONE_BLAS_THREAD:
            self._invert(square)
        self.weights = _compute_weights(square)

    def _invert(self, square: FloatArray) -> None:
        """Replace a symmetric matrix with its inverse, of which only the upper triangle is valid.

        Raises:
            DivergedError: the matrix is singular in this precision.
        """
        factorize, invert = LAPACK_ROUTINES[self.dtype]
        largest = square.diagonal().max()
        # LAPACK is column-major: the lower triangle of the transpose is the upper one of `square`, in place.
        _, error = factorize(square.T, lower=1, clean=0, overwrite_a=1)
        if not error:
            _, error = invert(square.T, lower=1, overwrite_c=1)
        max_condition = MAX_RELATIVE_CONDITION / np.finfo(self.dtype).eps
        # The product is a lower bound of the condition number. `not <` is also true for NaN.
        if error or not largest * square.diagonal().max() < max_condition:
            raise DivergedError(
                f"EASE: the co-occurrences with reg={self.reg} have no inverse in {self.dtype}; raise reg"
            )


def _count_co_occurrences(positives: scipy.sparse.csr_array, square: FloatArray) -> None:
    """Write to `square` the number of users who have both items among their positives."""
    by_item = positives.T.tocsr()
    for start in range(0, len(square), ROWS_PER_BLOCK):
        square[start : start + ROWS_PER_BLOCK] = (
            by_item[start : start + ROWS_PER_BLOCK] @ positives
        ).toarray()


def _add_to_diagonal(square: FloatArray, value: float) -> None:
    square.reshape(-1)[:: len(square) + 1] += value


def _compute_weights(square: FloatArray) -> FloatArray:
    """Compute B from the upper triangle of P, in place."""
    diagonal = square.diagonal().copy()
    for start in range(0, len(square), ROWS_PER_BLOCK):
        stop = start + ROWS_PER_BLOCK
        square[stop:, start:stop] = square[start:stop, stop:].T
        corner = square[start:stop, start:stop]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T
    for start in range(0, len(square), ROWS_PER_BLOCK):
        square[start : start + ROWS_PER_BLOCK] /= -diagonal
    np.fill_diagonal(square, 0)
    return square
