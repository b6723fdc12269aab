"""Measurement of one job with scikit-surprise, in its own process.

The module imports neither Marquee's algorithms nor numba.

    python -m benchmarks.table.surprise_job JOB.json RESULT.json

Like `marquee_job`, each task first does the same work on toy ratings, without measuring it.
"""

from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import surprise
from surprise.model_selection import KFold, cross_validate

from benchmarks.fold_tables import N_FOLDS, generate_toy_ratings, read_fold, read_ratings
from benchmarks.process_jobs import Job, JobResult, run_requested_job
from benchmarks.ratings import RATING_SCALE, SEED
from benchmarks.stopwatch import Stopwatch, time_repeats
from marquee.interactions.columns import ITEM, RATING, USER


class FoldPredictions(NamedTuple):
    """Predictions for the test part of a fold, and their errors."""

    rmse: float
    mae: float
    estimated: list[float]


def run_fold(job: Job) -> JobResult:
    """Measure an algorithm on one fold, from the ratings table to the metrics."""
    _predict_fold(job, generate_toy_ratings(), generate_toy_ratings(), Stopwatch())
    train, test = read_fold(Path(job.folder), job.fold)
    predictions, timings = time_repeats(job.repeats, partial(_predict_fold, job, train, test))
    return timings | {"fold": job.fold} | predictions._asdict()


def _predict_fold(job: Job, train: pd.DataFrame, test: pd.DataFrame, stopwatch: Stopwatch) -> FoldPredictions:
    algorithm = _create_algorithm(job.algorithm, job.parameters)
    trainset = _load_dataset(train).build_full_trainset()
    testset = list(zip(test[USER].tolist(), test[ITEM].tolist(), test[RATING].tolist(), strict=True))
    stopwatch.end_phase("data")
    algorithm.fit(trainset)
    stopwatch.end_phase("fit")
    predictions = algorithm.test(testset)
    fold_rmse = surprise.accuracy.rmse(predictions, verbose=False)
    fold_mae = surprise.accuracy.mae(predictions, verbose=False)
    stopwatch.end_phase("predict")
    estimated = [float(prediction.est) for prediction in predictions]
    return FoldPredictions(float(fold_rmse), float(fold_mae), estimated)


def run_all_folds(job: Job) -> JobResult:
    """Measure `cross_validate` on all folds."""
    _cross_validate(job, generate_toy_ratings(), Stopwatch())
    mean_rmse, timings = time_repeats(
        job.repeats, partial(_cross_validate, job, read_ratings(Path(job.folder)))
    )
    return timings | {"rmse": mean_rmse}


def _cross_validate(job: Job, ratings: pd.DataFrame, stopwatch: Stopwatch) -> float:
    parameters = dict(job.parameters)
    n_jobs = parameters.pop("n_jobs", 1)
    scores = cross_validate(
        _create_algorithm(job.algorithm, parameters), _load_dataset(ratings), measures=["rmse", "mae"],
        cv=KFold(N_FOLDS, random_state=SEED), n_jobs=n_jobs,
    )  # fmt: skip
    stopwatch.end_phase("folds")
    return float(np.mean(scores["test_rmse"]))


def _create_algorithm(class_name: str, parameters: Mapping[str, Any]) -> surprise.AlgoBase:
    """Create an algorithm; seed NumPy's global generator, from which NormalPredictor draws."""
    np.random.seed(SEED)  # noqa: NPY002
    return getattr(surprise, class_name)(**parameters)


def _load_dataset(ratings: pd.DataFrame) -> surprise.Dataset:
    reader = surprise.Reader(rating_scale=RATING_SCALE)
    return surprise.Dataset.load_from_df(ratings[[USER, ITEM, RATING]], reader)


TASKS: dict[str, Callable[[Job], JobResult]] = {"fold": run_fold, "folds": run_all_folds}

if __name__ == "__main__":
    with redirect_stdout(StringIO()):  # Surprise prints to standard output
        run_requested_job(TASKS)
