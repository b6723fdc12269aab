"""Figures of the parameter space: importance of parameters, and combinations of values with good metrics."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLORS, FAINT, INK
from experiments.search.trials import MEMBERS, Trial, rank_trials
from experiments.selection.list_comparison import Selection
from experiments.selection.search_results import SearchResults

MIN_TRIALS = 4  # fewest trials of a candidate for parallel coordinates
HIGHLIGHTED_SHARE = 0.25  # share of the trials, best first, that are highlighted
JITTER = 0.05  # share of the axis by which lines with equal values are spread
MAX_LABELED_VALUES = 6  # up to this number, all values are labeled, at equal distances
LOG_RATIO = 30  # an axis is logarithmic if highest / lowest exceeds this


def plot_importance(shares: Mapping[str, Mapping[str, float]]) -> Figure | None:
    """Draw the share of a metric's variance that each parameter explains, one panel per algorithm and metric.

    Args:
        shares: share of each parameter, by the title of the panel.
    """
    candidates = {title: share for title, share in shares.items() if share}
    if not candidates:
        return None
    figure = Figure(
        figsize=(11.5, 0.9 + sum(0.5 + 0.3 * len(share) for share in candidates.values())),
        layout="constrained",
    )
    panels = figure.subplots(
        len(candidates),
        1,
        sharex=True,
        squeeze=False,
        height_ratios=[1 + len(share) for share in candidates.values()],
    )
    for axes, (title, share) in zip(panels[:, 0], candidates.items(), strict=True):
        rows = range(len(share))
        axes.barh(rows, list(share.values()), color=COLORS[0], height=0.6)
        for row, value in zip(rows, share.values(), strict=True):
            axes.annotate(f"{value:.0%}", (value, row), (4, 0), textcoords="offset points", va="center")
        axes.set_yticks(rows, list(share))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.08)
        axes.set_title(title)
        axes.tick_params(axis="y", length=0)
    panels[-1, 0].set_xlabel("share of the variance of the metric that the parameter explains (fANOVA)")
    return figure


def plot_parallel_coordinates(results: SearchResults, selection: Selection) -> Figure | None:
    """Draw each trial of an algorithm as a line through its values; color the best ones.

    There is a panel for lists and, with ratings, one for errors: each of the selected algorithm or, if that
    has too few trials or parameters, of the most searched one.
    """
    panels = _build_panels(results, selection)
    if not panels:
        return None
    n_axes = max(len(panel.names) for panel in panels)
    figure = Figure(figsize=(max(8.0, 3.4 + 1.9 * n_axes), 4.4 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw_lines(axes, panel)
    return figure


class _Panel(NamedTuple):
    """Trials of one algorithm, the parameters that vary, and the metric that colors them."""

    trials: Sequence[Trial]
    names: Sequence[str]
    metric: str
    metric_title: str


def _build_panels(results: SearchResults, selection: Selection) -> list[_Panel]:
    metric = results.search_metric.list_metric
    with_lists = [trial for trial in results.trials if trial.parts and trial.failure is None]
    with_errors = [trial for trial in results.trials if trial.folds and selection.predictor]
    choices = (
        (with_lists, metric, selection.recommender),
        (with_errors, results.error, selection.predictor or selection.recommender),
    )
    panels = []
    for trials, name, selected in choices:
        if found := _find_searched(trials, selected.algorithm):
            panels.append(_Panel(*found, name, results.metric_display_name(name)))
    return panels


def _find_searched(trials: Sequence[Trial], preferred: str) -> tuple[list[Trial], list[str]] | None:
    """Return the trials of the preferred or else the most searched algorithm, and the parameters that vary.

    None if no algorithm has enough trials and two parameters that vary.
    """
    by_algorithm: dict[str, list[Trial]] = {}
    for trial in trials:
        by_algorithm.setdefault(trial.algorithm, []).append(trial)
    searched = {
        name: (own, names)
        for name, own in by_algorithm.items()
        if len(own) >= MIN_TRIALS and len(names := varied_parameters(own)) > 1
    }
    if preferred in searched:
        return searched[preferred]
    return max(searched.values(), key=lambda found: len(found[0]), default=None)


def _draw_lines(axes: Axes, panel: _Panel) -> None:
    trials, names = panel.trials, panel.names
    places = {trial.number: place for place, trial in enumerate(trials)}
    ranking = [places[trial.number] for trial in rank_trials(trials, panel.metric)]
    n_best = max(1, round(len(trials) * HIGHLIGHTED_SHARE))
    for rank, row in reversed(list(enumerate(ranking))):
        shift = JITTER * (rank / max(1, len(trials) - 1) - 0.5)
        color, width, alpha = (FAINT, 1.0, 0.5) if rank >= n_best else (COLORS[0], 1.8, 1.0)
        if rank == 0:
            color, width = COLORS[1], 3.5
        heights = [_height(name, trials, trials[row]) + shift for name in names]
        axes.plot(range(len(names)), heights, color=color, linewidth=width, alpha=alpha)
    for x, name in enumerate(names):
        _draw_axis(axes, x, name, trials)
    for label, color, trial in (
        ("best", COLORS[1], trials[ranking[0]]),
        ("best quarter, to", COLORS[0], trials[ranking[n_best - 1]]),
        ("others, to", FAINT, trials[ranking[-1]]),
    ):
        axes.plot([], [], color=color, linewidth=2, label=f"{label} {trial.mean(panel.metric):.4f}")
    axes.legend(title=panel.metric_title, alignment="left", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.set_xlim(-0.15, len(names) - 0.6)
    axes.set_ylim(-0.08, 1.08)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_title(f"{len(trials)} trials of {trials[0].algorithm_title}, by {panel.metric_title}")


def varied_parameters(trials: Sequence[Trial]) -> list[str]:
    """Return the parameters that all trials have and in which they differ.

    The members of blends are left out: they are no points on an axis.
    """
    if not trials:
        return []
    names = [name for name in trials[0].parameters if name != MEMBERS]
    common = [name for name in names if all(name in trial.parameters for trial in trials)]
    return [name for name in common if len({repr(trial.parameters[name]) for trial in trials}) > 1]


def _levels(name: str, trials: Sequence[Trial]) -> list[Any]:
    """Return the distinct values of a parameter: numbers in ascending order, others in alphabetical order."""
    values = {repr(trial.parameters[name]): trial.parameters[name] for trial in trials}.values()
    return sorted(values) if all(_is_number(value) for value in values) else sorted(values, key=repr)


def _height(name: str, trials: Sequence[Trial], trial: Trial) -> float:
    """Return the position of a trial's value on its axis, 0 to 1: by rank, or to scale if values are many."""
    levels, value = _levels(name, trials), trial.parameters[name]
    if len(levels) <= MAX_LABELED_VALUES or not _is_number(value):
        return levels.index(value) / (len(levels) - 1)
    low, high = levels[0], levels[-1]
    if low > 0 and high > LOG_RATIO * low:
        return float(np.log(value / low) / np.log(high / low))
    return float((value - low) / (high - low))


def _draw_axis(axes: Axes, x: int, name: str, trials: Sequence[Trial]) -> None:
    """Draw a parameter's axis and label its values, or only the lowest and highest if there are many."""
    axes.axvline(x, color=INK, linewidth=0.8, zorder=0)
    levels = _levels(name, trials)
    for level in levels if len(levels) <= MAX_LABELED_VALUES else (levels[0], levels[-1]):
        example = next(trial for trial in trials if trial.parameters[name] == level)
        text = f"{level:.4g}" if isinstance(level, float) else str(level)
        axes.annotate(text, (x, _height(name, trials, example)),
                      xytext=(6, 8), textcoords="offset points", va="center", fontsize=9)  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
