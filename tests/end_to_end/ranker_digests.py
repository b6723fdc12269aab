"""Fit rankers to random interactions: `python ranker_digests.py N_SEEDS` prints digests of all their numbers.

The digests cover the model, its scores of users and of histories, and the lists. They must not depend on the
processor, the number of threads or the hash seed.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from marquee.algorithms.base import Algorithm
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.top_n_retrieval import recommend_from_algorithm
from marquee.interactions.columns import FeedbackType
from marquee.interactions.matrix import EncodedInteractions, InteractionMatrix

N_USERS, N_ITEMS, N_PAIRS = 500, 300, 9000  # more items than two blocks of the inverse have rows
MODELS: tuple[tuple[str, dict[str, Any], FeedbackType], ...] = (
    ("popularity", {"weighting": "log"}, "implicit"),
    ("ease", {"reg": 20.0}, "explicit"),
    ("ease", {"reg": 20.0, "dtype": "float64"}, "explicit"),
    ("ease", {"reg": 20.0, "weighting": "linear", "neutral": 2.0}, "explicit"),
    ("ease", {"reg": 20.0, "weighting": "linear"}, "implicit"),
    ("ease", {"reg": 20.0, "weighting": "log", "dtype": "float64"}, "implicit"),
    ("ease", {"reg": 20.0, "n_weights": 30}, "explicit"),
    ("edlae", {"reg": 20.0, "weighting": "linear", "neutral": 2.0}, "explicit"),
    ("slim", {"weighting": "linear", "neutral": 2.0, "k": 40}, "explicit"),
    ("slim", {"weighting": "log", "nonnegative": False, "k": None}, "implicit"),
    ("item_knn", {"similarity": "bm25", "weighting": "log", "k": 30}, "implicit"),
    ("item_knn", {"shrinkage": 5.0, "k": 30}, "explicit"),
    ("user_knn", {"similarity": "tf_idf", "weighting": "linear", "k": 30}, "implicit"),
    ("user_knn", {"similarity": "jaccard", "k": 30}, "explicit"),
    ("rp3beta", {"weighting": "linear", "k": 30}, "implicit"),
    ("blend", {}, "explicit"),
    ("ials", {"n_factors": 20, "n_epochs": 3, "reg_exponent": 0.7}, "explicit"),
    ("ials", {"n_factors": 20, "n_epochs": 3, "solver": "block", "block_size": 6}, "implicit"),
    ("bpr", {"n_factors": 20, "n_epochs": 5}, "implicit"),
    ("implicit_bpr", {"n_factors": 20, "n_epochs": 5}, "implicit"),
    ("svd", {"n_factors": 20, "n_epochs": 5}, "explicit"),
    ("svdpp", {"n_epochs": 5}, "explicit"),
)


def make_matrix(seed: int, feedback: FeedbackType) -> InteractionMatrix:
    """Return random interactions; popular items have lower ids."""
    rng = np.random.RandomState(seed)
    items = np.minimum(*rng.randint(N_ITEMS, size=(2, N_PAIRS)))
    pairs = np.unique(rng.randint(N_USERS, size=N_PAIRS) * N_ITEMS + items)
    values = rng.randint(1, 6, size=len(pairs)).astype(np.float64)
    if feedback == "implicit":
        values *= 0.7
    users, items = np.divmod(pairs.astype(np.int32), N_ITEMS)
    ids = tuple(range(N_USERS)), tuple(range(N_ITEMS))
    return InteractionMatrix.from_encoded(EncodedInteractions(users, items, values, *ids, feedback))


def compute_arrays(algorithm: Algorithm, matrix: InteractionMatrix) -> Iterator[np.ndarray]:
    """Yield the arrays of a fitted model, then its scores and lists."""
    for _, value in sorted(vars(algorithm).items()):
        if isinstance(value, np.ndarray):
            yield value
    yield algorithm.score_all_items(np.arange(N_USERS))
    end = matrix.indptr[100]
    yield algorithm.score_histories(matrix.indptr[:101], matrix.items[:end], matrix.values[:end])
    yield from recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 10)


def digest(arrays: Iterator[np.ndarray]) -> str:
    """Return the SHA-256 of all arrays."""
    checksum = hashlib.sha256()
    for array in arrays:
        checksum.update(np.ascontiguousarray(array).tobytes())
    return checksum.hexdigest()


def compute_digests(n_seeds: int) -> dict[str, str]:
    """Return a digest for each seed and model."""
    digests = {}
    for seed in range(n_seeds):
        for name, parameters, feedback in MODELS:
            matrix = make_matrix(seed, feedback)
            algorithm = find_algorithm(name).create(parameters, seed).fit(matrix)
            digests[f"{seed} {name} {parameters} {feedback}"] = digest(compute_arrays(algorithm, matrix))
    return digests


if __name__ == "__main__":
    digests = compute_digests(int(sys.argv[1]))
    kernels = sorted(
        {library["architecture"] for library in threadpool_info() if library["user_api"] == "blas"}
    )
    print(json.dumps({"blas": kernels, "digests": digests}))
