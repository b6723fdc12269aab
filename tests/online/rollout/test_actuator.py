"""The hands of a controller where those who should obey do not, or die over it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from experiments.config.offline import load_params
from marquee.errors import MarqueeError
from pipelines.commands.up import laid_out
from pipelines.rollout.actuator import Hands
from service.gateway import traffic_split
from service.gateway.config import Gateway
from service.gateway.traffic_split import (
    ServerState,
    Split,
    ask,
    read_split,
    servers_of,
    split_of,
    steer,
    write_split,
)
from service.stack.stack_config import CANARY, STABLE, Arm, Stack, read_arms, write_arms
from service.stack.supervisor import Supervisor

PARAMS = load_params(Path(__file__).parents[3] / "params.yaml")
OLD, NEW = Arm("/bentos/old", 1), Arm("/bentos/new", 2)


class Obedient(Supervisor):
    """A supervisor that does what it is told, and remembers."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def start(self, name: str) -> None:
        self.told.append(f"start {name}")

    def stop(self, name: str) -> None:
        self.told.append(f"stop {name}")

    def restart(self, name: str) -> None:
        self.told.append(f"restart {name}")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """No gateway runs."""
    made = laid_out(PARAMS, tmp_path, replicas=2, port=1, host="127.0.0.1", events=tmp_path / "events")
    made.save()
    write_arms(tmp_path, {STABLE: OLD, CANARY: NEW})
    return made


def hands_on(
    stack: Stack, supervisor: Supervisor, pid_of: Callable[[str], tuple[int, float] | None]
) -> Hands:
    """Hands to which whoever is asked is ready at once, as an old process would be."""
    servers = [server.name for arm in stack.replicas.values() for server in arm]
    return Hands(
        stack,
        supervisor=supervisor,
        servers_of=lambda *_: [ServerState("stable", name, True, 0, 0, 0) for name in servers],
        pid_of=lambda _, name: pid_of(name),
        is_ready=lambda _: True,
        ready_s=0.2,
    )


def test_what_a_supervisor_did_not_do_is_not_taken_for_done(stack: Stack) -> None:
    hands = hands_on(stack, Supervisor(stack.folder, answer_s=0.2), {}.get)
    with pytest.raises(MarqueeError, match="did not restart stable-1"):
        hands.crown(NEW)
    with pytest.raises(MarqueeError, match="did not stop canary-1"):
        hands.end_canary()
    assert not (stack.folder / "rolled").exists()
    assert CANARY in read_arms(stack.folder)


def test_an_old_process_that_still_answers_is_no_new_one(stack: Stack) -> None:
    hands = hands_on(stack, Obedient(), {"stable-1": (7, 1.0)}.get)
    with pytest.raises(MarqueeError, match="stable-1 is not ready"):
        hands.crown(NEW)


@pytest.mark.parametrize("left", ["", "2", "2\nstable-1", "1\nstable-1\nstable-2", "\n"])
def test_killed_while_replicas_are_renewed_it_goes_on(stack: Stack, left: str) -> None:
    numbers, supervisor = iter(range(1000)), Obedient()
    write_arms(stack.folder, {STABLE: NEW})
    (stack.folder / "rolled").write_text(left)
    hands = hands_on(stack, supervisor, lambda _: (next(numbers), 1.0))
    hands.crown(NEW)
    done = {"2\nstable-1": ["restart stable-2"]}.get(left, ["restart stable-1", "restart stable-2"])
    assert supervisor.told == done
    hands.crown(NEW)
    assert supervisor.told == done


@pytest.mark.parametrize(("since_s", "order"), [(-60, "restart"), (60, "start")])
def test_a_canary_that_was_left_over_from_before_is_renewed(stack: Stack, since_s: int, order: str) -> None:
    supervisor = Obedient()
    hands_on(stack, supervisor, {"canary-1": (7, time.time() + since_s)}.get).raise_canary(NEW)
    assert supervisor.told == [f"{order} canary-1"]


@contextmanager
def dying(answer: bytes) -> Iterator[tuple[Path, Gateway]]:
    """A gateway that says so much, and is gone."""
    with TemporaryDirectory(prefix="mq-") as name, socket.socket(socket.AF_UNIX) as listener:
        gateway = Gateway("gateway-1", 1)
        listener.bind(str(gateway.socket(Path(name))))
        listener.listen()

        def answers() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(answer)
            except OSError:
                return

        threading.Thread(target=answers, daemon=True).start()
        try:
            yield Path(name), gateway
        finally:
            listener.shutdown(socket.SHUT_RDWR)


TABLE = b"# pxname,svname,status,scur,stot,hrsp_5xx,\ncanary,canary-1,UP,0,1,0,\n"


@pytest.mark.parametrize("answer", [b"", b"# pxname,svname,sta", TABLE, TABLE[:-9]])
def test_half_an_answer_of_a_gateway_that_dies_is_none(answer: bytes) -> None:
    with dying(answer) as (folder, gateway):
        assert servers_of(folder, gateway) is None
        assert split_of(folder, gateway) is None
        assert ask(gateway.socket(folder), "show stat") is None


def test_a_whole_answer_is_one() -> None:
    with dying(TABLE + b"\n") as (folder, gateway):
        (found,) = servers_of(folder, gateway) or ()
        assert (found.name, found.up) == ("canary-1", True)


def test_without_a_disk_users_are_taken_out_of_a_canary_and_none_are_put_into_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_split(tmp_path, Split(7, 0.5))
    monkeypatch.setattr(traffic_split, "ask", lambda _, command: told.append(command) or "")
    monkeypatch.setattr(traffic_split, "write_split", full)
    for weight in (0.9, 0.0):
        with pytest.raises(OSError, match="No space"):
            steer(tmp_path, [Gateway("gateway-1", 1)], Split(7, weight))
    assert len(told) == 1
    assert "weight 0" in told[0]
    assert read_split(tmp_path).weight == 0.5
