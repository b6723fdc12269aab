"""Writer processes killed at random times: acknowledged feedback is on disk exactly once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from marquee.events import Feedback, deduplicate
from service.telemetry.reader import read_events

ROOT = Path(__file__).parents[3]
N_KILLS, N_REPLICAS = 200, 4
# Sends feedback from several threads, some of it repeated, and prints the IDs of acknowledged events.
WRITER = """
import itertools, os, sys, threading
from pathlib import Path
from marquee.events import Feedback, encode
from service.telemetry import EventWriter, TelemetrySettings

folder, name, repeated_path = sys.argv[1:4]
settings = TelemetrySettings(Path(folder), name, sync_interval_s=0.01, max_segment_bytes=4000)
writer = EventWriter(settings)
writer.start()
numbers, lock = itertools.count(), threading.Lock()
repeated = open(repeated_path).read().split() if os.path.exists(repeated_path) else []

def send():
    while True:
        ids = [f"{name}-{os.getpid()}-{next(numbers)}" for _ in range(3)]
        ids += [repeated.pop()] if repeated else []
        lines = [encode(Feedback(event_id, 1.0, "ann", "i1", "rating", 4.0)) for event_id in ids]
        done = threading.Event()
        results = []
        writer.queue_feedback(lines, ids, lambda result: (results.append(result), done.set()))
        writer.offer_exposure(b"x" * 300)
        done.wait()
        if not isinstance(results[0], OSError):
            with lock:
                os.write(1, (" ".join(ids) + "\\n").encode())

for _ in range(4):
    threading.Thread(target=send, daemon=True).start()
threading.Event().wait()
"""


class KilledWriters:
    """Writer processes that are killed soon after their start; later ones use the folders of killed ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._random = random.Random(7)
        self.acknowledged_ids: set[str] = set()

    def run_and_kill(self, number: int) -> None:
        name = f"r{number % N_REPLICAS}"
        output_path, repeated_path = self._folder / f"{number}.out", self._folder / f"{name}.repeated"
        if self.acknowledged_ids:
            repeated_path.write_text(" ".join(self._random.choices(sorted(self.acknowledged_ids), k=20)))
        with output_path.open("wb") as output:
            command = [sys.executable, "-c", WRITER, str(self._folder / "events"), name, str(repeated_path)]
            self._kill_soon(subprocess.Popen(command, stdout=output, cwd=ROOT), output_path)
        for line in output_path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                self.acknowledged_ids |= set(line.split())

    def _kill_soon(self, process: subprocess.Popen[bytes], output_path: Path) -> None:
        """Kill the process shortly after its first output."""
        deadline = time.monotonic() + 20
        while not output_path.stat().st_size and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(self._random.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.endurance
@pytest.mark.timeout(600)
def test_kills_lose_no_acknowledged_feedback_and_duplicate_none(tmp_path: Path) -> None:
    writers = KilledWriters(tmp_path)
    for number in range(N_KILLS):
        writers.run_and_kill(number)
    assert len(writers.acknowledged_ids) > 3 * N_KILLS
    events = [event for event in read_events(tmp_path / "events") if isinstance(event, Feedback)]
    counts = Counter(event.event_id for event in deduplicate(events) if isinstance(event, Feedback))
    assert writers.acknowledged_ids <= counts.keys()
    assert set(counts.values()) == {1}
    assert len(events) > len(counts)  # some were sent again to a new process, which did not know their IDs
