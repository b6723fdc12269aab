"""The models that are served: an SVD of MovieLens 1M, and models of many users, made up."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from marquee.algorithms.export import served_arrays
from marquee.algorithms.registry import candidate
from marquee.algorithms.svd import SVD
from marquee.interactions.matrix import RatingMatrix
from marquee.model.arrays import ModelArrays
from marquee.model.factor_space import FactorSpace
from marquee.model.fitted_model import write_model
from marquee.model.string_table import StringTable

SCALE = (1.0, 5.0)
DESCRIPTION: dict[str, Any] = {
    "algorithm": "svd", "parameters": {}, "metrics": {}, "seed": 0, "data_source": "ml-1m", "data_digest": "",
    "scale": SCALE, "global_mean": 3.5, "libraries": {},
}  # fmt: skip


def write_movielens(folder: Path, ratings: pd.DataFrame) -> tuple[RatingMatrix, SVD]:
    """Fit an SVD of 64 factors and write what is served of it; the matrix and the model."""
    matrix = RatingMatrix.from_frame(ratings.astype({"user": str, "item": str}), SCALE)
    model = candidate("svd").make({"n_factors": 64}, 1).fit(matrix)
    assert isinstance(model, SVD)
    titles = StringTable.of([f"Title of item {item}" for item in matrix.item_ids])
    nothing = StringTable.of([""] * matrix.n_items)
    write_model(folder, served_arrays(model, matrix, (titles, nothing), n=100, noise=0.76), DESCRIPTION)
    return matrix, model


def write_made_up(folder: Path, n_users: int, n_items: int = 27_000, k: int = 64, n: int = 20) -> None:
    """A model of so many users, its lists drawn at random: its size matters here, not what it says."""
    rng = np.random.default_rng(0)
    lists = rng.integers(0, n_items, (n_users, n), dtype=np.int32)
    seen_each = 10
    users = rng.standard_normal((n_users, k)).astype(np.float32)
    items = rng.standard_normal((n_items, k)).astype(np.float32)
    space = FactorSpace.of((items, np.zeros(n_items)), (users, np.zeros(n_users)), offset=3.5, noise=0.8)
    counts = np.arange(n_items, 0, -1, dtype=np.int64)
    arrays = ModelArrays(
        users=StringTable.of([str(number) for number in range(n_users)]),
        items=StringTable.of([f"i{number}" for number in range(n_items)]),
        titles=StringTable.of([f"Title of item {number}" for number in range(n_items)]),
        genres=StringTable.of([""] * n_items),
        top_items=lists,
        top_scores=rng.random((n_users, n), dtype=np.float32),
        popular_items=np.arange(n_items, dtype=np.int32),
        popular_counts=counts,
        seen_indptr=np.arange(n_users + 1, dtype=np.int64) * seen_each,
        seen_items=rng.integers(0, n_items, n_users * seen_each, dtype=np.int32),
        similar_items=np.zeros((n_items, 0), np.int32),
        similarities=np.zeros((n_items, 0), np.float32),
        taste_items=np.zeros((0, n_items), np.int32),
        factors=space,
    )
    write_model(folder, arrays, DESCRIPTION)
    os.sync()  # pages that wait for the disk would count as the memory of whoever maps them
