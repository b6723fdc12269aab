"""The plots of a search: each answers one question, with labels and units, on white or dark."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments.trials import MEGABYTE, Trial, ranked

# Okabe-Ito: told apart by every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#F0E442")
MARKERS = "os^D"
LARGEST_AREA = 1200.0  # points squared
SMALLEST_AREA = 30.0


def accuracy_against_time(trials: Sequence[Trial], metric: str, winner: Trial) -> Figure:
    """Error against fit time, with the model's size as the area: which one, and at what price."""
    finished = [trial for trial in ranked(trials, metric) if trial.cost is not None]
    in_view, beyond = _in_view(finished, metric)
    figure = Figure(figsize=(9.5, 5.5), layout="constrained")
    axes = figure.add_subplot()
    for index, algorithm in enumerate(dict.fromkeys(trial.algorithm for trial in in_view)):
        chosen = [trial for trial in in_view if trial.algorithm == algorithm]
        _points(axes, chosen, metric, COLOURS[index % len(COLOURS)], MARKERS[index // len(COLOURS)])
    _annotate_winner(axes, winner, metric)
    _label(axes, metric, len(finished))
    _legend(axes, beyond, metric)
    return figure


def _in_view(finished: Sequence[Trial], metric: str) -> tuple[list[Trial], list[Trial]]:
    """Trials within a quarter of the best, and the rest: one bad guess must not flatten the others."""
    limit = finished[0].mean(metric) * 1.25
    return [t for t in finished if t.mean(metric) <= limit], [t for t in finished if t.mean(metric) > limit]


def _points(axes: Axes, trials: Sequence[Trial], metric: str, colour: str, marker: str) -> None:
    seconds = [_seconds(trial) for trial in trials]
    errors = [trial.mean(metric) for trial in trials]
    spreads = [trial.spread(metric) for trial in trials]
    areas = [_area(trial) for trial in trials]
    best = f"{trials[0].title}: {errors[0]:.4f}, {_size(trials[0].model_bytes)}"
    axes.errorbar(seconds, errors, yerr=spreads, fmt="none", ecolor=colour, elinewidth=1.2, zorder=3)
    # The largest lie lowest, so that none hides another.
    axes.scatter(
        seconds,
        errors,
        s=areas,
        c=colour,
        marker=marker,
        edgecolors="black",
        linewidths=0.6,
        alpha=0.75,
        zorder=2 - max(areas) / LARGEST_AREA,
        label=best,
    )


def _seconds(trial: Trial) -> float:
    return max(trial.cost.fit_seconds, 1e-3) if trial.cost else 1e-3


def _area(trial: Trial) -> float:
    """Area in proportion to megabytes, within what still can be seen and does not hide the rest."""
    return float(np.clip(trial.model_bytes / MEGABYTE * 15, SMALLEST_AREA, LARGEST_AREA))


def _size(n_bytes: int) -> str:
    return f"{n_bytes / MEGABYTE:.1f} MB" if n_bytes >= MEGABYTE / 10 else f"{n_bytes / 1000:.1f} kB"


def _annotate_winner(axes: Axes, winner: Trial, metric: str) -> None:
    axes.annotate(
        f"chosen: {winner.title}",
        (_seconds(winner), winner.mean(metric)),
        xytext=(-30, 60),
        textcoords="offset points",
        ha="right",
        arrowprops={"arrowstyle": "->", "shrinkB": 8},
        fontweight="bold",
        zorder=4,
    )


def _label(axes: Axes, metric: str, n_trials: int) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axes.margins(0.12)
    axes.set_xlabel("time of one fit in seconds, logarithmic")
    axes.set_ylabel(f"{metric.upper()} in stars, mean over folds (bar: standard deviation)")
    axes.set_title(f"Accuracy against time: {n_trials} trials, area is the size of the model")
    axes.grid(visible=True, which="major", alpha=0.3)


def _legend(axes: Axes, beyond: Sequence[Trial], metric: str) -> None:
    """The best of each algorithm in order of error, then those too far off to be drawn."""
    best = {trial.algorithm: trial for trial in reversed(beyond)}
    for trial in best.values():
        axes.scatter([], [], s=0, label=f"{trial.title}: {trial.mean(metric):.4f}, out of view")
    legend = axes.legend(title="best of each", loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection) and handle.get_sizes().any():
            handle.set_sizes([60])
