"""Similarity of the synthetic ratings to MovieLens 100K, offline metrics against the truth, and speed.

    python -m benchmarks.synthetic [--quick] [--json FILE]

`MARQUEE_DATA_DIR` is the folder that contains ml-100k/. Without it, the column of ML-100K stays empty.
"""

from collections.abc import Iterator
from dataclasses import asdict

from benchmarks.command_line import benchmark_parser
from benchmarks.ratings import find_movielens
from benchmarks.result_rows import write_rows
from benchmarks.synthetic.rank_agreement import compare_orders
from benchmarks.synthetic.similarity import ALGORITHMS, compare_statistics, describe_real_ratings
from benchmarks.synthetic.speed import LARGE_LOG, extrapolate_time, measure_speed
from benchmarks.synthetic.statistic_row import StatisticRow, format_row

SEEDS, QUICK_SEEDS = (1, 2, 3), (1,)
SIZE_OF_ML_100K, SIZE_OF_DEMO = 100_000, 40_000


def measure_rows(quick: bool) -> Iterator[StatisticRow]:
    """Yield all rows of the tables; with `quick`, for one seed and without SVD++ in the errors."""
    algorithms, seeds = list(ALGORITHMS)[1 if quick else 0 :], QUICK_SEEDS if quick else SEEDS
    ratings = find_movielens("ml-100k")
    real = {} if ratings is None else describe_real_ratings(ratings, algorithms, seeds)
    yield from compare_statistics(SIZE_OF_ML_100K, seeds, algorithms, real)
    yield from compare_statistics(SIZE_OF_DEMO, seeds, algorithms, {})
    yield from compare_orders(SIZE_OF_ML_100K, seeds)
    yield measure_speed(1_000_000, min_rows=1_000_000)
    speed = measure_speed(LARGE_LOG, min_rows=500_000 if quick else 5_000_000)
    yield from (speed, extrapolate_time(speed))


def main() -> None:
    """Print the tables row by row; with --json, also write them."""
    parser = benchmark_parser("python -m benchmarks.synthetic", __doc__, quick_help="one seed, no SVD++")
    options = parser.parse_args()
    rows = []
    for row in measure_rows(options.quick):
        rows.append(asdict(row))
        print(format_row(row), flush=True)
    if options.json:
        write_rows(rows, options.json)


if __name__ == "__main__":
    main()
