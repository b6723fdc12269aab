"""The plots of a search: each answers one question, with labels and units, and reads in light and in dark."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from experiments.figures.curves import learning_curves
from experiments.figures.leakage import leakage
from experiments.figures.parameter_space import importance, parallel_coordinates
from experiments.figures.pareto import pareto
from experiments.figures.segments import groups
from experiments.figures.style import drawn
from experiments.search.trials import Trial
from experiments.selection.search_results import Findings


def figures_of(
    findings: Findings, winner: Trial, shares: Mapping[str, Mapping[str, float]]
) -> dict[str, Figure | None]:
    """Every figure by its name; None where there is nothing to draw.

    Args:
        findings: of the search.
        winner: who was chosen.
        shares: importance of the parameters, by the candidate's title.
    """
    with drawn():
        return {
            "pareto": pareto(findings, winner),
            "learning_curves": learning_curves(findings),
            "groups": groups(findings),
            "leakage": leakage(findings),
            "importance": importance(shares),
            "parallel_coordinates": parallel_coordinates(findings),
        }
