"""Accuracy, time and memory of Marquee and scikit-surprise on the same folds and cores, as tables.

    python -m benchmarks.table [--quick] [--folds N] [--peers] [--json FILE] [--figure FILE]

The ratings are those of MovieLens 1M in MARQUEE_DATA_DIR or, if these are not available, synthetic ones of
the same size.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.command_line import benchmark_parser
from benchmarks.fold_tables import N_FOLDS, write_folds
from benchmarks.machine import describe_machine
from benchmarks.plotting import save_figure
from benchmarks.ratings import load_ratings
from benchmarks.table import sections
from benchmarks.table.compared_algorithms import PEERS, QUICK_EPOCHS, TWIN_TITLES, select_twins
from benchmarks.table.comparisons import Comparison, Measure, read_comparisons, write_comparisons
from benchmarks.table.paired_runs import MAX_REPEATED_SECONDS, REPEATS, RunSettings
from benchmarks.table.result_tables import MAX_RMSE_LOSS, format_document, format_ratio, format_seconds
from benchmarks.table.speedup_figure import draw_speedups
from marquee.errors import ConfigError, MarqueeError

QUICK_TEST_ROWS = 20_000  # of each fold, with --quick
SECTIONS = ("twins", "fit", "folds", "published", "accurate", "compile")
SLOW_SECTIONS = ("folds", "published", "accurate")  # skipped with --quick, unless chosen with --only


@dataclass(frozen=True)
class Report:
    """Comparisons, and a heading that states what was measured and how."""

    heading: str
    comparisons: list[Comparison]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the tables; the exit code is 1 if a measurement failed."""
    options = _parse(arguments)
    try:
        report = _read_report(options) if options.redraw else _measure(options)
    except MarqueeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{report.heading}\n\n{format_document(report.comparisons)}")
    if options.figure:
        title = report.heading.partition(":")[0]
        save_figure(draw_speedups(report.comparisons, title), options.figure)
    return 1 if any(comparison.note for comparison in report.comparisons) else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    quick_help = (
        f"SVD++ with {QUICK_EPOCHS} epochs, {QUICK_TEST_ROWS:,} predictions, one run of Surprise, two "
        "algorithms at a time (four minutes)"
    )
    parser = benchmark_parser("python -m benchmarks.table", __doc__, quick_help)
    parser.add_argument("--folds", type=int, default=1, choices=range(1, N_FOLDS + 1),
                        help=f"number of folds to run; the default, 1, is run {REPEATS} times")  # fmt: skip
    parser.add_argument("--only", action="append", default=[], choices=SECTIONS,
                        help="run this section only; may be repeated")  # fmt: skip
    parser.add_argument("--algorithm", action="append", default=[], choices=TWIN_TITLES, metavar="NAME",
                        help="run this algorithm of the section `twins` only; may be repeated: "
                             + ", ".join(TWIN_TITLES))  # fmt: skip
    parser.add_argument("--peers", action="store_true", help="also compare with Cornac, LensKit and implicit")
    parser.add_argument("--peers-python", default=".venv-peers/bin/python", metavar="PATH",
                        help="Python of the environment with these libraries (make peers)")  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="CSV file with the columns user, item, rating"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="use a random sample of N ratings")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="write the bar chart to this PNG file")
    parser.add_argument("--redraw", type=Path, metavar="FILE",
                        help="print the results of a file that --json wrote, without measuring")  # fmt: skip
    parser.add_argument("--title", default="MovieLens 1M", help="with --redraw: name of the ratings")
    return parser.parse_args(arguments)


def _read_report(options: argparse.Namespace) -> Report:
    if not options.redraw.is_file():
        raise ConfigError(f"{options.redraw} not found; --redraw must be a file that --json wrote")
    heading = f"{options.title}: results from {options.redraw.name}."
    return Report(heading, read_comparisons(options.redraw))


def _measure(options: argparse.Namespace) -> Report:
    problem = sections.find_peers_problem(options.peers_python) if options.peers else None
    if problem:
        raise ConfigError(problem)
    named = load_ratings(options.data, options.sample)
    start = time.perf_counter()
    comparisons: list[Comparison] = []
    with TemporaryDirectory() as folder:
        write_folds(named.ratings, Path(folder), QUICK_TEST_ROWS if options.quick else None)
        settings = RunSettings(folder, options.folds, options.quick, options.peers_python)
        for comparison in _run_sections(options, settings):
            comparisons.append(comparison)
            if comparison.measure in (Measure.END_TO_END, Measure.PREDICT):
                settings.report_progress(_format_progress(comparison))
            if options.json:  # after each result, since a run may take an hour
                write_comparisons(comparisons, options.json)
    return Report(_heading(options, named.name, time.perf_counter() - start), comparisons)


def _run_sections(options: argparse.Namespace, settings: RunSettings) -> Iterator[Comparison]:
    names = _section_names(options)
    twins = select_twins(options.quick, tuple(options.algorithm))
    surprise = (
        sections.run_surprise_in_parallel(settings, twins) if options.quick and "twins" in names else {}
    )
    if "twins" in names:
        for twin in twins:
            yield from sections.compare_twin(settings, twin, surprise.get(twin.title))
    other_sections: dict[str, Callable[[], Iterator[Comparison]]] = {
        "fit": lambda: sections.compare_svd_fit(settings, surprise.get("SVD")),
        "folds": lambda: sections.compare_five_folds(settings),
        "published": lambda: sections.measure_published_algorithms(settings),
        "accurate": lambda: sections.measure_accurate_models(settings),
        "compile": lambda: sections.measure_compilation(settings),
    }
    for name, run_section in other_sections.items():
        if name in names:
            yield from run_section()
    if options.peers:
        for peer in PEERS:
            yield from sections.compare_peer(settings, peer)


def _section_names(options: argparse.Namespace) -> tuple[str, ...]:
    if options.only:
        return tuple(options.only)
    if options.algorithm:
        return ("twins",)
    return tuple(name for name in SECTIONS if not options.quick or name not in SLOW_SECTIONS)


def _format_progress(comparison: Comparison) -> str:
    """Return the line to print when a comparison is done."""
    values = [
        f"{format_seconds(value)} s" for value in (comparison.ours, comparison.peer) if value is not None
    ]
    ratio = f", {format_ratio(comparison.ratio)}" if comparison.ratio else ""
    note = f" ({comparison.note})" if comparison.note else ""
    return f"  {comparison.what}: {', '.join(values)}{ratio}{note}"


def _heading(options: argparse.Namespace, name: str, seconds: float) -> str:
    """Return the text above the tables: what was measured, how, and on which machine."""
    if options.quick:
        method = (
            f"Quick: {QUICK_TEST_ROWS:,} predictions. Surprise's algorithms run once, two at a time, one\n"
            f"core each; Marquee's run on both cores, median of {REPEATS}."
        )
    else:
        runs = f"{REPEATS} runs" if options.folds == 1 else f"{options.folds} folds"
        method = (
            f"Seconds are medians of {runs}, ± half their range; another library whose run takes more than\n"
            f"{MAX_REPEATED_SECONDS:.0f} s is run once (n). Each run is a new process on the same cores;\n"
            "Marquee and the other library take turns."
        )
    return (
        f"{name}: {options.folds} of {N_FOLDS} random folds, {describe_machine()}.\n{method}\n"
        "Before a measurement, the same work is done on toy ratings, so compilation is not measured.\n"
        "Pairs are Marquee/other library. Max difference: of the RMSE. Equal accuracy: Marquee's RMSE is at\n"
        f"most {MAX_RMSE_LOSS} higher; otherwise, the table names a model that is as accurate and as fast.\n"
        f"✓ target reached, ✓✓ stretch target reached, ✗ target missed. {seconds / 60:.1f} minutes in total."
    )


if __name__ == "__main__":
    sys.exit(main())
