"""Always-valid tests of a rollout: they may be evaluated after every observation.

    ShareTest          Do events affect more users of the canary?     beta-mixture e-process
    RateIncreaseTest   Has the rate of events risen over a baseline?  the same, for a Poisson process
    MeanDifference     By how much do the mean outcomes differ?       asymptotic confidence sequence

ShareTest and MeanDifference count each user once and rest on randomization alone. A salted hash of the user
id draws the arm, so if the arms do not differ, the expected share of the canary among the affected users is
the allocation, no matter who these users are. Heavy users, returning users, bad days and unequal traffic
therefore cannot look like an effect. Requests of one user are correlated; users are not.
"""

import math
from dataclasses import dataclass

import numpy as np

from marquee.array_types import Float64Array
from marquee.rollout.arms import PerArm
from marquee.rollout.e_process import EProcessMixture

N_EFFECTS = 64  # grid points of the mixture over odds ratios
TUNING_FACTOR = 10.0  # a confidence sequence is tightest at this multiple of its initial variance


class ShareTest(EProcessMixture):
    """Test of the null hypothesis that an event's odds ratio, canary to stable, is at most `max_odds_ratio`.

    Of `total` users with their first event, `canary` are in the canary. With allocation w and odds ratio r,
    such a user is in the canary with probability

        q(r) = w r / (w r + 1 - w)

    The e-process is the likelihood ratio of r against r0 = max_odds_ratio, mixed over r > r0 and multiplied
    over batches of users:

        E = mean_r Π_batches (q(r) / q(r0))^canary ((1 - q(r)) / (1 - q(r0)))^(total - canary)

    with r / (1 + r) distributed as Beta(1/2, 1/2), restricted to r > r0. The likelihood ratio increases with
    `canary`, so E is an e-process for every true odds ratio up to r0. There is one start time. Later ones
    would be wrong: if the canary is better, users of stable have their first event early, and most late first
    events are in the canary.

    Sources: Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022); Lindon,
    Sanden and Shirikian, "Rapid Regression Detection in Software Deployments through Sequential Testing"
    (KDD 2022). They mix over shares; a mixture over odds ratios lets the allocation change between batches.
    """

    def __init__(self, max_odds_ratio: float = 1.0, *, two_sided: bool = False) -> None:
        """Start without evidence.

        Args:
            max_odds_ratio: largest acceptable odds ratio.
            two_sided: mix over all odds ratios, including smaller ones; used to test the assignment itself.

        Raises:
            ValueError: `max_odds_ratio` is not a positive number.
        """
        _check_ratio("max_odds_ratio", max_odds_ratio)
        super().__init__(N_EFFECTS, events_per_start=math.inf)
        self._max_odds_ratio = np.array([max_odds_ratio])
        self._odds_ratios = _mixture_grid(0.0 if two_sided else max_odds_ratio)
        self.canary = self.total = 0

    def update(self, canary: int, total: int, allocation: float) -> None:
        """Add users with their first event.

        Batches with an allocation of 0 or 1 are ignored: with all users in one arm, nothing can be compared.

        Args:
            canary: number of these users in the canary.
            total: number of these users.
            allocation: probability with which each was assigned to the canary.

        Raises:
            ValueError: the counts are inconsistent or the allocation is not between 0 and 1.
        """
        if not 0 <= canary <= total:
            raise ValueError(f"canary must be between 0 and total (got canary={canary}, total={total})")
        if not 0 <= allocation <= 1:
            raise ValueError(f"allocation must be between 0 and 1 (got {allocation})")
        if total == 0 or allocation in {0.0, 1.0}:
            return
        self.canary += canary
        self.total += total
        null_share = _canary_share(self._max_odds_ratio, allocation)
        shares = _canary_share(self._odds_ratios, allocation)
        log_ratios = canary * np.log(shares / null_share)
        self.add(log_ratios + (total - canary) * np.log((1 - shares) / (1 - null_share)), total)


class RateIncreaseTest(EProcessMixture):
    """Test of the null hypothesis that an event's rate is at most `max_rate_ratio` times a baseline rate.

    Used in the last step, which has no stable arm; the baseline is estimated from the time before. The
    e-process is the likelihood ratio of a Poisson process with r times the expected number of events against
    r0 = max_rate_ratio times,

        (r / r0)^events exp(-(r - r0) expected)

    to the power 1 / dispersion, since clustered events carry less information. It is mixed over r > r0 as in
    ShareTest, and over start times. It would be an exact e-process if events were a Poisson process with the
    baseline rate; in practice it is a safeguard without a guaranteed error rate.
    """

    def __init__(self, max_rate_ratio: float = 1.0) -> None:
        """Start without evidence.

        Args:
            max_rate_ratio: largest acceptable multiple of the baseline rate.

        Raises:
            ValueError: `max_rate_ratio` is not a positive number.
        """
        _check_ratio("max_rate_ratio", max_rate_ratio)
        super().__init__(N_EFFECTS)
        self._max_rate_ratio = max_rate_ratio
        self._rate_ratios = _mixture_grid(max_rate_ratio)
        self.users = 0

    def update(self, users: int, expected: float, dispersion: float = 1.0) -> None:
        """Add the users with an event in one period.

        Args:
            users: number of users with an event.
            expected: number expected at the baseline rate.
            dispersion: variance of such numbers divided by their mean, at least 1.

        Raises:
            ValueError: an argument is out of range.
        """
        if users < 0 or not 0 <= expected < math.inf or not dispersion >= 1:
            raise ValueError(
                "users and expected must not be negative and dispersion must be at least 1 "
                f"(got users={users}, expected={expected}, dispersion={dispersion})"
            )
        self.users += users
        log_ratios = users * np.log(self._rate_ratios / self._max_rate_ratio)
        log_ratios = log_ratios - (self._rate_ratios - self._max_rate_ratio) * expected
        self.add(log_ratios / dispersion, users)


def _check_ratio(name: str, ratio: float) -> None:
    if not 0 < ratio < math.inf:
        raise ValueError(f"{name} must be a positive number (got {ratio})")


def _mixture_grid(lowest: float) -> Float64Array:
    """Return ratios r above `lowest`, equally likely if r / (1 + r) is distributed as Beta(1/2, 1/2)."""
    start = math.asin(math.sqrt(lowest / (1 + lowest))) * 2 / math.pi
    quantiles = start + (1 - start) * (np.arange(N_EFFECTS) + 0.5) / N_EFFECTS
    beta = np.sin(np.pi / 2 * quantiles) ** 2
    ratios: Float64Array = beta / (1 - beta)
    return ratios


def _canary_share(odds_ratio: Float64Array, allocation: float) -> Float64Array:
    """Return the probability that a user with an event is in the canary."""
    share: Float64Array = allocation * odds_ratio / (allocation * odds_ratio + 1 - allocation)
    return share


@dataclass(frozen=True)
class ConfidenceInterval:
    """One interval of a confidence sequence."""

    estimate: float
    low: float
    high: float


UNKNOWN_INTERVAL = ConfidenceInterval(math.nan, -math.inf, math.inf)


class MeanDifference:
    """Confidence sequence for the mean outcome of a user in the canary minus that in stable.

    Each user enters once, with an outcome y, an arm a (1 in the canary) and the allocation w by which the arm
    was drawn. With m1 and m0 the means of the canary and of stable so far, the score of the user is

        x = w (1 - w) (m1 - m0) + a (1 - w) (y - m1) - (1 - a) w (y - m0)

    These are doubly robust scores with overlap weights w (1 - w), so steps with different allocations add up,
    each weighted by its information. The estimate is Σ x / Σ w (1 - w). With V the sum of the variances of
    the scores, the true difference is in

        estimate ± sqrt(2 (V rho² + 1) / rho² · log(sqrt(V rho² + 1) / alpha)) / Σ w (1 - w)

    at all times simultaneously with probability 1 - alpha, asymptotically in the number of users before the
    first evaluation. rho makes the interval tightest at `TUNING_FACTOR` times the variance at the first
    evaluation.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences" (Annals of Statistics 52, 2024), theorem 2.5 and section 3.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(2, dtype=np.int64)  # users in stable, in the canary
        self._sums = np.zeros(2)
        self._sum_x = self._sum_x2 = self._sum_wx = 0.0  # of x, x², w (1 - w) x
        self._sum_w = self._sum_w2 = 0.0  # of w (1 - w) and its square
        self._rho2: dict[float, float] = {}  # by alpha, fixed at the first evaluation

    def update(self, canary: Float64Array, stable: Float64Array, allocation: float) -> None:
        """Add the outcomes of users who enter now.

        Raises:
            ValueError: an outcome is not finite.
        """
        if not (np.isfinite(canary).all() and np.isfinite(stable).all()):
            raise ValueError("an outcome is not a finite number")
        if not 0 < allocation < 1 or len(canary) + len(stable) == 0:
            return
        means = self.means
        overlap = allocation * (1 - allocation)
        common_term = overlap * (means.canary - means.stable)
        scores = np.concatenate(
            [
                common_term + (1 - allocation) * (canary - means.canary),
                common_term - allocation * (stable - means.stable),
            ]
        )
        self._sum_x += float(scores.sum())
        self._sum_x2 += float(scores @ scores)
        self._sum_wx += overlap * float(scores.sum())
        self._sum_w += overlap * len(scores)
        self._sum_w2 += overlap * overlap * len(scores)
        self._counts += (len(stable), len(canary))
        self._sums += (stable.sum(), canary.sum())

    @property
    def users(self) -> PerArm[int]:
        """Number of users in each arm."""
        return PerArm(*self._counts.tolist())

    @property
    def means(self) -> PerArm[float]:
        """Mean outcome in each arm; the mean of the other arm if an arm has no users."""
        overall = self._sums.sum() / max(int(self._counts.sum()), 1)
        means = np.where(self._counts > 0, self._sums / np.maximum(self._counts, 1), overall)
        return PerArm(*means.tolist())

    def interval(self, alpha: float, min_users: int) -> ConfidenceInterval:
        """Return the current two-sided interval; unknown until both arms have `min_users` (at least 2)."""
        if self._counts.min() < max(min_users, 2):
            return UNKNOWN_INTERVAL
        estimate = self._sum_x / self._sum_w
        variance = self._sum_x2 - 2 * estimate * self._sum_wx + estimate**2 * self._sum_w2
        if variance <= 0:  # all outcomes are equal, so their spread is unknown
            return UNKNOWN_INTERVAL if estimate == 0 else ConfidenceInterval(estimate, estimate, estimate)
        rho2 = self._rho2.setdefault(alpha, _rho2_at_unit_variance(alpha) / (TUNING_FACTOR * variance))
        scaled = variance * rho2 + 1
        width = math.sqrt(2 * scaled / rho2 * math.log(math.sqrt(scaled) / alpha)) / self._sum_w
        return ConfidenceInterval(estimate, estimate - width, estimate + width)


def _rho2_at_unit_variance(alpha: float) -> float:
    """Return the rho² that makes the interval tightest at a variance of 1 (appendix of the source)."""
    return -2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1
