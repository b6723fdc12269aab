"""Measurement of one job with Marquee, in its own process.

    python -m benchmarks.table.marquee_job JOB.json RESULT.json

Each task first does the same work on toy ratings, without measuring it, so that imports and compiled kernels
are loaded.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

import marquee.algorithms
from benchmarks.fold_tables import N_FOLDS, generate_toy_ratings, read_fold, read_ratings
from benchmarks.process_jobs import Job, JobResult, run_requested_job
from benchmarks.ratings import RATING_SCALE, SEED
from benchmarks.stopwatch import Stopwatch, time_repeats
from benchmarks.table.compared_algorithms import TWINS, Parameters, TwinSpec
from marquee.algorithms.base import Algorithm
from marquee.algorithms.scoring import Predictions, encode_pairs, predict_pairs, reencode_pairs
from marquee.algorithms.threads import limit_threads
from marquee.algorithms.top_n_retrieval import recommend_from_algorithm
from marquee.array_types import Float64Array
from marquee.interactions.matrix import EncodedInteractions, InteractionMatrix
from marquee.interactions.splitting import TrainTestSplit, shuffle_rows, split_for_cross_validation
from marquee.metrics.prediction import mae, rmse

LIST_LENGTH = 20
Argument = TypeVar("Argument")
Value = TypeVar("Value")


def run_fold(job: Job) -> JobResult:
    """Measure an algorithm on one fold, from the ratings table to the metrics."""
    _predict_fold(job, generate_toy_ratings(), generate_toy_ratings(), Stopwatch())
    train, test = read_fold(Path(job.folder), job.fold)
    predictions, timings = time_repeats(job.repeats, partial(_predict_fold, job, train, test))
    fold_rmse, fold_mae = _errors(predictions)
    return timings | {
        "fold": job.fold,
        "rmse": fold_rmse,
        "mae": fold_mae,
        "estimated": predictions.estimated.tolist(),
    }


def _predict_fold(job: Job, train: pd.DataFrame, test: pd.DataFrame, stopwatch: Stopwatch) -> Predictions:
    algorithm = create_algorithm(job.algorithm, job.parameters)
    matrix = InteractionMatrix.from_frame(train, RATING_SCALE)
    pairs = encode_pairs(test, matrix)
    stopwatch.end_phase("data")
    algorithm.fit(matrix)
    stopwatch.end_phase("fit")
    predictions = predict_pairs(algorithm, pairs)
    _errors(predictions)  # included in the measured time
    stopwatch.end_phase("predict")
    return predictions


def run_all_folds(job: Job) -> JobResult:
    """Measure an algorithm on all folds, from the ratings table to the metrics, with one fold per thread."""
    _mean_rmse_of_folds(job, generate_toy_ratings(), Stopwatch())
    mean_rmse, timings = time_repeats(
        job.repeats, partial(_mean_rmse_of_folds, job, read_ratings(Path(job.folder)))
    )
    return timings | {"rmse": mean_rmse}


def _mean_rmse_of_folds(job: Job, ratings: pd.DataFrame, stopwatch: Stopwatch) -> float:
    encoded = EncodedInteractions.from_frame(ratings)

    def fold_rmse(fold: TrainTestSplit) -> float:
        matrix = InteractionMatrix.from_encoded(encoded.take(fold.train), RATING_SCALE)
        algorithm = create_algorithm(job.algorithm, job.parameters).fit(matrix)
        return _errors(predict_pairs(algorithm, reencode_pairs(encoded.take(fold.test), matrix)))[0]

    errors = _map_single_threaded(fold_rmse, _split(ratings), job)
    stopwatch.end_phase("folds")
    return float(np.mean(errors))


def run_published(job: Job) -> JobResult:
    """Measure all published algorithms on all folds, with one fit per thread at a time."""
    twins = [twin for twin in TWINS if twin.is_published]
    for twin in twins:
        _fit_toy(twin)
    errors, timings = time_repeats(
        job.repeats, partial(_fold_errors_of_twins, job, twins, read_ratings(Path(job.folder)))
    )
    errors_by_title = {
        twin.title: {"rmse": twin_errors[:, 0].tolist(), "mae": twin_errors[:, 1].tolist()}
        for twin, twin_errors in zip(twins, errors, strict=True)
    }
    return timings | {"errors": errors_by_title}


def _fold_errors_of_twins(
    job: Job, twins: list[TwinSpec], ratings: pd.DataFrame, stopwatch: Stopwatch
) -> Float64Array:
    """Return RMSE and MAE of each algorithm and fold, shape (n_algorithms, n_folds, 2)."""
    encoded, folds = EncodedInteractions.from_frame(ratings), _split(ratings)
    matrices = [InteractionMatrix.from_encoded(encoded.take(fold.train), RATING_SCALE) for fold in folds]
    tests = [
        reencode_pairs(encoded.take(fold.test), matrix) for fold, matrix in zip(folds, matrices, strict=True)
    ]

    def fold_errors(task: tuple[TwinSpec, int]) -> tuple[float, float]:
        twin, fold = task
        algorithm = create_algorithm(twin.class_name, twin.parameters).fit(matrices[fold])
        return _errors(predict_pairs(algorithm, tests[fold]))

    errors = _map_single_threaded(
        fold_errors, [(twin, fold) for twin in twins for fold in range(N_FOLDS)], job
    )
    stopwatch.end_phase("folds")
    return np.array(errors).reshape(len(twins), N_FOLDS, 2)


def run_compilation(job: Job) -> JobResult:  # noqa: ARG001  signature of a task
    """Measure the first fit of each algorithm on toy ratings: with an empty cache, mostly compilation."""
    seconds = {}
    for twin in TWINS:
        start = time.perf_counter()
        _fit_toy(twin)
        if twin.class_name in {"SVD", "SVDpp"}:
            _fit_toy(twin, dtype="float32")
        seconds[twin.title] = time.perf_counter() - start
    return {"runs": [{"end_to_end": sum(seconds.values())}], "seconds": seconds}


def run_top_n(job: Job) -> JobResult:
    """Measure the computation of the lists of all users from a fitted factor model, without the fit."""
    _time_recommendation(job, generate_toy_ratings(), n_repeats=1)
    train, _ = read_fold(Path(job.folder), job.fold)
    return _time_recommendation(job, train, job.repeats)


def _time_recommendation(job: Job, train: pd.DataFrame, n_repeats: int) -> JobResult:
    matrix = InteractionMatrix.from_frame(train, RATING_SCALE)
    algorithm = create_algorithm(job.algorithm, job.parameters).fit(matrix)
    return time_repeats(n_repeats, partial(_recommend, algorithm, matrix))[1]


def _recommend(algorithm: Algorithm, matrix: InteractionMatrix, stopwatch: Stopwatch) -> None:
    recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, min(LIST_LENGTH, matrix.n_items))
    stopwatch.end_phase("predict")


def create_algorithm(class_name: str, parameters: Parameters) -> Algorithm:
    """Create an algorithm; seed NumPy's global generator, from which NormalPredictor and its twin draw."""
    np.random.seed(SEED)  # noqa: NPY002
    algorithm: Algorithm = getattr(marquee.algorithms, class_name)(**parameters)
    return algorithm


def _fit_toy(twin: TwinSpec, **parameters: Any) -> None:
    matrix = InteractionMatrix.from_frame(generate_toy_ratings(), RATING_SCALE)
    algorithm = create_algorithm(twin.class_name, {**twin.parameters, **parameters})
    predict_pairs(algorithm.fit(matrix), encode_pairs(generate_toy_ratings(), matrix))


def _split(ratings: pd.DataFrame) -> list[TrainTestSplit]:
    return list(split_for_cross_validation(shuffle_rows(len(ratings), SEED), N_FOLDS))


def _map_single_threaded(
    function: Callable[[Argument], Value], arguments: Sequence[Argument], job: Job
) -> list[Value]:
    """Call a function for each argument in a pool with one thread per core; kernels use one thread each."""

    def call(argument: Argument) -> Value:
        with limit_threads(1):
            return function(argument)

    with ThreadPoolExecutor(len(job.cores) or 1) as pool:
        return list(pool.map(call, arguments))


def _errors(predictions: Predictions) -> tuple[float, float]:
    """Return RMSE and MAE."""
    return rmse(predictions.actual, predictions.estimated), mae(predictions.actual, predictions.estimated)


TASKS: dict[str, Callable[[Job], JobResult]] = {
    "fold": run_fold,
    "folds": run_all_folds,
    "published": run_published,
    "compile": run_compilation,
    "top_n": run_top_n,
}

if __name__ == "__main__":
    run_requested_job(TASKS)
