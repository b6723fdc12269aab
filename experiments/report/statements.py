"""Sentences of the report about measured values; a property test compares them with these values.

Each sentence names the split that its numbers come from. A difference that is not beyond chance is called so.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

from experiments.evaluation.phrases import (
    MAY_BE_CHANCE,
    MOST_POPULAR,
    describe_too_few_users,
    format_difference,
)
from experiments.evaluation.test_summary import TestSummary
from experiments.selection.list_comparison import ListComparison
from marquee.algorithms.registry import POPULARITY


class Ordered(NamedTuple):
    """Titles of the rows of a table, best first, and the name of what they are ordered by."""

    name: str  # such as "NDCG@10 on the validation parts"
    titles: Sequence[str]


def state_warnings(lists: ListComparison, evaluation: Mapping[str, Any]) -> list[str]:
    """Return what must be read first: lists or ratings that do not beat the simplest ones.

    Args:
        lists: lists on the validation parts.
        evaluation: content of results/evaluation.json.
    """
    on_test_part = [f"Test part: {sentence}" for sentence in TestSummary(evaluation).warnings()]
    on_validation_parts = (_defeat_by_popularity(lists), _not_personal(lists))
    return [
        *on_test_part,
        *(f"Validation parts: {sentence}" for sentence in on_validation_parts if sentence),
    ]


def explain_orders(first: Ordered, second: Ordered, reason: str) -> str:
    """Return a sentence on why two tables order the same rows differently; empty if they do not.

    Args:
        first: rows of one table; a title that occurs twice counts where it occurs first.
        second: rows of another table.
        reason: clause that follows "because".

    >>> explain_orders(Ordered("A", ["x", "y"]), Ordered("B", ["y", "x"]), "of chance")
    "By A, x is above y; by B, it is the other way around (Kendall's τ = -1.00 of 2 rows), because of chance."
    """
    orders = [list(dict.fromkeys(order.titles)) for order in (first, second)]
    common = [title for title in orders[0] if title in orders[1]]
    places = {title: orders[1].index(title) for title in common}
    swapped = [pair for pair in combinations(common, 2) if places[pair[0]] > places[pair[1]]]
    if not swapped:
        return ""
    tau = 1 - 2 * len(swapped) / comb(len(common), 2)
    above, below = swapped[0]
    return (
        f"By {first.name}, {above} is above {below}; by {second.name}, it is the other way around "
        f"(Kendall's τ = {tau:.2f} of {len(common)} rows), because {reason}."
    )


def _defeat_by_popularity(lists: ListComparison) -> str:
    """State that the recommender is not shown to be better than popularity on the validation parts."""
    gain, recommender = lists.popularity_gain(), lists.selection.recommender
    if gain is None or recommender.algorithm == POPULARITY:
        return ""
    # Popularity may have too few users for `excludes_zero` only because the search ended early.
    if gain.low > 0 and (gain.has_enough_users or lists.is_popularity_incomplete):
        return ""
    verdict = "worse than" if gain.excludes_zero else "not shown to beat"
    chance = "" if gain.excludes_zero else f", {MAY_BE_CHANCE}"
    metric = lists.results.metric_display_name(lists.metric)
    text = (
        f"The lists of {recommender.algorithm_title} are {verdict} {MOST_POPULAR}: a difference in {metric} "
        f"of {format_difference(gain.mean, gain.low, gain.high)}{chance}."
    )
    return text if gain.has_enough_users else f"{text} {describe_too_few_users(gain.n_users)}"


def _not_personal(lists: ListComparison) -> str:
    """State that (nearly) everybody gets the same list."""
    recommender = lists.selection.recommender
    measured = lists.results.candidates.get(recommender.number)
    if recommender.algorithm == POPULARITY or measured is None or measured.is_personal:
        return ""
    return (
        f"{recommender.algorithm_title} is not personal: the lists of two users have "
        f"{measured.list_agreement:.0%} of their items in common."
    )
