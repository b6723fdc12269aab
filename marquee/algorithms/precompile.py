"""Compile all kernels ahead of time: `python -m marquee.algorithms.precompile`.

Kernels are compiled on first call and cached on disk. This module makes those first calls with a few ratings,
in both precisions. It takes a second if all kernels are cached.
"""

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from marquee.algorithms.base import Algorithm
from marquee.algorithms.parameter_checks import DTYPES
from marquee.algorithms.registry import REGISTRY, Parameters
from marquee.algorithms.reproducible_linear_algebra import BLOCK_SIZE, Cholesky, allocate_padded_square
from marquee.algorithms.top_n_retrieval import recommend_from_algorithm
from marquee.interactions.matrix import InteractionMatrix

# Settings that need kernels that the default parameters do not use.
VARIANTS: tuple[tuple[str, Parameters], ...] = (
    ("svd", {"biased": False}),
    ("nmf", {"biased": True}),
    ("baseline_only", {"method": "sgd"}),
    ("knn_baseline", {"similarity": "pearson_baseline"}),
    ("ials", {"solver": "block"}),
    ("ease", {"n_weights": 2}),
    ("slim", {"k": None}),
)


def compile_kernels() -> float:
    """Compile all kernels that are not in the cache; return the elapsed seconds."""
    start = time.perf_counter()
    matrix = _sample_matrix()
    for algorithm in _algorithms():
        algorithm.fit(matrix)
        users = np.arange(2, dtype=np.int32)
        algorithm.score_pairs(users, users)
        algorithm.score_histories([0, 2], users, np.ones(2))
        recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 2)
    _factorize_two_blocks()
    return time.perf_counter() - start


def _factorize_two_blocks() -> None:
    """Call the kernels that only matrices of more than one block need."""
    square = allocate_padded_square(BLOCK_SIZE + 1)
    np.fill_diagonal(square, 1)
    Cholesky(square, BLOCK_SIZE + 1)


def _algorithms() -> Iterator[Algorithm]:
    """Yield every algorithm and variant, in each precision that it supports."""
    for name, parameters in (*((name, {}) for name in REGISTRY), *VARIANTS):
        entry = REGISTRY[name]
        for dtype in DTYPES if "dtype" in entry.parameter_names else (None,):
            yield entry.create(parameters if dtype is None else {**parameters, "dtype": dtype}, seed=1)


def _sample_matrix() -> InteractionMatrix:
    """Return thirty ratings: each of five users rates six items."""
    users, items = np.divmod(np.arange(30), 6)
    return InteractionMatrix.from_frame(
        pd.DataFrame({"user": users, "item": items, "rating": 1.0 + users % 5})
    )


if __name__ == "__main__":
    print(f"Kernels compiled in {compile_kernels():.0f} s")  # noqa: T201  command line
