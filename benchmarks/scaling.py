"""What SVD costs from one million ratings to twenty: seconds a rating and epoch, and memory.

    python -m benchmarks.scaling [--quick] [--json FILE] [--figure FILE]

Each size is a fresh process on one core. Users grow with the ratings, items with their power of 2/3, as in
MovieLens: from 6,900 users and 3,700 items at one million to 138,000 and 27,000 at twenty.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.folds import SCALE, read_ratings, toy
from benchmarks.measure import Job, Result, cores, describe_machine, memory_mb, peak_mb, run_apart, serve
from benchmarks.table.figure import FAINT, INK, OURS, save
from benchmarks.table.markdown import table
from marquee.algorithms.svd import SVD
from marquee.interactions.matrix import ITEM, RATING, USER, RatingMatrix

MILLION = 1_000_000
SIZES = (1, 2, 5, 10, 20)  # millions of ratings
QUICK_SIZES = (1, 2)
LARGEST, USERS, ITEMS = 20, 138_000, 27_000  # the data set that the largest is to be like
EPOCHS = 5
MOST_TIME = 1.5  # of the time a rating and epoch of the smallest, that the largest may take
STRAIGHT = 1.1  # of the memory a rating in the middle, that the largest may take
COMMAND = (sys.executable, "-m", "benchmarks.scaling")


@dataclass(frozen=True)
class Point:
    """One size."""

    n: int  # ratings
    users: int
    items: int
    data_seconds: float  # from frame to matrix
    nanoseconds: float  # a rating and epoch, median of the epochs
    spread: float  # largest minus smallest of the epochs
    before_mb: float  # with the frame, before the work
    peak_mb: float

    @property
    def taken_mb(self) -> float:
        """What matrix and model take."""
        return self.peak_mb - self.before_mb


def planted(n: int, seed: int = 0) -> pd.DataFrame:
    """So many ratings of planted factors; users differ in activity, items in popularity, as in MovieLens.

    Plainer than `marquee.synthetic`, which takes minutes for twenty million: a pair may occur twice.
    """
    rng = np.random.default_rng(seed)
    n_users = max(1, round(USERS * n / (LARGEST * MILLION)))
    n_items = max(1, round(ITEMS * (n / (LARGEST * MILLION)) ** (2 / 3)))
    activity = rng.lognormal(0, 1.2, n_users).cumsum()
    popularity = np.exp(4.6 * rng.random(n_items)).cumsum()
    users = np.searchsorted(activity, rng.random(n) * activity[-1]).astype(np.int32)
    items = np.searchsorted(popularity, rng.random(n) * popularity[-1]).astype(np.int32)
    tastes, traits = rng.normal(0, 0.6, (n_users, 4)), rng.normal(0, 0.6, (n_items, 4))
    expected = 3.6 + rng.normal(0, 0.4, n_users)[users] + rng.normal(0, 0.5, n_items)[items]
    for taste, trait in zip(tastes.T, traits.T, strict=True):
        expected += taste[users] * trait[items]
    ratings = np.clip(np.rint(expected + rng.normal(0, 0.85, n)), *SCALE).astype(np.float32)
    return pd.DataFrame({USER: users, ITEM: items, RATING: ratings})


def measure(job: Job) -> Result:
    """Fit SVD on the ratings of a folder, epoch by epoch."""
    algorithm = SVD(n_epochs=EPOCHS + 1, random_state=0)  # the first also draws the factors: not counted
    algorithm.fit(RatingMatrix.from_frame(toy(), SCALE))
    frame = read_ratings(job.folder)
    before, began = memory_mb(), time.perf_counter()
    matrix = RatingMatrix.from_frame(frame, SCALE)
    ready = time.perf_counter()
    seconds, last = [], 0.0
    for _ in algorithm.epochs(matrix):
        now = time.perf_counter()
        seconds.append(now - last)
        last = now
    return {
        "users": matrix.n_users,
        "items": matrix.n_items,
        "data": ready - began,
        "epochs": seconds[1:],
        "before_mb": before,
        "peak_mb": peak_mb(),
    }


def point(n: int) -> Point:
    """One size, measured in a process of its own."""
    with TemporaryDirectory() as folder:
        ratings = planted(n)
        for column, name in ((USER, "users"), (ITEM, "items"), (RATING, "ratings")):
            np.save(Path(folder) / f"{name}.npy", ratings[column].to_numpy())
        del ratings
        found = run_apart(COMMAND, Job("scaling", folder, cores=cores(1)))
    each = [1e9 * seconds / n for seconds in found["epochs"]]
    return Point(
        n, found["users"], found["items"], found["data"],
        median(each), max(each) - min(each), found["before_mb"], found["peak_mb"],
    )  # fmt: skip


def rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The points as the other benchmarks write theirs; what they are compared with is the smallest size."""
    written = []
    for p in points:
        for (what, ours, unit), (_, first, _) in zip(_figures(p), _figures(points[0]), strict=True):
            name = f"SVD, {p.n / MILLION:g} million ratings: {what}"
            ratio = first / ours if ours else None
            written.append(
                {"what": name, "ours": ours, "peer": first, "ratio": ratio, "unit": unit, "n": EPOCHS}
            )
    return written


def _figures(p: Point) -> tuple[tuple[str, float, str], ...]:
    return (
        ("time a rating and epoch", p.nanoseconds, "ns"),
        ("spread of it over the epochs", p.spread, "ns"),
        ("from frame to matrix, a rating", 1e9 * p.data_seconds / p.n, "ns"),
        ("memory of matrix and model, a rating", 1e6 * p.taken_mb / p.n, "byte"),
        ("peak memory", p.peak_mb, "MB"),
    )


def verdicts(points: Sequence[Point]) -> list[str]:
    """The two targets, and whether they were reached."""
    first, middle, last = points[0], points[(len(points) - 1) // 2], points[-1]
    slower = last.nanoseconds / first.nanoseconds
    more = (last.taken_mb / last.n) / (middle.taken_mb / middle.n)
    size, least, half = (f"{p.n / MILLION:g} million" for p in (last, first, middle))
    return [
        f"A rating and epoch of {size} takes {slower:.2f} times as long as of {least}; "
        f"target ≤ {MOST_TIME} {'✓' if slower <= MOST_TIME else '✗'}",
        f"A rating of {size} takes {more:.2f} times as much memory as of {half}; "
        f"linear is ≤ {STRAIGHT} {'✓' if more <= STRAIGHT else '✗'}",
    ]


def markdown(points: Sequence[Point]) -> str:
    """The points as a table."""
    heads = (
        "ratings",
        "users",
        "items",
        "ns a rating and epoch",
        "frame to matrix s",
        "bytes a rating",
        "peak MB",
    )
    return table(heads, [
        [f"{p.n:,}", f"{p.users:,}", f"{p.items:,}", f"{p.nanoseconds:.1f}±{p.spread / 2:.1f}",
         f"{p.data_seconds:.2f}", f"{1e6 * p.taken_mb / p.n:.0f}", f"{p.peak_mb:,.0f}"]
        for p in points
    ])  # fmt: skip


def draw(points: Sequence[Point]) -> Figure:
    """Time a rating and memory, each against the number of ratings, with what would be too much."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [p.n / MILLION for p in points]
    times = [p.nanoseconds for p in points]
    left.plot(sizes, times, "o-", color=OURS)
    left.axhline(MOST_TIME * times[0], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    left.annotate(f"target: {MOST_TIME} times the first", (sizes[-1], MOST_TIME * times[0]), (0, 4),
                  textcoords="offset points", ha="right", color=FAINT, fontsize=9)  # fmt: skip
    left.set_ylim(0, 1.25 * max(MOST_TIME * times[0], *times))
    _label(left, "SVD (100), one thread: ns a rating and epoch")
    taken = [p.taken_mb / 1000 for p in points]
    slope = taken[-1] / sizes[-1]
    right.plot([0, sizes[-1]], [0, slope * sizes[-1]], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    right.plot(sizes, taken, "o", color=OURS)
    right.annotate(
        "through 0 and the last", (sizes[-1] * 0.56, slope * sizes[-1] * 0.5), color=FAINT, fontsize=9
    )
    right.set_ylim(0, None)
    _label(right, "memory of matrix and model, GB")
    return figure


def _label(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes.set_xlabel("million ratings", color=INK)
    axes.set_xlim(0, None)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#EEEEEE")
    axes.set_axisbelow(True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and the verdicts; with --json and --figure write them too."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help=f"up to {QUICK_SIZES[-1]} million ratings only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="write the plot to this PNG file")
    options = parser.parse_args(arguments)
    points = [point(size * MILLION) for size in (QUICK_SIZES if options.quick else SIZES)]
    print(f"SVD (100 factors, float64), {describe_machine()}, one thread, median of {EPOCHS} epochs.\n")
    print("\n\n".join([markdown(points), *verdicts(points)]))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows(points), indent=2) + "\n", encoding="utf-8")
    if options.figure:
        save(draw(points), options.figure)


if __name__ == "__main__":
    if len(sys.argv) == 3 and not sys.argv[1].startswith("-"):
        serve({"scaling": measure})
    else:
        main()
