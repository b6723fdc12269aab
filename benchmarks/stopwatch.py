"""Wall-clock times of the phases of a job."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from benchmarks.machine import peak_resident_mb, resident_mb

Value = TypeVar("Value")


class Stopwatch:
    """Seconds of consecutive phases, by name; the first phase starts when the stopwatch is created."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._cpu_start = time.process_time()
        self._start = self._last = time.perf_counter()

    def end_phase(self, name: str) -> None:
        """End the current phase under this name, and start the next one."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now

    def summarize(self) -> dict[str, float]:
        """Return the seconds of each phase, their sum `end_to_end`, and `waited`, the share without a core.

        The CPU seconds of all threads are added up, so `waited` is a lower bound: two threads that share one
        and a half cores do not count as waiting.
        """
        total, cpu = self._last - self._start, time.process_time() - self._cpu_start
        waited = max(0.0, 1 - cpu / total) if total else 0.0
        return self.seconds | {"end_to_end": total, "waited": waited}


def time_repeats(n_repeats: int, work: Callable[[Stopwatch], Value]) -> tuple[Value, dict[str, Any]]:
    """Call `work` `n_repeats` times (at least once) in this process, each time with a new stopwatch.

    Returns:
        The value of the last repeat, and a dictionary: `runs` (the summary of each repeat), `before_mb`
        (resident memory before the first repeat) and `peak_mb` (peak of the first repeat; later repeats start
        with memory that the first one did not release).
    """
    before, peak = resident_mb(), 0.0
    runs: list[dict[str, float]] = []
    for _ in range(max(n_repeats, 1)):
        stopwatch = Stopwatch()
        value = work(stopwatch)
        runs.append(stopwatch.summarize())
        peak = peak or peak_resident_mb()
    return value, {"runs": runs, "before_mb": before, "peak_mb": peak}
