"""The rule that chooses: the objective within budgets, the cheaper of equals; no unknown cost passes."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from experiments.config.offline import Select
from experiments.evaluation.candidate_metrics import MeasuredCost, Measures
from experiments.search.trials import Cost, FoldScore, Trial, from_record, ranked, to_record
from experiments.selection.rule import Choice, choose
from experiments.selection.search_results import Findings
from marquee.errors import ConfigError, MarqueeError, TrackingError

MEGABYTE = 1_000_000
BUDGET = Select(
    objective="rmse", rule="best", cheaper="model_bytes", max_fit_seconds=10, max_model_megabytes=5
)


def select(**changes: Any) -> Select:
    return Select.model_validate({**BUDGET.model_dump(), **changes})


def trial(number: int, algorithm: str, rmse: float, *, seconds: float = 1.0, megabytes: float = 1.0) -> Trial:
    size = int(megabytes * MEGABYTE)
    folds = tuple(FoldScore(rmse + d, rmse, 0.0, size, seconds, 0.1) for d in (-0.01, 0.01))
    return Trial(number, algorithm, {}, folds, cost=Cost(seconds, 0.1))


def measured(of: Trial, *, peak: int | None = 2 * MEGABYTE, **figures: float) -> Measures:
    folds = tuple({"rmse": fold.rmse, "mae": fold.mae, **figures} for fold in of.folds)
    cost = MeasuredCost(1.0, 0.5, 2.0, peak)
    return Measures(of.number, of.algorithm, folds, cost=cost)


def chosen(trials: list[Trial], by: Select = BUDGET, measures: list[Measures] | None = None) -> Choice:
    return choose(Findings(trials, {one.trial: one for one in measures or []}), by)


def test_the_lowest_error_wins_and_the_next_algorithm_is_its_rival() -> None:
    choice = chosen(
        [trial(0, "svd", 0.90), trial(1, "svdpp", 0.88), trial(2, "svdpp", 0.885), trial(3, "nmf", 0.95)]
    )
    assert choice.winner.number == choice.best.number == 1
    assert choice.rival is not None
    assert choice.rival.number == 0
    assert choice.n_contenders == 4


def test_a_better_trial_over_the_time_budget_is_passed_over_and_named() -> None:
    choice = chosen([trial(0, "svd", 0.90), trial(1, "svdpp", 0.88, seconds=11)])
    assert choice.winner.algorithm == "svd"
    assert [str(each) for each in choice.over_budget] == ["SVD++: a fit takes 11.0 s, the budget is 10 s"]


def test_a_better_trial_over_the_size_budget_is_passed_over() -> None:
    choice = chosen([trial(0, "svd", 0.90), trial(1, "knn_basic", 0.88, megabytes=6)])
    assert choice.winner.algorithm == "svd"
    assert [str(each) for each in choice.over_budget] == ["k-NN: a model takes 6.0 MB, the budget is 5 MB"]


def test_what_is_worse_and_over_budget_is_not_told() -> None:
    assert not chosen([trial(0, "svd", 0.88), trial(1, "svdpp", 0.90, seconds=11)]).over_budget


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"max_predict_microseconds": 0.4}, "a prediction takes 0.50 µs, the budget is 0.4 µs"),
        ({"max_peak_megabytes": 1}, "fitting takes 2.0 MB of memory, the budget is 1 MB"),
        ({"max_top_n_seconds": 1.5}, "all lists take 2.0 s, the budget is 1.5 s"),
    ],
)
def test_every_budget_refuses(budget: dict[str, float], words: str) -> None:
    only = trial(0, "svd", 0.9)
    with pytest.raises(MarqueeError, match=words):
        chosen([only], select(**budget), [measured(only)])
    assert chosen([only], select(**dict.fromkeys(budget, 100)), [measured(only)]).winner is only


def test_equals_go_to_the_one_asked_for_first() -> None:
    assert chosen([trial(1, "svdpp", 0.9), trial(0, "svd", 0.9)]).winner.algorithm == "svd"


def test_no_trial_within_the_budgets_is_an_error_that_says_what_to_raise() -> None:
    with pytest.raises(MarqueeError, match=r"raise the budgets of select in params\.yaml"):
        chosen([trial(0, "svd", 0.90, seconds=99)])


def test_a_trial_whose_time_nobody_remembers_is_no_pass() -> None:
    forgotten = from_record(to_record(trial(0, "svd", 0.9)))
    with pytest.raises(TrackingError, match="dvc repro --force --single-item search"):
        chosen([forgotten])


def test_a_measured_cost_that_nobody_remembers_is_no_pass() -> None:
    only = trial(0, "svd", 0.9)
    forgotten = Measures.from_record(measured(only).record())
    with pytest.raises(TrackingError, match="dvc repro --force --single-item measure"):
        chosen([only], select(max_top_n_seconds=9), [forgotten])


def test_a_system_that_tells_no_peak_says_which_budget_to_drop() -> None:
    only = trial(0, "svd", 0.9)
    with pytest.raises(ConfigError, match=r"select\.max_peak_megabytes: this system does not tell"):
        chosen([only], select(max_peak_megabytes=9), [measured(only, peak=None)])


# The rule of one standard error


def test_within_one_standard_error_the_smaller_model_wins() -> None:
    # folds 0.87 and 0.89: the standard error of their mean is 0.0141 / sqrt(2) = 0.01
    trials = [trial(0, "svdpp", 0.88, megabytes=4), trial(1, "svd", 0.8895, megabytes=1)]
    choice = chosen(trials, select(rule="one_standard_error"))
    assert (choice.winner.number, choice.best.number) == (1, 0)
    assert chosen(trials).winner.number == 0


def test_beyond_one_standard_error_the_better_one_wins() -> None:
    trials = [trial(0, "svdpp", 0.88, megabytes=4), trial(1, "svd", 0.8905, megabytes=1)]
    assert chosen(trials, select(rule="one_standard_error")).winner.number == 0


def test_of_equally_cheap_ones_the_better_wins() -> None:
    trials = [trial(0, "svdpp", 0.885), trial(1, "svd", 0.88), trial(2, "nmf", 0.881)]
    assert chosen(trials, select(rule="one_standard_error")).winner.number == 1


def test_cheaper_may_mean_faster() -> None:
    trials = [trial(0, "svdpp", 0.88, seconds=9), trial(1, "svd", 0.885, seconds=2, megabytes=3)]
    assert chosen(trials, select(rule="one_standard_error")).winner.number == 0
    assert chosen(trials, select(rule="one_standard_error", cheaper="fit_seconds")).winner.number == 1


# The objective


def test_a_weighted_set_adds_up_the_distances_from_the_best() -> None:
    one, other = trial(0, "svd", 0.80), trial(1, "svdpp", 0.84)
    # rmse: 0 and 0.04 / 0.80 = 5%; ndcg: 20% and 0. At equal weights 10% against 2.5%.
    measures = [measured(one, ndcg=0.08), measured(other, ndcg=0.10)]
    assert chosen([one, other], select(objective={"rmse": 1, "ndcg": 1}), measures).winner is other
    assert chosen([one, other], select(objective={"rmse": 9, "ndcg": 1}), measures).winner is one


def test_an_objective_of_lists_chooses_among_those_that_were_measured() -> None:
    trials = [trial(0, "svd", 0.80), trial(1, "svd", 0.81), trial(2, "ease", 0.99)]
    measures = [measured(trials[0], ndcg=0.1), measured(trials[2], ndcg=0.3)]
    choice = chosen(trials, select(objective="ndcg"), measures)
    assert (choice.winner.number, choice.n_contenders) == (2, 2)


def test_for_gini_less_is_better() -> None:
    one, other = trial(0, "svd", 0.80), trial(1, "svdpp", 0.84)
    measures = [measured(one, gini=0.9), measured(other, gini=0.7)]
    assert chosen([one, other], select(objective="gini"), measures).winner is other


def test_a_metric_that_all_have_none_of_decides_nothing() -> None:
    one, other = trial(1, "svd", 0.80), trial(0, "svdpp", 0.84)
    measures = [measured(one, ndcg=0.0), measured(other, ndcg=0.0)]
    assert chosen([one, other], select(objective={"ndcg": 9, "rmse": 1}), measures).winner is one


def test_an_objective_that_nobody_was_measured_for_says_where_the_reasons_are() -> None:
    failed = replace(measured(trial(0, "svd", 0.9)), folds=(), failure="MemoryError")
    with pytest.raises(ConfigError, match=r"results/measures\.json has the reasons"):
        chosen([trial(0, "svd", 0.9)], select(objective="ndcg"), [failed])


@pytest.mark.parametrize("objective", ["auc", {"rmse": 0}, {"rmse": -1}, {}, {"popularity_lift": 1}])
def test_an_objective_that_means_nothing_is_refused(objective: object) -> None:
    with pytest.raises(ValidationError):
        select(objective=objective)


# Trials as they are kept


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
