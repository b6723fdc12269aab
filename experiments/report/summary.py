"""Summary at the top of the report: recommender and predictor side by side, each number with its split."""

from collections.abc import Mapping
from math import isfinite, nan
from typing import Any, NamedTuple

from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.evaluation.fold_intervals import mean_interval
from experiments.evaluation.metric_names import RATED_NDCG
from experiments.evaluation.user_intervals import MIN_USERS
from experiments.report.tables import (
    MAY_BE_CHANCE,
    Cell,
    Table,
    TableBuilder,
    TableRow,
    excludes_zero,
    format_bounds,
)
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.list_comparison import Selection, count_folds, error_columns
from experiments.selection.search_results import SearchResults
from marquee.algorithms.registry import POPULARITY

NOT_COMPARABLE = "not comparable with the test part"
TEST_FORMS = {  # row of the summary: metric in results/evaluation.json, and its format
    "coverage, test part": ("coverage", "{:.1%}"),
    "{rated}, test part": (RATED_NDCG, "{:.4f}"),
    "graded NDCG@{n}, test part": ("graded_ndcg", "{:.4f}"),
    "NDCG@{n} of newcomers, test part": ("newcomer_ndcg", "{:.4f}"),
    "RMSE, test part": ("rmse", "{:.4f}"),
    "MAE, test part": ("mae", "{:.4f}"),
}


class _Role(NamedTuple):
    """Column of the summary."""

    name: str
    trial: Trial
    measured: CandidateMetrics | None
    score: Mapping[str, Any]  # on the test part


class SummaryBuilder:
    """Builds the summary.

    Args:
        results: results of the search and of the measurement.
        selection: recommender and predictor.
        evaluation: content of results/evaluation.json.
    """

    def __init__(self, results: SearchResults, selection: Selection, evaluation: Mapping[str, Any]) -> None:
        self._results, self._evaluation = results, evaluation
        self._tables = TableBuilder(results, selection)
        self._roles = self._collect_roles(selection)

    def build(self) -> Table:
        """Return a column per role; one column if both are the same trial, or without ratings."""
        rows = [
            TableRow("algorithm", [Cell(role.trial.algorithm_title) for role in self._roles]),
            TableRow("parameters", [Cell(role.trial.parameters_text or "none") for role in self._roles]),
            self._test_ndcg(),
            self._popularity_ratio(),
            *self._test_rows(),
            self._validation_ndcg(),
            self._fold_errors(),
            *self._costs(),
        ]
        filled = [row for row in rows if any(cell.text for cell in row.cells)]
        return Table([role.name for role in self._roles], filled, "")

    def _collect_roles(self, selection: Selection) -> list[_Role]:
        scores, predictor = self._evaluation["scores"], selection.predictor
        roles = [self._role("recommender", selection.recommender, scores["recommender"])]
        if predictor is None:
            return roles
        if predictor.number == selection.recommender.number:
            return [roles[0]._replace(name="recommender and predictor")]
        return [*roles, self._role("predictor", predictor, scores.get("predictor", {}))]

    def _role(self, name: str, trial: Trial, score: Mapping[str, Any]) -> _Role:
        return _Role(name, trial, self._results.candidates.get(trial.number), score)

    @property
    def _has_enough_users(self) -> bool:
        """False if there are so few evaluated users that any difference may be chance."""
        return bool(self._evaluation["test_set"]["evaluated_users"] >= MIN_USERS)

    def _beats_popularity(self, score: Mapping[str, Any]) -> bool:
        return self._has_enough_users and score.get("popularity_gain_low", 0.0) > 0

    def _test_ndcg(self) -> TableRow:
        def cell(score: Mapping[str, Any]) -> Cell:
            if "ndcg" not in score:
                return Cell("")
            bounds = [score.get(f"ndcg_{bound}", nan) for bound in ("low", "high")]
            note = f"95% CI {bounds[0]:.4f} to {bounds[1]:.4f}" if isfinite(bounds[0]) else ""
            return Cell(f"{score['ndcg']:.4f}", note, is_best=self._beats_popularity(score))

        title = f"NDCG@{self._evaluation['test_set']['n']}, test part"
        return TableRow(title, [cell(role.score) for role in self._roles])

    def _popularity_ratio(self) -> TableRow:
        """Return the ratio to popularity; a difference that may be chance is marked."""
        popularity = self._evaluation["scores"].get(POPULARITY, {})

        def cell(score: Mapping[str, Any]) -> Cell:
            if "ndcg" not in score or not popularity.get("ndcg"):
                return Cell("")
            text = f"{score['ndcg'] / popularity['ndcg']:.2f} times"
            if "popularity_gain_low" not in score:
                return Cell(text)
            gain, low, high = (score[f"popularity_gain{bound}"] for bound in ("", "_low", "_high"))
            note = f"{gain:+.4f}, 95% CI {low:+.4f} to {high:+.4f}"
            is_clear = self._has_enough_users and excludes_zero(score, "popularity_gain")
            return Cell(text, note if is_clear else f"{note}; {MAY_BE_CHANCE}")

        cells = [cell(role.score) for role in self._roles]
        return TableRow("relative to popularity, test part", cells)

    def _test_rows(self) -> list[TableRow]:
        n, rated = self._evaluation["test_set"]["n"], self._results.metric_display_name(RATED_NDCG)
        rows = []
        for title, (name, form) in TEST_FORMS.items():
            cells = [
                Cell(form.format(role.score[name]) if name in role.score else "") for role in self._roles
            ]
            rows.append(TableRow(title.format(n=n, rated=rated), cells))
        return rows

    def _validation_ndcg(self) -> TableRow:
        lists = self._tables.lists
        metric = self._results.metric_display_name(lists.metric)

        def cell(measured: CandidateMetrics | None) -> Cell:
            if measured is None or not isfinite(lists.value(measured)):
                return Cell("")
            interval = lists.interval(measured)
            bounds = "" if interval is None else f"95% CI {format_bounds(interval, '{:.4f}')}; "
            return Cell(f"{lists.value(measured):.4f}", f"{bounds}{NOT_COMPARABLE}")

        return TableRow(f"{metric}, validation parts", [cell(role.measured) for role in self._roles])

    def _fold_errors(self) -> TableRow:
        error = error_columns(self._results)[0]
        n_folds = count_folds(self._tables.predictors)

        def cell(measured: CandidateMetrics | None) -> Cell:
            if measured is None or not measured.folds:
                return Cell("")
            interval = mean_interval(measured.fold_values(error), lowest=0.0)
            bounds = format_bounds(interval, "{:.4f}")
            return Cell(f"{interval.mean:.4f}", f"95% CI {bounds}; {NOT_COMPARABLE}")

        title = f"{self._results.metric_display_name(error)}, {n_folds} folds"
        return TableRow(title, [cell(role.measured) for role in self._roles])

    def _costs(self) -> list[TableRow]:
        def seconds(role: _Role) -> str:
            cost = role.measured.cost if role.measured else None
            return f"{cost.fit_seconds:.2f} s" if cost else "?"

        sizes = [Cell(f"{role.trial.model_bytes / MEGABYTE:.2f} MB") for role in self._roles]
        return [
            TableRow("time of one fit", [Cell(seconds(role)) for role in self._roles]),
            TableRow("size of the model", sizes),
        ]
