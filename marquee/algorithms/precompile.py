"""Compile every kernel before anybody waits for one: `python -m marquee.algorithms.precompile`.

Kernels are compiled at their first call and cached on disk. This makes every first call, on a handful
of ratings, in both precisions; where all is cached already it takes a second.
"""

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from marquee.algorithms.base import Algorithm
from marquee.algorithms.parameters import DTYPES
from marquee.algorithms.registry import CATALOGUE, Parameters
from marquee.algorithms.retrieval import best_lists
from marquee.interactions.matrix import RatingMatrix

# What the defaults leave out and compiles kernels of its own.
VARIANTS: tuple[tuple[str, Parameters], ...] = (
    ("svd", {"biased": False}),
    ("nmf", {"biased": True}),
    ("baseline_only", {"method": "sgd"}),
    ("knn_baseline", {"similarity": "pearson_baseline"}),
)


def warm() -> float:
    """Compile what is not cached; return the seconds that it took."""
    started = time.perf_counter()
    matrix = _handful()
    for algorithm in _every():
        algorithm.fit(matrix)
        users = np.arange(2, dtype=np.int32)
        algorithm.score(users, users)
        best_lists(algorithm, matrix.indptr, matrix.items, 2)
    return time.perf_counter() - started


def _every() -> Iterator[Algorithm]:
    """Every candidate in every precision that it has."""
    for name, parameters in (*((name, {}) for name in CATALOGUE), *VARIANTS):
        one = CATALOGUE[name]
        for dtype in DTYPES if "dtype" in one.parameters else (None,):
            yield one.make(parameters if dtype is None else {**parameters, "dtype": dtype}, seed=1)


def _handful() -> RatingMatrix:
    """Thirty ratings of six users and items."""
    users, items = np.divmod(np.arange(30), 6)
    return RatingMatrix.from_frame(pd.DataFrame({"user": users, "item": items, "rating": 1.0 + users % 5}))


if __name__ == "__main__":
    print(f"Kernels compiled in {warm():.0f} s")  # noqa: T201  the command line
