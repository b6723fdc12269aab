"""How near the synthetic ratings come to MovieLens-100K, and how fast they are made.

    python -m benchmarks.synthetic [--quick] [--json FILE]

`MARQUEE_DATA_DIR` names the folder that holds ml-100k/; without it the peer's column stays empty.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pandas as pd
import surprise
from surprise.model_selection import KFold

from marquee.interactions.matrix import ITEM, RATING, USER
from marquee.synthetic import SyntheticSpec, generate, generate_in_pieces

Measures = dict[str, float]
FOLDS = 3
LARGE = 100_000_000
ALGORITHMS: dict[str, Callable[[], surprise.AlgoBase]] = {  # scikit-surprise's defaults, all five
    "SVD++": lambda: surprise.SVDpp(random_state=0, cache_ratings=True),
    "SVD": lambda: surprise.SVD(random_state=0),
    "KNNBaseline": lambda: surprise.KNNBaseline(verbose=False),
    "BaselineOnly": lambda: surprise.BaselineOnly(verbose=False),
    "NormalPredictor": surprise.NormalPredictor,
}
MEAN_RATING = "mean rating"
RMSE = {name: f"RMSE of {name}" for name in ALGORITHMS}
IN_STARS = {MEAN_RATING, *RMSE.values()}  # the other measures have no unit


@dataclass(frozen=True)
class Row:
    """One line of the table: ours over several seeds, the peer's on ML-100K."""

    what: str
    ours: float
    spread: float  # standard deviation over the seeds
    peer: float | None
    ratio: float | None  # ours / peer
    unit: str
    n: int  # ratings in each of our datasets


def gini(counts: npt.ArrayLike) -> float:
    """Gini coefficient of counts: 0 where all are equal, towards 1 where one has everything."""
    ordered = np.sort(np.asarray(counts, dtype=np.float64))
    rank = np.arange(1, len(ordered) + 1)
    return float(2 * (rank @ ordered) / (len(ordered) * ordered.sum()) - (len(ordered) + 1) / len(ordered))


def shape_of(ratings: pd.DataFrame) -> Measures:
    """Histogram, mean, and inequality of a ratings table in whole stars 1 to 5."""
    shares = {f"share of {star} stars": float((ratings[RATING] == star).mean()) for star in range(1, 6)}
    return shares | {
        MEAN_RATING: float(ratings[RATING].mean()),
        "Gini of item counts": gini(ratings[ITEM].value_counts()),
        "Gini of user counts": gini(ratings[USER].value_counts()),
    }


def errors_of(ratings: pd.DataFrame, names: list[str], seed: int) -> Measures:
    """RMSE of the named algorithms, mean over random folds."""
    reader = surprise.Reader(rating_scale=(1, 5))
    data = surprise.Dataset.load_from_df(ratings[[USER, ITEM, RATING]], reader)
    np.random.seed(seed)  # noqa: NPY002 - NormalPredictor draws from the global state
    folds = list(KFold(FOLDS, random_state=seed).split(data))
    return {RMSE[name]: float(np.mean([_rmse(name, *fold) for fold in folds])) for name in names}


def _rmse(name: str, train: surprise.Trainset, test: list[tuple[str, str, float]]) -> float:
    return float(surprise.accuracy.rmse(ALGORITHMS[name]().fit(train).test(test), verbose=False))


def measure(ratings: pd.DataFrame, names: list[str], seed: int) -> Measures:
    """Shape and errors of one dataset."""
    return shape_of(ratings) | errors_of(ratings, names, seed)


def is_ordered(measures: Measures, names: list[str]) -> bool:
    """Whether the errors rise strictly in the order of the names."""
    errors = [measures[RMSE[name]] for name in names]
    return all(left < right for left, right in pairwise(errors))


def real_ratings() -> pd.DataFrame | None:
    """The ratings of ML-100K, where `MARQUEE_DATA_DIR` holds them."""
    path = Path(os.environ.get("MARQUEE_DATA_DIR", "")) / "ml-100k" / "u.data"
    return (
        pd.read_csv(path, sep="\t", names=[USER, ITEM, RATING], usecols=[0, 1, 2]) if path.exists() else None
    )


def compare(n_ratings: int, seeds: list[int], names: list[str], peer: Measures) -> Iterator[Row]:
    """One row a measure, mean and spread over the seeds."""
    spec = SyntheticSpec(n_ratings=n_ratings)
    measured = [measure(generate(spec, seed).ratings, names, seed) for seed in seeds]
    ours = pd.DataFrame(measured)
    for what in ours:
        mean, theirs = float(ours[what].mean()), peer.get(str(what))
        ratio = mean / theirs if theirs else None
        unit = "stars" if what in IN_STARS else "1"
        yield Row(str(what), mean, float(ours[what].std(ddof=0)), theirs, ratio, unit, n_ratings)
    ordered = [float(is_ordered(one, names)) for one in measured]
    theirs = float(is_ordered(peer, names)) if peer else None
    yield Row("share of seeds in the order above", float(np.mean(ordered)), 0.0, theirs, None, "1", n_ratings)


def speed(n_ratings: int, most: int) -> Row:
    """Ratings a second of `generate_in_pieces`, from the first `most` rows of a log of `n_ratings`."""
    begin, made = perf_counter(), 0
    for piece in generate_in_pieces(SyntheticSpec(n_ratings=n_ratings), seed=1, rows_per_piece=500_000):
        made += len(piece)
        if made >= most:
            break
    rate = made / (perf_counter() - begin)
    what = f"ratings per second, first {made / 1e6:.1f} M of {n_ratings / 1e6:.0f} M"
    return Row(what, rate, 0.0, None, None, "1/s", made)


def hundred_million(rate: Row) -> Row:
    """Time of 100 million ratings at a measured rate."""
    return Row("time of 100 M ratings, extrapolated", LARGE / rate.ours / 60, 0.0, None, None, "min", LARGE)


def rows(quick: bool) -> Iterator[Row]:
    """The whole table; quick: one seed, no SVD++."""
    names, seeds = list(ALGORITHMS)[1 if quick else 0 :], [1] if quick else [1, 2, 3]
    real = real_ratings()
    yield from compare(100_000, seeds, names, {} if real is None else measure(real, names, seed=1))
    yield from compare(40_000, seeds, names, {})
    yield speed(1_000_000, most=1_000_000)
    large = speed(LARGE, most=500_000 if quick else 5_000_000)
    yield from (large, hundred_million(large))


def main() -> None:
    """Print the table line by line; with --json, write it too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, no SVD++")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    done = []
    for row in rows(options.quick):
        done.append(asdict(row))
        theirs = "-" if row.peer is None else f"{row.peer:.4f}"
        print(
            f"{row.n:>11,}  {row.what:<45} {row.ours:12.4f} ± {row.spread:.4f}  {theirs:>8} {row.unit}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
