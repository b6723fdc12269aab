"""Training results: the scores of every point that one training covers, or the reason for having none."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, NamedTuple

from experiments.search.trials import FoldScore, Trial, TrialCost
from marquee.algorithms.registry import Parameters


class TrainingId(NamedTuple):
    """Identifies a training within its search; it keeps its id when it is scheduled again."""

    candidate: str
    number: int  # among the trainings of the candidate, from 0


@dataclass(frozen=True)
class PointResult:
    """Fold scores of one point of the search space, or the reason for having none."""

    parameters: Parameters
    folds: tuple[FoldScore, ...] = ()
    failure: str | None = None
    pruned: str | None = None  # where the pruner stopped the training


@dataclass(frozen=True)
class TrainingResult:
    """Results of all points of one training, and its learning curve."""

    points: tuple[PointResult, ...]
    curve: tuple[tuple[int, float], ...] = ()  # (epoch, mean error over the folds)

    @classmethod
    def from_failure(cls, points: Sequence[Parameters], reason: str) -> "TrainingResult":
        """Return the result of a training that failed for all of its points."""
        return cls(tuple(PointResult(point, failure=reason) for point in points))

    @property
    def is_pruned(self) -> bool:
        """True if the pruner stopped the training before it had scored all points."""
        return any(point.pruned for point in self.points)

    def best_error(self, metric: str) -> float | None:
        """Return the lowest mean error of any point, or None if no point has scores."""
        errors = [
            fmean(getattr(fold, metric) for fold in point.folds) for point in self.points if point.folds
        ]
        return min(errors, default=None)

    def to_trials(self, algorithm: str, first_number: int) -> list[Trial]:
        """Return the points as trials, numbered from `first_number`."""
        return [
            Trial(
                number,
                algorithm,
                point.parameters,
                point.folds,
                failure=point.failure,
                cost=TrialCost.mean_of_folds(point.folds) if point.folds else None,
                pruned=point.pruned,
                curve=self.curve,
            )
            for number, point in enumerate(self.points, first_number)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON-serializable dictionary."""
        return {"points": [asdict(point) for point in self.points], "curve": self.curve}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "TrainingResult":
        """Return the result that `to_json` wrote."""
        points = tuple(
            PointResult(**{**point, "folds": tuple(FoldScore(**fold) for fold in point["folds"])})
            for point in record["points"]
        )
        return cls(points, tuple((int(epoch), float(error)) for epoch, error in record["curve"]))
