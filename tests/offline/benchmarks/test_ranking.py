"""Benchmark of ranking: task, validation parts, learning curves, new interactions, and generated data."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.ranking import freshness
from benchmarks.ranking.algorithms import list_rankers, measure_ranker
from benchmarks.ranking.batch import run_command
from benchmarks.ranking.freshness import NewInteractions
from benchmarks.ranking.large_jobs import generate_interactions
from benchmarks.ranking.models import write_ranker
from benchmarks.ranking.peers import EpochClock, LearningCurve
from benchmarks.ranking.pipeline_choice import (
    choose_for_task,
    cut_validation_parts,
    fit_recipe,
    make_search_params,
)
from benchmarks.ranking.speed import EASE_REG, compare_times, fit_numpy_ease
from benchmarks.ranking.task import RankingTask, build_task
from experiments.config import load_params
from marquee.algorithms.ease import EASE
from marquee.interactions.columns import ITEM, RATING, USER, WEIGHT
from marquee.interactions.parts import TRAIN_ONLY
from marquee.model.recipe import Recipe

N_USERS, N_ITEMS = 40, 30
POPULARITY = Recipe("popularity", {}, 0)


@pytest.fixture(scope="module")
def task() -> RankingTask:
    """Every user rated half of the items; those of the own parity are liked."""
    rng = np.random.default_rng(0)
    pairs = [(user, item) for user in range(N_USERS) for item in rng.choice(N_ITEMS, N_ITEMS // 2, False)]
    users, items = map(np.array, zip(*pairs, strict=True))
    ratings = np.where((users + items) % 2 == 0, 5.0, 2.0)
    table = pd.DataFrame({USER: users.astype(str), ITEM: items.astype(str), RATING: ratings})
    return build_task(table, "explicit")


def test_a_fifth_of_the_ratings_is_held_out_and_only_liked_ones_are_relevant(task: RankingTask) -> None:
    assert len(task.train) == 0.8 * N_USERS * N_ITEMS // 2
    for user in range(task.matrix.n_users):
        user_number = int(task.matrix.user_ids[user])
        start, stop = task.relevant.indptr[user : user + 2]
        items = [int(task.matrix.item_ids[item]) for item in task.relevant.items[start:stop]]
        assert all((user_number + item) % 2 == 0 for item in items)
    assert task.liked.sum() == (task.matrix.values == 5).sum()
    assert task.seen.sum() == len(task.train)


def test_without_ratings_all_held_out_items_are_relevant(task: RankingTask) -> None:
    table = task.train.drop(columns=RATING).assign(**{WEIGHT: 1.0})
    implicit = build_task(table, "implicit")
    assert len(implicit.relevant.items) == len(table) - len(implicit.train)
    assert implicit.liked.sum() == len(implicit.train)


def test_ranker_that_knows_the_taste_scores_higher_than_popularity(task: RankingTask) -> None:
    measured = measure_ranker(Recipe("ease", {"reg": 1.0}, 0), task)
    assert measured.ndcg > 1.2 * measure_ranker(POPULARITY, task).ndcg
    assert task.score(fit_recipe(Recipe("ease", {"reg": 1.0}, 0), task)) == measured.ndcg


def test_formula_in_numpy_gives_the_weights_of_ease(task: RankingTask) -> None:
    ease = EASE(reg=EASE_REG)
    ease.fit(task.matrix)
    np.testing.assert_allclose(fit_numpy_ease(task), ease.weights, atol=1e-6)


def test_validation_parts_are_disjoint_and_leave_most_rows_to_train() -> None:
    part = cut_validation_parts(80).part
    assert [int((part == number).sum()) for number in (TRAIN_ONLY, 0, 1, 2)] == [50, 10, 10, 10]


@pytest.mark.parametrize("feedback", ["explicit", "implicit"])
def test_search_contains_the_rankers_of_the_project(feedback: str) -> None:
    search = load_params().search
    full = make_search_params(search, feedback, is_quick=False)  # type: ignore[arg-type]
    quick = make_search_params(search, feedback, is_quick=True)  # type: ignore[arg-type]
    assert set(full.candidates) == set(quick.candidates) == set(search.candidates) & set(list_rankers())
    assert all(len(values) == 1 for space in quick.spaces.values() for values in space.values())  # type: ignore[arg-type]
    assert any(len(values) > 1 for space in full.spaces.values() for values in space.values())  # type: ignore[arg-type]


@pytest.mark.slow
def test_choice_is_the_better_candidate(task: RankingTask) -> None:
    params = load_params()
    candidates = {"popularity": {}, "ease": {"reg": [1.0]}}
    search = params.search.model_copy(update={"candidates": candidates, "blend": None})
    choice = choose_for_task(task, params.model_copy(update={"search": search}), is_quick=False)
    assert choice.recipe.algorithm == "ease"
    assert choice.recipe.parameters == {"reg": 1.0}
    assert choice.best_trials.keys() == {"popularity", "ease"}


def test_clock_of_a_learning_curve_stands_still_during_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = itertools.count(0.0, 1.0)
    monkeypatch.setattr("benchmarks.ranking.peers.perf_counter", lambda: next(readings))
    curve = LearningCurve("model")
    clock = EpochClock(curve)
    for value in (0.1, 0.2, 0.3):
        clock.stop()
        clock.resume(value)
    assert curve.seconds == [1.0, 2.0, 3.0]
    assert (curve.ndcg, curve.seconds_to_reach(0.2)) == (0.3, 2.0)
    assert curve.seconds_to_reach(0.4) == np.inf


def test_new_interactions_are_five_of_each_sampled_user(task: RankingTask) -> None:
    new = NewInteractions.draw(task, 8)
    rows = task.train[new.is_new]
    assert rows.groupby(USER).size().tolist() == [freshness.N_NEW] * 8
    assert set(rows[USER]) == {task.matrix.user_ids[user] for user in new.users}
    assert len(new.known_matrix.items) == len(task.train) - 8 * freshness.N_NEW


def test_overlap_is_high_if_new_interactions_do_not_change_the_model(task: RankingTask) -> None:
    overlaps = NewInteractions.draw(task, 8).measure_overlaps(Recipe("ease", {"reg": 1000.0}, 0))
    assert overlaps.shape == (8,)
    assert 0.7 < overlaps.mean() <= 1


def test_generated_interactions_are_distinct_and_reproducible() -> None:
    table = generate_interactions(20_000, 2000, 500)
    assert len(table) == len(table.drop_duplicates([USER, ITEM])) == 20_000
    assert table[USER].max() < 2000
    assert table[ITEM].max() < 500
    pd.testing.assert_frame_equal(table, generate_interactions(20_000, 2000, 500))


def test_ratio_above_one_means_that_marquee_is_faster() -> None:
    row = compare_times("EASE", [1.0, 2.0, 3.0], [8.0], 2.0, "note")
    assert (row.ours, row.peer, row.ratio) == (2.0, 8.0, 4.0)
    assert row.note == "target 2x ✓; note"
    assert compare_times("EASE", [1.0], [1.5], 2.0, "").note == "target 2x ✗; "


@pytest.mark.slow
def test_command_is_measured_in_its_own_process(task: RankingTask, tmp_path: Path) -> None:
    write_ranker(tmp_path / "model", fit_recipe(POPULARITY, task), POPULARITY, task.matrix)
    run = run_command(tmp_path / "model", "csv")
    assert 0 < run.work < run.process
    assert run.private_mb > 1
