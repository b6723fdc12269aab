"""Launcher of the processes of a stack: its log file."""

import os
from pathlib import Path

from service.stack.exec_launcher import open_log_descriptor


def test_output_starts_a_new_line_after_an_incomplete_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntw")
    handle = open_log_descriptor(path)
    os.set_blocking(handle, False)  # HAProxy does this, and thereby removes O_APPEND
    os.write(handle, b"three\n")
    os.close(handle)
    assert path.read_bytes() == b"one\ntw\nthree\n"
