"""What a random split leaks: the same candidates under it, and trained on the past alone."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.evaluation.candidate_metrics import GUESSES, LOWER_IS_BETTER, Measures
from experiments.figures.style import COLOURS, looks, spread
from experiments.selection.search_results import Findings


def leakage(findings: Findings) -> Figure | None:
    """Lines that cross are candidates that change places; None where nothing was measured across time."""
    shown = [one for one in findings.leaders if one.across_time and one.algorithm != GUESSES]
    if len(shown) < 2:
        return None
    figure = Figure(figsize=(12.5, 1.6 + 0.36 * len(shown)), layout="constrained")
    error, ranking, future = figure.subplots(1, 3, width_ratios=(1, 1, 0.8))
    _slopes(error, shown, findings, findings.metric)
    _slopes(ranking, shown, findings, "ndcg")
    _future(future, shown, findings)
    return figure


def _slopes(axes: Axes, shown: list[Measures], findings: Findings, metric: str) -> None:
    look = looks(one.algorithm for one in findings.leaders)
    pairs = [(a.random[metric], a.time[metric]) for one in shown if (a := one.across_time)]
    values = [value for pair in pairs for value in pair]
    low, high = min(values), max(values)
    ends = spread([pair[1] for pair in pairs], min(0.045, 1 / len(shown)) * (high - low or 1.0), low, high)
    for one, pair in zip(shown, pairs, strict=True):
        axes.plot((0, 1), pair, color=look[one.algorithm].colour, linestyle=look[one.algorithm].line,
                  linewidth=1.6, marker="o", markersize=4)  # fmt: skip
    for one, place in zip(shown, ends, strict=True):
        axes.annotate(findings.trial(one).title, (1, place), (8, 0), textcoords="offset points", va="center",
                      color=look[one.algorithm].colour, annotation_clip=False, fontsize=9)  # fmt: skip
    axes.set_xlim(-0.08, 1.02)
    axes.set_xticks((0, 1), ("random split", "split in time"))
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    unit = " in stars" if metric == findings.metric else ""
    axes.set_title(f"{findings.name(metric)}{unit} ({better} is better)")
    axes.grid(visible=True, axis="y")


def _future(axes: Axes, shown: list[Measures], findings: Findings) -> None:
    shares = [100 * one.across_time.not_yet if one.across_time else 0.0 for one in shown]
    rows = range(len(shown))
    axes.barh(rows, shares, color=COLOURS[0], height=0.6)
    for row, share in zip(rows, shares, strict=True):
        axes.annotate(
            f"{share:.1f}", (share, row), (3, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(rows, [findings.trial(one).title for one in shown], fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title("Recommended too early")
    axes.set_xlabel("% of places, not rated by then")
    axes.tick_params(axis="y", length=0)
