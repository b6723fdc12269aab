"""Log rotation: logs are truncated before they fill the disk."""

from pathlib import Path

from service.stack.stack_config import StackConfig

MAX_LOG_BYTES = 64 << 20
KEPT_BYTES = 1 << 20  # kept from the end of a rotated log


def rotate_logs(stack: StackConfig) -> None:
    """Rotate all logs of the stack, including the failure logs of the gateways, that have grown too large."""
    failure_logs = (gateway.failure_log_path(stack.folder) for gateway in stack.gateways)
    for path in (*failure_logs, *(stack.folder / "logs").glob("*.log")):
        rotate_file(path)


def rotate_file(path: Path, max_bytes: int = MAX_LOG_BYTES, kept_bytes: int = KEPT_BYTES) -> bool:
    """Truncate a file larger than `max_bytes` and keep its end as NAME.old; return True if it was truncated.

    Processes that write to the file need not reopen it. One that does not append leaves a hole before its
    next line. The size is therefore that of the allocated blocks, and readers must skip null bytes.
    """
    try:
        with path.open("r+b") as file:
            status = path.stat()
            if status.st_blocks * 512 <= max_bytes:
                return False
            file.seek(max(status.st_size - kept_bytes, 0))
            path.with_name(f"{path.name}.old").write_bytes(file.read())
            file.truncate(0)
    except FileNotFoundError:
        return False
    return True
