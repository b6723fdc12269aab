"""scikit-surprise's own tests, run twice: on its algorithms, and on Marquee's in their place.

    python -m benchmarks.surprise_suite --tests DIR

DIR is the folder `tests` of a checkout of https://github.com/NicolasHug/Surprise at v1.1.5. (The source
distribution on PyPI lacks `conftest.py` and the data files.) Nothing is downloaded, and DIR stays as it is.

The exit code is 1 if a test passes on Surprise's algorithms and fails on Marquee's, unless the deviation is
by intent; docs/surprise.md explains those.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest

TOLERANCE = 1e-12
ROUNDING = f"by intent: sums are added up in another order; the difference is below {TOLERANCE}"
DIVERGENCE = "by intent: a learning rate of 5 diverges, which Marquee refuses"
DIVERGING = ("test_SVD.py::test_SVD_parameters", "test_SVD.py::test_SVDpp_parameters")


@dataclass(frozen=True)
class Outcome:
    """Result of one test."""

    passed: bool
    message: str = ""  # first line of the error
    difference: float | None = None  # of the two floats that should have been equal


NOT_RUN = Outcome(passed=False, message="not run")
Outcomes = Mapping[str, Outcome]  # by test id


class OutcomeCollector:
    """Pytest plugin that keeps the outcome of each test."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._difference: float | None = None

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> None:
        """Note how far apart two floats are that should be equal."""
        if op == "==" and isinstance(left, float) and isinstance(right, float):
            self._difference = abs(float(left) - float(right))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the result of a test, or an error in its fixtures."""
        if report.when == "call" or report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = str(crash.message if crash else report.longrepr or "").partition("\n")[0]
            self.outcomes[report.nodeid] = Outcome(report.passed, message, self._difference)
            self._difference = None


def substitute_algorithms() -> None:
    """Put Marquee's algorithms where `from surprise import SVD` finds Surprise's."""
    import surprise

    import marquee.algorithms

    for name in marquee.algorithms.__all__:
        if hasattr(surprise, name):
            for module in (surprise, surprise.prediction_algorithms):
                setattr(module, name, getattr(marquee.algorithms, name))


def run_suite(tests: Path, substituted: bool) -> dict[str, Outcome]:
    """Run every test of a folder in this process.

    Raises:
        SystemExit: pytest cannot collect the tests.
    """
    if substituted:
        substitute_algorithms()
    sys.dont_write_bytecode = True
    collector = OutcomeCollector()
    options = ["-q", "-c", os.devnull, "--rootdir", str(tests), "-p", "no:cacheprovider", "-W", "ignore"]
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        code = pytest.main([*options, str(tests)], plugins=[collector])
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise SystemExit(f"pytest could not run the tests in {tests} (exit code {int(code)})")
    return collector.outcomes


def run_both(tests: Path) -> tuple[Outcomes, Outcomes]:
    """Outcomes on Surprise's algorithms and on Marquee's, each in a process of its own."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn, max_tasks_per_child=1) as processes:
        sides = [processes.submit(run_suite, tests, substituted) for substituted in (False, True)]
        surprise, marquee = (side.result() for side in sides)
    return surprise, marquee


def deviations(surprise: Outcomes, marquee: Outcomes) -> dict[str, Outcome]:
    """Tests that pass on Surprise's algorithms and fail on Marquee's."""
    passed = (test for test, outcome in surprise.items() if outcome.passed)
    results = ((test, marquee.get(test, NOT_RUN)) for test in passed)
    return {test: outcome for test, outcome in results if not outcome.passed}


def intent(test: str, outcome: Outcome) -> str | None:
    """Reason for which a test may fail on Marquee's algorithms, or None if it is a defect."""
    if outcome.difference is not None and outcome.difference <= TOLERANCE:
        return ROUNDING
    if test in DIVERGING and "DivergedError" in outcome.message:
        return DIVERGENCE
    return None


def summarize(surprise: Outcomes, marquee: Outcomes) -> str:
    """Totals of both sides, and each test that only Surprise's algorithms pass."""
    lines = [
        f"{side}'s algorithms: {sum(one.passed for one in outcomes.values())} of {len(outcomes)} tests pass"
        for side, outcomes in (("Surprise", surprise), ("Marquee", marquee))
    ]
    for test, outcome in deviations(surprise, marquee).items():
        lines += ["", test, f"  {outcome.message}", f"  {intent(test, outcome) or 'DEFECT'}"]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the tests on both sides and print what differs."""
    parser = argparse.ArgumentParser(description="Run scikit-surprise's tests on Marquee's algorithms.")
    parser.add_argument(
        "--tests", type=Path, required=True, metavar="DIR", help="folder of scikit-surprise's tests"
    )
    tests = parser.parse_args(arguments).tests.resolve()
    if not (tests / "conftest.py").is_file():
        parser.error(f"{tests}/conftest.py not found; DIR must be the tests of a checkout of scikit-surprise")
    surprise, marquee = run_both(tests)
    print(summarize(surprise, marquee))
    return int(any(intent(*deviation) is None for deviation in deviations(surprise, marquee).items()))


if __name__ == "__main__":
    sys.exit(main())
