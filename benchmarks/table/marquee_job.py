"""One measurement of Marquee, in a process of its own.

    python -m benchmarks.table.ours JOB.json RESULT.json

Each does a toy of the same work first, unmeasured: imports are done and compiled kernels are loaded then.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.folds import FOLDS, SCALE, SEED, read_fold, read_ratings, toy
from benchmarks.measure import Job, Laps, Result, measured, serve
from benchmarks.table.contenders import MODULES, TWINS, Twin
from marquee.algorithms import retrieval
from marquee.algorithms.base import Algorithm
from marquee.algorithms.scoring import Predictions, pairs_of, pairs_of_coded, predict_pairs
from marquee.algorithms.threads import threads
from marquee.arrays import Floats
from marquee.interactions.matrix import CodedRatings, RatingMatrix
from marquee.interactions.splitting import Fold, folds_of, shuffled
from marquee.metrics.prediction import mae, rmse

BEST = 20  # items of a list


def make(name: str, parameters: dict[str, Any]) -> Any:
    """An algorithm by its class name; random draws begin anew."""
    np.random.seed(SEED)  # noqa: NPY002  NormalPredictor draws from the global state, as its twin
    return getattr(import_module(f"marquee.algorithms.{MODULES[name]}"), name)(**parameters)


def fold(job: Job) -> Result:
    """One algorithm on one fold, from the frame to the metrics."""
    _predicted(job, toy(), toy(), Laps())
    parts = read_fold(job.folder, job.fold)
    predictions, result = measured(job.repeats, partial(_predicted, job, *parts))
    error, absolute = _errors(predictions)
    return result | {
        "fold": job.fold,
        "rmse": error,
        "mae": absolute,
        "estimated": predictions.estimated.tolist(),
    }


def _predicted(job: Job, train: pd.DataFrame, test: pd.DataFrame, laps: Laps) -> Predictions:
    algorithm = make(job.algorithm, dict(job.parameters))
    matrix = RatingMatrix.from_frame(train, SCALE)
    pairs = pairs_of(test, matrix)
    laps.lap("data")
    algorithm.fit(matrix)
    laps.lap("fit")
    predictions = predict_pairs(algorithm, pairs)
    _errors(predictions)
    laps.lap("predict")
    return predictions


def folds(job: Job) -> Result:
    """One algorithm on all folds, from the frame to the metrics, folds side by side on threads."""
    _fold_by_thread(job, toy(), Laps())
    error, result = measured(job.repeats, partial(_fold_by_thread, job, read_ratings(job.folder)))
    return result | {"rmse": error}


def _fold_by_thread(job: Job, ratings: pd.DataFrame, laps: Laps) -> float:
    coded = CodedRatings.from_frame(ratings)

    def error(fold: Fold) -> float:
        with threads(1):
            matrix = RatingMatrix.from_coded(coded.take(fold.train), SCALE)
            algorithm = make(job.algorithm, dict(job.parameters)).fit(matrix)
            return _errors(predict_pairs(algorithm, pairs_of_coded(coded.take(fold.test), matrix)))[0]

    with ThreadPoolExecutor(len(job.cores) or 1) as pool:
        found = list(pool.map(error, folds_of(shuffled(len(ratings), SEED), FOLDS)))
    laps.lap("folds")
    return float(np.mean(found))


def whole(job: Job) -> Result:
    """The talk's whole table: every algorithm on all folds, folds side by side on threads."""
    chosen = [twin for twin in TWINS if twin.published]
    for twin in chosen:
        _learn_toy(twin, {})
    found, result = measured(job.repeats, partial(_tabled, job, chosen, read_ratings(job.folder)))
    table = {
        twin.title: {"rmse": errors[:, 0].tolist(), "mae": errors[:, 1].tolist()}
        for twin, errors in zip(chosen, found, strict=True)
    }
    return result | {"table": table}


def _tabled(job: Job, chosen: list[Twin], ratings: pd.DataFrame, laps: Laps) -> Floats:
    """RMSE and MAE of each algorithm and fold, shape (algorithms, folds, 2)."""
    coded = CodedRatings.from_frame(ratings)
    parts = list(folds_of(shuffled(len(ratings), SEED), FOLDS))
    matrices = [RatingMatrix.from_coded(coded.take(part.train), SCALE) for part in parts]
    tests = [pairs_of_coded(coded.take(part.test), of) for part, of in zip(parts, matrices, strict=True)]

    def errors(task: tuple[Twin, int]) -> tuple[float, float]:
        twin, number = task
        with threads(1):
            algorithm = make(twin.name, dict(twin.parameters)).fit(matrices[number])
            return _errors(predict_pairs(algorithm, tests[number]))

    with ThreadPoolExecutor(len(job.cores) or 1) as pool:
        found = list(pool.map(errors, [(twin, number) for twin in chosen for number in range(FOLDS)]))
    laps.lap("folds")
    return np.array(found).reshape(len(chosen), FOLDS, 2)


def compile_all(job: Job) -> Result:  # noqa: ARG001  the same signature as the others
    """How long the first toy of each algorithm takes; in an empty cache that is compiling."""
    seconds = {}
    for twin in TWINS:
        began = time.perf_counter()
        _learn_toy(twin, {})
        if twin.name in {"SVD", "SVDpp"}:
            _learn_toy(twin, {"dtype": "float32"})
        seconds[twin.title] = time.perf_counter() - began
    return {"runs": [{"end_to_end": sum(seconds.values())}], "each": seconds}


def best_lists(job: Job) -> Result:
    """The best items of every user from a fitted factor model; fitting is not measured."""
    result: Result = {}
    for frame, repeats in ((toy(), 1), (read_fold(job.folder, job.fold)[0], job.repeats)):
        matrix = RatingMatrix.from_frame(frame, SCALE)
        algorithm = make(job.algorithm, dict(job.parameters)).fit(matrix)
        _, result = measured(repeats, partial(_listed, algorithm, matrix))
    return result


def _listed(algorithm: Algorithm, matrix: RatingMatrix, laps: Laps) -> None:
    retrieval.best_lists(algorithm, matrix.indptr, matrix.items, min(BEST, matrix.n_items))
    laps.lap("predict")


def _learn_toy(twin: Twin, more: dict[str, Any]) -> None:
    matrix = RatingMatrix.from_frame(toy(), SCALE)
    algorithm = make(twin.name, {**twin.parameters, **more})
    predict_pairs(algorithm.fit(matrix), pairs_of(toy(), matrix))


def _errors(predictions: Predictions) -> tuple[float, float]:
    return rmse(predictions.actual, predictions.estimated), mae(predictions.actual, predictions.estimated)


TASKS: dict[str, Callable[[Job], Result]] = {
    "fold": fold,
    "folds": folds,
    "whole": whole,
    "compile": compile_all,
    "top_n": best_lists,
}

if __name__ == "__main__":
    serve(TASKS)
