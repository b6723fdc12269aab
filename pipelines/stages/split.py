"""Hold out the test set and shuffle the training set for cross-validation."""

import numpy as np
import pandas as pd

from experiments.config import Params
from marquee.errors import DataError
from marquee.files.atomic_write import write_json
from marquee.interactions.columns import ITEM, TIMESTAMP, USER
from marquee.interactions.splitting import (
    TrainTestSplit,
    check_fold_count,
    shuffle_rows,
    split_at_random,
    split_by_time,
)
from marquee.seeds import seed_for
from pipelines.support.paths import FOLDS, RATINGS, SPLIT, TEST, TRAIN
from pipelines.support.stage_runner import run_stage


def hold_out_test_set(params: Params) -> None:
    """Write data/split (training set, test set, row order of the folds) and results/split.json."""
    ratings = pd.read_parquet(RATINGS)
    parts = _hold_out(ratings, params)
    train, test = ratings.iloc[parts.train], ratings.iloc[parts.test]
    check_fold_count(len(train), params.split.folds)
    for frame, path in ((train, TRAIN), (test, TEST)):
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path, index=False)
    np.save(FOLDS, shuffle_rows(len(train), seed_for(params.seed, "folds")))
    write_json(SPLIT, _summarize(train, test))


def _hold_out(ratings: pd.DataFrame, params: Params) -> TrainTestSplit:
    if params.split.strategy == "random":
        return split_at_random(len(ratings), params.split.test_share, seed_for(params.seed, "holdout"))
    if TIMESTAMP not in ratings:
        raise DataError("split.strategy is time, but the ratings have no timestamps; set it to random")
    return split_by_time(ratings[TIMESTAMP].to_numpy(dtype=np.int64), params.split.test_share)


def _summarize(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, object]:
    """Return the sizes, and the number of test ratings whose user or item is not in the training set."""
    summary: dict[str, object] = {"train_ratings": len(train), "test_ratings": len(test)}
    for column, name in ((USER, "users"), (ITEM, "items")):
        known = train[column].unique()  # `isin` is slow if its argument has duplicates
        summary[f"test_ratings_of_unknown_{name}"] = int((~test[column].isin(known)).sum())
    if TIMESTAMP in test:
        summary["first_test_timestamp"] = int(test[TIMESTAMP].min())
    return summary


if __name__ == "__main__":
    run_stage(hold_out_test_set, "split")
