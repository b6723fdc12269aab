"""Load generation: wrk on its own core, with users drawn from a long-tailed distribution."""

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
N_DRAWS = 20_000  # requests in a script
LINES_PER_LUA_FUNCTION = 5000  # Lua limits the number of constants in a function
HttpRequest = tuple[str, str, str | None]  # method, path, JSON body


@dataclass(frozen=True)
class LoadResult:
    """Throughput and latency measured by wrk."""

    rate: float  # responses per second
    p50: float  # milliseconds
    p99: float


def draw_users(users: Sequence[str], seed: int = 0) -> list[str]:
    """Draw users by Zipf's law: the k-th most frequent user gets 1/k of the requests of the first."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, len(users) + 1)
    order = rng.permutation(len(users))
    return [users[order[rank]] for rank in rng.choice(len(users), N_DRAWS, p=weights / weights.sum())]


def build_wrk_script(requests: Sequence[HttpRequest], delay_ms: float = 0.0) -> str:
    """Return a wrk script in Lua that sends these requests one after the other.

    Args:
        requests: method, path and JSON body of each request.
        delay_ms: mean delay before each request of a connection; delays are exponentially distributed, so
            arrivals are random. 0 means no delay.
    """
    delay = f"function delay() return math.floor(-math.log(1 - math.random()) * {delay_ms} + 0.5) end\n"
    assignments = [f"requests[{number}] = {_format(*request)}" for number, request in enumerate(requests)]
    return (
        'local headers = {["content-type"] = "application/json"}\nlocal requests, at = {}, -1\n'
        f"{delay if delay_ms else ''}function init()\n  fill()\nend\n"
        f"function fill()\n{_split_into_functions(assignments)}\nend\n"
        f"function request()\n  at = (at + 1) % {len(requests)}\n  return requests[at]\nend\n"
    )


def run_wrk(port: int, script: Path, seconds: float, connections: int = CONNECTIONS) -> LoadResult:
    """Send the requests of a script for a number of seconds.

    Raises:
        MarqueeError: wrk is not installed, or a request failed.
    """
    if shutil.which("wrk") is None:
        raise MarqueeError("wrk is not installed (apt-get install wrk)")
    wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", str(script)]
    command = ["taskset", "-c", CLIENT_CORE, *wrk, f"http://127.0.0.1:{port}"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    return parse_wrk_output(process.stdout)


def parse_wrk_output(text: str) -> LoadResult:
    """Parse the output of wrk.

    Raises:
        MarqueeError: the output reports failed requests or has an unexpected format.
    """
    if failure := re.search(r"(Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0, timeout 0).*)", text):
        raise MarqueeError(f"requests failed: {failure.group(1)}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    latencies = dict(re.findall(r"(\d\d(?:\.\d+)?)%\s+([\d.]+[mu]?s)", text))
    if rate is None or not {"50", "99"} <= latencies.keys():
        last_line = "".join(text.strip().splitlines()[-1:])
        raise MarqueeError(f"unexpected output of wrk: {last_line!r}")
    return LoadResult(
        float(rate.group(1)), _parse_milliseconds(latencies["50"]), _parse_milliseconds(latencies["99"])
    )


def _format(method: str, path: str, body: str | None) -> str:
    lua_body = "nil" if body is None else json.dumps(body)
    return f"wrk.format({json.dumps(method)}, {json.dumps(path)}, headers, {lua_body})"


def _split_into_functions(lines: Sequence[str]) -> str:
    parts = [
        "\n".join(lines[start : start + LINES_PER_LUA_FUNCTION])
        for start in range(0, len(lines), LINES_PER_LUA_FUNCTION)
    ]
    return "\n".join(f"(function()\n{part}\nend)();" for part in parts)


def _parse_milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise MarqueeError(f"unexpected time in the output of wrk: {text!r}")
