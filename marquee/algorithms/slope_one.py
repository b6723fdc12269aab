"""Slope One: a user's mean rating plus mean rating differences between items."""

import numpy as np

from marquee.algorithms.array_allocation import allocate_within_memory
from marquee.algorithms.base import Algorithm, Estimates
from marquee.algorithms.kernels.slope_one import (
    average_all_deviations,
    average_pair_deviations,
    compute_deviations,
    sort_ratings_by_item,
    unfold_triangle,
)
from marquee.algorithms.parameter_checks import DTYPES, check_choice_attribute
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, FloatArray, Int32Array
from marquee.interactions.matrix import InteractionMatrix, stable_argsort

FIT_ITEMS_PER_BLOCK = 64  # items whose deviations one thread computes at a time
PAIR_ITEMS_PER_BLOCK = 32  # items whose pairs one thread estimates at a time: deviations fit into L2 cache
SCORE_ITEMS_PER_BLOCK = 64  # items that one thread scores for all users at a time


class SlopeOne(Algorithm):
    r"""Mean of the user plus the mean deviation of the item from the items that the user rated.

    .. math::
        \hat r_{ui} = \mu_u + \frac{1}{|R_i(u)|} \sum_{j \in R_i(u)} \mathrm{dev}(i, j) \qquad
        \mathrm{dev}(i, j) = \frac{1}{|U_{ij}|} \sum_{u \in U_{ij}} (r_{ui} - r_{uj})

    :math:`U_{ij}` are the users who rated both items, :math:`R_i(u)` the items rated by u that share a rater
    with i. If there are none, the prediction is :math:`\mu_u`. Twin of `surprise.SlopeOne`. Lemire and
    Maclachlan (2005), Slope One Predictors for Online Rating-Based Collaborative Filtering.

    Deviations from the twin: ratings are not truncated to integers, so half stars are kept. Only one triangle
    of the (anti)symmetric matrices `dev` and `freq` is stored; the full matrices are built on access.

    Args:
        dtype: float64 for the same numbers as the twin, or float32 for two thirds of the memory.

    Attributes:
        user_mean: mean rating of each user (n_users,).
        dev: mean deviations (n_items, n_items); NaN where no user rated both items.
        freq: number of users who rated both items (n_items, n_items), int32.
        dev_triangle: upper triangle of `dev`, row by row (n_items * (n_items + 1) / 2,).
        freq_triangle: upper triangle of `freq`.
    """

    user_mean: Float64Array
    dev_triangle: FloatArray
    freq_triangle: Int32Array

    def __init__(self, dtype: str = "float64") -> None:
        super().__init__()
        self.dtype = dtype

    @property
    def dev(self) -> FloatArray:
        """Mean of r_ui - r_uj over the users who rated both i and j; built on each access."""
        out = np.empty((self.trainset.n_items, self.trainset.n_items), self.dev_triangle.dtype)
        unfold_triangle(self.dev_triangle, 0, len(out), -1, out)
        return out

    @property
    def freq(self) -> Int32Array:
        """Number of users who rated both i and j; built on each access."""
        out = np.empty((self.trainset.n_items, self.trainset.n_items), np.int32)
        unfold_triangle(self.freq_triangle, 0, len(out), 1, out)
        return out

    def _score_all_items(self, users: Int32Array) -> Float64Array:
        matrix = self.training_matrix
        scores = np.empty((len(users), matrix.n_items))

        def score_block(start: int, stop: int) -> None:
            columns = np.ascontiguousarray(self._deviations(start, stop).T, dtype=np.float64)
            average_all_deviations(columns, users, matrix.indptr, matrix.items, scores[:, start:stop])

        run_blocks(score_block, matrix.n_items, SCORE_ITEMS_PER_BLOCK)
        scores += self.user_mean[users][:, None]
        return scores

    def _check_parameters(self) -> None:
        check_choice_attribute(self, "dtype", DTYPES)

    def _fit(self, matrix: InteractionMatrix) -> None:
        n_pairs = matrix.n_items * (matrix.n_items + 1) // 2
        purpose = f"SlopeOne: deviations of {matrix.n_items:,} items"
        remedy = "remove rarely rated items or use another algorithm"
        dev = allocate_within_memory((n_pairs,), self.dtype, purpose, remedy)
        freq = allocate_within_memory((n_pairs,), "int32", purpose, remedy)
        columns = matrix.by_item
        items = np.empty(len(matrix.items), np.int32)
        values, positions = np.empty(len(items)), np.empty(len(items), np.int32)
        sort_ratings_by_item(
            matrix.indptr, columns.indptr, columns.indices, columns.values, items, values, positions
        )

        def compute_block(start: int, stop: int) -> None:
            compute_deviations(
                start, stop, columns.indptr, columns.indices, columns.values, positions,
                matrix.indptr, items, values, freq, dev,
            )  # fmt: skip

        run_blocks(compute_block, matrix.n_items, FIT_ITEMS_PER_BLOCK)
        self.user_mean, self.freq_triangle, self.dev_triangle = matrix.by_user.means, freq, dev

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:
        known = np.flatnonzero((users >= 0) & (items >= 0))
        known = known[stable_argsort(items[known])]
        known_users, known_items = users[known], items[known]
        means = np.empty(len(known))
        matrix = self.training_matrix

        def estimate_block(start: int, stop: int) -> None:
            first, end = np.searchsorted(known_items, (start, stop))
            if first == end:
                return
            lowest, highest = int(known_items[first]), int(known_items[end - 1])
            average_pair_deviations(
                self._deviations(lowest, highest + 1),
                known_items[first:end] - lowest,
                known_users[first:end],
                matrix.indptr,
                matrix.items,
                means[first:end],
            )

        if len(known) == 1:  # `predict`: only the block of this item, without threads
            estimate_block(int(known_items[0]), int(known_items[0]) + 1)
        else:
            run_blocks(estimate_block, matrix.n_items, PAIR_ITEMS_PER_BLOCK)
        values, impossible = np.zeros(len(users)), np.ones(len(users), dtype=np.bool_)
        values[known], impossible[known] = self.user_mean[known_users] + means, False
        return Estimates(values, impossible)

    def _deviations(self, start: int, stop: int) -> FloatArray:
        """Return rows `start` to `stop` of `dev`."""
        out = np.empty((stop - start, self.trainset.n_items), self.dev_triangle.dtype)
        unfold_triangle(self.dev_triangle, start, stop, -1, out)
        return out
