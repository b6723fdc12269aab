"""Launcher of the processes of a stack: its log file."""

import fcntl
import os
from pathlib import Path

import pytest

from service.stack.exec_launcher import open_log_descriptor


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", b"new\n"), (b"one\n", b"one\nnew\n"), (b"one\ntw", b"one\ntw\nnew\n")],
    ids=["empty", "complete line", "incomplete line"],
)
def test_output_starts_on_a_new_line_at_the_end_of_the_log(
    tmp_path: Path, content: bytes, expected: bytes
) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    descriptor = open_log_descriptor(path)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_NONBLOCK)  # as HAProxy does; this clears O_APPEND
    os.write(descriptor, b"new\n")
    os.close(descriptor)
    assert path.read_bytes() == expected
