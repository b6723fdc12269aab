"""The plots of a search: each answers one question, with labels and units, on white or dark."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.trials import MEGABYTE, Trial, ranked

# Okabe-Ito: told apart by every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#F0E442")
LARGEST_AREA = 1200.0  # points squared
SMALLEST_AREA = 30.0


def accuracy_against_time(trials: Sequence[Trial], metric: str, winner: Trial) -> Figure:
    """Error against fit time, with the model's size as the area: which one, and at what price."""
    finished = [trial for trial in ranked(trials, metric) if trial.cost is not None]
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    algorithms = list(dict.fromkeys(trial.algorithm for trial in finished))
    for index, algorithm in enumerate(algorithms):
        chosen = [trial for trial in finished if trial.algorithm == algorithm]
        _points(axes, chosen, metric, COLOURS[index % len(COLOURS)], "os^Dv<>P*X"[index // len(COLOURS)])
    _annotate_winner(axes, winner, metric)
    _label(axes, metric, len(finished))
    return figure


def _points(axes: Axes, trials: Sequence[Trial], metric: str, colour: str, marker: str) -> None:
    best = trials[0]
    axes.errorbar(
        [_seconds(t) for t in trials],
        [t.mean(metric) for t in trials],
        yerr=[t.spread(metric) for t in trials],
        fmt="none",
        ecolor=colour,
        elinewidth=1,
        alpha=0.5,
    )
    axes.scatter(
        [_seconds(t) for t in trials],
        [t.mean(metric) for t in trials],
        s=[_area(t) for t in trials],
        c=colour,
        marker=marker,
        alpha=0.65,
        edgecolors="black",
        linewidths=0.5,
        label=f"{best.title}: {best.mean(metric):.4f}, {best.model_bytes / MEGABYTE:.1f} MB",
    )


def _seconds(trial: Trial) -> float:
    return max(trial.cost.fit_seconds, 1e-3) if trial.cost else 1e-3


def _area(trial: Trial) -> float:
    """Area in proportion to megabytes, within what still can be seen and does not hide the rest."""
    return float(np.clip(trial.model_bytes / MEGABYTE * 15, SMALLEST_AREA, LARGEST_AREA))


def _annotate_winner(axes: Axes, winner: Trial, metric: str) -> None:
    axes.annotate(
        f"chosen: {winner.title}",
        (_seconds(winner), winner.mean(metric)),
        xytext=(18, -28),
        textcoords="offset points",
        arrowprops={"arrowstyle": "->", "color": "black"},
        fontweight="bold",
    )


def _label(axes: Axes, metric: str, n_trials: int) -> None:
    axes.set_xscale("log")
    axes.set_xlabel("time of one fit, seconds (log)")
    axes.set_ylabel(f"{metric.upper()} on held-out folds, stars (bar: one standard deviation over folds)")
    axes.set_title(f"Accuracy against time, {n_trials} trials; a point's area is the model's size")
    axes.grid(visible=True, which="major", alpha=0.3)
    legend = axes.legend(title="best of each", loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    for handle in legend.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([60])
