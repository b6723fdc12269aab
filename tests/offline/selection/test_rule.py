"""Selection rule: objective within budgets, one standard error, and unknown costs that never pass."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from experiments.config.offline import SelectParams
from experiments.evaluation.candidate_record import CandidateMetrics, MeasuredCost
from experiments.search.trials import (
    FoldScore,
    Trial,
    TrialCost,
    rank_trials,
    trial_from_record,
    trial_to_record,
)
from experiments.selection.rule import Choice, choose
from experiments.selection.search_results import SearchResults
from marquee.errors import ConfigError, MarqueeError, TrackingError

MEGABYTE = 1_000_000
BUDGET = SelectParams(
    objective="rmse", rule="best", cost_metric="model_bytes", max_fit_seconds=10, max_model_megabytes=5
)


def select(**changes: Any) -> SelectParams:
    return SelectParams.model_validate({**BUDGET.model_dump(), **changes})


def trial(number: int, algorithm: str, rmse: float, *, seconds: float = 1.0, megabytes: float = 1.0) -> Trial:
    size = int(megabytes * MEGABYTE)
    folds = tuple(FoldScore(rmse + change, rmse, 0.0, size, seconds, 0.1) for change in (-0.01, 0.01))
    return Trial(number, algorithm, {}, folds, cost=TrialCost(seconds, 0.1))


def evaluated(of: Trial, *, peak: int | None = 2 * MEGABYTE, **values: float) -> CandidateMetrics:
    folds = tuple({"rmse": fold.rmse, "mae": fold.mae, **values} for fold in of.folds)
    cost = MeasuredCost(1.0, 0.5, 2.0, peak)
    return CandidateMetrics(of.number, of.algorithm, folds, cost=cost)


def choice_of(
    trials: list[Trial], by: SelectParams = BUDGET, measures: list[CandidateMetrics] | None = None
) -> Choice:
    return choose(SearchResults(trials, {metrics.trial: metrics for metrics in measures or []}), by)


def test_lowest_error_wins_and_next_algorithm_is_runner_up() -> None:
    choice = choice_of(
        [trial(0, "svd", 0.90), trial(1, "svdpp", 0.88), trial(2, "svdpp", 0.885), trial(3, "nmf", 0.95)]
    )
    assert choice.winner.number == choice.best.number == 1
    assert choice.runner_up is not None
    assert choice.runner_up.number == 0
    assert choice.n_trials == 4


def test_better_trial_over_the_time_budget_is_skipped_and_named() -> None:
    choice = choice_of([trial(0, "svd", 0.90), trial(1, "svdpp", 0.88, seconds=11)])
    assert choice.winner.algorithm == "svd"
    assert [str(each) for each in choice.over_budget] == ["SVD++: a fit takes 11.0 s, the budget is 10 s"]


def test_better_trial_over_the_size_budget_is_skipped() -> None:
    choice = choice_of([trial(0, "svd", 0.90), trial(1, "knn_basic", 0.88, megabytes=6)])
    assert choice.winner.algorithm == "svd"
    assert [str(each) for each in choice.over_budget] == ["k-NN: a model takes 6.0 MB, the budget is 5 MB"]


def test_worse_trial_over_budget_is_not_named() -> None:
    assert not choice_of([trial(0, "svd", 0.88), trial(1, "svdpp", 0.90, seconds=11)]).over_budget


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"max_predict_microseconds": 0.4}, "a prediction takes 0.50 µs, the budget is 0.4 µs"),
        ({"max_peak_megabytes": 1}, "fitting takes 2.0 MB of memory, the budget is 1 MB"),
        ({"max_top_n_seconds": 1.5}, "all lists take 2.0 s, the budget is 1.5 s"),
    ],
)
def test_every_budget_is_enforced(budget: dict[str, float], words: str) -> None:
    only = trial(0, "svd", 0.9)
    with pytest.raises(MarqueeError, match=words):
        choice_of([only], select(**budget), [evaluated(only)])
    assert choice_of([only], select(**dict.fromkeys(budget, 100)), [evaluated(only)]).winner is only


def test_tie_goes_to_the_first_trial() -> None:
    assert choice_of([trial(1, "svdpp", 0.9), trial(0, "svd", 0.9)]).winner.algorithm == "svd"


def test_error_names_the_parameter_if_no_trial_is_within_the_budgets() -> None:
    with pytest.raises(MarqueeError, match=r"raise the budgets of select in params\.yaml"):
        choice_of([trial(0, "svd", 0.90, seconds=99)])


def test_unknown_fit_time_does_not_pass() -> None:
    forgotten = trial_from_record(trial_to_record(trial(0, "svd", 0.9)))
    with pytest.raises(TrackingError, match="dvc repro --force --single-item search"):
        choice_of([forgotten])


def test_unknown_measured_cost_does_not_pass() -> None:
    only = trial(0, "svd", 0.9)
    forgotten = CandidateMetrics.from_record(evaluated(only).record())
    with pytest.raises(TrackingError, match="dvc repro --force --single-item measure"):
        choice_of([only], select(max_top_n_seconds=9), [forgotten])


def test_memory_budget_on_a_system_without_peak_memory_is_an_error() -> None:
    only = trial(0, "svd", 0.9)
    with pytest.raises(ConfigError, match=r"select\.max_peak_megabytes: this system does not report"):
        choice_of([only], select(max_peak_megabytes=9), [evaluated(only, peak=None)])


# One-standard-error rule


def test_smaller_model_within_one_standard_error_wins() -> None:
    # folds 0.87 and 0.89: the standard error of their mean is 0.0141 / sqrt(2) = 0.01
    trials = [trial(0, "svdpp", 0.88, megabytes=4), trial(1, "svd", 0.8895, megabytes=1)]
    choice = choice_of(trials, select(rule="one_standard_error"))
    assert (choice.winner.number, choice.best.number) == (1, 0)
    assert choice_of(trials).winner.number == 0


def test_better_model_beyond_one_standard_error_wins() -> None:
    trials = [trial(0, "svdpp", 0.88, megabytes=4), trial(1, "svd", 0.8905, megabytes=1)]
    assert choice_of(trials, select(rule="one_standard_error")).winner.number == 0


def test_better_of_equally_cheap_trials_wins() -> None:
    trials = [trial(0, "svdpp", 0.885), trial(1, "svd", 0.88), trial(2, "nmf", 0.881)]
    assert choice_of(trials, select(rule="one_standard_error")).winner.number == 1


def test_cost_metric_can_be_fit_time() -> None:
    trials = [trial(0, "svdpp", 0.88, seconds=9), trial(1, "svd", 0.885, seconds=2, megabytes=3)]
    assert choice_of(trials, select(rule="one_standard_error")).winner.number == 0
    assert choice_of(trials, select(rule="one_standard_error", cost_metric="fit_seconds")).winner.number == 1


# The objective


def test_weighted_objective_sums_relative_distances_from_the_best() -> None:
    first, second = trial(0, "svd", 0.80), trial(1, "svdpp", 0.84)
    # rmse: 0 and 0.04 / 0.80 = 5%; ndcg: 20% and 0. At equal weights 10% against 2.5%.
    measures = [evaluated(first, ndcg=0.08), evaluated(second, ndcg=0.10)]
    assert choice_of([first, second], select(objective={"rmse": 1, "ndcg": 1}), measures).winner is second
    assert choice_of([first, second], select(objective={"rmse": 9, "ndcg": 1}), measures).winner is first


def test_ranking_objective_chooses_among_evaluated_trials() -> None:
    trials = [trial(0, "svd", 0.80), trial(1, "svd", 0.81), trial(2, "ease", 0.99)]
    measures = [evaluated(trials[0], ndcg=0.1), evaluated(trials[2], ndcg=0.3)]
    choice = choice_of(trials, select(objective="ndcg"), measures)
    assert (choice.winner.number, choice.n_trials) == (2, 2)


def test_lower_gini_is_better() -> None:
    first, second = trial(0, "svd", 0.80), trial(1, "svdpp", 0.84)
    measures = [evaluated(first, gini=0.9), evaluated(second, gini=0.7)]
    assert choice_of([first, second], select(objective="gini"), measures).winner is second


def test_metric_that_is_zero_for_all_decides_nothing() -> None:
    first, second = trial(1, "svd", 0.80), trial(0, "svdpp", 0.84)
    measures = [evaluated(first, ndcg=0.0), evaluated(second, ndcg=0.0)]
    assert choice_of([first, second], select(objective={"ndcg": 9, "rmse": 1}), measures).winner is first


def test_error_without_evaluated_candidates_names_the_file_with_reasons() -> None:
    failed = replace(evaluated(trial(0, "svd", 0.9)), folds=(), failure="MemoryError")
    with pytest.raises(ConfigError, match=r"results/candidate_metrics\.json has the reasons"):
        choice_of([trial(0, "svd", 0.9)], select(objective="ndcg"), [failed])


@pytest.mark.parametrize("objective", ["auc", {"rmse": 0}, {"rmse": -1}, {}, {"popularity_lift": 1}])
def test_invalid_objective_is_rejected(objective: object) -> None:
    with pytest.raises(ValidationError):
        select(objective=objective)


# Records


def test_failed_trials_are_not_ranked() -> None:
    assert [
        ranked.number
        for ranked in rank_trials([Trial(0, "svd", {}, failure="no"), trial(1, "svd", 1.0)], "rmse")
    ] == [1]


def test_record_has_no_times_and_restores_an_equal_trial() -> None:
    original = trial(3, "svd", 0.9)
    record = trial_to_record(original)
    assert not [key for key in record if "seconds" in key]
    back = trial_from_record(record, original.cost)
    assert back == original
