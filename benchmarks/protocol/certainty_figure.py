"""Figure of the certainty of differences by number of evaluated users."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments.evaluation.user_intervals import MIN_USERS
from experiments.figures.style import FAINT, assign_styles, use_plain_tick_labels

Y_TICKS = (0.2, 0.5, 1, 2, 5, 10, 20)


@dataclass(frozen=True)
class WidthCurve:
    """Half the width of the interval of one difference, in % of the best mean, by number of users."""

    name: str
    n_users: Sequence[int]
    half_widths: Sequence[float]


def draw_widths(curves: Sequence[WidthCurve]) -> Figure:
    """Draw the half-widths on logarithmic axes; a difference below a curve may be chance."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    styles = assign_styles(curve.name for curve in curves)
    for curve in curves:
        style = styles[curve.name]
        axes.loglog(curve.n_users, curve.half_widths, color=style.color, marker="o", label=curve.name)
    axes.axvline(MIN_USERS, color=FAINT, linewidth=1, linestyle="--")
    label, position = f"at least {MIN_USERS} users", (MIN_USERS, axes.get_ylim()[0])
    axes.annotate(label, position, (5, 8), textcoords="offset points", fontsize=9)
    use_plain_tick_labels(axes)
    axes.set_yticks(Y_TICKS, [f"{tick:g}" for tick in Y_TICKS])
    axes.minorticks_off()
    axes.set_xlabel("evaluated users")
    axes.set_ylabel("half-width of the 95% interval, % of NDCG@10")
    axes.set_title("A difference below the line may be chance (best model of MovieLens 1M and others)")
    axes.grid(visible=True)
    axes.legend()
    return figure
