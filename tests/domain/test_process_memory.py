"""Memory of processes, as the kernel reports it."""

import os
from pathlib import Path

import pytest

from marquee import process_memory
from marquee.process_memory import mapped_bytes, peak_resident_bytes, reset_peak, resident_bytes

SIZE = 64 << 20


def held() -> tuple[int, int]:
    resident, peak = resident_bytes(), peak_resident_bytes()
    assert resident is not None
    assert peak is not None
    return resident, peak


def test_memory_that_is_touched_is_resident_and_its_peak_stays() -> None:
    before, _ = held()
    block = bytearray(os.urandom(1 << 20) * 64)
    during, peak = held()
    assert during - before >= 0.9 * SIZE
    assert peak >= during
    del block
    after, peak_after = held()
    assert after <= during - 0.9 * SIZE
    assert peak_after >= during


def test_a_peak_that_was_reset_begins_at_what_is_resident() -> None:
    block = bytearray(os.urandom(1 << 20) * 64)
    del block
    _, before = held()
    assert reset_peak()
    resident, peak = held()
    assert peak <= before - 0.5 * SIZE
    assert peak >= resident - (4 << 20)


def test_mappings_are_in_bytes_by_the_kernels_names() -> None:
    mapped = mapped_bytes(os.getpid())
    resident, _ = held()
    assert 0 < mapped["Private_Dirty"] <= mapped["Pss"] <= mapped["Rss"]
    assert mapped["Rss"] == pytest.approx(resident, rel=0.2)
    with pytest.raises(OSError, match="No such"):
        mapped_bytes(2**22 + 1)


def test_a_system_without_proc_reports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_memory, "PROC", tmp_path)
    assert (resident_bytes(), peak_resident_bytes(), reset_peak()) == (None, None, False)


def test_fields_are_read_in_kib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text(
        "Name:\tpython\nVmHWM:\t     20 kB\nVmRSS:\t     12 kB\nThreads:\t1\n"
    )
    monkeypatch.setattr(process_memory, "PROC", tmp_path)
    assert held() == (12 * 1024, 20 * 1024)
