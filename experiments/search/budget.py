"""Who gets the next trainings: the budget is shared by promise, not equally.

A candidate's promise is the probability that its next training beats the best so far, as its own say:

    P(x < best),   x ~ N(m, s^2),   m and s of the best errors of its trainings

with what a normal gives that has seen few: s is widened by sqrt(1 + 1/n) and has a floor. Everybody starts
with `FIRST` trainings, and nobody's share falls below `LEAST`: a candidate that began badly is asked again.
A round is decided by what all rounds before came to, so that shares do not depend on who was faster.
"""

from collections.abc import Mapping, Sequence
from math import erfc, sqrt
from statistics import fmean, pstdev

FIRST = 2  # trainings that every candidate begins with
LEAST = 0.02  # of a round, to every candidate that has trainings left
NARROWEST = 1e-3  # of the best error: what is smaller is noise of the folds

Errors = Mapping[str, Sequence[float]]


def promise(errors: Errors) -> dict[str, float]:
    """The probability of each candidate that its next training beats the best of all so far."""
    best = min((min(values) for values in errors.values() if values), default=0.0)
    return {name: _chance(values, best) for name, values in errors.items()}


def allot(errors: Errors, done: Mapping[str, int], left: Mapping[str, int], n: int) -> dict[str, int]:
    """Share n more trainings among candidates, so that all that were given are shared by promise.

    Args:
        errors: the best error of each finished training so far; a candidate whose trainings failed has fewer.
        done: how many trainings each candidate has had.
        left: how many trainings each candidate has left: none gets more.
        n: how many to give.

    Returns:
        Trainings of each candidate, together min(n, all that are left).
    """
    shares = promise(errors)
    given = dict.fromkeys(left, 0)
    names = list(left)
    for _ in range(min(n, sum(left.values()))):
        able = [name for name in left if given[name] < left[name]]
        total = sum(shares.get(name, 0.0) for name in able) or 1.0
        weights = {name: max(LEAST, shares.get(name, 0.0) / total) for name in able}
        # D'Hondt's method; of equals the earlier one.
        due = {name: weights[name] / (done.get(name, 0) + given[name] + 1) for name in able}
        given[max(able, key=lambda name: (due[name], -names.index(name)))] += 1
    return given


def _chance(values: Sequence[float], best: float) -> float:
    if not values:
        return 0.0
    spread = max(pstdev(values), NARROWEST * best) * sqrt(1 + 1 / len(values))
    return 0.5 * erfc((fmean(values) - best) / (spread * sqrt(2)))
