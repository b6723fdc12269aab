"""What a training came to: the score of every point that it answers for, or why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments.search.trials import FoldScore
from marquee.algorithms.registry import Parameters


@dataclass(frozen=True)
class PointOutcome:
    """One point: its folds, or the reason why it has none."""

    parameters: Parameters
    folds: tuple[FoldScore, ...] = ()
    failure: str | None = None
    pruned: str | None = None  # given up before its end, for others were better by then


@dataclass(frozen=True)
class Outcome:
    """All points of one training, and its error after the epochs that were looked at."""

    points: tuple[PointOutcome, ...]
    curve: tuple[tuple[int, float], ...] = ()  # (epoch, mean error over the folds)

    def best(self, metric: str) -> float | None:
        """The lowest mean error of a point over its folds; None: every point failed."""
        means = [_mean(point.folds, metric) for point in self.points if point.folds]
        return min(means, default=None)

    def to_plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"points": [asdict(point) for point in self.points], "curve": self.curve}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Outcome":
        """Back from `to_plain`."""
        points = tuple(
            PointOutcome(**{**point, "folds": tuple(FoldScore(**fold) for fold in point["folds"])})
            for point in plain["points"]
        )
        return cls(points, tuple((int(epoch), float(error)) for epoch, error in plain["curve"]))

    @classmethod
    def failed(cls, points: Sequence[Parameters], reason: str) -> "Outcome":
        """The outcome of a training that gave no model at all."""
        return cls(tuple(PointOutcome(point, failure=reason) for point in points))


def _mean(folds: Sequence[FoldScore], metric: str) -> float:
    return float(sum(getattr(fold, metric) for fold in folds) / len(folds))
