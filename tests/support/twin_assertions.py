"""Assertions that an algorithm behaves like its twin in Surprise's tools, and that its scores agree."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import surprise
from surprise.model_selection import GridSearchCV, KFold, cross_validate

from marquee.algorithms.base import Algorithm
from tests.support.rating_samples import RatingSample

AlgorithmPair: TypeAlias = tuple[type[surprise.AlgoBase], type[surprise.AlgoBase]]  # Marquee's, its twin


def assert_same_cross_validation(
    algorithm_classes: AlgorithmPair, arguments: Mapping[str, Any], frame: pd.DataFrame
) -> None:
    """Assert that both algorithms have the same error on each fold."""
    data, folds = _dataset_and_folds(frame)
    errors = [cross_validate(cls(**arguments), data, cv=folds)["test_rmse"] for cls in algorithm_classes]
    np.testing.assert_allclose(errors[0], errors[1], atol=1e-9)


def assert_same_grid_search(
    algorithm_classes: AlgorithmPair, grid: Mapping[str, Any], frame: pd.DataFrame
) -> None:
    """Assert that a grid search finds the same best parameters and error with both algorithms."""
    data, folds = _dataset_and_folds(frame)
    searches = [GridSearchCV(cls, grid, ["rmse"], cv=folds) for cls in algorithm_classes]
    for search in searches:
        search.fit(data)
    assert searches[0].best_params["rmse"] == searches[1].best_params["rmse"]
    assert abs(searches[0].best_score["rmse"] - searches[1].best_score["rmse"]) <= 1e-9


def assert_dump_predicts_same(model: surprise.AlgoBase, sample: RatingSample, folder: Path) -> None:
    """Assert that a fitted model gives the same predictions after `surprise.dump.dump` and `load`."""
    surprise.dump.dump(str(folder / "model"), algo=model)
    assert surprise.dump.load(str(folder / "model"))[1].test(sample.testset) == model.test(sample.testset)


def assert_scores_match_pairs(model: Algorithm, users: Sequence[int], n_items: int) -> None:
    """Assert that `score_all_items` returns the scores that `score_pairs` gives each pair."""
    items = np.arange(n_items)
    rows = [model.score_pairs(np.full(n_items, user), items) for user in users]
    np.testing.assert_allclose(model.score_all_items(users), rows, atol=1e-12)


def _dataset_and_folds(frame: pd.DataFrame) -> tuple[surprise.Dataset, KFold]:
    return surprise.Dataset.load_from_df(frame, surprise.Reader()), KFold(3, random_state=1)
