"""Append-only files of lines that stay readable if a writer is killed.

A process that is killed while it writes may leave a torn line, which has no line break. Readers ignore a torn
line, and the next writer removes it.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

LINE_END = b"\n"
SEARCH_BLOCK_BYTES = 1 << 12  # read at a time when searching backward for the last line break


def append_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Append lines to a file to which other processes may append too; return when the lines are on disk.

    The file is locked while it is written.

    Args:
        path: an existing file.
        lines: lines without line breaks.

    Raises:
        FileNotFoundError: the file does not exist or was deleted.
        OSError: the disk is full, read-only or broken; as for `append_and_sync`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = _truncate_torn_line(descriptor)
        append_and_sync(descriptor, size, lines)
    finally:
        os.close(descriptor)


def append_and_sync(descriptor: int, size: int, lines: Iterable[bytes]) -> int:
    """Append all lines to an open file or none of them, and sync it; return the new size.

    Args:
        descriptor: descriptor of a file opened for appending, without other writers.
        size: current size of the file, in bytes.
        lines: lines without line breaks.

    Raises:
        OSError: the disk is full, read-only or broken. The file is truncated to its old size; if that fails
            too, it may end with some of the lines and a torn one.
    """
    data = memoryview(LINE_END.join([*lines, b""]))
    try:
        n_written = 0
        while n_written < len(data):  # on an almost full disk, the first call may write only a part
            n_written += os.write(descriptor, data[n_written:])
        os.fdatasync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise
    return size + len(data)


def read_complete_lines(file: BinaryIO, start: int) -> Iterator[tuple[bytes, int]]:
    """Yield each complete line of a file, with its line break, and the offset after it.

    The file may be growing; pass the last offset to continue later.

    Args:
        file: file opened for reading.
        start: offset of the beginning of a line: 0 or an offset yielded before.
    """
    file.seek(start)
    for line in file:
        if not line.endswith(LINE_END):
            return
        start += len(line)
        yield line, start


def _truncate_torn_line(descriptor: int) -> int:
    """Remove the bytes after the last line break, and return the new size of the file."""
    size = end = os.lseek(descriptor, 0, os.SEEK_END)
    while end:
        start = max(0, end - SEARCH_BLOCK_BYTES)
        position = os.pread(descriptor, end - start, start).rfind(LINE_END)
        if position >= 0:
            end = start + position + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
    return end
