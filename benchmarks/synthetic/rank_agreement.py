"""Agreement of offline metrics with the truth: Kendall's tau of two orders of the same fitted models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from scipy.stats import kendalltau

from benchmarks.synthetic.list_quality import LIST_LENGTH, THRESHOLD, ListTask
from benchmarks.synthetic.list_truth import CHOSEN_AND_LIKED, STARS, TRUTHS, ListTruth
from benchmarks.synthetic.statistic_row import StatisticRow, StatisticsByName, summarize
from marquee.algorithms.base import Algorithm
from marquee.algorithms.baseline_only import BaselineOnly
from marquee.algorithms.bayesian import BayesianMF
from marquee.algorithms.ease import EASE
from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR
from marquee.algorithms.knn import KNNBaseline, KNNWithMeans
from marquee.algorithms.nmf import NMF
from marquee.algorithms.normal_predictor import NormalPredictor
from marquee.algorithms.popularity import Popularity
from marquee.algorithms.scoring import predict_pairs
from marquee.algorithms.svd import SVD, SVDpp
from marquee.array_types import Int32Array
from marquee.metrics.beyond_accuracy import coverage, personalization
from marquee.metrics.prediction import rmse
from marquee.metrics.ranking import find_hits, mean_metrics, ndcg
from marquee.synthetic import SyntheticSpec, generate_dataset
from marquee.top_n import PADDING

NEGATIVE_RMSE = "negative RMSE"  # the higher the better, like the other metrics
NDCG = f"ndcg@{LIST_LENGTH}"
LEADING_SHARE = 0.5  # of the best NDCG, from which a model counts as leading
RATED_NDCG = f"{NDCG} of rated items"  # lists of held-out items only
MODELS: Mapping[str, Callable[[], Algorithm]] = {
    "Random": NormalPredictor,
    "Baseline": lambda: BaselineOnly(verbose=False),
    "Popularity": lambda: Popularity(threshold=THRESHOLD),
    "SVD": lambda: SVD(random_state=0),
    "SVD++": lambda: SVDpp(random_state=0),
    "Bayesian MF": lambda: BayesianMF(random_state=0),
    "NMF": lambda: NMF(random_state=0),
    "Centered k-NN": lambda: KNNWithMeans(verbose=False),
    "k-NN Baseline": lambda: KNNBaseline(verbose=False),
    "EASE, reg 50": lambda: EASE(reg=50, threshold=THRESHOLD),
    "EASE, reg 400": lambda: EASE(reg=400, threshold=THRESHOLD),
    "EASE, reg 5000": lambda: EASE(reg=5000, threshold=THRESHOLD),
    "Implicit ALS": lambda: ImplicitALS(threshold=THRESHOLD, random_state=0),
    "Implicit BPR": lambda: ImplicitBPR(threshold=THRESHOLD, random_state=0),
}


Select: TypeAlias = Callable[[Sequence["ModelScores"]], list["ModelScores"]]


@dataclass(frozen=True)
class ModelScores:
    """Scores of one fitted model."""

    offline: StatisticsByName  # metrics that need held-out ratings or lists only
    truth: StatisticsByName


def measure_models(n_ratings: int, seed: int) -> dict[str, ModelScores]:
    """Fit every model to one split of a synthetic data set, and score its predictions and lists."""
    data = generate_dataset(SyntheticSpec(n_ratings=n_ratings), seed)
    task = ListTask.from_ratings(data.ratings, seed)
    truth = ListTruth.from_ground_truth(data.truth, task.matrix)
    np.random.seed(seed)  # noqa: NPY002 - NormalPredictor draws from the global state
    return {name: _score_model(create().fit(task.matrix), task, truth) for name, create in MODELS.items()}


def _score_model(algorithm: Algorithm, task: ListTask, truth: ListTruth) -> ModelScores:
    lists = task.recommend(algorithm)
    offline = mean_metrics(find_hits(lists, task.relevant), LIST_LENGTH) | {
        RATED_NDCG: float(ndcg(find_hits(rank_held_out(algorithm, task), task.relevant), LIST_LENGTH).mean()),
        "coverage": coverage(lists, task.matrix.n_items, LIST_LENGTH),
        "personalization": personalization(lists, LIST_LENGTH),
    }
    if not algorithm.is_ranker:
        predictions = predict_pairs(algorithm, task.held_out)
        offline[NEGATIVE_RMSE] = -rmse(predictions.actual, predictions.estimated)
    return ModelScores(offline, truth.value_lists(lists))


def rank_held_out(algorithm: Algorithm, task: ListTask) -> Int32Array:
    """Return lists of each user's held-out items, best first by the algorithm's score, padded."""
    is_known = (task.held_out.users >= 0) & (task.held_out.items >= 0)
    users, items = task.held_out.users[is_known], task.held_out.items[is_known]
    order = np.lexsort((-algorithm.score_pairs(users, items), users))
    users, items = users[order], items[order]
    position = np.arange(len(users)) - np.searchsorted(users, users)
    lists = np.full((task.matrix.n_users, LIST_LENGTH), PADDING, dtype=np.int32)
    is_listed = position < LIST_LENGTH
    lists[users[is_listed], position[is_listed]] = items[is_listed]
    return lists


def kendall_tau(scores: Sequence[ModelScores], metric: str, truth: str) -> float:
    """Return Kendall's tau-b of a metric and a truth, over the models for which the metric is defined."""
    defined = [each for each in scores if metric in each.offline]
    statistic = kendalltau(
        [each.offline[metric] for each in defined], [each.truth[truth] for each in defined]
    ).statistic
    return float(statistic)


def select_leading(scores: Sequence[ModelScores]) -> list[ModelScores]:
    """Return the models with a good NDCG: at least LEADING_SHARE of the best."""
    best = max(each.offline[NDCG] for each in scores)
    return [each for each in scores if each.offline[NDCG] >= LEADING_SHARE * best]


def select_rating_models(scores: Sequence[ModelScores]) -> list[ModelScores]:
    """Return the models that predict ratings, which are those with an RMSE."""
    return [each for each in scores if NEGATIVE_RMSE in each.offline]


def compare_orders(n_ratings: int, seeds: Sequence[int]) -> Iterator[StatisticRow]:
    """Yield rows with the tau of each metric and truth, then rows with the scores behind them."""
    by_seed = [measure_models(n_ratings, seed) for seed in seeds]
    yield from _summarize_taus([list(each.values()) for each in by_seed], n_ratings)
    for name in MODELS:
        yield from _summarize_model(name, [each[name] for each in by_seed], n_ratings)


def _summarize_taus(by_seed: Sequence[list[ModelScores]], n_ratings: int) -> Iterator[StatisticRow]:
    """Yield the taus over all models, over those that predict ratings, and over the leading ones."""

    def row(truth: str, metric: str, models: Select = list, of: str = "") -> StatisticRow:
        taus = [kendall_tau(models(each), metric, truth) for each in by_seed]
        return summarize(f"tau with {truth}{of}: {metric}", taus, n_ratings)

    metrics = dict.fromkeys(metric for each in by_seed[0] for metric in each.offline)
    yield from (row(truth, metric) for truth, metric in product(TRUTHS, metrics))
    yield from (row(truth, NDCG, select_rating_models, ", rating models") for truth in TRUTHS)
    for truth, metric in product((STARS, CHOSEN_AND_LIKED), (NDCG, RATED_NDCG)):
        yield row(truth, metric, select_leading, ", leading models")


def _summarize_model(name: str, scores: Sequence[ModelScores], n_ratings: int) -> Iterator[StatisticRow]:
    for metric in (NDCG, RATED_NDCG):
        yield summarize(f"{name}: {metric}", [each.offline[metric] for each in scores], n_ratings)
    for truth in TRUTHS:
        yield summarize(f"{name}: {truth}", [each.truth[truth] for each in scores], n_ratings)
