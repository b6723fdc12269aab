"""Actuator: sets the traffic split, and starts, stops and restarts replicas.

The methods of `interfaces.Actuator` are idempotent, so a restarted controller can repeat them after a crash.
"""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_atomically
from marquee.rollout.arms import CANARY, STABLE
from pipelines.rollout.interfaces import SplitResult
from pipelines.rollout.observer import has_healthy_canary
from service.gateway.haproxy_config import GatewayConfig
from service.gateway.haproxy_socket import ServerState, query_servers, set_server_state
from service.gateway.traffic_split import TrafficSplit, apply_split, query_split, read_split
from service.stack import health_checks
from service.stack.circus_supervisor import SupervisorClient
from service.stack.hang_watchdog import write_heartbeat
from service.stack.pid_files import RunningProcess, find_process
from service.stack.stack_config import Arm, StackConfig, arms_modified_at, read_arms, write_arms
from service.stack.waiting import wait_until

REPLICA_START_TIMEOUT_S = 60.0  # for a replica to load its model
DRAIN_TIMEOUT_S = 10.0  # for the gateways to finish their requests to a replica
PROMOTED_REPLICAS_FILE = "promoted-replicas"  # the new version, and the replicas that already run it


class StackActuator:
    """Actuator of the gateways and replicas of one stack."""

    def __init__(
        self,
        stack: StackConfig,
        *,
        supervisor: SupervisorClient | None = None,
        query_servers: Callable[[Path, GatewayConfig], list[ServerState] | None] = query_servers,
        find_process: Callable[[Path, str], RunningProcess | None] = find_process,
        is_ready: Callable[[int], bool] = health_checks.is_ready,
        start_timeout_s: float = REPLICA_START_TIMEOUT_S,
    ) -> None:
        """Create an actuator; this does not change the stack.

        Args:
            stack: stack to control.
            supervisor: starts and stops processes; by default the one that is running in the stack's folder.
            query_servers: returns the state of all replicas as seen by a gateway.
            find_process: returns the process of a replica.
            is_ready: returns True if the replica on a port is ready.
            start_timeout_s: seconds for a replica to load its model.
        """
        self.stack = stack
        self._supervisor = SupervisorClient(stack.folder) if supervisor is None else supervisor
        self._query_servers = query_servers
        self._find_process = find_process
        self._is_ready = is_ready
        self._start_timeout_s = start_timeout_s

    def set_traffic_split(self, split: TrafficSplit) -> SplitResult:
        """Set the traffic split of all gateways, including those that start later.

        Raises:
            OSError: the file that gateways read when they start cannot be written.
        """
        folder, gateways = self.stack.folder, self.stack.gateways
        accepted = {None, split.rounded_to_buckets}  # None: a gateway that does not respond
        current = [query_split(folder, gateway) for gateway in gateways]
        if read_split(folder) != split.rounded_to_buckets or not accepted.issuperset(current):
            apply_split(folder, gateways, split)
            current = [query_split(folder, gateway) for gateway in gateways]
        if not any(current):
            return SplitResult.NO_RESPONSE
        return SplitResult.APPLIED if accepted.issuperset(current) else SplitResult.NOT_APPLIED

    def is_any_canary_replica_up(self) -> bool:
        """Return True if any gateway reports a replica of the canary as up."""
        return has_healthy_canary(self._query_all_servers())

    def start_canary(self, arm: Arm) -> None:
        """Start the canary's replicas with an arm's Bento.

        Raises:
            MarqueeError: the supervisor did not carry out a command.
        """
        folder = self.stack.folder
        arms = read_arms(folder)
        if arms.get(CANARY) != arm:
            write_arms(folder, {**arms, CANARY: arm})
        for replica in self.stack.replicas[CANARY]:
            set_server_state(folder, self.stack.gateways, replica.name, "ready")
            process = self._find_process(folder, replica.name)
            if process is not None and process.started_at < arms_modified_at(folder):
                self._supervisor.restart_process(replica.name)  # it runs an earlier Bento
            else:
                self._supervisor.start_process(replica.name)

    def stop_canary(self) -> None:
        """Stop the canary's replicas; no user may be assigned to them any more.

        Raises:
            MarqueeError: the supervisor did not carry out a command.
        """
        arms = read_arms(self.stack.folder)
        if CANARY not in arms:
            return
        for replica in self.stack.replicas[CANARY]:
            self._drain(replica.name)
            self._supervisor.stop_process(replica.name)
        write_arms(self.stack.folder, {name: arm for name, arm in arms.items() if name != CANARY})

    def update_stable_replicas(self, arm: Arm) -> None:
        """Restart the stable replicas with an arm's Bento, one after the other.

        Replicas that an interrupted call has already restarted are skipped.

        Raises:
            MarqueeError: a replica did not become ready; the replicas after it keep their old version.
        """
        folder = self.stack.folder
        arms = read_arms(folder)
        progress_file = folder / PROMOTED_REPLICAS_FILE
        if arms.get(STABLE) != arm:
            progress_file.unlink(missing_ok=True)
            write_arms(folder, {**arms, STABLE: arm})
        version, promoted = str(arm.version), _read_promoted_replicas(progress_file, arm.version)
        for replica in self.stack.replicas[STABLE]:
            if replica.name not in promoted:
                self.restart_replica(replica.name)
                promoted.append(replica.name)
                write_atomically(progress_file, "\n".join([version, *promoted]))

    def restart_replica(self, name: str) -> None:
        """Restart a replica without losing requests: drain it at the gateways first.

        Raises:
            MarqueeError: it did not become ready again.
        """
        folder, gateways = self.stack.folder, self.stack.gateways
        old_process = self._find_process(folder, name)
        self._drain(name)
        try:
            self._supervisor.restart_process(name)
        except MarqueeError:  # the old process is still running: let it serve again
            set_server_state(folder, gateways, name, "ready")
            raise
        # Ask the new process itself: gateways may not have noticed yet that the old one has exited.
        is_ready = self._wait_until(lambda: self._has_new_process(name, old_process))
        set_server_state(folder, gateways, name, "ready")
        if not (is_ready and self._wait_until(lambda: self._is_up(name))):
            log = folder / "logs" / f"{name}.log"
            raise MarqueeError(f"{name} did not become ready within {self._start_timeout_s:.0f} s; see {log}")

    def _has_new_process(self, name: str, old_process: RunningProcess | None) -> bool:
        """Return True if a replica runs in a new process and that process is ready."""
        is_new = self._find_process(self.stack.folder, name) not in {None, old_process}
        return is_new and self._is_ready(self.stack.find_replica(name).port)

    def _is_up(self, name: str) -> bool:
        """Return True if all gateways that respond report a replica as up."""
        states = [server.is_up for server in self._query_all_servers() if server.name == name]
        return bool(states) and all(states)

    def _drain(self, name: str) -> None:
        """Stop sending requests to a replica and wait for those in progress."""
        set_server_state(self.stack.folder, self.stack.gateways, name, "drain")
        self._wait_until(lambda: not self._has_requests(name), DRAIN_TIMEOUT_S)

    def _has_requests(self, name: str) -> bool:
        names = {name, f"backup-{name}"}
        return any(server.active_sessions for server in self._query_all_servers() if server.name in names)

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Poll a condition while writing heartbeats; the default timeout is that of a starting replica."""

        def write_heartbeat_and_check() -> bool:
            write_heartbeat(self.stack.folder, "controller")
            return condition()

        return wait_until(
            write_heartbeat_and_check, self._start_timeout_s if timeout_s is None else timeout_s
        )

    def _query_all_servers(self) -> list[ServerState]:
        """Return the replicas as seen by each gateway that responds."""
        folder = self.stack.folder
        responses = (self._query_servers(folder, gateway) or () for gateway in self.stack.gateways)
        return [*chain.from_iterable(responses)]


def _read_promoted_replicas(path: Path, version: int) -> list[str]:
    """Return the replicas that already run a version, if a promotion to it was interrupted."""
    lines = path.read_text(encoding="utf-8").split() if path.exists() else []
    return lines[1:] if lines[:1] == [str(version)] else []
