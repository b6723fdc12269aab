"""PID files: processes are found while they run, stopped, and their starts are counted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.stack.pid_files import count_starts, find_process, stop_all_processes

SLEEP = "import time; time.sleep(60)"
IGNORE_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); "


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    folder = tmp_path / "pids"
    folder.mkdir()
    return folder


def test_process_is_found_only_while_it_runs(pids: Path) -> None:
    pid_file = pids / "x"
    process = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        pid_file.write_text(f"{process.pid} {time.time()}")
        found = find_process(pids.parent, "x")
        assert found is not None
        assert found.pid == process.pid
        pid_file.write_text(f"{process.pid} 1000.0")  # the PID was reused by a later process
        assert find_process(pids.parent, "x") is None
    finally:
        process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    pid_file.write_text(f"{process.pid} {time.time()}")
    assert find_process(pids.parent, "x") is None  # a zombie
    process.wait()


@pytest.mark.parametrize("content", ["", "not a pid", None])
def test_invalid_or_missing_pid_file_finds_no_process(pids: Path, content: str | None) -> None:
    if content is not None:
        (pids / "x").write_text(content)
    assert find_process(pids.parent, "x") is None


def test_processes_are_terminated_and_then_killed(pids: Path) -> None:
    code = {"stable-1": SLEEP, "stable-2": IGNORE_SIGTERM + SLEEP}
    processes = {
        name: subprocess.Popen([sys.executable, "-c", code[name]], stdout=subprocess.PIPE) for name in code
    }
    output = processes["stable-2"].stdout
    assert output is not None
    output.readline()  # from here on, the process ignores SIGTERM
    for name, process in processes.items():
        (pids / name).write_text(f"{process.pid} {time.time()}")
    (pids / "exited").write_text("1 1.0")
    assert stop_all_processes(pids.parent, 0.5) == ["stable-1", "stable-2"]
    assert [find_process(pids.parent, name) for name in processes] == [None, None]
    assert [process.wait() for process in processes.values()] == [-signal.SIGTERM, -signal.SIGKILL]
    assert stop_all_processes(pids.parent) == []


def test_only_starts_after_the_given_time_are_counted(tmp_path: Path) -> None:
    (tmp_path / "starts").mkdir()
    (tmp_path / "starts" / "canary-1").write_text("10.000\n20.000\n30.500\n")
    assert count_starts(tmp_path, "canary-1", 20.0) == 1
    assert count_starts(tmp_path, "stable-1", 0.0) == 0


def test_start_after_an_incomplete_line_is_counted(tmp_path: Path) -> None:
    (tmp_path / "starts").mkdir()
    (tmp_path / "starts" / "canary-1").write_text("10.000\n\n20.0\n30.500\n\n1\n40.000\n")
    assert count_starts(tmp_path, "canary-1", 25.0) == 2
