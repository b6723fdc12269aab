"""Colors and file format of the figures of the benchmarks."""

from pathlib import Path

from matplotlib.figure import Figure

MARQUEE_COLOR, PEER_COLOR = "#0072B2", "#B8B8B8"  # blue of the Okabe-Ito palette, and gray
TEXT_COLOR, MUTED_COLOR = "#222222", "#6E6E6E"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file of 150 dpi; create the folder if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": ""})
