"""ObservationCollector: each user counts once per step, with the probability of assignment to the canary."""

import math
import pickle
from collections.abc import Mapping

import numpy as np
import pytest

from marquee.array_types import Float64Array
from marquee.events import Event, Exposure, Feedback, FeedbackKind
from marquee.rollout.accumulator import EvidenceAccumulator
from marquee.rollout.alarms import WHOLE_ROLLOUT
from marquee.rollout.arms import PerArm
from marquee.rollout.decision_types import Action
from marquee.rollout.evidence import GUARDRAIL_METRICS, LIST_METRICS, RolloutConditions
from marquee.rollout.observation_collector import FEEDBACK_DELAY_S, Failure, Objective, ObservationCollector
from marquee.rollout.policy import PromotionPolicy
from marquee.rollout.state import Outage

POLICY = PromotionPolicy(
    steps=(0.2, 0.5, 1.0),
    hypothesis="superiority",
    non_inferiority_margin=0.0,
    alpha=0.05,
    guardrail_alpha=0.01,
    max_odds_ratio=dict.fromkeys(GUARDRAIL_METRICS, 1.0),
    max_increase=dict.fromkeys(LIST_METRICS, 1.0),
    min_step_seconds=1,
    min_step_users=1,
    min_quality_users=30,
    min_list_users=30,
    stale_seconds=1,
    unhealthy_seconds=1,
    max_restarts=1,
    deadline_seconds=1,
    at_deadline=Action.HOLD,
)
CONDITIONS = RolloutConditions(step=0, step_seconds=1.0, rollout_seconds=1.0, data_age_seconds={})
WINDOW_S = 60.0  # attribution window

Count = tuple[str, int, int, float]  # metric, canary users, users of both arms, allocation
Values = tuple[list[float], list[float], float]  # values of the canary, values of stable, allocation
WINDOW_STARTED = ("window started", 0, 0, 0.0)


class RecordingAccumulator(EvidenceAccumulator):
    """Accumulator that stores what it is given instead of testing it."""

    def __init__(self) -> None:
        self.timescales_s = (math.inf, 10.0, 1000.0)  # the shortest window, "a minute", lasts 10 s here
        self.counts: list[Count] = []  # of the whole rollout
        self.window_counts: dict[int, list[Count]] = {1: [], 2: []}  # by timescale
        self.values: dict[str, list[Values]] = {"overlap": [], "popularity": [], "outcome": []}
        self.two_arm_minutes: list[dict[str, int]] = []
        self.single_arm_minutes: list[dict[str, int]] = []
        self.step_users = 0

    def start_step(self) -> None:
        self.step_users = 0

    def start_window(self, timescale: int) -> None:
        self.window_counts[timescale].append(WINDOW_STARTED)

    def record_entering_users(self, canary: int, total: int, allocation: float) -> None:
        self.counts.append(("users", canary, total, round(allocation, 6)))

    def record_canary_users_of_step(self, canary: int) -> None:
        self.step_users += canary

    def record_affected_users(
        self, metric: str, canary: int, total: int, allocation: float, timescale: int = WHOLE_ROLLOUT
    ) -> None:
        counts = self.window_counts[timescale] if timescale else self.counts
        counts.append((metric, canary, total, round(allocation, 6)))

    def add_minute_to_baseline(self, users: int, affected: Mapping[str, int]) -> None:
        self.two_arm_minutes.append({"users": users, **affected})

    def compare_minute_with_baseline(self, users: int, affected: Mapping[str, int]) -> None:
        self.single_arm_minutes.append({"users": users, **affected})

    def record_list_metric(
        self,
        metric: str,
        canary: Float64Array,
        stable: Float64Array,
        allocation: float,
        timescale: int = WHOLE_ROLLOUT,
    ) -> None:
        if timescale == WHOLE_ROLLOUT:
            self.values[metric].append((canary.tolist(), stable.tolist(), round(allocation, 6)))

    def record_outcomes(self, canary: Float64Array, stable: Float64Array, allocation: float) -> None:
        self.values["outcome"].append((canary.tolist(), stable.tolist(), round(allocation, 6)))

    @property
    def outcomes(self) -> list[Values]:
        return self.values["outcome"]


class Scenario:
    """ObservationCollector whose observations are recorded for assertions."""

    def __init__(
        self,
        objective: Objective = "click_through",
        *,
        outcome_cap: float = math.inf,
        popularity: Mapping[str, float] | None = None,
    ) -> None:
        self.recorded = RecordingAccumulator()
        self.collector = ObservationCollector(self.recorded, objective, WINDOW_S, outcome_cap, popularity)

    def start_step(self, time: float, allocation: float) -> None:
        """Start a step whose allocation is confirmed at once."""
        start_confirmed_step(self.collector, time, allocation)

    def process(self, *events: Event | Failure, now: float) -> None:
        self.collector.process_events(
            [event for event in events if isinstance(event, Exposure)],
            [event for event in events if isinstance(event, Feedback)],
            [event for event in events if isinstance(event, Failure)],
            now,
        )


def start_confirmed_step(collector: ObservationCollector, time: float, allocation: float) -> None:
    collector.start_step(time, allocation)
    collector.confirm_allocation(time)


def exposure(
    user: str | None, time: float, arm: str = "stable", *, level: str = "personal", items: str = "ab"
) -> Exposure:
    """Return an exposure of items with one-letter ids."""
    return Exposure(f"{user}{time}", time, user, arm, "1", level, tuple(items), 100)


def feedback(
    user: str, time: float, item: str, kind: FeedbackKind = "click", value: float = 1.0, *, event_id: str = ""
) -> Feedback:
    return Feedback(event_id or f"{user}{time}{item}", time, user, item, kind, value)


def error(time: float, arm: str = "canary") -> Failure:
    return Failure(time, arm, "x", "errors")


def test_user_counts_once_per_step() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 0.1)
    scenario.process(exposure("ann", 5.0), exposure("ann", 6.0), exposure("bob", 7.0, "canary"), now=8.0)
    scenario.process(exposure("ann", 9.0), now=10.0)
    assert scenario.recorded.counts == [("users", 1, 2, 0.1)]
    assert scenario.recorded.step_users == 1


def test_stable_users_enter_next_step_with_their_probability_of_moving() -> None:
    """When the allocation grows from a tenth to one half, four ninths of stable's users move."""
    scenario = Scenario()
    scenario.start_step(0.0, 0.1)
    scenario.process(exposure("ann", 5.0), exposure("bob", 5.0, "canary"), now=6.0)
    scenario.start_step(100.0, 0.5)
    scenario.process(
        exposure("ann", 110.0, "canary"),
        exposure("bob", 111.0, "canary"),
        exposure("eve", 112.0),
        now=113.0,
    )
    assert scenario.recorded.counts == [
        ("users", 1, 2, 0.1),
        ("users", 1, 1, round(4 / 9, 6)),
        ("users", 0, 1, 0.5),
    ]


def test_events_close_to_change_of_allocation_are_excluded() -> None:
    scenario = Scenario()
    scenario.start_step(10.0, 0.1)
    scenario.process(exposure("early", 9.0), exposure("ann", 10.5), error(10.5), now=12.0)
    assert scenario.recorded.counts == []


def test_events_before_allocation_is_confirmed_are_excluded() -> None:
    scenario = Scenario()
    scenario.collector.start_step(10.0, 0.1)
    scenario.process(exposure("ann", 15.0), now=16.0)
    scenario.collector.confirm_allocation(20.0)
    scenario.process(exposure("ann", 20.5), exposure("bob", 21.5), now=22.0)
    assert scenario.recorded.counts == [("users", 0, 1, 0.1)]


def test_outcome_comes_from_feedback_on_lists_of_the_window() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 0.5)
    scenario.process(
        exposure("ann", 5.0),
        exposure("ann", 20.0, items="cd"),
        exposure("bob", 5.0, "canary"),
        exposure("eve", 6.0),
        feedback("ann", 7.0, "a"),
        feedback("ann", 8.0, "z"),  # not recommended
        feedback("bob", 4.0, "a"),  # before the window
        feedback("bob", 66.0, "b"),  # after the window
        feedback("eve", 9.0, "b"),
        feedback("eve", 9.0, "b"),  # the same event again
        now=30.0,
    )
    assert scenario.recorded.outcomes == []
    scenario.process(now=66.0 + FEEDBACK_DELAY_S)
    assert scenario.recorded.outcomes == [([0.0], [0.5, 1.0], 0.5)]


def test_feedback_that_arrives_before_its_exposure_counts() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 0.5)
    scenario.process(feedback("ann", 5.5, "a"), now=6.0)
    scenario.process(exposure("ann", 5.0), now=7.0)
    scenario.process(now=80.0)
    assert scenario.recorded.outcomes == [([], [1.0], 0.5)]


@pytest.mark.parametrize(
    ("objective", "outcome"), [("click_through", 0.0), ("watch_minutes", 12.0), ("rating", 3.5)]
)
def test_outcome_is_in_units_of_the_objective(objective: Objective, outcome: float) -> None:
    scenario = Scenario(objective)
    scenario.start_step(0.0, 0.5)
    scenario.process(
        exposure("ann", 5.0),
        feedback("ann", 6.0, "a", "watch", 5.0, event_id="e1"),
        feedback("ann", 7.0, "a", "watch", 7.0, event_id="e2"),
        feedback("ann", 7.0, "a", "watch", 7.0, event_id="e2"),  # sent again
        feedback("ann", 8.0, "a", "rating", 1.0, event_id="e3"),
        feedback("ann", 9.0, "a", "rating", 3.0, event_id="e4"),  # rated again
        feedback("ann", 9.0, "b", "rating", 4.0, event_id="e5"),
        now=30.0,
    )
    scenario.process(now=80.0)
    assert scenario.recorded.outcomes == [([], [outcome], 0.5)]


def test_user_without_ratings_has_no_rating_outcome() -> None:
    scenario = Scenario("rating")
    scenario.start_step(0.0, 0.5)
    scenario.process(exposure("ann", 5.0), now=80.0)
    assert scenario.recorded.outcomes == []


def test_outcome_is_capped() -> None:
    scenario = Scenario("watch_minutes", outcome_cap=10.0)
    scenario.start_step(0.0, 0.5)
    scenario.process(exposure("ann", 5.0), feedback("ann", 6.0, "a", "watch", 900.0), now=30.0)
    scenario.process(now=80.0)
    assert scenario.recorded.outcomes == [([], [10.0], 0.5)]


def test_attribution_window_that_overlaps_change_of_allocation_has_no_outcome() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 0.1)
    scenario.process(exposure("ann", 5.0), exposure("bob", 50.0), now=51.0)
    scenario.start_step(70.0, 0.5)
    scenario.process(now=500.0)
    assert scenario.recorded.outcomes == [([], [0.0], 0.1)]


def test_user_who_switches_arms_has_no_outcome() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 0.5)
    scenario.process(exposure("ann", 5.0, "canary"), exposure("ann", 9.0, "stable"), now=80.0)
    assert scenario.recorded.outcomes == []


def test_only_first_guardrail_event_of_a_user_counts() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 0.1)
    scenario.process(
        exposure("ann", 5.0, level="popular"),
        exposure("ann", 6.0, level="popular"),
        exposure("eve", 7.0, items=""),
        error(5.0),
        error(6.0),
        Failure(6.0, "stable", "x", "slow"),
        now=8.0,
    )
    scenario.process(error(9.0), now=10.0)
    assert sorted(scenario.recorded.counts) == [
        ("below_personal", 0, 1, 0.1),
        ("empty", 0, 1, 0.1),
        ("errors", 1, 1, 0.1),
        ("slow", 0, 1, 0.1),
        ("users", 0, 2, 0.1),
    ]


def test_minutes_before_last_step_go_to_the_baseline() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 0.5)
    scenario.process(
        exposure("ann", 5.0, items=""),
        exposure("ann", 6.0, items=""),
        exposure("bob", 7.0, "canary"),
        error(8.0, "stable"),
        now=10.0,
    )
    scenario.process(exposure("ann", 15.0), now=18.0)
    scenario.start_step(30.0, 1.0)
    scenario.process(exposure("ann", 40.0, "canary"), now=45.0)
    assert scenario.recorded.two_arm_minutes == [{"users": 2, "empty": 1, "errors": 1}, {"users": 1}]
    assert scenario.recorded.single_arm_minutes == []


def test_minutes_of_last_step_are_compared_with_the_baseline_when_they_end() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 1.0)
    scenario.process(
        exposure("ann", 40.0, "canary", items=""),
        exposure("ann", 41.0, "canary", items=""),
        exposure("bob", 42.0, "canary", items=""),
        *[error(43.0)] * 3,
        now=45.0,
    )
    assert scenario.recorded.single_arm_minutes == []
    scenario.process(exposure("ann", 46.0, "canary", items=""), exposure("ann", 51.0, "canary"), now=52.0)
    assert scenario.recorded.single_arm_minutes == [{"users": 2, "empty": 2, "errors": 1}]
    assert scenario.recorded.two_arm_minutes == []


def test_errors_count_in_a_minute_without_responses() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 1.0)
    scenario.process(exposure("ann", 51.0, "canary"), error(68.0), error(72.0), now=80.0)
    assert scenario.recorded.single_arm_minutes == [{"users": 1}, {"users": 0, "errors": 1}]


def test_users_count_again_in_each_comparison_window() -> None:
    scenario = Scenario(popularity={"a": 0.5, "b": 0.1})
    scenario.start_step(0.0, 0.5)
    scenario.process(
        exposure("ann", 5.0, items=""),
        exposure("ann", 6.0, items=""),
        exposure("bob", 7.0, "canary", items=""),
        now=8.0,
    )
    scenario.process(
        exposure("bob", 9.0, "canary", items=""), exposure("bob", 12.0, "canary", items=""), now=13.0
    )
    scenario.process(exposure("ann", 9.0, items=""), now=13.0)  # arrives late: counts in the current window
    assert scenario.recorded.window_counts[1] == [
        ("empty", 1, 2, 0.5),
        WINDOW_STARTED,
        ("empty", 1, 1, 0.5),
        ("empty", 0, 1, 0.5),
    ]
    scenario.start_step(30.0, 0.9)
    scenario.process(exposure("bob", 40.0, "canary", items=""), exposure("ann", 27.0, items=""), now=41.0)
    scenario.process(exposure("ann", 27.0, items=""), now=41.0)
    last = scenario.recorded.window_counts[2][-2:]
    assert last == [WINDOW_STARTED, ("empty", 1, 1, 0.9)], "a new allocation must start a new window"


def last_step_raises_alarm(before: list[int], after: list[int], users: int = 1000) -> bool:
    """Return True if empty lists in the last step raise an alarm, given affected users per minute."""
    accumulator = EvidenceAccumulator(POLICY)
    accumulator.record_affected_users("empty", 5, 10, 0.5)
    for affected in before:
        accumulator.add_minute_to_baseline(users, {"empty": affected})
    for affected in after:
        accumulator.compare_minute_with_baseline(users, {"empty": affected})
    guardrails = accumulator.evidence(CONDITIONS).guardrails
    assert not guardrails["errors"].is_alarm
    return guardrails["empty"].is_alarm


@pytest.mark.parametrize("affected", [0, 2])
def test_rate_up_to_the_baseline_raises_no_alarm_in_last_step(affected: int) -> None:
    assert not last_step_raises_alarm([2] * 10, [affected] * 20)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([2] * 10, [40] * 20),
        ([0] * 10, [40]),
        ([200, 190, 210, 205, 195], [1000] * 3),  # from one fifth of the users to all
    ],
)
def test_increase_over_baseline_raises_alarm_in_last_step(before: list[int], after: list[int]) -> None:
    assert last_step_raises_alarm(before, after)


def test_recurring_outages_are_part_of_the_baseline() -> None:
    hour = [0] * 59 + [50]
    assert not last_step_raises_alarm(hour * 4, hour * 2)
    assert last_step_raises_alarm(hour * 4, [500] * 3)


def test_last_step_without_baseline_raises_no_alarm() -> None:
    assert not last_step_raises_alarm([], [1000] * 20)
    assert not last_step_raises_alarm([0] * 4, [1000] * 20)


def test_users_enter_the_cohort_only_outside_outages() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 0.5)
    scenario.collector.exclude_outages([Outage(10.0, 20.0)])
    scenario.process(exposure("ann", 5.0), exposure("bob", 12.0), exposure("eve", 15.0, "canary"), now=16.0)
    assert scenario.recorded.counts == [("users", 0, 1, 0.5)]
    scenario.process(exposure("bob", 21.0), exposure("eve", 22.0, "canary"), exposure("ann", 23.0), now=24.0)
    assert scenario.recorded.counts == [("users", 0, 1, 0.5), ("users", 1, 2, 0.5)]
    scenario.collector.exclude_outages([Outage(10.0, 20.0), Outage(70.0, math.inf)])
    scenario.process(now=400.0)
    assert scenario.recorded.outcomes == [], "attribution windows that overlap an outage must have no outcome"


def test_list_metrics_are_overlap_with_previous_list_of_the_arm_and_popularity() -> None:
    scenario = Scenario(popularity={"a": 0.5, "b": 0.1})
    scenario.start_step(0.0, 0.5)
    scenario.process(
        exposure("ann", 5.0),
        exposure("bob", 6.0, "canary", items="xy"),
        exposure("eve", 7.0, items="az"),
        now=8.0,
    )
    assert scenario.recorded.values["overlap"] == [([], [0.5], 0.5)]
    assert scenario.recorded.values["popularity"] == [([0.0], [pytest.approx(0.3), 0.25], 0.5)]


def test_time_since_last_response_of_arm_without_response_is_infinite() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 0.5)
    scenario.process(exposure("ann", 5.0), now=8.0)
    assert scenario.collector.seconds_since_last_response(8.0) == {"stable": 3.0, "canary": math.inf}


def test_visitors_without_user_id_are_not_users() -> None:
    scenario = Scenario()
    scenario.start_step(0.0, 0.5)
    scenario.process(exposure(None, 5.0, "canary", level="folded", items="a"), now=8.0)
    assert scenario.recorded.counts == []
    assert scenario.collector.seconds_since_last_response(8.0)["canary"] == 3.0


def test_cohort_can_be_pickled() -> None:
    collector = ObservationCollector(
        EvidenceAccumulator(POLICY), "click_through", WINDOW_S, popularity={"a": 0.5}
    )
    start_confirmed_step(collector, 0.0, 0.5)
    collector.process_events([exposure("ann", 5.0, items="")], [], [error(6.0)], 7.0)
    copy = pickle.loads(pickle.dumps(collector))
    assert copy.seconds_since_last_response(8.0) == collector.seconds_since_last_response(8.0)


STEPS = ((0.0, 0.2), (200.0, 0.5))  # start and allocation


def random_events() -> list[Event]:
    """Return events of 300 users who visit in both steps and click half of the time."""
    rng = np.random.default_rng(0)
    events: list[Event] = []
    for start, allocation in STEPS:
        for number in range(300):
            user, time = f"u{number}", start + 5 + rng.random() * 60
            in_canary = (number * 7919 % 1000) / 1000 < allocation
            events.append(exposure(user, time, "canary" if in_canary else "stable"))
            if rng.random() < 0.5:
                events.append(feedback(user, time + 1 + 50 * rng.random(), "a"))
    return sorted(events, key=lambda event: event.time)


def process_in_periods(
    events: list[Event], periods: list[tuple[float, float]]
) -> tuple[PerArm[float], PerArm[int], float]:
    """Return mean outcomes, users and estimated difference after processing each period in turn."""
    accumulator = EvidenceAccumulator(POLICY)
    collector = ObservationCollector(accumulator, "click_through", WINDOW_S)
    for start, end in periods:
        for time, allocation in STEPS:
            if start <= time < end:
                start_confirmed_step(collector, time, allocation)
        batch = [event for event in events if start <= event.time < end]
        exposures = [event for event in batch if isinstance(event, Exposure)]
        collector.process_events(
            exposures, [event for event in batch if isinstance(event, Feedback)], [], end
        )
    quality_users = accumulator.evidence(CONDITIONS).quality_users
    return accumulator.mean_outcomes, quality_users, accumulator.quality_interval.estimate


def test_evidence_does_not_depend_on_how_events_are_batched() -> None:
    """After a restart, all events are processed at once. Users of the first step return in the second."""
    events = random_events()
    means, users, estimate = process_in_periods(events, [(0.0, 400.0)])
    periods = [(float(start), float(start + 2)) for start in range(0, 400, 2)]
    means_in_periods, users_in_periods, estimate_in_periods = process_in_periods(events, periods)
    assert users == users_in_periods
    assert means == pytest.approx(means_in_periods)
    assert estimate == pytest.approx(estimate_in_periods, abs=0.01)
