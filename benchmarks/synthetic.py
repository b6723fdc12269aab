"""Similarity of the synthetic ratings to MovieLens 100K, and speed of their generation.

    python -m benchmarks.synthetic [--quick] [--json FILE]

`MARQUEE_DATA_DIR` is the folder that contains ml-100k/. Without it, the column of ML-100K stays empty.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from time import perf_counter
from typing import TypeAlias

import numpy as np
import pandas as pd
import surprise
from surprise.model_selection import KFold

from benchmarks.command_line import benchmark_parser
from benchmarks.ratings import find_movielens
from benchmarks.result_rows import write_rows
from marquee.interactions.columns import ITEM, RATING, USER
from marquee.metrics.beyond_accuracy import gini_of_counts
from marquee.synthetic import SyntheticSpec, generate_dataset, generate_rating_chunks

StatisticsByName: TypeAlias = dict[str, float]

N_FOLDS = 3
ROWS_PER_CHUNK = 500_000
LARGE_LOG = 100_000_000  # ratings
ALGORITHMS: dict[str, Callable[[], surprise.AlgoBase]] = {  # scikit-surprise, default parameters, best first
    "SVD++": lambda: surprise.SVDpp(random_state=0, cache_ratings=True),
    "SVD": lambda: surprise.SVD(random_state=0),
    "KNNBaseline": lambda: surprise.KNNBaseline(verbose=False),
    "BaselineOnly": lambda: surprise.BaselineOnly(verbose=False),
    "NormalPredictor": surprise.NormalPredictor,
}
MEAN_RATING = "mean rating"
RMSE = {name: f"RMSE of {name}" for name in ALGORITHMS}
IN_STARS = {MEAN_RATING, *RMSE.values()}  # the other statistics have no unit


@dataclass(frozen=True)
class SimilarityRow:
    """Row of the table: one statistic of the synthetic ratings, over several seeds, and of ML-100K."""

    what: str
    ours: float  # mean over the seeds
    spread: float  # standard deviation over the seeds
    peer: float | None = field(default=None, kw_only=True)
    ratio: float | None = field(default=None, kw_only=True)  # ours / peer
    unit: str
    n: int  # ratings in each synthetic data set


def describe_distribution(ratings: pd.DataFrame) -> StatisticsByName:
    """Return histogram and mean of ratings in whole stars (1 to 5), and the inequality of rating counts."""
    shares = {
        f"share of {star}-star ratings": float((ratings[RATING] == star).mean()) for star in range(1, 6)
    }
    return shares | {
        MEAN_RATING: float(ratings[RATING].mean()),
        "Gini of item counts": _gini(ratings[ITEM]),
        "Gini of user counts": _gini(ratings[USER]),
    }


def _gini(ids: pd.Series) -> float:
    """Return the Gini coefficient of the number of times that each id occurs."""
    return gini_of_counts(np.asarray(ids.value_counts(), dtype=np.int64))


def measure_errors(ratings: pd.DataFrame, algorithms: list[str], seed: int) -> StatisticsByName:
    """Return the cross-validated RMSE of each algorithm: the mean over random folds."""
    reader = surprise.Reader(rating_scale=(1, 5))
    data = surprise.Dataset.load_from_df(ratings[[USER, ITEM, RATING]], reader)
    np.random.seed(seed)  # noqa: NPY002 - NormalPredictor draws from the global state
    folds = list(KFold(N_FOLDS, random_state=seed).split(data))
    return {RMSE[name]: float(np.mean([_rmse(name, *fold) for fold in folds])) for name in algorithms}


def _rmse(algorithm: str, train: surprise.Trainset, test: list[tuple[str, str, float]]) -> float:
    predictions = ALGORITHMS[algorithm]().fit(train).test(test)
    return float(surprise.accuracy.rmse(predictions, verbose=False))


def compute_statistics(ratings: pd.DataFrame, algorithms: list[str], seed: int) -> StatisticsByName:
    """Return the distribution of a data set, and the errors of algorithms on it."""
    return describe_distribution(ratings) | measure_errors(ratings, algorithms, seed)


def is_in_order(values: StatisticsByName, algorithms: list[str]) -> bool:
    """Return True if the RMSE increases strictly from each algorithm to the next."""
    errors = [values[RMSE[name]] for name in algorithms]
    return all(left < right for left, right in pairwise(errors))


def compare_statistics(
    n_ratings: int, seeds: list[int], algorithms: list[str], real: StatisticsByName
) -> Iterator[SimilarityRow]:
    """Yield one row for each statistic; `real` is empty if ML-100K is not available."""
    spec = SyntheticSpec(n_ratings=n_ratings)
    by_seed = [compute_statistics(generate_dataset(spec, seed).ratings, algorithms, seed) for seed in seeds]
    for name in by_seed[0]:
        values = np.array([each[name] for each in by_seed])
        mean, peer = float(values.mean()), real.get(name)
        ratio = mean / peer if peer else None
        unit = "stars" if name in IN_STARS else "1"
        yield SimilarityRow(name, mean, float(values.std()), unit, n_ratings, peer=peer, ratio=ratio)
    share = float(np.mean([is_in_order(each, algorithms) for each in by_seed]))
    peer = float(is_in_order(real, algorithms)) if real else None
    yield SimilarityRow("share of seeds in the order above", share, 0.0, "1", n_ratings, peer=peer)


def measure_speed(n_ratings: int, min_rows: int) -> SimilarityRow:
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
    return SimilarityRow(name, rate, 0.0, "1/s", n_rows)


def extrapolate_time(speed: SimilarityRow) -> SimilarityRow:
    """Return the time that generating 100 million ratings takes at a measured speed."""
    minutes = LARGE_LOG / speed.ours / 60
    return SimilarityRow("time of 100 M ratings, extrapolated", minutes, 0.0, "min", LARGE_LOG)


def measure_rows(quick: bool) -> Iterator[SimilarityRow]:
    """Yield all rows of the table; with `quick`, for one seed and without SVD++."""
    algorithms, seeds = list(ALGORITHMS)[1 if quick else 0 :], [1] if quick else [1, 2, 3]
    ratings = find_movielens("ml-100k")
    real = {} if ratings is None else compute_statistics(ratings, algorithms, seed=1)
    yield from compare_statistics(100_000, seeds, algorithms, real)
    yield from compare_statistics(40_000, seeds, algorithms, {})
    yield measure_speed(1_000_000, min_rows=1_000_000)
    speed = measure_speed(LARGE_LOG, min_rows=500_000 if quick else 5_000_000)
    yield from (speed, extrapolate_time(speed))


def main() -> None:
    """Print the table row by row; with --json, also write it."""
    parser = benchmark_parser("python -m benchmarks.synthetic", __doc__, quick_help="one seed, no SVD++")
    options = parser.parse_args()
    rows = []
    for row in measure_rows(options.quick):
        rows.append(asdict(row))
        peer = "-" if row.peer is None else f"{row.peer:.4f}"
        print(
            f"{row.n:>11,}  {row.what:<45} {row.ours:12.4f} ± {row.spread:.4f}  {peer:>8} {row.unit}",
            flush=True,
        )
    if options.json:
        write_rows(rows, options.json)


if __name__ == "__main__":
    main()
