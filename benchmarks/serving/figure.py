"""Latency against the number of users: a line that should be flat."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from benchmarks.table.figure import FAINT, OURS


@dataclass(frozen=True)
class Size:
    """One model."""

    users: int
    ready_s: float
    p50: float  # milliseconds
    p99: float
    own_mb: float


def draw(sizes: Sequence[Size]) -> Figure:
    """p50 and p99 over the number of users, from zero, so that flat looks flat."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    users = [size.users for size in sizes]
    for name, values, style in (("p50", [s.p50 for s in sizes], "-"), ("p99", [s.p99 for s in sizes], "--")):
        axes.plot(users, values, f"o{style}", color=OURS)
        axes.annotate(name, (users[-1], values[-1]), (8, -3), textcoords="offset points", color=OURS)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.3 * max(size.p99 for size in sizes))
    axes.set_xlabel("users of the model")
    axes.set_title(
        "GET /recommend/{user}, one request after the other: ms until the answer is read",
        loc="left",
        fontsize=10,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=FAINT, alpha=0.3)
    return figure
