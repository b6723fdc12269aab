"""The rule that chooses: best metric within the budgets, and an unknown cost is no pass."""

import pytest

from experiments.config import Select
from experiments.selection import choose
from experiments.trials import Cost, FoldScore, Trial, from_record, ranked, to_record
from marquee.errors import MarqueeError, TrackingError

MEGABYTE = 1_000_000
BUDGET = Select(metric="rmse", max_fit_seconds=10, max_model_megabytes=5)


def trial(number: int, algorithm: str, rmse: float, *, seconds: float = 1.0, megabytes: float = 1.0) -> Trial:
    size = int(megabytes * MEGABYTE)
    folds = tuple(FoldScore(rmse + d, rmse, 0.0, size, seconds, 0.1) for d in (-0.01, 0.01))
    return Trial(number, algorithm, {}, folds, cost=Cost(seconds, 0.1))


def test_the_lowest_error_wins_and_the_reason_names_the_runner_up() -> None:
    choice = choose([trial(0, "svd", 0.90), trial(1, "svdpp", 0.88), trial(2, "nmf", 0.95)], BUDGET)
    assert choice.winner.algorithm == "svdpp"
    assert choice.reason.startswith(
        "SVD++ has the lowest RMSE, 0.8800, 0.0200 below the best SVD, of 3 trials"
    )


def test_a_better_trial_over_the_time_budget_is_passed_over_and_named() -> None:
    choice = choose([trial(0, "svd", 0.90), trial(1, "svdpp", 0.88, seconds=11)], BUDGET)
    assert choice.winner.algorithm == "svd"
    assert choice.over_budget == ("SVD++: a fit takes 11.0 s, the budget is 10 s",)
    assert "(1 better one was over budget)" in choice.reason


def test_a_better_trial_over_the_size_budget_is_passed_over() -> None:
    choice = choose([trial(0, "svd", 0.90), trial(1, "knn_basic", 0.88, megabytes=6)], BUDGET)
    assert choice.winner.algorithm == "svd"
    assert choice.over_budget == ("k-NN: a model takes 6.0 MB, the budget is 5 MB",)


def test_equals_go_to_the_one_asked_for_first() -> None:
    assert choose([trial(1, "svdpp", 0.9), trial(0, "svd", 0.9)], BUDGET).winner.algorithm == "svd"


def test_no_trial_within_the_budgets_is_an_error_that_says_what_to_raise() -> None:
    with pytest.raises(MarqueeError, match=r"raise select\.max_fit_seconds"):
        choose([trial(0, "svd", 0.90, seconds=99)], BUDGET)


def test_a_trial_whose_time_nobody_remembers_is_no_pass() -> None:
    forgotten = from_record(to_record(trial(0, "svd", 0.9)))
    with pytest.raises(TrackingError, match="dvc repro --force --single-item search"):
        choose([forgotten], BUDGET)


def test_failed_trials_are_never_ranked() -> None:
    assert [t.number for t in ranked([Trial(0, "svd", {}, failure="no"), trial(1, "svd", 1.0)], "rmse")] == [
        1
    ]


def test_a_record_holds_no_times_and_comes_back_equal() -> None:
    original = trial(3, "svd", 0.9)
    record = to_record(original)
    assert not [key for key in record if "seconds" in key]
    back = from_record(record, original.cost)
    assert back == original
