"""How a fitted model does on what was held out: errors, lists over the full catalogue, and for whom.

Every user's list is taken of all items but those of the user's training ratings; nothing is sampled. A
held-out rating is a hit from `relevant_from` stars on. Held-out users whom training did not know have no
list: they count in the errors alone.
"""

from dataclasses import dataclass

import numpy as np

from experiments.evaluation.candidate_metrics import Figures
from experiments.evaluation.cross_validation import Part
from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.algorithms.retrieval import best_lists
from marquee.algorithms.scoring import Predictions, predict_pairs
from marquee.arrays import Integers, Mask, Scale
from marquee.interactions.matrix import RatingMatrix
from marquee.metrics.beyond_accuracy import (
    coverage,
    diversity,
    gini,
    novelty,
    personalisation,
    popularity_lift,
    profile_popularity,
)
from marquee.metrics.prediction import mae, rmse
from marquee.metrics.ranking import METRICS, Relevant, judge, recall
from marquee.metrics.segments import Groups

LIKED = 0.75  # of the way up the scale: 4 of 1 to 5


@dataclass(frozen=True)
class Rule:
    """How lists are judged."""

    n: int  # places that count
    relevant_from: float  # stars

    @classmethod
    def of(cls, n: int, relevant_from: float | None, scale: Scale) -> "Rule":
        """The rule of params.yaml: where it names no rating, the one three quarters up the scale."""
        low, high = scale
        return cls(n, low + LIKED * (high - low) if relevant_from is None else relevant_from)


@dataclass(frozen=True)
class Judgement:
    """All figures of one model on one part."""

    figures: Figures
    groups: dict[str, Figures]
    lists: Integers  # (n_users, n), that were judged


def recommend(algorithm: Algorithm, matrix: RatingMatrix, n: int) -> Integers:
    """Each user's best n items that the user has not rated, shape (n_users, n)."""
    lists, _ = best_lists(algorithm, matrix.indptr, matrix.items, n)
    return lists


def judged(predictions: Predictions, lists: Integers, part: Part, rule: Rule) -> Judgement:
    """Put figures to what a model said of a part.

    Raises:
        DataError: nobody has a relevant held-out item.
    """
    return _Judging(predictions, lists, part, rule).judgement()


def has_hits(part: Part, rule: Rule) -> bool:
    """Whether any user whom training knows has a relevant held-out rating, so that lists can be judged."""
    _, pairs = part
    return bool((pairs.actual[pairs.users != UNKNOWN] >= rule.relevant_from).any())


def judge_model(algorithm: Algorithm, part: Part, rule: Rule) -> Judgement:
    """Let a fitted model predict and recommend, and judge both."""
    matrix, pairs = part
    return judged(predict_pairs(algorithm, pairs), recommend(algorithm, matrix, rule.n), part, rule)


class _Judging:
    def __init__(self, predictions: Predictions, lists: Integers, part: Part, rule: Rule) -> None:
        self._matrix, self._pairs = part
        self._predictions, self._lists, self._rule = predictions, lists, rule
        self._popularity = self._matrix.item_counts()
        self._profiles = profile_popularity(self._matrix)
        liked = self._pairs.actual >= rule.relevant_from
        judged = judge(lists, self._relevant(liked))
        self._judged_users = judged.users
        self._ranking = {name: metric(judged, rule.n) for name, metric in METRICS.items()}

    def judgement(self) -> Judgement:
        everybody = np.ones(self._matrix.n_users, dtype=bool)
        figures = {
            **self._errors(np.ones(len(self._pairs.actual), dtype=bool)),
            "impossible": float(self._predictions.impossible.mean()),
            **self._rankings(everybody),
            **self._beyond(everybody),
        }
        groups = {
            name: self._of_users(mask)
            for name, mask in Groups.of_users(self._matrix.by_user.counts).masks.items()
        }
        groups |= {
            name: self._of_items(mask) for name, mask in Groups.of_items(self._popularity).masks.items()
        }
        return Judgement(figures, groups, self._lists)

    def _of_users(self, group: Mask) -> Figures:
        in_group = _holds(group, self._pairs.users)
        sizes = {"members": float(group.sum()), "ratings": float(self._matrix.by_user.counts[group].sum())}
        if not group.any():
            return sizes
        return sizes | self._errors(in_group) | self._rankings(group) | self._beyond(group)

    def _of_items(self, group: Mask) -> Figures:
        in_group = _holds(group, self._pairs.items)
        liked = in_group & (self._pairs.actual >= self._rule.relevant_from)
        shown = self._lists[self._lists >= 0]
        figures = {
            "members": float(group.sum()),
            "ratings": float(self._popularity[group].sum()),
            **self._errors(in_group),
            "shown": float(group[shown].mean()) if len(shown) else 0.0,
        }
        if liked.any():
            judged = judge(self._lists, self._relevant(liked))
            figures["recall"] = float(recall(judged, self._rule.n).mean())
        return figures

    def _relevant(self, chosen: Mask) -> Relevant:
        pairs = self._pairs
        return Relevant.from_pairs(pairs.users[chosen], pairs.items[chosen], self._matrix.n_users)

    def _errors(self, chosen: Mask) -> dict[str, float]:
        if not chosen.any():
            return {}
        actual, estimated = self._predictions.actual[chosen], self._predictions.estimated[chosen]
        return {"rmse": rmse(actual, estimated), "mae": mae(actual, estimated)}

    def _rankings(self, group: Mask) -> dict[str, float]:
        """Means over those of the group who have a relevant held-out item."""
        members = group[self._judged_users]
        if not members.any():
            return {}
        return {name: float(values[members].mean()) for name, values in self._ranking.items()}

    def _beyond(self, group: Mask) -> dict[str, float]:
        """What the group's lists are like, whatever was held out; figures that they define."""
        matrix, lists, n = self._matrix, self._lists[group], self._rule.n
        figures = {
            "personalisation": personalisation(lists, n),
            "coverage": coverage(lists, matrix.n_items, n),
            "diversity": diversity(lists, matrix, n),
            "novelty": novelty(lists, self._popularity, matrix.n_users, n),
            "popularity_lift": popularity_lift(lists, self._popularity, self._profiles[group], n),
            "gini": gini(lists, matrix.n_items, n),
        }
        return {name: value for name, value in figures.items() if not np.isnan(value)}


def _holds(group: Mask, numbers: Integers) -> Mask:
    """Which of these users or items belong to the group; those unknown to training do not."""
    return np.asarray((numbers != UNKNOWN) & group[numbers])
