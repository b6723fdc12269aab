"""Outage of the shared address of two hosts when its holder dies.

    python -m benchmarks.takeover [--quick] [--json FILE]

Two hosts and a client are network namespaces on one bridge, which the benchmark creates and removes (it needs
root, iproute2, keepalived and curl). In the first part, the holder of the address is disconnected, which the
other host cannot distinguish from a crash; in the second part, only its server is stopped. Meanwhile the
client keeps sending requests.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.command_line import run_benchmark
from benchmarks.result_rows import ResultRow, format_check_mark
from marquee.errors import MarqueeError
from service.gateway.keepalived import KeepalivedHost, render_keepalived

N_TAKEOVERS = 20  # per part
MAX_OUTAGE_S = 0.5  # target of the 95th percentile
NETWORK, SHARED_ADDRESS = "10.213.77", "10.213.77.100"
PORT = 8080
SETTLE_S = 1.5  # time for which a holder must not change
START_S = 3.0  # time in which the servers start and the first holder is elected
WARM_UP_S = 0.5  # time in which the client gets responses before the failure
PROBE_S = 5.0  # duration of the measurement of one outage
HOLDER_TIMEOUT_S = 10.0
PROGRAMS = ("ip", "keepalived", "curl")
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[1].encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[2])), Handler).serve_forever()
"""


class HostPair:
    """Two hosts and a client, connected by a bridge. The server of a host responds with the host's name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = f"mq{os.getpid()}"
        self.hosts = [
            KeepalivedHost("one", f"{NETWORK}.1", "eth0", priority=150),
            KeepalivedHost("two", f"{NETWORK}.2", "eth0", priority=100),
        ]
        self._addresses = {host.name: host.address for host in self.hosts} | {"client": f"{NETWORK}.3"}
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._keepalived: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Create the namespaces, and start a server and keepalived on both hosts."""
        _run_ip("netns", "add", self._namespace("wire"))
        self._run_ip_in("wire", "link", "add", "bridge", "type", "bridge")
        self._run_ip_in("wire", "link", "set", "bridge", "up")
        for name, address in self._addresses.items():
            self._connect(name, address)
        one, two = self.hosts
        for host, peer in ((one, two), (two, one)):
            self._start_server(host.name)
            self._start_keepalived(host, peer)

    def stop(self) -> None:
        """Stop all processes and remove the namespaces."""
        processes = [*self._keepalived, *self._servers.values()]
        try:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(10)
        finally:
            for name in (*self._addresses, "wire"):
                command = ["ip", "netns", "del", self._namespace(name)]
                subprocess.run(command, capture_output=True, check=False)

    def disconnect(self, name: str) -> None:
        """Disconnect a host from the bridge."""
        self._run_ip_in("wire", "link", "set", name, "nomaster")

    def stop_server(self, name: str) -> None:
        """Stop the server of a host; the host itself stays reachable."""
        process = self._servers[name]
        process.terminate()
        process.wait(10)

    def restore(self, name: str) -> None:
        """Reconnect a host, and restart its server if it is not running."""
        self._run_ip_in("wire", "link", "set", name, "master", "bridge")
        if self._servers[name].poll() is not None:
            self._start_server(name)

    def find_holders(self) -> list[str]:
        """Return the names of the hosts that have the shared address (briefly both, during a takeover)."""
        return [
            host.name for host in self.hosts if f" {SHARED_ADDRESS}/" in self._run_ip_in(host.name, "addr")
        ]

    def wait_for_holder(self) -> str:
        """Wait until the holder of the shared address has been the same for `SETTLE_S`, and return its name.

        Raises:
            MarqueeError: the address had no stable holder within `HOLDER_TIMEOUT_S`.
        """
        deadline = time.monotonic() + HOLDER_TIMEOUT_S
        holders, since = self.find_holders(), time.monotonic()
        while time.monotonic() < deadline:
            current = self.find_holders()
            if current != holders or len(current) != 1:
                holders, since = current, time.monotonic()
            elif time.monotonic() > since + SETTLE_S:
                return current[0]
            time.sleep(0.05)
        raise MarqueeError(f"the shared address had no stable holder within {HOLDER_TIMEOUT_S:g} s")

    def measure_outage(self, fail: Callable[[str], None]) -> float:
        """Measure the outage of the address when its holder fails; restore the holder afterward.

        Args:
            fail: function that makes a host fail, given its name.

        Returns:
            Longest time without a response, in seconds.

        Raises:
            MarqueeError: the address did not respond before the failure, or did not move to the other host.
        """
        holder = self.wait_for_holder()
        probe = self._start_probe()
        assert probe.stdout is not None
        if probe.stdout.readline() != "started\n":
            raise MarqueeError(f"host {holder} holds the shared address but does not respond")
        time.sleep(WARM_UP_S)
        fail(holder)
        output, _ = probe.communicate(timeout=60)
        self.restore(holder)
        seconds, last_responder = output.split()
        if last_responder == holder:
            raise MarqueeError("the shared address did not move")
        return float(seconds)

    def _start_probe(self) -> subprocess.Popen[str]:
        module, arguments = "benchmarks.availability_probe", [SHARED_ADDRESS, str(PORT), str(PROBE_S)]
        command = self._command_in("client", sys.executable, "-m", module, *arguments)
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def _start_server(self, name: str) -> None:
        self._servers[name] = self._start(name, sys.executable, "-c", SERVER, name, str(PORT))

    def _start_keepalived(self, host: KeepalivedHost, peer: KeepalivedHost) -> None:
        path = self._folder / f"{host.name}.conf"
        path.write_text(render_keepalived(host, peer, f"{SHARED_ADDRESS}/24", port=PORT), encoding="utf-8")
        pid_options = [f"--{kind}={self._folder / host.name}.{kind}" for kind in ("pid", "vrrp_pid")]
        options = ["--dont-fork", "--log-console", "--vrrp", "-f", str(path), *pid_options]
        self._keepalived.append(self._start(host.name, "keepalived", *options))

    def _connect(self, name: str, address: str) -> None:
        """Create a namespace with this address, and connect it to the bridge."""
        namespace = self._namespace(name)
        _run_ip("netns", "add", namespace)
        veth = ("type", "veth", "peer", "name", "eth0", "netns", namespace)
        self._run_ip_in("wire", "link", "add", name, *veth)
        self._run_ip_in("wire", "link", "set", name, "master", "bridge")
        self._run_ip_in("wire", "link", "set", name, "up")
        self._run_ip_in(name, "addr", "add", f"{address}/24", "dev", "eth0")
        self._run_ip_in(name, "link", "set", "eth0", "up")
        self._run_ip_in(name, "link", "set", "lo", "up")

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(self._command_in(name, *command), stdout=log, stderr=log)

    def _run_ip_in(self, name: str, *arguments: str) -> str:
        return _run_ip("netns", "exec", self._namespace(name), "ip", *arguments)

    def _command_in(self, name: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self._namespace(name), *command]

    def _namespace(self, name: str) -> str:
        return f"{self._prefix}-{name}"


def _run_ip(*arguments: str) -> str:
    result = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = result.stderr.strip() or f"exit code {result.returncode}"
        raise MarqueeError(f"`ip {' '.join(arguments)}` failed: {reason}")
    return result.stdout


@contextmanager
def host_pair() -> Iterator[HostPair]:
    """Start two hosts that share an address; remove them at the end of the `with` block.

    Raises:
        MarqueeError: a program is not installed, or network namespaces cannot be created.
    """
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        raise MarqueeError(f"{missing[0]} is not installed (apt-get install iproute2 keepalived curl)")
    with tempfile.TemporaryDirectory(prefix="mq-") as folder:
        Path(folder).chmod(0o755)  # keepalived runs scripts as another user
        pair = HostPair(Path(folder))
        try:
            pair.start()
            time.sleep(START_S)
            yield pair
        finally:
            pair.stop()


def measure_takeovers(share: float) -> Iterable[ResultRow]:
    """Measure the outages while the address moves back and forth."""
    n_takeovers = max(3, round(N_TAKEOVERS * share))
    with host_pair() as pair:
        host_outages = [pair.measure_outage(pair.disconnect) for _ in range(n_takeovers)]
        server_outages = [pair.measure_outage(pair.stop_server) for _ in range(n_takeovers)]
    yield _make_row("outage when a host dies, p95", host_outages, max_p95=MAX_OUTAGE_S)
    yield _make_row("outage when both gateways of a host die, p95", server_outages)


def _make_row(name: str, outages: Sequence[float], max_p95: float | None = None) -> ResultRow:
    p95 = float(np.quantile(outages, 0.95))
    target = "" if max_p95 is None else f"target {max_p95} s {format_check_mark(p95 <= max_p95)}; "
    note = f"{target}median {np.median(outages):.2f} s, maximum {max(outages):.2f} s"
    return ResultRow(name, p95, "s", len(outages), note)


if __name__ == "__main__":
    sys.exit(run_benchmark("python -m benchmarks.takeover", __doc__, {"takeover": measure_takeovers}))
