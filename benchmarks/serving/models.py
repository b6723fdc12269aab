"""Models of the benchmark: an SVD of MovieLens 1M, and random models with many users."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from marquee.algorithms.product_ranker import N_ITEM_WEIGHTS
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.serving_arrays import ServedAlgorithm, build_model_arrays
from marquee.algorithms.svd import SVD
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.factor_scoring import FactorSpace
from marquee.model.fitted_model import write_model
from marquee.model.history_weighting import HistoryWeighting
from marquee.model.model_arrays import ModelArrays
from marquee.model.recipe import Recipe
from marquee.model.scorers.item_weights import ItemWeights
from marquee.model.scorers.rating_factors import RatingFactors
from marquee.model.scorers.stored_scorer import StoredScorer
from marquee.model.string_table import StringTable

SCALE = (1.0, 5.0)
N_FACTORS = 64
SEEN_ITEMS_PER_USER = 10
N_ITEMS = 27_000
RECIPE = Recipe("svd", {}, 0)
MANIFEST_FIELDS: dict[str, Any] = {
    "recommender": RECIPE, "predictor": RECIPE, "feedback": "explicit", "scale": SCALE, "global_mean": 3.5,
    "score_unit": "stars", "list_agreement": None, "repeats_allowed": False, "metrics": {},
    "metrics_note": "not measured", "data_source": "ml-1m", "data_digest": "", "libraries": {},
}  # fmt: skip


def write_movielens_model(folder: Path, ratings: pd.DataFrame) -> InteractionMatrix:
    """Fit an SVD to ratings and write the fitted model; return the interaction matrix it was fitted to."""
    matrix = InteractionMatrix.from_frame(ratings.astype({"user": str, "item": str}), SCALE)
    model = find_algorithm("svd").create({"n_factors": N_FACTORS}, 1).fit(matrix)
    assert isinstance(model, SVD)
    titles = StringTable.from_strings([f"Title of item {item}" for item in matrix.item_ids])
    no_genres = StringTable.from_strings([""] * matrix.n_items)
    served = ServedAlgorithm(model, noise=0.76)
    arrays = build_model_arrays(served, served, matrix, (titles, no_genres), n=100)
    write_model(folder, arrays, MANIFEST_FIELDS)
    return matrix


def draw_factors(n_users: int, n_items: int) -> RatingFactors:
    """Draw the factors of users and items."""
    rng = np.random.default_rng(0)
    users = rng.standard_normal((n_users, N_FACTORS)).astype(np.float32)
    items = rng.standard_normal((n_items, N_FACTORS)).astype(np.float32)
    return RatingFactors(
        FactorSpace.from_parameters(
            (items, np.zeros(n_items)), (users, np.zeros(n_users)), offset=3.5, noise=0.8
        )
    )


def draw_item_weights(n_items: int) -> ItemWeights:
    """Draw the largest weights of each item, of random other items."""
    rng = np.random.default_rng(0)
    shape = n_items, N_ITEM_WEIGHTS
    items = np.sort(rng.integers(0, n_items, shape, dtype=np.int32), axis=1)
    return ItemWeights(items, rng.standard_normal(shape, dtype=np.float32), HistoryWeighting("binary"))


def write_random_model(
    folder: Path,
    n_users: int,
    n_items: int = N_ITEMS,
    n: int = 20,
    *,
    recommender: StoredScorer | None = None,
    seen_items_per_user: int = SEEN_ITEMS_PER_USER,
) -> None:
    """Write a model with random seen items and random stored lists.

    Args:
        folder: destination.
        n_users: number of users.
        n_items: number of items.
        n: length of the stored lists.
        recommender: what scores items; None: random factors.
        seen_items_per_user: number of training items of each user.
    """
    rng = np.random.default_rng(0)
    lists = rng.integers(0, n_items, (n_users, n), dtype=np.int32)
    n_seen = n_users * seen_items_per_user
    counts = np.arange(n_items, 0, -1, dtype=np.int64)
    arrays = ModelArrays(
        users=StringTable.from_strings([str(number) for number in range(n_users)]),
        items=StringTable.from_strings([f"i{number}" for number in range(n_items)]),
        titles=StringTable.from_strings([f"Title of item {number}" for number in range(n_items)]),
        genres=StringTable.from_strings([""] * n_items),
        top_items=lists,
        top_scores=rng.random((n_users, n), dtype=np.float32),
        popular_items=np.arange(n_items, dtype=np.int32),
        popular_counts=counts,
        seen_indptr=np.arange(n_users + 1, dtype=np.int64) * seen_items_per_user,
        seen_items=rng.integers(0, n_items, n_seen, dtype=np.int32),
        seen_values=np.full(n_seen, 4, dtype=np.float32),
        similar_items=np.zeros((n_items, 0), np.int32),
        similarities=np.zeros((n_items, 0), np.float32),
        group_items=np.zeros((0, n_items), np.int32),
        recommender=recommender or draw_factors(n_users, n_items),
    )
    write_model(folder, arrays, MANIFEST_FIELDS)
    os.sync()  # dirty pages would count as private memory of the processes that map them
