"""Scores of fitted models on the test set, which is held out before the search.

lists     ranked over the full catalog without the items that the user has interacted with, for all training
          users and newcomers; means over the evaluated users, those with a relevant held-out item
rated     order of each training user's rated held-out items, without any other items; explicit feedback only
errors    of the predicted held-out ratings; only for models that predict ratings. The ratings of newcomers
          count, too; they are predicted as those of unknown users.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np

from experiments.evaluation.audience import NO_HISTORIES, Audience
from experiments.evaluation.candidate_record import MetricValues
from experiments.evaluation.cross_validation import FoldData
from experiments.evaluation.model_evaluation import has_relevant_items, measure_errors
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.evaluation.user_intervals import UserInterval, UserValues
from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.scoring import predict_pairs
from marquee.algorithms.trainset import Trainset
from marquee.array_types import BoolArray, Float64Array, Int32Array
from marquee.interactions.matrix import SparseRows
from marquee.metrics.beyond_accuracy import coverage
from marquee.metrics.ranking import RelevantItems, find_hits, graded_ndcg, ndcg, recall
from marquee.metrics.rated_items import rated_ndcg
from marquee.model.recipe import Recipe


@dataclass(frozen=True)
class TestListScores:
    """Metrics of the lists of one model.

    Attributes:
        user_ndcg: NDCG of each evaluated user, (n_evaluated,).
        is_newcomer: True for users whose first interactions are in the test part, (n_evaluated,).
        recall: mean over the evaluated users.
        coverage: share of the catalog in the lists of all training users and newcomers.
        graded_ndcg: mean over the evaluated users; None for explicit feedback, which has no weights.
    """

    __test__ = False  # not a pytest class, despite its name

    user_ndcg: Float64Array
    is_newcomer: BoolArray
    recall: float
    coverage: float
    graded_ndcg: float | None = None

    @classmethod
    def from_lists(
        cls,
        lists: Int32Array,
        relevant: RelevantItems,
        is_newcomer: BoolArray,
        n_items: int,
        protocol: EvaluationProtocol,
    ) -> Self:
        """Score lists.

        Args:
            lists: recommended items of every user, (n_users, n).
            relevant: relevant held-out items of these users.
            is_newcomer: True for newcomers, (n_users,).
            n_items: size of the catalog.
            protocol: length of the lists, and whether relevance is graded.
        """
        hits, n = find_hits(lists, relevant), protocol.n
        return cls(
            ndcg(hits, n),
            is_newcomer[hits.users],
            float(recall(hits, n).mean()),
            coverage(lists, n_items, n),
            float(graded_ndcg(hits, n).mean()) if protocol.is_graded else None,
        )

    @property
    def ndcg(self) -> UserInterval:
        """Mean NDCG of the evaluated users with its 95% interval, which stays between 0 and 1."""
        return UserValues.from_one_part(self.user_ndcg[None]).interval(0)

    def gain_over(self, other: "TestListScores") -> UserInterval:
        """Return the mean difference of the users' NDCG from that of another model, paired by user."""
        values = np.stack([self.user_ndcg, other.user_ndcg])
        return UserValues.from_one_part(values).difference(0, 1)

    def to_record(self) -> dict[str, float]:
        """Return the metrics as flat JSON values, without bounds and metrics that are undefined."""
        interval = self.ndcg
        record = {
            "ndcg": interval.mean,
            "ndcg_low": interval.low,
            "ndcg_high": interval.high,
            "recall": self.recall,
            "coverage": self.coverage,
        }
        if self.is_newcomer.any():
            record["newcomer_ndcg"] = float(self.user_ndcg[self.is_newcomer].mean())
        if self.graded_ndcg is not None:
            record["graded_ndcg"] = self.graded_ndcg
        return {name: value for name, value in record.items() if np.isfinite(value)}


@dataclass(frozen=True)
class TestScore:
    """Scores of one fitted model on the test set."""

    __test__ = False  # not a pytest class, despite its name

    algorithm: str
    errors: MetricValues = field(default_factory=dict)  # rmse, mae, impossible; empty for ranking models
    lists: TestListScores | None = None  # None if no held-out item is relevant
    rated_ndcg: float | None = None  # None for implicit feedback, and if no training user has a relevant item

    @property
    def algorithm_title(self) -> str:
        """Display name of the algorithm."""
        return find_algorithm(self.algorithm).title

    def to_record(self) -> dict[str, Any]:
        """Return the scores as flat JSON values."""
        lists = {} if self.lists is None else self.lists.to_record()
        rated = {} if self.rated_ndcg is None else {"rated_ndcg": self.rated_ndcg}
        return {"algorithm": self.algorithm, **self.errors, **lists, **rated}

    def compare_with_popularity(self, popularity: "TestScore") -> dict[str, float]:
        """Return the ratio of the NDCG to that of popularity, and the difference with its 95% interval."""
        if self.lists is None or popularity.lists is None:
            return {}
        reference = popularity.lists.ndcg.mean
        ratio = {"popularity_ratio": self.lists.ndcg.mean / reference} if reference else {}
        return ratio | _to_bounds("popularity_gain", self.lists.gain_over(popularity.lists))

    def compare_with_recommender(self, recommender: "TestScore") -> dict[str, float]:
        """Return the difference of the NDCG from that of the recommender with its 95% interval."""
        if self.lists is None or recommender.lists is None:
            return {}
        return _to_bounds("recommender_gain", self.lists.gain_over(recommender.lists))


def _to_bounds(name: str, difference: UserInterval) -> dict[str, float]:
    """Return a difference and its bounds as flat JSON values, without undefined ones."""
    values = {name: difference.mean, f"{name}_low": difference.low, f"{name}_high": difference.high}
    return {key: value for key, value in values.items() if np.isfinite(value)}


@dataclass(frozen=True)
class TestSet:
    """Test set, the training set that all recipes are fitted to, and the evaluation protocol.

    Attributes:
        trainset: training set.
        data: training matrix and held-out pairs, with ids of the audience.
        protocol: length of the lists, and lowest value of a relevant item.
        n_users: number of users in the test part, known to training or not.
        has_ratings: True for explicit feedback, whose ratings can be predicted.
        histories: first interactions of the newcomers, the users whose rows begin in the test part.
        allow_repeats: recommend items that a user has interacted with, too.
    """

    __test__ = False  # not a pytest class, despite its name

    trainset: Trainset
    data: FoldData
    protocol: EvaluationProtocol
    n_users: int
    has_ratings: bool = True
    histories: SparseRows = NO_HISTORIES
    allow_repeats: bool = False

    def score(self, algorithm: Algorithm, name: str) -> TestScore:
        """Score a fitted model.

        Raises:
            DivergedError: a prediction is not a finite number.
        """
        has_errors = self.has_ratings and not getattr(algorithm, "is_ranker", False)
        has_lists = has_relevant_items(self.data, self.protocol)
        return TestScore(
            name,
            measure_errors(predict_pairs(algorithm, self.data.test)) if has_errors else {},
            self._score_lists(algorithm) if has_lists else None,
            self._score_rated_items(algorithm) if self.has_ratings else None,
        )

    def fit_and_score(self, recipe: Recipe) -> TestScore:
        """Fit a recipe on the training set and score it.

        Raises:
            DivergedError: a parameter or a prediction is not finite.
        """
        algorithm = find_algorithm(recipe.algorithm).create(recipe.parameters, recipe.seed)
        algorithm.fit(self.trainset)
        return self.score(algorithm, recipe.algorithm)

    def describe(self) -> dict[str, float]:
        """Return the numbers of held-out pairs and users, and how many of the users are evaluated."""
        is_evaluated = self._relevant.counts > 0
        return {
            "n": self.protocol.n,
            "pairs": len(self.data.test.users),
            "users": self.n_users,
            "evaluated_users": int(is_evaluated.sum()),
            "evaluated_share": float(is_evaluated.sum() / self.n_users),
            "evaluated_newcomers": int(self.audience.is_newcomer[is_evaluated].sum()),
        }

    @cached_property
    def audience(self) -> Audience:
        """Training users and newcomers."""
        return Audience(self.data.train, self.histories, self.allow_repeats)

    @cached_property
    def _relevant(self) -> RelevantItems:
        pairs = self.data.test
        is_relevant = self.protocol.is_relevant(pairs.actual) & (pairs.users != UNKNOWN)
        return RelevantItems.from_pairs(
            pairs.users[is_relevant],
            pairs.items[is_relevant],
            self.audience.n_users,
            pairs.actual[is_relevant] if self.protocol.is_graded else None,
        )

    def _score_lists(self, algorithm: Algorithm) -> TestListScores:
        lists = self.audience.recommend(algorithm, self.protocol.n)
        is_newcomer, n_items = self.audience.is_newcomer, self.data.train.n_items
        return TestListScores.from_lists(lists, self._relevant, is_newcomer, n_items, self.protocol)

    def _score_rated_items(self, algorithm: Algorithm) -> float | None:
        """Return the mean over the evaluated training users of the NDCG of their rated held-out items."""
        pairs, n_users = self.data.test, self.data.train.n_users
        in_training = (pairs.users != UNKNOWN) & (pairs.users < n_users)
        users, is_relevant = pairs.users[in_training], self.protocol.is_relevant(pairs.actual[in_training])
        if not is_relevant.any():
            return None
        scores = algorithm.score_pairs(users, pairs.items[in_training])
        return float(rated_ndcg(users, scores, is_relevant, self.protocol.n)[1].mean())
