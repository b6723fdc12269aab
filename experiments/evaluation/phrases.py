"""Phrases for statements about measured values: explanations, evaluation and report use the same words."""

from collections.abc import Sequence

from experiments.evaluation.user_intervals import MIN_USERS
from marquee.algorithms.registry import POPULARITY, RANDOM_BASELINE

MOST_POPULAR = "the most popular items for everybody"
MAY_BE_CHANCE = "which may be chance"
# Algorithms whose lists every other one should beat.
FLOOR_NAMES = {POPULARITY: "popularity", RANDOM_BASELINE: "Random"}
MAX_NAMED = 3


def describe_too_few_users(n_users: int) -> str:
    """Return the sentence for fewer than `MIN_USERS` evaluated users."""
    return f"With {n_users} evaluated users, any difference may be chance; at least {MIN_USERS} are needed."


def format_difference(mean: float, low: float, high: float) -> str:
    """Return a difference with its sign and the bounds of its 95% interval.

    >>> format_difference(0.25, -0.125, 0.625)
    '+0.2500 (95% CI -0.1250 to +0.6250)'
    """
    return f"{mean:+.4f} (95% CI {low:+.4f} to {high:+.4f})"


def join_phrases(phrases: Sequence[str], conjunction: str = "and") -> str:
    """Return an enumeration.

    >>> join_phrases(["coverage", "diversity", "novelty"], "or")
    'coverage, diversity or novelty'
    """
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} {conjunction} {phrases[-1]}"


def name_first(labels: Sequence[str]) -> str:
    """Return the first labels, and how many others there are.

    >>> name_first(["SVD", "NMF", "EASE", "BPR", "ALS"])
    'SVD, NMF, EASE and 2 more'
    """
    n_more = len(labels) - MAX_NAMED
    return join_phrases([*labels[:MAX_NAMED], *([f"{n_more} more"] if n_more > 0 else [])])
