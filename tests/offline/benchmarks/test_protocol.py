"""Simulations of the protocol: cuts, stored values, samples of users, races, and random lists."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.fold_tables import generate_toy_ratings
from benchmarks.protocol import user_values
from benchmarks.protocol.__main__ import PARTS
from benchmarks.protocol.choice_loss import (
    best_of_other_seeds,
    choose_by_one_standard_error,
    choose_for_seed,
    jackknife_error,
    loss_in_hindsight,
    loss_on_own_parts,
    mean_loss,
)
from benchmarks.protocol.constant_scorer import expected_ndcg_of_random_lists
from benchmarks.protocol.half_width import width_with_more_parts
from benchmarks.protocol.races import race_candidates
from benchmarks.protocol.recipes import (
    CANDIDATES,
    FULL_GRID,
    SAMPLE_GRID,
    Recipe,
    expand_candidates,
    expand_grid,
)
from benchmarks.protocol.selections import DrawChoices, Draws, SeedValues
from benchmarks.protocol.truth import summarize_taus
from benchmarks.protocol.user_samples import N_USERS, Pair, are_neighbors, sample_users
from benchmarks.protocol.user_values import collect_values, cut_at_random, draw_users, load_values
from experiments.evaluation.fold_intervals import MeanInterval
from experiments.evaluation.user_intervals import UserInterval, UserValues
from marquee.interactions.columns import ITEM, RATING, USER
from marquee.interactions.matrix import InteractionMatrix
from marquee.metrics.ranking import RelevantItems, find_hits, ndcg

POPULARITY = Recipe("popularity", {"threshold": 4.0})
BASELINE = Recipe("baseline_only", {})


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_values, "CACHE", tmp_path)


def make_values(values: list[list[float]], parts: list[int], users: list[int]) -> UserValues:
    return UserValues(np.array(values, np.float32), np.array(parts, np.int8), np.array(users, np.int32))


# Cuts and values


def test_parts_are_disjoint_and_leave_the_test_part_out() -> None:
    ratings = generate_toy_ratings()
    cuts = cut_at_random("toy", ratings, seed=3)
    n_part = round(len(ratings) * 0.1)
    held_out = [cut.held_out for cut in (cuts.test, *cuts.parts)]
    assert [len(rows) for rows in held_out] == [n_part] * 4
    assert len(np.unique(np.concatenate(held_out))) == 4 * n_part
    everything = set(range(len(ratings)))
    assert set(cuts.test.train) == everything - set(cuts.test.held_out)
    for cut in (*cuts.parts, *cuts.folds):
        assert set(cut.train) == everything - set(cuts.test.held_out) - set(cut.held_out)
    assert set(np.concatenate([cut.held_out for cut in cuts.folds])) == set(cuts.test.train)


def test_values_are_computed_once() -> None:
    cut = cut_at_random("toy", generate_toy_ratings(), seed=0).test
    first = load_values(cut, POPULARITY)
    (path,) = user_values.CACHE.rglob("*.npy")
    np.save(path, first + 1)
    assert np.array_equal(load_values(cut, POPULARITY), first + 1, equal_nan=True)


def test_values_have_a_column_for_each_user_with_a_relevant_item() -> None:
    ratings = generate_toy_ratings()
    cuts = cut_at_random("toy", ratings, seed=0)
    values = collect_values(cuts.parts, [POPULARITY, BASELINE])
    users = ratings[USER].unique()
    for number, cut in enumerate(cuts.parts):
        held_out, train = ratings.iloc[cut.held_out], ratings.iloc[cut.train]
        expected = set(held_out[USER][held_out[RATING] >= 4]) & set(train[USER])
        assert set(users[values.users[values.parts == number]]) == expected
    assert values.is_complete.all()
    rated = collect_values(cuts.parts, [POPULARITY, BASELINE], "rated_ndcg")
    assert np.array_equal(rated.users, values.users)


def test_choices_of_a_seed_are_recipes_with_a_test_value() -> None:
    result = choose_for_seed(cut_at_random("toy", generate_toy_ratings(), seed=0), [BASELINE, POPULARITY])
    assert {result.by_rule, result.by_mean, result.by_folds} <= {0, 1}
    assert result.by_rule == result.by_mean  # so few users leave the choice to the mean
    assert ((result.test_means >= 0) & (result.test_means <= 1)).all()


def test_losses_match_hand_computation() -> None:
    test_means = np.array([[0.5, 0.4, 0.1], [0.3, 0.4, 0.1], [0.4, 0.3, 0.1]])  # means 0.4, 0.3667, 0.1
    assert mean_loss(test_means, [0, 0, 0]) == pytest.approx(0)
    assert mean_loss(test_means, [0, 1, 0]) == pytest.approx(0.1 / 3 / 3 / 0.4)
    assert loss_on_own_parts(test_means, [0, 1, 0]) == pytest.approx(1 - 1.3 / 1.2)  # lucky parts
    assert loss_in_hindsight(test_means, [1, 1, 1]) == pytest.approx((0.2 + 0 + 0.25) / 3)
    assert best_of_other_seeds(test_means) == [0, 0, 0]
    assert best_of_other_seeds(test_means[:2]) == [1, 0]


def test_jackknife_error_of_a_mean_is_its_standard_error() -> None:
    values = np.array([[0.9, 1.0], [0.8, 1.0], [0.4, 1.0]])
    error = jackknife_error(loss_on_own_parts, values, [0, 0, 0])
    assert error == pytest.approx(np.std(values[:, 0], ddof=1) / 3**0.5)


def test_one_standard_error_takes_the_cheapest_recipe_near_the_best() -> None:
    recipes = list(expand_grid("svd", n_factors=[100, 50, 20]))
    means = np.array([[0.30, 0.33, 0.36], [0.31, 0.32, 0.33], [0.30, 0.30, 0.30]])
    assert choose_by_one_standard_error(means, recipes) == 1  # 0.33, 0.32 and 0.30; the error is 0.0173
    assert choose_by_one_standard_error(means[::2], recipes[::2]) == 0


def test_recipes_of_the_grids_exist_and_differ() -> None:
    for grid in (FULL_GRID, SAMPLE_GRID):
        assert len({recipe.key for recipe in grid}) == len(grid)
        assert all(recipe.create(0) for recipe in grid)


# Samples of users


def test_ten_samples_have_no_user_in_common() -> None:
    ratings = pd.DataFrame({USER: np.repeat(np.arange(6040), 2), ITEM: 0, RATING: 5.0})
    samples = [set(sample_users(ratings, number)[USER]) for number in range(11)]
    assert {len(users) for users in samples} == {N_USERS}
    assert len(set.union(*samples[:10])) == 10 * N_USERS
    assert samples[0] & samples[10]


def test_coverage_and_error_of_a_pair_match_hand_computation() -> None:
    independence = np.sqrt(1 - 600 / 6040)
    means = [0.01 + deviation * independence for deviation in (-0.003, 0.0, 0.003)]
    intervals = tuple(UserInterval(mean, mean - 0.002, mean + 0.002, 0.0011, 600) for mean in means)
    pair = Pair(0.01, intervals, tuple(MeanInterval(mean, mean - 0.02, mean + 0.02) for mean in means))
    assert pair.deviations == pytest.approx([-0.003, 0.0, 0.003])
    assert pair.coverage == pytest.approx(1 / 3)
    assert pair.error_ratio == pytest.approx(0.003 / 0.001)
    assert pair.power(0.004, pair.half_widths) == pytest.approx(2 / 3)  # 0.001, 0.004 and 0.007
    assert pair.power(0.004, pair.half_widths_by_part) == 0


def test_neighbors_differ_by_a_factor_of_two_in_one_parameter() -> None:
    first, second, third = expand_grid("ease", reg=[100, 200, 400], threshold=[4.0], dtype=["float32"])
    assert are_neighbors(first, second)
    assert are_neighbors(third, second)
    assert not are_neighbors(first, third)
    assert not are_neighbors(first, Recipe("ease", {"reg": 200, "threshold": 1.0, "dtype": "float32"}))
    assert not are_neighbors(first, POPULARITY)


@pytest.mark.parametrize(
    ("user_spread", "part_spread", "expected"), [(0.0, 1.0, (3 / 12) ** 0.5), (1.0, 0.0, 1.0)]
)
def test_more_parts_narrow_intervals_if_parts_differ(
    user_spread: float, part_spread: float, expected: float
) -> None:
    rng = np.random.default_rng(0)
    values = user_spread * rng.normal(0, 1, (1, 20_000)) + part_spread * rng.normal(0, 1, (3, 20_000))
    table = UserValues(
        np.stack([values.reshape(-1), np.zeros(60_000)]).astype(np.float32),
        np.repeat([0, 1, 2], 20_000).astype(np.int8),
        np.tile(np.arange(20_000), 3).astype(np.int32),
    )
    assert width_with_more_parts(table, 0, 1, 12) == pytest.approx(expected, rel=0.03)


# Races


def test_drawn_users_keep_all_their_values() -> None:
    values = make_values([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], parts=[0, 0, 1], users=[7, 9, 9])
    drawn = draw_users(values, np.random.default_rng(0))
    assert len(np.unique(drawn.users)) == 2
    for user in np.unique(drawn.users):
        columns = drawn.values[:, drawn.users == user].T.tolist()
        assert columns in (values.values[:, :1].T.tolist(), values.values[:, 1:].T.tolist())


def make_race_values(means: list[float], noise: float, seed: int = 0) -> UserValues:
    """Return values of 300 users on three parts for recipes with these means."""
    rng = np.random.default_rng(seed)
    ability = np.tile(rng.normal(0, 0.3, 300), 3)
    values = np.array(means)[:, None] + ability + rng.normal(0, noise, (len(means), 900))
    return UserValues(
        values.astype(np.float32),
        np.repeat([0, 1, 2], 300).astype(np.int8),
        np.tile(np.arange(300), 3).astype(np.int32),
    )


def test_race_stops_recipes_that_are_clearly_worse() -> None:
    candidates = {"ease": {"reg": [1, 2, 3]}, "popularity": {}}
    race = race_candidates(make_race_values([0.5, 0.1, 0.495, 0.2], 0.1), candidates)
    assert race.fit_share == (3 + 1 + 3 + 3) / 12  # popularity is never dropped
    assert race.winner in {'ease {"reg": 1}', 'ease {"reg": 3}'}


def test_race_between_equal_recipes_has_nearly_all_fits() -> None:
    race = race_candidates(make_race_values([0.5] * 4, 0.2), {"ease": {"reg": [1, 2, 3, 4]}})
    assert race.fit_share == 1


def test_race_counts_one_fit_for_recipes_that_are_trained_together() -> None:
    candidates = {"svd": {"n_epochs": [5, 10], "n_factors": [2, 4]}}
    recipes = [recipe.key for recipe in expand_candidates(candidates)]
    means = [0.1 if '"n_epochs": 5, "n_factors": 2' in key else 0.5 for key in recipes]
    assert race_candidates(make_race_values(means, 0.1), candidates).fit_share == 1
    means = [0.1 if '"n_factors": 2' in key else 0.5 for key in recipes]
    assert race_candidates(make_race_values(means, 0.1), candidates).fit_share == (3 + 1) / 6


def test_race_has_the_winner_of_the_whole_evaluation() -> None:
    rng = np.random.default_rng(3)
    candidates = {"ease": {"reg": list(range(1, 15))}, "svd": {"n_factors": list(range(1, 7))}}
    recipes = list(expand_candidates(candidates))
    for seed in range(20):
        values = make_race_values(rng.normal(0.4, 0.05, len(recipes)).tolist(), 0.2, seed)
        best = max(range(len(recipes)), key=values.mean)
        assert race_candidates(values, candidates).winner == recipes[best].key


def test_full_grid_is_that_of_the_candidates() -> None:
    assert tuple(expand_candidates(CANDIDATES)) == FULL_GRID


# Selections


def test_draws_have_the_same_users_for_both_metrics() -> None:
    values = make_race_values([0.5, 0.4], 0.1)
    drawn = SeedValues(values, values, values, np.array([0.5, 0.4])).draw(np.random.default_rng(1))
    assert np.array_equal(drawn.values.values, drawn.rated.values)
    assert not np.array_equal(drawn.values.values, values.values)


def test_wrong_share_counts_losses_above_the_margin() -> None:
    losses = np.array([[0.0, 0.02], [0.005, 0.0]])
    choices = [DrawChoices(explicit, 0, 0, 0, 0) for explicit in (0, 1, 0, 1)]
    draws = Draws(losses, np.array([0.03, 0.0]), [0, 0, 1, 1], choices)
    assert draws.wrong_share("explicit") == 0.25
    assert draws.wrong_share("implicit") == 0
    assert draws.wrong_shares_by_seed("explicit") == [0.5, 0]
    assert draws.wrong_share_on_test("explicit") == 0.5


# Random lists


def test_expected_ndcg_of_random_lists_is_the_mean_over_all_lists() -> None:
    ratings = pd.DataFrame({USER: [0, 0, 1], ITEM: [0, 1, 2], RATING: 5.0})
    more_items = pd.DataFrame({USER: 2, ITEM: [3, 4], RATING: 5.0})
    matrix = InteractionMatrix.from_frame(pd.concat([ratings, more_items]))
    relevant = RelevantItems.from_pairs(
        np.array([0, 0, 0], np.int32), np.array([2, 4, -1], np.int32), matrix.n_users
    )
    expected = expected_ndcg_of_random_lists(matrix, relevant, 2)
    values = []
    for items in permutations([2, 3, 4], 2):  # user 0 has seen items 0 and 1
        lists = np.array([items, (0, 1), (0, 1)], dtype=np.int32)
        values.append(ndcg(find_hits(lists, relevant), 2)[0])
    assert expected.tolist() == pytest.approx([np.mean(values)])


# Truth


def test_truth_row_marks_the_target() -> None:
    reached, missed = summarize_taus([0.8, 0.9], [0.1, 0.3]), summarize_taus([0.6], [0.2])
    assert (reached.what, reached.n) == ("truth", 2)
    assert (reached.ours, reached.peer) == pytest.approx((0.85, 0.2))
    assert "target 0.7 ✓; 0.80 to 0.90" in reached.note
    assert "✗" in missed.note


def test_every_bar_of_the_protocol_has_a_part() -> None:
    assert set(PARTS) == {
        "choice loss", "factor ladder", "coverage", "power", "half-width", "selection", "racing",
        "constant scorer", "truth",
    }  # fmt: skip
