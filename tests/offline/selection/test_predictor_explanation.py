"""Explanation of the predictor: reason, lead and tuning gain, and no values that vary between runs."""

from dataclasses import replace
from typing import Any

from experiments.config.offline import SelectParams
from experiments.selection.predictor_explanation import explain_predictor
from experiments.selection.predictor_rule import choose_predictor
from experiments.selection.search_results import SearchResults
from tests.support.sample_search_results import make_search_results


def explain_with(results: SearchResults, **changes: Any) -> str:
    """Explain the choice that the rule makes with changed parameters."""
    block = {"predictor_rule": "best", "cost_metric": "model_bytes"}
    limits = {"max_fit_seconds": 10, "max_model_megabytes": 10}
    select = SelectParams.model_validate({**block, **limits, **changes})
    return explain_predictor(choose_predictor(results, select), results, select)


def test_explanation_names_winner_interval_and_lead() -> None:
    # s = 0.01 over three folds: 4.3027 * 0.01 * sqrt(1/3 + 1/2) = 0.0393; all folds have equal differences
    text = explain_with(make_search_results())
    assert text.startswith(
        "SVD++ (n_factors=20, n_epochs=20) is the predictor: RMSE 0.8600 (95% CI 0.8207 to 0.8993), measured "
        "on 3 folds of the training set, 0.0200 (95% CI 0.0200 to 0.0200) lower than that of the next "
        "algorithm, SVD (n_factors=100, reg_all=0.02); 7 trials were compared."
    )


def test_explanation_states_gain_over_default_parameters() -> None:
    assert (
        "Tuning lowered the RMSE by 0.0020 (95% CI 0.0020 to 0.0020) compared with the default parameters of "
        "SVD++. Over all 4 candidates it lowered RMSE by 0.0030 on average, most for SVD (0.0100)."
        in explain_with(make_search_results())
    )


def test_winner_worse_than_default_parameters_is_reported() -> None:
    results = make_search_results()
    worse = {4: replace(results.candidates[4], default_scores=(0.84, 0.85, 0.86))}
    text = explain_with(replace(results, candidates={**results.candidates, **worse}))
    assert (
        "Tuning raised the RMSE by 0.0100 (95% CI 0.0100 to 0.0100) compared with the default parameters"
        in text
    )


def test_tuning_gain_is_that_of_the_winning_trial() -> None:
    results = make_search_results()
    second = replace(
        results.candidates[0],
        trial=1,
        default_scores=tuple(error + 0.5 for error in results.trials[1].fold_values("rmse")),
    )
    text = explain_with(replace(results, candidates={**results.candidates, 1: second}), max_model_megabytes=3)
    assert text.startswith("SVD (n_factors=50, reg_all=0.02) is the predictor")
    assert "Tuning lowered the RMSE by 0.5000" in text


def test_cheaper_winner_is_compared_with_the_better_trial() -> None:
    text = explain_with(make_search_results(), predictor_rule="one_standard_error", max_model_megabytes=4)
    # 0.88 + 0.01 / sqrt(3) = 0.8858 leaves only the first SVD
    assert text.startswith("SVD (n_factors=100, reg_all=0.02) is the predictor")
    assert "SVD++ (n_factors=20, n_epochs=20) has a lower error but exceeds a budget." in text
    results = make_search_results()
    near = replace(results.trials[1], folds=results.trials[0].folds, number=1)
    smaller = replace(
        near, folds=tuple(replace(fold, rmse=fold.rmse + 0.001, model_bytes=2_000_000) for fold in near.folds)
    )
    text = explain_with(
        replace(results, trials=[results.trials[0], smaller, *results.trials[2:]]),
        predictor_rule="one_standard_error", max_model_megabytes=4,
    )  # fmt: skip
    assert (
        "It is preferred to SVD (n_factors=100, reg_all=0.02), whose RMSE is 0.0010 lower: the difference "
        "is within one standard error, and it takes 2.00 MB instead of 4.00 MB." in text
    )


def test_weighted_objective_is_stated_with_its_weights() -> None:
    text = explain_with(make_search_results(), predictor_objective={"mae": 0.7, "rmse": 0.3})
    assert text.startswith(
        "SVD++ (n_factors=20, n_epochs=20) is the predictor by MAE 0.7, RMSE 0.3; its MAE is 0.6880"
    )


def test_difference_that_may_be_chance_is_called_so() -> None:
    results = make_search_results()
    folds = tuple(
        replace(fold, rmse=fold.rmse + change)
        for fold, change in zip(results.trials[4].folds, (0.03, -0.01, 0.02), strict=True)
    )
    trials = [*results.trials[:4], replace(results.trials[4], folds=folds), *results.trials[5:]]
    assert ", which may be chance;" in explain_with(replace(results, trials=trials))


def test_explanation_contains_no_durations() -> None:
    results = make_search_results()
    slower = {number: replace(candidate, cost=None) for number, candidate in results.candidates.items()}
    assert explain_with(replace(results, candidates=slower)) == explain_with(results)
