"""How every figure looks, and the two forms it leaves in: an SVG element for a page, and an SVG file.

The element takes ink and lines from the page (`--ink`, `--faint`); the file brings its own, and a ground, for
light and for dark. Candidates keep their colour, marker and line from figure to figure.
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

# Okabe-Ito without its black and yellow: told apart by every kind of colour vision, on white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
MARKERS, LINES = "os^", ("-", "--", ":")
INK, FAINT = "#1a1b1c", "#8a8b8c"  # also what is searched for in the SVG: no other element has these
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


def standalone(svg: str) -> str:
    """An element of `to_svg` as a file of its own, which follows the theme of whoever looks at it."""
    head, body = svg.split(">", 1)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)[0]
    head += f' width="{width}pt" height="{height}pt"'
    return f"{head}><style>{THEMES}</style><rect width='100%' height='100%' fill='var(--paper)'/>{body}"
