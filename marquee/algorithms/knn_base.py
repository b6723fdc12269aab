"""What the k-NN models share: options, similarities, and averages over the nearest neighbours."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np

from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.algorithms.kernels.neighbours import average_pairs
from marquee.algorithms.parameters import DTYPES, require_choice, require_whole
from marquee.algorithms.similarities import SimilarityOptions, similarities
from marquee.algorithms.threads import share_out
from marquee.algorithms.trainset import Lists, Trainset
from marquee.arrays import Floats, Indices, Integers, Real
from marquee.interactions.matrix import Grouped, RatingMatrix, stable_order

Options = Mapping[str, Any]
T = TypeVar("T")

PAIRS = 4096  # that one thread estimates at a time
CELLS = 1 << 18  # estimated at once by `score_all`, which bounds the memory that it takes


@dataclass(frozen=True)
class _Offsets:
    """What the neighbours say of each y: `raters[indptr[y]:indptr[y + 1]]`, and their offsets beside them."""

    indptr: Indices
    raters: Integers
    offsets: Floats
    longest: int  # list


class SymmetricAlgorithm(Algorithm):
    """What the four models share: options, similarities, neighbours. Twin of `surprise`'s `SymmetricAlgo`."""

    sim: Real

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
        """Return what is of x, and what of y."""
        return (u_stuff, i_stuff) if self.sim_options["user_based"] else (i_stuff, u_stuff)

    @property
    def n_x(self) -> int:
        """Number of those who are compared."""
        return int(self.switch(self.trainset.n_users, self.trainset.n_items)[0])

    @property
    def n_y(self) -> int:
        """Number of the others."""
        return int(self.switch(self.trainset.n_users, self.trainset.n_items)[1])

    @property
    def xr(self) -> Lists:
        """The ratings of each x, as lists of tuples; made when asked for."""
        lists: Lists = self.trainset.ur if self.sim_options["user_based"] else self.trainset.ir
        return lists

    @property
    def yr(self) -> Lists:
        """The ratings of each y, as lists of tuples; made when asked for."""
        lists: Lists = self.trainset.ir if self.sim_options["user_based"] else self.trainset.ur
        return lists

    def compute_similarities(self) -> Real:
        """The matrix that `sim_options` ask for; see `similarities`."""
        options = SimilarityOptions.read(self.sim_options)
        baselines = self.compute_baselines() if options.needs_baselines else None
        if self.verbose:
            print(f"Computing the {options.name} similarity matrix...")  # noqa: T201  what Surprise's `verbose` does
        mean = self.trainset.global_mean
        sim = similarities(self.matrix, options, mean=mean, baselines=baselines, dtype=self.dtype)
        if self.verbose:
            print("Done computing similarity matrix.")  # noqa: T201
        return sim

    def fit_similar(self, data: Trainset | RatingMatrix, sim: Real) -> Self:
        """As `fit`, with the similarities that `compute_similarities` would give, computed beforehand."""
        self._learn_with(self._begin(data), sim)
        return self

    def _score_all(self, users: Integers) -> Floats:
        scores = np.empty((len(users), self.trainset.n_items))
        step = max(1, CELLS // self.trainset.n_items)
        for start in range(0, len(users), step):
            scores[start : start + step] = super()._score_all(users[start : start + step])
        return scores

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: not the offsets, which are computed again when needed."""
        return {key: value for key, value in vars(self).items() if key != "_offsets"}

    def _check_parameters(self) -> None:
        require_whole(self, "k", least=1)
        require_whole(self, "min_k")
        require_choice(self, "dtype", DTYPES)
        if type(self).compute_similarities is SymmetricAlgorithm.compute_similarities:
            SimilarityOptions.read(self.sim_options)  # a subclass may have similarities of its own

    def _learn(self, matrix: RatingMatrix) -> None:
        self._learn_with(matrix, None)

    def _learn_with(self, matrix: RatingMatrix, sim: Real | None) -> None:
        self.__dict__.pop("_offsets", None)
        self._learn_bases(matrix)
        self.sim = self.compute_similarities() if sim is None else sim

    def _learn_bases(self, matrix: RatingMatrix) -> None:
        """Compute what ratings are seen from."""

    def _offsets_of(self, ratings: Grouped) -> Floats:
        """Offsets of all ratings, given by y."""
        return ratings.values

    @cached_property
    def _offsets(self) -> _Offsets:
        ratings = self.switch(self.matrix.by_item, self.matrix.by_user)[0]
        offsets = np.ascontiguousarray(self._offsets_of(ratings), dtype=np.float64)
        return _Offsets(ratings.indptr, ratings.others, offsets, int(ratings.counts.max()))

    def _averages(self, users: Integers, items: Integers) -> tuple[Floats, Integers]:
        """The average A of each pair, 0 with fewer than `min_k` neighbours, and the number of neighbours."""
        xs, ys = self.switch(users, items)
        of, order = self._offsets, stable_order(xs)
        averages, counts = np.empty(len(xs)), np.empty(len(xs), dtype=np.int32)

        def work(start: int, stop: int) -> None:
            average_pairs(
                self.sim, xs, ys, order[start:stop],
                of.indptr, of.raters, of.offsets, self.k, of.longest, averages, counts,
            )  # fmt: skip

        share_out(work, len(xs), PAIRS)
        averages[counts < self.min_k] = 0
        return averages, counts

    def _reason(self, user: int, item: int) -> str:
        unknown = UNKNOWN in (user, item)
        return self.impossible_reason if unknown else "Not enough neighbors."
