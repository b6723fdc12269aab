"""Runs one training: fits all folds in step, scores every point, and stops early if the pruner decides so."""

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

from experiments.evaluation.cross_validation import Folds, FoldSeeds, TrainingStep, train_on_folds
from experiments.search.training_result import PointResult, TrainingResult
from experiments.search.trials import FoldScore, describe_error
from marquee.algorithms.registry import Parameters, find_algorithm
from marquee.algorithms.shared_training import check_parameter_values

ShouldPrune = Callable[[int, float], bool]  # (epoch, mean error over the folds) -> stop the training


def train(
    name: str,
    points: Sequence[Parameters],
    folds: Folds,
    seeds: FoldSeeds,
    pool: ThreadPoolExecutor,
    *,
    metric: str,
    reporting_epochs: Collection[int] = (),
    should_prune: ShouldPrune | None = None,
) -> TrainingResult:
    """Train once and return the result of every point.

    Errors such as divergence, exhausted memory or an invalid parameter do not propagate. They become the
    failure of the points that have no scores yet, so that one bad training does not end the search.

    Args:
        name: the candidate.
        points: points that one training can score; they differ only in shared parameters.
        folds: training and held-out data.
        seeds: returns the seed of a fold.
        pool: threads that fit the folds.
        metric: `rmse` or `mae`.
        reporting_epochs: epochs after which `should_prune` is called, besides those that score a point.
        should_prune: called with the epoch and the mean error over the folds; None: never stop early.
    """
    failures = [_validation_error(name, point) for point in points]
    valid_points = [point for point, failure in zip(points, failures, strict=True) if failure is None]
    training = _Training(valid_points, metric, should_prune)
    if valid_points:
        extra_epochs = reporting_epochs if should_prune else ()
        steps = train_on_folds(name, valid_points, folds, seeds, pool, extra_epochs=extra_epochs)
        training.run(steps)
    results = iter(training.results())
    return TrainingResult(
        tuple(
            PointResult(point, failure=failure) if failure else next(results)
            for point, failure in zip(points, failures, strict=True)
        ),
        tuple(training.curve),
    )


class _Training:
    """Scores collected during a training, and the reason why it ended early."""

    def __init__(self, points: Sequence[Parameters], metric: str, should_prune: ShouldPrune | None) -> None:
        self._points, self._metric, self._should_prune = points, metric, should_prune
        self._scores: dict[int, tuple[FoldScore, ...]] = {}  # by index of the point
        self._failure: str | None = None
        self._pruned: str | None = None
        self.curve: list[tuple[int, float]] = []

    def run(self, steps: Iterable[TrainingStep]) -> None:
        try:
            for step in steps:
                self._scores |= dict.fromkeys(step.points, step.folds)
                if step.epoch is not None and self._report(step.epoch, step.folds):
                    return
        except Exception as error:
            self._failure = describe_error(error)

    def results(self) -> list[PointResult]:
        return [
            PointResult(point, self._scores[index])
            if index in self._scores
            else PointResult(point, failure=self._failure, pruned=self._pruned)
            for index, point in enumerate(self._points)
        ]

    def _report(self, epoch: int, folds: Sequence[FoldScore]) -> bool:
        """Extend the learning curve; return True if the training should stop."""
        error = fmean(getattr(fold, self._metric) for fold in folds)
        self.curve.append((epoch, error))
        if self._should_prune is None or not self._should_prune(epoch, error):
            return False
        if len(self._scores) == len(self._points):
            return False  # nothing is left to stop
        self._pruned = f"stopped after epoch {epoch} with {self._metric.upper()} {error:.4f}"
        return True


def _validation_error(name: str, point: Parameters) -> str | None:
    """Return the reason if a point is invalid, or None. An invalid point would fail its whole training."""
    try:
        check_parameter_values(find_algorithm(name), point)
    except Exception as error:
        return describe_error(error)
    return None
