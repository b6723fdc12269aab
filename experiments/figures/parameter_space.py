"""Where in the space of parameters it is good: which parameters matter, and which values go together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, FAINT, INK
from experiments.search.trials import Trial
from experiments.selection.search_results import Findings

FEWEST = 4  # trials of a candidate from which parallel lines say something
BEST = 0.25  # of the trials, in colour
JITTER = 0.05  # of an axis, over which lines with equal values are spread
FEW = 6  # values that are all named, at equal distances
WIDE = 30  # times the lowest value, from which an axis is logarithmic


def importance(shares: Mapping[str, Mapping[str, float]]) -> Figure | None:
    """Bars of how much of the error's variance each parameter explains, a panel a candidate."""
    shown = {title: share for title, share in shares.items() if share}
    if not shown:
        return None
    figure = Figure(
        figsize=(11.5, 0.9 + sum(0.5 + 0.3 * len(share) for share in shown.values())), layout="constrained"
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
    """Every trial of the most searched candidate as a line through its values, the best ones in colour."""
    trials, names = _most_searched(findings)
    if not trials:
        return None
    ranking = np.argsort([trial.mean(findings.metric) for trial in trials], kind="stable")
    n_best = max(1, round(len(trials) * BEST))
    figure = Figure(figsize=(max(8.0, 2.2 + 1.9 * len(names)), 4.6), layout="constrained")
    axes = figure.add_subplot()
    for place, row in reversed(list(enumerate(ranking))):
        shift = JITTER * (place / max(1, len(trials) - 1) - 0.5)  # else equal values would hide each other
        colour, width, alpha = (FAINT, 1.0, 0.5) if place >= n_best else (COLOURS[0], 1.8, 1.0)
        if place == 0:
            colour, width = COLOURS[1], 3.5
        heights = [_height(name, trials, trials[row]) + shift for name in names]
        axes.plot(range(len(names)), heights, color=colour, linewidth=width, alpha=alpha)
    for x, name in enumerate(names):
        _name_values(axes, x, name, trials)
    for label, colour, trial in (
        ("best", COLOURS[1], trials[ranking[0]]),
        ("best quarter, to", COLOURS[0], trials[ranking[n_best - 1]]),
        ("the others, to", FAINT, trials[ranking[-1]]),
    ):
        axes.plot([], [], color=colour, linewidth=2, label=f"{label} {trial.mean(findings.metric):.4f}")
    axes.legend(
        title=findings.name(findings.metric), alignment="left", loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    axes.set_xlim(-0.15, len(names) - 0.6)
    axes.set_ylim(-0.08, 1.08)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_title(f"{len(trials)} trials of {trials[0].title}")
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


def _levels(name: str, trials: Sequence[Trial]) -> list[Any]:
    """The values of a parameter: numbers in their order, others by name."""
    values = {repr(trial.parameters[name]): trial.parameters[name] for trial in trials}.values()
    return sorted(values) if all(_is_number(value) for value in values) else sorted(values, key=repr)


def _height(name: str, trials: Sequence[Trial], one: Trial) -> float:
    """Where a trial's value lies on the parameter's axis, 0 to 1: by rank, by number where there are many."""
    levels, value = _levels(name, trials), one.parameters[name]
    if len(levels) <= FEW or not _is_number(value):
        return levels.index(value) / (len(levels) - 1)
    low, high = levels[0], levels[-1]
    if low > 0 and high > WIDE * low:
        return float(np.log(value / low) / np.log(high / low))
    return float((value - low) / (high - low))


def _name_values(axes: Axes, x: int, name: str, trials: Sequence[Trial]) -> None:
    """The axis of a parameter, with its values; where there are many, the lowest and the highest."""
    axes.axvline(x, color=INK, linewidth=0.8, zorder=0)
    levels = _levels(name, trials)
    for level in levels if len(levels) <= FEW else (levels[0], levels[-1]):
        one = next(trial for trial in trials if trial.parameters[name] == level)
        text = f"{level:.4g}" if isinstance(level, float) else str(level)
        axes.annotate(text, (x, _height(name, trials, one)),
                      xytext=(6, 8), textcoords="offset points", va="center", fontsize=9)  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
