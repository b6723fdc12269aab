"""Append-only files of lines that are there whole or not at all, whoever writes and whenever they die.

A process that is killed while it writes leaves a torn line: one without its line break. A line counts once
its line break is there, so readers leave a torn line out, and the next writer cuts it off.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

END = b"\n"
BLOCK = 1 << 12  # bytes searched at a time for the end of the last whole line


def append_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Append lines to a file that other processes append to as well; on return they are on disk.

    The file is locked meanwhile. The lock is the kernel's: it ends with the process that holds it.

    Args:
        path: the file, which must exist.
        lines: without line breaks.

    Raises:
        FileNotFoundError: the file does not exist, or not any more.
        OSError: the disk is full, read-only or broken; none of the lines was appended.
    """
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        append_synced(file, _cut_torn_line(file), lines)
    finally:
        os.close(file)


def append_synced(file: int, size: int, lines: Iterable[bytes]) -> int:
    """Append lines to an open file and sync it, all of them or none.

    Args:
        file: descriptor of a file that was opened for appending and that nobody else writes to meanwhile.
        size: of the file, in bytes.
        lines: without line breaks.

    Returns:
        The new size of the file.

    Raises:
        OSError: the disk is full, read-only or broken. The file is cut back to its old size; where the disk
            does not allow that either, it may end with some of the lines and a torn one.
    """
    data = memoryview(END.join([*lines, b""]))
    try:
        written = 0
        while written < len(data):  # a disk that fills up takes a part first, and refuses the rest
            written += os.write(file, data[written:])
        os.fdatasync(file)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        raise
    return size + len(data)


def whole_lines(file: BinaryIO, start: int) -> Iterator[tuple[bytes, int]]:
    """Yield each whole line of a file that may be growing, and the offset behind it.

    Args:
        file: opened for reading.
        start: offset at which a line begins: 0, or an offset that was yielded before.
    """
    file.seek(start)
    for line in file:
        if not line.endswith(END):
            return
        start += len(line)
        yield line, start


def _cut_torn_line(file: int) -> int:
    """Cut off what follows the last line break; return the size of the file then."""
    size = end = os.lseek(file, 0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        found = os.pread(file, end - start, start).rfind(END)
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)
    return end
