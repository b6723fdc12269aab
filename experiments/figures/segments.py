"""Figure of metrics by segment: cold, warm and hot users, head and tail items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.figures.style import COLORS, FAINT
from experiments.selection.list_comparison import ListComparison, Selection, rank_predictors
from experiments.selection.search_results import SearchResults
from marquee.algorithms.registry import RANDOM_BASELINE
from marquee.metrics.segments import ITEM_SEGMENTS, USER_SEGMENTS


@dataclass(frozen=True)
class _Panel:
    """One metric by segment; candidates by algorithm."""

    title: str
    direction: str
    segments: Sequence[str]
    metric: str
    colors: Sequence[str]
    candidates: Mapping[str, CandidateMetrics]


def plot_segments(results: SearchResults, selection: Selection) -> Figure | None:
    """Draw a row per algorithm, best lists first, and a dot per segment; None without measured trials.

    Lists are those of its best trial by lists, errors those of its best trial by error. Without ratings,
    there are no panels of errors.
    """
    panels = _build_panels(results, selection)
    algorithms = list(dict.fromkeys(name for panel in panels for name in panel.candidates))
    if not algorithms:
        return None
    figure = Figure(figsize=(12.5, 1.9 + 0.34 * len(algorithms)), layout="constrained")
    panel_axes = figure.subplots(1, len(panels), sharey=True)
    for axes, panel in zip(panel_axes, panels, strict=True):
        _draw_panel(axes, algorithms, panel)
    titles = [_title(name, panels, results) for name in algorithms]
    panel_axes[0].set_yticks(range(len(algorithms)), titles)
    panel_axes[0].invert_yaxis()
    users, items = (panel_axes[number].get_legend_handles_labels() for number in (0, -1))
    figure.legend(*users, loc="outside lower left", ncols=len(USER_SEGMENTS))
    figure.legend(*items, loc="outside lower right", ncols=len(ITEM_SEGMENTS))
    return figure


def _build_panels(results: SearchResults, selection: Selection) -> list[_Panel]:
    lists = _first_by_algorithm(ListComparison(results, selection).ranked)
    errors = _first_by_algorithm(rank_predictors(results, selection.predictor))
    error = f"{results.metric_display_name(results.error)} in stars"
    ndcg, recall = results.metric_display_name("ndcg"), results.metric_display_name("recall")
    lower, higher = "folds, lower is better", "validation parts, higher is better"
    user_colors, item_colors = COLORS, COLORS[len(USER_SEGMENTS) :]
    panels = [
        _Panel(f"{ndcg}, by user", higher, USER_SEGMENTS, "ndcg", user_colors, lists),
        _Panel(f"{recall}, by item", higher, ITEM_SEGMENTS, "recall", item_colors, lists),
    ]
    if errors:
        by_user = _Panel(f"{error}, by user", lower, USER_SEGMENTS, results.error, user_colors, errors)
        by_item = _Panel(f"{error}, by item", lower, ITEM_SEGMENTS, results.error, item_colors, errors)
        panels = [panels[0], by_user, panels[1], by_item]
    return panels


def _first_by_algorithm(candidates: Sequence[CandidateMetrics]) -> dict[str, CandidateMetrics]:
    """Return the first candidate of each algorithm, without Random, which would stretch the axes."""
    first: dict[str, CandidateMetrics] = {}
    for candidate in candidates:
        if candidate.algorithm != RANDOM_BASELINE:
            first.setdefault(candidate.algorithm, candidate)
    return first


def _title(algorithm: str, panels: Sequence[_Panel], results: SearchResults) -> str:
    candidate = next(panel.candidates[algorithm] for panel in panels if algorithm in panel.candidates)
    return results.trial_of(candidate).algorithm_title


def _draw_panel(axes: Axes, algorithms: Sequence[str], panel: _Panel) -> None:
    segment_values: dict[str, dict[int, float]] = {segment: {} for segment in panel.segments}
    for row, algorithm in enumerate(algorithms):
        if algorithm not in panel.candidates:
            continue
        for segment, values in segment_values.items():
            metrics = panel.candidates[algorithm].segments.get(segment, {})
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
