"""Files that only grow are begun anew before they fill a disk: logs, and what the gateways saw fail."""

from pathlib import Path

from service.stack.stack_config import Stack

MOST = 64 << 20  # bytes of a file
KEPT = 1 << 20  # bytes of its end, beside it


def bound(stack: Stack) -> None:
    """Begin anew whatever has grown too large in a stack's folder."""
    failures = (gateway.failures(stack.folder) for gateway in stack.gateways)
    for path in (*failures, *(stack.folder / "logs").glob("*.log")):
        begin_anew(path)


def begin_anew(path: Path, most: int = MOST, kept: int = KEPT) -> bool:
    """Empty a file of more than `most` bytes, and keep its end as NAME.old; whether that was due.

    Whoever writes goes on, and need not be told. One that does not append leaves a hole before its next
    line, so what counts is the room that the file takes, and readers skip what is no data.
    """
    try:
        with path.open("r+b") as file:
            found = path.stat()
            if found.st_blocks * 512 <= most:
                return False
            file.seek(max(found.st_size - kept, 0))
            path.with_name(f"{path.name}.old").write_bytes(file.read())
            file.truncate(0)
    except FileNotFoundError:
        return False
    return True
