"""NMF: non-negative matrix factorization, with or without biases."""

from collections.abc import Iterator

import numpy as np
from surprise.utils import get_rng

from marquee.algorithms.kernels.nmf import WIDTH_MULTIPLE, update_biases_and_estimates, update_factors
from marquee.algorithms.kernels.sgd import compute_pair_dots
from marquee.algorithms.parameter_checks import (
    DTYPES,
    RandomState,
    check_choice_attribute,
    check_integer_attributes,
    check_number_attributes,
)
from marquee.algorithms.svd import FactorModel
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, FloatArray, Int32Array
from marquee.interactions.matrix import InteractionMatrix, SparseRows, stable_argsort

ROWS_PER_BLOCK = 256  # users or items that one thread updates at a time
RATINGS_PER_BLOCK = 1 << 16  # ratings that one thread estimates at a time


class NMF(FactorModel):
    r"""Matrix factorization with non-negative factors.

    .. math:: \hat r_{ui} = q_i^T p_u

    Each epoch updates all users and items at once, from the old factors:

    .. math::
        p_{uf} &\leftarrow p_{uf} \frac{\sum_{i \in I_u} q_{if} r_{ui}}
            {\sum_{i \in I_u} q_{if} \hat r_{ui} + \lambda |I_u| p_{uf}} \\
        q_{if} &\leftarrow q_{if} \frac{\sum_{u \in U_i} p_{uf} r_{ui}}
            {\sum_{u \in U_i} p_{uf} \hat r_{ui} + \lambda |U_i| q_{if}}

    With `biased=True` the estimate is :math:`\mu + b_u + b_i + q_i^T p_u`, and stochastic gradient descent
    trains the biases as in `SVD`. Factors stay non-negative if ratings and estimates are; biases can make an
    estimate negative. A user or item that has only ratings of 0 gets factors of 0. Twin of `surprise.NMF`.
    Luo et al. (2014), An Efficient Non-Negative Matrix-Factorization-Based Approach to Collaborative
    Filtering for Recommender Systems.

    Args:
        n_factors: number of factors.
        n_epochs: number of passes over the ratings.
        biased: use the global mean and biases.
        reg_pu: regularization of user factors.
        reg_qi: regularization of item factors.
        reg_bu: regularization of user biases.
        reg_bi: regularization of item biases.
        lr_bu: learning rate of user biases.
        lr_bi: learning rate of item biases.
        init_low: lower bound of the uniform distribution of the initial factors; not negative.
        init_high: upper bound of that distribution.
        random_state: seed or generator of the initial factors; None: NumPy's global generator.
        verbose: print each epoch.
        dtype: float64 for the same numbers as the twin, or float32 for half the memory.

    Attributes:
        pu: user factors (n_users, n_factors).
        qi: item factors (n_items, n_factors).
        bu: user biases (n_users,).
        bi: item biases (n_items,).
    """

    step_parameters = ("lr_bu", "lr_bi", "reg_bu", "reg_bi", "reg_pu", "reg_qi")
    learned_attributes = ("bu", "bi", "pu", "qi")

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
        check_number_attributes(self, "init_low")  # in the constructor, as in the twin

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer_attributes(self, "n_factors")
        check_number_attributes(self, "init_low", "init_high")
        check_choice_attribute(self, "dtype", DTYPES)

    def _train(self, matrix: InteractionMatrix) -> Iterator[float | None]:
        rng = get_rng(self.random_state)
        shapes = ((matrix.n_users, self.n_factors), (matrix.n_items, self.n_factors))
        pu, qi = (rng.uniform(self.init_low, self.init_high, size=shape) for shape in shapes)
        self.pu, self.qi = pu.astype(self.dtype, copy=False), qi.astype(self.dtype, copy=False)
        self.bu, self.bi = np.zeros(matrix.n_users, self.dtype), np.zeros(matrix.n_items, self.dtype)
        updater = _FactorUpdater(matrix, self.dtype)
        yield None
        p, q = _pad_columns(self.pu), _pad_columns(self.qi)
        while True:
            if self.biased:
                updater.set_estimates(self._train_biases(matrix, updater.users))
            p, q, squared_error = updater.update(p, q, self.reg_pu, self.reg_qi)
            self.pu = np.ascontiguousarray(p[:, : self.n_factors])
            self.qi = np.ascontiguousarray(q[:, : self.n_factors])
            yield squared_error

    def _train_biases(self, matrix: InteractionMatrix, users: Int32Array) -> Float64Array:
        """Update the biases rating by rating; return the estimate that each rating had before its update."""
        estimates = np.empty(len(users))

        def multiply_factors(start: int, stop: int) -> None:
            compute_pair_dots(
                self.pu, users[start:stop], matrix.items[start:stop], self.qi, estimates[start:stop]
            )

        run_blocks(multiply_factors, len(users), RATINGS_PER_BLOCK)
        rates = np.array([self.lr_bu, self.lr_bi], dtype=np.float64)
        decays = 1 - rates * np.array([self.reg_bu, self.reg_bi])
        mean = float(self.trainset.global_mean)
        update_biases_and_estimates(
            matrix.indptr, matrix.items, matrix.values, mean, rates, decays, self.bu, self.bi, estimates
        )
        return estimates


class _FactorUpdater:
    """Updates the factors of all users and items at once; holds the ratings grouped by user and by item."""

    def __init__(self, matrix: InteractionMatrix, dtype: str) -> None:
        # The user of each rating.
        self.users: Int32Array = np.repeat(np.arange(matrix.n_users, dtype=np.int32), matrix.by_user.counts)
        self._rows = matrix.by_user
        self._order = stable_argsort(matrix.items)  # each item's ratings by user, as the twin adds them
        self._columns = SparseRows(matrix.by_item.indptr, self.users[self._order], matrix.values[self._order])
        self._values = [side.values.astype(dtype, copy=False) for side in (self._rows, self._columns)]
        self._estimates: list[FloatArray] = [np.empty(0, dtype)] * 2  # empty: the dot products of factors

    def set_estimates(self, estimates: Float64Array) -> None:
        """Set estimates of the ratings, by user, that `update` uses instead of dot products of factors."""
        with np.errstate(over="ignore"):  # infinite values are detected after the epoch
            by_user = estimates.astype(self._values[0].dtype, copy=False)
        self._estimates = [by_user, by_user[self._order]]

    def update(
        self, p: FloatArray, q: FloatArray, reg_pu: float, reg_qi: float
    ) -> tuple[FloatArray, FloatArray, float]:
        """Return the next factors of users and items, and the sum of squared errors of the old ones."""
        n_users, n_items = len(p), len(q)
        next_p, next_q = np.empty_like(p), np.empty_like(q)
        errors, unused = np.empty(n_users), np.empty(n_items)

        # Rows are all users, then all items; the range of one of the two calls is usually empty.
        def update_block(start: int, stop: int) -> None:
            update_factors(
                start, min(stop, n_users), self._rows.indptr, self._rows.indices,
                self._values[0], self._estimates[0], p, q, float(reg_pu), next_p, errors,
            )  # fmt: skip
            update_factors(
                max(start - n_users, 0), stop - n_users, self._columns.indptr, self._columns.indices,
                self._values[1], self._estimates[1], q, p, float(reg_qi), next_q, unused,
            )  # fmt: skip

        run_blocks(update_block, n_users + n_items, ROWS_PER_BLOCK)
        return next_p, next_q, float(errors.sum())


def _pad_columns(factors: FloatArray) -> FloatArray:
    """Append columns of zeros up to a multiple of `WIDTH_MULTIPLE`."""
    return np.pad(factors, ((0, 0), (0, -factors.shape[1] % WIDTH_MULTIPLE)))
