"""Leaderboard of the last search, as a table for the terminal or in Markdown."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from experiments.config import Params
from experiments.evaluation.fold_intervals import paired_fold_difference
from experiments.evaluation.metric_names import ERRORS, metric_title
from experiments.evaluation.user_intervals import UserValues
from experiments.search.metric import SearchMetric
from experiments.search.trials import MEGABYTE, Trial, rank_trials
from experiments.search.user_scores import UserScores
from pipelines.support.fetched_source import read_data_version
from pipelines.support.json_reader import read_json
from pipelines.support.paths import SELECTION, USER_SCORES
from pipelines.support.stage_results import read_trials

Row = tuple[str, ...]

MARK, CANDIDATE, PARAMETERS = "", "candidate", "parameters"
RMSE, SPREAD, MAE, FIT, PREDICT, LISTS, SIZE = "RMSE", "±", "MAE", "fit s", "predict s", "lists s", "MB"
LEFT_ALIGNED = {CANDIDATE, PARAMETERS}
DISPENSABLE_COLUMNS = (SPREAD, PREDICT, LISTS, SIZE, MAE)  # dropped in this order on a narrow terminal
# Characters to keep for the parameters, which wrap, before other columns are dropped.
MAX_PARAMETERS_WIDTH = 40
SEPARATOR_WIDTH = 2  # characters between two columns
RECOMMENDER_MARK, PREDICTOR_MARK = "▶", "◆"
DROPPED, NEAR_BEST = "*", "≈"


def build_trial_leaderboard(params: Params, *, width: int, best_only: bool = False) -> Table:
    """Build a table of all trials: best lists first, the selected ones marked, failed ones last with reasons.

    Args:
        params: parameters of the project.
        width: width of the terminal in characters; a narrow terminal shows fewer columns.
        best_only: keep the best trials of each algorithm, by lists and by error, and the selected ones.
    """
    leaderboard = _Leaderboard(params)
    shown = leaderboard.best_trials() if best_only else leaderboard.ranking
    rows = leaderboard.format_rows(shown)
    columns = _select_columns(leaderboard.columns(rows), rows, width)
    table = _create_table(leaderboard.title(shown, best_only=best_only), columns, rows)
    for trial, row in zip(shown, rows, strict=True):
        is_selected = trial.number in leaderboard.selected.values()
        table.add_row(*_pick_cells(row, columns), style="bold green" if is_selected else None)
    for row in leaderboard.format_failed_trials():
        table.add_row(*_pick_cells(row, columns), style="red")
    return table


def build_markdown_leaderboard(params: Params) -> str:
    """Return a Markdown table of all trials: best lists first, failed ones last with their reasons."""
    leaderboard = _Leaderboard(params)
    rows = leaderboard.format_rows(leaderboard.ranking)
    columns = leaderboard.columns(rows)
    rule = [":--" if column in LEFT_ALIGNED else "--:" for column in columns]
    lines = [columns, rule]
    lines += [
        [row.get(column, "") for column in columns] for row in (*rows, *leaderboard.format_failed_trials())
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class _Leaderboard:
    """Trials of the last search in the order of the metric of the search, and their cells.

    Args:
        params: parameters of the project.
    """

    def __init__(self, params: Params) -> None:
        self._trials = read_trials(params)
        selection = read_json(SELECTION) if SELECTION.exists() else {}  # the search may have run alone
        self._metric, self._error = (
            SearchMetric.parse(params.search.metric_weights),
            params.search.error_metric,
        )
        self._n, self._has_ratings = params.measure.top_n, any(trial.folds for trial in self._trials)
        self._is_near_best = _find_near_best(self._trials, self._metric)
        self._is_near_lowest = _find_near_lowest(self._trials, self._error)
        roles = ("recommender", "predictor")
        self.selected = {role: selection[role]["trial"] for role in roles if selection.get(role)}
        self.ranking = self._rank()

    def title(self, shown: Sequence[Trial], *, best_only: bool) -> str:
        """Return what the table shows, on which splits it was measured, and the meaning of the marks."""
        error = ", errors on folds" if self._has_ratings else ""
        title = (
            f"Leaderboard: {len(self._trials)} trials on {read_data_version().source}, lists on validation "
            f"parts{error}"
        )
        if best_only:
            by = " by lists and by error" if self._has_ratings else ""
            title += f"\nthe best of each algorithm{by} (all trials: marquee leaderboard)"
        title += f"\n{self._describe_marks()}"
        if any(trial.number in self._is_near_best | self._is_near_lowest for trial in shown):
            title += f"; {NEAR_BEST} difference from the best may be chance"
        if any(_is_dropped(trial) for trial in shown):
            title += f"; {DROPPED} evaluated on fewer users, then dropped"
        return title

    def best_trials(self) -> list[Trial]:
        """Return the best trials of each algorithm and the selected ones, in the order of the ranking."""
        by_lists = {trial.algorithm: trial.number for trial in reversed(self.ranking)}
        by_error = rank_trials(self._trials, self._error)
        errors = {trial.algorithm: trial.number for trial in reversed(by_error)}
        kept = {*by_lists.values(), *errors.values(), *self.selected.values()}
        return [trial for trial in self.ranking if trial.number in kept]

    def format_rows(self, trials: Sequence[Trial]) -> list[dict[str, str]]:
        """Return the cells of each trial by column."""
        ranks = {trial.number: rank for rank, trial in enumerate(self.ranking, start=1)}
        return [self._format_trial(ranks[trial.number], trial) for trial in trials]

    def format_failed_trials(self) -> list[dict[str, str]]:
        """Return the cells of the trials that failed, with the reasons."""
        return [
            {
                MARK: "✗",
                CANDIDATE: trial.algorithm_title,
                PARAMETERS: f"{trial.parameters_text}: {trial.failure}",
            }
            for trial in self._trials
            if trial.failure is not None
        ]

    def columns(self, rows: Sequence[Mapping[str, str]]) -> list[str]:
        """Return the columns that some row fills: without ratings, there are no errors."""
        names = (*self._list_columns().values(), RMSE, SPREAD, MAE, FIT, PREDICT, LISTS, SIZE)
        filled = [name for name in names if any(row.get(name) for row in rows)]
        return [MARK, CANDIDATE, *filled, PARAMETERS]

    def _rank(self) -> list[Trial]:
        """Return the trials that have scores, best first; those without lists last, lowest error first."""
        ranking = rank_trials(self._trials, self._metric)
        ranked = {trial.number for trial in ranking}
        others = [trial for trial in self._trials if trial.number not in ranked]
        return [*ranking, *rank_trials(others, self._error)]

    def _list_columns(self) -> dict[str, str]:
        """Return the title of each metric of lists: those of the search, or else NDCG."""
        names = [name for name in self._metric.names if name not in ERRORS] or ["ndcg"]
        return {name: metric_title(name, self._n) for name in names}

    def _describe_marks(self) -> str:
        if len({*self.selected.values()}) == 1:
            return f"{RECOMMENDER_MARK} {' and '.join(self.selected)}"
        return f"{RECOMMENDER_MARK} recommender, {PREDICTOR_MARK} predictor"

    def _format_trial(self, rank: int, trial: Trial) -> dict[str, str]:
        means, cost, mark = trial.mean_values(), trial.cost, self._mark(trial)
        suffix = DROPPED if _is_dropped(trial) else NEAR_BEST * (trial.number in self._is_near_best)
        lists = {
            title: f"{means[name]:.4f}{suffix}" if name in means else ""
            for name, title in self._list_columns().items()
        }
        return {
            MARK: f"{mark} {rank}" if mark else str(rank),
            CANDIDATE: trial.algorithm_title,
            **lists,
            RMSE: _format_score(means.get("rmse")) + self._mark_error(trial, "rmse"),
            SPREAD: _format_score(trial.std("rmse") if trial.folds else None),
            MAE: _format_score(means.get("mae")) + self._mark_error(trial, "mae"),
            FIT: _format_seconds(cost.fit_seconds) if cost else "?",
            PREDICT: _format_seconds(cost.predict_seconds) if cost else "",
            LISTS: _format_seconds(cost.list_seconds) if cost else "",
            SIZE: f"{trial.model_bytes / MEGABYTE:.1f}",
            PARAMETERS: trial.parameters_text,
        }

    def _mark(self, trial: Trial) -> str:
        if trial.number == self.selected.get("recommender"):
            return RECOMMENDER_MARK
        return PREDICTOR_MARK if trial.number == self.selected.get("predictor") else ""

    def _mark_error(self, trial: Trial, name: str) -> str:
        return NEAR_BEST if name == self._error and trial.number in self._is_near_lowest else ""


def _find_near_best(trials: Sequence[Trial], metric: SearchMetric) -> set[int]:
    """Return the trials whose lists are not shown to be worse than the best ones; without the best."""
    ranked = [trial.number for trial in rank_trials(trials, metric) if trial.has_lists]
    if metric.user_metric is None or len(ranked) < 2:
        return set()
    scores = UserScores.load(USER_SCORES)
    values = UserValues(scores.values(metric.user_metric), scores.part, scores.user)
    best, *others = ranked
    return {number for number in others if not values.difference(number, best).excludes_zero}


def _find_near_lowest(trials: Sequence[Trial], error: str) -> set[int]:
    """Return the trials whose error is not shown to be higher than the lowest; without the best."""
    ranked = rank_trials(trials, error)
    lowest = [trial.fold_values(error) for trial in ranked[:1]]
    return {
        trial.number
        for trial in ranked[1:]
        if not paired_fold_difference(trial.fold_values(error), lowest[0]).excludes_zero
    }


def _is_dropped(trial: Trial) -> bool:
    return trial.pruned is not None and bool(trial.parts)


def _select_columns(columns: Sequence[str], rows: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """Return the columns that fit into the width."""
    widths = _measure_columns(columns, rows)
    widths[PARAMETERS] = min(widths[PARAMETERS], MAX_PARAMETERS_WIDTH)
    fitting = list(columns)
    for column in DISPENSABLE_COLUMNS:
        if column in fitting and sum(widths[name] + SEPARATOR_WIDTH for name in fitting) > width:
            fitting.remove(column)
    return fitting


def _measure_columns(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> dict[str, int]:
    return {column: max(len(column), *(len(row.get(column, "")) for row in rows), 0) for column in columns}


def _create_table(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Table:
    """Return a table in which only the parameters may wrap, so that no number is cut off."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    widths = _measure_columns(columns, rows)
    for column in columns:
        justify: JustifyMethod = "left" if column in LEFT_ALIGNED else "right"
        wraps = column == PARAMETERS
        table.add_column(
            column, justify=justify, no_wrap=not wraps, min_width=None if wraps else widths[column]
        )
    return table


def _pick_cells(row: Mapping[str, str], columns: Sequence[str]) -> Row:
    """Return the cells of these columns, escaped because rich interprets brackets as markup."""
    return tuple(escape(row.get(column, "")) for column in columns)


def _format_score(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"


def _format_seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"
