"""Always-valid comparison of two arms: tests that may be looked at after every event.

    ShareTest        did what happened, happen too often in the canary?      beta-mixture e-process
    SurgeTest        does it happen more often since everybody is there?     the same, of a Poisson process
    MeanDifference   how much more is a user of the canary worth?            asymptotic confidence sequence

Both count a user once. The arm of a user is drawn by a salted hash, so of the users that something happens to
a share of `weight` is expected in the canary, whatever else they are: heavy users, users who come back, days
that are worse than others and unequal traffic cannot look like an effect. That is the randomisation that
the tests rest on; events would be correlated, users are not.
"""

import math
from dataclasses import dataclass

import numpy as np

from marquee.arrays import Floats
from marquee.rollout.e_process import Mixture

GRID = 64  # odds ratios that stand for the mixture
LOOKED_AT = 10.0  # a confidence sequence is tightest when it has seen so many times what it began with


class ShareTest(Mixture):
    """An e-process against "what happens to users is at most `tolerance` times as likely in the canary".

    Of `total` users that something happened to for the first time, `canary` are in the canary. Where the
    odds ratio of it is r, each of them is there with probability `w r / (w r + 1 - w)`. The e-process is
    the likelihood ratio of r against `tolerance`, mixed over all r above it with r / (1 + r) drawn from
    Beta(1/2, 1/2), and multiplied over batches; weights may change between them. The likelihood ratio rises
    with `canary`, so it is one for every r below `tolerance` too.

    It has one beginning, that of its users. One in their midst would be wrong: where the canary is better,
    those of stable have soon had their first incident, and later ones are the canary's more often than not.

    By Ville's inequality it ever exceeds 1 / alpha with probability at most alpha. Sources: Lindon and
    Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022); Lindon, Sanden and Shirikian,
    "Rapid Regression Detection in Software Deployments through Sequential Testing" (KDD 2022). Theirs
    mixes over the share; mixing over odds lets the weight change between batches.
    """

    def __init__(self, tolerance: float = 1.0, *, two_sided: bool = False) -> None:
        """Begin without evidence.

        Args:
            tolerance: an odds ratio that is still acceptable.
            two_sided: too seldom is as bad as too often (a test of the assignment itself).
        """
        _refuse(tolerance)
        super().__init__(GRID, every=math.inf)
        self._tolerance = np.array([tolerance])
        self._odds = _odds(0.0 if two_sided else tolerance)
        self.canary = self.total = 0

    def update(self, canary: int, total: int, weight: float) -> None:
        """Users that something happened to for the first time, at a weight of the canary between 0 and 1."""
        if not 0 <= canary <= total:
            raise ValueError(f"{canary} of {total} users cannot be in the canary")
        if not 0 <= weight <= 1:
            raise ValueError(f"weight is {weight}: it takes a share from 0 to 1")
        if total == 0 or weight in {0.0, 1.0}:  # everybody is in one arm: there is nothing to compare
            return
        self.canary += canary
        self.total += total
        at_most = _share(self._tolerance, weight)
        shares = _share(self._odds, weight)
        within = canary * np.log(shares / at_most)
        self.add(within + (total - canary) * np.log((1 - shares) / (1 - at_most)), total)


class SurgeTest(Mixture):
    """The same where everybody is in the canary, and what was before has to serve for the other arm.

    The likelihood ratio is that of a Poisson process of r times the rate, against `tolerance` times, for each
    r of the same mixture, to the power of 1 / dispersion: what comes in clusters tells less. It may begin at
    any moment. Were it such a process, this would be an e-process.
    """

    def __init__(self, tolerance: float = 1.0) -> None:
        """Begin without evidence.

        Args:
            tolerance: so many times the rate is still acceptable.
        """
        _refuse(tolerance)
        super().__init__(GRID)
        self._tolerance = tolerance
        self._odds = _odds(tolerance)
        self.users = 0

    def update(self, users: int, expected: float, dispersion: float = 1.0) -> None:
        """What was seen.

        Args:
            users: that it happened to.
            expected: how many there would have been at the rate of before.
            dispersion: variance of such numbers as a multiple of their mean, 1 or more.
        """
        if users < 0 or not 0 <= expected < math.inf or not dispersion >= 1:
            raise ValueError(f"{users} of {expected} users expected, dispersion {dispersion}: that cannot be")
        self.users += users
        ratios = users * np.log(self._odds / self._tolerance) - (self._odds - self._tolerance) * expected
        self.add(ratios / dispersion, users)


def _refuse(tolerance: float) -> None:
    if not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance is {tolerance}: it takes a number above 0")


def _odds(above: float) -> Floats:
    """Odds ratios at equal steps of Beta(1/2, 1/2) in r / (1 + r), above a lowest one."""
    lowest = math.asin(math.sqrt(above / (1 + above))) * 2 / math.pi
    steps = lowest + (1 - lowest) * (np.arange(GRID) + 0.5) / GRID
    share = np.sin(np.pi / 2 * steps) ** 2
    odds: Floats = share / (1 - share)
    return odds


def _share(odds: Floats, weight: float) -> Floats:
    """Share of the canary among those that something happens to."""
    share: Floats = weight * odds / (weight * odds + 1 - weight)
    return share


@dataclass(frozen=True)
class Interval:
    """Where a difference is, with a confidence that holds at all times at once."""

    estimate: float
    low: float
    high: float


UNKNOWN = Interval(math.nan, -math.inf, math.inf)


class MeanDifference:
    """Mean outcome of a user in the canary, less that in stable.

    Each user enters once, with one outcome y, its arm a and the weight w that it was drawn by, as
    `x = w (1 - w) (m1 - m0) + a (1 - w) (y - m1) - (1 - a) w (y - m0)`, m1 and m0 being the means of the
    arms before: doubly robust scores with overlap weights, so steps of a rollout with different weights add
    up, each by what it can tell. Their sum over the sum of `w (1 - w)` estimates the difference; with V the
    sum of their variances, it is in

        estimate ± sqrt(2 (V rho² + 1) / rho² * log(sqrt(V rho² + 1) / alpha)) / sum of w (1 - w)

    at all times at once with probability 1 - alpha, asymptotically in the users that have entered before it
    is first looked at. Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit
    theory and asymptotic confidence sequences" (Annals of Statistics 52, 2024), theorem 2.5 and section 3.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(2, dtype=np.int64)  # users in stable, in the canary
        self._sums = np.zeros(2)
        self._score = self._square = self._cross = 0.0  # sums of x, x², w (1 - w) x
        self._overlap = self._overlap2 = 0.0  # sums of w (1 - w) and of its square
        self._rho2: dict[float, float] = {}  # by alpha, chosen when first looked at

    def update(self, canary: Floats, stable: Floats, weight: float) -> None:
        """Outcomes of users that enter now."""
        if not (np.isfinite(canary).all() and np.isfinite(stable).all()):
            raise ValueError("an outcome is not a finite number")
        if not 0 < weight < 1 or len(canary) + len(stable) == 0:
            return
        means = self.means
        overlap = weight * (1 - weight)
        both = overlap * (means[1] - means[0])
        scores = np.concatenate(
            [both + (1 - weight) * (canary - means[1]), both - weight * (stable - means[0])]
        )
        self._score += float(scores.sum())
        self._square += float(scores @ scores)
        self._cross += overlap * float(scores.sum())
        self._overlap += overlap * len(scores)
        self._overlap2 += overlap * overlap * len(scores)
        self.counts += (len(stable), len(canary))
        self._sums += (stable.sum(), canary.sum())

    @property
    def means(self) -> Floats:
        """Mean outcome in stable and in the canary; where nobody has entered, what is known of the other."""
        known = self._sums.sum() / max(int(self.counts.sum()), 1)
        means: Floats = np.where(self.counts > 0, self._sums / np.maximum(self.counts, 1), known)
        return means

    def interval(self, alpha: float, at_least: int) -> Interval:
        """Two-sided, unknown until `at_least` users have entered in both arms."""
        if self.counts.min() < max(at_least, 2):
            return UNKNOWN
        estimate = self._score / self._overlap
        variance = self._square - 2 * estimate * self._cross + estimate**2 * self._overlap2
        if variance <= 0:  # every outcome is the same: nothing can be said about how they spread
            return UNKNOWN if estimate == 0 else Interval(estimate, estimate, estimate)
        rho2 = self._rho2.setdefault(alpha, _rho2(alpha) / (LOOKED_AT * variance))
        scaled = variance * rho2 + 1
        width = math.sqrt(2 * scaled / rho2 * math.log(math.sqrt(scaled) / alpha)) / self._overlap
        return Interval(estimate, estimate - width, estimate + width)


def _rho2(alpha: float) -> float:
    """What makes the sequence tightest at a variance of one (their appendix on tuning the mixture)."""
    return -2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1
