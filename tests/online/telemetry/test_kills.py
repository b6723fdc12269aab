"""Processes killed at random moments: what was acknowledged is there, and there once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from marquee.events import Feedback, once
from service.telemetry.reader import SetAside, read_events

ROUNDS, SIDE_BY_SIDE = 200, 4
# Sends feedback from several threads; tells each acknowledgement after it came; sends some again.
WRITER = """
import itertools, os, sys, threading
from pathlib import Path
from marquee.events import Feedback, encode
from service.telemetry import EventWriter, TelemetrySettings
folder, name, known = sys.argv[1:4]
writer = EventWriter(TelemetrySettings(Path(folder), name, sync_every_s=0.01, max_bytes=4000))
writer.start()
numbers, lock = itertools.count(), threading.Lock()
again = [line for line in open(known).read().split()] if os.path.exists(known) else []
def send():
    while True:
        ids = [f"{name}-{os.getpid()}-{next(numbers)}" for _ in range(3)] + ([again.pop()] if again else [])
        lines = [encode(Feedback(each, 1.0, "ann", "i1", "rating", 4.0)) for each in ids]
        done = threading.Event()
        results = []
        writer.store(lines, ids, lambda result: (results.append(result), done.set()))
        writer.offer(b"x" * 300)
        done.wait()
        if isinstance(results[0], int):
            with lock:
                os.write(1, (" ".join(ids) + "\\n").encode())
for _ in range(4):
    threading.Thread(target=send, daemon=True).start()
threading.Event().wait()
"""


class Writers:
    """Writers that live a moment each, in the folders of their predecessors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._random = random.Random(7)
        self.acknowledged: set[str] = set()

    def kill_one(self, number: int) -> None:
        name = f"r{number % SIDE_BY_SIDE}"
        told, known = self._folder / f"{number}.told", self._folder / f"{name}.known"
        if self.acknowledged:
            known.write_text(" ".join(self._random.choices(sorted(self.acknowledged), k=20)))
        with told.open("wb") as output:
            command = [sys.executable, "-c", WRITER, str(self._folder / "events"), name, str(known)]
            process = subprocess.Popen(command, stdout=output, cwd=Path(__file__).parents[3])
            self._live(process, told)
        for line in told.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                self.acknowledged |= set(line.split())

    def _live(self, process: "subprocess.Popen[bytes]", told: Path) -> None:
        deadline = time.monotonic() + 20
        while not told.stat().st_size and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(self._random.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.endurance
@pytest.mark.timeout(600)
def test_two_hundred_kills_lose_no_acknowledged_feedback_and_double_none(tmp_path: Path) -> None:
    writers = Writers(tmp_path)
    for number in range(ROUNDS):
        writers.kill_one(number)
    assert len(writers.acknowledged) > 3 * ROUNDS
    aside = SetAside()
    events = [event for event in read_events(tmp_path / "events", aside) if isinstance(event, Feedback)]
    read = Counter(event.event_id for event in once(events) if isinstance(event, Feedback))
    assert writers.acknowledged <= read.keys()
    assert set(read.values()) == {1}
    assert len(events) > len(read)  # some were sent again after a kill, to a process that did not know them
