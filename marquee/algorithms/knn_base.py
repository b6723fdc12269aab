"""Base class of the k-NN models: options, similarities, and weighted averages over the nearest neighbors."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np

from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.algorithms.kernels.neighbors import average_neighbor_offsets
from marquee.algorithms.parameter_checks import DTYPES, check_choice_attribute, check_integer_attributes
from marquee.algorithms.similarities import SimilarityOptions, compute_similarity_matrix
from marquee.algorithms.threads import run_blocks
from marquee.algorithms.trainset import RatingLists, Trainset
from marquee.array_types import Float64Array, FloatArray, Int32Array, Int64Array
from marquee.interactions.matrix import InteractionMatrix, SparseRows, stable_argsort

Options: TypeAlias = Mapping[str, Any]
T = TypeVar("T")

PAIRS_PER_BLOCK = 4096  # pairs that one thread estimates at a time
MAX_PAIRS = 1 << 18  # pairs that `score_all_items` estimates at a time; limits its memory


@dataclass(frozen=True)
class _Offsets:
    """Ratings as offsets, grouped by y; the raters of y are `raters[indptr[y]:indptr[y + 1]]`."""

    indptr: Int64Array
    raters: Int32Array
    offsets: Float64Array  # parallel to `raters`
    max_raters: int  # largest number of raters of a y


class KNNAlgorithm(Algorithm):
    """Base class of the four k-NN models. Twin of `surprise.prediction_algorithms.knns.SymmetricAlgo`.

    x are the users and y the items if `user_based`, else vice versa. Neighbors of an x are other x.
    """

    sim: FloatArray

    def __init__(
        self,
        k: int = 40,
        min_k: int = 1,
        sim_options: Options | None = None,
        verbose: bool = True,
        bsl_options: Options | None = None,
        dtype: str = "float64",
    ) -> None:
        super().__init__(sim_options=dict(sim_options or {}), bsl_options=dict(bsl_options or {}))
        self.k, self.min_k, self.verbose, self.dtype = k, min_k, verbose, dtype

    def switch(self, u_stuff: T, i_stuff: T) -> tuple[T, T]:
        """Return the values for x and y, given those for users and items."""
        return (u_stuff, i_stuff) if self.sim_options["user_based"] else (i_stuff, u_stuff)

    @property
    def n_x(self) -> int:
        """Number of x."""
        return int(self.switch(self.trainset.n_users, self.trainset.n_items)[0])

    @property
    def n_y(self) -> int:
        """Number of y."""
        return int(self.switch(self.trainset.n_users, self.trainset.n_items)[1])

    @property
    def xr(self) -> RatingLists:
        """Ratings of each x as lists of tuples, built on access."""
        lists: RatingLists = self.trainset.ur if self.sim_options["user_based"] else self.trainset.ir
        return lists

    @property
    def yr(self) -> RatingLists:
        """Ratings of each y as lists of tuples, built on access."""
        lists: RatingLists = self.trainset.ir if self.sim_options["user_based"] else self.trainset.ur
        return lists

    def compute_similarities(self) -> FloatArray:
        """Return the similarity matrix for `sim_options`; see `compute_similarity_matrix`."""
        options = SimilarityOptions.parse(self.sim_options)
        baselines = self.compute_baselines() if options.needs_baselines else None
        if self.verbose:
            print(f"Computing the {options.name} similarity matrix...")  # noqa: T201  as Surprise does
        mean = self.trainset.global_mean
        sim = compute_similarity_matrix(
            self.training_matrix, options, mean=mean, baselines=baselines, dtype=self.dtype
        )
        if self.verbose:
            print("Done computing similarity matrix.")  # noqa: T201
        return sim

    def fit_with_similarities(self, data: Trainset | InteractionMatrix, sim: FloatArray) -> Self:
        """Fit as `fit` does, but use `sim`, an earlier result of `compute_similarities`."""
        self._fit_bases_and_similarities(self._prepare_fit(data), sim)
        return self

    def _score_all_items(self, users: Int32Array) -> Float64Array:
        scores = np.empty((len(users), self.trainset.n_items))
        step = max(1, MAX_PAIRS // self.trainset.n_items)
        for start in range(0, len(users), step):
            scores[start : start + step] = super()._score_all_items(users[start : start + step])
        return scores

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the offsets, which are computed again when needed."""
        return {key: value for key, value in vars(self).items() if key != "_offsets"}

    def _check_parameters(self) -> None:
        check_integer_attributes(self, "k", minimum=1)
        check_integer_attributes(self, "min_k")
        check_choice_attribute(self, "dtype", DTYPES)
        if type(self).compute_similarities is KNNAlgorithm.compute_similarities:
            # Not if a subclass computes its own similarities, which may have other options.
            SimilarityOptions.parse(self.sim_options)

    def _fit(self, matrix: InteractionMatrix) -> None:
        self._fit_bases_and_similarities(matrix, None)

    def _fit_bases_and_similarities(self, matrix: InteractionMatrix, sim: FloatArray | None) -> None:
        self.__dict__.pop("_offsets", None)
        self._fit_bases(matrix)
        self.sim = self.compute_similarities() if sim is None else sim

    def _fit_bases(self, matrix: InteractionMatrix) -> None:
        """Compute the means, z-scores or baselines that offsets are relative to."""

    def _compute_offsets(self, ratings: SparseRows) -> Float64Array:
        """Return the offset of each rating from its base; `ratings` are grouped by y."""
        return ratings.values

    @cached_property
    def _offsets(self) -> _Offsets:
        ratings = self.switch(self.training_matrix.by_item, self.training_matrix.by_user)[0]
        offsets = np.ascontiguousarray(self._compute_offsets(ratings), dtype=np.float64)
        return _Offsets(ratings.indptr, ratings.indices, offsets, int(ratings.counts.max()))

    def _average_neighbors(self, users: Int32Array, items: Int32Array) -> tuple[Float64Array, Int32Array]:
        """Return each pair's weighted average A of offsets, and its number of neighbors.

        A is 0 if there are fewer than `min_k` neighbors.
        """
        xs, ys = self.switch(users, items)
        ratings, order = self._offsets, stable_argsort(xs)  # pairs of the same x share a row of `sim`
        averages, counts = np.empty(len(xs)), np.empty(len(xs), dtype=np.int32)

        def average_block(start: int, stop: int) -> None:
            average_neighbor_offsets(
                self.sim, xs, ys, order[start:stop],
                ratings.indptr, ratings.raters, ratings.offsets, self.k, ratings.max_raters, averages, counts,
            )  # fmt: skip

        run_blocks(average_block, len(xs), PAIRS_PER_BLOCK)
        averages[counts < self.min_k] = 0
        return averages, counts

    def _explain_impossible(self, user: int, item: int) -> str:
        unknown = UNKNOWN in (user, item)
        return self.impossible_reason if unknown else "Not enough neighbors."
