"""One measurement of Surprise, in a process of its own; no algorithm of Marquee and no numba is imported.

    python -m benchmarks.table.theirs JOB.json RESULT.json

Each does a toy of the same work first, unmeasured, as ours do.
"""

from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import surprise
from surprise.model_selection import KFold, cross_validate

from benchmarks.folds import FOLDS, SCALE, SEED, read_fold, read_ratings, toy
from benchmarks.measure import Job, Laps, Result, measured, serve
from marquee.interactions.matrix import ITEM, RATING, USER


class Outcome(NamedTuple):
    """What Surprise predicted, and its errors."""

    rmse: float
    mae: float
    estimated: list[float]


def make(name: str, parameters: dict[str, Any]) -> surprise.AlgoBase:
    """An algorithm by its class name; random draws begin anew."""
    np.random.seed(SEED)  # noqa: NPY002  NormalPredictor draws from the global state
    return getattr(surprise, name)(**parameters)


def fold(job: Job) -> Result:
    """One algorithm on one fold, from the frame to the metrics."""
    _predicted(job, toy(), toy(), Laps())
    parts = read_fold(job.folder, job.fold)
    outcome, result = measured(job.repeats, partial(_predicted, job, *parts))
    return result | {"fold": job.fold} | outcome._asdict()


def _predicted(job: Job, train: pd.DataFrame, test: pd.DataFrame, laps: Laps) -> Outcome:
    algorithm = make(job.algorithm, dict(job.parameters))
    trainset = _data(train).build_full_trainset()
    testset = list(zip(test[USER].tolist(), test[ITEM].tolist(), test[RATING].tolist(), strict=True))
    laps.lap("data")
    algorithm.fit(trainset)
    laps.lap("fit")
    predictions = algorithm.test(testset)
    error = surprise.accuracy.rmse(predictions, verbose=False)
    absolute = surprise.accuracy.mae(predictions, verbose=False)
    laps.lap("predict")
    return Outcome(float(error), float(absolute), [float(prediction.est) for prediction in predictions])


def folds(job: Job) -> Result:
    """One algorithm on all folds: `cross_validate`."""
    _cross_validated(job, toy(), Laps())
    error, result = measured(job.repeats, partial(_cross_validated, job, read_ratings(job.folder)))
    return result | {"rmse": error}


def _cross_validated(job: Job, ratings: pd.DataFrame, laps: Laps) -> float:
    parameters = dict(job.parameters)
    n_jobs = parameters.pop("n_jobs", 1)
    scores = cross_validate(
        make(job.algorithm, parameters), _data(ratings), measures=["rmse", "mae"],
        cv=KFold(FOLDS, random_state=SEED), n_jobs=n_jobs,
    )  # fmt: skip
    laps.lap("folds")
    return float(np.mean(scores["test_rmse"]))


def _data(ratings: pd.DataFrame) -> surprise.Dataset:
    reader = surprise.Reader(rating_scale=SCALE)
    return surprise.Dataset.load_from_df(ratings[[USER, ITEM, RATING]], reader)


TASKS: dict[str, Callable[[Job], Result]] = {"fold": fold, "folds": folds}

if __name__ == "__main__":
    with redirect_stdout(StringIO()):  # Surprise prints where it should not
        serve(TASKS)
