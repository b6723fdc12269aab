"""Evaluation of recommendation lists on one validation part, for many fitted models.

    part ─► evaluated users: those with a relevant held-out item
              ├── sample: a quarter of them, evaluated first
              └── the others
    fitted model ─► their lists of the full catalog without training items ─► metrics

A recommended item is a hit if it is relevant: its held-out rating reaches the relevance threshold or, with
implicit feedback, the user interacted with it. Metrics that need no held-out items, such as coverage, are
those of the lists of the evaluated users. Newcomers are evaluated, too, by lists from their histories.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import nan

import numpy as np

from experiments.evaluation.parts import Part, Parts
from experiments.evaluation.protocol import EvaluationProtocol
from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.algorithms.scoring import UserItemPairs
from marquee.array_types import BoolArray, Float32Array, Float64Array, Int32Array
from marquee.errors import DataError
from marquee.hashing import hash_pairs
from marquee.metrics.beyond_accuracy import measure_beyond_accuracy
from marquee.metrics.ranking import RANKING_METRICS, ListHits, RelevantItems, find_hits, graded_ndcg
from marquee.metrics.rated_items import rated_ndcg

SAMPLE_SHARE = 0.25  # of the evaluated users; they are evaluated first
SAMPLE_SEED = 0
GRADED_NDCG = "graded_ndcg"
COSTLY_METRICS = ("diversity",)  # computed only on request, because they take longer than the lists


@dataclass(frozen=True)
class ListScores:
    """Metrics of the lists of evaluated users.

    Attributes:
        metrics: value by name; ranking metrics are means over the users.
        user_values: value of each evaluated user by metric, in the order of `ListEvaluator.users`; NaN for
            users without a list.
        n_users: number of users with a list.
        seconds: time to compute the lists.
    """

    metrics: Mapping[str, float]
    user_values: Mapping[str, Float32Array]
    n_users: int
    seconds: float


class ListEvaluator:
    """Evaluates the lists of fitted models on one validation part.

    Args:
        part: the part.
        protocol: length of the lists, and which held-out items are relevant.
        max_users: maximum number of evaluated users; None: no limit. Which users are evaluated depends on
            their numbers alone.
        costly_metrics: those of `COSTLY_METRICS` to compute.

    Raises:
        DataError: no user has a relevant held-out item.
    """

    def __init__(
        self,
        part: Part,
        protocol: EvaluationProtocol,
        max_users: int | None = None,
        costly_metrics: Collection[str] = (),
    ) -> None:
        self.part, self._protocol = part, protocol
        self._has_diversity = "diversity" in costly_metrics
        relevant = protocol.is_relevant(part.held_out.actual) & (part.held_out.users != UNKNOWN)
        numbers = _draw_users(part.user_numbers[part.held_out.users[relevant]], protocol, max_users)
        inner_ids = np.argsort(part.user_numbers)
        found = np.searchsorted(part.user_numbers, numbers, sorter=inner_ids)
        users = inner_ids[found].astype(np.int32)
        self._users = users  # ids of the audience, in the order of evaluation
        self._relevant_items = _group_by_row(part, relevant, users, protocol)
        self._profiles = part.audience.profile_popularity[users]

    @property
    def users(self) -> Int32Array:
        """Numbers of the evaluated users, in ascending order."""
        return np.sort(self.part.user_numbers[self._users])

    @property
    def list_length(self) -> int:
        """Number of items per list."""
        return self._protocol.n

    @property
    def n_sampled(self) -> int:
        """Number of users in the sample that is evaluated first."""
        return int(np.ceil(SAMPLE_SHARE * len(self._users)))

    def evaluate(
        self, algorithm: Algorithm, should_stop: Callable[[ListScores], bool] | None = None
    ) -> ListScores:
        """Evaluate the lists of a fitted model.

        Args:
            algorithm: model fitted on the training matrix of the part.
            should_stop: evaluate the sample first, and call this with its scores; True: return them. None:
                evaluate all users at once, which is faster.

        Raises:
            DivergedError: a score is not finite.
        """
        started = time.perf_counter()
        if should_stop is None:
            lists = self._recommend(algorithm, 0, len(self._users))
            return self._score(lists, time.perf_counter() - started)
        lists = self._recommend(algorithm, 0, self.n_sampled)
        seconds = time.perf_counter() - started
        if should_stop(sample := self._score(lists, seconds)):
            return sample
        started = time.perf_counter()
        others = self._recommend(algorithm, self.n_sampled, len(self._users))
        return self._score(np.concatenate([lists, others]), seconds + time.perf_counter() - started)

    def evaluate_rated_items(self, algorithm: Algorithm) -> float:
        """Return the NDCG over rated held-out items only, a mean over the evaluated training users.

        NaN for implicit feedback, which has no ratings, and if only newcomers are evaluated: an order of
        their items without their histories would say nothing about the model.

        Raises:
            DivergedError: a score is not finite.
        """
        if self._protocol.is_graded:
            return nan
        pairs, is_relevant = self._rated_pairs
        if not len(pairs.users):
            return nan
        scores = algorithm.score_pairs(pairs.users, pairs.items)
        return float(rated_ndcg(pairs.users, scores, is_relevant, self._protocol.n)[1].mean())

    @cached_property
    def _rated_pairs(self) -> tuple[UserItemPairs, BoolArray]:
        """All held-out pairs of the evaluated training users, and which of them are relevant."""
        pairs = self.part.held_out
        selected = np.isin(pairs.users, self._users[self._users < self.part.train.n_users])
        rated = UserItemPairs(pairs.users[selected], pairs.items[selected], pairs.actual[selected])
        return rated, self._protocol.is_relevant(rated.actual)

    def _recommend(self, algorithm: Algorithm, start: int, stop: int) -> Int32Array:
        return self.part.audience.recommend(algorithm, self._protocol.n, self._users[start:stop])

    def _score(self, lists: Int32Array, seconds: float) -> ListScores:
        """Return the metrics of the lists of the first users."""
        hits = find_hits(lists, self._relevant_items.take(len(lists)))
        values = {name: metric(hits, self._protocol.n) for name, metric in self._ranking_metrics().items()}
        means = {name: float(numbers.mean()) for name, numbers in values.items()}
        others = measure_beyond_accuracy(
            lists,
            self.part.train,
            self._profiles[: len(lists)],
            self._protocol.n,
            has_diversity=self._has_diversity,
        )
        in_order = {name: self._in_order_of_numbers(numbers) for name, numbers in values.items()}
        return ListScores(means | others, in_order, len(lists), seconds)

    def _ranking_metrics(self) -> Mapping[str, Callable[[ListHits, int], Float64Array]]:
        return {**RANKING_METRICS, GRADED_NDCG: graded_ndcg} if self._protocol.is_graded else RANKING_METRICS

    def _in_order_of_numbers(self, values: Float64Array) -> Float32Array:
        """Return values of the first users for all users in the order of their numbers."""
        padded = np.full(len(self._users), np.nan, dtype=np.float32)
        padded[: len(values)] = values
        return padded[np.argsort(self.part.user_numbers[self._users])]


def find_evaluated_users(
    parts: Parts, number: int, protocol: EvaluationProtocol, max_users: int | None = None
) -> Int32Array:
    """Return the numbers of the evaluated users of a part in ascending order, without building the part.

    Raises:
        DataError: no user has a relevant held-out item.
    """
    users, values = parts.held_out_values(number)
    return np.sort(_draw_users(users[protocol.is_relevant(values)], protocol, max_users))


def _draw_users(numbers: Int32Array, protocol: EvaluationProtocol, max_users: int | None) -> Int32Array:
    """Return at most `max_users` distinct users in a pseudorandom order, which is the order of evaluation.

    Args:
        numbers: numbers of all users with a relevant held-out item. Nothing else determines the order.
        protocol: named in the error.
        max_users: None: all users.

    Raises:
        DataError: there are no users.
    """
    if not len(numbers):
        threshold = f", or lower measure.relevance_threshold (now {protocol.relevance_threshold:g})"
        raise DataError(
            "ranking metrics are undefined: in a validation part, no user has training rows and a relevant "
            f"held-out item; add data{'' if protocol.is_graded else threshold}"
        )
    distinct = np.unique(numbers)
    return distinct[np.argsort(hash_pairs(SAMPLE_SEED, distinct))[:max_users]]


def _group_by_row(
    part: Part, relevant: BoolArray, users: Int32Array, protocol: EvaluationProtocol
) -> RelevantItems:
    """Return the relevant items of the evaluated users, in the order of evaluation."""
    rows = np.full(part.audience.n_users, -1, dtype=np.int32)
    rows[users] = np.arange(len(users))
    pairs = part.held_out
    weights = pairs.actual[relevant] if protocol.is_graded else None
    return RelevantItems.from_pairs(rows[pairs.users[relevant]], pairs.items[relevant], len(users), weights)
