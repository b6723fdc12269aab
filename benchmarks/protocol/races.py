"""Racing in simulation: how many fits it saves, and how often it has the same winner as the whole evaluation.

users of MovieLens 100K ─ drawn with replacement ─► values of all recipes on three parts
                                                     ├─ rounds of a search ─► winner, fits
                                                     └─ all fits ───────────► best mean

The rounds are planned by the round planner of the search. Only the workers are simulated: instead of fitting
a model, they look up its values.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from benchmarks.protocol.choice_loss import N_SEEDS, load_cuts
from benchmarks.protocol.recipes import CANDIDATES, FULL_GRID, Candidates, expand_candidates
from benchmarks.protocol.user_values import LIST_LENGTH, collect_values, draw_users, prepare_values
from benchmarks.ratings import SEED
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.config.offline import SearchParams
from experiments.evaluation.list_evaluation import SAMPLE_SHARE
from experiments.evaluation.user_intervals import UserValues
from experiments.search.racing import compare_with_leader
from experiments.search.round_planner import PlannedParts, RoundPlanner
from experiments.search.training_result import PointResult, Task, TaskId, TaskResult
from experiments.search.training_space import CandidateSpace, candidate_spaces
from experiments.search.trials import PartScore, point_key, rank_trials
from marquee.array_types import BoolArray, Float32Array, Float64Array, Int32Array
from marquee.seeds import rng_for

N_DRAWS = 300
METRIC = "ndcg"
MAX_FITS, MIN_SAME_WINNER = 0.55, 0.99


@dataclass(frozen=True)
class Race:
    """Outcome of a race.

    Attributes:
        winner: key of the recipe with the best mean among those that were not dropped.
        fit_share: number of fits, as a share of those without racing.
    """

    winner: str
    fit_share: float


def measure_races(share: float) -> ResultRow:
    """Measure the share of fits of a race, and how often it has the winner of the whole evaluation."""
    n_seeds = max(1, round(N_SEEDS * share))
    n_draws = max(1, round(N_DRAWS * share) // n_seeds)  # per seed
    races, losses = [], []
    for seed in range(n_seeds):
        values = _load_values(seed)
        for draw in range(n_draws):
            drawn = draw_users(values, rng_for(SEED, "race", seed, draw))
            means = {recipe.key: drawn.mean(model) for model, recipe in enumerate(FULL_GRID)}
            races.append(race_candidates(drawn, CANDIDATES))
            losses.append(1 - means[races[-1].winner] / max(means.values()))
    return _summarize(races, np.array(losses))


def race_candidates(values: UserValues, candidates: Candidates) -> Race:
    """Run the rounds of a search over a grid.

    Args:
        values: value of each recipe by user and part, in the order of `expand_candidates`.
        candidates: the grid.
    """
    search = SearchParams(
        sampler="grid", n_trials=1, workers=1, experiment="race", metric=METRIC, candidates=candidates
    )
    parts = [np.flatnonzero(values.parts == part) for part in np.unique(values.parts)]
    planned_parts = PlannedParts([values.users[columns] for columns in parts], LIST_LENGTH)
    spaces = candidate_spaces(search)
    planner = RoundPlanner(search, spaces, SEED, parts=planned_parts, has_folds=False)
    n_all_fits = planner.max_tasks
    rows = {recipe.key: row for row, recipe in enumerate(expand_candidates(candidates))}
    results = _Workers(values, rows, spaces).run(planner)
    trials = [
        scores.to_trial(number, point.training.candidate)
        for number, (point, scores) in enumerate(planner.merge(results).items())
    ]
    winner = rank_trials(trials, METRIC)[0]
    return Race(point_key(winner.algorithm, winner.parameters), len(results) / n_all_fits)


@dataclass
class _Workers:
    """Workers that look up the values of a recipe instead of fitting it.

    Attributes:
        values: value of each recipe by user and part. Users are in random order.
        rows: row of each recipe, by its key.
        spaces: search space of every candidate.
        results: results of all tasks so far.
    """

    values: UserValues
    rows: Mapping[str, int]
    spaces: Mapping[str, CandidateSpace]
    results: dict[TaskId, TaskResult] = field(default_factory=dict)

    def run(self, planner: RoundPlanner) -> Mapping[TaskId, TaskResult]:
        """Do all tasks of a search, and return their results."""
        rounds = planner.rounds()
        with suppress(StopIteration):
            planned = next(rounds)
            while True:
                self.results |= {task.id: self._run_task(task) for task in planned.tasks}
                planned = rounds.send(self.results)
        return self.results

    def _run_task(self, task: Task) -> TaskResult:
        return TaskResult(tuple(self._score(task, number) for number in task.points))

    def _score(self, task: Task, number: int) -> PointResult:
        """Return the score of a point; only that of the sample if it is clearly worse than the leader."""
        columns = self.values.parts == task.id.part
        values = self.values.values[self._row(task, number), columns]
        if task.leader is None:
            return PointResult(number, part=_make_score(values))
        leader = self.results[TaskId(task.leader.training, task.id.part)].find_point(task.leader.point)
        assert leader.part is not None, "the leader is a point that was scored on this part"
        users = self.values.users[columns]
        sample = np.where(self._is_sampled(users), values, np.float32(np.nan))
        if compare_with_leader(leader.part.user_values[METRIC], sample, users).is_clear:
            return PointResult(number, part=_make_score(sample), pruned="worse on a sample of the users")
        return PointResult(number, part=_make_score(values))

    def _row(self, task: Task, number: int) -> int:
        candidate = task.id.training.candidate
        points = self.spaces[candidate].points_of_training(task.parameters)
        return self.rows[point_key(candidate, points[number])]

    def _is_sampled(self, users: Int32Array) -> BoolArray:
        return np.asarray(users < SAMPLE_SHARE * (self.values.users.max() + 1))


def _make_score(values: Float32Array) -> PartScore:
    n_users = int(np.count_nonzero(~np.isnan(values)))
    mean = float(np.nanmean(values, dtype=np.float64))
    return PartScore({METRIC: mean}, n_users, {METRIC: values}, model_bytes=0, fit_seconds=0, list_seconds=0)


def _summarize(races: list[Race], losses: Float64Array) -> ResultRow:
    fits, same = float(np.mean([race.fit_share for race in races])), float(np.mean(losses == 0))
    is_reached = fits <= MAX_FITS and same >= MIN_SAME_WINNER
    note = (
        f"target {MAX_FITS:.0%} with the same winner in {MIN_SAME_WINNER:.0%} "
        f"{format_check_mark(is_reached)}; same winner in {same:.1%}, highest loss {losses.max():.2%}; "
        f"at most {max(race.fit_share for race in races):.0%} of the fits; {len(FULL_GRID)} recipes"
    )
    return ResultRow("racing", 100 * fits, "% of the fits", len(races), note)


def _load_values(seed: int) -> UserValues:
    cuts = load_cuts(seed)
    prepare_values(cuts.parts, FULL_GRID)
    return collect_values(cuts.parts, FULL_GRID)
