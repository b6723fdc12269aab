"""What was seen of two arms, weighed by the tests of a rollout's policy.

Takes counts and arrays with each user once; `marquee.rollout.cohort` finds out who is new and what they did.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marquee.arrays import Floats
from marquee.rollout.alarms import WatchedMean, WatchedShare
from marquee.rollout.baseline_rate import Usual
from marquee.rollout.policy import DRIFTS, INCIDENTS, Drift, Evidence, Incidents, Policy, Trouble
from marquee.rollout.sequential_tests import Interval, MeanDifference, SurgeTest

EPOCHS_S = (60.0, 600.0, 3600.0)  # the first is longer than most disturbances: one falls into one of them
FINEST = 1  # scale: that of the shortest epochs; 0 is the whole rollout


@dataclass(frozen=True)
class Circumstances:
    """What is known of a rollout besides its users: times and replicas, at one moment."""

    step: int
    step_seconds: float
    seconds: float
    age_seconds: Mapping[str, float]
    restarts: int = 0
    unhealthy_seconds: float = 0.0
    troubles: Sequence[Trouble] = ()


class Comparison:
    """Counts of a rollout, from its first user on."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        # Steps of seconds, as in tests, have epochs that are as much shorter.
        self.scales_s = (
            math.inf,
            *(min(each, policy.step_seconds * each / EPOCHS_S[1]) for each in EPOCHS_S),
        )
        scales = len(self.scales_s)
        self._incidents = {name: WatchedShare(scales, policy.tolerance[name]) for name in INCIDENTS}
        self._surges = {name: SurgeTest(policy.tolerance[name]) for name in INCIDENTS}
        self._drifts = {
            name: WatchedMean(scales, policy.tolerance[name], policy.alarm_alpha, policy.drift_users)
            for name in DRIFTS
        }
        # Of the whole rollout alone: who comes back is an outcome, and who likes the canary does more often.
        self._mismatch = WatchedShare(1, two_sided=True)
        self._quality = MeanDifference()
        self._usual = {name: Usual() for name in INCIDENTS}  # while there were two arms
        self._broken: dict[str, Trouble] = {}  # by metric: what was not a number
        self.step_users = 0

    def begin_step(self) -> None:
        """Users of the canary are counted from here on."""
        self.step_users = 0

    def begin_epoch(self, scale: int) -> None:
        """Users count anew in the epochs of a scale."""
        for shares in self._incidents.values():
            shares.begin_epoch(scale)
        for means in self._drifts.values():
            means.begin_epoch(scale)

    def users(self, canary: int, total: int, weight: float) -> None:
        """Users that were answered for the first time in this rollout, or drawn anew in this step."""
        self._mismatch.update(canary, total, weight, 0)

    def answered(self, canary: int) -> None:
        """Users of the canary that were answered for the first time in this step."""
        self.step_users += canary

    def incident(self, name: str, canary: int, total: int, weight: float, scale: int = 0) -> None:
        """Users that it happened to for the first time in this rollout, or in the epoch of a scale."""
        self._incidents[name].update(canary, total, weight, scale)

    def apart(self, users: int, happened: Mapping[str, int]) -> None:
        """A short epoch with both arms: its users, and to how many of them incidents happened."""
        for name, usual in self._usual.items():
            usual.update(happened.get(name, 0), users)

    def together(self, users: int, happened: Mapping[str, int]) -> None:
        """A short epoch since everybody is in the canary: users, and to how many of them incidents happened.

        Nobody is left to compare with but those before: what a canary does under everybody's requests is seen
        all the same. It is no randomised comparison, so it is not held to the level of the others.
        """
        for name, test in self._surges.items():
            usual, hit = self._usual[name], happened.get(name, 0)
            if usual.known:  # who was never answered is among those it happened to alone
                test.update(hit, max(users, hit) * usual.rate, usual.dispersion)

    def lists(self, name: str, canary: Floats, stable: Floats, weight: float, scale: int = 0) -> None:
        """A drift's figure of the first list of each new user, of this rollout or of the epoch of a scale."""
        try:
            self._drifts[name].update(canary, stable, weight, scale)
        except ValueError as error:
            self._broken[name] = Trouble.metric_failed(f"{name}: {error}")

    def outcomes(self, canary: Floats, stable: Floats, weight: float) -> None:
        """The objective of users whose time is over."""
        try:
            self._quality.update(canary, stable, weight)
        except ValueError as error:
            self._broken["quality"] = Trouble.metric_failed(f"quality: {error}")

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
            incidents={name: self._incident(name) for name in INCIDENTS},
            drifts={name: self._drift(watched) for name, watched in self._drifts.items()},
            mismatch=self._weighed(self._mismatch),
            quality=self.quality,
            quality_users=(int(counts[0]), int(counts[1])),
            restarts=now.restarts,
            unhealthy_seconds=now.unhealthy_seconds,
            troubles=(*now.troubles, *self._broken.values()),
        )

    def _incident(self, name: str) -> Incidents:
        apart, surge = self._weighed(self._incidents[name]), self._surges[name]
        if surge.rejects(self._policy.alarm_alpha):
            return Incidents(surge.users, surge.users, surge.p, alarm=True)
        return apart

    def _weighed(self, watched: WatchedShare) -> Incidents:
        seen = watched.worst
        return Incidents(seen.canary, seen.total, seen.p, seen.p <= self._policy.alarm_alpha)

    def _drift(self, watched: WatchedMean) -> Drift:
        found = watched.found
        return Drift(found.difference, found.alarm, watched.users)
