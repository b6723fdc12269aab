"""Select the recommender by its lists and the predictor by its error, and explain both choices."""

from collections.abc import Mapping
from math import isfinite, nan

from experiments.config import Params
from experiments.search.trials import MEGABYTE, Trial, format_sorted_label
from experiments.selection.predictor_explanation import explain_predictor
from experiments.selection.predictor_rule import PredictorChoice, choose_predictor
from experiments.selection.recommender_explanation import TrialDescriptions, explain_recommender
from experiments.selection.search_results import SearchResults
from marquee.files.atomic_write import write_json
from pipelines.support.console import create_console
from pipelines.support.interaction_tables import read_feedback
from pipelines.support.json_reader import read_json
from pipelines.support.paths import HEADLINE, SELECTION, SPLIT
from pipelines.support.recommender_choice import ComparedTrials, choose_from_search
from pipelines.support.stage_results import read_trials_and_metrics
from pipelines.support.stage_runner import run_stage

PARTS_OF_STRATEGY = {
    "random": "three random validation parts",
    "time": "three validation parts, one after another in time",
    "user_last": "three validation parts with each user's last interactions",
}
TRADE_OFFS = ("rated_ndcg", "coverage", "diversity")


def select(params: Params) -> None:
    """Write results/selection.json and results/headline.json, and print the reasons."""
    results = read_trials_and_metrics(params)
    has_ratings = read_feedback().feedback == "explicit"
    predictor = choose_predictor(results, params.select) if has_ratings else None
    predictor_reason = "" if predictor is None else explain_predictor(predictor, results, params.select)
    if results.search_metric.uses_lists or predictor is None:
        compared = choose_from_search(params, results.trials, results.candidates)
        recommender = compared.winner
        reason = explain_recommender(compared.compared, compared.choice, describe_trials(compared, results))
    else:
        recommender = predictor.winner
        reason = (
            f"{recommender.label} is the recommender too, because search.metric is "
            f"{results.search_metric.title(results.n)}."
        )
    write_json(
        SELECTION,
        {
            "recommender": _describe_choice(recommender, reason),
            "predictor": predictor and _describe_choice(predictor.winner, predictor_reason),
        },
    )
    write_json(HEADLINE, _build_headline(recommender, predictor))
    console = create_console()
    for trial in predictor.over_budget if predictor else ():
        console.print(f"Over budget: {trial}.", markup=False)
    for text in filter(None, (reason, predictor_reason)):
        console.print(text, markup=False)


def describe_trials(compared: ComparedTrials, results: SearchResults) -> TrialDescriptions:
    """Return the names and further properties of the trials that were compared."""
    trials, candidates = compared.trials, results.candidates
    lowest_error = _find_lowest_error(results)
    measured = candidates.get(lowest_error.number) if lowest_error else None
    winner = candidates.get(compared.winner.number)
    return TrialDescriptions(
        results.metric_display_name(compared.metric),
        PARTS_OF_STRATEGY[read_json(SPLIT)["strategy"]],
        [format_sorted_label(trial.algorithm, trial.parameters) for trial in trials],
        [f"{trial.model_bytes / MEGABYTE:.2f} MB" if trial.has_lists else "" for trial in trials],
        {
            results.metric_display_name(name): [_find_property(trial, name, results) for trial in trials]
            for name in TRADE_OFFS
        },
        objective="" if results.search_metric.user_metric else results.search_metric.title(results.n),
        predictor=None if lowest_error is None else list(trials).index(lowest_error),
        predictor_value=measured.mean(compared.metric) if measured else nan,
        common_list_share=winner.mean("common_list_share") if winner else nan,
    )


def _find_lowest_error(results: SearchResults) -> Trial | None:
    """Return the trial with the lowest error; None for implicit feedback."""
    return results.trial_of(results.ranked_predictors[0]) if results.ranked_predictors else None


def _find_property(trial: Trial, name: str, results: SearchResults) -> float:
    """Return a property of a trial's lists; NaN if it was neither searched nor measured."""
    values = trial.mean_values() if trial.has_lists else {}
    candidate = results.candidates.get(trial.number)
    return values.get(name, candidate.mean(name) if candidate else nan)


def _describe_choice(trial: Trial, reason: str) -> dict[str, object]:
    return {
        "algorithm": trial.algorithm,
        "parameters": dict(trial.parameters),
        "trial": trial.number,
        "reason": reason,
    }


def _build_headline(recommender: Trial, predictor: PredictorChoice | None) -> dict[str, float]:
    """Return the validation metrics that `dvc metrics` shows beside those of the test set."""
    values: Mapping[str, float] = {
        "validation_ndcg": recommender.mean_values().get("ndcg", nan),
        "validation_rmse": predictor.winner.mean("rmse") if predictor else nan,
    }
    return {name: value for name, value in values.items() if isfinite(value)}


if __name__ == "__main__":
    run_stage(select, "select")
