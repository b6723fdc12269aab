"""Figure of the recommender's selection: the loss of each trial against the leader, and its bound."""

from collections.abc import Sequence
from math import isfinite

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLORS, INK
from experiments.selection.recommender_rule import Contender, RecommenderChoice

MAX_ROWS = 12
MAX_LOSS = 0.1  # trials that are worse than this share of the leader's mean are left out
NON_INFERIOR, INFERIOR = COLORS[0], COLORS[6]


def plot_recommender_losses(choice: RecommenderChoice, labels: Sequence[str], metric: str) -> Figure:
    """Draw a row per trial, best first: a dot for its loss, and a line to the bound of it.

    Args:
        choice: result of the selection.
        labels: name of each trial.
        metric: name of the metric, for the axis.
    """
    contenders = shown_contenders(choice)
    figure = Figure(figsize=(11.5, 1.3 + 0.34 * len(contenders)), layout="constrained")
    axes = figure.subplots()
    for row, contender in enumerate(contenders):
        _draw_contender(axes, row, contender, choice)
    axes.axvline(100 * choice.margin, color=INK, linewidth=1, linestyle="--")
    axes.annotate(
        f"margin, {100 * choice.margin:g}%",
        (100 * choice.margin, -0.7), (4, 0), textcoords="offset points", va="center", fontsize=9,
    )  # fmt: skip
    axes.set_ylim(len(contenders) - 0.4, -1.1)
    names = [f"{labels[contender.trial]}{_remark(contender, choice)}" for contender in contenders]
    axes.set_yticks(range(len(contenders)), names)
    label = f"loss of {metric} against the leader, %: mean (dot) to one-sided 95% bound"
    figure.supxlabel(label, fontsize="medium")  # longer than the axis if names are long
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def shown_contenders(choice: RecommenderChoice) -> list[Contender]:
    """Return the contenders that the figure shows: the best ones, and the winner."""
    scale = choice.leader.value.mean or 1.0
    near = [contender for contender in choice.contenders if contender.loss.mean <= MAX_LOSS * scale]
    return [c for row, c in enumerate(near) if row < MAX_ROWS or c.trial == choice.winner.trial]


def _draw_contender(axes: Axes, row: int, contender: Contender, choice: RecommenderChoice) -> None:
    color = NON_INFERIOR if choice.is_non_inferior(contender) else INFERIOR
    loss, bound = 100 * contender.loss.mean / (choice.leader.value.mean or 1.0), contender.max_relative_loss
    if isfinite(bound):
        axes.plot([loss, 100 * bound], [row, row], color=color, linewidth=2, solid_capstyle="butt")
    is_winner = contender.trial == choice.winner.trial
    axes.plot(loss, row, "*" if is_winner else "o", color=color, markersize=13 if is_winner else 6)


def _remark(contender: Contender, choice: RecommenderChoice) -> str:
    if contender.trial == choice.winner.trial:
        return " (chosen)"
    return "" if isfinite(contender.max_relative_loss) else " (too few users for a bound)"
