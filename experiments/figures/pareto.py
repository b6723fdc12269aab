"""Figure of quality against cost: lists and errors by time and memory of a fit, with the Pareto fronts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.figures.style import FAINT, INK, SeriesStyle, algorithm_styles, use_plain_tick_labels
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.list_comparison import ListComparison, Selection, rank_predictors
from experiments.selection.search_results import SearchResults

MAX_ERROR_RATIO = 1.25  # candidates whose error exceeds this multiple of the lowest are listed, not drawn
# Smaller costs are drawn at these values, because a logarithmic axis has no zero.
MIN_SECONDS = 1e-4
MIN_MEGABYTES = 0.01


@dataclass(frozen=True)
class _Row:
    """Two panels with the same quality on the vertical axis."""

    title: str  # "Lists" or "Predicted ratings"
    label: str  # of the vertical axis
    legend: str
    candidates: Sequence[CandidateMetrics]  # best first
    quality: Callable[[CandidateMetrics], float]
    is_higher_better: bool
    selected: Trial
    role: str

    def in_view(self) -> list[CandidateMetrics]:
        """Return the candidates with known costs whose error is not far above the lowest."""
        if self.is_higher_better:
            return [candidate for candidate in self.candidates if candidate.cost]
        limit = MAX_ERROR_RATIO * min(self.quality(candidate) for candidate in self.candidates)
        return [each for each in self.candidates if each.cost and self.quality(each) <= limit]


def plot_pareto(results: SearchResults, selection: Selection) -> Figure | None:
    """Draw lists and errors against the time and memory of a fit; return None if no cost is known.

    Without ratings, there is only the row of the lists.
    """
    rows = [row for row in _build_rows(results, selection) if row.in_view()]
    if not rows:
        return None
    figure = Figure(figsize=(11, 0.4 + 4.6 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 2, sharey="row", squeeze=False)
    for row, (left, right) in zip(rows, panels, strict=True):
        _draw_row(row, left, right, algorithm_styles(results), results)
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (cost, error) points that no other point dominates, cheapest first."""
    lowest_error, front = inf, []
    for cost, error in sorted(points):
        if error < lowest_error:
            lowest_error = error
            front.append((cost, error))
    return front


def _build_rows(results: SearchResults, selection: Selection) -> list[_Row]:
    lists, predictor = ListComparison(results, selection), selection.predictor
    metric, error = (results.metric_display_name(name) for name in (lists.metric, results.error))
    ranked = [candidate for candidate in lists.ranked if isfinite(lists.value(candidate))]
    rows = [
        _Row(
            "Lists", f"{metric}, validation parts (higher is better)", metric, ranked, lists.value,
            is_higher_better=True, selected=selection.recommender, role="recommender",
        )
    ]  # fmt: skip
    if predictor is not None and (predictors := rank_predictors(results, predictor)):
        rows.append(
            _Row(
                "Predicted ratings", f"{error} in stars, folds (lower is better)", error, predictors,
                lambda candidate: candidate.mean(results.error),
                is_higher_better=False, selected=predictor, role="predictor",
            )
        )  # fmt: skip
    return rows


def _draw_row(
    row: _Row, left: Axes, right: Axes, styles: dict[str, SeriesStyle], results: SearchResults
) -> None:
    for axes, cost, unit in ((left, _seconds, "time"), (right, _megabytes, "memory")):
        _draw_panel(axes, row, styles, cost, results)
        _mark_selected(axes, row, results, cost)
        axes.set_title(f"{row.title} and {unit}")
    left.set_xlabel("time of one fit in seconds (logarithmic)")
    right.set_xlabel("peak memory of one fit in MB (logarithmic)")
    left.set_ylabel(row.label)
    _draw_legend(right, row, results)


def _draw_panel(
    axes: Axes,
    row: _Row,
    styles: dict[str, SeriesStyle],
    cost: Callable[[CandidateMetrics], float],
    results: SearchResults,
) -> None:
    candidates, sign = row.in_view(), -1.0 if row.is_higher_better else 1.0
    points = [(cost(candidate), row.quality(candidate)) for candidate in candidates]
    front = [(x, sign * loss) for x, loss in pareto_front([(x, sign * y) for x, y in points])]
    axes.step(*zip(*front, strict=True), where="post", color=FAINT, linewidth=1.2, zorder=1)
    for candidate, (x, y) in zip(candidates, points, strict=True):
        style = styles[candidate.algorithm]
        axes.scatter(x, y, c=style.color, marker=style.marker, s=70, edgecolors="none", zorder=3,
                     label=f"{results.trial_of(candidate).algorithm_title}  {y:.4f}")  # fmt: skip
    axes.set_xscale("log")
    use_plain_tick_labels(axes)
    axes.grid(visible=True)
    axes.margins(0.12)


def _mark_selected(
    axes: Axes, row: _Row, results: SearchResults, cost: Callable[[CandidateMetrics], float]
) -> None:
    """Draw a ring around the selected trial if it is in view."""
    candidate = results.candidates.get(row.selected.number)
    if candidate is not None and candidate in row.in_view():
        place = (cost(candidate), row.quality(candidate))
        axes.scatter(*place, s=260, facecolors="none", edgecolors=INK, linewidths=1.5, zorder=4)
        axes.annotate(row.role, place, xytext=(0, -20), textcoords="offset points", ha="center", va="top")


def _draw_legend(axes: Axes, row: _Row, results: SearchResults) -> None:
    """List the candidates, best first, then those out of view."""
    in_view = row.in_view()
    for candidate in row.candidates:
        if candidate not in in_view:
            title, value = results.trial_of(candidate).algorithm_title, row.quality(candidate)
            axes.scatter([], [], s=0, label=f"{title}  {value:.4f}, out of view")
    axes.plot([], [], color=FAINT, label="Pareto front")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles, labels, title=f"best trials, {row.legend}",
                alignment="left", loc="upper left", bbox_to_anchor=(1.01, 1.0))  # fmt: skip


def _seconds(candidate: CandidateMetrics) -> float:
    """Return the time of a fit."""
    return max(candidate.cost.fit_seconds, MIN_SECONDS) if candidate.cost else MIN_SECONDS


def _megabytes(candidate: CandidateMetrics) -> float:
    """Return the peak memory of a fit."""
    if candidate.cost is None:
        return MIN_MEGABYTES
    return max((candidate.cost.peak_bytes or 0) / MEGABYTE, MIN_MEGABYTES)
