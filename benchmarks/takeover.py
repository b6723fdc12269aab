"""One address for two hosts: how long nobody answers when the host that holds it dies.

    python -m benchmarks.takeover [--quick] [--json FILE]

Two hosts and a client are network namespaces on one bridge, made and removed by the benchmark (it needs root,
iproute2 and keepalived). The host that holds the address is cut off, which is what its death looks like from
outside; the client asks all the time.
"""

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.search import Row, run
from marquee.errors import MarqueeError
from service.gateway.address import Host, render_address

TAKEOVERS, TARGET_S = 20, 0.5
NETWORK, SHARED = "10.213.77", "10.213.77.100"
PORT = 8080
SETTLE_S = 1.5
LONGEST_S = 10.0
PATIENCE_S = 0.05
ANSWERS = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[1].encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[2])), Answer).serve_forever()
"""
ASKS = """
import sys
from benchmarks.takeover import watch
watch(float(sys.argv[1]))
"""


class Pair:
    """Two hosts, a client and the wires between them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mark = f"mq{os.getpid()}"
        self.hosts = [
            Host("one", f"{NETWORK}.1", "eth0", 150),
            Host("two", f"{NETWORK}.2", "eth0", 100),
        ]
        self._processes: list[subprocess.Popen[bytes]] = []

    def space(self, name: str) -> str:
        """The namespace of a host."""
        return f"{self._mark}-{name}"

    def begin(self) -> None:
        """Lay the wires, start keepalived and something that answers."""
        _ip("netns", "add", self.space("wire"))
        self._inside("wire", "ip", "link", "add", "bridge", "type", "bridge")
        self._inside("wire", "ip", "link", "set", "bridge", "up")
        for number, name in enumerate(("one", "two", "client"), start=1):
            self._plug(name, f"{NETWORK}.{number}/24")
        for host, peer in (self.hosts, self.hosts[::-1]):
            self._start(host.name, sys.executable, "-c", ANSWERS, host.name, str(PORT))
            told = self._folder / f"{host.name}.well"
            told.write_text("0\n", encoding="utf-8")
            told.chmod(0o644)
            path = self._folder / f"{host.name}.conf"
            path.write_text(render_address(host, peer, f"{SHARED}/24", told_by=told), encoding="utf-8")
            pids = [f"--{kind}={self._folder / host.name}.{kind}" for kind in ("pid", "vrrp_pid")]
            self._start(
                host.name, "keepalived", "--dont-fork", "--log-console", "--vrrp", "-f", str(path), *pids
            )

    def _plug(self, name: str, address: str) -> None:
        _ip("netns", "add", self.space(name))
        self._inside(
            "wire",
            "ip",
            "link",
            "add",
            name,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            self.space(name),
        )
        self._inside("wire", "ip", "link", "set", name, "master", "bridge")
        self._inside("wire", "ip", "link", "set", name, "up")
        for command in (
            ("addr", "add", address, "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            self._inside(name, "ip", *command)

    def cut(self, name: str) -> None:
        """A host dies: nothing comes from it any more."""
        self._inside("wire", "ip", "link", "set", name, "nomaster")

    def mend(self, name: str) -> None:
        """It is there again."""
        self._inside("wire", "ip", "link", "set", name, "master", "bridge")

    def holder(self) -> str | None:
        """Who answers at the shared address."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.space("client"), sys.executable, "-c", ASKS, "0"],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        return done.stdout.split()[-1] if done.stdout.split() else None

    def gap(self) -> float:
        """Cut off who holds the address; seconds without an answer."""
        holder = self.holder()
        if holder is None:
            raise MarqueeError("nobody holds the address")
        client = subprocess.Popen(
            ["ip", "netns", "exec", self.space("client"), sys.executable, "-c", ASKS, "4"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(SETTLE_S)
        self.cut(holder)
        told, _ = client.communicate(timeout=60)
        self.mend(holder)
        time.sleep(SETTLE_S)
        seconds, after = told.split()
        if after == holder:
            raise MarqueeError("the address did not move")
        return float(seconds)

    def end(self) -> None:
        """Remove everything."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(10)
        for name in ("one", "two", "client", "wire"):
            subprocess.run(["ip", "netns", "del", self.space(name)], capture_output=True, check=False)

    def _start(self, name: str, *command: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.space(name), *command], stdout=log, stderr=log
            )
        self._processes.append(process)

    def _inside(self, name: str, *command: str) -> None:
        _ip("netns", "exec", self.space(name), *command)


def watch(seconds: float) -> None:
    """Ask the shared address for so long; print the longest time without an answer, and who answered last."""
    end = time.monotonic() + max(seconds, LONGEST_S if not seconds else 0)
    last = longest = 0.0
    who = ""
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(SHARED, PORT, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/")
            who = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
        now = time.monotonic()
        longest = max(longest, now - last if last else 0.0)
        last = now
        if not seconds:
            break
        time.sleep(0.005)
    sys.stdout.write(f"{longest} {who}\n")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MarqueeError(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip() or done.returncode}")


@contextmanager
def pair() -> Iterator[Pair]:
    """Two hosts that hold one address between them.

    Raises:
        MarqueeError: namespaces cannot be made here, or a program is missing.
    """
    if missing := [program for program in ("ip", "keepalived") if shutil.which(program) is None]:
        raise MarqueeError(f"{missing[0]} is not here: apt-get install iproute2 keepalived")
    with tempfile.TemporaryDirectory(prefix="mq-") as folder:
        Path(folder).chmod(0o755)
        two = Pair(Path(folder))
        try:
            two.begin()
            time.sleep(2 * SETTLE_S)
            yield two
        finally:
            two.end()


def rows(share: float) -> Iterable[Row]:
    """The address moves there and back."""
    number = max(3, round(TAKEOVERS * share))
    with pair() as two:
        gaps = [two.gap() for _ in range(number)]
    late = float(np.quantile(gaps, 0.95))
    mark = "✓" if late <= TARGET_S else "✗"
    note = f"target {TARGET_S} s {mark}; median {np.median(gaps):.2f} s, at most {max(gaps):.2f} s"
    yield Row("nobody answers while the address moves, p95", late, None, None, "s", number, note)


if __name__ == "__main__":
    sys.exit(run("python -m benchmarks.takeover", __doc__, {"takeover": rows}))
