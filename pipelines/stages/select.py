"""Select the recommender by its lists and the predictor by its error, and explain both choices."""

from math import nan
from typing import Any

from experiments.config import Params
from experiments.config.offline import SelectParams
from experiments.search.trials import MEGABYTE, Trial, format_sorted_label, point_key
from experiments.selection.predictor_explanation import explain_predictor
from experiments.selection.predictor_rule import PredictorChoice, choose_predictor
from experiments.selection.recommender_explanation import TrialDescriptions, explain_recommender
from experiments.selection.search_results import SearchResults
from marquee.files.atomic_write import write_json
from pipelines.support.console import create_console
from pipelines.support.derived_feedback import read_feedback
from pipelines.support.json_reader import read_json
from pipelines.support.paths import SELECTION, SPLIT
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
    """Write results/selection.json, and print the reasons."""
    results, predictor = read_trials_and_metrics(params), None
    if read_feedback().feedback == "explicit":
        predictor = choose_predictor(results, params.select)
    recommender = _describe_recommender(params, results, predictor)
    choices = {"recommender": recommender, "predictor": _describe_predictor(params, results, predictor)}
    write_json(SELECTION, choices)
    console = create_console()
    for trial in predictor.over_budget if predictor else ():
        console.print(f"Over budget: {trial}.", markup=False)
    for choice in filter(None, choices.values()):
        console.print(choice["reason"], markup=False)


def _describe_recommender(
    params: Params, results: SearchResults, predictor: PredictorChoice | None
) -> dict[str, Any]:
    """Choose the recommender; without lists in the search, it is the predictor."""
    if predictor is None or results.search_metric.uses_lists:
        compared = choose_from_search(params, results.trials, results.candidates)
        descriptions = describe_trials(compared, results, params.select)
        reason = explain_recommender(compared.compared, compared.choice, descriptions)
        return _build_record(compared.winner, reason)
    metric = results.search_metric.title(results.n)
    reason = f"{predictor.winner.label} is the recommender too, because search.metric is {metric}."
    return _build_record(predictor.winner, reason)


def _describe_predictor(
    params: Params, results: SearchResults, predictor: PredictorChoice | None
) -> dict[str, Any] | None:
    if predictor is None:
        return None
    return _build_record(predictor.winner, explain_predictor(predictor, results, params.select))


def describe_trials(
    compared: ComparedTrials, results: SearchResults, select: SelectParams
) -> TrialDescriptions:
    """Return the names and further properties of the trials that were compared."""
    trials, candidates = compared.trials, results.candidates
    lowest_error = _find_lowest_error(results)
    measured = candidates.get(lowest_error.number) if lowest_error else None
    winner = candidates.get(compared.winner.number)
    return TrialDescriptions(
        results.metric_display_name(compared.metric),
        PARTS_OF_STRATEGY[read_json(SPLIT)["strategy"]],
        [format_sorted_label(trial.algorithm, trial.parameters) for trial in trials],
        [_describe_cost(trial, select) for trial in trials],
        {
            results.metric_display_name(name): [_find_property(trial, name, results) for trial in trials]
            for name in TRADE_OFFS
        },
        objective="" if results.search_metric.user_metric else results.search_metric.title(results.n),
        error=results.metric_display_name(results.error),
        predictor=None if lowest_error is None else _find_position(compared, lowest_error),
        predictor_value=measured.mean(compared.metric) if measured else nan,
        list_agreement=nan if winner is None or winner.list_agreement is None else winner.list_agreement,
    )


def _find_lowest_error(results: SearchResults) -> Trial | None:
    """Return the trial with the lowest error; None for implicit feedback."""
    return results.trial_of(results.ranked_predictors[0]) if results.ranked_predictors else None


def _find_position(compared: ComparedTrials, trial: Trial) -> int:
    """Return the position among the compared trials of the one with these parameters."""
    return list(compared.compared.keys).index(point_key(trial.algorithm, trial.parameters))


def _describe_cost(trial: Trial, select: SelectParams) -> str:
    """Return the cost by which a trial may be preferred; empty if that is a time, which varies."""
    is_size = select.cost_metric == "model_bytes"
    return f"{trial.model_bytes / MEGABYTE:.2f} MB" if is_size and trial.has_lists else ""


def _find_property(trial: Trial, name: str, results: SearchResults) -> float:
    """Return a property of a trial's lists; NaN if it was neither searched nor measured."""
    values = trial.mean_values() if trial.has_lists else {}
    candidate = results.candidates.get(trial.number)
    return values.get(name, candidate.mean(name) if candidate else nan)


def _build_record(trial: Trial, reason: str) -> dict[str, Any]:
    return {
        "algorithm": trial.algorithm,
        "parameters": dict(trial.parameters),
        "trial": trial.number,
        "reason": reason,
    }


if __name__ == "__main__":
    run_stage(select, "select")
