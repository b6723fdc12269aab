"""Matrix factorization of implicit feedback with the `implicit` library: alternating least squares and BPR.

The library's solvers run epoch by epoch on our arrays; its model classes are not stored. The results equal
those of the library's own `fit` with the same seed.
"""

from collections.abc import Iterator

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import RNGVector, bpr_update
from surprise.utils import get_rng

from marquee.algorithms.factor_ranker import BiasedFactorRanker, FactorRanker
from marquee.algorithms.fold_in import fold_in_confidences
from marquee.algorithms.parameter_checks import RandomState
from marquee.algorithms.reproducible_linear_algebra import invert_cholesky_factor, multiply_matrices
from marquee.algorithms.threads import ONE_BLAS_THREAD, thread_count
from marquee.array_types import Float64Array, FloatArray
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.model.factor_scoring import FactorSpace
from marquee.model.scorers.confidence_factors import ConfidenceFactors

ALS_INITIAL_MAX = 0.01  # upper bound of the initial factors, the value of the library


class ImplicitALS(FactorRanker):
    r"""Matrix factorization of implicit feedback by alternating least squares.

    .. math:: s_{ui} = p_u^T q_i, \qquad
        \min \sum_{u,i} c_{ui} (x_{ui} - p_u^T q_i)^2 + \lambda \Big(\sum_u \|p_u\|^2 + \sum_i \|q_i\|^2\Big)

    over all pairs, where :math:`c_{ui} = 1 + \alpha |w_{ui}|` is the confidence in the preference
    :math:`x_{ui}`, 1 for a weight above 0 and 0 for others. The weights w are those of `Weighting`, and 0 for
    pairs without interaction. Hu, Koren and Volinsky (2008), Collaborative Filtering for Implicit Feedback
    Datasets; each system is solved approximately by three conjugate gradient steps (Takács, Pilászy and Tikk,
    2011). `score_histories` solves the equation of the user exactly.

    Twin of `implicit.als.AlternatingLeastSquares` fitted on the confidences. Deviation: the twin's `alpha`
    is the confidence itself, so with binary weighting `alpha=1` here corresponds to `alpha=2` there.

    Args:
        n_factors: number of factors, at least 1.
        n_epochs: number of times that user factors and then item factors are solved for.
        reg_all: regularization :math:`\lambda`.
        alpha: additional confidence of an interaction of weight 1, relative to a pair without interaction.
        threshold: lowest rating or weight that counts, for binary weighting; None: see `Weighting`.
        random_state: seed or generator of the initial factors; None: NumPy's global generator.
        verbose: print each epoch.
        dtype: float32, the default of the library, or float64.
        weighting: binary, linear, or log (implicit weights only).
        neutral: rating with weight 0, for linear weighting; None: see `Weighting`.

    Attributes:
        pu: user factors (n_users, n_factors).
        qi: item factors (n_items, n_factors).
    """

    step_parameters = ("alpha", "reg_all")
    uses_histories = True
    learned_attributes = ("pu", "qi")

    def __init__(
        self,
        n_factors: int = 64,
        n_epochs: int = 15,
        reg_all: float = 0.01,
        alpha: float = 1.0,
        threshold: float | None = None,
        random_state: RandomState = None,
        verbose: bool = False,
        dtype: str = "float32",
        weighting: str = "binary",
        neutral: float | None = None,
    ) -> None:
        super().__init__()
        self.n_factors, self.n_epochs, self.reg_all, self.alpha = n_factors, n_epochs, reg_all, alpha
        self.threshold, self.random_state, self.verbose, self.dtype = threshold, random_state, verbose, dtype
        self.weighting, self.neutral = weighting, neutral

    def build_stored_scorer(self, noise: float | None) -> ConfidenceFactors:  # noqa: ARG002  part of the interface
        """Return factors, alpha and weighting; see the base class."""
        space = _build_confidence_space(self.pu, self.qi, self.reg_all)
        return ConfidenceFactors(space, self.alpha, self.build_history_weighting())

    def _score_histories(self, histories: SparseRows) -> Float64Array:
        weights = self._weigh(histories, "float64")
        rows = SparseRows(weights.indptr.astype(np.int64), weights.indices, weights.data)
        factors = fold_in_confidences(rows, self._confidences(rows.values), self.qi, self.reg_all)
        return self._score_factors(factors)

    def _confidences(self, weights: Float64Array) -> Float64Array:
        """Return the confidence in the preference of each weight; negative: in preference 0, as the twin."""
        return np.copysign(1 + self.alpha * np.abs(weights), weights)

    def _train(self, matrix: InteractionMatrix) -> Iterator[None]:
        by_user = self._weigh_matrix(matrix, "float64")
        with np.errstate(over="ignore"):  # an overflow is reported as divergence in the first epoch
            by_user.data = self._confidences(by_user.data).astype(np.float32)
        by_item = by_user.T.tocsr()
        rng = _create_generator(self.random_state)
        self.pu, self.qi = (
            _draw_uniform(rng, n, self.n_factors, self.dtype) * ALS_INITIAL_MAX
            for n in (matrix.n_users, matrix.n_items)
        )
        with ONE_BLAS_THREAD:  # otherwise the library warns about BLAS threads inside its own threads
            solve = AlternatingLeastSquares(factors=self.n_factors, dtype=self.dtype).solver
        yield None
        while True:
            with ONE_BLAS_THREAD:
                solve(by_user, self.pu, self.qi, self.reg_all, num_threads=thread_count())
                solve(by_item, self.qi, self.pu, self.reg_all, num_threads=thread_count())
            yield None


class ImplicitBPR(BiasedFactorRanker):
    r"""Bayesian personalized ranking: factors and item biases that rank positives before other items.

    .. math:: s_{ui} = b_i + p_u^T q_i, \qquad
        \max \sum_{(u,i,j)} \ln \sigma(s_{ui} - s_{uj}) - \tfrac{\lambda}{2} \|\Theta\|^2

    by stochastic gradient ascent on triples of a positive (u, i) and an item j that u has not chosen. j is
    the item of another random positive, so it is sampled in proportion to popularity. An epoch samples as
    many triples as there are positives. Rendle et al. (2009), BPR: Bayesian Personalized Ranking from
    Implicit Feedback.

    Interactions are positive or not; the size of a weight has no influence. `score_histories` maps the item
    factors of a history to user factors (`BiasedFactorRanker`).

    Twin of `implicit.bpr.BayesianPersonalizedRanking` with one thread. Several threads would overwrite each
    other's updates, and no two fits would be equal, so this class always uses one. The bias of an item
    without positives stays 0, so the item ranks before items with a negative bias.

    Args:
        n_factors: number of factors, at least 1.
        n_epochs: number of epochs. The library's default is 100, but on MovieLens 1M about 30 are best.
        lr_all: learning rate.
        reg_all: regularization :math:`\lambda`.
        threshold: lowest rating or weight that counts as a positive; None: see `Weighting`.
        random_state: seed or generator of initial factors and samples; None: NumPy's global generator.
        verbose: print each epoch.
        dtype: float32, the default of the library, or float64.

    Attributes:
        pu: user factors (n_users, n_factors).
        qi: item factors (n_items, n_factors).
        bi: item biases (n_items,).
    """

    def __init__(
        self,
        n_factors: int = 64,
        n_epochs: int = 30,
        lr_all: float = 0.01,
        reg_all: float = 0.01,
        threshold: float | None = None,
        random_state: RandomState = None,
        verbose: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.n_factors, self.n_epochs, self.lr_all, self.reg_all = n_factors, n_epochs, lr_all, reg_all
        self.threshold, self.random_state, self.verbose, self.dtype = threshold, random_state, verbose, dtype

    def _train(self, matrix: InteractionMatrix) -> Iterator[None]:
        positives = self._weigh_matrix(matrix, "float32")
        items, indptr = positives.indices, positives.indptr
        users = np.repeat(np.arange(matrix.n_users, dtype=items.dtype), np.diff(indptr))
        rng = _create_generator(self.random_state)
        item_table, user_table = self._draw_table(rng, matrix.n_items), self._draw_table(rng, matrix.n_users)
        item_table[np.bincount(items, minlength=matrix.n_items) == 0] = 0
        user_table[np.diff(indptr) == 0] = 0
        user_table[:, -1] = 1
        samples = RNGVector(1, len(items) - 1, rng.integers(0, 2**31, size=1, dtype=np.int64))
        self._copy_tables(user_table, item_table)
        yield None
        while True:
            bpr_update(
                samples, users, items, indptr, user_table, item_table, self.lr_all, self.reg_all, 1, True
            )
            self._copy_tables(user_table, item_table)
            yield None

    def _draw_table(self, rng: np.random.Generator, n_rows: int) -> FloatArray:
        """Draw factors and, in the last column, the bias of an item or the constant that multiplies it."""
        return (_draw_uniform(rng, n_rows, self.n_factors + 1, self.dtype) - 0.5) / self.n_factors

    def _copy_tables(self, user_table: FloatArray, item_table: FloatArray) -> None:
        """Set the attributes from the library's tables."""
        self.pu, self.qi = user_table[:, :-1].copy(), item_table[:, :-1].copy()
        self.bi = item_table[:, -1].copy()


def _create_generator(state: RandomState) -> np.random.Generator:
    """Create the generator that the library would create for the seed.

    If `state` is a generator or None, the seed is drawn from it or from NumPy's global generator.
    """
    seed = state if isinstance(state, int | np.integer) else get_rng(state).randint(2**31)
    return np.random.default_rng(seed)


def _draw_uniform(rng: np.random.Generator, n_rows: int, n_columns: int, dtype: str) -> FloatArray:
    """Draw numbers between 0 and 1."""
    return rng.random((n_rows, n_columns), dtype=np.float32 if dtype == "float32" else np.float64)


def _build_confidence_space(pu: FloatArray, qi: FloatArray, reg: float) -> FactorSpace:
    """Return the factor space in which fold-in solves the equation of a user (`ConfidenceFactors`)."""
    Q = np.ascontiguousarray(qi, dtype=np.float64)
    precision = multiply_matrices(Q.T, Q) + max(reg, 1e-9) * np.eye(Q.shape[1])
    factor_inverse = invert_cholesky_factor(precision)
    covariance = np.zeros((1 + len(precision), 1 + len(precision)))
    covariance[1:, 1:] = multiply_matrices(np.ascontiguousarray(factor_inverse.T), factor_inverse)
    return FactorSpace(
        item_factors=qi.astype(np.float32),
        item_biases=np.zeros(len(qi), dtype=np.float32),
        user_factors=pu.astype(np.float32),
        user_biases=np.zeros(len(pu), dtype=np.float32),
        prior_mean=np.zeros(len(covariance)),
        prior_covariance=covariance,
        offset=0.0,
        noise=1.0,
    )
