"""Leaderboard of the last search, as a table for the terminal or in Markdown."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from experiments.config import Params
from experiments.search.trials import MEGABYTE, Trial, rank_trials
from pipelines.support.fetched_source import read_data_version
from pipelines.support.json_reader import read_json
from pipelines.support.paths import SELECTION
from pipelines.support.stage_results import read_trials

Row = tuple[str, ...]

COLUMNS: Row = ("", "candidate", "NDCG", "RMSE", "±", "MAE", "fit s", "predict s", "MB", "parameters")
LEFT_ALIGNED = {"candidate", "parameters"}
DISPENSABLE_COLUMNS = ("±", "predict s", "MB", "MAE")  # dropped in this order on a narrow terminal
# Characters to keep for the parameters, which wrap, before other columns are dropped.
MAX_PARAMETERS_WIDTH = 40
SEPARATOR_WIDTH = 2  # characters between two columns


def build_trial_leaderboard(params: Params, *, width: int, best_only: bool = False) -> Table:
    """Build a table of all trials: best first, the selected one marked, failed ones last with their reasons.

    Args:
        params: parameters of the project.
        width: width of the terminal in characters; a narrow terminal shows fewer columns.
        best_only: keep the best trial of each algorithm and the selected one.
    """
    trials, selected = read_trials(params), read_json(SELECTION)["recommender"]["trial"]
    ranking = _rank(trials, params)
    scope = f"cross-validation on {read_data_version().source}, {len(trials)} trials"
    title = f"Leaderboard: {scope}"
    if best_only:
        ranking = _select_best(ranking, selected)
        title += ", the best of each algorithm\n(all trials: marquee leaderboard)"
    if any(trial.pruned and trial.parts for trial in ranking):
        title += "\n* evaluated on fewer users, then dropped"
    rows = {trial.number: _format_scored_trial(rank, trial) for rank, trial in enumerate(ranking, start=1)}
    if selected in rows:
        rank, *cells = rows[selected]
        rows[selected] = (f"▶ {rank}", *cells)
    columns = _select_columns(list(rows.values()), width)
    table = _create_table(title, columns, rows.values())
    for number, row in rows.items():
        table.add_row(*_pick_cells(row, columns), style="bold green" if number == selected else None)
    for row in _format_failed_trials(trials):
        table.add_row(*_pick_cells(row, columns), style="red")
    return table


def build_markdown_leaderboard(params: Params) -> str:
    """Return a Markdown table of all trials: best first, failed ones last with their reasons."""
    rule = [":--" if column in LEFT_ALIGNED else "--:" for column in COLUMNS]
    trials = read_trials(params)
    ranking = _rank(trials, params)
    rows = [_format_scored_trial(rank, trial) for rank, trial in enumerate(ranking, start=1)]
    return "\n".join(
        f"| {' | '.join(row)} |" for row in (COLUMNS, rule, *rows, *_format_failed_trials(trials))
    )


def _rank(trials: Sequence[Trial], params: Params) -> list[Trial]:
    """Return the trials that have scores, best first; those without lists come last, lowest error first."""
    ranking = rank_trials(trials, params.search.metric_weights)
    ranked = {trial.number for trial in ranking}
    others = [trial for trial in trials if trial.number not in ranked]
    return [*ranking, *rank_trials(others, params.search.error_metric)]


def _select_best(ranking: Sequence[Trial], selected: int) -> list[Trial]:
    """Return the best trial of each algorithm and the selected one, in the order of the ranking."""
    best = {trial.algorithm: trial.number for trial in reversed(ranking)}
    return [trial for trial in ranking if trial.number in {*best.values(), selected}]


def _select_columns(rows: Sequence[Row], width: int) -> list[str]:
    """Return the columns that fit into the width."""
    widths = dict(zip(COLUMNS, _measure_columns(rows), strict=True))
    widths["parameters"] = min(widths["parameters"], MAX_PARAMETERS_WIDTH)
    columns = list(COLUMNS)
    for column in DISPENSABLE_COLUMNS:
        if sum(widths[name] + SEPARATOR_WIDTH for name in columns) > width:
            columns.remove(column)
    return columns


def _measure_columns(rows: Iterable[Row]) -> list[int]:
    return [max(map(len, cells)) for cells in zip(COLUMNS, *rows, strict=True)]


def _create_table(title: str, columns: Sequence[str], rows: Iterable[Row]) -> Table:
    """Return a table in which only the parameters may wrap, so that no number is cut off."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    widths = dict(zip(COLUMNS, _measure_columns(rows), strict=True))
    for column in columns:
        justify: JustifyMethod = "left" if column in LEFT_ALIGNED else "right"
        wraps = column == "parameters"
        table.add_column(
            column, justify=justify, no_wrap=not wraps, min_width=None if wraps else widths[column]
        )
    return table


def _pick_cells(row: Row, columns: Sequence[str]) -> Row:
    """Return the cells of these columns, escaped because rich interprets brackets as markup."""
    cells = dict(zip(COLUMNS, row, strict=True))
    return tuple(escape(cells[column]) for column in columns)


def _format_scored_trial(rank: int, trial: Trial) -> Row:
    means, cost = trial.mean_values(), trial.cost
    return (
        str(rank),
        trial.algorithm_title,
        _format_score(means.get("ndcg")) + ("*" if trial.pruned and trial.parts else ""),
        _format_score(means.get("rmse")),
        _format_score(trial.std("rmse") if trial.folds else None),
        _format_score(means.get("mae")),
        _format_seconds(cost.fit_seconds) if cost else "?",
        _format_seconds(cost.predict_seconds) if cost else "?",
        f"{trial.model_bytes / MEGABYTE:.1f}",
        trial.parameters_text,
    )


def _format_score(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"


def _format_seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"


def _format_failed_trials(trials: Iterable[Trial]) -> list[Row]:
    empty_cells = [""] * (len(COLUMNS) - 3)  # all but the mark, the candidate and the parameters
    return [
        ("✗", trial.algorithm_title, *empty_cells, f"{trial.parameters_text}: {trial.failure}")
        for trial in trials
        if trial.failure is not None
    ]
