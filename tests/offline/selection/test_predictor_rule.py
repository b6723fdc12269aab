"""Selection of the predictor: objective, one-standard-error rule, and budgets, also on unknown costs."""

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
from experiments.selection.predictor_rule import PredictorChoice, choose_predictor
from experiments.selection.search_results import SearchResults
from marquee.errors import ConfigError, MarqueeError, TrackingError

MEGABYTE = 1_000_000
SELECT_PARAMS = SelectParams(
    predictor_rule="best", cost_metric="model_bytes", max_fit_seconds=10, max_model_megabytes=5
)


def params_with(**changes: Any) -> SelectParams:
    return SelectParams.model_validate({**SELECT_PARAMS.model_dump(), **changes})


def make_trial(
    number: int, algorithm: str, rmse: float, *, seconds: float = 1.0, megabytes: float = 1.0
) -> Trial:
    size = int(megabytes * MEGABYTE)
    folds = tuple(FoldScore(rmse + change, rmse, 0.0, size, seconds, 0.1) for change in (-0.01, 0.01))
    return Trial(number, algorithm, {}, folds, cost=TrialCost(seconds, 0.1))


def make_metrics(trial: Trial, *, peak: int | None = 2 * MEGABYTE) -> CandidateMetrics:
    folds = tuple({"rmse": fold.rmse, "mae": fold.mae} for fold in trial.folds)
    cost = MeasuredCost(1.0, 0.5, 2.0, peak)
    return CandidateMetrics(trial.number, trial.algorithm, folds, cost=cost)


def choose_trial(
    trials: list[Trial], params: SelectParams = SELECT_PARAMS, measures: list[CandidateMetrics] | None = None
) -> PredictorChoice:
    results = SearchResults(trials, {metrics.trial: metrics for metrics in measures or []})
    return choose_predictor(results, params)


def test_lowest_error_wins_and_next_algorithm_is_runner_up() -> None:
    choice = choose_trial(
        [
            make_trial(0, "svd", 0.90),
            make_trial(1, "svdpp", 0.88),
            make_trial(2, "svdpp", 0.885),
            make_trial(3, "nmf", 0.95),
        ]
    )
    assert choice.winner.number == choice.best.number == 1
    assert choice.runner_up is not None
    assert choice.runner_up.number == 0
    assert choice.n_trials == 4


@pytest.mark.parametrize("rule", ["best", "one_standard_error"])
@pytest.mark.parametrize("listed", [(40, 60), (60, 40)])
def test_order_of_a_grid_does_not_change_the_choice_between_equal_trials(
    rule: str, listed: tuple[int, int]
) -> None:
    trials = [
        replace(make_trial(number, "knn_basic", 0.9), parameters={"k": k}) for number, k in enumerate(listed)
    ]
    assert choose_trial(trials, params_with(predictor_rule=rule)).winner.parameters == {"k": 40}


def test_better_trial_over_the_time_budget_is_skipped_and_named() -> None:
    choice = choose_trial([make_trial(0, "svd", 0.90), make_trial(1, "svdpp", 0.88, seconds=11)])
    assert choice.winner.algorithm == "svd"
    assert [str(each) for each in choice.over_budget] == ["SVD++: a fit takes 11.0 s, the budget is 10 s"]


def test_better_trial_over_the_size_budget_is_skipped() -> None:
    choice = choose_trial([make_trial(0, "svd", 0.90), make_trial(1, "knn_basic", 0.88, megabytes=6)])
    assert choice.winner.algorithm == "svd"
    assert [str(each) for each in choice.over_budget] == ["k-NN: a model takes 6.0 MB, the budget is 5 MB"]


def test_worse_trial_over_budget_is_not_named() -> None:
    choice = choose_trial([make_trial(0, "svd", 0.88), make_trial(1, "svdpp", 0.90, seconds=11)])
    assert not choice.over_budget


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"max_predict_microseconds": 0.4}, "a prediction takes 0.5 µs, the budget is 0.4 µs"),
        ({"max_peak_megabytes": 1}, "fitting takes 2.0 MB of memory, the budget is 1 MB"),
        ({"max_top_n_seconds": 1.5}, "all lists take 2.0 s, the budget is 1.5 s"),
    ],
)
def test_every_budget_is_enforced(budget: dict[str, float], message: str) -> None:
    only = make_trial(0, "svd", 0.9)
    with pytest.raises(MarqueeError, match=message):
        choose_trial([only], params_with(**budget), [make_metrics(only)])
    high_budget = params_with(**dict.fromkeys(budget, 100))
    assert choose_trial([only], high_budget, [make_metrics(only)]).winner is only


def test_cost_below_one_is_not_rounded_to_zero() -> None:
    only = make_trial(0, "svd", 0.9)
    with pytest.raises(MarqueeError, match=r"a prediction takes 0\.5 µs, the budget is 1e-09 µs"):
        choose_trial([only], params_with(max_predict_microseconds=1e-9), [make_metrics(only)])


def test_tie_goes_to_the_first_trial() -> None:
    assert choose_trial([make_trial(1, "svdpp", 0.9), make_trial(0, "svd", 0.9)]).winner.algorithm == "svd"


def test_error_names_the_parameter_if_no_trial_is_within_the_budgets() -> None:
    with pytest.raises(MarqueeError, match=r"raise the budgets of select in params\.yaml"):
        choose_trial([make_trial(0, "svd", 0.90, seconds=99)])


def test_unknown_fit_time_error_says_to_repeat_the_search() -> None:
    without_cost = trial_from_record(trial_to_record(make_trial(0, "svd", 0.9)))
    with pytest.raises(TrackingError, match="dvc repro --force --single-item search"):
        choose_trial([without_cost])


def test_unknown_measured_cost_error_says_to_repeat_the_measure_stage() -> None:
    only = make_trial(0, "svd", 0.9)
    without_cost = CandidateMetrics.from_record(make_metrics(only).to_record())
    with pytest.raises(TrackingError, match="dvc repro --force --single-item measure"):
        choose_trial([only], params_with(max_top_n_seconds=9), [without_cost])


def test_memory_budget_on_a_system_without_peak_memory_is_an_error() -> None:
    only = make_trial(0, "svd", 0.9)
    with pytest.raises(ConfigError, match=r"select\.max_peak_megabytes: this system does not report"):
        choose_trial([only], params_with(max_peak_megabytes=9), [make_metrics(only, peak=None)])


# One-standard-error rule


def test_smaller_model_within_one_standard_error_wins() -> None:
    # folds 0.87 and 0.89: the standard error of their mean is 0.0141 / sqrt(2) = 0.01
    trials = [make_trial(0, "svdpp", 0.88, megabytes=4), make_trial(1, "svd", 0.8895, megabytes=1)]
    choice = choose_trial(trials, params_with(predictor_rule="one_standard_error"))
    assert (choice.winner.number, choice.best.number) == (1, 0)
    assert choose_trial(trials).winner.number == 0


def test_better_model_beyond_one_standard_error_wins() -> None:
    trials = [make_trial(0, "svdpp", 0.88, megabytes=4), make_trial(1, "svd", 0.8905, megabytes=1)]
    assert choose_trial(trials, params_with(predictor_rule="one_standard_error")).winner.number == 0


def test_better_of_equally_cheap_trials_wins() -> None:
    trials = [make_trial(0, "svdpp", 0.885), make_trial(1, "svd", 0.88), make_trial(2, "nmf", 0.881)]
    assert choose_trial(trials, params_with(predictor_rule="one_standard_error")).winner.number == 1


def test_cost_metric_can_be_fit_time() -> None:
    trials = [make_trial(0, "svdpp", 0.88, seconds=9), make_trial(1, "svd", 0.885, seconds=2, megabytes=3)]
    assert choose_trial(trials, params_with(predictor_rule="one_standard_error")).winner.number == 0
    by_fit_time = params_with(predictor_rule="one_standard_error", cost_metric="fit_seconds")
    assert choose_trial(trials, by_fit_time).winner.number == 1


# Objective


def test_weighted_objective_sums_relative_distances_from_the_lowest_errors() -> None:
    first, second = make_trial(0, "svd", 0.80), make_trial(1, "svdpp", 0.84)
    first = replace(first, folds=tuple(replace(fold, mae=0.70) for fold in first.folds))
    second = replace(second, folds=tuple(replace(fold, mae=0.63) for fold in second.folds))
    # rmse: 0 and 0.04 / 0.80 = 5%; mae: 0.07 / 0.63 = 11% and 0. At equal weights the second loses less.
    equal_weights, mostly_rmse = ({"rmse": weight, "mae": 1} for weight in (1, 9))
    assert choose_trial([first, second], params_with(predictor_objective=equal_weights)).winner is second
    assert choose_trial([first, second], params_with(predictor_objective=mostly_rmse)).winner is first


def test_budget_on_a_measured_cost_limits_the_choice_to_measured_trials() -> None:
    trials = [make_trial(0, "svd", 0.80), make_trial(1, "svd", 0.81), make_trial(2, "nmf", 0.99)]
    measures = [make_metrics(trials[1]), make_metrics(trials[2])]
    choice = choose_trial(trials, params_with(max_top_n_seconds=9), measures)
    assert (choice.winner.number, choice.n_trials) == (1, 2)


def test_error_that_is_zero_for_all_trials_does_not_affect_the_choice() -> None:
    first, second = make_trial(1, "svd", 0.80), make_trial(0, "svdpp", 0.84)
    first, second = (
        replace(trial, folds=tuple(replace(fold, mae=0.0) for fold in trial.folds))
        for trial in (first, second)
    )
    mostly_mae = params_with(predictor_objective={"mae": 9, "rmse": 1})
    assert choose_trial([first, second], mostly_mae).winner is first


def test_error_without_measured_candidates_names_the_file_with_reasons() -> None:
    failed = replace(make_metrics(make_trial(0, "svd", 0.9)), folds=(), failure="MemoryError")
    with pytest.raises(ConfigError, match=r"results/candidate_metrics\.json has the reasons"):
        choose_trial([make_trial(0, "svd", 0.9)], params_with(max_top_n_seconds=9), [failed])


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        (
            Trial(0, "svd", {"n_epochs": 5}, failure="DivergedError: too fast"),
            r"none of 1 trials .* SVD \(n_epochs=5\) failed with DivergedError: too fast; correct search",
        ),
        (
            Trial(0, "svd", {}, pruned="not finished"),
            r"none of 1 trials .* was finished, .* search\.max_minutes",
        ),
    ],
)
def test_error_if_all_predictors_failed_says_why(trial: Trial, message: str) -> None:
    with pytest.raises(MarqueeError, match=message):
        choose_trial([Trial(1, "ease", {}), trial])


def test_error_without_predictors_names_the_parameter() -> None:
    with pytest.raises(ConfigError, match=r"add svd or another one to search\.candidates"):
        choose_trial([Trial(0, "ease", {})])


@pytest.mark.parametrize("objective", ["auc", "ndcg", {"rmse": 0}, {"rmse": -1}, {}, {"ndcg": 1}])
def test_invalid_objective_is_rejected(objective: object) -> None:
    with pytest.raises(ValidationError):
        params_with(predictor_objective=objective)


# Records


def test_failed_trials_are_not_ranked() -> None:
    assert [
        ranked.number
        for ranked in rank_trials([Trial(0, "svd", {}, failure="no"), make_trial(1, "svd", 1.0)], "rmse")
    ] == [1]


def test_record_has_no_times_and_restores_an_equal_trial() -> None:
    original = make_trial(3, "svd", 0.9)
    record = trial_to_record(original)
    assert not [key for key in record if "seconds" in key]
    restored = trial_from_record(record, original.cost)
    assert restored == original
