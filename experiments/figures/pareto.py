"""Error against what it costs: the dilemma of time against space, and the front of what is worth it."""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.evaluation.candidate_metrics import Measures
from experiments.figures.style import FAINT, INK, Look, looks, plain_numbers
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.search_results import Findings

WORST = 1.25  # times the best error: what is beyond would flatten the others, and is named instead
SHORTEST = 1e-4  # seconds; a clock tells no less


def pareto(findings: Findings, winner: Trial) -> Figure | None:
    """Of the best of each candidate: error against time of a fit, and memory. None where no cost is known."""
    if not any(one.cost for one in findings.leaders):
        return None
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    limit = findings.leaders[0].mean(findings.metric) * WORST
    shown = [one for one in findings.leaders if one.mean(findings.metric) <= limit and one.cost]
    look = looks(one.algorithm for one in findings.leaders)
    _panel(left, shown, findings, look, _seconds)
    _panel(right, shown, findings, look, _megabytes)
    left.set_xlabel("time of one fit in seconds (logarithmic)")
    right.set_xlabel("peak memory of one fit in MB (logarithmic)")
    left.set_ylabel(f"{findings.name(findings.metric)} in stars, mean over folds")
    left.set_title("Accuracy against time")
    right.set_title("Accuracy against space")
    for axes, cost in ((left, _seconds), (right, _megabytes)):
        _mark(axes, winner, findings, cost)
    _legend(right, findings, shown)
    return figure


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of points (cost, error) those that no other beats in both, cheapest first."""
    best, kept = float("inf"), []
    for cost, error in sorted(points):
        if error < best:
            best = error
            kept.append((cost, error))
    return kept


def _panel(
    axes: Axes,
    shown: Sequence[Measures],
    findings: Findings,
    look: dict[str, Look],
    cost: Callable[[Measures], float],
) -> None:
    points = [(cost(one), one.mean(findings.metric)) for one in shown]
    edge = front(points)
    axes.step(*zip(*edge, strict=True), where="post", color=FAINT, linewidth=1.2, zorder=1)
    for one, (x, y) in zip(shown, points, strict=True):
        own = look[one.algorithm]
        axes.scatter(x, y, c=own.colour, marker=own.marker, s=70, edgecolors="none", zorder=3,
                     label=f"{findings.trial(one).title}  {y:.4f}")  # fmt: skip
    axes.set_xscale("log")
    plain_numbers(axes)
    axes.grid(visible=True)
    axes.margins(0.12)


def _mark(axes: Axes, winner: Trial, findings: Findings, cost: Callable[[Measures], float]) -> None:
    """A ring around the winner, where it is one of those that are shown."""
    one = findings.measured.get(winner.number)
    if one is not None and one.folds and one.cost:
        place = (cost(one), one.mean(findings.metric))
        axes.scatter(*place, s=260, facecolors="none", edgecolors=INK, linewidths=1.5, zorder=4)
        axes.annotate("chosen", place, xytext=(0, -20), textcoords="offset points", ha="center", va="top")


def _legend(axes: Axes, findings: Findings, shown: Sequence[Measures]) -> None:
    """Best first; below, those that are out of view."""
    for one in findings.leaders:
        if one not in shown:
            error = one.mean(findings.metric)
            axes.scatter([], [], s=0, label=f"{findings.trial(one).title}  {error:.4f}, out of view")
    axes.plot([], [], color=FAINT, label="front: nobody is better and cheaper")
    axes.legend(title=f"best of each, by {findings.name(findings.metric)}", alignment="left",
                loc="upper left", bbox_to_anchor=(1.01, 1.0))  # fmt: skip


def _seconds(one: Measures) -> float:
    return max(one.cost.fit_seconds, SHORTEST) if one.cost else SHORTEST


def _megabytes(one: Measures) -> float:
    """Peak of the fit; of the model alone, where the system tells no peak."""
    return max((one.cost.peak_bytes or 0) / MEGABYTE, 0.01) if one.cost else 0.01
