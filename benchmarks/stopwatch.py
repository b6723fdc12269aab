"""Wall-clock time of the phases of a job."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from benchmarks.machine import peak_resident_mb, resident_mb

Value = TypeVar("Value")


class Stopwatch:
    """Seconds of consecutive phases, by name; the first starts when the stopwatch is created."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._cpu_start = time.process_time()
        self._start = self._last = time.perf_counter()

    def end_phase(self, name: str) -> None:
        """End the current phase and start the next."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now

    def summary(self) -> dict[str, float]:
        """Return the phases, their sum `end_to_end`, and `waited`, the share of it spent without a core.

        CPU seconds of all threads are added up, so `waited` is a lower bound: two threads that share one and
        a half cores do not count as waiting.
        """
        total, cpu = self._last - self._start, time.process_time() - self._cpu_start
        waited = max(0.0, 1 - cpu / total) if total else 0.0
        return self.seconds | {"end_to_end": total, "waited": waited}


def time_repeats(n_repeats: int, work: Callable[[Stopwatch], Value]) -> tuple[Value, dict[str, Any]]:
    """Do the work `n_repeats` times (at least once) in this process.

    Returns:
        The value of the last repeat, and a dictionary: `runs` (the summary of each repeat), `before_mb`
        (resident memory before the work) and `peak_mb` (peak of the first repeat; later ones inherit its
        leftovers).
    """
    before, peak = resident_mb(), 0.0
    runs: list[dict[str, float]] = []
    for _ in range(max(n_repeats, 1)):
        stopwatch = Stopwatch()
        value = work(stopwatch)
        runs.append(stopwatch.summary())
        peak = peak or peak_resident_mb()
    return value, {"runs": runs, "before_mb": before, "peak_mb": peak}
