"""Marquee and scikit-surprise on the same folds and cores, in turn: accuracy, seconds, memory, as one table.

    python -m benchmarks.table [--quick] [--folds N] [--peers] [--json FILE] [--figure FILE]

The ratings are those of MovieLens 1M in the folder that MARQUEE_DATA_DIR names; without it, synthetic ones.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import folds
from benchmarks.measure import describe_machine
from benchmarks.table import contenders, plan
from benchmarks.table.duels import LONG, REPEATS, Settings
from benchmarks.table.figure import draw, save
from benchmarks.table.markdown import document, seconds, times
from benchmarks.table.rows import END_TO_END, PREDICT, Row, read, write
from marquee.errors import ConfigError, MarqueeError

QUICK_TESTS = 20_000  # rows of the test part that are predicted with --quick
PARTS = ("twins", "fit", "folds", "whole", "further", "compile")
NOT_QUICK = ("folds", "whole", "further")


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table; the exit code is 1 where something could not be measured."""
    options = _options(arguments)
    try:
        rows, title = _redrawn(options) if options.redraw else _measured(options)
    except MarqueeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{title}\n\n{document(rows)}")
    if options.figure:
        save(draw(rows, title.split(":")[0]), options.figure)
    return 1 if any(row.note for row in rows) else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.table", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true",
                        help=f"four minutes: SVD++ with {contenders.QUICK_EPOCHS} epochs, {QUICK_TESTS:,} "
                             "predictions, Surprise once and two at a time")  # fmt: skip
    parser.add_argument("--folds", type=int, default=1, choices=range(1, folds.FOLDS + 1),
                        help="folds of five to run; 1 (the default) is run three times")  # fmt: skip
    names = list(contenders.BY_TITLE)
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="NAME",
                        help=f"this algorithm only; may be repeated: {', '.join(names)}")  # fmt: skip
    parser.add_argument("--part", action="append", default=[], choices=PARTS,
                        help="this part only; may be repeated")  # fmt: skip
    parser.add_argument("--peers", action="store_true", help="Cornac, LensKit and implicit too")
    parser.add_argument("--peers-python", default=".venv-peers/bin/python", metavar="PATH",
                        help="the Python that has them (make peers)")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="FILE", help="a CSV file with user, item, rating")
    parser.add_argument("--sample", type=int, metavar="N", help="so many of its ratings only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file, as they come")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="write the plot to this PNG file")
    parser.add_argument(
        "--redraw", type=Path, metavar="FILE", help="measure nothing: the rows of this JSON file"
    )
    parser.add_argument("--title", default="MovieLens 1M", help="with --redraw: what was measured")
    return parser.parse_args(arguments)


def _redrawn(options: argparse.Namespace) -> tuple[list[Row], str]:
    if not options.redraw.is_file():
        raise ConfigError(f"there is no {options.redraw}: give a file that --json wrote")
    return read(options.redraw), f"{options.title}: the rows of {options.redraw.name}."


def _measured(options: argparse.Namespace) -> tuple[list[Row], str]:
    missing = plan.peers_missing(options.peers_python) if options.peers else None
    if missing:
        raise ConfigError(missing)
    found = folds.source(options.data, options.sample)
    began = time.perf_counter()
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        folds.write_folds(found.ratings, Path(folder), QUICK_TESTS if options.quick else None)
        settings = Settings(folder, options.folds, options.quick, options.peers_python)
        for row in _all_rows(options, settings):
            rows.append(row)
            if row.measure in (END_TO_END, PREDICT):
                settings.say(_line(row))
            if options.json:
                write(rows, options.json)
    return rows, _title(options, found.name, time.perf_counter() - began)


def _all_rows(options: argparse.Namespace, settings: Settings) -> Iterator[Row]:
    parts = options.part or (("twins",) if options.only else PARTS)
    chosen = contenders.twins(options.quick, tuple(options.only))
    ahead = plan.surprise_ahead(settings, chosen) if options.quick and "twins" in parts else {}
    if "twins" in parts:
        for twin in chosen:
            yield from plan.twin(settings, twin, ahead.get(twin.title))
    specials: dict[str, Callable[[], Iterator[Row]]] = {
        "fit": lambda: plan.fit_alone(settings, ahead.get("SVD")),
        "folds": lambda: plan.five_folds(settings),
        "whole": lambda: plan.whole_table(settings),
        "further": lambda: plan.further(settings),
        "compile": lambda: plan.compiling(settings),
    }
    for name, measured in specials.items():
        if name in parts and (name in options.part or not options.quick or name not in NOT_QUICK):
            yield from measured()
    if options.peers:
        for contest in contenders.CONTESTS:
            yield from plan.contest(settings, contest)


def _line(row: Row) -> str:
    """What is told while the rest is under way."""
    took = [seconds(value) for value in (row.ours, row.peer) if value is not None]
    ratio = f", {times(row.ratio)}" if row.ratio else ""
    note = f" ({row.note})" if row.note else ""
    return f"  {row.what}: {', '.join(f'{value} s' for value in took)}{ratio}{note}"


def _title(options: argparse.Namespace, name: str, took: float) -> str:
    """What was measured, how, and where."""
    runs = f"median of {REPEATS}" if options.folds == 1 else f"median of {options.folds} folds"
    how = f"Seconds: {runs}, ± half their range; a peer that takes over {LONG:.0f} s is run once (n)."
    if options.quick:
        how = (
            f"Quick: {QUICK_TESTS:,} predictions; Surprise's algorithms once, two side by side, one a core;\n"
            "ours with both cores, median of three."
        )
    return (
        f"{name}: {options.folds} of {folds.FOLDS} random folds, {describe_machine()}.\n{how}\n"
        "Each run is a fresh process on the same cores, ours and the peer's in turn, after a toy of the\n"
        "same work (so compiling is not in it). Pairs are ours/theirs; apart: the difference of the RMSE.\n"
        f"✓ target reached, ✓✓ stretch reached, ✗ missed. {took / 60:.1f} minutes in all."
    )


if __name__ == "__main__":
    sys.exit(main())
