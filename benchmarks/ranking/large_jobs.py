"""Large rankers: time and memory on synthetic interactions of the size of MovieLens 20M.

    python -m benchmarks.ranking.large_jobs JOB.json RESULT.json

Each measurement runs in a new process, so that its peak of memory is its own.
"""

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pandas as pd

from benchmarks.fold_tables import generate_toy_ratings
from benchmarks.machine import available_cores, peak_resident_mb
from benchmarks.process_jobs import Job, JobResult, run_job, run_requested_job
from benchmarks.ratings import SEED
from benchmarks.result_rows import ResultRow, format_check_mark
from marquee.algorithms.base import EpochAlgorithm
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.threads import thread_count
from marquee.array_types import Float64Array, Int64Array
from marquee.interactions.columns import ITEM, USER, WEIGHT
from marquee.interactions.matrix import InteractionMatrix

MILLION = 1_000_000
N_USERS, N_ITEMS, N_INTERACTIONS = 138_000, 27_000, 20 * MILLION
QUICK_ITEMS, QUICK_INTERACTIONS = 9_000, 2 * MILLION
SMALL_INTERACTIONS = MILLION
N_GROUPS = 20  # of users and items; a user prefers the items of one group
GROUP_SHARE = 0.25  # of the items of a user that are taken from their group alone
DRAWS_PER_PAIR = 1.5  # enough to have n pairs without repetitions
N_EPOCHS = 3  # of iALS, and one more that is not counted
MAX_EASE_SECONDS, MAX_EASE_GB = 360.0, 8.0
MAX_IALS_RATIO = 1.5
COMMAND = (sys.executable, "-m", "benchmarks.ranking.large_jobs")


def measure_large_ease(*, is_quick: bool) -> Iterator[ResultRow]:
    """Measure time and memory of EASE in float32; quick: 9,000 items and 2 million interactions."""
    n_items, n = (QUICK_ITEMS, QUICK_INTERACTIONS) if is_quick else (N_ITEMS, N_INTERACTIONS)
    result = _run("ease", n, n_items)
    note = f"{n_items:,} items, float32, {thread_count()} threads"
    figures = (
        ("EASE 27,000 items", result["seconds"], "s", MAX_EASE_SECONDS),
        ("EASE 27,000 items, peak memory", result["peak_mb"] / 1000, "GB", MAX_EASE_GB),
    )
    for row, value, unit, target in figures:
        if is_quick:
            yield ResultRow(row, value, unit, n, f"quick: {note}")
        else:
            mark = f"target {target:g} {unit} {format_check_mark(value <= target)}; {note}; peer: the target"
            yield ResultRow(row, value, unit, n, mark, peer=target, ratio=target / value)


def measure_large_ials(*, is_quick: bool) -> Iterator[ResultRow]:
    """Measure the time of iALS by interaction and epoch, beside that for a million; quick: two millions."""
    large = QUICK_INTERACTIONS if is_quick else N_INTERACTIONS
    n_items = {n: count_items(n) for n in (SMALL_INTERACTIONS, large)}
    small_ns, large_ns = (_epoch_ns(_run("ials", n, items)) for n, items in n_items.items())
    growth = large_ns / small_ns
    target = f"target {MAX_IALS_RATIO:g} times the time for 1 M {format_check_mark(growth <= MAX_IALS_RATIO)}"
    note = f"{'quick: 2 M' if is_quick else target}; {growth:.2f} times; 64 factors, {thread_count()} threads"
    yield ResultRow("iALS 20 M", large_ns, "ns", large, note, peer=small_ns, ratio=small_ns / large_ns)


def count_items(n_interactions: int) -> int:
    """Return the number of items that belongs to a number of interactions, which it follows by the power 2/3.

    >>> count_items(20_000_000), count_items(1_000_000)
    (27000, 3665)
    """
    n_items: float = N_ITEMS * (n_interactions / N_INTERACTIONS) ** (2 / 3)
    return round(n_items)


def generate_interactions(n: int, n_users: int, n_items: int, seed: int = SEED) -> pd.DataFrame:
    """Draw n distinct pairs of user and item from a model of popularity and group preference.

    Activity and popularity vary as in MovieLens. A user takes some items from one group, and the others from
    all. There are fewer than n pairs if the users or items are too few.
    """
    rng = np.random.default_rng(seed)
    n_draws = round(DRAWS_PER_PAIR * n)
    users = _draw(rng, rng.lognormal(0, 1.2, n_users), n_draws)
    items = _draw(rng, np.exp(4.6 * rng.random(n_items)), n_draws)
    in_group = rng.random(n_draws) < GROUP_SHARE
    group = users % N_GROUPS  # items of group g: g, g + N_GROUPS, ...
    items = np.where(in_group, np.minimum(items - items % N_GROUPS + group, n_items - 1), items)
    codes = np.unique(users * n_items + items)
    rng.shuffle(codes)
    codes = codes[:n]
    columns = {USER: (codes // n_items).astype(np.int32), ITEM: (codes % n_items).astype(np.int32)}
    return pd.DataFrame(columns | {WEIGHT: np.ones(len(codes), dtype=np.float32)})


def _draw(rng: np.random.Generator, weights: Float64Array, n: int) -> Int64Array:
    """Draw n indices with probabilities in proportion to weights."""
    cumulated = weights.cumsum()
    drawn: Int64Array = np.searchsorted(cumulated, rng.random(n) * cumulated[-1]).astype(np.int64)
    return drawn


def _run(task: str, n: int, n_items: int) -> JobResult:
    """Generate interactions, and run a job on them in a new process."""
    n_users = round(N_USERS * n / N_INTERACTIONS)
    with TemporaryDirectory() as folder:
        generate_interactions(n, n_users, n_items).to_parquet(Path(folder) / "interactions.parquet")
        return run_job(COMMAND, Job(task, folder, cores=available_cores(thread_count())))


def _epoch_ns(result: JobResult) -> float:
    return float(1e9 * median(result["epoch_seconds"]) / result["n_interactions"])


# In the child process


def run_ease(job: Job) -> JobResult:
    """Fit EASE to the interactions of a folder."""
    algorithm, matrix = find_algorithm("ease").create({"reg": 500.0}, SEED), _read_matrix(job)
    find_algorithm("ease").create({}, SEED).fit(_toy_matrix())  # loads the compiled kernels
    start = perf_counter()
    algorithm.fit(matrix)
    return {"seconds": perf_counter() - start, "peak_mb": peak_resident_mb()}


def run_ials(job: Job) -> JobResult:
    """Fit iALS to the interactions of a folder, and measure each epoch after the first."""
    algorithm = find_algorithm("ials").create({"n_factors": 64, "n_epochs": N_EPOCHS + 1}, SEED)
    assert isinstance(algorithm, EpochAlgorithm)
    algorithm.fit(_toy_matrix())
    matrix = _read_matrix(job)
    ends = [perf_counter() for _ in algorithm.fit_by_epoch(matrix)]
    seconds = [end - start for start, end in pairwise(ends)]
    return {"epoch_seconds": seconds, "n_interactions": len(matrix.items), "peak_mb": peak_resident_mb()}


def _read_matrix(job: Job) -> InteractionMatrix:
    return InteractionMatrix.from_frame(pd.read_parquet(Path(job.folder) / "interactions.parquet"))


def _toy_matrix() -> InteractionMatrix:
    return InteractionMatrix.from_frame(generate_toy_ratings())


if __name__ == "__main__":
    run_requested_job({"ease": run_ease, "ials": run_ials})
