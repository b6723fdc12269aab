"""Results of trainings, task by task, and the trials that they add up to.

training   a candidate with values of its trained parameters; it scores one or several points
task       what a worker does at a time: the training on one validation part, or on all folds
point      one point of the search space: a trial
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from experiments.search.float_encoding import decode_floats, encode_floats
from experiments.search.trials import FoldScore, PartScore, Trial, TrialCost
from marquee.algorithms.registry import Parameters

FOLDS = -1  # in place of the number of a validation part


class TrainingId(NamedTuple):
    """Identifies a training within its search."""

    candidate: str
    number: int  # among the trainings of the candidate, from 0


class PointId(NamedTuple):
    """Identifies a point of the search space within its search."""

    training: TrainingId
    point: int  # among the points of the training, from 0


class TaskId(NamedTuple):
    """Identifies a task within its search; it keeps its id when it is scheduled again."""

    training: TrainingId
    part: int  # number of the validation part, or `FOLDS`


@dataclass(frozen=True)
class Task:
    """Training on one validation part, or on all folds.

    Attributes:
        id: training and part.
        parameters: values of the trained parameters.
        points: points to score, by their number in the training.
        leader: point with which a sample of the users is compared first; None: no comparison.
    """

    id: TaskId
    parameters: Parameters
    points: tuple[int, ...]
    leader: PointId | None = None


@dataclass(frozen=True)
class PointResult:
    """Scores of one point in one task, or the reason for having none."""

    point: int
    folds: tuple[FoldScore, ...] = ()
    part: PartScore | None = None
    failure: str | None = None
    pruned: str | None = None  # why the evaluation was stopped; `part` has what was evaluated until then


@dataclass(frozen=True)
class TaskResult:
    """Results of all points of a task.

    Attributes:
        points: results in the order of the task.
        curve: learning curve: epochs, and values of the search metric (its main one, if there are several).
        best_loss: lowest loss of a point, for the pruner. It is not stored.
    """

    points: tuple[PointResult, ...]
    curve: tuple[tuple[int, float], ...] = ()
    best_loss: float | None = None

    @classmethod
    def from_failure(cls, points: Iterable[int], reason: str) -> "TaskResult":
        """Return the result of a task that failed for all of its points."""
        return cls(tuple(PointResult(point, failure=reason) for point in points))

    @property
    def is_pruned(self) -> bool:
        """True if the pruner stopped the training before it had scored all points."""
        return any(point.pruned and point.part is None for point in self.points)

    def find_point(self, number: int) -> PointResult:
        """Return the result of a point.

        Raises:
            KeyError: the task did not score it.
        """
        for point in self.points:
            if point.point == number:
                return point
        raise KeyError(number)

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON-serializable dictionary."""
        return {"points": [_point_to_json(point) for point in self.points], "curve": self.curve}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "TaskResult":
        """Return the result that `to_json` wrote."""
        points = tuple(_point_from_json(point) for point in record["points"])
        return cls(points, tuple((int(epoch), float(value)) for epoch, value in record["curve"]))


@dataclass
class PointScores:
    """Everything that is known about a point: scores of all tasks so far.

    Attributes:
        parts: scores by number of the validation part.
        failure: why a fit on a validation part failed.
        fold_failure: why a fit on a fold failed.
        pruned: why the evaluation was stopped early.
    """

    parameters: Parameters
    folds: tuple[FoldScore, ...] = ()
    parts: dict[int, PartScore] = field(default_factory=dict)
    failure: str | None = None
    fold_failure: str | None = None
    pruned: str | None = None
    curve: tuple[tuple[int, float], ...] = ()

    @property
    def is_alive(self) -> bool:
        """True if the point has neither failed nor been stopped."""
        return self.failure is None and self.pruned is None

    @property
    def has_results(self) -> bool:
        """True if any task has scored the point, or a reason for having no scores is known."""
        return bool(self.folds or self.parts or self.failure or self.fold_failure or self.pruned)

    def add(self, task: TaskId, result: PointResult, curve: tuple[tuple[int, float], ...]) -> None:
        """Add the result of a task."""
        if task.part == FOLDS:
            self.fold_failure = result.failure
        else:
            self.failure = self.failure or result.failure
        self.pruned = self.pruned or result.pruned
        self.curve = self.curve or curve
        if result.folds:
            self.folds = result.folds
        if result.part is not None:
            self.parts[task.part] = result.part

    def to_trial(self, number: int, candidate: str) -> Trial:
        """Return the point as a trial.

        A trial that failed on a validation part has no scores. One that failed on the folds only has lists.
        """
        failure = self.failure if self.parts else self.failure or self.fold_failure
        if failure is not None:
            return Trial(number, candidate, self.parameters, failure=failure)
        parts = tuple(self.parts[part] for part in sorted(self.parts))
        cost = TrialCost.mean_of_fits(parts, self.folds)
        return Trial(
            number, candidate, self.parameters, self.folds, cost=cost, pruned=self.pruned, curve=self.curve,
            parts=parts, fold_failure=self.fold_failure,
        )  # fmt: skip


def merge_results(
    results: Mapping[TaskId, TaskResult], points: Mapping[TrainingId, Sequence[Parameters]]
) -> dict[PointId, PointScores]:
    """Return the scores of every point of these trainings.

    Args:
        results: results of tasks. Those of the validation parts count in ascending order of the parts.
        points: parameters of the points of each training.
    """
    merged = {
        PointId(training, number): PointScores(parameters)
        for training, listed in points.items()
        for number, parameters in enumerate(listed)
    }
    for task in sorted(results, key=lambda task: (task.part == FOLDS, task.part)):
        for point in results[task].points:
            merged[PointId(task.training, point.point)].add(task, point, results[task].curve)
    return merged


def _point_to_json(point: PointResult) -> dict[str, Any]:
    record = {name: value for name, value in vars(point).items() if value}
    if point.folds:
        record["folds"] = [asdict(fold) for fold in point.folds]
    if point.part is not None:
        values = {name: encode_floats(numbers) for name, numbers in point.part.user_values.items()}
        record["part"] = {**vars(point.part), "metrics": dict(point.part.metrics), "user_values": values}
    return {**record, "point": point.point}


def _point_from_json(record: Mapping[str, Any]) -> PointResult:
    part = record.get("part")
    if part is not None:
        values = {name: decode_floats(text) for name, text in part["user_values"].items()}
        part = PartScore(**{**part, "user_values": values})
    folds = tuple(FoldScore(**fold) for fold in record.get("folds", ()))
    return PointResult(
        record["point"], folds, part, failure=record.get("failure"), pruned=record.get("pruned")
    )
