"""Fills the page: tables with intervals, figures as SVG, words on how to read each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isinf
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from experiments.evaluation.candidate_metrics import (
    BEYOND,
    ERRORS,
    HIGHER_IS_BETTER,
    LOWER_IS_BETTER,
    Measures,
)
from experiments.evaluation.confidence_intervals import Interval, interval, paired
from experiments.search.trials import MEGABYTE, Trial, ranked
from experiments.selection.search_results import OF_LISTS, Findings

TEMPLATE = Path(__file__).with_name("page.html")
PERCENT = {"coverage", "popularity_lift", "impossible"}


@dataclass(frozen=True)
class Told:
    """What a page says beside the findings."""

    source: str
    reason: str  # the paragraph of the choice
    facts: Mapping[str, str]  # name and value, for the foot of the page
    tested: Sequence[Mapping[str, Any]]  # rows: model, rmse, mae on the test part


@dataclass(frozen=True)
class Cell:
    """A figure of a table: what is shown, its interval in small, and whether it is the column's best."""

    text: str
    note: str = ""
    best: bool = False


def render(findings: Findings, winner: Trial, told: Told, figures: Mapping[str, str | None]) -> str:
    """The page as HTML, with those of the figures that there are, as SVG elements."""
    return str(
        _template().render(
            told=told,
            findings=findings,
            winner=winner,
            leaders=_leaders(findings, winner),
            ranking=_table(findings, OF_LISTS),
            promised=_table(findings, BEYOND),
            costs=_costs(findings),
            trials=ranked(findings.trials, findings.metric),
            unfinished=[trial for trial in findings.trials if not trial.folds],
            unmeasured=[one for one in findings.measured.values() if one.failure],
            figures={name: svg and Markup(svg) for name, svg in figures.items()},
            leak=_leak(findings),
        )
    )


@cache
def _template() -> Any:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _leaders(findings: Findings, winner: Trial) -> list[dict[str, Any]]:
    """Errors with their intervals, and how far each is from the first on the same folds."""
    rows: list[dict[str, Any]] = []
    first = next(iter(findings.leaders), None)
    for one in findings.leaders:
        trial = findings.trial(one)
        difference = None
        if first is not None and one is not first:
            difference = paired(one.values(findings.metric), first.values(findings.metric))
        rows.append(
            {
                "title": trial.title,
                "settings": trial.settings,
                "chosen": trial.number == winner.number,
                "errors": [_with_interval(interval(one.values(metric)), "{:.4f}") for metric in ERRORS],
                "difference": _difference(difference),
                "impossible": f"{one.mean('impossible'):.2%}",
                "gain": _difference(
                    paired(one.defaults, one.values(findings.metric)) if one.defaults else None
                ),
            }
        )
    return rows


def _difference(told: Interval | None) -> Cell:
    if told is None or told.mean == told.low == told.high == 0:
        return Cell("none" if told else "-")
    note = "" if told.excludes_zero else "; not told from 0"
    return Cell(f"{told.mean:+.4f}", f"{_bounds(told, '{:+.4f}')}{note}")


def _with_interval(told: Interval, form: str) -> Cell:
    return Cell(form.format(told.mean), _bounds(told, form))


def _bounds(told: Interval, form: str) -> str:
    return "" if isinf(told.low) else f"{form.format(told.low)} to {form.format(told.high)}"


def _table(findings: Findings, metrics: Sequence[str]) -> dict[str, Any]:
    """A row a candidate, a column a metric, the best of each column marked."""
    best = {
        metric: (min if metric in LOWER_IS_BETTER else max)(
            (one.mean(metric) for one in findings.leaders), default=0.0
        )
        for metric in metrics
        if metric in LOWER_IS_BETTER + HIGHER_IS_BETTER
    }
    rows = [
        (findings.trial(one).title, [_cell(one, metric, best.get(metric)) for metric in metrics])
        for one in findings.leaders
    ]
    return {"columns": [findings.name(metric) for metric in metrics], "rows": rows}


def _cell(one: Measures, metric: str, best: float | None) -> Cell:
    form = "{:.1%}" if metric in PERCENT else "{:.4f}" if metric in OF_LISTS else "{:.3f}"
    told = interval(one.values(metric))
    return Cell(form.format(told.mean), _bounds(told, form), best is not None and told.mean == best)


def _costs(findings: Findings) -> list[tuple[str, list[str]]]:
    rows = []
    for one in findings.leaders:
        size = f"{findings.trial(one).model_bytes / MEGABYTE:.2f}"
        cost = one.cost
        if cost is None:
            rows.append((findings.trial(one).title, ["?", "?", "?", "?", size]))
            continue
        peak = "?" if cost.peak_bytes is None else f"{cost.peak_bytes / MEGABYTE:.1f}"
        figures = [f"{cost.fit_seconds:.3f}", f"{cost.predict_microseconds:.2f}", f"{cost.top_n_seconds:.3f}"]
        rows.append((findings.trial(one).title, [*figures, peak, size]))
    return rows


def _leak(findings: Findings) -> dict[str, Any] | None:
    """The orders under both splits, by title."""
    if not findings.leakage:
        return None
    titles = {one.algorithm: findings.trial(one).title for one in findings.leaders}
    return {
        "moment": str(findings.leakage["moment"])[:10],
        "orders": [
            {
                "name": findings.name(metric),
                "tau": f"{order['tau']:.2f}",
                "rows": list(
                    zip(
                        [titles[name] for name in order["random"]],
                        [titles[name] for name in order["time"]],
                        strict=True,
                    )
                ),
            }
            for metric, order in findings.leakage["order"].items()
        ],
    }
