"""The leakage meter: how much better, and in what other order, candidates look when the future is known.

A random split lets a model learn from ratings that were given after those it is tested on. A split at a point
in time does not. Both hold out the same share of the same ratings; what differs is leaked.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from experiments.evaluation.candidate_metrics import LOWER_IS_BETTER, AcrossTime, Measures
from experiments.evaluation.cross_validation import Part, fold_data
from experiments.evaluation.model_evaluation import Judgement, Rule, has_hits, judge_model
from experiments.search.trials import Trial
from marquee.algorithms.registry import candidate
from marquee.algorithms.threads import threads
from marquee.arrays import Indices, Integers, Scale
from marquee.errors import DataError
from marquee.interactions.matrix import TIMESTAMP, CodedRatings
from marquee.interactions.splitting import random_holdout, time_holdout
from marquee.top_n import NONE


@dataclass(frozen=True)
class Crossing:
    """The ratings held out in both ways."""

    random: Part
    time: Part
    moment: int  # UTC seconds; what was rated from then on is held out in time
    first_rated: Indices  # of each item of the random part's training matrix, UTC seconds

    @classmethod
    def of(cls, ratings: pd.DataFrame, test_share: float, seed: int, scale: Scale) -> "Crossing":
        """Split a ratings table at random and at a point in time.

        Raises:
            DataError: there are no timestamps, or no point in time separates anything.
        """
        if TIMESTAMP not in ratings:
            raise DataError("the ratings have no timestamps: what a random split leaks cannot be told")
        coded, times = CodedRatings.from_frame(ratings), ratings[TIMESTAMP].to_numpy(dtype=np.int64)
        by_time = time_holdout(times, test_share)
        at_random = random_holdout(len(times), len(by_time.test) / len(times), seed)
        random = fold_data(coded, at_random, scale)
        first = dict(zip(coded.item_ids, _firsts(coded.items, times, len(coded.item_ids)), strict=True))
        return cls(
            random,
            fold_data(coded, by_time, scale),
            int(times[by_time.test].min()),
            np.array([first[item] for item in random[0].item_ids], dtype=np.int64),
        )

    def check(self, rule: Rule) -> None:
        """Refuse parts on which lists cannot be judged.

        Raises:
            DataError: after the moment, or at random, nobody whom training knows has a relevant rating.
        """
        if not (has_hits(self.random, rule) and has_hits(self.time, rule)):
            raise DataError("nobody whom the past knows has a relevant rating after it: it cannot be judged")

    def measure(self, trial: Trial, seed: int, rule: Rule, pool: ThreadPoolExecutor) -> AcrossTime:
        """Train a trial's candidate on both, side by side, and compare."""
        judged_on = partial(_judged, trial, seed, rule)
        at_random, in_time = pool.map(judged_on, (self.random, self.time))
        return AcrossTime(at_random.figures, in_time.figures, self._not_yet(at_random.lists))

    def _not_yet(self, lists: Integers) -> float:
        """Share of the recommended items that nobody had rated by the point in time."""
        shown = lists[lists != NONE]
        return float((self.first_rated[shown] >= self.moment).mean()) if len(shown) else 0.0


@dataclass(frozen=True)
class OrderChange:
    """The candidates in order under both splits, best first, and how alike the orders are."""

    random: tuple[str, ...]
    time: tuple[str, ...]
    tau: float  # Kendall's: 1 the same order, 0 unrelated, -1 reversed


def order_change(measured: Sequence[Measures], metric: str) -> OrderChange | None:
    """How the order of candidates changes; None where fewer than two were measured across time."""
    told = [(one.algorithm, one.across_time) for one in measured if one.across_time]
    if len(told) < 2:
        return None
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0
    random = {name: sign * across.random[metric] for name, across in told}
    time = {name: sign * across.time[metric] for name, across in told}
    tau = kendalltau([random[name] for name, _ in told], [time[name] for name, _ in told]).statistic
    return OrderChange(
        tuple(sorted(random, key=random.__getitem__)),
        tuple(sorted(time, key=time.__getitem__)),
        0.0 if np.isnan(tau) else float(tau),  # all are equal: there is no order
    )


def _judged(trial: Trial, seed: int, rule: Rule, part: Part) -> Judgement:
    """Train a trial's candidate on a part, and judge it there."""
    algorithm = candidate(trial.algorithm).make(trial.parameters, seed)
    with threads(1):
        algorithm.fit(part[0])
        return judge_model(algorithm, part, rule)


def _firsts(items: Integers, times: Indices, n_items: int) -> Indices:
    firsts = np.full(n_items, np.iinfo(np.int64).max)
    np.minimum.at(firsts, items, times)
    return firsts
