"""How sure a mean over folds is: Student's t, widened because the folds share their training ratings.

    mean ± t(k - 1) * s * sqrt(1/k + 1/(k - 1))

The second term is the correction of Nadeau and Bengio (2003), n_test / n_train of k folds. Without it folds
count as independent, which they are not, and differences look surer than they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from scipy.stats import t as student

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over folds, with the bounds of its 95% confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all of it is on one side of zero."""
        return self.low > 0 or self.high < 0


def interval(values: Sequence[float]) -> Interval:
    """The mean of one value a fold; of paired differences too. A single fold says nothing: it is infinite."""
    mean = fmean(values)
    k = len(values)
    if k < 2:
        return Interval(mean, float("-inf"), float("inf"))
    half = float(student.ppf((1 + LEVEL) / 2, k - 1)) * stdev(values) * sqrt(1 / k + 1 / (k - 1))
    return Interval(mean, mean - half, mean + half)


def paired(values: Sequence[float], leader: Sequence[float]) -> Interval:
    """The difference from the leader on the same folds: what folds have in common cancels out.

    Raises:
        ValueError: they are not of the same folds.
    """
    return interval([one - other for one, other in zip(values, leader, strict=True)])


def standard_error(values: Sequence[float]) -> float:
    """Of the mean over folds, as Breiman et al. (1984) take it for their rule of one standard error."""
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0
