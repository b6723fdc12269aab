"""Figure of data leakage: metrics of the same candidates under a random split and a time split."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.evaluation.candidate_record import RANDOM_BASELINE, CandidateMetrics
from experiments.evaluation.metric_names import LOWER_IS_BETTER
from experiments.figures.style import COLORS, assign_styles, spread_labels
from experiments.selection.search_results import SearchResults


def plot_leakage(results: SearchResults) -> Figure | None:
    """Draw metrics under both splits; return None if fewer than two candidates were compared.

    Crossing lines are candidates whose order differs between the splits.
    """
    candidates = [
        candidate
        for candidate in results.ranked_candidates
        if candidate.split_comparison and candidate.algorithm != RANDOM_BASELINE
    ]
    if len(candidates) < 2:
        return None
    figure = Figure(figsize=(12.5, 1.6 + 0.36 * len(candidates)), layout="constrained")
    error, ranking, unrated = figure.subplots(1, 3, width_ratios=(1, 1, 0.8))
    _draw_slopes(error, candidates, results, results.metric)
    _draw_slopes(ranking, candidates, results, "ndcg")
    _draw_unrated_shares(unrated, candidates, results)
    return figure


def _draw_slopes(axes: Axes, candidates: list[CandidateMetrics], results: SearchResults, metric: str) -> None:
    styles = assign_styles(candidate.algorithm for candidate in results.ranked_candidates)
    pairs = [
        (comparison.random[metric], comparison.time[metric])
        for candidate in candidates
        if (comparison := candidate.split_comparison)
    ]
    values = [value for pair in pairs for value in pair]
    low, high = min(values), max(values)
    ends = spread_labels(
        [pair[1] for pair in pairs], min(0.045, 1 / len(candidates)) * (high - low or 1.0), low, high
    )
    for candidate, pair in zip(candidates, pairs, strict=True):
        style = styles[candidate.algorithm]
        axes.plot((0, 1), pair, color=style.color, linestyle=style.line,
                  linewidth=1.6, marker="o", markersize=4)  # fmt: skip
    for candidate, place in zip(candidates, ends, strict=True):
        title = results.best_trial(candidate).algorithm_title
        axes.annotate(title, (1, place), (8, 0), textcoords="offset points",
                      va="center", color=styles[candidate.algorithm].color, annotation_clip=False,
                      fontsize=9)  # fmt: skip
    axes.set_xlim(-0.08, 1.02)
    axes.set_xticks((0, 1), ("random split", "time split"))
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    unit = " in stars" if metric == results.metric else ""
    axes.set_title(f"{results.metric_display_name(metric)}{unit} ({better} is better)")
    axes.grid(visible=True, axis="y")


def _draw_unrated_shares(axes: Axes, candidates: list[CandidateMetrics], results: SearchResults) -> None:
    shares = [
        100 * candidate.split_comparison.unrated_share if candidate.split_comparison else 0.0
        for candidate in candidates
    ]
    rows = range(len(candidates))
    axes.barh(rows, shares, color=COLORS[0], height=0.6)
    for row, share in zip(rows, shares, strict=True):
        axes.annotate(
            f"{share:.1f}", (share, row), (3, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(
        rows, [results.best_trial(candidate).algorithm_title for candidate in candidates], fontsize=9
    )
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title("Not yet rated at the cutoff")
    axes.set_xlabel("% of recommended items (random split)")
    axes.tick_params(axis="y", length=0)
