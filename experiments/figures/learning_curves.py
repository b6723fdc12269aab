"""Error after each epoch of those that train by epochs: who still learns, and who has overfitted."""

from matplotlib.figure import Figure

from experiments.figures.style import looks, spread
from experiments.selection.search_results import Findings


def learning_curves(findings: Findings) -> Figure | None:
    """Held-out error by epoch, the mean over folds, labelled at the end; None where nobody has epochs."""
    shown = [one for one in findings.leaders if len(one.curve) > 1]
    if not shown:
        return None
    look = looks(one.algorithm for one in findings.leaders)
    figure = Figure(figsize=(11.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for one in shown:
        epochs, errors = zip(*one.curve, strict=True)
        colour = look[one.algorithm].colour
        best = min(range(len(errors)), key=errors.__getitem__)
        axes.plot(epochs, errors, color=colour, linewidth=1.8, linestyle=look[one.algorithm].line)
        axes.scatter(epochs[best], errors[best], color=colour, s=28, zorder=3)
    low, high = _view([one.curve for one in shown])
    axes.set_ylim(low, high)
    ends = spread([min(max(one.curve[-1][1], low), high) for one in shown], 0.055 * (high - low), low, high)
    longest = max(one.curve[-1][0] for one in shown)
    for one, place in zip(shown, ends, strict=True):
        axes.annotate(f"{findings.trial(one).title}  {one.curve[-1][1]:.4f}", (longest, place), (10, 0),
                      textcoords="offset points", va="center", color=look[one.algorithm].colour,
                      annotation_clip=False)  # fmt: skip
    axes.set_xlim(1, longest)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"held-out {findings.name(findings.metric)} in stars, mean over folds")
    axes.set_title("Learning curves (dot: the best epoch)")
    axes.grid(visible=True)
    return figure


def _view(curves: list[tuple[tuple[int, float], ...]]) -> tuple[float, float]:
    """Bounds that show every end, and as much of the beginnings as does not flatten the ends."""
    errors = [error for curve in curves for _, error in curve]
    low = min(errors)
    ends = max(curve[-1][1] for curve in curves)
    high = min(max(errors), low + 3 * max(ends - low, 0.01 * low))
    pad = 0.04 * (high - low)
    return low - pad, high + pad
