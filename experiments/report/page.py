"""HTML report of a search: tables with confidence intervals, figures as SVG, and how to read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isinf
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from experiments.evaluation.candidate_record import (
    BEYOND_ACCURACY,
    ERRORS,
    HIGHER_IS_BETTER,
    LOWER_IS_BETTER,
    CandidateMetrics,
)
from experiments.evaluation.confidence_intervals import MeanInterval, mean_interval, paired_difference
from experiments.search.trials import MEGABYTE, Trial, rank_trials
from experiments.selection.search_results import RANKING_METRIC_NAMES, SearchResults

TEMPLATE = Path(__file__).with_name("page.html")
PERCENTAGES = {"coverage", "popularity_lift", "impossible"}


@dataclass(frozen=True)
class ReportContext:
    """Content of the report besides the search results."""

    source: str
    reason: str  # explanation of the choice
    facts: Mapping[str, str]  # name and value, at the end of the page
    test_scores: Sequence[Mapping[str, Any]]  # rows: model, rmse, mae and list metrics on the test set


@dataclass(frozen=True)
class Cell:
    """Table cell: a value, a note in small type (its interval), and a mark for the best of the column."""

    text: str
    note: str = ""
    is_best: bool = False


def render(
    results: SearchResults, winner: Trial, context: ReportContext, figures: Mapping[str, str | None]
) -> str:
    """Return the report as HTML. Figures are SVG elements; None leaves a figure out."""
    return str(
        _template().render(
            context=context,
            results=results,
            winner=winner,
            candidates=_candidate_rows(results, winner),
            ranking=_table(results, RANKING_METRIC_NAMES),
            beyond_accuracy=_table(results, BEYOND_ACCURACY),
            costs=_costs(results),
            trials=rank_trials(results.trials, results.metric),
            unfinished=[trial for trial in results.trials if not trial.folds],
            failed=[candidate for candidate in results.candidates.values() if candidate.failure],
            figures={name: svg and Markup(svg) for name, svg in figures.items()},
            leakage=_leakage(results),
        )
    )


@cache
def _template() -> Any:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _candidate_rows(results: SearchResults, winner: Trial) -> list[dict[str, Any]]:
    """Return errors with intervals, and differences from the first row on the same folds."""
    rows: list[dict[str, Any]] = []
    first = next(iter(results.ranked_candidates), None)
    for candidate in results.ranked_candidates:
        trial = results.trial(candidate)
        difference = None
        if first is not None and candidate is not first:
            difference = paired_difference(candidate.values(results.metric), first.values(results.metric))
        rows.append(
            {
                "title": trial.title,
                "settings": trial.settings,
                "is_winner": trial.number == winner.number,
                "errors": [
                    _with_interval(mean_interval(candidate.values(metric)), "{:.4f}") for metric in ERRORS
                ],
                "difference": _difference(difference),
                "impossible": f"{candidate.mean('impossible'):.2%}",
                "gain": _difference(
                    paired_difference(candidate.default_scores, candidate.values(results.metric))
                    if candidate.default_scores
                    else None
                ),
            }
        )
    return rows


def _difference(interval: MeanInterval | None) -> Cell:
    if interval is None or interval.mean == interval.low == interval.high == 0:
        return Cell("none" if interval else "-")
    note = "" if interval.excludes_zero else "; not significant"
    return Cell(f"{interval.mean:+.4f}", f"{_bounds(interval, '{:+.4f}')}{note}")


def _with_interval(interval: MeanInterval, form: str) -> Cell:
    return Cell(form.format(interval.mean), _bounds(interval, form))


def _bounds(interval: MeanInterval, form: str) -> str:
    return "" if isinf(interval.low) else f"{form.format(interval.low)} to {form.format(interval.high)}"


def _table(results: SearchResults, metrics: Sequence[str]) -> dict[str, Any]:
    """Return one row per candidate and one column per metric; the best of each column is marked."""
    best = {
        metric: (min if metric in LOWER_IS_BETTER else max)(
            (candidate.mean(metric) for candidate in results.ranked_candidates), default=0.0
        )
        for metric in metrics
        if metric in LOWER_IS_BETTER + HIGHER_IS_BETTER
    }
    rows = [
        (results.trial(candidate).title, [_cell(candidate, metric, best.get(metric)) for metric in metrics])
        for candidate in results.ranked_candidates
    ]
    return {"columns": [results.display_name(metric) for metric in metrics], "rows": rows}


def _cell(candidate: CandidateMetrics, metric: str, best: float | None) -> Cell:
    form = "{:.1%}" if metric in PERCENTAGES else "{:.4f}" if metric in RANKING_METRIC_NAMES else "{:.3f}"
    interval = mean_interval(candidate.values(metric))
    return Cell(
        form.format(interval.mean), _bounds(interval, form), best is not None and interval.mean == best
    )


def _costs(results: SearchResults) -> list[tuple[str, list[str]]]:
    rows = []
    for candidate in results.ranked_candidates:
        size = f"{results.trial(candidate).model_bytes / MEGABYTE:.2f}"
        cost = candidate.cost
        if cost is None:
            rows.append((results.trial(candidate).title, ["?", "?", "?", "?", size]))
            continue
        peak = "?" if cost.peak_bytes is None else f"{cost.peak_bytes / MEGABYTE:.1f}"
        figures = [f"{cost.fit_seconds:.3f}", f"{cost.predict_microseconds:.2f}", f"{cost.top_n_seconds:.3f}"]
        rows.append((results.trial(candidate).title, [*figures, peak, size]))
    return rows


def _leakage(results: SearchResults) -> dict[str, Any] | None:
    """Return the order of the candidates under both splits, by title."""
    if not results.leakage:
        return None
    titles = {candidate.algorithm: results.trial(candidate).title for candidate in results.ranked_candidates}
    return {
        "cutoff": str(results.leakage["cutoff"])[:10],
        "orders": [
            {
                "name": results.display_name(metric),
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
