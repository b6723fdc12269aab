"""What was seen of two arms, weighed by the tests of a rollout's policy.

Takes counts and arrays, a user once in each: who is new, and what they did, is found out by `marquee.cohort`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marquee.arrays import Floats
from marquee.promotion import DRIFTS, INCIDENTS, Drift, Evidence, Incidents, Policy
from marquee.sequential import UNKNOWN, Interval, MeanDifference, ShareTest
from marquee.usual import Usual

BLOCK_S = 60.0  # longer than most disturbances, so that one falls into one block


@dataclass(frozen=True)
class Circumstances:
    """What is known of a rollout besides its users: times and replicas, at one moment."""

    step: int
    step_seconds: float
    seconds: float
    age_seconds: Mapping[str, float]
    restarts: int = 0
    unhealthy_seconds: float = 0.0
    troubles: Sequence[str] = ()


class Comparison:
    """Counts of a rollout, from its first user on."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._incidents = {name: ShareTest(policy.tolerance[name]) for name in INCIDENTS}
        self._drifts = {name: MeanDifference() for name in DRIFTS}
        self._mismatch = ShareTest(two_sided=True)
        self._quality = MeanDifference()
        self._usual = {name: Usual() for name in INCIDENTS}  # while there were two arms
        self._broken: dict[str, str] = {}  # by metric: what was not a number
        self.step_users = 0

    def begin_step(self) -> None:
        """Users of the canary are counted from here on."""
        self.step_users = 0

    def users(self, canary: int, total: int, weight: float) -> None:
        """Users that were answered for the first time in this rollout."""
        self._mismatch.update(canary, total, weight)

    def answered(self, canary: int) -> None:
        """Users of the canary that were answered for the first time in this step."""
        self.step_users += canary

    def incident(self, name: str, canary: int, total: int, weight: float) -> None:
        """Users that it happened to for the first time in this rollout."""
        self._incidents[name].update(canary, total, weight)

    @property
    def block_seconds(self) -> float:
        """How long a block of time is, of which `apart` and `together` are told."""
        return min(BLOCK_S, self._policy.step_seconds / 10)

    def apart(self, users: int, happened: Mapping[str, int]) -> None:
        """A block of time with both arms: its users, and to how many of them incidents happened."""
        for name, usual in self._usual.items():
            usual.update(happened.get(name, 0), users)

    def together(self, users: int, happened: Mapping[str, int]) -> None:
        """Users of a block since everybody is in the canary, and to how many of them incidents happened.

        Nobody is left to compare with but those before: what a canary does under everybody's requests is seen
        all the same. It is no randomised comparison, so it is not held to the level of the others.
        """
        for name, test in self._incidents.items():
            usual = self._usual[name]
            if usual.known:
                test.surge(happened.get(name, 0), users * usual.rate, usual.dispersion)

    def lists(self, name: str, canary: Floats, stable: Floats, weight: float) -> None:
        """A drift's figure of the first list of each new user."""
        self._take(name, self._drifts[name], canary, stable, weight)

    def outcomes(self, canary: Floats, stable: Floats, weight: float) -> None:
        """The objective of users whose time is over."""
        self._take("quality", self._quality, canary, stable, weight)

    def _take(self, name: str, into: MeanDifference, canary: Floats, stable: Floats, weight: float) -> None:
        try:
            into.update(canary, stable, weight)
        except ValueError as error:
            self._broken[name] = f"{name}: {error}"

    @property
    def quality(self) -> Interval:
        """Objective of the canary less that of stable."""
        policy = self._policy
        return self._quality.interval(policy.alpha, policy.quality_users)

    @property
    def means(self) -> Floats:
        """Objective of a user in stable, and in the canary; NaN before anybody's time was over."""
        return self._quality.means

    def evidence(self, now: Circumstances) -> Evidence:
        """All of it, for a decision."""
        counts = self._quality.counts
        return Evidence(
            step=now.step,
            step_seconds=now.step_seconds,
            seconds=now.seconds,
            step_users=self.step_users,
            age_seconds=now.age_seconds,
            incidents={name: self._weighed(test) for name, test in self._incidents.items()},
            drifts={name: self._drift(name, test) for name, test in self._drifts.items()},
            mismatch=self._weighed(self._mismatch),
            quality=self.quality,
            quality_users=(int(counts[0]), int(counts[1])),
            restarts=now.restarts,
            unhealthy_seconds=now.unhealthy_seconds,
            troubles=(*now.troubles, *self._broken.values()),
        )

    def _weighed(self, test: ShareTest) -> Incidents:
        return Incidents(test.canary, test.total, test.p, test.rejects(self._policy.alarm_alpha))

    def _drift(self, name: str, test: MeanDifference) -> Drift:
        # One side of an interval of twice the level is as seldom wrong as that level says.
        interval = test.interval(2 * self._policy.alarm_alpha, self._policy.drift_users)
        known = interval is not UNKNOWN and math.isfinite(interval.low)
        alarm = known and interval.low > self._policy.tolerance[name]
        return Drift(interval, alarm, (int(test.counts[0]), int(test.counts[1])))
