"""Power, and time to decision, against what a challenger is really worth."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from benchmarks.table.figure import FAINT, OURS

BACK = "#D55E00"  # vermilion of Okabe and Ito


@dataclass(frozen=True)
class Effect:
    """Rollouts of one challenger."""

    difference: float  # of the outcome of a user
    promoted: float  # shares of rollouts
    rolled_back: float
    users: float  # median, of all arms, of those that were decided


def draw(effects: Sequence[Effect], base: float, alpha: float) -> Figure:
    """Shares above, users below, over the difference in click-through."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    x = [100 * effect.difference for effect in effects]
    above.plot(x, [100 * e.promoted for e in effects], "o-", color=OURS, label="promoted")
    above.plot(x, [100 * e.rolled_back for e in effects], "s--", color=BACK, label="rolled back")
    above.axhline(100 * alpha, color=FAINT, linewidth=0.8)
    above.annotate(
        f"alpha, {100 * alpha:g}%", (min(x), 100 * alpha), (0, 4), textcoords="offset points", color=FAINT
    )
    above.set_ylabel("% of rollouts")
    above.set_ylim(-4, 104)
    above.legend(frameon=False, loc="center right")
    title = f"What becomes of a challenger, by what it is worth (stable: {base:.0%} of lists clicked)"
    above.set_title(title, loc="left", fontsize=10)
    known = [(each, e.users / 1000) for each, e in zip(x, effects, strict=True) if e.users > 0]
    below.plot(*zip(*known, strict=True), "o-", color=OURS)
    below.set_ylim(0, None)
    below.set_ylabel("users until decided,\nthousands (median)")
    below.set_xlabel("canary less stable, percentage points of lists clicked")
    for axes in (above, below):
        axes.grid(axis="y", color=FAINT, alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
