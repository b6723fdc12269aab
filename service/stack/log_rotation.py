"""Log rotation: truncates large logs before they fill the disk."""

from pathlib import Path

from service.stack.stack_config import StackConfig

MAX_LOG_BYTES = 64 << 20
KEPT_BYTES = 1 << 20  # kept from the end of a rotated log
ST_BLOCK_BYTES = 512  # unit of `st_blocks`


def rotate_large_logs(stack: StackConfig) -> None:
    """Rotate the logs of the stack that are too large, including the failure logs of the gateways."""
    failure_logs = (gateway.failure_log_path(stack.folder) for gateway in stack.gateways)
    for path in (*failure_logs, *(stack.folder / "logs").glob("*.log")):
        rotate_if_large(path)


def rotate_if_large(path: Path, max_bytes: int = MAX_LOG_BYTES, kept_bytes: int = KEPT_BYTES) -> bool:
    """Truncate a file larger than `max_bytes` and keep its end as NAME.old; return True if it was truncated.

    Processes that write to the file need not reopen it. A process that does not append leaves a hole before
    its next line. Size therefore means allocated blocks, and readers must skip null bytes.
    """
    try:
        with path.open("r+b") as file:
            status = path.stat()
            if status.st_blocks * ST_BLOCK_BYTES <= max_bytes:
                return False
            file.seek(max(status.st_size - kept_bytes, 0))
            path.with_name(f"{path.name}.old").write_bytes(file.read())
            file.truncate(0)
    except FileNotFoundError:
        return False
    return True
