"""Figure of latency by number of users; the expected result is a flat line."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from benchmarks.plotting import MARQUEE_COLOR, MUTED_COLOR


@dataclass(frozen=True)
class ModelSizeResult:
    """Measurements of a model with `n_users` users."""

    n_users: int
    ready_s: float  # time from the start of the server to its first response
    p50: float  # milliseconds
    p99: float
    private_mb: float


def draw_latency_by_users(results: Sequence[ModelSizeResult]) -> Figure:
    """Draw p50 and p99 by number of users; the axis starts at zero, so that a small increase looks small."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    n_users = [result.n_users for result in results]
    percentiles = (
        ("p50", [result.p50 for result in results], "-"),
        ("p99", [result.p99 for result in results], "--"),
    )
    for name, latencies, line_style in percentiles:
        axes.plot(n_users, latencies, f"o{line_style}", color=MARQUEE_COLOR)
        axes.annotate(
            name, (n_users[-1], latencies[-1]), (8, -3), textcoords="offset points", color=MARQUEE_COLOR
        )
    axes.set_xscale("log")
    axes.set_ylim(0, 1.3 * max(result.p99 for result in results))
    axes.set_xlabel("users of the model")
    axes.set_title(
        "GET /recommend/{user}, one request at a time: ms until the response is read", loc="left", fontsize=10
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=MUTED_COLOR, alpha=0.3)
    return figure
