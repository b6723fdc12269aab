"""One training of the search: all folds in step, every point scored, given up where the others are better."""

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

from experiments.evaluation.cross_validation import Parts, Seeds, Step, steps
from experiments.search.training_result import Outcome, PointOutcome
from experiments.search.trials import FoldScore, reason_of
from marquee.algorithms.registry import Parameters, candidate
from marquee.algorithms.shared_training import check_point

Report = Callable[[int, float], bool]  # (epoch, error) -> whether to give up


def train(
    name: str,
    points: Sequence[Parameters],
    parts: Parts,
    seeds: Seeds,
    pool: ThreadPoolExecutor,
    *,
    metric: str,
    looks: Collection[int] = (),
    report: Report | None = None,
) -> Outcome:
    """Train, and give the outcome of every point.

    What fails (divergence, want of memory, a parameter that the algorithm chokes on) is the reason of those
    points that were not answered by then: one bad training must not end a search.

    Args:
        name: of the candidate.
        points: parameters that differ in what one training answers for.
        parts: the folds.
        seeds: of each fold.
        pool: threads that the folds are given to.
        metric: rmse or mae.
        looks: epochs after which the error is asked for.
        report: told that error, the mean over the folds; None: nothing is given up.
    """
    reasons = [_refusal(name, point) for point in points]
    usable = [point for point, reason in zip(points, reasons, strict=True) if reason is None]
    trained = _Training(usable, metric, report)
    if usable:
        trained.go(steps(name, usable, parts, seeds, pool, looks=looks if report else ()))
    outcomes = iter(trained.outcomes())
    return Outcome(
        tuple(
            PointOutcome(point, failure=reason) if reason else next(outcomes)
            for point, reason in zip(points, reasons, strict=True)
        ),
        tuple(trained.curve),
    )


class _Training:
    """A training under way: what was found of each point, and why it ended where it did."""

    def __init__(self, points: Sequence[Parameters], metric: str, report: Report | None) -> None:
        self._points, self._metric, self._report = points, metric, report
        self._found: dict[int, tuple[FoldScore, ...]] = {}
        self._failure: str | None = None
        self._pruned: str | None = None
        self.curve: list[tuple[int, float]] = []

    def go(self, steps: Iterable[Step]) -> None:
        try:
            for step in steps:
                self._found |= dict.fromkeys(step.points, step.folds)
                if step.epoch is not None and self._is_hopeless(step.epoch, step.folds):
                    return
        except Exception as error:
            self._failure = reason_of(error)

    def outcomes(self) -> list[PointOutcome]:
        return [
            PointOutcome(point, self._found[number])
            if number in self._found
            else PointOutcome(point, failure=self._failure, pruned=self._pruned)
            for number, point in enumerate(self._points)
        ]

    def _is_hopeless(self, epoch: int, folds: Sequence[FoldScore]) -> bool:
        error = fmean(getattr(fold, self._metric) for fold in folds)
        self.curve.append((epoch, error))
        if self._report is None or not self._report(epoch, error) or len(self._found) == len(self._points):
            return False
        self._pruned = f"given up after epoch {epoch} with {self._metric.upper()} {error:.4f}"
        return True


def _refusal(name: str, point: Parameters) -> str | None:
    """Why a point cannot be used, if so: it must not take those along that share its training."""
    try:
        check_point(candidate(name), point)
    except Exception as error:
        return reason_of(error)
    return None
