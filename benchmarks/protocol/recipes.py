"""Recipes that the benchmarks of the protocol choose from: an algorithm and its parameters."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from experiments.search.trials import Trial, point_key
from marquee.algorithms.base import Algorithm
from marquee.algorithms.registry import find_algorithm

LIKED = 4.0  # lowest rating of a positive and of a hit
ALL_RATINGS = 1.0
ITEM_WEIGHTS_COST = 1000

Candidates = Mapping[str, Mapping[str, Sequence[Any]]]  # values by algorithm and parameter, as in params.yaml


@dataclass(frozen=True)
class Recipe:
    """Algorithm of the registry with parameters."""

    algorithm: str
    parameters: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Text that identifies the recipe."""
        return point_key(self.algorithm, self.parameters)

    @property
    def label(self) -> str:
        """Name for display."""
        return Trial(0, self.algorithm, self.parameters).label

    @property
    def relative_cost(self) -> float:
        """Size of the model, in factors; item-item weights count as many."""
        factors = {
            "popularity": 0,
            "baseline_only": 1,
            "ease": ITEM_WEIGHTS_COST,
            "knn_baseline": ITEM_WEIGHTS_COST,
        }
        return float(self.parameters.get("n_factors", factors.get(self.algorithm, 1)))

    def create(self, seed: int) -> Algorithm:
        """Create the unfitted algorithm."""
        return find_algorithm(self.algorithm).create(self.parameters, seed)


def expand_grid(algorithm: str, **values: Sequence[Any]) -> Iterator[Recipe]:
    """Yield a recipe for every combination of parameter values."""
    for point in product(*values.values()):
        yield Recipe(algorithm, dict(zip(values, point, strict=True)))


def expand_candidates(candidates: Candidates) -> Iterator[Recipe]:
    """Yield the recipes of the grid of every candidate."""
    for algorithm, values in candidates.items():
        yield from expand_grid(algorithm, **values)


def _concatenate(*grids: Iterable[Recipe]) -> tuple[Recipe, ...]:
    return tuple(recipe for grid in grids for recipe in grid)


# All kinds of candidates, from useless to best: what a search over the registry compares.
CANDIDATES: Candidates = {
    "normal_predictor": {},
    "popularity": {"threshold": [LIKED]},
    "baseline_only": {"method": ["als"]},
    "svd": {"n_factors": [50, 100], "n_epochs": [20, 40], "reg_all": [0.02, 0.06]},
    "nmf": {},
    "knn_baseline": {"k": [40]},
    "bayesian_mf": {"n_factors": [32], "n_epochs": [30]},
    "ease": {
        "reg": [50, 100, 200, 400, 800, 1600, 20000],
        "threshold": [LIKED, ALL_RATINGS],
        "dtype": ["float32"],
    },
    "implicit_als": {
        "n_factors": [32, 64],
        "alpha": [1.0, 4.0],
        "reg_all": [1.0, 10.0],
        "threshold": [LIKED],
    },
    "implicit_bpr": {"n_factors": [32], "threshold": [LIKED]},
}
FULL_GRID = tuple(expand_candidates(CANDIDATES))
# Models that differ only in size: a split that leaves too few training ratings prefers one that is too small.
FACTOR_GRID = tuple(
    expand_grid(
        "implicit_als",
        n_factors=[8, 12, 16, 24, 32, 48, 64, 128, 256],
        alpha=[1.0], reg_all=[10.0], threshold=[LIKED],
    )
)  # fmt: skip
# Recipes that are trained on hundreds of samples of users.
SAMPLE_GRID = _concatenate(
    expand_grid("popularity", threshold=[LIKED]),
    expand_grid("svd", n_factors=[50], n_epochs=[20]),
    expand_grid("ease", reg=[50, 100, 200, 400, 800], threshold=[LIKED], dtype=["float32"]),
    expand_grid("ease", reg=[200], threshold=[ALL_RATINGS], dtype=["float32"]),
    expand_grid("implicit_als", n_factors=[16, 32], alpha=[1.0], reg_all=[10.0], threshold=[LIKED]),
    expand_grid("implicit_bpr", n_factors=[16], threshold=[LIKED]),
)
# The best recipes on MovieLens 1M, close to each other.
NEAR_GRID = _concatenate(
    expand_grid("ease", reg=[200, 400, 600, 800], threshold=[LIKED], dtype=["float32"]),
    expand_grid("ease", reg=[400], threshold=[ALL_RATINGS], dtype=["float32"]),
    expand_grid("implicit_als", n_factors=[32, 64], alpha=[1.0], reg_all=[10.0], threshold=[LIKED]),
)
