"""Style of all figures, and their export as an SVG element for a page or as an SVG file.

An element takes its text and line colors from the page (`--ink`, `--faint`). A file brings its own colors and
background for light and dark themes. A candidate has the same color, marker and line style in all figures.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, product
from math import inf
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments.selection.search_results import SearchResults

# Okabe-Ito palette without black and yellow: safe for color blindness, readable on white and on black.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
MARKERS, LINES = "os^", ("-", "--", ":")
INK, FAINT = "#1a1b1c", "#8a8b8c"  # used for nothing else, so that CSS variables can replace them in the SVG
SPREAD_ITERATIONS = 500
THEMES = (
    ":root{--ink:#1a1b1c;--faint:#8a8b8c;--paper:#fff;--font:system-ui,'DejaVu Sans',sans-serif}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--faint:#8b929c;--paper:#14171b}}"
)
STYLE: dict[Any, Any] = {
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "marquee",
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the common style to figures created in this block."""
    with mpl.rc_context(STYLE):
        yield


@dataclass(frozen=True)
class SeriesStyle:
    """Style of one candidate in all figures."""

    color: str
    marker: str
    line: str


def assign_styles(names: Iterable[str]) -> dict[str, SeriesStyle]:
    """Assign a style to each candidate; the result depends only on the names and their order."""
    forms = zip(MARKERS, LINES, strict=True)
    styles = (SeriesStyle(color, marker, line) for (marker, line), color in product(forms, COLORS))
    return dict(zip(names, styles, strict=False))


def algorithm_styles(results: SearchResults) -> dict[str, SeriesStyle]:
    """Return the style of each measured algorithm, the same in all figures of these results."""
    return assign_styles(dict.fromkeys(candidate.algorithm for candidate in results.candidates.values()))


def spread_labels(
    positions: Sequence[float], gap: float, low: float = -inf, high: float = inf
) -> list[float]:
    """Return label positions within the bounds that keep their order and, if possible, a minimum gap."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    placed = list(positions)
    for _ in range(SPREAD_ITERATIONS):
        for lower, upper in pairwise(order):
            missing = max(0.0, gap - (placed[upper] - placed[lower]))
            placed[lower] -= missing / 2
            placed[upper] += missing / 2
        placed = [min(max(position, low), high) for position in placed]
    return placed


def use_plain_tick_labels(axes: Axes) -> None:
    """Label a logarithmic x axis with plain numbers instead of powers of ten."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def to_svg_element(figure: Figure) -> str:
    """Return the figure as an SVG element with a transparent background and the page's colors."""
    file = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "var(--ink)").replace(FAINT, "var(--faint)")
    svg = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1var(--font)", svg)
    head, body = svg.split(">", 1)
    return re.sub(r' (width|height)="[^"]*"', "", head) + ">" + body  # fills the width of its container


def to_standalone_svg(svg: str) -> str:
    """Return an element from `to_svg_element` as the text of an SVG file that follows the viewer's theme."""
    head, body = svg.split(">", 1)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)[0]
    head += f' width="{width}pt" height="{height}pt"'
    return f"{head}><style>{THEMES}</style><rect width='100%' height='100%' fill='var(--paper)'/>{body}"
