"""Candidates on folds: one training on all folds side by side, in threads on shared arrays.

The kernels hold no lock while they run, so folds need no processes; each has one thread.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.search.trials import FoldScore
from marquee.algorithms.registry import Parameters, candidate
from marquee.algorithms.scoring import Pairs, pairs_of_coded, predict_pairs
from marquee.algorithms.shared_training import Stop, sweep
from marquee.algorithms.state import model_bytes
from marquee.algorithms.threads import threads
from marquee.arrays import Indices, Scale
from marquee.interactions.matrix import CodedRatings, RatingMatrix
from marquee.interactions.splitting import Fold, folds_of
from marquee.metrics.prediction import mae, rmse
from marquee.seeds import seed_for

Part = tuple[RatingMatrix, Pairs]
Seeds = Callable[[int], int]  # the seed of a fold
Stopped = tuple[Stop, FoldScore]


@dataclass(frozen=True)
class FoldSource:
    """Where a worker finds the ratings and how they are folded."""

    train: Path
    order: Path
    n_folds: int
    scale: Scale

    def parts(self) -> "Parts":
        """Read them."""
        coded = CodedRatings.from_frame(pd.read_parquet(self.train))
        return Parts(coded, np.load(self.order), self.n_folds, self.scale)


class Parts:
    """The folds of a ratings table: each has what is learned from, and what is predicted then."""

    def __init__(self, coded: CodedRatings, order: Indices, n_folds: int, scale: Scale) -> None:
        self._parts = [fold_data(coded, fold, scale) for fold in folds_of(order, n_folds)]

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, fold: int) -> Part:
        return self._parts[fold]


@dataclass(frozen=True)
class Step:
    """What every fold has come to at one stop of a training."""

    points: tuple[int, ...]
    epoch: int | None
    folds: tuple[FoldScore, ...]  # one each


def fold_data(coded: CodedRatings, fold: Fold, scale: Scale) -> Part:
    """The training matrix of a fold, and its test pairs numbered as in it."""
    matrix = RatingMatrix.from_coded(coded.take(fold.train), scale)
    return matrix, pairs_of_coded(coded.take(fold.test), matrix)


def fold_seeds(root: int, name: str) -> Seeds:
    """The seeds of a candidate's folds, shared by all its trials: they differ in parameters alone."""
    return partial(seed_for, root, "search", name)


def steps(
    name: str,
    points: Sequence[Parameters],
    parts: Parts,
    seeds: Seeds,
    pool: ThreadPoolExecutor,
    *,
    looks: Collection[int] = (),
) -> Iterator[Step]:
    """Train once a fold and score every point on the way, all folds in step.

    Args:
        name: of the candidate.
        points: parameters that differ in what one training answers for.
        parts: the folds.
        seeds: of each fold.
        pool: threads that the folds are given to.
        looks: epochs after which to stop besides.

    Raises:
        Exception: whatever training or scoring raises in any of the folds.
    """
    walks = [_walk(name, points, parts[fold], seeds(fold), looks) for fold in range(len(parts))]
    while stops := [stop for stop in pool.map(_advance, walks) if stop is not None]:
        first = stops[0][0]
        yield Step(first.points, first.epoch, tuple(score for _, score in stops))


def _walk(
    name: str, points: Sequence[Parameters], part: Part, seed: int, looks: Collection[int]
) -> Iterator[Stopped]:
    matrix, pairs = part
    for stop in sweep(candidate(name), points, seed, matrix, looks):
        yield stop, _scored(stop, pairs)


def _advance(walk: Iterator[Stopped]) -> Stopped | None:
    with threads(1), np.errstate(all="ignore"):
        return next(walk, None)


def _scored(stop: Stop, pairs: Pairs) -> FoldScore:
    """How well a model predicts, and what it cost.

    Raises:
        DivergedError: a prediction is not finite.
    """
    began = time.perf_counter()
    predictions = predict_pairs(stop.algorithm, pairs)
    predicted = time.perf_counter()
    return FoldScore(
        rmse=rmse(predictions.actual, predictions.estimated),
        mae=mae(predictions.actual, predictions.estimated),
        impossible=float(predictions.impossible.mean()),
        model_bytes=model_bytes(stop.algorithm),
        fit_seconds=stop.seconds,
        predict_seconds=predicted - began,
    )
