"""Non-negative matrix factorisation, with biases or without."""

from collections.abc import Iterator

import numpy as np
from surprise.utils import get_rng

from marquee.algorithms.kernels.nmf import LANES, move_biases, update_factors
from marquee.algorithms.kernels.sgd import dots
from marquee.algorithms.parameters import (
    DTYPES,
    RandomState,
    require_choice,
    require_number,
    require_whole,
)
from marquee.algorithms.svd import FactorModel
from marquee.algorithms.threads import share_out
from marquee.arrays import Floats, Integers, Real
from marquee.interactions.matrix import Grouped, RatingMatrix, stable_order

GROUPS = 256  # users or items that one thread updates at a time
RATINGS = 1 << 16  # ratings that one thread estimates at a time


class NMF(FactorModel):
    r"""Matrix factorisation in which no factor is negative.

    .. math:: \hat r_{ui} = q_i^T p_u

    Each epoch multiplies every factor by the ratio of what it should have explained to what it did, all
    users and items at once:

    .. math::
        p_{uf} &\leftarrow p_{uf} \frac{\sum_{i \in I_u} q_{if} r_{ui}}
            {\sum_{i \in I_u} q_{if} \hat r_{ui} + \lambda |I_u| p_{uf}} \\
        q_{if} &\leftarrow q_{if} \frac{\sum_{u \in U_i} p_{uf} r_{ui}}
            {\sum_{u \in U_i} p_{uf} \hat r_{ui} + \lambda |U_i| q_{if}}

    With `biased` the estimate is :math:`\mu + b_u + b_i + q_i^T p_u`, and biases are learned by stochastic
    gradient descent as in `SVD`. Twin of `surprise.NMF`. Luo et al. (2014), An Efficient
    Non-Negative Matrix-Factorization-Based Approach to Collaborative Filtering for Recommender Systems.

    Factors stay non-negative where ratings are; who has nothing but ratings of 0 is left with none.

    Args:
        n_factors: length of the factor vectors.
        n_epochs: how often every rating is visited.
        biased: whether there are a mean and biases.
        reg_pu: regularisation of user factors.
        reg_qi: regularisation of item factors.
        reg_bu: regularisation of user biases.
        reg_bi: regularisation of item biases.
        lr_bu: learning rate of user biases.
        lr_bi: learning rate of item biases.
        init_low: least initial factor; not negative.
        init_high: largest initial factor.
        random_state: seed of the initial factors, or a generator; None: NumPy's global one.
        verbose: print each epoch.
        dtype: float64, which gives the twin's numbers, or float32, half the memory.

    Attributes: `pu` (n_users, n_factors), `qi` (n_items, n_factors), `bu` (n_users,), `bi` (n_items,).
    """

    rates = ("lr_bu", "lr_bi", "reg_bu", "reg_bi", "reg_pu", "reg_qi")
    learned = ("bu", "bi", "pu", "qi")

    def __init__(
        self,
        n_factors: int = 15,
        n_epochs: int = 50,
        biased: bool = False,
        reg_pu: float = 0.06,
        reg_qi: float = 0.06,
        reg_bu: float = 0.02,
        reg_bi: float = 0.02,
        lr_bu: float = 0.005,
        lr_bi: float = 0.005,
        init_low: float = 0,
        init_high: float = 1,
        random_state: RandomState = None,
        verbose: bool = False,
        dtype: str = "float64",
    ) -> None:
        super().__init__()
        self.n_factors, self.n_epochs, self.biased = n_factors, n_epochs, biased
        self.reg_pu, self.reg_qi, self.reg_bu, self.reg_bi = reg_pu, reg_qi, reg_bu, reg_bi
        self.lr_bu, self.lr_bi = lr_bu, lr_bi
        self.init_low, self.init_high = init_low, init_high
        self.random_state, self.verbose, self.dtype = random_state, verbose, dtype
        require_number(self, "init_low")  # here and not only in `fit`, as the twin

    def _check_parameters(self) -> None:
        super()._check_parameters()
        require_whole(self, "n_factors")
        require_number(self, "init_low", "init_high")
        require_choice(self, "dtype", DTYPES)

    def _train(self, matrix: RatingMatrix) -> Iterator[float | None]:
        rng = get_rng(self.random_state)
        shapes = ((matrix.n_users, self.n_factors), (matrix.n_items, self.n_factors))
        pu, qi = (rng.uniform(self.init_low, self.init_high, size=shape) for shape in shapes)
        self.pu, self.qi = pu.astype(self.dtype, copy=False), qi.astype(self.dtype, copy=False)
        self.bu, self.bi = np.zeros(matrix.n_users, self.dtype), np.zeros(matrix.n_items, self.dtype)
        sides = _Sides(matrix, self.dtype)
        yield None
        p, q = _padded(self.pu), _padded(self.qi)
        while True:
            if self.biased:
                sides.estimate(self._biased_estimates(matrix, sides.users))
            p, q, squared_error = sides.updated(p, q, self.reg_pu, self.reg_qi)
            self.pu = np.ascontiguousarray(p[:, : self.n_factors])
            self.qi = np.ascontiguousarray(q[:, : self.n_factors])
            yield squared_error

    def _biased_estimates(self, matrix: RatingMatrix, users: Integers) -> Floats:
        """The estimate of each rating as the biases move from one to the next."""
        estimates = np.empty(len(users))

        def work(start: int, stop: int) -> None:
            dots(self.pu, users[start:stop], matrix.items[start:stop], self.qi, estimates[start:stop])

        share_out(work, len(users), RATINGS)
        rates = np.array([self.lr_bu, self.lr_bi], dtype=np.float64)
        decays = 1 - rates * np.array([self.reg_bu, self.reg_bi])
        mean = float(self.trainset.global_mean)
        move_biases(
            matrix.indptr, matrix.items, matrix.values, mean, rates, decays, self.bu, self.bi, estimates
        )
        return estimates


class _Sides:
    """The ratings by user and by item, and the updates of both sides' factors from their old ones."""

    def __init__(self, matrix: RatingMatrix, dtype: str) -> None:
        self.users: Integers = np.repeat(np.arange(matrix.n_users, dtype=np.int32), matrix.by_user.counts)
        self._rows = matrix.by_user
        self._order = stable_order(matrix.items)  # the twin's: that of users, not of the source
        self._columns = Grouped(matrix.by_item.indptr, self.users[self._order], matrix.values[self._order])
        self._values = [side.values.astype(dtype, copy=False) for side in (self._rows, self._columns)]
        self._estimates: list[Real] = [np.empty(0, dtype)] * 2

    def estimate(self, estimates: Floats) -> None:
        """Take these estimates of the ratings, in their order, instead of the dot products."""
        with np.errstate(over="ignore"):  # what is infinite after it is refused after the epoch
            by_user = estimates.astype(self._values[0].dtype, copy=False)
        self._estimates = [by_user, by_user[self._order]]

    def updated(self, p: Real, q: Real, reg_pu: float, reg_qi: float) -> tuple[Real, Real, float]:
        """The next factors of users and items, and the sum of the squared errors."""
        n_users, n_items = len(p), len(q)
        next_p, next_q = np.empty_like(p), np.empty_like(q)
        errors, unused = np.empty(n_users), np.empty(n_items)

        def work(start: int, stop: int) -> None:  # users, then items
            update_factors(
                start, min(stop, n_users), self._rows.indptr, self._rows.others,
                self._values[0], self._estimates[0], p, q, float(reg_pu), next_p, errors,
            )  # fmt: skip
            update_factors(
                max(start - n_users, 0), stop - n_users, self._columns.indptr, self._columns.others,
                self._values[1], self._estimates[1], q, p, float(reg_qi), next_q, unused,
            )  # fmt: skip

        share_out(work, n_users + n_items, GROUPS)
        return next_p, next_q, float(errors.sum())


def _padded(factors: Real) -> Real:
    """The factors with columns of zeros up to a multiple of `LANES`."""
    return np.pad(factors, ((0, 0), (0, -factors.shape[1] % LANES)))
