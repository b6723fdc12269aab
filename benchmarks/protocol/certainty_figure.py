"""Figure of the certainty of differences by number of evaluated users."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments.evaluation.user_intervals import MIN_USERS
from experiments.figures.style import FAINT, assign_styles, use_plain_tick_labels


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
    axes.annotate(
        "fewer: any difference may be chance", (MIN_USERS, axes.get_ylim()[0]), (-4, 8),
        textcoords="offset points", ha="right", fontsize=9,
    )  # fmt: skip
    use_plain_tick_labels(axes)
    axes.set_yticks([0.2, 0.5, 1, 2, 5, 10, 20], ["0.2", "0.5", "1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.set_xlabel("evaluated users")
    axes.set_ylabel("half-width of the 95% interval, % of NDCG@10")
    axes.set_title("Smallest difference to the best model that is clearly not chance, MovieLens 1M")
    axes.grid(visible=True)
    axes.legend()
    return figure
