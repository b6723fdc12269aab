"""Choose the winner by the rule in params.yaml, and say why."""

from math import isnan

from experiments.config.offline import Params
from experiments.evaluation.candidate_metrics import ERRORS
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.explanation import explain
from experiments.selection.rule import Choice, choose
from experiments.selection.search_results import Findings
from marquee.files.atomic_write import write_json
from pipelines.support.console import screen
from pipelines.support.paths import CHOICE, HEADLINE
from pipelines.support.stage_results import last_findings
from pipelines.support.stage_runner import run

LISTS = ("ndcg", "recall", "coverage", "personalisation", "diversity", "novelty")


def select(params: Params) -> None:
    """Write results/choice.json and results/headline.json, and print the reason."""
    findings = last_findings(params)
    choice = choose(findings, params.select)
    reason = explain(choice, findings, params.select)
    write_json(CHOICE, _record(choice, reason))
    write_json(HEADLINE, _headline(findings, choice.winner))
    for refused in choice.over_budget:
        screen().print(f"Over budget: {refused}.")
    screen().print(reason)


def _record(choice: Choice, reason: str) -> dict[str, object]:
    winner = choice.winner
    return {
        "algorithm": winner.algorithm,
        "parameters": dict(winner.parameters),
        "trial": winner.number,
        "reason": reason,
    }


def _headline(findings: Findings, winner: Trial) -> dict[str, float]:
    """The winner's figures that `dvc metrics` and `dvc exp show` compare."""
    figures = {metric: winner.mean(metric) for metric in ERRORS}
    measured = findings.measured.get(winner.number)
    if measured is not None and measured.folds:
        means = {metric: measured.mean(metric) for metric in LISTS}
        figures |= {metric: mean for metric, mean in means.items() if not isnan(mean)}
    return figures | {"model_megabytes": winner.model_bytes / MEGABYTE}


if __name__ == "__main__":
    run(select, "select")
