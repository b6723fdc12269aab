"""Figure of power and time to decision by the true effect of the challenger."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from benchmarks.plotting import MARQUEE_COLOR, MUTED_COLOR

VERMILION = "#D55E00"  # of the Okabe-Ito palette


@dataclass(frozen=True)
class PowerPoint:
    """Summary of the simulated rollouts of one challenger."""

    difference: float  # mean click-through of the challenger minus that of the champion
    promoted: float  # share of rollouts
    rolled_back: float  # share of rollouts
    median_users: float | None  # in both arms, until the decision; None if too few rollouts were decided


def draw_power(points: Sequence[PowerPoint], champion_rate: float, alpha: float) -> Figure:
    """Draw the shares of outcomes above, and the number of users until the decision below.

    Args:
        points: one point per challenger, by increasing difference.
        champion_rate: share of the champion's lists that are clicked.
        alpha: error rate of the policy, drawn as a horizontal line.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    differences = [100 * point.difference for point in points]
    above.plot(
        differences, [100 * point.promoted for point in points], "o-", color=MARQUEE_COLOR, label="promoted"
    )
    rolled_back = [100 * point.rolled_back for point in points]
    above.plot(differences, rolled_back, "s--", color=VERMILION, label="rolled back")
    above.axhline(100 * alpha, color=MUTED_COLOR, linewidth=0.8)
    label, position = f"alpha, {100 * alpha:g}%", (min(differences), 100 * alpha)
    above.annotate(label, position, (0, 4), textcoords="offset points", color=MUTED_COLOR)
    above.set_ylabel("% of rollouts")
    above.set_ylim(-4, 104)
    above.legend(frameon=False, loc="center right")
    title = f"Outcome of a rollout by true effect (champion: {champion_rate:.0%} of lists clicked)"
    above.set_title(title, loc="left", fontsize=10)
    median_users = {
        100 * point.difference: point.median_users / 1000
        for point in points
        if point.median_users is not None
    }
    below.plot(list(median_users), list(median_users.values()), "o-", color=MARQUEE_COLOR)
    below.set_ylim(0, None)
    below.set_ylabel("users until decision,\nthousands (median)")
    below.set_xlabel("canary minus stable, percentage points of lists clicked")
    for axes in (above, below):
        axes.grid(axis="y", color=MUTED_COLOR, alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
