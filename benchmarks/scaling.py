"""Growth of the time and memory of SVD from one million to twenty million ratings.

    python -m benchmarks.scaling [--quick] [--json FILE] [--figure FILE]

Each size runs in a new process on one core. As in MovieLens, the number of users grows in proportion to the
number of ratings, and the number of items with its power of 2/3: from 6,900 users and 3,700 items for one
million ratings to 138,000 users and 27,000 items for twenty million.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.command_line import benchmark_parser
from benchmarks.fold_tables import generate_toy_ratings, read_ratings, write_ratings
from benchmarks.machine import available_cores, describe_machine, peak_resident_mb, resident_mb
from benchmarks.markdown import format_markdown_table
from benchmarks.plotting import MARQUEE_COLOR, MUTED_COLOR, TEXT_COLOR, save_figure
from benchmarks.process_jobs import Job, JobResult, run_job, run_requested_job
from benchmarks.ratings import RATING_SCALE
from benchmarks.result_rows import ResultRow, format_check_mark, write_rows
from marquee.algorithms.svd import SVD
from marquee.interactions.columns import ITEM, RATING, USER
from marquee.interactions.matrix import InteractionMatrix

MILLION = 1_000_000
SIZES = (1, 2, 5, 10, 20)  # millions of ratings
QUICK_SIZES = (1, 2)
LARGEST_SIZE, LARGEST_USERS, LARGEST_ITEMS = 20, 138_000, 27_000  # as in MovieLens 20M
N_TASTES = 4  # planted factors of the generated ratings
N_EPOCHS = 5  # measured
MAX_TIME_RATIO = 1.5  # time per rating and epoch, largest to smallest size
MAX_MEMORY_RATIO = 1.1  # memory per rating, largest to middle size
COMMAND = (sys.executable, "-m", "benchmarks.scaling")


@dataclass(frozen=True)
class SizeCost:
    """Time and memory of SVD for one number of ratings."""

    n_ratings: int
    n_users: int
    n_items: int
    matrix_seconds: float  # to convert the table to an interaction matrix
    epoch_ns: float  # per rating and epoch: median of the epochs
    epoch_ns_spread: float  # largest minus smallest of the epochs
    start_mb: float  # resident memory with the table, before the conversion
    peak_mb: float

    @property
    def work_mb(self) -> float:
        """Memory of the matrix and the model."""
        return self.peak_mb - self.start_mb

    @property
    def millions(self) -> float:
        """Number of ratings in millions."""
        return self.n_ratings / MILLION


# Measurement


def generate_ratings(n_ratings: int, seed: int = 0) -> pd.DataFrame:
    """Generate ratings from random factors; users' activity and items' popularity vary as in MovieLens.

    A simpler generator than `marquee.synthetic`, which takes minutes for twenty million ratings. Here a pair
    may occur twice.
    """
    rng = np.random.default_rng(seed)
    size = n_ratings / (LARGEST_SIZE * MILLION)
    n_users, n_items = max(1, round(LARGEST_USERS * size)), max(1, round(LARGEST_ITEMS * size ** (2 / 3)))
    activity = rng.lognormal(0, 1.2, n_users).cumsum()
    popularity = np.exp(4.6 * rng.random(n_items)).cumsum()
    users = np.searchsorted(activity, rng.random(n_ratings) * activity[-1]).astype(np.int32)
    items = np.searchsorted(popularity, rng.random(n_ratings) * popularity[-1]).astype(np.int32)
    user_factors, item_factors = (
        rng.normal(0, 0.6, (n_users, N_TASTES)),
        rng.normal(0, 0.6, (n_items, N_TASTES)),
    )
    expected = 3.6 + rng.normal(0, 0.4, n_users)[users] + rng.normal(0, 0.5, n_items)[items]
    for user_factor, item_factor in zip(user_factors.T, item_factors.T, strict=True):
        expected += user_factor[users] * item_factor[items]
    ratings = np.clip(np.rint(expected + rng.normal(0, 0.85, n_ratings)), *RATING_SCALE).astype(np.float32)
    return pd.DataFrame({USER: users, ITEM: items, RATING: ratings})


def measure_size(n_ratings: int) -> SizeCost:
    """Measure SVD on generated ratings of this number, in a new process."""
    with TemporaryDirectory() as folder:
        write_ratings(generate_ratings(n_ratings), Path(folder))
        result = run_job(COMMAND, Job("scaling", folder, cores=available_cores(1)))
    nanoseconds = [1e9 * seconds / n_ratings for seconds in result["epoch_seconds"]]
    return SizeCost(
        n_ratings,
        result["n_users"],
        result["n_items"],
        result["matrix_seconds"],
        median(nanoseconds),
        max(nanoseconds) - min(nanoseconds),
        result["start_mb"],
        result["peak_mb"],
    )


def run_scaling(job: Job) -> JobResult:
    """Fit SVD to the ratings of a folder, and measure each epoch (in the child process)."""
    algorithm = SVD(n_epochs=N_EPOCHS + 1, random_state=0)
    toy_matrix = InteractionMatrix.from_frame(generate_toy_ratings(), RATING_SCALE)
    algorithm.fit(toy_matrix)  # loads the compiled kernels
    ratings = read_ratings(Path(job.folder))
    start_mb, start = resident_mb(), time.perf_counter()
    matrix = InteractionMatrix.from_frame(ratings, RATING_SCALE)
    matrix_seconds = time.perf_counter() - start
    return {
        "n_users": matrix.n_users,
        "n_items": matrix.n_items,
        "matrix_seconds": matrix_seconds,
        "epoch_seconds": _epoch_seconds(algorithm, matrix),
        "start_mb": start_mb,
        "peak_mb": peak_resident_mb(),
    }


def _epoch_seconds(algorithm: SVD, matrix: InteractionMatrix) -> list[float]:
    """Return the seconds of each epoch except the first, which also draws the initial factors."""
    ends = [time.perf_counter() for _ in algorithm.fit_by_epoch(matrix)]
    return [end - start for start, end in pairwise(ends)]


# Results


def make_result_rows(costs: Sequence[SizeCost]) -> Iterator[ResultRow]:
    """Yield the rows for `--json`; each size is compared with the smallest one."""
    for cost in costs:
        for figure, smallest in zip(_figures(cost), _figures(costs[0]), strict=True):
            (what, value, unit), (_, peer, _) = figure, smallest
            title = f"SVD, {cost.millions:g} million ratings: {what}"
            yield ResultRow(title, value, unit, N_EPOCHS, peer=peer, ratio=peer / value if value else None)


def _figures(cost: SizeCost) -> tuple[tuple[str, float, str], ...]:
    """Return name, value and unit of each measured quantity."""
    return (
        ("time per rating and epoch", cost.epoch_ns, "ns"),
        ("range of that time over the epochs", cost.epoch_ns_spread, "ns"),
        ("table to matrix, per rating", 1e9 * cost.matrix_seconds / cost.n_ratings, "ns"),
        ("memory of matrix and model, per rating", 1e6 * cost.work_mb / cost.n_ratings, "byte"),
        ("peak memory", cost.peak_mb, "MB"),
    )


def format_targets(costs: Sequence[SizeCost]) -> list[str]:
    """Return one sentence for each of the two targets."""
    smallest, middle, largest = costs[0], costs[(len(costs) - 1) // 2], costs[-1]
    time_ratio = largest.epoch_ns / smallest.epoch_ns
    memory_ratio = (largest.work_mb / largest.n_ratings) / (middle.work_mb / middle.n_ratings)
    time_mark, memory_mark = (
        format_check_mark(time_ratio <= MAX_TIME_RATIO),
        format_check_mark(memory_ratio <= MAX_MEMORY_RATIO),
    )
    return [
        f"The time per rating and epoch at {largest.millions:g} million ratings is {time_ratio:.2f} times "
        f"that at {smallest.millions:g} million; target ≤ {MAX_TIME_RATIO} {time_mark}",
        f"The memory per rating at {largest.millions:g} million ratings is {memory_ratio:.2f} times "
        f"that at {middle.millions:g} million; linear growth is ≤ {MAX_MEMORY_RATIO} {memory_mark}",
    ]


def format_table(costs: Sequence[SizeCost]) -> str:
    """Return the costs as a Markdown table."""
    header = (
        "ratings",
        "users",
        "items",
        "ns per rating and epoch",
        "table to matrix s",
        "bytes per rating",
        "peak MB",
    )
    rows = [
        (
            f"{cost.n_ratings:,}",
            f"{cost.n_users:,}",
            f"{cost.n_items:,}",
            f"{cost.epoch_ns:.1f}±{cost.epoch_ns_spread / 2:.1f}",
            f"{cost.matrix_seconds:.2f}",
            f"{1e6 * cost.work_mb / cost.n_ratings:.0f}",
            f"{cost.peak_mb:,.0f}",
        )
        for cost in costs
    ]
    return format_markdown_table(header, rows)


# Figure


def draw_scaling(costs: Sequence[SizeCost]) -> Figure:
    """Plot time per rating (with its target) and memory (with linear growth) by the number of ratings."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    millions = [cost.millions for cost in costs]
    _draw_times(left, millions, [cost.epoch_ns for cost in costs])
    _draw_memory(right, millions, [cost.work_mb / 1000 for cost in costs])
    return figure


def _draw_times(axes: Axes, millions: Sequence[float], nanoseconds: Sequence[float]) -> None:
    limit = MAX_TIME_RATIO * nanoseconds[0]
    axes.plot(millions, nanoseconds, "o-", color=MARQUEE_COLOR)
    axes.axhline(limit, color=MUTED_COLOR, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(f"target: {MAX_TIME_RATIO} times the first", (0, limit), (4, 4),
                  textcoords="offset points", ha="left", color=MUTED_COLOR, fontsize=9)  # fmt: skip
    axes.set_ylim(0, 1.25 * max(limit, *nanoseconds))
    _label_axes(axes, "SVD, 100 factors, one thread: ns per rating and epoch")


def _draw_memory(axes: Axes, millions: Sequence[float], gigabytes: Sequence[float]) -> None:
    end, slope = millions[-1], gigabytes[-1] / millions[-1]
    axes.plot([0, end], [0, slope * end], color=MUTED_COLOR, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(millions, gigabytes, "o", color=MARQUEE_COLOR)
    axes.annotate(
        "through 0 and the last point", (end * 0.53, slope * end * 0.42), color=MUTED_COLOR, fontsize=9
    )
    axes.set_ylim(0, None)
    _label_axes(axes, "memory of matrix and model, GB")


def _label_axes(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9.5, color=TEXT_COLOR)
    axes.set_xlabel("million ratings", color=TEXT_COLOR)
    axes.set_xlim(0, None)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#EEEEEE")
    axes.set_axisbelow(True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all sizes; print the table and the targets."""
    quick_help = f"up to {QUICK_SIZES[-1]} million ratings only"
    parser = benchmark_parser("python -m benchmarks.scaling", __doc__, quick_help)
    parser.add_argument("--figure", type=Path, metavar="FILE", help="write the plot to this PNG file")
    options = parser.parse_args(arguments)
    costs = [measure_size(size * MILLION) for size in (QUICK_SIZES if options.quick else SIZES)]
    print(f"SVD (100 factors, float64), {describe_machine()}, one thread, median of {N_EPOCHS} epochs.\n")
    print("\n\n".join([format_table(costs), *format_targets(costs)]))
    if options.json:
        write_rows(map(asdict, make_result_rows(costs)), options.json)
    if options.figure:
        save_figure(draw_scaling(costs), options.figure)
    return 0


def _is_child_process() -> bool:
    """Return True if the arguments are the two paths that `run_job` appends to the command."""
    return len(sys.argv) == 3 and not sys.argv[1].startswith("-")


if __name__ == "__main__":
    if _is_child_process():
        run_requested_job({"scaling": run_scaling})
    else:
        sys.exit(main())
