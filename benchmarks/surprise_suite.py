"""Results of scikit-surprise's own tests, on its algorithms and on Marquee's in their place.

    python -m benchmarks.surprise_suite --tests DIR [--quick] [--json FILE]

DIR is the folder `tests` of a checkout of https://github.com/NicolasHug/Surprise at v1.1.5. (The source
distribution on PyPI lacks `conftest.py` and the data files.) Nothing is downloaded, and DIR is not changed.

The exit code is 1 if a test passes on Surprise's algorithms and fails on Marquee's, unless the deviation is
intended; docs/surprise.md explains the intended ones.
"""

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest

from benchmarks.command_line import benchmark_parser
from benchmarks.result_rows import ResultRow, write_rows

TOLERANCE = 1e-12
QUICK_STRIDE = 10  # with --quick, only every tenth test runs
ROUNDING = f"intended: sums are added up in another order; the difference is at most {TOLERANCE}"
DIVERGENCE = "intended: a learning rate of 5 diverges, and Marquee raises an error"
DIVERGING_TESTS = ("test_SVD.py::test_SVD_parameters", "test_SVD.py::test_SVDpp_parameters")


@dataclass(frozen=True)
class TestOutcome:
    """Outcome of a test."""

    __test__ = False  # pytest must not collect this class

    passed: bool
    message: str = ""  # first line of the error
    difference: float | None = None  # between the two floats of a failed equality


NOT_RUN = TestOutcome(passed=False, message="not run")
OutcomesByTest = Mapping[str, TestOutcome]  # by test id


class OutcomeCollector:
    """Pytest plugin that selects every n-th test and collects the outcomes.

    Args:
        stride: 1 for all tests, n for every n-th.
    """

    def __init__(self, stride: int = 1) -> None:
        self.outcomes: dict[str, TestOutcome] = {}
        self._stride = stride
        self._difference: float | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Select every n-th test."""
        items[:] = items[:: self._stride]

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> None:
        """Record the difference between two floats that an assertion expects to be equal."""
        if op == "==" and isinstance(left, float) and isinstance(right, float):
            self._difference = abs(float(left) - float(right))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the outcome of a test, or an error in one of its fixtures."""
        if report.when == "call" or report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = str(crash.message if crash else report.longrepr or "").partition("\n")[0]
            self.outcomes[report.nodeid] = TestOutcome(report.passed, message, self._difference)
            self._difference = None


# Runs


def run_both(tests: Path, stride: int = 1) -> tuple[OutcomesByTest, OutcomesByTest]:
    """Run the tests on Surprise's algorithms and on Marquee's, in a process each; return the outcomes."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn, max_tasks_per_child=1) as processes:
        sides = [processes.submit(run_suite, tests, is_marquee, stride) for is_marquee in (False, True)]
        surprise, marquee = (side.result() for side in sides)
    return surprise, marquee


def run_suite(tests: Path, is_marquee: bool, stride: int = 1) -> dict[str, TestOutcome]:
    """Run the tests of a folder in this process, with Marquee's algorithms if `is_marquee` is True.

    Raises:
        SystemExit: pytest cannot run the tests.
    """
    if is_marquee:
        substitute_algorithms()
    sys.dont_write_bytecode = True
    collector = OutcomeCollector(stride)
    options = ["-q", "-c", os.devnull, "--rootdir", str(tests), "-p", "no:cacheprovider", "-W", "ignore"]
    with Path(os.devnull).open("w", encoding="utf-8") as devnull, redirect_stdout(devnull):
        code = pytest.main([*options, str(tests)], plugins=[collector])
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise SystemExit(f"pytest could not run the tests in {tests} (exit code {int(code)})")
    return collector.outcomes


def substitute_algorithms() -> None:
    """Replace Surprise's algorithms with Marquee's, so that `from surprise import SVD` imports ours."""
    import surprise

    import marquee.algorithms

    for name in marquee.algorithms.__all__:
        if hasattr(surprise, name):
            for module in (surprise, surprise.prediction_algorithms):
                setattr(module, name, getattr(marquee.algorithms, name))


# Results


def find_deviations(surprise: OutcomesByTest, marquee: OutcomesByTest) -> dict[str, TestOutcome]:
    """Return the tests that pass on Surprise's algorithms and fail on Marquee's."""
    passed = (test for test, outcome in surprise.items() if outcome.passed)
    outcomes = ((test, marquee.get(test, NOT_RUN)) for test in passed)
    return {test: outcome for test, outcome in outcomes if not outcome.passed}


def deviation_reason(test: str, outcome: TestOutcome) -> str | None:
    """Return the reason for an intended deviation, or None for a defect."""
    if outcome.difference is not None and outcome.difference <= TOLERANCE:
        return ROUNDING
    if test in DIVERGING_TESTS and "DivergedError" in outcome.message:
        return DIVERGENCE
    return None


def format_summary(surprise: OutcomesByTest, marquee: OutcomesByTest) -> str:
    """Return the totals of both sides, and each test that passes only on Surprise's algorithms."""
    lines = [
        f"{side}'s algorithms: {_n_passed(outcomes)} of {len(outcomes)} tests pass"
        for side, outcomes in (("Surprise", surprise), ("Marquee", marquee))
    ]
    for test, outcome in find_deviations(surprise, marquee).items():
        lines += ["", test, f"  {outcome.message}", f"  {deviation_reason(test, outcome) or 'DEFECT'}"]
    return "\n".join(lines)


def make_result_row(surprise: OutcomesByTest, marquee: OutcomesByTest) -> ResultRow:
    """Return the number of passed tests as a row for `--json`."""
    ours, peer = _n_passed(marquee), _n_passed(surprise)
    return ResultRow(
        "tests of scikit-surprise that pass", ours, "tests", len(surprise), peer=peer, ratio=ours / peer
    )


def _n_passed(outcomes: OutcomesByTest) -> int:
    return sum(outcome.passed for outcome in outcomes.values())


def main(arguments: list[str] | None = None) -> int:
    """Run the tests on both sides and print the deviations."""
    parser = benchmark_parser("python -m benchmarks.surprise_suite", __doc__, "run every tenth test")
    parser.add_argument(
        "--tests", type=Path, required=True, metavar="DIR", help="folder of scikit-surprise's tests"
    )
    options = parser.parse_args(arguments)
    tests = options.tests.resolve()
    if not (tests / "conftest.py").is_file():
        parser.error(f"{tests}/conftest.py not found; DIR must be the tests of a checkout of scikit-surprise")
    surprise, marquee = run_both(tests, QUICK_STRIDE if options.quick else 1)
    print(format_summary(surprise, marquee))
    if options.json:
        write_rows([asdict(make_result_row(surprise, marquee))], options.json)
    deviations = find_deviations(surprise, marquee)
    return int(any(deviation_reason(test, outcome) is None for test, outcome in deviations.items()))


if __name__ == "__main__":
    sys.exit(main())
