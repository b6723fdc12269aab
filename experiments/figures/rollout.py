"""Figure of a rollout: confidence sequence of the quality difference, and the allocation over time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLORS, FAINT, INK


@dataclass(frozen=True)
class RolloutPoint:
    """Allocation and quality difference at one time of a rollout."""

    minutes: float  # since the first point
    allocation: float
    estimate: float  # mean outcome, canary minus stable; NaN while unknown
    low: float  # bounds of the confidence sequence, infinite while unknown
    high: float


def plot_rollout(points: Sequence[RolloutPoint], outcome: str) -> Figure:
    """Draw the confidence sequence and, below it, the allocation.

    Args:
        points: points in order of time.
        outcome: outcome of the rollout, for the title.
    """
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _plot_confidence_sequence(upper, points)
    upper.set_title(f"Quality, canary minus stable, with its confidence sequence: {outcome}")
    _plot_allocation(lower, points)
    lower.set_xlabel("minutes since the first observation")
    for axes in (upper, lower):
        axes.grid(visible=True, axis="y")
    return figure


def _plot_confidence_sequence(axes: Axes, points: Sequence[RolloutPoint]) -> None:
    known = [point for point in points if math.isfinite(point.low)]
    minutes, color = [point.minutes for point in known], COLORS[0]
    lows, highs = [point.low for point in known], [point.high for point in known]
    axes.fill_between(minutes, lows, highs, color=color, alpha=0.25, linewidth=0)
    axes.plot(minutes, [point.estimate for point in known], color=color)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_ylabel("difference per user")
    if not known:
        axes.text(0.5, 0.6, "quality was never estimated", transform=axes.transAxes, ha="center", color=FAINT)


def _plot_allocation(axes: Axes, points: Sequence[RolloutPoint]) -> None:
    percentages = [100 * point.allocation for point in points]
    axes.step([point.minutes for point in points], percentages, where="post", color=COLORS[1])
    axes.set_ylim(0, 105)
    axes.set_ylabel("% of users")
