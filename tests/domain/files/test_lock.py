"""File locks between processes."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from marquee.files.lock import acquire_lock, file_lock

HOLD_LOCK = """
import sys, time
from pathlib import Path
from marquee.files.lock import acquire_lock
acquire_lock(Path(sys.argv[1]), wait=False)
print("locked", flush=True)
time.sleep(60)
"""


def count_open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock(path, wait=False):
        with pytest.raises(BlockingIOError), file_lock(path, wait=False):
            pass
        with pytest.raises(BlockingIOError):
            acquire_lock(path, wait=False)
    with file_lock(path, wait=False):
        pass
    assert path.exists()


def test_failed_attempt_leaves_no_descriptor_open(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock"):
        before = count_open_descriptors()
        with pytest.raises(BlockingIOError):
            acquire_lock(tmp_path / "lock", wait=False)
        assert count_open_descriptors() == before


def test_waiting_thread_gets_the_lock_when_it_is_released(tmp_path: Path) -> None:
    acquired = threading.Event()

    def wait_for_lock() -> None:
        with file_lock(tmp_path / "lock"):
            acquired.set()

    with file_lock(tmp_path / "lock"):
        thread = threading.Thread(target=wait_for_lock)
        thread.start()
        assert not acquired.wait(0.2)
    assert acquired.wait(10)
    thread.join()


def test_lock_of_killed_process_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD_LOCK, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(BlockingIOError):
        acquire_lock(path, wait=False)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with file_lock(path, wait=False):
        pass
