"""Figures of a search, readable on light and dark backgrounds."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from experiments.figures.leakage import plot_leakage
from experiments.figures.learning_curves import plot_learning_curves
from experiments.figures.parameter_space import plot_importance, plot_parallel_coordinates
from experiments.figures.pareto import plot_pareto
from experiments.figures.recommender_losses import plot_recommender_losses
from experiments.figures.segments import plot_segments
from experiments.figures.style import figure_style
from experiments.selection.list_comparison import Selection
from experiments.selection.search_results import SearchResults


def draw_figures(
    results: SearchResults, selection: Selection, importances: Mapping[str, Mapping[str, float]]
) -> dict[str, Figure | None]:
    """Draw all figures, by name; a figure is None if there is nothing to draw.

    Args:
        results: results of the search and the evaluation.
        selection: recommender and predictor.
        importances: importance of each parameter, by the title of the panel.
    """
    with figure_style():
        return {
            "pareto": plot_pareto(results, selection),
            "recommender_losses": _plot_losses(results, selection),
            "learning_curves": plot_learning_curves(results),
            "segments": plot_segments(results, selection),
            "leakage": plot_leakage(results),
            "importance": plot_importance(importances),
            "parallel_coordinates": plot_parallel_coordinates(results, selection),
        }


def _plot_losses(results: SearchResults, selection: Selection) -> Figure | None:
    """Draw the comparison of the recommenders; None if a set of metrics or errors decided, without bounds."""
    if selection.choice is None or results.search_metric.user_metric is None:
        return None
    metric = results.metric_display_name(results.search_metric.list_metric)
    return plot_recommender_losses(selection.choice, selection.labels, metric)
