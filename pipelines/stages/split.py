"""Hold out the test part, and shuffle the rest into folds."""

import numpy as np
import pandas as pd

from experiments.config.offline import Params
from marquee.errors import DataError
from marquee.files.atomic_write import write_json
from marquee.interactions.matrix import ITEM, TIMESTAMP, USER
from marquee.interactions.splitting import Fold, check_folds, random_holdout, shuffled, time_holdout
from marquee.seeds import seed_for
from pipelines.support.paths import FOLDS, RATINGS, SPLIT, TEST, TRAIN
from pipelines.support.stage_runner import run


def split(params: Params) -> None:
    """Write the training part, the test part, and the order that the folds are cut from."""
    ratings = pd.read_parquet(RATINGS)
    parts = _hold_out(ratings, params)
    train, test = ratings.iloc[parts.train], ratings.iloc[parts.test]
    check_folds(len(train), params.split.folds)
    for frame, path in ((train, TRAIN), (test, TEST)):
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path, index=False)
    np.save(FOLDS, shuffled(len(train), seed_for(params.seed, "folds")))
    write_json(SPLIT, _summary(train, test))


def _hold_out(ratings: pd.DataFrame, params: Params) -> Fold:
    if params.split.strategy == "random":
        return random_holdout(len(ratings), params.split.test_share, seed_for(params.seed, "holdout"))
    if TIMESTAMP not in ratings:
        raise DataError("split.strategy is time, but these ratings have no timestamps: set it to random")
    return time_holdout(ratings[TIMESTAMP].to_numpy(dtype=np.int64), params.split.test_share)


def _summary(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, object]:
    """Sizes, and how much of the test part nobody could have learned."""
    summary: dict[str, object] = {"train_ratings": len(train), "test_ratings": len(test)}
    for column, name in ((USER, "users"), (ITEM, "items")):
        known = train[column].unique()  # `isin` is slow where what it looks in repeats
        summary[f"test_ratings_of_unknown_{name}"] = int((~test[column].isin(known)).sum())
    if TIMESTAMP in test:
        summary["first_test_timestamp"] = int(test[TIMESTAMP].min())
    return summary


if __name__ == "__main__":
    run(split, "split")
