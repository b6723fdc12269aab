"""Adaptive budget: gives most trainings to the candidates that are most likely to improve on the best result.

The probability that the next training of a candidate improves on the best loss so far (of the search metric;
lower is better) is estimated from the candidate's own trainings, whose losses are assumed to be normally
distributed:

    P(x < best),   x ~ N(m, s^2)

m is their mean. s is their standard deviation, at least `MIN_RELATIVE_SPREAD` of the best loss, times
sqrt(1 + 1/n) because few values are known. Every candidate starts with `INITIAL_TRAININGS`, and none has a
share below `MIN_SHARE`, so a candidate that started badly is revisited.

The allocation depends on completed rounds only, not on the speed of the workers.
"""

from collections.abc import Mapping, Sequence
from math import erfc, sqrt
from statistics import fmean, pstdev

INITIAL_TRAININGS = 2
MIN_SHARE = 0.02
MIN_RELATIVE_SPREAD = 1e-3  # smaller differences are noise
MIN_SPREAD = 1e-12  # if all losses are 0

CandidateLosses = Mapping[str, Sequence[float]]


def improvement_probabilities(losses: CandidateLosses) -> dict[str, float]:
    """Return, by candidate, the probability that its next training improves on the best loss of all."""
    best = min((min(values) for values in losses.values() if values), default=0.0)
    return {name: _improvement_probability(values, best) for name, values in losses.items()}


def allocate_trainings(
    losses: CandidateLosses, completed: Mapping[str, int], remaining: Mapping[str, int], n_trainings: int
) -> dict[str, int]:
    """Distribute trainings over candidates in proportion to their improvement probabilities.

    By D'Hondt's method, each training goes to the candidate with the largest ratio of its share to its number
    of trainings plus one. Completed trainings count, so the totals approach the proportions.

    Args:
        losses: loss of each completed training, by candidate. Failed trainings have none.
        completed: number of completed trainings, by candidate.
        remaining: number of trainings that can still be allocated, by candidate.
        n_trainings: number of trainings to distribute.

    Returns:
        Number of trainings for each candidate. The numbers add up to `n_trainings`, or to all that remain.
    """
    probabilities = improvement_probabilities(losses)
    allocation = dict.fromkeys(remaining, 0)
    for _ in range(min(n_trainings, sum(remaining.values()))):
        open_candidates = [name for name in remaining if allocation[name] < remaining[name]]
        total = sum(probabilities.get(name, 0.0) for name in open_candidates) or 1.0
        quotients = {
            name: max(MIN_SHARE, probabilities.get(name, 0.0) / total)
            / (completed.get(name, 0) + allocation[name] + 1)
            for name in open_candidates
        }
        allocation[max(quotients, key=quotients.__getitem__)] += 1  # the first one if several are equal
    return allocation


def _improvement_probability(losses: Sequence[float], best: float) -> float:
    if not losses:
        return 0.0
    spread = max(pstdev(losses), MIN_RELATIVE_SPREAD * abs(best), MIN_SPREAD) * sqrt(1 + 1 / len(losses))
    return 0.5 * erfc((fmean(losses) - best) / (spread * sqrt(2)))
