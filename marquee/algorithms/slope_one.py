"""Slope One: what a user gave other items, and by how much items differ."""

import numpy as np

from marquee.algorithms.base import Algorithm, Estimates
from marquee.algorithms.kernels.slope_one import (
    all_mean_deviations,
    deviations,
    mean_deviations,
    sort_by_item,
    unfold,
)
from marquee.algorithms.memory import room
from marquee.algorithms.parameters import DTYPES, require_choice
from marquee.algorithms.threads import share_out
from marquee.arrays import Floats, Integers, Real
from marquee.interactions.matrix import RatingMatrix, stable_order

ROWS = 64  # items whose deviations one thread learns at a time
WIDTH = 32  # items that are predicted at a time: their deviations fit into the second cache


class SlopeOne(Algorithm):
    r"""The mean of a user, and the mean difference between the item and those that the user rated.

    .. math::
        \hat r_{ui} = \mu_u + \frac{1}{|R_i(u)|} \sum_{j \in R_i(u)} \mathrm{dev}(i, j) \qquad
        \mathrm{dev}(i, j) = \frac{1}{|U_{ij}|} \sum_{u \in U_{ij}} (r_{ui} - r_{uj})

    :math:`U_{ij}` are the users who rated both, :math:`R_i(u)` the user's items that share a user with i.
    Where there is none, the estimate is :math:`\mu_u`. Twin of `surprise.SlopeOne`.
    Lemire and Maclachlan (2005), Slope One Predictors for Online Rating-Based Collaborative Filtering.

    Deviation from the twin: ratings are not cut to whole numbers, so half stars count in full.
    `dev` and `freq` are kept as one triangle each, and are made square when asked for.

    Args:
        dtype: float64, which gives the twin's numbers, or float32: two thirds of the memory.

    Attributes: `user_mean` (n_users,), `dev` (n_items, n_items) with NaN where no user rated both,
    `freq` (n_items, n_items) int32; `dev_triangle`, `freq_triangle` (n_items * (n_items + 1) / 2,).
    """

    user_mean: Floats
    dev_triangle: Real
    freq_triangle: Integers

    def __init__(self, dtype: str = "float64") -> None:
        super().__init__()
        self.dtype = dtype

    @property
    def dev(self) -> Real:
        """Mean of r_ui - r_uj over the users who rated both i and j, made anew at each access."""
        out = np.empty((self.trainset.n_items, self.trainset.n_items), self.dev_triangle.dtype)
        unfold(self.dev_triangle, 0, len(out), -1, out)
        return out

    @property
    def freq(self) -> Integers:
        """Number of users who rated both i and j, made anew at each access."""
        out = np.empty((self.trainset.n_items, self.trainset.n_items), np.int32)
        unfold(self.freq_triangle, 0, len(out), 1, out)
        return out

    def _score_all(self, users: Integers) -> Floats:
        matrix = self.matrix
        scores = np.empty((len(users), matrix.n_items))

        def work(start: int, stop: int) -> None:
            columns = np.ascontiguousarray(self._rows(start, stop).T)
            all_mean_deviations(columns, users, matrix.indptr, matrix.items, scores[:, start:stop])

        share_out(work, matrix.n_items, 2 * WIDTH)
        scores += self.user_mean[users][:, None]
        return scores

    def _check_parameters(self) -> None:
        require_choice(self, "dtype", DTYPES)

    def _learn(self, matrix: RatingMatrix) -> None:
        n_pairs = matrix.n_items * (matrix.n_items + 1) // 2
        what = f"SlopeOne: the pairs of {matrix.n_items:,} items"
        remedy = "leave out rarely rated items, or choose another algorithm"
        dev = room((n_pairs,), self.dtype, what, remedy)
        freq = room((n_pairs,), "int32", what, remedy)
        columns = matrix.by_item
        items = np.empty(len(matrix.items), np.int32)
        values, places = np.empty(len(items)), np.empty(len(items), np.int32)
        sort_by_item(matrix.indptr, columns.indptr, columns.others, columns.values, items, values, places)

        def work(start: int, stop: int) -> None:
            deviations(
                start, stop, columns.indptr, columns.others, columns.values, places,
                matrix.indptr, items, values, freq, dev,
            )  # fmt: skip

        share_out(work, matrix.n_items, ROWS)
        self.user_mean, self.freq_triangle, self.dev_triangle = matrix.by_user.means, freq, dev

    def _estimate_pairs(self, users: Integers, items: Integers) -> Estimates:
        known = np.flatnonzero((users >= 0) & (items >= 0))
        known = known[stable_order(items[known])]
        of_user, of_item = users[known], items[known]
        means = np.empty(len(known))
        matrix = self.matrix

        def work(start: int, stop: int) -> None:
            first, end = np.searchsorted(of_item, (start, stop))
            if first == end:
                return
            start, stop = int(of_item[first]), int(of_item[end - 1]) + 1
            which = of_item[first:end] - start
            mean_deviations(
                self._rows(start, stop),
                which,
                of_user[first:end],
                matrix.indptr,
                matrix.items,
                means[first:end],
            )

        if len(known) == 1:  # `predict`: the one item's block, without threads
            work(int(of_item[0]), int(of_item[0]) + 1)
        else:
            share_out(work, matrix.n_items, WIDTH)
        values, impossible = np.zeros(len(users)), np.ones(len(users), dtype=np.bool_)
        values[known], impossible[known] = self.user_mean[of_user] + means, False
        return Estimates(values, impossible)

    def _rows(self, start: int, stop: int) -> Real:
        """The deviations of items `start` to `stop` from all items."""
        out = np.empty((stop - start, self.trainset.n_items), self.dev_triangle.dtype)
        unfold(self.dev_triangle, start, stop, -1, out)
        return out
