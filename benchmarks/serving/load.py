"""Load: wrk on a core of its own, asking for users drawn by a long-tailed law."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marquee.errors import MarqueeError

CONNECTIONS = 16
SERVER_CORE, CLIENT_CORE = "0", "1"
DRAWN = 20_000  # requests, asked in turn


@dataclass(frozen=True)
class Shot:
    """What wrk saw."""

    rate: float  # answers a second
    p50: float  # milliseconds
    p99: float


def draw_users(users: Sequence[str], seed: int = 0) -> list[str]:
    """Users by Zipf's law: the k-th most frequent 1 / k as often as the first."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, len(users) + 1)
    order = rng.permutation(len(users))
    return [users[order[rank]] for rank in rng.choice(len(users), DRAWN, p=weights / weights.sum())]


def script(requests: Sequence[tuple[str, str, str | None]], delay_ms: float = 0.0) -> str:
    """A script for wrk that makes these requests (method, path, JSON body) in turn.

    With a delay each connection waits before each request, exponentially distributed around it: arrivals
    come at random, as from people.
    """
    built = [_built(*request) for request in requests]
    wait = f"function delay() return math.floor(-math.log(1 - math.random()) * {delay_ms} + 0.5) end\n"
    waiting = wait if delay_ms else ""
    chunks = "\n".join(f"requests[{number}] = {each}" for number, each in enumerate(built))
    return (
        'local headers = {["content-type"] = "application/json"}\nlocal requests, at = {}, -1\n'
        f"{waiting}function init()\n  fill()\nend\n"
        f"function fill()\n{_in_parts(chunks)}\nend\n"
        f"function request()\n  at = (at + 1) % {len(built)}\n  return requests[at]\nend\n"
    )


def _built(method: str, path: str, body: str | None) -> str:
    told = "nil" if body is None else json.dumps(body)
    return f"wrk.format({json.dumps(method)}, {json.dumps(path)}, headers, {told})"


def shoot(port: int, lua: Path, seconds: float, connections: int = CONNECTIONS) -> Shot:
    """Ask for so many seconds.

    Raises:
        MarqueeError: wrk is not here, or the server refused.
    """
    wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", str(lua)]
    command = ["taskset", "-c", CLIENT_CORE, *wrk, f"http://127.0.0.1:{port}"]
    if shutil.which("wrk") is None:
        raise MarqueeError("wrk is not here: apt-get install wrk")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return parse(done.stdout)


def parse(text: str) -> Shot:
    """What wrk printed.

    Raises:
        MarqueeError: it met errors, or printed something else.
    """
    if wrong := re.search(r"(Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0, timeout 0).*)", text):
        raise MarqueeError(f"the server refused what it was asked: {wrong.group(1)}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    times = dict(re.findall(r"(\d\d(?:\.\d+)?)%\s+([\d.]+[mu]?s)", text))
    if rate is None or not {"50", "99"} <= times.keys():
        raise MarqueeError(f"wrk said: {text.strip().splitlines()[-1:]}")
    return Shot(float(rate.group(1)), _milliseconds(times["50"]), _milliseconds(times["99"]))


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise MarqueeError(f"wrk said {text!r} where a time was due")


def _in_parts(lines: str, size: int = 5000) -> str:
    """Lua's functions have limits: blocks of so many lines, each a function of its own."""
    every = lines.splitlines()
    parts = ["\n".join(every[start : start + size]) for start in range(0, len(every), size)]
    return "\n".join(f"(function()\n{part}\nend)();" for part in parts)
