"""Summary of branch coverage at the end of a test run."""

import json
from collections.abc import Iterator
from pathlib import Path

MAX_MODULES = 10


def format_coverage_summary(report: Path) -> Iterator[str]:
    """Yield lines on the total branch coverage and the least covered modules, from a JSON report."""
    tree = json.loads(report.read_text(encoding="utf-8"))
    yield f"{tree['totals']['percent_covered']:.1f}% of lines and branches. The least covered modules:"
    shares = sorted((file["summary"]["percent_covered"], name) for name, file in tree["files"].items())
    yield from (f"{share:5.1f}%  {name}" for share, name in shares[:MAX_MODULES])
