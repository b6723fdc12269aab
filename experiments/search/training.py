"""Runs one task: fits a training on one validation part or on all folds, scores its points, and stops early.

    on a validation part   each point is scored by its recommendation lists; a point that is clearly worse
                           than the leader on a sample of the users is not evaluated on the others
    on all folds           in step; each point is scored by the errors of predicted ratings

If the pruner decides so, a training ends before its last epoch. Its other points are pruned.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import isfinite, nan
from statistics import fmean

import numpy as np

from experiments.evaluation.cross_validation import FoldData, FoldSeeds, TrainingStep, train_on_folds
from experiments.evaluation.list_evaluation import ListEvaluator, ListScores
from experiments.evaluation.metric_names import RATED_NDCG
from experiments.search.metric import SearchMetric
from experiments.search.racing import NO_DIFFERENCE, Comparison, compare_with_leader
from experiments.search.training_result import PointResult, TaskResult
from experiments.search.trials import ERROR_FIELDS, PartScore, describe_error
from marquee.algorithms.base import Algorithm
from marquee.algorithms.persistence import compute_model_size
from marquee.algorithms.registry import Parameters, find_algorithm
from marquee.algorithms.shared_training import TrainingSnapshot, check_parameter_values, train_shared
from marquee.array_types import Float32Array
from marquee.errors import DivergedError

ShouldPrune = Callable[[int, float], bool]  # (epoch, loss) -> stop the training


@dataclass(frozen=True)
class Leader:
    """Trial with which others are compared while a task runs.

    Attributes:
        label: its name for display.
        values: its value of the search metric for each evaluated user of the part.
    """

    label: str
    values: Float32Array


@dataclass(frozen=True)
class PruningSchedule:
    """Epochs after which a training reports its loss, and whether it should stop there."""

    reporting_epochs: Collection[int]
    should_prune: ShouldPrune


def train_on_all_folds(
    name: str,
    points: Mapping[int, Parameters],
    folds: Sequence[FoldData],
    seeds: FoldSeeds,
    pool: ThreadPoolExecutor,
    *,
    metric: SearchMetric,
    pruning: PruningSchedule | None = None,
) -> TaskResult:
    """Train on all folds in step, and return the errors of every point.

    Errors such as divergence, exhausted memory or an invalid parameter do not propagate. They become the
    failure of the points that have no scores yet, so that one bad training does not end the search.

    Args:
        name: the candidate.
        points: points that one training can score, by number; they differ only in shared parameters.
        folds: training and held-out data.
        seeds: returns the seed of a fold.
        pool: threads that fit the folds.
        metric: metric of the search.
        pruning: when to report the loss and stop; None: never stop early.
    """
    collector = _PointCollector(name, points, metric, list_length=0)
    numbers = collector.valid_numbers

    def run() -> Iterable[_Stop]:
        steps = train_on_folds(
            name, [points[number] for number in numbers], folds, seeds, pool,
            extra_epochs=pruning.reporting_epochs if pruning else (),
        )  # fmt: skip
        for step in steps:
            yield _stop_on_folds(step, numbers)

    return collector.collect(run, pruning)


def train_on_part(
    name: str,
    points: Mapping[int, Parameters],
    evaluator: ListEvaluator,
    seed: int,
    *,
    metric: SearchMetric,
    leader: Leader | None = None,
    pruning: PruningSchedule | None = None,
) -> TaskResult:
    """Train on a validation part, and return the scores of the lists of every point.

    Args:
        name: the candidate.
        points: see `train_on_all_folds`.
        evaluator: the part and its evaluated users.
        seed: seed of the training.
        metric: metric of the search.
        leader: trial with which each point is compared on a sample of the users; None: no comparison.
        pruning: see `train_on_all_folds`; the loss is that of the sample.
    """
    collector = _PointCollector(name, points, metric, evaluator.list_length)
    numbers = collector.valid_numbers
    scorer = _PartScorer(evaluator, metric, leader, is_pruning=pruning is not None)

    def run() -> Iterable[_Stop]:
        snapshots = train_shared(
            find_algorithm(name), [points[number] for number in numbers], seed, evaluator.part.train,
            extra_epochs=pruning.reporting_epochs if pruning else (),
        )  # fmt: skip
        for snapshot in snapshots:
            yield scorer.score(snapshot, numbers)

    return collector.collect(run, pruning)


@dataclass(frozen=True)
class _Stop:
    """Stop of a training, at which some points may be complete.

    Attributes:
        results: results of the points that are complete.
        epoch: number of the epoch; None if the algorithm does not train by epochs.
        values: value of each metric at this stop; with a pruner, those of the sample of users.
    """

    results: Sequence[PointResult]
    epoch: int | None
    values: Mapping[str, float]


class _PointCollector:
    """Collects the results of the points of a task."""

    def __init__(
        self, name: str, points: Mapping[int, Parameters], metric: SearchMetric, list_length: int
    ) -> None:
        self._points, self._metric, self._list_length = points, metric, list_length
        self._results = {
            number: PointResult(number, failure=failure)
            for number, point in points.items()
            if (failure := _find_invalid_parameter(name, point))
        }
        self.valid_numbers = [number for number in points if number not in self._results]
        self._curve: list[tuple[int, float]] = []
        self._losses: list[float] = []

    def collect(self, run: Callable[[], Iterable[_Stop]], pruning: PruningSchedule | None) -> TaskResult:
        """Run the training and return the results of all points."""
        failure = pruned = None
        if self.valid_numbers:
            try:
                pruned = self._run(run(), pruning)
            except Exception as error:
                failure = describe_error(error)
        return TaskResult(
            tuple(
                self._results.get(number) or PointResult(number, failure=failure, pruned=pruned)
                for number in self._points
            ),
            tuple(self._curve),
            min(self._losses, default=None),
        )

    def _run(self, stops: Iterable[_Stop], pruning: PruningSchedule | None) -> str | None:
        """Record all stops; return the reason if the pruner stops the training."""
        with np.errstate(all="ignore"):
            for stop in stops:
                self._results |= {result.point: result for result in stop.results}
                if stop.results and isfinite(loss := self._metric.loss(stop.values)):
                    self._losses.append(loss)
                if stop.epoch is None:
                    continue
                if (value := stop.values.get(self._metric.names[0])) is not None:
                    self._curve.append((stop.epoch, value))
                is_complete = len(self._results) == len(self._points)
                if not is_complete and pruning and self._should_prune(stop, pruning):
                    values = self._metric.format_values(stop.values, self._list_length)
                    return f"stopped after epoch {stop.epoch} with {values}"
        return None

    def _should_prune(self, stop: _Stop, pruning: PruningSchedule) -> bool:
        assert stop.epoch is not None, "the caller checks that the algorithm trains by epochs"
        loss = self._metric.loss(stop.values)
        return isfinite(loss) and pruning.should_prune(stop.epoch, loss)


class _PartScorer:
    """Scores the snapshots of a training by their recommendation lists."""

    def __init__(
        self, evaluator: ListEvaluator, metric: SearchMetric, leader: Leader | None, *, is_pruning: bool
    ) -> None:
        self._evaluator, self._metric, self._leader = evaluator, metric, leader
        self._is_pruning = is_pruning

    def score(self, snapshot: TrainingSnapshot, numbers: Sequence[int]) -> _Stop:
        """Evaluate the lists of a snapshot; those after an extra epoch only for the sample of users."""
        sample, scores = self._evaluate(snapshot)
        self._check_values(scores, snapshot.algorithm)
        pruned = self._describe_drop(sample)
        part = self._to_part_score(scores, snapshot, has_rated_items=bool(snapshot.points) and not pruned)
        results = [PointResult(numbers[index], part=part, pruned=pruned) for index in snapshot.points]
        return _Stop(results, snapshot.epoch, (sample if self._is_pruning else scores).metrics)

    def _evaluate(self, snapshot: TrainingSnapshot) -> tuple[ListScores, ListScores]:
        """Return the scores of the sample and those of all users; twice the same if no sample is needed."""
        if self._leader is None and not self._is_pruning:
            scores = self._evaluator.evaluate(snapshot.algorithm)
            return scores, scores
        samples: list[ListScores] = []

        def should_stop(sample: ListScores) -> bool:
            samples.append(sample)
            return not snapshot.points or self._compare(sample).is_clear

        scores = self._evaluator.evaluate(snapshot.algorithm, should_stop)
        return samples[0], scores

    def _compare(self, sample: ListScores) -> Comparison:
        """Compare the sample with that of the leader."""
        name = self._metric.user_metric
        if self._leader is None or name is None:
            return NO_DIFFERENCE
        values = sample.user_values[name]
        return compare_with_leader(self._leader.values, values, np.arange(len(values), dtype=np.int32))

    def _describe_drop(self, sample: ListScores) -> str | None:
        """Return the reason if the sample is clearly worse than that of the leader."""
        comparison = self._compare(sample)
        if self._leader is None or not comparison.is_clear:
            return None
        where = f"a sample of {comparison.n_users} users of the first part"
        return comparison.describe(self._metric.title(self._evaluator.list_length), self._leader.label, where)

    def _check_values(self, scores: ListScores, algorithm: Algorithm) -> None:
        """Raise DivergedError if the search metric is not defined for these lists."""
        missing = [
            name
            for name in self._metric.names
            if name not in ERROR_FIELDS and not isfinite(scores.metrics.get(name, np.nan))
        ]
        if missing:
            raise DivergedError(
                f"{missing[0]} is not defined for the lists of {type(algorithm).__name__}; choose another "
                "search.metric"
            )

    def _to_part_score(
        self, scores: ListScores, snapshot: TrainingSnapshot, *, has_rated_items: bool
    ) -> PartScore:
        kept = {"ndcg", self._metric.user_metric}
        rated = self._evaluator.evaluate_rated_items(snapshot.algorithm) if has_rated_items else nan
        return PartScore(
            {**scores.metrics, **({RATED_NDCG: rated} if isfinite(rated) else {})},
            scores.n_users,
            {name: values for name, values in scores.user_values.items() if name in kept},
            compute_model_size(snapshot.algorithm),
            snapshot.seconds,
            scores.seconds,
        )


def _stop_on_folds(step: TrainingStep, numbers: Sequence[int]) -> _Stop:
    results = [PointResult(numbers[index], step.folds) for index in step.points]
    values = {name: fmean(getattr(fold, name) for fold in step.folds) for name in ERROR_FIELDS}
    return _Stop(results, step.epoch, values)


def _find_invalid_parameter(name: str, point: Parameters) -> str | None:
    """Return the reason if a point is invalid, or None. An invalid point would fail its whole training."""
    try:
        check_parameter_values(find_algorithm(name), point)
    except Exception as error:
        return describe_error(error)
    return None
