"""The leaderboard of the last search: on a terminal, and as Markdown for a document."""

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.table import Table

from experiments.config.offline import Params
from experiments.search.trials import MEGABYTE, Trial, ranked
from pipelines.support.console import screen
from pipelines.support.paths import CHOICE
from pipelines.support.provenance import data_version
from pipelines.support.stage_results import last_trials
from pipelines.support.stage_runner import read_json

COLUMNS = ("", "candidate", "RMSE", "±", "MAE", "fit s", "predict s", "MB", "parameters")
LEFT = {"candidate", "parameters"}
NARROW = 110  # columns of a terminal below which these give way to the parameters
LEFT_OUT_WHEN_NARROW = {"±", "predict s", "MB"}


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
        title += ", the best of each algorithm\n(all of them: marquee leaderboard)"
    rows = {t.number: ("▶" if t.number == chosen else str(i), *_cells(t)) for i, t in enumerate(shown, 1)}
    table = _empty(title, rows.values())
    for number, row in rows.items():
        table.add_row(*_fitting(row), style="bold green" if number == chosen else None)
    for trial in trials:
        if trial.failure is not None:
            table.add_row(*_fitting(_failed_row(trial)), style="red")
    return table


def leaderboard_markdown(params: Params) -> str:
    """The same as a Markdown table."""
    rule = [":--" if column in LEFT else "--:" for column in COLUMNS]
    trials = last_trials(params)
    ranking = ranked(trials, params.search.metric)
    rows = [(str(place), *_cells(trial)) for place, trial in enumerate(ranking, start=1)]
    rows += [_failed_row(trial) for trial in trials if trial.failure is not None]
    return "\n".join(f"| {' | '.join(row)} |" for row in (COLUMNS, rule, *rows))


def _empty(title: str, rows: Iterable[tuple[str, ...]]) -> Table:
    """A table in which only the parameters give way on a narrow terminal: no figure is cut."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    widths = [max(map(len, cells)) for cells in zip(COLUMNS, *rows, strict=True)]
    for column, width in zip(_fitting(COLUMNS), _fitting(tuple(map(str, widths))), strict=True):
        justify: JustifyMethod = "left" if column in LEFT else "right"
        gives_way = column == "parameters"
        least = None if gives_way else int(width)
        table.add_column(column, justify=justify, no_wrap=not gives_way, min_width=least)
    return table


def _fitting(row: tuple[str, ...]) -> tuple[str, ...]:
    """A row without the columns that a narrow terminal has no room for."""
    if screen().width >= NARROW:
        return row
    cells = zip(COLUMNS, row, strict=True)
    return tuple(cell for column, cell in cells if column not in LEFT_OUT_WHEN_NARROW)


def _failed_row(trial: Trial) -> tuple[str, ...]:
    return ("✗", trial.title, *[""] * 6, f"{trial.settings}: {trial.failure}")


def _cells(trial: Trial) -> tuple[str, ...]:
    seconds = (trial.cost.fit_seconds, trial.cost.predict_seconds) if trial.cost else ()
    cost = tuple(f"{value:.2f}" for value in seconds) or ("?", "?")
    errors = (f"{trial.mean('rmse'):.4f}", f"{trial.spread('rmse'):.4f}", f"{trial.mean('mae'):.4f}")
    return (trial.title, *errors, *cost, f"{trial.model_bytes / MEGABYTE:.1f}", trial.settings)
