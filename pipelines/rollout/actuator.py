"""The hands of a controller: each brings the stack to a state, and does nothing where it is there already."""

from collections.abc import Callable
from pathlib import Path

from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_atomically
from pipelines.rollout.observer import healthy
from service.gateway.config import Gateway
from service.gateway.traffic_split import (
    ServerState,
    Split,
    read_split,
    servers_of,
    set_server,
    split_of,
    steer,
)
from service.stack import health_checks
from service.stack.launch import pid_of
from service.stack.stack_config import CANARY, STABLE, Arm, Stack, arms_since, read_arms, write_arms
from service.stack.supervisor import Supervisor
from service.stack.waiting import wait_until
from service.stack.watchdog import beat

READY_S = 60.0  # for a replica to load its model
DRAIN_S = 10.0  # for a gateway to have no request at a replica


class Hands:
    """Steers the gateways and the replicas of one stack."""

    def __init__(
        self,
        stack: Stack,
        *,
        supervisor: Supervisor | None = None,
        servers_of: Callable[[Path, Gateway], list[ServerState] | None] = servers_of,
        pid_of: Callable[[Path, str], tuple[int, float] | None] = pid_of,
        is_ready: Callable[[int], bool] = health_checks.ready,
        ready_s: float = READY_S,
    ) -> None:
        """Take hold of a stack.

        Args:
            stack: to steer.
            supervisor: starts and ends its processes; by default the one that runs in its folder.
            servers_of: tells how a gateway sees the replicas.
            pid_of: finds the process of a replica, and when it began.
            is_ready: asks the replica on a port whether it is ready.
            ready_s: seconds for a replica to load its model.
        """
        self.stack = stack
        self._supervisor = Supervisor(stack.folder) if supervisor is None else supervisor
        self._servers_of, self._pid_of, self._is_ready = servers_of, pid_of, is_ready
        self._ready_s = ready_s
        self.answered = False  # whether any gateway did when it was last told who is in the canary

    def split(self, split: Split) -> bool:
        """Have every gateway that runs split so, and those that start later; whether all that run do."""
        folder, gateways = self.stack.folder, self.stack.gateways
        seen = [split_of(folder, gateway) for gateway in gateways]
        if read_split(folder) != split.told or any(each not in {None, split.told} for each in seen):
            steer(folder, gateways, split)
            seen = [split_of(folder, gateway) for gateway in gateways]
        self.answered = any(seen)
        return self.answered and all(each in {None, split.told} for each in seen)

    def is_canary_ready(self) -> bool:
        """Return True if a gateway has a replica of the canary up."""
        return healthy(self._states())

    def raise_canary(self, arm: Arm) -> None:
        """Have the canary's replicas run on this Bento."""
        arms = read_arms(self.stack.folder)
        if arms.get(CANARY) != arm:
            write_arms(self.stack.folder, {**arms, CANARY: arm})
        for server in self.stack.replicas[CANARY]:
            set_server(self.stack.folder, self.stack.gateways, server.name, "ready")
            running = self._pid_of(self.stack.folder, server.name)
            if running is not None and running[1] < arms_since(self.stack.folder):
                self._supervisor.restart(server.name)  # on what the arm was before
            else:
                self._supervisor.start(server.name)

    def end_canary(self) -> None:
        """Have no replica of the canary; nobody may be sent there any more."""
        arms = read_arms(self.stack.folder)
        if CANARY not in arms:
            return
        for server in self.stack.replicas[CANARY]:
            self._drain(server.name)
            self._supervisor.stop(server.name)
        write_arms(self.stack.folder, {name: arm for name, arm in arms.items() if name != CANARY})

    def crown(self, arm: Arm) -> None:
        """Have stable's replicas run on this Bento, one after the other, drained first."""
        arms = read_arms(self.stack.folder)
        begun = self.stack.folder / "rolled"  # replicas that run on it already, should we die between
        if arms.get(STABLE) != arm:
            begun.unlink(missing_ok=True)
            write_arms(self.stack.folder, {**arms, STABLE: arm})
        done = begun.read_text(encoding="utf-8").split() if begun.exists() else []
        if done[:1] != [str(arm.version)]:
            done = [str(arm.version)]
        for server in self.stack.replicas[STABLE]:
            if server.name not in done:
                self.roll(server.name)
                done.append(server.name)
                write_atomically(begun, "\n".join(done))

    def roll(self, replica: str) -> None:
        """Restart one replica without anybody noticing.

        Raises:
            MarqueeError: it did not become ready again.
        """
        before = self._pid_of(self.stack.folder, replica)
        self._drain(replica)
        try:
            self._supervisor.restart(replica)
        except MarqueeError:  # the old one is still there, and may go on
            set_server(self.stack.folder, self.stack.gateways, replica, "ready")
            raise
        # Asked itself, and only the new one: to a gateway that has not looked yet, the old one is still up.
        ready = self.wait(
            lambda: (
                self._pid_of(self.stack.folder, replica) not in {None, before}
                and self._is_ready(self.stack.server(replica).port)
            ),
            self._ready_s,
        )
        set_server(self.stack.folder, self.stack.gateways, replica, "ready")
        if not (ready and self.wait(lambda: self.is_up(replica), self._ready_s)):
            log = self.stack.folder / "logs" / f"{replica}.log"
            raise MarqueeError(f"{replica} is not ready after {self._ready_s:.0f} s: see {log}")

    def is_up(self, replica: str) -> bool:
        """Whether every gateway that answers has it up."""
        known = [server.up for state in self._states() for server in state or () if server.name == replica]
        return bool(known) and all(known)

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Wait for something; whether it came true."""

        def is_so() -> bool:
            beat(self.stack.folder, "controller")
            return until()

        return wait_until(is_so, seconds)

    def _drain(self, replica: str) -> None:
        set_server(self.stack.folder, self.stack.gateways, replica, "drain")
        self.wait(lambda: not self._busy(replica), DRAIN_S)

    def _busy(self, replica: str) -> bool:
        names = {replica, f"backup-{replica}"}
        servers = [server for state in self._states() for server in state or ()]
        return any(server.sessions for server in servers if server.name in names)

    def _states(self) -> list[list[ServerState] | None]:
        """The replicas as each gateway sees them; None where a gateway does not answer."""
        return [self._servers_of(self.stack.folder, gateway) for gateway in self.stack.gateways]
