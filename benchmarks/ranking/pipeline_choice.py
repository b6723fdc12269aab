"""Choice of the pipeline: its search on validation parts of the training interactions, and its rule.

    80% ─ three validation parts ─► search ─► selection rule ─► recipe ─┬─► NDCG@10
    80% ──────────────────────────────────────────────── refit ◄────────┤
    20% ─────────────────────────────────────────────────────── lists ◄─┘

The held-out 20% are used once, for the lists of the refitted recipe. Candidates are those of params.yaml that
rank, with the default spaces of the kind of feedback.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.ranking.peers import best_implicit_als
from benchmarks.ranking.task import RELEVANCE_THRESHOLD, N, RankingTask, load_task
from benchmarks.ratings import RATING_SCALE, SEED
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.config import Params, load_params
from experiments.config.offline import SearchParams
from experiments.evaluation.parts import PartSource
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.default_spaces import resolve_default_spaces
from experiments.search.run import SearchOutcome, run_search
from experiments.search.specification import SearchSpec
from experiments.search.storage import JOURNAL
from experiments.search.training_space import select_rankers
from experiments.search.trials import Trial
from experiments.search.user_scores import UserScores
from marquee.algorithms.base import Algorithm
from marquee.algorithms.registry import find_algorithm
from marquee.interactions.columns import FeedbackType
from marquee.interactions.parts import N_VALIDATION_PARTS, TRAIN_ONLY, Cut
from marquee.interactions.splitting import shuffle_rows
from marquee.model.recipe import Recipe
from marquee.seeds import seed_for
from pipelines.support.recommender_choice import compare_trials

PART_SHARE = 0.125  # of the training interactions: 10% of all, as in params.yaml
WORKERS = 2
MAX_SEARCH_SECONDS = 600.0


@dataclass(frozen=True)
class QualityTarget:
    """Target of a row: data set, kind of feedback, and the NDCG@10 to reach."""

    data: str
    feedback: FeedbackType
    row: str
    ndcg: float


TARGETS = (
    QualityTarget("ml-1m", "explicit", "ml-1m ndcg@10", 0.380),
    QualityTarget("ml-100k", "explicit", "ml-100k ndcg@10", 0.390),
    QualityTarget("ml-1m", "implicit", "ml-1m implicit ndcg@10", 0.42),
)


@dataclass(frozen=True)
class PipelineChoice:
    """Result of a search, and the recipe that the selection rule chose.

    Attributes:
        task: the task whose training interactions were searched.
        recipe: the choice.
        trials: all trials.
        winner: the chosen trial.
        seconds: duration of the search.
    """

    task: RankingTask
    recipe: Recipe
    trials: Sequence[Trial]
    winner: Trial
    seconds: float

    @property
    def best_trials(self) -> Mapping[str, Trial]:
        """Trial of each algorithm with the best mean NDCG, of those that were scored on most parts."""
        scored = [trial for trial in self.trials if trial.parts and trial.failure is None]
        worst_first = sorted(
            scored, key=lambda trial: (trial.has_lists, len(trial.parts), _validation_ndcg(trial))
        )
        return {trial.algorithm: trial for trial in worst_first}


def measure_choices(*, is_quick: bool) -> Iterator[ResultRow]:
    """Measure the NDCG@10 of the choice, beside that of the best ALS of implicit; time the search."""
    for target in TARGETS:
        choice = choose_recipe(target.data, target.feedback, is_quick=is_quick)
        ours = choice.task.score(fit_recipe(choice.recipe, choice.task))
        peer = best_implicit_als(target.data, target.feedback, is_quick=is_quick)
        note = (
            f"target {target.ndcg} {format_check_mark(ours >= target.ndcg)}; {choice.winner.label}; on the "
            f"validation parts {_validation_ndcg(choice.winner):.4f}; peer: implicit's ALS, {peer.label}"
        )
        n_users = int(np.count_nonzero(choice.task.relevant.counts))
        yield ResultRow(target.row, ours, "1", n_users, note, peer=peer.ndcg, ratio=ours / peer.ndcg)
    yield _make_search_row(is_quick=is_quick)


def _make_search_row(*, is_quick: bool) -> ResultRow:
    choice = choose_recipe("ml-1m", "explicit", is_quick=is_quick)
    mark = format_check_mark(choice.seconds <= MAX_SEARCH_SECONDS)
    target = f"target {MAX_SEARCH_SECONDS:g} s {mark}; peer: the target"
    note = f"{'quick: one point of each space' if is_quick else target}; {WORKERS} workers"
    peer = None if is_quick else MAX_SEARCH_SECONDS
    ratio = None if peer is None else peer / choice.seconds
    return ResultRow("ranking search", choice.seconds, "s", len(choice.trials), note, peer=peer, ratio=ratio)


@cache
def choose_recipe(data: str, feedback: FeedbackType, *, is_quick: bool) -> PipelineChoice:
    """Search the candidates on validation parts of a data set, and choose the recommender."""
    return choose_for_task(load_task(data, feedback), load_params(), is_quick=is_quick)


def choose_for_task(task: RankingTask, params: Params, *, is_quick: bool) -> PipelineChoice:
    """Search the candidates of `params` on validation parts of a task, and choose the recommender."""
    search = make_search_params(params.search, task.feedback, is_quick=is_quick)
    with TemporaryDirectory() as folder:
        spec = _write_spec(search, task, Path(folder))
        start = time.perf_counter()
        outcome = run_search(spec, lambda _: None)
        seconds = time.perf_counter() - start
    winner = _choose_winner(params, spec, outcome, task.feedback)
    seed = seed_for(SEED, "fit", winner.algorithm)
    recipe = Recipe(winner.algorithm, winner.parameters, seed)
    return PipelineChoice(task, recipe, outcome.trials, winner, seconds)


def make_search_params(search: SearchParams, feedback: FeedbackType, *, is_quick: bool) -> SearchParams:
    """Return the parameters of the search: the candidates that rank; quick: one point of each space."""
    scale = RATING_SCALE if feedback == "explicit" else None
    rankers = resolve_default_spaces(select_rankers(search), scale, is_ordered=False)
    spaces = {name: shrink_space(space) if is_quick else space for name, space in rankers.spaces.items()}
    return rankers.model_copy(update={"candidates": spaces, "workers": WORKERS, "storage": JOURNAL})


def shrink_space(space: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the middle value of each parameter.

    >>> shrink_space({"reg": [50, 100, 200], "weighting": ["binary", "linear"]})
    {'reg': [100], 'weighting': ['linear']}
    """
    return {
        name: [values[len(values) // 2]] if isinstance(values, list) else values
        for name, values in space.items()
    }


def fit_recipe(recipe: Recipe, task: RankingTask) -> Algorithm:
    """Fit a recipe on all training interactions of a task."""
    algorithm = find_algorithm(recipe.algorithm).create(recipe.parameters, recipe.seed)
    algorithm.fit(task.matrix)
    return algorithm


def _write_spec(search: SearchParams, task: RankingTask, folder: Path) -> SearchSpec:
    """Write the training interactions with their validation parts, and return the specification."""
    rows, split = folder / "rows.parquet", folder / "split.json"
    cut = cut_validation_parts(len(task.train))
    cut.training_rows(task.train).to_parquet(rows, index=False)
    split.write_text(json.dumps({"strategy": cut.strategy, "repeat": "exclude"}), encoding="utf-8")
    is_explicit = task.feedback == "explicit"
    source = PartSource(rows, split, "last" if is_explicit else "sum", RATING_SCALE if is_explicit else None)
    protocol = EvaluationProtocol(N, RELEVANCE_THRESHOLD if is_explicit else 0.0, is_graded=not is_explicit)
    return SearchSpec(search, None, source, protocol, SEED, folder)


def cut_validation_parts(n_rows: int) -> Cut:
    """Assign random rows to three validation parts; all others only train."""
    part = np.full(n_rows, TRAIN_ONLY, dtype=np.int8)
    size = round(PART_SHARE * n_rows)
    for number, start in enumerate(range(0, N_VALIDATION_PARTS * size, size)):
        part[shuffle_rows(n_rows, SEED)[start : start + size]] = number
    return Cut("random", part, np.zeros(n_rows, dtype=bool))


def _choose_winner(params: Params, spec: SearchSpec, outcome: SearchOutcome, feedback: FeedbackType) -> Trial:
    scores = UserScores.from_trials(outcome.trials, outcome.columns, spec.metric.user_metric)
    return compare_trials(params, outcome.trials, {}, scores, feedback).winner


def _validation_ndcg(trial: Trial) -> float:
    return trial.mean("ndcg")
