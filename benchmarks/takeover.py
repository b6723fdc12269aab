"""One address for two hosts: how long nobody answers when the host that holds it dies.

    python -m benchmarks.takeover [--quick] [--json FILE]

Two hosts and a client are network namespaces on one bridge, made and removed by the benchmark (it needs root,
iproute2 and keepalived). The host that holds the address is cut off, which is what its death looks like from
outside; then only what answers there is ended. The client asks all the time.
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

from benchmarks.search import Row, run
from marquee.errors import MarqueeError
from service.gateway.keepalived import Host, render_address

TAKEOVERS, TARGET_S = 20, 0.5
NETWORK, SHARED = "10.213.77", "10.213.77.100"
PORT = 8080
SETTLE_S = 1.5
ASKED_S = 5.0
LONGEST_S = 10.0
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


class Pair:
    """Two hosts, a client and the wires between them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mark = f"mq{os.getpid()}"
        self.hosts = [
            Host("one", f"{NETWORK}.1", "eth0", 150),
            Host("two", f"{NETWORK}.2", "eth0", 100),
        ]
        self._answering: dict[str, subprocess.Popen[bytes]] = {}
        self._keeping: list[subprocess.Popen[bytes]] = []

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
            self._answer(host.name)
            path = self._folder / f"{host.name}.conf"
            path.write_text(render_address(host, peer, f"{SHARED}/24", port=PORT), encoding="utf-8")
            pids = [f"--{kind}={self._folder / host.name}.{kind}" for kind in ("pid", "vrrp_pid")]
            command = ["keepalived", "--dont-fork", "--log-console", "--vrrp", "-f", str(path), *pids]
            self._keeping.append(self._start(host.name, *command))

    def _answer(self, name: str) -> None:
        self._answering[name] = self._start(name, sys.executable, "-c", ANSWERS, name, str(PORT))

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

    def silence(self, name: str) -> None:
        """The gateways of a host are gone, and the host is not."""
        process = self._answering[name]
        process.terminate()
        process.wait(10)

    def mend(self, name: str) -> None:
        """It is there again, and answers."""
        self._inside("wire", "ip", "link", "set", name, "master", "bridge")
        if self._answering[name].poll() is not None:
            self._answer(name)

    def holders(self) -> list[str]:
        """Who has the shared address; both, for a moment, while it moves."""
        return [host.name for host in self.hosts if f" {SHARED}/" in self._inside(host.name, "ip", "addr")]

    def holder(self) -> str:
        """Who has it, once that has been the same host for a while.

        Raises:
            MarqueeError: it never is.
        """
        end, since, before = time.monotonic() + LONGEST_S, time.monotonic(), self.holders()
        while time.monotonic() < end:
            now = self.holders()
            if now != before or len(now) != 1:
                before, since = now, time.monotonic()
            elif time.monotonic() > since + SETTLE_S:
                return now[0]
            time.sleep(0.05)
        raise MarqueeError("nobody holds the address, or both do")

    def gap(self, strike: Callable[[str], None]) -> float:
        """Strike who holds the address; seconds without an answer."""
        holder = self.holder()
        command = [sys.executable, "-m", "benchmarks.availability_probe", SHARED, str(PORT), str(ASKED_S)]
        client = subprocess.Popen(
            ["ip", "netns", "exec", self.space("client"), *command], stdout=subprocess.PIPE, text=True
        )
        assert client.stdout is not None
        if client.stdout.readline() != "begun\n":
            raise MarqueeError(f"{holder} holds the address, and nobody answers")
        time.sleep(SETTLE_S / 3)
        strike(holder)
        told, _ = client.communicate(timeout=60)
        self.mend(holder)
        seconds, after = told.split()
        if after == holder:
            raise MarqueeError("the address did not move")
        return float(seconds)

    def end(self) -> None:
        """Remove everything."""
        processes = [*self._keeping, *self._answering.values()]
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(10)
        for name in ("one", "two", "client", "wire"):
            subprocess.run(["ip", "netns", "del", self.space(name)], capture_output=True, check=False)

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        inside = ["ip", "netns", "exec", self.space(name), *command]
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(inside, stdout=log, stderr=log)

    def _inside(self, name: str, *command: str) -> str:
        return _ip("netns", "exec", self.space(name), *command)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MarqueeError(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip() or done.returncode}")
    return done.stdout


@contextmanager
def pair() -> Iterator[Pair]:
    """Two hosts that hold one address between them.

    Raises:
        MarqueeError: namespaces cannot be made here, or a program is missing.
    """
    if missing := [program for program in ("ip", "keepalived", "curl") if shutil.which(program) is None]:
        raise MarqueeError(f"{missing[0]} is not here: apt-get install iproute2 keepalived curl")
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
        gaps = [two.gap(two.cut) for _ in range(number)]
        silences = [two.gap(two.silence) for _ in range(number)]
    late = float(np.quantile(gaps, 0.95))
    mark = "✓" if late <= TARGET_S else "✗"
    yield _row(
        "a host dies: nobody answers while the address moves, p95", gaps, f"target {TARGET_S} s {mark}; "
    )
    yield _row("both gateways of a host die: the same", silences, "")


def _row(what: str, gaps: Sequence[float], target: str) -> Row:
    note = f"{target}median {np.median(gaps):.2f} s, at most {max(gaps):.2f} s"
    return Row(what, float(np.quantile(gaps, 0.95)), None, None, "s", len(gaps), note)


if __name__ == "__main__":
    sys.exit(run("python -m benchmarks.takeover", __doc__, {"takeover": rows}))
