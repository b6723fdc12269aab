"""Selection of the recommender: leader, non-inferior trials, budgets, popularity, and the order of trials."""

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.evaluation.user_intervals import MIN_USERS, UserValues
from experiments.selection.recommender_rule import Budget, RecommenderTrials, choose_recommender
from marquee.errors import ConfigError, DataError, MarqueeError
from marquee.interactions.columns import FeedbackType
from tests.support.recommender_trials import make_trials, to_user_values

MARGIN = 0.01


def winner_of(trials: RecommenderTrials, feedback: FeedbackType = "explicit") -> int:
    return choose_recommender(trials, feedback, MARGIN).winner.trial


def test_best_mean_wins_if_the_others_are_worse_than_the_margin() -> None:
    trials = make_trials([0.300, 0.310, 0.306], rated=[0.9, 0.7, 0.9], costs=[1, 9, 1])
    for feedback in ("explicit", "implicit"):
        choice = choose_recommender(trials, feedback, MARGIN)
        assert choice.winner == choice.leader
        assert choice.winner.trial == 1
        assert choice.is_leader_preferred
        assert [contender.trial for contender in choice.contenders] == [1, 2, 0]
        assert [contender.trial for contender in choice.non_inferior] == [1]


def test_explicit_feedback_prefers_the_best_order_of_rated_items() -> None:
    trials = make_trials([0.310, 0.308, 0.309], rated=[0.80, 0.85, 0.82])
    choice = choose_recommender(trials, "explicit", MARGIN)
    assert (choice.winner.trial, choice.leader.trial) == (1, 0)
    assert not choice.is_leader_preferred
    assert choice.winner.loss.mean == pytest.approx(0.002, rel=1e-4)
    assert choice.winner.max_relative_loss == pytest.approx(0.002 / 0.310, rel=1e-3)


def test_implicit_feedback_prefers_the_cheapest() -> None:
    trials = make_trials([0.310, 0.308, 0.309], rated=[0.80, 0.85, 0.82], costs=[5.0, 3.0, 2.0])
    assert winner_of(trials, "implicit") == 2


def test_unknown_rated_values_and_costs_are_no_advantage() -> None:
    trials = make_trials([0.310, 0.309], rated=[0.8, nan], costs=[5.0, nan])
    assert winner_of(trials, "explicit") == 0
    assert winner_of(trials, "implicit") == 0
    assert winner_of(replace(trials, rated_values=[nan, nan]), "explicit") == 0


def test_trial_that_may_be_worse_than_the_margin_is_not_non_inferior() -> None:
    certain = make_trials([0.310, 0.309], rated=[0.8, 0.9], spread=0.001)
    uncertain = make_trials([0.310, 0.309], rated=[0.8, 0.9], spread=0.1)
    assert winner_of(certain) == 1
    assert winner_of(uncertain) == 0
    contender = choose_recommender(uncertain, "explicit", MARGIN).contenders[1]
    # 1.1 sqrt(2 * 0.1^2 / 3 / 300) = 0.0052, and t(0.95, 299) = 1.65: 0.001 + 0.0086, or 3% of 0.31
    assert contender.max_relative_loss == pytest.approx(0.031, abs=0.002)


def test_too_few_users_leave_the_choice_to_the_mean() -> None:
    enough, few = (
        make_trials([0.310, 0.3099], rated=[0.8, 0.9], n_users=n) for n in (MIN_USERS, MIN_USERS - 1)
    )
    assert winner_of(enough) == 1
    assert winner_of(few) == 0
    assert choose_recommender(few, "explicit", MARGIN).contenders[1].max_relative_loss == inf


def test_margin_of_zero_keeps_the_leader_and_its_equals() -> None:
    trials = make_trials([0.310, 0.310, 0.3099], rated=[0.7, 0.8, 0.9])
    assert choose_recommender(trials, "explicit", 0.0).winner.trial == 1


def test_trials_that_recommend_nothing_relevant_are_equal() -> None:
    assert winner_of(make_trials([0.0, 0.0], rated=[0.7, 0.8])) == 1


def test_equal_trials_are_ordered_by_cost_and_then_by_key() -> None:
    assert winner_of(make_trials([0.3, 0.3, 0.3], costs=[2.0, 1.0, 1.0])) == 1


def test_runner_up_is_the_best_of_another_algorithm() -> None:
    algorithms = ["ease", "ease", "svd", "implicit_als", "implicit_als"]
    choice = choose_recommender(
        make_trials([0.4, 0.39, 0.1, 0.2, 0.3], algorithms=algorithms), "explicit", MARGIN
    )
    assert choice.runner_up is not None
    assert choice.runner_up.trial == 4
    assert choose_recommender(make_trials([0.4, 0.3]), "explicit", MARGIN).runner_up is None


# Trials without all values


def test_trial_that_lacks_values_cannot_win() -> None:
    trials = make_trials([0.3, 0.4, 0.5])
    values = trials.values.values.copy()
    values[1, :10] = nan  # evaluated on a sample only
    values[2] = nan  # failed
    incomplete = replace(trials, values=UserValues(values, trials.values.parts, trials.values.users))
    choice = choose_recommender(incomplete, "explicit", MARGIN)
    assert (choice.winner.trial, choice.n_trials, choice.n_dropped) == (0, 3, 2)


@pytest.mark.parametrize("losses", [[nan, -1.0, -2.0], [-1.0, nan, -2.0], [-2.0, -1.0, nan]])
def test_trial_without_one_of_several_metrics_cannot_win(losses: list[float]) -> None:
    trials = replace(make_trials([0.3, 0.4, 0.5]), losses=losses)
    ranked = trials.rank()
    assert [losses[trial] for trial in ranked] == [-2.0, -1.0]
    choice = choose_recommender(trials, "explicit", MARGIN)
    assert (choice.winner.trial, choice.n_dropped) == (losses.index(-2.0), 1)


def test_error_without_any_lists_names_the_file_with_the_reasons() -> None:
    trials = make_trials([nan, nan])
    with pytest.raises(ConfigError, match=r"no trial has lists .* results/search\.json has the reasons"):
        choose_recommender(trials, "explicit", MARGIN)


# Budgets


def seconds(limit: float, *costs: float) -> Budget:
    return Budget("a fit takes", "s", limit, costs)


def test_better_trial_over_a_budget_is_skipped_and_named() -> None:
    trials = make_trials([0.40, 0.38, 0.36], budgets=[seconds(10, 12.5, 3.0, 99.0)])
    choice = choose_recommender(trials, "explicit", MARGIN)
    assert (choice.winner.trial, choice.leader.trial) == (1, 1)
    assert [(other.trial, other.violation) for other in choice.over_budget] == [
        (0, "a fit takes 12.5 s, the budget is 10 s")
    ]


def test_non_inferior_trial_over_a_budget_cannot_win() -> None:
    budgets = [seconds(10, 5.0, 12.0)]
    assert winner_of(make_trials([0.310, 0.309], rated=[0.8, 0.9], budgets=budgets)) == 0


def test_unknown_cost_is_over_budget() -> None:
    trials = make_trials([0.40, 0.38], budgets=[seconds(10, nan, 3.0)])
    assert winner_of(trials) == 1
    assert trials.find_violation(0) == "a fit takes an unknown number of s, the budget is 10 s"


def test_error_names_the_parameters_if_no_trial_is_within_the_budgets() -> None:
    trials = make_trials([0.4, 0.3], budgets=[Budget("fitting takes", "MB of memory", 1, [2.0, 3.0])])
    message = r"the best, trial 0: fitting takes 2\.0 MB of memory, the budget is 1 MB\); raise the budgets"
    with pytest.raises(MarqueeError, match=message):
        choose_recommender(trials, "explicit", MARGIN)


# Popularity


def test_winner_is_compared_with_the_best_popularity_trial() -> None:
    algorithms = ["ease", "popularity", "popularity"]
    trials = make_trials([0.38, 0.10, 0.19], algorithms=algorithms, spread=0.01)
    popularity = choose_recommender(trials, "explicit", MARGIN).popularity
    assert popularity is not None
    assert popularity.trial == 2
    assert popularity.ratio == pytest.approx(2, rel=1e-5)
    assert popularity.is_beaten


@pytest.mark.parametrize(("mean", "n_users"), [(0.1902, 300), (0.25, 150)])
def test_popularity_is_not_beaten_by_chance(mean: float, n_users: int) -> None:
    trials = make_trials([mean, 0.19], algorithms=["ease", "popularity"], spread=0.1, n_users=n_users)
    popularity = choose_recommender(trials, "explicit", MARGIN).popularity
    assert popularity is not None
    assert not popularity.is_beaten


def test_popularity_over_budget_is_still_compared() -> None:
    trials = make_trials([0.3, 0.2], algorithms=["ease", "popularity"], budgets=[seconds(1, 0.5, 2.0)])
    assert choose_recommender(trials, "explicit", MARGIN).popularity is not None
    assert choose_recommender(make_trials([0.3]), "explicit", MARGIN).popularity is None


# Properties


@settings(max_examples=50, deadline=None)
@given(
    st.permutations(range(6)),
    st.sampled_from(["explicit", "implicit"]),
    st.integers(0, 10_000),
    st.sampled_from([20, 250]),
)
def test_order_of_trials_never_changes_the_choice(
    order: list[int], feedback: FeedbackType, seed: int, n_users: int
) -> None:
    trials = draw_trials(seed, n_users)
    choice = choose_recommender(trials, feedback, MARGIN)
    permuted = choose_recommender(reorder_trials(trials, order), feedback, MARGIN)
    assert order[permuted.winner.trial] == choice.winner.trial
    assert order[permuted.leader.trial] == choice.leader.trial
    assert [order[contender.trial] for contender in permuted.contenders] == [
        contender.trial for contender in choice.contenders
    ]
    assert permuted.winner.loss == choice.winner.loss


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["explicit", "implicit"]))
def test_winner_is_within_the_budgets_and_the_margin(seed: int, feedback: FeedbackType) -> None:
    trials = draw_trials(seed, 250)
    choice = choose_recommender(trials, feedback, MARGIN)
    assert trials.find_violation(choice.winner.trial) is None
    assert choice.winner.value.mean >= choice.leader.value.mean * (1 - MARGIN)
    assert choice.winner in choice.non_inferior


def draw_trials(seed: int, n_users: int) -> RecommenderTrials:
    """Return six trials, some of them equal, close to each other or over the budget."""
    rng = np.random.default_rng(seed)
    values = 0.3 + 0.001 * rng.integers(0, 4, (6, 1, 1)) + rng.normal(0, 0.01, (6, 3, n_users))
    values[5] = values[4]
    budget = seconds(10, 1.0, *rng.integers(5, 13, 5).astype(float).tolist())
    return RecommenderTrials(
        [f"trial {number}" for number in range(6)],
        ["ease", "ease", "svd", "svd", "popularity", "nmf"],
        to_user_values(values),
        (rng.integers(0, 3, 6) / 3).tolist(),
        rng.integers(1, 4, 6).astype(float).tolist(),
        [budget],
    )


def reorder_trials(trials: RecommenderTrials, order: list[int]) -> RecommenderTrials:
    values = trials.values
    return RecommenderTrials(
        [trials.keys[k] for k in order],
        [trials.algorithms[k] for k in order],
        UserValues(values.values[order], values.parts, values.users),
        [trials.rated_values[k] for k in order],
        [trials.costs[k] for k in order],
        [replace(budget, costs=[budget.costs[k] for k in order]) for budget in trials.budgets],
    )


# Invalid input


def test_trials_with_the_same_key_are_an_error() -> None:
    with pytest.raises(DataError, match="two trials have the key 'a'"):
        replace(make_trials([0.1, 0.2]), keys=["a", "a"])


def test_sequences_of_different_lengths_are_an_error() -> None:
    with pytest.raises(DataError, match="each of 2 trials needs one key"):
        replace(make_trials([0.1, 0.2]), costs=[1.0])
