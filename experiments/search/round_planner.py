"""Round planner: splits trainings into rounds of tasks, and drops trials that are clearly worse.

Rounds of some trainings, if trials can be compared user by user (racing.py):

    1     first validation part: one training of each candidate
    2     first validation part: the others, compared with the best of round 1 on a sample of the users
    3, 4  second and third validation part: the trials that are left
    5, …  the same for blends of the best rankers (blend_members.py)

Without racing, one round has all parts. The tasks on folds, which score predictions of ratings, are in the
background: no round waits for them, unless the search metric needs them.

A round is complete before the next one is planned, and nothing depends on the order of the trials. Therefore
the same search gives the same results with any number of workers, in any order of a grid, and after an
interruption.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import fmean

import numpy as np

from experiments.config.offline import SearchParams
from experiments.search.blend_members import ScoredPoint, choose_members
from experiments.search.metric import SearchMetric
from experiments.search.racing import Comparison, compare_with_leader
from experiments.search.training_planner import ScheduledTraining, TrainingPlanner
from experiments.search.training_result import (
    FOLDS,
    PointId,
    PointScores,
    Task,
    TaskId,
    TaskResult,
    TrainingId,
    merge_results,
)
from experiments.search.training_space import CandidateSpace
from experiments.search.trials import MEMBERS, format_sorted_label, point_key
from marquee.algorithms.registry import (
    BASELINE,
    BLEND,
    POPULARITY,
    RANDOM_BASELINE,
    Parameters,
    find_algorithm,
)
from marquee.array_types import Float32Array, Int32Array
from marquee.seeds import seed_for

NEVER_DROPPED = POPULARITY  # the winner is compared with it on all parts
BASELINES = (RANDOM_BASELINE, POPULARITY, BASELINE)  # in the order of `baseline-first`

TaskResults = Mapping[TaskId, TaskResult]


@dataclass(frozen=True)
class Round:
    """Tasks to run in order: those that the next round waits for, and those that may run at any time."""

    tasks: tuple[Task, ...]
    background: tuple[Task, ...] = ()


@dataclass(frozen=True)
class PlannedParts:
    """Validation parts of a search.

    Attributes:
        users: numbers of the evaluated users of each part.
        list_length: number of items of an evaluated list.
    """

    users: Sequence[Int32Array]
    list_length: int


class RoundPlanner:
    """Plans the rounds of a search.

    Args:
        search: the `search` block of params.yaml.
        spaces: search space of every candidate, in the order of params.yaml.
        seed: root seed of the samplers.
        parts: the validation parts; without parts, trainings are scored on folds only.
        has_folds: True if predictions of ratings are scored on folds.
    """

    def __init__(
        self,
        search: SearchParams,
        spaces: Mapping[str, CandidateSpace],
        seed: int,
        *,
        parts: PlannedParts,
        has_folds: bool,
    ) -> None:
        self._search, self._spaces, self._parts, self._has_folds = search, spaces, parts, has_folds
        self._metric = SearchMetric.parse(search.metric_weights)
        self._trainings = TrainingPlanner(search, spaces, seed)
        self._points: dict[TrainingId, tuple[Parameters, ...]] = {}
        self._results: dict[TaskId, TaskResult] = {}
        self._drop_reasons: dict[PointId, str] = {}

    @property
    def max_tasks(self) -> int:
        """Upper bound for the number of tasks of the whole search."""
        scores = self._scores()
        n_tasks = sum(
            self._n_parts(training, scores) + self._predicts_ratings(training.candidate)
            for training in self._points
        )
        n_unscheduled = self._trainings.max_trainings - len(self._points)
        return n_tasks + n_unscheduled * (len(self._parts.users) + self._has_folds)

    def rounds(self) -> Generator[Round, TaskResults, None]:
        """Yield the rounds of the search; send the results of (at least) the tasks of each round."""
        while trainings := self._trainings.next_trainings(self._losses()):
            for training in trainings:
                space = self._spaces[training.id.candidate]
                self._points[training.id] = space.points_of_training(training.parameters)
            if self._metric.uses_lists:
                yield from self._run_parts(trainings)
            else:
                yield from self._run(self._fold_tasks(trainings))
        if blends := self._plan_blends():
            self._points[blends.id] = self._spaces[BLEND].points_of_training(blends.parameters)
            yield from self._run_parts([blends])

    def merge(self, results: TaskResults) -> dict[PointId, PointScores]:
        """Return the scores of all points, with the reason for which a point was dropped."""
        merged = merge_results(results, self._points)
        for point, reason in self._drop_reasons.items():
            merged[point].pruned = merged[point].pruned or reason
        return merged

    def _plan_blends(self) -> ScheduledTraining | None:
        """Return the training whose points are blends of the best rankers; None if there are too few."""
        if BLEND not in self._spaces or self._search.blend is None:
            return None
        points = (
            ScoredPoint(point.training.candidate, self._parameters(point), loss)
            for point, loss in self._point_losses().items()
        )
        members = choose_members(points, self._search.blend.max_members)
        return ScheduledTraining(TrainingId(BLEND, 0), {MEMBERS: members}) if members else None

    def _run_parts(self, trainings: Sequence[ScheduledTraining]) -> Generator[Round, TaskResults, None]:
        """Yield the rounds of some trainings on the validation parts."""
        folds = self._fold_tasks(trainings)
        if not self._is_racing:
            parts = [
                task for part in range(len(self._parts.users)) for task in self._part_tasks(trainings, part)
            ]
            if self._metric.uses_errors:
                yield from self._run([*parts, *folds])
            else:
                yield from self._run(parts, folds)
            return
        leader = self._find_leader(1)
        pilots = [] if leader else self._choose_pilots(trainings)
        if pilots:
            yield from self._run(self._part_tasks(pilots, 0), folds)
            leader = self._find_leader(1)
        others = [training for training in trainings if training not in pilots]
        if others:
            yield from self._run(self._part_tasks(others, 0, leader), () if pilots else folds)
        for part in range(1, len(self._parts.users)):
            self._drop_clearly_worse(trainings, part)
            yield from self._run(self._part_tasks(trainings, part))

    @property
    def _is_racing(self) -> bool:
        return self._search.racing and self._metric.user_metric is not None

    def _run(
        self, tasks: Sequence[Task], background: Sequence[Task] = ()
    ) -> Generator[Round, TaskResults, None]:
        """Yield a round, unless it is empty, and keep its results."""
        if tasks or background:
            results = yield Round(tuple(tasks), tuple(background))
            self._results |= {task.id: results[task.id] for task in tasks}

    def _part_tasks(
        self, trainings: Iterable[ScheduledTraining], part: int, leader: PointId | None = None
    ) -> list[Task]:
        """Return the tasks of the points that are left on a validation part, in the order to run them."""
        scores = self._scores()
        tasks = []
        for training in self._in_order(trainings):
            points = tuple(
                number
                for number in range(len(self._points[training.id]))
                if scores[PointId(training.id, number)].is_alive
            )
            if points:
                compared_with = None if training.id.candidate == NEVER_DROPPED else leader
                tasks.append(Task(TaskId(training.id, part), training.parameters, points, compared_with))
        return tasks

    def _fold_tasks(self, trainings: Iterable[ScheduledTraining]) -> list[Task]:
        """Return the tasks that score predictions of ratings, in the order to run them."""
        return [
            Task(
                TaskId(training.id, FOLDS), training.parameters, tuple(range(len(self._points[training.id])))
            )
            for training in self._in_order(trainings)
            if self._predicts_ratings(training.id.candidate)
        ]

    def _choose_pilots(self, trainings: Sequence[ScheduledTraining]) -> list[ScheduledTraining]:
        """Return one training of each candidate, chosen by a hash, not by its place in the grid."""
        pilots: dict[str, ScheduledTraining] = {}
        for training in sorted(trainings, key=_training_hash):
            pilots.setdefault(training.id.candidate, training)
        return list(pilots.values())

    def _in_order(self, trainings: Iterable[ScheduledTraining]) -> list[ScheduledTraining]:
        names = list(self._spaces)
        if self._search.order == "listed":
            return sorted(
                trainings, key=lambda training: (names.index(training.id.candidate), training.id.number)
            )
        names.sort(key=lambda name: BASELINES.index(name) if name in BASELINES else len(BASELINES))
        return sorted(
            trainings, key=lambda training: (training.id.number, names.index(training.id.candidate))
        )

    def _find_leader(self, n_parts: int) -> PointId | None:
        """Return the point with the best mean over the first parts, or None if there is none.

        If several are equal, the order of the grid does not matter.
        """
        name = self._metric.user_metric
        assert name is not None, "only metrics with a value per user have leaders"
        candidates = {
            point: self._metric.loss(
                {name: fmean(scores.parts[part].metrics[name] for part in range(n_parts))}
            )
            for point, scores in self._scores().items()
            if scores.is_alive and all(part in scores.parts for part in range(n_parts))
        }
        return min(candidates, key=lambda point: (candidates[point], self._key(point)), default=None)

    def _drop_clearly_worse(self, trainings: Iterable[ScheduledTraining], n_parts: int) -> None:
        """Drop the points of trainings that are clearly worse than the leader on the first parts."""
        leader = self._find_leader(n_parts)
        if leader is None:
            return
        scores, ids = self._scores(), {training.id for training in trainings}
        title = self._metric.title(self._parts.list_length)
        label = format_sorted_label(leader.training.candidate, self._parameters(leader))
        where = "the first part" if n_parts == 1 else f"{n_parts} parts"
        for point, point_scores in scores.items():
            is_reference = point.training.candidate == NEVER_DROPPED
            if point.training in ids and point_scores.is_alive and not is_reference:
                comparison = self._compare(scores[leader], point_scores, n_parts)
                if comparison.is_clear:
                    self._drop_reasons[point] = comparison.describe(title, label, where)

    def _compare(self, leader: PointScores, other: PointScores, n_parts: int) -> Comparison:
        users = np.concatenate(self._parts.users[:n_parts])
        return compare_with_leader(
            self._user_values(leader, n_parts), self._user_values(other, n_parts), users
        )

    def _user_values(self, scores: PointScores, n_parts: int) -> Float32Array:
        name = self._metric.user_metric
        assert name is not None, "only metrics with a value per user are compared"
        return np.concatenate([scores.parts[part].user_values[name] for part in range(n_parts)])

    def _scores(self) -> dict[PointId, PointScores]:
        """Return the scores of all points from complete rounds."""
        return self.merge(self._results)

    def _losses(self) -> dict[TrainingId, float]:
        """Return the lowest loss of each training, for the sampler; NaN if it has none."""
        losses: dict[TrainingId, float] = {}
        for point, loss in self._point_losses().items():
            best = losses.setdefault(point.training, nan)
            if isfinite(loss) and not loss >= best:
                losses[point.training] = loss
        return losses

    def _point_losses(self) -> dict[PointId, float]:
        """Return the estimated mean loss of each point over all parts; NaN if it has no scores."""
        scores = self._scores()
        leader = self._find_leader(len(self._parts.users)) if self._is_racing else None
        return {
            point: self._estimate_loss(point, point_scores, leader and scores[leader])
            for point, point_scores in scores.items()
        }

    def _estimate_loss(self, point: PointId, scores: PointScores, leader: PointScores | None) -> float:
        """Return the mean loss over all parts, also of a point that was dropped early.

        Parts differ in difficulty, so the values of a dropped point are compared with those of the leader for
        the same users, and the difference is added to the leader's loss.
        """
        loss = self._metric.loss(scores.to_trial(0, point.training.candidate).mean_values())
        is_complete = len(scores.parts) == len(self._parts.users) and scores.is_alive
        if leader is None or is_complete or not isfinite(loss):
            return loss
        leader_loss = self._metric.loss(leader.to_trial(0, point.training.candidate).mean_values())
        return leader_loss + self._compare(leader, scores, len(scores.parts)).difference

    def _n_parts(self, training: TrainingId, scores: Mapping[PointId, PointScores]) -> int:
        """Return the number of parts that a training is, or may still be, scored on."""
        points = [scores[PointId(training, number)] for number in range(len(self._points[training]))]
        if any(point.is_alive for point in points):
            return len(self._parts.users)
        return len({part for point in points for part in point.parts})

    def _predicts_ratings(self, candidate: str) -> bool:
        return self._has_folds and not find_algorithm(candidate).algorithm_class.is_ranker

    def _parameters(self, point: PointId) -> Parameters:
        return self._points[point.training][point.point]

    def _key(self, point: PointId) -> str:
        return point_key(point.training.candidate, self._parameters(point))


def _training_hash(training: ScheduledTraining) -> tuple[int, str]:
    """Return a number, and a text for equal numbers, that depend on the parameters alone."""
    key = point_key(training.id.candidate, training.parameters)
    return seed_for(0, "pilot", key), key
