"""Figure of error against cost: time and memory of a fit, with the Pareto front."""

from collections.abc import Callable, Sequence
from math import inf

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.figures.style import FAINT, INK, SeriesStyle, assign_styles, use_plain_tick_labels
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.search_results import SearchResults

MAX_ERROR_RATIO = 1.25  # candidates whose error exceeds this multiple of the lowest are listed, not drawn
# Smaller costs are drawn at these values, because a logarithmic axis has no zero.
MIN_SECONDS = 1e-4
MIN_MEGABYTES = 0.01


def plot_pareto(results: SearchResults, winner: Trial) -> Figure | None:
    """Draw each best trial's error against the time and memory of a fit; return None if no cost is known."""
    if not any(candidate.cost for candidate in results.ranked_candidates):
        return None
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    limit = results.ranked_candidates[0].mean(results.metric) * MAX_ERROR_RATIO
    candidates = [
        candidate
        for candidate in results.ranked_candidates
        if candidate.mean(results.metric) <= limit and candidate.cost
    ]
    styles = assign_styles(candidate.algorithm for candidate in results.ranked_candidates)
    _draw_panel(left, candidates, results, styles, _seconds)
    _draw_panel(right, candidates, results, styles, _megabytes)
    left.set_xlabel("time of one fit in seconds (logarithmic)")
    right.set_xlabel("peak memory of one fit in MB (logarithmic)")
    left.set_ylabel(f"{results.metric_display_name(results.metric)} in stars, mean over folds")
    left.set_title("Error and time")
    right.set_title("Error and memory")
    for axes, cost in ((left, _seconds), (right, _megabytes)):
        _mark_winner(axes, winner, results, cost)
    _draw_legend(right, results, candidates)
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (cost, error) points that no other point dominates, cheapest first."""
    lowest_error, front = inf, []
    for cost, error in sorted(points):
        if error < lowest_error:
            lowest_error = error
            front.append((cost, error))
    return front


def _draw_panel(
    axes: Axes,
    candidates: Sequence[CandidateMetrics],
    results: SearchResults,
    styles: dict[str, SeriesStyle],
    cost: Callable[[CandidateMetrics], float],
) -> None:
    points = [(cost(candidate), candidate.mean(results.metric)) for candidate in candidates]
    front = pareto_front(points)
    axes.step(*zip(*front, strict=True), where="post", color=FAINT, linewidth=1.2, zorder=1)
    for candidate, (x, y) in zip(candidates, points, strict=True):
        style = styles[candidate.algorithm]
        axes.scatter(x, y, c=style.color, marker=style.marker, s=70, edgecolors="none", zorder=3,
                     label=f"{results.best_trial(candidate).algorithm_title}  {y:.4f}")  # fmt: skip
    axes.set_xscale("log")
    use_plain_tick_labels(axes)
    axes.grid(visible=True)
    axes.margins(0.12)


def _mark_winner(
    axes: Axes, winner: Trial, results: SearchResults, cost: Callable[[CandidateMetrics], float]
) -> None:
    """Draw a ring around the winner if it is in view."""
    candidate = results.candidates.get(winner.number)
    if candidate is not None and candidate.folds and candidate.cost:
        place = (cost(candidate), candidate.mean(results.metric))
        axes.scatter(*place, s=260, facecolors="none", edgecolors=INK, linewidths=1.5, zorder=4)
        axes.annotate("chosen", place, xytext=(0, -20), textcoords="offset points", ha="center", va="top")


def _draw_legend(axes: Axes, results: SearchResults, candidates: Sequence[CandidateMetrics]) -> None:
    """List the candidates, best first, then those out of view."""
    for candidate in results.ranked_candidates:
        if candidate not in candidates:
            error = candidate.mean(results.metric)
            axes.scatter(
                [],
                [],
                s=0,
                label=f"{results.best_trial(candidate).algorithm_title}  {error:.4f}, out of view",
            )
    axes.plot([], [], color=FAINT, label="Pareto front")
    axes.legend(title=f"best trial, {results.metric_display_name(results.metric)}", alignment="left",
                loc="upper left", bbox_to_anchor=(1.01, 1.0))  # fmt: skip


def _seconds(candidate: CandidateMetrics) -> float:
    """Return the time of a fit."""
    return max(candidate.cost.fit_seconds, MIN_SECONDS) if candidate.cost else MIN_SECONDS


def _megabytes(candidate: CandidateMetrics) -> float:
    """Return the peak memory of a fit."""
    if candidate.cost is None:
        return MIN_MEGABYTES
    return max((candidate.cost.peak_bytes or 0) / MEGABYTE, MIN_MEGABYTES)
