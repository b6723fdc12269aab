"""Matrix factorisation of positives by the `implicit` library: alternating least squares, and BPR.

The library's solvers do the arithmetic, epoch by epoch, on arrays of ours; none of its models is kept.
The numbers are those of one of its fits with the same seed.
"""

from collections.abc import Iterator

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import RNGVector, bpr_update
from surprise.utils import get_rng

from marquee.algorithms.base import EpochAlgorithm, inner_ids
from marquee.algorithms.parameters import DTYPES, RandomState, require_choice, require_whole
from marquee.algorithms.ranking_base import Ranker
from marquee.algorithms.threads import ONE_BLAS_THREAD, n_threads
from marquee.arrays import Floats, Integers, Real
from marquee.interactions.matrix import RatingMatrix


class _FactorRanker(Ranker, EpochAlgorithm):
    """User and item factors: their checks and their products."""

    n_factors: int
    random_state: RandomState
    dtype: str
    pu: Real
    qi: Real

    def score_all(self, users: Integers) -> Floats:
        """Products of factors for each of these users, shape (len(users), n_items)."""
        users = inner_ids(users, self.trainset.n_users)
        factors = np.where((users >= 0)[:, None], self.pu[users], self.pu.dtype.type(0))
        with ONE_BLAS_THREAD:
            return np.asarray(factors @ self.qi.T, dtype=np.float64)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        require_whole(self, "n_factors", least=1)
        require_choice(self, "dtype", DTYPES)

    def _generator(self) -> np.random.Generator:
        """The library's own generator for a seed; for a generator of NumPy's, one that it seeds."""
        state = self.random_state
        seed = state if isinstance(state, int | np.integer) else get_rng(state).randint(2**31)
        return np.random.default_rng(seed)

    def _uniform(self, random: np.random.Generator, *shape: int) -> Real:
        """Numbers from 0 to 1."""
        return random.random(shape, dtype=np.float32 if self.dtype == "float32" else np.float64)


class ImplicitALS(_FactorRanker):
    r"""Factors that explain which items were chosen, learned by alternating least squares.

    .. math:: s_{ui} = p_u^T q_i, \qquad
        \min \sum_{u,i} c_{ui} (x_{ui} - p_u^T q_i)^2 + \lambda (\sum_u \|p_u\|^2 + \sum_i \|q_i\|^2)

    over all pairs, where :math:`x_{ui} = 1` and :math:`c_{ui} = 1 + \alpha` for positives and
    :math:`x_{ui} = 0`, :math:`c_{ui} = 1` for the others. Hu, Koren and Volinsky (2008), Collaborative
    Filtering for Implicit Feedback Datasets, with r = 1 for every positive; each step is solved
    by three rounds of conjugate gradients (Takacs, Pilaszy and Tikk, 2011).

    Twin of `implicit.als.AlternatingLeastSquares` fitted on ones. Deviation: its `alpha` is the
    confidence itself, so that `alpha=1` here is `alpha=2` there.

    Args:
        n_factors: length of the factor vectors, at least 1.
        n_epochs: how often the user factors and then the item factors are solved for.
        reg_all: regularisation :math:`\lambda`.
        alpha: how much more a positive weighs than a pair without one.
        threshold: the lowest rating that counts as a positive; None: every rating does.
        random_state: seed of the initial factors, or a generator; None: NumPy's global one.
        verbose: print each epoch.
        dtype: float32, as the library has it, or float64.

    Attributes: `pu` (n_users, n_factors), `qi` (n_items, n_factors).
    """

    rates = ("alpha", "reg_all")
    learned = ("pu", "qi")

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
    ) -> None:
        super().__init__()
        self.n_factors, self.n_epochs, self.reg_all, self.alpha = n_factors, n_epochs, reg_all, alpha
        self.threshold, self.random_state, self.verbose, self.dtype = threshold, random_state, verbose, dtype

    def _train(self, matrix: RatingMatrix) -> Iterator[None]:
        by_user = self._positives(matrix, "float32")
        with np.errstate(over="ignore"):  # then the first epoch diverges, and says so
            by_user.data *= np.float32(1 + self.alpha)
        by_item = by_user.T.tocsr()
        random = self._generator()
        self.pu = self._uniform(random, matrix.n_users, self.n_factors) * 0.01
        self.qi = self._uniform(random, matrix.n_items, self.n_factors) * 0.01
        with ONE_BLAS_THREAD:  # else the library warns of BLAS threads within its own
            solve = AlternatingLeastSquares(factors=self.n_factors, dtype=self.dtype).solver
        yield None
        while True:
            with ONE_BLAS_THREAD:
                solve(by_user, self.pu, self.qi, self.reg_all, num_threads=n_threads())
                solve(by_item, self.qi, self.pu, self.reg_all, num_threads=n_threads())
            yield None


class ImplicitBPR(_FactorRanker):
    r"""Factors and item biases that put a user's positives before other items.

    .. math:: s_{ui} = b_i + p_u^T q_i, \qquad
        \max \sum_{(u,i,j)} \ln \sigma(s_{ui} - s_{uj}) - \tfrac{\lambda}{2} \|\Theta\|^2

    by stochastic gradient ascent on triples of a positive (u, i) and an item j that u has not chosen,
    drawn as the item of another positive, so in proportion to popularity; an epoch draws as many as
    there are positives. Rendle and others (2009), BPR: Bayesian Personalized Ranking.

    Twin of `implicit.bpr.BayesianPersonalizedRanking` with one thread: with more, threads overwrite
    each other's steps and no two fits are alike, so this one never uses more.
    An item without positives keeps bias 0 and so ranks before the items that were learned to be poor.

    Args:
        n_factors: length of the factor vectors, at least 1.
        n_epochs: number of epochs; the library has 100, which on MovieLens 1M is past the best (about 30).
        lr_all: learning rate.
        reg_all: regularisation :math:`\lambda`.
        threshold: the lowest rating that counts as a positive; None: every rating does.
        random_state: seed of initial factors and samples, or a generator; None: NumPy's global one.
        verbose: print each epoch.
        dtype: float32, as the library has it, or float64.

    Attributes: `pu` (n_users, n_factors), `qi` (n_items, n_factors), `bi` (n_items,).
    """

    rates = ("lr_all", "reg_all")
    learned = ("pu", "qi", "bi")

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

    def score_all(self, users: Integers) -> Floats:
        """Biases and products of factors for each of these users, shape (len(users), n_items)."""
        scores = super().score_all(users)
        scores += self.bi
        return scores

    def _train(self, matrix: RatingMatrix) -> Iterator[None]:
        positives = self._positives(matrix, "float32")
        items, indptr = positives.indices, positives.indptr
        users = np.repeat(np.arange(matrix.n_users, dtype=items.dtype), np.diff(indptr))
        random = self._generator()
        item_table, user_table = self._table(random, matrix.n_items), self._table(random, matrix.n_users)
        item_table[np.bincount(items, minlength=matrix.n_items) == 0] = 0
        user_table[np.diff(indptr) == 0] = 0
        user_table[:, -1] = 1
        samples = RNGVector(1, len(items) - 1, random.integers(0, 2**31, size=1, dtype=np.int64))
        self._take(user_table, item_table)
        yield None
        while True:
            bpr_update(
                samples, users, items, indptr, user_table, item_table, self.lr_all, self.reg_all, 1, True
            )
            self._take(user_table, item_table)
            yield None

    def _table(self, random: np.random.Generator, height: int) -> Real:
        """Initial factors; the last column is the bias of an item, and the one that it is multiplied by."""
        return (self._uniform(random, height, self.n_factors + 1) - 0.5) / self.n_factors

    def _take(self, user_table: Real, item_table: Real) -> None:
        """Set the attributes from the library's tables."""
        self.pu, self.qi = user_table[:, :-1].copy(), item_table[:, :-1].copy()
        self.bi = item_table[:, -1].copy()
