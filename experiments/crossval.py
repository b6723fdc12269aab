"""One candidate fitted and scored on one fold, in a worker process that keeps the fold at hand."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from experiments.trials import FoldScore
from marquee.algorithms.catalogue import Algorithm, Parameters, candidate
from marquee.algorithms.scoring import predict_pairs
from marquee.algorithms.state import model_bytes, refuse_diverged
from marquee.algorithms.trainset import Testset, Trainset, testset_of, trainset_of
from marquee.arrays import Scale
from marquee.metrics import mae, rmse
from marquee.ratings import CodedRatings
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


def score(algorithm: Algorithm, trainset: Trainset, testset: Testset) -> FoldScore:
    """Fit on the one, predict the other, and time both.

    Raises:
        Diverged: a parameter is not finite (stochastic gradient descent with too large a step).
    """
    started = time.perf_counter()
    algorithm.fit(trainset)
    fitted = time.perf_counter()
    refuse_diverged(algorithm)
    pairs = predict_pairs(algorithm, testset)
    predicted = time.perf_counter()
    return FoldScore(
        rmse=rmse(pairs.actual, pairs.estimated),
        mae=mae(pairs.actual, pairs.estimated),
        impossible=float(pairs.impossible.mean()),
        model_bytes=model_bytes(algorithm),
        fit_seconds=fitted - started,
        predict_seconds=predicted - fitted,
    )


class FoldScorer:
    """Scores tasks on the folds of one source; built once a worker process."""

    def __init__(self, source: FoldSource) -> None:
        self._ratings = pd.read_parquet(source.train)
        self._scale = source.scale
        self._folds: list[Fold] = list(folds_of(np.load(source.order), source.n_folds))
        # One fold at a time: a training set of Python objects takes 200 bytes a rating.
        self._fold: Callable[[int], tuple[Trainset, Testset]] = lru_cache(maxsize=1)(self._load)

    def __call__(self, task: Task) -> FoldScore | str:
        """The score, or the reason why there is none: one bad trial must not end a search."""
        trainset, testset = self._fold(task.fold)
        try:
            algorithm = candidate(task.algorithm).make(task.parameters, task.seed)
            with np.errstate(all="ignore"):
                return score(algorithm, trainset, testset)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def _load(self, number: int) -> tuple[Trainset, Testset]:
        fold = self._folds[number]
        coded = CodedRatings.from_frame(self._ratings.iloc[fold.train])
        return trainset_of(coded, self._scale), testset_of(self._ratings.iloc[fold.test])


_scorer: FoldScorer | None = None


def start_worker(source: FoldSource) -> None:
    """Prepare this process to score tasks: one BLAS thread, for the folds share the cores already."""
    global _scorer  # noqa: PLW0603  a process pool offers no other place for its state
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the search, which ends its workers
    threadpool_limits(1)
    _scorer = FoldScorer(source)


def score_task(task: Task) -> FoldScore | str:
    """Score one task in a prepared process."""
    if _scorer is None:
        raise RuntimeError("start_worker was not called in this process")
    return _scorer(task)
