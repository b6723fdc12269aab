"""Select the winner by the rule in params.yaml, and explain the choice."""

from math import isnan

from experiments.config import Params
from experiments.evaluation.metric_names import ERRORS
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.explanation import explain_choice
from experiments.selection.rule import Choice, choose
from experiments.selection.search_results import SearchResults
from marquee.files.atomic_write import write_json
from pipelines.support.console import create_console
from pipelines.support.paths import HEADLINE, SELECTION
from pipelines.support.stage_results import read_trials_and_metrics
from pipelines.support.stage_runner import run_stage

HEADLINE_METRICS = ("ndcg", "recall", "coverage", "personalization", "diversity", "novelty")


def select(params: Params) -> None:
    """Write results/selection.json and results/headline.json, and print the reason."""
    results = read_trials_and_metrics(params)
    choice = choose(results, params.select)
    reason = explain_choice(choice, results, params.select)
    recommender = _find_best_lists(results) or choice.winner
    write_json(SELECTION, _build_record(choice, reason, recommender, results))
    write_json(HEADLINE, _build_headline(results, choice.winner))
    console = create_console()
    for trial in choice.over_budget:
        console.print(f"Over budget: {trial}.", markup=False)
    console.print(reason, markup=False)
    console.print(f"{recommender.label} recommends.", markup=False)


def _find_best_lists(results: SearchResults) -> Trial | None:
    """Return the evaluated trial with the highest NDCG; None if no candidate has one."""
    values = {number: candidate.mean("ndcg") for number, candidate in results.candidates.items()}
    ranked = [number for number, value in values.items() if not isnan(value)]
    if not ranked:
        return None
    return results.trials_by_number[max(ranked, key=lambda number: (values[number], -number))]


def _build_record(
    choice: Choice, reason: str, recommender: Trial, results: SearchResults
) -> dict[str, object]:
    metric = results.metric_display_name("ndcg")
    return {
        "recommender": {
            **_describe_trial(recommender),
            "reason": f"{recommender.label} recommends, because its lists have the highest {metric}.",
        },
        "predictor": {**_describe_trial(choice.winner), "reason": reason},
    }


def _describe_trial(trial: Trial) -> dict[str, object]:
    return {
        "algorithm": trial.algorithm,
        "parameters": dict(trial.parameters),
        "trial": trial.number,
    }


def _build_headline(results: SearchResults, winner: Trial) -> dict[str, float]:
    """Return the winner's metrics for `dvc metrics` and `dvc exp show`."""
    metrics = {metric: winner.mean(metric) for metric in ERRORS}
    measured = results.candidates.get(winner.number)
    if measured is not None and measured.folds:
        means = {metric: measured.mean(metric) for metric in HEADLINE_METRICS}
        metrics |= {metric: mean for metric, mean in means.items() if not isnan(mean)}
    return metrics | {"model_megabytes": winner.model_bytes / MEGABYTE}


if __name__ == "__main__":
    run_stage(select, "select")
