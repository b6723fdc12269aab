"""Figure of metrics by segment: cold, warm and hot users, head and tail items."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.evaluation.candidate_record import RANDOM_BASELINE, CandidateMetrics
from experiments.figures.style import COLORS, FAINT
from experiments.selection.search_results import SearchResults
from marquee.metrics.segments import ITEM_SEGMENTS, USER_SEGMENTS


class _Panel(NamedTuple):
    """One metric by segment."""

    title: str
    direction: str
    segments: Sequence[str]
    metric: str
    colors: Sequence[str]


def plot_segments(results: SearchResults) -> Figure | None:
    """Draw a row per candidate, best first, and a dot per segment; None if no candidate was evaluated."""
    candidates = [
        candidate for candidate in results.ranked_candidates if candidate.algorithm != RANDOM_BASELINE
    ]
    if not candidates:
        return None
    panels = _panels(results)
    figure = Figure(figsize=(12.5, 1.9 + 0.34 * len(candidates)), layout="constrained")
    panel_axes = figure.subplots(1, len(panels), sharey=True)
    for axes, panel in zip(panel_axes, panels, strict=True):
        _draw_panel(axes, candidates, panel)
    titles = [results.best_trial(candidate).algorithm_title for candidate in candidates]
    panel_axes[0].set_yticks(range(len(candidates)), titles)
    panel_axes[0].invert_yaxis()
    users, items = (panel_axes[number].get_legend_handles_labels() for number in (0, 2))
    figure.legend(*users, loc="outside lower left", ncols=len(USER_SEGMENTS))
    figure.legend(*items, loc="outside lower right", ncols=len(ITEM_SEGMENTS))
    return figure


def _panels(results: SearchResults) -> list[_Panel]:
    error = f"{results.metric_display_name(results.metric)} in stars"
    ndcg, recall = results.metric_display_name("ndcg"), results.metric_display_name("recall")
    lower, higher = "lower is better", "higher is better"
    user_colors, item_colors = COLORS, COLORS[len(USER_SEGMENTS) :]
    return [
        _Panel(f"{error}, by user", lower, USER_SEGMENTS, results.metric, user_colors),
        _Panel(f"{ndcg}, by user", higher, USER_SEGMENTS, "ndcg", user_colors),
        _Panel(f"{error}, by item", lower, ITEM_SEGMENTS, results.metric, item_colors),
        _Panel(f"{recall}, by item", higher, ITEM_SEGMENTS, "recall", item_colors),
    ]


def _draw_panel(axes: Axes, candidates: Sequence[CandidateMetrics], panel: _Panel) -> None:
    segment_values: dict[str, dict[int, float]] = {segment: {} for segment in panel.segments}
    for row, candidate in enumerate(candidates):
        for segment, values in segment_values.items():
            metrics = candidate.segments.get(segment, {})
            if panel.metric in metrics:
                values[row] = metrics[panel.metric]
        row_values = [values[row] for values in segment_values.values() if row in values]
        if row_values:
            axes.plot([min(row_values), max(row_values)], [row, row], color=FAINT, linewidth=1, zorder=1)
    for (segment, values), color in zip(segment_values.items(), panel.colors, strict=False):
        axes.scatter(list(values.values()), list(values), color=color, s=36, label=segment, zorder=2)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.direction)
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
