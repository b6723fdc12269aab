"""Ratings and folds for small searches and evaluations."""

import numpy as np
import pandas as pd
import pytest

from experiments.evaluation.cross_validation import FoldSource
from marquee.interactions.splitting import shuffle_rows

N_RATINGS = 400


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    """Ratings of 30 items by 40 users, with structure that algorithms can learn."""
    rng = np.random.default_rng(5)
    pairs = rng.choice(40 * 30, size=N_RATINGS, replace=False)
    users, items = pairs // 30, pairs % 30
    values = np.clip(np.round(3 + np.sin(users) + np.cos(items) + rng.normal(0, 0.5, N_RATINGS)), 1, 5)
    frame = pd.DataFrame({"user": users.astype(str), "item": items.astype(str), "rating": values})
    return frame.astype({"rating": np.float32})


@pytest.fixture(scope="module")
def source(ratings: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> FoldSource:
    """Three folds of the ratings."""
    folder = tmp_path_factory.mktemp("split")
    ratings.to_parquet(folder / "train.parquet", index=False)
    np.save(folder / "folds.npy", shuffle_rows(N_RATINGS, seed=11))
    return FoldSource(folder / "train.parquet", folder / "folds.npy", 3, (1.0, 5.0))
