"""Speed of the generator."""

from time import perf_counter

from benchmarks.synthetic.statistic_row import StatisticRow
from marquee.synthetic import SyntheticSpec, generate_rating_chunks

ROWS_PER_CHUNK = 500_000
LARGE_LOG = 100_000_000  # ratings


def measure_speed(n_ratings: int, min_rows: int) -> StatisticRow:
    """Measure the ratings generated per second, for the first `min_rows` rows of a log of `n_ratings`."""
    start, n_rows = perf_counter(), 0
    for chunk in generate_rating_chunks(
        SyntheticSpec(n_ratings=n_ratings), seed=1, rows_per_chunk=ROWS_PER_CHUNK
    ):
        n_rows += len(chunk)
        if n_rows >= min_rows:
            break
    rate = n_rows / (perf_counter() - start)
    name = f"ratings per second, first {n_rows / 1e6:.1f} M of {n_ratings / 1e6:.0f} M"
    return StatisticRow(name, rate, 0.0, "1/s", n_rows)


def extrapolate_time(speed: StatisticRow) -> StatisticRow:
    """Return the time that generating 100 million ratings takes at a measured speed."""
    minutes = LARGE_LOG / speed.ours / 60
    return StatisticRow("time of 100 M ratings, extrapolated", minutes, 0.0, "min", LARGE_LOG)
