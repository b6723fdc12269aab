"""Users of a rollout: each once a step, with the weight that the arm was drawn by."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from marquee.events import Exposure, Feedback, Kind
from marquee.rollout.cohort import LAG_S, Cohort, Failure
from marquee.rollout.decision import Action
from marquee.rollout.evidence import Circumstances, Comparison
from marquee.rollout.policy import DRIFTS, INCIDENTS, Policy

POLICY = Policy(
    steps=(0.2, 0.5, 1.0), aim="superiority", margin=0.0, alpha=0.05, guardrail_alpha=0.01,
    tolerance=dict.fromkeys((*INCIDENTS, *DRIFTS), 1.0), step_seconds=1, step_users=1, quality_users=30,
    drift_users=30, stale_seconds=1, unhealthy_seconds=1, max_restarts=1, deadline_seconds=1,
    at_deadline=Action.HOLD,
)  # fmt: skip
NOW = Circumstances(0, 1.0, 1.0, {})


@dataclass
class Counted(Comparison):
    """Writes down what it is given."""

    seen: list[tuple[str, int, int, float]] = field(default_factory=list)
    given: list[tuple[str, list[float], list[float], float]] = field(default_factory=list)
    step_users: int = 0
    blocks: list[dict[str, int]] = field(default_factory=list)
    anew: dict[int, list[tuple[str, int, int, float]]] = field(default_factory=lambda: defaultdict(list))
    scales_s: tuple[float, ...] = (math.inf, 10.0, 1000.0)
    since: list[dict[str, int]] = field(default_factory=list)

    def users(self, canary: int, total: int, weight: float) -> None:
        self.seen.append(("users", canary, total, round(weight, 6)))

    def incident(self, name: str, canary: int, total: int, weight: float, scale: int = 0) -> None:
        (self.anew[scale] if scale else self.seen).append((name, canary, total, round(weight, 6)))

    def apart(self, users: int, happened: Mapping[str, int]) -> None:
        self.blocks.append({"users": users, **happened})

    def together(self, users: int, happened: Mapping[str, int]) -> None:
        self.since.append({"users": users, **happened})

    def begin_epoch(self, scale: int) -> None:
        self.anew[scale].append(("begun", 0, 0, 0.0))

    def lists(self, name: str, canary: np.ndarray, stable: np.ndarray, weight: float, scale: int = 0) -> None:
        if not scale:
            self.given.append((name, canary.tolist(), stable.tolist(), round(weight, 6)))

    def outcomes(self, canary: np.ndarray, stable: np.ndarray, weight: float) -> None:
        self.given.append(("quality", canary.tolist(), stable.tolist(), round(weight, 6)))

    def of(self, name: str) -> list[tuple[list[float], list[float], float]]:
        return [(canary, stable, weight) for given, canary, stable, weight in self.given if given == name]


def shown(user: str, time: float, arm: str = "stable", rung: str = "personal", items: str = "ab") -> Exposure:
    return Exposure(f"{user}{time}", time, user, arm, "1", rung, tuple(items), 100)


def did(  # noqa: PLR0917 - a line of a table
    user: str, time: float, item: str, kind: Kind = "click", value: float = 1.0, event: str = ""
) -> Feedback:
    return Feedback(event or f"{user}{time}{item}", time, user, item, kind, value)


def cohort(objective: str = "click_through", **told: object) -> tuple[Cohort, Counted]:
    counted = Counted()
    return Cohort(counted, objective, 60.0, **told), counted  # type: ignore[arg-type]


def weigh(users: Cohort, time: float, weight: float) -> None:
    users.weigh(time, weight)
    users.steer(time)


def test_a_user_counts_once_however_often_they_come() -> None:
    users, counted = cohort()
    weigh(users, 0.0, 0.1)
    users.take([shown("ann", 5.0), shown("ann", 6.0), shown("bob", 7.0, "canary")], [], [], 8.0)
    users.take([shown("ann", 9.0)], [], [], 10.0)
    assert counted.seen == [("users", 1, 2, 0.1)]
    assert counted.step_users == 1


def test_at_the_next_step_those_of_stable_are_drawn_anew() -> None:
    """From a tenth to one half: of those in stable four ninths move."""
    users, counted = cohort()
    weigh(users, 0.0, 0.1)
    users.take([shown("ann", 5.0), shown("bob", 5.0, "canary")], [], [], 6.0)
    weigh(users, 100.0, 0.5)
    users.take(
        [shown("ann", 110.0, "canary"), shown("bob", 111.0, "canary"), shown("eve", 112.0)], [], [], 113.0
    )
    assert counted.seen == [("users", 1, 2, 0.1), ("users", 1, 1, round(4 / 9, 6)), ("users", 0, 1, 0.5)]


def test_what_happens_around_a_change_of_weights_is_left_out() -> None:
    users, counted = cohort()
    weigh(users, 10.0, 0.1)
    users.take([shown("early", 9.0), shown("ann", 10.5)], [], [Failure(10.5, "canary", "x", "errors")], 12.0)
    assert counted.seen == []


def test_until_the_gateways_obey_nothing_counts() -> None:
    users, counted = cohort()
    users.weigh(10.0, 0.1)
    users.take([shown("ann", 15.0)], [], [], 16.0)
    users.steer(20.0)
    users.take([shown("ann", 20.5), shown("bob", 21.5)], [], [], 22.0)
    assert counted.seen == [("users", 0, 1, 0.1)]


def test_an_outcome_is_what_came_of_the_lists_in_the_window() -> None:
    users, counted = cohort()
    weigh(users, 0.0, 0.5)
    lists = [
        shown("ann", 5.0),
        shown("ann", 20.0, items="cd"),
        shown("bob", 5.0, "canary"),
        shown("eve", 6.0),
    ]
    clicks = [
        did("ann", 7.0, "a"),
        did("ann", 8.0, "z"),  # was not recommended
        did("bob", 4.0, "a"),  # before
        did("bob", 66.0, "b"),  # after
        did("eve", 9.0, "b"),
        did("eve", 9.0, "b"),  # the same event again
    ]
    users.take(lists, clicks, [], 30.0)
    assert counted.of("quality") == []
    users.take([], [], [], 66.0 + LAG_S)
    assert counted.of("quality") == [([0.0], [0.5, 1.0], 0.5)]


def test_feedback_waits_for_the_list_that_it_answers() -> None:
    users, counted = cohort()
    weigh(users, 0.0, 0.5)
    users.take([], [did("ann", 5.5, "a")], [], 6.0)  # read before
    users.take([shown("ann", 5.0)], [], [], 7.0)
    users.take([], [], [], 80.0)
    assert counted.of("quality") == [([], [1.0], 0.5)]


@pytest.mark.parametrize(
    ("objective", "outcome"), [("click_through", 0.0), ("watch_minutes", 12.0), ("rating", 3.5)]
)
def test_objectives(objective: str, outcome: float) -> None:
    users, counted = cohort(objective)
    weigh(users, 0.0, 0.5)
    done = [
        did("ann", 6.0, "a", "watch", 5.0, "e1"),
        did("ann", 7.0, "a", "watch", 7.0, "e2"),
        did("ann", 7.0, "a", "watch", 7.0, "e2"),  # sent again
        did("ann", 8.0, "a", "rating", 1.0, "e3"),
        did("ann", 9.0, "a", "rating", 3.0, "e4"),  # changed their mind
        did("ann", 9.0, "b", "rating", 4.0, "e5"),
    ]
    users.take([shown("ann", 5.0)], done, [], 30.0)
    users.take([], [], [], 80.0)
    assert counted.of("quality") == [([], [outcome], 0.5)]


def test_who_rated_nothing_has_no_mean_rating_and_heavy_users_are_capped() -> None:
    users, counted = cohort("rating")
    weigh(users, 0.0, 0.5)
    users.take([shown("ann", 5.0)], [], [], 80.0)
    assert counted.of("quality") == []
    users, counted = cohort("watch_minutes", most=10.0)
    weigh(users, 0.0, 0.5)
    users.take([shown("ann", 5.0)], [did("ann", 6.0, "a", "watch", 900.0)], [], 30.0)
    users.take([], [], [], 80.0)
    assert counted.of("quality") == [([], [10.0], 0.5)]


def test_a_window_that_a_change_of_weights_falls_into_has_no_outcome() -> None:
    users, counted = cohort()
    weigh(users, 0.0, 0.1)
    users.take([shown("ann", 5.0), shown("bob", 50.0)], [], [], 51.0)
    weigh(users, 70.0, 0.5)
    users.take([], [], [], 500.0)
    assert counted.of("quality") == [([], [0.0], 0.1)]


def test_whom_the_other_arm_answers_meanwhile_has_no_outcome() -> None:
    users, counted = cohort()
    weigh(users, 0.0, 0.5)
    users.take([shown("ann", 5.0, "canary"), shown("ann", 9.0, "stable")], [], [], 80.0)
    assert counted.of("quality") == []


def test_an_incident_counts_the_first_time_it_happens_to_a_user() -> None:
    users, counted = cohort()
    weigh(users, 0.0, 0.1)
    failures = [Failure(5.0, "canary", "x", "errors"), Failure(6.0, "canary", "x", "errors")]
    lists = [
        shown("ann", 5.0, rung="popular"),
        shown("ann", 6.0, rung="popular"),
        shown("eve", 7.0, items=""),
    ]
    users.take(lists, [], [*failures, Failure(6.0, "stable", "x", "slow")], 8.0)
    users.take([], [], [Failure(9.0, "canary", "x", "errors")], 10.0)
    assert sorted(counted.seen) == [
        ("below_personal", 0, 1, 0.1),
        ("empty", 0, 1, 0.1),
        ("errors", 1, 1, 0.1),
        ("slow", 0, 1, 0.1),
        ("users", 0, 2, 0.1),
    ]


def test_a_user_counts_once_in_a_block_of_time() -> None:
    users, counted = cohort()
    weigh(users, 0.0, 0.5)
    lists = [shown("ann", 5.0, items=""), shown("ann", 6.0, items=""), shown("bob", 7.0, "canary")]
    users.take(lists, [], [Failure(8.0, "stable", "x", "errors")], 10.0)
    users.take([shown("ann", 15.0)], [], [], 18.0)
    weigh(users, 30.0, 1.0)
    lists = [shown(user, 40.0 + n, "canary", items="") for n, user in enumerate(("ann", "ann", "bob"))]
    users.take(lists, [], [Failure(40.0, "canary", "x", "errors")] * 3, 45.0)
    assert counted.blocks == [{"users": 2, "empty": 1, "errors": 1}, {"users": 1}]
    assert counted.since == []
    users.take([shown("ann", 46.0, "canary", items=""), shown("ann", 51.0, "canary")], [], [], 52.0)
    assert counted.since == [{"users": 2, "empty": 2, "errors": 1}]
    users.take([], [], [Failure(68.0, "canary", "x", "errors"), Failure(72.0, "canary", "x", "errors")], 80.0)
    assert counted.since[1:] == [{"users": 1}, {"users": 0, "errors": 1}], "nobody is answered, and it counts"


def test_in_each_epoch_a_user_counts_anew() -> None:
    users, counted = cohort(popularity={"a": 0.5, "b": 0.1})
    weigh(users, 0.0, 0.5)
    lists = [shown("ann", 5.0, items=""), shown("ann", 6.0, items=""), shown("bob", 7.0, "canary", items="")]
    users.take(lists, [], [], 8.0)
    users.take([shown("bob", 9.0, "canary", items=""), shown("bob", 12.0, "canary", items="")], [], [], 13.0)
    users.take([shown("ann", 9.0, items="")], [], [], 13.0)  # late, and it counts where we are
    assert counted.anew[1] == [
        ("empty", 1, 2, 0.5),
        ("begun", 0, 0, 0.0),
        ("empty", 1, 1, 0.5),
        ("empty", 0, 1, 0.5),
    ]
    weigh(users, 30.0, 0.9)
    users.take([shown("bob", 40.0, "canary", items=""), shown("ann", 27.0, items="")], [], [], 41.0)
    users.take([shown("ann", 27.0, items="")], [], [], 41.0)
    assert counted.anew[2][-2:] == [("begun", 0, 0, 0.0), ("empty", 1, 1, 0.9)], "a new weight, a new epoch"


def alarms_at_the_last_step(before: list[int], since: list[int], users: int = 1000) -> bool:
    """Of empty lists, of so many users in each block of time."""
    comparison = Comparison(POLICY)
    comparison.incident("empty", 5, 10, 0.5)
    for happened in before:
        comparison.apart(users, {"empty": happened})
    for happened in since:
        comparison.together(users, {"empty": happened})
    found = comparison.evidence(NOW).incidents
    assert not found["errors"].alarm
    return found["empty"].alarm


def test_what_breaks_under_everybodys_requests_is_an_alarm_and_what_was_there_before_is_none() -> None:
    assert not alarms_at_the_last_step([2] * 10, [0] * 20)
    assert not alarms_at_the_last_step([2] * 10, [2] * 20)
    assert alarms_at_the_last_step([2] * 10, [40] * 20)
    assert alarms_at_the_last_step([0] * 10, [40])
    assert alarms_at_the_last_step([200, 190, 210, 205, 195], [1000] * 3), "a fifth of the users before"


def test_outages_that_come_now_and_then_are_usual() -> None:
    hour = [0] * 59 + [50]
    assert not alarms_at_the_last_step(hour * 4, hour * 2)
    assert alarms_at_the_last_step(hour * 4, [500] * 3)


def test_where_nothing_was_before_nothing_is_compared_with_it() -> None:
    assert not alarms_at_the_last_step([], [1000] * 20)
    assert not alarms_at_the_last_step([0] * 4, [1000] * 20)


def test_nobody_enters_while_the_canary_is_away() -> None:
    users, counted = cohort()
    weigh(users, 0.0, 0.5)
    users.leave_out([(10.0, 20.0)])
    users.take([shown("ann", 5.0), shown("bob", 12.0), shown("eve", 15.0, "canary")], [], [], 16.0)
    assert counted.seen == [("users", 0, 1, 0.5)]
    users.take([shown("bob", 21.0), shown("eve", 22.0, "canary"), shown("ann", 23.0)], [], [], 24.0)
    assert counted.seen == [("users", 0, 1, 0.5), ("users", 1, 2, 0.5)]
    users.leave_out([(10.0, 20.0), (70.0, math.inf)])
    users.take([], [], [], 400.0)
    assert counted.of("quality") == [], "an outcome needs a window without an outage"


def test_lists_are_compared_with_the_list_before_of_the_same_arm_and_by_what_is_popular() -> None:
    users, counted = cohort(popularity={"a": 0.5, "b": 0.1})
    weigh(users, 0.0, 0.5)
    lists = [shown("ann", 5.0), shown("bob", 6.0, "canary", items="xy"), shown("eve", 7.0, items="az")]
    users.take(lists, [], [], 8.0)
    assert counted.of("overlap") == [([], [0.5], 0.5)]
    assert counted.of("popularity") == [([0.0], [pytest.approx(0.3), 0.25], 0.5)]


def test_an_arm_that_never_answered_is_infinitely_old() -> None:
    users, _ = cohort()
    weigh(users, 0.0, 0.5)
    users.take([shown("ann", 5.0)], [], [], 8.0)
    assert users.ages(8.0) == {"stable": 3.0, "canary": math.inf}


def test_visitors_without_an_id_are_nobody() -> None:
    users, counted = cohort()
    weigh(users, 0.0, 0.5)
    users.take([Exposure("r", 5.0, None, "canary", "1", "folded", ("a",), 1)], [], [], 8.0)
    assert counted.seen == []
    assert users.ages(8.0)["canary"] == 3.0


def test_read_at_once_after_a_restart_it_is_what_it_was_piece_by_piece() -> None:
    """A user of the first step comes back in the second, and what they did in the first still counts."""
    rng = np.random.default_rng(0)
    events: list[Exposure | Feedback] = []
    for begin, weight in ((0.0, 0.2), (200.0, 0.5)):
        for number in range(300):
            user, at = f"u{number}", begin + 5 + rng.random() * 60
            canary = (number * 7919 % 1000) / 1000 < weight
            events.append(shown(user, at, "canary" if canary else "stable"))
            if rng.random() < 0.5:
                events.append(did(user, at + 1 + 50 * rng.random(), "a"))
    events.sort(key=lambda event: event.time)

    def taken(pieces: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray, float]:
        policy_free = Comparison(POLICY)
        users = Cohort(policy_free, "click_through", 60.0)
        whole = len(pieces) == 1
        for first, last in pieces:
            for time, weight in ((0.0, 0.2), (200.0, 0.5)):
                if whole or first <= time < last:
                    weigh(users, time, weight)
            now = [event for event in events if first <= event.time < last]
            lists = [event for event in now if isinstance(event, Exposure)]
            users.take(lists, [event for event in now if isinstance(event, Feedback)], [], last)
        return policy_free.means, policy_free.evidence(NOW).quality_users, policy_free.quality.estimate

    once, often = taken([(0.0, 400.0)]), taken([(float(t), float(t + 2)) for t in range(0, 400, 2)])
    assert once[1] == often[1]
    assert once[0] == pytest.approx(often[0])
    assert once[2] == pytest.approx(often[2], abs=0.01)
