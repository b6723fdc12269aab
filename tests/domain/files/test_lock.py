"""Locks between processes."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from marquee.files.lock import locked, open_locked

HOLD = """
import sys, time
from pathlib import Path
from marquee.files.lock import open_locked
open_locked(Path(sys.argv[1]), wait=False)
print("held", flush=True)
time.sleep(60)
"""


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, wait=False):
        with pytest.raises(BlockingIOError), locked(path, wait=False):
            pass
        with pytest.raises(BlockingIOError):
            open_locked(path, wait=False)
    with locked(path, wait=False):
        pass
    assert path.exists()


def test_a_refused_lock_leaves_no_descriptor_open(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"):
        before = open_descriptors()
        with pytest.raises(BlockingIOError):
            open_locked(tmp_path / "lock", wait=False)
        assert open_descriptors() == before


def test_who_waits_goes_on_when_the_holder_is_done(tmp_path: Path) -> None:
    done = threading.Event()

    def wait() -> None:
        with locked(tmp_path / "lock"):
            done.set()

    with locked(tmp_path / "lock"):
        other = threading.Thread(target=wait)
        other.start()
        assert not done.wait(0.2)
    assert done.wait(10)
    other.join()


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(BlockingIOError):
        open_locked(path, wait=False)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with locked(path, wait=False):
        pass
