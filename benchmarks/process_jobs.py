"""One measurement, one fresh process: its cores, its seconds, its peak of memory.

    parent   run_apart(command, job, folder)  --job.json-->   child   serve(tasks)
                                              <--result.json--

The environments of the peers import this too, so it needs the standard library alone.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from marquee.process_memory import peak_resident_bytes, resident_bytes

Result = dict[str, Any]
Outcome = TypeVar("Outcome")
MEGABYTE = 1e6
LONGEST = 4 * 3600  # seconds; whatever takes longer hangs
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MARQUEE_THREADS")


@dataclass(frozen=True)
class Job:
    """What a child is to measure."""

    task: str  # a key of the table that the child gives to `serve`
    folder: str  # where the folds are
    library: str = "marquee"
    algorithm: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fold: int = 0
    cores: tuple[int, ...] = ()
    repeats: int = 1  # how often the work is done in this one process


class MeasuringFailedError(Exception):
    """A child ended without a result; the message is the last line that it wrote."""


def cores(number: int) -> tuple[int, ...]:
    """The first so many of the cores that we may use; none where the system cannot tell."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0))[:number])


def describe_machine() -> str:
    """Processor, cores and Python, for the reader of a table."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    number = len(cores(os.cpu_count() or 1)) or os.cpu_count()
    return (
        f"{number} cores of {models[0] if models else platform.machine()}, Python {platform.python_version()}"
    )


def run_apart(command: Sequence[str], job: Job, environment: Mapping[str, str] | None = None) -> Result:
    """Run a job in a fresh process and give what it measured.

    Raises:
        MeasuringFailedError: it ended without a result.
    """
    with TemporaryDirectory() as folder:
        asked, told = Path(folder) / "job.json", Path(folder) / "result.json"
        asked.write_text(json.dumps(asdict(job)), encoding="utf-8")
        done = subprocess.run(
            [*command, str(asked), str(told)],
            env=os.environ | _thread_limits(job.cores) | dict(environment or {}),
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST,
            check=False,
        )
        if done.returncode or not told.exists():
            raise MeasuringFailedError(_last_line(done.stderr) or f"exit code {done.returncode}")
        result: Result = json.loads(told.read_text(encoding="utf-8"))
        return result


def serve(tasks: Mapping[str, Callable[[Job], Result]]) -> None:
    """The child's whole life: read the job, keep to its cores, do it, write what was measured."""
    asked, told = Path(sys.argv[1]), Path(sys.argv[2])
    job = Job(**json.loads(asked.read_text(encoding="utf-8")))
    if job.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    told.write_text(json.dumps(tasks[job.task](job)), encoding="utf-8")


class Laps:
    """A stopwatch: each lap has a name and takes from the lap before it (or the start) until now."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._worked = time.process_time()
        self._began = self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a lap."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now

    def total(self) -> dict[str, float]:
        """The laps; `end_to_end`: all of them together; `waited`: the share of that without a core.

        Two threads on one core and a half do not count as waiting: it is a lower bound.
        """
        whole, worked = self._last - self._began, time.process_time() - self._worked
        return self.seconds | {"end_to_end": whole, "waited": max(0.0, 1 - worked / whole) if whole else 0.0}


def measured(repeats: int, work: Callable[[Laps], Outcome]) -> tuple[Outcome, Result]:
    """Do the work so many times: what came of it last, the laps of each time, and the memory of the first."""
    before, peak = memory_mb(), 0.0
    runs: list[dict[str, float]] = []
    for _ in range(max(repeats, 1)):
        laps = Laps()
        outcome = work(laps)
        runs.append(laps.total())
        peak = peak or peak_mb()  # later ones begin with what the first left behind
    return outcome, {"runs": runs, "before_mb": before, "peak_mb": peak}


def memory_mb() -> float:
    """Resident memory of this process now, in MB (on systems without /proc: its peak)."""
    return (resident_bytes() or _most_so_far()) / MEGABYTE


def peak_mb() -> float:
    """Largest resident memory that this process has had, in MB."""
    return (peak_resident_bytes() or _most_so_far()) / MEGABYTE


def _most_so_far() -> int:
    """Peak in bytes on systems without /proc, where that of the parent before the child began counts too."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _thread_limits(cores: tuple[int, ...]) -> dict[str, str]:
    """Variables that hold every library to as many threads as there are cores for it."""
    return {name: str(len(cores)) for name in THREAD_VARIABLES} if cores else {}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
