"""Settings of the whole test suite."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.coverage_summary import format_coverage_summary

# Property tests draw the same examples in every run, so that a failure can be reproduced.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the end-to-end tests first: they take longest, and other workers run the rest meanwhile."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the branch coverage if pytest-cov has written its JSON report, as `make coverage` requests."""
    path = (config.getoption("cov_report", default=None) or {}).get("json")
    if path and Path(path).exists():
        terminalreporter.section("branch coverage")
        terminalreporter.write("\n".join(format_coverage_summary(Path(path))) + "\n")
