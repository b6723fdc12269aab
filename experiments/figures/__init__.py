"""Figures of a search, readable on light and dark backgrounds."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from experiments.figures.leakage import plot_leakage
from experiments.figures.learning_curves import plot_learning_curves
from experiments.figures.parameter_space import plot_importance, plot_parallel_coordinates
from experiments.figures.pareto import plot_pareto
from experiments.figures.segments import plot_segments
from experiments.figures.style import figure_style
from experiments.search.trials import Trial
from experiments.selection.search_results import SearchResults


def draw_figures(
    results: SearchResults, winner: Trial, importances: Mapping[str, Mapping[str, float]]
) -> dict[str, Figure | None]:
    """Draw all figures, by name; a figure is None if there is nothing to draw.

    Args:
        results: results of the search and the evaluation.
        winner: the chosen trial.
        importances: importance of each parameter, by the title of the candidate.
    """
    with figure_style():
        return {
            "pareto": plot_pareto(results, winner),
            "learning_curves": plot_learning_curves(results),
            "segments": plot_segments(results),
            "leakage": plot_leakage(results),
            "importance": plot_importance(importances),
            "parallel_coordinates": plot_parallel_coordinates(results),
        }
