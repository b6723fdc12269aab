"""Data leakage of a random split, compared with a split by time.

With a random split, a model trains on interactions later than those it is tested on; with a time split, it
does not. Both hold out the same share of the same interactions, so the difference in the metrics is the
effect of the leakage.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from experiments.evaluation.candidate_record import CandidateMetrics, MetricValues, SplitComparison
from experiments.evaluation.cross_validation import FoldData, build_fold_data
from experiments.evaluation.metric_names import LOWER_IS_BETTER
from experiments.evaluation.model_evaluation import (
    evaluate_lists,
    evaluate_predictions,
    has_relevant_items,
    recommend_to_all_users,
)
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.trials import Trial
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.scoring import predict_pairs
from marquee.algorithms.threads import limit_threads
from marquee.array_types import Int32Array, Int64Array, RatingScale
from marquee.errors import DataError
from marquee.interactions.columns import TIMESTAMP
from marquee.interactions.matrix import EncodedInteractions
from marquee.interactions.splitting import split_at_random, split_by_time
from marquee.top_n import PADDING


@dataclass(frozen=True)
class SplitPair:
    """The same interactions split at random and by time."""

    random: FoldData
    time: FoldData
    cutoff: int  # UTC seconds; the time split holds out interactions from this time onward
    first_rated: Int64Array  # UTC seconds, per item of the random split's training matrix

    @classmethod
    def from_interactions(
        cls, interactions: pd.DataFrame, test_share: float, seed: int, scale: RatingScale
    ) -> "SplitPair":
        """Split an interactions table, one row for each user and item, both ways.

        Raises:
            DataError: the table has no timestamps, or all are equal.
        """
        if TIMESTAMP not in interactions:
            raise DataError("the data has no timestamps")
        encoded = EncodedInteractions.from_frame(interactions)
        times = interactions[TIMESTAMP].to_numpy(dtype=np.int64)
        by_time = split_by_time(times, test_share)
        at_random = split_at_random(len(times), len(by_time.test) / len(times), seed)
        random = build_fold_data(encoded, at_random, scale)
        first_times = _first_times(encoded.items, times, len(encoded.item_ids))
        first_by_id = dict(zip(encoded.item_ids, first_times, strict=True))
        return cls(
            random,
            build_fold_data(encoded, by_time, scale),
            int(times[by_time.test].min()),
            np.array([first_by_id[item] for item in random.train.item_ids], dtype=np.int64),
        )

    def require_relevant_items(self, protocol: EvaluationProtocol) -> None:
        """Check that ranking metrics are defined under both splits.

        Raises:
            DataError: under one of them, no training user has a relevant held-out item.
        """
        if not all(has_relevant_items(data, protocol) for data in (self.random, self.time)):
            raise DataError("no user has both interactions before the time split and a relevant one after it")

    def evaluate_trial(
        self, trial: Trial, seed: int, protocol: EvaluationProtocol, pool: ThreadPoolExecutor
    ) -> SplitComparison:
        """Train a candidate with a trial's parameters under both splits, and return the metrics of each."""
        evaluate = partial(_fit_and_evaluate, trial, seed, protocol)
        (random, lists), (time, _) = pool.map(evaluate, (self.random, self.time))
        return SplitComparison(random, time, self._unrated_share(lists))

    def _unrated_share(self, lists: Int32Array) -> float:
        """Return the share of recommended items without a rating before the cutoff."""
        recommended = lists[lists != PADDING]
        if not len(recommended):
            return 0.0
        return float((self.first_rated[recommended] >= self.cutoff).mean())


@dataclass(frozen=True)
class RankingChange:
    """Order of the candidates under each split, best first, and the correlation of the two orders."""

    random: tuple[str, ...]
    time: tuple[str, ...]
    tau: float  # Kendall's tau: 1 same order, 0 unrelated, -1 reversed


def compare_rankings(candidates: Sequence[CandidateMetrics], metric: str) -> RankingChange | None:
    """Compare the order of candidates under both splits; None if fewer than two have the metric.

    Of several trials of an algorithm, the first counts.
    """
    comparisons: dict[str, SplitComparison] = {}
    for candidate in candidates:
        comparison = candidate.split_comparison
        if comparison and metric in comparison.random and metric in comparison.time:
            comparisons.setdefault(candidate.algorithm, comparison)
    if len(comparisons) < 2:
        return None
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0
    random = {name: sign * comparison.random[metric] for name, comparison in comparisons.items()}
    time = {name: sign * comparison.time[metric] for name, comparison in comparisons.items()}
    from scipy.stats import kendalltau  # takes half a second, which other users of this module save

    tau = kendalltau(list(random.values()), list(time.values())).statistic
    return RankingChange(
        tuple(sorted(random, key=random.__getitem__)),
        tuple(sorted(time, key=time.__getitem__)),
        0.0 if np.isnan(tau) else float(tau),  # NaN: the values are all equal, so there is no order
    )


def _fit_and_evaluate(
    trial: Trial, seed: int, protocol: EvaluationProtocol, data: FoldData
) -> tuple[MetricValues, Int32Array]:
    """Return the metrics, with errors if the algorithm predicts ratings, and the lists of all users."""
    algorithm = find_algorithm(trial.algorithm).create(trial.parameters, seed)
    with limit_threads(1):
        algorithm.fit(data.train)
        lists = recommend_to_all_users(algorithm, data.train, protocol.n)
        metrics = evaluate_lists(lists, data, protocol).metrics
        if algorithm.is_ranker:
            return metrics, lists
        return {**metrics, **evaluate_predictions(predict_pairs(algorithm, data.test), data).metrics}, lists


def _first_times(items: Int32Array, times: Int64Array, n_items: int) -> Int64Array:
    """Return the time of each item's first rating."""
    first = np.full(n_items, np.iinfo(np.int64).max)
    np.minimum.at(first, items, times)
    return first
