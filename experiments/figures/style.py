"""How every figure looks, and the two forms it leaves in: a PNG for a run, an SVG for a page.

The SVG takes its ink and its lines from the page (`--ink`, `--faint`), so that it follows a dark theme; the
PNG has a white ground of its own. Candidates keep their colour and marker from figure to figure.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, product
from math import inf
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# Okabe-Ito without its black and yellow: told apart by every kind of colour vision, on white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
MARKERS, LINES = "os^", ("-", "--", ":")
INK, FAINT = "#1a1b1c", "#8a8b8c"  # also what is searched for in the SVG: no other element has these
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
def drawn() -> Iterator[None]:
    """Within this block, figures are made in the house's style."""
    with mpl.rc_context(STYLE):
        yield


@dataclass(frozen=True)
class Look:
    """How one candidate is drawn, in every figure."""

    colour: str
    marker: str
    line: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each candidate; the same names in the same order get the same ones."""
    forms = zip(MARKERS, LINES, strict=True)
    every = (Look(colour, marker, line) for (marker, line), colour in product(forms, COLOURS))
    return dict(zip(names, every, strict=False))


def spread(places: Sequence[float], gap: float, low: float = -inf, high: float = inf) -> list[float]:
    """Places for labels between the bounds: near where they belong, a gap apart if possible, in order."""
    order = sorted(range(len(places)), key=places.__getitem__)
    placed = list(places)
    for _ in range(500):
        for lower, upper in pairwise(order):
            missing = max(0.0, gap - (placed[upper] - placed[lower]))
            placed[lower] -= missing / 2
            placed[upper] += missing / 2
        placed = [min(max(place, low), high) for place in placed]
    return placed


def plain_numbers(axes: Axes, which: str = "x") -> None:
    """Ticks of a logarithmic axis as numbers, not as powers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure on a white ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, facecolor="white")


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element without a ground, in the colours of the page it is put into."""
    file = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "var(--ink)").replace(FAINT, "var(--faint)")
    svg = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1var(--font)", svg)
    head, body = svg.split(">", 1)
    return re.sub(r' (width|height)="[^"]*"', "", head) + ">" + body  # as wide as the page lets it be
