"""Command line shared by the benchmarks: `--quick`, `--only` and `--json`."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.result_rows import ResultRow, format_row, write_rows
from marquee.errors import MarqueeError

QUICK_SHARE = 0.1  # of the full benchmark

Part = Callable[[float], Iterable[ResultRow]]  # argument: the share of the full benchmark to run


def run_benchmark(program: str, doc: str | None, parts: Mapping[str, Part], about: str = "") -> int:
    """Parse the command line, run the parts of a benchmark, and print each row as soon as it is measured.

    Args:
        program: command that starts the benchmark, for the help text.
        doc: docstring of the benchmark's module; the first line becomes the description.
        parts: function that measures each part, by the part's name for `--only`.
        about: settings to print after the description of the machine.

    Returns:
        The exit code.
    """
    parser = benchmark_parser(program, doc, quick_help="run about a tenth of the benchmark")
    parser.add_argument(
        "--only", action="append", default=[], choices=parts, help="run this part only; may be repeated"
    )
    options = parser.parse_args()
    share = QUICK_SHARE if options.quick else 1.0
    print(f"{describe_machine()}{about}{'; quick' if options.quick else ''}.\n")
    try:
        rows = list(_print_rows(row for name in options.only or parts for row in parts[name](share)))
    except MarqueeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.json:
        write_rows(map(asdict, rows), options.json)
    return 0


def benchmark_parser(program: str, doc: str | None, quick_help: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(prog=program, description=(doc or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=quick_help)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this JSON file")
    return parser


def _print_rows(rows: Iterable[ResultRow]) -> Iterator[ResultRow]:
    for row in rows:
        print(format_row(row), flush=True)
        yield row
