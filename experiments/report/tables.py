"""Tables of the report: rows of measured trials, with intervals, and with marks of what may be chance."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isinf, nan
from typing import Any

from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.evaluation.fold_intervals import MeanInterval, mean_interval, paired_fold_difference
from experiments.evaluation.metric_names import (
    HIGHER_IS_BETTER,
    LOWER_IS_BETTER,
    RANKING_METRIC_NAMES,
    RATED_NDCG,
)
from experiments.evaluation.user_intervals import MIN_USERS, UserInterval
from experiments.search.trials import MEGABYTE, Trial, rank_trials
from experiments.selection.list_comparison import ListComparison, Selection, error_columns, rank_predictors
from experiments.selection.search_results import SearchResults
from marquee.algorithms.registry import POPULARITY, find_algorithm

PERCENTAGES = {"coverage", "popularity_lift"}
MAY_BE_CHANCE = "may be chance"
DROPPED = "dropped early"
UNKNOWN = "?"


@dataclass(frozen=True)
class Cell:
    """Table cell: a value, a note in small type (its interval), and whether it is the best of the column."""

    text: str
    note: str = ""
    is_best: bool = False


@dataclass(frozen=True)
class TableRow:
    """Row of a table: its title, remarks below the title, cells, and the role if its trial was selected."""

    title: str
    cells: Sequence[Cell]
    remarks: Sequence[str] = ()
    role: str = ""


@dataclass(frozen=True)
class Table:
    """Table with a first column of titles."""

    columns: Sequence[str]
    rows: Sequence[TableRow]
    first_column: str = "candidate"
    text_columns: int = 0  # number of last columns that contain text


class TableBuilder:
    """Builds the tables of a search.

    Args:
        results: results of the search and of the measurement.
        selection: recommender and predictor.
    """

    def __init__(self, results: SearchResults, selection: Selection) -> None:
        self._results, self._selection = results, selection
        self.lists = ListComparison(results, selection)
        self.predictors = rank_predictors(results, selection.predictor)

    def role_of(self, trial: Trial) -> str:
        """Return the role of a trial: recommender, predictor, both, or empty."""
        predictor = self._selection.predictor
        roles = [
            role
            for role, selected in (("recommender", self._selection.recommender), ("predictor", predictor))
            if selected is not None and selected.number == trial.number
        ]
        return " and ".join(roles)

    def titles(self, candidates: Sequence[CandidateMetrics]) -> list[str]:
        """Return the title of each candidate."""
        return [self._trial(candidate).algorithm_title for candidate in candidates]

    # Lists on the validation parts

    def build_lists(self) -> Table:
        """Return the metric of the search with intervals, and differences paired by user."""
        metric = self._results.metric_display_name(self.lists.metric)
        has_rated = any(isfinite(_rated_ndcg(self._trial(each))) for each in self.lists.ranked)
        names = [metric, "difference", f"recall@{self._results.n}", "coverage"]
        names += [self._results.metric_display_name(RATED_NDCG)] * has_rated
        rows = [self._list_row(candidate, has_rated=has_rated) for candidate in self.lists.ranked]
        return Table([*names, "parameters"], rows, text_columns=1)

    def _list_row(self, candidate: CandidateMetrics, *, has_rated: bool) -> TableRow:
        trial = self._trial(candidate)
        cells = [
            self._list_value(candidate),
            self._list_difference(candidate),
            Cell(f"{candidate.mean('recall'):.4f}"),
            Cell(f"{candidate.mean('coverage'):.1%}"),
        ]
        cells += [_rated_cell(trial)] * has_rated
        return self._row(candidate, [*cells, Cell(trial.parameters_text)])

    def _list_value(self, candidate: CandidateMetrics) -> Cell:
        interval = self.lists.interval(candidate)
        if interval is None:
            note = DROPPED if self._trial(candidate).pruned else ""
            return Cell(f"{self.lists.value(candidate):.4f}", note)
        return Cell(f"{interval.mean:.4f}", format_bounds(interval, "{:.4f}"))

    def _list_difference(self, candidate: CandidateMetrics) -> Cell:
        first = self.lists.ranked[0]
        if candidate is first:
            return Cell("-")
        difference = self.lists.difference(candidate, first)
        if difference is None:
            note = _describe_race(self._trial(candidate)) or "no interval"
            return Cell(f"{self.lists.value(candidate) - self.lists.value(first):+.4f}", note)
        note = format_bounds(difference, "{:+.4f}")
        return Cell(
            f"{difference.mean:+.4f}", note if difference.excludes_zero else f"{note}; {MAY_BE_CHANCE}"
        )

    def build_metrics(self, metrics: Sequence[str]) -> Table:
        """Return a column per metric; the best one is marked, if several rows beat popularity and Random."""
        lists, results = self.lists, self._results
        competitive = [each for each in lists.ranked if lists.is_competitive(each)]
        if len(competitive) == 1:
            competitive = []
        best = {
            name: _best(name, [each.mean(name) for each in competitive])
            for name in metrics
            if name in LOWER_IS_BETTER + HIGHER_IS_BETTER
        }  # fmt: skip
        rows = []
        for candidate in lists.ranked:
            cells = [
                Cell(
                    _metric_form(name).format(candidate.mean(name)),
                    is_best=candidate in competitive and candidate.mean(name) == best.get(name),
                )
                for name in metrics
            ]
            remarks = [*lists.remarks(candidate), *self._chance_remark(candidate)]
            rows.append(self._row(candidate, cells, remarks))
        return Table([results.metric_display_name(name) for name in metrics], rows)

    def _chance_remark(self, candidate: CandidateMetrics) -> list[str]:
        """Return a remark on a row whose metric of the search may equal that of the first row."""
        first = self.lists.ranked[0]
        difference = None if candidate is first else self.lists.difference(candidate, first)
        if difference is None or difference.excludes_zero:
            return []
        return [f"difference from the first row {MAY_BE_CHANCE}"]

    # Errors on the folds

    def build_errors(self) -> Table:
        """Return errors with intervals over the folds, and differences paired by fold."""
        errors = error_columns(self._results)
        columns = [self._results.metric_display_name(name) for name in errors]
        names = [*columns, "difference", "impossible", "tuning gain", "parameters"]
        return Table(names, [self._error_row(candidate) for candidate in self.predictors], text_columns=1)

    def _error_row(self, candidate: CandidateMetrics) -> TableRow:
        error, first = self._results.error, self.predictors[0]
        values, defaults = candidate.fold_values(error), candidate.default_scores
        difference = None if candidate is first else paired_fold_difference(values, first.fold_values(error))
        gain = paired_fold_difference(defaults, values) if defaults else None
        intervals = [
            mean_interval(candidate.fold_values(name), lowest=0.0) for name in error_columns(self._results)
        ]
        cells = [
            *(Cell(f"{each.mean:.4f}", format_bounds(each, "{:.4f}")) for each in intervals),
            _difference_cell(difference),
            Cell(f"{candidate.mean('impossible'):.2%}"),
            _difference_cell(gain),
            Cell(self._trial(candidate).parameters_text),
        ]
        return self._row(candidate, cells, ())

    # Costs and all trials

    def build_costs(self) -> Table:
        """Return the costs of each measured trial; `?` stands for an unknown cost."""
        measured = {each.trial: each for each in (*self.lists.ranked, *self.predictors)}
        columns = ["fit, s", "prediction, µs", "all lists, s", "peak memory of a fit, MB", "model, MB"]
        rows = [self._cost_row(candidate) for candidate in measured.values()]
        if not self.predictors:
            columns.remove("prediction, µs")
            rows = [TableRow(row.title, [row.cells[0], *row.cells[2:]], (), row.role) for row in rows]
        return Table([*columns, "parameters"], rows, text_columns=1)

    def _cost_row(self, candidate: CandidateMetrics) -> TableRow:
        trial, cost = self._trial(candidate), candidate.cost
        texts = [UNKNOWN] * 4
        if cost is not None:
            microseconds = cost.predict_microseconds
            texts = [
                f"{cost.fit_seconds:.3f}",
                "" if microseconds is None else f"{microseconds:.2f}",
                f"{cost.top_n_seconds:.3f}",
                UNKNOWN if cost.peak_bytes is None else f"{cost.peak_bytes / MEGABYTE:.1f}",
            ]
        texts += [f"{trial.model_bytes / MEGABYTE:.2f}", trial.parameters_text]
        return self._row(candidate, [Cell(text) for text in texts], ())

    def build_trials(self) -> Table:
        """Return all trials: with lists on all parts, dropped early, without lists, and failed."""
        results = self._results
        ranked = rank_trials(results.trials, results.metric)
        ranked += [*rank_trials(results.trials, results.error), *results.trials]
        ranked = list({trial.number: trial for trial in ranked}.values())  # each where it occurs first
        metric, errors = self.lists.metric, error_columns(results) if self.predictors else ()
        columns = [results.metric_display_name(name) for name in (metric, *errors)]
        rows = [self._trial_row(trial, metric, errors) for trial in ranked]
        return Table([*columns, "fit, s", "parameters"], rows, "trial", text_columns=1)

    def _trial_row(self, trial: Trial, metric: str, errors: Sequence[str]) -> TableRow:
        values = trial.mean_values()
        note = DROPPED if trial.pruned and trial.parts else ""
        cells = [Cell(_format_or_empty(values.get(metric)), note if metric in values else "")]
        cells += [Cell(_format_or_empty(values.get(name))) for name in errors]
        seconds = f"{trial.cost.fit_seconds:.2f}" if trial.cost else UNKNOWN
        reason = trial.failure or trial.pruned or trial.fold_failure
        cells += [Cell(seconds if values else ""), Cell(trial.parameters_text, reason or "")]
        return TableRow(f"{trial.number} {trial.algorithm_title}", cells, (), self.role_of(trial))

    def _row(
        self, candidate: CandidateMetrics, cells: Sequence[Cell], remarks: Sequence[str] | None = None
    ) -> TableRow:
        trial = self._trial(candidate)
        shown = self.lists.remarks(candidate) if remarks is None else remarks
        return TableRow(trial.algorithm_title, cells, shown, self.role_of(trial))

    def _trial(self, candidate: CandidateMetrics) -> Trial:
        return self._results.trial_of(candidate)


def build_test_scores(evaluation: Mapping[str, Any], champion: Mapping[str, Any]) -> Table:
    """Return the scores on the test part, best lists first, then those without lists.

    Args:
        evaluation: content of results/evaluation.json.
        champion: scores of the champion; empty if there was none.
    """
    records = _merge_roles(evaluation["scores"])
    if champion:
        records.append((f"champion, version {champion['version']}, refitted", "", champion))
    columns = _test_columns([record for _, _, record in records], evaluation["test_set"]["n"])
    records.sort(key=lambda each: -each[2].get("ndcg", -1.0))
    popularity = evaluation["scores"].get(POPULARITY, {}).get("ndcg", nan)
    rows = [
        TableRow(
            title,
            [_test_cell(record, name) for name in columns],
            _test_remarks(record, evaluation, popularity),
            role,
        )
        for title, role, record in records
    ]
    return Table(list(columns.values()), rows, "model")


def _merge_roles(scores: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return title, selected roles and scores of each model; models with equal scores share a row."""
    merged: dict[tuple[Any, ...], tuple[str, list[str], Mapping[str, Any]]] = {}
    for role, record in scores.items():
        key = tuple(record.get(name) for name in ("algorithm", "ndcg", "rmse"))
        title = find_algorithm(record["algorithm"]).title
        merged.setdefault(key, (title, [], record))[1].append(role)
    selected = ("recommender", "predictor")
    return [
        (title, " and ".join(role for role in selected if role in roles), record)
        for title, roles, record in merged.values()
    ]


def _test_columns(records: Sequence[Mapping[str, Any]], n: int) -> dict[str, str]:
    """Return the titles of the metrics that some model has, by name."""
    titles = {
        "ndcg": f"NDCG@{n}",
        "recall": f"recall@{n}",
        "coverage": "coverage",
        RATED_NDCG: f"NDCG@{n} of rated items",
        "graded_ndcg": f"graded NDCG@{n}",
        "newcomer_ndcg": f"NDCG@{n} of newcomers",
        "rmse": "RMSE",
        "mae": "MAE",
    }
    return {name: title for name, title in titles.items() if any(name in record for record in records)}


def _test_cell(record: Mapping[str, Any], name: str) -> Cell:
    if name not in record:
        return Cell("")
    note = (
        f"{record['ndcg_low']:.4f} to {record['ndcg_high']:.4f}"
        if name == "ndcg" and "ndcg_low" in record
        else ""
    )
    return Cell(_metric_form(name, "{:.4f}").format(record[name]), note)


def _test_remarks(record: Mapping[str, Any], evaluation: Mapping[str, Any], popularity: float) -> list[str]:
    """Return remarks on lists that are worse than popularity, or perhaps as good as the recommender's."""
    remarks = []
    if record.get("ndcg", nan) < popularity:
        remarks.append("below popularity")
    has_enough_users = evaluation["test_set"]["evaluated_users"] >= MIN_USERS
    difference = record.get("recommender_gain", 0.0)
    if difference != 0 and not (has_enough_users and excludes_zero(record, "recommender_gain")):
        remarks.append(f"difference from the recommender {MAY_BE_CHANCE}")
    return remarks


def excludes_zero(record: Mapping[str, Any], name: str) -> bool:
    """Return True if the interval of a difference on the test part is on one side of zero."""
    return bool(record.get(f"{name}_low", -inf) > 0 or record.get(f"{name}_high", inf) < 0)


def format_bounds(interval: MeanInterval | UserInterval, form: str) -> str:
    """Return the bounds of an interval, or nothing if they are infinite."""
    return "" if isinf(interval.low) else f"{form.format(interval.low)} to {form.format(interval.high)}"


def _difference_cell(difference: MeanInterval | None) -> Cell:
    if difference is None:
        return Cell("-")
    if difference.mean == difference.low == difference.high == 0:
        return Cell("none")
    note = format_bounds(difference, "{:+.4f}")
    return Cell(f"{difference.mean:+.4f}", note if difference.excludes_zero else f"{note}; {MAY_BE_CHANCE}")


def _describe_race(trial: Trial) -> str:
    """Return by how many standard errors, paired by user, the trial was worse when the search dropped it."""
    match = re.search(r"([\d.]+) standard errors", trial.pruned or "")
    return f"{match[1]} standard errors" if match else ""


def _rated_cell(trial: Trial) -> Cell:
    value = _rated_ndcg(trial)
    if not isfinite(value):
        return Cell("")
    return Cell(f"{value:.4f}", f"{DROPPED}" if trial.pruned else "")


def _rated_ndcg(trial: Trial) -> float:
    """Return the mean over the parts that the trial was evaluated on; NaN if it is unknown."""
    return trial.mean_values().get(RATED_NDCG, nan) if trial.parts else nan


def _best(name: str, values: Sequence[float]) -> float:
    return (min if name in LOWER_IS_BETTER else max)(values, default=nan)


def _metric_form(name: str, default: str = "{:.3f}") -> str:
    return "{:.1%}" if name in PERCENTAGES else "{:.4f}" if name in RANKING_METRIC_NAMES else default


def _format_or_empty(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
