"""Choose the winner by the rule in params.yaml, and say why."""

from experiments.config import Params
from experiments.selection import Choice, choose
from pipelines.leaderboard import last_trials
from pipelines.paths import CHOICE
from pipelines.screen import screen
from pipelines.stage import run, write_json


def select(params: Params) -> None:
    """Write results/choice.json, and print the reason."""
    choice = choose(last_trials(params), params.select)
    write_json(CHOICE, _record(choice))
    for refused in choice.over_budget:
        screen().print(f"Over budget: {refused}.")
    screen().print(f"Chosen: {choice.reason}.")


def _record(choice: Choice) -> dict[str, object]:
    winner = choice.winner
    return {
        "algorithm": winner.algorithm,
        "parameters": dict(winner.parameters),
        "trial": winner.number,
        "reason": choice.reason,
    }


if __name__ == "__main__":
    run(select, "select")
