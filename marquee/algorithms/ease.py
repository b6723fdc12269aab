"""EASE: a linear item-to-item model with a closed form.

Fitting keeps one array of n_items squared and works in it: the Gram matrix, its Cholesky factor, its
inverse and the weights follow one another in the same memory.
"""

import numpy as np
import scipy.sparse
from scipy.linalg import lapack

from marquee.algorithms.base import inner_ids
from marquee.algorithms.memory import room
from marquee.algorithms.parameters import DTYPES, require_choice, require_number
from marquee.algorithms.ranking_base import Ranker
from marquee.algorithms.threads import ONE_BLAS_THREAD
from marquee.arrays import Floats, Integers, Real
from marquee.errors import DivergedError
from marquee.interactions.matrix import RatingMatrix

ROWS = 256  # of the Gram matrix at a time: its sparse form takes more memory than the dense one
MOST = 0.01  # of the condition numbers that a precision can hold; past that the inverse is noise
ROUTINES = {"float64": (lapack.dpotrf, lapack.dpotri), "float32": (lapack.spotrf, lapack.spotri)}


class EASE(Ranker):
    r"""Embarrassingly shallow autoencoder: each item's score is a weighted sum of the user's positives.

    .. math:: s_{ui} = \sum_{j \in I_u} B_{ji}, \qquad
        B_{ji} = \begin{cases} 0 & i = j \\ -P_{ji} / P_{ii} & i \ne j \end{cases}, \qquad
        P = (X^T X + \lambda I)^{-1}

    with X the users' positives as ones. B minimises :math:`\|X - XB\|^2 + \lambda \|B\|^2` among the
    matrices whose diagonal is zero. Steck (2019), Embarrassingly Shallow Autoencoders for Sparse Data,
    equation 8.

    The same bytes come out whatever the number of threads: co-occurrences are whole numbers, and
    LAPACK gets one thread.

    Args:
        reg: regularisation :math:`\lambda`.
        threshold: the lowest rating that counts as a positive; None: every rating does.
        dtype: float64, or float32, half the memory and half the time.

    Attributes: `weights` (n_items, n_items), B.
    """

    weights: Real

    def __init__(self, reg: float = 500.0, threshold: float | None = None, dtype: str = "float64") -> None:
        super().__init__()
        self.reg, self.threshold, self.dtype = reg, threshold, dtype

    def score_all(self, users: Integers) -> Floats:
        """Sums of weights for each of these users, shape (len(users), n_items)."""
        history = self._history(self.matrix, inner_ids(users, self.matrix.n_users), self.dtype)
        return np.asarray(history @ self.weights, dtype=np.float64)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        require_number(self, "reg")
        require_choice(self, "dtype", DTYPES)

    def _learn(self, matrix: RatingMatrix) -> None:
        positives = self._positives(matrix, "int32")
        what = f"EASE: the weights of {matrix.n_items:,} items"
        remedy = "leave out rare items, or take dtype float32, or ImplicitALS"
        square = room((matrix.n_items, matrix.n_items), self.dtype, what, remedy)
        _co_occurrences(positives, square)
        _add_to_diagonal(square, self.reg)
        with ONE_BLAS_THREAD:
            self._invert(square)
        self.weights = _weights(square)

    def _invert(self, square: Real) -> None:
        """Replace a symmetric matrix by its inverse; only the upper triangle is valid afterwards.

        Raises:
            DivergedError: it has none that this precision can hold.
        """
        factorise, invert = ROUTINES[self.dtype]
        largest = square.diagonal().max()
        # LAPACK stores by columns: its lower triangle of the transpose is our upper one, in place.
        _, failed = factorise(square.T, lower=1, clean=0, overwrite_a=1)
        if not failed:
            _, failed = invert(square.T, lower=1, overwrite_c=1)
        # The product is at most the condition number. A NaN fails the comparison too.
        if failed or not largest * square.diagonal().max() < MOST / np.finfo(self.dtype).eps:
            raise DivergedError(
                f"EASE: the co-occurrences with reg={self.reg} have no inverse in {self.dtype}: raise reg"
            )


def _co_occurrences(positives: scipy.sparse.csr_array, square: Real) -> None:
    """How many users have both items, into `square`: whole numbers, the same in any order of summing."""
    by_item = positives.T.tocsr()
    for start in range(0, len(square), ROWS):
        square[start : start + ROWS] = (by_item[start : start + ROWS] @ positives).toarray()


def _add_to_diagonal(square: Real, value: float) -> None:
    square.reshape(-1)[:: len(square) + 1] += value


def _weights(square: Real) -> Real:
    """From the upper triangle of P to B, in the same memory."""
    diagonal = square.diagonal().copy()
    for start in range(0, len(square), ROWS):
        stop = start + ROWS
        square[stop:, start:stop] = square[start:stop, stop:].T
        corner = square[start:stop, start:stop]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T
    for start in range(0, len(square), ROWS):
        square[start : start + ROWS] /= -diagonal
    np.fill_diagonal(square, 0)
    return square
