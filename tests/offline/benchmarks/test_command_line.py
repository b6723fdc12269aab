"""Options and JSON keys that all benchmarks have in common."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.command_line import run_benchmark
from benchmarks.result_rows import ResultRow, format_row
from marquee.errors import DataError

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
PROBES = {"availability_probe"}  # scripts that a benchmark starts
COMMANDS = sorted(
    path
    for path in [*BENCHMARKS.glob("*.py"), *BENCHMARKS.glob("*/__main__.py")]
    if '__name__ == "__main__"' in path.read_text() and path.stem not in PROBES
)


def yield_example_row(share: float) -> Iterator[ResultRow]:
    yield ResultRow("SVD: fit", 2.0 * share, "s", 3, "target 2x ✓", peer=8.0, ratio=4.0 / share)


def raise_data_error(share: float) -> Iterator[ResultRow]:
    raise DataError("no ratings")


def run_example(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    return run_benchmark(
        "python -m benchmarks.example", "Example.", {"rows": yield_example_row, "fail": raise_data_error}
    )


def test_json_rows_start_with_the_common_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    assert run_example(monkeypatch, "--only", "rows", "--json", str(path)) == 0
    (row,) = json.loads(path.read_text())
    assert list(row)[:6] == ["what", "ours", "peer", "ratio", "unit", "n"]
    assert row["ratio"] == 4


def test_quick_option_runs_a_tenth_of_the_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_example(monkeypatch, "--only", "rows", "--quick") == 0
    assert "SVD: fit: 0.2 s against 8 s: 40.0x (target 2x ✓)" in capsys.readouterr().out


def test_failed_part_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_example(monkeypatch, "--only", "fail") == DataError.exit_code
    assert capsys.readouterr().err == "no ratings\n"


def test_row_without_peer_or_note_shows_only_its_value() -> None:
    assert format_row(ResultRow("lists", 1.5, "s", 1)) == "lists: 1.5 s"


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(BENCHMARKS)))
def test_every_benchmark_has_the_common_options(path: Path) -> None:
    assert re.search(r"\b(run_benchmark|benchmark_parser)\(", path.read_text()), (
        "use benchmarks.command_line for --quick and --json"
    )
