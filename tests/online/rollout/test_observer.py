"""What a controller sees of a rollout, and what the files that it reads may do to it."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from experiments.config.offline import load_params
from marquee.events import Exposure, Feedback, encode
from marquee.rollout.cohort import Failure
from marquee.rollout.decision import ReasonCode
from marquee.rollout.evidence import Comparison
from marquee.rollout.policy import Trouble
from marquee.rollout.state import Rollout
from pipelines.commands.up import laid_out
from pipelines.rollout import checkpoint, observer
from pipelines.rollout.observer import Counted, Watch, empty_counts
from pipelines.rollout.policy_config import cohort_of
from service.gateway.failure_log import FailureFile
from service.gateway.traffic_split import ServerState
from service.stack.log_rotation import KEPT, begin_anew, bound
from service.stack.stack_config import Stack
from service.telemetry import tail

PARAMS = load_params(Path(__file__).parents[3] / "params.yaml")
LINE = "{at} canary 500 1000 {user} SH--\n"


def test_a_file_that_grew_too_large_is_begun_anew_and_its_reader_misses_nothing(tmp_path: Path) -> None:
    """HAProxy does not append: behind the emptied part its next line comes after a hole."""
    path = tmp_path / "gateway-1.failures"
    reader = FailureFile(path, 100)
    with path.open("wb", buffering=0) as gateway:
        written = 0
        for _ in range(40):
            users = range(written, written + 1000)
            gateway.write("".join(LINE.format(at=1000, user=f"{user:015d}") for user in users).encode())
            written += 1000
            assert [int(failure.user) for failure in reader.poll()] == [*users]
            begin_anew(path, most=200_000, kept=5_000)
            assert path.stat().st_blocks * 512 <= 300_000
        gateway.write(LINE.format(at=1000, user="last").encode())
    late = FailureFile(path, 100)
    assert [failure.user for failure in late.poll()][-1] == "last"
    assert late.unreadable == reader.unreadable == 0
    old = path.with_name(f"{path.name}.old").read_text()
    assert len(old) == 5_000
    assert old.endswith("\n")


def test_a_reader_that_was_away_goes_on_behind_the_hole(tmp_path: Path) -> None:
    path = tmp_path / "gateway-1.failures"
    reader = FailureFile(path, 100)
    with path.open("wb", buffering=0) as gateway:
        gateway.write(LINE.format(at=1, user="a").encode() * 20_000)
        assert len([*reader.poll()]) == 20_000
        gateway.write(LINE.format(at=2, user="b").encode() * 20_000)
        assert begin_anew(path, most=100_000)
        assert [*reader.poll()] == []
        gateway.write(LINE.format(at=3, user="c").encode())
        assert [f.user for f in reader.poll()] == ["c"]


def test_logs_and_failures_are_bounded_and_what_is_small_is_left_alone(tmp_path: Path) -> None:
    stack = stack_in(tmp_path)
    small, large = tmp_path / "logs" / "stable-1.log", tmp_path / "logs" / "canary-1.log"
    small.write_text("well\n")
    large.write_bytes(b"x" * (65 << 20))
    failures = stack.gateways[1].failures(tmp_path)
    failures.write_bytes(b"x" * (65 << 20))
    bound(stack)
    assert small.read_text() == "well\n"
    for path in (large, failures):
        assert path.stat().st_size == 0
        assert path.with_name(f"{path.name}.old").stat().st_size == KEPT


def stack_in(folder: Path) -> Stack:
    stack = laid_out(PARAMS, folder, replicas=2, port=1, host="127.0.0.1", events=folder / "events")
    stack.save()
    return stack


class Scene:
    """A rollout whose gateways, and whose clock, say what a test has them say."""

    def __init__(self, folder: Path) -> None:
        self.stack = stack_in(folder)
        self.began = time.time() - 100
        self.rollout = Rollout("r", self.began, 1, 1, 2, "/b", None, ((self.began, 0.5),), (self.began,))
        self.up: bool | None = True
        self.unchanged_s = 0
        self.seconds = 0.0  # on the clock
        self.watch = self.another()

    def another(self, **injected: Any) -> Watch:
        """After a restart of the controller."""
        given = {"servers_of": self._states, "clock": lambda: self.seconds} | injected
        return Watch(self.stack, self.rollout, PARAMS.canary, {}, time.time(), **given)

    def counts(self) -> Counted:
        """Of nothing that was read yet."""
        return empty_counts(self.stack, self.rollout, PARAMS.canary, {})

    def _states(self, *_: object) -> list[ServerState] | None:
        return (
            None
            if self.up is None
            else [ServerState("canary", "canary-1", self.up, 0, 0, 0, self.unchanged_s)]
        )

    def look(self, now: float) -> Any:
        self.watch.missed(now)
        return self.watch.look(self.rollout, now)

    def show(self, number: int, at: float = 20.0, arm: str = "stable") -> None:
        """So many users of an arm, some seconds after the beginning and a hundredth apart."""
        path = self.stack.events / f"{arm}-1" / "exposure-1.jsonl.open"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            for n in range(number):
                user, when = f"{arm}{at}-{n}", self.began + at + n / 100
                shown = Exposure(f"r{n}", when, user, arm, "m", "personal", ("i1",), 1)
                file.write(f"{encode(shown).decode()}\n")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_canary_is_unhealthy_only_where_a_gateway_says_so(scene: Scene) -> None:
    now = time.time()
    scene.up = None
    assert scene.look(now + 60).unhealthy_seconds == 0
    assert [trouble.reason for trouble in scene.look(now + 61).troubles] == [ReasonCode.GATEWAY_UNRESPONSIVE]
    scene.up = False
    assert scene.look(now + 63).unhealthy_seconds == pytest.approx(2, abs=0.1)
    assert scene.look(now + 64).unhealthy_seconds == pytest.approx(3, abs=0.1)
    scene.up = None
    assert scene.look(now + 65).unhealthy_seconds == pytest.approx(3, abs=0.1)
    scene.up = True
    assert scene.look(now + 66).unhealthy_seconds == 0


def test_who_was_stopped_for_long_does_not_blame_the_canary_for_it(scene: Scene) -> None:
    scene.look(time.time())
    scene.up = False
    assert scene.look(time.time() + 3600).unhealthy_seconds <= observer.LONGEST_LOOK_S


class UnreadableFile(FailureFile):
    """A gateway's file on a disk that is gone."""

    def poll(self) -> Iterator[Failure]:
        raise OSError("the disk is gone")
        yield


def test_a_source_that_cannot_be_read_is_a_trouble_and_silences_no_other(scene: Scene) -> None:
    scene.show(30)
    unreadable = [UnreadableFile(Path("gone"), 100) for _ in range(2)]
    scene.watch = scene.another(count_anew=lambda: replace(scene.counts(), failures=unreadable))
    seen = scene.look(time.time())
    assert seen.troubles == (Trouble.metric_failed("OSError: the disk is gone"),) * 2
    assert seen.mismatch.total == 30


class FailingComparison(Comparison):
    """A comparison that cannot count users."""

    def users(self, canary: int, total: int, weight: float) -> None:
        raise ZeroDivisionError


def test_where_counting_failed_everything_is_read_again(scene: Scene) -> None:
    comparison = FailingComparison(scene.watch.policy)
    failing = replace(scene.counts(), comparison=comparison, cohort=cohort_of(PARAMS.canary, comparison, {}))
    counts = iter([failing])
    scene.show(30)
    scene.watch = scene.another(count_anew=lambda: next(counts, None) or scene.counts())
    (trouble,) = scene.look(time.time()).troubles
    assert trouble.reason == ReasonCode.METRIC_FAILED
    assert "ZeroDivisionError" in trouble.message
    seen = scene.look(time.time())
    assert seen.troubles == ()
    assert seen.mismatch.total == 30


def test_hours_that_were_missed_are_read_in_pieces_and_in_the_order_in_which_they_were(scene: Scene) -> None:
    """Stable is read first, all of it, where nobody sorts: its users would come long before the canary's."""
    scene.show(500)
    scene.show(500, arm="canary")
    passing = count(step=observer.READING_S + 1)  # whenever it is asked for the time, there is none left
    scene.watch = scene.another(piece=100, clock=lambda: next(passing))
    totals = []
    for _ in range(10):
        seen = scene.look(time.time())
        assert [trouble.reason for trouble in seen.troubles] == [ReasonCode.CATCHING_UP]
        assert abs(seen.mismatch.canary - seen.mismatch.total / 2) <= 1
        totals.append(seen.mismatch.total)
    assert totals == [*range(100, 1001, 100)]
    assert scene.look(time.time()).troubles == ()


def test_after_a_restart_it_goes_on_from_a_copy(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.show(30)
    scene.show(20, arm="canary")
    scene.seconds += observer.KEEP_S
    scene.look(time.time())
    scene.show(10, at=40.0)
    before = scene.look(time.time())
    scene.watch = scene.another()
    read = []
    decode = tail.decode
    monkeypatch.setattr(tail, "decode", lambda line: read.append(line) or decode(line))
    after = scene.look(time.time())
    assert len(read) == 10
    assert (after.mismatch, after.step_users) == (before.mismatch, before.step_users)
    assert after.mismatch.total == 60


@pytest.mark.parametrize("damage", ["cut", "changed", "of another rollout", "of other code", "none"])
def test_a_copy_that_is_not_ours_or_not_whole_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    path, name = tmp_path / "counted", "one"
    checkpoint.keep(path, name, {"users": 3})
    assert checkpoint.recall(path, name) == {"users": 3}
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-5])
    elif damage == "changed":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "none":
        path.unlink()
    elif damage == "of other code":
        monkeypatch.setattr(checkpoint, "CODE", "another")
    else:
        name = "two"
    assert checkpoint.recall(path, name) is None


def test_a_copy_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    checkpoint.keep(tmp_path / "there is no such folder" / "counted", "one", {})


def test_who_was_away_asks_the_gateways_how_long_the_canary_was_there(scene: Scene) -> None:
    now = time.time()
    assert scene.watch.missed(now + 1) is None
    scene.unchanged_s = 30
    assert scene.watch.missed(now + 60) == now + 1
    assert scene.watch.missed(now + 61) is None
    scene.unchanged_s = 3600
    assert scene.watch.missed(now + 161) is None
    scene.up = False
    assert scene.watch.missed(now + 162) == now + 161
    assert scene.watch.missed(now + 163) == now + 162
    scene.up = None
    assert scene.watch.missed(now + 164) == now + 163


def test_a_step_without_a_canary_is_none(scene: Scene) -> None:
    now = time.time()
    assert scene.look(now).troubles == ()
    scene.rollout = replace(
        scene.rollout, outages=((scene.began + 10, scene.began + 30), (now - 50, math.inf))
    )
    assert [trouble.reason for trouble in scene.look(now).troubles] == [ReasonCode.CANARY_OUTAGE]


def test_a_clock_that_is_fast_ends_nobodys_time(scene: Scene) -> None:
    """Feedback has the client's time; half an hour of it ahead of ours would end every window."""
    scene.show(30, at=90.0)
    path = scene.stack.events / "stable-1" / "feedback-1.jsonl.open"
    ahead = Feedback("e1", time.time() + 2000, "somebody", "i1", "click", 1.0)
    path.write_bytes(encode(ahead) + b"\n")
    scene.watch = scene.another(piece=40)
    scene.look(time.time())
    cohort = scene.watch._counted.cohort
    assert len(cohort._visits) == 30


def test_while_the_canary_is_away_its_users_are_nobody_elses(scene: Scene) -> None:
    """Ten seconds of a half of the users, whom stable answers meanwhile."""
    scene.show(500, at=5.0)
    scene.show(500, at=5.0, arm="canary")
    scene.show(1000, at=30.0)
    assert scene.look(time.time()).mismatch.alarm
    scene.rollout = replace(scene.rollout, outages=((scene.began + 29, scene.began + 41),))
    scene.watch = scene.another()
    seen = scene.look(time.time())
    assert (seen.mismatch.alarm, seen.mismatch.total) == (False, 1000)
