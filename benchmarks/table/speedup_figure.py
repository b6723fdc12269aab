"""The table as a picture: seconds of both libraries on a logarithmic axis, and how many times faster."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.table.markdown import of, seconds, subjects, times
from benchmarks.table.rows import END_TO_END, Row

OURS, THEIRS, INK, FAINT = "#0072B2", "#B8B8B8", "#222222", "#6E6E6E"  # blue of Okabe and Ito, and greys
HALF_BAR = 0.38
ROOM = 5  # times the longest bar, for the figures beside it


def draw(rows: Sequence[Row], title: str) -> Figure:
    """Bars of ours and Surprise's, the largest gain on top."""
    pairs = {
        subject: of(rows, subject, "Surprise").get(END_TO_END)
        for subject in subjects(rows, "Surprise", "RMSE")
    }
    told = [
        row for row in pairs.values() if row is not None and row.ours is not None and row.peer is not None
    ]
    told.sort(key=lambda row: row.ratio or 0)
    figure = Figure(figsize=(8, 0.8 + 0.44 * len(told)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(told):
        _bars(axes, place, row)
    axes.set_yticks(range(len(told)), [row.subject for row in told], fontsize=11, color=INK)
    _bare(axes, [value for row in told for value in (row.ours, row.peer) if value is not None])
    axes.set_title(
        f"{title}: seconds from ratings to metrics, logarithmic", loc="left", fontsize=10, color=FAINT, pad=26
    )
    for left, name, colour in ((0.0, "Marquee", OURS), (0.14, "Surprise", FAINT)):
        axes.annotate(name, (left, 1), (0, 6), xycoords="axes fraction", textcoords="offset points",
                      fontsize=11, fontweight="bold", color=colour)  # fmt: skip
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the picture as PNG, small enough for a repository."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": ""})


def _bars(axes: Axes, place: int, row: Row) -> None:
    assert row.ours is not None
    assert row.peer is not None
    for value, offset, colour, ink in (
        (row.ours, HALF_BAR / 2, OURS, OURS),
        (row.peer, -HALF_BAR / 2, THEIRS, FAINT),
    ):
        axes.barh(place + offset, value, HALF_BAR, color=colour)
        axes.text(value * 1.05, place + offset, f"{seconds(value)} s", va="center", fontsize=8.5, color=ink)
    axes.text(1.0, place, times(row.ratio), va="center", ha="right", fontsize=12, fontweight="bold",
              color=INK, transform=axes.get_yaxis_transform())  # fmt: skip


def _bare(axes: Axes, values: Sequence[float]) -> None:
    """Nothing but bars, names and figures: the seconds stand beside the bars."""
    axes.set_xscale("log")
    axes.margins(y=0.02)
    if values:
        axes.set_xlim(min(values) / 2, max(values) * ROOM)
    axes.tick_params(left=False, bottom=False, which="both", labelbottom=False)
    axes.spines[:].set_visible(False)
