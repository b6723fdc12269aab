"""Round planner: rounds of tasks, trials that are dropped, and independence of the order of a grid."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.config.offline import SearchParams
from experiments.search.metric import SearchMetric
from experiments.search.racing import compare_with_leader
from experiments.search.round_planner import PlannedParts, Round, RoundPlanner
from experiments.search.training_result import FOLDS, PointResult, PointScores, Task, TaskId, TaskResult
from experiments.search.training_space import candidate_spaces
from experiments.search.trials import PartScore, Trial, point_key, rank_trials
from marquee.array_types import Float32Array
from marquee.seeds import rng_for
from tests.support.searches import make_search_params

N_USERS = 120
USERS = np.arange(N_USERS, dtype=np.int32)
IS_SAMPLED = N_USERS // 2 > USERS
NDCG = SearchMetric.parse("ndcg")
Quality = Mapping[str, float]  # mean value of a point, by its key


class FakeWorkers:
    """Runs the tasks of a search: the value of a user depends on the point, the part and the user only."""

    def __init__(
        self,
        search: SearchParams,
        quality: Quality,
        seed: int = 0,
        n_parts: int = 3,
        levels: tuple[float, ...] = (0.0,) * 3,
    ) -> None:
        self._quality, self._seed, self._levels = quality, seed, levels
        self._spaces = candidate_spaces(search)
        parts = PlannedParts([USERS] * n_parts, 10)
        self.planner = RoundPlanner(search, self._spaces, 1, parts=parts, has_folds=True)
        self.rounds: list[Round] = []
        self.results: dict[TaskId, TaskResult] = {}

    def run(self) -> "FakeWorkers":
        rounds = self.planner.rounds()
        planned = next(rounds)
        while True:
            self.rounds.append(planned)
            self.results |= {task.id: self._run_task(task) for task in planned.tasks}
            try:
                planned = rounds.send(self.results)
            except StopIteration:
                return self

    @property
    def scores(self) -> dict[str, PointScores]:
        """Scores of every point by its key."""
        merged = self.planner.merge(self.results)
        return {
            point_key(point.training.candidate, scores.parameters): scores for point, scores in merged.items()
        }

    @property
    def trials(self) -> list[Trial]:
        merged = self.planner.merge(self.results)
        return [
            scores.to_trial(number, point.training.candidate)
            for number, (point, scores) in enumerate(merged.items())
        ]

    @property
    def losses(self) -> dict[int, float]:
        """Losses that the sampler sees, by number of the training."""
        return {training.number: loss for training, loss in self.planner._losses().items()}

    def _run_task(self, task: Task) -> TaskResult:
        return TaskResult(tuple(self._score(task, number) for number in task.points))

    def _score(self, task: Task, number: int) -> PointResult:
        values = self._values(task, number)
        if task.leader is None:
            return PointResult(number, part=make_part_score(values))
        result = self.results[TaskId(task.leader.training, task.id.part)].find_point(task.leader.point)
        assert result.part is not None
        sample = np.where(IS_SAMPLED, values, np.nan).astype(np.float32)
        if compare_with_leader(result.part.user_values["ndcg"], sample, USERS).is_clear:
            return PointResult(number, part=make_part_score(sample), pruned="dropped after a sample")
        return PointResult(number, part=make_part_score(values))

    def _values(self, task: Task, number: int) -> Float32Array:
        candidate = task.id.training.candidate
        key = point_key(candidate, self._spaces[candidate].points_of_training(task.parameters)[number])
        noise = rng_for(self._seed, key, task.id.part).normal(0, 0.1, N_USERS)
        users = rng_for(self._seed, "users").normal(0, 0.3, N_USERS)
        level = self._levels[task.id.part]
        return (self._quality[key] + level + users + noise).astype(np.float32)


def make_part_score(values: Float32Array) -> PartScore:
    mean = float(np.nanmean(values.astype(np.float64)))
    return PartScore({"ndcg": mean}, int(np.isfinite(values).sum()), {"ndcg": values}, 1, 0.1, 0.1)


def make_params(candidates: dict[str, Any], **changes: Any) -> SearchParams:
    return make_search_params(candidates, **{"metric": "ndcg", **changes})


def task_names(planned: Round) -> list[tuple[str, int, int]]:
    return [(task.id.training.candidate, task.id.training.number, task.id.part) for task in planned.tasks]


# Rounds


def test_first_round_has_one_training_of_each_candidate_and_later_ones_the_survivors() -> None:
    search = make_params({"svd": {"n_factors": [1, 2, 3]}, "baseline_only": {}})
    quality = {
        'svd {"n_factors": 1}': 0.5, 'svd {"n_factors": 2}': 0.1, 'svd {"n_factors": 3}': 0.49,
        "baseline_only {}": 0.2,
    }  # fmt: skip
    rounds = FakeWorkers(search, quality).run().rounds
    first, second, third, fourth = map(task_names, rounds)
    assert {name for name, *_ in first} == {"svd", "baseline_only"}
    assert len(first) == 2
    assert len(second) == 2
    assert {part for *_, part in first + second} == {0}
    assert third == [("svd", 0, 1), ("svd", 2, 1)]
    assert fourth == [("svd", 0, 2), ("svd", 2, 2)]


def test_popularity_is_scored_on_all_users_and_parts_whatever_its_quality() -> None:
    search = make_params({"svd": {"n_factors": [1, 2]}, "popularity": {"threshold": [None, 4.0, 3.0]}})
    quality = {f'svd {{"n_factors": {n}}}': 0.5 for n in (1, 2)}
    quality |= {f'popularity {{"threshold": {threshold}}}': 0.1 for threshold in ("null", 4.0, 3.0)}
    workers = FakeWorkers(search, quality).run()
    tasks = [task for planned in workers.rounds for task in planned.tasks]
    popularity = [task for task in tasks if task.id.training.candidate == "popularity"]
    assert len(popularity) == 3 * 3
    assert {task.leader for task in popularity} == {None}


def test_sampler_sees_dropped_trials_worse_although_their_part_is_easier() -> None:
    """Values of the first part are 1 higher, and a dropped trial has only these."""
    search = make_params({"svd": {"n_factors": [1, 2, 3]}})
    quality = {f'svd {{"n_factors": {n}}}': mean for n, mean in ((1, 0.5), (2, 0.2), (3, 0.49))}
    workers = FakeWorkers(search, quality, levels=(1.0, 0.0, 0.0)).run()
    assert workers.scores['svd {"n_factors": 2}'].pruned
    losses = workers.losses
    assert losses[1] - losses[0] == pytest.approx(0.3, abs=0.04)
    assert losses[2] - losses[0] == pytest.approx(0.01, abs=0.04)


def test_other_trainings_of_the_first_part_are_compared_with_the_best_of_the_first_round() -> None:
    search = make_params({"svd": {"n_factors": [1, 2, 3]}, "popularity": {}})
    quality = {f'svd {{"n_factors": {n}}}': 0.1 for n in (1, 2, 3)} | {"popularity {}": 0.5}
    workers = FakeWorkers(search, quality).run()
    leaders = {task.leader for task in workers.rounds[1].tasks}
    assert [leader and leader.training.candidate for leader in leaders] == ["popularity"]
    dropped = [key for key, scores in workers.scores.items() if scores.pruned == "dropped after a sample"]
    assert len(dropped) == 2


def test_folds_are_scored_in_the_background_even_if_lists_are_dropped() -> None:
    search = make_params({"svd": {"n_factors": [1, 2]}, "ease": {}})
    quality = {'svd {"n_factors": 1}': 0.1, 'svd {"n_factors": 2}': 0.1, "ease {}": 0.5}
    rounds = FakeWorkers(search, quality).run().rounds
    background = [task.id for planned in rounds for task in planned.background]
    assert [(*task.training, task.part) for task in background] == [("svd", 0, FOLDS), ("svd", 1, FOLDS)]


def test_points_of_a_shared_training_are_dropped_one_by_one() -> None:
    search = make_params({"svd": {"n_epochs": [5, 10]}, "ease": {}})
    quality = {'svd {"n_epochs": 5}': 0.5, 'svd {"n_epochs": 10}': 0.1, "ease {}": 0.5}
    workers = FakeWorkers(search, quality).run()
    (task,) = [task for task in workers.rounds[1].tasks if task.id.training.candidate == "svd"]
    assert task.points == (0,)
    assert workers.scores['svd {"n_epochs": 10}'].pruned is not None


def test_without_racing_one_round_has_all_parts() -> None:
    search = make_params({"svd": {"n_factors": [1, 2]}}, racing=False)
    quality = {'svd {"n_factors": 1}': 0.5, 'svd {"n_factors": 2}': 0.1}
    (planned,) = FakeWorkers(search, quality).run().rounds
    assert sorted(task_names(planned)) == [("svd", number, part) for number in (0, 1) for part in range(3)]
    assert len(planned.background) == 2


@pytest.mark.parametrize("metric", ["rmse", {"rmse": 1.0, "mae": 1.0}])
def test_search_by_errors_has_folds_only(metric: Any) -> None:
    search = make_params({"svd": {"n_factors": [1, 2]}}, metric=metric)
    planner = RoundPlanner(search, candidate_spaces(search), 1, parts=PlannedParts([], 10), has_folds=True)
    planned = next(planner.rounds())
    assert task_names(planned) == [("svd", 0, FOLDS), ("svd", 1, FOLDS)]
    assert planned.background == ()


def test_weighted_metrics_of_lists_and_errors_wait_for_both() -> None:
    search = make_params({"svd": {"n_factors": [1]}}, metric={"ndcg": 0.7, "rmse": 0.3})
    planner = RoundPlanner(
        search, candidate_spaces(search), 1, parts=PlannedParts([USERS] * 3, 10), has_folds=True
    )
    planned = next(planner.rounds())
    assert sorted(part for *_, part in task_names(planned)) == [FOLDS, 0, 1, 2]


def test_baselines_run_first_then_the_first_training_of_every_candidate() -> None:
    candidates = {"svd": {"n_factors": [1, 2]}, "nmf": {"n_factors": [3, 4]}, "baseline_only": {}}
    search = make_params(candidates, racing=False, metric="rmse")
    planned = next(make_planner(search).rounds())
    assert [task.id.training for task in planned.tasks] == [
        ("baseline_only", 0), ("svd", 0), ("nmf", 0), ("svd", 1), ("nmf", 1),
    ]  # fmt: skip


def test_listed_order_runs_candidates_as_in_the_file() -> None:
    candidates = {"svd": {"n_factors": [1, 2]}, "nmf": {"n_factors": [3, 4]}, "baseline_only": {}}
    search = make_params(candidates, racing=False, metric="rmse", order="listed")
    planned = next(make_planner(search).rounds())
    names = [task.id.training.candidate for task in planned.tasks]
    assert names == ["svd", "svd", "nmf", "nmf", "baseline_only"]


def make_planner(search: SearchParams) -> RoundPlanner:
    return RoundPlanner(search, candidate_spaces(search), 1, parts=PlannedParts([], 10), has_folds=True)


def test_upper_bound_of_tasks_falls_as_trials_are_dropped() -> None:
    search = make_params({"svd": {"n_factors": [1, 2]}, "ease": {}})
    quality = {'svd {"n_factors": 1}': 0.1, 'svd {"n_factors": 2}': 0.1, "ease {}": 0.5}
    workers = FakeWorkers(search, quality)
    assert workers.planner.max_tasks == 3 * 4
    workers.run()
    n_tasks = sum(len(planned.tasks) + len(planned.background) for planned in workers.rounds)
    assert workers.planner.max_tasks == n_tasks == 1 + 1 + 3 + 2


# Drops


def test_reason_for_a_drop_names_the_leader_and_the_difference() -> None:
    search = make_params({"svd": {}, "ease": {"reg": [7]}})
    workers = FakeWorkers(search, {"svd {}": 0.2, 'ease {"reg": 7}': 0.5}).run()
    reason = str(workers.scores["svd {}"].pruned)
    assert reason.startswith("dropped after the first part: NDCG@10 is 0.")
    assert "lower than that of EASE (reg=7) (" in reason
    assert reason.endswith("standard errors)")


def test_failed_trial_is_neither_leader_nor_scheduled_again() -> None:
    search = make_params({"svd": {}, "ease": {}})
    workers = FakeWorkers(search, {"svd {}": 0.2, "ease {}": 0.5})
    rounds = workers.planner.rounds()
    planned = next(rounds)
    for task in planned.tasks:
        is_ease = task.id.training.candidate == "ease"
        workers.results[task.id] = (
            TaskResult.from_failure(task.points, "no memory") if is_ease else workers._run_task(task)
        )
    assert task_names(rounds.send(workers.results)) == [("svd", 0, 1)]


def test_results_of_tasks_in_the_background_do_not_change_the_rounds() -> None:
    search = make_params({"svd": {"n_factors": [1, 2]}, "ease": {}})
    quality = {'svd {"n_factors": 1}': 0.49, 'svd {"n_factors": 2}': 0.5, "ease {}": 0.5}
    with_failures = FakeWorkers(search, quality)
    for number in (0, 1):
        svd = next(task for task in background_tasks(search) if task.id.training.number == number)
        with_failures.results[svd.id] = TaskResult.from_failure(svd.points, "diverged")
    expected = [task_names(planned) for planned in FakeWorkers(search, quality).run().rounds]
    assert [task_names(planned) for planned in with_failures.run().rounds] == expected
    assert all(scores.failure is None for scores in with_failures.scores.values())


def background_tasks(search: SearchParams) -> Iterator[Task]:
    yield from next(FakeWorkers(search, {}).planner.rounds()).background


# Order of the grid


def shuffle(rng: np.random.Generator, candidates: dict[str, Any]) -> dict[str, Any]:
    """Return the same grid with candidates, parameters and values in another order."""

    def shuffled(items: list[Any]) -> list[Any]:
        return [items[index] for index in rng.permutation(len(items))]

    return {
        name: {key: shuffled(values) for key, values in shuffled(list(space.items()))}
        for name, space in shuffled(list(candidates.items()))
    }


def describe(workers: FakeWorkers) -> dict[str, tuple[object, ...]]:
    """Return everything about each point that a result file contains."""
    return {
        key: (scores.pruned, [(part, dict(score.metrics)) for part, score in scores.parts.items()])
        for key, scores in workers.scores.items()
    }


GRID: dict[str, Any] = {
    "svd": {"n_factors": [2, 4], "n_epochs": [5, 10], "reg_all": [0.1, 0.2]},
    "ease": {"reg": [50, 100, 200]},
    "knn_basic": {"k": [5, 10]},
    "popularity": {},
}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.0, 0.01, 0.05, 0.3]))
def test_order_of_the_grid_changes_neither_the_results_nor_the_choice(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    quality = draw_quality(GRID, lambda: float(rng.normal(0.5, spread)))
    listed = FakeWorkers(make_params(GRID), quality, seed).run()
    shuffled = FakeWorkers(make_params(shuffle(rng, GRID)), quality, seed).run()
    assert describe(shuffled) == describe(listed)
    rankings = [
        [point_key(trial.algorithm, trial.parameters) for trial in rank_trials(workers.trials, "ndcg")]
        for workers in (listed, shuffled)
    ]
    assert rankings[0] == rankings[1]


def draw_quality(grid: dict[str, Any], draw: Callable[[], float]) -> dict[str, float]:
    search = make_params(grid)
    return {
        point_key(name, point): draw()
        for name, space in candidate_spaces(search).items()
        for training in space.enumerate_trainings()
        for point in space.points_of_training(training)
    }
