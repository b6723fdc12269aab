"""Similarities of users or items by their common ratings: cosine, msd, pearson and pearson_baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from marquee.algorithms.array_allocation import allocate_within_memory
from marquee.algorithms.kernels.similarities import COSINE, MSD, PEARSON, SUMS_PER_MEASURE, fill_similarities
from marquee.algorithms.parameter_checks import check_choice, check_integer, check_number, check_option_names
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, FloatArray
from marquee.errors import ParameterError, UnknownSimilarityError
from marquee.interactions.matrix import InteractionMatrix, SparseRows

MEASURES = {"cosine": COSINE, "msd": MSD, "pearson": PEARSON, "pearson_baseline": COSINE}
ROWS_PER_TILE = 64
SUMS_PER_TILE_ROW = 8192  # tiles are wide enough that even short rating lists have entries in them
MAX_EXACT_SUM = 2**50  # float64 represents integers up to 2**53; formulas combine a few sums


@dataclass(frozen=True)
class SimilarityOptions:
    """Validated `sim_options`."""

    name: str = "msd"
    user_based: bool = True
    min_support: int = 1  # pairs with fewer common ratings have similarity 0
    shrinkage: float = 100.0  # pearson_baseline only

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Validate the options and add the defaults of Surprise.

        Deviation from Surprise: an unknown option raises an error and is not ignored.

        Raises:
            UnknownSimilarityError: no similarity has this name; a NameError as well, as Surprise raises.
            ParameterError: an option is unknown or has an invalid value.
        """
        check_option_names("sim_options", options, tuple(cls.__dataclass_fields__))
        options = {**options, "name": str(options.get("name", cls.name)).lower()}
        for name, value in options.items():
            _check_value(name, value)
        return cls(**options)

    @property
    def needs_baselines(self) -> bool:
        """True if the similarity compares deviations from the baseline."""
        return self.name == "pearson_baseline"


def compute_similarity_matrix(
    matrix: InteractionMatrix,
    options: SimilarityOptions,
    *,
    mean: float = 0.0,
    baselines: tuple[Float64Array, Float64Array] | None = None,
    dtype: str = "float64",
) -> FloatArray:
    r"""Return the similarities of all pairs of users or items: (n_x, n_x), symmetric, 1 on the diagonal.

    With all sums over the :math:`n` pairs of ratings :math:`r, r'` that x and x' gave to the same y,

    .. math::
        \text{cosine} &= \sum r r' \Big/ \sqrt{\sum r^2 \sum r'^2} \\
        \text{msd} &= 1 \Big/ \Big(1 + \tfrac{1}{n} \sum (r - r')^2\Big) \\
        \text{pearson} &= \Big(n \sum r r' - \sum r \sum r'\Big) \Big/
            \sqrt{\Big(n \sum r^2 - \big(\sum r\big)^2\Big) \Big(n \sum r'^2 - \big(\sum r'\big)^2\Big)} \\
        \text{pearson_baseline} &= \frac{n - 1}{n - 1 + \text{shrinkage}} \,
            \text{cosine of } r - (\mu + b_u + b_i)

    and 0 if there are fewer than `min_support` common ratings (at least 2 for pearson_baseline).
    Koren (2010), Factor in the Neighbors, section 2.2.

    Deviation from Surprise: if a formula divides by zero (no common ratings, or all of them are zero or equal
    the baseline), the similarity is 0; Surprise raises ZeroDivisionError. It is also 0 if rounding makes a
    variance negative, which gives NaN in Surprise.

    Args:
        matrix: training ratings.
        options: similarity, side (`user_based`) and options.
        mean: global mean, for pearson_baseline.
        baselines: biases of users (n_users,) and items (n_items,), for pearson_baseline.
        dtype: type of the result, float64 or float32; sums are computed in float64.

    Raises:
        ParameterError: pearson_baseline without baselines.
        DataError: the matrix does not fit into memory.
    """
    side = _sort_by_x(matrix, options.user_based)
    values, min_support, shrinkage = side.values, options.min_support, 0.0
    if options.needs_baselines:
        if baselines is None:
            raise ParameterError("pearson_baseline requires baselines")
        bx, by = baselines if options.user_based else baselines[::-1]
        values = values - (np.repeat(mean + by, side.counts) + bx[side.indices])
        min_support, shrinkage = max(2, min_support), float(options.shrinkage)
    side = replace(side, values=values)
    measure = MEASURES[options.name]
    sim: FloatArray
    (sim,) = _compute_matrices(
        matrix, side, options.user_based, measure, [measure], min_support, shrinkage, dtype
    )
    return sim


def compute_similarity_matrices_by_name(
    matrix: InteractionMatrix, names: Sequence[str], options: SimilarityOptions, *, dtype: str = "float64"
) -> dict[str, FloatArray]:
    """Compute several similarity matrices, each identical to the bit to that of `compute_similarity_matrix`.

    One pass over the ratings computes the sums of all similarities. The results are identical only if sums
    are exact, which holds for whole, half and quarter stars; with other ratings, each similarity gets its own
    pass.

    Args:
        matrix: training ratings.
        names: among cosine, msd and pearson; pearson_baseline needs sums of other numbers.
        options: side and `min_support` of all matrices; its name is ignored.
        dtype: type of the results.

    Raises:
        DataError: the matrices do not fit into memory.
    """
    if len(names) < 2 or not _has_exact_sums(matrix.values):
        return {
            name: compute_similarity_matrix(matrix, replace(options, name=name), dtype=dtype)
            for name in names
        }
    side = _sort_by_x(matrix, options.user_based)
    measures = [MEASURES[name] for name in names]
    sims = _compute_matrices(
        matrix, side, options.user_based, PEARSON, measures, options.min_support, 0.0, dtype
    )  # fmt: skip
    return dict(zip(names, sims, strict=True))


def _compute_matrices(
    matrix: InteractionMatrix,
    side: SparseRows,
    user_based: bool,
    summed_measure: int,
    measures: Sequence[int],
    min_support: int,
    shrinkage: float,
    dtype: str,
) -> FloatArray:
    """Compute a matrix for each measure, (n_measures, n_x, n_x), from the sums for `summed_measure`."""
    n_x, kind = (matrix.n_users, "users") if user_based else (matrix.n_items, "items")
    remedy = "compare the other side (user_based) or use dtype float32"
    shape = (len(measures), n_x, n_x)
    sims: FloatArray = allocate_within_memory(shape, dtype, f"similarities of {n_x:,} {kind}", remedy)
    n_sums = SUMS_PER_MEASURE[summed_measure]
    tile_width = SUMS_PER_TILE_ROW // n_sums

    def fill_rows(start: int, stop: int) -> None:
        fill_similarities(
            side.indptr, side.indices, side.values, start, stop, summed_measure, n_sums, tile_width,
            np.array(measures), min_support, shrinkage, sims,
        )  # fmt: skip

    run_blocks(fill_rows, n_x, ROWS_PER_TILE)
    return sims


def _has_exact_sums(values: Float64Array) -> bool:
    """Return True if sums of products need no rounding: values are quarters and sums fit into 53 bits."""
    quarters = 4 * values
    are_quarters = (quarters == np.rint(quarters)).all()
    return bool(are_quarters and len(values) * np.abs(quarters).max() ** 2 < MAX_EXACT_SUM)


def _sort_by_x(matrix: InteractionMatrix, user_based: bool) -> SparseRows:
    """Return the ratings of each y in ascending order of x (repeated ratings in source order)."""
    by_x, n_y = (matrix.by_user, matrix.n_items) if user_based else (matrix.by_item, matrix.n_users)
    xs = np.repeat(np.arange(len(by_x.counts), dtype=np.int32), by_x.counts)
    return SparseRows.from_triplets(by_x.indices, xs, by_x.values, n_y)


def _check_value(name: str, value: Any) -> None:
    if name == "name":
        check_choice("sim_options", name, value, tuple(MEASURES), UnknownSimilarityError)
    elif name == "user_based":
        check_choice("sim_options", name, value, (True, False))
    elif name == "min_support":
        check_integer("sim_options", name, value)
    else:
        check_number("sim_options", name, value)
