"""For whom it works: the same figure for cold, warm and hot users, and for head and tail items."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.evaluation.candidate_metrics import GUESSES, Measures
from experiments.figures.style import COLOURS, FAINT
from experiments.selection.search_results import Findings
from marquee.metrics.segments import ITEM_GROUPS, USER_GROUPS

Dots = tuple[tuple[str, str], ...]  # (group, figure)


def groups(findings: Findings) -> Figure | None:
    """A row a candidate, best first; a panel a question; a dot a group. None where nobody was measured."""
    shown = [one for one in findings.leaders if one.algorithm != GUESSES]  # it would flatten the others
    if not shown:
        return None
    error = findings.name(findings.metric)
    panels: list[tuple[str, str, Dots]] = [
        (f"{error} in stars, by user", "lower is better", tuple((g, findings.metric) for g in USER_GROUPS)),
        (f"{findings.name('ndcg')}, by user", "higher is better", tuple((g, "ndcg") for g in USER_GROUPS)),
        (f"{error} in stars, by item", "lower is better", tuple((g, findings.metric) for g in ITEM_GROUPS)),
        (
            f"{findings.name('recall')}, by item",
            "higher is better",
            tuple((g, "recall") for g in ITEM_GROUPS),
        ),
    ]
    figure = Figure(figsize=(12.5, 1.9 + 0.34 * len(shown)), layout="constrained")
    every = figure.subplots(1, len(panels), sharey=True)
    for axes, (title, direction, dots) in zip(every, panels, strict=True):
        _panel(axes, shown, dots)
        axes.set_title(title)
        axes.set_xlabel(direction)
    every[0].set_yticks(range(len(shown)), [findings.trial(one).title for one in shown])
    every[0].invert_yaxis()
    users, items = (every[number].get_legend_handles_labels() for number in (0, 2))
    figure.legend(*users, loc="outside lower left", ncols=len(USER_GROUPS))
    figure.legend(*items, loc="outside lower right", ncols=len(ITEM_GROUPS))
    return figure


def _panel(axes: Axes, shown: Sequence[Measures], dots: Dots) -> None:
    for row, one in enumerate(shown):
        values = [one.groups[group][name] for group, name in dots if name in one.groups.get(group, {})]
        if values:
            axes.plot([min(values), max(values)], [row, row], color=FAINT, linewidth=1, zorder=1)
    colours = COLOURS if len(dots) == len(USER_GROUPS) else COLOURS[3:]
    for (group, name), colour in zip(dots, colours, strict=False):
        rows = [row for row, one in enumerate(shown) if name in one.groups.get(group, {})]
        values = [shown[row].groups[group][name] for row in rows]
        axes.scatter(values, rows, color=colour, s=36, label=group, zorder=2)
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
