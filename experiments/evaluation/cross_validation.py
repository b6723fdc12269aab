"""Cross-validation: train a candidate on all folds in parallel and score it on the held-out parts.

Kernels release the interpreter lock, so folds run in threads that share their arrays, one thread per fold.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.search.trials import FoldScore
from marquee.algorithms.persistence import compute_model_size
from marquee.algorithms.registry import Parameters, find_algorithm
from marquee.algorithms.scoring import UserItemPairs, predict_pairs, reencode_pairs
from marquee.algorithms.shared_training import TrainingSnapshot, train_shared
from marquee.algorithms.threads import limit_threads
from marquee.array_types import Int64Array, RatingScale
from marquee.interactions.matrix import EncodedInteractions, InteractionMatrix
from marquee.interactions.splitting import TrainTestSplit, split_for_cross_validation
from marquee.metrics.prediction import mae, rmse
from marquee.seeds import seed_for

FoldSeeds = Callable[[int], int]  # fold number -> seed


class FoldData(NamedTuple):
    """Training matrix of a fold, and its held-out ratings with the inner ids of that matrix."""

    train: InteractionMatrix
    test: UserItemPairs


@dataclass(frozen=True)
class FoldSource:
    """Files with the ratings and their assignment to folds; picklable, for worker processes."""

    train: Path  # ratings, Parquet
    order: Path  # shuffled row numbers, .npy; folds are consecutive parts of them
    n_folds: int
    scale: RatingScale

    def load_folds(self) -> "Folds":
        """Read the files and build the folds."""
        encoded = EncodedInteractions.from_frame(pd.read_parquet(self.train))
        return Folds(encoded, np.load(self.order), self.n_folds, self.scale)


class Folds(Sequence[FoldData]):
    """Folds of an interactions table, in memory."""

    def __init__(
        self, encoded: EncodedInteractions, order: Int64Array, n_folds: int, scale: RatingScale
    ) -> None:
        self._folds = [
            build_fold_data(encoded, fold, scale) for fold in split_for_cross_validation(order, n_folds)
        ]

    def __len__(self) -> int:
        return len(self._folds)

    def __getitem__(self, fold: int) -> FoldData:  # type: ignore[override]  # no slices
        return self._folds[fold]


@dataclass(frozen=True)
class TrainingStep:
    """Scores of all folds at one stop of a training."""

    points: tuple[int, ...]  # indices of the points that are complete at this stop
    epoch: int | None
    folds: tuple[FoldScore, ...]


class ScoredSnapshot(NamedTuple):
    """Model of one fold at one stop of a training, and its score."""

    snapshot: TrainingSnapshot
    score: FoldScore


def build_fold_data(encoded: EncodedInteractions, fold: TrainTestSplit, scale: RatingScale) -> FoldData:
    """Build the training matrix and the held-out pairs of a fold."""
    matrix = InteractionMatrix.from_encoded(encoded.take(fold.train), scale)
    return FoldData(matrix, reencode_pairs(encoded.take(fold.test), matrix))


def fold_seeds(root: int, name: str) -> FoldSeeds:
    """Return the seeds of a candidate's folds. All its trials share them and differ in parameters only."""
    return partial(seed_for, root, "search", name)


def part_seed(root: int, name: str, part: int) -> int:
    """Return the seed of a candidate's trainings on a validation part."""
    return seed_for(root, "search", name, "part", part)


def train_on_folds(
    name: str,
    points: Sequence[Parameters],
    folds: Sequence[FoldData],
    seeds: FoldSeeds,
    pool: ThreadPoolExecutor,
    *,
    extra_epochs: Collection[int] = (),
) -> Iterator[TrainingStep]:
    """Train once per fold and score every point on the way; all folds stop at the same epochs.

    Args:
        name: name of the candidate.
        points: parameter sets that one training can score, such as different numbers of epochs.
        folds: training and held-out data.
        seeds: returns the seed of a fold.
        pool: threads, one per fold.
        extra_epochs: epochs after which to score, besides the last one of each point.

    Raises:
        Exception: any error that training or scoring raises on a fold.
    """
    trainings = [_train(name, points, data, seeds(fold), extra_epochs) for fold, data in enumerate(folds)]
    while scored := [each for each in pool.map(_next_snapshot, trainings) if each is not None]:
        first = scored[0].snapshot
        yield TrainingStep(first.points, first.epoch, tuple(each.score for each in scored))


def _train(
    name: str, points: Sequence[Parameters], data: FoldData, seed: int, extra_epochs: Collection[int]
) -> Iterator[ScoredSnapshot]:
    for snapshot in train_shared(find_algorithm(name), points, seed, data.train, extra_epochs):
        yield ScoredSnapshot(snapshot, _score(snapshot, data.test))


def _next_snapshot(training: Iterator[ScoredSnapshot]) -> ScoredSnapshot | None:
    with limit_threads(1), np.errstate(all="ignore"):  # non-finite values are reported as divergence
        return next(training, None)


def _score(snapshot: TrainingSnapshot, pairs: UserItemPairs) -> FoldScore:
    """Measure the errors, size and time of a model.

    Raises:
        DivergedError: a prediction is not finite.
    """
    start = time.perf_counter()
    predictions = predict_pairs(snapshot.algorithm, pairs)
    end = time.perf_counter()
    return FoldScore(
        rmse=rmse(predictions.actual, predictions.estimated),
        mae=mae(predictions.actual, predictions.estimated),
        impossible=float(predictions.impossible.mean()),
        model_bytes=compute_model_size(snapshot.algorithm),
        fit_seconds=snapshot.seconds,
        predict_seconds=end - start,
    )
