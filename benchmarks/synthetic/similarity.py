"""Similarity of the synthetic ratings to MovieLens 100K: distribution, prediction errors and list quality."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import surprise
from surprise.model_selection import KFold

from benchmarks.synthetic.list_quality import measure_list_quality
from benchmarks.synthetic.statistic_row import StatisticRow, StatisticsByName, summarize
from marquee.algorithms.base import Algorithm
from marquee.algorithms.baseline_only import BaselineOnly
from marquee.algorithms.knn import KNNBaseline
from marquee.algorithms.normal_predictor import NormalPredictor
from marquee.algorithms.svd import SVD, SVDpp
from marquee.interactions.columns import ITEM, RATING, USER
from marquee.metrics.beyond_accuracy import gini_of_counts
from marquee.synthetic import SyntheticSpec, generate_dataset

N_FOLDS = 3
# Default parameters, best first. They give the numbers of scikit-surprise, whose SVD++ takes much longer.
ALGORITHMS: dict[str, Callable[[], Algorithm]] = {
    "SVD++": lambda: SVDpp(random_state=0),
    "SVD": lambda: SVD(random_state=0),
    "KNNBaseline": lambda: KNNBaseline(verbose=False),
    "BaselineOnly": lambda: BaselineOnly(verbose=False),
    "NormalPredictor": NormalPredictor,
}
MEAN_RATING = "mean rating"
RMSE = {name: f"RMSE of {name}" for name in ALGORITHMS}
IN_STARS = {MEAN_RATING, *RMSE.values()}  # the other statistics have no unit


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
    """Return the distribution of a data set, and errors and list quality of algorithms on it."""
    errors = measure_errors(ratings, algorithms, seed)
    return describe_distribution(ratings) | errors | measure_list_quality(ratings, seed)


def describe_real_ratings(
    ratings: pd.DataFrame, algorithms: list[str], seeds: Sequence[int]
) -> StatisticsByName:
    """Return the statistics of real ratings: the mean over splits with these seeds."""
    by_seed = [compute_statistics(ratings, algorithms, seed) for seed in seeds]
    return {name: float(np.mean([each[name] for each in by_seed])) for name in by_seed[0]}


def is_in_order(values: StatisticsByName, algorithms: list[str]) -> bool:
    """Return True if the RMSE increases strictly from each algorithm to the next."""
    errors = [values[RMSE[name]] for name in algorithms]
    return all(left < right for left, right in pairwise(errors))


def compare_statistics(
    n_ratings: int, seeds: Sequence[int], algorithms: list[str], real: StatisticsByName
) -> Iterator[StatisticRow]:
    """Yield one row for each statistic; `real` is empty if ML-100K is not available."""
    spec = SyntheticSpec(n_ratings=n_ratings)
    by_seed = [compute_statistics(generate_dataset(spec, seed).ratings, algorithms, seed) for seed in seeds]
    for name in by_seed[0]:
        unit = "stars" if name in IN_STARS else "1"
        yield summarize(name, [each[name] for each in by_seed], n_ratings, real.get(name), unit)
    ordered = [float(is_in_order(each, algorithms)) for each in by_seed]
    peer = float(is_in_order(real, algorithms)) if real else None
    share = float(np.mean(ordered))
    yield StatisticRow("share of seeds in the order above", share, 0.0, "1", n_ratings, peer=peer)
