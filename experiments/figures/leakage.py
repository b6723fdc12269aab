"""Figure of data leakage: metrics of the same candidates under a random split and a time split."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.evaluation.candidate_record import CandidateMetrics, SplitComparison
from experiments.evaluation.metric_names import LOWER_IS_BETTER
from experiments.figures.style import COLORS, algorithm_styles, spread_labels
from experiments.selection.search_results import SearchResults
from marquee.algorithms.registry import RANDOM_BASELINE

Compared = Sequence[tuple[CandidateMetrics, SplitComparison]]


def plot_leakage(results: SearchResults) -> Figure | None:
    """Draw metrics under both splits; return None if fewer than two candidates were compared.

    Crossing lines are candidates whose order differs between the splits. Without ratings, there is no panel
    of errors.
    """
    compared = _compared_candidates(results)
    if len(compared) < 2:
        return None
    metrics = [name for name in ("ndcg", results.error) if len(_with_metric(compared, name)) > 1]
    figure = Figure(figsize=(12.5, 1.8 + 0.36 * len(compared)), layout="constrained")
    *panels, unrated = figure.subplots(1, len(metrics) + 1, width_ratios=[*(1 for _ in metrics), 0.8])
    for axes, metric in zip(panels, metrics, strict=True):
        _draw_slopes(axes, _with_metric(compared, metric), results, metric)
    _draw_unrated_shares(unrated, compared, results)
    return figure


def _compared_candidates(results: SearchResults) -> Compared:
    """Return the first measured trial of each algorithm, as the orders in the results do, without Random."""
    first: dict[str, tuple[CandidateMetrics, SplitComparison]] = {}
    for candidate in results.candidates.values():
        if candidate.split_comparison and candidate.algorithm != RANDOM_BASELINE:
            first.setdefault(candidate.algorithm, (candidate, candidate.split_comparison))
    return list(first.values())


def _with_metric(compared: Compared, metric: str) -> Compared:
    return [each for each in compared if metric in each[1].random and metric in each[1].time]


def _draw_slopes(axes: Axes, compared: Compared, results: SearchResults, metric: str) -> None:
    styles = algorithm_styles(results)
    pairs = [(comparison.random[metric], comparison.time[metric]) for _, comparison in compared]
    values = [value for pair in pairs for value in pair]
    low, high = min(values), max(values)
    gap = min(0.045, 1 / len(compared)) * (high - low or 1.0)
    ends = spread_labels([pair[1] for pair in pairs], gap, low, high)
    for (candidate, _), pair in zip(compared, pairs, strict=True):
        style = styles[candidate.algorithm]
        axes.plot((0, 1), pair, color=style.color, linestyle=style.line,
                  linewidth=1.6, marker="o", markersize=4)  # fmt: skip
    for (candidate, _), place in zip(compared, ends, strict=True):
        title = results.trial_of(candidate).algorithm_title
        axes.annotate(title, (1, place), (8, 0), textcoords="offset points",
                      va="center", color=styles[candidate.algorithm].color, annotation_clip=False,
                      fontsize=9)  # fmt: skip
    axes.set_xlim(-0.08, 1.02)
    axes.set_xticks((0, 1), ("random split", "time split"))
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    unit = " in stars" if metric == results.error else ""
    axes.set_title(f"{results.metric_display_name(metric)}{unit} ({better} is better)")
    axes.grid(visible=True, axis="y")


def _draw_unrated_shares(axes: Axes, compared: Compared, results: SearchResults) -> None:
    shares, rows = [100 * comparison.unrated_share for _, comparison in compared], range(len(compared))
    axes.barh(rows, shares, color=COLORS[0], height=0.6)
    for row, share in zip(rows, shares, strict=True):
        axes.annotate(
            f"{share:.1f}", (share, row), (3, 0), textcoords="offset points", va="center", fontsize=9
        )
    titles = [results.trial_of(candidate).algorithm_title for candidate, _ in compared]
    axes.set_yticks(rows, titles, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title("Unknown before the cutoff")
    axes.set_xlabel("% of recommended items")
    axes.tick_params(axis="y", length=0)
