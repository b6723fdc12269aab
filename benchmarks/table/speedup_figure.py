"""Bar chart of the seconds of Marquee and Surprise by algorithm, with the speedup."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.plotting import MARQUEE_COLOR, MUTED_COLOR, PEER_COLOR, TEXT_COLOR
from benchmarks.table.comparisons import SURPRISE, Comparison, Measure
from benchmarks.table.result_tables import format_ratio, format_seconds, list_subjects, select_comparisons

BAR_HEIGHT = 0.38
LABEL_ROOM = 5  # right end of the axis, as a multiple of the longest bar


def draw_speedups(comparisons: Sequence[Comparison], title: str) -> Figure:
    """Draw the end-to-end seconds of both libraries on a logarithmic axis, the largest speedup on top."""
    timings = [
        timing
        for subject in list_subjects(comparisons, SURPRISE, Measure.RMSE)
        if (timing := select_comparisons(comparisons, subject, SURPRISE).get(Measure.END_TO_END))
        and timing.ratio
    ]
    timings.sort(key=lambda timing: timing.ratio or 0)
    figure = Figure(figsize=(8, 0.8 + 0.44 * len(timings)), layout="constrained")
    axes = figure.add_subplot()
    for position, timing in enumerate(timings):
        _draw_bars(axes, position, timing)
    axes.set_yticks(
        range(len(timings)), [timing.subject for timing in timings], fontsize=11, color=TEXT_COLOR
    )
    _style_axes(axes, [value for timing in timings for value in (timing.ours, timing.peer) if value])
    _draw_heading(axes, f"{title}: seconds from ratings to metrics, logarithmic")
    return figure


def _draw_bars(axes: Axes, position: int, timing: Comparison) -> None:
    sides = ((timing.ours, BAR_HEIGHT / 2, MARQUEE_COLOR, MARQUEE_COLOR),
             (timing.peer, -BAR_HEIGHT / 2, PEER_COLOR, MUTED_COLOR))  # fmt: skip
    for seconds, offset, bar_color, text_color in sides:
        if seconds is None:
            continue
        axes.barh(position + offset, seconds, BAR_HEIGHT, color=bar_color)
        axes.text(seconds * 1.05, position + offset, f"{format_seconds(seconds)} s",
                  va="center", fontsize=8.5, color=text_color)  # fmt: skip
    axes.text(1.0, position, format_ratio(timing.ratio), va="center", ha="right", fontsize=12,
              fontweight="bold", color=TEXT_COLOR, transform=axes.get_yaxis_transform())  # fmt: skip


def _style_axes(axes: Axes, values: Sequence[float]) -> None:
    """Remove ticks and frame, since the seconds are printed beside the bars."""
    axes.set_xscale("log")
    axes.margins(y=0.02)
    if values:
        axes.set_xlim(min(values) / 2, max(values) * LABEL_ROOM)
    axes.tick_params(left=False, bottom=False, which="both", labelbottom=False)
    axes.spines[:].set_visible(False)


def _draw_heading(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=MUTED_COLOR, pad=26)
    for left, name, color in ((0.0, "Marquee", MARQUEE_COLOR), (0.14, SURPRISE, MUTED_COLOR)):
        axes.annotate(name, (left, 1), (0, 6), xycoords="axes fraction", textcoords="offset points",
                      fontsize=11, fontweight="bold", color=color)  # fmt: skip
