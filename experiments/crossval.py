"""One candidate fitted and scored on one fold: in a worker process that keeps the folds, or in threads."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from experiments.trials import FoldScore
from marquee.algorithms.algorithm import Algorithm
from marquee.algorithms.catalogue import Parameters, candidate
from marquee.algorithms.scoring import Pairs, pairs_of_coded, predict_pairs
from marquee.algorithms.state import model_bytes
from marquee.algorithms.threads import VARIABLE, threads
from marquee.algorithms.trainset import as_trainset
from marquee.arrays import Indices, Scale
from marquee.metrics import mae, rmse
from marquee.ratings import CodedRatings, RatingMatrix
from marquee.split import Fold, folds_of


@dataclass(frozen=True)
class FoldSource:
    """Where a worker finds the ratings and how they are folded."""

    train: Path
    order: Path
    n_folds: int
    scale: Scale


@dataclass(frozen=True)
class Task:
    """One candidate on one fold."""

    trial: int
    algorithm: str
    parameters: Parameters
    fold: int
    seed: int


def fold_data(coded: CodedRatings, fold: Fold, scale: Scale) -> tuple[RatingMatrix, Pairs]:
    """The training matrix of a fold, and its test pairs numbered as in it."""
    matrix = RatingMatrix.from_coded(coded.take(fold.train), scale)
    return matrix, pairs_of_coded(coded.take(fold.test), matrix)


def score(algorithm: Algorithm, matrix: RatingMatrix, pairs: Pairs) -> FoldScore:
    """Fit on the one, predict the other, and time both.

    Raises:
        DivergedError: a parameter or a prediction is not finite.
    """
    started = time.perf_counter()
    algorithm.fit(as_trainset(matrix))
    fitted = time.perf_counter()
    predictions = predict_pairs(algorithm, pairs)
    predicted = time.perf_counter()
    return FoldScore(
        rmse=rmse(predictions.actual, predictions.estimated),
        mae=mae(predictions.actual, predictions.estimated),
        impossible=float(predictions.impossible.mean()),
        model_bytes=model_bytes(algorithm),
        fit_seconds=fitted - started,
        predict_seconds=predicted - fitted,
    )


def score_folds(
    make: Callable[[], Algorithm],
    coded: CodedRatings,
    order: Indices,
    n_folds: int,
    scale: Scale,
    *,
    workers: int,
) -> list[FoldScore]:
    """Score an algorithm on every fold, side by side in threads on shared arrays.

    `make` gives an unfitted algorithm for each fold. The kernels hold no lock while they run, so the
    folds need no processes; each has one thread.
    """

    def one(fold: Fold) -> FoldScore:
        with threads(1):
            return score(make(), *fold_data(coded, fold, scale))

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, folds_of(order, n_folds)))


class FoldScorer:
    """Scores tasks on the folds of one source; built once a worker process."""

    def __init__(self, source: FoldSource) -> None:
        self._coded = CodedRatings.from_frame(pd.read_parquet(source.train))
        self._scale = source.scale
        self._folds: list[Fold] = list(folds_of(np.load(source.order), source.n_folds))
        self._fold: Callable[[int], tuple[RatingMatrix, Pairs]] = cache(self._load)

    def __call__(self, task: Task) -> FoldScore | str:
        """The score, or the reason why there is none: one bad trial must not end a search."""
        matrix, pairs = self._fold(task.fold)
        try:
            algorithm = candidate(task.algorithm).make(task.parameters, task.seed)
            with np.errstate(all="ignore"):
                return score(algorithm, matrix, pairs)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def _load(self, number: int) -> tuple[RatingMatrix, Pairs]:
        return fold_data(self._coded, self._folds[number], self._scale)


_scorer: FoldScorer | None = None


def start_worker(source: FoldSource) -> None:
    """Prepare this process to score tasks: one thread each, for the folds share the cores already."""
    global _scorer  # noqa: PLW0603  a process pool offers no other place for its state
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the search, which ends its workers
    os.environ[VARIABLE] = "1"
    threadpool_limits(1)
    _scorer = FoldScorer(source)


def score_task(task: Task) -> FoldScore | str:
    """Score one task in a prepared process."""
    if _scorer is None:
        raise RuntimeError("start_worker was not called in this process")
    return _scorer(task)
