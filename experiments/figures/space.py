"""Where in the space of parameters it is good: which parameters matter, and which values go together."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, INK
from experiments.findings import Findings
from experiments.trials import Trial

FEWEST = 4  # trials of a candidate from which parallel lines say something


def importance(shares: Mapping[str, Mapping[str, float]]) -> Figure | None:
    """Bars of how much of the error's variance each parameter explains, a panel a candidate."""
    shown = {title: share for title, share in shares.items() if share}
    if not shown:
        return None
    figure = Figure(
        figsize=(9, 0.9 + sum(0.5 + 0.3 * len(share) for share in shown.values())), layout="constrained"
    )
    panels = figure.subplots(
        len(shown), 1, sharex=True, squeeze=False, height_ratios=[1 + len(s) for s in shown.values()]
    )
    for axes, (title, share) in zip(panels[:, 0], shown.items(), strict=True):
        rows = range(len(share))
        axes.barh(rows, list(share.values()), color=COLOURS[0], height=0.6)
        for row, value in zip(rows, share.values(), strict=True):
            axes.annotate(f"{value:.0%}", (value, row), (4, 0), textcoords="offset points", va="center")
        axes.set_yticks(rows, list(share))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.08)
        axes.set_title(title)
        axes.tick_params(axis="y", length=0)
    panels[-1, 0].set_xlabel("share of the variance of the error that the parameter explains (fANOVA)")
    return figure


def parallel_coordinates(findings: Findings) -> Figure | None:
    """Every trial of the most searched candidate as a line through its values, the best ones dark."""
    trials, names = _most_searched(findings)
    if not trials:
        return None
    errors = np.array([trial.mean(findings.metric) for trial in trials])
    figure = Figure(figsize=(2.2 + 1.9 * len(names), 4.6), layout="constrained")
    axes = figure.add_subplot()
    places = np.column_stack(
        [_axis(axes, x, [t.parameters[name] for t in trials]) for x, name in enumerate(names)]
    )
    order = np.argsort(-errors, kind="stable")
    lines = LineCollection(
        [np.column_stack([np.arange(len(names)), places[row]]) for row in order],
        cmap=mpl.colormaps["cividis"],
        array=errors[order],
        linewidths=np.where(order == errors.argmin(), 3.5, 1.4),
    )
    axes.add_collection(lines)
    axes.set_xlim(-0.15, len(names) - 0.85 + 0.35)
    axes.set_ylim(-0.06, 1.06)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    figure.colorbar(lines, ax=axes, label=f"{findings.name(findings.metric)} in stars, mean over folds")
    axes.set_title(f"{len(trials)} trials of {trials[0].title} (thick: the best)")
    return figure


def _most_searched(findings: Findings) -> tuple[list[Trial], list[str]]:
    """The candidate with the most finished trials that differ in at least two parameters."""
    best: tuple[list[Trial], list[str]] = ([], [])
    for one in findings.leaders:
        trials = [t for t in findings.trials if t.algorithm == one.algorithm and t.folds]
        names = varied(trials)
        if len(trials) >= FEWEST and len(names) > 1 and len(trials) > len(best[0]):
            best = (trials, names)
    return best


def varied(trials: Sequence[Trial]) -> list[str]:
    """Parameters that all of these have, and in which they differ."""
    names = (
        [name for name in trials[0].parameters if all(name in trial.parameters for trial in trials)]
        if trials
        else []
    )
    return [name for name in names if len({repr(trial.parameters[name]) for trial in trials}) > 1]


def _axis(axes: Any, x: int, values: list[Any]) -> Any:
    """Heights in [0, 1] of a parameter's values, with ticks that name them."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        levels = sorted(set(values))
        numbers = np.array(values, dtype=float)
        scaled = np.log(numbers) if min(levels) > 0 and max(levels) > 30 * min(levels) else numbers
        if len(levels) <= 6:
            scaled = np.array([levels.index(value) for value in values], dtype=float)
    else:
        levels = sorted(set(values), key=repr)
        scaled = np.array([levels.index(value) for value in values], dtype=float)
    span = np.ptp(scaled) or 1.0
    heights = (scaled - scaled.min()) / span
    axes.axvline(x, color=INK, linewidth=0.8, zorder=0)
    named = levels if len(levels) <= 6 else [levels[0], levels[-1]]
    for level in named:
        height = heights[values.index(level)]
        axes.annotate(f"{level:g}" if isinstance(level, float) else str(level), (x, height), (5, 0),
                      textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    return heights
