"""Choose the winner by the rule in params.yaml, and say why."""

from experiments.config import Params
from experiments.explanation import explain
from experiments.selection import Choice, choose
from pipelines.found import last_findings
from pipelines.paths import CHOICE
from pipelines.screen import screen
from pipelines.stage import run, write_json


def select(params: Params) -> None:
    """Write results/choice.json, and print the reason."""
    findings = last_findings(params)
    choice = choose(findings, params.select)
    reason = explain(choice, findings, params.select)
    write_json(CHOICE, _record(choice, reason))
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


if __name__ == "__main__":
    run(select, "select")
