"""Select the winner by the rule in params.yaml, and explain the choice."""

from math import isnan

from experiments.config import Params
from experiments.evaluation.metric_names import ERRORS
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.explanation import explain_choice
from experiments.selection.rule import Choice, choose
from experiments.selection.search_results import SearchResults
from marquee.files.atomic_write import write_json
from pipelines.support.console import get_console
from pipelines.support.paths import HEADLINE, SELECTION
from pipelines.support.stage_results import read_search_results
from pipelines.support.stage_runner import run_stage

HEADLINE_METRICS = ("ndcg", "recall", "coverage", "personalization", "diversity", "novelty")


def select(params: Params) -> None:
    """Write results/selection.json and results/headline.json, and print the reason."""
    results = read_search_results(params)
    choice = choose(results, params.select)
    reason = explain_choice(choice, results, params.select)
    write_json(SELECTION, _build_record(choice, reason))
    write_json(HEADLINE, _build_headline(results, choice.winner))
    console = get_console()
    for trial in choice.over_budget:
        console.print(f"Over budget: {trial}.")
    console.print(reason)


def _build_record(choice: Choice, reason: str) -> dict[str, object]:
    winner = choice.winner
    return {
        "algorithm": winner.algorithm,
        "parameters": dict(winner.parameters),
        "trial": winner.number,
        "reason": reason,
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
