"""How alike users (or items) are, by what both rated: cosine, msd, pearson and pearson_baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from marquee.algorithms.kernels.similarities import COSINE, MSD, PEARSON, SUMS, similar_rows
from marquee.algorithms.memory import room
from marquee.algorithms.parameters import choice, known, number, whole
from marquee.algorithms.threads import share_out
from marquee.arrays import Floats, Real
from marquee.errors import ParameterError, UnknownSimilarityError
from marquee.interactions.matrix import Grouped, RatingMatrix, grouped

MEASURES = {"cosine": COSINE, "msd": MSD, "pearson": PEARSON, "pearson_baseline": COSINE}
BLOCK = 64  # rows of a tile
ROOM = 8192  # sums of a row of a tile, which is so wide that sparse lists have something in it


@dataclass(frozen=True)
class SimilarityOptions:
    """Surprise's `sim_options`, checked."""

    name: str = "msd"
    user_based: bool = True
    min_support: int = 1  # common ratings below which a similarity is 0
    shrinkage: float = 100.0  # pearson_baseline

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Self:
        """Check the options and fill in the twin's defaults.

        Deviation from the twin: an option that does not exist is refused, where it would be ignored.

        Raises:
            UnknownSimilarityError: no similarity has that name; a NameError too, as the twin raises.
            ParameterError: names the option, its value and what it may be.
        """
        known("sim_options", options, tuple(cls.__dataclass_fields__))
        options = {**options, "name": str(options.get("name", cls.name)).lower()}
        for name, value in options.items():
            _check(name, value)
        return cls(**options)

    @property
    def needs_baselines(self) -> bool:
        """Whether ratings are compared as their distance from the baseline."""
        return self.name == "pearson_baseline"


def similarities(
    matrix: RatingMatrix,
    options: SimilarityOptions,
    *,
    mean: float = 0.0,
    baselines: tuple[Floats, Floats] | None = None,
    dtype: str = "float64",
) -> Real:
    r"""Similarities of all pairs of users, or of items: shape (n_x, n_x), symmetric, 1 on the diagonal.

    With all sums over the :math:`n` ratings :math:`r, r'` that x and x' gave to the same y,

    .. math::
        \text{cosine} &= \sum r r' \Big/ \sqrt{\sum r^2 \sum r'^2} \\
        \text{msd} &= 1 \Big/ \Big(1 + \tfrac{1}{n} \sum (r - r')^2\Big) \\
        \text{pearson} &= \Big(n \sum r r' - \sum r \sum r'\Big) \Big/
            \sqrt{\Big(n \sum r^2 - \big(\sum r\big)^2\Big) \Big(n \sum r'^2 - \big(\sum r'\big)^2\Big)} \\
        \text{pearson_baseline} &= \frac{n - 1}{n - 1 + \text{shrinkage}} \,
            \text{cosine of } r - (\mu + b_u + b_i)

    and 0 with fewer than `min_support` common ratings (pearson_baseline: than 2).
    Koren (2010), Factor in the Neighbors, section 2.2.

    Deviation from the twin: where a formula divides by zero (nothing in common, common ratings that are all
    zero or all on the baseline) the similarity is 0, where the twin raises ZeroDivisionError; so it is where
    rounding leaves a variance below zero, which gives the twin NaN.

    Args:
        matrix: the ratings.
        options: measure, side, and its options.
        mean: global mean, for pearson_baseline.
        baselines: biases of users (n_users,) and items (n_items,), for pearson_baseline.
        dtype: of the result, float64 or float32; sums are in float64.

    Raises:
        ParameterError: pearson_baseline without baselines.
        DataError: a matrix of that size does not fit into memory.
    """
    side = _ascending(matrix, options.user_based)
    values, min_support, shrinkage = side.values, options.min_support, 0.0
    if options.needs_baselines:
        if baselines is None:
            raise ParameterError("pearson_baseline compares ratings with baselines: none were given")
        bx, by = baselines if options.user_based else baselines[::-1]
        values = values - (np.repeat(mean + by, side.counts) + bx[side.others])
        min_support, shrinkage = max(2, min_support), float(options.shrinkage)
    side = replace(side, values=values)
    measure = MEASURES[options.name]
    sim: Real
    (sim,) = _all_pairs(matrix, side, options.user_based, measure, [measure], min_support, shrinkage, dtype)
    return sim


def shared_similarities(
    matrix: RatingMatrix, names: Sequence[str], options: SimilarityOptions, *, dtype: str = "float64"
) -> dict[str, Real]:
    """Matrices of several measures, the same to the bit as `similarities` gives one by one.

    One pass over the ratings gathers the sums of all of them. That they are the same needs sums that are
    exact, as they are of whole, half and quarter stars; of other ratings each measure gets its own pass.

    Args:
        matrix: the ratings.
        names: among cosine, msd and pearson; pearson_baseline compares other numbers.
        options: the side and `min_support` of all of them; its own name does not count.
        dtype: of the results.

    Raises:
        DataError: that many matrices do not fit into memory.
    """
    if len(names) < 2 or not _sums_are_exact(matrix.values):
        return {name: similarities(matrix, replace(options, name=name), dtype=dtype) for name in names}
    side = _ascending(matrix, options.user_based)
    measures = [MEASURES[name] for name in names]
    sims = _all_pairs(
        matrix, side, options.user_based, PEARSON, measures, options.min_support, 0.0, dtype
    )  # fmt: skip
    return dict(zip(names, sims, strict=True))


def _all_pairs(
    matrix: RatingMatrix,
    side: Grouped,
    user_based: bool,
    gathered: int,
    measures: Sequence[int],
    min_support: int,
    shrinkage: float,
    dtype: str,
) -> Real:
    """A matrix for each measure, shape (n_measures, n_x, n_x), from the sums of the measure `gathered`."""
    n_x, things = (matrix.n_users, "users") if user_based else (matrix.n_items, "items")
    remedy = "compare the other side (user_based), or take dtype float32"
    shape = (len(measures), n_x, n_x)
    sims: Real = room(shape, dtype, f"similarities of {n_x:,} {things}", remedy)
    n_sums = SUMS[gathered]

    def work(start: int, stop: int) -> None:
        similar_rows(
            side.indptr, side.others, side.values, start, stop, gathered, n_sums, ROOM // n_sums,
            np.array(measures), min_support, shrinkage, sims,
        )  # fmt: skip

    share_out(work, n_x, BLOCK)
    return sims


def _sums_are_exact(values: Floats) -> bool:
    """Whether sums of products of these have no rounding: quarters, and few enough for 53 bits."""
    quarters = 4 * values
    return bool((quarters == np.rint(quarters)).all() and len(values) * np.abs(quarters).max() ** 2 < 2**50)


def _ascending(matrix: RatingMatrix, user_based: bool) -> Grouped:
    """The ratings of each y, in ascending order of x (of one x in source order)."""
    by_x, n_y = (matrix.by_user, matrix.n_items) if user_based else (matrix.by_item, matrix.n_users)
    xs = np.repeat(np.arange(len(by_x.counts), dtype=np.int32), by_x.counts)
    return grouped(by_x.others, xs, by_x.values, n_y)


def _check(name: str, value: Any) -> None:
    """Refuse a value that an option cannot have."""
    if name == "name":
        choice("sim_options", name, value, tuple(MEASURES), UnknownSimilarityError)
    elif name == "user_based":
        choice("sim_options", name, value, (True, False))
    elif name == "min_support":
        whole("sim_options", name, value)
    else:
        number("sim_options", name, value)
