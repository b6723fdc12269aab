"""Figure of learning curves: held-out error after each epoch, which shows underfitting and overfitting."""

from matplotlib.figure import Figure

from experiments.figures.style import algorithm_styles, spread_labels
from experiments.selection.search_results import SearchResults


def plot_learning_curves(results: SearchResults) -> Figure | None:
    """Draw the mean error over folds by epoch; return None if no predictor trains by epochs."""
    candidates = [candidate for candidate in results.ranked_predictors if len(candidate.learning_curve) > 1]
    if not candidates:
        return None
    styles = algorithm_styles(results)
    figure = Figure(figsize=(11.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for candidate in candidates:
        epochs, errors = zip(*candidate.learning_curve, strict=True)
        color = styles[candidate.algorithm].color
        best = min(range(len(errors)), key=errors.__getitem__)
        axes.plot(epochs, errors, color=color, linewidth=1.8, linestyle=styles[candidate.algorithm].line)
        axes.scatter(epochs[best], errors[best], color=color, s=28, zorder=3)
    low, high = _y_limits([candidate.learning_curve for candidate in candidates])
    axes.set_ylim(low, high)
    final_errors = [min(max(candidate.learning_curve[-1][1], low), high) for candidate in candidates]
    label_positions = spread_labels(final_errors, 0.055 * (high - low), low, high)
    longest = max(candidate.learning_curve[-1][0] for candidate in candidates)
    for candidate, position in zip(candidates, label_positions, strict=True):
        label = f"{results.trial_of(candidate).algorithm_title}  {candidate.learning_curve[-1][1]:.4f}"
        axes.annotate(label, (longest, position), (10, 0), textcoords="offset points", va="center",
                      color=styles[candidate.algorithm].color, annotation_clip=False)  # fmt: skip
    axes.set_xlim(1, longest)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"held-out {results.metric_display_name(results.error)} in stars, mean over folds")
    axes.set_title("Learning curves (dot: best epoch)")
    axes.grid(visible=True)
    return figure


def _y_limits(curves: list[tuple[tuple[int, float], ...]]) -> tuple[float, float]:
    """Return limits that show all final errors; high early errors are cut off if they would squeeze these."""
    errors = [error for learning_curve in curves for _, error in learning_curve]
    low = min(errors)
    ends = max(learning_curve[-1][1] for learning_curve in curves)
    high = min(max(errors), low + 3 * max(ends - low, 0.01 * low))
    pad = 0.04 * (high - low)
    return low - pad, high + pad
