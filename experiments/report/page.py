"""HTML report of a search: tables with confidence intervals, figures as SVG, and how to read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from math import isinf
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.evaluation.fold_intervals import MeanInterval, mean_interval, paired_fold_difference
from experiments.evaluation.metric_names import (
    BEYOND_ACCURACY,
    ERRORS,
    HIGHER_IS_BETTER,
    LOWER_IS_BETTER,
    RANKING_METRIC_NAMES,
)
from experiments.search.trials import MEGABYTE, Trial, rank_trials
from experiments.selection.search_results import SearchResults

TEMPLATE_PATH = Path(__file__).with_name("page.html")
PERCENTAGES = {"coverage", "popularity_lift"}


@dataclass(frozen=True)
class ReportContext:
    """Content of the report besides the search results."""

    source: str
    reason: str  # explanation of the choice
    facts: Mapping[str, str]  # provenance, at the end of the page: value by name
    test_scores: Sequence[Mapping[str, Any]]  # rows: model, rmse, mae and list metrics on the test set


@dataclass(frozen=True)
class Cell:
    """Table cell: a value, a note in small type (its interval), and whether it is the best of the column."""

    text: str
    note: str = ""
    is_best: bool = False


def render_report(
    results: SearchResults, winner: Trial, context: ReportContext, figures: Mapping[str, str | None]
) -> str:
    """Return the report as HTML.

    Args:
        results: results of the search and the evaluation.
        winner: the chosen trial.
        context: the other content of the report.
        figures: SVG element of each figure by name; None leaves a figure out.
    """
    return _template().render(
        context=context,
        results=results,
        winner=winner,
        candidates=_candidate_rows(results, winner),
        ranking=_metric_table(results, RANKING_METRIC_NAMES),
        beyond_accuracy=_metric_table(results, BEYOND_ACCURACY),
        costs=_cost_rows(results),
        trials=rank_trials(results.trials, results.metric),
        unfinished=[trial for trial in results.trials if trial.failure or trial.pruned],
        failed=[candidate for candidate in results.candidates.values() if candidate.failure],
        figures={name: svg and Markup(svg) for name, svg in figures.items()},
        leakage=_leakage_orders(results),
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE_PATH.read_text(encoding="utf-8"))


def _candidate_rows(results: SearchResults, winner: Trial) -> list[dict[str, Any]]:
    """Return errors with intervals, and differences from the first row on the same folds."""
    rows: list[dict[str, Any]] = []
    for candidate in results.ranked_candidates:
        trial = results.best_trial(candidate)
        scores, default_scores = candidate.fold_values(results.metric), candidate.default_scores
        first_scores = results.ranked_candidates[0].fold_values(results.metric)
        difference = paired_fold_difference(scores, first_scores) if rows else None
        gain = paired_fold_difference(default_scores, scores) if default_scores else None
        rows.append(
            {
                "title": trial.algorithm_title,
                "settings": trial.parameters_text,
                "is_winner": trial.number == winner.number,
                "errors": [
                    _interval_cell(mean_interval(candidate.fold_values(metric)), "{:.4f}")
                    for metric in ERRORS
                ],
                "difference": _difference_cell(difference),
                "impossible": f"{candidate.mean('impossible'):.2%}",
                "gain": _difference_cell(gain),
            }
        )
    return rows


def _difference_cell(difference: MeanInterval | None) -> Cell:
    if difference is None:
        return Cell("-")
    if difference.mean == difference.low == difference.high == 0:
        return Cell("none")
    note = "" if difference.excludes_zero else "; not significant"
    return Cell(f"{difference.mean:+.4f}", f"{_format_bounds(difference, '{:+.4f}')}{note}")


def _interval_cell(interval: MeanInterval, form: str) -> Cell:
    return Cell(form.format(interval.mean), _format_bounds(interval, form))


def _format_bounds(interval: MeanInterval, form: str) -> str:
    return "" if isinf(interval.low) else f"{form.format(interval.low)} to {form.format(interval.high)}"


def _metric_table(results: SearchResults, metrics: Sequence[str]) -> dict[str, Any]:
    """Return one row per candidate and one column per metric; the best of each column is marked."""
    best = {
        metric: (min if metric in LOWER_IS_BETTER else max)(
            (candidate.mean(metric) for candidate in results.ranked_candidates), default=0.0
        )
        for metric in metrics
        if metric in LOWER_IS_BETTER + HIGHER_IS_BETTER
    }
    rows = [
        (
            results.best_trial(candidate).algorithm_title,
            [_metric_cell(candidate, metric, best.get(metric)) for metric in metrics],
        )
        for candidate in results.ranked_candidates
    ]
    return {"columns": [results.metric_display_name(metric) for metric in metrics], "rows": rows}


def _metric_cell(candidate: CandidateMetrics, metric: str, best: float | None) -> Cell:
    form = "{:.1%}" if metric in PERCENTAGES else "{:.4f}" if metric in RANKING_METRIC_NAMES else "{:.3f}"
    interval = mean_interval(candidate.fold_values(metric))
    return Cell(
        form.format(interval.mean), _format_bounds(interval, form), best is not None and interval.mean == best
    )


def _cost_rows(results: SearchResults) -> list[tuple[str, list[str]]]:
    """Return the title and the formatted costs of each candidate; `?` stands for an unknown cost."""
    rows = []
    for candidate in results.ranked_candidates:
        size = f"{results.best_trial(candidate).model_bytes / MEGABYTE:.2f}"
        cost = candidate.cost
        if cost is None:
            rows.append((results.best_trial(candidate).algorithm_title, ["?", "?", "?", "?", size]))
            continue
        peak = "?" if cost.peak_bytes is None else f"{cost.peak_bytes / MEGABYTE:.1f}"
        times = [f"{cost.fit_seconds:.3f}", f"{cost.predict_microseconds:.2f}", f"{cost.top_n_seconds:.3f}"]
        rows.append((results.best_trial(candidate).algorithm_title, [*times, peak, size]))
    return rows


def _leakage_orders(results: SearchResults) -> dict[str, Any] | None:
    """Return the titles of the candidates in their order under each split, or None if it was not measured."""
    if not results.leakage:
        return None
    titles = {
        candidate.algorithm: results.best_trial(candidate).algorithm_title
        for candidate in results.ranked_candidates
    }
    return {
        "cutoff": datetime.fromisoformat(results.leakage["cutoff"]).date().isoformat(),
        "orders": [
            {
                "name": results.metric_display_name(metric),
                "tau": f"{order['tau']:.2f}",
                "rows": list(
                    zip(
                        [titles[name] for name in order["random"]],
                        [titles[name] for name in order["time"]],
                        strict=True,
                    )
                ),
            }
            for metric, order in results.leakage["order"].items()
        ],
    }
