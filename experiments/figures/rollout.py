"""How sure one was at each moment of a rollout, and how many users had the canary."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, FAINT, INK


@dataclass(frozen=True)
class Moment:
    """One look."""

    minutes: float  # since the first
    weight: float
    estimate: float  # NaN while unknown
    low: float
    high: float


def sequences(moments: Sequence[Moment], outcome: str) -> Figure:
    """The confidence sequence of the quality above, the canary's share of users below."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    known = [moment for moment in moments if math.isfinite(moment.low)]
    minutes = [moment.minutes for moment in known]
    above.fill_between(
        minutes, [m.low for m in known], [m.high for m in known], color=COLOURS[0], alpha=0.25, linewidth=0
    )
    above.plot(minutes, [m.estimate for m in known], color=COLOURS[0])
    above.axhline(0, color=INK, linewidth=0.8)
    above.set_title(f"Canary less stable, with its confidence sequence: {outcome}")
    above.set_ylabel("difference a user")
    if not known:
        above.text(0.5, 0.6, "no quality was known", transform=above.transAxes, ha="center", color=FAINT)
    shares = [100 * moment.weight for moment in moments]
    below.step([moment.minutes for moment in moments], shares, where="post", color=COLOURS[1])
    below.set_ylim(0, 105)
    below.set_ylabel("% of users")
    below.set_xlabel("minutes since the first look")
    for axes in (above, below):
        axes.grid(visible=True, axis="y")
    return figure
