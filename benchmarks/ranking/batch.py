"""Lists for everybody: `marquee recommend` for a model of MovieLens 1M and for a million users.

The work is measured inside the command (from the model folder to the written file), and the whole process
with the start of Python. The lists are those of a random model, as their items do not matter.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.ratings import load_movielens
from benchmarks.result_rows import ResultRow, format_check_mark
from benchmarks.serving.models import write_movielens_model, write_random_model
from marquee.process_memory import read_memory_breakdown

N_LARGE, N_QUICK_LARGE = 1_000_000, 100_000  # users
STORED_LENGTH = 100
N_REPEATS = 5
MAX_SMALL_SECONDS, MAX_LARGE_SECONDS = 1.0, 240.0
FORMATS = ("parquet", "csv", "jsonl")
POLL_SECONDS = 0.02
SECONDS_OF_WORK = re.compile(r" in ([\d.]+) s")


@dataclass(frozen=True)
class BatchRun:
    """Times in seconds and memory in MB of one run of the command."""

    work: float
    process: float
    private_mb: float  # without the memory-mapped model, whose pages are shared and can be dropped


def measure_batch(*, is_quick: bool) -> Iterator[ResultRow]:
    """Measure the command for 6,040 users, and for a million; quick: for a hundred thousand."""
    with TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        matrix = write_movielens_model(small, load_movielens("ml-1m"))
        yield from _measure_small(small, matrix.n_users, 1 if is_quick else N_REPEATS)
        n_users = N_QUICK_LARGE if is_quick else N_LARGE
        write_random_model(large, n_users, n=STORED_LENGTH)
        yield from _measure_large(large, n_users, is_quick=is_quick)


def _measure_small(model: Path, n_users: int, n_repeats: int) -> Iterator[ResultRow]:
    for name in FORMATS:
        runs = [run_command(model, name) for _ in range(n_repeats)]
        work, process = median(run.work for run in runs), median(run.process for run in runs)
        mark = format_check_mark(work <= MAX_SMALL_SECONDS)
        note = (
            f"target {MAX_SMALL_SECONDS:g} s {mark}; {name}; whole process {process:.2f} s; peer: the target"
        )
        row = "batch" if name == FORMATS[0] else f"batch, {name}"
        ratio = MAX_SMALL_SECONDS / max(work, 1e-3)
        yield ResultRow(row, work, "s", n_users, note, peer=MAX_SMALL_SECONDS, ratio=ratio)


def _measure_large(model: Path, n_users: int, *, is_quick: bool) -> Iterator[ResultRow]:
    for name in FORMATS:
        run = run_command(model, name)
        mark = format_check_mark(run.process <= MAX_LARGE_SECONDS)
        target = f"quick: {n_users:,} users" if is_quick else f"target {MAX_LARGE_SECONDS:g} s {mark}"
        note = f"{target}; {name}; {run.private_mb:.0f} MB besides the model"
        row = "batch, a million users" if name == FORMATS[0] else f"batch, a million users, {name}"
        peer = None if is_quick else MAX_LARGE_SECONDS
        ratio = None if peer is None else peer / run.process
        yield ResultRow(row, run.process, "s", n_users, note, peer=peer, ratio=ratio)


def run_command(model: Path, output_format: str) -> BatchRun:
    """Run `marquee recommend --all` in a new process."""
    with TemporaryDirectory() as folder:
        output = Path(folder) / f"lists.{output_format}"
        options = ("--all", "--model", str(model), "--output", str(output))
        start = time.perf_counter()
        process = subprocess.Popen(
            (sys.executable, "-m", "pipelines.cli", "recommend", *options), stdout=subprocess.PIPE, text=True
        )
        peak = 0
        while process.poll() is None:
            with suppress(OSError):  # the process has just ended
                peak = max(peak, read_memory_breakdown(process.pid).get("Anonymous", 0))
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - start
        assert process.stdout is not None
        text = process.stdout.read()
    match = SECONDS_OF_WORK.search(text)
    if process.returncode or match is None:
        raise RuntimeError(f"marquee recommend failed with exit code {process.returncode}")
    return BatchRun(float(match[1]), seconds, peak / 1e6)
