"""Memory of processes as the kernel reports it."""

import os
from pathlib import Path

import pytest

from marquee import process_memory
from marquee.process_memory import peak_resident_bytes, read_memory_breakdown, reset_peak, resident_bytes

BLOCK_BYTES = 64 << 20


def read_resident_and_peak() -> tuple[int, int]:
    resident, peak = resident_bytes(), peak_resident_bytes()
    assert resident is not None
    assert peak is not None
    return resident, peak


def allocate_block() -> bytearray:
    """Allocate `BLOCK_BYTES` and write to all of them."""
    return bytearray(os.urandom(1 << 20) * 64)


def test_touched_memory_is_resident_and_peak_includes_it_after_release() -> None:
    before, _ = read_resident_and_peak()
    block = allocate_block()
    during, peak = read_resident_and_peak()
    assert during - before >= 0.9 * BLOCK_BYTES
    assert peak >= during
    del block
    after, peak_after = read_resident_and_peak()
    assert after <= during - 0.9 * BLOCK_BYTES
    assert peak_after >= during


def test_reset_peak_starts_at_resident_memory() -> None:
    block = allocate_block()
    del block
    _, before = read_resident_and_peak()
    assert reset_peak()
    resident, peak = read_resident_and_peak()
    assert peak <= before - 0.5 * BLOCK_BYTES
    assert peak >= resident - (4 << 20)


def test_memory_breakdown_uses_kernel_names() -> None:
    mapped = read_memory_breakdown(os.getpid())
    resident, _ = read_resident_and_peak()
    assert 0 < mapped["Private_Dirty"] <= mapped["Pss"] <= mapped["Rss"]
    assert mapped["Rss"] == pytest.approx(resident, rel=0.2)
    with pytest.raises(OSError, match="No such"):
        read_memory_breakdown(2**22 + 1)


def test_system_without_proc_reports_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_memory, "PROC", tmp_path)
    assert (resident_bytes(), peak_resident_bytes(), reset_peak()) == (None, None, False)


def test_sizes_are_converted_from_kib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text(
        "Name:\tpython\nVmHWM:\t     20 kB\nVmRSS:\t     12 kB\nThreads:\t1\n"
    )
    monkeypatch.setattr(process_memory, "PROC", tmp_path)
    assert read_resident_and_peak() == (12 * 1024, 20 * 1024)
