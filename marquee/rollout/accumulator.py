"""Evidence accumulator: feeds the users of a rollout to the tests of its policy.

It takes counts and arrays in which each user occurs once; `marquee.rollout.observation_collector` derives
them from events.
"""

import math
from collections.abc import Mapping

from marquee.array_types import Float64Array
from marquee.rollout.alarms import WHOLE_ROLLOUT, GuardrailAlarm, MeanAlarm, ShareAlarm
from marquee.rollout.arms import PerArm
from marquee.rollout.evidence import (
    GUARDRAIL_METRICS,
    LIST_METRICS,
    Evidence,
    EvidenceGap,
    RolloutConditions,
)
from marquee.rollout.policy import PromotionPolicy
from marquee.rollout.sequential_tests import ConfidenceInterval, MeanDifference

# Most disturbances are shorter than a minute, so each usually falls into one of the shortest windows.
WINDOWS_S = (60.0, 600.0, 3600.0)
SHORTEST_WINDOW = 1  # timescale


class EvidenceAccumulator:
    """All tests of a rollout, fed from its first user onward.

    A timescale is an index into `timescales_s`: 0 is the whole rollout, the others are comparison windows.
    Methods that take an allocation expect the probability with which those users were assigned to the canary.
    """

    def __init__(self, policy: PromotionPolicy) -> None:
        self._policy = policy
        # Windows shrink in proportion to steps shorter than ten minutes (tests have steps of seconds).
        windows_s = (min(window, policy.min_step_seconds * window / WINDOWS_S[1]) for window in WINDOWS_S)
        self.timescales_s = (math.inf, *windows_s)
        alpha, n_timescales = policy.alarm_alpha, len(self.timescales_s)
        self._guardrails = {
            name: GuardrailAlarm(alpha, n_timescales, policy.max_odds_ratio[name])
            for name in GUARDRAIL_METRICS
        }
        self._list_metrics = {
            name: MeanAlarm(alpha, n_timescales, policy.max_increase[name], policy.min_list_users)
            for name in LIST_METRICS
        }
        # No comparison windows: whether users return is itself an outcome, and users who like the canary
        # return more often.
        self._sample_ratio = ShareAlarm(alpha, 1, two_sided=True)
        self._quality = MeanDifference()
        self._metric_gaps: dict[str, EvidenceGap] = {}  # by metric: a value was not finite
        self._step_users = 0

    def start_step(self) -> None:
        """Start a new step, in which canary users are counted from 0 again."""
        self._step_users = 0

    def start_window(self, timescale: int) -> None:
        """Start a new comparison window of a timescale, in which users are counted afresh."""
        for guardrail in self._guardrails.values():
            guardrail.start_window(timescale)
        for list_metric in self._list_metrics.values():
            list_metric.start_window(timescale)

    def record_entering_users(self, canary: int, total: int, allocation: float) -> None:
        """Add users who enter the comparison now: number in the canary, and in both arms."""
        self._sample_ratio.update(canary, total, allocation)

    def record_canary_users_of_step(self, canary: int) -> None:
        """Add canary users who get their first response in this step."""
        self._step_users += canary

    def record_affected_users(
        self, metric: str, canary: int, total: int, allocation: float, timescale: int = WHOLE_ROLLOUT
    ) -> None:
        """Add users who have their first event of a guardrail metric in a timescale's current window."""
        self._guardrails[metric].update(canary, total, allocation, timescale)

    def add_minute_to_baseline(self, users: int, affected: Mapping[str, int]) -> None:
        """Add a minute with two arms to the baseline of each guardrail metric.

        Args:
            users: number of users in that minute, in both arms.
            affected: number of users affected, by guardrail metric.
        """
        for name, guardrail in self._guardrails.items():
            guardrail.add_minute_to_baseline(affected.get(name, 0), users)

    def compare_minute_with_baseline(self, users: int, affected: Mapping[str, int]) -> None:
        """Compare a minute of the last step with the baseline of each guardrail metric.

        No stable arm is left, so the minute is compared with the minutes before the last step. This reveals
        effects of the full load, but the comparison is not randomized and has no guaranteed error rate.
        Arguments as for `add_minute_to_baseline`.
        """
        for name, guardrail in self._guardrails.items():
            guardrail.compare_minute_with_baseline(affected.get(name, 0), users)

    def record_list_metric(
        self,
        metric: str,
        canary: Float64Array,
        stable: Float64Array,
        allocation: float,
        timescale: int = WHOLE_ROLLOUT,
    ) -> None:
        """Add values of a list metric, one for each user who enters a timescale's current window now."""
        try:
            self._list_metrics[metric].update(canary, stable, allocation, timescale)
        except ValueError as error:
            self._metric_gaps[metric] = EvidenceGap.for_failed_metric(f"{metric}: {error}")

    def record_outcomes(self, canary: Float64Array, stable: Float64Array, allocation: float) -> None:
        """Add the outcomes of users whose attribution windows have ended."""
        try:
            self._quality.update(canary, stable, allocation)
        except ValueError as error:
            self._metric_gaps["quality"] = EvidenceGap.for_failed_metric(f"quality: {error}")

    @property
    def quality_interval(self) -> ConfidenceInterval:
        """Current confidence interval of the difference in mean outcome, canary minus stable."""
        return self._quality.interval(self._policy.alpha, self._policy.min_quality_users)

    @property
    def mean_outcomes(self) -> PerArm[float]:
        """Mean outcome of a user in each arm; 0 before the first outcome."""
        return self._quality.means

    def evidence(self, conditions: RolloutConditions) -> Evidence:
        """Return the state of all tests."""
        return Evidence(
            step=conditions.step,
            step_seconds=conditions.step_seconds,
            rollout_seconds=conditions.rollout_seconds,
            step_users=self._step_users,
            data_age_seconds=conditions.data_age_seconds,
            guardrails={name: alarm.result for name, alarm in self._guardrails.items()},
            list_metrics={name: alarm.result for name, alarm in self._list_metrics.items()},
            sample_ratio_mismatch=self._sample_ratio.result,
            quality=self.quality_interval,
            quality_users=self._quality.users,
            restarts=conditions.restarts,
            unhealthy_seconds=conditions.unhealthy_seconds,
            gaps=(*conditions.gaps, *self._metric_gaps.values()),
        )
