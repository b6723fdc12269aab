"""Choose the winner by the rule in params.yaml, and say why."""

from experiments.config import Params
from experiments.figures import accuracy_against_time
from experiments.selection import Choice, choose
from experiments.tracking import Tracker
from experiments.trials import from_record
from pipelines.paths import CHOICE, SEARCH
from pipelines.provenance import search_run
from pipelines.screen import screen
from pipelines.stage import read_json, run, write_json


def select(params: Params) -> None:
    """Write results/choice.json; print and log the reason."""
    tracker = Tracker(params.search.experiment)
    parent = search_run(tracker)
    costs = tracker.costs(parent)
    found = read_json(SEARCH)
    trials = [from_record(record, costs.get(record["number"])) for record in found["trials"]]
    choice = choose(trials, params.select, found["metric"])
    write_json(CHOICE, _record(choice))
    _remember(tracker, parent, choice)
    tracker.log_figure(
        parent, accuracy_against_time(trials, found["metric"], choice.winner), "accuracy_time.png"
    )
    screen().print(f"Chosen: {choice.reason}.")


def _record(choice: Choice) -> dict[str, object]:
    winner = choice.winner
    return {
        "algorithm": winner.algorithm,
        "parameters": dict(winner.parameters),
        "trial": winner.number,
        "reason": choice.reason,
    }


def _remember(tracker: Tracker, parent: str, choice: Choice) -> None:
    """The parent's headline becomes the winner's, should a budget have refused the best trial."""
    tags = {"choice": choice.winner.label, "choice_reason": choice.reason}
    if choice.over_budget:
        tags["over_budget"] = "; ".join(choice.over_budget)
    tracker.log(parent, metrics=choice.winner.metrics(), tags=tags)


if __name__ == "__main__":
    run(select, "select")
