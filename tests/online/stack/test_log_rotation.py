"""Log rotation: large logs are truncated, and readers of a failure log miss no line."""

from pathlib import Path

from service.gateway.failure_log import FailureLog
from service.stack.log_rotation import KEPT_BYTES, MAX_LOG_BYTES, rotate_if_large, rotate_large_logs
from service.stack.stack_config import StackConfig

BLOCK_BYTES = 512
SLOW_MS = 100


def failure_line(user: str, time_ms: int = 1000) -> bytes:
    return f"{time_ms} canary 500 1000 {user} SH--\n".encode()


def test_reader_misses_no_line_when_a_log_is_rotated(tmp_path: Path) -> None:
    """HAProxy does not append: in a truncated file, its next line comes after a hole."""
    path = tmp_path / "gateway-1.failures"
    reader = FailureLog(path, SLOW_MS)
    with path.open("wb", buffering=0) as gateway:
        for start in range(0, 40_000, 1000):
            users = range(start, start + 1000)
            gateway.write(b"".join(failure_line(f"{user:015d}") for user in users))
            assert [int(failure.user) for failure in reader.poll()] == [*users]
            rotate_if_large(path, max_bytes=200_000, kept_bytes=5_000)
            assert path.stat().st_blocks * BLOCK_BYTES <= 300_000
        gateway.write(failure_line("last"))
    new_reader = FailureLog(path, SLOW_MS)
    assert [failure.user for failure in new_reader.poll()][-1] == "last"
    assert new_reader.unparsable_lines == reader.unparsable_lines == 0
    rotated = path.with_name(f"{path.name}.old").read_text()
    assert len(rotated) == 5_000
    assert rotated.endswith("\n")


def test_reader_that_missed_a_rotation_continues_after_the_hole(tmp_path: Path) -> None:
    path = tmp_path / "gateway-1.failures"
    reader = FailureLog(path, SLOW_MS)
    with path.open("wb", buffering=0) as gateway:
        gateway.write(failure_line("a", 1) * 20_000)
        assert len([*reader.poll()]) == 20_000
        gateway.write(failure_line("b", 2) * 20_000)
        assert rotate_if_large(path, max_bytes=100_000)
        assert [*reader.poll()] == []
        gateway.write(failure_line("c", 3))
        assert [failure.user for failure in reader.poll()] == ["c"]


def test_only_large_logs_are_rotated(stack: StackConfig) -> None:
    small, large = (stack.folder / "logs" / name for name in ("stable-1.log", "canary-1.log"))
    failure_log = stack.gateways[1].failure_log_path(stack.folder)
    small.write_text("well\n")
    for path in (large, failure_log):
        path.write_bytes(b"x" * (MAX_LOG_BYTES + (1 << 20)))
    rotate_large_logs(stack)
    assert small.read_text() == "well\n"
    for path in (large, failure_log):
        assert path.stat().st_size == 0
        assert path.with_name(f"{path.name}.old").stat().st_size == KEPT_BYTES
