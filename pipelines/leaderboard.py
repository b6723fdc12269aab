"""The leaderboard of the last search: on a terminal, and as Markdown for a document."""

from rich.table import Table

from experiments.config import Params
from experiments.tracking import Tracker
from experiments.trials import MEGABYTE, Trial, from_record, ranked
from pipelines.paths import CHOICE, SEARCH
from pipelines.provenance import data_version, search_run
from pipelines.stage import read_json

COLUMNS = ("", "candidate", "RMSE", "±", "MAE", "fit s", "predict s", "MB", "parameters")
LEFT = {"candidate", "parameters"}


def leaderboard_table(params: Params, *, best_of_each: bool = False) -> Table:
    """Finished trials best first, the chosen one marked; failed ones last with their reason.

    `best_of_each` keeps one trial an algorithm (and the chosen one), for a first look.
    """
    trials, chosen = last_trials(params), read_json(CHOICE)["trial"]
    shown = ranked(trials, params.search.metric)
    title = f"Leaderboard: cross-validation on {data_version().source}, {len(trials)} trials"
    if best_of_each:
        best = {trial.algorithm: trial.number for trial in reversed(shown)}
        shown = [trial for trial in shown if trial.number in {*best.values(), chosen}]
        title += ", the best of each algorithm (all: marquee leaderboard)"
    table = Table(title=title, title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in LEFT else "right", no_wrap=True)
    for place, trial in enumerate(shown, start=1):
        won = trial.number == chosen
        table.add_row("▶" if won else str(place), *_cells(trial), style="bold green" if won else None)
    for trial in trials:
        if trial.failure is not None:
            table.add_row("✗", trial.title, *[""] * 6, f"{trial.settings}: {trial.failure}", style="red")
    return table


def leaderboard_markdown(params: Params) -> str:
    """The same as a Markdown table."""
    rule = [":--" if column in LEFT else "--:" for column in COLUMNS]
    ranking = ranked(last_trials(params), params.search.metric)
    rows = [(str(place), *_cells(trial)) for place, trial in enumerate(ranking, start=1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (COLUMNS, rule, *rows))


def last_trials(params: Params) -> list[Trial]:
    """The trials of results/search.json, with the costs that the tracking store remembers."""
    tracker = Tracker(params.search.experiment)
    costs = tracker.costs(search_run(tracker))
    return [from_record(record, costs.get(record["number"])) for record in read_json(SEARCH)["trials"]]


def _cells(trial: Trial) -> tuple[str, ...]:
    cost = (
        (f"{trial.cost.fit_seconds:.2f}", f"{trial.cost.predict_seconds:.2f}") if trial.cost else ("?", "?")
    )
    errors = (f"{trial.mean('rmse'):.4f}", f"{trial.spread('rmse'):.4f}", f"{trial.mean('mae'):.4f}")
    return (trial.title, *errors, *cost, f"{trial.model_bytes / MEGABYTE:.1f}", trial.settings)
