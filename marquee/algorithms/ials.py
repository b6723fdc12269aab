"""iALS: matrix factorization of implicit feedback by exact alternating least squares."""

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, TypeAlias

import numpy as np
import scipy.sparse
from surprise.utils import get_rng

from marquee.algorithms.factor_ranker import FactorRanker
from marquee.algorithms.kernels.ials import GRAM_ROWS, compute_gram_blocks, improve_rows, solve_rows
from marquee.algorithms.kernels.simd_vectors import VECTOR_BYTES
from marquee.algorithms.normal_draws import draw_normal
from marquee.algorithms.parameter_checks import (
    RandomState,
    check_choice_attribute,
    check_integer_attributes,
    check_number_attributes,
)
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, FloatArray, Int32Array, Int64Array
from marquee.exponentials import power
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.model.scorers.preference_factors import PreferenceFactors

# indptr, others, weights, vectors, gram, regs: arguments of `solve_rows`.
Equations: TypeAlias = tuple[Int64Array, Int32Array, FloatArray, FloatArray, FloatArray, FloatArray]
SOLVERS = EXACT, BLOCK = "exact", "block"
ROWS_PER_BLOCK = 64  # users or items that a thread solves at a time


class IALS(FactorRanker):
    r"""Matrix factorization of implicit feedback by exact alternating least squares.

    .. math:: s_{ui} = p_u^T q_i, \qquad
        \min \sum_{(u,i) \in S} |w_{ui}| (x_{ui} - s_{ui})^2 + \alpha_0 \sum_{u,i} s_{ui}^2
        + \sum_u \lambda_u \|p_u\|^2 + \sum_i \lambda_i \|q_i\|^2, \qquad
        \lambda_u = \lambda (|I_u| + \alpha_0 n_{items})^\nu, \quad
        \lambda_i = \lambda (|U_i| + \alpha_0 n_{users})^\nu

    where S are the interactions with a weight w other than 0 (`Weighting`), and the preference x is 1 for
    positive weights and 0 for negative ones. :math:`|I_u|` and :math:`|U_i|` are numbers of interactions.
    Rendle, Krichene, Zhang and Koren (2022), Revisiting the Performance of iALS on Item Recommendation
    Benchmarks, equations 1 to 5.

    An epoch solves for the item factors and then for the user factors. The exact solver solves one system of
    equations for each user and item, so a user's factors are those that `score_histories` gives to the same
    history: the minimum, with item factors fixed. The block solver minimizes over blocks of factors in turn
    (iALS++: Rendle et al. 2021, "iALS++: Speeding up Matrix Factorization with Subspace Optimization"). Its
    user factors only approach that minimum, and it needs more epochs, but with several hundred factors each
    is much faster.

    Args:
        n_factors: number of factors, at least 1.
        n_epochs: number of times that item factors and then user factors are solved for.
        unobserved_weight: :math:`\alpha_0`, weight of every pair with preference 0.
        reg: regularization :math:`\lambda`.
        reg_exponent: :math:`\nu`; 0: the same regularization for all users and items.
        solver: exact or block.
        block_size: number of factors of a block, for the block solver.
        init_std_dev: standard deviation of the normal distribution of the initial factors, times
            :math:`\sqrt{n_{factors}}`.
        threshold: lowest rating or weight that counts, for binary weighting; None: see `Weighting`.
        weighting: binary, linear, or log (implicit weights only).
        neutral: rating with weight 0, for linear weighting; None: see `Weighting`.
        random_state: seed or generator of the initial factors; None: NumPy's global generator.
        verbose: print each epoch.
        dtype: float32, or float64 for twice the memory and twice the time.

    Attributes:
        pu: user factors (n_users, n_factors).
        qi: item factors (n_items, n_factors).
    """

    uses_histories = True
    step_parameters: ClassVar[tuple[str, ...]] = ("unobserved_weight", "reg")
    learned_attributes: ClassVar[tuple[str, ...]] = ("pu", "qi")
    divergence_remedy: ClassVar[str] = "raise reg or unobserved_weight, or use weighting binary"

    def __init__(
        self,
        n_factors: int = 64,
        n_epochs: int = 12,
        unobserved_weight: float = 0.1,
        reg: float = 0.01,
        reg_exponent: float = 1.0,
        solver: str = EXACT,
        block_size: int = 32,
        init_std_dev: float = 0.1,
        threshold: float | None = None,
        weighting: str = "binary",
        neutral: float | None = None,
        random_state: RandomState = None,
        verbose: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.n_factors, self.n_epochs = n_factors, n_epochs
        self.unobserved_weight, self.reg, self.reg_exponent = unobserved_weight, reg, reg_exponent
        self.solver, self.block_size, self.init_std_dev = solver, block_size, init_std_dev
        self.threshold, self.weighting, self.neutral = threshold, weighting, neutral
        self.random_state, self.verbose, self.dtype = random_state, verbose, dtype

    def build_stored_scorer(self, noise: float | None) -> PreferenceFactors:  # noqa: ARG002  part of the interface
        """Return the item factors, and the parameters of the equation of a user; see the base class."""
        return PreferenceFactors(
            self.qi.astype(np.float32),
            float(self.unobserved_weight),
            float(self.reg),
            float(self.reg_exponent),
            self.build_history_weighting(),
        )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number_attributes(self, "unobserved_weight", "reg", "reg_exponent", "init_std_dev")
        check_choice_attribute(self, "solver", SOLVERS)
        check_integer_attributes(self, "block_size", minimum=1)

    def _score_histories(self, histories: SparseRows) -> Float64Array:
        return self._score_factors(self._solve(self._weigh(histories, self.dtype), self.qi))

    def _train(self, matrix: InteractionMatrix) -> Iterator[None]:
        by_user = self._weigh_matrix(matrix, self.dtype)
        by_item = by_user.T.tocsr()
        self.pu, self.qi = self._draw_factors(matrix.n_users, matrix.n_items)
        update = self._solve if self.solver == EXACT else self._improve
        yield None
        while True:
            self.qi = update(by_item, self.pu, self.qi)
            self.pu = update(by_user, self.qi, self.pu)
            yield None

    def _draw_factors(self, n_users: int, n_items: int) -> tuple[FloatArray, FloatArray]:
        n, std_dev = n_users + n_items, self.init_std_dev / np.sqrt(self.n_factors)
        draws = draw_normal(get_rng(self.random_state), 0.0, std_dev, n * self.n_factors)
        factors = draws.reshape(n, self.n_factors).astype(self.dtype, copy=False)
        return factors[:n_users], factors[n_users:]

    def _solve(
        self, weights: scipy.sparse.csr_array, vectors: FloatArray, _: FloatArray | None = None
    ) -> FloatArray:
        """Return the vectors of all rows, given those of the other side."""
        out = np.empty((weights.shape[0], self.n_factors), dtype=vectors.dtype)
        run_blocks(partial(solve_rows, *self._equations(weights, vectors), out), len(out), ROWS_PER_BLOCK)
        return out

    def _improve(
        self, weights: scipy.sparse.csr_array, vectors: FloatArray, previous: FloatArray
    ) -> FloatArray:
        """Return improved vectors of all rows, given those of the other side."""
        out, size = previous.copy(), min(self.block_size, self.n_factors)
        equations = self._equations(weights, vectors)
        run_blocks(partial(improve_rows, *equations, size, out), len(out), ROWS_PER_BLOCK)
        return out

    def _equations(self, weights: scipy.sparse.csr_array, vectors: FloatArray) -> Equations:
        """Return the first arguments of both kernels."""
        gram = compute_gram_matrix(vectors, self.unobserved_weight)
        counts = np.diff(weights.indptr)
        sizes = np.maximum(counts + self.unobserved_weight * len(vectors), 1)
        regs = (self.reg * power(sizes, self.reg_exponent)).astype(vectors.dtype)
        indptr, others = weights.indptr.astype(np.int64), weights.indices.astype(np.int32, copy=False)
        return indptr, others, weights.data, vectors, gram, regs


def compute_gram_matrix(vectors: FloatArray, factor: float) -> FloatArray:
    """Return the Gram matrix of vectors, times a factor, padded to a multiple of the lanes of a SIMD vector.

    The padding is that of an identity matrix, so that a system of equations stays solvable.
    """
    n_factors, lanes = vectors.shape[1], VECTOR_BYTES // vectors.itemsize
    n_padded = n_factors + -n_factors % lanes
    blocks = np.empty((-(-len(vectors) // GRAM_ROWS), n_padded, n_padded), vectors.dtype)
    numbers, weights = np.arange(len(vectors), dtype=np.int32), np.ones(len(vectors), vectors.dtype)
    run_blocks(partial(compute_gram_blocks, numbers, weights, vectors, blocks), len(blocks), 1)
    lower = np.tril(blocks.sum(axis=0)) * vectors.dtype.type(factor)
    gram: FloatArray = lower + np.tril(lower, -1).T
    padding = np.arange(n_factors, n_padded)
    gram[padding, padding] = 1
    return gram
